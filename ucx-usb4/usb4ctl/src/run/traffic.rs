//! What a command moved over the simulated cable: the fabric's counters before and after it.

use std::fmt::Write;

use anyhow::{Context, bail};
use usb4_link::LinkSpec;
use usb4_link::sim::{Holder, Registry};

use crate::table;
use crate::view::{DirectionReport, FabricReport};

/// Keeps the fabric, and with it the counters, alive while the command runs.
pub(super) struct Meter {
    registry: Registry,
    holder: Holder,
    before: FabricReport,
}

impl Meter {
    /// Starts to count on the fabric that `UCX_USB4_LINKS` names.
    pub(super) fn start() -> anyhow::Result<Meter> {
        let spec: LinkSpec = std::env::var("UCX_USB4_LINKS").unwrap_or_default().parse()?;
        if matches!(spec, LinkSpec::Auto | LinkSpec::Kernel) {
            bail!("--stats reads the counters of a simulated cable; set UCX_USB4_LINKS=sim:PROFILE");
        }
        let registry = Registry::default();
        let holder = registry.hold(&spec)?;
        let before = read(&registry, &holder)?;
        Ok(Meter { registry, holder, before })
    }

    /// What was moved since.
    pub(super) fn stop(self) -> anyhow::Result<Moved> {
        Ok(Moved::between(&self.before, &read(&self.registry, &self.holder)?))
    }
}

fn read(registry: &Registry, holder: &Holder) -> anyhow::Result<FabricReport> {
    let view = registry.inspect(holder.name()).context("the fabric's counters cannot be read")?;
    Ok(FabricReport::from(&view))
}

/// Traffic by path.
#[derive(Debug, PartialEq)]
pub(super) struct Moved {
    fabric: String,
    /// Name of the path, what it joins, and what went over it.
    paths: Vec<(String, String, DirectionReport)>,
}

impl Moved {
    fn between(before: &FabricReport, after: &FabricReport) -> Moved {
        let mut paths = Vec::new();
        for (number, (cable, earlier)) in after.cables.iter().zip(&before.cables).enumerate() {
            let [first, second] = cable.between;
            for (index, (rail, earlier)) in cable.rails.iter().zip(&earlier.rails).enumerate() {
                let name = format!("rail {number}.{index}");
                paths.push((name.clone(), format!("{first} -> {second}"), rail.forward.since(earlier.forward)));
                paths.push((name, format!("{second} -> {first}"), rail.backward.since(earlier.backward)));
            }
        }
        for (node, (traffic, earlier)) in after.loopback.iter().zip(&before.loopback).enumerate() {
            paths.push(("loopback".to_owned(), format!("within {node}"), traffic.since(*earlier)));
        }
        Moved { fabric: after.name.clone(), paths }
    }

    /// The table, or a loud word when the command used something else.
    pub(super) fn describe(&self) -> String {
        let frames: u64 = self.paths.iter().map(|(.., traffic)| traffic.frames).sum();
        if frames == 0 {
            return format!(
                "usb4 CARRIED NOTHING: no frame went over the fabric {}. The command did not use usb4; `usb4ctl doctor` may \
                 tell why.\n",
                self.fabric
            );
        }
        let bytes: u64 = self.paths.iter().map(|(.., traffic)| traffic.bytes).sum();
        let mut table = table::new(["path", "nodes", "frames", "bytes", "dropped"]);
        for (name, joins, traffic) in &self.paths {
            let DirectionReport { frames, bytes, .. } = traffic;
            table.add_row([
                name.clone(),
                joins.clone(),
                frames.to_string(),
                table::bytes(*bytes),
                traffic.dropped().to_string(),
            ]);
        }
        let mut text = String::new();
        let total = table::bytes(bytes);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "usb4 carried {frames} frames, {total} with headers, over the fabric {}:", self.fabric);
        let _ = writeln!(text, "{}", table.trim_fmt());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{CableReport, RailReport};

    fn fabric(forward_frames: u64, loopback_frames: u64) -> FabricReport {
        let traffic = |frames| DirectionReport { frames, bytes: frames * 4096, ..DirectionReport::default() };
        let rail = RailReport {
            up: true,
            rate_gbps: None,
            latency_us: 0.0,
            forward: traffic(forward_frames),
            backward: traffic(0),
        };
        FabricReport {
            name: "test".into(),
            id: String::new(),
            age_s: 0.0,
            nodes: 2,
            cables: vec![CableReport { between: [0, 1], rails: vec![rail] }],
            loopback: vec![traffic(loopback_frames)],
            channels: Vec::new(),
        }
    }

    #[test]
    fn only_what_came_after_the_start_counts() {
        let text = Moved::between(&fabric(10, 5), &fabric(110, 5)).describe();
        assert!(text.contains("carried 100 frames, 400.0 KiB"), "{text}");
        assert!(text.contains("0 -> 1"), "{text}");
    }

    #[test]
    fn nothing_moved_is_said_loudly() {
        let text = Moved::between(&fabric(10, 5), &fabric(10, 5)).describe();
        assert!(text.contains("CARRIED NOTHING") && text.contains("doctor"), "{text}");
    }
}
