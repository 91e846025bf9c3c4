//! Instructions of a message: they repeat exactly, so a file of them guards the short path.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use xshell::{Shell, cmd};

use super::counted::Counted;
use crate::workspace;

/// Messages, and gets of a mebibyte, that are counted.
const MESSAGES: u64 = 10_000;
const GETS: u64 = 20;
/// What may be added without the file being changed.
const TOLERANCE: f64 = 0.05;
/// Payloads of messages in bytes; a get stands beside them as [`GET`].
const LENGTHS: [&str; 2] = ["8", "4056"];
const GET: &str = "get";
/// The functions of the examples whose cost is counted, with what they stand for: for a message, and for each frame of a get.
const MESSAGE_PHASES: [(&str, &str); 3] = [
    ("send", "from the call to the frame on its ring"),
    ("receive", "from the frame on its ring to the end of the progress that delivers it"),
    ("settle", "what is left for the next round: acknowledgements, timers, frames given back"),
];

const GET_PHASES: [(&str, &str); 2] = [
    ("source", "a frame of a get of 1 MiB, at the side that has the bytes: its copy and all that goes with it"),
    ("sink", "the same at the side that wants them"),
];

/// Instructions by payload and phase.
type Counts = BTreeMap<(String, String), u64>;

/// Compares with the file.
pub(crate) fn check(shell: &Shell) -> anyhow::Result<()> {
    let (compiler, kept) = read(&file())?;
    let found = count(shell)?;
    let mut grown = Vec::new();
    println!("{:>6}  {:8} {:>8} {:>8}", "bytes", "phase", "kept", "now");
    for ((bytes, phase), now) in &found {
        let before = kept.get(&(bytes.clone(), phase.clone())).copied().unwrap_or(0);
        println!("{bytes:>6}  {phase:8} {before:>8} {now:>8}");
        if *now as f64 > before as f64 * (1.0 + TOLERANCE) {
            grown.push(format!("{bytes} {phase} from {before} to {now}"));
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    let this = rustc(shell)?;
    if this != compiler {
        // Another compiler inlines otherwise; its counts say nothing about the change under test.
        println!("not compared: the file was made by {compiler}, this is {this}");
        return Ok(());
    }
    bail!(
        "instructions per message have grown: {}; mend it, or run `cargo xtask perf instructions --update` and say in the commit why",
        grown.join(", ")
    )
}

/// Rewrites the file.
pub(super) fn update(shell: &Shell) -> anyhow::Result<()> {
    let found = count(shell)?;
    let mut text = String::from(
        "# Instructions of one message between two ports of one process over sim:ideal, counted by callgrind\n\
         # (`cargo xtask perf instructions`; --update rewrites this file).\n",
    );
    for (phase, meaning) in MESSAGE_PHASES.iter().chain(&GET_PHASES) {
        writeln!(text, "# {phase}: {meaning}")?;
    }
    writeln!(text, "compiler {}", rustc(shell)?)?;
    for ((bytes, phase), count) in &found {
        writeln!(text, "{bytes} {phase} {count}")?;
    }
    std::fs::write(file(), &text)?;
    print!("{text}");
    Ok(())
}

fn file() -> PathBuf {
    workspace::root().join("docs/instruction-counts.txt")
}

fn rustc(shell: &Shell) -> anyhow::Result<String> {
    Ok(cmd!(shell, "rustc --version").read()?)
}

fn read(path: &Path) -> anyhow::Result<(String, Counts)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut compiler = String::new();
    let mut counts = Counts::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(version) = line.strip_prefix("compiler ") {
            version.clone_into(&mut compiler);
            continue;
        }
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [bytes, phase, count] = fields[..] else { bail!("{}: senseless line: {line}", path.display()) };
        counts.insert((bytes.to_owned(), phase.to_owned()), count.parse()?);
    }
    Ok((compiler, counts))
}

fn count(shell: &Shell) -> anyhow::Result<Counts> {
    let program = super::example(shell, "usb4-port", "short_path")?;
    let mut counts = Counts::new();
    for bytes in LENGTHS {
        // Only what `exchange` does counts, not the start and the warm-up.
        let counted = Counted::run(shell, "*exchange*", &program, &[MESSAGES.to_string(), bytes.to_owned()])?;
        for (phase, _) in MESSAGE_PHASES {
            let total = counted.inclusive(&format!("short_path::{phase}"))?;
            counts.insert((bytes.to_owned(), phase.to_owned()), total / MESSAGES);
        }
    }
    let program = super::example(shell, "usb4-port", "bulk_path")?;
    let counted = Counted::run(shell, "*exchange*", &program, &[GETS.to_string()])?;
    let frames: u64 = counted.output.trim().parse().context("the example prints the frames of a get")?;
    for (phase, _) in GET_PHASES {
        let total = counted.inclusive(&format!("bulk_path::{phase}"))?;
        counts.insert((GET.to_owned(), phase.to_owned()), total / (GETS * frames));
    }
    ensure!(counts.values().all(|&count| count > 0), "callgrind counted nothing: {counts:?}");
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_file_can_be_read() {
        let (compiler, counts) = read(&file()).unwrap();
        assert!(compiler.starts_with("rustc "));
        assert_eq!(counts.len(), LENGTHS.len() * MESSAGE_PHASES.len() + GET_PHASES.len());
    }
}
