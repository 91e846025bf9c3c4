//! The compilers that Debian builds its kernels with, run through their own loader so that the host's C library does not matter.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::vm::apt::Apt;
use crate::vm::cache::Cache;

/// 6.1 was built by gcc 12, the newer ones by gcc 14. The libraries are what the programs of `linux-kbuild` want.
const PACKAGES: [&str; 8] = ["gcc-12", "gcc-14", "binutils", "make", "sparse", "pahole", "libelf1t64", "libssl3t64"];
/// Programs that a module's build calls by name.
const PROGRAMS: [&str; 3] = ["make", "sparse", "pahole"];
/// Those that it calls with the architecture before the name too.
const CROSS_PROGRAMS: [&str; 10] =
    ["gcc-12", "gcc-14", "as", "ld", "ar", "nm", "objcopy", "objdump", "strip", "readelf"];
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Compilers, binutils, make and sparse, unpacked.
pub(crate) struct Toolchain {
    root: PathBuf,
}

impl Toolchain {
    /// Takes the programs from the cache, or downloads them.
    pub(crate) fn fetch(cache: &Cache) -> Result<Toolchain> {
        let root = cache.root().join("toolchain");
        let toolchain = Toolchain { root: root.clone() };
        let fill = |folder: &Path| {
            Apt::open(cache, false)?.unpack_with_dependencies(&PACKAGES, folder)?;
            // The compiler calls its parts by their full path, and make calls itself.
            for folder in ["usr/bin", "usr/lib/gcc", "usr/libexec/gcc"].map(|name| folder.join(name)) {
                toolchain.wrap_all(&folder)?;
            }
            // Not all of usr/bin goes into the search path: there is a perl in it that does not find its modules.
            let programs = folder.join("bin");
            fs::create_dir(&programs)?;
            let cross = CROSS_PROGRAMS.iter().flat_map(|name| [(*name).to_owned(), format!("x86_64-linux-gnu-{name}")]);
            for name in PROGRAMS.iter().map(|name| (*name).to_owned()).chain(cross) {
                ensure!(folder.join("usr/bin").join(&name).exists(), "Debian's packages have no program {name}");
                symlink(Path::new("../usr/bin").join(&name), programs.join(&name))?;
            }
            Ok(())
        };
        cache.folder("toolchain", false, fill)?;
        let make = toolchain.make().arg("--version").output().context("make did not start")?;
        if !make.status.success() {
            bail!(
                "make from {} does not run: {}; remove that folder, and it will be fetched anew",
                root.display(),
                String::from_utf8_lossy(&make.stderr).trim()
            );
        }
        Ok(toolchain)
    }

    /// `make` with all of the programs in its search path, before the host's.
    pub(crate) fn make(&self) -> Command {
        let programs = self.root.join("bin");
        let mut command = Command::new(programs.join("make"));
        let mut path = programs.into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        command.env("PATH", path);
        // A cargo that was started by make would pass these on.
        command.env_remove("MAKEFLAGS").env_remove("MFLAGS");
        command
    }

    /// Puts a script in the place of each program below `folder` that would run with the host's C library.
    pub(crate) fn wrap_all(&self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                self.wrap_all(&path)?;
            } else if entry.file_type()?.is_file() && is_program(&path)? {
                let mut name = path.file_name().unwrap_or_default().to_owned();
                name.push(".elf");
                let program = path.with_file_name(&name);
                fs::rename(&path, &program)?;
                self.write_wrapper(&path, &final_place(&program), &final_place(&path))?;
            }
        }
        Ok(())
    }

    /// Writes a script that runs `program` with our loader and libraries. `name` is what the program is told that it is called: gcc and
    /// Debian's modpost look for their parts beside it.
    fn write_wrapper(&self, script: &Path, program: &Path, name: &Path) -> Result<()> {
        let libraries = self.root.join(LIBRARIES);
        let text = format!(
            "#!/bin/sh\nexec '{loader}' --argv0 '{name}' --library-path '{libraries}' '{program}' \"$@\"\n",
            loader = libraries.join("ld-linux-x86-64.so.2").display(),
            name = name.display(),
            libraries = libraries.display(),
            program = program.display(),
        );
        fs::write(script, text).with_context(|| format!("{} cannot be written", script.display()))?;
        fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}

/// Where a file of a cache folder that is being filled will be afterwards.
fn final_place(path: &Path) -> PathBuf {
    let strip = |part: &OsStr| part.to_str().and_then(|part| part.strip_suffix(".partial")).map(PathBuf::from);
    path.iter().map(|part| strip(part).unwrap_or_else(|| PathBuf::from(part))).collect()
}

/// Whether a file is an executable that asks for a loader; shared libraries and scripts are not.
fn is_program(path: &Path) -> Result<bool> {
    if fs::metadata(path)?.permissions().mode() & 0o111 == 0 || path.extension() == Some(OsStr::new("so")) {
        return Ok(false);
    }
    let mut magic = Vec::new();
    fs::File::open(path)?.take(4).read_to_end(&mut magic)?;
    Ok(magic == *b"\x7fELF")
}
