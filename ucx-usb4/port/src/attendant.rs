//! The attendant: a thread that looks after a port while its owner computes, or sleeps elsewhere.
//!
//! As long as the owner makes progress, the thread does nothing but look whether it does, once in a while. When the owner is away the
//! thread claims the port, serves what is there, and sleeps until the channel has something or the owner is back. The claim stays
//! meanwhile, so that only the first look of an absence costs a membarrier, and the owner's return ends it at once.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::attend::Next;
use crate::attended::Shared;
use crate::presence;

/// What the system shows; at most 15 bytes.
const NAME: &str = "usb4-attendant";
/// Enough for a log message of UCX's.
const STACK_BYTES: usize = 256 << 10;

/// The thread, ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Attendant {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// What the owner has to say to the thread.
#[derive(Debug)]
struct Signal {
    /// Readable: something was said.
    event: OwnedFd,
    /// It shall end.
    end: AtomicBool,
}

impl Signal {
    fn send(&self) {
        // It fails only when nobody has looked 2^64 times, and then it is readable, too.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    fn clear(&self) {
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
    }
}

impl Attendant {
    pub(crate) fn start(shared: Arc<Shared>, absence: Duration) -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let signal = Arc::new(Signal { event, end: AtomicBool::new(false) });
        let round = Round { shared, signal: Arc::clone(&signal), absence };
        let builder = std::thread::Builder::new().name(NAME.to_owned()).stack_size(STACK_BYTES);
        // Signals are for the program's own threads.
        let before = block_signals()?;
        let thread = builder.spawn(move || round.run());
        set_signals(&before);
        Ok(Self { signal, thread: Some(thread?) })
    }

    /// The owner has taken the port back.
    pub(crate) fn owner_is_back(&self) {
        self.signal.send();
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.signal.end.store(true, Release);
        self.signal.send();
        if let Some(thread) = self.thread.take() {
            // It ends by itself, or takes the process with it.
            let _ = thread.join();
        }
    }
}

/// Why the thread woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    /// The channel has something, or the time is over.
    Look,
    /// The owner is back.
    Back,
    /// It shall end.
    End,
}

/// What the thread has.
struct Round {
    shared: Arc<Shared>,
    signal: Arc<Signal>,
    absence: Duration,
}

impl Round {
    fn run(&self) {
        // A port that was left in the middle of something cannot be used on: a panic here ends the program, as one in the owner's call
        // does.
        let _bomb = AbortOnPanic;
        let mut seen = self.shared.rounds.load(Relaxed);
        loop {
            let woken = self.sleep(None, Some(self.absence));
            let rounds = self.shared.rounds.load(Relaxed);
            let is_away = woken == Woken::Look && rounds == seen;
            seen = rounds;
            if woken == Woken::End || (is_away && self.stand_in() == Woken::End) {
                return;
            }
        }
    }

    /// Serves the port until its owner is back, or the thread shall end.
    fn stand_in(&self) -> Woken {
        let mut patience_is_over = false;
        loop {
            let Some(pass) = self.shared.presence.claim(presence::heavy_barrier) else { return Woken::Back };
            // SAFETY: the pass is held until the borrow has ended.
            let mut port = unsafe { self.shared.port() };
            let next = port.attend(patience_is_over, || self.shared.presence.is_wanted());
            let fd = port.event_fd();
            drop(port);
            drop(pass);
            let woken = match next {
                Next::Never => return Woken::Back,
                Next::Later => self.sleep(None, Some(self.absence)),
                Next::Event => self.sleep(Some(fd), None),
            };
            if woken != Woken::Look {
                return woken;
            }
            // Whoever was woken had this time to come.
            patience_is_over = next == Next::Later;
        }
    }

    /// Sleeps until the owner says something, the descriptor is readable, or the time is over.
    fn sleep(&self, event: Option<i32>, time: Option<Duration>) -> Woken {
        // SAFETY: the channel keeps its descriptor open as long as the port lives, which is shared with this thread.
        let event = event.map(|fd| unsafe { BorrowedFd::borrow_raw(fd) });
        let signal = self.signal.event.as_fd();
        let mut fds =
            [PollFd::new(&signal, PollFlags::IN), PollFd::new(event.as_ref().unwrap_or(&signal), PollFlags::IN)];
        let time = time.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        // Interrupted: it looks once too often.
        let _ = poll(&mut fds, time.as_ref());
        let is_signalled = fds[0].revents().contains(PollFlags::IN);
        if is_signalled {
            self.signal.clear();
        }
        if self.signal.end.load(Acquire) {
            return Woken::End;
        }
        if is_signalled { Woken::Back } else { Woken::Look }
    }
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// Blocks all signals for this thread and those that it starts; returns what was blocked before.
fn block_signals() -> io::Result<libc::sigset_t> {
    let mut all = MaybeUninit::uninit();
    // SAFETY: it fills the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: just filled.
    let all = unsafe { all.assume_init() };
    let mut before = MaybeUninit::uninit();
    // SAFETY: a set to read, and one to fill.
    let code = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, before.as_mut_ptr()) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    // SAFETY: filled by the call above.
    Ok(unsafe { before.assume_init() })
}

fn set_signals(set: &libc::sigset_t) {
    // SAFETY: a set to read.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) };
}
