//! Jobs over bad cables, and jobs that lose a rank.

use std::thread;
use std::time::{Duration, Instant};

use mpi_tests::{Fabric, Job, Mpi, Prefix, Running, descendants, go_on, kill, stop, under_each_mpi};

under_each_mpi!(one_per_cent_of_all_frames_lost_changes_no_byte, a_killed_rank_ends_the_job_with_an_error);

fn one_per_cent_of_all_frames_lost_changes_no_byte(mpi: Mpi) {
    let prefix = Prefix::staged();
    let fabric = Fabric::strix_halo(0.01);
    Job::example(mpi, &prefix, &fabric, 2, "halo").run().assert_pass();
    let outcome = Job::example(mpi, &prefix, &fabric, 2, "ring").arg("4000000").run();
    outcome.assert_pass();
    let (lost, again) = (outcome.traffic.lost(), outcome.traffic.retransmits());
    assert!(lost > 0 && again > 0, "{lost} frames lost, {again} sent again: the cable was too good");
}

#[test]
fn ten_per_cent_of_all_frames_lost_changes_no_byte() {
    let prefix = Prefix::staged();
    let fabric = Fabric::strix_halo(0.1);
    Job::example(Mpi::OpenMpi, &prefix, &fabric, 2, "halo").run().assert_pass();
    let outcome = Job::example(Mpi::OpenMpi, &prefix, &fabric, 2, "ring").arg("1000000").run();
    outcome.assert_pass();
    assert!(outcome.traffic.lost() > 20, "{} frames lost: the cable was too good", outcome.traffic.lost());
}

/// A solver's sums depend on every message: the digest of its solution is the same over cables that lose frames and are pulled.
#[test]
fn bad_cables_change_no_bit_of_a_solution() {
    let prefix = Prefix::staged();
    let cable = "[[cables]]\nbetween = [0, 1]\nrails = 2\nrate_gbps = 13.0\nlatency_us = 5.5\nloss = 0.01\n";
    let pulls: String =
        (0..600).map(|n| format!("[[cables.unplug]]\nat_ms = {}.0\nfor_ms = 50.0\n", n * 200)).collect();
    let bad = Fabric::new(&format!("nodes = 2\nseed = 3\n{cable}{cable}{pulls}"));
    let solve = |fabric: &Fabric| {
        let outcome = Job::example(Mpi::OpenMpi, &prefix, fabric, 2, "conjugate_gradient").arg("128").run();
        outcome.assert_pass();
        let line = outcome.stdout.lines().find_map(|line| line.strip_prefix("measured: ")).expect("it measures itself");
        let measured: serde_json::Value = serde_json::from_str(line).expect("JSON");
        (measured["result"].as_str().expect("a digest").to_owned(), outcome.traffic.lost())
    };
    let (clean, none) = solve(&Fabric::strix_halo(0.0));
    let (faulty, lost) = solve(&bad);
    assert_eq!(none, 0);
    assert!(lost > 0, "no frame was lost: the cable was too good");
    assert_eq!(clean, faulty);
}

/// `usb4ctl sim unplug|replug` of some cables.
fn cables(prefix: &Prefix, fabric: &Fabric, verb: &str, numbers: &[&str]) {
    for number in numbers {
        let arguments = ["sim", verb, "--fabric", fabric.name(), number];
        let output = prefix.usb4ctl().args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_job_waits_for_its_cables_to_be_put_back() {
    let prefix = Prefix::staged();
    let fabric = Fabric::strix_halo(0.0);
    let job = Job::example(Mpi::OpenMpi, &prefix, &fabric, 2, "ring").arg("4000000").arg("30").start();
    wait_for_traffic(&fabric, 50 << 20);
    cables(&prefix, &fabric, "unplug", &["0", "1"]);
    // Long enough for many timeouts, and well within UCX_USB4_REPLUG_TIMEOUT.
    thread::sleep(Duration::from_secs(1));
    let then = fabric.cable_bytes();
    cables(&prefix, &fabric, "replug", &["0", "1"]);
    wait_for_traffic(&fabric, then + (10 << 20));
    job.finish().assert_pass();
}

#[test]
fn cables_that_stay_away_end_the_job_with_an_error() {
    let prefix = Prefix::staged();
    let fabric = Fabric::strix_halo(0.0);
    let job = Job::example(Mpi::OpenMpi, &prefix, &fabric, 2, "ring").env("UCX_USB4_REPLUG_TIMEOUT", "500ms");
    let job = job.arg("100000").arg("100000000").start();
    wait_for_traffic(&fabric, 10 << 20);
    cables(&prefix, &fabric, "unplug", &["0", "1"]);
    let outcome = job.finish();
    assert!(!outcome.status.success(), "{outcome:?}");
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(said.contains("all rails to the peer are down") && said.contains("plug a cable in"), "{said}");
}

#[test]
fn a_rank_that_is_stopped_and_goes_on_changes_no_byte() {
    let prefix = Prefix::staged();
    let fabric = Fabric::strix_halo(0.0);
    let job = Job::example(Mpi::OpenMpi, &prefix, &fabric, 2, "ring").arg("4000000").arg("30").start();
    wait_for_traffic(&fabric, 50 << 20);
    let pids = descendants(job.pid(), "ring");
    stop(pids[1]);
    thread::sleep(Duration::from_secs(3));
    go_on(pids[1]);
    job.finish().assert_pass();
}

#[test]
fn a_cable_that_is_pulled_and_put_back_changes_no_byte() {
    let prefix = Prefix::staged();
    let fabric = Fabric::strix_halo(0.0);
    let job = Job::example(Mpi::OpenMpi, &prefix, &fabric, 2, "ring").arg("4000000").arg("30").start();
    wait_for_traffic(&fabric, 50 << 20);
    cables(&prefix, &fabric, "unplug", &["0"]);
    let then = fabric.cable_bytes();
    wait_for_traffic(&fabric, then + (50 << 20));
    cables(&prefix, &fabric, "replug", &["0"]);
    job.finish().assert_pass();
}

/// Starts a job that would run for hours, and waits until it is at work.
fn long_job(prefix: &Prefix, fabric: &Fabric, mpi: Mpi, ranks: u32) -> (Running, Vec<u32>) {
    // Without Open MPI's own shared memory, which it does not use beside UCX and leaves behind when ranks are killed.
    let job = Job::example(mpi, prefix, fabric, ranks, "ring").env("OMPI_MCA_btl", "self");
    let job = job.arg("100000").arg("100000000").start();
    wait_for_traffic(fabric, 10 << 20);
    let pids = descendants(job.pid(), "ring");
    assert_eq!(pids.len(), ranks as usize);
    (job, pids)
}

fn wait_for_traffic(fabric: &Fabric, bytes: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while fabric.cable_bytes() < bytes {
        assert!(Instant::now() < deadline, "the job does not get going: {} of {bytes} bytes", fabric.cable_bytes());
        thread::sleep(Duration::from_millis(20));
    }
}

fn a_killed_rank_ends_the_job_with_an_error(mpi: Mpi) {
    let prefix = Prefix::staged();
    let fabric = Fabric::strix_halo(0.0);
    let (job, pids) = long_job(&prefix, &fabric, mpi, 3);
    kill(pids[1]);
    let outcome = job.finish();
    assert!(!outcome.status.success() && !outcome.stdout.contains("PASS"), "{outcome:?}");
}

#[test]
fn nothing_is_left_of_killed_jobs_and_the_next_one_runs() {
    let prefix = Prefix::staged();
    let fabric = Fabric::strix_halo(0.0);
    let (job, pids) = long_job(&prefix, &fabric, Mpi::OpenMpi, 2);
    assert!(fabric.is_in_use());
    for pid in pids {
        kill(pid);
    }
    assert!(!job.finish().status.success());
    Job::example(Mpi::OpenMpi, &prefix, &fabric, 2, "halo").run().assert_pass();
    assert!(!fabric.is_in_use(), "shared memory is left behind");
}
