//! Cables between nodes, the ways over them, and what happens to frames there.

use std::collections::VecDeque;

use usb4_wire::{HEADER_LEN, RailId, RailSet};

use super::plan::Dice;

/// How many frames a transmit ring holds.
const RING_FRAMES: u64 = 128;

/// How long a burst of losses lasts at most, in nanoseconds.
const BURST_NS: u64 = 20_000_000;

/// A cable.
#[derive(Clone, Debug)]
pub struct Cable {
    /// The nodes at its ends.
    pub ends: [u32; 2],
    /// Its rails.
    pub rails: Vec<RailModel>,
}

/// The properties of a rail.
#[derive(Clone, Copy, Debug)]
pub struct RailModel {
    /// Time per byte in picoseconds; 0: none. 13 Gb/s are 615.
    pub ps_per_byte: u64,
    /// Time under way in nanoseconds.
    pub latency_ns: u64,
}

impl Cable {
    /// A cable with equal rails.
    pub fn uniform(from: u32, to: u32, rails: usize, ps_per_byte: u64, latency_ns: u64) -> Self {
        Self { ends: [from, to], rails: vec![RailModel { ps_per_byte, latency_ns }; rails] }
    }
}

/// What goes wrong at random: probabilities per frame.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A frame is lost.
    pub loss: f64,
    /// A burst of losses starts.
    pub burst: f64,
    /// Its length in frames.
    pub burst_frames: u64,
    /// A frame arrives twice.
    pub duplicate: f64,
    /// A frame is overtaken on its own rail.
    pub reorder: f64,
    /// A bit is flipped in header, control payload or extension, and the frame CRC misses it.
    pub flip: f64,
    /// A frame takes much longer.
    pub spike: f64,
    /// By at most so many nanoseconds.
    pub spike_ns: u64,
}

impl Faults {
    /// Some of them.
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let mut rate = |rates: [f64; 4]| rates[dice.below(4) as usize];
        Self {
            loss: rate([0.0, 0.001, 0.01, 0.1]),
            burst: rate([0.0, 0.0, 0.001, 0.01]),
            burst_frames: rate([2.0, 5.0, 20.0, 100.0]) as u64,
            duplicate: rate([0.0, 0.0, 0.01, 0.1]),
            reorder: rate([0.0, 0.0, 0.01, 0.2]),
            flip: rate([0.0, 0.0, 0.001, 0.05]),
            spike: rate([0.0, 0.0, 0.001, 0.01]),
            spike_ns: rate([100_000.0, 1_000_000.0, 10_000_000.0, 50_000_000.0]) as u64,
        }
    }
}

/// A frame under way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) header: [u8; HEADER_LEN],
    pub(crate) payload: Vec<u8>,
    /// Destination node and process, which the routing words of the header say; flips there are taken to be caught by the relay.
    pub(crate) node: u32,
    pub(crate) process: usize,
    /// The rail by which it came, as the node numbers it where it is.
    pub(crate) rail: RailId,
}

/// One direction of a rail.
#[derive(Debug)]
struct Lane {
    to_node: u32,
    model: RailModel,
    busy_until_ns: u64,
    last_arrival_ns: u64,
    dead_until_ns: u64,
    burst_left: u64,
    burst_until_ns: u64,
    frames: u64,
}

/// A rail as its node numbers it.
#[derive(Debug)]
struct NodeRail {
    cable: usize,
    lane: usize,
    neighbour: u32,
}

/// The cables.
#[derive(Debug)]
pub(crate) struct Network {
    lanes: Vec<Lane>,
    rails: Vec<Vec<NodeRail>>,
    plugged: Vec<bool>,
    /// `hops[from][to]`: the neighbours of `from` that are nearest to `to`.
    hops: Vec<Vec<Vec<u32>>>,
    faults: Faults,
    partition: Option<(u32, u64)>,
    dice: Dice,
}

impl Network {
    pub(crate) fn new(nodes: u32, cables: &[Cable], faults: Faults, seed: u64) -> Self {
        let mut network = Self {
            lanes: Vec::new(),
            rails: (0..nodes).map(|_| Vec::new()).collect(),
            plugged: vec![true; cables.len()],
            hops: Vec::new(),
            faults,
            partition: None,
            dice: Dice::new(seed ^ 0x6e65_7477_6f72_6b00),
        };
        for (cable, Cable { ends, rails }) in cables.iter().enumerate() {
            for &model in rails {
                for (from, to) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                    let lane = network.lanes.len();
                    network.lanes.push(Lane {
                        to_node: to,
                        model,
                        busy_until_ns: 0,
                        last_arrival_ns: 0,
                        dead_until_ns: 0,
                        burst_left: 0,
                        burst_until_ns: 0,
                        frames: 0,
                    });
                    network.rails[from as usize].push(NodeRail { cable, lane, neighbour: to });
                }
            }
        }
        network.hops = (0..nodes).map(|from| network.routes_from(from, nodes)).collect();
        network
    }

    /// For each target the neighbours of `from` on a shortest way: the route table.
    fn routes_from(&self, from: u32, nodes: u32) -> Vec<Vec<u32>> {
        let distances = |start: u32| {
            let mut distance = vec![u32::MAX; nodes as usize];
            let mut queue = VecDeque::from([start]);
            distance[start as usize] = 0;
            while let Some(node) = queue.pop_front() {
                for rail in &self.rails[node as usize] {
                    if distance[rail.neighbour as usize] == u32::MAX {
                        distance[rail.neighbour as usize] = distance[node as usize] + 1;
                        queue.push_back(rail.neighbour);
                    }
                }
            }
            distance
        };
        (0..nodes)
            .map(|to| {
                let to_target = distances(to);
                let neighbours = self.rails[from as usize].iter().map(|rail| rail.neighbour);
                neighbours.filter(|&next| to_target[next as usize] < to_target[from as usize]).collect()
            })
            .collect()
    }

    /// The rails of `node` that lead to `to`, unplugged ones included.
    pub(crate) fn routes(&self, node: u32, to: u32) -> RailSet {
        if node == to {
            return RailSet::LOOPBACK;
        }
        let hops = &self.hops[node as usize][to as usize];
        let leads = |(_, rail): &(usize, &NodeRail)| hops.contains(&rail.neighbour);
        let id = |(index, _): (usize, &NodeRail)| RailId::new(index as u8);
        self.rails[node as usize].iter().enumerate().filter(leads).filter_map(id).collect()
    }

    /// The rails of `node` that belong to `cable`.
    pub(crate) fn rails_of_cable(&self, node: u32, cable: usize) -> Vec<RailId> {
        let rails = self.rails[node as usize].iter().enumerate();
        rails.filter(|(_, rail)| rail.cable == cable).filter_map(|(index, _)| RailId::new(index as u8)).collect()
    }

    pub(crate) fn plug(&mut self, cable: usize, plugged: bool) {
        self.plugged[cable] = plugged;
    }

    pub(crate) fn is_plugged(&self, node: u32, rail: RailId) -> bool {
        rail == RailId::LOOPBACK || self.plugged[self.rails[node as usize][rail.index()].cable]
    }

    pub(crate) fn black_hole(&mut self, cable: usize, rail: usize, until_ns: u64) {
        let lanes: Vec<usize> = self.rails.iter().flatten().filter(|r| r.cable == cable).map(|r| r.lane).collect();
        let first = lanes.iter().copied().min().unwrap_or(0);
        for lane in [first + 2 * rail, first + 2 * rail + 1] {
            self.lanes[lane].dead_until_ns = until_ns;
        }
    }

    pub(crate) fn part(&mut self, from_node: u32, until_ns: u64) {
        self.partition = Some((from_node, until_ns));
    }

    /// Frames that each rail of `node` has carried away.
    pub(crate) fn frames_sent(&self, node: u32) -> Vec<u64> {
        self.rails[node as usize].iter().map(|rail| self.lanes[rail.lane].frames).collect()
    }

    /// Expected time until delivery, as the real link tells it.
    pub(crate) fn cost_ns(&self, now_ns: u64, node: u32, rail: RailId, len_bytes: usize) -> Option<u64> {
        if rail == RailId::LOOPBACK {
            return Some(0);
        }
        let rail = self.rails[node as usize].get(rail.index())?;
        if !self.plugged[rail.cable] {
            return None;
        }
        let lane = &self.lanes[rail.lane];
        let backlog_ns = lane.busy_until_ns.saturating_sub(now_ns);
        if backlog_ns > RING_FRAMES * 4096 * lane.model.ps_per_byte / 1000 {
            return None;
        }
        Some(backlog_ns + len_bytes as u64 * lane.model.ps_per_byte / 1000 + lane.model.latency_ns)
    }

    /// Puts a packet on a rail. Yields where and when it arrives, if it does; perhaps twice.
    pub(crate) fn send(&mut self, now_ns: u64, node: u32, rail: RailId, packet: Packet) -> Vec<(u64, u32, Packet)> {
        if rail == RailId::LOOPBACK {
            return vec![(now_ns, node, packet)];
        }
        let NodeRail { cable, lane, neighbour } = self.rails[node as usize][rail.index()];
        // The two directions of a rail are neighbours in the list.
        let back = self.rails[neighbour as usize].iter().position(|rail| rail.lane == lane ^ 1);
        let lane = &mut self.lanes[lane];
        lane.frames += 1;
        let len = (HEADER_LEN + packet.payload.len()) as u64;
        lane.busy_until_ns = lane.busy_until_ns.max(now_ns) + len * lane.model.ps_per_byte / 1000;
        let mut arrival_ns = lane.busy_until_ns + lane.model.latency_ns;
        let parted =
            self.partition.is_some_and(|(from, until_ns)| now_ns < until_ns && (node < from) != (lane.to_node < from));
        if self.dice.hits(self.faults.burst) {
            lane.burst_left = self.faults.burst_frames;
            lane.burst_until_ns = now_ns + BURST_NS;
        }
        let in_burst = lane.burst_left > 0 && now_ns < lane.burst_until_ns;
        lane.burst_left = lane.burst_left.saturating_sub(1);
        if !self.plugged[cable] || parted || in_burst || now_ns < lane.dead_until_ns || self.dice.hits(self.faults.loss)
        {
            return Vec::new();
        }
        let mut packet = packet;
        packet.rail = back.and_then(|index| RailId::new(index as u8)).unwrap_or(RailId::LOOPBACK);
        if self.dice.hits(self.faults.flip) {
            flip(&mut packet, &mut self.dice);
        }
        if self.dice.hits(self.faults.spike) {
            arrival_ns += self.dice.below(self.faults.spike_ns);
        }
        if self.dice.hits(self.faults.reorder) {
            // Off the rail's order, in both directions: it may be overtaken, and others are not held up.
            arrival_ns += self.dice.below(50_000);
        } else {
            arrival_ns = arrival_ns.max(lane.last_arrival_ns);
            lane.last_arrival_ns = arrival_ns;
        }
        let mut arrivals = Vec::with_capacity(2);
        if self.dice.hits(self.faults.duplicate) {
            arrivals.push((arrival_ns + self.dice.below(200_000), lane.to_node, packet.clone()));
        }
        arrivals.push((arrival_ns, lane.to_node, packet));
        arrivals
    }

    /// The rail on which a node relays a packet: any that is nearer and plugged in.
    pub(crate) fn relay(&mut self, node: u32, to: u32) -> Option<RailId> {
        let ways: Vec<RailId> = self.routes(node, to).iter().filter(|&rail| self.is_plugged(node, rail)).collect();
        let pick = self.dice.below(ways.len() as u64) as usize;
        ways.get(pick).copied()
    }
}

/// Flips a bit in what the engine must protect itself: the header, and the private part of the payload.
fn flip(packet: &mut Packet, dice: &mut Dice) {
    let private = usb4_wire::Header::parse(&packet.header).map_or(0, |header| header.private_len());
    let bit = dice.below(((HEADER_LEN + private) * 8) as u64) as usize;
    match bit.checked_sub(HEADER_LEN * 8) {
        None => packet.header[bit / 8] ^= 1 << (bit % 8),
        Some(bit) => packet.payload[bit / 8] ^= 1 << (bit % 8),
    }
}
