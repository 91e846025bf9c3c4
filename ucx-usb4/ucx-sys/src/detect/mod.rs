//! Which UCX is this process running?
//!
//! The version comes from `ucp_get_version` of the libucp that belongs to our libuct. A wrong layout mostly crashes, but some
//! pairs of releases look alike until much later, so an independent fingerprint of libuct must agree in every point.

mod fingerprint;
mod library;
mod refusal;

use std::ffi::CStr;
use std::fmt;

pub(crate) use fingerprint::Symbols;
pub use refusal::Refusal;

use crate::abi::{RELEASES, Release, tcp_probe};
use fingerprint::Fingerprint;

/// A UCX version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 1, so far.
    pub major: u32,
    /// The number that names a layout.
    pub minor: u32,
    /// The patch release.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The supported releases, for a message: `1.13 to 1.22`.
#[must_use]
pub fn supported() -> String {
    format!("{} to {}", RELEASES[0].name, RELEASES[RELEASES.len() - 1].name)
}

/// The UCX that this library is bound to.
pub(crate) struct Ucx {
    version: Version,
    release: &'static Release,
    symbols: Symbols,
}

impl Ucx {
    /// Finds it, or says why it is not served or has a component `name` already. Nothing in UCX is changed.
    pub(crate) fn detect(name: &'static CStr) -> Result<Self, Refusal> {
        let libraries = library::Libraries::find()?;
        let version = libraries.version()?;
        let release = decide(&Fingerprint::of(version, &libraries))?;
        if fingerprint::has_component(&libraries, tcp_probe(release.id), name) {
            return Err(Refusal::Twice { name });
        }
        Ok(Self { version, release, symbols: Symbols::of(&libraries) })
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn release(&self) -> &'static Release {
        self.release
    }

    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }
}

/// The release whose layout serves a libuct with this fingerprint.
fn decide(found: &Fingerprint) -> Result<&'static Release, Refusal> {
    let version = found.version;
    let release = RELEASES
        .iter()
        .find(|release| version.major == 1 && release.minor == version.minor)
        .ok_or(Refusal::UnknownVersion { found: version })?;
    if found.has_statistics() {
        return Err(Refusal::Statistics { found: version });
    }
    match found.difference(release) {
        None => Ok(release),
        Some(difference) => {
            Err(Refusal::WrongFingerprint { found: version, difference, library: found.library.clone() })
        }
    }
}

#[cfg(test)]
mod tests;
