//! MPI across two guests over the kernel module: the proof of the whole, in parts that each boot two guests.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};

use super::cache::Cache;
use super::kernel::Kernel;
use super::session::{self, Image, Job, Report};
use super::tools::Tools;
use super::{GuestOptions, debian};
use crate::{kernel, stage};

/// What a part may take in the guests, in seconds: emulated, on a busy machine.
const LIMIT_S: u64 = 2400;
/// What the guests get of a staged prefix.
const STAGED: [&str; 4] =
    ["lib/ucx-usb4/libuct_usb4.so.0", "lib/ucx-usb4/libucx_usb4_preload.so", "bin/usb4ctl", "bin/ring"];

/// What to show, and on what.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Kernel series, "all", or "debug" for our own with KASAN, lockdep and kmemleak
    #[arg(long, value_delimiter = ',', default_value = "6.12")]
    kernel: Vec<String>,
    /// What to show
    #[arg(long, value_enum, value_delimiter = ',', default_value = "run,faults,compare,iommu")]
    part: Vec<Part>,
    /// A prefix that `cargo xtask build` staged, instead of building now
    #[arg(long, value_name = "FOLDER")]
    prefix: Option<PathBuf>,
    #[command(flatten)]
    guests: GuestOptions,
}

/// A part of the proof: one script, one boot of two guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// UCX's own test and MPI over two cables, data checked
    Run,
    /// Cables pulled, ranks killed, the driver gone, the other host restarted
    Faults,
    /// Frames, doorbells, interrupts, system calls and kernel time per message beside TCP on thunderbolt-net
    Compare,
    /// No mapping on the data path, behind a virtual IOMMU
    Iommu,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Run => "run",
            Part::Faults => "faults",
            Part::Compare => "compare",
            Part::Iommu => "iommu",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Part::Run => include_str!("../../../kernel/testbed/scenarios/usb4dma-mpi.sh"),
            Part::Faults => include_str!("../../../kernel/testbed/scenarios/usb4dma-mpi-faults.sh"),
            Part::Compare => include_str!("../../../kernel/testbed/scenarios/usb4dma-mpi-compare.sh"),
            Part::Iommu => include_str!("../../../kernel/testbed/scenarios/usb4dma-mpi-iommu.sh"),
        }
    }

    fn topology(self) -> &'static str {
        if self == Part::Compare { "pair" } else { "pair:2" }
    }
}

/// Runs the parts on each series, and shows what they found.
///
/// # Errors
/// When any of them failed.
pub(crate) fn run(cache: &Cache, options: &Options) -> Result<()> {
    let prefix = match &options.prefix {
        Some(prefix) => prefix.clone(),
        None => stage::build(&xshell::Shell::new()?)?.prefix().to_owned(),
    };
    let tools = Tools::fetch(cache, false)?;
    let image = debian::fetch(cache, &tools, false)?;
    let (mut table, mut failures) = (Table::new(), Vec::new());
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["kernel", "part", "what", "seen"]);
    for series in super::series(&options.kernel) {
        let (kernel, module) = kernel::prepare(cache, &tools, series)?;
        for part in &options.part {
            println!("{}: {}: booting two guests", kernel.release, part.name());
            let job = job(*part, &kernel, &module, &prefix, &image)?;
            let guests = GuestOptions { iommu: options.guests.iommu || *part == Part::Iommu, ..options.guests.clone() };
            let report = session::run(&tools, &kernel, &job, &guests)?;
            if !report.failures.is_empty() {
                report.print();
            }
            add_rows(&mut table, &kernel.release, *part, &report);
            let told = |failure: &String| format!("{series}: {}: {failure}", part.name());
            failures.extend(report.failures.iter().map(told));
        }
    }
    println!("{table}");
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

fn job(part: Part, kernel: &Kernel, module: &Path, prefix: &Path, image: &Path) -> Result<Job> {
    let mut artifacts = vec![module.to_owned()];
    for file in STAGED {
        let file = prefix.join(file);
        ensure!(file.is_file(), "{} is missing: run `cargo xtask build`, or leave out --prefix", file.display());
        artifacts.push(file.canonicalize().with_context(|| format!("{} cannot be found", file.display()))?);
    }
    Ok(Job {
        name: format!("mpi-{}-{}", part.name(), kernel.series),
        script: part.script().to_owned(),
        topology: part.topology().to_owned(),
        rings: 12,
        artifacts,
        limit_s: LIMIT_S,
        image: Image::Debian(image.to_owned()),
        may_reboot: part == Part::Faults,
    })
}

/// A row for each `RESULT key value`, and one for the verdict.
fn add_rows(table: &mut Table, release: &str, part: Part, report: &Report) {
    for line in report.outputs.iter().flat_map(|output| output.lines()) {
        if let Some((what, seen)) = line.strip_prefix("RESULT ").and_then(|line| line.split_once(' ')) {
            table.add_row([release, part.name(), what, seen]);
        }
    }
    let verdict = if report.failures.is_empty() { "passed" } else { "FAILED" };
    table.add_row([release, part.name(), "verdict", &format!("{verdict}, {:.0} s", report.wall_s)]);
}
