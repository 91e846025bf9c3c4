//! A process: the driver of one engine, as the transport is one, with checked frame pools.

use std::collections::{BTreeMap, VecDeque};

use usb4_wire::extension::{AtomicRequest, OpErrorReason};
use usb4_wire::{Address, Header, RailId, RailSet};

use super::app::App;
use super::network::{Network, Packet};
use super::oracle::{BASE, GET_BASE, GET_LEN, Oracle, PUT_BASE, REGION_LEN, Who, fill};
use super::plan::{Dice, Plan};
use super::{Violation, ensure};
use crate::{
    Access, Body, Config, ConnId, Content, Delivery, Engine, Event, Peer, Rails, RegionTable, Transmit, Verdict,
};

/// Frames that wait for a process beyond which the cable's side drops them.
const INBOX_MAX: usize = 4096;

/// Frames by number; taking one twice or giving one back twice is a violation.
#[derive(Debug)]
pub(crate) struct Pool {
    frames: Vec<Option<Vec<u8>>>,
    free: Vec<u32>,
}

impl Pool {
    fn new(size: u32) -> Self {
        Self { frames: vec![None; size as usize], free: (0..size).rev().collect() }
    }

    pub(crate) fn has(&self, count: usize) -> bool {
        self.free.len() >= count
    }

    pub(crate) fn take(&mut self, bytes: Vec<u8>) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.frames.push(None);
            self.frames.len() as u32 - 1
        });
        self.frames[number as usize] = Some(bytes);
        number
    }

    pub(crate) fn get(&self, number: u32) -> Result<&[u8], Violation> {
        self.frames[number as usize].as_deref().ok_or_else(|| Violation(format!("frame {number} is used while free")))
    }

    pub(crate) fn give_back(&mut self, number: u32) -> Result<Vec<u8>, Violation> {
        let bytes = self.frames[number as usize].take();
        self.free.push(number);
        bytes.ok_or_else(|| Violation(format!("frame {number} was given back twice")))
    }

    fn in_use(&self) -> usize {
        self.frames.len() - self.free.len()
    }
}

/// The rails of a node at one moment.
pub(crate) struct View<'a> {
    network: &'a Network,
    node: u32,
    now_ns: u64,
}

impl Rails for View<'_> {
    fn cost_ns(&self, rail: RailId, len_bytes: usize) -> Option<u64> {
        self.network.cost_ns(self.now_ns, self.node, rail, len_bytes)
    }
}

/// What a process can see and do while it runs.
pub(crate) struct Context<'a> {
    pub(crate) now_ns: u64,
    pub(crate) plan: &'a Plan,
    pub(crate) network: &'a mut Network,
    pub(crate) oracle: &'a mut Oracle,
    /// The current incarnations.
    pub(crate) directory: &'a [Peer],
    /// The valid and the stale key of every process.
    pub(crate) keys: &'a [(u64, u64)],
    /// Frames that are under way, with their time and node of arrival.
    pub(crate) outgoing: &'a mut Vec<(u64, u32, Packet)>,
}

pub(crate) struct Process {
    pub(crate) who: Who,
    pub(crate) address: Address,
    pub(crate) engine: Engine<u32, u32>,
    pub(crate) tx: Pool,
    rx: Pool,
    inbox: VecDeque<(RailId, Packet)>,
    pub(crate) memory: Vec<u8>,
    regions: RegionTable,
    pub(crate) key: u64,
    pub(crate) stale_key: u64,
    /// Bytes that gets have brought so far.
    pub(crate) got: BTreeMap<u32, Vec<u8>>,
    /// Operations that completed in the current step, looked at when all memories can be.
    pub(crate) completions: Vec<(u32, Result<u64, crate::OpFailure>)>,
    /// Puts that must be in place, by messages that arrived in the current step.
    pub(crate) fences: Vec<u32>,
    assemblies: BTreeMap<ConnId, Vec<u8>>,
    peers: BTreeMap<ConnId, Peer>,
    pub(crate) app: App,
    pub(crate) stopped_until_ns: u64,
    pub(crate) muted_until_ns: u64,
    pub(crate) closing: bool,
}

impl Process {
    pub(crate) fn new(plan: &Plan, process: usize, incarnation: u64, app: App, dice: &mut Dice) -> Self {
        let node = process as u32 / plan.processes_per_node;
        let address = Address::new(node, (process as u32 % plan.processes_per_node) as u16 + 1);
        let config = Config {
            rx_pool_frames: plan.rx_pool_frames,
            window_max: plan.window_max,
            timeouts: plan.timeouts.clone(),
            ..Config::new(address, incarnation, dice.bytes32())
        };
        let mut regions = RegionTable::new(dice.bytes32());
        let key = regions.insert(BASE, REGION_LEN, Access::ALL).expect("an empty table has room");
        let stale_key = regions.insert(BASE, REGION_LEN, Access::ALL).expect("an empty table has room");
        regions.remove(stale_key);
        let mut memory = vec![0; (PUT_BASE - BASE) as usize];
        let readable = (GET_BASE - BASE) as usize;
        for (place, byte) in memory[readable..].iter_mut().zip(fill(incarnation, 0, GET_LEN as usize)) {
            *place = byte;
        }
        Self {
            who: Who { process, incarnation },
            address,
            engine: Engine::new(config),
            tx: Pool::new(plan.tx_frames),
            rx: Pool::new(0),
            inbox: VecDeque::new(),
            memory,
            regions,
            key,
            stale_key,
            got: BTreeMap::new(),
            completions: Vec::new(),
            fences: Vec::new(),
            assemblies: BTreeMap::new(),
            peers: BTreeMap::new(),
            app,
            stopped_until_ns: 0,
            muted_until_ns: 0,
            closing: false,
        }
    }

    pub(crate) fn node(&self) -> u32 {
        self.address.node.0
    }

    pub(crate) fn receive(&mut self, rail: RailId, packet: Packet) {
        if self.inbox.len() < INBOX_MAX {
            self.inbox.push_back((rail, packet));
        }
    }

    /// One turn of the driver's loop.
    pub(crate) fn step(&mut self, cx: &mut Context) -> Result<(), Violation> {
        if cx.now_ns < self.stopped_until_ns {
            return Ok(());
        }
        while let Some((rail, packet)) = self.inbox.pop_front() {
            self.handle_packet(cx, rail, packet)?;
        }
        if cx.now_ns < self.muted_until_ns {
            self.engine.handle_timeout(cx.now_ns);
            self.handle_events(cx)?;
            return self.collect();
        }
        self.handle_events(cx)?;
        if !self.closing {
            App::work(self, cx)?;
        }
        self.fill_frames(cx)?;
        while let Some(transmit) = self.engine.poll_transmit(cx.now_ns, &view(cx, self.node())) {
            self.transmit(cx, &transmit)?;
        }
        self.handle_events(cx)?;
        self.collect()
    }

    fn handle_packet(&mut self, cx: &mut Context, rail: RailId, packet: Packet) -> Result<(), Violation> {
        let Ok(header) = Header::parse(&packet.header) else {
            self.engine.handle_damaged();
            return Ok(());
        };
        let private = packet.payload[..header.private_len().min(packet.payload.len())].to_vec();
        let frame = self.rx.take(packet.payload);
        // Both ways of taking a message must do: every other one takes the short way.
        if header.psn.0.is_multiple_of(2)
            && let Some(conn) = self.engine.handle_message(cx.now_ns, rail, &header)
        {
            return self.deliver(cx, &Delivery::of_message(conn, &header, frame));
        }
        match self.engine.handle_frame(cx.now_ns, rail, &header, &private, frame) {
            Verdict::Deliver(delivery) => self.deliver(cx, &delivery)?,
            Verdict::Held => {}
            Verdict::Drop(frame) => {
                self.rx.give_back(frame)?;
            }
        }
        while let Some(delivery) = self.engine.poll_deliver() {
            self.deliver(cx, &delivery)?;
        }
        Ok(())
    }

    fn deliver(&mut self, cx: &mut Context, delivery: &Delivery<u32>) -> Result<(), Violation> {
        let payload = self.rx.give_back(delivery.frame)?;
        let data = &payload[delivery.data_offset..delivery.data_offset + delivery.data_len];
        let conn = delivery.conn;
        match delivery.content {
            Content::Am { id, first, last } => {
                let assembly = self.assemblies.entry(conn).or_default();
                ensure!(first == assembly.is_empty(), "{:?} {conn:?}: a message starts within another", self.who);
                assembly.extend_from_slice(data);
                if last {
                    let message = self.assemblies.remove(&conn).unwrap_or_default();
                    self.fences.extend(cx.oracle.deliver(self.who, id, &message, &cx.plan.work)?);
                }
            }
            Content::Put(put) => {
                let wanted = Access { read: false, write: true, atomic: false };
                match self.regions.check(put.key, put.remote_addr, data.len() as u64, wanted) {
                    Ok(()) => self.write(put.remote_addr, data),
                    Err(reason) => self.engine.reject(conn, put.op, reason),
                }
            }
            Content::GetData { local_addr } => {
                let (operation, offset) = ((local_addr >> 32) as u32, (local_addr & 0xffff_ffff) as usize);
                let Some(buffer) = self.got.get_mut(&operation) else {
                    return Err(Violation(format!("{:?}: bytes for operation {operation}, which has ended", self.who)));
                };
                buffer[offset..offset + data.len()].copy_from_slice(data);
            }
            Content::GetRequest(request) => {
                let wanted = Access { read: true, write: false, atomic: false };
                match self.regions.check(request.key, request.remote_addr, request.len, wanted) {
                    Ok(()) => self.engine.respond_get(conn, &request, request.remote_addr),
                    Err(reason) => self.engine.reject(conn, request.op, reason),
                }
            }
            Content::Atomic { request, fetch } => match self.apply(&request) {
                Ok(old) if fetch => self.engine.respond_atomic(conn, request.op, old),
                Ok(_) => {}
                Err(reason) => self.engine.reject(conn, request.op, reason),
            },
        }
        Ok(())
    }

    fn apply(&mut self, request: &AtomicRequest) -> Result<u64, OpErrorReason> {
        let wanted = Access { read: false, write: false, atomic: true };
        self.regions.check(request.key, request.remote_addr, request.width.bytes(), wanted)?;
        if !request.remote_addr.is_multiple_of(request.width.bytes()) {
            return Err(OpErrorReason::Misaligned);
        }
        let at = (request.remote_addr - BASE) as usize;
        let old = u64::from_le_bytes(self.memory[at..at + 8].try_into().expect("eight bytes"));
        self.memory[at..at + 8].copy_from_slice(&old.wrapping_add(request.operand).to_le_bytes());
        Ok(old)
    }

    fn write(&mut self, addr: u64, data: &[u8]) {
        let at = (addr - BASE) as usize;
        if self.memory.len() < at + data.len() {
            self.memory.resize(at + data.len(), 0);
        }
        self.memory[at..at + data.len()].copy_from_slice(data);
    }

    fn handle_events(&mut self, cx: &mut Context) -> Result<(), Violation> {
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Connected(conn) => {
                    let info = self.engine.info(conn);
                    let Some(info) = info else { continue };
                    ensure!(self.peers.insert(conn, info.peer).is_none(), "{conn:?} connected twice");
                    let routes = cx.network.routes(self.node(), info.peer.address.node.0);
                    self.engine.handle_rails(cx.now_ns, info.peer.address.node, routes);
                }
                Event::Unblocked(conn) => self.app.unblock(conn),
                Event::Completed { cookie, result, .. } => self.completions.push((cookie as u32, result)),
                Event::Refused { .. } => {}
                Event::Failed(conn, failure) => {
                    let peer = self.peers.remove(&conn).or_else(|| self.engine.info(conn).map(|info| info.peer));
                    let lives = peer.is_some_and(|peer| cx.directory.contains(&peer));
                    ensure!(!lives, "{:?}: {conn:?} to living {peer:?} failed at {}: {failure}", self.who, cx.now_ns);
                    self.end(cx, conn);
                }
                Event::Closed(conn) => {
                    ensure!(self.peers.remove(&conn).is_some(), "{conn:?} closed twice, or was never open");
                    self.end(cx, conn);
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, cx: &mut Context, conn: ConnId) {
        self.assemblies.remove(&conn);
        if let Some(stream) = self.app.forget(conn) {
            cx.oracle.lose_stream(stream);
            self.engine.detach(cx.now_ns, conn);
        }
    }

    fn fill_frames(&mut self, cx: &mut Context) -> Result<(), Violation> {
        while self.tx.has(1) {
            let Some(fill_order) = self.engine.poll_fill(cx.now_ns, &view(cx, self.node())) else { break };
            let mut bytes = fill_order.extension().to_vec();
            if fill_order.region.is_some() {
                let at = (fill_order.local_addr - BASE) as usize;
                bytes.extend_from_slice(&self.memory[at..at + fill_order.len]);
            } else {
                let (operation, offset) = (fill_order.local_addr >> 32, fill_order.local_addr & 0xffff_ffff);
                bytes.extend(fill(operation, offset, fill_order.len));
            }
            let frame = self.tx.take(bytes);
            match self.engine.commit_fill(cx.now_ns, &fill_order, frame, &view(cx, self.node())) {
                Ok(transmit) => self.transmit(cx, &transmit)?,
                Err(_) => return Err(Violation(format!("{:?}: a fill was refused in the same breath", self.who))),
            }
        }
        Ok(())
    }

    /// Puts a frame on its rail, as `link` would.
    pub(crate) fn transmit(&mut self, cx: &mut Context, transmit: &Transmit<u32>) -> Result<(), Violation> {
        let payload = match &transmit.body {
            Body::Frame { frame, payload_len } => {
                let bytes = self.tx.get(*frame)?;
                ensure!(bytes.len() == *payload_len, "a frame of {} bytes goes out as {payload_len}", bytes.len());
                bytes.to_vec()
            }
            Body::Control { payload, len } => payload[..*len].to_vec(),
        };
        if view(cx, self.node()).cost_ns(transmit.rail, payload.len()).is_none() {
            self.engine.handle_unsent(cx.now_ns, transmit);
            return Ok(());
        }
        let node = transmit.dst.node.0;
        let process = (node * cx.plan.processes_per_node + u32::from(transmit.dst.channel.0) - 1) as usize;
        let packet = Packet { header: transmit.header, payload, node, process, rail: RailId::LOOPBACK };
        let arrivals = cx.network.send(cx.now_ns, self.node(), transmit.rail, packet);
        cx.outgoing.extend(arrivals);
        Ok(())
    }

    /// Takes back what the engine no longer needs.
    pub(crate) fn collect(&mut self) -> Result<(), Violation> {
        while let Some((frame, _)) = self.engine.poll_release() {
            self.tx.give_back(frame)?;
        }
        while let Some(frame) = self.engine.poll_held_release() {
            self.rx.give_back(frame)?;
        }
        let bound = self.engine.slots.len();
        let shared = &self.engine.shared;
        ensure!(
            shared.ready.len() <= bound && shared.fillable.len() <= bound,
            "{:?}: {} ready and {} fillable of {bound} connections",
            self.who,
            shared.ready.len(),
            shared.fillable.len()
        );
        ensure!(shared.pool.granted() <= shared.config.rx_pool_frames, "{:?} granted more than there is", self.who);
        Ok(())
    }

    /// Checks that nothing is left behind.
    pub(crate) fn check_clean(&self) -> Result<(), Violation> {
        let who = self.who;
        ensure!(self.engine.is_closed(), "{who:?} has connections left: {:?}", self.connections());
        ensure!(self.tx.in_use() == 0, "{who:?}: {} transmit frames were not given back", self.tx.in_use());
        ensure!(self.rx.in_use() == 0, "{who:?}: {} received frames were not given back", self.rx.in_use());
        let granted = self.engine.shared.pool.granted();
        ensure!(granted == 0, "{who:?}: {granted} credits are still granted");
        ensure!(self.engine.shared.ended.is_empty(), "{who:?} has unburied connections");
        Ok(())
    }

    pub(crate) fn connections(&self) -> Vec<crate::ConnInfo> {
        self.engine.connections().filter_map(|conn| self.engine.info(conn)).collect()
    }

    pub(crate) fn routes_to(&self, network: &Network, peer: Peer) -> RailSet {
        network.routes(self.node(), peer.address.node.0)
    }
}

pub(crate) fn view<'a>(cx: &'a Context, node: u32) -> View<'a> {
    View { network: cx.network, node, now_ns: cx.now_ns }
}
