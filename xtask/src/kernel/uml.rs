//! User Mode Linux: a kernel that starts in a second as a plain process, with all detectors.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};

use super::own::{OwnKernel, Plan};
use crate::vm::cache::Cache;
use crate::vm::tools::Tools;

const PLAN: Plan = Plan { name: "uml", arch: "um", targets: &["linux", "modules"], title: "User Mode Linux" };
/// What no kernel may say.
const COMPLAINTS: [&str; 6] =
    ["BUG: ", "WARNING: ", "UBSAN: ", "Kernel panic", "new suspected memory leaks", "INFO: trying to register"];

/// A kernel that was built.
pub(super) struct Uml(OwnKernel);

impl Uml {
    /// Takes the kernel from the cache, or builds it.
    pub(super) fn fetch(cache: &Cache, tools: &Tools) -> Result<Uml> {
        OwnKernel::fetch(cache, tools, &PLAN, |_| Ok(())).map(Uml)
    }

    /// Builds modules of the sources in `kernel/PART` for it. Gives the folder that they are in.
    pub(super) fn build_modules(&self, mirror: &str, part: &str) -> Result<PathBuf> {
        self.0.build_modules(mirror, part)
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
            .arg(self.0.folder.join("linux"))
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
}

/// The first complaint in a kernel's log.
pub(super) fn complaint(log: &str) -> Option<&str> {
    log.lines().find(|line| COMPLAINTS.iter().any(|word| line.contains(word)))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
