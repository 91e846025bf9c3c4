//! The libraries of this installation, and how they come into the job's processes.

use std::path::Path;

use super::{Finding, Host, LOAD_ENVIRONMENT};
use crate::install::{self, Install, InstallError};

/// Both libraries are there.
pub(super) fn installed(install: &Result<Install, InstallError>) -> Finding {
    match install {
        Ok(install) => Finding::ok("installation", format!("libraries in {}", install.folder().display())),
        Err(error) => Finding::fail("installation", error.to_string(), "reinstall, or build with `cargo xtask build`"),
    }
}

/// LD_PRELOAD brings the transport into UCX: up to 1.20, UCX loads no module that it was not compiled for.
pub(super) fn preloaded(host: &dyn Host, install: &Result<Install, InstallError>) -> Finding {
    const CHECK: &str = "preload";
    let value = host.variable("LD_PRELOAD").unwrap_or_default();
    let entry =
        value.split([':', ' ']).find(|entry| Path::new(entry).file_name().is_some_and(|name| name == install::PRELOAD));
    match (entry, install) {
        (None, _) => Finding::fail(
            CHECK,
            format!("LD_PRELOAD does not hold {}: UCX never sees usb4", install::PRELOAD),
            LOAD_ENVIRONMENT,
        ),
        (Some(entry), Ok(install)) if entry != install.preload() => Finding::warn(
            CHECK,
            format!("LD_PRELOAD takes {entry}, not this installation's {}", install.preload()),
            LOAD_ENVIRONMENT,
        ),
        (Some(entry), _) => Finding::ok(CHECK, format!("LD_PRELOAD holds {entry}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::fake::{Fake, PRELOAD};
    use super::*;

    #[test]
    fn a_missing_preload_fails() {
        let finding = Fake::new().variable("LD_PRELOAD", "/lib/other.so").with_install(preloaded);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.advice.unwrap().contains("usb4ctl env"));
    }

    #[test]
    fn the_preload_is_found_among_others() {
        let finding = Fake::new().variable("LD_PRELOAD", &format!("/lib/other.so:{PRELOAD}")).with_install(preloaded);
        assert_eq!(finding.outcome, Outcome::Ok, "{finding:?}");
    }

    #[test]
    fn another_installations_preload_is_noticed() {
        let finding = Fake::new().variable("LD_PRELOAD", "/old/libucx_usb4_preload.so").with_install(preloaded);
        assert_eq!(finding.outcome, Outcome::Warn);
        assert!(finding.message.contains("/old/") && finding.message.contains(PRELOAD));
    }

    #[test]
    fn an_incomplete_installation_fails() {
        let install = Install::find(Path::new("/nowhere/bin/usb4ctl"), None);
        let finding = installed(&install);
        assert_eq!(finding.outcome, Outcome::Fail);
    }
}
