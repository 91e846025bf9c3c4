//! What a user reads when something is set up wrong: from `usb4ctl doctor`, and from UCX's own log.

use mpi_tests::{Fabric, Job, Outcome, Prefix};

/// The doctor in the surroundings of a job.
fn doctor(job: Job) -> Outcome {
    job.arg("doctor").run()
}

fn job(prefix: &Prefix, fabric: &Fabric) -> Job {
    Job::command(prefix, fabric, prefix.program("usb4ctl"))
}

/// What a program on UCX prints that asks for usb4.
fn probe(prefix: &Prefix, fabric: &Fabric, change: impl FnOnce(Job) -> Job) -> String {
    let outcome = change(Job::command(prefix, fabric, "ucx_info")).args(["-d", "-t", "usb4"]).run();
    format!("{}{}", outcome.stdout, outcome.stderr)
}

#[test]
fn a_good_setup_passes_every_check() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let outcome = doctor(job(&prefix, &fabric));
    assert!(outcome.status.success(), "{}{}", outcome.stdout, outcome.stderr);
    assert!(!outcome.stdout.contains("FAIL") && outcome.stdout.contains("usb4 works"), "{}", outcome.stdout);
}

#[test]
fn a_shell_without_the_environment_is_told_to_load_it() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let outcome = doctor(Job::bare(&fabric, prefix.program("usb4ctl")));
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.stdout.contains("eval \"$(usb4ctl env)\""), "{}", outcome.stdout);
}

#[test]
fn an_open_mpi_setting_in_the_shell_is_named() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let outcome = doctor(job(&prefix, &fabric).env("OMPI_MCA_pml", "ob1"));
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.stdout.contains("pml=\"ob1\" (environment)"), "{}", outcome.stdout);
}

#[test]
fn an_open_mpi_setting_in_a_file_is_named_with_its_line() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let home = fabric.scratch("home");
    std::fs::create_dir_all(home.join(".openmpi")).unwrap();
    std::fs::write(home.join(".openmpi/mca-params.conf"), "# mine\npml = cm\n").unwrap();
    let outcome = doctor(job(&prefix, &fabric).env("HOME", &home).env_remove("OMPI_MCA_pml"));
    assert_eq!(outcome.status.code(), Some(1));
    let place = format!("pml=\"cm\" (file ({}/.openmpi/mca-params.conf:2))", home.display());
    assert!(outcome.stdout.contains(&place), "{}", outcome.stdout);
}

#[test]
fn transports_without_usb4_are_named() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let outcome = doctor(job(&prefix, &fabric).env("UCX_TLS", "tcp,self"));
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.stdout.contains("UCX_TLS=tcp,self (environment) leaves usb4 out"), "{}", outcome.stdout);
}

#[test]
fn no_device_and_no_cable_names_both_ways_out() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    for text in [
        doctor(job(&prefix, &fabric).env_remove("UCX_USB4_LINKS")).stdout,
        probe(&prefix, &fabric, |job| job.env_remove("UCX_USB4_LINKS")),
    ] {
        for way in ["modprobe usb4_dma", "UCX_USB4_LINKS=sim:PROFILE"] {
            assert!(text.contains(way), "{way} is not in {text}");
        }
    }
}

#[test]
fn an_unknown_profile_gets_the_list() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    for text in [
        doctor(job(&prefix, &fabric).env("UCX_USB4_LINKS", "sim:strix")).stdout,
        probe(&prefix, &fabric, |job| job.env("UCX_USB4_LINKS", "sim:strix")),
    ] {
        assert!(text.contains("ideal, strix-halo, usb4-40g, usb4-80g"), "{text}");
    }
}

#[test]
fn a_broken_file_gets_line_column_and_what_was_expected() {
    let prefix = Prefix::staged();
    let fabric = Fabric::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\nlatency_us = \"fast\"\n");
    // The harness puts a line of its own in front.
    let place = format!("{}:5:14: ", fabric.file().display());
    for text in [doctor(job(&prefix, &fabric)).stdout, probe(&prefix, &fabric, |job| job)] {
        assert!(text.contains(&place) && text.contains("expected"), "{place} is not in {text}");
    }
}

#[test]
fn too_little_shared_memory_says_how_much_and_how_to_get_it() {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    // A /dev/shm of its own, seen by these processes only.
    let script = "mount -t tmpfs -o size=2m none /dev/shm && exec ucx_info -d -t usb4";
    let outcome = Job::command(&prefix, &fabric, "unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .run();
    let text = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(text.contains("MiB free") && text.contains("needs") && text.contains("remount,size="), "{text}");
}
