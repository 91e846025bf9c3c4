//! Engines in virtual time, over rails that fail by plan. A failing seed is printed; `cargo run -p usb4-engine --example replay -- SEED` plays
//! it again. With the fix it goes into `regressions.txt`, for ever.

use std::sync::atomic::{AtomicU64, Ordering};

use usb4_engine::sim::{Plan, Report, run};

fn play(plan: &Plan) -> Report {
    run(plan).unwrap_or_else(|violation| panic!("{violation}"))
}

/// Plays random plans from `first` on, on every processor.
fn play_seeds(first: u64, count: u64) {
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    play(&Plan::random(seed));
                }
            });
        }
    });
}

#[test]
fn seeds_that_once_failed() {
    for line in include_str!("regressions.txt").lines().filter(|line| !line.starts_with('#')) {
        let seed = line.split_whitespace().next().and_then(|word| u64::from_str_radix(word, 16).ok());
        play(&Plan::random(seed.expect("a line is a hexadecimal seed and what it showed")));
    }
}

#[test]
fn two_thousand_random_plans() {
    play_seeds(0, 2000);
}

#[test]
fn the_same_plan_gives_the_same_report() {
    for seed in 0..20 {
        assert_eq!(play(&Plan::random(seed)), play(&Plan::random(seed)));
    }
}

#[test]
fn a_clean_pair_loses_nothing() {
    for rails in 1..=4 {
        let report = play(&Plan::pair(1, rails));
        assert_eq!(report.delivered, 400);
        assert_eq!(report.failed, 0);
        for totals in report.totals {
            assert_eq!((totals.found_lost, totals.duplicates, totals.timeouts), (0, 0, 0), "{rails} rails");
        }
    }
}
