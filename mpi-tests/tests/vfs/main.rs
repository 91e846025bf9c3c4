//! UCX's virtual file system, read in the process as `ucx_vfs` reads it: on a thread of its own while messages flow.

use std::path::Path;
use std::process::Command;

use mpi_tests::{Fabric, Job, Prefix};

#[test]
fn a_thread_beside_the_messages_reads_what_the_interface_counted() {
    const MESSAGES: u64 = 2000;
    const PUTS: u64 = 100;
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let outcome = Job::command(&prefix, &fabric, program(&fabric)).env("UCX_TLS", "usb4").run();
    assert!(outcome.status.success(), "{outcome:?}");
    let lines = |file: &str| -> Vec<Vec<String>> {
        let (_, text) = outcome.stdout.split_once(&format!("/usb4/{file}\n")).unwrap_or_else(|| panic!("{outcome:?}"));
        let lines = text.lines().take_while(|line| !line.is_empty() && !line.starts_with('/'));
        lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let value = |table: &[Vec<String>], row: &str, column: &str| -> u64 {
        let column =
            table[0].iter().position(|name| name == column).unwrap_or_else(|| panic!("no {column}: {table:?}"));
        let row = table
            .iter()
            .find(|line| line.iter().any(|word| word == row))
            .unwrap_or_else(|| panic!("no {row}: {table:?}"));
        row[column].parse().unwrap_or_else(|error| panic!("{row:?}: {error}"))
    };
    let connections = lines("connections");
    // One, from the process to itself: each frame goes out and comes in.
    assert_eq!(connections.len(), 2, "{connections:?}");
    assert!(value(&connections, "ready", "tx_frames") >= MESSAGES, "{connections:?}");
    assert!(value(&connections, "ready", "rx_frames") >= MESSAGES, "{connections:?}");
    let rails = lines("rails");
    assert!(value(&rails, "loopback", "tx_frames") >= MESSAGES, "{rails:?}");
    let requested = lines("requested");
    let puts: u64 = ["put_short", "put_bcopy", "put_zcopy"].iter().map(|put| value(&requested, put, "calls")).sum();
    assert!(puts >= PUTS, "{requested:?}");
    assert!(outcome.stdout.contains("\nclosed\n"), "{outcome:?}");
}

/// The program beside this file, built against the machine's UCX.
fn program(fabric: &Fabric) -> std::path::PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vfs/messages.c");
    let program = fabric.scratch("messages");
    let mut cc = Command::new("cc");
    cc.arg("-o").arg(&program).arg(source).args(["-lucp", "-lucs", "-pthread"]);
    let output = cc.output().expect("cc, which also links Rust programs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}
