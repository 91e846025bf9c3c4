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
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::shm::mapping::Word;
use crate::{Address, FabricId};

/// Registers the process for membarrier(2); false where the kernel or a filter does not allow it.
pub(crate) fn register_membarrier() -> bool {
    let needed = MembarrierQuery::GLOBAL_EXPEDITED | MembarrierQuery::REGISTER_GLOBAL_EXPEDITED;
    membarrier_query().contains(needed) && membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// The sender's side of a sleeper's flag, for each frame: true if the owner sleeps and this call has claimed the
/// waking.
#[inline]
pub(crate) fn claim_wakeup(sleeping: &Word, needs_barrier: bool) -> bool {
    // (D) pairs with (C): the cell is visible before the flag is read. The sleeper's membarrier orders the processor;
    // where one side has none, a full fence does.
    if needs_barrier {
        fence(Ordering::SeqCst);
    } else {
        compiler_fence(Ordering::SeqCst);
    }
    sleeping.load(Ordering::Relaxed) != 0 && sleeping.replace(1, 0).is_ok()
}

/// The sleeper's side: after this, every frame whose sender saw the flag unset is visible.
pub(crate) fn announce_sleep(sleeping: &Word, has_membarrier: bool) {
    sleeping.store(1, Ordering::Relaxed);
    // (C) pairs with (D): the flag is visible to all senders before the rings are looked at.
    if !has_membarrier || membarrier(MembarrierCommand::GlobalExpedited).is_err() {
        fence(Ordering::SeqCst);
    } else {
        compiler_fence(Ordering::SeqCst);
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
    timer: OwnedFd,
    epoll: OwnedFd,
}

impl Waker {
    pub(crate) fn new(address: &SocketAddr) -> io::Result<Waker> {
        let socket = UnixDatagram::bind_addr(address)?;
        socket.set_nonblocking(true)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
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
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // All zero switches the timer off, so "at once" is one nanosecond.
        let value = after_ns.map_or(zero, |ns| {
            let ns = ns.clamp(1, i64::MAX as u64);
            Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as _ }
        });
        let spec = Itimerspec { it_interval: zero, it_value: value };
        if let Err(error) = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec) {
            debug_assert!(false, "{error}");
        }
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
