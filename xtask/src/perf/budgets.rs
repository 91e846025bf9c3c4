//! The budgets: what usb4 may cost beside a peer, or beside what the cable allows, each measured in the same run.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use comfy_table::{Table, presets};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::{stage, workspace};

/// Options of `cargo xtask perf budgets`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often the whole is measured; each run has a column
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Rounds within a run, of which a figure is the median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// Frames lost on every rail of the lossy cable.
const LOSS: &str = "0.001";
/// How the lossy cable is called in the tables below; its file has another name.
const LOSSY: &str = "lossy";

/// Benchmarks that run side by side, with the transports and sizes that the budgets ask for.
struct Job {
    benchmarks: &'static [&'static str],
    profiles: &'static str,
    effort: &'static [&'static str],
}

const JOBS: [Job; 3] = [
    Job { benchmarks: &["latency"], profiles: "ideal,strix-halo", effort: &["-m", "8:8", "-i", "50000", "-x", "5000"] },
    Job { benchmarks: &["bw"], profiles: "ideal", effort: &["-m", "1048576:1048576", "-i", "100", "-x", "10"] },
    Job {
        benchmarks: &["bw", "bibw"],
        profiles: "strix-halo,lossy",
        effort: &["-m", "4194304:4194304", "-i", "20", "-x", "4"],
    },
];

/// What a figure is held against.
#[derive(Clone, Copy)]
enum Against {
    /// Another column, by its label: the ratio counts.
    Column(&'static str),
    /// What the rails allow: the ratio counts.
    Limit,
    /// The latency of the wire: what comes on top of it counts, in microseconds.
    Wire,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

struct Budget {
    what: &'static str,
    benchmark: &'static str,
    bytes: u64,
    column: &'static str,
    /// Met when one of them is.
    bounds: &'static [(Against, Bound)],
}

const BUDGETS: [Budget; 6] = [
    Budget {
        what: "latency 8 B, ideal",
        benchmark: "latency",
        bytes: 8,
        column: "usb4 ideal",
        bounds: &[(Against::Column("posix"), Bound::AtMost(1.3))],
    },
    Budget {
        what: "latency 8 B, strix-halo",
        benchmark: "latency",
        bytes: 8,
        column: "usb4 strix-halo",
        bounds: &[(Against::Wire, Bound::AtMost(0.6))],
    },
    Budget {
        what: "bw 1 MiB, ideal",
        benchmark: "bw",
        bytes: 1 << 20,
        column: "usb4 ideal",
        bounds: &[(Against::Column("posix"), Bound::AtLeast(0.9))],
    },
    Budget {
        what: "bw 4 MiB, strix-halo",
        benchmark: "bw",
        bytes: 4 << 20,
        column: "usb4 strix-halo",
        bounds: &[(Against::Limit, Bound::AtLeast(0.98))],
    },
    Budget {
        what: "bibw 4 MiB, strix-halo",
        benchmark: "bibw",
        bytes: 4 << 20,
        column: "usb4 strix-halo",
        bounds: &[(Against::Limit, Bound::AtLeast(0.95)), (Against::Column("posix"), Bound::AtLeast(0.9))],
    },
    Budget {
        what: "bw 4 MiB, 0.1 % lost",
        benchmark: "bw",
        bytes: 4 << 20,
        column: "usb4 lossy",
        bounds: &[(Against::Column("usb4 strix-halo"), Bound::AtLeast(0.9))],
    },
];

/// A median, and what the cable allows.
struct Figure {
    median: f64,
    limit: Option<f64>,
}

/// By benchmark, bytes, and column.
type Figures = HashMap<(String, u64, String), Figure>;

/// Measures, and prints the table.
pub(super) fn run(shell: &Shell, options: &Options) -> anyhow::Result<()> {
    let stage = stage::build(shell)?;
    let folder = tempfile::tempdir()?;
    let lossy = folder.path().join("lossy.toml");
    let usb4ctl = stage.program("usb4ctl");
    let profile = cmd!(shell, "{usb4ctl} sim profiles strix-halo").read()?;
    std::fs::write(&lossy, lose(&profile)?)?;
    let lossy = lossy.to_str().context("the temporary folder has a name that is no text")?;

    let mut cells = vec![Vec::new(); BUDGETS.len()];
    let mut met = [0; BUDGETS.len()];
    for number in 1..=options.runs {
        eprintln!("run {number} of {}", options.runs);
        let figures = measure(shell, &stage, lossy, options.rounds)?;
        for (row, budget) in BUDGETS.iter().enumerate() {
            let (text, is_met) = budget.judge(&figures)?;
            cells[row].push(text);
            met[row] += u32::from(is_met);
        }
    }

    let mut table = Table::new();
    let runs = (1..=options.runs).map(|number| format!("run {number}"));
    let heading = ["what".to_owned(), "budget".to_owned()].into_iter().chain(runs).chain(["met".to_owned()]);
    table.load_preset(presets::ASCII_MARKDOWN).set_header(heading);
    for ((budget, cells), met) in BUDGETS.iter().zip(cells).zip(met) {
        let first = [budget.what.to_owned(), budget.text()];
        table.add_row(first.into_iter().chain(cells).chain([format!("{met} of {}", options.runs)]));
    }
    println!("Latencies in us, bandwidths in MB/s; medians of {} rounds\n\n{table}", options.rounds);
    Ok(())
}

/// The profile with some frames lost on every rail.
fn lose(profile: &str) -> anyhow::Result<String> {
    let lossy = profile.replace("rate_gbps", &format!("loss = {LOSS}\nrate_gbps"));
    ensure!(lossy != profile, "the profile has no rails with a rate:\n{profile}");
    Ok(lossy)
}

fn measure(shell: &Shell, stage: &stage::Stage, lossy: &str, rounds: u32) -> anyhow::Result<Figures> {
    let (osu_bench, mpirun, rounds) = (stage.program("osu-bench"), workspace::open_mpi_mpirun(), rounds.to_string());
    let mut figures = Figures::new();
    for Job { benchmarks, profiles, effort } in JOBS {
        let profiles = profiles.replace(LOSSY, lossy);
        let text = cmd!(
            shell,
            "{osu_bench} compare {benchmarks...} --tls usb4,posix --profile {profiles} --rounds {rounds} --mpirun {mpirun} --json {effort...}"
        )
        .quiet()
        .read()?;
        take(&mut figures, &serde_json::from_str(&text)?, lossy).context("osu-bench compare printed something else")?;
    }
    Ok(figures)
}

/// What `osu-bench compare --json` says.
fn take(figures: &mut Figures, document: &Value, lossy: &str) -> Option<()> {
    for benchmark in document["benchmarks"].as_array()? {
        let name = benchmark["benchmark"].as_str()?;
        for transport in benchmark["transports"].as_array()? {
            let label = transport["label"].as_str()?.replace(lossy, LOSSY);
            for size in transport["sizes"].as_array()? {
                let figure = Figure { median: size["median"].as_f64()?, limit: transport["limit"].as_f64() };
                figures.insert((name.to_owned(), size["size_bytes"].as_u64()?, label.clone()), figure);
            }
        }
    }
    Some(())
}

impl Budget {
    fn text(&self) -> String {
        let bounds = self.bounds.iter().map(|(against, bound)| match (against, bound) {
            (Against::Column(label), Bound::AtMost(most)) => format!("<= {most} of {label}"),
            (Against::Column(label), Bound::AtLeast(least)) => format!(">= {least} of {label}"),
            (Against::Limit, Bound::AtMost(share) | Bound::AtLeast(share)) => {
                format!(">= {} % of the rails", share * 100.0)
            }
            (Against::Wire, Bound::AtMost(more) | Bound::AtLeast(more)) => format!("the wire's + {more} us"),
        });
        bounds.collect::<Vec<_>>().join(", or ")
    }

    /// What was measured beside what it is held against, and whether the budget is met.
    fn judge(&self, figures: &Figures) -> anyhow::Result<(String, bool)> {
        let find = |column: &str| {
            figures
                .get(&(self.benchmark.to_owned(), self.bytes, column.to_owned()))
                .with_context(|| format!("{} of {} bytes was not measured over {column}", self.benchmark, self.bytes))
        };
        let ours = find(self.column)?;
        let mut is_met = false;
        let mut texts = Vec::new();
        for (against, bound) in self.bounds {
            let other = match against {
                Against::Column(label) => find(label)?.median,
                Against::Limit | Against::Wire => ours.limit.context("the cable has no limit")?,
            };
            let (value, text) = match against {
                Against::Wire => {
                    (ours.median - other, format!("{:.2} = {other} + {:.2}", ours.median, ours.median - other))
                }
                _ => (
                    ours.median / other,
                    format!("{} / {} = {:.3}", short(ours.median), short(other), ours.median / other),
                ),
            };
            is_met |= match *bound {
                Bound::AtMost(most) => value <= most,
                Bound::AtLeast(least) => value >= least,
            };
            texts.push(text);
        }
        Ok((texts.join("; "), is_met))
    }
}

/// Whole megabytes, or hundredths of microseconds.
fn short(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn figures(latency: f64, bandwidth: f64) -> Figures {
        let transport = |label: &str, bytes: u64, median: f64, limit: Option<f64>| json!({"label": label, "limit": limit, "sizes": [{"size_bytes": bytes, "median": median}]});
        let document = json!({"benchmarks": [
            {"benchmark": "latency", "transports": [
                transport("usb4 strix-halo", 8, 5.5 + latency, Some(5.5)),
                transport("usb4 ideal", 8, latency, None),
                transport("posix", 8, 0.2, None),
            ]},
            {"benchmark": "bibw", "transports": [
                transport("usb4 strix-halo", 4 << 20, bandwidth, Some(12_000.0)),
                transport("posix", 4 << 20, 10_000.0, None),
            ]},
            {"benchmark": "bw", "transports": [
                transport("usb4 strix-halo", 4 << 20, 6_000.0, Some(6_000.0)),
                transport("usb4 /tmp/x.toml", 4 << 20, bandwidth, None),
            ]},
        ]});
        let mut figures = Figures::new();
        take(&mut figures, &document, "/tmp/x.toml").expect("the form that compare prints");
        figures
    }

    fn judge(what: &str, figures: &Figures) -> (String, bool) {
        BUDGETS.iter().find(|budget| budget.what == what).expect("a budget").judge(figures).expect("measured")
    }

    #[test]
    fn each_bound_is_held_against_its_peer() {
        let (good, bad) = (figures(0.26, 9_000.0), figures(0.61, 5_000.0));
        assert_eq!(judge("latency 8 B, ideal", &good), ("0.26 / 0.20 = 1.300".to_owned(), true));
        assert!(!judge("latency 8 B, ideal", &bad).1);
        assert_eq!(judge("latency 8 B, strix-halo", &good), ("5.76 = 5.5 + 0.26".to_owned(), true));
        assert!(!judge("latency 8 B, strix-halo", &bad).1);
        let bibw = "bibw 4 MiB, strix-halo";
        assert_eq!(judge(bibw, &good), ("9000 / 12000 = 0.750; 9000 / 10000 = 0.900".to_owned(), true));
        assert!(!judge(bibw, &bad).1);
        assert!(judge("bw 4 MiB, 0.1 % lost", &good).1 && !judge("bw 4 MiB, 0.1 % lost", &bad).1);
    }

    #[test]
    fn what_was_not_measured_is_no_success() {
        assert!(BUDGETS[2].judge(&figures(0.2, 1.0)).is_err());
    }

    #[test]
    fn a_lossy_cable_differs() {
        assert_eq!(
            lose("rails = 2\nrate_gbps = 13.0\n").expect("it has a rate"),
            "rails = 2\nloss = 0.001\nrate_gbps = 13.0\n"
        );
        assert!(lose("rails = 2\n").is_err());
    }
}
