//! Fabrics as `usb4ctl status` shows them: serializable copies of what link's observers see.

use serde::Serialize;
use usb4_link::sim::{ChannelView, FabricView, RailView};
use usb4_link::{ConnectionStats, RailCounters};

/// A simulated fabric.
#[derive(Debug, Serialize)]
pub(crate) struct FabricReport {
    /// Its name: the profile's, or one made from the file's.
    pub(crate) name: String,
    /// Its random id, in hexadecimal.
    pub(crate) id: String,
    /// Seconds since it was made.
    pub(crate) age_s: f64,
    /// Number of simulated hosts.
    pub(crate) nodes: u32,
    /// The cables, numbered from 0.
    pub(crate) cables: Vec<CableReport>,
    /// Traffic between processes of one node, by node.
    pub(crate) loopback: Vec<DirectionReport>,
    /// The processes that have it open.
    pub(crate) channels: Vec<ChannelReport>,
}

/// A cable.
#[derive(Debug, Serialize)]
pub(crate) struct CableReport {
    /// The nodes that it joins.
    pub(crate) between: [u32; 2],
    /// Its rails, numbered from 0.
    pub(crate) rails: Vec<RailReport>,
}

/// A rail. Counters are sums over all processes since the fabric was made.
#[derive(Debug, Serialize)]
pub(crate) struct RailReport {
    /// Whether it carries frames now.
    pub(crate) up: bool,
    /// Line rate in Gb/s; absent: no limit.
    pub(crate) rate_gbps: Option<f64>,
    /// One-way latency in microseconds.
    pub(crate) latency_us: f64,
    /// Away from the cable's first node.
    pub(crate) forward: DirectionReport,
    /// Towards it.
    pub(crate) backward: DirectionReport,
}

/// One direction of a rail. Bytes include the frame headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct DirectionReport {
    /// Frames sent.
    pub(crate) frames: u64,
    /// Bytes sent.
    pub(crate) bytes: u64,
    /// Frames received.
    pub(crate) received_frames: u64,
    /// Bytes received.
    pub(crate) received_bytes: u64,
    /// Frames that the fault plan lost.
    pub(crate) lost: u64,
    /// Frames that the fault plan delivered twice.
    pub(crate) duplicated: u64,
    /// Frames dropped because the receiver had no buffer posted.
    pub(crate) no_buffer: u64,
    /// Frames that were under way when the rail was unplugged.
    pub(crate) unplugged: u64,
    /// Frames refused because their descriptor made no sense.
    pub(crate) malformed: u64,
}

/// A process's opening of a node's cables.
#[derive(Debug, Serialize)]
pub(crate) struct ChannelReport {
    /// Its node.
    pub(crate) node: u32,
    /// Its number on that node.
    pub(crate) channel: u16,
    /// Its process.
    pub(crate) pid: u32,
    /// Whether it sleeps now.
    pub(crate) sleeping: bool,
    /// Times that it went to sleep.
    pub(crate) sleeps: u64,
    /// Wake-ups that it sent to others.
    pub(crate) wakeups_sent: u64,
    /// Bytes sent over all rails, headers included.
    pub(crate) sent_bytes: u64,
    /// Bytes received over all rails, headers included.
    pub(crate) received_bytes: u64,
    /// Its connections.
    pub(crate) connections: Vec<ConnectionReport>,
}

/// What the protocol engine knows of a connection. Bytes are payload.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectionReport {
    pub(crate) peer_node: u32,
    pub(crate) peer_channel: u16,
    pub(crate) state: String,
    pub(crate) tx_frames: u64,
    pub(crate) tx_bytes: u64,
    pub(crate) rx_frames: u64,
    pub(crate) rx_bytes: u64,
    pub(crate) retransmissions: u64,
    pub(crate) timeouts: u64,
    pub(crate) duplicates: u64,
    pub(crate) reordered: u64,
    pub(crate) reorder_depth_max: u64,
    pub(crate) credit_stalls: u64,
    pub(crate) in_flight: u64,
    pub(crate) rtt_us: f64,
}

impl From<&FabricView> for FabricReport {
    fn from(view: &FabricView) -> Self {
        let cable = |cable: &usb4_link::sim::CableView| CableReport {
            between: cable.between.map(|node| node.0),
            rails: cable.rails.iter().map(RailReport::from).collect(),
        };
        FabricReport {
            name: view.name.clone(),
            id: format!("{:016x}", view.id.0),
            age_s: view.age_ns as f64 / 1e9,
            nodes: view.config.nodes,
            cables: view.cables.iter().map(cable).collect(),
            loopback: view.loopback.iter().map(DirectionReport::from).collect(),
            channels: view.channels.iter().map(ChannelReport::from).collect(),
        }
    }
}

impl From<&RailView> for RailReport {
    fn from(view: &RailView) -> Self {
        let [forward, backward] = view.directions.each_ref().map(DirectionReport::from);
        RailReport {
            up: view.up,
            rate_gbps: view.rate_bits_per_s.map(|rate| rate as f64 / 1e9),
            latency_us: view.latency_ns as f64 / 1e3,
            forward,
            backward,
        }
    }
}

impl From<&RailCounters> for DirectionReport {
    fn from(counters: &RailCounters) -> Self {
        DirectionReport {
            frames: counters.tx_frames,
            bytes: counters.tx_bytes,
            received_frames: counters.rx_frames,
            received_bytes: counters.rx_bytes,
            lost: counters.lost,
            duplicated: counters.duplicated,
            no_buffer: counters.no_buffer,
            unplugged: counters.unplugged,
            malformed: counters.malformed,
        }
    }
}

impl DirectionReport {
    /// What was counted after `earlier`.
    pub(crate) fn since(self, earlier: DirectionReport) -> DirectionReport {
        DirectionReport {
            frames: self.frames.wrapping_sub(earlier.frames),
            bytes: self.bytes.wrapping_sub(earlier.bytes),
            received_frames: self.received_frames.wrapping_sub(earlier.received_frames),
            received_bytes: self.received_bytes.wrapping_sub(earlier.received_bytes),
            lost: self.lost.wrapping_sub(earlier.lost),
            duplicated: self.duplicated.wrapping_sub(earlier.duplicated),
            no_buffer: self.no_buffer.wrapping_sub(earlier.no_buffer),
            unplugged: self.unplugged.wrapping_sub(earlier.unplugged),
            malformed: self.malformed.wrapping_sub(earlier.malformed),
        }
    }

    /// Frames that did not arrive, for whatever reason.
    pub(crate) fn dropped(&self) -> u64 {
        self.lost + self.no_buffer + self.unplugged + self.malformed
    }
}

impl From<&ChannelView> for ChannelReport {
    fn from(view: &ChannelView) -> Self {
        let sum = |field: fn(&RailCounters) -> u64| view.counters.rails.iter().map(|(_, rail)| field(rail)).sum();
        ChannelReport {
            node: view.address.node.0,
            channel: view.address.channel.0,
            pid: view.pid,
            sleeping: view.is_sleeping,
            sleeps: view.counters.sleeps,
            wakeups_sent: view.counters.wakeups_sent,
            sent_bytes: sum(|rail| rail.tx_bytes),
            received_bytes: sum(|rail| rail.rx_bytes),
            connections: view.connections.iter().map(ConnectionReport::from).collect(),
        }
    }
}

impl From<&ConnectionStats> for ConnectionReport {
    fn from(stats: &ConnectionStats) -> Self {
        ConnectionReport {
            peer_node: stats.peer.node.0,
            peer_channel: stats.peer.channel.0,
            state: stats.state.to_string(),
            tx_frames: stats.tx_frames,
            tx_bytes: stats.tx_bytes,
            rx_frames: stats.rx_frames,
            rx_bytes: stats.rx_bytes,
            retransmissions: stats.retransmissions,
            timeouts: stats.timeouts,
            duplicates: stats.duplicates,
            reordered: stats.reordered,
            reorder_depth_max: stats.reorder_depth_max,
            credit_stalls: stats.credit_stalls,
            in_flight: stats.in_flight,
            rtt_us: stats.rtt_ns as f64 / 1e3,
        }
    }
}
