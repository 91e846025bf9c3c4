//! The table at an example's end.

use comfy_table::{CellAlignment, Table, presets};

use super::job::Outcome;

/// One row for each transport.
pub(super) fn render(outcomes: &[(String, Outcome)]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["transport", "steps", "step", "communication", "share", "over cables", "result", "notes"]);
    for (label, Outcome { measured, traffic }) in outcomes {
        let share = 100.0 * measured.communication_us / measured.step_us.max(f64::MIN_POSITIVE);
        let carried = if traffic.cable_bytes == 0 { "-".to_owned() } else { bytes(traffic.cable_bytes) };
        table.add_row([
            label.clone(),
            measured.steps.to_string(),
            time(measured.step_us),
            time(measured.communication_us),
            format!("{share:.0} %"),
            carried,
            measured.result.clone(),
            measured.notes.clone(),
        ]);
    }
    for column in 1..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

fn time(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.1} us"),
        us if us < 1e6 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

fn bytes(count: u64) -> String {
    match count as f64 {
        count if count < 1e6 => format!("{:.1} kB", count / 1e3),
        count if count < 1e9 => format!("{:.1} MB", count / 1e6),
        count => format!("{:.2} GB", count / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit_the_number() {
        assert_eq!([time(12.34), time(12_340.0), time(12_340_000.0)], ["12.3 us", "12.34 ms", "12.34 s"]);
        assert_eq!([bytes(1_500), bytes(2_500_000), bytes(3_450_000_000)], ["1.5 kB", "2.5 MB", "3.45 GB"]);
    }
}
