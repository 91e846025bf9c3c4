//! Operations under way: what UCX is told when a put, get or atomic completes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::ffi::c_void;

use ucx_sys::complete;
use ucx_sys::public::*;
use usb4_engine::ConnId;

/// What happens with the answer, before the completion is told.
pub(crate) enum Finish {
    /// Nothing: the bytes are where they belong.
    Nothing,
    /// Bytes of a buffered get go to their unpacker.
    Unpack {
        /// Where they arrived.
        buffer: Box<[u8]>,
        /// UCX's function, called with `arg` and the bytes.
        unpack: unsafe extern "C" fn(*mut c_void, *const c_void, usize),
        /// Its argument.
        arg: *mut c_void,
    },
    /// An atomic's old value goes to its place.
    Store32(*mut u32),
    /// As above, eight bytes.
    Store64(*mut u64),
}

struct Operation {
    conn: ConnId,
    /// Its place in the order in which operations were started.
    number: u64,
    /// Transfers that have not completed.
    left: u32,
    status: ucs_status_t,
    finish: Finish,
    completion: *mut uct_completion_t,
}

/// The operations of one interface. A cookie of the engine is an index into it.
#[derive(Default)]
pub(crate) struct Operations {
    slots: RefCell<Vec<Option<Operation>>>,
    free: RefCell<Vec<usize>>,
    started: Cell<u64>,
    /// The numbers under way, for flushes.
    under_way: RefCell<HashMap<ConnId, BTreeSet<u64>>>,
}

impl Operations {
    /// Notes an operation of `transfers` transfers; returns the cookie for each of them.
    pub(crate) fn start(&self, conn: ConnId, transfers: u32, finish: Finish, completion: *mut uct_completion_t) -> u64 {
        let number = self.started.get() + 1;
        self.started.set(number);
        self.under_way.borrow_mut().entry(conn).or_default().insert(number);
        let operation = Operation { conn, number, left: transfers, status: UCS_OK, finish, completion };
        let mut slots = self.slots.borrow_mut();
        let slot = match self.free.borrow_mut().pop() {
            Some(slot) => {
                slots[slot] = Some(operation);
                slot
            }
            None => {
                slots.push(Some(operation));
                slots.len() - 1
            }
        };
        slot as u64
    }

    /// The number of the operation that was started last.
    pub(crate) fn last_number(&self) -> u64 {
        self.started.get()
    }

    /// Whether every operation of the connection up to `number` has completed.
    pub(crate) fn done_up_to(&self, conn: ConnId, number: u64) -> bool {
        let under_way = self.under_way.borrow();
        under_way.get(&conn).and_then(BTreeSet::first).is_none_or(|&first| first > number)
    }

    /// One transfer of an operation has ended; the last one completes it.
    pub(crate) fn end_transfer(&self, cookie: u64, result: Result<u64, ucs_status_t>) {
        let slot = cookie as usize;
        let operation = {
            let mut slots = self.slots.borrow_mut();
            let Some(Some(operation)) = slots.get_mut(slot) else { return };
            operation.left -= 1;
            if let (Err(status), UCS_OK) = (result, operation.status) {
                operation.status = status;
            }
            if operation.left > 0 {
                return;
            }
            slots[slot].take().expect("just seen")
        };
        self.free.borrow_mut().push(slot);
        self.forget(operation.conn, operation.number);
        operation.finish(result.unwrap_or(0));
    }

    fn forget(&self, conn: ConnId, number: u64) {
        let mut under_way = self.under_way.borrow_mut();
        if let Some(numbers) = under_way.get_mut(&conn) {
            numbers.remove(&number);
            if numbers.is_empty() {
                under_way.remove(&conn);
            }
        }
    }
}

impl Operation {
    /// Hands the answer over and tells UCX. Runs without any borrow: UCX may start the next operation from here.
    fn finish(self, value: u64) {
        if self.status == UCS_OK {
            match self.finish {
                Finish::Nothing => {}
                // SAFETY: UCX's own function and argument, with bytes that are ours.
                Finish::Unpack { buffer, unpack, arg } => unsafe { unpack(arg, buffer.as_ptr().cast(), buffer.len()) },
                // SAFETY: UCX keeps the result's place until the operation completes. Four bytes were asked for.
                Finish::Store32(place) => unsafe { place.write_unaligned(value as u32) },
                // SAFETY: UCX keeps the result's place until the operation completes.
                Finish::Store64(place) => unsafe { place.write_unaligned(value) },
            }
        }
        // SAFETY: null, or a completion that waits for this operation.
        unsafe { complete(self.completion, self.status) };
    }
}
