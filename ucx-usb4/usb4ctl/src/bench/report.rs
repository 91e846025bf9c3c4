//! A file to share: the figures, and what of the machine decides them. Nothing in it names a host, a user or a device's serial number.

use std::fmt::Write;
use std::fs::OpenOptions;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::figures::Figures;
use crate::cables::{self, TrainedCable};
use crate::host::{Host, ThisMachine};
use crate::machine::MachineReport;

/// What decides the figures.
#[derive(Debug, Serialize)]
struct Description {
    /// Vendor, product, board and firmware as the DMI table has them.
    product: Vec<String>,
    processor: String,
    processors: usize,
    distribution: String,
    versions: MachineReport,
    /// The units that translate addresses, such as `ivhd0` or `dmar0`.
    iommu: Vec<String>,
    /// What of the kernel's command line is about them.
    iommu_parameters: Vec<String>,
    /// Of each Thunderbolt domain: its security level, and whether the IOMMU guards it.
    domains: Vec<String>,
    cables: Vec<TrainedCable>,
    /// UCX's and ours; of a path the last part.
    settings: Vec<String>,
}

/// A path that cannot be written is told before the measurement, not after it.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let existed = path.exists();
    OpenOptions::new().append(true).create(true).open(path).with_context(|| cannot_be_written(path))?;
    if !existed {
        std::fs::remove_file(path).with_context(|| cannot_be_written(path))?;
    }
    Ok(())
}

fn cannot_be_written(path: &Path) -> String {
    format!("{} cannot be written; name another file with --report", path.display())
}

/// Writes it.
pub(super) fn write(path: &Path, figures: &Figures) -> anyhow::Result<()> {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let description = describe(&ThisMachine, MachineReport::read(), variables);
    std::fs::write(path, text(&description, figures)?).with_context(|| cannot_be_written(path))
}

fn describe(
    host: &dyn Host,
    versions: MachineReport,
    variables: impl Iterator<Item = (String, String)>,
) -> Description {
    let line = |path: &str| host.read(Path::new(path)).map(|text| text.trim().to_owned()).unwrap_or_default();
    let after = |text: &str, key: &str, separator: char| {
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.split_once(separator));
        found.map_or_else(String::new, |(_, value)| value.trim().trim_matches('"').to_owned())
    };
    let processors = line("/proc/cpuinfo");
    let product = ["sys_vendor", "product_name", "board_name", "bios_version"];
    let domains = host.list(Path::new(cables::DEVICES)).into_iter().filter(|name| name.starts_with("domain"));
    let mut settings: Vec<String> = variables
        .filter(|(name, _)| name.starts_with("UCX_"))
        .map(|(name, value)| format!("{name}={}", bare(&value)))
        .collect();
    settings.sort();
    Description {
        // A virtual machine or a board without firmware tables has none of it.
        product: product
            .map(|file| line(&format!("/sys/class/dmi/id/{file}")))
            .into_iter()
            .filter(|value| !value.is_empty())
            .collect(),
        processor: after(&processors, "model name", ':'),
        processors: processors.lines().filter(|line| line.starts_with("processor")).count(),
        distribution: after(&line("/etc/os-release"), "PRETTY_NAME", '='),
        versions,
        iommu: host.list(Path::new("/sys/class/iommu")),
        iommu_parameters: line("/proc/cmdline")
            .split_whitespace()
            .filter(|word| word.contains("iommu"))
            .map(str::to_owned)
            .collect(),
        domains: domains
            .map(|name| {
                let file = |file: &str| line(&format!("{}/{name}/{file}", cables::DEVICES));
                format!("{name}: security {}, iommu_dma_protection {}", file("security"), file("iommu_dma_protection"))
            })
            .collect(),
        cables: cables::to_hosts(host),
        settings,
    }
}

/// A path without its folders, which may name a user.
fn bare(value: &str) -> &str {
    value.rsplit_once('/').map_or(value, |(_, name)| name)
}

fn text(machine: &Description, figures: &Figures) -> anyhow::Result<String> {
    let mut text = String::from("# ucx-usb4: measured by `usb4ctl bench --report`\n\n| | |\n|---|---|\n");
    let cables: Vec<String> = machine.cables.iter().map(TrainedCable::describe).collect();
    let rows: [(&str, String); 9] = [
        ("machine", machine.product.join(", ")),
        ("processor", format!("{} ({} threads)", machine.processor, machine.processors)),
        ("distribution", machine.distribution.clone()),
        ("versions", machine.versions.describe()),
        ("IOMMU", machine.iommu.join(", ")),
        ("its kernel parameters", machine.iommu_parameters.join(" ")),
        ("Thunderbolt domains", machine.domains.join("; ")),
        ("cables to hosts", cables.join(", ")),
        ("settings", machine.settings.join(" ")),
    ];
    for (name, value) in rows {
        writeln!(text, "| {name} | {} |", if value.is_empty() { "none" } else { &value })?;
    }
    #[derive(Serialize)]
    struct All<'a> {
        machine: &'a Description,
        figures: &'a Figures,
    }
    let json = serde_json::to_string_pretty(&All { machine, figures })?;
    writeln!(text, "\n```\n{}```\n\n```json\n{json}\n```", figures.describe())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use usb4_link::Address;

    use super::*;
    use crate::doctor::fake::Fake;

    #[test]
    fn a_report_describes_the_machine_and_names_nobody() {
        let host = Fake::new()
            .cable("0-1", "20.0 Gb/s\n", "2\n")
            .file("/sys/bus/thunderbolt/devices/0-1/device_name", Ok("alices-laptop\n"))
            .file("/sys/bus/thunderbolt/devices/0-1/unique_id", Ok("d4c3b2a1-0000\n"))
            .file("/sys/bus/thunderbolt/devices/domain0/security", Ok("user\n"))
            .file("/sys/bus/thunderbolt/devices/domain0/iommu_dma_protection", Ok("1\n"))
            .file("/sys/class/dmi/id/product_name", Ok("Mini PC\n"))
            .file("/sys/class/dmi/id/product_uuid", Ok("d4c3b2a1-0000\n"))
            .file("/proc/cpuinfo", Ok("processor\t: 0\nmodel name\t: Ryzen\n\nprocessor\t: 1\nmodel name\t: Ryzen\n"))
            .file("/proc/cmdline", Ok("root=UUID=d4c3b2a1-0000 iommu=pt quiet\n"))
            .file("/etc/os-release", Ok("NAME=x\nPRETTY_NAME=\"Debian 13\"\n"));
        let variables = [("UCX_USB4_LINKS", "sim:/home/alice/lab.toml"), ("USER", "alice"), ("UCX_TLS", "usb4")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let description = describe(&host, MachineReport::read(), variables.into_iter());
        let figures = Figures::new("sim:/home/alice/lab.toml", Address::new(0, 1), Address::new(1, 1));
        let text = text(&description, &figures).unwrap();
        for part in [
            "| machine | Mini PC |",
            "Ryzen (2 threads)",
            "Debian 13",
            "iommu=pt",
            "domain0: security user, iommu_dma_protection 1",
            "0-1 trained at 40 Gb/s",
            "UCX_TLS=usb4 UCX_USB4_LINKS=lab.toml",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        for secret in ["alice", "d4c3b2a1"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
        let json = text.split_once("```json\n").unwrap().1.strip_suffix("\n```\n").unwrap();
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(value["figures"]["here"], "n0.c1");
    }
}
