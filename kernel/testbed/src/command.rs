//! Commands to a running testbed: one JSON object per line over a Unix socket, one JSON object back.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use clap::{Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::adapter::LaneSpeed;
use crate::fabric::{Fabric, FabricError};
use crate::faults::FaultPlan;
use crate::memory::GuestMemory;
use crate::registers::Direction;

/// What a running testbed can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Subcommand)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Show hosts, cables, faults and counters as JSON
    Status,
    /// Pull a cable
    Unplug {
        /// Cable, from 0
        cable: usize,
    },
    /// Plug a cable in again
    Replug {
        /// Cable, from 0
        cable: usize,
    },
    /// Train a cable at another rate: the link goes down and up
    Speed {
        /// Cable, from 0
        cable: usize,
        /// Rate per lane
        #[arg(value_enum)]
        speed: Rate,
    },
    /// Lose, damage or delay frames on a cable; the plan replaces the one before, so no option at all ends all faults
    Fault {
        /// Cable, from 0
        cable: usize,
        /// Only frames that this host sends
        #[arg(long)]
        #[serde(default)]
        from: Option<usize>,
        /// What goes wrong.
        #[command(flatten)]
        #[serde(default)]
        plan: FaultPlan,
    },
    /// Stop a ring of an NHI, unseen by its driver
    Stall {
        /// Host, from 0
        host: usize,
        /// Direction, seen from the host
        #[arg(value_enum)]
        direction: RingDirection,
        /// Ring, from 0, which is the control ring
        ring: usize,
    },
    /// Let a stalled ring go on
    Resume {
        /// Host, from 0
        host: usize,
        /// Direction, seen from the host
        #[arg(value_enum)]
        direction: RingDirection,
        /// Ring, from 0, which is the control ring
        ring: usize,
    },
    /// Cut a host's power: peers see an unplug, its own registers read all ones
    HostDown {
        /// Host, from 0
        host: usize,
    },
    /// Restore a host's power: its NHI and router start over
    HostUp {
        /// Host, from 0
        host: usize,
    },
    /// End the testbed process
    Quit,
}

/// Rate per lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum Rate {
    /// Gen 2.
    #[value(name = "10G")]
    #[serde(rename = "10G")]
    TenGbps,
    /// Gen 3.
    #[value(name = "20G")]
    #[serde(rename = "20G")]
    TwentyGbps,
}

/// Direction of a ring, seen from its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RingDirection {
    /// Transmit.
    Tx,
    /// Receive.
    Rx,
}

impl From<RingDirection> for Direction {
    fn from(direction: RingDirection) -> Direction {
        match direction {
            RingDirection::Tx => Direction::Transmit,
            RingDirection::Rx => Direction::Receive,
        }
    }
}

/// Why a command was not carried out.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The testbed refused it.
    #[error("{0}")]
    Refused(String),
    /// The testbed cannot be reached.
    #[error(
        "no testbed answers at {path}: {source}; start one with `usb4-testbed serve`, or name its socket with --socket"
    )]
    Connect {
        /// The control socket.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The connection broke, or the answer is not one.
    #[error("the testbed's answer cannot be read ({0}): it ended, or is of another version")]
    Answer(#[source] io::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Ok(Value),
    Error(String),
}

/// Carries out `command`. [`Command::Quit`] changes nothing: ending the process is the caller's.
///
/// # Errors
/// [`FabricError`] when host, cable or ring do not exist.
pub fn execute<M: GuestMemory + Default>(
    fabric: &mut Fabric<M>,
    command: &Command,
    now_ns: u64,
) -> Result<Value, FabricError> {
    match *command {
        Command::Status => return Ok(serde_json::to_value(fabric.status()).unwrap_or_default()),
        Command::Unplug { cable } => fabric.set_plugged(cable, false, now_ns)?,
        Command::Replug { cable } => fabric.set_plugged(cable, true, now_ns)?,
        Command::Speed { cable, speed } => {
            let speed = match speed {
                Rate::TenGbps => LaneSpeed::Gen2,
                Rate::TwentyGbps => LaneSpeed::Gen3,
            };
            fabric.set_speed(cable, speed, now_ns)?;
        }
        Command::Fault { cable, from, ref plan } => fabric.set_faults(cable, from, plan)?,
        Command::Stall { host, direction, ring } => fabric.set_stalled(host, direction.into(), ring, true, now_ns)?,
        Command::Resume { host, direction, ring } => fabric.set_stalled(host, direction.into(), ring, false, now_ns)?,
        Command::HostDown { host } => fabric.set_power(host, false, now_ns)?,
        Command::HostUp { host } => fabric.set_power(host, true, now_ns)?,
        Command::Quit => {}
    }
    Ok(Value::Null)
}

/// Answers one line of a client: `run` carries out what it says.
pub fn answer(line: &str, run: impl FnOnce(&Command) -> Result<Value, FabricError>) -> String {
    let answer = match serde_json::from_str(line) {
        Ok(command) => run(&command).map_or_else(|error| Answer::Error(error.to_string()), Answer::Ok),
        Err(error) => Answer::Error(format!("this is no command: {error}; `usb4-testbed ctl --help` lists them")),
    };
    serde_json::to_string(&answer).unwrap_or_default()
}

/// Sends one command to the testbed whose control socket is at `path`, and waits for its answer.
///
/// # Errors
/// [`CommandError`].
pub fn send(path: &Path, command: &Command) -> Result<Value, CommandError> {
    let connect = |source| CommandError::Connect { path: path.display().to_string(), source };
    let mut stream = UnixStream::connect(path).map_err(connect)?;
    let mut line = serde_json::to_string(command).map_err(|error| CommandError::Answer(error.into()))?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(CommandError::Answer)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(CommandError::Answer)?;
    match serde_json::from_str(&answer).map_err(|error| CommandError::Answer(error.into()))? {
        Answer::Ok(value) => Ok(value),
        Answer::Error(text) => Err(CommandError::Refused(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MockMemory;

    fn run(fabric: &mut Fabric<MockMemory>, line: &str) -> String {
        answer(line, |command| execute(fabric, command, 0))
    }

    #[test]
    fn lines_are_carried_out_and_answered() {
        let mut fabric = Fabric::new(&"pair".parse().expect("known"));
        fabric.attach(0, 0);
        fabric.attach(1, 0);
        assert!(fabric.status().cables[0].up);
        assert_eq!(run(&mut fabric, r#"{"command":"unplug","cable":0}"#), r#"{"ok":null}"#);
        assert!(!fabric.status().cables[0].up);
        assert_eq!(run(&mut fabric, r#"{"command":"replug","cable":0}"#), r#"{"ok":null}"#);
        assert_eq!(run(&mut fabric, r#"{"command":"speed","cable":0,"speed":"10G"}"#), r#"{"ok":null}"#);
        let status = fabric.status();
        assert!(status.cables[0].up && status.cables[0].speed == LaneSpeed::Gen2);
        run(&mut fabric, r#"{"command":"fault","cable":0,"from":1,"plan":{"drop_ppm":5}}"#);
        assert_eq!(fabric.status().cables[0].faults.clone().map(|plan| plan.drop_ppm), [0, 5]);
        run(&mut fabric, r#"{"command":"host-down","host":1}"#);
        assert!(!fabric.status().cables[0].up);
        assert!(run(&mut fabric, r#"{"command":"status"}"#).contains("\"powered\":false"));
    }

    #[test]
    fn what_cannot_be_done_is_refused_in_words() {
        let mut fabric = Fabric::new(&"pair".parse().expect("known"));
        for (line, words) in [
            (r#"{"command":"unplug","cable":1}"#, "no cable 1"),
            (r#"{"command":"host-up","host":2}"#, "no host 2"),
            (r#"{"command":"stall","host":0,"direction":"rx","ring":12}"#, "rings 0 to 11"),
            (r#"{"command":"fault","cable":0,"from":7}"#, "at no end"),
            (r#"{"command":"dance"}"#, "no command"),
            ("", "no command"),
        ] {
            let answer = run(&mut fabric, line);
            assert!(answer.starts_with(r#"{"error":"#) && answer.contains(words), "{line}: {answer}");
        }
    }
}
