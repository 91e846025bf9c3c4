//! Sleeping until a peer sends something.
//!
//! A sleeper sets a flag in its mailbox and waits for its event descriptor: an epoll set of a datagram socket and a
//! timer. A sender that finds the flag set clears it and sends one empty datagram. The socket's name is in the
//! abstract namespace, so that it disappears with the process; containers must share the network namespace to wake
//! each other at once (else a sleeper looks around a few times a second).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{Ordering, compiler_fence, fence};

use rustix::event::epoll;
use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

use crate::shm::mapping::Word;
use crate::timer::Timer;
use crate::{Address, FabricId};

/// Registers the process for membarrier(2); false where the kernel or a filter does not allow it.
pub(crate) fn register_membarrier() -> bool {
    let needed = MembarrierQuery::GLOBAL_EXPEDITED | MembarrierQuery::REGISTER_GLOBAL_EXPEDITED;
    membarrier_query().contains(needed) && membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// The flag in a mailbox; a mapped word in life, loom's in tests.
pub(crate) trait Flag {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
    fn replace(&self, old: u64, new: u64) -> Result<(), u64>;
}

impl Flag for Word {
    #[inline]
    fn load(&self, order: Ordering) -> u64 {
        Word::load(self, order)
    }
    fn store(&self, value: u64, order: Ordering) {
        Word::store(self, value, order);
    }
    fn replace(&self, old: u64, new: u64) -> Result<(), u64> {
        Word::replace(self, old, new)
    }
}

/// The sender's side of a sleeper's flag, for each frame: true if the owner sleeps and this call has claimed the
/// waking.
#[inline]
pub(crate) fn claim_wakeup(sleeping: &impl Flag, barrier: impl FnOnce()) -> bool {
    // (D) pairs with (C): the cell is visible before the flag is read.
    barrier();
    sleeping.load(Ordering::Relaxed) != 0 && sleeping.replace(1, 0).is_ok()
}

/// The sleeper's side: after this, every frame whose sender saw the flag unset is visible.
pub(crate) fn announce_sleep(sleeping: &impl Flag, barrier: impl FnOnce()) {
    sleeping.store(1, Ordering::Relaxed);
    // (C) pairs with (D): the flag is visible to all senders before the rings are looked at.
    barrier();
}

/// (D), on the path of every frame. The sleeper's membarrier orders the processor; where one of the two has none, a
/// full fence must.
#[inline]
pub(crate) fn sender_barrier(needs_barrier: bool) {
    if needs_barrier {
        fence(Ordering::SeqCst);
    } else {
        compiler_fence(Ordering::SeqCst);
    }
}

/// (C), once per sleep.
pub(crate) fn sleeper_barrier(has_membarrier: bool) {
    fence(Ordering::SeqCst);
    if has_membarrier && let Err(error) = membarrier(MembarrierCommand::GlobalExpedited) {
        // It was registered, so the kernel has no reason; the look-around timer bounds what a lost wake-up costs.
        debug_assert!(false, "membarrier: {error}");
    }
}

/// The name of a channel's socket.
pub(crate) fn socket_address(fabric: FabricId, address: Address, incarnation: u64) -> io::Result<SocketAddr> {
    let name = format!("ucx-usb4/{:016x}/n{}.c{}/{incarnation:016x}", fabric.0, address.node.0, address.channel.0);
    SocketAddr::from_abstract_name(name)
}

/// What a sleeping channel waits for.
#[derive(Debug)]
pub(crate) struct Waker {
    socket: UnixDatagram,
    timer: Timer,
    epoll: OwnedFd,
}

impl Waker {
    pub(crate) fn new(address: &SocketAddr) -> io::Result<Waker> {
        let socket = UnixDatagram::bind_addr(address)?;
        socket.set_nonblocking(true)?;
        let timer = Timer::new()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
        Ok(Waker { socket, timer, epoll })
    }

    pub(crate) fn event_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Makes the event descriptor readable after a time; `None`: never.
    pub(crate) fn set_timer(&self, after_ns: Option<u64>) {
        self.timer.set(after_ns);
    }

    /// Makes the event descriptor unreadable.
    pub(crate) fn clear(&self) {
        self.set_timer(None);
        while self.socket.recv(&mut [0]).is_ok() {}
    }

    /// Wakes another channel. A full or vanished socket is no error: the sleeper has been woken, or is gone.
    pub(crate) fn wake(&self, other: &SocketAddr) {
        let _ = self.socket.send_to_addr(&[0], other);
    }
}

#[cfg(test)]
mod tests {
    //! Every order in which sender and sleeper can see each other's stores, tried by loom.

    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, fence};

    use super::*;

    impl Flag for AtomicU64 {
        fn load(&self, order: Ordering) -> u64 {
            self.load(order)
        }
        fn store(&self, value: u64, order: Ordering) {
            self.store(value, order);
        }
        fn replace(&self, old: u64, new: u64) -> Result<(), u64> {
            self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).map(drop)
        }
    }

    /// True if no order leaves a frame lying there while its receiver sleeps and nobody wakes it.
    fn is_sound(barrier: fn()) -> bool {
        let check = move || {
            let cell = Arc::new(AtomicU64::new(0));
            let sleeping = Arc::new(AtomicU64::new(0));
            let sender = {
                let (cell, sleeping) = (Arc::clone(&cell), Arc::clone(&sleeping));
                loom::thread::spawn(move || {
                    cell.store(1, Ordering::Release);
                    claim_wakeup(&*sleeping, barrier)
                })
            };
            announce_sleep(&*sleeping, barrier);
            let sees_frame = cell.load(Ordering::Acquire) == 1;
            let is_woken = sender.join().unwrap();
            assert!(sees_frame || is_woken, "asleep with a frame there");
        };
        std::panic::catch_unwind(|| loom::model(check)).is_ok()
    }

    #[test]
    fn no_frame_is_slept_through() {
        assert!(is_sound(|| fence(Ordering::SeqCst)));
    }

    /// The model would notice: this is what the barriers are for.
    #[test]
    fn without_the_barriers_one_would_be() {
        assert!(!is_sound(|| {}));
    }
}
