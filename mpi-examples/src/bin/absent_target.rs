//! One-sided communication with a target that computes: it calls no MPI until the others have finished with its memory.
//!
//! `mpirun -n RANKS absent_target [WORDS [ADDITIONS]]`: two ranks or more (default 500000 words of 8 bytes, 100 additions). Every other rank
//! puts a block into rank 0's memory, adds to a counter there (fetch and add), gets its block back and checks it; then it reports in a
//! word that rank 0 looks at without calling MPI. Rank 0 comes back when all have reported: over a transport that serves a peer only
//! inside calls of MPI's it never would, and gives up after a minute. Under MPICH, which asks the target's MPI library for atomics, ADDITIONS
//! must be 0.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use mpi::traits::{Communicator, CommunicatorCollectives};
use mpi_examples::{Argument, Digest, Meter, Window, finish};

/// When the target gives up. Nothing depends on how long it really takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let universe = mpi::initialize().expect("MPI starts once in a process");
    let world = universe.world();
    let (rank, ranks) = (world.rank() as usize, world.size() as usize);
    let arguments = Argument::at(1, 500_000_usize).and_then(|words| Ok((words, Argument::at(2, 100_u64)?)));
    let (Ok((words, additions)), true) = (arguments, ranks > 1) else {
        if rank == 0 {
            eprintln!(
                "absent_target: usage: mpirun -n RANKS absent_target [WORDS [ADDITIONS]], with two ranks or more"
            );
        }
        return if rank == 0 { ExitCode::from(2) } else { ExitCode::SUCCESS };
    };
    let counter = Window::new(&world, 1, 0);
    let reports = Window::new(&world, ranks, 0);
    let blocks = Window::new(&world, words * ranks, 0);

    let mut meter = Meter::start();
    let mut wrong = 0;
    if rank == 0 {
        wrong += u64::from(!is_reported_by_all(&reports, ranks));
    } else {
        let block: Vec<u64> = (0..words).map(|n| value(rank, n)).collect();
        meter.communicate(|| blocks.put(0, words * rank, &block));
        let before: Vec<u64> = (0..additions).map(|_| meter.communicate(|| counter.fetch_add(0, 0, 1))).collect();
        wrong += u64::from(!before.is_sorted_by(|a, b| a < b));
        wrong += u64::from(meter.communicate(|| blocks.get(0, words * rank, words)) != block);
        meter.communicate(|| reports.put(0, rank, &[1]));
    }
    meter.step();
    meter.stop();
    world.barrier();
    wrong += u64::from(counter.get(0, 0, 1) != [additions * (ranks as u64 - 1)]);
    let contents = (1..ranks).flat_map(|rank| blocks.get(0, words * rank, words));
    let digest = Digest::of(contents);
    let expected = Digest::of((1..ranks).flat_map(|rank| (0..words).map(move |n| value(rank, n))));
    wrong += u64::from(digest != expected);
    let what = format!("{ranks} ranks, {words} words and {additions} additions each, while rank 0 called no MPI");
    finish(&world, "absent_target", &meter, wrong, digest, &what)
}

fn value(rank: usize, n: usize) -> u64 {
    (rank as u64) << 40 | n as u64
}

/// What the target does meanwhile: it computes, as far as MPI is concerned.
fn is_reported_by_all<C: Communicator>(reports: &Window<'_, C>, ranks: usize) -> bool {
    let started = Instant::now();
    while (1..ranks).any(|rank| reports.look(rank) == 0) {
        if started.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}
