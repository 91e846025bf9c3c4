//! What is simulated.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::network::{Cable, Faults};
use crate::Timeouts;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;

/// A simulation: who there is, what they do, what goes wrong.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything random is drawn from it.
    pub seed: u64,
    /// Number of nodes. Nodes without a common cable reach each other through others.
    pub nodes: u32,
    /// Processes on each node.
    pub processes_per_node: u32,
    /// The cables.
    pub cables: Vec<Cable>,
    /// What goes wrong all the time on every rail.
    pub faults: Faults,
    /// What goes wrong once.
    pub incidents: Vec<(u64, Incident)>,
    /// What every process does.
    pub work: Work,
    /// Frames that each channel can receive and hold.
    pub rx_pool_frames: u32,
    /// Largest window.
    pub window_max: u16,
    /// Transmit frames that each process has.
    pub tx_frames: u32,
    /// The engines' patience.
    pub timeouts: Timeouts,
    /// Whether a restart is told to the others as [`crate::Engine::handle_peer_gone`]; else they find out.
    pub restarts_are_told: bool,
    /// Virtual time in nanoseconds after which a run that has not ended has failed.
    pub limit_ns: u64,
}

/// What a process does.
#[derive(Clone, Debug)]
pub struct Work {
    /// Active messages that it sends in all.
    pub messages: u32,
    /// Their least length in bytes, at least 8.
    pub message_len_min: usize,
    /// Their greatest length in bytes; half of the messages keep below 64 unless the least length forbids it.
    pub message_len_max: usize,
    /// Remote memory operations that it asks for in all.
    pub operations: u32,
    /// Their greatest length in bytes.
    pub operation_len_max: usize,
    /// How many of the processes do anything; the others only answer.
    pub workers: usize,
    /// With how many others it talks at most.
    pub peers: u32,
    /// Time between two pieces of work in nanoseconds; 0: as fast as they are admitted.
    pub pause_ns: u64,
}

/// Something that happens at a certain time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A cable is unplugged.
    Unplug {
        /// Its number.
        cable: usize,
    },
    /// And plugged in again.
    Replug {
        /// Its number.
        cable: usize,
    },
    /// One rail of a cable swallows everything, in both directions, and says nothing.
    BlackHole {
        /// Its number.
        cable: usize,
        /// The rail within the cable.
        rail: usize,
        /// For how long, in nanoseconds.
        duration_ns: u64,
    },
    /// Nothing passes between the nodes below and from this number on, and nobody is told.
    Partition {
        /// First node of the second part.
        from_node: u32,
        /// For how long, in nanoseconds.
        duration_ns: u64,
    },
    /// A process is stopped and continued.
    Stop {
        /// Its number.
        process: usize,
        /// For how long, in nanoseconds.
        duration_ns: u64,
    },
    /// A process receives but sends nothing: no acknowledgement, no credit.
    Mute {
        /// Its number.
        process: usize,
        /// For how long, in nanoseconds.
        duration_ns: u64,
    },
    /// A process is killed, and a new one takes its address.
    Restart {
        /// Its number.
        process: usize,
    },
}

/// Draws from ranges.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64 }
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Whether something of this probability happens.
    pub(crate) fn hits(&mut self, probability: f64) -> bool {
        probability > 0.0 && (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64 <= probability
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

impl Plan {
    /// Two processes on two nodes, joined by one cable with `rails` rails of the Strix Halo's rate and latency; nothing goes wrong.
    pub fn pair(seed: u64, rails: usize) -> Self {
        Self {
            seed,
            nodes: 2,
            processes_per_node: 1,
            cables: vec![Cable::uniform(0, 1, rails, 615, 5_500)],
            faults: Faults::default(),
            incidents: Vec::new(),
            work: Work {
                messages: 200,
                message_len_min: 8,
                message_len_max: 20_000,
                workers: 2,
                operations: 40,
                operation_len_max: 40_000,
                peers: 1,
                pause_ns: 0,
            },
            rx_pool_frames: 4096,
            window_max: 512,
            tx_frames: 600,
            timeouts: Timeouts::default(),
            restarts_are_told: false,
            limit_ns: 300_000 * MILLISECOND,
        }
    }

    /// A plan in which anything may happen.
    pub fn random(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let nodes = [2, 2, 2, 3, 3, 4, 5][dice.below(7) as usize];
        let mut cables = Vec::new();
        // A chain reaches everybody; more cables make rings, pairs and short cuts.
        for node in 1..nodes {
            cables.push(random_cable(&mut dice, node - 1, node));
        }
        for _ in 0..dice.below(3) {
            let from = dice.below(u64::from(nodes) - 1) as u32;
            let to = dice.between(u64::from(from) + 1, u64::from(nodes) - 1) as u32;
            cables.push(random_cable(&mut dice, from, to));
        }
        let processes_per_node = dice.between(1, if nodes > 3 { 1 } else { 3 }) as u32;
        let processes = u64::from(nodes * processes_per_node);
        let span_ns = dice.between(100, 20_000) * MICROSECOND;
        let mut plan = Self {
            nodes,
            processes_per_node,
            faults: Faults::random(&mut dice),
            work: random_work(&mut dice, processes),
            // Every process may meet two incarnations of every other.
            rx_pool_frames: [64, 256, 4096][dice.below(3) as usize].max(64 * processes as u32),
            window_max: [16, 64, 512][dice.below(3) as usize],
            tx_frames: [40, 200, 600][dice.below(3) as usize],
            restarts_are_told: dice.hits(0.5),
            cables,
            ..Self::pair(seed, 1)
        };
        if dice.hits(0.2) {
            plan.timeouts.keepalive_ns = Some(10 * MILLISECOND);
        }
        for _ in 0..[0, 0, 1, 2, 4][dice.below(5) as usize] {
            plan.add_incident(&mut dice, span_ns, processes);
        }
        plan.incidents.sort_by_key(|incident| incident.0);
        plan
    }

    fn add_incident(&mut self, dice: &mut Dice, span_ns: u64, processes: u64) {
        let at_ns = dice.below(span_ns);
        let cable = dice.below(self.cables.len() as u64) as usize;
        let process = dice.below(processes) as usize;
        let duration_ns = dice.between(10, 60_000) * MICROSECOND;
        let incident = match dice.below(7) {
            0 => {
                self.incidents.push((at_ns + duration_ns, Incident::Replug { cable }));
                Incident::Unplug { cable }
            }
            1 => {
                let rail = dice.below(self.cables[cable].rails.len() as u64) as usize;
                Incident::BlackHole { cable, rail, duration_ns }
            }
            2 => Incident::Partition { from_node: dice.between(1, u64::from(self.nodes) - 1) as u32, duration_ns },
            3 => Incident::Stop { process, duration_ns },
            4 => Incident::Mute { process, duration_ns },
            _ => Incident::Restart { process },
        };
        self.incidents.push((at_ns, incident));
    }

    /// Whether a connection may be lost through no fault of the engine.
    pub fn may_lose_connections(&self) -> bool {
        self.incidents.iter().any(|(_, incident)| matches!(incident, Incident::Restart { .. }))
    }
}

fn random_cable(dice: &mut Dice, from: u32, to: u32) -> Cable {
    let mut cable = Cable::uniform(from, to, dice.between(1, 3) as usize, 0, 0);
    for rail in &mut cable.rails {
        rail.ps_per_byte = [0, 200, 615, 1230, 5000][dice.below(5) as usize];
        rail.latency_ns = [0, 500, 5_500, 50_000][dice.below(4) as usize];
    }
    cable
}

fn random_work(dice: &mut Dice, processes: u64) -> Work {
    Work {
        messages: (dice.between(20, 300) / processes) as u32 + 5,
        message_len_min: 8,
        workers: usize::MAX,
        message_len_max: [8, 100, 4056, 9000, 30_000][dice.below(5) as usize],
        operations: (dice.below(60) / processes) as u32,
        operation_len_max: [8, 1000, 5000, 60_000][dice.below(4) as usize],
        peers: dice.between(1, 3) as u32,
        pause_ns: [0, 0, 1_000, 100_000][dice.below(4) as usize],
    }
}
