//! The counters that each channel writes when it closes (`UCX_USB4_STATS`).

use std::path::Path;

/// One line of the file: one channel. Bytes include the frame headers.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct ChannelStats {
    /// The release of UCX in its process.
    pub ucx: String,
    /// The simulated node.
    pub node: u32,
    /// Number of the channel on that node.
    pub channel: u32,
    /// The process that opened it.
    pub pid: u32,
    /// Frames sent.
    pub tx_frames: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames received.
    pub rx_frames: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames sent again.
    pub retransmits: u64,
    /// Times that it went to sleep.
    pub sleeps: u64,
    /// What of it went over each rail, and within the node.
    pub rails: Vec<RailStats>,
    /// What UCX asked for besides messages.
    pub requested: Requested,
}

/// Remote memory access by UCT function.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct Requested {
    /// `uct_ep_put_zcopy`.
    pub put_zcopy: Tally,
    /// `uct_ep_get_zcopy`.
    pub get_zcopy: Tally,
    /// `uct_ep_atomic*_fetch` and `uct_ep_atomic_cswap*`.
    pub atomic_fetch: Tally,
}

impl Requested {
    /// Bytes that went straight from one user's buffer to the other's.
    #[must_use]
    pub fn zero_copy_bytes(&self) -> u64 {
        self.put_zcopy.bytes + self.get_zcopy.bytes
    }
}

/// Calls and their bytes.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
pub struct Tally {
    /// How many.
    pub calls: u64,
    /// Of all calls together.
    pub bytes: u64,
}

/// A rail's share.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct RailStats {
    /// `rail N`, or `loopback`.
    pub rail: String,
    /// Bytes sent, headers included.
    pub tx_bytes: u64,
    /// Frames that the fault plan lost.
    pub lost: u64,
}

impl RailStats {
    fn is_cable(&self) -> bool {
        self.rail != "loopback"
    }
}

/// What all channels of a job moved.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// One entry for each channel that was closed.
    pub channels: Vec<ChannelStats>,
}

impl Traffic {
    /// Reads the file; none: no channel was opened.
    ///
    /// # Panics
    /// If a line is not what a channel writes.
    #[must_use]
    pub fn read(path: &Path) -> Traffic {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        Traffic { channels: text.lines().map(parse).collect() }
    }

    /// Bytes that all channels sent, over cables and within nodes.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.channels.iter().map(|channel| channel.tx_bytes).sum()
    }

    /// Bytes that went over cables.
    #[must_use]
    pub fn cable_bytes(&self) -> u64 {
        self.cable_rails().map(|rail| rail.tx_bytes).sum()
    }

    /// Frames that the fault plan lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.cable_rails().map(|rail| rail.lost).sum()
    }

    /// How many rails the channel that used most of them sent on.
    #[must_use]
    pub fn rails_used(&self) -> usize {
        let used =
            |channel: &ChannelStats| channel.rails.iter().filter(|rail| rail.is_cable() && rail.tx_bytes > 0).count();
        self.channels.iter().map(used).max().unwrap_or(0)
    }

    /// Times that processes went to sleep.
    #[must_use]
    pub fn sleeps(&self) -> u64 {
        self.channels.iter().map(|channel| channel.sleeps).sum()
    }

    fn cable_rails(&self) -> impl Iterator<Item = &RailStats> {
        self.channels.iter().flat_map(|channel| &channel.rails).filter(|rail| rail.is_cable())
    }

    /// Frames that were sent again.
    #[must_use]
    pub fn retransmits(&self) -> u64 {
        self.channels.iter().map(|channel| channel.retransmits).sum()
    }

    /// The nodes that sent something over cables, in order.
    #[must_use]
    pub fn sending_nodes(&self) -> Vec<u32> {
        let sent = |channel: &&ChannelStats| channel.rails.iter().any(|rail| rail.is_cable() && rail.tx_bytes > 0);
        let mut nodes: Vec<u32> = self.channels.iter().filter(sent).map(|channel| channel.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats");
        let none = "{\"calls\":0,\"bytes\":0}";
        let line = |node: u32, loopback: u64, cable: u64| {
            format!(
                "{{\"ucx\":\"1.13.1\",\"node\":{node},\"channel\":1,\"pid\":9,\"tx_frames\":1,\"tx_bytes\":{},\"rx_frames\":2,\
                 \"rx_bytes\":3,\"retransmits\":4,\"sleeps\":7,\"another\":5,\"requested\":{{\"put_zcopy\":{none},\
                 \"get_zcopy\":{none},\"atomic_fetch\":{none}}},\"rails\":[\
                 {{\"rail\":\"rail 0\",\"tx_bytes\":{cable},\"lost\":1}},\
                 {{\"rail\":\"loopback\",\"tx_bytes\":{loopback},\"lost\":0}}]}}\n",
                loopback + cable
            )
        };
        std::fs::write(&path, [line(1, 1, 10), line(0, 2, 20), line(2, 3, 0)].concat()).unwrap();
        let traffic = Traffic::read(&path);
        assert_eq!((traffic.sent_bytes(), traffic.cable_bytes()), (36, 30));
        assert_eq!((traffic.retransmits(), traffic.lost(), traffic.rails_used()), (12, 3, 1));
        assert_eq!(traffic.sending_nodes(), [0, 1]);
        assert!(Traffic::read(&folder.path().join("none")).channels.is_empty());
    }
}
