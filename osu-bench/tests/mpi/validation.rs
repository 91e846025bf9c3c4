//! -c: every benchmark moves the right data, and sees wrong data.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::job::{Transport, alone, job};

/// Carry no data, so there is nothing to check.
const WITHOUT_DATA: [&str; 5] = ["barrier", "ibarrier", "barrier_persistent", "init", "hello"];
/// Run on exactly two ranks, as OSU's do; and `put_bw` and all the other one-sided ones.
const OF_ONE_PAIR: [&str; 16] = [
    "latency",
    "bw",
    "bibw",
    "latency_mt",
    "latency_persistent",
    "bw_persistent",
    "bibw_persistent",
    "put_latency",
    "put_bw",
    "put_bibw",
    "get_latency",
    "get_bw",
    "acc_latency",
    "get_acc_latency",
    "cas_latency",
    "fop_latency",
];

fn listed() -> BTreeSet<String> {
    let list = alone(&["list"]).expect_success().stdout;
    list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn name(document: &Value) -> String {
    document["benchmark"].as_str().expect("a benchmark names itself").to_owned()
}

/// All benchmarks that fit ran, and every row of those that carry data says Pass.
fn all_pass(ranks: usize, transport: Transport, sizes: &str) {
    let arguments = ["suite", "-c", "-i", "2", "-x", "1", "-u", "1", "-m", sizes, "--json"];
    let documents = job(ranks, transport, &arguments).expect_success().documents();
    let ran: BTreeSet<String> = documents.iter().map(name).collect();
    let expected = listed().into_iter().filter(|name| ranks == 2 || !OF_ONE_PAIR.contains(&name.as_str())).collect();
    assert_eq!(ran, expected, "{ranks} ranks over {transport:?}");
    for document in documents.iter().filter(|document| !WITHOUT_DATA.contains(&name(document).as_str())) {
        let tables = document["tables"].as_array().expect("it has tables");
        let rows: Vec<&Value> =
            tables.iter().flat_map(|table| table["rows"].as_array().expect("it has rows")).collect();
        assert!(!rows.is_empty(), "{} measured nothing", name(document));
        assert!(rows.iter().all(|row| row["validation"] == "Pass"), "{document:#}");
    }
}

#[test]
fn two_ranks_over_shared_memory() {
    all_pass(2, Transport::SharedMemory, "1:16384");
}

#[test]
fn two_ranks_over_tcp() {
    all_pass(2, Transport::Tcp, "4096:16384");
}

#[test]
fn four_ranks_over_shared_memory() {
    all_pass(4, Transport::SharedMemory, "4096:16384");
}

#[test]
fn four_ranks_over_tcp() {
    all_pass(4, Transport::Tcp, "8192:8192");
}

#[test]
fn reductions_are_checked_in_all_types() {
    let arguments = [
        "suite",
        "allreduce,reduce,reduce_scatter,acc_latency",
        "-c",
        "-T",
        "all",
        "-i",
        "2",
        "-x",
        "0",
        "-m",
        "64",
        "--json",
    ];
    for document in job(2, Transport::SharedMemory, &arguments).expect_success().documents() {
        let types = document["tables"].as_array().expect("it has tables");
        assert_eq!(types.len(), 3, "{}", name(&document));
    }
}

/// A byte of what was received is spoilt before it is compared: each benchmark that carries data must say so.
#[test]
fn a_wrong_byte_is_seen_by_every_benchmark() {
    for (ranks, pairs_too) in [(2, true), (3, false)] {
        let arguments = ["suite", "-c", "-i", "1", "-x", "0", "-u", "0", "-m", "64:64", "--corrupt-received"];
        let outcome = job(ranks, Transport::SharedMemory, &arguments);
        assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
        let even = ["mbw_mr", "multi_lat"];
        let runs = |name: &str| pairs_too || !OF_ONE_PAIR.contains(&name) && !even.contains(&name);
        for name in listed().iter().filter(|name| !WITHOUT_DATA.contains(&name.as_str()) && runs(name)) {
            let error = format!("DATA VALIDATION ERROR: osu_{name} exited with status 1 on message size ");
            assert!(
                outcome.own_lines().iter().any(|line| line.starts_with(&error)),
                "{name} saw nothing on {ranks} ranks"
            );
        }
        assert!(outcome.stdout.contains("Fail") && !outcome.stdout.contains("Pass"), "{}", outcome.stdout);
    }
}

#[test]
fn one_sided_benchmarks_pass_with_every_synchronisation() {
    let benchmarks = "put_latency,get_latency,put_bw,get_bw,acc_latency,get_acc_latency,cas_latency,fop_latency";
    for sync in ["lock", "lock_all", "flush_local", "pscw", "fence"] {
        let arguments = [
            "suite", benchmarks, "-c", "-i", "2", "-x", "1", "-u", "1", "-m", "64:64", "-s", sync, "-w", "create",
            "--json",
        ];
        let documents = job(2, Transport::SharedMemory, &arguments).expect_success().documents();
        assert_eq!(documents.len(), 8, "{sync}");
    }
}
