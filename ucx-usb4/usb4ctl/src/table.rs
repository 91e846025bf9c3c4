//! Tables and amounts for people.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A table without lines, its first column to the left and all others to the right.
pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(headings);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(if index == 0 { CellAlignment::Left } else { CellAlignment::Right });
        column.set_padding((if index == 0 { 2 } else { 1 }, 1));
    }
    table
}

/// Bytes in the unit that leaves one to four digits.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = count as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

/// A rate in Gb/s, or that there is no limit.
pub(crate) fn rate(gbps: Option<f64>) -> String {
    gbps.map_or_else(|| "no limit".to_owned(), |gbps| format!("{gbps} Gb/s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_a_fitting_unit() {
        let cases =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (u64::MAX, "16777216.0 TiB")];
        for (count, expected) in cases {
            assert_eq!(bytes(count), expected);
        }
        assert_eq!((rate(Some(13.0)), rate(None)), ("13 Gb/s".to_owned(), "no limit".to_owned()));
    }
}
