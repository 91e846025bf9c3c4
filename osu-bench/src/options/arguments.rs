//! The options as clap knows them.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, value_parser};

use crate::bench::Sync;

/// Every option that some benchmark takes.
pub(crate) const ALL_LETTERS: &str = "mixWMtbpRwscufdTz";

/// The arguments that stand for `letters`, and those that every benchmark takes.
pub(crate) fn arguments(letters: &str) -> Vec<Arg> {
    let number = |arg: Arg| arg.value_parser(value_parser!(usize));
    let positive = |arg: Arg| arg.value_parser(value_parser!(u32).range(1..));
    let mut arguments: Vec<Arg> = letters
        .chars()
        .map(|letter| {
            let arg = |name: &'static str| Arg::new(name).short(letter).long(name);
            match letter {
                'm' => arg("message-size").value_name("[MIN:]MAX").help(
                    "Message sizes in bytes, doubling from MIN to MAX: -m 128 (up to 128), -m 2:128, -m 2: (from 2)",
                ),
                'i' => positive(arg("iterations")).value_name("ITER").help(
                    "Timed iterations per size [OSU's defaults: latency 10000, bandwidth 100, collectives 1000; fewer above 8 KiB]",
                ),
                'x' => number(arg("warmup")).value_name("ITER").help("Iterations before them that are not timed"),
                'W' => positive(arg("window-size"))
                    .value_name("SIZE")
                    .help("Messages in flight before a synchronisation [default: 64]"),
                'b' => arg("buffer-num")
                    .value_name("KIND")
                    .value_parser(PossibleValuesParser::new(["single", "multiple"]))
                    .help("One buffer for all messages of a window, or one for each [default: single]"),
                't' => arg("num-test-calls").value_name("N").help(
                    "Non-blocking collectives: MPI_Test calls during the computation [default: 0]; latency_mt: threads, RECV or \
                     SEND:RECV [default: 1:2]",
                ),
                'w' => arg("win-options")
                    .value_name("KIND")
                    .value_parser(PossibleValuesParser::new(["create", "allocate", "dynamic"]))
                    .ignore_case(true)
                    .help("How the window is made [default: allocate]"),
                's' => arg("sync-option")
                    .value_name("SYNC")
                    .value_parser(PossibleValuesParser::new(Sync::NAMES.map(|(name, _)| name)))
                    .ignore_case(true)
                    .help("How accesses are synchronised [default: flush; put_bibw: pscw]"),
                'p' => positive(arg("num-pairs")).value_name("PAIRS").help("Pairs of ranks that take part [default: all]"),
                'R' => arg("print-rate")
                    .value_name("0|1")
                    .value_parser(PossibleValuesParser::new(["0", "1"]))
                    .help("Print the message rate [default: 1]"),
                'M' => number(arg("mem-limit"))
                    .value_name("BYTES")
                    .help("Memory that the buffers of one process may take [default: 536870912]"),
                'c' => arg("validation").action(ArgAction::SetTrue).help(
                    "Check every byte that arrives; a wrong one prints Fail, names the size and ends the run with exit code 1",
                ),
                'u' => number(arg("validation-warmup"))
                    .value_name("ITER")
                    .help("With -c: untimed repetitions before the timed one of each iteration [default: 5]"),
                'f' => arg("full")
                    .action(ArgAction::SetTrue)
                    .help("Also the fastest and the slowest rank's average, and the iterations"),
                'd' => arg("accelerator")
                    .value_name("TYPE")
                    .help("Accelerator whose memory holds the buffers; osu-bench measures host memory: host [default: host]"),
                'T' => arg("type")
                    .value_name("TYPE")
                    .value_parser(PossibleValuesParser::new(["all", "mpi_char", "mpi_int", "mpi_float"]))
                    .ignore_case(true)
                    .help("Datatype of the elements"),
                'z' => arg("tail-lat")
                    .value_name("1-99,...")
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("99,90,50")
                    .help("Percentiles over the iterations, attached to the letter: -z50,90,99 [-z alone: 99,90,50]"),
                _ => unreachable!("a benchmark names the option -{letter}, which does not exist"),
            }
        })
        .collect();
    arguments.push(
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .conflicts_with("csv")
            .help("One JSON document instead of OSU's text"),
    );
    arguments.push(
        Arg::new("csv").long("csv").action(ArgAction::SetTrue).help("Comma-separated values instead of OSU's text"),
    );
    arguments.push(Arg::new("corrupt-received").long("corrupt-received").action(ArgAction::SetTrue).hide(true));
    arguments
}

/// OSU takes the values of -z and -c only when they are attached to the letter (getopt's `z::`); clap wants `-z=50`.
pub(crate) fn attach_optional_values(arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    arguments
        .into_iter()
        .map(|argument| match argument.strip_prefix("-z") {
            Some(list) if list.starts_with(|first: char| first.is_ascii_digit()) => format!("-z={list}"),
            _ => argument,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_attached_to_their_letter() {
        let args = ["-z50,99", "-z", "-c"].map(String::from);
        assert_eq!(attach_optional_values(args), ["-z=50,99", "-z", "-c"]);
    }

    #[test]
    fn every_letter_has_an_option() {
        let letters: String = arguments(ALL_LETTERS).iter().filter_map(Arg::get_short).collect();
        assert_eq!(letters, ALL_LETTERS);
    }
}
