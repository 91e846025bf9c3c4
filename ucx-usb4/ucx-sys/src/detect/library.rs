//! The UCX libraries that this one is bound to, through the dynamic linker.

use std::ffi::{CStr, CString, OsStr, c_int, c_void};
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::{Refusal, Version};
use crate::public::{ucs_class_call_cleanup_chain, uct_component_register};

/// Handles of libuct and libucs. They stay open: the transport is never unloaded.
pub(super) struct Libraries {
    uct: *mut c_void,
    ucs: *mut c_void,
    uct_file: CString,
}

impl Libraries {
    /// Exactly those whose functions this library calls, whatever their scope and name (Open MPI loads UCX `RTLD_LOCAL`, and a
    /// process may have two UCX).
    pub(super) fn find() -> Result<Self, Refusal> {
        let (uct, uct_file) = bound(uct_component_register as *const c_void, "libuct")?;
        let (ucs, _) = bound(ucs_class_call_cleanup_chain as *const c_void, "libucs")?;
        Ok(Self { uct, ucs, uct_file })
    }

    pub(super) fn uct_file(&self) -> &CStr {
        &self.uct_file
    }

    /// The address of what libuct or libucs export under `name`.
    pub(super) fn symbol(&self, name: &CStr) -> Option<*const c_void> {
        lookup(self.uct, name).or_else(|| lookup(self.ucs, name))
    }

    /// The size in bytes of an object that libuct exports: it stands in the dynamic symbol table, which stripping keeps.
    pub(super) fn object_size(&self, name: &CStr) -> Option<usize> {
        let address = lookup(self.uct, name)?;
        let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
        let mut symbol: *const libc::Elf64_Sym = std::ptr::null();
        // SAFETY: the out parameters are of the types that the flag asks for.
        let found = unsafe { dladdr1(address, info.as_mut_ptr(), (&raw mut symbol).cast(), RTLD_DL_SYMENT) };
        if found == 0 || symbol.is_null() {
            return None;
        }
        // SAFETY: it points into the symbol table of a loaded library.
        let size = unsafe { (*symbol).st_size };
        usize::try_from(size).ok()
    }

    /// The version, from the first libucp that belongs to our libuct: the loaded one, the one beside libuct, the one on the
    /// search path. The folder alone proves nothing: in UCX's build tree they differ.
    pub(super) fn version(&self) -> Result<Version, Refusal> {
        const NAME: &CStr = c"libucp.so.0";
        let beside = beside(&self.uct_file, NAME);
        let places = [(Some(NAME), libc::RTLD_NOLOAD), (beside.as_deref(), 0), (Some(NAME), 0)];
        for (name, flag) in places {
            let Some(name) = name else { continue };
            // SAFETY: UCX's own library, whose constructors UCX expects to run in any process.
            let ucp = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL | flag) };
            if ucp.is_null() {
                continue;
            }
            // A handle looks a name up in the library and all that it needs, so this one is libucp's own libuct.
            if lookup(ucp, c"uct_component_register") == lookup(self.uct, c"uct_component_register")
                && let Some(version) = version_of(ucp)
            {
                return Ok(version);
            }
            // SAFETY: just opened, and nothing of it is kept.
            unsafe { libc::dlclose(ucp) };
        }
        Err(Refusal::NoVersion { library: self.uct_file.to_string_lossy().into_owned() })
    }
}

/// The file and a handle of the library that `function` is in.
fn bound(function: *const c_void, what: &str) -> Result<(*mut c_void, CString), Refusal> {
    let no_library = |reason: String| Refusal::NoLibrary { library: what.into(), reason };
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the out parameter has the right type.
    if unsafe { libc::dladdr(function, info.as_mut_ptr()) } == 0 {
        return Err(no_library("dladdr does not know its functions".into()));
    }
    // SAFETY: zeroed is valid, and dladdr has filled it.
    let name = unsafe { info.assume_init() }.dli_fname;
    // SAFETY: dladdr's name is terminated and lives as long as the library.
    let file = unsafe { CStr::from_ptr(name) }.to_owned();
    // SAFETY: it is loaded, so no constructor runs.
    let handle = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    if handle.is_null() { Err(no_library(linker_error())) } else { Ok((handle, file)) }
}

fn lookup(handle: *mut c_void, name: &CStr) -> Option<*const c_void> {
    // SAFETY: an open handle and a terminated name.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    (!address.is_null()).then_some(address.cast_const())
}

fn version_of(ucp: *mut c_void) -> Option<Version> {
    type GetVersion = unsafe extern "C" fn(*mut u32, *mut u32, *mut u32);
    let function = lookup(ucp, c"ucp_get_version")?;
    // SAFETY: the signature is part of UCP's public API.
    let get_version = unsafe { std::mem::transmute::<*const c_void, GetVersion>(function) };
    let mut version = Version { major: 0, minor: 0, patch: 0 };
    // SAFETY: three out parameters.
    unsafe { get_version(&raw mut version.major, &raw mut version.minor, &raw mut version.patch) };
    Some(version)
}

/// `name` in the folder of the (real) file.
fn beside(file: &CStr, name: &CStr) -> Option<CString> {
    let file = fs::canonicalize(Path::new(OsStr::from_bytes(file.to_bytes()))).ok()?;
    let path = file.parent()?.join(OsStr::from_bytes(name.to_bytes()));
    CString::new(path.into_os_string().into_vec()).ok()
}

fn linker_error() -> String {
    // SAFETY: returns null or a terminated string that lives until this thread's next call.
    let error = unsafe { libc::dlerror() };
    if error.is_null() {
        return "no reason given".into();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned()
}

const RTLD_DL_SYMENT: c_int = 1;

unsafe extern "C" {
    /// glibc's `dladdr1`, which the libc crate does not have.
    fn dladdr1(address: *const c_void, info: *mut libc::Dl_info, extra: *mut *mut c_void, flags: c_int) -> c_int;
}
