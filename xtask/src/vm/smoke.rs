//! The proof with drivers that others wrote: discovery, TCP over thunderbolt-net, unplug and replug.

use std::sync::atomic::Ordering;

use anyhow::{Result, bail};
use comfy_table::{Table, presets};

use super::cache::Cache;
use super::kernel::Kernel;
use super::session::{self, Image, Job, Report};
use super::tools::Tools;
use super::{Accel, GuestOptions, qemu};

const SCRIPT: &str = include_str!("guest/smoke.sh");
/// What the script reports as `RESULT key value`, with a heading for each.
const RESULTS: [(&str, &str); 6] = [
    ("ready", "ready after"),
    ("discovered", "peer found after"),
    ("tcp", "10 MiB over TCP"),
    ("replug", "unplug and replug"),
    ("bonded", "lanes"),
    ("stream", "stream"),
];

/// Runs the smoke test on each series and shows a table.
///
/// # Errors
/// When any of them failed.
pub(crate) fn run(cache: &Cache, series: &[&str], options: &GuestOptions) -> Result<()> {
    let tools = Tools::fetch(cache, false)?;
    if qemu::choose_accel(options) == Accel::Tcg {
        println!("no KVM here: guests are emulated, which takes about a minute per kernel");
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["kernel"].into_iter().chain(RESULTS.map(|(_, heading)| heading)).chain(["wall", "verdict"]));
    let mut failures = Vec::new();
    for series in series {
        match Kernel::fetch(cache, &tools, series, false)
            .and_then(|kernel| one(&tools, &kernel, options).map(|report| (kernel, report)))
        {
            Ok((kernel, report)) => {
                if !report.failures.is_empty() {
                    report.print();
                }
                table.add_row(row(&kernel.release, &report));
                failures.extend(
                    report.failures.iter().map(|failure| format!("{series}: {failure} in {}", report.folder.display())),
                );
            }
            Err(error) if session::on_interrupt()?.load(Ordering::Relaxed) => return Err(error),
            Err(error) => {
                let blank = RESULTS.map(|_| "-").into_iter().chain(["-", "not run"]);
                table.add_row([*series].into_iter().chain(blank));
                failures.push(format!("{series}: {error:#}"));
            }
        }
    }
    println!("{table}");
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

fn one(tools: &Tools, kernel: &Kernel, options: &GuestOptions) -> Result<Report> {
    println!("{}: booting two guests", kernel.release);
    let job = Job {
        name: format!("smoke-{}", kernel.series),
        script: SCRIPT.to_owned(),
        topology: "pair".to_owned(),
        rings: 12,
        artifacts: Vec::new(),
        limit_s: 150,
        image: Image::Busybox,
        may_reboot: false,
    };
    session::run(tools, kernel, &job, options)
}

fn row(release: &str, report: &Report) -> Vec<String> {
    let mut cells = vec![release.to_owned()];
    cells.extend(RESULTS.map(|(key, _)| result(&report.outputs, key).unwrap_or_else(|| "-".to_owned())));
    cells.push(format!("{:.0} s", report.wall_s));
    cells.push(if report.failures.is_empty() { "passed" } else { "FAILED" }.to_owned());
    cells
}

/// The value of `RESULT key value` in the first guest that printed it.
pub(crate) fn result(outputs: &[String], key: &str) -> Option<String> {
    let line = |line: &str| Some(line.strip_prefix("RESULT ")?.strip_prefix(key)?.strip_prefix(' ')?.to_owned());
    outputs.iter().flat_map(|output| output.lines()).find_map(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_found_by_key() {
        let outputs =
            ["[1] hello\nRESULT tcp equal, 3.1 MB/s\n".to_owned(), "RESULT tcpx 1\nRESULT ready 7 s\n".to_owned()];
        assert_eq!(result(&outputs, "tcp").as_deref(), Some("equal, 3.1 MB/s"));
        assert_eq!(result(&outputs, "ready").as_deref(), Some("7 s"));
        assert_eq!(result(&outputs, "bonded"), None);
    }
}
