//! Plays random plans of the simulator until time is up or one fails.
//!
//!     cargo run -p usb4-engine --example soak -- --minutes 10 [--seed FIRST]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use usb4_engine::sim::{Plan, run};

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut minutes, mut first) = (1.0, 1 << 32);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match (name.as_str(), value.parse::<f64>(), value.parse::<u64>()) {
            ("--minutes", Ok(number), _) => minutes = number,
            ("--seed", _, Ok(number)) => first = number,
            _ => {
                eprintln!("usage: soak [--minutes N] [--seed FIRST]");
                return std::process::ExitCode::from(2);
            }
        }
    }
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let (next, failures) = (AtomicU64::new(first), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < end {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if let Err(violation) = run(&Plan::random(seed)) {
                        println!("{violation}");
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (played, failed) = (next.into_inner() - first, failures.into_inner());
    println!("{played} seeds from {first}: {failed} failed");
    if failed > 0 {
        println!("add each failing seed to ucx-usb4/engine/tests/regressions.txt with the fix");
    }
    std::process::ExitCode::from(u8::from(failed > 0))
}
