//! Tensor-parallel inference with the model that the example `torch` trained.

use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::program::Program;
use super::{Example, Setting, rust, torch};
use crate::stage::Stage;

/// `cargo xtask example tp_infer`.
pub(super) const EXAMPLE: Example = Example {
    name: "tp_infer",
    about: "tensor-parallel inference: continues text with the model that the example torch trained (trains it at first)",
    ranks: &[2, 4],
    is_for_all: true,
    prepare,
};

/// What is read of a profile.
#[derive(Deserialize)]
struct Profile {
    name: String,
    rails: u32,
    rate_gbps: Option<f64>,
    latency_us: f64,
}

fn prepare(setting: &Setting) -> Result<Program> {
    let checkpoint = torch::checkpoint();
    if !checkpoint.is_file() {
        eprintln!("there is no model yet; training one first");
        let training = Setting { example: &torch::EXAMPLE, ..*setting };
        setting.once(&torch::prepare(&training)?)?;
    }
    let mut program = rust::prepare(setting)?;
    program.words.extend(["--model".into(), checkpoint.into()]);
    if let Some(profile) = profile(setting.stage, setting.profile)? {
        let rate_gbps = profile.rate_gbps.map_or(1e4, |rate| rate * f64::from(profile.rails));
        program.words.push(format!("--link-rate-gbps={rate_gbps}").into());
        program.words.push(format!("--link-latency-us={}", profile.latency_us).into());
    }
    Ok(program)
}

/// What the profile allows; none for a fabric of the user's own.
fn profile(stage: &Stage, name: &str) -> Result<Option<Profile>> {
    let output = Command::new(stage.program("usb4ctl")).args(["sim", "profiles", "--json"]).output();
    let output = output.context("usb4ctl does not start")?;
    let profiles: Vec<Profile> = serde_json::from_slice(&output.stdout).context("the profiles are not understood")?;
    Ok(profiles.into_iter().find(|profile| profile.name == name))
}
