//! The whole module on [User Mode Linux](super::uml), under KASAN, lockdep and kmemleak: no kernel of Debian has them. There is no cable,
//! so what needs a rail is left to the virtual machines; channels, rings, pools, loopback, poll, mmap and all their errors need none.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::test;
use super::uml::{self, Uml};
use crate::vm::cache::Cache;
use crate::vm::tools::Tools;

const MODULE: &str = "usb4_dma.ko";
/// For start, checks and the leak detector's patience, beside the random calls: instrumented code on a busy machine.
const LIMIT_S: u64 = 600;
/// Twice over, so that what the first unloading left would disturb the second loading. kmemleak suspects nothing that is younger than five
/// seconds.
const INIT: &str = r#"
for name in proc:proc sysfs:sys debugfs:sys/kernel/debug devtmpfs:dev; do /busybox mount -t ${name%%:*} none /${name##*:} 2> /dev/null; done
leaks=/sys/kernel/debug/kmemleak
echo clear > $leaks
for round in 1 2; do
    /busybox insmod /usb4_dma.ko; echo "@insmod $?"
    # Limits hold for users who are not root.
    /busybox chmod 666 /dev/usb4dma
    /usb4-dma-conformance check; echo "@check $?"
    /usb4-dma-conformance fuzz --seconds $fuzz_seconds --seed $((fuzz_seed + round)); echo "@fuzz $?"
    /busybox rmmod usb4_dma; echo "@rmmod $?"
done
/busybox sleep 6
echo scan > $leaks; /busybox sleep 6; echo scan > $leaks
echo "@leaks $(/busybox grep -c '^unreferenced' $leaks)"
/busybox cat $leaks
echo "@lockdep $(/busybox sed -n 's/^ debug_locks: *//p' /proc/lockdep_stats)"
"#;

/// How to run it.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Seconds of random calls, in each of two rounds
    #[arg(long, default_value_t = 10)]
    fuzz_seconds: u64,
    /// Where their random numbers start; by default somewhere else each time. It is printed
    #[arg(long)]
    fuzz_seed: Option<u32>,
}

impl Default for Options {
    fn default() -> Options {
        Options { fuzz_seconds: 10, fuzz_seed: None }
    }
}

/// Builds the module for the kernel and goes through its user interface.
///
/// # Errors
/// When a check fails, memory is left, or the kernel complains.
pub(crate) fn run(cache: &Cache, tools: &Tools, options: &Options) -> Result<()> {
    let uml = Uml::fetch(cache, tools)?;
    let files: [PathBuf; 2] = [uml.build_modules("uml", "")?.join(MODULE), test::conformance()?];
    let seed = options.fuzz_seed.unwrap_or_else(test::random_seed);
    let init = format!("fuzz_seconds={} fuzz_seed={seed}\n{INIT}", options.fuzz_seconds);
    let log = uml.boot(tools, &files, &init, LIMIT_S + 2 * options.fuzz_seconds)?;
    if let Err(error) = judge(&log) {
        println!("{log}");
        bail!("{error:#}\n(random calls with --fuzz-seed {seed})");
    }
    for line in log.lines().filter_map(|line| line.strip_prefix("RESULT ")) {
        println!("{line}");
    }
    println!("no complaint of KASAN, UBSAN, lockdep and kmemleak");
    Ok(())
}

/// Fails if anything went wrong, or a detector was not at work to the end.
fn judge(log: &str) -> Result<()> {
    if let Some(complaint) = uml::complaint(log) {
        bail!("the kernel complains: {complaint}");
    }
    for step in ["@insmod 0", "@check 0", "@fuzz 0", "@rmmod 0"] {
        let times = log.lines().filter(|line| *line == step).count();
        ensure!(times == 2, "{step} came {times} times, not twice");
    }
    ensure!(log.lines().any(|line| line == "@leaks 0"), "kmemleak suspects that memory was left, or did not run");
    // Lockdep switches itself off with the first fault that it finds.
    ensure!(log.lines().any(|line| line == "@lockdep 1"), "lockdep was not at work to the end");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: &str = "@insmod 0\n@check 0\n@fuzz 0\n@rmmod 0\n";

    #[test]
    fn a_detector_that_is_off_and_each_failed_step_is_seen() {
        let good = format!("{ROUND}{ROUND}@leaks 0\n@lockdep 1\n");
        judge(&good).expect("nothing is wrong");
        assert!(judge(&format!("{ROUND}@leaks 0\n@lockdep 1\n")).is_err());
        for (from, to) in [("@check 0", "@check 1"), ("@leaks 0", "@leaks 1"), ("@lockdep 1", "@lockdep 0")] {
            assert!(judge(&good.replacen(from, to, 1)).is_err(), "{to}");
        }
        assert!(judge(&format!("{good}[ 1.0] WARNING: possible circular locking dependency detected")).is_err());
    }
}
