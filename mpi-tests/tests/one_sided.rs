//! Remote memory access: large messages take it, and MPI's one-sided operations come out right over cables that lose frames.

use mpi_tests::{Fabric, Job, Mpi, Prefix, under_each_mpi};

under_each_mpi!(large_messages_take_zero_copy_get_or_put, a_target_that_calls_no_mpi_is_served);

/// UCX's rendezvous reads (or writes) large messages straight from buffer to buffer.
fn large_messages_take_zero_copy_get_or_put(mpi: Mpi) {
    let prefix = Prefix::staged();
    let (rounds, length) = (10, 4 << 20);
    let fabric = Fabric::strix_halo(0.0);
    let job = Job::example(mpi, &prefix, &fabric, 2, "ring").env("UCX_TLS", "usb4");
    let outcome = job.arg(length.to_string()).arg(rounds.to_string()).run();
    outcome.assert_pass();
    // The newer protocols, which are not everywhere the default, weigh costs and may take active messages.
    if std::env::var("USB4_TEST_UCX_PROTO").is_ok_and(|proto| proto == "y") {
        return;
    }
    let zero_copy: u64 = outcome.traffic.channels.iter().map(|channel| channel.requested.zero_copy_bytes()).sum();
    assert!(zero_copy >= rounds * length, "{zero_copy} bytes by zero-copy: {:?}", outcome.traffic);
}

/// Passive-target synchronization: the target comes back when it finds in its memory that all others have finished, and not before.
fn a_target_that_calls_no_mpi_is_served(mpi: Mpi) {
    let prefix = Prefix::staged();
    // MPICH asks the target's library for atomics, whatever the network can do.
    let additions = if mpi == Mpi::OpenMpi { "100" } else { "0" };
    for loss in [0.0, 0.01] {
        let fabric = Fabric::strix_halo(loss);
        let job = Job::example(mpi, &prefix, &fabric, 2, "absent_target").env("UCX_TLS", "usb4");
        let outcome = job.args(["500000", additions]).run();
        outcome.assert_pass();
        let asked: u64 = outcome.traffic.channels.iter().map(|channel| channel.requested.atomic_fetch.calls).sum();
        assert!(mpi != Mpi::OpenMpi || asked >= 100, "the additions did not reach usb4: {:?}", outcome.traffic);
    }
}

#[test]
fn one_sided_operations_validate_under_loss() {
    let prefix = Prefix::staged();
    let fabric = Fabric::strix_halo(0.01);
    let benchmarks = "put_latency,put_bw,get_latency,get_bw,acc_latency,get_acc_latency,fop_latency,cas_latency";
    let job = Job::new(Mpi::OpenMpi, &prefix, &fabric, 2, prefix.program("osu-bench")).env("UCX_TLS", "usb4");
    let arguments = ["suite", benchmarks, "-c", "-i", "5", "-x", "1", "-m", "8:65536", "--json"];
    let outcome = job.args(arguments).run();
    assert!(outcome.status.success(), "{}\n{}", outcome.stdout, outcome.stderr);
    let rows = |verdict: &str| outcome.stdout.matches(&format!("\"validation\": \"{verdict}\"")).count();
    assert!(rows("Pass") > 50 && rows("Fail") == 0, "{}", outcome.stdout);
    let atomics: u64 = outcome.traffic.channels.iter().map(|channel| channel.requested.atomic_fetch.calls).sum();
    assert!(atomics > 0, "fetch-and-op and compare-and-swap did not reach usb4: {:?}", outcome.traffic);
    assert!(outcome.traffic.lost() > 0 && outcome.traffic.retransmits() > 0, "{:?}", outcome.traffic);
}
