//! The device process as a child of this one.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A running `usb4-testbed`. Dropping it ends it.
pub(crate) struct Testbed {
    program: PathBuf,
    folder: PathBuf,
    child: Child,
}

impl Testbed {
    /// Builds the program if need be and starts it with its sockets in `folder`; what it says goes to `log`.
    pub(crate) fn start(topology: &str, rings: usize, folder: &Path, log: &Path) -> Result<Testbed> {
        let program = build()?;
        let log_file = File::create(log).with_context(|| format!("{} cannot be made", log.display()))?;
        let mut child = Command::new(&program)
            .args(["serve", "--with-parent", "--topology", topology, "--rings", &rings.to_string(), "--dir"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("{} did not start", program.display()))?;
        let mut first = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut first)?;
        }
        let testbed = Testbed { program, folder: folder.to_owned(), child };
        if first.trim() != "ready" {
            let said = fs::read_to_string(log).unwrap_or_default();
            bail!("the simulated USB4 hosts did not start: {}", said.trim().trim_start_matches("error: "));
        }
        Ok(testbed)
    }

    /// Sends a command, as words of its command line; gives what it printed.
    pub(crate) fn control(&self, words: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .args(["ctl", "--dir"])
            .arg(&self.folder)
            .args(words)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Number of hosts and the state of everything.
    pub(crate) fn status(&self) -> Result<(usize, String)> {
        let text = self.control(&["status"])?;
        let value: Value = serde_json::from_str(&text).context("the testbed's status is no JSON")?;
        Ok((value["hosts"].as_array().map_or(0, Vec::len), text))
    }

    /// Whether the process ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds `usb4-testbed` with the optimiser on and gives its path.
fn build() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no workspace")?;
    let output = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", "usb4-testbed", "--bin", "usb4-testbed", "--message-format=json"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo did not start")?;
    ensure!(output.status.success(), "usb4-testbed does not build");
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.context("cargo did not say where usb4-testbed is")
}
