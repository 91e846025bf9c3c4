//! Wrong usage gets one line from rank 0 and an exit code.

use crate::job::{Transport, alone, job};

/// What the one line says; all other lines are mpirun's.
fn refusal(ranks: usize, arguments: &[&str]) -> (String, Option<i32>) {
    let outcome = job(ranks, Transport::SharedMemory, arguments);
    let lines = outcome.own_lines();
    assert_eq!(lines.len(), 1, "one line, not {lines:?} in {}", outcome.stderr);
    assert_eq!(outcome.stdout, "", "nothing is printed as a result");
    let first = outcome.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("osu-bench: "), "mpirun's noise comes after it: {}", outcome.stderr);
    (lines[0].to_owned(), outcome.code)
}

#[test]
fn an_unknown_benchmark_gets_the_nearest_name_and_the_list() {
    let (line, code) = refusal(2, &["latncy"]);
    assert!(line.contains("Did you mean latency?"), "{line}");
    assert!(line.contains("allreduce, alltoall"), "{line}");
    assert_eq!(code, Some(2));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let (line, code) = refusal(2, &["bw", "-m", "8:4"]);
    assert!(line.contains("smallest size is larger than the largest"), "{line}");
    assert_eq!(code, Some(2));
    let (line, _) = refusal(2, &["bw", "-m", "1:9999999999"]);
    assert!(line.contains("at most 2147483647 bytes"), "{line}");
    // 64 windows of 1 GiB in each direction.
    let (line, code) = refusal(2, &["bw", "-b", "multiple", "-m", "1073741824"]);
    assert!(line.contains("131072 MiB of buffers per process"), "{line}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_wrong_number_of_ranks_is_named() {
    let (line, code) = refusal(3, &["latency"]);
    assert!(line.starts_with("latency needs exactly two ranks, but was started with 3"), "{line}");
    assert_eq!(code, Some(1));
    let (line, _) = refusal(1, &["allreduce"]);
    assert!(line.contains("at least two ranks"), "{line}");
}

#[test]
fn options_that_a_benchmark_does_not_take_are_refused() {
    let (line, code) = refusal(2, &["latency", "-W", "8"]);
    assert!(line.contains("unexpected argument '-W'"), "{line}");
    assert_eq!(code, Some(2));
    let (line, _) = refusal(2, &["latency", "-i", "0"]);
    assert!(line.contains("-i") || line.contains("--iterations"), "{line}");
    let (line, code) = refusal(2, &["latency", "-d", "cuda"]);
    assert!(line.contains("measures host memory") && code == Some(2), "{line}");
    let (line, _) = refusal(2, &["put_bibw", "-s", "flush"]);
    assert!(line.contains("-s pscw or -s fence"), "{line}");
}

#[test]
fn without_mpirun_the_answer_is_the_same() {
    let outcome = alone(&["latncy"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.own_lines()[0].contains("Did you mean latency?"));
}

#[test]
fn compare_passes_the_cause_on() {
    let outcome = alone(&["compare", "latency", "--tls", "tcp", "-n", "3"]);
    assert_eq!((outcome.code, outcome.own_lines().len()), (Some(1), 1), "{}", outcome.stderr);
    assert!(outcome.own_lines()[0].starts_with("latency needs exactly two ranks"), "{}", outcome.stderr);
    let outcome = alone(&["compare", "latency", "--tls", "nonsense", "-m", "8", "--rounds", "1"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.own_lines()[0].starts_with("latency over nonsense: the job failed"), "{}", outcome.stderr);
}
