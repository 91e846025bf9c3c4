//! Which MPI is there, and whether it is built on UCX.

use super::{Finding, Host};

/// Some MPI is installed; an MPICH is one on UCX.
pub(super) fn present(host: &dyn Host) -> Finding {
    const CHECK: &str = "MPI";
    let first_line = |program, arguments: &[&str]| {
        let output = host.run(program, arguments, &[]).ok()?;
        output.success.then_some(output.stdout)
    };
    let open_mpi = first_line("ompi_info", &["--version"]).is_some();
    let Some(mpich) = first_line("mpichversion", &[]) else {
        return match open_mpi {
            true => Finding::ok(CHECK, "Open MPI"),
            false => Finding::warn(
                CHECK,
                "neither Open MPI nor MPICH is in PATH",
                "install one (apt-get install openmpi-bin), or load its module; other programs on UCX do not need it",
            ),
        };
    };
    let field = |name: &str| mpich.lines().find_map(|line| line.strip_prefix(name)).map_or("unknown", str::trim);
    let (version, device) = (field("MPICH Version:"), field("MPICH Device:"));
    let others = if open_mpi { "Open MPI, " } else { "" };
    if device.starts_with("ch4:ucx") {
        return Finding::ok(CHECK, format!("{others}MPICH {version} on UCX"));
    }
    Finding::warn(
        CHECK,
        format!("{others}MPICH {version} is built on {device}: its programs do not use UCX"),
        "use an MPICH that is configured with --with-device=ch4:ucx, such as Debian's, or Open MPI",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::fake::Fake;
    use super::*;

    fn mpich(device: &str) -> Fake {
        let text = format!("MPICH Version:    \t4.0.2\nMPICH Device:    \t{device}\n");
        Fake::new().program("mpichversion", &text, "")
    }

    #[test]
    fn an_mpich_on_another_device_is_noticed() {
        let finding = mpich("ch4:ofi").examine(present);
        assert_eq!(finding.outcome, Outcome::Warn);
        assert!(finding.message.contains("ch4:ofi"));
        assert_eq!(mpich("ch4:ucx").examine(present).outcome, Outcome::Ok);
    }

    #[test]
    fn no_mpi_is_a_warning() {
        assert_eq!(Fake::new().examine(present).outcome, Outcome::Warn);
        assert_eq!(
            Fake::new().program("ompi_info --version", "Open MPI v4.1.4\n", "").examine(present).outcome,
            Outcome::Ok
        );
    }
}
