//! Frames in motion: from transmit rings through routers and cables to receive rings, and control packets on their way.

use log::{debug, trace};

use crate::cable::Cargo;
use crate::control::{ConfigError, Packet, PacketType};
use crate::descriptor::Frame;
use crate::fabric::Fabric;
use crate::memory::GuestMemory;
use crate::nhi::Refusal;
use crate::registers::Direction;
use crate::router::{RouterEffect, lane0, port_of_lane0};
use crate::topology::End;

/// Control packets that wait for a buffer of the driver. Beyond that the driver's own requests wait in its transmit ring, and
/// packets from peers and events are lost, as they are on a link without credits.
pub const INBOX_PACKETS: usize = 64;
/// Cables that a frame may cross.
const MAX_CABLES_CROSSED: u8 = 8;

/// What became of a frame that a driver queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It left the ring, whether or not it arrives.
    Gone,
    /// It waits in the ring.
    Waits,
}

impl<M: GuestMemory + Default> Fabric<M> {
    /// Moves everything that can move by `now_ns`.
    ///
    /// It ends: each turn either takes a descriptor that a driver queued before the call, or takes a frame off a cable.
    pub fn advance(&mut self, now_ns: u64) {
        loop {
            let mut moved = false;
            for host in 0..self.hosts.len() {
                moved |= self.deliver_inbox(host);
                for ring in 0..self.hosts[host].nhi.rings() {
                    moved |= self.drain_ring(host, ring, now_ns);
                }
            }
            moved |= self.drain_cables(now_ns);
            if !moved {
                return;
            }
        }
    }

    /// Queues a control packet for a host's driver. Without a driver nobody listens.
    pub(crate) fn post(&mut self, host: usize, packet: Packet) {
        let host = &mut self.hosts[host];
        if host.inbox.len() < INBOX_PACKETS && host.nhi.is_enabled(Direction::Receive, 0) {
            host.inbox.push_back(packet);
        } else {
            host.counters.control_lost += 1;
        }
    }

    fn deliver_inbox(&mut self, index: usize) -> bool {
        let host = &mut self.hosts[index];
        if !host.nhi.is_enabled(Direction::Receive, 0) {
            host.inbox.clear();
            return false;
        }
        let mut moved = false;
        while host.nhi.unpromised(0) > 0 {
            let Some(packet) = host.inbox.pop_front() else { break };
            trace!("host {index}: to driver {packet:x?}");
            let frame = Frame { bytes: packet.to_bytes(), sof: 0, eof: packet.kind.eof(), crc_error: false };
            match host.nhi.receive(&mut host.memory, 0, &frame) {
                Ok(()) => host.counters.control_out += 1,
                Err(refusal) => {
                    debug!("host {index}: control packet lost: {refusal:?}");
                    host.counters.control_lost += 1;
                    host.counters.dma_faults += u64::from(matches!(refusal, Refusal::Dma(_)));
                }
            }
            moved = true;
        }
        moved
    }

    fn drain_ring(&mut self, index: usize, ring: usize, now_ns: u64) -> bool {
        let mut moved = false;
        loop {
            let host = &self.hosts[index];
            let Some(mut outgoing) = host.nhi.next_outgoing(&host.memory, ring) else { return moved };
            // The descriptor keeps what completing needs; the frame itself moves on.
            let fate = match std::mem::replace(&mut outgoing.frame, Ok(Frame::default())) {
                Err(fault) => {
                    debug!("host {index}, transmit ring {ring}: {fault}");
                    self.hosts[index].counters.dma_faults += 1;
                    Fate::Gone
                }
                Ok(frame) if ring == 0 => self.control(index, &frame, now_ns),
                Ok(frame) => self.data(index, ring, frame, now_ns),
            };
            if fate == Fate::Waits {
                return moved;
            }
            let host = &mut self.hosts[index];
            host.nhi.complete_outgoing(&mut host.memory, ring, &outgoing);
            moved = true;
        }
    }

    fn drain_cables(&mut self, now_ns: u64) -> bool {
        let mut moved = false;
        for index in 0..self.cables.len() {
            for way in 0..2 {
                while let Some(cargo) = self.cables[index].ways[way].poll_arrival(now_ns) {
                    self.arrive(self.cables[index].ends[1 - way], cargo, now_ns);
                    moved = true;
                }
            }
        }
        moved
    }

    /// A control packet that the driver of `index` sent.
    fn control(&mut self, index: usize, frame: &Frame, now_ns: u64) -> Fate {
        if self.hosts[index].inbox.len() >= INBOX_PACKETS {
            return Fate::Waits;
        }
        self.hosts[index].counters.control_in += 1;
        let Some(packet) = Packet::parse(frame.eof, &frame.bytes) else {
            self.hosts[index].counters.control_lost += 1;
            return Fate::Gone;
        };
        trace!("host {index}: from driver {packet:x?}");
        match packet.kind {
            PacketType::Read | PacketType::Write => self.configuration(index, &packet),
            PacketType::XDomainRequest | PacketType::XDomainResponse => self.inter_domain(index, packet, now_ns),
            // Acknowledgements: events are not sent again, so nobody waits for these.
            PacketType::Error | PacketType::NotificationAck | PacketType::Event => {}
        }
        Fate::Gone
    }

    fn configuration(&mut self, index: usize, request: &Packet) {
        let router = &mut self.hosts[index].router;
        let upstream = router.upstream();
        let route = request.route();
        let Some(address) = request.address() else { return };
        if route != 0 {
            // The far end is another host: it answers no configuration requests, which is how the core learns what it is.
            let linked = self.linked_port(index, route & 0xff).is_some();
            let error = if linked { ConfigError::NoSuchPort } else { ConfigError::PortNotConnected };
            self.post(index, request.error(0, error));
            return;
        }
        let (answer, effects) = match request.kind {
            PacketType::Read => (router.read(address), Vec::new()),
            _ => match router.write(address, request.data()) {
                Ok(effects) => (Ok(Vec::new()), effects),
                Err(error) => (Err(error), Vec::new()),
            },
        };
        let reply = match answer {
            Ok(data) => request.reply(upstream, &data),
            Err(error) => request.error(address.adapter, error),
        };
        self.post(index, reply);
        for effect in effects {
            match effect {
                RouterEffect::LanesChanged { port } => self.refresh_bonding(End { host: index, port }),
                RouterEffect::PortReset { port } => self.retrain(End { host: index, port }),
            }
        }
    }

    fn inter_domain(&mut self, index: usize, packet: Packet, now_ns: u64) {
        let Some((cable, way)) = self.linked_port(index, packet.route()) else {
            self.post(index, packet.error(0, ConfigError::PortNotConnected));
            return;
        };
        let far = self.cables[cable].ends[1 - way];
        let arriving = packet.across(lane0(far.port));
        let cargo = Cargo::Control { eof: arriving.kind.eof(), bytes: arriving.to_bytes() };
        self.cables[cable].ways[way].send(cargo, now_ns);
    }

    /// The cable and direction behind the adapter that a route names, when that link is up.
    fn linked_port(&self, index: usize, route: u64) -> Option<(usize, usize)> {
        let port = port_of_lane0(usize::try_from(route).ok()?, self.hosts[index].router.ports())?;
        self.link_at(End { host: index, port })
    }

    /// A data frame that the driver of `index` sent on `ring`.
    fn data(&mut self, index: usize, ring: usize, frame: Frame, now_ns: u64) -> Fate {
        let router = &self.hosts[index].router;
        let next = router.adapter(router.upstream()).and_then(|nhi| nhi.next_hop(ring));
        let link = next.and_then(|next| Some((self.linked_port(index, next.adapter as u64)?, next.hop)));
        let Some(((cable, way), hop)) = link else {
            self.hosts[index].counters.frames_in += 1;
            self.hosts[index].counters.unrouted += 1;
            return Fate::Gone;
        };
        let destination = self.destination(self.cables[cable].ends[1 - way], hop);
        let promise = destination.filter(|&(host, ring)| {
            let nhi = &self.hosts[host].nhi;
            nhi.is_enabled(Direction::Receive, ring) && nhi.is_flow_controlled(ring)
        });
        if let Some((host, ring)) = promise {
            let nhi = &mut self.hosts[host].nhi;
            if nhi.unpromised(ring) == 0 {
                return Fate::Waits;
            }
            nhi.promise(ring);
        }
        self.hosts[index].counters.frames_in += 1;
        let cargo = Cargo::Data { hop, frame, promise, hops_left: MAX_CABLES_CROSSED };
        if let Some(lost) = self.cables[cable].ways[way].send(cargo, now_ns) {
            self.redeem(&lost);
        }
        Fate::Gone
    }

    /// Follows path tables from the lane adapter at `end` to the ring where HopID `hop` ends.
    fn destination(&self, mut end: End, mut hop: usize) -> Option<(usize, usize)> {
        for _ in 0..MAX_CABLES_CROSSED {
            let router = &self.hosts[end.host].router;
            let next = router.port(end.port)?.next_hop(hop)?;
            if next.adapter == router.upstream() {
                return Some((end.host, next.hop));
            }
            let (cable, way) = self.linked_port(end.host, next.adapter as u64)?;
            (end, hop) = (self.cables[cable].ends[1 - way], next.hop);
        }
        None
    }

    /// Something came out of a cable at `end`.
    fn arrive(&mut self, end: End, cargo: Cargo, now_ns: u64) {
        self.redeem(&cargo);
        let (hop, frame, hops_left) = match cargo {
            Cargo::Control { eof, bytes } => {
                match Packet::parse(eof, &bytes) {
                    Some(packet) => self.post(end.host, packet),
                    None => self.hosts[end.host].counters.control_lost += 1,
                }
                return;
            }
            Cargo::Data { hop, frame, hops_left, .. } => (hop, frame, hops_left),
        };
        let router = &self.hosts[end.host].router;
        let next = router.port(end.port).and_then(|lane| lane.next_hop(hop));
        match next {
            Some(next) if next.adapter == router.upstream() => self.receive(end.host, next.hop, &frame),
            Some(next) if hops_left > 1 => match self.linked_port(end.host, next.adapter as u64) {
                Some((cable, way)) => {
                    let onward = Cargo::Data { hop: next.hop, frame, promise: None, hops_left: hops_left - 1 };
                    self.cables[cable].ways[way].send(onward, now_ns);
                }
                None => self.hosts[end.host].counters.unrouted += 1,
            },
            _ => self.hosts[end.host].counters.unrouted += 1,
        }
    }

    fn receive(&mut self, index: usize, ring: usize, frame: &Frame) {
        let host = &mut self.hosts[index];
        match host.nhi.receive(&mut host.memory, ring, frame) {
            Ok(()) => host.counters.frames_out += 1,
            Err(Refusal::NoDescriptor) => host.counters.overrun += 1,
            Err(Refusal::Disabled | Refusal::Masked) => host.counters.unwanted += 1,
            Err(Refusal::Dma(fault)) => {
                debug!("host {index}, receive ring {ring}: {fault}");
                host.counters.dma_faults += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
