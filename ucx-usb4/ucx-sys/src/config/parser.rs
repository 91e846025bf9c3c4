//! UCX's own parsers, one set per kind of setting; exported alike by all supported releases.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::Kind;
use crate::public::{ucs_status_t, uct_iface_config_table};

pub(crate) type Read = unsafe extern "C" fn(*const c_char, *mut c_void, *const c_void) -> c_int;
pub(crate) type Write = unsafe extern "C" fn(*mut c_char, usize, *const c_void, *const c_void) -> c_int;
pub(crate) type Clone = unsafe extern "C" fn(*const c_void, *mut c_void, *const c_void) -> ucs_status_t;
pub(crate) type Release = unsafe extern "C" fn(*mut c_void, *const c_void);
pub(crate) type Help = unsafe extern "C" fn(*mut c_char, usize, *const c_void);

/// What `ucs_config_parser_t` holds in every release.
pub(crate) struct Parser {
    pub(crate) read: Read,
    pub(crate) write: Option<Write>,
    pub(crate) clone: Clone,
    pub(crate) release: Release,
    pub(crate) help: Help,
    pub(crate) arg: *const c_void,
}

impl Parser {
    /// The set that UCX's macro `UCS_CONFIG_TYPE_*` of the same kind names.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::BaseIface => Self {
                read: ucs_config_sscanf_table,
                write: None,
                clone: ucs_config_clone_table,
                release: ucs_config_release_table,
                help: ucs_config_help_table,
                arg: (&raw const uct_iface_config_table).cast(),
            },
            Kind::Text => Self {
                read: ucs_config_sscanf_string,
                write: Some(ucs_config_sprintf_string),
                clone: ucs_config_clone_string,
                release: ucs_config_release_string,
                help: ucs_config_help_generic,
                arg: c"string".as_ptr().cast(),
            },
            Kind::MemUnits => Self::plain(
                ucs_config_sscanf_memunits,
                ucs_config_sprintf_memunits,
                ucs_config_clone_ulong,
                c"memory units: <number>[b|kb|mb|gb], \"inf\", or \"auto\"",
            ),
            Kind::Time => Self::plain(
                ucs_config_sscanf_time,
                ucs_config_sprintf_time,
                ucs_config_clone_double,
                c"time value: <number>[s|us|ms|ns]",
            ),
            Kind::Switch => {
                Self::plain(ucs_config_sscanf_bool, ucs_config_sprintf_bool, ucs_config_clone_int, c"<y|n>")
            }
            Kind::Number => {
                Self::plain(ucs_config_sscanf_uint, ucs_config_sprintf_uint, ucs_config_clone_uint, c"unsigned integer")
            }
            Kind::Real => Self::plain(
                ucs_config_sscanf_double,
                ucs_config_sprintf_double,
                ucs_config_clone_double,
                c"floating point number",
            ),
        }
    }

    /// A kind that owns nothing and is described by a text.
    fn plain(read: Read, write: Write, clone: Clone, text: &'static CStr) -> Self {
        let arg = text.as_ptr().cast();
        Self { read, write: Some(write), clone, release: ucs_config_release_nop, help: ucs_config_help_generic, arg }
    }
}

unsafe extern "C" {
    fn ucs_config_sscanf_table(text: *const c_char, dest: *mut c_void, arg: *const c_void) -> c_int;
    fn ucs_config_clone_table(src: *const c_void, dest: *mut c_void, arg: *const c_void) -> ucs_status_t;
    fn ucs_config_release_table(value: *mut c_void, arg: *const c_void);
    fn ucs_config_help_table(text: *mut c_char, max: usize, arg: *const c_void);

    fn ucs_config_sscanf_string(text: *const c_char, dest: *mut c_void, arg: *const c_void) -> c_int;
    fn ucs_config_sprintf_string(text: *mut c_char, max: usize, src: *const c_void, arg: *const c_void) -> c_int;
    fn ucs_config_clone_string(src: *const c_void, dest: *mut c_void, arg: *const c_void) -> ucs_status_t;
    fn ucs_config_release_string(value: *mut c_void, arg: *const c_void);

    fn ucs_config_sscanf_memunits(text: *const c_char, dest: *mut c_void, arg: *const c_void) -> c_int;
    fn ucs_config_sprintf_memunits(text: *mut c_char, max: usize, src: *const c_void, arg: *const c_void) -> c_int;
    fn ucs_config_clone_ulong(src: *const c_void, dest: *mut c_void, arg: *const c_void) -> ucs_status_t;

    fn ucs_config_sscanf_time(text: *const c_char, dest: *mut c_void, arg: *const c_void) -> c_int;
    fn ucs_config_sprintf_time(text: *mut c_char, max: usize, src: *const c_void, arg: *const c_void) -> c_int;
    fn ucs_config_sscanf_double(text: *const c_char, dest: *mut c_void, arg: *const c_void) -> c_int;
    fn ucs_config_sprintf_double(text: *mut c_char, max: usize, src: *const c_void, arg: *const c_void) -> c_int;
    fn ucs_config_clone_double(src: *const c_void, dest: *mut c_void, arg: *const c_void) -> ucs_status_t;

    fn ucs_config_sscanf_bool(text: *const c_char, dest: *mut c_void, arg: *const c_void) -> c_int;
    fn ucs_config_sprintf_bool(text: *mut c_char, max: usize, src: *const c_void, arg: *const c_void) -> c_int;
    fn ucs_config_clone_int(src: *const c_void, dest: *mut c_void, arg: *const c_void) -> ucs_status_t;

    fn ucs_config_sscanf_uint(text: *const c_char, dest: *mut c_void, arg: *const c_void) -> c_int;
    fn ucs_config_sprintf_uint(text: *mut c_char, max: usize, src: *const c_void, arg: *const c_void) -> c_int;
    fn ucs_config_clone_uint(src: *const c_void, dest: *mut c_void, arg: *const c_void) -> ucs_status_t;

    fn ucs_config_release_nop(value: *mut c_void, arg: *const c_void);
    fn ucs_config_help_generic(text: *mut c_char, max: usize, arg: *const c_void);
}
