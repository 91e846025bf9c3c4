//! A node's view of the fabric: its rails and where they lead.

use super::profile::{FabricConfig, RailConfig};
use crate::{NodeId, RailId, RailInfo};

/// A rail as one of the nodes at its ends sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LocalRail {
    /// Its number on this node: the `RailId`.
    pub(crate) local: usize,
    /// Its number over the fabric.
    pub(crate) fabric: usize,
    /// Its cable, and its number on the cable.
    pub(crate) cable: usize,
    pub(crate) index: usize,
    /// 0 if this node is the cable's first, else 1: the direction in which this node sends.
    pub(crate) direction: usize,
    /// The node at the other end.
    pub(crate) peer: NodeId,
    pub(crate) config: RailConfig,
}

impl LocalRail {
    /// Its number as the wire knows it.
    pub(crate) fn id(&self) -> RailId {
        rail_id(self.local)
    }

    pub(crate) fn info(&self, up: bool) -> RailInfo {
        RailInfo {
            id: self.id(),
            cable: self.cable as u16,
            peer: self.peer,
            rate_bits_per_s: self.config.rate_bits_per_s,
            latency_ns: self.config.latency_ns,
            is_timed: self.config.is_timed(),
            name: format!("cable{}.rail{}", self.cable, self.index),
            up,
        }
    }
}

/// The rail of a number below 32; a description has no others.
pub(crate) fn rail_id(local: usize) -> RailId {
    u8::try_from(local).ok().and_then(RailId::new).unwrap_or(RailId::LOOPBACK)
}

/// The rails of a node, in the order of their numbers.
pub(crate) fn local_rails(config: &FabricConfig, node: NodeId) -> Vec<LocalRail> {
    let ends_here = config.rails().enumerate().filter(|(_, (_, cable, _, _))| cable.between.contains(&node));
    ends_here
        .enumerate()
        .map(|(local, (fabric, (cable, config, index, rail)))| {
            let direction = usize::from(config.between[0] != node);
            let peer = config.between[1 - direction];
            LocalRail { local, fabric, cable, index, direction, peer, config: *rail }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_number_their_rails_from_zero_and_agree_on_the_fabrics_number() {
        let text = "nodes = 3\n[[cables]]\nbetween = [0, 1]\n[[cables]]\nbetween = [2, 1]\nrails = 2\n";
        let config = FabricConfig::parse("t", text).unwrap();
        let short = |node| -> Vec<_> {
            local_rails(&config, NodeId(node)).iter().map(|r| (r.local, r.fabric, r.direction, r.peer.0)).collect()
        };
        assert_eq!(short(0), [(0, 0, 0, 1)]);
        assert_eq!(short(1), [(0, 0, 1, 0), (1, 1, 1, 2), (2, 2, 1, 2)]);
        assert!(local_rails(&config, NodeId(0)).iter().all(|rail| !rail.info(true).is_timed));
        let text = "nodes = 2\n[[cables]]\nbetween = [0, 1]\nreorder_us = 1\n";
        let timed = FabricConfig::parse("t", text).unwrap();
        assert!(local_rails(&timed, NodeId(1))[0].info(true).is_timed);
        assert_eq!(short(2), [(0, 1, 0, 1), (1, 2, 0, 1)]);
    }
}
