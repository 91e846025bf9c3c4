//! What the two sides do together, the same code on both: answer, and stream.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::BenchError;
use super::side::{Heard, PIECE_MAX, Say, Side, WORDS};

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    /// Bytes of a message.
    pub(super) size_bytes: usize,
    pub(super) duration: Duration,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
#[repr(u8)]
pub(crate) enum Kind {
    /// One message there and back, again and again
    Ping,
    /// Messages one way, as fast as they leave
    OneWay,
    /// The same in both directions at once
    BothWays,
}

impl Kind {
    /// All, in the order in which they are measured.
    pub(super) const ALL: [Kind; 3] = [Kind::Ping, Kind::OneWay, Kind::BothWays];
}

impl Plan {
    /// Bytes of a message: room for its number, and far beyond where anything changes.
    const SIZES: RangeInclusive<usize> = 8..=64 << 20;

    pub(super) fn words(&self) -> [u64; WORDS] {
        [self.kind as u64, self.size_bytes as u64, self.duration.as_nanos() as u64, 0]
    }

    /// The inverse; what the other side says is not trusted.
    pub(super) fn from_words(words: [u64; WORDS]) -> Result<Plan, BenchError> {
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u64 == words[0]);
        match (kind, usize::try_from(words[1])) {
            (Some(kind), Ok(size_bytes)) if Plan::SIZES.contains(&size_bytes) => {
                Ok(Plan { kind, size_bytes, duration: Duration::from_nanos(words[2].min(3_600_000_000_000)) })
            }
            _ => Err(BenchError::Misunderstood("a plan that makes no sense")),
        }
    }
}

/// Bytes of a message, as a user writes them: `8`, `4K`, `1M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(super) usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let (digits, factor) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
            Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
            _ => (text, 1),
        };
        let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
        bytes
            .filter(|bytes| Plan::SIZES.contains(bytes))
            .map(Size)
            .ok_or_else(|| "give 8 to 64M bytes, such as 4096 or 4K".to_owned())
    }
}

/// A message on its way out, piece by piece.
#[derive(Default)]
struct Outgoing {
    left_bytes: usize,
}

impl Side<'_> {
    /// Sends the next piece of a message; false: not now.
    fn advance(&mut self, outgoing: &mut Outgoing) -> Result<bool, BenchError> {
        // No piece may be shorter than its number.
        let piece = match outgoing.left_bytes {
            left if left > PIECE_MAX && left < PIECE_MAX + 8 => left - 8,
            left => left.min(PIECE_MAX),
        };
        let sent = self.send_piece(piece)?;
        if sent {
            outgoing.left_bytes -= piece;
        }
        Ok(sent)
    }

    /// Sends one message whole, and looks at what comes only when it must wait.
    pub(super) fn send_message(&mut self, size_bytes: usize) -> Result<(), BenchError> {
        let mut outgoing = Outgoing { left_bytes: size_bytes };
        while outgoing.left_bytes > 0 {
            if !self.advance(&mut outgoing)? && self.poll()?.is_some() {
                return Err(BenchError::Misunderstood("an answer before the question"));
            }
        }
        Ok(())
    }

    /// Waits for one message; the words of a [`Say::End`] that comes instead.
    pub(super) fn receive_message(&mut self, size_bytes: usize) -> Result<bool, BenchError> {
        let mut received = 0;
        while received < size_bytes {
            match self.poll()? {
                None => {}
                Some(Heard::Data { len_bytes }) => received += len_bytes,
                Some(Heard::Said(Say::End, _)) if received == 0 => return Ok(false),
                Some(_) => return Err(BenchError::Misunderstood("something else than data")),
            }
        }
        Ok(true)
    }

    /// Streams in one direction or both until each sender has sent for the plan's time and each receiver has all of it. Returns the
    /// bytes that this side has received.
    pub(super) fn stream(&mut self, plan: Plan, sends: bool, receives: bool) -> Result<u64, BenchError> {
        let started = Instant::now();
        let (mut outgoing, mut received, mut sent) = (Outgoing::default(), 0, 0);
        let (mut sending, mut unconfirmed, mut expecting) = (sends, sends, receives);
        while unconfirmed || expecting {
            if sending {
                if outgoing.left_bytes == 0 && started.elapsed() >= plan.duration {
                    self.say(Say::End, [sent, 0, 0, 0])?;
                    sending = false;
                } else {
                    if outgoing.left_bytes == 0 {
                        outgoing.left_bytes = plan.size_bytes;
                        sent += plan.size_bytes as u64;
                    }
                    if self.advance(&mut outgoing)? && !receives {
                        continue;
                    }
                }
            }
            match self.poll()? {
                None => {}
                Some(Heard::Data { len_bytes }) => received += len_bytes as u64,
                Some(Heard::Said(Say::End, [announced, ..])) if expecting => {
                    if announced != received {
                        return Err(BenchError::Misunderstood("bytes that never came"));
                    }
                    self.say(Say::Received, [received, 0, 0, 0])?;
                    expecting = false;
                }
                Some(Heard::Said(Say::Received, [theirs, ..])) if unconfirmed => {
                    if theirs != sent {
                        return Err(BenchError::Misunderstood("bytes that never arrived"));
                    }
                    unconfirmed = false;
                }
                Some(Heard::Said(..)) => return Err(BenchError::Misunderstood("words in the middle of a stream")),
            }
        }
        Ok(received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_the_trip_and_nonsense_does_not() {
        for kind in Kind::ALL {
            let plan = Plan { kind, size_bytes: 4096, duration: Duration::from_millis(500) };
            assert_eq!(Plan::from_words(plan.words()).unwrap(), plan);
        }
        assert_eq!("4K".parse(), Ok(Size(4096)));
        for wrong in ["", "7", "65M", "4G", "-1", "K"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        for words in [[9, 8, 1, 0], [0, 7, 1, 0], [0, u64::MAX, 1, 0]] {
            assert!(Plan::from_words(words).is_err(), "{words:?}");
        }
    }
}
