//! What was measured, and its tables.

use std::fmt::Write;

use serde::Serialize;
use usb4_engine::Stats;
use usb4_link::{Address, HEADER_LEN, RailCounters, RailInfo};
use usb4_port::Port;

use super::side::WORDS;
use super::stream::Kind;
use crate::table;

/// All of it. Times are one way: half of a round trip.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    /// As `UCX_USB4_LINKS` has it; of a file its name.
    pub(super) links: String,
    #[serde(serialize_with = "as_text")]
    pub(super) here: Address,
    #[serde(serialize_with = "as_text")]
    pub(super) there: Address,
    /// Of all rails together, headers included; absent: one of them has no limit.
    pub(super) limit_bits_per_s: Option<u64>,
    /// Of the fastest rail, where the cable is simulated.
    pub(super) latency_us: Option<f64>,
    pub(super) ping: Vec<PingRow>,
    pub(super) one_way: Vec<BandwidthRow>,
    pub(super) both_ways: Vec<BandwidthRow>,
    pub(super) rails: Vec<RailRow>,
    pub(super) protocol_here: Protocol,
    /// Absent: the other side did not live to tell.
    pub(super) protocol_there: Option<Protocol>,
}

/// One size of messages there and back.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PingRow {
    size_bytes: usize,
    round_trips: usize,
    min_us: f64,
    median_us: f64,
    p99_us: f64,
}

/// One size of messages in a stream.
#[derive(Clone, Debug, Serialize)]
pub(super) struct BandwidthRow {
    size_bytes: usize,
    /// Payload in all directions.
    bytes: u64,
    seconds: f64,
    bytes_per_second: f64,
    /// What the rails leave for payload in frames of this size.
    limit_bytes_per_second: Option<f64>,
}

/// One rail during the whole run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RailRow {
    rail: usize,
    name: String,
    cable: u16,
    rate_gbps: Option<f64>,
    /// Bytes include frame headers and what was sent again.
    pub(super) sent_bytes: u64,
    /// Of all that was sent, 0 to 1.
    pub(super) share: f64,
    received_bytes: u64,
    /// Frames that did not arrive, as far as this side knows.
    dropped_frames: u64,
}

/// What the protocol had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Protocol {
    frames_sent: u64,
    retransmitted: u64,
    timeouts: u64,
    duplicates: u64,
}

fn as_text<S: serde::Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

impl Figures {
    pub(super) fn new(links: &str, here: Address, there: Address) -> Figures {
        // Of a file, the folder is nobody's business.
        let links = links.rsplit_once('/').map_or(links.to_owned(), |(_, name)| format!("sim:{name}"));
        Figures {
            links,
            here,
            there,
            limit_bits_per_s: None,
            latency_us: None,
            ping: Vec::new(),
            one_way: Vec::new(),
            both_ways: Vec::new(),
            rails: Vec::new(),
            protocol_here: Protocol::default(),
            protocol_there: None,
        }
    }

    /// For what is not to be kept.
    pub(super) fn scratch(other: &Figures) -> Figures {
        Figures::new(&other.links, other.here, other.there)
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("{}: {} to {}, {} rails", self.links, self.here, self.there, self.rails.len());
        let _ = match self.limit_bits_per_s.filter(|_| !self.rails.is_empty()) {
            Some(limit) => writeln!(text, ", together {:.1} Gb/s each way", limit as f64 / 1e9),
            None => writeln!(text, " without a limit of their own"),
        };
        if !self.ping.is_empty() {
            let mut table = table::new(["message", "one way: least", "median", "99 %", "round trips"]);
            for row in &self.ping {
                table.add_row([
                    table::bytes(row.size_bytes as u64),
                    format!("{:.2} us", row.min_us),
                    format!("{:.2} us", row.median_us),
                    format!("{:.2} us", row.p99_us),
                    row.round_trips.to_string(),
                ]);
            }
            let _ = writeln!(text, "\n{}", table.trim_fmt());
        }
        if !self.one_way.is_empty() || !self.both_ways.is_empty() {
            let _ = writeln!(text, "\n{}", self.bandwidth_table().trim_fmt());
        }
        let _ = writeln!(text, "\n{}", self.rail_table().trim_fmt());
        let _ = writeln!(text, "\n  here: {}", self.protocol_here.describe());
        let _ = match &self.protocol_there {
            Some(there) => writeln!(text, "  there: {}", there.describe()),
            None => writeln!(text, "  there: not told"),
        };
        text
    }

    fn bandwidth_table(&self) -> comfy_table::Table {
        let mut table = table::new(["message", "one way", "of the rails", "both ways", "of the rails"]);
        let mut sizes: Vec<usize> = self.one_way.iter().chain(&self.both_ways).map(|row| row.size_bytes).collect();
        sizes.sort_unstable();
        sizes.dedup();
        for size in sizes {
            let cells = [&self.one_way, &self.both_ways].map(|rows| {
                let row = rows.iter().find(|row| row.size_bytes == size);
                row.map_or_else(Default::default, BandwidthRow::cells)
            });
            table.add_row([vec![table::bytes(size as u64)], cells.concat()].concat());
        }
        table
    }

    fn rail_table(&self) -> comfy_table::Table {
        let mut table = table::new(["rail", "name", "rate", "sent", "share", "received", "dropped"]);
        for row in &self.rails {
            table.add_row([
                row.rail.to_string(),
                row.name.clone(),
                table::rate(row.rate_gbps),
                table::bytes(row.sent_bytes),
                format!("{:.1} %", row.share * 100.0),
                table::bytes(row.received_bytes),
                row.dropped_frames.to_string(),
            ]);
        }
        table
    }
}

impl PingRow {
    /// `one_way_ns` is not empty.
    pub(super) fn new(size_bytes: usize, mut one_way_ns: Vec<u64>) -> PingRow {
        one_way_ns.sort_unstable();
        let at = |share: f64| one_way_ns[((one_way_ns.len() - 1) as f64 * share).round() as usize] as f64 / 1e3;
        PingRow { size_bytes, round_trips: one_way_ns.len(), min_us: at(0.0), median_us: at(0.5), p99_us: at(0.99) }
    }
}

impl BandwidthRow {
    pub(super) fn new(size_bytes: usize, bytes: u64, seconds: f64, limit: Option<u64>, both: bool) -> BandwidthRow {
        let frames = Port::frames_for(size_bytes);
        let payload_share = size_bytes as f64 / (size_bytes + frames * HEADER_LEN) as f64;
        let directions = if both { 2.0 } else { 1.0 };
        BandwidthRow {
            size_bytes,
            bytes,
            seconds,
            bytes_per_second: bytes as f64 / seconds,
            limit_bytes_per_second: limit.map(|bits| bits as f64 / 8.0 * payload_share * directions),
        }
    }

    fn cells(&self) -> Vec<String> {
        let of_limit = self.limit_bytes_per_second.map(|limit| 100.0 * self.bytes_per_second / limit);
        vec![
            format!("{:.0} MB/s", self.bytes_per_second / 1e6),
            of_limit.map_or_else(String::new, |percent| format!("{percent:.1} %")),
        ]
    }
}

impl RailRow {
    /// What the rail carried between two looks; its share is still open.
    pub(super) fn new(info: &RailInfo, before: &RailCounters, now: &RailCounters) -> RailRow {
        let dropped =
            |counters: &RailCounters| counters.lost + counters.no_buffer + counters.unplugged + counters.malformed;
        RailRow {
            rail: info.id.index(),
            name: info.name.clone(),
            cable: info.cable,
            rate_gbps: info.rate_bits_per_s.map(|rate| rate as f64 / 1e9),
            sent_bytes: now.tx_bytes - before.tx_bytes,
            share: 0.0,
            received_bytes: now.rx_bytes - before.rx_bytes,
            dropped_frames: dropped(now) - dropped(before),
        }
    }
}

impl Protocol {
    pub(super) fn of(stats: &Stats) -> Protocol {
        Protocol {
            frames_sent: stats.frames_sent,
            retransmitted: stats.retransmitted,
            timeouts: stats.timeouts,
            duplicates: stats.duplicates,
        }
    }

    pub(super) fn words(&self) -> [u64; WORDS] {
        [self.frames_sent, self.retransmitted, self.timeouts, self.duplicates]
    }

    pub(super) fn from_words([frames_sent, retransmitted, timeouts, duplicates]: [u64; WORDS]) -> Protocol {
        Protocol { frames_sent, retransmitted, timeouts, duplicates }
    }

    fn describe(&self) -> String {
        let Protocol { frames_sent, retransmitted, timeouts, duplicates } = self;
        format!(
            "{frames_sent} frames sent, {retransmitted} sent again, {timeouts} timeouts, {duplicates} received twice"
        )
    }
}

impl Kind {
    pub(super) fn title(self) -> &'static str {
        match self {
            Kind::Ping => "ping",
            Kind::OneWay => "one way",
            Kind::BothWays => "both ways",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_samples() {
        let row = PingRow::new(8, (1..=1001).rev().map(|n| n * 1000).collect());
        assert_eq!((row.min_us, row.median_us, row.p99_us, row.round_trips), (1.0, 501.0, 991.0, 1001));
        let one = PingRow::new(8, vec![2500]);
        assert_eq!((one.min_us, one.median_us, one.p99_us), (2.5, 2.5, 2.5));
    }

    #[test]
    fn the_limit_leaves_out_headers() {
        // Whole frames: 4056 of 4096 bytes are payload.
        let row = BandwidthRow::new(4056 * 20, 1_000_000, 0.5, Some(8_000_000_000), false);
        assert_eq!(row.bytes_per_second, 2e6);
        let expected = 1e9 * 4056.0 / 4096.0;
        assert!((row.limit_bytes_per_second.unwrap() - expected).abs() < 1.0);
        let small = BandwidthRow::new(40, 1, 1.0, Some(16), true);
        assert_eq!(small.limit_bytes_per_second, Some(2.0), "half of two bytes a second, in both directions");
        assert_eq!(BandwidthRow::new(40, 1, 1.0, None, false).cells(), ["0 MB/s", ""]);
    }

    #[test]
    fn a_path_does_not_tell_its_folder() {
        let figures = Figures::new("sim:/home/somebody/lab.toml", Address::new(0, 1), Address::new(1, 1));
        assert_eq!(figures.links, "sim:lab.toml");
    }
}
