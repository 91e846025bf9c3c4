//! What this library needs of libc (glibc 2.34 and newer: the dynamic linker's functions are part of it).

use core::ffi::{c_char, c_int, c_void};

pub(crate) const RTLD_LAZY: c_int = 0x1;
pub(crate) const RTLD_NOW: c_int = 0x2;
pub(crate) const RTLD_NOLOAD: c_int = 0x4;
pub(crate) const RTLD_LOCAL: c_int = 0;
pub(crate) const RTLD_NODELETE: c_int = 0x1000;
/// The next definition of a symbol after the caller's library.
pub(crate) const RTLD_NEXT: *mut c_void = -1_isize as *mut c_void;
pub(crate) const F_OK: c_int = 0;
pub(crate) const PATH_MAX: usize = 4096;
pub(crate) const STDERR: c_int = 2;

/// `Dl_info`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct DlInfo {
    pub(crate) file: *const c_char,
    base: *mut c_void,
    symbol: *const c_char,
    address: *mut c_void,
}

#[link(name = "c")]
unsafe extern "C" {
    pub(crate) fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    pub(crate) fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    pub(crate) fn dlerror() -> *const c_char;
    pub(crate) fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
    pub(crate) fn secure_getenv(name: *const c_char) -> *const c_char;
    pub(crate) fn access(path: *const c_char, mode: c_int) -> c_int;
    pub(crate) fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize;
}
