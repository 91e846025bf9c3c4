//! The command line.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command};

use crate::bench::{self, Benchmark};
use crate::job::Task;
use crate::{compare, job, man, options, report};

/// Parses the arguments and does what they say.
pub(crate) fn main() -> ExitCode {
    let arguments = options::attach_optional_values(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()));
    if let Some(name) = arguments.get(1).filter(|name| is_unknown(name)) {
        return job::usage_error(&unknown_benchmark(name));
    }
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return clap_message(&error),
    };
    match matches.subcommand() {
        Some(("list", _)) => list(),
        Some(("compare" | "osu", matches)) => compare::main(matches),
        Some(("man", _)) => man_page(),
        Some(("suite", matches)) => suite(matches),
        Some((name, matches)) => run(name, matches),
        None => unreachable!("clap requires a subcommand"),
    }
}

/// The whole command line, for parsing, `--help` and the man page.
pub(crate) fn command() -> Command {
    Command::new("osu-bench")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The OSU micro-benchmarks in Rust, side by side over several UCX transports")
        .long_about(
            "The OSU micro-benchmarks in Rust: same names, options, output and measuring method.\n\n\
             Under mpirun each subcommand is one benchmark: `mpirun -n 2 osu-bench latency` measures and prints what \
             `mpirun -n 2 osu_latency` does. `osu-bench compare` starts mpirun itself and puts several transports side by \
             side. Each benchmark's --help says what its numbers mean.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("list").about("List the benchmarks"))
        .subcommand(compare::command())
        .subcommand(compare::c_tree_command())
        .subcommand(suite_command())
        .subcommand(Command::new("man").about("Print the man page"))
        .subcommands(bench::all().into_iter().map(benchmark_command))
}

fn benchmark_command(benchmark: &'static Benchmark) -> Command {
    Command::new(benchmark.name)
        .alias(format!("osu_{}", benchmark.name))
        .about(benchmark.about)
        .long_about(format!("{}.\n\n{}", benchmark.about, benchmark.meaning))
        .disable_version_flag(true)
        .version(format!("{} v{}", benchmark.title, report::OSU_RELEASE))
        .arg(
            clap::Arg::new("version")
                .short('v')
                .long("version")
                .action(clap::ArgAction::Version)
                .help("Print the title and the OSU release whose method this is"),
        )
        .args(options::arguments(benchmark.options))
}

fn suite_command() -> Command {
    Command::new("suite")
        .about("Run several benchmarks, or all, one after the other in one job")
        .long_about(
            "Runs the named benchmarks, or all that fit the number of ranks, one after the other in one MPI job. Each takes those of \
             the options that it knows. With -c this is a quick test of a transport: mpirun -n 2 osu-bench suite -c -i 5 -x 1 -m 4096",
        )
        .arg(clap::Arg::new("benchmarks").value_name("BENCH").num_args(0..).value_delimiter(',').help("Benchmarks [default: all]"))
        .args(options::arguments(options::ALL_LETTERS))
}

fn run(name: &str, matches: &ArgMatches) -> ExitCode {
    let Some(benchmark) = bench::find(name) else { return job::usage_error(&unknown_benchmark(name)) };
    run_tasks([benchmark], matches, false)
}

fn suite(matches: &ArgMatches) -> ExitCode {
    let names: Vec<&String> = matches.get_many("benchmarks").unwrap_or_default().collect();
    let mut benchmarks = Vec::new();
    for name in &names {
        match bench::find(name) {
            Some(benchmark) => benchmarks.push(benchmark),
            None => return job::usage_error(&unknown_benchmark(name)),
        }
    }
    if names.is_empty() { run_tasks(bench::all(), matches, true) } else { run_tasks(benchmarks, matches, false) }
}

fn run_tasks(benchmarks: impl IntoIterator<Item = &'static Benchmark>, matches: &ArgMatches, skip: bool) -> ExitCode {
    let tasks: Result<Vec<Task>, String> =
        benchmarks.into_iter().map(|benchmark| Task::new(benchmark, matches)).collect();
    match tasks {
        Ok(tasks) => job::run(&tasks, skip),
        Err(message) => job::usage_error(&message),
    }
}

fn man_page() -> ExitCode {
    match man::write(command(), &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => job::usage_error(&format!("the man page cannot be written: {error}")),
    }
}

fn list() -> ExitCode {
    for benchmark in bench::all() {
        println!("{:<32}{}", benchmark.name, benchmark.about);
    }
    ExitCode::SUCCESS
}

fn is_unknown(name: &str) -> bool {
    let commands = ["list", "compare", "osu", "suite", "man", "help"];
    !name.starts_with('-') && !commands.contains(&name) && bench::find(name).is_none()
}

/// One line: the nearest name, then all of them.
pub(crate) fn unknown_benchmark(name: &str) -> String {
    let nearest = bench::nearest(name).map_or_else(String::new, |near| format!(" Did you mean {near}?"));
    let names: Vec<&str> = bench::all().iter().map(|benchmark| benchmark.name).collect();
    format!("there is no benchmark {name}.{nearest} The benchmarks are: {}", names.join(", "))
}

/// clap's help goes out as it is; its errors become one line of rank 0.
fn clap_message(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        if job::speaks() {
            let _ = error.print();
        }
        let asked = error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        return if asked || !job::speaks() { ExitCode::SUCCESS } else { ExitCode::from(2) };
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    job::usage_error(&format!("{first}; --help lists what is taken"))
}
