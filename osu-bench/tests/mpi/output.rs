//! What is printed is what scripts for OSU read.

use crate::job::{Transport, job};

/// As such scripts do: comments start with #, the first word is the size, the second the value.
fn rows(text: &str) -> Vec<(usize, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let size = words.next().and_then(|word| word.parse().ok()).expect("a size comes first");
        (size, words.next().and_then(|word| word.parse().ok()).expect("a value comes second"))
    };
    lines.map(row).collect()
}

#[test]
fn scripts_for_osu_read_latency_and_bandwidth() {
    let latency =
        job(2, Transport::SharedMemory, &["latency", "-i", "5", "-x", "1", "-m", "8"]).expect_success().stdout;
    let sizes: Vec<usize> = rows(&latency).iter().map(|row| row.0).collect();
    assert_eq!(sizes, [0, 1, 2, 4, 8]);
    assert!(rows(&latency).iter().all(|row| row.1 > 0.0), "{latency}");
    assert!(latency.contains("# OSU MPI Latency Test v7."), "{latency}");
    assert!(latency.contains("# Size       Avg Latency(us)\n"), "{latency}");

    let bandwidth = job(2, Transport::SharedMemory, &["bw", "-i", "2", "-x", "1", "-m", "4:8"]).expect_success().stdout;
    assert_eq!(rows(&bandwidth).len(), 2);
    assert!(bandwidth.contains("# Size      Bandwidth (MB/s)\n"), "{bandwidth}");
}

#[test]
fn columns_follow_the_options() {
    let arguments = ["allreduce", "-f", "-c", "-z50,99", "-i", "5", "-x", "1", "-m", "4:4"];
    let text = job(2, Transport::SharedMemory, &arguments).expect_success().stdout;
    let row: Vec<&str> = text.lines().last().expect("a row").split_whitespace().collect();
    // Size, average, minimum, maximum, iterations, validation, two percentiles.
    assert_eq!((row.len(), row[0], row[4], row[5]), (8, "4", "5", "Pass"), "{text}");
    let number = |at: usize| row[at].parse::<f64>().expect("a number");
    assert!(number(2) <= number(1) && number(1) <= number(3), "minimum, average and maximum are in order: {text}");
    assert!(number(6) <= number(7), "percentiles are in order: {text}");
}

#[test]
fn csv_and_json_carry_the_same_columns() {
    let csv = job(2, Transport::SharedMemory, &["iallreduce", "-i", "2", "-m", "4:8", "--csv"]).expect_success().stdout;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "size_bytes,overall_us,compute_us,pure_us,overlap_percent");
    assert_eq!(lines.len(), 3);
    let json = job(2, Transport::SharedMemory, &["iallreduce", "-i", "2", "-m", "4:8", "--json"]).expect_success();
    let document = &json.documents()[0];
    assert_eq!(document["ranks"], 2);
    let row = document["tables"][0]["rows"][1].as_object().expect("a row");
    assert_eq!(row["size_bytes"], 8);
    for key in lines[0].split(',') {
        assert!(row.contains_key(key), "{key}");
    }
}

#[test]
fn the_memory_limit_holds_for_collectives() {
    let arguments = ["alltoall", "-i", "1", "-x", "0", "-m", "1048576:4194304", "-M", "2097152"];
    let outcome = job(2, Transport::SharedMemory, &arguments).expect_success();
    assert!(outcome.stderr.contains("Limiting max message size to: 1048576"), "{}", outcome.stderr);
    assert_eq!(rows(&outcome.stdout).len(), 1);
}
