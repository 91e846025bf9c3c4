//! What an interface counted, as one line of JSON at its end (`UCX_USB4_STATS`): the proof that usb4 carried the bytes.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::port::Port;

/// Appends the port's counters to the file. A failure is logged: the job's result does not depend on it.
pub(crate) fn append(path: &Path, port: &Port) {
    // One write of one line: several processes append to the same file.
    let line = format!("{}\n", describe(port));
    let written =
        OpenOptions::new().create(true).append(true).open(path).and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        log::warn!("usb4: cannot write counters to UCX_USB4_STATS={}: {error}", path.display());
    }
}

fn describe(port: &Port) -> serde_json::Value {
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
    json!({
        "node": address.node.0, "channel": address.channel.0, "pid": std::process::id(),
        "tx_frames": sum(|r| r.tx_frames), "tx_bytes": sum(|r| r.tx_bytes),
        "rx_frames": sum(|r| r.rx_frames), "rx_bytes": sum(|r| r.rx_bytes),
        "messages_sent": total.frames_sent, "payload_bytes_sent": total.bytes_sent,
        "messages_received": total.frames_received, "payload_bytes_received": total.bytes_received,
        "retransmits": total.retransmitted, "timeouts": total.timeouts, "duplicates": total.duplicates,
        "acks_sent": total.acks_sent, "reordered": total.reordered, "reorder_depth_max": total.reorder_depth_max,
        "credit_stalls": total.credit_stalls, "rail_stalls": total.rail_stalls,
        "wakeups_sent": counters.wakeups_sent, "sleeps": counters.sleeps,
        "rails": rails,
    })
}
