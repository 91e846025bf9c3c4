//! The loss table is checked in; a change in it is a change in how the protocol behaves.

use usb4_engine::sim::loss;

#[test]
fn the_table_is_the_one_that_is_checked_in() {
    let rows = loss::table().unwrap_or_else(|violation| panic!("{violation}"));
    let known = include_str!("../../../docs/engine-loss.txt");
    assert_eq!(
        loss::text(&rows),
        known,
        "look at the change; if it is meant, run `cargo run -p usb4-engine --example loss_table`"
    );
    // One frame in a thousand may cost a tenth.
    for row in rows.iter().filter(|row| row.len_bytes >= 4056) {
        assert!(row.bandwidth[2] >= 0.9 * row.bandwidth[0], "{row:?}");
    }
}
