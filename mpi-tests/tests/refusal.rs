//! A job under a UCX that the transport does not know: the real one, behind a library that gives it another number.

use std::path::{Path, PathBuf};
use std::process::Command;

use mpi_tests::{Fabric, Job, Mpi, Prefix, under_each_mpi};

under_each_mpi!(an_unknown_release_is_refused_with_one_line);

const REFUSAL: &str = "usb4: not available: UCX 1.99.0 is not supported; use UCX 1.13 to 1.22, or a newer ucx-usb4";

fn an_unknown_release_is_refused_with_one_line(mpi: Mpi) {
    let (prefix, fabric) = (Prefix::staged(), Fabric::strix_halo(0.0));
    let folder = tempfile::tempdir().unwrap();
    newer_ucx(folder.path());
    let job = |transports: &str| {
        let job = Job::example(mpi, &prefix, &fabric, 2, "ring").env("LD_LIBRARY_PATH", folder.path());
        job.env("UCX_TLS", transports).run()
    };
    // With other transports at hand the job goes on without usb4, and says so once for each rank.
    let outcome = job("usb4,self,sm");
    outcome.assert_pass();
    assert_eq!(outcome.traffic.channels.len(), 0, "{:?}", outcome.traffic);
    assert_eq!(lines(&outcome.stderr), 2, "{}", outcome.stderr);
    // With usb4 alone it cannot: nothing falls back silently.
    let outcome = job("usb4");
    assert!(!outcome.status.success(), "{outcome:?}");
    assert!(lines(&outcome.stderr) >= 1, "{}", outcome.stderr);
}

fn lines(text: &str) -> usize {
    text.lines().filter(|line| line.ends_with(REFUSAL)).count()
}

/// A libucp.so.0 that is the machine's in all but its version: it stands before a copy of that library, which has another
/// name.
fn newer_ucx(folder: &Path) {
    let mut bytes = std::fs::read(machines_libucp()).unwrap();
    let (own, copy) = (b"\0libucp.so.0\0", b"\0libucr.so.0\0");
    let at = bytes.windows(own.len()).position(|window| window == own).expect("libucp names itself");
    bytes[at..at + copy.len()].copy_from_slice(copy);
    std::fs::write(folder.join("libucr.so.0"), bytes).unwrap();
    let source = folder.join("version.c");
    let text = "void ucp_get_version(unsigned *a, unsigned *b, unsigned *c) { *a = 1; *b = 99; *c = 0; }";
    std::fs::write(&source, text).unwrap();
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wl,-soname,libucp.so.0", "-Wl,--no-as-needed", "-o"])
        .args([folder.join("libucp.so.0"), source, folder.join("libucr.so.0")])
        .output()
        .expect("cc, which also links Rust programs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Where the linker finds it, as ldd says of ucx_info.
fn machines_libucp() -> PathBuf {
    let output = Command::new("sh").args(["-c", "ldd \"$(command -v ucx_info)\""]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("libucp.so.0")).expect("ucx_info uses libucp");
    line.split_whitespace().nth(2).expect("ldd has found it").into()
}
