//! The system packages that building and testing need: looks for what they bring, and installs what is missing.

use std::path::Path;

use anyhow::{Context, bail};
use xshell::{Shell, cmd};

use crate::workspace::has_program;

/// A Debian package, what it is for, and how to see that it is there (or that another system has the same).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    name: &'static str,
    why: &'static str,
    probe: Probe,
}

/// What a package brings.
#[derive(Clone, Copy, Debug)]
enum Probe {
    /// One of these programs.
    Program(&'static [&'static str]),
    /// A header in the compiler's usual folders.
    Header(&'static str),
    /// A folder that holds a file whose name starts so, below one of the library folders.
    Library(&'static str),
    /// A module of Debian's own Python.
    Python(&'static str),
}

/// What the build needs.
pub(crate) const BUILD: &[Package] = &[
    Package { name: "libucx-dev", why: "UCX: library and headers", probe: Probe::Header("uct/api/uct.h") },
    Package { name: "ucx-utils", why: "ucx_info and ucx_perftest", probe: Probe::Program(&["ucx_info"]) },
    Package { name: "openmpi-bin", why: "mpirun", probe: Probe::Program(&["mpirun.openmpi", "mpirun"]) },
    Package {
        name: "libopenmpi-dev",
        why: "mpicc, for the benchmarks",
        probe: Probe::Program(&["mpicc.openmpi", "mpicc"]),
    },
    Package { name: "libhwloc-dev", why: "where ranks run, for the benchmarks", probe: Probe::Header("hwloc.h") },
    Package { name: "libudev-dev", why: "libhwloc is linked with it", probe: Probe::Header("libudev.h") },
    Package { name: "libclang-dev", why: "bindgen reads C headers with it", probe: Probe::Library("libclang") },
    Package { name: "pkg-config", why: "finds UCX", probe: Probe::Program(&["pkg-config"]) },
];

/// What the tests need beside that.
pub(crate) const TEST: &[Package] = &[
    Package { name: "mpich", why: "the second MPI of the tests", probe: Probe::Program(&["mpirun.mpich"]) },
    Package { name: "tshark", why: "reads recorded frames with the dissector", probe: Probe::Program(&["tshark"]) },
    Package { name: "libmpich-dev", why: "its mpicc", probe: Probe::Program(&["mpicc.mpich"]) },
];

/// What counts instructions.
pub(crate) const VALGRIND: &[Package] =
    &[Package { name: "valgrind", why: "counts instructions", probe: Probe::Program(&["callgrind_annotate"]) }];

/// What samples, for flame graphs.
pub(crate) const PERF: &[Package] =
    &[Package { name: "linux-perf", why: "samples, for flame graphs", probe: Probe::Program(&["perf"]) }];

/// What fetches releases of UCX from PyPI.
pub(crate) const PIP: &[Package] =
    &[Package { name: "python3-pip", why: "fetches other releases of UCX", probe: Probe::Python("pip") }];

/// What building User Mode Linux needs, for the kernel module's KUnit tests.
pub(crate) const KUNIT: &[Package] = &[
    Package { name: "make", why: "builds the kernel", probe: Probe::Program(&["make"]) },
    Package { name: "gcc", why: "builds the kernel", probe: Probe::Program(&["gcc"]) },
    Package { name: "flex", why: "reads the kernel's configuration", probe: Probe::Program(&["flex"]) },
    Package { name: "bison", why: "reads the kernel's configuration", probe: Probe::Program(&["bison"]) },
    Package { name: "bc", why: "computes the kernel's constants", probe: Probe::Program(&["bc"]) },
];

/// What a kernel for x86 needs beside that.
pub(crate) const OBJTOOL: &[Package] = &[Package {
    name: "libelf-dev",
    why: "the kernel's build checks object files with it",
    probe: Probe::Header("gelf.h"),
}];

/// What mpi4py's suite needs beside that.
pub(crate) const MPI4PY: &[Package] = &[
    Package { name: "python3-mpi4py", why: "MPI for Python", probe: Probe::Python("mpi4py") },
    Package { name: "python3-pip", why: "fetches mpi4py's test suite", probe: Probe::Python("pip") },
    Package {
        name: "python3-setuptools",
        why: "pip reads source packages with it",
        probe: Probe::Python("setuptools"),
    },
];

/// What packages are made with.
pub(crate) const PACKAGE: &[Package] = &[
    Package { name: "binutils", why: "strip", probe: Probe::Program(&["strip"]) },
    Package { name: "gzip", why: "man pages are packed", probe: Probe::Program(&["gzip"]) },
];

/// What the kernel module's package is made with.
pub(crate) const DKMS: &[Package] = &[
    Package { name: "dpkg-dev", why: "dpkg-buildpackage", probe: Probe::Program(&["dpkg-buildpackage"]) },
    Package { name: "debhelper", why: "the steps of a package's build", probe: Probe::Program(&["dh"]) },
    Package { name: "dh-dkms", why: "its step for DKMS", probe: Probe::Program(&["dh_dkms"]) },
];

/// What Debian packages are checked with.
pub(crate) const LINTIAN: &[Package] =
    &[Package { name: "lintian", why: "checks packages", probe: Probe::Program(&["lintian"]) }];

/// What RPM packages are looked into with.
pub(crate) const RPM: &[Package] = &[Package { name: "rpm", why: "reads packages", probe: Probe::Program(&["rpm"]) }];

/// What Horovod is built with, and what its example learns from.
pub(crate) const HOROVOD: &[Package] = &[
    Package { name: "python3-torch", why: "PyTorch", probe: Probe::Python("torch") },
    Package {
        name: "libtorch-dev",
        why: "its headers, for Horovod",
        probe: Probe::Header("torch/csrc/api/include/torch/torch.h"),
    },
    Package { name: "cmake", why: "builds Horovod", probe: Probe::Program(&["cmake"]) },
    Package { name: "g++", why: "builds Horovod", probe: Probe::Program(&["g++"]) },
    Package { name: "python3-dev", why: "Python's headers, for Horovod", probe: Probe::Header("python3.11/Python.h") },
    Package { name: "pybind11-dev", why: "builds Horovod", probe: Probe::Header("pybind11/pybind11.h") },
    Package { name: "python3-pip", why: "fetches and builds Horovod", probe: Probe::Python("pip") },
    Package { name: "python3-setuptools", why: "builds Horovod", probe: Probe::Python("setuptools") },
    Package { name: "python3-wheel", why: "builds Horovod", probe: Probe::Python("wheel") },
    Package { name: "python3-cloudpickle", why: "used by Horovod", probe: Probe::Python("cloudpickle") },
    Package { name: "python3-psutil", why: "used by Horovod", probe: Probe::Python("psutil") },
    Package { name: "python3-yaml", why: "used by Horovod", probe: Probe::Python("yaml") },
    Package { name: "python3-packaging", why: "used by Horovod", probe: Probe::Python("packaging") },
    Package { name: "python3-cffi", why: "used by Horovod", probe: Probe::Python("cffi") },
    Package { name: "python3-sklearn", why: "the digits", probe: Probe::Python("sklearn") },
    Package { name: "python3-tqdm", why: "progress bars", probe: Probe::Python("tqdm") },
];

/// What whole Debian systems in folders are made with.
pub(crate) const FOLDER: &[Package] = &[
    Package { name: "mmdebstrap", why: "installs Debian in a folder", probe: Probe::Program(&["mmdebstrap"]) },
    Package { name: "util-linux", why: "unshare, to run commands in it", probe: Probe::Program(&["unshare"]) },
];

/// Installs those of the packages that are missing.
pub(crate) fn install(shell: &Shell, lists: &[&[Package]]) -> anyhow::Result<()> {
    let missing: Vec<Package> = lists.concat().into_iter().filter(|package| !is_there(package.probe)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("These are missing and will be installed through apt:");
    for Package { name, why, .. } in &missing {
        eprintln!("  {name:20} {why}");
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let list = names.join(" ");
    if !has_program("apt-get") {
        bail!(
            "there is no apt-get on this system; install what Debian calls {list} with your package manager, then run this again"
        );
    }
    let sudo: &[&str] = match (rustix::process::geteuid().is_root(), has_program("sudo")) {
        (true, _) => &[],
        (false, true) => &["sudo"],
        (false, false) => bail!("you are not root and there is no sudo; as root, run: apt-get install {list}"),
    };
    let environment = ["env", "DEBIAN_FRONTEND=noninteractive"];
    let prefix: Vec<&str> = [sudo, &environment].concat();
    let (program, rest) = prefix.split_first().context("the prefix holds env")?;
    cmd!(shell, "{program} {rest...} apt-get update -q")
        .run()
        .context("apt-get update failed; is the network there?")?;
    cmd!(shell, "{program} {rest...} apt-get install -q -y --no-install-recommends {names...}")
        .run()
        .with_context(|| format!("cannot install {list}; try it by hand: apt-get install {list}"))?;
    match missing.iter().find(|package| !is_there(package.probe)) {
        Some(package) => bail!("{} is installed, but what it is for is not found: {}", package.name, package.why),
        None => Ok(()),
    }
}

fn is_there(probe: Probe) -> bool {
    match probe {
        Probe::Program(names) => names.iter().any(|name| has_program(name)),
        Probe::Header(path) => header_folders().any(|folder| folder.join(path).is_file()),
        Probe::Library(start) => std::env::var_os("LIBCLANG_PATH").is_some() || library_is_there(start),
        Probe::Python(module) => std::process::Command::new(PYTHON)
            .args(["-c", &format!("import {module}")])
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success()),
    }
}

/// The Python that Debian's packages are for, whatever else is in PATH.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// Where the C compiler looks, and what the user adds.
fn header_folders() -> impl Iterator<Item = std::path::PathBuf> {
    let added = std::env::var_os("CPATH").unwrap_or_default();
    let usual = ["/usr/include", "/usr/local/include"].map(Into::into);
    std::env::split_paths(&added).collect::<Vec<_>>().into_iter().chain(usual)
}

/// Debian keeps libclang below /usr/lib/llvm-N/lib; others in /usr/lib64 or /usr/lib.
fn library_is_there(start: &str) -> bool {
    let holds = |folder: &Path| {
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        names.map(|entry| entry.file_name()).any(|name| is_library(&name.to_string_lossy(), start))
    };
    let versions = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path().join("lib"));
    let usual = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(std::path::PathBuf::from);
    versions.chain(usual).any(|folder| holds(&folder))
}

/// Whether a file is the library `start`, with or without a version in its name. `libclang-cpp` is another library than
/// `libclang`, of no use to bindgen, and stands on many machines by itself.
fn is_library(file: &str, start: &str) -> bool {
    let Some(rest) = file.strip_prefix(start) else { return false };
    let version =
        rest.strip_prefix('-').map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'));
    version.starts_with(".so") || version.starts_with("so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_not_taken_for_another_one() {
        for file in ["libclang.so", "libclang.so.1", "libclang-14.so", "libclang-14.so.13", "libclang-14.0.6.so"] {
            assert!(is_library(file, "libclang"), "{file}");
        }
        for file in ["libclang-cpp.so.14", "libclangTooling.a", "libc.so.6"] {
            assert!(!is_library(file, "libclang"), "{file}");
        }
    }
}
