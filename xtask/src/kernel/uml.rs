//! User Mode Linux: a kernel that starts in a second as a plain process, with everything that Debian's kernels leave out: KASAN, UBSAN,
//! lockdep, kmemleak, KUnit.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::{build, source};
use crate::vm::cache::Cache;
use crate::vm::tools::Tools;
use crate::workspace;

/// What no kernel may say.
const COMPLAINTS: [&str; 6] =
    ["BUG: ", "WARNING: ", "UBSAN: ", "Kernel panic", "new suspected memory leaks", "INFO: trying to register"];

/// A kernel that was built.
pub(super) struct Uml {
    source: PathBuf,
    /// Its build folder.
    folder: PathBuf,
}

impl Uml {
    /// Takes the kernel from the cache, or builds it. Its folder is named after its configuration, so another one is built anew.
    pub(super) fn fetch(cache: &Cache, tools: &Tools) -> Result<Uml> {
        let source = source::fetch(cache, tools)?;
        let config = workspace::root().join("kernel/tests/uml.config");
        let text = fs::read(&config).with_context(|| format!("{} cannot be read", config.display()))?;
        let name = format!("uml-{}-{:08x}", source::SERIES, checksum(&text));
        // The build folder's name is in what is built, so it is filled where it stays.
        let uml = Uml { source, folder: cache.root().join(&name) };
        if uml.folder.join("built").is_file() {
            return Ok(uml);
        }
        println!("building User Mode Linux in {}; this takes some minutes, once", uml.folder.display());
        fs::create_dir_all(&uml.folder).with_context(|| format!("{} cannot be made", uml.folder.display()))?;
        let log = uml.folder.join("log");
        let mut configure = uml.make();
        configure.env("KCONFIG_ALLCONFIG", &config).arg("allnoconfig");
        finish(configure, &log, "User Mode Linux cannot be configured")?;
        check_config(&text, &uml.folder.join(".config"))?;
        let mut build = uml.make();
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        build.arg(format!("-j{jobs}")).args(["linux", "modules"]);
        finish(build, &log, "User Mode Linux does not build")?;
        fs::write(uml.folder.join("built"), "")?;
        Ok(uml)
    }

    /// Builds modules of the sources in `kernel/PART` for it. Gives the folder that they are in.
    pub(super) fn build_modules(&self, mirror: &str, part: &str) -> Result<PathBuf> {
        let folder = build::mirror(mirror)?.join(part);
        let mut command = self.make();
        command.arg(format!("M={}", folder.display())).args(["W=1", "modules"]);
        finish(command, &folder.join("log"), "the module does not build for User Mode Linux")?;
        Ok(folder)
    }

    /// Starts the kernel with a folder of the host as its root: busybox, `files`, and a shell script as its first process, which
    /// powers off. Gives what kernel and script said.
    pub(super) fn boot(&self, tools: &Tools, files: &[PathBuf], init: &str, limit_s: u64) -> Result<String> {
        let root = tempfile::Builder::new().prefix("usb4-uml-").tempdir().context("no temporary folder can be made")?;
        for folder in ["dev", "proc", "sys", "tmp"] {
            fs::create_dir(root.path().join(folder))?;
        }
        fs::copy(tools.busybox(), root.path().join("busybox")).context("busybox cannot be copied")?;
        for file in files {
            let name = file.file_name().context("a file has a name")?;
            fs::copy(file, root.path().join(name)).with_context(|| format!("{} cannot be copied", file.display()))?;
        }
        let first = root.path().join("init");
        fs::write(&first, format!("#!/busybox sh\n{init}\n/busybox poweroff -f\n"))?;
        fs::set_permissions(&first, fs::Permissions::from_mode(0o755))?;
        let output = Command::new("timeout")
            .args(["-k", "5", &limit_s.to_string()])
            .arg(self.folder.join("linux"))
            .args(["mem=1G", "rootfstype=hostfs", "rw", "init=/init", "con=null", "con0=null,fd:1", "panic=-1"])
            .args(["kunit.enable=1", "kunit.autorun=1"])
            .arg(format!("rootflags={}", root.path().display()))
            // Files that back the kernel's memory.
            .env("TMPDIR", root.path())
            .stdin(Stdio::null())
            .output()
            .context("User Mode Linux did not start")?;
        Ok(text(&output))
    }

    /// `make` of the kernel's source with the host's own compiler, since the kernel is a program of the host.
    fn make(&self) -> Command {
        let mut command = Command::new("make");
        command.arg("-C").arg(&self.source).arg(format!("O={}", self.folder.display()));
        command.args(["ARCH=um", "--no-print-directory"]);
        command.env_remove("MAKEFLAGS").env_remove("MFLAGS").stdin(Stdio::null());
        command
    }
}

/// The first complaint in a kernel's log.
pub(super) fn complaint(log: &str) -> Option<&str> {
    log.lines().find(|line| COMPLAINTS.iter().any(|word| line.contains(word)))
}

/// Fails if the kernel's configuration has not taken over what was asked for: an option may need another one.
fn check_config(wanted: &[u8], config: &Path) -> Result<()> {
    let taken = fs::read_to_string(config).with_context(|| format!("{} cannot be read", config.display()))?;
    let wanted = String::from_utf8_lossy(wanted).into_owned();
    let missing: Vec<&str> = wanted
        .lines()
        .filter(|line| line.starts_with("CONFIG_") && !taken.lines().any(|other| other == *line))
        .collect();
    ensure!(missing.is_empty(), "User Mode Linux does not take {}: what do they depend on?", missing.join(", "));
    Ok(())
}

/// Runs a command whose output goes to a log.
fn finish(mut command: Command, log: &Path, what: &str) -> Result<()> {
    let file = fs::File::create(log).with_context(|| format!("{} cannot be made", log.display()))?;
    let status = command.stdout(file.try_clone()?).stderr(file).status().context("make did not start")?;
    if !status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        bail!("{what}; the end of {}:\n{}", log.display(), lines[lines.len().saturating_sub(15)..].join("\n"));
    }
    Ok(())
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Tells configurations apart.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
