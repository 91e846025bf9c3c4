//! Every benchmark of osu-bench over usb4 alone, with validation. The counters prove that usb4 carried the bytes.

use std::collections::BTreeSet;

use mpi_tests::{Fabric, Job, Mpi, Outcome, Prefix};
use serde_json::Value;

/// The cable of the profile `ideal`: nothing but our software.
const IDEAL: &str = "nodes = 2\n[[cables]]\nbetween = [0, 1]\n";
/// Carry no data.
const WITHOUT_DATA: [&str; 5] = ["barrier", "ibarrier", "barrier_persistent", "init", "hello"];

fn suite(prefix: &Prefix, fabric: &Fabric, ranks: u32) -> Outcome {
    let arguments = ["suite", "-c", "-i", "2", "-x", "1", "-u", "1", "-m", "4096:16384", "--json"];
    let job = Job::new(Mpi::OpenMpi, prefix, fabric, ranks, prefix.program("osu-bench"));
    arguments.into_iter().fold(job.env("UCX_TLS", "usb4"), Job::arg).run()
}

/// The benchmarks that ran; every row of those that carry data says Pass, and usb4 carried it.
fn validated(outcome: &Outcome) -> BTreeSet<String> {
    assert!(outcome.status.success(), "{}\n{}", outcome.stdout, outcome.stderr);
    let documents: Vec<Value> = serde_json::Deserializer::from_str(&outcome.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error} in {}", outcome.stdout));
    let mut names = BTreeSet::new();
    for document in &documents {
        let name = document["benchmark"].as_str().expect("a benchmark names itself");
        let tables = document["tables"].as_array().expect("it has tables");
        let rows: Vec<&Value> = tables.iter().flat_map(|table| table["rows"].as_array().expect("rows")).collect();
        let carries_data = !WITHOUT_DATA.contains(&name);
        assert!(!rows.is_empty(), "{name} measured nothing");
        assert!(!carries_data || rows.iter().all(|row| row["validation"] == "Pass"), "{document:#}");
        names.insert(name.to_owned());
    }
    // One iteration of one window of bw alone is 64 messages of 16 KiB.
    assert!(outcome.traffic.sent_bytes() > 64 * 16384, "usb4 carried {} bytes", outcome.traffic.sent_bytes());
    names
}

#[test]
fn every_benchmark_validates_on_two_ranks() {
    let prefix = Prefix::staged();
    let outcome = suite(&prefix, &Fabric::new(IDEAL), 2);
    let names = validated(&outcome);
    assert!(names.len() > 70 && names.contains("put_bibw") && names.contains("latency_mt"), "{names:?}");
    assert_eq!(outcome.traffic.sending_nodes(), [0, 1]);
}

#[test]
fn every_benchmark_for_four_ranks_validates_with_two_on_each_node() {
    let prefix = Prefix::staged();
    let names = validated(&suite(&prefix, &Fabric::new(IDEAL), 4));
    assert!(names.len() > 55 && names.contains("mbw_mr") && names.contains("alltoallw"), "{names:?}");
}

/// A byte is spoilt after usb4 has delivered it and before it is compared.
#[test]
fn validation_sees_a_wrong_byte() {
    let prefix = Prefix::staged();
    let fabric = Fabric::new(IDEAL);
    let job = Job::new(Mpi::OpenMpi, &prefix, &fabric, 2, prefix.program("osu-bench")).env("UCX_TLS", "usb4");
    let arguments = ["latency", "-c", "-i", "1", "-m", "64:64", "--corrupt-received"];
    let outcome = arguments.into_iter().fold(job, Job::arg).run();
    assert!(!outcome.status.success());
    assert!(outcome.stderr.contains("DATA VALIDATION ERROR: osu_latency"), "{}", outcome.stderr);
    assert!(outcome.traffic.sent_bytes() > 0);
}
