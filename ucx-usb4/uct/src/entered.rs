//! Every call of UCX's that touches an interface begins here: it keeps the attendant out until the call returns.

use std::ops::Deref;

use usb4_port::{Attended, Inside};

/// An interface or endpoint during one call of UCX's. Calls nest: UCX calls again from its handlers and completions.
pub(crate) struct Entered<'a, T> {
    target: &'a T,
    _inside: Inside<'a>,
}

impl<'a, T> Entered<'a, T> {
    /// Waits for the attendant, if it is in the port.
    #[inline]
    pub(crate) fn new(target: &'a T, port: &'a Attended) -> Self {
        Self { target, _inside: port.enter() }
    }
}

impl<T> Deref for Entered<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.target
    }
}
