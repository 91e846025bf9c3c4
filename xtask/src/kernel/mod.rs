//! The kernel module against the kernels of `cargo xtask vm`.
//!
//! [`toolchain`] and [`headers`] hold what is downloaded; [`build`] builds the module for one kernel.

mod build;
mod headers;
mod toolchain;

use anyhow::{Result, bail};
use clap::Subcommand;

use self::headers::Headers;
use self::toolchain::Toolchain;
use crate::vm::cache::Cache;
use crate::vm::kernel::Kernel;
use crate::vm::tools::Tools;

/// What `cargo xtask kernel` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Build usb4_dma.ko with W=1 and Debian's compilers, into target/kernel/SERIES; a warning is an error
    Build {
        /// Kernel series, or "all"
        #[arg(long, value_delimiter = ',', default_value = "all")]
        kernel: Vec<String>,
    },
}

/// Carries out a `kernel` command.
pub(crate) fn run(task: &Task) -> Result<()> {
    let cache = Cache::open()?;
    match task {
        Task::Build { kernel } => build_all(&cache, &crate::vm::series(kernel)),
    }
}

fn build_all(cache: &Cache, series: &[&str]) -> Result<()> {
    let tools = Tools::fetch(cache, false)?;
    let toolchain = Toolchain::fetch(cache)?;
    let mut faults = Vec::new();
    for series in series {
        let kernel = Kernel::fetch(cache, &tools, series, false)?;
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
