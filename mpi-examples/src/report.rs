//! How a run ends: PASS or FAIL, and one line for `cargo xtask example` with times and a digest of the result.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use mpi::collective::SystemOperation;
use mpi::traits::{Communicator, CommunicatorCollectives};

/// Tells the time of a step, and how much of it went into communication.
///
/// Communication includes the wait for a slower rank: that is what a program loses to it.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    stopped: Option<Instant>,
    steps: u64,
    communication: Duration,
    note: String,
}

impl Meter {
    /// Starts the clock.
    #[must_use]
    pub fn start() -> Meter {
        Meter { started: Instant::now(), stopped: None, steps: 0, communication: Duration::ZERO, note: String::new() }
    }

    /// Counts what `call` takes as communication.
    pub fn communicate<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = call();
        self.communication += started.elapsed();
        result
    }

    /// One step is done.
    pub fn step(&mut self) {
        self.steps += 1;
    }

    /// Stops the clock: what follows is checking.
    pub fn stop(&mut self) {
        self.stopped = Some(Instant::now());
    }

    /// What else is worth a place in the table of `cargo xtask example`.
    pub fn note(&mut self, note: &str) {
        note.clone_into(&mut self.note);
    }

    /// Microseconds of a step, and of its communication.
    #[must_use]
    pub fn times_us(&self) -> (f64, f64) {
        let per_step = |time: Duration| time.as_secs_f64() * 1e6 / self.steps.max(1) as f64;
        let all = self.stopped.unwrap_or_else(Instant::now).duration_since(self.started);
        (per_step(all), per_step(self.communication))
    }
}

/// A digest of results (FNV-1a): the same over every transport, or a byte was changed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// Of these words.
    #[must_use]
    pub fn of(words: impl IntoIterator<Item = u64>) -> Digest {
        let mix = |digest: u64, byte: u8| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Digest(words.into_iter().flat_map(u64::to_le_bytes).fold(0xcbf2_9ce4_8422_2325, mix))
    }
}

/// The end of an example: all ranks add up what they found wrong, and rank 0 prints the verdict.
///
/// `what` describes the run; the digest that is printed is rank 0's.
pub fn finish(
    world: &impl Communicator,
    name: &str,
    meter: &Meter,
    wrong: u64,
    digest: Digest,
    what: &str,
) -> ExitCode {
    let (step_us, communication_us) = meter.times_us();
    let mut all_wrong = 0u64;
    world.all_reduce_into(&wrong, &mut all_wrong, SystemOperation::sum());
    if world.rank() == 0 {
        let steps = meter.steps;
        println!(
            "measured: {{\"steps\":{steps},\"step_us\":{step_us:.3},\"communication_us\":{communication_us:.3},\
             \"result\":\"{:016x}\",\"notes\":{:?}}}",
            digest.0, meter.note
        );
        match all_wrong {
            0 => println!("{name}: PASS: {what}"),
            count => println!("{name}: FAIL: {count} errors: {what}"),
        }
    }
    if world.rank() == 0 && all_wrong != 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Numbers on the command line.
#[derive(Debug)]
pub struct Argument;

impl Argument {
    /// The argument at `position` (1 is the first), or `default` where there is none.
    ///
    /// # Errors
    /// With a message for the user if it is no number.
    pub fn at<T: FromStr>(position: usize, default: T) -> Result<T, String> {
        match std::env::args().nth(position) {
            Some(text) => text.parse().map_err(|_| format!("argument {position}, {text:?}, is not a number")),
            None => Ok(default),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_every_bit_and_on_the_order() {
        let of = |words: &[u64]| Digest::of(words.iter().copied());
        assert_eq!(of(&[1, 2]), of(&[1, 2]));
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        assert_ne!(of(&[0]), of(&[1 << 63]));
        // FNV-1a of nothing is its offset basis.
        assert_eq!(of(&[]), Digest(0xcbf2_9ce4_8422_2325));
    }

    #[test]
    fn communication_is_part_of_the_step() {
        let mut meter = Meter::start();
        for _ in 0..4 {
            meter.communicate(|| std::thread::sleep(Duration::from_millis(2)));
            meter.step();
        }
        let (step_us, communication_us) = meter.times_us();
        assert!(communication_us >= 2000.0 && step_us >= communication_us, "{step_us} {communication_us}");
    }
}
