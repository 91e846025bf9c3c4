//! A port with an attendant, as its owner sees it.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::Port;
use crate::attendant::Attendant;
use crate::presence::{self, Presence};

/// What owner and attendant share.
pub(crate) struct Shared {
    pub(crate) presence: Presence,
    /// Rounds of progress that the owner has begun: as long as this changes, it is not away. The owner alone writes it.
    pub(crate) rounds: AtomicU32,
    /// For whoever `presence` says is inside.
    port: RefCell<Port>,
}

// SAFETY: `port` is used by one side at a time, which `presence` orders: by the owner inside, by the attendant with the pass; and a port
// may move from thread to thread, as the compiler has seen. The rest is made for both.
unsafe impl Sync for Shared where Port: Send {}

impl Shared {
    /// # Safety
    /// The caller is inside as the owner, or has the attendant's pass, until the borrow ends.
    pub(crate) unsafe fn port(&self) -> RefMut<'_, Port> {
        self.port.borrow_mut()
    }
}

/// A port that goes on serving its peers while its owner does not call it.
///
/// The owner is one thread at a time. Whatever it does with the port it does inside: between [`enter`](Self::enter) and the end of
/// what that returns.
pub struct Attended {
    pub(crate) shared: Arc<Shared>,
    attendant: Option<Attendant>,
    /// A forked child has the port in its memory, but not the attendant.
    owner_pid: u32,
    /// The owner may be another thread from call to call, but is one at a time.
    not_sync: PhantomData<Cell<()>>,
}

impl Attended {
    /// Without an attendant: the port is served by its owner alone.
    #[must_use]
    pub fn new(port: Port) -> Self {
        let shared =
            Arc::new(Shared { presence: Presence::default(), rounds: AtomicU32::new(0), port: RefCell::new(port) });
        Self { shared, attendant: None, owner_pid: std::process::id(), not_sync: PhantomData }
    }

    /// Starts the attendant. It looks after the port when the owner has made no progress for `absence`.
    ///
    /// # Errors
    /// There can be no thread, or the kernel does not let this process use membarrier(2).
    pub fn start(&mut self, absence: Duration) -> io::Result<()> {
        if !presence::register_barrier() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "membarrier(2) is not to be had"));
        }
        if self.attendant.is_none() {
            self.attendant = Some(Attendant::start(Arc::clone(&self.shared), absence)?);
        }
        Ok(())
    }

    /// Ends the attendant, and returns when it is gone.
    pub fn stop(&mut self) {
        match self.attendant.take() {
            // Nobody would ever join it here.
            Some(attendant) if self.is_forked() => std::mem::forget(attendant),
            other => drop(other),
        }
    }

    /// The owner comes in. It may do so again from inside.
    #[inline]
    pub fn enter(&self) -> Inside<'_> {
        if !self.shared.presence.enter(presence::light_barrier) {
            self.reclaim();
        }
        Inside { shared: &self.shared, not_send: PhantomData }
    }

    /// The port.
    ///
    /// # Safety
    /// The caller is inside until the borrow ends.
    ///
    /// # Panics
    /// If the port is borrowed already.
    #[inline]
    pub unsafe fn port(&self) -> RefMut<'_, Port> {
        debug_assert!(self.shared.presence.is_inside(), "the port is used from outside");
        // SAFETY: promised by the caller.
        unsafe { self.shared.port() }
    }

    /// The owner begins a round of progress, from inside: it is not away.
    #[inline]
    pub fn note_round(&self) {
        self.shared.rounds.store(self.shared.rounds.load(Relaxed).wrapping_add(1), Relaxed);
    }

    #[cold]
    fn reclaim(&self) {
        if self.is_forked() {
            return self.shared.presence.forget_claim();
        }
        self.shared.presence.reclaim();
        if let Some(attendant) = &self.attendant {
            attendant.owner_is_back();
        }
    }

    fn is_forked(&self) -> bool {
        self.owner_pid != std::process::id()
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The owner is inside as long as this lives.
pub struct Inside<'a> {
    shared: &'a Shared,
    /// The thread that entered leaves.
    not_send: PhantomData<*const ()>,
}

impl Inside<'_> {
    /// The port.
    ///
    /// # Panics
    /// If it is borrowed already.
    #[inline]
    pub fn port(&self) -> RefMut<'_, Port> {
        // SAFETY: the owner is inside as long as the borrow lasts.
        unsafe { self.shared.port() }
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        self.shared.presence.leave();
    }
}
