//! A port with an attendant, as its owner sees it.

use std::cell::{Cell, RefCell, RefMut, UnsafeCell};
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
    /// For whoever `presence` says is inside. Replaced in a forked child only.
    port: UnsafeCell<RefCell<Port>>,
}

// SAFETY: `port` is used by one side at a time, which `presence` orders: by the owner inside, by the attendant with the pass; and a port
// may move from thread to thread, as the compiler has seen. The rest is made for both.
unsafe impl Sync for Shared where Port: Send {}

impl Shared {
    /// # Safety
    /// The caller is inside as the owner, or has the attendant's pass, until the borrow ends.
    pub(crate) unsafe fn port(&self) -> RefMut<'_, Port> {
        // SAFETY: nobody replaces it while somebody is inside.
        unsafe { &*self.port.get() }.borrow_mut()
    }

    /// Puts a port without connections in the place of the parent's, which is forgotten as it is.
    ///
    /// # Safety
    /// In a forked child, on its way in: it is the only thread, and its own calls have ended.
    unsafe fn sever(&self) {
        // SAFETY: the cell is there, whatever is in it.
        let port = unsafe { &*self.port.get() }.as_ptr();
        // SAFETY: another thread of the parent's may have had it, which does not exist here; what is read never changes.
        let severed = unsafe { &*port }.severed();
        // SAFETY: nobody here has borrowed from it.
        unsafe { self.port.get().write(RefCell::new(severed)) };
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
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(port: Port) -> io::Result<Self> {
        let (presence, port) = (Presence::new()?, UnsafeCell::new(RefCell::new(port)));
        let shared = Arc::new(Shared { presence, rounds: AtomicU32::new(0), port });
        Ok(Self { shared, attendant: None, owner_pid: std::process::id(), not_sync: PhantomData })
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
            return self.sever();
        }
        self.shared.presence.reclaim();
        if let Some(attendant) = &self.attendant {
            attendant.owner_is_back();
        }
    }

    /// A forked child has called: neither its parent nor the peers may notice.
    fn sever(&self) {
        // SAFETY: found closed on the way in, which happens once in a forked child; its one thread has no call of its own under way.
        unsafe { self.shared.sever() };
        self.shared.presence.open_in_child();
        log::warn!(
            "usb4: process {} was forked from {}, whose connections it cannot use: what it sends fails, and nothing arrives. Call exec in \
             it, or open UCX (or MPI) there anew.",
            std::process::id(),
            self.owner_pid
        );
    }

    /// Whether this is a child of the process that opened the port.
    #[must_use]
    pub fn is_forked(&self) -> bool {
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
