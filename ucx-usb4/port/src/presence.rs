//! Who is in the port: its owner, whose way in must cost next to nothing, or its attendant, who comes when the owner has been away.
//!
//! An asymmetric lock. The owner says that it is inside and looks whether the attendant has claimed the port: two plain accesses. The
//! attendant claims it, makes every running thread of the process pass a full barrier (membarrier(2)), and looks whether the owner is
//! inside. The claim stays when the attendant leaves; the owner takes it back at the door, where it waits for an attendant that is busy.
//!
//! The words lie in memory that the kernel wipes in a forked child ([`crate::wiped`]): to it the port is not open, so that its way in, too, leads
//! past the door.
//!
//! # Barriers
//!
//! The letters go on from those of the simulated cable (`link/src/shm`).
//!
//! | letter | where | partner | what breaks without it |
//! |---|---|---|---|
//! | (G) | owner: `inside` raised, light barrier, then read `open` | (H) | both look before the other's store is visible: both are in the port |
//! | (H) | attendant: `open` cleared, heavy barrier, then read `inside` | (G) | the same |
//! | (K) | owner: release store of `inside` when it leaves | (L) | the attendant finds the port as it was before the owner's last changes |
//! | (L) | attendant: acquire load of `inside` | (K) | the same |
//!
//! What the attendant changed reaches the owner by the door, which is a mutex: the owner passes it before it finds the port unclaimed.

use std::io;
use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{compiler_fence, fence};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::wiped::WipedWord;
use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

/// A word that both sides see; loom's in tests.
pub(crate) trait Word {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
}

impl Word for WipedWord {
    #[inline]
    fn load(&self, order: Ordering) -> u32 {
        self.atomic().load(order)
    }
    #[inline]
    fn store(&self, value: u32, order: Ordering) {
        self.atomic().store(value, order);
    }
}

/// A mutex around nothing; loom's in tests.
pub(crate) trait Door {
    /// Whoever has it is the only one.
    type Pass<'a>
    where
        Self: 'a;
    fn wait(&self) -> Self::Pass<'_>;
    fn knock(&self) -> Option<Self::Pass<'_>>;
}

impl Door for Mutex<()> {
    type Pass<'a> = MutexGuard<'a, ()>;

    fn wait(&self) -> MutexGuard<'_, ()> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knock(&self) -> Option<MutexGuard<'_, ()>> {
        match self.try_lock() {
            Ok(pass) => Some(pass),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// The lock. The owner's side is for one thread at a time; which one may change from call to call.
#[derive(Debug)]
pub(crate) struct Presence<W = WipedWord, D = Mutex<()>> {
    /// How deep the owner's calls are nested now. The owner alone writes it.
    inside: W,
    /// 0: the attendant has a claim: it may be in the port, or come in, while it has the door. Changes behind the door only. Also 0 in a
    /// process that was forked from the owner's.
    open: W,
    door: D,
}

impl Presence {
    /// The owner's, in this process and in no other.
    pub(crate) fn new() -> io::Result<Self> {
        let [inside, open] = WipedWord::pair()?;
        open.store(1, Relaxed);
        Ok(Self { inside, open, door: Mutex::new(()) })
    }
}

impl<W: Word, D: Door> Presence<W, D> {
    /// The owner comes in, or calls itself from inside. False: there is a claim, which it must [take back](Self::reclaim) before it
    /// touches the port; or it is not the owner, but a child of its process.
    #[inline]
    #[must_use]
    pub(crate) fn enter(&self, barrier: impl FnOnce()) -> bool {
        self.inside.store(self.inside.load(Relaxed).wrapping_add(1), Relaxed);
        // (G) pairs with (H): the attendant sees that the owner is inside, or the owner sees the claim.
        barrier();
        self.open.load(Relaxed) != 0
    }

    /// The owner has found a claim: waits until the attendant is out, and ends the claim.
    pub(crate) fn reclaim(&self) {
        let _pass = self.door.wait();
        self.open.store(1, Relaxed);
    }

    /// Lets the only thread of a forked child in. The door is left alone: whoever had it does not exist here.
    pub(crate) fn open_in_child(&self) {
        self.open.store(1, Relaxed);
    }

    /// The owner leaves what it entered.
    #[inline]
    pub(crate) fn leave(&self) {
        // (K) pairs with (L).
        self.inside.store(self.inside.load(Relaxed).wrapping_sub(1), Release);
    }

    /// The attendant comes in and is alone there as long as it keeps the pass; none: the owner is inside or wants to be.
    pub(crate) fn claim(&self, barrier: impl FnOnce()) -> Option<D::Pass<'_>> {
        let pass = self.door.knock()?;
        if self.open.load(Relaxed) == 0 {
            // The owner has not been inside since: it would have ended the claim.
            return (!self.is_wanted()).then_some(pass);
        }
        self.open.store(0, Relaxed);
        // (H) pairs with (G): the owner sees the claim, or this sees that the owner is inside.
        barrier();
        // (L) pairs with (K).
        if self.inside.load(Acquire) != 0 {
            self.open.store(1, Relaxed);
            return None;
        }
        Some(pass)
    }

    /// Whether the owner waits for the attendant to leave.
    pub(crate) fn is_wanted(&self) -> bool {
        self.inside.load(Relaxed) != 0
    }

    /// Whether the owner is inside, asked by itself.
    pub(crate) fn is_inside(&self) -> bool {
        self.inside.load(Relaxed) != 0
    }
}

/// (G), in every call of the owner. The attendant's membarrier orders the processor.
#[inline]
pub(crate) fn light_barrier() {
    compiler_fence(SeqCst);
}

/// (H), once for each absence of the owner.
pub(crate) fn heavy_barrier() {
    fence(SeqCst);
    if let Err(error) = membarrier(MembarrierCommand::PrivateExpedited) {
        // Without it the lock does not hold. It was registered, so the kernel has no reason.
        unreachable!("membarrier: {error}");
    }
}

/// Registers the process for [`heavy_barrier`]; false where the kernel or a filter does not allow it.
pub(crate) fn register_barrier() -> bool {
    let needed = MembarrierQuery::PRIVATE_EXPEDITED | MembarrierQuery::REGISTER_PRIVATE_EXPEDITED;
    membarrier_query().contains(needed) && membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
}

#[cfg(test)]
mod tests {
    //! Every order in which owner and attendant can see each other's stores, tried by loom.

    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU32, fence};
    use loom::sync::{Mutex, MutexGuard};

    use super::*;

    impl Word for AtomicU32 {
        fn load(&self, order: Ordering) -> u32 {
            self.load(order)
        }
        fn store(&self, value: u32, order: Ordering) {
            self.store(value, order);
        }
    }

    impl Door for Mutex<()> {
        type Pass<'a> = MutexGuard<'a, ()>;

        fn wait(&self) -> MutexGuard<'_, ()> {
            self.lock().unwrap()
        }

        fn knock(&self) -> Option<MutexGuard<'_, ()>> {
            self.try_lock().ok()
        }
    }

    /// A port that is plain memory: loom objects to two who use it at once, or unordered.
    struct Shared {
        presence: Presence<AtomicU32, Mutex<()>>,
        port: UnsafeCell<u32>,
    }

    // SAFETY: that the accesses are ordered is what the test shows; loom fails it if they are not.
    unsafe impl Sync for Shared {}

    impl Shared {
        fn use_port(&self) {
            self.port.with_mut(|port| {
                // SAFETY: loom has checked that nobody else accesses it now.
                unsafe { *port += 1 };
            });
        }

        fn call(&self, barrier: fn(), inner: impl FnOnce()) {
            if !self.presence.enter(barrier) {
                self.presence.reclaim();
            }
            self.use_port();
            inner();
            self.presence.leave();
        }

        fn attend(&self, barrier: fn()) -> bool {
            let Some(_pass) = self.presence.claim(barrier) else { return false };
            self.use_port();
            true
        }
    }

    /// True if in no order two are in the port, and nobody's changes are lost.
    fn is_sound(barrier: fn()) -> bool {
        let check = move || {
            let shared = Arc::new(Shared {
                presence: Presence { inside: AtomicU32::new(0), open: AtomicU32::new(1), door: Mutex::new(()) },
                port: UnsafeCell::new(0),
            });
            let attendant = {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || u32::from(shared.attend(barrier)) + u32::from(shared.attend(barrier)))
            };
            // Once with a call from inside, once more after the attendant may have been there.
            shared.call(barrier, || shared.call(barrier, || ()));
            shared.call(barrier, || ());
            let attended = attendant.join().unwrap();
            shared.port.with(|port| {
                // SAFETY: the attendant has ended.
                assert_eq!(unsafe { *port }, 3 + attended);
            });
        };
        // More switches than this at places of loom's choice take minutes and show nothing that fewer do not.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| model.check(check))).is_ok()
    }

    #[test]
    fn nobody_meets_anybody_in_the_port() {
        assert!(is_sound(|| fence(SeqCst)));
    }

    /// The model would notice: this is what the barriers are for.
    #[test]
    fn without_the_barriers_both_would_be_there() {
        assert!(!is_sound(|| {}));
    }

    #[test]
    fn the_kernel_knows_the_barrier() {
        assert!(register_barrier());
        heavy_barrier();
    }
}
