//! `usb4ctl status`: what the machine has, and what it carries.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use usb4_link::LinkSpec;
use usb4_link::kernel::inspect;
use usb4_link::sim::{FabricView, Holder, Registry};

use crate::cables::{self, TrainedCable};
use crate::cli::StatusArgs;
use crate::host::ThisMachine;
use crate::kernel::{self, NodeReport};
use crate::machine::MachineReport;
use crate::view::{CableReport, ChannelReport, DirectionReport, FabricReport};
use crate::{out, table};

/// All of it.
#[derive(Debug, Serialize)]
struct Status {
    /// Versions and the IOMMU.
    machine: MachineReport,
    /// Whether the kernel module's device is there.
    device: bool,
    /// Cables to other hosts, whether the module is loaded or not.
    cables: Vec<TrainedCable>,
    /// What the kernel module shows.
    kernel: Option<NodeReport>,
    /// The fabrics in use, and the one that UCX_USB4_LINKS names.
    fabrics: Vec<FabricReport>,
}

/// Prints it, once or again and again.
pub(crate) fn run(arguments: &StatusArgs) -> anyhow::Result<ExitCode> {
    let registry = Registry::default();
    // While it is held, the fabric that the user has chosen can be looked at even when no job runs.
    let _holder = chosen(&registry)?;
    loop {
        let status = read(&registry)?;
        match (arguments.json, arguments.watch) {
            // One object on each line, for programs that read them as they come.
            (true, Some(_)) => out::line(serde_json::to_string(&status)?)?,
            (true, None) => out::json(&status)?,
            (false, Some(_)) => out::text(format_args!("{CLEAR}{}", describe(&status)?))?,
            (false, None) => out::text(describe(&status)?)?,
        }
        match arguments.watch {
            Some(seconds) => std::thread::sleep(Duration::from_secs_f64(seconds)),
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Cursor to the top left, and everything below it away.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

fn read(registry: &Registry) -> anyhow::Result<Status> {
    let view = |name: String| registry.inspect(&name).ok();
    let views: Vec<FabricView> = registry.list().into_iter().filter_map(|summary| view(summary.name)).collect();
    Ok(Status {
        machine: MachineReport::read(),
        device: Path::new("/dev/usb4dma").exists(),
        cables: cables::to_hosts(&ThisMachine),
        kernel: inspect().context("the kernel module's files in sysfs cannot be read")?.as_ref().map(NodeReport::from),
        fabrics: views.iter().map(FabricReport::from).collect(),
    })
}

/// Holds the simulated fabric that UCX_USB4_LINKS names, if it names one.
fn chosen(registry: &Registry) -> anyhow::Result<Option<Holder>> {
    match std::env::var("UCX_USB4_LINKS").unwrap_or_default().parse()? {
        LinkSpec::Auto | LinkSpec::Kernel => Ok(None),
        spec => Ok(Some(registry.hold(&spec)?)),
    }
}

fn describe(status: &Status) -> Result<String, std::fmt::Error> {
    let mut text = status.machine.describe() + "\n";
    match (&status.kernel, status.device) {
        (Some(node), _) => kernel::describe(&mut text, node)?,
        (None, true) => writeln!(text, "/dev/usb4dma: there")?,
        (None, false) => writeln!(text, "/dev/usb4dma: not there (the kernel module is not loaded)")?,
    }
    cables::describe(&mut text, &status.cables)?;
    if status.fabrics.is_empty() {
        writeln!(
            text,
            "simulated cables: none in use; choose one with UCX_USB4_LINKS=sim:PROFILE (usb4ctl sim profiles)"
        )?;
    }
    for fabric in &status.fabrics {
        describe_fabric(&mut text, fabric)?;
    }
    Ok(text)
}

fn describe_fabric(text: &mut String, fabric: &FabricReport) -> std::fmt::Result {
    let FabricReport { name, age_s, nodes, cables, loopback, channels, .. } = fabric;
    writeln!(text, "\nsimulated fabric {name}: {nodes} nodes, {} cables, since {age_s:.1} s", cables.len())?;
    let mut table = table::new(["rail", "joins", "state", "rate", "latency", "sent", "frames", "dropped"]);
    for (number, cable) in cables.iter().enumerate() {
        add_cable(&mut table, number, cable);
    }
    for (node, traffic) in loopback.iter().enumerate() {
        let joins = format!("within {node}");
        table.add_row(row("loopback", &joins, "up", &table::rate(None), "", traffic));
    }
    writeln!(text, "{}", table.trim_fmt())?;
    if channels.is_empty() {
        return writeln!(text, "  no process has it open");
    }
    let mut table = table::new(["process", "channel", "state", "connections", "sent", "received", "retransmitted"]);
    for channel in channels {
        table.add_row(channel_row(channel));
    }
    writeln!(text, "{}", table.trim_fmt())
}

fn add_cable(table: &mut comfy_table::Table, number: usize, cable: &CableReport) {
    let [first, second] = cable.between;
    for (index, rail) in cable.rails.iter().enumerate() {
        let state = if rail.up { "up" } else { "down" };
        let (rate, latency) = (table::rate(rail.rate_gbps), format!("{} us", rail.latency_us));
        for (from, to, direction) in [(first, second, &rail.forward), (second, first, &rail.backward)] {
            let (name, joins) = (format!("{number}.{index}"), format!("{from} -> {to}"));
            table.add_row(row(&name, &joins, state, &rate, &latency, direction));
        }
    }
}

fn row(name: &str, joins: &str, state: &str, rate: &str, latency: &str, traffic: &DirectionReport) -> [String; 8] {
    [
        name.to_owned(),
        joins.to_owned(),
        state.to_owned(),
        rate.to_owned(),
        latency.to_owned(),
        table::bytes(traffic.bytes),
        traffic.frames.to_string(),
        traffic.dropped().to_string(),
    ]
}

fn channel_row(channel: &ChannelReport) -> [String; 7] {
    let retransmitted: u64 = channel.connections.iter().map(|connection| connection.retransmissions).sum();
    [
        channel.pid.to_string(),
        format!("{}.{}", channel.node, channel.channel),
        if channel.sleeping { "asleep" } else { "awake" }.to_owned(),
        channel.connections.len().to_string(),
        table::bytes(channel.sent_bytes),
        table::bytes(channel.received_bytes),
        retransmitted.to_string(),
    ]
}
