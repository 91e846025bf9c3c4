//! `usb4ctl sim`: the simulated fabrics of this machine.

use std::io;
use std::process::ExitCode;

use anyhow::bail;
use usb4_link::sim::{ConfigError, FabricConfig, Profile, Registry};

use crate::cli::{RailArgs, SimCommand};
use crate::{out, table};

/// Does what the subcommand says.
pub(crate) fn run(command: &SimCommand) -> anyhow::Result<ExitCode> {
    let registry = Registry::default();
    match command {
        SimCommand::List => list(&registry)?,
        SimCommand::Clean => clean(&registry)?,
        SimCommand::Profiles { name, json } => profiles(name.as_deref(), *json)?,
        SimCommand::Unplug(arguments) => set_rail(&registry, arguments, false)?,
        SimCommand::Replug(arguments) => set_rail(&registry, arguments, true)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(registry: &Registry) -> io::Result<()> {
    let fabrics = registry.list();
    if fabrics.is_empty() {
        return out::line("no simulated fabric is in use");
    }
    let mut table = table::new(["fabric", "processes", "shared memory", "folder"]);
    for fabric in &fabrics {
        let users = match fabric.users {
            0 => "none: `usb4ctl sim clean` removes it".to_owned(),
            users => users.to_string(),
        };
        let folder = fabric.path.display().to_string();
        table.add_row([fabric.name.clone(), users, table::bytes(fabric.size_bytes), folder]);
    }
    out::line(table.trim_fmt())
}

fn clean(registry: &Registry) -> io::Result<()> {
    let removed = registry.clean();
    match removed.as_slice() {
        [] => out::line("nothing was left over"),
        names => out::line(format_args!("removed {}", names.join(", "))),
    }
}

/// A built-in fabric in the terms of one link between two nodes.
#[derive(Debug, serde::Serialize)]
struct ProfileReport {
    name: &'static str,
    about: &'static str,
    nodes: u32,
    cables: usize,
    /// Rails of all cables.
    rails: usize,
    /// Rate of a rail in Gb/s; absent: no limit.
    rate_gbps: Option<f64>,
    latency_us: f64,
}

impl ProfileReport {
    fn new(profile: Profile) -> Result<Self, ConfigError> {
        let config = FabricConfig::parse(profile.name(), profile.toml())?;
        let first = config.rails().next().map(|(.., rail)| rail);
        Ok(ProfileReport {
            name: profile.name(),
            about: profile.summary(),
            nodes: config.nodes,
            cables: config.cables.len(),
            rails: config.rails().count(),
            rate_gbps: first.and_then(|rail| rail.rate_bits_per_s).map(|rate| rate as f64 / 1e9),
            latency_us: first.map_or(0.0, |rail| rail.latency_ns as f64 / 1e3),
        })
    }
}

fn profiles(name: Option<&str>, json: bool) -> anyhow::Result<()> {
    if let Some(name) = name {
        let name = name.strip_prefix("sim:").unwrap_or(name);
        let Some(profile) = Profile::from_name(name) else {
            bail!("there is no profile {name:?}; the profiles are {}", Profile::names());
        };
        out::text(profile.toml())?;
    } else if json {
        let profiles = Profile::all().iter().map(|profile| ProfileReport::new(*profile));
        out::json(&profiles.collect::<Result<Vec<_>, _>>()?)?;
    } else {
        for profile in Profile::all() {
            out::line(format_args!("sim:{:12} {}", profile.name(), profile.summary()))?;
        }
    }
    Ok(())
}

fn set_rail(registry: &Registry, arguments: &RailArgs, up: bool) -> anyhow::Result<()> {
    let name = match &arguments.fabric {
        Some(name) => name.clone(),
        None => only_fabric(registry)?,
    };
    let changed = registry.set_rail(&name, arguments.rail.parse()?, up)?;
    let rails = if changed == 1 { "rail" } else { "rails" };
    let how = if up { "plugged in" } else { "unplugged" };
    Ok(out::line(format_args!("{name}: {changed} {rails} {how}"))?)
}

/// The fabric that is meant when there is only one.
fn only_fabric(registry: &Registry) -> anyhow::Result<String> {
    let mut names: Vec<String> =
        registry.list().into_iter().filter(|fabric| fabric.users > 0).map(|fabric| fabric.name).collect();
    match (names.pop(), names.len()) {
        (Some(name), 0) => Ok(name),
        (None, _) => bail!("no simulated fabric is in use; start a job with UCX_USB4_LINKS=sim:PROFILE first"),
        (Some(last), _) => bail!("several fabrics are in use; choose with --fabric: {}, {last}", names.join(", ")),
    }
}
