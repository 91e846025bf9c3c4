//! The module's pure parts under KUnit, on User Mode Linux: no kernel of Debian has KUnit, and this one starts in a second, as a plain
//! process, with KASAN and UBSAN.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::build;
use super::source;
use crate::vm::cache::Cache;
use crate::vm::tools::Tools;
use crate::workspace;

/// The kernel's first process: loads the tests, which run at once, and ends.
const INIT: &str = "#!/busybox sh\n/busybox insmod /usb4_dma_kunit.ko\necho \"@insmod $?\"\n/busybox poweroff -f\n";
const MODULE: &str = "usb4_dma_kunit.ko";
const COMPLAINTS: [&str; 4] = ["BUG: ", "WARNING: ", "UBSAN: ", "Kernel panic"];

/// Builds User Mode Linux once, the tests, and runs them.
///
/// # Errors
/// When one of them fails, or the kernel complains.
pub(crate) fn run(cache: &Cache, tools: &Tools) -> Result<()> {
    let source = source::fetch(cache, tools)?;
    let kernel = user_mode_linux(cache, &source)?;
    let module = build_tests(&source, &kernel)?;
    let log = boot(tools, &kernel, &module)?;
    let tests = judge(&log)?;
    println!("{tests} KUnit tests passed on User Mode Linux {} with KASAN and UBSAN", source::SERIES);
    Ok(())
}

/// The kernel's build folder. It is named after its configuration, so another one is built anew.
fn user_mode_linux(cache: &Cache, source: &Path) -> Result<PathBuf> {
    let config = workspace::root().join("kernel/tests/uml.config");
    let text = fs::read(&config).with_context(|| format!("{} cannot be read", config.display()))?;
    let name = format!("uml-{}-{:08x}", source::SERIES, checksum(&text));
    // The build folder's name is in what is built, so it is filled where it stays.
    let folder = cache.root().join(&name);
    if folder.join("built").is_file() {
        return Ok(folder);
    }
    println!("building User Mode Linux in {}; this takes some minutes, once", folder.display());
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let log = folder.join("log");
    let mut configure = make(source, &folder);
    configure.env("KCONFIG_ALLCONFIG", &config).arg("allnoconfig");
    finish(configure, &log, "User Mode Linux cannot be configured")?;
    check_config(&text, &folder.join(".config"))?;
    let mut build = make(source, &folder);
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    build.arg(format!("-j{jobs}")).args(["linux", "modules"]);
    finish(build, &log, "User Mode Linux does not build")?;
    fs::write(folder.join("built"), "")?;
    Ok(folder)
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

/// `make` of the kernel's source with the host's own compiler, since the kernel is a program of the host.
fn make(source: &Path, folder: &Path) -> Command {
    let mut command = Command::new("make");
    command.arg("-C").arg(source).arg(format!("O={}", folder.display())).args(["ARCH=um", "--no-print-directory"]);
    command.env_remove("MAKEFLAGS").env_remove("MFLAGS").stdin(Stdio::null());
    command
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

fn build_tests(source: &Path, kernel: &Path) -> Result<PathBuf> {
    let folder = build::mirror("kunit")?.join("tests");
    let mut command = make(source, kernel);
    command.arg(format!("M={}", folder.display())).args(["W=1", "modules"]);
    finish(command, &folder.join("log"), "the tests do not build")?;
    Ok(folder.join(MODULE))
}

/// Starts the kernel with a folder of the host as its root. Gives what it said.
fn boot(tools: &Tools, kernel: &Path, module: &Path) -> Result<String> {
    let root = tempfile::Builder::new().prefix("usb4-kunit-").tempdir().context("no temporary folder can be made")?;
    fs::create_dir(root.path().join("dev"))?;
    fs::copy(tools.busybox(), root.path().join("busybox")).context("busybox cannot be copied")?;
    fs::copy(module, root.path().join(MODULE)).context("the tests cannot be copied")?;
    let init = root.path().join("init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let output = Command::new("timeout")
        .args(["-k", "5", "300"])
        .arg(kernel.join("linux"))
        .args([
            "mem=256M",
            "rootfstype=hostfs",
            "rw",
            "init=/init",
            "con=null",
            "con0=null,fd:1",
            "panic=-1",
            "kunit.enable=1",
            "kunit.autorun=1",
        ])
        .arg(format!("rootflags={}", root.path().display()))
        // Files that back the kernel's memory.
        .env("TMPDIR", root.path())
        .stdin(Stdio::null())
        .output()
        .context("User Mode Linux did not start")?;
    Ok(text(&output))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// How many tests passed, if all did and the kernel had no complaint.
fn judge(log: &str) -> Result<usize> {
    // Cases stand indented, with the kernel's time before them.
    let lines = || log.lines().map(|line| line.split_once("] ").map_or(line, |(_, rest)| rest));
    let complaint = lines().find(|line| COMPLAINTS.iter().any(|word| line.contains(word)));
    let failed: Vec<&str> = lines().filter(|line| line.trim_start().starts_with("not ok ")).collect();
    let passed = lines().filter(|line| line.starts_with("    ok ")).count();
    if !failed.is_empty() || complaint.is_some() || passed == 0 || !log.contains("@insmod 0") {
        println!("{log}");
        let why = match complaint {
            Some(complaint) => format!("the kernel complains: {complaint}"),
            None if failed.is_empty() => "no test ran".to_owned(),
            None => failed.join("\n"),
        };
        bail!("KUnit: {why}");
    }
    Ok(passed)
}

/// Tells configurations apart.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[    0.1]     KTAP version 1\n[    0.2]     ok 1 one\n[    0.2]     ok 2 two\n[    0.3] ok 1 suite\n@insmod 0\n";

    #[test]
    fn passed_and_failed_tests_are_told_apart() {
        assert_eq!(judge(GOOD).expect("all passed"), 2);
        assert!(judge(&GOOD.replace("ok 2 two", "not ok 2 two")).is_err());
        assert!(judge(&GOOD.replace("@insmod 0", "@insmod 1")).is_err());
        assert!(judge(&format!("{GOOD}[ 0.4] BUG: KASAN: slab-out-of-bounds")).is_err());
        assert!(judge("@insmod 0").is_err());
    }
}
