//! `usb4ctl doctor`: small checks over a view of the machine, one line each.

mod fabric;
mod hardware;
mod library;
mod mpi;
mod openmpi;
mod remote;
mod report;
mod ucx;

#[cfg(test)]
pub(crate) mod fake;

use crate::host::Host;
use crate::install::{Install, InstallError};
use report::{Finding, Outcome, Report};

/// Runs the checks, in the order in which a user would fix what they find.
///
/// `remotes` are other hosts of the job, to be asked through ssh.
pub(crate) fn examine(host: &dyn Host, install: &Result<Install, InstallError>, remotes: &[String]) -> Report {
    let open_mpi = openmpi::Settings::read(host);
    let mut findings = vec![
        library::installed(install),
        hardware::module(host),
        fabric::links(host),
        fabric::memory(host),
        hardware::locked_memory(host),
        hardware::training(host),
        hardware::thunderbolt_net(host),
        hardware::moderation(host),
        ucx::release(host),
        ucx::transport(host, install),
        library::preloaded(host, install),
        ucx::transports(host),
        ucx::devices(host),
        openmpi::pml(&open_mpi),
        openmpi::lists(&open_mpi),
        openmpi::osc(&open_mpi),
        mpi::present(host),
    ];
    findings.extend(remotes.iter().map(|name| remote::has_preload(host, install, name)));
    Report { findings }
}

/// What a user should read before a command starts: settings of theirs that `usb4ctl env` leaves as they are and that keep
/// the command from usb4.
pub(crate) fn warnings(host: &dyn Host) -> Vec<String> {
    let mut findings = vec![fabric::links(host)];
    if host.variable("UCX_TLS").is_some_and(|value| !value.trim().is_empty()) {
        findings.push(ucx::transports(host));
    }
    let failed = findings.into_iter().filter(|finding| finding.outcome == Outcome::Fail);
    failed.map(|Finding { message, advice, .. }| format!("{message}; {}", advice.unwrap_or_default())).collect()
}

/// What most advice comes down to.
const LOAD_ENVIRONMENT: &str =
    "run `eval \"$(usb4ctl env)\"` in this shell, or start the job with `usb4ctl run -- ...`";
