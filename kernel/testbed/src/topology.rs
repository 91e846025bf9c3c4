//! Which hosts there are and which of their ports are joined by cables.

use std::str::FromStr;

use thiserror::Error;

use crate::adapter::LaneSpeed;
use crate::registers::MAX_RINGS;
use crate::router::MAX_PORTS;

/// Most hosts of a topology.
pub const MAX_HOSTS: usize = 16;
/// Rings per direction of an NHI unless told otherwise, the control ring included.
pub const DEFAULT_RINGS: usize = 12;

/// One end of a cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Host index, from 0.
    pub host: usize,
    /// Port index on that host, from 0.
    pub port: usize,
}

/// Hosts and cables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Number of hosts.
    pub hosts: usize,
    /// Ports of each host's router.
    pub ports: usize,
    /// Rings per direction of each NHI, the control ring included.
    pub rings: usize,
    /// The two ends of each cable.
    pub cables: Vec<[End; 2]>,
    /// Rate at which cables train.
    pub speed: LaneSpeed,
}

/// Why a topology was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TopologyError {
    /// Not a name, and not a list of cables.
    #[error(
        "topology \"{0}\" is not known: use pair, pair:2, chain:N, ring:N, triangle, or cables such as 0.0-1.0,1.1-2.0"
    )]
    Unknown(String),
    /// A count is out of range.
    #[error("{what} {given} is out of range: {least} to {most} are possible")]
    OutOfRange {
        /// What is counted.
        what: &'static str,
        /// What was asked for.
        given: usize,
        /// Least possible value.
        least: usize,
        /// Greatest possible value.
        most: usize,
    },
    /// A port has two cables.
    #[error("port {port} of host {host} has two cables: give each cable ports of its own")]
    PortTaken {
        /// Host index.
        host: usize,
        /// Port index.
        port: usize,
    },
    /// A cable leads back to its own host.
    #[error("a cable joins host {0} to itself: join two different hosts")]
    Loop(usize),
}

impl Topology {
    /// The same cables with `rings` rings per NHI (the control ring included).
    ///
    /// # Errors
    /// [`TopologyError::OutOfRange`] unless 2 to 16 rings are asked for.
    pub fn with_rings(mut self, rings: usize) -> Result<Topology, TopologyError> {
        self.rings = in_range("rings per NHI", rings, 2, MAX_RINGS)?;
        Ok(self)
    }

    fn from_cables(cables: Vec<[End; 2]>) -> Result<Topology, TopologyError> {
        if let Some([end, _]) = cables.iter().find(|[a, b]| a.host == b.host) {
            return Err(TopologyError::Loop(end.host));
        }
        let ends = || cables.iter().flatten();
        let hosts = in_range("number of hosts", ends().map(|end| end.host + 1).max().unwrap_or(0), 2, MAX_HOSTS)?;
        let ports = in_range("ports per host", ends().map(|end| end.port + 1).max().unwrap_or(0), 1, MAX_PORTS)?;
        for (index, end) in ends().enumerate() {
            if ends().take(index).any(|other| other == end) {
                return Err(TopologyError::PortTaken { host: end.host, port: end.port });
            }
        }
        Ok(Topology { hosts, ports, rings: DEFAULT_RINGS, cables, speed: LaneSpeed::default() })
    }
}

impl FromStr for Topology {
    type Err = TopologyError;

    /// `pair` (two hosts, one cable), `pair:2` (two hosts, two cables), `chain:N`, `ring:N`, `triangle`, or a list of cables
    /// `HOST.PORT-HOST.PORT,...`.
    fn from_str(text: &str) -> Result<Topology, TopologyError> {
        let unknown = || TopologyError::Unknown(text.to_owned());
        let end = |host, port| End { host, port };
        let (name, count) = match text.split_once(':') {
            Some((name, count)) => (name, Some(count.parse::<usize>().map_err(|_| unknown())?)),
            None => (text, None),
        };
        // Ports are numbered so that each host's port 1 leads to the next host's port 0.
        let cables = match (name, count) {
            ("pair", None) => vec![[end(0, 0), end(1, 0)]],
            ("pair", Some(count)) => {
                let count = in_range("number of cables", count, 1, MAX_PORTS)?;
                (0..count).map(|port| [end(0, port), end(1, port)]).collect()
            }
            ("chain", Some(hosts)) => {
                let hosts = in_range("number of hosts", hosts, 2, MAX_HOSTS)?;
                (1..hosts).map(|host| [end(host - 1, 1), end(host, 0)]).collect()
            }
            ("ring" | "triangle", _) => {
                let hosts = in_range("number of hosts", count.unwrap_or(3), 3, MAX_HOSTS)?;
                (0..hosts).map(|host| [end(host, 1), end((host + 1) % hosts, 0)]).collect()
            }
            (list, None) => {
                let cable = |text: &str| {
                    let (a, b) = text.split_once('-')?;
                    Some([parse_end(a)?, parse_end(b)?])
                };
                list.split(',').map(cable).collect::<Option<Vec<_>>>().ok_or_else(unknown)?
            }
            _ => return Err(unknown()),
        };
        Topology::from_cables(cables)
    }
}

fn parse_end(text: &str) -> Option<End> {
    let (host, port) = text.split_once('.')?;
    let small = |text: &str| text.parse().ok().filter(|&number: &usize| number < 1000);
    Some(End { host: small(host)?, port: small(port)? })
}

fn in_range(what: &'static str, given: usize, least: usize, most: usize) -> Result<usize, TopologyError> {
    if (least..=most).contains(&given) {
        Ok(given)
    } else {
        Err(TopologyError::OutOfRange { what, given, least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> (usize, usize, usize) {
        let topology: Topology = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        (topology.hosts, topology.ports, topology.cables.len())
    }

    #[test]
    fn names_and_lists_are_understood() {
        assert_eq!(shape("pair"), (2, 1, 1));
        assert_eq!(shape("pair:2"), (2, 2, 2));
        assert_eq!(shape("chain:3"), (3, 2, 2));
        assert_eq!(shape("triangle"), (3, 2, 3));
        assert_eq!(shape("ring:4"), (4, 2, 4));
        assert_eq!(shape("0.0-1.0,1.1-2.0"), (3, 2, 2));
    }

    #[test]
    fn what_cannot_be_built_is_refused_with_the_way_out() {
        let refusal = |text: &str| text.parse::<Topology>().expect_err(text).to_string();
        for text in ["", "star", "pair:x", "0-1", "chain", "star:3", "0.0-1"] {
            assert!(refusal(text).contains("use pair"), "{text}: {}", refusal(text));
        }
        assert!(refusal("0.0-0.1").contains("itself"));
        assert!(refusal("0.0-1.0,0.0-2.0").contains("two cables"));
        assert!(refusal("chain:99").contains("2 to 16"));
        assert!(refusal("0.9-1.0").contains("1 to 4"));
        let pair: Topology = "pair".parse().expect("known");
        assert!(pair.clone().with_rings(1).is_err());
        assert_eq!(pair.with_rings(3).map(|topology| topology.rings), Ok(3));
    }
}
