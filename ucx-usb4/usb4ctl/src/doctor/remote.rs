//! Other hosts of a job, which need the same libraries at the same place: LD_PRELOAD names a path.

use super::{Finding, Host};
use crate::install::{Install, InstallError};

/// Asks a host, through ssh, for the preload library. A host that asks for a password is not waited for.
pub(super) fn has_preload(host: &dyn Host, install: &Result<Install, InstallError>, name: &str) -> Finding {
    const CHECK: &str = "remote host";
    let Ok(install) = install else {
        return Finding::fail(CHECK, format!("{name}: nothing to compare with"), "see the check of the installation");
    };
    let preload = install.preload();
    let ssh = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", name, "test", "-r", &preload];
    let Ok(output) = host.run("ssh", &ssh, &[]) else {
        return Finding::warn(
            CHECK,
            format!("{name}: there is no ssh"),
            "install it with `sudo apt-get install openssh-client`",
        );
    };
    match output.code {
        Some(0) => Finding::ok(CHECK, format!("{name} has {preload}")),
        // test's own answer; ssh has 255 for its failures.
        Some(1) => Finding::fail(
            CHECK,
            format!("{name} has no {preload}: its ranks would run without usb4"),
            format!(
                "install the same ucx-usb4 there, at the same place: `scp ucx-usb4_*.deb {name}: && ssh -t {name} sudo apt-get install ./ucx-usb4_*.deb`"
            ),
        ),
        _ => Finding::fail(
            CHECK,
            format!("{name} cannot be asked: {}", output.stderr.lines().next().unwrap_or("ssh failed")),
            format!("mpirun needs ssh without a password: `ssh-copy-id {name}`"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::fake::{Fake, PRELOAD};
    use super::*;

    fn ask(code: i32, stderr: &str) -> Finding {
        let command = format!("ssh -o BatchMode=yes -o ConnectTimeout=10 lab2 test -r {PRELOAD}");
        let machine = Fake::new().program_that_ends(&command, code, stderr);
        machine.with_install(|host, install| has_preload(host, install, "lab2"))
    }

    #[test]
    fn a_host_without_the_library() {
        let finding = ask(1, "");
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.message.contains("lab2") && finding.advice.unwrap().contains("apt-get install ./ucx-usb4"));
        assert_eq!(ask(0, "").outcome, Outcome::Ok);
    }

    #[test]
    fn a_host_that_does_not_answer() {
        let finding = ask(255, "ssh: connect to host lab2 port 22: No route to host\n");
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.message.contains("No route to host") && finding.advice.unwrap().contains("ssh-copy-id lab2"));
    }
}
