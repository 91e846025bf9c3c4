//! The summary in the terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::limit;
use super::results::{Measured, Summary};
use super::variant::Variant;

/// One benchmark: medians and spread of each variant, ratios of ours to the peers, and the limits of the profiles.
pub(super) fn render(measured: &Measured, variants: &[Variant]) -> String {
    let pairs = ratio_pairs(variants);
    let limits: Vec<usize> = (0..variants.len()).filter(|&at| limit::of(measured, &variants[at]).is_some()).collect();

    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    let mut header = vec!["Size".to_owned()];
    for variant in variants {
        header.push(variant.label.clone());
        header.push("+-".to_owned());
    }
    header.extend(pairs.iter().map(|&(ours, peer)| format!("{} / {}", variants[ours].label, variants[peer].label)));
    header.extend(limits.iter().map(|&at| format!("limit {}", variants[at].label)));
    table.set_header(header);

    for &size in measured.sizes.keys() {
        let mut row = vec![size.map_or_else(String::new, |bytes| bytes.to_string())];
        for variant in 0..variants.len() {
            let summary = measured.summary(size, variant);
            row.push(summary.map_or_else(|| "-".to_owned(), |summary| value(summary.median)));
            row.push(summary.map_or_else(String::new, |summary| format!("{:.0} %", summary.spread_percent)));
        }
        row.extend(pairs.iter().map(|&(ours, peer)| {
            let ratio = ratio(measured.summary(size, ours), measured.summary(size, peer));
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
        }));
        row.extend(limits.iter().map(|&at| limit::of(measured, &variants[at]).map_or_else(|| "-".to_owned(), value)));
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let better = if measured.higher_is_better { "more is better" } else { "less is better" };
    format!("{}: {}, medians ({better})\n{table}\n", measured.benchmark.name, measured.heading)
}

/// Which variants are compared with which: each of ours with each peer, or the first with the others.
pub(super) fn ratio_pairs(variants: &[Variant]) -> Vec<(usize, usize)> {
    let ours: Vec<usize> = (0..variants.len()).filter(|&at| variants[at].ours).collect();
    let (ours, peers): (Vec<usize>, Vec<usize>) = if ours.is_empty() {
        (vec![0], (1..variants.len()).collect())
    } else {
        let peers = (0..variants.len()).filter(|at| !ours.contains(at)).collect();
        (ours, peers)
    };
    let comparable = |one: usize, peer: usize| match &variants[peer].c_tree {
        // A C benchmark is the peer of ours over the same transport, which precedes it.
        Some(_) => peer == one + 1,
        None => true,
    };
    let pairs = ours.iter().flat_map(|&one| peers.iter().map(move |&peer| (one, peer)));
    pairs.filter(|&(one, peer)| comparable(one, peer)).collect()
}

pub(super) fn ratio(ours: Option<Summary>, peer: Option<Summary>) -> Option<f64> {
    let ratio = ours?.median / peer?.median;
    ratio.is_finite().then_some(ratio)
}

/// Four digits, as far as a measurement carries them.
pub(super) fn value(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
