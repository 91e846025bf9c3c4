//! What a user types: the environment in a shell, plain mpirun, ranks on other hosts.

use std::os::unix::fs::PermissionsExt;

use mpi_tests::{Fabric, Job, Outcome, Prefix};

/// A shell that evaluates `usb4ctl env`, then the script.
fn shell(prefix: &Prefix, fabric: &Fabric, script: &str) -> Outcome {
    let usb4ctl = prefix.program("usb4ctl");
    let script = format!("eval \"$('{}' env)\"\n{script}", usb4ctl.display());
    Job::bare(fabric, "bash").args(["-ec", &script]).run()
}

#[test]
fn plain_mpirun_after_eval_runs_over_usb4() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let script = format!("mpirun --oversubscribe -n 2 '{}'", prefix.program("ring").display());
    let outcome = shell(&prefix, &fabric, &script);
    outcome.assert_pass();
    assert!(outcome.traffic.cable_bytes() > 6 << 20, "{:?}", outcome.traffic);
}

#[test]
fn a_user_may_still_pass_variables_with_x() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let ring = prefix.program("ring");
    let script = format!("MINE=1 mpirun --oversubscribe -x MINE -x UCX_LOG_LEVEL=warn -n 2 '{}'", ring.display());
    let outcome = shell(&prefix, &fabric, &script);
    outcome.assert_pass();
    assert!(outcome.traffic.cable_bytes() > 0, "{:?}", outcome.traffic);
}

#[test]
fn ranks_on_another_host_get_the_variables() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    // In place of ssh: drops the options and the host, and runs the command without the caller's environment, but for where
    // that host would have its own UCX.
    let ssh = fabric.scratch("ssh");
    let script = "#!/bin/bash\nwhile [[ $1 == -* ]]; do shift; done\nshift\n\
                  exec env -i PATH=/usr/bin:/bin HOME=\"$HOME\" LD_LIBRARY_PATH=\"$LD_LIBRARY_PATH\" OMPI_ALLOW_RUN_AS_ROOT=1 \
                  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 bash -c \"$*\"\n";
    std::fs::write(&ssh, script).unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    // No host has that name; the stand-in for ssh does not mind. Open MPI 5 has another name for it than 4.
    let ssh = ssh.display();
    let script = format!(
        "export OMPI_MCA_plm_rsh_agent='{ssh}' PRTE_MCA_plm_ssh_agent='{ssh}'\nmpirun --host far.invalid:2 -n 2 '{}'",
        prefix.program("ring").display()
    );
    let outcome = shell(&prefix, &fabric, &script);
    outcome.assert_pass();
    assert!(outcome.traffic.cable_bytes() > 6 << 20, "{:?}", outcome.traffic);
}

#[test]
fn run_with_stats_proves_what_usb4_carried() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let job = || {
        Job::bare(&fabric, prefix.program("usb4ctl"))
            .args(["run", "--stats", "--", "mpirun", "--oversubscribe", "-n", "2"])
            .arg(prefix.program("ring"))
    };
    let outcome = job().run();
    outcome.assert_pass();
    assert!(outcome.stderr.contains("usb4 carried") && outcome.stderr.contains("rail 1.1"), "{}", outcome.stderr);

    let outcome = job().env("UCX_TLS", "self,sm").run();
    outcome.assert_pass();
    assert!(outcome.stderr.contains("UCX_TLS=self,sm"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("CARRIED NOTHING"), "{}", outcome.stderr);
}

#[test]
fn a_peer_without_a_way_to_it_is_told() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let script = format!("UCX_USB4_RAILS=9 mpirun --oversubscribe -n 2 '{}'", prefix.program("ring").display());
    let outcome = shell(&prefix, &fabric, &script);
    assert!(!outcome.status.success(), "{}", outcome.stdout);
    // UCX logs to standard output.
    assert!(outcome.stdout.contains("UCX_USB4_RAILS leaves it out"), "{}\n{}", outcome.stdout, outcome.stderr);
}

#[test]
fn nothing_is_left_in_shared_memory() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let script = format!("mpirun --oversubscribe -n 2 '{}'", prefix.program("halo").display());
    shell(&prefix, &fabric, &script).assert_pass();
    assert!(!fabric.is_in_use(), "shared memory is left behind");
}
