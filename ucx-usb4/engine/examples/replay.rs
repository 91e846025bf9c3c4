//! Plays one seed of the simulator and prints what happened.

use usb4_engine::sim::{Plan, run};

fn main() {
    let seed = std::env::args().nth(1).unwrap_or_default();
    let seed = seed.strip_prefix("0x").map_or_else(|| seed.parse(), |hex| u64::from_str_radix(hex, 16));
    let plan = Plan::random(seed.expect("usage: replay SEED"));
    println!("{plan:#?}");
    match run(&plan) {
        Ok(report) => println!("{report:#?}"),
        Err(violation) => println!("{violation}"),
    }
}
