//! A channel on a simulated cable.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::counting::to_public;
use super::events::Watch;
use super::fabric::Fabric;
use super::layout::channel as at;
use super::observe::join;
use super::own::{OwnFile, fold, pack, require_space};
use super::placement::Placement;
use super::rails::Rail;
use super::random::Random;
use super::receive::Inbox;
use super::registry::{Folder, Registry, channel_file_name, system};
use super::source::Source;
use super::topology::{LocalRail, local_rails, rail_id};
use super::transmit::{Load, Pool, Targets};
use super::wake::{self, Waker};
use super::{LOOPBACK, RAILS};
use crate::shm::mapping::Word;
use crate::{
    Address, ArmResult, Board, CONTROL_MAX, Carrier, Counters, FabricId, HEADER_LEN, Limits, LinkEvent, NodeId,
    OpenError, OpenOptions, PAYLOAD_MAX, RailId, RailInfo, RailSet, Reaped, RxFrame, SubmitError, TxFrame,
};

/// A channel on a simulated cable.
#[derive(Debug)]
pub struct SimChannel {
    // What every frame touches.
    pub(crate) inbox: Inbox,
    pub(crate) rails: Box<[Option<Rail>; RAILS]>,
    pub(crate) targets: Targets,
    pub(crate) pool: Pool,
    pub(crate) has_membarrier: bool,
    // The rest.
    pub(crate) own: OwnFile,
    pub(crate) fabric: Fabric,
    pub(crate) folder: PathBuf,
    pub(crate) local_rails: Vec<LocalRail>,
    pub(crate) infos: Vec<RailInfo>,
    pub(crate) watch: Watch,
    pub(crate) events: VecDeque<LinkEvent>,
    pub(crate) waker: Waker,
    pub(crate) sleeping: Word,
    pub(crate) is_armed: bool,
    pub(crate) wakeups_sent: Word,
    sleeps: Word,
    registry: Registry,
    name: String,
    /// A forked child has this channel in its memory, but does not own it.
    owner_pid: u32,
}

impl SimChannel {
    pub(crate) fn open(options: &OpenOptions) -> Result<SimChannel, OpenError> {
        let source = Source::resolve(&options.links)?;
        let placement = match options.node {
            Some(node) => Placement { node: Some(node.0), rank: None },
            None => Placement::from_variables(|name| std::env::var(name).ok())?,
        };
        let registry = options.shm.as_deref().map_or_else(Registry::default, Registry::in_folder);
        registry.sweep();
        let folder = registry.enter(&source.name)?;
        let transmit_frames = u32::try_from(options.transmit_frames).unwrap_or(u32::MAX).clamp(1, 1 << 24);
        let opened =
            require_space(folder.path(), transmit_frames).and_then(|()| join(&folder, &source)).and_then(|fabric| {
                SimChannel::open_in(&folder, fabric, placement, transmit_frames, &registry, &source.name)
            });
        if opened.is_err() {
            folder.remove_if_unused();
        }
        opened
    }

    fn open_in(
        folder: &Folder,
        fabric: Fabric,
        placement: Placement,
        transmit_frames: u32,
        registry: &Registry,
        name: &str,
    ) -> Result<SimChannel, OpenError> {
        let node = placement.place(fabric.config.nodes)?;
        let has_membarrier = wake::register_membarrier();
        let own = OwnFile::create(folder, &fabric, node, transmit_frames, has_membarrier)?;
        let waker = wake::socket_address(fabric.id, own.address, own.incarnation).and_then(|at| Waker::new(&at));
        let waker = match waker {
            Ok(waker) => waker,
            Err(error) => {
                folder.remove(&channel_file_name(own.address));
                return Err(system("make a wake-up socket in", folder.path())(error));
            }
        };
        let local_rails = local_rails(&fabric.config, node);
        let rails: Box<[Option<Rail>; RAILS]> =
            Box::new(std::array::from_fn(|rail| make_rail(rail, &local_rails, &fabric, &own)));
        let changes = fabric.changes();
        let now_ns = fabric.clock.now_ns();
        let next_plan_ns = rails.iter().flatten().map(|rail| rail.next_change_ns(now_ns)).min();
        let watch = Watch::new(changes, next_plan_ns.unwrap_or(u64::MAX));
        let infos = local_rails.iter().map(|rail| rail.info(is_up(&rails, rail.local, now_ns))).collect();
        Ok(SimChannel {
            inbox: Inbox::new(own.mailbox(at::ANNOUNCEMENTS)),
            rails,
            targets: Targets::default(),
            pool: Pool::new(own.pool()),
            has_membarrier,
            watch,
            events: VecDeque::new(),
            waker,
            sleeping: own.mailbox(at::SLEEPING),
            is_armed: false,
            wakeups_sent: own.word(at::WAKEUPS_SENT),
            sleeps: own.word(at::SLEEPS),
            local_rails,
            infos,
            folder: folder.path().to_owned(),
            fabric,
            own,
            registry: registry.clone(),
            name: name.to_owned(),
            owner_pid: std::process::id(),
        })
    }
}

fn make_rail(rail: usize, local_rails: &[LocalRail], fabric: &Fabric, own: &OwnFile) -> Option<Rail> {
    if rail == LOOPBACK {
        return Some(Rail::loopback(fabric.rail_state(None), own.counters(rail)));
    }
    let local = local_rails.get(rail)?;
    let random = Random::new(fabric.seed, pack(own.address) << 8 | rail as u64);
    Some(Rail::new(
        local,
        &fabric.config.cables[local.cable].unplug,
        fabric.rail_state(Some(local.fabric)),
        fabric.rail_busy(local.fabric, local.direction),
        own.counters(rail),
        random,
    ))
}

fn is_up(rails: &[Option<Rail>; RAILS], rail: usize, now_ns: u64) -> bool {
    rails[rail].as_ref().is_some_and(|rail| rail.is_up(now_ns))
}

impl Carrier for SimChannel {
    fn address(&self) -> Address {
        self.own.address
    }

    fn incarnation(&self) -> u64 {
        self.own.incarnation
    }

    fn fabric(&self) -> FabricId {
        self.fabric.id
    }

    fn rails(&self) -> &[RailInfo] {
        &self.infos
    }

    fn rails_to(&self, node: NodeId) -> RailSet {
        if node == self.own.address.node {
            return RailSet::LOOPBACK;
        }
        self.local_rails.iter().filter(|rail| rail.peer == node).map(LocalRail::id).collect()
    }

    fn limits(&self) -> Limits {
        // A quarter of the ring may have been given back and not been published yet.
        let receive_frames = (at::RING_DEPTH - at::RING_DEPTH / 4) as usize;
        Limits {
            transmit_frames: self.pool.count(),
            receive_frames,
            // Every ring has its own cells, so this bounds nothing but a fair share for as many peers as there are rings.
            receive_pool_frames: at::RINGS_MAX * 16,
            transmit_rings: at::RINGS_MAX,
        }
    }

    #[inline]
    fn now_ns(&self) -> u64 {
        self.fabric.clock.now_ns()
    }

    #[inline]
    fn alloc(&mut self) -> Option<TxFrame> {
        self.pool.alloc().or_else(|| {
            if !self.has_quarantine() {
                return None;
            }
            self.end_quarantine();
            self.pool.alloc()
        })
    }

    #[inline]
    fn free(&mut self, frame: TxFrame) {
        self.pool.free(frame);
    }

    fn abandon(&mut self, frame: TxFrame, dst: Address) {
        self.quarantine(frame, dst);
    }

    #[inline]
    fn payload_mut(&mut self, frame: TxFrame) -> *mut u8 {
        self.pool.payload_mut(frame)
    }

    #[inline]
    fn cost_ns(&self, now_ns: u64, rail: RailId, len_bytes: usize) -> Option<u64> {
        self.rails[rail.index() & (RAILS - 1)].as_ref()?.cost_ns(now_ns, len_bytes)
    }

    #[inline]
    fn submit(
        &mut self,
        now_ns: u64,
        rail: RailId,
        dst: Address,
        header: &[u8; HEADER_LEN],
        frame: TxFrame,
        payload_len: usize,
    ) -> Result<(), SubmitError> {
        debug_assert!(payload_len <= PAYLOAD_MAX);
        self.transmit(now_ns, rail, dst, header, Load::Frame { frame, len_bytes: payload_len })
    }

    #[inline]
    fn submit_control(
        &mut self,
        now_ns: u64,
        rail: RailId,
        dst: Address,
        header: &[u8; HEADER_LEN],
        payload: &[u8],
    ) -> Result<(), SubmitError> {
        debug_assert!(payload.len() <= CONTROL_MAX);
        self.transmit(now_ns, rail, dst, header, Load::Copy(payload))
    }

    #[inline]
    fn doorbell(&mut self) {
        // A receiver finds what lies in its ring, and one that sleeps was woken by `submit`.
    }

    #[inline]
    fn reap(&mut self, now_ns: u64) -> Option<Reaped> {
        self.receive(now_ns)
    }

    #[inline]
    fn payload(&self, frame: RxFrame) -> *const u8 {
        self.payload_pointer(frame)
    }

    #[inline]
    fn copy_control(&self, frame: RxFrame, len_bytes: usize, out: &mut [u8; 64]) -> usize {
        let len_bytes = len_bytes.min(out.len()).min(frame.payload_len());
        let mut words = [0; 8];
        self.copy_words(frame, len_bytes.div_ceil(8), &mut words);
        for (chunk, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(&words[..len_bytes.div_ceil(8)]) {
            *chunk = word.to_ne_bytes();
        }
        len_bytes
    }

    #[inline]
    fn release(&mut self, frame: RxFrame) {
        self.give_back(frame);
    }

    fn event_fd(&self) -> RawFd {
        self.waker.event_fd()
    }

    fn arm(&mut self, deadline_ns: Option<u64>) -> ArmResult {
        // What woke the last sleep must not end this one.
        self.disarm();
        let result = self.prepare_to_sleep(deadline_ns);
        if result == ArmResult::Armed {
            self.sleeps.bump(1);
        }
        result
    }

    #[inline]
    fn disarm(&mut self) {
        if self.is_armed {
            self.is_armed = false;
            self.sleeping.store(0, Relaxed);
            self.waker.clear();
        }
    }

    fn is_armed(&self) -> bool {
        self.is_armed
    }

    fn alert(&mut self) {
        if self.is_armed {
            self.waker.set_timer(Some(0));
        }
    }

    #[inline]
    fn poll_event(&mut self, now_ns: u64) -> Option<LinkEvent> {
        self.next_event(now_ns)
    }

    fn counters(&self) -> Counters {
        let rails = self.rails.iter().enumerate();
        let rails = rails.filter_map(|(id, rail)| Some((rail_id(id), to_public(&rail.as_ref()?.counters.get()))));
        Counters {
            rails: rails.collect(),
            wakeups_sent: self.wakeups_sent.load(Relaxed),
            sleeps: self.sleeps.load(Relaxed),
        }
    }

    fn board(&self) -> Board {
        self.own.board()
    }
}

impl Drop for SimChannel {
    fn drop(&mut self) {
        if self.owner_pid != std::process::id() {
            return;
        }
        self.own.word(at::CLOSED).store(1, Release);
        match self.registry.visit(&self.name) {
            Ok(Some(folder)) => {
                self.own.word(at::FOLDED).store(1, Release);
                fold(self.own.address, &self.fabric, |rail| self.own.counters(rail).get());
                folder.remove(&channel_file_name(self.own.address));
                folder.remove_dead();
                folder.remove_if_unused();
            }
            Ok(None) => {}
            Err(error) => log::warn!("a simulated channel was not closed in order: {error}"),
        }
    }
}
