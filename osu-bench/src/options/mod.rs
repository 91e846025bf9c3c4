//! The options of the OSU benchmarks, with OSU 7's letters, names and defaults.
//!
//! As in OSU, each benchmark takes a subset, named by letters ([`Benchmark::options`](crate::bench::Benchmark)); an
//! option that a benchmark does not take is an error, not something to ignore.

mod arguments;

pub(crate) use arguments::{ALL_LETTERS, arguments, attach_optional_values};

use clap::ArgMatches;
use thiserror::Error;

use crate::bench::Sync;
use crate::mpi_raw::{Element, WindowKind};
use crate::report::Format;

/// Above this size OSU makes fewer iterations.
pub(crate) const LARGE_MESSAGE_BYTES: usize = 8192;
/// OSU's default for -M.
const MEMORY_LIMIT_BYTES: usize = 512 << 20;
/// MPI counts elements in a C int.
const SIZE_LIMIT_BYTES: usize = i32::MAX as usize;

/// What the user asked for, after the benchmark's defaults.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// -m: smallest and largest message.
    pub(crate) sizes: Sizes,
    /// -i and -x.
    pub(crate) counts: Counts,
    /// -W: messages in flight before a synchronisation.
    pub(crate) window: usize,
    /// -b: where the messages of a window lie.
    pub(crate) buffers: Buffers,
    /// -t: MPI_Test calls during the computation beside a non-blocking collective.
    pub(crate) test_calls: usize,
    /// -t of latency_mt.
    pub(crate) threads: Threads,
    /// -w: how a window is made.
    pub(crate) window_kind: WindowKind,
    /// -s: synchronisation, if not the benchmark's own.
    pub(crate) sync: Option<Sync>,
    /// -p: pairs of mbw_mr, if not all.
    pub(crate) pairs: Option<usize>,
    /// -R: whether mbw_mr prints the message rate.
    pub(crate) print_rate: bool,
    /// -M: memory that the buffers of one process may take.
    pub(crate) memory_limit_bytes: usize,
    /// -c: check every byte that arrives.
    pub(crate) validate: bool,
    /// -u: untimed repetitions before the timed one of each iteration, while validating.
    pub(crate) validation_warmup: usize,
    /// -f: minimum, maximum and iterations as well.
    pub(crate) full: bool,
    /// -T: one run per type.
    pub(crate) elements: Vec<Element>,
    /// -z: percentiles to print.
    pub(crate) percentiles: Vec<u8>,
    /// --json, --csv, or OSU's text.
    pub(crate) format: Format,
    /// Hidden, for tests: spoil a received byte before it is validated.
    pub(crate) corrupt_received: bool,
}

/// Message sizes: doubling from `min_bytes` to `max_bytes`; 0 is followed by 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// First size.
    pub(crate) min_bytes: usize,
    /// No size is larger.
    pub(crate) max_bytes: usize,
}

/// Iterations: `large` holds above [`LARGE_MESSAGE_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Up to the limit.
    pub(crate) small: Iterations,
    /// Above the limit.
    pub(crate) large: Iterations,
}

/// Iterations of one size: the first `warmup` are not timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Iterations {
    /// Timed.
    pub(crate) timed: usize,
    /// Made before, not timed.
    pub(crate) warmup: usize,
}

/// -t of latency_mt: threads that call MPI at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threads {
    /// In rank 0.
    pub(crate) senders: usize,
    /// In rank 1.
    pub(crate) receivers: usize,
}

/// -b: memory of the messages of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Buffers {
    /// All messages of a window share one buffer; OSU's default.
    Single,
    /// Each has its own.
    Multiple,
}

/// Why options cannot be used. Each message is one line.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum OptionsError {
    /// -m does not parse.
    #[error("-m {0}: expected MAX, MIN:MAX or MIN: in bytes, for example -m 1:4194304")]
    SizeSyntax(String),
    /// -m MIN:MAX with MIN > MAX.
    #[error("-m {min}:{max}: the smallest size is larger than the largest; swap them: -m {max}:{min}")]
    SizesReversed {
        /// As given.
        min: usize,
        /// As given.
        max: usize,
    },
    /// Beyond a C int.
    #[error("-m {0}: MPI counts elements in a C int, so a message has at most {SIZE_LIMIT_BYTES} bytes")]
    SizeTooLarge(usize),
    /// No whole element fits.
    #[error("-m: the largest size, {max} bytes, is smaller than one {element}; give at least {needed} or another -T")]
    SmallerThanElement {
        /// As given.
        max: usize,
        /// Name of the type.
        element: &'static str,
        /// Its size.
        needed: usize,
    },
    /// -t does not parse.
    #[error("-t {0}: expected a number, or SEND:RECV with 1 to 128 threads each for latency_mt, for example -t 2:4")]
    Threads(String),
    /// -d names device memory.
    #[error(
        "-d {0}: osu-bench measures host memory; for buffers on a device, run the C OSU benchmarks that are built for it \
         (osu-bench osu puts them beside ours)"
    )]
    Accelerator(String),
    /// -z does not parse.
    #[error("-z{0}: expected percentiles from 1 to 99 with commas, five at most, for example -z50,90,99")]
    Percentiles(String),
}

impl Sizes {
    /// All sizes that are whole elements, smallest first.
    pub(crate) fn iter(self, element: Element) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(self.min_bytes), |&size| Some(if size == 0 { 1 } else { size * 2 }))
            .take_while(move |&size| size <= self.max_bytes)
            .filter(move |&size| size % element.size_bytes() == 0)
    }

    fn parse(text: &str, defaults: Sizes) -> Result<Sizes, OptionsError> {
        let number = |part: &str, default: usize| {
            if part.is_empty() {
                Ok(default)
            } else {
                part.parse().map_err(|_| OptionsError::SizeSyntax(text.to_owned()))
            }
        };
        let sizes = match text.split_once(':') {
            _ if text.is_empty() || text == ":" => return Err(OptionsError::SizeSyntax(text.to_owned())),
            Some((min, max)) => {
                Sizes { min_bytes: number(min, defaults.min_bytes)?, max_bytes: number(max, defaults.max_bytes)? }
            }
            None => {
                let max_bytes = number(text, defaults.max_bytes)?;
                Sizes { min_bytes: defaults.min_bytes.min(max_bytes), max_bytes }
            }
        };
        if sizes.min_bytes > sizes.max_bytes {
            return Err(OptionsError::SizesReversed { min: sizes.min_bytes, max: sizes.max_bytes });
        }
        if sizes.max_bytes > SIZE_LIMIT_BYTES {
            return Err(OptionsError::SizeTooLarge(sizes.max_bytes));
        }
        Ok(sizes)
    }
}

impl Counts {
    /// Point-to-point and one-sided latency.
    pub(crate) const LATENCY: Counts = Counts::of(10_000, 100, 1_000, 10);
    /// Bandwidth; an iteration is a window.
    pub(crate) const BANDWIDTH: Counts = Counts::of(100, 10, 20, 2);
    /// Collectives.
    pub(crate) const COLLECTIVE: Counts = Counts::of(1_000, 100, 100, 10);

    const fn of(timed: usize, warmup: usize, timed_large: usize, warmup_large: usize) -> Counts {
        Counts { small: Iterations { timed, warmup }, large: Iterations { timed: timed_large, warmup: warmup_large } }
    }

    /// The iterations for messages of `size_bytes`.
    pub(crate) fn of_size(self, size_bytes: usize) -> Iterations {
        if size_bytes > LARGE_MESSAGE_BYTES { self.large } else { self.small }
    }
}

/// Defaults that differ from benchmark to benchmark.
#[derive(Clone, Copy)]
pub(crate) struct Defaults {
    /// Message sizes.
    pub(crate) sizes: Sizes,
    /// Iterations.
    pub(crate) counts: Counts,
    /// Datatype.
    pub(crate) element: Element,
}

/// For benchmarks without messages.
pub(crate) const NO_DEFAULTS: Defaults =
    Defaults { sizes: Sizes { min_bytes: 0, max_bytes: 0 }, counts: Counts::COLLECTIVE, element: Element::Char };

/// Reads what [`arguments`] parsed, as far as a benchmark takes it; `osu-bench suite` parses more.
///
/// # Errors
/// If the values contradict each other or cannot be had.
pub(crate) fn read(matches: &ArgMatches, letters: &str, defaults: Defaults) -> Result<Options, OptionsError> {
    let flag = |name: &str| matches.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false);
    let number = |name: &str| matches.try_get_one::<usize>(name).ok().flatten().copied();
    let positive = |name: &str| matches.try_get_one::<u32>(name).ok().flatten().map(|&value| value as usize);
    let text = |name: &str| matches.try_get_one::<String>(name).ok().flatten();

    let mut counts = defaults.counts;
    for iterations in [&mut counts.small, &mut counts.large] {
        iterations.timed = positive("iterations").unwrap_or(iterations.timed);
        iterations.warmup = number("warmup").unwrap_or(iterations.warmup);
    }
    let given_type = text("type").filter(|_| letters.contains('T'));
    let elements = match given_type.map(|name| name.to_ascii_lowercase()).as_deref() {
        Some("all") => vec![Element::Char, Element::Int, Element::Float],
        Some("mpi_char") => vec![Element::Char],
        Some("mpi_int") => vec![Element::Int],
        Some("mpi_float") => vec![Element::Float],
        _ => vec![defaults.element],
    };
    let given_sizes = text("message-size").filter(|_| letters.contains('m'));
    let sizes = given_sizes.map_or(Ok(defaults.sizes), |text| Sizes::parse(text, defaults.sizes))?;
    if let Some(element) = elements.iter().find(|element| sizes.iter(**element).next().is_none()) {
        return Err(OptionsError::SmallerThanElement {
            max: sizes.max_bytes,
            element: element.mpi_name(),
            needed: element.size_bytes(),
        });
    }
    if let Some(device) = text("accelerator").filter(|device| *device != "host") {
        return Err(OptionsError::Accelerator(device.clone()));
    }
    let validate = flag("validation") && letters.contains('c');
    let (test_calls, threads) = test_calls_and_threads(text("num-test-calls"))?;
    Ok(Options {
        sizes,
        counts,
        window: positive("window-size").unwrap_or(64),
        buffers: if text("buffer-num").is_some_and(|kind| kind == "multiple") {
            Buffers::Multiple
        } else {
            Buffers::Single
        },
        test_calls,
        threads,
        window_kind: match text("win-options").map(|kind| kind.to_ascii_lowercase()).as_deref() {
            Some("create") => WindowKind::Create,
            Some("dynamic") => WindowKind::Dynamic,
            _ => WindowKind::Allocate,
        },
        sync: text("sync-option").and_then(|given| {
            Sync::NAMES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(given)).map(|(_, sync)| sync)
        }),
        pairs: positive("num-pairs"),
        print_rate: text("print-rate").is_none_or(|value| value == "1"),
        memory_limit_bytes: number("mem-limit").unwrap_or(MEMORY_LIMIT_BYTES),
        validate,
        validation_warmup: if validate { number("validation-warmup").unwrap_or(5) } else { 0 },
        full: flag("full"),
        elements,
        percentiles: text("tail-lat").map_or(Ok(Vec::new()), |text| percentiles(text))?,
        format: match (flag("json"), flag("csv")) {
            (true, _) => Format::Json,
            (_, true) => Format::Csv,
            _ => Format::Text,
        },
        corrupt_received: flag("corrupt-received"),
    })
}

/// -t means one thing for non-blocking collectives and another for latency_mt; `N` is right for both.
fn test_calls_and_threads(text: Option<&String>) -> Result<(usize, Threads), OptionsError> {
    let Some(text) = text else { return Ok((0, Threads { senders: 1, receivers: 2 })) };
    let bad = || OptionsError::Threads(text.clone());
    let number = |part: &str| part.parse::<usize>().map_err(|_| bad());
    let (test_calls, threads) = match text.split_once(':') {
        Some((senders, receivers)) => (0, Threads { senders: number(senders)?, receivers: number(receivers)? }),
        None => (number(text)?, Threads { senders: 1, receivers: number(text)?.clamp(1, 128) }),
    };
    let fits = |threads: usize| (1..=128).contains(&threads);
    if fits(threads.senders) && fits(threads.receivers) { Ok((test_calls, threads)) } else { Err(bad()) }
}

fn percentiles(text: &str) -> Result<Vec<u8>, OptionsError> {
    let bad = || OptionsError::Percentiles(text.to_owned());
    let list: Vec<u8> = text.split(',').map(|part| part.parse().map_err(|_| bad())).collect::<Result<_, _>>()?;
    if list.len() > 5 || list.iter().any(|value| !(1..=99).contains(value)) {
        return Err(bad());
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Sizes = Sizes { min_bytes: 1, max_bytes: 1 << 22 };

    fn parse(text: &str) -> Result<(usize, usize), OptionsError> {
        Sizes::parse(text, DEFAULTS).map(|sizes| (sizes.min_bytes, sizes.max_bytes))
    }

    #[test]
    fn sizes_are_read_as_osu_reads_them() {
        assert_eq!(parse("128"), Ok((1, 128)));
        assert_eq!(parse("2:128"), Ok((2, 128)));
        assert_eq!(parse("2:"), Ok((2, 1 << 22)));
        assert_eq!(parse(":64"), Ok((1, 64)));
        assert_eq!(parse("0"), Ok((0, 0)));
    }

    #[test]
    fn impossible_sizes_say_why() {
        assert_eq!(parse("8:4"), Err(OptionsError::SizesReversed { min: 8, max: 4 }));
        assert_eq!(parse("4k"), Err(OptionsError::SizeSyntax("4k".into())));
        assert_eq!(parse(":"), Err(OptionsError::SizeSyntax(":".into())));
        assert_eq!(parse("1:3000000000"), Err(OptionsError::SizeTooLarge(3_000_000_000)));
    }

    #[test]
    fn sizes_double_and_hold_whole_elements() {
        let sizes = Sizes { min_bytes: 0, max_bytes: 20 };
        assert_eq!(sizes.iter(Element::Char).collect::<Vec<_>>(), [0, 1, 2, 4, 8, 16]);
        assert_eq!(sizes.iter(Element::Int).collect::<Vec<_>>(), [0, 4, 8, 16]);
    }

    #[test]
    fn large_messages_get_fewer_iterations() {
        assert_eq!(Counts::LATENCY.of_size(8192).timed, 10_000);
        assert_eq!(Counts::LATENCY.of_size(8193).timed, 1_000);
    }

    #[test]
    fn threads_are_given_as_send_and_recv() {
        let parse = |text: &str| test_calls_and_threads(Some(&text.to_owned()));
        assert_eq!(parse("2:4"), Ok((0, Threads { senders: 2, receivers: 4 })));
        assert_eq!(parse("100"), Ok((100, Threads { senders: 1, receivers: 100 })));
        assert_eq!(parse("0:4"), Err(OptionsError::Threads("0:4".into())));
        assert_eq!(parse("1:129"), Err(OptionsError::Threads("1:129".into())));
    }

    #[test]
    fn percentiles_are_a_short_list() {
        assert_eq!(percentiles("50,99"), Ok(vec![50, 99]));
        assert_eq!(percentiles("0"), Err(OptionsError::Percentiles("0".into())));
        assert_eq!(percentiles("1,2,3,4,5,6"), Err(OptionsError::Percentiles("1,2,3,4,5,6".into())));
    }
}
