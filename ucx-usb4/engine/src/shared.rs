//! What the connections of an engine share.

use std::collections::VecDeque;

use rand_chacha::ChaCha12Rng;
use usb4_wire::{RailSet, Token};

use crate::credits::Pool;
use crate::timers::Deadlines;
use crate::{Config, Event, Peer, Released};

/// Queues towards the driver, budgets, and who wants to be looked at. Every queue is bounded by what the connections hold: each is in
/// a queue of connections once, and each frame and operation is given back once.
pub(crate) struct Shared<T, R> {
    pub(crate) config: Config,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) pool: Pool,
    /// Rails that are not known to be down.
    pub(crate) up: RailSet,
    pub(crate) events: VecDeque<Event>,
    pub(crate) released: VecDeque<(T, Released)>,
    pub(crate) held_released: VecDeque<R>,
    /// Connections that heard an acknowledgement and have not acted on it.
    pub(crate) unsettled: Vec<u16>,
    /// Connections with something to transmit.
    pub(crate) ready: VecDeque<u16>,
    /// Connections with a frame to deliver that waited for its turn.
    pub(crate) deliverable: VecDeque<u16>,
    /// Connections with an operation to fill a frame for.
    pub(crate) fillable: VecDeque<u16>,
    /// Connections that nobody holds any more.
    pub(crate) ended: Vec<u16>,
    /// Peers that have just shown that they live.
    pub(crate) confirmed: Vec<Peer>,
    pub(crate) deadlines: Deadlines,
    pub(crate) closing: bool,
}

impl<T, R> Shared<T, R> {
    /// A token for the connection in `slot`.
    pub(crate) fn new_token(&mut self, slot: u16) -> Token {
        use rand_core::RngCore;
        loop {
            let token = Token::new(slot, self.rng.next_u64());
            if token.0 >> 16 != 0 {
                return token;
            }
        }
    }
}
