//! The module's pure parts under KUnit, on [User Mode Linux](super::uml).

use anyhow::{Result, bail};

use super::source;
use super::uml::{self, Uml};
use crate::vm::cache::Cache;
use crate::vm::tools::Tools;

const MODULE: &str = "usb4_dma_kunit.ko";
/// Loads the tests, which run at once.
const INIT: &str = "/busybox insmod /usb4_dma_kunit.ko; echo \"@insmod $?\"";
const LIMIT_S: u64 = 300;

/// Builds the tests and runs them.
///
/// # Errors
/// When one of them fails, or the kernel complains.
pub(crate) fn run(cache: &Cache, tools: &Tools) -> Result<()> {
    let uml = Uml::fetch(cache, tools)?;
    let module = uml.build_modules("kunit", "tests")?.join(MODULE);
    let log = uml.boot(tools, &[module], INIT, LIMIT_S)?;
    let tests = judge(&log)?;
    println!("{tests} KUnit tests passed on User Mode Linux {} with KASAN, UBSAN and lockdep", source::SERIES);
    Ok(())
}

/// How many tests passed, if all did and the kernel had no complaint.
fn judge(log: &str) -> Result<usize> {
    // Cases stand indented, with the kernel's time before them.
    let lines = || log.lines().map(|line| line.split_once("] ").map_or(line, |(_, rest)| rest));
    let complaint = uml::complaint(log);
    let failed: Vec<&str> = lines().filter(|line| line.trim_start().starts_with("not ok ")).collect();
    let passed = lines().filter(|line| line.starts_with("    ok ")).count();
    if !failed.is_empty() || complaint.is_some() || passed == 0 || !log.contains("@insmod 0") {
        println!("{log}");
        let why = match complaint {
            Some(complaint) => format!("the kernel complains: {complaint}"),
            None if failed.is_empty() => "no test ran".to_owned(),
            None => failed.join("\n"),
        };
        bail!("KUnit: {why}");
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[    0.1]     KTAP version 1\n[    0.2]     ok 1 one\n[    0.2]     ok 2 two\n[    0.3] ok 1 suite\n@insmod 0\n";

    #[test]
    fn passed_and_failed_tests_are_told_apart() {
        assert_eq!(judge(GOOD).expect("all passed"), 2);
        assert!(judge(&GOOD.replace("ok 2 two", "not ok 2 two")).is_err());
        assert!(judge(&GOOD.replace("@insmod 0", "@insmod 1")).is_err());
        assert!(judge(&format!("{GOOD}[ 0.4] BUG: KASAN: slab-out-of-bounds")).is_err());
        assert!(judge("@insmod 0").is_err());
    }
}
