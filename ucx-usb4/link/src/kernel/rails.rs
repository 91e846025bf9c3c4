//! The node's rails as this channel sees them: what they are, whether they are up, and what is queued on them.

use usb4_dma_sys::{USB4_DMA_RAIL_FREE, USB4_DMA_RAIL_LOOPBACK, USB4_DMA_RAIL_UP, usb4_dma_rail};

use super::mapped::NodePage;
use crate::{LinkEvent, NodeId, RailId, RailInfo, RailSet, SubmitError};

const RAILS: usize = RailId::COUNT;
const LOOPBACK: usize = RailId::LOOPBACK.index();
const _: () = assert!(LOOPBACK == USB4_DMA_RAIL_LOOPBACK as usize);

/// Of 40 Gb/s on the line, line code, error correction and packet headers leave 37.4 for frames.
const LINE_EFFICIENCY: f64 = 37.42 / 40.0;
/// What a rail is taken to carry when the kernel does not know.
const UNKNOWN_RATE_BITS_PER_S: f64 = 10e9;
/// One way, as a polled ring shows it, when the kernel does not know.
const UNKNOWN_LATENCY_NS: u64 = 5_000;
/// Loopback is two copies in the kernel: it is never worth waiting for.
const LOOPBACK_LATENCY_NS: u64 = 1_000;
const FRAME_BYTES: u64 = 4096;

/// What a frame's way asks of a rail.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    is_up: bool,
    /// Where it leads.
    peer: NodeId,
    /// Frames and bytes of this channel, submitted and not completed.
    frames: u32,
    bytes: u64,
    /// As many may be.
    depth: u32,
    /// What the kernel said of it last.
    depth_listed: u32,
    latency_ns: u64,
    /// Nanoseconds per byte, times 2^16.
    ns_per_byte_q16: u64,
}

impl Load {
    #[inline]
    fn has_room(&self) -> bool {
        self.frames < self.depth
    }
}

/// All rails.
#[derive(Debug)]
pub(super) struct Rails {
    loads: Box<[Load; RAILS]>,
    listed: Vec<usb4_dma_rail>,
    infos: Vec<RailInfo>,
    generation: u32,
}

impl Rails {
    /// None but the way back to the own node, on which `depth` frames may be queued.
    pub(super) fn new(own: NodeId, depth: u32) -> Rails {
        let mut loads = Box::new([Load::default(); RAILS]);
        loads[LOOPBACK] = Load {
            is_up: true,
            peer: own,
            depth,
            depth_listed: depth,
            latency_ns: LOOPBACK_LATENCY_NS,
            ..Load::default()
        };
        Rails { loads, listed: Vec::new(), infos: Vec::new(), generation: 0 }
    }

    /// The generation that was taken in last.
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn infos(&self) -> &[RailInfo] {
        &self.infos
    }

    pub(super) fn to(&self, node: NodeId) -> RailSet {
        self.infos.iter().filter(|info| info.peer == node).map(|info| info.id).collect()
    }

    /// Least number of buffers that a rail's hardware has for what arrives.
    pub(super) fn receive_depth(&self) -> Option<u32> {
        self.listed.iter().map(|rail| rail.rx_depth).filter(|&depth| depth > 0).min()
    }

    /// Takes in what the kernel lists, and tells what has changed.
    pub(super) fn update(&mut self, generation: u32, listed: Vec<usb4_dma_rail>, mut tell: impl FnMut(LinkEvent)) {
        let listed: Vec<usb4_dma_rail> = listed.into_iter().filter(is_known).collect();
        let before = std::mem::replace(&mut self.listed, listed);
        self.generation = generation;
        for old in before.iter().filter(|old| is_up(old)) {
            if !self.listed.iter().any(|new| is_same_life(old, new)) {
                tell(LinkEvent::RailDown(id(old)));
            }
        }
        let routes = |rails: &[usb4_dma_rail], node: u32| -> RailSet {
            rails.iter().filter(|rail| rail.peer_node == node).map(id).collect()
        };
        let mut nodes: Vec<u32> = before.iter().chain(&self.listed).map(|rail| rail.peer_node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            if routes(&before, node) != routes(&self.listed, node) {
                tell(LinkEvent::RailsChanged(NodeId(node)));
            }
        }
        for new in self.listed.iter().filter(|new| is_up(new)) {
            if !before.iter().any(|old| is_same_life(old, new)) {
                tell(LinkEvent::RailUp(id(new)));
            }
        }
        self.infos = self.listed.iter().map(|rail| info(rail, &self.listed)).collect();
        self.refresh_loads();
    }

    /// What is queued stays counted: the kernel completes every entry, also those of a rail that went down.
    fn refresh_loads(&mut self) {
        for (number, load) in self.loads.iter_mut().enumerate().filter(|(number, _)| *number != LOOPBACK) {
            let listed = self.listed.iter().zip(&self.infos).find(|(rail, _)| usize::from(rail.rail) == number);
            let Some((rail, info)) = listed else {
                load.is_up = false;
                continue;
            };
            let rate = info.rate_bits_per_s.map_or(UNKNOWN_RATE_BITS_PER_S, |rate| rate as f64);
            load.is_up = is_up(rail);
            load.peer = info.peer;
            load.depth_listed = rail.tx_depth.max(1);
            load.depth = load.depth_listed;
            load.latency_ns = info.latency_ns;
            load.ns_per_byte_q16 = (8e9 / rate * 65536.0) as u64;
        }
    }

    /// Whether the rail takes a frame to a node now.
    #[inline]
    pub(super) fn admit(&self, rail: RailId, node: NodeId) -> Result<(), SubmitError> {
        let load = &self.loads[rail.index()];
        if !load.is_up || load.peer != node {
            return Err(SubmitError::RailDown);
        }
        if load.has_room() { Ok(()) } else { Err(SubmitError::RingFull) }
    }

    /// Whether a further frame would be taken.
    #[inline]
    pub(super) fn has_room(&self, rail: RailId) -> bool {
        let load = &self.loads[rail.index()];
        load.is_up && load.has_room()
    }

    /// Time until a further frame would be delivered; `None`: it would not be taken.
    #[inline]
    pub(super) fn cost_ns(&self, node: &NodePage, rail: RailId, len_bytes: usize) -> Option<u64> {
        if !self.has_room(rail) {
            return None;
        }
        let load = &self.loads[rail.index()];
        // The kernel counts everybody's frames, but not those that it has not been told of yet.
        let queued = load.bytes.max(u64::from(node.tx_backlog(rail.index())) * FRAME_BYTES);
        Some(load.latency_ns + (((queued + len_bytes as u64) * load.ns_per_byte_q16) >> 16))
    }

    #[inline]
    pub(super) fn add(&mut self, rail: RailId, bytes: usize) {
        let load = &mut self.loads[rail.index()];
        load.frames += 1;
        load.bytes += bytes as u64;
    }

    #[inline]
    pub(super) fn remove(&mut self, rail: RailId, bytes: usize) {
        let load = &mut self.loads[rail.index()];
        load.frames = load.frames.saturating_sub(1);
        load.bytes = load.bytes.saturating_sub(bytes as u64);
    }

    /// Whether the rail carries frames.
    pub(super) fn is_up(&self, rail: RailId) -> bool {
        self.loads[rail.index()].is_up
    }

    /// The kernel takes what it is given: other channels may have gone.
    #[inline]
    pub(super) fn grow(&mut self, rail: RailId) {
        let load = &mut self.loads[rail.index()];
        load.depth += u32::from(load.depth < load.depth_listed);
    }

    /// The kernel took less than it had said: other channels have come.
    pub(super) fn shrink(&mut self, rail: RailId) {
        let load = &mut self.loads[rail.index()];
        load.depth = load.depth.min(load.frames).max(1);
    }

    /// Whether some rail that is up has no room.
    pub(super) fn is_any_full(&self) -> bool {
        self.loads.iter().any(|load| load.is_up && !load.has_room())
    }
}

fn id(rail: &usb4_dma_rail) -> RailId {
    RailId::new(rail.rail).unwrap_or(RailId::LOOPBACK)
}

fn is_known(rail: &usb4_dma_rail) -> bool {
    usize::from(rail.rail) < LOOPBACK && u32::from(rail.state) != USB4_DMA_RAIL_FREE
}

fn is_up(rail: &usb4_dma_rail) -> bool {
    u32::from(rail.state) == USB4_DMA_RAIL_UP
}

/// Whether the rail has carried frames without a break from one listing to the other.
fn is_same_life(old: &usb4_dma_rail, new: &usb4_dma_rail) -> bool {
    is_up(old) && is_up(new) && (old.rail, old.epoch, old.peer_node) == (new.rail, new.epoch, new.peer_node)
}

fn info(rail: &usb4_dma_rail, all: &[usb4_dma_rail]) -> RailInfo {
    // The rails of a cable share what it carries.
    let sharing = all.iter().filter(|other| other.cable == rail.cable && is_up(other)).count().max(1);
    let rate = rail.rate_bits_per_s as f64 * LINE_EFFICIENCY / sharing as f64;
    RailInfo {
        id: id(rail),
        cable: rail.cable,
        peer: NodeId(rail.peer_node),
        rate_bits_per_s: (rail.rate_bits_per_s > 0).then_some(rate as u64),
        latency_ns: match rail.latency_ns {
            0 => UNKNOWN_LATENCY_NS,
            known => known.into(),
        },
        is_timed: false,
        name: text(&rail.name),
        up: is_up(rail),
    }
}

/// A zero-terminated name.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use usb4_dma_sys::USB4_DMA_RAIL_DOWN;

    use super::*;

    fn rail(number: u8, state: u32, peer: u32, epoch: u32) -> usb4_dma_rail {
        let mut rail = usb4_dma_rail { rail: number, peer_node: peer, epoch, tx_depth: 4, ..Default::default() };
        rail.state = state as u8;
        rail.rate_bits_per_s = 40_000_000_000;
        rail
    }

    fn events(rails: &mut Rails, listed: &[usb4_dma_rail]) -> Vec<LinkEvent> {
        let mut events = Vec::new();
        rails.update(rails.generation() + 1, listed.to_vec(), |event| events.push(event));
        events
    }

    fn number(number: u8) -> RailId {
        RailId::new(number).unwrap()
    }

    #[test]
    fn a_change_between_two_looks_is_told_in_the_order_that_the_engine_needs() {
        use LinkEvent::{RailDown, RailUp, RailsChanged};
        let mut rails = Rails::new(NodeId(1), 8);
        let up = [rail(0, USB4_DMA_RAIL_UP, 7, 1), rail(1, USB4_DMA_RAIL_UP, 7, 1)];
        assert_eq!(events(&mut rails, &up), [RailsChanged(NodeId(7)), RailUp(number(0)), RailUp(number(1))]);
        assert_eq!(events(&mut rails, &up), []);
        // One rail was gone for a moment that nobody saw; what was under way on it is lost.
        let blinked = [rail(0, USB4_DMA_RAIL_UP, 7, 2), rail(1, USB4_DMA_RAIL_DOWN, 7, 1)];
        assert_eq!(events(&mut rails, &blinked), [RailDown(number(0)), RailDown(number(1)), RailUp(number(0))]);
        // The number leads to another node now.
        let moved = [rail(0, USB4_DMA_RAIL_UP, 9, 3)];
        assert_eq!(
            events(&mut rails, &moved),
            [RailDown(number(0)), RailsChanged(NodeId(7)), RailsChanged(NodeId(9)), RailUp(number(0))]
        );
        assert_eq!((rails.to(NodeId(7)), rails.to(NodeId(9))), (RailSet::EMPTY, RailSet::only(number(0))));
    }

    #[test]
    fn a_rail_takes_as_many_frames_as_it_has_room_for() {
        let mut rails = Rails::new(NodeId(1), 2);
        assert_eq!(rails.admit(number(0), NodeId(7)), Err(SubmitError::RailDown));
        events(&mut rails, &[rail(0, USB4_DMA_RAIL_UP, 7, 1)]);
        for _ in 0..4 {
            assert_eq!(rails.admit(number(0), NodeId(7)), Ok(()));
            rails.add(number(0), 4096);
        }
        assert_eq!(rails.admit(number(0), NodeId(7)), Err(SubmitError::RingFull));
        assert!(rails.is_any_full());
        // It went down and came back with all of them queued: they still count until they complete.
        events(&mut rails, &[rail(0, USB4_DMA_RAIL_UP, 7, 2)]);
        assert_eq!(rails.admit(number(0), NodeId(7)), Err(SubmitError::RingFull));
        rails.remove(number(0), 4096);
        assert_eq!(rails.admit(number(0), NodeId(7)), Ok(()));
        assert_eq!(rails.admit(number(0), NodeId(9)), Err(SubmitError::RailDown));
        // The kernel says that three are too many by now.
        rails.shrink(number(0));
        assert_eq!(rails.admit(number(0), NodeId(7)), Err(SubmitError::RingFull));
    }
}
