//! The benchmarks: one small file each, and what they share.

mod coll;
mod onesided;
mod pt2pt;
mod startup;

use thiserror::Error;

use self::coll::{Collective, Form};
pub(crate) use self::onesided::Sync;
use crate::measure::Context;
use crate::mpi_raw::CollectiveError;
use crate::options::Defaults;

/// A benchmark: how it is called, what its numbers mean, and its code.
pub(crate) struct Benchmark {
    /// OSU's name without `osu_`.
    pub(crate) name: &'static str,
    /// What OSU prints as its title.
    pub(crate) title: &'static str,
    /// What is measured, in one line.
    pub(crate) about: &'static str,
    /// What a number means: who measures, from where to where, which iterations count.
    pub(crate) meaning: &'static str,
    /// Letters of the options it takes.
    pub(crate) options: &'static str,
    /// Defaults of those options.
    pub(crate) defaults: Defaults,
    /// How many ranks it runs on.
    pub(crate) ranks: Ranks,
    /// Its code.
    pub(crate) run: Run,
}

/// Code of a benchmark.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// Of its own.
    Alone(fn(&mut Context<'_>) -> Result<(), BenchError>),
    /// Of its own, calling MPI from several threads at once.
    Threads(fn(&mut Context<'_>) -> Result<(), BenchError>),
    /// The loop of a form, around a collective operation.
    Collective(Form, &'static Collective),
}

impl Run {
    /// Runs it.
    ///
    /// # Errors
    /// If it cannot run, or validation fails.
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<(), BenchError> {
        match self {
            Run::Alone(run) | Run::Threads(run) => run(context),
            Run::Collective(form, collective) => form.run(context, collective),
        }
    }
}

/// Numbers of ranks that a benchmark can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ranks {
    /// One or more.
    Any,
    /// A pair.
    Two,
    /// Two or more.
    AtLeastTwo,
    /// Pairs.
    Even,
}

/// Why a benchmark cannot run or did not pass. Each message is one line, printed by rank 0.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    /// Wrong number of ranks.
    #[error(
        "{name} needs {needed}, but was started with {given}; start it with: mpirun -n {suggestion} osu-bench {name}"
    )]
    RankCount {
        /// Benchmark.
        name: &'static str,
        /// In words.
        needed: &'static str,
        /// As started.
        given: usize,
        /// A number that works.
        suggestion: usize,
    },
    /// The buffers do not fit into this machine.
    #[error(
        "messages of {size_bytes} bytes need {needed_mib} MiB of buffers per process, but a host has {available_mib} MiB free \
         for each of its ranks; lower the largest size with -m MIN:MAX"
    )]
    Memory {
        /// The largest message.
        size_bytes: usize,
        /// Per process.
        needed_mib: usize,
        /// Per process.
        available_mib: usize,
    },
    /// -c found wrong bytes. The wording up to the number is OSU's.
    #[error(
        "DATA VALIDATION ERROR: osu_{name} exited with status 1 on message size {size_bytes}: {errors} elements were wrong"
    )]
    Validation {
        /// Benchmark.
        name: &'static str,
        /// Message size.
        size_bytes: usize,
        /// Over all ranks and iterations.
        errors: u64,
    },
    /// -p asks for more pairs than there are.
    #[error("-p {asked}: {ranks} ranks make {most} pairs at most; give a smaller -p or start more ranks")]
    Pairs {
        /// As given.
        asked: usize,
        /// As started.
        ranks: usize,
        /// What fits.
        most: usize,
    },
    /// Both ranks access each other, so both must synchronise.
    #[error("{name} needs a synchronisation in which both ranks take part: -s pscw or -s fence")]
    PassiveSync {
        /// Benchmark.
        name: &'static str,
    },
    /// Several threads may not call MPI at once.
    #[error("this MPI does not give MPI_THREAD_MULTIPLE, which latency_mt needs; build it with thread support")]
    Threads,
    /// A call that this MPI lacks.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
}

impl Ranks {
    /// Whether a job of `given` ranks can run the benchmark `name`.
    ///
    /// # Errors
    /// If it cannot; the error says what would.
    pub(crate) fn check(self, name: &'static str, given: usize) -> Result<(), BenchError> {
        let (fits, needed) = match self {
            Ranks::Any => (true, "any number of ranks"),
            Ranks::Two => (given == 2, "exactly two ranks"),
            Ranks::Even => (given >= 2 && given.is_multiple_of(2), "an even number of ranks"),
            Ranks::AtLeastTwo => (given >= 2, "at least two ranks"),
        };
        if fits { Ok(()) } else { Err(BenchError::RankCount { name, needed, given, suggestion: 2 }) }
    }
}

/// All benchmarks, in the order in which they are listed.
pub(crate) fn all() -> Vec<&'static Benchmark> {
    let collectives = [Form::Blocking, Form::NonBlocking, Form::Persistent].into_iter().flat_map(coll::all);
    pt2pt::ALL
        .iter()
        .copied()
        .chain(collectives)
        .chain(onesided::ALL.iter().copied())
        .chain(startup::ALL.iter().copied())
        .collect()
}

/// The benchmark called `name`, with or without OSU's prefix.
pub(crate) fn find(name: &str) -> Option<&'static Benchmark> {
    let name = name.strip_prefix("osu_").unwrap_or(name);
    all().into_iter().find(|benchmark| benchmark.name == name)
}

/// The known name that is nearest to `name`, if one is near.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix("osu_").unwrap_or(name);
    all()
        .into_iter()
        .map(|benchmark| (strsim::jaro_winkler(name, benchmark.name), benchmark.name))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_with_osus_prefix() {
        let mut names: Vec<&str> = all().iter().map(|benchmark| benchmark.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
        assert_eq!(find("osu_bibw").map(|benchmark| benchmark.name), Some("bibw"));
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        assert_eq!(nearest("latncy"), Some("latency"));
        assert_eq!(nearest("osu_alreduce"), Some("allreduce"));
        assert_eq!(nearest("zzzz"), None);
    }

    #[test]
    fn wrong_rank_counts_are_named() {
        assert!(Ranks::Two.check("latency", 2).is_ok());
        let error = Ranks::Two.check("latency", 4).expect_err("four ranks are too many");
        assert_eq!(
            error.to_string(),
            "latency needs exactly two ranks, but was started with 4; start it with: mpirun -n 2 osu-bench latency"
        );
    }
}
