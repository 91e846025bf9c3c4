//! The kernel module against the kernels of `cargo xtask vm`.
//!
//! [`toolchain`], [`headers`] and [`source`] hold what is downloaded; [`build`] builds the module for one kernel; [`lint`] runs the
//! kernel developers' checkers; [`test`] runs the module in guests. Kernels with all detectors are our [`own`]: one that is a process
//! ([`uml`]), where [`debug`] runs the module and [`kunit`] its pure parts, and one for guests ([`x86`]).

mod build;
mod debug;
mod headers;
mod kunit;
mod lint;
mod own;
mod source;
mod test;
mod toolchain;
mod uml;
mod x86;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Subcommand;
use xshell::Shell;

use self::headers::Headers;
use self::toolchain::Toolchain;
use crate::packages;
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
    /// Run sparse, kernel-doc and `checkpatch --strict` of the newest kernel; a complaint is an error
    Lint,
    /// Run the KUnit tests of the module's pure parts on User Mode Linux, with KASAN, UBSAN and lockdep
    Kunit,
    /// Run the whole module on User Mode Linux, without a cable: every call and error, random calls, under KASAN, lockdep, kmemleak
    Debug(debug::Options),
    /// Run the module in pairs of guests: every call and error, random calls, unplug, kill -9; and look at what the kernels say
    Test(test::Options),
}

/// Carries out a `kernel` command.
pub(crate) fn run(task: &Task) -> Result<()> {
    let cache = Cache::open()?;
    let tools = Tools::fetch(&cache, false)?;
    match task {
        Task::Build { kernel } => build_all(&cache, &tools, &crate::vm::series(kernel)),
        Task::Lint => check(&cache, &tools),
        Task::Kunit => {
            packages::install(&Shell::new()?, &[packages::KUNIT])?;
            kunit::run(&cache, &tools)
        }
        Task::Debug(options) => {
            packages::install(&Shell::new()?, &[packages::KUNIT])?;
            debug::run(&cache, &tools, options)
        }
        Task::Test(options) => run_tests(&cache, &tools, options),
    }
}

/// The module's part of `cargo xtask test`: build and checkers, and its interface on one kernel; or everything. Gives how many checks
/// that were.
pub(crate) fn test_all(full: bool) -> Result<u64> {
    let cache = Cache::open()?;
    let tools = Tools::fetch(&cache, false)?;
    build_all(&cache, &tools, &crate::vm::SUPPORTED)?;
    check(&cache, &tools)?;
    if !full {
        run_tests(&cache, &tools, &test::Options::short())?;
        return Ok(3);
    }
    kunit::run(&cache, &tools)?;
    debug::run(&cache, &tools, &debug::Options::default())?;
    run_tests(&cache, &tools, &test::Options::full())?;
    Ok(5)
}

fn run_tests(cache: &Cache, tools: &Tools, options: &test::Options) -> Result<()> {
    test::run(tools, options, |series| prepare(cache, tools, series))
}

/// A [kernel for guests](fetch), and the module for it, built as far as it is not up to date.
pub(crate) fn prepare(cache: &Cache, tools: &Tools, series: &str) -> Result<(Kernel, PathBuf)> {
    let kernel = fetch(cache, tools, series)?;
    if series == x86::SERIES {
        return Ok((kernel, x86::module(cache, tools)?));
    }
    let toolchain = Toolchain::fetch(cache)?;
    let headers = Headers::fetch(cache, &toolchain, &kernel)?;
    let module = build::build(&toolchain, &headers, &kernel.series, &[])?.module;
    Ok((kernel, module))
}

/// A kernel for guests: of a series of Debian's, or our own with detectors.
pub(crate) fn fetch(cache: &Cache, tools: &Tools, series: &str) -> Result<Kernel> {
    if series == x86::SERIES { x86::kernel(cache, tools) } else { Kernel::fetch(cache, tools, series, false) }
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
    lint::kernel_doc(&headers.build_folder())?;
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
