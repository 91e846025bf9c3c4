//! How bandwidth stands up to loss: the table that is checked in, and the figure drawn from it.

use std::fmt::Write;

use super::{Cable, Plan, Violation, Work, run};

/// Probabilities that a frame is lost.
pub const LOSSES: [f64; 5] = [0.0, 0.0001, 0.001, 0.01, 0.1];
/// Lengths of messages in bytes: the smallest, one frame, and many.
pub const LENGTHS: [usize; 4] = [8, 1024, 4056, 60_000];

/// One length of message at every loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Length of the messages in bytes.
    pub len_bytes: usize,
    /// Bandwidth of messages in bytes per microsecond, for each of [`LOSSES`].
    pub bandwidth: Vec<f64>,
}

/// Two nodes joined as two Strix Halos are: two cables of two rails at 13 Gb/s and 5.5 us; one process streams to the other.
fn plan(len_bytes: usize, loss: f64) -> Plan {
    let messages = (24_000_000 / len_bytes).min(20_000) as u32;
    let mut plan = Plan {
        cables: vec![Cable::uniform(0, 1, 2, 615, 5_500), Cable::uniform(0, 1, 2, 615, 5_500)],
        work: Work {
            messages,
            message_len_min: len_bytes,
            message_len_max: len_bytes,
            operations: 0,
            operation_len_max: 0,
            workers: 1,
            peers: 1,
            pause_ns: 0,
        },
        ..Plan::pair(11, 1)
    };
    plan.faults.loss = loss;
    plan
}

/// Plays every cell of the table.
///
/// # Errors
/// What the oracle found wrong in one of them.
pub fn table() -> Result<Vec<Row>, Violation> {
    let bandwidth = |len_bytes, loss| {
        run(&plan(len_bytes, loss)).map(|report| report.totals[0].bytes_sent as f64 * 1e3 / report.work_ns as f64)
    };
    let row = |&len_bytes: &usize| {
        let cells = LOSSES.iter().map(|&loss| bandwidth(len_bytes, loss));
        Ok(Row { len_bytes, bandwidth: cells.collect::<Result<_, _>>()? })
    };
    LENGTHS.iter().map(row).collect()
}

/// The table as text.
pub fn text(rows: &[Row]) -> String {
    let mut text = String::from(
        "Bandwidth of messages in MB/s, and its share of the loss-free one. Four rails at 13 Gb/s, virtual time.\n\n",
    );
    let _ = write!(text, "{:>10}", "bytes");
    for loss in LOSSES {
        let _ = write!(text, "{:>16}", format!("{} % lost", loss * 100.0));
    }
    text.push('\n');
    for row in rows {
        let _ = write!(text, "{:>10}", row.len_bytes);
        for bandwidth in &row.bandwidth {
            let _ = write!(text, "{bandwidth:>9.0} {:>4.0} %", 100.0 * bandwidth / row.bandwidth[0]);
        }
        text.push('\n');
    }
    text
}
