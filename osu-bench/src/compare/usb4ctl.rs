//! What `usb4ctl` knows: the environment that brings usb4 into UCX, and the simulator's profiles.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// A profile of the simulated cable, as `usb4ctl sim profiles --json` describes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Profile {
    /// Name after `sim:`.
    pub(super) name: String,
    /// Rails of the link between two nodes.
    pub(super) rails: u32,
    /// Rate of one rail in Gb/s; `None` if it is not paced.
    pub(super) rate_gbps: Option<f64>,
    /// One-way latency of the wire in us.
    pub(super) latency_us: f64,
}

/// Share of a frame that is payload: 4096 bytes less a 40-byte header.
const PAYLOAD_SHARE: f64 = 4056.0 / 4096.0;

impl Profile {
    /// What all rails carry in one direction, in MB/s.
    pub(super) fn limit_mb_s(&self) -> Option<f64> {
        self.rate_gbps.map(|rate| f64::from(self.rails) * rate * PAYLOAD_SHARE * 1e3 / 8.0)
    }
}

/// The variables that `usb4ctl env` names.
///
/// # Errors
/// If usb4ctl is not found or fails.
pub(super) fn environment() -> anyhow::Result<Vec<(String, String)>> {
    let variables: BTreeMap<String, String> = ask(&["env", "--json"])?;
    Ok(variables.into_iter().collect())
}

/// The profiles that the simulator knows.
///
/// # Errors
/// If usb4ctl is not found or fails.
pub(super) fn profiles() -> anyhow::Result<Vec<Profile>> {
    ask(&["sim", "profiles", "--json"])
}

fn ask<T: DeserializeOwned>(arguments: &[&str]) -> anyhow::Result<T> {
    let program = program();
    let shown = format!("{} {}", program.display(), arguments.join(" "));
    let output = Command::new(&program).args(arguments).output().with_context(|| {
        format!("{shown} does not start; build it with `cargo build -p usb4ctl`, or name it in the variable USB4CTL")
    })?;
    if !output.status.success() {
        bail!("{shown} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{shown} did not print the JSON that was expected"))
}

/// `$USB4CTL`, or the usb4ctl beside this program, or the one on PATH.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("USB4CTL") {
        return named.into();
    }
    let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name("usb4ctl"));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| "usb4ctl".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_a_profile_is_its_rails_less_headers() {
        let profile = Profile { name: "strix-halo".into(), rails: 4, rate_gbps: Some(13.0), latency_us: 5.5 };
        let limit = profile.limit_mb_s().expect("it is paced");
        assert!((limit - 6436.5).abs() < 0.1, "{limit}");
        assert_eq!(Profile { rate_gbps: None, ..profile }.limit_mb_s(), None);
    }
}
