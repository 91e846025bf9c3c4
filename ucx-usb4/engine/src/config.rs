//! What an engine is told when it starts.

use usb4_wire::{Address, WINDOW_MAX};

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;

/// Who the engine is and where its bounds lie.
#[derive(Clone, Debug)]
pub struct Config {
    /// The channel that this engine speaks for.
    pub local: Address,
    /// This opening of the channel; a restart has another one.
    pub incarnation: u64,
    /// 32 bytes of entropy: tokens and first PSNs are drawn from it. Whoever knows it can forge frames.
    pub seed: [u8; 32],
    /// Most frames of one connection that may be under way in one direction, at most [`WINDOW_MAX`].
    pub window_max: u16,
    /// Frames that every connection may always have under way to this channel, however busy the others are.
    pub window_min: u16,
    /// Frames that the channel can receive and hold at once; all grants together never exceed it. Half of them are set aside for
    /// minimums, so `rx_pool_frames / 2 / window_min` connections always fit; more may be refused.
    pub rx_pool_frames: u32,
    /// Most connections at once, at most 65 535; a further peer is refused.
    pub connections_max: u32,
    /// Most remote memory operations of one connection that wait to be sent; a further one is refused.
    pub ops_max: u32,
    /// Most gets and fetching atomics of one connection that wait for an answer; further ones queue.
    pub requests_max: u32,
    /// When patience ends.
    pub timeouts: Timeouts,
}

/// Delays and deadlines, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Without progress for so long, a peer is given up.
    pub peer_ns: u64,
    /// How long a connection without any rail waits for one to come back.
    pub replug_ns: u64,
    /// Least retransmission timeout. Generous: peers share processor cores and may be descheduled for a while.
    pub rto_min_ns: u64,
    /// Most retransmission timeout, back-off included.
    pub rto_max_ns: u64,
    /// Least silence after which the sender asks what has arrived, long before it repeats anything.
    pub probe_min_ns: u64,
    /// How long an acknowledgement waits for a frame that could carry it.
    pub ack_delay_ns: u64,
    /// How long a gap may stay open before it is reported: rails of one connection overtake each other all the time.
    pub reorder_delay_ns: u64,
    /// How long a closed connection still answers a peer that missed its last word.
    pub linger_ns: u64,
    /// How long [`Engine::close`](crate::Engine::close) waits for frames of its own to be acknowledged.
    pub close_ns: u64,
    /// How long it waits for a peer to answer when nothing is unacknowledged.
    pub close_answer_ns: u64,
    /// Silence after which an idle peer is asked whether it lives; `None`: never.
    pub keepalive_ns: Option<u64>,
    /// Silence after which a connection gives its grown buffers back.
    pub idle_ns: u64,
}

impl Config {
    /// The defaults for a channel.
    pub fn new(local: Address, incarnation: u64, seed: [u8; 32]) -> Self {
        Self {
            local,
            incarnation,
            seed,
            window_max: WINDOW_MAX,
            window_min: 16,
            rx_pool_frames: 4096,
            connections_max: 4096,
            ops_max: 1024,
            requests_max: 64,
            timeouts: Timeouts::default(),
        }
    }

    /// The same with every bound moved to where it makes sense.
    pub(crate) fn sane(mut self) -> Self {
        self.window_max = self.window_max.clamp(2, WINDOW_MAX);
        self.window_min = self.window_min.clamp(1, self.window_max);
        self.rx_pool_frames = self.rx_pool_frames.max(u32::from(self.window_min));
        self.connections_max = self.connections_max.clamp(1, u32::from(u16::MAX));
        self.ops_max = self.ops_max.max(1);
        self.requests_max = self.requests_max.max(1);
        self.timeouts.rto_min_ns = self.timeouts.rto_min_ns.max(1);
        self.timeouts.rto_max_ns = self.timeouts.rto_max_ns.max(self.timeouts.rto_min_ns);
        self
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            peer_ns: 30 * SECOND,
            replug_ns: 10 * SECOND,
            rto_min_ns: 4 * MILLISECOND,
            rto_max_ns: SECOND,
            probe_min_ns: 200 * MICROSECOND,
            ack_delay_ns: 50 * MICROSECOND,
            reorder_delay_ns: 20 * MICROSECOND,
            linger_ns: 100 * MILLISECOND,
            close_ns: SECOND,
            close_answer_ns: 20 * MILLISECOND,
            keepalive_ns: None,
            idle_ns: SECOND,
        }
    }
}
