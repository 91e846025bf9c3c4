//! The packages as a user meets them: lintian's opinion, and installation, use and removal in fresh systems.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::folder;
use crate::folder::{DEBIAN12, DEBIAN13, Folder, Spec};
use crate::{packages, workspace};

/// Checks those that were made.
pub(crate) fn run(shell: &Shell, made: &[PathBuf]) -> Result<()> {
    let with = |ending: &str| -> Vec<&PathBuf> {
        made.iter().filter(|path| path.extension().is_some_and(|extension| extension == ending)).collect()
    };
    let debs = &with("deb");
    if !debs.is_empty() {
        packages::install(shell, &[packages::LINTIAN])?;
        cmd!(shell, "lintian --fail-on error,warning {debs...}").run().context("lintian has something to say")?;
        for spec in [&DEBIAN12, &DEBIAN13] {
            run_in(shell, spec, "packaging/check.sh", debs)?;
        }
    }
    for rpm in with("rpm") {
        packages::install(shell, &[packages::RPM])?;
        cmd!(shell, "rpm --query --package --list --info {rpm}").run()?;
        run_in(shell, &DEBIAN13, "packaging/check-rpm.sh", &[rpm])?;
    }
    for archive in with("gz") {
        unpack_install_remove(shell, archive)?;
    }
    Ok(())
}

/// Runs a script of the project in a fresh system, which is thrown away after it.
fn run_in(shell: &Shell, spec: &'static Spec, script: &str, packages: &[&PathBuf]) -> Result<()> {
    eprintln!("\n== installation, use and removal: {}, {script}\n", spec.name);
    let mut command = Folder::open(shell, spec, false)?.disposable("sh", &[workspace::root(), &folder()])?;
    let status =
        command.arg(workspace::root().join(script)).args(packages).status().context("unshare did not start")?;
    ensure!(status.success(), "the packages do not pass {script} in {}; see above", spec.name);
    Ok(())
}

/// The archive's own scripts, in an empty prefix: the job finds its libraries there, and nothing stays.
fn unpack_install_remove(shell: &Shell, archive: &Path) -> Result<()> {
    let scratch = shell.create_temp_dir()?;
    let (source, prefix) = (scratch.path().join("source"), scratch.path().join("prefix"));
    shell.create_dir(&source)?;
    cmd!(shell, "tar -xf {archive} -C {source} --strip-components=1").run()?;
    let install = source.join("install.sh");
    cmd!(shell, "{install} --prefix {prefix}").run()?;
    let usb4ctl = prefix.join("bin/usb4ctl");
    // The doctor in the job's own surroundings finds nothing to say.
    cmd!(shell, "{usb4ctl} run -- {usb4ctl} doctor").env("UCX_USB4_LINKS", "sim:ideal").run()?;
    let environment = cmd!(shell, "{usb4ctl} env").read()?;
    let libraries = prefix.join("lib/ucx-usb4");
    ensure!(environment.contains(&format!("{}", libraries.display())), "usb4ctl does not find {}", libraries.display());
    let uninstall = prefix.join("share/ucx-usb4/uninstall.sh");
    cmd!(shell, "{uninstall}").run()?;
    let left = cmd!(shell, "find {prefix} -mindepth 1").read()?;
    ensure!(left.is_empty(), "the archive's uninstall.sh leaves {left}");
    Ok(())
}
