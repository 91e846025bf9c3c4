//! One engine with many connections, of which some are in use: counted, so it repeats exactly.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use xshell::Shell;

use super::{Figure, Line, draw};
use crate::perf::counted::Counted;
use crate::{perf, workspace};

/// Messages that are counted.
const MESSAGES: u64 = 10_000;
/// Connections in all.
const CONNECTIONS: [u64; 4] = [1, 10, 100, 1000];
/// How many of them are in use.
const ACTIVE: [u64; 4] = [1, 10, 100, 1000];
/// How much dearer a message may be when there are a thousand connections than when there are just those in use.
const GROWTH_MAX: f64 = 1.15;

struct Row {
    connections: u64,
    active: u64,
    instructions: u64,
    busy_bytes: u64,
    rest_bytes: u64,
}

/// Fails when connections that are not in use make messages dearer.
pub(in crate::perf) fn check(shell: &Shell) -> anyhow::Result<()> {
    let rows = count(shell)?;
    print!("{}", text(&rows));
    for active in ACTIVE {
        let of = |connections| rows.iter().find(|row| (row.connections, row.active) == (connections, active));
        let (alone, among) = (of(active).context("counted")?, of(1000).context("counted")?);
        let growth = among.instructions as f64 / alone.instructions as f64;
        ensure!(
            growth <= GROWTH_MAX,
            "with {active} connections in use, a message costs {growth:.2} times as much when there are 1000 as when there are no others"
        );
    }
    Ok(())
}

/// Writes the table and the figure.
pub(super) fn update(shell: &Shell) -> anyhow::Result<()> {
    let rows = count(shell)?;
    let text = text(&rows);
    std::fs::write(docs("scale-connections.txt"), &text)?;
    let line = |label: String, points: Vec<(f64, f64)>| Line { label, points };
    let some = ACTIVE[..3].iter().map(|&active| {
        let points = rows.iter().filter(|row| row.active == active);
        let label = if active == 1 { "1 in use".to_owned() } else { format!("{active} in use") };
        line(label, points.map(|row| (row.connections as f64, row.instructions as f64)).collect())
    });
    let all = rows.iter().filter(|row| row.active == row.connections);
    let all = line("all in use".into(), all.map(|row| (row.connections as f64, row.instructions as f64)).collect());
    let figure = Figure {
        caption: "Instructions of the engine for a message and its answer",
        across: "connections",
        up: "instructions",
        is_up_log: false,
    };
    draw(&docs("scale-connections.svg"), &figure, &some.chain([all]).collect::<Vec<_>>())?;
    print!("{text}");
    Ok(())
}

fn docs(name: &str) -> PathBuf {
    workspace::root().join("docs").join(name)
}

fn count(shell: &Shell) -> anyhow::Result<Vec<Row>> {
    let program = perf::example(shell, "usb4-engine", "connections")?;
    let pairs = CONNECTIONS.iter().flat_map(|&all| ACTIVE.iter().map(move |&active| (all, active)));
    pairs.filter(|(all, active)| active <= all).map(|(all, active)| row(shell, &program, all, active)).collect()
}

fn row(shell: &Shell, program: &Path, connections: u64, active: u64) -> anyhow::Result<Row> {
    let arguments = [MESSAGES, connections, active].map(|number| number.to_string());
    let counted = Counted::run(shell, "*counted*", program, &arguments)?;
    let mut bytes = counted.output.split_whitespace().map(str::parse);
    let mut next = || bytes.next().context("the example prints two numbers")?.context("the example prints numbers");
    Ok(Row { connections, active, instructions: counted.total()? / MESSAGES, busy_bytes: next()?, rest_bytes: next()? })
}

fn text(rows: &[Row]) -> String {
    let mut text = String::from(
        "Instructions of one engine for an 8-byte message and its answer, sent over the connections in use in turn, one each\n\
         0.5 us; and the memory of a connection in bytes, in use and at rest (`cargo xtask perf scale`, counted by callgrind).\n\
         With a hundred in use and more, answers come too late to carry the acknowledgements: those then have frames of their own.\n\n",
    );
    let _ =
        writeln!(text, "{:>11} {:>7} {:>13} {:>7} {:>8}", "connections", "in use", "instructions", "in use", "at rest");
    for row in rows {
        let Row { connections, active, instructions, busy_bytes, rest_bytes } = row;
        let _ = writeln!(text, "{connections:>11} {active:>7} {instructions:>13} {busy_bytes:>7} {rest_bytes:>8}");
    }
    text
}
