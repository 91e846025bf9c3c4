//! The proof that usb4 carried a job: the counters that each of its channels writes when it closes (`UCX_USB4_STATS`).

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tempfile::TempDir;

/// Where the channels of one job write.
pub(super) struct Counters {
    folder: TempDir,
}

/// What counts of a channel's line.
#[derive(Deserialize)]
struct Channel {
    /// Payload bytes that it sent.
    tx_bytes: u64,
}

impl Counters {
    /// For a new job.
    ///
    /// # Errors
    /// If there is no place for a temporary file.
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder can be made for usb4's counters")?;
        Ok(Self { folder })
    }

    /// The variable that asks for them.
    pub(super) fn variable(&self) -> (String, String) {
        ("UCX_USB4_STATS".to_owned(), self.folder.path().join("stats").display().to_string())
    }

    /// Fails if usb4 carried nothing: then something else did, and the numbers are not usb4's.
    ///
    /// # Errors
    /// If so.
    pub(super) fn require_traffic(&self) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(self.folder.path().join("stats")).unwrap_or_default();
        let bytes = sent_bytes(&text)?;
        ensure!(
            bytes > 0,
            "the job ended well, but usb4's counters show no traffic, so another transport carried it; `usb4ctl doctor` says which \
             setting is in the way"
        );
        Ok(())
    }
}

fn sent_bytes(text: &str) -> anyhow::Result<u64> {
    let parse = |line| {
        serde_json::from_str::<Channel>(line).with_context(|| format!("usb4's counters are not understood: {line}"))
    };
    text.lines().map(|line| Ok(parse(line)?.tx_bytes)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_traffic_does_not_count() {
        let counters = Counters::new().expect("a temporary folder");
        assert!(counters.require_traffic().is_err(), "no file: usb4 was not even opened");
        let (_, path) = counters.variable();
        std::fs::write(&path, "{\"node\":0,\"tx_bytes\":0}\n").expect("it can be written");
        assert!(counters.require_traffic().is_err());
        std::fs::write(&path, "{\"node\":0,\"tx_bytes\":0}\n{\"node\":1,\"tx_bytes\":9}\n").expect("it can be written");
        assert!(counters.require_traffic().is_ok());
    }
}
