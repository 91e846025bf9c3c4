//! What an interface counted, as one line of JSON at its end (`UCX_USB4_STATS`): the proof that usb4 carried the bytes.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::json;

use usb4_port::Port;

/// What UCX asked for besides messages, by function: which of them a program's large messages took.
#[derive(Default)]
pub(crate) struct Requested {
    pub(crate) put_short: Tally,
    pub(crate) put_bcopy: Tally,
    pub(crate) put_zcopy: Tally,
    pub(crate) get_bcopy: Tally,
    pub(crate) get_zcopy: Tally,
    pub(crate) atomic_post: Tally,
    pub(crate) atomic_fetch: Tally,
}

impl Requested {
    /// All of them, by name.
    pub(crate) fn tallies(&self) -> [(&'static str, &Tally); 7] {
        [
            ("put_short", &self.put_short),
            ("put_bcopy", &self.put_bcopy),
            ("put_zcopy", &self.put_zcopy),
            ("get_bcopy", &self.get_bcopy),
            ("get_zcopy", &self.get_zcopy),
            ("atomic_post", &self.atomic_post),
            ("atomic_fetch", &self.atomic_fetch),
        ]
    }
}

/// Calls that were taken, and their bytes. One thread counts, any may read.
#[derive(Default)]
pub(crate) struct Tally {
    calls: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    /// One more call, of `len_bytes`.
    #[inline]
    pub(crate) fn add(&self, len_bytes: usize) {
        // No locked instruction: nobody else writes them.
        self.calls.store(self.calls() + 1, Relaxed);
        self.bytes.store(self.bytes() + len_bytes as u64, Relaxed);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

/// Appends the port's counters to the file. A failure is logged: the job's result does not depend on it.
pub(crate) fn append(path: &Path, port: &Port, requested: &Requested) {
    // One write of one line: several processes append to the same file.
    let line = format!("{}\n", describe(port, requested));
    let written =
        OpenOptions::new().create(true).append(true).open(path).and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        log::warn!("usb4: cannot write counters to UCX_USB4_STATS={}: {error}", path.display());
    }
}

fn describe(port: &Port, requested: &Requested) -> serde_json::Value {
    let counters = port.counters();
    let total = port.totals();
    let address = port.address().address;
    let sum =
        |field: fn(&usb4_link::RailCounters) -> u64| counters.rails.iter().map(|(_, rail)| field(rail)).sum::<u64>();
    let rails: Vec<_> = counters
        .rails
        .iter()
        .filter(|(_, rail)| rail.tx_frames + rail.rx_frames > 0)
        .map(|(id, rail)| {
            json!({
                "rail": id.to_string(),
                "tx_frames": rail.tx_frames, "tx_bytes": rail.tx_bytes,
                "rx_frames": rail.rx_frames, "rx_bytes": rail.rx_bytes,
                "lost": rail.lost, "no_buffer": rail.no_buffer, "unplugged": rail.unplugged,
                "duplicated": rail.duplicated, "malformed": rail.malformed,
            })
        })
        .collect();
    let tally =
        |(name, tally): (&str, &Tally)| (name.to_owned(), json!({ "calls": tally.calls(), "bytes": tally.bytes() }));
    let requested: serde_json::Map<_, _> = requested.tallies().into_iter().map(tally).collect();
    let ucx = ucx_sys::registered().map(|registered| registered.version().to_string());
    json!({
        "ucx": ucx, "node": address.node.0, "channel": address.channel.0, "pid": std::process::id(),
        "tx_frames": sum(|r| r.tx_frames), "tx_bytes": sum(|r| r.tx_bytes),
        "rx_frames": sum(|r| r.rx_frames), "rx_bytes": sum(|r| r.rx_bytes),
        "messages_sent": total.frames_sent, "payload_bytes_sent": total.bytes_sent,
        "messages_received": total.frames_received, "payload_bytes_received": total.bytes_received,
        "retransmits": total.retransmitted, "timeouts": total.timeouts, "duplicates": total.duplicates,
        "acks_sent": total.acks_sent, "reordered": total.reordered, "reorder_depth_max": total.reorder_depth_max,
        "credit_stalls": total.credit_stalls, "rail_stalls": total.rail_stalls,
        "wakeups_sent": counters.wakeups_sent, "sleeps": counters.sleeps,
        "rails": rails,
        "requested": requested,
    })
}
