//! What a simulated fabric consists of, and the fabrics that are built in.

use std::fmt;

use crate::NodeId;

/// Most nodes of a fabric.
pub const NODES_MAX: u32 = 256;
/// Most rails of one node, over all its cables.
pub const NODE_RAILS_MAX: usize = 31;

/// A simulated fabric: hosts and the cables between them.
#[derive(Clone, Debug, PartialEq)]
pub struct FabricConfig {
    /// Number of hosts; they are numbered from 0.
    pub nodes: u32,
    /// Seed of the fault plan's random numbers; `None`: another one for each run.
    pub seed: Option<u64>,
    /// The cables, numbered from 0.
    pub cables: Vec<CableConfig>,
}

/// A cable between two hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct CableConfig {
    /// The hosts that it joins.
    pub between: [NodeId; 2],
    /// Its rails, numbered from 0.
    pub rails: Vec<RailConfig>,
    /// When it is unplugged.
    pub unplug: Vec<Unplug>,
}

/// A rail; both directions alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RailConfig {
    /// Line rate in bits per second; `None`: no pacing.
    pub rate_bits_per_s: Option<u64>,
    /// One-way latency in nanoseconds.
    pub latency_ns: u64,
    /// Probability that a frame is lost, 0 to 1.
    pub loss: f64,
    /// Probability that a frame arrives twice, 0 to 1.
    pub duplicate: f64,
    /// A frame is delayed by a further random time up to this many nanoseconds. The rail keeps its order, so
    /// this reorders frames of different rails.
    pub reorder_ns: u64,
}

impl RailConfig {
    /// A rail without limits or faults.
    pub const IDEAL: RailConfig =
        RailConfig { rate_bits_per_s: None, latency_ns: 0, loss: 0.0, duplicate: 0.0, reorder_ns: 0 };

    /// Whether frames take time: they then carry the time of their delivery.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        self.rate_bits_per_s.is_some() || self.latency_ns > 0 || self.reorder_ns > 0
    }
}

/// A time without the cable, counted from the fabric's creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unplug {
    /// When the cable is pulled, in nanoseconds.
    pub at_ns: u64,
    /// How long it stays out, in nanoseconds; `None`: for ever.
    pub for_ns: Option<u64>,
}

impl Unplug {
    /// When the cable is put back, in nanoseconds; `u64::MAX` if never.
    #[must_use]
    pub fn until_ns(&self) -> u64 {
        self.for_ns.map_or(u64::MAX, |for_ns| self.at_ns.saturating_add(for_ns))
    }
}

/// A fabric that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// No delay and no limit: measures the software.
    Ideal,
    /// Two Strix Halo hosts: two cables with two rings each.
    StrixHalo,
    /// Two hosts on one 40 Gb/s cable, used to its limit.
    Usb4v1,
    /// Two hosts on one 80 Gb/s cable behind PCIe 4.0 x4.
    Usb4v2,
}

impl Profile {
    /// All profiles.
    #[must_use]
    pub fn all() -> &'static [Profile] {
        &[Profile::Ideal, Profile::StrixHalo, Profile::Usb4v1, Profile::Usb4v2]
    }

    /// The name after `sim:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Profile::Ideal => "ideal",
            Profile::StrixHalo => "strix-halo",
            Profile::Usb4v1 => "usb4-40g",
            Profile::Usb4v2 => "usb4-80g",
        }
    }

    /// The profile of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Profile> {
        Profile::all().iter().copied().find(|profile| profile.name() == name)
    }

    /// All names, for messages.
    #[must_use]
    pub fn names() -> String {
        Profile::all().iter().map(|profile| profile.name()).collect::<Vec<_>>().join(", ")
    }

    /// One line about it and its limits.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Profile::Ideal => "2 nodes, 1 cable, 1 rail; no pacing, no delay: measures the software",
            Profile::StrixHalo => "2 nodes, 2 cables x 2 rails, 13 Gb/s and 5.5 us one way per rail",
            Profile::Usb4v1 => "2 nodes, 1 cable x 1 rail, 37.42 Gb/s and 5.5 us one way",
            Profile::Usb4v2 => "2 nodes, 1 cable x 1 rail, 63 Gb/s and 4.1 us one way",
        }
    }

    /// Its description, as a file for `sim:PATH` would hold it.
    #[must_use]
    pub fn toml(self) -> &'static str {
        match self {
            Profile::Ideal => include_str!("profiles/ideal.toml"),
            Profile::StrixHalo => include_str!("profiles/strix-halo.toml"),
            Profile::Usb4v1 => include_str!("profiles/usb4-40g.toml"),
            Profile::Usb4v2 => include_str!("profiles/usb4-80g.toml"),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The fabric description is wrong, with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct ConfigError {
    /// The file, or the name of the text.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_parses_and_is_what_its_summary_says() {
        for profile in Profile::all() {
            let config = FabricConfig::parse(profile.name(), profile.toml()).unwrap();
            assert_eq!(config.nodes, 2);
            let summary = profile.summary();
            assert_eq!(summary.contains("2 cables"), config.cables.len() == 2);
            for rail in &config.cables[0].rails {
                if let Some(rate) = rail.rate_bits_per_s {
                    assert!(summary.contains(&format!("{} Gb/s", rate as f64 / 1e9)), "{summary}");
                    assert!(summary.contains(&format!("{} us", rail.latency_ns as f64 / 1e3)), "{summary}");
                }
            }
        }
    }
}
