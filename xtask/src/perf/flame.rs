//! Flame graphs of the two paths.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};
use inferno::flamegraph;
use xshell::{Shell, cmd};

use crate::{packages, workspace};

/// File, title, messages, bytes of each.
const GRAPHS: [(&str, &str, u64, u64); 2] = [
    ("flame-short.svg", "8-byte messages between two ports over sim:ideal", 40_000_000, 8),
    ("flame-bulk.svg", "4056-byte messages between two ports over sim:ideal", 20_000_000, 4056),
];

/// Draws them.
pub(super) fn run(shell: &Shell) -> anyhow::Result<()> {
    packages::install(shell, &[packages::BUILD, packages::PERF])?;
    let program = super::example(shell, "usb4-port", "short_path")?;
    for (name, title, messages, bytes) in GRAPHS {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("perf.data");
        let (messages, bytes) = (messages.to_string(), bytes.to_string());
        cmd!(
            shell,
            "perf record --quiet -e cpu-clock:u -F 997 --call-graph dwarf,4096 -o {data} {program} {messages} {bytes}"
        )
        .run()
        .context("perf cannot sample; as root: sysctl kernel.perf_event_paranoid=1")?;
        let script = folder.path().join("script");
        let text = cmd!(shell, "perf script --no-inline -i {data}").quiet().ignore_stderr().read()?;
        std::fs::write(&script, text)?;
        draw(&script, title, &workspace::root().join("docs").join(name))?;
        println!("docs/{name}");
    }
    Ok(())
}

fn draw(script: &Path, title: &str, figure: &Path) -> anyhow::Result<()> {
    let mut collapsed = Vec::new();
    Folder::from(Options::default()).collapse(BufReader::new(File::open(script)?), &mut collapsed)?;
    let mut options = flamegraph::Options::default();
    title.clone_into(&mut options.title);
    options.deterministic = true;
    let text = String::from_utf8_lossy(&collapsed);
    // Samples of the start have no part in it.
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("short_path::exchange")).collect();
    flamegraph::from_lines(&mut options, lines, File::create(figure)?).context("perf sampled nothing of the exchange")
}
