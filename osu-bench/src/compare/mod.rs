//! `osu-bench compare` and `osu-bench osu`: several transports, or ours and the C benchmarks, side by side.
//!
//! The driver starts mpirun itself, once for each benchmark, transport and round. Rounds are the outer loop and each
//! begins with another transport, so that whatever else the machine does falls on all of them alike; the medians over
//! the rounds are compared.

mod arguments;
mod counters;
mod ctree;
mod export;
mod figure;
mod html;
mod launch;
mod limit;
mod results;
mod table;
mod usb4ctl;
mod variant;

pub(crate) use arguments::{c_tree_command, command};

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgAction, ArgMatches};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::counters::Counters;
use self::launch::Launcher;
use self::results::Results;
use self::variant::Variant;
use crate::bench::{self, Benchmark};
use crate::cli;

/// What one comparison runs.
struct Plan {
    benchmarks: Vec<&'static Benchmark>,
    variants: Vec<Variant>,
    rounds: usize,
    launcher: Launcher,
    /// Benchmark options as the user gave them, by letter.
    forwarded: Vec<(char, Option<String>)>,
}

/// Runs the subcommand.
pub(crate) fn main(matches: &ArgMatches) -> ExitCode {
    let tree = matches.try_get_one::<PathBuf>("tree").ok().flatten();
    match compare(matches, tree.map(PathBuf::as_path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("osu-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(matches: &ArgMatches, c_tree: Option<&Path>) -> anyhow::Result<()> {
    let plan = Plan::from_matches(matches, c_tree)?;
    let results = plan.run()?;
    results.warnings.iter().for_each(|warning| eprintln!("osu-bench warns: {warning}"));
    if matches.get_flag("json") {
        println!("{:#}", export::json(&results, &plan.variants, plan.rounds));
    } else if matches.get_flag("csv") {
        print!("{}", export::csv(&results, &plan.variants));
    } else {
        for benchmark in results.benchmarks() {
            println!("{}", table::render(benchmark, &plan.variants));
        }
    }
    if let Some(folder) = matches.get_one::<PathBuf>("report") {
        let page = html::write(folder, &results, &plan.variants, plan.rounds)?;
        eprintln!("The report is in {}", page.display());
    }
    Ok(())
}

impl Plan {
    fn from_matches(matches: &ArgMatches, c_tree: Option<&Path>) -> anyhow::Result<Plan> {
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
        let variants = variant::from_lists(&words("tls"), &words("profile"), &words("ucx"))?;
        Ok(Plan {
            variants: match c_tree {
                Some(tree) => variant::beside_c_tree(variants, tree),
                None => variants,
            },
            rounds: number("rounds"),
            launcher: Launcher::new(
                matches.get_one::<String>("mpirun").expect("has a default"),
                words("mpirun-arg"),
                ranks,
                number("timeout") as u64,
            )?,
            forwarded: forwarded(matches),
            benchmarks,
        })
    }

    /// One job, and for usb4 the proof that usb4 carried it.
    fn run_job(
        &self,
        benchmark: &Benchmark,
        variant: &Variant,
        arguments: &[String],
        mut take: impl FnMut(Output) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let proof = variant.is_usb4.then(Counters::new).transpose()?;
        let mut environment = variant.environment.clone();
        environment.extend(proof.iter().map(Counters::variable));
        take(match &variant.c_tree {
            Some(tree) => {
                Output::C(self.launcher.run_c(&ctree::program(tree, benchmark.name)?, arguments, &environment)?)
            }
            None => Output::Ours(self.launcher.run(benchmark.name, arguments, &environment)?),
        })?;
        proof.map_or(Ok(()), |counters| counters.require_traffic())
    }

    fn run(&self) -> anyhow::Result<Results> {
        let jobs = self.rounds * self.benchmarks.len() * self.variants.len();
        let progress = ProgressBar::with_draw_target(Some(jobs as u64), ProgressDrawTarget::stderr());
        progress.set_style(
            ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {pos}/{len} {msg}")
                .expect("the template is fixed"),
        );
        let mut results = Results::new(&self.benchmarks);
        for round in 0..self.rounds {
            for (at, benchmark) in self.benchmarks.iter().enumerate() {
                for turn in 0..self.variants.len() {
                    let which = (turn + round) % self.variants.len();
                    let variant = &self.variants[which];
                    let (now, name, label) = (round + 1, benchmark.name, &variant.label);
                    let what = format!("round {now} of {}: {name} over {label}", self.rounds);
                    if progress.is_hidden() {
                        // No terminal: a log gets a line for each job.
                        eprintln!("{what}");
                    }
                    progress.set_message(what);
                    let arguments = arguments_for(benchmark, &self.forwarded);
                    self.run_job(benchmark, variant, &arguments, |output| match output {
                        Output::Ours(document) => results.add(at, which, &document),
                        Output::C(text) => results.add_text(at, which, &text),
                    })
                    .with_context(|| format!("{} over {}", benchmark.name, variant.label))?;
                    progress.inc(1);
                }
            }
        }
        progress.finish_and_clear();
        Ok(results)
    }
}

/// What a job printed.
enum Output {
    Ours(serde_json::Value),
    C(String),
}

/// The benchmark options that the user gave to `compare`.
fn forwarded(matches: &ArgMatches) -> Vec<(char, Option<String>)> {
    crate::options::arguments(arguments::FORWARDED)
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
