//! A timer that an epoll set can hold.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Its descriptor becomes readable when the time has come.
#[derive(Debug)]
pub(crate) struct Timer(OwnedFd);

impl Timer {
    pub(crate) fn new() -> io::Result<Timer> {
        Ok(Timer(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?))
    }

    /// Makes the descriptor readable after a time, and unreadable until then; `None`: never.
    pub(crate) fn set(&self, after_ns: Option<u64>) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // All zero switches the timer off, so "at once" is one nanosecond.
        let value = after_ns.map_or(zero, |ns| {
            let ns = ns.clamp(1, i64::MAX as u64);
            Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as _ }
        });
        let spec = Itimerspec { it_interval: zero, it_value: value };
        if let Err(error) = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &spec) {
            debug_assert!(false, "{error}");
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
