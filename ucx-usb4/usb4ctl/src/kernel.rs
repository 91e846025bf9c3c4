//! The kernel module's node as `usb4ctl status` shows it: rails and processes.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use usb4_link::kernel::{NodeView, ProcessView, RailState, RailView};

use crate::table;
use crate::view::{ConnectionReport, DirectionReport};

/// A cable that carries no more trained at a lower speed, or with fewer lanes, than any USB4 controller can.
const TRAINED_GBPS: f64 = 20.0;

/// This node.
#[derive(Debug, Serialize)]
pub(crate) struct NodeReport {
    /// Its number, as eight hexadecimal digits.
    node: String,
    /// Version of the module's interface.
    abi_version: u32,
    /// Open channels, those of other users included.
    channels: u32,
    /// The rails of all cables.
    rails: Vec<RailReport>,
    /// The processes with channels that this user may look at.
    processes: Vec<ProcessReport>,
}

/// A rail.
#[derive(Debug, Serialize)]
struct RailReport {
    rail: usize,
    name: String,
    up: bool,
    peer_node: String,
    peer_uuid: String,
    /// How often it came up.
    epoch: u32,
    /// What the cable carries in the transmit direction; its rails share it.
    rate_gbps: Option<f64>,
    tx_lanes: u32,
    rx_lanes: u32,
    nhi: String,
    numa_node: Option<u32>,
    local_cpus: String,
    counters: BTreeMap<String, u64>,
}

/// A process's channel.
#[derive(Debug, Serialize)]
struct ProcessReport {
    pid: u32,
    program: String,
    channel: u16,
    kicks: u64,
    doorbells: u64,
    sleeps: u64,
    wakeups: u64,
    rails: BTreeMap<String, DirectionReport>,
    /// Its connections; the peers' nodes as numbers.
    connections: Vec<ConnectionReport>,
}

impl From<&NodeView> for NodeReport {
    fn from(view: &NodeView) -> Self {
        NodeReport {
            node: format!("{:08x}", view.node.0),
            abi_version: view.abi_version,
            channels: view.channels,
            rails: view.rails.iter().map(RailReport::from).collect(),
            processes: view.processes.iter().map(ProcessReport::from).collect(),
        }
    }
}

impl From<&RailView> for RailReport {
    fn from(view: &RailView) -> Self {
        RailReport {
            rail: view.id.index(),
            name: view.name.clone(),
            up: view.state == RailState::Up,
            peer_node: format!("{:08x}", view.peer.0),
            peer_uuid: view.peer_uuid.clone(),
            epoch: view.epoch,
            rate_gbps: view.rate_bits_per_s.map(|rate| rate as f64 / 1e9),
            tx_lanes: view.tx_lanes,
            rx_lanes: view.rx_lanes,
            nhi: view.nhi.clone(),
            numa_node: view.numa_node,
            local_cpus: view.local_cpus.clone(),
            counters: view.counters.clone(),
        }
    }
}

impl From<&ProcessView> for ProcessReport {
    fn from(view: &ProcessView) -> Self {
        let rails = view.rails.iter().map(|(id, counters)| (id.to_string(), DirectionReport::from(counters)));
        ProcessReport {
            pid: view.pid,
            program: view.program.clone(),
            channel: view.address.channel.0,
            kicks: view.kicks,
            doorbells: view.doorbells,
            sleeps: view.sleeps,
            wakeups: view.wakeups,
            rails: rails.collect(),
            connections: view.connections.iter().map(ConnectionReport::from).collect(),
        }
    }
}

/// Writes it for people.
pub(crate) fn describe(text: &mut String, node: &NodeReport) -> std::fmt::Result {
    let up = node.rails.iter().filter(|rail| rail.up).count();
    writeln!(
        text,
        "/dev/usb4dma: node {}, {up} of {} rails up, {} channels (interface {})",
        node.node,
        node.rails.len(),
        node.channels,
        node.abi_version
    )?;
    if node.rails.is_empty() {
        return writeln!(
            text,
            "  no peer has answered yet: check that a USB4 cable joins two hosts and both have loaded usb4_dma"
        );
    }
    describe_rails(text, &node.rails)?;
    describe_places(text, &node.rails)?;
    describe_processes(text, &node.processes)
}

fn describe_rails(text: &mut String, rails: &[RailReport]) -> std::fmt::Result {
    let mut table =
        table::new(["rail", "name", "peer", "state", "cable", "lanes", "sent", "received", "dropped", "interrupts"]);
    for rail in rails {
        let count = |name: &str| rail.counters.get(name).copied().unwrap_or(0);
        let dropped = ["rx_no_buffer", "rx_no_channel", "rx_crc", "rx_overrun", "rx_malformed", "tx_canceled"];
        table.add_row([
            rail.rail.to_string(),
            rail.name.clone(),
            rail.peer_node.clone(),
            if rail.up { "up" } else { "down" }.to_owned(),
            rail.rate_gbps.map_or_else(|| "unknown".to_owned(), |rate| table::rate(Some(rate))),
            format!("{}/{}", rail.tx_lanes, rail.rx_lanes),
            table::bytes(count("tx_bytes")),
            table::bytes(count("rx_bytes")),
            dropped.iter().map(|name| count(name)).sum::<u64>().to_string(),
            count("irqs").to_string(),
        ]);
    }
    writeln!(text, "{}", table.trim_fmt())?;
    for rail in rails.iter().filter(|rail| rail.up && rail.rate_gbps.is_some_and(|rate| rate <= TRAINED_GBPS)) {
        let rate = rail.rate_gbps.unwrap_or_default();
        writeln!(
            text,
            "  {}: the cable trained at {rate} Gb/s only; unplug it at both ends and plug it in again",
            rail.name
        )?;
    }
    Ok(())
}

/// Where processes that receive are at their best: near the controllers.
fn describe_places(text: &mut String, rails: &[RailReport]) -> std::fmt::Result {
    let places: BTreeMap<&str, &RailReport> = rails.iter().map(|rail| (rail.nhi.as_str(), rail)).collect();
    for (nhi, rail) in places.iter().filter(|(_, rail)| !rail.local_cpus.is_empty()) {
        let node = rail.numa_node.map_or_else(String::new, |node| format!(", NUMA node {node}"));
        writeln!(text, "  controller {nhi}: near CPUs {}{node}", rail.local_cpus)?;
    }
    Ok(())
}

fn describe_processes(text: &mut String, processes: &[ProcessReport]) -> std::fmt::Result {
    if processes.is_empty() {
        return Ok(());
    }
    let mut table = table::new([
        "process",
        "program",
        "channel",
        "sent",
        "received",
        "retransmitted",
        "kicks",
        "doorbells",
        "sleeps",
    ]);
    for process in processes {
        let sum = |field: fn(&DirectionReport) -> u64| process.rails.values().map(field).sum::<u64>();
        table.add_row([
            process.pid.to_string(),
            process.program.clone(),
            process.channel.to_string(),
            table::bytes(sum(|rail| rail.bytes)),
            table::bytes(sum(|rail| rail.received_bytes)),
            process.connections.iter().map(|connection| connection.retransmissions).sum::<u64>().to_string(),
            process.kicks.to_string(),
            process.doorbells.to_string(),
            process.sleeps.to_string(),
        ]);
    }
    writeln!(text, "{}", table.trim_fmt())
}

#[cfg(test)]
mod tests {
    use usb4_link::{ConnectionStats, RailCounters};

    use super::*;

    fn rail(up: bool, rate_gbps: f64) -> RailReport {
        RailReport {
            rail: 1,
            name: "cable0.rail1".to_owned(),
            up,
            peer_node: "00000007".to_owned(),
            peer_uuid: String::new(),
            epoch: 1,
            rate_gbps: Some(rate_gbps),
            tx_lanes: 2,
            rx_lanes: 2,
            nhi: "0000:c7:00.5".to_owned(),
            numa_node: None,
            local_cpus: "0-7".to_owned(),
            counters: BTreeMap::from([("tx_bytes".to_owned(), 2048), ("rx_crc".to_owned(), 3)]),
        }
    }

    fn text(rails: Vec<RailReport>) -> String {
        let counters = RailCounters { tx_bytes: 4096, ..RailCounters::default() };
        let process = ProcessReport {
            pid: 41,
            program: "ring".to_owned(),
            channel: 5,
            kicks: 9,
            doorbells: 4,
            sleeps: 0,
            wakeups: 0,
            rails: BTreeMap::from([("rail 1".to_owned(), DirectionReport::from(&counters))]),
            connections: vec![ConnectionReport::from(&ConnectionStats {
                retransmissions: 6,
                ..ConnectionStats::default()
            })],
        };
        let node =
            NodeReport { node: "0badcafe".to_owned(), abi_version: 1, channels: 1, rails, processes: vec![process] };
        let mut text = String::new();
        describe(&mut text, &node).unwrap();
        text
    }

    #[test]
    fn rails_and_processes_are_listed() {
        let text = text(vec![rail(true, 40.0)]);
        for part in [
            "node 0badcafe, 1 of 1 rails up",
            "00000007",
            "40 Gb/s",
            "2.0 KiB",
            "ring",
            "4.0 KiB",
            "0000:c7:00.5: near CPUs 0-7",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(!text.contains("trained"));
    }

    #[test]
    fn a_cable_that_trained_slowly_is_named_with_its_remedy() {
        assert!(text(vec![rail(true, 10.0)]).contains("cable0.rail1: the cable trained at 10 Gb/s only; unplug it"));
        assert!(!text(vec![rail(false, 10.0)]).contains("trained"));
    }

    #[test]
    fn a_node_without_peers_says_what_to_check() {
        assert!(text(Vec::new()).contains("both have loaded usb4_dma"));
    }
}
