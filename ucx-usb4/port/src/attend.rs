//! What the attendant does in a port whose owner is away: everything that needs no owner.
//!
//! It serves puts, gets and atomics of peers, places what own gets brought, acknowledges, repeats, and deals with time. Messages it keeps, and
//! events stay in the engine: nobody but the owner learns of them.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use usb4_link::Carrier;

use crate::Port;

/// How long after the last frame it looks for the next one before it sleeps: a round trip of a cable. A peer that waits for each
/// answer is served without a wake-up between.
const LINGER_NS: u64 = 20_000;
/// Attempts to sleep that something prevents although nothing is done, after which it does not insist.
const REFUSALS_MAX: u32 = 64;

/// When the attendant is to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// When the channel's event descriptor becomes readable.
    Event,
    /// After a while.
    Later,
    /// The owner is at the door.
    Never,
}

impl Port {
    /// Serves until nothing is left to do, or the owner `is_wanted`. `patience` is over: an owner that sleeps was woken long ago, and has
    /// not come.
    pub(crate) fn attend(&mut self, patience_is_over: bool, is_wanted: impl Fn() -> bool) -> Next {
        if self.channel.is_armed() && !self.attendant_sleeps {
            return self.attend_a_sleeper(patience_is_over, is_wanted);
        }
        self.channel.disarm();
        let mut refusals = 0;
        loop {
            match self.serve_all(&is_wanted) {
                Next::Event => {}
                other => return other,
            }
            // What waits for company goes out before a sleep, as the owner does it.
            self.engine.acknowledge_all();
            self.service_now();
            self.attendant_sleeps = self.arm_channel(None);
            if self.attendant_sleeps {
                return Next::Event;
            }
            refusals += 1;
            if refusals >= REFUSALS_MAX {
                return Next::Later;
            }
        }
    }

    /// The owner sleeps on the event descriptor, which must stay as it is: readable once there is something.
    fn attend_a_sleeper(&mut self, patience_is_over: bool, is_wanted: impl Fn() -> bool) -> Next {
        if !self.is_signalled() {
            return Next::Event;
        }
        if patience_is_over {
            self.serve_all(is_wanted);
            // What has been taken must still wake it, also if it is at the door: its call need not be the one that ends the sleep.
            self.channel.alert();
        }
        Next::Later
    }

    /// Serves until nothing comes any more.
    fn serve_all(&mut self, is_wanted: impl Fn() -> bool) -> Next {
        self.look_at_clock();
        let mut last_ns = self.now_ns;
        loop {
            self.active = false;
            self.keep_arrivals();
            let has_come = self.active;
            self.service_now();
            // The owner has to look.
            self.active = true;
            if is_wanted() {
                return Next::Never;
            }
            if self.kept.is_full() {
                return Next::Later;
            }
            self.look_at_clock();
            if has_come {
                last_ns = self.now_ns;
            } else if self.now_ns >= last_ns + LINGER_NS {
                return Next::Event;
            }
        }
    }

    fn is_signalled(&self) -> bool {
        // SAFETY: the channel keeps its descriptor open.
        let event = unsafe { BorrowedFd::borrow_raw(self.channel.event_fd()) };
        let mut fds = [PollFd::new(&event, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }
}
