//! The ports of this process, and the threads that serve them.
//!
//! A program may have several ports and serve them by turns (UCX's own tests do, with one worker for each side). While a call of one waits,
//! the others of its thread cannot answer: so it must not wait for them.

use std::sync::{Mutex, PoisonError};

use rustix::thread::{Pid, gettid};

/// A port's incarnation, and the thread that served it when that was last looked at.
static RESIDENTS: Mutex<Vec<(u64, Pid)>> = Mutex::new(Vec::new());

/// A port's place among those of this process, until it is dropped.
#[derive(Debug)]
pub(crate) struct Resident {
    /// None: it never was there.
    incarnation: Option<u64>,
}

impl Resident {
    /// A new port, served by this thread until another one does.
    pub(crate) fn new(incarnation: u64) -> Self {
        with(|residents| residents.push((incarnation, gettid())));
        Self { incarnation: Some(incarnation) }
    }

    /// The place of a port that serves nobody. In a forked child the list may be in the hands of a thread that does not exist there.
    pub(crate) fn nobody() -> Self {
        Self { incarnation: None }
    }

    /// This thread serves the port now.
    pub(crate) fn note_thread(&self) {
        let Some(incarnation) = self.incarnation else { return };
        let thread = gettid();
        with(|residents| {
            let own = residents.iter_mut().filter(|resident| resident.0 == incarnation);
            own.for_each(|resident| resident.1 = thread);
        });
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let Some(incarnation) = self.incarnation else { return };
        with(|residents| residents.retain(|resident| resident.0 != incarnation));
    }
}

/// Whether the port of this incarnation is served by the thread that asks.
pub(crate) fn is_served_here(incarnation: u64) -> bool {
    let here = (incarnation, gettid());
    with(|residents| residents.contains(&here))
}

fn with<T>(look: impl FnOnce(&mut Vec<(u64, Pid)>) -> T) -> T {
    look(&mut RESIDENTS.lock().unwrap_or_else(PoisonError::into_inner))
}
