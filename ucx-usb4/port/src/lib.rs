//! A port joins a channel of the link with the protocol engine, and knows nothing of UCX.
//!
//! It is the driver of the engine's `handle_*` and `poll_*`: frames that the channel reaps go in, frames and deadlines that the
//! engine wants come out. It never calls back: the owner takes arrivals and events one by one, so that what it does with them
//! may use the port again. While the owner is away, an attendant may serve the peers: see [`Attended`].

pub mod address;
mod atomics;
mod attend;
mod attendant;
mod attended;
mod close;
mod filler;
mod idling;
mod kept;
mod presence;
mod publish;
mod receive;
mod residents;
mod rma;
mod send;
pub mod trace;
mod wiped;

use std::path::PathBuf;

use usb4_engine::{Config, ConnId, ConnectError, Engine, Failure, OpFailure, Peer, Rails, RegionTable, Stats};
use usb4_link::kernel::ReceiveMode;
use usb4_link::{ArmResult, Carrier, Channel, Counters, LinkSpec, OpenError, OpenOptions, RailInfo, RxFrame, TxFrame};
use usb4_wire::extension::OpErrorReason;
use usb4_wire::{NodeId, PAYLOAD_MAX, RailId, RailSet};

use address::{FabricAddress, PortAddress};
pub use attended::{Attended, Inside};
pub use filler::Filler;
pub use publish::Observer;
pub use receive::{Arrival, Parcel};
use residents::Resident;
pub use rma::{Regions, RemotePlace};
pub use send::Part;

/// Most frames of one active message.
pub const MAX_MESSAGE_FRAMES: usize = 16;
/// Longest active message in bytes.
pub const MAX_MESSAGE: usize = MAX_MESSAGE_FRAMES * PAYLOAD_MAX;

/// How to open a port.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which cables.
    pub links: LinkSpec,
    /// The simulated node to be on; `None`: what the environment says.
    pub node: Option<NodeId>,
    /// Rails to send on.
    pub rails: RailSet,
    /// Frames in the transmit pool.
    pub tx_frames: usize,
    /// Frames in the receive pool, where the carrier has one.
    pub rx_frames: usize,
    /// Frames of the longest message.
    pub message_frames: usize,
    /// How to learn of frames, where the carrier has a choice.
    pub receive: ReceiveMode,
    /// Most unacknowledged frames of one connection.
    pub window: u16,
    /// When patience ends.
    pub timeouts: usb4_engine::Timeouts,
    /// Where frames are recorded: the beginning of the file's name (see [`trace`]); `None`: nowhere.
    pub trace: Option<PathBuf>,
}

impl Options {
    /// The defaults: one frame for each message, all rails, the environment's node.
    #[must_use]
    pub fn new(links: LinkSpec) -> Self {
        Self {
            links,
            node: None,
            rails: RailSet::ALL,
            tx_frames: 1024,
            rx_frames: 960,
            message_frames: 1,
            receive: ReceiveMode::default(),
            window: 256,
            timeouts: usb4_engine::Timeouts::default(),
            trace: None,
        }
    }
}

/// Something that happened to a connection.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// It is over; told once.
    Failed {
        /// Which.
        conn: ConnId,
        /// Why.
        reason: Failure,
    },
    /// An operation is over.
    Completed {
        /// The owner's name for it.
        cookie: u64,
        /// The old value of a fetching atomic, else 0; or why it failed.
        result: Result<u64, OpFailure>,
    },
    /// A peer refused a put or an atomic operation that nobody waits for.
    Refused {
        /// Which connection.
        conn: ConnId,
        /// Why.
        reason: OpErrorReason,
    },
}

/// Why there is no connection to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFailure {
    /// The peer is in the fabric, but no cable leads to it.
    #[error(
        "no cable leads from this node to node {0}; check the cables (or the fabric's TOML file, or UCX_USB4_RAILS)"
    )]
    NoRoute(NodeId),
    /// The engine cannot take it.
    #[error(transparent)]
    Engine(#[from] ConnectError),
}

/// What the cables promise: UCX chooses transports by it.
#[derive(Clone, Copy, Debug)]
pub struct Performance {
    /// All rails of the best-connected neighbour together.
    pub bytes_per_second: f64,
    /// One way.
    pub latency_seconds: f64,
    /// Processor time of one message on one side.
    pub overhead_seconds: f64,
}

/// An open channel with its engine.
pub struct Port {
    channel: Channel,
    engine: Engine<TxFrame, RxFrame>,
    /// Rails that the user allows.
    allowed: RailSet,
    /// The clock, as of the last look.
    now_ns: u64,
    idling: idling::Idling,
    /// Frames taken together for one message.
    reserved: Vec<TxFrame>,
    /// Frames take time on the rails: whether one has arrived is a question to the clock.
    delayed: bool,
    /// Something arrived since the last [`Port::service`], if only an acknowledgement.
    active: bool,
    /// The engine may hold deliveries that an earlier arrival unblocked.
    draining: bool,
    /// What arrived while the owner was away.
    kept: kept::Shelf,
    /// The channel was armed for the attendant, not for the owner.
    attendant_sleeps: bool,
    regions: Regions,
    /// By connection slot: the number after its last frame of remote memory access that nobody else waits for.
    rma_marks: Vec<Option<(ConnId, u64)>>,
    /// By connection slot: gets or atomics were sent since the last fence.
    unfenced: Vec<bool>,
    resident: Resident,
    observer: Observer,
    /// When observers are shown the next state.
    publish_at_ns: u64,
    /// Slots that may be shown now.
    published: usize,
    recorder: Option<Box<trace::Recorder>>,
}

/// Secret and new for every port: whoever knew it could forge the port's frames.
pub fn entropy() -> Result<[u8; 32], OpenError> {
    let mut seed = [0; 32];
    let filled = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(len) if len == seed.len() => Ok(seed),
        Ok(_) => Err(std::io::ErrorKind::UnexpectedEof.into()),
        Err(error) => Err(std::io::Error::from(error)),
    }
    .map_err(|source| OpenError::System { action: "read entropy from", path: "getrandom(2)".into(), source })
}

/// Frames that each connection may always have under way: a message, and so many that a pool of the usual size serves some
/// dozens of peers.
fn window_min(pool_frames: u32, message_frames: usize) -> u16 {
    let share = (pool_frames / 128).clamp(4, 16) as usize;
    share.max(message_frames).min(MAX_MESSAGE_FRAMES) as u16
}

/// How long a flush waits for a peer that acknowledges no messages: some times what an attendant takes to find its owner away.
const MESSAGE_PATIENCE_NS: u64 = 50_000_000;

/// What the engine may ask about rails, answered by the channel for one moment.
struct RailView<'a> {
    channel: &'a Channel,
    now_ns: u64,
}

impl Rails for RailView<'_> {
    #[inline]
    fn cost_ns(&self, rail: RailId, len_bytes: usize) -> Option<u64> {
        self.channel.cost_ns(self.now_ns, rail, len_bytes)
    }
}

/// Lends the channel to the engine as its rails, while the engine itself is borrowed mutably.
macro_rules! rails {
    ($port:expr) => {
        &$crate::RailView { channel: &$port.channel, now_ns: $port.now_ns }
    };
}
use rails;

impl Port {
    /// Opens a channel and starts an engine on it. Peers reach what `regions` lists.
    ///
    /// # Errors
    /// The link's reason, with what to do about it.
    pub fn open(options: &Options, regions: Regions) -> Result<Self, OpenError> {
        let mut open = OpenOptions::new(options.links.clone());
        open.transmit_frames = options.tx_frames;
        open.receive_frames = options.rx_frames;
        open.receive_mode = options.receive;
        open.node = options.node;
        Self::on(open.open()?, options, regions)
    }

    /// Starts an engine on an open channel.
    fn on(channel: Channel, options: &Options, regions: Regions) -> Result<Self, OpenError> {
        let limits = channel.limits();
        let mut config = Config::new(channel.address(), channel.incarnation(), entropy()?);
        config.window_max = options.window.min(u16::try_from(limits.receive_frames / 2).unwrap_or(u16::MAX));
        config.rx_pool_frames = u32::try_from(limits.receive_pool_frames).unwrap_or(u32::MAX);
        config.window_min = window_min(config.rx_pool_frames, options.message_frames);
        config.timeouts = options.timeouts.clone();
        let now_ns = channel.now_ns();
        let resident = Resident::new(channel.incarnation());
        let delayed = channel.rails().iter().any(|rail| rail.is_timed);
        let recorder = options.trace.as_deref().map(|prefix| trace::Recorder::open(prefix, channel.address(), now_ns));
        let recorder = recorder.transpose()?.map(Box::new);
        let observer = Observer::new(channel.board());
        Ok(Self {
            channel,
            engine: Engine::new(config),
            allowed: options.rails,
            now_ns,
            idling: idling::Idling::new(now_ns),
            reserved: Vec::with_capacity(MAX_MESSAGE_FRAMES),
            delayed,
            active: false,
            draining: false,
            kept: kept::Shelf::default(),
            attendant_sleeps: false,
            regions,
            rma_marks: Vec::new(),
            unfenced: Vec::new(),
            resident,
            observer,
            publish_at_ns: now_ns,
            published: 0,
            recorder,
        })
    }

    /// What stands for this port in a forked child: it has the address and the descriptor, no connection, and opens none.
    pub(crate) fn severed(&self) -> Self {
        let channel = self.channel.severed();
        let now_ns = channel.now_ns();
        // It sends nothing that anybody could forge.
        let config = Config::new(channel.address(), channel.incarnation(), [0; 32]);
        let mut engine = Engine::new(config);
        engine.close(now_ns);
        Self {
            observer: Observer::new(channel.board()),
            channel,
            engine,
            allowed: self.allowed,
            now_ns,
            idling: idling::Idling::new(now_ns),
            reserved: Vec::new(),
            delayed: false,
            active: false,
            draining: false,
            kept: kept::Shelf::default(),
            attendant_sleeps: false,
            regions: Regions::new(RegionTable::new([0; 32]).into()),
            rma_marks: Vec::new(),
            unfenced: Vec::new(),
            resident: Resident::nobody(),
            publish_at_ns: u64::MAX,
            published: 0,
            recorder: None,
        }
    }

    /// Which fabric this is, and which node of it.
    #[must_use]
    pub fn fabric_address(&self) -> FabricAddress {
        FabricAddress { fabric: self.channel.fabric().0, node: self.channel.address().node }
    }

    /// Where peers reach this port.
    #[must_use]
    pub fn address(&self) -> PortAddress {
        PortAddress { address: self.channel.address(), incarnation: self.channel.incarnation() }
    }

    /// The rails to a node that may be used: loopback for the own one.
    fn rails_to(&self, node: NodeId) -> RailSet {
        self.channel.rails_to(node).and(self.allowed)
    }

    /// The node's rails that may be used, without loopback.
    pub fn rails(&self) -> impl Iterator<Item = &RailInfo> {
        self.channel.rails().iter().filter(|rail| self.allowed.contains(rail.id))
    }

    /// Whether a node can be reached: itself, or over a cable.
    #[must_use]
    pub fn has_route(&self, node: NodeId) -> bool {
        !self.rails_to(node).is_empty()
    }

    /// The connection to a peer, made or shared, with one more user.
    ///
    /// # Errors
    /// No cable leads to the peer's node, or the engine has no room.
    pub fn connect(&mut self, peer: &PortAddress) -> Result<ConnId, ConnectFailure> {
        let rails = self.rails_to(peer.address.node);
        if rails.is_empty() {
            return Err(ConnectFailure::NoRoute(peer.address.node));
        }
        self.look_at_clock();
        let peer = Peer { address: peer.address, incarnation: peer.incarnation };
        let conn = self.engine.connect(self.now_ns, peer, rails)?;
        self.engine.attach(conn);
        self.transmit();
        Ok(conn)
    }

    /// One user less. What was sent still arrives.
    pub fn detach(&mut self, conn: ConnId) {
        self.look_at_clock();
        self.engine.detach(self.now_ns, conn);
    }

    /// What has to be acknowledged before a flush of the connection is done: the remote memory access that was sent so far.
    #[must_use]
    pub fn flush_mark(&self, conn: ConnId) -> u64 {
        match self.rma_marks.get(usize::from(conn.slot())) {
            Some(&Some((marked, mark))) if marked == conn => mark,
            _ => 0,
        }
    }

    /// The same for messages. A flush waits for them only as long as the peer [is not silent](Self::is_silent).
    #[must_use]
    pub fn sent_mark(&self, conn: ConnId) -> u64 {
        self.engine.sent_mark(conn)
    }

    /// Whether the peer has acknowledged nothing for a while although something is under way: nobody may be there to
    /// answer, where the owner is away without an attendant, or the attendant has kept all that it may.
    #[must_use]
    pub fn is_silent(&self, conn: ConnId) -> bool {
        self.engine.silent_since_ns(conn).is_some_and(|since_ns| self.now_ns >= since_ns + MESSAGE_PATIENCE_NS)
    }

    /// Whether the peer has everything up to the mark.
    #[must_use]
    pub fn is_acknowledged(&self, conn: ConnId, mark: u64) -> bool {
        self.engine.acked_mark(conn) >= mark
    }

    /// Asks the peer for an acknowledgement now.
    pub fn request_ack(&mut self, conn: ConnId) {
        self.look_at_clock();
        self.engine.request_ack(self.now_ns, conn);
        self.transmit();
    }

    /// Why the connection is over, if it is. A peer that has closed its channel is reported by an event only to an owner who wanted
    /// something of it at that moment; one that waits for a message finds it here.
    #[must_use]
    pub fn failure(&self, conn: ConnId) -> Option<Failure> {
        self.engine.failure(conn)
    }

    /// The living connections.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnId> {
        self.engine.connections().collect()
    }

    /// The descriptor to sleep on.
    #[must_use]
    pub fn event_fd(&self) -> i32 {
        self.channel.event_fd()
    }

    /// Prepares to sleep until something happens, or `retry_ns` from now. False: something is there already.
    pub fn arm(&mut self, retry_ns: Option<u64>) -> bool {
        self.look_at_clock();
        // What only a timer would send now goes out at once: a sleeper is woken for nothing less than news.
        self.engine.acknowledge_all();
        self.service_now();
        if self.draining || self.active || self.engine.has_events() {
            return false;
        }
        let retry = retry_ns.map(|ns| self.now_ns + ns);
        self.attendant_sleeps = false;
        self.idling.expect_sleep();
        self.arm_channel(retry)
    }

    /// Arms for what comes, for the engine's next deadline, and for this one.
    fn arm_channel(&mut self, retry_at_ns: Option<u64>) -> bool {
        let deadline = [retry_at_ns, self.engine.poll_timeout()].into_iter().flatten().min();
        self.channel.arm(deadline) == ArmResult::Armed
    }

    /// What the cables promise.
    #[must_use]
    pub fn performance(&self) -> Performance {
        // What a message costs a core here; it decides only against other transports, which are an order of magnitude off.
        const OVERHEAD_SECONDS: f64 = 100e-9;
        // Memory copies bound what has no rate of its own.
        const UNPACED_BYTES_PER_SECOND: f64 = 10e9;
        let to_peer = |peer: NodeId| -> f64 {
            self.rails()
                .filter(|rail| rail.peer == peer)
                .map(|rail| rail.rate_bits_per_s.map_or(UNPACED_BYTES_PER_SECOND, |bits| bits as f64 / 8.0))
                .sum()
        };
        let bytes_per_second = self.rails().map(|rail| to_peer(rail.peer)).fold(0.0, f64::max);
        let latency_ns = self.rails().map(|rail| rail.latency_ns).min().unwrap_or(0);
        Performance {
            bytes_per_second: if bytes_per_second > 0.0 { bytes_per_second } else { UNPACED_BYTES_PER_SECOND },
            latency_seconds: latency_ns as f64 * 1e-9 + OVERHEAD_SECONDS,
            overhead_seconds: OVERHEAD_SECONDS,
        }
    }

    /// Frames and bytes per rail.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.channel.counters()
    }

    /// The engine's counters of all connections together, those that have ended included.
    #[must_use]
    pub fn totals(&self) -> Stats {
        self.engine.totals()
    }

    /// One line about the port, for the log.
    #[must_use]
    pub fn describe(&self) -> String {
        let rails = self.rails().count();
        format!("channel {} of fabric {:016x} with {rails} rails", self.channel.address(), self.channel.fabric().0)
    }

    #[inline]
    fn look_at_clock(&mut self) {
        self.now_ns = self.channel.now_ns();
    }
}

#[cfg(test)]
mod attended_tests;
#[cfg(test)]
mod doorbell_tests;
#[cfg(test)]
mod sleeper_tests;
#[cfg(test)]
mod tests;
