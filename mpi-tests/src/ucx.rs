//! The UCX that jobs run with: the machine's, or another installation of it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// An installation of UCX as `cargo xtask matrix` names it.
#[derive(Debug)]
pub(crate) struct Ucx {
    /// `USB4_TEST_UCX`: a prefix with lib/ and bin/; none: what the linker finds.
    prefix: Option<PathBuf>,
    /// `USB4_TEST_UCX_RELEASE`: what it must turn out to be, `1.16`.
    release: Option<String>,
    /// `USB4_TEST_UCX_PROTO`: the value of UCX_PROTO_ENABLE, `y` or `n`; none: UCX's default.
    proto: Option<String>,
}

impl Ucx {
    /// The one that the variables name.
    pub(crate) fn chosen() -> Ucx {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Ucx {
            prefix: text("USB4_TEST_UCX").map(PathBuf::from),
            release: text("USB4_TEST_UCX_RELEASE"),
            proto: text("USB4_TEST_UCX_PROTO"),
        }
    }

    /// Lets a command, and what it starts, use it.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Some(prefix) = &self.prefix {
            for (name, folder) in [("LD_LIBRARY_PATH", "lib"), ("PATH", "bin")] {
                command.env(name, in_front(prefix.join(folder), std::env::var_os(name)));
            }
        }
        if let Some(proto) = &self.proto {
            command.env("UCX_PROTO_ENABLE", proto);
        }
    }

    /// Checks that a channel's process had that release: another UCX in its place would prove nothing.
    ///
    /// # Panics
    /// If it had another one.
    pub(crate) fn check(&self, found: &str) {
        if let Some(release) = &self.release {
            assert!(found.starts_with(&format!("{release}.")), "the job ran with UCX {found}, not {release}");
        }
    }
}

/// A list of folders with one more in front.
fn in_front(folder: PathBuf, list: Option<OsString>) -> OsString {
    let mut text = OsString::from(folder);
    if let Some(list) = list.filter(|list| !list.is_empty()) {
        text.push(":");
        text.push(list);
    }
    text
}
