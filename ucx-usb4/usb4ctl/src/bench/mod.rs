//! `usb4ctl bench`: what the cables and the protocol on them do, without UCX and without MPI.
//!
//! Two processes, each with a port of its own ([`side`]). One measures and says what comes next ([`measure`]), the other answers
//! ([`listen`]). How they find each other: [`other`]. The figures and their tables: [`figures`].

mod figures;
mod listen;
mod measure;
mod other;
mod report;
mod side;
mod stream;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use usb4_engine::{Failure, Timeouts};
use usb4_link::{LinkSpec, OpenError};
use usb4_port::{ConnectFailure, Options};

use crate::cli::BenchArgs;
use crate::out;

pub(crate) use other::Token;
pub(crate) use stream::{Kind, Size};

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 128 + SIGINT as u8;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The port cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No way leads to the other side.
    #[error(transparent)]
    Connect(#[from] ConnectFailure),
    /// The other side has gone, or never was there.
    #[error("the other side is lost: {0}; start `usb4ctl bench --listen` there again, and give its new address")]
    Lost(Failure),
    /// The address belongs to other cables.
    #[error(
        "the other side is on other cables (fabric {theirs:016x}, here {ours:016x}): give both the same UCX_USB4_LINKS"
    )]
    OtherFabric {
        /// Where it is.
        theirs: u64,
        /// Where this side is.
        ours: u64,
    },
    /// The cables are real, and nobody was named to talk to.
    #[error(
        "name the other host: `usb4ctl bench --host NAME` starts the other side there through ssh; or run `usb4ctl bench --listen` \
         there, and here what it prints"
    )]
    NoPeer,
    /// The other side did not start.
    #[error("the other side did not start: {0}")]
    NotStarted(String),
    /// A message came twice, late or not at all: the protocol failed at its one task.
    #[error("message {found} came where {expected} was due: this is a fault in ucx-usb4, please report it")]
    Disorder {
        /// The number due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The two sides do not understand each other.
    #[error("the other side says something else than expected ({0}): install the same ucx-usb4 release on both hosts")]
    Misunderstood(&'static str),
    /// The other side is done.
    #[error("the other side has ended the measurement")]
    Left,
    /// The user has seen enough.
    #[error("interrupted")]
    Interrupted,
}

/// Measures, or listens.
pub(crate) fn run(arguments: &BenchArgs) -> anyhow::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // What the terminal sends to both sides is this side's to answer, where it has started the other.
        let flag = if arguments.attached { Arc::default() } else { Arc::clone(&stop) };
        signal_hook::flag::register(signal, flag)?;
    }
    let links: LinkSpec = arguments.links.parse()?;
    let done = if arguments.listen {
        listen::run(links, arguments.attached, &stop).map_err(anyhow::Error::from)
    } else {
        measure_and_print(arguments, links, &stop)
    };
    match done {
        Err(error) if matches!(error.downcast_ref(), Some(BenchError::Interrupted)) => Ok(ExitCode::from(INTERRUPTED)),
        done => done.map(|()| ExitCode::SUCCESS),
    }
}

/// Prints what was measured, also when it ended early.
fn measure_and_print(arguments: &BenchArgs, links: LinkSpec, stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    if let Some(path) = &arguments.report {
        report::check(path)?;
    }
    let (figures, ended) = measure::run(arguments, links, stop)?;
    if arguments.json {
        out::json(&figures)?;
    } else {
        out::text(figures.describe())?;
    }
    if let (Some(path), Ok(())) = (&arguments.report, &ended) {
        report::write(path, &figures)?;
        eprintln!(
            "usb4ctl: {} holds the figures and the machine's description; look at it before you share it",
            path.display()
        );
    }
    Ok(ended?)
}

/// A port that gives up sooner than a job's would, and notices a peer that dies while nothing is under way.
fn options(links: LinkSpec) -> Options {
    const SECOND_NS: u64 = 1_000_000_000;
    let timeouts = Timeouts { peer_ns: 5 * SECOND_NS, keepalive_ns: Some(SECOND_NS), ..Timeouts::default() };
    Options { message_frames: usb4_port::MAX_MESSAGE_FRAMES, timeouts, ..Options::new(links) }
}
