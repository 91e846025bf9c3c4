//! Where the connections live, and what is known of them.

use super::Engine;
use crate::connection::{Connection, Phase};
use crate::shared::Shared;
use crate::timers::NEVER;
use crate::{Config, ConnId, ConnInfo, ConnectError, Failure, Peer, Stats};

/// A connection and what it shares with the others.
type Parts<'a, T, R> = (&'a mut Connection<T, R>, &'a mut Shared<T, R>);

/// Where a connection lives.
pub(crate) struct Slot<T, R> {
    generation: u16,
    pub(crate) conn: Option<Box<Connection<T, R>>>,
}

impl<T: Copy, R: Copy> Engine<T, R> {
    /// Why a connection is over, if it is. A connection that is no longer known was closed.
    pub fn failure(&self, conn: ConnId) -> Option<Failure> {
        match self.lookup(conn)?.phase {
            Phase::Over(failure) => Some(failure),
            _ => None,
        }
    }

    /// What a connection has counted.
    pub fn stats(&self, conn: ConnId) -> Option<Stats> {
        self.lookup(conn).map(|conn| conn.snapshot())
    }

    /// Every connection.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.slots.iter().filter_map(|slot| slot.conn.as_deref()).map(|conn| conn.id)
    }

    /// What there is to know of a connection.
    pub fn info(&self, conn: ConnId) -> Option<ConnInfo> {
        self.lookup(conn).map(ConnInfo::of)
    }

    /// What all connections have counted, those that have ended included, and damaged frames of none.
    pub fn totals(&self) -> Stats {
        let living = self.slots.iter().filter_map(|slot| slot.conn.as_deref());
        living.fold(self.buried, |totals, conn| totals.plus(&conn.snapshot()))
    }

    /// Counts a frame whose header could not be parsed. Whose it was, nobody knows; to its connection it is lost.
    pub fn handle_damaged(&mut self) {
        self.buried.invalid += 1;
    }

    /// A connection and what it shares with the others.
    #[inline]
    pub(crate) fn parts(&mut self, id: ConnId) -> Option<Parts<'_, T, R>> {
        let slot = self.slots.get_mut(usize::from(id.slot()))?;
        if slot.generation != id.generation() {
            return None;
        }
        slot.conn.as_deref_mut().map(|conn| (conn, &mut self.shared))
    }

    pub(super) fn lookup(&self, id: ConnId) -> Option<&Connection<T, R>> {
        let slot = self.slots.get(usize::from(id.slot()))?;
        slot.conn.as_deref().filter(|_| slot.generation == id.generation())
    }

    /// A connection that new endpoints to `peer` join from now on.
    pub(crate) fn create(&mut self, now_ns: u64, peer: Peer) -> Result<ConnId, ConnectError> {
        let Config { connections_max, rx_pool_frames, window_min, .. } = self.shared.config;
        let no_room = ConnectError::NoRoom { limit: connections_max.min(rx_pool_frames / u32::from(window_min)) };
        let slot = match self.free.pop_front() {
            Some(slot) => slot,
            None if self.slots.len() < connections_max as usize => {
                self.slots.push(Slot { generation: 0, conn: None });
                self.shared.deadlines.grow();
                self.slots.len() as u16 - 1
            }
            None => return Err(no_room),
        };
        let entry = &mut self.slots[usize::from(slot)];
        let id = ConnId::new(slot, entry.generation);
        self.last_serial = self.last_serial.wrapping_add(1);
        let Some(conn) = Connection::new(&mut self.shared, id, peer, self.last_serial, now_ns) else {
            self.free.push_front(slot);
            return Err(no_room);
        };
        entry.conn = Some(Box::new(conn));
        self.peers.insert(peer, slot);
        Ok(id)
    }

    /// Frees the slots of connections that are over and that nobody holds, after ending those whose peer lives on as somebody else.
    pub(crate) fn bury(&mut self) {
        while let Some(peer) = self.shared.confirmed.pop() {
            let conns = self.slots.iter_mut().filter_map(|slot| slot.conn.as_mut());
            let earlier = |conn: &&mut Box<Connection<T, R>>| {
                conn.peer.address == peer.address && conn.peer.incarnation != peer.incarnation
            };
            conns.filter(earlier).for_each(|conn| conn.fail(&mut self.shared, Failure::PeerRestarted));
        }
        while let Some(slot) = self.shared.ended.pop() {
            let entry = &mut self.slots[usize::from(slot)];
            let Some(conn) = entry.conn.take_if(|conn| conn.is_over() && conn.refs == 0) else { continue };
            entry.generation = entry.generation.wrapping_add(1);
            self.buried = self.buried.plus(&Stats { in_flight: 0, window: 0, ..conn.snapshot() });
            if self.peers.get(&conn.peer) == Some(&slot) {
                self.peers.remove(&conn.peer);
            }
            self.shared.deadlines.correct(usize::from(slot), NEVER);
            self.shared.ready.retain(|&other| other != slot);
            self.shared.fillable.retain(|&other| other != slot);
            self.shared.deliverable.retain(|&other| other != slot);
            self.free.push_back(slot);
        }
    }
}
