//! Kernels of our own, with everything that Debian's kernels leave out: KASAN, UBSAN, lockdep, kmemleak, KUnit. Each is configured by a file
//! of `kernel/tests` and built once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{build, source};
use crate::vm::cache::{Cache, checksum};
use crate::vm::tools::Tools;
use crate::workspace;

/// What to build.
pub(super) struct Plan {
    /// Of its configuration in `kernel/tests`, and of its folder in the cache.
    pub(super) name: &'static str,
    /// As Linux's makefiles call it.
    pub(super) arch: &'static str,
    /// What make is to make.
    pub(super) targets: &'static [&'static str],
    /// For people.
    pub(super) title: &'static str,
}

/// A kernel that was built.
pub(super) struct OwnKernel {
    plan: &'static Plan,
    source: PathBuf,
    /// Its build folder.
    pub(super) folder: PathBuf,
}

impl OwnKernel {
    /// Takes the kernel from the cache, or builds it, and has `finish` do what is left. Its folder is named after its configuration, so
    /// another one is built anew.
    pub(super) fn fetch(
        cache: &Cache,
        tools: &Tools,
        plan: &'static Plan,
        finish: impl FnOnce(&OwnKernel) -> Result<()>,
    ) -> Result<OwnKernel> {
        let source = source::fetch(cache, tools)?;
        let config = workspace::root().join(format!("kernel/tests/{}.config", plan.name));
        let text = fs::read(&config).with_context(|| format!("{} cannot be read", config.display()))?;
        let name = format!("{}-{}-{:08x}", plan.name, source::SERIES, checksum(&text));
        // The build folder's name is in what is built, so it is filled where it stays.
        let kernel = OwnKernel { plan, source, folder: cache.root().join(&name) };
        if kernel.folder.join("built").is_file() {
            return Ok(kernel);
        }
        let (title, folder) = (plan.title, kernel.folder.display());
        println!(
            "building {title}, once: 20 to 40 minutes of processor time; `tail -f {folder}/log` shows how far it is"
        );
        fs::create_dir_all(&kernel.folder).with_context(|| format!("{folder} cannot be made"))?;
        let mut configure = kernel.make();
        configure.env("KCONFIG_ALLCONFIG", &config).arg("allnoconfig");
        kernel.run(configure, &format!("{title} cannot be configured"))?;
        check_config(title, &text, &kernel.folder.join(".config"))?;
        let mut build = kernel.make();
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        build.arg(format!("-j{jobs}")).args(plan.targets);
        kernel.run(build, &format!("{title} does not build"))?;
        finish(&kernel)?;
        fs::write(kernel.folder.join("built"), "")?;
        Ok(kernel)
    }

    /// Builds modules of the sources in `kernel/PART` for it. Gives the folder that they are in.
    pub(super) fn build_modules(&self, mirror: &str, part: &str) -> Result<PathBuf> {
        let folder = build::mirror(mirror)?.join(part);
        let mut command = self.make();
        command.arg(format!("M={}", folder.display())).args(["W=1", "modules"]);
        logged(command, &folder.join("log"), &format!("the module does not build for {}", self.plan.title))?;
        Ok(folder)
    }

    /// `make` of the kernel's source with the host's own compiler.
    pub(super) fn make(&self) -> Command {
        let mut command = Command::new("make");
        command.arg("-C").arg(&self.source).arg(format!("O={}", self.folder.display()));
        command.arg(format!("ARCH={}", self.plan.arch)).arg("--no-print-directory");
        command.env_remove("MAKEFLAGS").env_remove("MFLAGS").stdin(std::process::Stdio::null());
        command
    }

    /// Runs a command for the kernel; what it says goes to the folder's log.
    pub(super) fn run(&self, command: Command, what: &str) -> Result<()> {
        logged(command, &self.folder.join("log"), what)
    }
}

/// Fails if the kernel's configuration has not taken over what was asked for: an option may need another one.
fn check_config(title: &str, wanted: &[u8], config: &Path) -> Result<()> {
    let taken = fs::read_to_string(config).with_context(|| format!("{} cannot be read", config.display()))?;
    let wanted = String::from_utf8_lossy(wanted).into_owned();
    let missing: Vec<&str> = wanted
        .lines()
        .filter(|line| line.starts_with("CONFIG_") && !taken.lines().any(|other| other == *line))
        .collect();
    ensure!(missing.is_empty(), "{title} does not take {}: what do they depend on?", missing.join(", "));
    Ok(())
}

/// Runs a command whose output goes to a log.
fn logged(mut command: Command, log: &Path, what: &str) -> Result<()> {
    let file = fs::File::create(log).with_context(|| format!("{} cannot be made", log.display()))?;
    let status = command.stdout(file.try_clone()?).stderr(file).status().context("make did not start")?;
    if !status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        bail!("{what}; the end of {}:\n{}", log.display(), lines[lines.len().saturating_sub(15)..].join("\n"));
    }
    Ok(())
}
