//! `osu-bench compare`: several transports side by side.
//!
//! The driver starts mpirun itself, once for each benchmark, transport and round. Rounds are the outer loop and each begins with
//! another transport, so that whatever else the machine does falls on all of them alike; the medians over the rounds are compared.

mod launch;
mod results;
mod table;
mod usb4ctl;
mod variant;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::launch::Launcher;
use self::results::Results;
use self::variant::Variant;
use crate::bench::{self, Benchmark};
use crate::cli;

/// Letters of the options that are handed on to the benchmarks.
const FORWARDED: &str = "mixWMcT";

/// What one comparison runs.
struct Plan {
    benchmarks: Vec<&'static Benchmark>,
    variants: Vec<Variant>,
    rounds: usize,
    launcher: Launcher,
    /// Benchmark options as the user gave them, by letter.
    forwarded: Vec<(char, Option<String>)>,
}

/// The subcommand.
pub(crate) fn command() -> Command {
    let list = |name: &'static str| Arg::new(name).long(name).value_delimiter(',');
    Command::new("compare")
        .about("Run benchmarks over several transports, interleaved, and put them side by side")
        .long_about(
            "Starts mpirun itself, once for each benchmark, transport and round, interleaved; prints the medians over the rounds, \
             their spread, and the ratios to the peers.\n\n\
             A cell is the median over the rounds; +- is half of the range from the smallest to the largest, in per cent of the \
             median. A ratio is a median over the median of the named peer: below 1 is better for latency, above 1 for bandwidth. \
             The limit is what the profile of a simulated cable allows: all rails at their rate less the frame headers, or the \
             one-way latency of the wire.",
        )
        .arg(
            Arg::new("benchmarks")
                .value_name("BENCH")
                .required(true)
                .num_args(1..)
                .value_delimiter(',')
                .help("Benchmarks to compare; osu-bench list shows them"),
        )
        .arg(
            list("tls")
                .value_name("TLS")
                .default_value("usb4,tcp,posix")
                .help("UCX transports: usb4, tcp (over loopback), posix, or any other value for UCX_TLS with + for a comma"),
        )
        .arg(
            list("profile")
                .value_name("PROFILE")
                .default_value("ideal")
                .help("Profiles of the simulated cable; usb4 has a column for each. A path to a TOML file is a profile too"),
        )
        .arg(
            list("ucx")
                .value_name("LABEL=DIR")
                .help("UCX releases to compare: directories with their libucp.so.0; every transport runs with each"),
        )
        .arg(
            Arg::new("ranks")
                .short('n')
                .long("np")
                .value_name("RANKS")
                .value_parser(value_parser!(u32).range(1..))
                .default_value("2")
                .help("Ranks of each job"),
        )
        .arg(
            Arg::new("rounds")
                .long("rounds")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .default_value("3")
                .help("Rounds; each runs every benchmark over every transport once"),
        )
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(1..))
                .default_value("300")
                .help("Give up on a job after this time"),
        )
        .arg(
            Arg::new("mpirun")
                .long("mpirun")
                .value_name("PROGRAM")
                .default_value("mpirun")
                .env("MPIRUN")
                .help("mpirun of the MPI that osu-bench was built with"),
        )
        .arg(
            Arg::new("mpirun-arg")
                .long("mpirun-arg")
                .value_name("ARG")
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .help("One more argument for mpirun; may be repeated"),
        )
        .args(crate::options::arguments(FORWARDED).into_iter().filter(|arg| {
            arg.get_short().is_some_and(|letter| FORWARDED.contains(letter))
        }))
}

/// Runs the subcommand.
pub(crate) fn main(matches: &ArgMatches) -> ExitCode {
    match compare(matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("osu-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(matches: &ArgMatches) -> anyhow::Result<()> {
    let plan = Plan::from_matches(matches)?;
    let results = plan.run()?;
    for benchmark in results.benchmarks() {
        println!("{}", table::render(benchmark, &plan.variants));
    }
    Ok(())
}

impl Plan {
    fn from_matches(matches: &ArgMatches) -> anyhow::Result<Plan> {
        let words = |name: &str| -> Vec<String> {
            matches.get_many::<String>(name).unwrap_or_default().map(String::clone).collect()
        };
        let mut benchmarks = Vec::new();
        for name in words("benchmarks") {
            let Some(benchmark) = bench::find(&name) else { bail!(cli::unknown_benchmark(&name)) };
            benchmarks.push(benchmark);
        }
        let number = |name: &str| *matches.get_one::<u32>(name).expect("has a default") as usize;
        let ranks = number("ranks");
        for benchmark in &benchmarks {
            benchmark.ranks.check(benchmark.name, ranks)?;
        }
        Ok(Plan {
            variants: variant::from_lists(&words("tls"), &words("profile"), &words("ucx"))?,
            rounds: number("rounds"),
            launcher: Launcher::new(
                matches.get_one::<String>("mpirun").expect("has a default"),
                words("mpirun-arg"),
                ranks,
                *matches.get_one::<u64>("timeout").expect("has a default"),
            )?,
            forwarded: forwarded(matches),
            benchmarks,
        })
    }

    fn run(&self) -> anyhow::Result<Results> {
        let jobs = self.rounds * self.benchmarks.len() * self.variants.len();
        let progress = ProgressBar::with_draw_target(Some(jobs as u64), ProgressDrawTarget::stderr());
        progress.set_style(
            ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {pos}/{len} {msg}")
                .expect("the template is fixed"),
        );
        let mut results = Results::new(&self.benchmarks, self.variants.len());
        for round in 0..self.rounds {
            for (at, benchmark) in self.benchmarks.iter().enumerate() {
                for turn in 0..self.variants.len() {
                    let which = (turn + round) % self.variants.len();
                    let variant = &self.variants[which];
                    progress.set_message(format!(
                        "round {} of {}: {} over {}",
                        round + 1,
                        self.rounds,
                        benchmark.name,
                        variant.label
                    ));
                    let arguments = arguments_for(benchmark, &self.forwarded);
                    let document = self
                        .launcher
                        .run(benchmark.name, &arguments, &variant.environment)
                        .with_context(|| format!("{} over {}", benchmark.name, variant.label))?;
                    results.add(at, which, &document)?;
                    progress.inc(1);
                }
            }
        }
        progress.finish_and_clear();
        Ok(results)
    }
}

/// The benchmark options that the user gave to `compare`.
fn forwarded(matches: &ArgMatches) -> Vec<(char, Option<String>)> {
    crate::options::arguments(FORWARDED)
        .iter()
        .filter_map(|arg| {
            let letter = arg.get_short()?;
            let name = arg.get_id().as_str();
            if matches.value_source(name) != Some(clap::parser::ValueSource::CommandLine) {
                return None;
            }
            let value =
                matches.get_raw(name).into_iter().flatten().next().map(|value| value.to_string_lossy().into_owned());
            let takes_value = !matches!(arg.get_action(), ArgAction::SetTrue);
            Some((letter, value.filter(|_| takes_value)))
        })
        .collect()
}

/// Those of the given options that `benchmark` takes.
fn arguments_for(benchmark: &Benchmark, forwarded: &[(char, Option<String>)]) -> Vec<String> {
    let taken = forwarded.iter().filter(|(letter, _)| benchmark.options.contains(*letter));
    taken.flat_map(|(letter, value)| std::iter::once(format!("-{letter}")).chain(value.clone())).collect()
}
