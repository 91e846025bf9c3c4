//! What a job says about itself, and what usb4 says about the job.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The line `measured: {...}` that rank 0 of every example prints.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Measured {
    /// How many steps it took.
    pub(super) steps: u64,
    /// Time of a step.
    pub(super) step_us: f64,
    /// How much of that was communication, the wait for slower ranks included.
    pub(super) communication_us: f64,
    /// A digest of the result: it must not depend on the transport.
    pub(super) result: String,
    /// What else the example wants in the table.
    #[serde(default)]
    pub(super) notes: String,
}

impl Measured {
    pub(super) fn parse(text: &str) -> Result<Measured> {
        serde_json::from_str(text).with_context(|| format!("the line `measured: {text}` is not understood"))
    }
}

/// What all channels of a job moved (`UCX_USB4_STATS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Channels that were opened and closed.
    pub(super) channels: usize,
    /// Bytes sent over cables.
    pub(super) cable_bytes: u64,
    /// Frames that the fault plan lost.
    pub(super) lost: u64,
    /// Frames that were under way when their cable was pulled.
    pub(super) unplugged: u64,
}

#[derive(Deserialize)]
struct Channel {
    rails: Vec<Rail>,
}

#[derive(Deserialize)]
struct Rail {
    rail: String,
    tx_bytes: u64,
    lost: u64,
    unplugged: u64,
}

impl Traffic {
    /// Reads the counters; no file: no channel was opened.
    pub(super) fn read(path: &Path) -> Result<Traffic> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut traffic = Traffic::default();
        for line in text.lines() {
            let channel: Channel =
                serde_json::from_str(line).with_context(|| format!("usb4's counters are not understood: {line}"))?;
            traffic.channels += 1;
            for rail in channel.rails.iter().filter(|rail| rail.rail != "loopback") {
                traffic.cable_bytes += rail.tx_bytes;
                traffic.lost += rail.lost;
                traffic.unplugged += rail.unplugged;
            }
        }
        Ok(traffic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_in_a_node_is_not_counted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let rail = |name: &str, bytes: u64| {
            format!("{{\"rail\":\"{name}\",\"tx_bytes\":{bytes},\"lost\":1,\"unplugged\":2,\"more\":0}}")
        };
        let line = format!("{{\"node\":0,\"rails\":[{},{}]}}\n", rail("rail 0", 5), rail("loopback", 7));
        std::fs::write(file.path(), [line.clone(), line].concat()).unwrap();
        let traffic = Traffic::read(file.path()).unwrap();
        assert_eq!(traffic, Traffic { channels: 2, cable_bytes: 10, lost: 2, unplugged: 4 });
        assert_eq!(Traffic::read(Path::new("/nowhere")).unwrap(), Traffic::default());
    }

    #[test]
    fn notes_may_be_absent() {
        let text = r#"{"steps":2,"step_us":3.5,"communication_us":1.5,"result":"ab"}"#;
        assert_eq!(Measured::parse(text).unwrap().notes, "");
        assert!(Measured::parse(r#"{"steps":2}"#).is_err());
    }
}
