//! What UCX's virtual file system (`ucx_vfs`) shows in an interface's directory.
//!
//! UCX asks on a thread of its own, at any time. So nothing here touches an interface: each leaves what may be read by any thread in a
//! table while it is open, and is found there by its name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ucx_sys::{IfaceId, VfsFile};
use usb4_link::{ConnectionStats, RailCounters, RailId};
use usb4_port::Observer;

use crate::stats::Requested;

/// The files, in each interface's directory.
pub(crate) const FILES: &[VfsFile] = &[
    VfsFile { path: c"usb4/connections", read: |iface| read(iface, connections) },
    VfsFile { path: c"usb4/rails", read: |iface| read(iface, rails) },
    VfsFile { path: c"usb4/requested", read: |iface| read(iface, requested) },
];

/// What an interface shows.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) observer: Observer,
    pub(crate) requested: Arc<Requested>,
}

static OPEN: Mutex<BTreeMap<IfaceId, Shown>> = Mutex::new(BTreeMap::new());

/// From now on the interface is shown.
pub(crate) fn show(iface: IfaceId, shown: Shown) {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).insert(iface, shown);
}

/// And from now on no more.
pub(crate) fn hide(iface: IfaceId) {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&iface);
}

fn read(iface: IfaceId, write: fn(&Shown) -> String) -> String {
    let shown = OPEN.lock().unwrap_or_else(PoisonError::into_inner).get(&iface).cloned();
    shown.as_ref().map(write).unwrap_or_default()
}

fn connections(shown: &Shown) -> String {
    let row = |c: ConnectionStats| {
        let numbers = [
            c.tx_frames,
            c.tx_bytes,
            c.rx_frames,
            c.rx_bytes,
            c.retransmissions,
            c.timeouts,
            c.duplicates,
            c.reordered,
            c.reorder_depth_max,
            c.credit_stalls,
            c.in_flight,
            c.rtt_ns,
        ];
        (format!("{} {}", c.peer, c.state), numbers)
    };
    let columns = [
        "tx_frames",
        "tx_bytes",
        "rx_frames",
        "rx_bytes",
        "retransmissions",
        "timeouts",
        "duplicates",
        "reordered",
        "reorder_depth_max",
        "credit_stalls",
        "in_flight",
        "rtt_ns",
    ];
    table("peer state", columns, shown.observer.connections().into_iter().map(row))
}

fn rails(shown: &Shown) -> String {
    let row = |(id, r): (RailId, RailCounters)| {
        let name = if id == RailId::LOOPBACK { id.to_string() } else { id.index().to_string() };
        let numbers = [
            r.tx_frames,
            r.tx_bytes,
            r.rx_frames,
            r.rx_bytes,
            r.lost,
            r.no_buffer,
            r.unplugged,
            r.duplicated,
            r.malformed,
        ];
        (name, numbers)
    };
    let columns =
        ["tx_frames", "tx_bytes", "rx_frames", "rx_bytes", "lost", "no_buffer", "unplugged", "duplicated", "malformed"];
    table("rail", columns, shown.observer.counters().rails.into_iter().map(row))
}

fn requested(shown: &Shown) -> String {
    let rows = shown.requested.tallies().map(|(name, tally)| (name.to_owned(), [tally.calls(), tally.bytes()]));
    table("operation", ["calls", "bytes"], rows)
}

/// Lines of words. The columns have fixed widths: a reader first asks for the length, and the numbers must not outgrow it meanwhile.
fn table<const N: usize>(
    heading: &str,
    columns: [&str; N],
    rows: impl IntoIterator<Item = (String, [u64; N])>,
) -> String {
    let line = |name: &str, cells: [String; N]| -> String {
        let cells = cells.iter().zip(columns).map(|(cell, column)| format!(" {cell:>0$}", column.len().max(14)));
        format!("{name:<24}") + &cells.collect::<String>() + "\n"
    };
    let rows = rows.into_iter().map(|(name, numbers)| line(&name, numbers.map(|number| number.to_string())));
    line(heading, columns.map(str::to_owned)) + &rows.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_its_length_while_its_numbers_grow() {
        let table = |number| table("rail", ["lost", "a_long_name_of_a_column"], [("loopback".to_owned(), [number, 1])]);
        assert_eq!(table(0).len(), table(10_u64.pow(13)).len());
        let words: Vec<_> = table(7).lines().map(|line| line.split_whitespace().count()).collect();
        assert_eq!(words, [3, 3]);
    }

    #[test]
    fn an_interface_that_is_closed_or_never_was_shows_nothing() {
        let nobody = IfaceId::of(std::ptr::null());
        assert!(FILES.iter().all(|file| (file.read)(nobody).is_empty()));
    }
}
