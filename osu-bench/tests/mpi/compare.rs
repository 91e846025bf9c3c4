//! `compare` and `osu`: they start mpirun themselves.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::job::{OSU_BENCH, alone};

const QUICK: [&str; 8] = ["-i", "3", "-x", "1", "-m", "8:16384", "--rounds", "2"];

fn json(arguments: &[&str]) -> Value {
    let outcome = alone(&[arguments, &QUICK, &["--json"]].concat()).expect_success();
    outcome.documents().remove(0)
}

#[test]
fn a_report_holds_a_page_figures_and_numbers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = folder.path().join("report");
    let report_argument = report.display().to_string();
    let arguments = ["compare", "latency,bw,barrier", "--tls", "tcp,posix", "--report", &report_argument];
    let outcome = alone(&[&arguments[..], &QUICK].concat()).expect_success();
    for part in ["latency: Avg Latency(us)", "less is better", "bw: Bandwidth (MB/s)", "more is better", "tcp / posix"]
    {
        assert!(outcome.stdout.contains(part), "{part} is not in {}", outcome.stdout);
    }
    let page = std::fs::read_to_string(report.join("index.html")).expect("the page");
    assert_eq!(page.matches("<svg").count(), 2, "barrier has no sizes to draw");
    for name in ["latency.svg", "bw.svg", "results.csv"] {
        assert!(report.join(name).metadata().is_ok_and(|data| data.len() > 0), "{name}");
    }
    let numbers: Value =
        serde_json::from_slice(&std::fs::read(report.join("results.json")).expect("the numbers")).expect("JSON");
    let sizes = numbers["benchmarks"][0]["transports"][1]["sizes"].as_array().expect("sizes");
    assert_eq!(sizes.len(), 12);
    assert_eq!(sizes[0]["rounds"].as_array().map(Vec::len), Some(2), "every round is kept");
}

#[test]
fn validation_can_be_on() {
    let document = json(&["compare", "allreduce", "--tls", "posix", "-c", "-n", "3"]);
    assert_eq!(document["benchmarks"][0]["transports"][0]["label"], "posix");
}

/// A stand-in for a C tree: programs that print OSU's text.
fn c_tree(folder: &Path) {
    let programs = folder.join("libexec/osu-micro-benchmarks/mpi/pt2pt");
    std::fs::create_dir_all(&programs).expect("it can be made");
    let program = programs.join("osu_latency");
    std::fs::write(&program, format!("#!/bin/sh\nexec {OSU_BENCH} latency \"$@\"\n")).expect("it can be written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it can be made executable");
}

#[test]
fn a_c_tree_runs_beside_ours() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    c_tree(folder.path());
    let tree = folder.path().display().to_string();
    let document = json(&["osu", &tree, "latency", "--tls", "posix"]);
    let transports = document["benchmarks"][0]["transports"].as_array().expect("transports");
    let labels: Vec<&Value> = transports.iter().map(|transport| &transport["label"]).collect();
    assert_eq!(labels, ["posix", "C posix"]);
    for transport in transports {
        assert_eq!(transport["sizes"].as_array().map(Vec::len), Some(12), "{transport}");
    }
    let missing = alone(&["osu", &tree, "bw", "--tls", "posix"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.own_lines()[0].contains("there is no osu_bw below"), "{}", missing.stderr);
}
