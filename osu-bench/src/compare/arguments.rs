//! The command line of `compare` and `osu`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::options;

/// Letters of the options that are handed on to the benchmarks.
pub(super) const FORWARDED: &str = "mixWMcTws";

/// `osu-bench compare`.
pub(crate) fn command() -> Command {
    Command::new("compare")
        .about("Run benchmarks over several transports, interleaved, and put them side by side")
        .long_about(
            "Starts mpirun itself, once for each benchmark, transport and round, interleaved; prints the medians over the rounds, \
             their spread, and the ratios to the peers.\n\n\
             A cell is the median over the rounds; +- is half of the range from the smallest to the largest, in per cent of the \
             median. A ratio is a median over the median of the named peer: below 1 is better for latency, above 1 for bandwidth. \
             The limit is what the profile of a simulated cable allows: all rails at their rate less the frame headers, or the \
             one-way latency of the wire. A job over usb4 counts only if usb4's own counters show that it carried the bytes.",
        )
        .arg(
            Arg::new("benchmarks")
                .value_name("BENCH")
                .required(true)
                .num_args(1..)
                .value_delimiter(',')
                .help("Benchmarks to compare; osu-bench list shows them"),
        )
        .arg(transports("usb4,tcp,posix"))
        .args(shared())
}

/// `osu-bench osu`.
pub(crate) fn c_tree_command() -> Command {
    Command::new("osu")
        .about("Run the C OSU benchmarks of a folder beside ours, to show that both measure the same")
        .long_about(
            "Finds the C OSU micro-benchmarks (osu_latency, ...) below DIR, runs each beside ours over the same transports, \
             interleaved, and prints both with the ratio of ours to theirs. They must be built for the MPI that osu-bench is \
             built for.",
        )
        .arg(
            Arg::new("tree")
                .value_name("DIR")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("An installed or built tree of the C OSU micro-benchmarks"),
        )
        .arg(
            Arg::new("benchmarks")
                .value_name("BENCH")
                .num_args(1..)
                .value_delimiter(',')
                .default_values(["latency", "bw", "bibw", "allreduce"])
                .help("Benchmarks to compare"),
        )
        .arg(transports("tcp,posix"))
        .args(shared())
}

fn transports(default: &'static str) -> Arg {
    Arg::new("tls")
        .long("tls")
        .value_delimiter(',')
        .value_name("TLS")
        .default_value(default)
        .help("UCX transports: usb4, tcp (over loopback), posix, or any other value for UCX_TLS with + for a comma")
}

fn shared() -> Vec<Arg> {
    let list = |name: &'static str| Arg::new(name).long(name).value_delimiter(',');
    let count = |name: &'static str, default: &'static str| {
        Arg::new(name).long(name).value_parser(value_parser!(u32).range(1..)).default_value(default)
    };
    let mut arguments = vec![
        list("profile").value_name("PROFILE").default_value("ideal").help(
            "Profiles of the simulated cable; usb4 has a column for each. A path to a TOML file is a profile too",
        ),
        list("ucx")
            .value_name("LABEL=DIR")
            .help("UCX releases to compare: directories with their libucp.so.0; every transport runs with each"),
        count("ranks", "2").long("np").short('n').value_name("RANKS").help("Ranks of each job"),
        count("rounds", "3").value_name("N").help("Rounds; each runs every benchmark over every transport once"),
        count("timeout", "300").value_name("SECONDS").help("Give up on a job after this time"),
        Arg::new("mpirun")
            .long("mpirun")
            .value_name("PROGRAM")
            .default_value("mpirun")
            .env("MPIRUN")
            .help("mpirun of the MPI that osu-bench was built with"),
        Arg::new("mpirun-arg")
            .long("mpirun-arg")
            .value_name("ARG")
            .action(ArgAction::Append)
            .allow_hyphen_values(true)
            .help("One more argument for mpirun; may be repeated"),
        Arg::new("report").long("report").value_name("DIR").value_parser(value_parser!(PathBuf)).help(
            "Also write index.html, a figure of each benchmark (SVG, PNG), results.json and results.csv into DIR",
        ),
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .conflicts_with("csv")
            .help("Print JSON instead of tables"),
        Arg::new("csv").long("csv").action(ArgAction::SetTrue).help("Print comma-separated values instead of tables"),
    ];
    let forwarded = |arg: &Arg| arg.get_short().is_some_and(|letter| FORWARDED.contains(letter));
    arguments.extend(options::arguments(FORWARDED).into_iter().filter(forwarded));
    arguments
}
