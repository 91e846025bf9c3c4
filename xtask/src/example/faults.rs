//! Bad cables: the pair of strix-halo, with a frame in a thousand lost, and one cable pulled and put back all the time.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::job::Outcome;
use crate::workspace;

/// Pulled for the last 120 of every 400 ms, for ten minutes: even a training of a second is hit in the middle.
const PULLS: u64 = 1500;
/// A job of two periods has seen a whole pull.
const LEAST_S: f64 = 0.8;

/// Whether a job was hit at all, in words. Frames fall to a pull only if they were under way at that moment.
pub(super) fn verdict(bad: &Outcome) -> Result<String> {
    let (lost, unplugged) = (bad.traffic.lost, bad.traffic.unplugged);
    let seconds = bad.measured.steps as f64 * bad.measured.step_us / 1e6;
    ensure!(
        lost > 0 && (unplugged > 0 || seconds > LEAST_S),
        "{lost} frames were lost and {unplugged} fell to a pulled cable within {seconds:.1} s: the job was too short to be hit by \
         both; give it more to do, with arguments behind `--`"
    );
    Ok(format!(
        "A cable was pulled every 0.4 s; {lost} frames were lost and {unplugged} fell to a pull. The result is the same."
    ))
}

/// A description of the fabric, in a file that lives as long as this.
pub(super) struct Plan {
    folder: tempfile::TempDir,
}

impl Plan {
    pub(super) fn new() -> Result<Plan> {
        let parent = workspace::target().join("example");
        std::fs::create_dir_all(&parent)?;
        let folder = tempfile::tempdir_in(parent).context("no temporary folder can be made in the target folder")?;
        let plan = Plan { folder };
        std::fs::write(plan.file(), plan.description()).context("the fabric's description cannot be written")?;
        Ok(plan)
    }

    /// The value for `UCX_USB4_LINKS`.
    pub(super) fn links(&self) -> String {
        format!("sim:{}", self.file().display())
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("fabric.toml")
    }

    fn description(&self) -> String {
        // Two fabrics with the same text would be one.
        let mut text = format!("# {}\nnodes = 2\nseed = 1\n", self.folder.path().display());
        for cable in 0..2 {
            text += "\n[[cables]]\nbetween = [0, 1]\nrails = 2\nrate_gbps = 13.0\nlatency_us = 5.5\nloss = 0.001\n";
            for pull in 0..if cable == 1 { PULLS } else { 0 } {
                // Writing to a String does not fail.
                let _ = writeln!(text, "[[cables.unplug]]\nat_ms = {}.0\nfor_ms = 120.0", pull * 400 + 280);
            }
        }
        text
    }
}
