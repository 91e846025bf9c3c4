//! The world: time, and everything that happens in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use usb4_wire::RailId;

use super::app::App;
use super::network::{Network, Packet};
use super::oracle::{Oracle, Who};
use super::plan::{Dice, Incident, Plan};
use super::process::{Context, Process};
use super::{Violation, ensure};
use crate::{Peer, Stats};

/// Memory that an idle connection may occupy, in bytes.
const IDLE_BYTES_MAX: usize = 4096;
/// How long the processes rest between work and end, in nanoseconds.
const REST_NS: u64 = 3_000_000_000;
/// Events after which a run is taken for endless.
const EVENTS_MAX: u64 = 20_000_000;

/// What a run amounted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Virtual time in nanoseconds at which all work was done.
    pub work_ns: u64,
    /// Virtual time in nanoseconds at which everything was closed.
    pub end_ns: u64,
    /// Messages delivered.
    pub delivered: u64,
    /// Operations completed without error.
    pub completed: u64,
    /// Endpoints whose connection failed.
    pub failed: u64,
    /// What each process's engine has counted.
    pub totals: Vec<Stats>,
    /// Frames that each rail of node 0 has carried away.
    pub rail_frames: Vec<u64>,
}

enum Event {
    Arrive { node: u32, packet: Packet },
    Wake { process: usize },
    Incident { index: usize },
}

struct Entry {
    at_ns: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at_ns, self.order) == (other.at_ns, other.order)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.order).cmp(&(other.at_ns, other.order))
    }
}

struct World<'a> {
    plan: &'a Plan,
    now_ns: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    order: u64,
    events: u64,
    network: Network,
    oracle: Oracle,
    processes: Vec<Process>,
    directory: Vec<Peer>,
    keys: Vec<(u64, u64)>,
    wake_ns: Vec<u64>,
    dice: Dice,
    outgoing: Vec<(u64, u32, Packet)>,
    packets: u64,
}

/// Plays a plan.
///
/// # Errors
/// What the oracle found wrong, with the plan's seed.
pub fn run(plan: &Plan) -> Result<Report, Violation> {
    let mut world = World::new(plan);
    world.run().map_err(|violation| Violation(format!("seed {:#x} at {} ns: {violation}", plan.seed, world.now_ns)))
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut world = Self {
            plan,
            now_ns: 0,
            queue: BinaryHeap::new(),
            order: 0,
            events: 0,
            network: Network::new(plan.nodes, &plan.cables, plan.faults.clone(), plan.seed),
            oracle: Oracle::default(),
            processes: Vec::new(),
            directory: Vec::new(),
            keys: Vec::new(),
            wake_ns: Vec::new(),
            dice: Dice::new(plan.seed ^ 0x776f_726c_6400),
            outgoing: Vec::new(),
            packets: 0,
        };
        for index in 0..(plan.nodes * plan.processes_per_node) as usize {
            let app = App::new(plan, index, world.dice.next());
            let process = Process::new(plan, index, world.dice.next(), app, &mut world.dice);
            world.directory.push(Peer { address: process.address, incarnation: process.who.incarnation });
            world.keys.push((process.key, process.stale_key));
            world.processes.push(process);
            world.wake_ns.push(u64::MAX);
            let start_ns = world.dice.below(50_000);
            world.wake(index, start_ns);
        }
        for (index, &(at_ns, _)) in plan.incidents.iter().enumerate() {
            world.push(at_ns, Event::Incident { index });
        }
        world
    }

    fn push(&mut self, at_ns: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Entry { at_ns, order: self.order, event }));
    }

    fn wake(&mut self, process: usize, at_ns: u64) {
        if at_ns < self.wake_ns[process] {
            self.wake_ns[process] = at_ns;
            self.push(at_ns, Event::Wake { process });
        }
    }

    fn run(&mut self) -> Result<Report, Violation> {
        self.run_until(|world| world.is_work_done(), "work")?;
        let work_ns = self.now_ns;
        self.rest()?;
        self.close()?;
        let end_ns = self.now_ns;
        for process in &self.processes {
            process.check_clean()?;
            self.oracle.check_done(process.who)?;
            self.oracle.check_end(process.who, &process.memory)?;
        }
        Ok(Report {
            work_ns,
            end_ns,
            delivered: self.oracle.delivered,
            completed: self.oracle.completed,
            failed: self.oracle.failed,
            totals: self.processes.iter().map(|process| process.engine.totals()).collect(),
            rail_frames: self.network.frames_sent(0),
        })
    }

    fn is_work_done(&self) -> bool {
        self.now_ns >= self.plan.incidents.last().map_or(0, |incident| incident.0)
            && self.processes.iter().all(|process| {
                let settled = |conn| {
                    process.engine.acked_mark(conn) == process.engine.sent_mark(conn)
                        && process.engine.outstanding_ops(conn) == 0
                };
                !process.app.has_work() && process.engine.connections().all(settled)
            })
    }

    /// Idle connections must become small and silent.
    fn rest(&mut self) -> Result<(), Violation> {
        let (half_ns, end_ns) = (self.now_ns + REST_NS / 2, self.now_ns + REST_NS);
        self.pass_time(half_ns)?;
        let before = self.packets;
        // Keepalive speaks, and so does who waits for the end of a handshake, or for a peer that was killed.
        let silent = |process: &Process| {
            process.engine.slots.iter().filter_map(|slot| slot.conn.as_ref()).all(|conn| conn.is_confirmed())
        };
        let silent = self.plan.timeouts.keepalive_ns.is_none()
            && !self.plan.may_lose_connections()
            && self.processes.iter().all(silent);
        self.pass_time(end_ns)?;
        for process in &self.processes {
            for info in process.connections() {
                ensure!(
                    info.memory_bytes <= IDLE_BYTES_MAX,
                    "{:?}: an idle connection occupies {} bytes: {info:?}",
                    process.who,
                    info.memory_bytes
                );
            }
        }
        if silent {
            let sent = self.packets - before;
            ensure!(sent == 0, "{sent} packets went over idle connections");
        }
        Ok(())
    }

    /// Ends everything: every second run endpoint by endpoint first, then as channels.
    fn close(&mut self) -> Result<(), Violation> {
        if self.plan.seed.is_multiple_of(2) {
            for index in 0..self.processes.len() {
                let process = &mut self.processes[index];
                let conns: Vec<_> = process.app.connections().collect();
                for conn in conns {
                    process.app.forget(conn);
                    process.engine.detach(self.now_ns, conn);
                }
                self.step(index)?;
            }
            if !self.plan.may_lose_connections() {
                self.run_until(
                    |world| world.processes.iter().all(|process| process.engine.is_closed()),
                    "graceful close",
                )?;
            }
        }
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            let conns: Vec<_> = process.app.connections().collect();
            conns.iter().for_each(|&conn| {
                process.app.forget(conn);
            });
            process.closing = true;
            process.engine.close(self.now_ns);
            self.step(index)?;
        }
        let latest_ns = self.now_ns + 2 * self.plan.timeouts.close_ns;
        self.run_until(|world| world.processes.iter().all(|process| process.engine.is_closed()), "close")?;
        ensure!(self.now_ns <= latest_ns, "closing took until {}, later than {latest_ns}", self.now_ns);
        Ok(())
    }

    fn run_until(&mut self, is_done: impl Fn(&Self) -> bool, what: &str) -> Result<(), Violation> {
        let limit_ns = self.now_ns + self.plan.limit_ns;
        while !is_done(self) {
            let Some(Reverse(entry)) = self.queue.pop() else {
                return Err(Violation(format!("{what} stands still: {}", self.describe())));
            };
            self.happen(entry)?;
            ensure!(self.now_ns <= limit_ns, "{what} takes too long: {}", self.describe());
        }
        Ok(())
    }

    fn pass_time(&mut self, until_ns: u64) -> Result<(), Violation> {
        while self.queue.peek().is_some_and(|Reverse(entry)| entry.at_ns <= until_ns) {
            let Some(Reverse(entry)) = self.queue.pop() else { break };
            self.happen(entry)?;
        }
        self.now_ns = until_ns;
        Ok(())
    }

    fn describe(&self) -> String {
        let lines = self.processes.iter().map(|process| {
            let (app, conns) = (&process.app, process.connections());
            let waits: Vec<_> = process.engine.slots.iter().filter_map(|slot| slot.conn.as_ref()).collect();
            let waits: Vec<_> = waits.iter().map(|conn| (conn.id, &conn.operations, &conn.work, &conn.hold)).collect();
            format!("\n{:?} {app:?}\n  {conns:?}\n  {waits:?}", process.who)
        });
        lines.collect()
    }

    fn happen(&mut self, entry: Entry) -> Result<(), Violation> {
        self.events += 1;
        ensure!(self.events < EVENTS_MAX, "it never ends: {}", self.describe());
        self.now_ns = self.now_ns.max(entry.at_ns);
        match entry.event {
            Event::Wake { process } => {
                if self.wake_ns[process] == entry.at_ns {
                    self.wake_ns[process] = u64::MAX;
                }
                self.step(process)
            }
            Event::Arrive { node, packet } if node != packet.node => {
                self.relay(node, packet);
                Ok(())
            }
            Event::Arrive { packet, .. } => {
                let process = packet.process;
                self.processes[process].receive(packet.rail, packet);
                self.step(process)
            }
            Event::Incident { index } => self.befall(self.plan.incidents[index].1),
        }
    }

    fn relay(&mut self, node: u32, mut packet: Packet) {
        // Byte 3 is the hop limit, which is outside the header's check for this very purpose.
        let Some(hops) = packet.header[3].checked_sub(1) else { return };
        packet.header[3] = hops;
        let Some(rail) = self.network.relay(node, packet.node) else { return };
        let arrivals = self.network.send(self.now_ns, node, rail, packet);
        self.outgoing.extend(arrivals);
        self.dispatch();
    }

    fn dispatch(&mut self) {
        for (at_ns, node, packet) in std::mem::take(&mut self.outgoing) {
            self.packets += 1;
            self.push(at_ns, Event::Arrive { node, packet });
        }
    }

    fn step(&mut self, index: usize) -> Result<(), Violation> {
        let process = &mut self.processes[index];
        let mut cx = Context {
            now_ns: self.now_ns,
            plan: self.plan,
            network: &mut self.network,
            oracle: &mut self.oracle,
            directory: &self.directory,
            keys: &self.keys,
            outgoing: &mut self.outgoing,
        };
        process.step(&mut cx)?;
        self.dispatch();
        self.judge(index)?;
        let process = &mut self.processes[index];
        let held_until_ns = process.stopped_until_ns.max(process.muted_until_ns);
        let next_ns = process.engine.poll_timeout();
        if held_until_ns > self.now_ns {
            self.wake(index, held_until_ns);
        } else if let Some(at_ns) = next_ns.into_iter().chain(process.app.next_ns(self.now_ns)).min() {
            self.wake(index, at_ns.max(self.now_ns));
        }
        Ok(())
    }

    /// Lets the oracle look at what has completed, now that it can see every memory.
    fn judge(&mut self, index: usize) -> Result<(), Violation> {
        for (operation, result) in std::mem::take(&mut self.processes[index].completions) {
            let process = &mut self.processes[index];
            let (by, got) = (process.who, process.got.remove(&operation));
            let to = self.oracle.operation(operation).to;
            let target = Some(&self.processes[to.process]).filter(|process| process.who == to);
            self.oracle.complete(operation, by, result, target.map(|target| &target.memory[..]), got.as_deref())?;
        }
        for put in std::mem::take(&mut self.processes[index].fences) {
            let in_place = self.oracle.is_in_place(put, &self.processes[index].memory);
            ensure!(in_place, "a message overtook put {put}, which a fence set before it");
        }
        Ok(())
    }

    fn befall(&mut self, incident: Incident) -> Result<(), Violation> {
        match incident {
            Incident::Unplug { cable } => self.plug(cable, false),
            Incident::Replug { cable } => self.plug(cable, true),
            Incident::BlackHole { cable, rail, duration_ns } => {
                self.network.black_hole(cable, rail, self.now_ns + duration_ns);
                Ok(())
            }
            Incident::Partition { from_node, duration_ns } => {
                self.network.part(from_node, self.now_ns + duration_ns);
                Ok(())
            }
            Incident::Stop { process, duration_ns } => {
                self.processes[process].stopped_until_ns = self.now_ns + duration_ns;
                self.wake(process, self.now_ns + duration_ns);
                Ok(())
            }
            Incident::Mute { process, duration_ns } => {
                self.processes[process].muted_until_ns = self.now_ns + duration_ns;
                self.wake(process, self.now_ns + duration_ns);
                Ok(())
            }
            Incident::Restart { process } => self.restart(process),
        }
    }

    fn plug(&mut self, cable: usize, plugged: bool) -> Result<(), Violation> {
        self.network.plug(cable, plugged);
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            for rail in self.network.rails_of_cable(process.node(), cable) {
                if plugged {
                    process.engine.handle_rail_up(self.now_ns, rail);
                } else {
                    process.engine.handle_rail_down(self.now_ns, rail);
                }
            }
            self.step(index)?;
        }
        Ok(())
    }

    fn restart(&mut self, index: usize) -> Result<(), Violation> {
        let old = &self.processes[index];
        let (who, address) = (old.who, old.address);
        self.oracle.kill(who);
        let mut app = App::new(self.plan, index, self.dice.next());
        (app.messages_left, app.operations_left) = (old.app.messages_left, old.app.operations_left);
        let incarnation = self.dice.next();
        let new = Process::new(self.plan, index, incarnation, app, &mut self.dice);
        debug_assert_eq!(new.who, Who { process: index, incarnation });
        self.directory[index] = Peer { address, incarnation };
        self.keys[index] = (new.key, new.stale_key);
        self.processes[index] = new;
        for rail in self.unplugged_rails(address.node.0) {
            self.processes[index].engine.handle_rail_down(self.now_ns, rail);
        }
        if self.plan.restarts_are_told {
            for other in 0..self.processes.len() {
                if other != index {
                    self.processes[other].engine.handle_peer_gone(self.now_ns, address);
                    self.step(other)?;
                }
            }
        }
        self.wake_ns[index] = u64::MAX;
        self.wake(index, self.now_ns + 1);
        Ok(())
    }

    fn unplugged_rails(&self, node: u32) -> Vec<RailId> {
        let rails = (0..self.plan.cables.len()).flat_map(|cable| self.network.rails_of_cable(node, cable));
        rails.filter(|&rail| !self.network.is_plugged(node, rail)).collect()
    }
}
