//! The settings of the transport (`UCX_USB4_*`), through UCX's own configuration table: `ucx_info -cf` shows them.

use std::path::PathBuf;
use std::time::Duration;

use ucx_sys::config::{Amount, BaseIfaceConfig, Field, MemUnits, Seconds, Text};
use ucx_sys::field;
use usb4_engine::Timeouts;
use usb4_link::kernel::UnknownReceiveMode;
use usb4_link::{LinkSpec, OpenError};
use usb4_wire::{PAYLOAD_MAX, RailId, RailSet};

use usb4_port::{MAX_MESSAGE, Options, Port};

use crate::on_failure::{OnFailure, UnknownOnFailure};

/// Least absence that means anything: a program that polls may lose its processor for so long.
const ABSENCE_MIN: Duration = Duration::from_micros(100);

/// What UCX parses for the memory domain: which cables there are decides whether there is a device.
#[repr(C)]
pub(crate) struct MdConfig {
    links: Text,
}

/// What UCX parses for an interface.
#[repr(C)]
pub(crate) struct Config {
    base: BaseIfaceConfig,
    rails: Text,
    seg_size: MemUnits,
    tx_frames: u32,
    rx_frames: u32,
    receive: Text,
    window: u32,
    peer_timeout: Seconds,
    replug_timeout: Seconds,
    keepalive: Seconds,
    async_interval: Seconds,
    on_failure: Text,
    stats: Text,
    trace: Text,
}

/// The memory domain's names, defaults and help.
pub(crate) const MD_FIELDS: &[Field] = &[
    field!(
        MdConfig,
        links,
        c"LINKS",
        c"auto",
        c"Which cables to use:\n auto, kernel     - the node's USB4 cables, through /dev/usb4dma.\n sim:PROFILE      - a simulated cable on this machine: ideal, strix-halo, usb4-40g or usb4-80g.\n sim:/path.toml   - a simulated fabric that a file describes."
    ),
];

/// The interface's names, defaults and help.
pub(crate) const FIELDS: &[Field] = &[
    Field::base(),
    field!(
        Config,
        rails,
        c"RAILS",
        c"all",
        c"Rails to send on: all, or a comma-separated list of the numbers that usb4ctl status shows."
    ),
    field!(
        Config,
        seg_size,
        c"SEG_SIZE",
        c"auto",
        c"Longest buffered or zero-copy active message. One frame (4056 bytes) avoids a copy at the receiver."
    ),
    field!(Config, tx_frames, c"TX_FRAMES", c"1024", c"Frames of 4 KiB in the transmit pool of one interface."),
    field!(
        Config,
        rx_frames,
        c"RX_FRAMES",
        c"960",
        c"Frames of 4 KiB in the receive pool of one interface, on /dev/usb4dma. They and the transmit pool count against the\nlimit for locked memory (ulimit -l)."
    ),
    field!(
        Config,
        receive,
        c"RECEIVE",
        c"auto",
        c"How a process that is awake learns of frames, on /dev/usb4dma:\n poll - it looks at the hardware's rings itself, a system call for each look: the lowest latency.\n ring - it looks at its own ring in memory, which the kernel fills after an interrupt: no system calls, but the\n        interrupt's delay and a context switch.\n auto - poll while frames come and go, ring after a silence."
    ),
    field!(Config, window, c"WINDOW", c"256", c"Most unacknowledged frames of one connection."),
    field!(
        Config,
        peer_timeout,
        c"PEER_TIMEOUT",
        c"30m",
        c"How long a peer that does not answer is waited for. A process that has ended and a host that is gone are noticed at\nonce. With UCX_USB4_ASYNC_INTERVAL=0 a peer answers only when it calls UCX, so this must be longer than it computes\nbetween two calls."
    ),
    field!(
        Config,
        replug_timeout,
        c"REPLUG_TIMEOUT",
        c"10s",
        c"How long a connection waits for a cable when all are unplugged."
    ),
    field!(
        Config,
        keepalive,
        c"KEEPALIVE",
        c"0",
        c"Silence after which an idle peer is asked whether it lives; 0 never asks."
    ),
    field!(
        Config,
        async_interval,
        c"ASYNC_INTERVAL",
        c"10ms",
        c"After this time without a call of UCX's progress, a thread serves the peers' puts, gets and atomics, acknowledges and\nrepeats, until the program calls UCX again; 0: no thread, and peers wait for the next call."
    ),
    field!(
        Config,
        on_failure,
        c"ON_FAILURE",
        c"auto",
        c"What becomes of a program that has lost a peer:\n end  - it ends, with a message.\n tell - it goes on; UCX is told.\n auto - it ends if it does not handle errors, since it would wait for ever. UCX 1.22 does not say who does: there it\n        ends if an MPI launcher started it."
    ),
    field!(
        Config,
        stats,
        c"STATS",
        c"",
        c"File to which each interface appends its counters when it is closed, one line of JSON each."
    ),
    field!(
        Config,
        trace,
        c"TRACE",
        c"",
        c"Records the header of each frame, sent or received, into a file of each interface whose name begins so:\n.PID-CHANNEL.pcap is added. usb4ctl trace and Wireshark read it. Up to 256 MiB each."
    ),
];

/// The settings in this crate's terms.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// For the port.
    pub(crate) port: Options,
    /// Longest buffered or zero-copy message, bytes.
    pub(crate) seg_size: usize,
    /// Absence of the program after which its peers are served by a thread; `None`: there is none.
    pub(crate) async_interval: Option<Duration>,
    /// What becomes of a program that has lost a peer.
    pub(crate) on_failure: OnFailure,
    /// Where the counters go at the end.
    pub(crate) stats: Option<PathBuf>,
}

/// A setting that UCX's parser took and that still means nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Links(#[from] OpenError),
    #[error("UCX_USB4_RAILS={0} is not understood; use all, or rail numbers from 0 to 30 separated by commas")]
    Rails(String),
    #[error("UCX_USB4_RECEIVE: {0}")]
    Receive(#[from] UnknownReceiveMode),
    #[error("UCX_USB4_ON_FAILURE={0}")]
    OnFailure(#[from] UnknownOnFailure),
    #[error("UCX_USB4_{name} is not valid UTF-8")]
    Text { name: &'static str },
}

impl MdConfig {
    /// The cables that the user names.
    pub(crate) fn links(&self) -> Result<LinkSpec, SettingsError> {
        Ok(text(&self.links, "LINKS")?.parse()?)
    }
}

impl Config {
    /// Checks what UCX parsed.
    pub(crate) fn settings(&self, links: LinkSpec) -> Result<Settings, SettingsError> {
        let seg_size = match self.seg_size.amount() {
            Amount::Auto => PAYLOAD_MAX,
            Amount::Infinite => MAX_MESSAGE,
            Amount::Bytes(bytes) => bytes.clamp(PAYLOAD_MAX, MAX_MESSAGE),
        };
        let stats = text(&self.stats, "STATS")?;
        let port = Options {
            links,
            node: None,
            rails: parse_rails(text(&self.rails, "RAILS")?)?,
            tx_frames: self.tx_frames.max(64) as usize,
            rx_frames: self.rx_frames as usize,
            message_frames: Port::frames_for(seg_size),
            receive: text(&self.receive, "RECEIVE")?.parse()?,
            window: u16::try_from(self.window).unwrap_or(u16::MAX),
            timeouts: Timeouts {
                peer_ns: nanoseconds(self.peer_timeout),
                replug_ns: nanoseconds(self.replug_timeout),
                keepalive_ns: Some(nanoseconds(self.keepalive)).filter(|&ns| ns > 0),
                ..Timeouts::default()
            },
            trace: Some(text(&self.trace, "TRACE")?).filter(|prefix| !prefix.is_empty()).map(Into::into),
        };
        let on_failure = text(&self.on_failure, "ON_FAILURE")?.parse()?;
        let async_interval = absence(self.async_interval);
        Ok(Settings { port, seg_size, async_interval, on_failure, stats: (!stats.is_empty()).then(|| stats.into()) })
    }
}

fn text<'a>(text: &'a Text, name: &'static str) -> Result<&'a str, SettingsError> {
    text.as_c_str().to_str().map_err(|_| SettingsError::Text { name })
}

/// `all`, or numbers with commas.
fn parse_rails(text: &str) -> Result<RailSet, SettingsError> {
    if text.trim() == "all" {
        return Ok(RailSet::ALL);
    }
    let number = |word: &str| word.trim().parse().ok().and_then(RailId::new).filter(|&rail| rail != RailId::LOOPBACK);
    let rails: Option<RailSet> = text.split(',').map(number).collect();
    // Peers on this node are reached whatever the cables are.
    rails.map(|rails| rails.or(RailSet::LOOPBACK)).ok_or_else(|| SettingsError::Rails(text.to_owned()))
}

fn nanoseconds(time: Seconds) -> u64 {
    // As casts saturate, `inf` waits for 584 years.
    (time.0 * 1e9) as u64
}

/// Not so short that the thread would only look at the clock.
fn absence(interval: Seconds) -> Option<Duration> {
    (interval.0 > 0.0 && interval.0.is_finite()).then(|| Duration::from_nanos(nanoseconds(interval)).max(ABSENCE_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rails_are_all_or_a_list() {
        assert_eq!(parse_rails("all").unwrap(), RailSet::ALL);
        assert_eq!(parse_rails(" 0, 2").unwrap(), RailSet::from_bits(0x8000_0005));
        for wrong in ["", "one", "31", "32", "0,,1"] {
            let message = parse_rails(wrong).unwrap_err().to_string();
            assert!(message.contains("UCX_USB4_RAILS=") && message.contains("all"), "{message}");
        }
    }

    #[test]
    fn times_saturate() {
        assert_eq!(nanoseconds(Seconds(1.5)), 1_500_000_000);
        assert_eq!(nanoseconds(Seconds(f64::INFINITY)), u64::MAX);
        assert_eq!(nanoseconds(Seconds(-1.0)), 0);
    }

    #[test]
    fn no_thread_for_an_interval_that_never_ends_or_is_none() {
        for none in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            assert_eq!(absence(Seconds(none)), None);
        }
        assert_eq!(absence(Seconds(0.01)), Some(Duration::from_millis(10)));
        assert_eq!(absence(Seconds(1e-9)), Some(ABSENCE_MIN));
    }
}
