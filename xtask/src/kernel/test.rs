//! The module in guests: conformance, random calls, unplug, kill; on several kernels, with a look at what the kernels say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use comfy_table::{Table, presets};
use serde_json::Value;

use super::x86;
use crate::vm::kernel::Kernel;
use crate::vm::session::{self, Image, Job, Report};
use crate::vm::tools::Tools;
use crate::vm::{GuestOptions, smoke};
use crate::workspace;

/// How to test.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Kernel series, "all", or "debug": our own kernel with KASAN, lockdep and kmemleak, which is built once in half an hour
    #[arg(long, value_delimiter = ',', default_value = "all")]
    pub(crate) kernel: Vec<String>,
    /// Only these scenarios of kernel/testbed/scenarios
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(SCENARIOS.map(|it| it.name)))]
    scenario: Vec<String>,
    /// Seconds of random calls
    #[arg(long, default_value_t = 10)]
    fuzz_seconds: u64,
    /// Where their random numbers start; by default somewhere else each time. It is printed
    #[arg(long)]
    fuzz_seed: Option<u32>,
    #[command(flatten)]
    guests: GuestOptions,
}

/// A script for guests, on cables.
struct Scenario {
    /// Of its file in kernel/testbed/scenarios.
    name: &'static str,
    topology: &'static str,
    limit_s: u64,
    /// Behind a virtual IOMMU.
    iommu: bool,
    /// What the script reports as `RESULT key value`, with a heading for each.
    results: &'static [(&'static str, &'static str)],
}

const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "uapi",
        limit_s: 240,
        results: &[("check", "conformance"), ("cable", "frames"), ("fuzz", "random calls"), ("reload", "reload")],
        ..SCENARIO
    },
    Scenario { name: "unplug", topology: "pair:2", results: &[("unplug", "frames while unplugged")], ..SCENARIO },
    Scenario { name: "kill", topology: "pair:2", results: &[("kill", "killed")], ..SCENARIO },
    Scenario { name: "usb4dma-rails", topology: "pair:2", ..SCENARIO },
    Scenario { name: "usb4dma-frames", topology: "pair:2", ..SCENARIO },
    Scenario { name: "usb4dma-storm", topology: "pair:2", ..SCENARIO },
    Scenario { name: "usb4dma-refused", topology: "pair:2", ..SCENARIO },
    Scenario {
        name: "usb4dma-suspend",
        topology: "pair:2",
        results: &[("suspend", "frames over two sleeps")],
        ..SCENARIO
    },
    Scenario { name: "usb4dma-iommu", iommu: true, ..SCENARIO },
];
const SCENARIO: Scenario = Scenario { name: "", topology: "pair", limit_s: 200, iommu: false, results: &[] };

/// How many times longer all takes under the detectors.
const DETECTORS_SLOW: u64 = 4;
/// How long the load of `unplug` goes on.
const LOAD_S: u64 = 30;

impl Options {
    /// What is part of every test run: one kernel, the shortest scenario.
    pub(crate) fn short() -> Options {
        Options {
            kernel: vec!["6.12".to_owned()],
            scenario: vec!["uapi".to_owned()],
            fuzz_seconds: 5,
            fuzz_seed: None,
            guests: GuestOptions::default(),
        }
    }

    /// Everything.
    pub(crate) fn full() -> Options {
        Options {
            kernel: vec!["all".to_owned()],
            scenario: Vec::new(),
            fuzz_seconds: 60,
            fuzz_seed: None,
            guests: GuestOptions::default(),
        }
    }
}

/// Runs the scenarios on each series and shows a table. `prepare` gives a kernel and the module for it.
///
/// # Errors
/// When any of them failed.
pub(crate) fn run(tools: &Tools, options: &Options, prepare: impl Fn(&str) -> Result<(Kernel, PathBuf)>) -> Result<()> {
    let programs = [conformance()?, frames()?];
    let seed = options.fuzz_seed.unwrap_or_else(|| std::process::id() ^ random_seed());
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(["kernel", "scenario", "what it saw", "wall", "verdict"]);
    let mut failures = Vec::new();
    for series in crate::vm::series(&options.kernel) {
        let (kernel, module) = prepare(series)?;
        let has_detectors = series == x86::SERIES;
        // It has no IOMMU: there its own detector watches the mappings.
        let wanted = |scenario: &&Scenario| match options.scenario.is_empty() {
            true => !(has_detectors && scenario.iommu),
            false => options.scenario.iter().any(|name| name == scenario.name),
        };
        for scenario in SCENARIOS.iter().filter(wanted) {
            println!("{}: {}", kernel.release, scenario.name);
            let script = script(scenario, options.fuzz_seconds, seed)?;
            let job = Job {
                name: format!("kernel-{}-{series}", scenario.name),
                script,
                topology: scenario.topology.to_owned(),
                rings: 12,
                artifacts: [module.clone()].into_iter().chain(programs.clone()).collect(),
                limit_s: scenario.limit_s * if has_detectors { DETECTORS_SLOW } else { 1 } + options.fuzz_seconds,
                image: Image::Busybox,
                may_reboot: false,
            };
            let mut guests = options.guests.clone();
            guests.iommu |= scenario.iommu;
            let report = session::run(tools, &kernel, &job, &guests)?;
            if !report.failures.is_empty() {
                report.print();
            }
            table.add_row(row(&kernel.release, scenario, &report));
            let folder = report.folder.display();
            failures.extend(
                report.failures.iter().map(|failure| format!("{series}, {}: {failure} in {folder}", scenario.name)),
            );
        }
    }
    println!("{table}");
    if !failures.is_empty() {
        bail!("{}\n(random calls with --fuzz-seed {seed})", failures.join("\n"));
    }
    Ok(())
}

fn script(scenario: &Scenario, fuzz_seconds: u64, fuzz_seed: u32) -> Result<String> {
    let path = workspace::root().join("kernel/testbed/scenarios").join(format!("{}.sh", scenario.name));
    let text = session::read_script(&path)?;
    Ok(format!("fuzz_seconds={fuzz_seconds} fuzz_seed={fuzz_seed} load_seconds={LOAD_S}\n{text}"))
}

fn row(release: &str, scenario: &Scenario, report: &Report) -> [String; 5] {
    let seen = scenario
        .results
        .iter()
        .filter_map(|(key, heading)| smoke::result(&report.outputs, key).map(|value| format!("{heading}: {value}")));
    [
        release.to_owned(),
        scenario.name.to_owned(),
        seen.collect::<Vec<_>>().join("\n"),
        format!("{:.0} s", report.wall_s),
        if report.failures.is_empty() { "passed" } else { "FAILED" }.to_owned(),
    ]
}

/// Some number that was not the last one.
pub(super) fn random_seed() -> u32 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos() >> 8)
}

/// Builds the conformance program without shared libraries, since the smallest guests have none. Gives its path.
pub(super) fn conformance() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // A target of its own keeps the flag from build scripts, which load libclang.
    let output = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", "usb4-dma-conformance", "--message-format=json"])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo did not start")?;
    ensure!(output.status.success(), "usb4-dma-conformance does not build");
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    let program = program.context("cargo did not say where usb4-dma-conformance is")?;
    ensure!(is_static(&program)?, "{} needs shared libraries", program.display());
    Ok(program)
}

/// Compiles the scenarios' program in C, without shared libraries. Gives its path.
fn frames() -> Result<PathBuf> {
    let (root, program) = (workspace::root(), workspace::target().join("kernel/frames"));
    fs::create_dir_all(workspace::target().join("kernel"))?;
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-Werror", "-static", "-pthread", "-I"])
        .arg(root.join("kernel/include/uapi"))
        .arg(root.join("kernel/testbed/scenarios/frames.c"))
        .arg("-o")
        .arg(&program)
        .status()
        .context("cc did not start: install the package gcc")?;
    ensure!(status.success(), "frames.c does not build: is the C library's static part there (libc6-dev)?");
    Ok(program)
}

/// Whether a program asks for no loader.
fn is_static(program: &Path) -> Result<bool> {
    let bytes = fs::read(program).with_context(|| format!("{} cannot be read", program.display()))?;
    Ok(!bytes.windows(b"/ld-linux-x86-64.so.2\0".len()).any(|window| window == b"/ld-linux-x86-64.so.2\0"))
}
