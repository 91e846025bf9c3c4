//! The kernel module against the kernels of `cargo xtask vm`.
//!
//! [`toolchain`], [`headers`] and [`source`] hold what is downloaded; [`build`] builds the module for one kernel; [`lint`] runs the
//! kernel developers' checkers.

mod build;
mod headers;
mod lint;
mod source;
mod toolchain;

use anyhow::{Result, bail};
use clap::Subcommand;

use self::headers::Headers;
use self::toolchain::Toolchain;
use crate::vm::cache::Cache;
use crate::vm::kernel::Kernel;
use crate::vm::tools::Tools;

/// The newest kernel whose headers sparse's last release reads; later ones want a sparse that is not released.
const SPARSE_SERIES: &str = "6.12";

/// What `cargo xtask kernel` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Build usb4_dma.ko with W=1 and Debian's compilers, into target/kernel/SERIES; a warning is an error
    Build {
        /// Kernel series, or "all"
        #[arg(long, value_delimiter = ',', default_value = "all")]
        kernel: Vec<String>,
    },
    /// Run sparse and `checkpatch --strict` of the newest kernel; a complaint is an error
    Lint,
}

/// Carries out a `kernel` command.
pub(crate) fn run(task: &Task) -> Result<()> {
    let cache = Cache::open()?;
    let tools = Tools::fetch(&cache, false)?;
    match task {
        Task::Build { kernel } => build_all(&cache, &tools, &crate::vm::series(kernel)),
        Task::Lint => check(&cache, &tools),
    }
}

fn check(cache: &Cache, tools: &Tools) -> Result<()> {
    let toolchain = Toolchain::fetch(cache)?;
    let kernel = Kernel::fetch(cache, tools, SPARSE_SERIES, false)?;
    let headers = Headers::fetch(cache, &toolchain, &kernel)?;
    let built = build::build(&toolchain, &headers, &format!("{}-sparse", kernel.series), &["C=2"])?;
    if !built.complaints.is_empty() {
        bail!("sparse or the compiler complains ({} lines above)", built.complaints.len());
    }
    println!("sparse has no complaints");
    lint::checkpatch(&source::fetch(cache, tools)?)
}

fn build_all(cache: &Cache, tools: &Tools, series: &[&str]) -> Result<()> {
    let toolchain = Toolchain::fetch(cache)?;
    let mut faults = Vec::new();
    for series in series {
        let kernel = Kernel::fetch(cache, tools, series, false)?;
        let headers = Headers::fetch(cache, &toolchain, &kernel)?;
        println!("== {} ({})", series, kernel.release);
        match build::build(&toolchain, &headers, series, &[]) {
            Ok(built) if built.complaints.is_empty() => println!("{}", built.module.display()),
            Ok(built) => faults.push(format!("kernel {series}: {} warnings", built.complaints.len())),
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}
