//! Virtual machines with real kernels on the simulated USB4 cables of `usb4-testbed`.
//!
//! [`cache`] holds what is downloaded: QEMU and its libraries ([`tools`]), kernels ([`kernel`]), a Debian root ([`debian`]). [`session`]
//! boots guests ([`initramfs`], [`qemu`]), the device process ([`testbed`]) and the management network ([`hub`]), watches them and
//! collects what they leave; [`smoke`] is the proof with the distribution's own drivers.

pub(crate) mod apt;
pub(crate) mod cache;
mod cpio;
mod debian;
mod hub;
mod initramfs;
pub(crate) mod kernel;
mod mpi;
mod qemu;
pub(crate) mod session;
pub(crate) mod smoke;
mod testbed;
pub(crate) mod tools;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use self::cache::Cache;
use self::kernel::Kernel;
use self::session::{Image, Job};
use self::tools::Tools;

/// The kernels that the project supports.
pub(crate) const SUPPORTED: [&str; 3] = ["6.1", "6.12", "7.3"];

/// What `cargo xtask vm` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Vm {
    /// Download QEMU, kernels and the Debian image into the cache, as far as they are not there
    Fetch {
        /// Kernel series, or "all"
        #[arg(long, value_delimiter = ',', default_value = "all")]
        kernel: Vec<String>,
        /// The Debian root with Open MPI and UCX too
        #[arg(long)]
        debian: bool,
        /// Download again what is there, to get newer versions
        #[arg(long)]
        refresh: bool,
    },
    /// Show that two guests discover each other, pass TCP over thunderbolt-net and survive unplug and replug
    Smoke {
        /// Kernel series, or "all" for a table of 6.1, 6.12 and 7.3
        #[arg(long, value_delimiter = ',', default_value = "6.12")]
        kernel: Vec<String>,
        #[command(flatten)]
        guests: GuestOptions,
    },
    /// Show that MPI runs across two guests over the kernel module, survives faults, and what it costs
    Mpi(mpi::Options),
    /// Run a shell script in each guest
    Run {
        /// Kernel series, or "debug" for our own with KASAN, lockdep and kmemleak
        #[arg(long, default_value = "6.12")]
        kernel: String,
        /// Runs in every guest: $h is its number, $n how many there are; functions are in /lib.sh
        #[arg(long)]
        script: PathBuf,
        /// Who is joined to whom: pair, pair:2, chain:N, ring:N, triangle, or cables such as 0.0-1.0,1.1-2.0
        #[arg(long, default_value = "pair")]
        topology: String,
        /// Rings per NHI and direction, the control ring included (Strix Halo: 3)
        #[arg(long, default_value_t = 12)]
        rings: usize,
        /// What the guests run
        #[arg(long, value_enum, default_value_t = ImageName::Busybox)]
        image: ImageName,
        /// Files that the guests find in /job/artifacts
        #[arg(long)]
        artifact: Vec<PathBuf>,
        /// Seconds that the script may take in a guest
        #[arg(long, default_value_t = 120)]
        limit_s: u64,
        /// A guest that restarts boots again and runs the script anew, instead of failing
        #[arg(long)]
        may_reboot: bool,
        #[command(flatten)]
        guests: GuestOptions,
    },
}

/// Options of the guests, whatever they run.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct GuestOptions {
    /// How QEMU runs guests; by default KVM where this machine has it
    #[arg(long, value_enum)]
    accel: Option<Accel>,
    /// Memory per guest
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<u64>,
    /// Processors per guest, 1 by default; with more the driver races with itself
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=8))]
    cpus: Option<u8>,
    /// Words for the guests' kernel command line, such as 'thunderbolt.dyndbg=+p'
    #[arg(long, default_value = "")]
    append: String,
    /// Put guests behind a virtual IOMMU
    #[arg(long)]
    pub(crate) iommu: bool,
    /// Let guest N wait for a debugger on port 1234 + N
    #[arg(long)]
    gdb: bool,
}

/// How QEMU runs guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accel {
    /// Hardware virtualisation.
    Kvm,
    /// Emulation.
    Tcg,
}

/// What a guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageName {
    /// Busybox in memory: boots fastest.
    Busybox,
    /// Debian with Open MPI and UCX.
    Debian,
}

/// Carries out a `vm` command.
pub(crate) fn run(vm: &Vm) -> Result<()> {
    let cache = Cache::open()?;
    match vm {
        Vm::Fetch { kernel, debian, refresh } => {
            let tools = Tools::fetch(&cache, *refresh)?;
            for series in series(kernel) {
                Kernel::fetch(&cache, &tools, series, *refresh)?;
            }
            if *debian {
                debian::fetch(&cache, &tools, *refresh)?;
            }
            println!("all of it is in {}", cache.root().display());
            Ok(())
        }
        Vm::Smoke { kernel, guests } => smoke::run(&cache, &series(kernel), guests),
        Vm::Mpi(options) => mpi::run(&cache, options),
        Vm::Run { kernel, script, topology, rings, image, artifact, limit_s, may_reboot, guests } => {
            let tools = Tools::fetch(&cache, false)?;
            let kernel = crate::kernel::fetch(&cache, &tools, kernel)?;
            let image = match image {
                ImageName::Busybox => Image::Busybox,
                ImageName::Debian => Image::Debian(debian::fetch(&cache, &tools, false)?),
            };
            let job = Job {
                name: format!("run-{}", kernel.series),
                script: session::read_script(script)?,
                topology: topology.clone(),
                rings: *rings,
                artifacts: artifact.clone(),
                limit_s: *limit_s,
                image,
                may_reboot: *may_reboot,
            };
            let report = session::run(&tools, &kernel, &job, guests)?;
            report.print();
            report.into_result()
        }
    }
}

/// The smoke test on one kernel, as a part of `cargo xtask test`.
pub(crate) fn smoke_one() -> Result<()> {
    smoke::run(&Cache::open()?, &["6.12"], &GuestOptions::default())
}

/// The series that `names` stand for.
pub(crate) fn series(names: &[String]) -> Vec<&str> {
    if names.iter().any(|name| name == "all") { SUPPORTED.to_vec() } else { names.iter().map(String::as_str).collect() }
}
