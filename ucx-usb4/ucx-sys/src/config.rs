//! A configuration table in neutral terms, which each release's layout turns into its own `ucs_config_field_t`.
//!
//! The type of a setting in the transport's struct decides how UCX parses and prints it, so the two cannot disagree:
//!
//! ```
//! use ucx_sys::config::{BaseIfaceConfig, Field, MemUnits, Seconds, Switch, Text};
//!
//! #[repr(C)]
//! struct Config {
//!     base: BaseIfaceConfig, // first, always
//!     rails: Text,
//!     retry_timeout: Seconds,
//! }
//! const FIELDS: &[Field] = &[
//!     Field::base(),
//!     ucx_sys::field!(Config, rails, c"RAILS", c"all", c"Rails to use."),
//!     ucx_sys::field!(Config, retry_timeout, c"RETRY_TIMEOUT", c"30s", c"When a silent peer is given up."),
//! ];
//! # assert_eq!(FIELDS[2].offset_bytes(), std::mem::offset_of!(Config, retry_timeout));
//! ```

mod parser;

use std::ffi::{CStr, c_char, c_int};

pub(crate) use parser::{Clone, Help, Parser, Read, Release, Write};

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub(crate) name: &'static CStr,
    pub(crate) default: &'static CStr,
    pub(crate) help: Option<&'static CStr>,
    pub(crate) offset: usize,
    pub(crate) kind: Kind,
}

impl Field {
    /// The settings that every UCX interface has (`uct_iface_config_t`). They stand first, in a member of [`BaseIfaceConfig`].
    #[must_use]
    pub const fn base() -> Self {
        Self { name: c"", default: c"", help: None, offset: 0, kind: Kind::BaseIface }
    }

    /// For [`field!`](crate::field), which makes sure that `offset` and `kind` belong to the same member.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        name: &'static CStr,
        default: &'static CStr,
        help: &'static CStr,
        offset: usize,
        kind: Kind,
    ) -> Self {
        Self { name, default, help: Some(help), offset, kind }
    }

    /// The name without `UCX_` and the transport's prefix.
    #[must_use]
    pub const fn name(&self) -> &'static CStr {
        self.name
    }

    /// The value that UCX takes when the user sets none.
    #[must_use]
    pub const fn default_value(&self) -> &'static CStr {
        self.default
    }

    /// The help that `ucx_info -cf` shows.
    #[must_use]
    pub const fn help(&self) -> Option<&'static CStr> {
        self.help
    }

    /// Where the setting stands in the transport's struct.
    #[must_use]
    pub const fn offset_bytes(&self) -> usize {
        self.offset
    }
}

/// One setting of `$config`: its member, its name, its default as a user would write it, and its help.
#[macro_export]
macro_rules! field {
    ($config:ty, $member:ident, $name:expr, $default:expr, $help:expr) => {
        $crate::config::Field::new(
            $name,
            $default,
            $help,
            ::std::mem::offset_of!($config, $member),
            $crate::config::kind_of(|config: &$config| &config.$member),
        )
    };
}

/// The kind of the member that `_get` returns.
#[doc(hidden)]
#[must_use]
pub const fn kind_of<C, V: Value>(_get: fn(&C) -> &V) -> Kind {
    V::KIND
}

/// How UCX parses, prints and frees a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UCX's own table of interface settings.
    BaseIface,
    /// A string that the struct owns.
    Text,
    /// `<number>[b|kb|mb|gb]`, `inf` or `auto`.
    MemUnits,
    /// `<number>[s|us|ms|ns]`.
    Time,
    /// `y` or `n`.
    Switch,
    /// An unsigned number of 32 bits.
    Number,
    /// A floating point number.
    Real,
}

/// A type that a setting can have.
pub trait Value {
    /// How UCX handles it.
    const KIND: Kind;
}

/// UCX's own interface settings (`uct_iface_config_t`, 32 bytes in all releases).
#[repr(C)]
pub struct BaseIfaceConfig([u64; 4]);

impl Value for BaseIfaceConfig {
    const KIND: Kind = Kind::BaseIface;
}

/// A string.
#[repr(transparent)]
pub struct Text(*const c_char);

impl Value for Text {
    const KIND: Kind = Kind::Text;
}

impl Text {
    /// The string.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        if self.0.is_null() {
            return c"";
        }
        // SAFETY: UCX's string parser put an allocated, terminated string here, which lives as long as the struct.
        unsafe { CStr::from_ptr(self.0) }
    }
}

/// A number of bytes.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemUnits(usize);

impl Value for MemUnits {
    const KIND: Kind = Kind::MemUnits;
}

impl MemUnits {
    /// What the user wrote.
    #[must_use]
    pub fn amount(self) -> Amount {
        match self.0 {
            usize::MAX => Amount::Infinite,
            n if n == usize::MAX - 1 => Amount::Auto,
            n => Amount::Bytes(n),
        }
    }
}

/// What a user writes for a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many bytes.
    Bytes(usize),
    /// `inf`.
    Infinite,
    /// `auto`: the transport decides.
    Auto,
}

/// A time in seconds.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Seconds(pub f64);

impl Value for Seconds {
    const KIND: Kind = Kind::Time;
}

/// Yes or no.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(c_int);

impl Value for Switch {
    const KIND: Kind = Kind::Switch;
}

impl Switch {
    /// True for yes.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.0 != 0
    }
}

impl Value for u32 {
    const KIND: Kind = Kind::Number;
}

impl Value for f64 {
    const KIND: Kind = Kind::Real;
}
