//! `libucx_usb4_preload.so`, to be named in `LD_PRELOAD`: brings the usb4 transport into a process that uses UCX.
//!
//! UCX up to 1.20 loads only transports whose names were compiled into it, so something outside must load ours. Preloading the
//! transport itself would drag UCX into every process of a job, shells and launchers too. This library stands in for the one
//! function that every user of UCX's transports calls first, `uct_query_components`, and loads the transport then; the
//! transport's constructor registers it. It needs libc alone and does nothing in a process that never asks UCX.
//!
//! It never stands in UCX's way: when the transport cannot be loaded, one line on standard error says why, and UCX goes on.
#![cfg_attr(not(test), no_std)]

mod libc;
mod message;

use core::ffi::{CStr, c_char, c_uint, c_void};
use core::mem::{MaybeUninit, transmute};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use message::Message;

const TRANSPORT: &CStr = c"libuct_usb4.so.0";
/// Names another transport library. Without UCX's prefix, which would draw UCX's warning about unknown variables.
const VARIABLE: &CStr = c"USB4_TRANSPORT_LIB";
/// `UCS_ERR_NO_ELEM`.
const NO_UCT: i8 = -12;

type QueryComponents = unsafe extern "C" fn(*mut c_void, *mut c_uint) -> i8;

/// UCX's function of this name, which this one calls once the transport is loaded.
///
/// # Safety
/// As UCX says: two out parameters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uct_query_components(components_p: *mut c_void, count_p: *mut c_uint) -> i8 {
    let Some(query) = real() else {
        Message::new().text(c"usb4: uct_query_components was called, but libuct.so.0 is not loaded\n").print();
        return NO_UCT;
    };
    load_transport();
    // SAFETY: the caller's arguments, for the function that they were meant for.
    unsafe { query(components_p, count_p) }
}

/// libuct's own `uct_query_components`.
fn real() -> Option<QueryComponents> {
    static REAL: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
    let mut found = REAL.load(Ordering::Relaxed);
    if found.is_null() {
        found = find_real();
        // Two threads find the same, and nothing else is published by it: no order is needed.
        REAL.store(found, Ordering::Relaxed);
    }
    if found.is_null() {
        return None;
    }
    // SAFETY: a function of UCX's public API, whose signature has never changed.
    Some(unsafe { transmute::<*mut c_void, QueryComponents>(found) })
}

fn find_real() -> *mut c_void {
    const NAME: &CStr = c"uct_query_components";
    // Where the program itself is linked to UCX, the next definition is the one it would have called.
    // SAFETY: a terminated name.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, NAME.as_ptr()) };
    if !next.is_null() {
        return next;
    }
    // Where a plugin brought UCX in (Open MPI, with RTLD_LOCAL), libuct is in no scope of ours, but it is loaded.
    // SAFETY: a terminated name; nothing is loaded.
    let uct = unsafe { libc::dlopen(c"libuct.so.0".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    if uct.is_null() {
        return null_mut();
    }
    // SAFETY: an open handle and a terminated name. The handle stays open: so does the function.
    unsafe { libc::dlsym(uct, NAME.as_ptr()) }
}

/// Loads the transport, once.
///
/// The dynamic linker's own lock makes it safe: a second thread that comes meanwhile asks for the same library and waits in
/// `dlopen` until the constructor of the first has run, and a constructor that comes back here does not wait for itself.
fn load_transport() {
    static DONE: AtomicBool = AtomicBool::new(false);
    // Acquire pairs with the Release below: who sees DONE sees a registered transport.
    if DONE.load(Ordering::Acquire) {
        return;
    }
    let loaded = open_transport();
    let first = !DONE.swap(true, Ordering::AcqRel);
    if !loaded && first {
        // SAFETY: returns null or a terminated string, valid until this thread's next call of the linker.
        let reason = unsafe { libc::dlerror() };
        Message::new()
            .text(c"usb4: the transport cannot be loaded: ")
            .pointer(reason)
            .text(c" (set USB4_TRANSPORT_LIB to the full path of libuct_usb4.so.0, or install ucx-usb4 again)\n")
            .print();
    }
}

/// The library that the user names, else the one beside this library, else the one on the search path.
fn open_transport() -> bool {
    // SAFETY: a terminated name.
    let named = unsafe { libc::secure_getenv(VARIABLE.as_ptr()) };
    // An empty name would be the program itself to the linker, which always opens.
    // SAFETY: not null, so a terminated string.
    if !named.is_null() && unsafe { named.read() } != 0 {
        return open(named);
    }
    let mut path = Path::new();
    if beside(&mut path) {
        return open(path.as_ptr());
    }
    open(TRANSPORT.as_ptr())
}

fn open(name: *const c_char) -> bool {
    // NODELETE: UCX keeps pointers into it until the process ends.
    // SAFETY: a terminated name; the library's constructor is ours.
    !unsafe { libc::dlopen(name, libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE) }.is_null()
}

/// Puts the path of the transport beside this library into `path`; false when there is no such file.
fn beside(path: &mut Path) -> bool {
    let mut info = MaybeUninit::<libc::DlInfo>::zeroed();
    // SAFETY: an address in this library, and an out parameter of the right type.
    if unsafe { libc::dladdr(uct_query_components as *const c_void, info.as_mut_ptr()) } == 0 {
        return false;
    }
    // SAFETY: zeroed is valid, and dladdr has filled it.
    let own = unsafe { info.assume_init() }.file;
    if own.is_null() {
        return false;
    }
    // SAFETY: dladdr's name is terminated and lives as long as this library.
    let own = unsafe { CStr::from_ptr(own) }.to_bytes();
    // Without a slash the linker found this library in the current folder, as it would the transport.
    let folder = own.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let own = own.iter().take(folder);
    let bytes = own.chain(TRANSPORT.to_bytes_with_nul());
    // SAFETY: the path is terminated when it was filled.
    path.fill(bytes) && unsafe { libc::access(path.as_ptr(), libc::F_OK) } == 0
}

/// Room for a path, since there is no allocator.
struct Path([u8; libc::PATH_MAX]);

impl Path {
    fn new() -> Self {
        Self([0; libc::PATH_MAX])
    }

    /// False when the bytes do not fit.
    fn fill<'a>(&mut self, bytes: impl Iterator<Item = &'a u8> + Clone) -> bool {
        if bytes.clone().count() > self.0.len() {
            return false;
        }
        for (to, from) in self.0.iter_mut().zip(bytes) {
            *to = *from;
        }
        true
    }

    fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

/// Nothing here panics; the compiler wants to be told what would happen.
#[cfg(not(test))] // the test harness, which has no tests here, brings its own
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn abort() -> !;
    }
    abort()
}
