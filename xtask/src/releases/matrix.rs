//! `cargo xtask matrix`: one binary of the transport under several releases of UCX, with both of UCX's protocol
//! implementations, under both MPIs. Every cell of the table is a run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use comfy_table::{Cell, CellAlignment, Table, presets};
use xshell::Shell;

use super::suites::{self, Launcher, Suite};
use super::wheel::{WHEELS, Wheel};
use crate::counts::{self, Counts};
use crate::folder::{DEBIAN13_MPI, Folder};
use crate::stage::{self, Stage};
use crate::{packages, workspace};

/// Options of `cargo xtask matrix`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Only these installations of UCX: machine, wheel-1.14, ..., wheel-1.22, debian13
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    ucx: Vec<String>,

    /// Only these suites: faults, jobs, messages, one_sided, osu_bench, shell, vfs, wakeup
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    suite: Vec<String>,
}

impl Options {
    /// What every test run affords: one release with a layout far from the machine's own, in which both protocols work.
    pub(crate) fn quick() -> Options {
        Options { ucx: vec!["wheel-1.20".into()], suite: vec!["jobs".into()] }
    }
}

/// An installation of UCX.
enum Place {
    /// The machine's own.
    Machine,
    /// In place of the machine's own, below the machine's MPIs.
    Wheel(&'static Wheel),
    /// With the MPIs that were built for it.
    Debian13,
}

impl Place {
    fn all() -> Vec<Place> {
        [Place::Machine].into_iter().chain(WHEELS.iter().map(Place::Wheel)).chain([Place::Debian13]).collect()
    }

    fn name(&self) -> String {
        match self {
            Place::Machine => "machine".into(),
            Place::Wheel(wheel) => format!("wheel-{}", wheel.release),
            Place::Debian13 => "debian13".into(),
        }
    }

    /// The values of UCX_PROTO_ENABLE that make sense there.
    fn protos(&self) -> &'static [&'static str] {
        match self {
            // 1.22 has lost the older put and get: MPI_Put fails over every transport, shared memory included.
            Place::Wheel(wheel) if wheel.release == "1.22" => &["y"],
            _ => &["n", "y"],
        }
    }

    /// Why a suite cannot run there.
    fn gap(&self, suite: &str) -> Option<&'static str> {
        match self {
            Place::Wheel(wheel) if matches!(wheel.release, "1.17" | "1.18") && suite == "wakeup" => {
                Some("the ucx_perftest of this wheel crashes by itself, over any transport")
            }
            Place::Wheel(_) | Place::Machine | Place::Debian13 => None,
        }
    }

    /// Gets it ready.
    fn open(&self, shell: &Shell) -> Result<Ucx> {
        Ok(match self {
            Place::Machine => Ucx { release: machine_release()?, prefix: None, folder: None },
            Place::Wheel(wheel) => Ucx { release: wheel.release.into(), prefix: Some(wheel.open()?), folder: None },
            Place::Debian13 => {
                let folder = Folder::open(shell, &DEBIAN13_MPI, false)?;
                Ucx { release: "1.18".into(), prefix: None, folder: Some(folder) }
            }
        })
    }
}

/// One that is ready.
struct Ucx {
    /// `1.13`: the tests check that their jobs really ran with it.
    release: String,
    prefix: Option<PathBuf>,
    folder: Option<Folder>,
}

impl Ucx {
    fn command(&self, suite: &Suite, stage: &Stage, proto: &str) -> Result<Command> {
        let mut command = match &self.folder {
            Some(folder) => folder.command(&suite.program, &[workspace::root(), &workspace::target()])?,
            None => Command::new(&suite.program),
        };
        command.args(["--test-threads", "1"]).env("USB4_PREFIX", stage.prefix());
        command.env("USB4_TEST_UCX_RELEASE", &self.release).env("USB4_TEST_UCX_PROTO", proto);
        if let Some(prefix) = &self.prefix {
            command.env("USB4_TEST_UCX", prefix);
        }
        Ok(command)
    }
}

/// `# Library version: 1.13.1` -> `1.13`.
fn machine_release() -> Result<String> {
    let output = Command::new("ucx_info").arg("-v").output().context("ucx_info did not start")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version =
        text.lines().find_map(|line| line.split_once("ersion")).map(|(_, rest)| rest.trim_matches([':', ' ']));
    let mut numbers = version.unwrap_or_default().split('.');
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => Ok(format!("{major}.{minor}")),
        _ => bail!("`ucx_info -v` names no version: {text}"),
    }
}

/// Runs them and prints the table.
pub(crate) fn run(shell: &Shell, options: &Options, total: &mut Counts) -> Result<()> {
    packages::install(shell, &[packages::BUILD, packages::TEST, packages::PIP])?;
    let places = chosen(Place::all(), Place::name, &options.ucx)?;
    let stage = stage::build(shell)?;
    stage::build_for_mpich(shell, &stage)?;
    let mut suites = suites::build()?;
    // It makes a release of its own, so it is the same in each.
    suites.retain(|suite| suite.name != "refusal");
    let suites = chosen(suites, |suite| suite.name.clone(), &options.suite)?;
    let mut results = Results::default();
    for place in &places {
        let ucx = place.open(shell)?;
        results.gaps.extend(suites.iter().filter_map(|suite| {
            place.gap(&suite.name).map(|why| format!("{}, {}: not run, {why}", place.name(), suite.name))
        }));
        for proto in place.protos() {
            for suite in suites.iter().filter(|suite| place.gap(&suite.name).is_none()) {
                eprintln!("\n{}, UCX {}, UCX_PROTO_ENABLE={proto}: {}", place.name(), ucx.release, suite.name);
                let finished = counts::run(&mut ucx.command(suite, &stage, proto)?)?;
                let counted = suites::count(&suite.name, &finished.output);
                // A test program that dies has no line for the test that killed it.
                if !finished.success && counted.values().all(|counts| counts.failed == 0) {
                    bail!("{} died under UCX {}; see above", suite.name, ucx.release);
                }
                for (launcher, counts) in counted {
                    *total += counts;
                    let row = Row { ucx: ucx.release.clone(), place: place.name(), proto, launcher };
                    results.add(row, &suite.name, counts);
                }
            }
        }
    }
    println!("\n{results}");
    match results.failed() {
        0 => Ok(()),
        failed => bail!("{failed} tests failed; see above"),
    }
}

/// Those whose names were asked for, or all.
fn chosen<T>(all: Vec<T>, name: impl Fn(&T) -> String, asked: &[String]) -> Result<Vec<T>> {
    let names: Vec<String> = all.iter().map(&name).collect();
    if let Some(unknown) = asked.iter().find(|asked| !names.contains(asked)) {
        bail!("there is no {unknown}; there are {}", names.join(", "));
    }
    Ok(all.into_iter().filter(|one| asked.is_empty() || asked.contains(&name(one))).collect())
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    place: String,
    ucx: String,
    proto: &'static str,
    launcher: Launcher,
}

/// All rows, in the order of the runs.
#[derive(Debug, Default)]
struct Results {
    rows: Vec<(Row, BTreeMap<String, Counts>)>,
    /// Why cells are empty.
    gaps: Vec<String>,
}

impl Results {
    fn add(&mut self, row: Row, suite: &str, counts: Counts) {
        let at = self.rows.iter().position(|(other, _)| *other == row).unwrap_or_else(|| {
            self.rows.push((row, BTreeMap::new()));
            self.rows.len() - 1
        });
        self.rows[at].1.insert(suite.to_owned(), counts);
    }

    fn failed(&self) -> u64 {
        self.rows.iter().flat_map(|(_, cells)| cells.values()).map(|counts| counts.failed).sum()
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut suites: Vec<&String> = self.rows.iter().flat_map(|(_, cells)| cells.keys()).collect();
        suites.sort_unstable();
        suites.dedup();
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        let heads = ["UCX", "installation", "PROTO", "launcher"].into_iter();
        table.set_header(heads.chain(suites.iter().map(|name| name.as_str())));
        for (row, cells) in &self.rows {
            let mut line =
                vec![Cell::new(&row.ucx), Cell::new(&row.place), Cell::new(row.proto), Cell::new(row.launcher.name())];
            let cell = |suite| Cell::new(cells.get(suite).map_or(String::new(), describe));
            line.extend(suites.iter().map(|suite| cell(*suite).set_alignment(CellAlignment::Right)));
            table.add_row(line);
        }
        write!(f, "{table}")?;
        self.gaps.iter().try_for_each(|gap| write!(f, "\n{gap}"))
    }
}

fn describe(counts: &Counts) -> String {
    let Counts { passed, failed, skipped } = counts;
    match (failed, skipped) {
        (0, 0) => format!("{passed} passed"),
        (0, _) => format!("{passed} passed, {skipped} ignored"),
        _ => format!("{failed} of {} FAILED", passed + failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stands_in_the_table() {
        let row = |launcher| Row { place: "wheel-1.22".into(), ucx: "1.22".into(), proto: "y", launcher };
        let mut results = Results::default();
        results.add(row(Launcher::OpenMpi), "jobs", Counts { passed: 5, failed: 1, skipped: 0 });
        results.add(row(Launcher::Mpich), "jobs", Counts { passed: 6, failed: 0, skipped: 0 });
        results.add(row(Launcher::OpenMpi), "shell", Counts { passed: 5, failed: 0, skipped: 1 });
        assert_eq!(results.failed(), 1);
        let text = results.to_string();
        assert!(text.contains("1 of 6 FAILED") && text.contains("6 passed") && text.contains("5 passed, 1 ignored"));
        assert_eq!(text.lines().count(), 4, "{text}");
        results.gaps.push("wheel-1.22, wakeup: not run, it has no clock".into());
        assert!(results.to_string().ends_with("\nwheel-1.22, wakeup: not run, it has no clock"));
    }

    #[test]
    fn an_unknown_name_gets_the_list() {
        let all = || vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(chosen(all(), String::clone, &[]).unwrap(), all());
        assert_eq!(chosen(all(), String::clone, &["b".into()]).unwrap(), ["b"]);
        assert!(chosen(all(), String::clone, &["c".into()]).unwrap_err().to_string().contains("a, b"));
    }
}
