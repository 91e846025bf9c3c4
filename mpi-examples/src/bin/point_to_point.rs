//! Messages between two ranks at a time: a farm of workers, messages of unknown length, and exchanges in the background.
//!
//! `mpirun -n RANKS point_to_point [TASKS]`: two ranks or more (default 400 tasks). Rank 0 gives tasks to whoever asks; a
//! task is a range of numbers and its answer the primes in it, so nobody knows an answer's length before it arrives.
//! Then each rank swaps a block with every other one, all at once, without waiting in between. Rank 0 checks the primes
//! against a sieve, every rank the blocks.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use mpi::Tag;
use mpi::point_to_point::{Destination, MatchedReceiveVec, Source};
use mpi::request::{WaitGuard, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::Communicator;
use mpi_examples::{Argument, Digest, Meter, finish};

/// Tags tell messages of one sender apart.
const TASK: Tag = 1;
const ANSWER: Tag = 2;
const BLOCK: Tag = 3;
/// The task after the last.
const NO_MORE: u64 = u64::MAX;
/// Numbers in a task.
const RANGE: u64 = 250;
const BLOCK_WORDS: usize = 8192;

fn main() -> ExitCode {
    let universe = mpi::initialize().expect("MPI starts once in a process");
    let world = universe.world();
    let (Ok(tasks), 2..) = (Argument::at(1, 400u64), world.size()) else {
        if world.rank() == 0 {
            eprintln!("point_to_point: usage: mpirun -n RANKS point_to_point [TASKS], with two ranks or more");
        }
        return if world.rank() == 0 { ExitCode::from(2) } else { ExitCode::SUCCESS };
    };
    let mut meter = Meter::start();
    let mut primes = Vec::new();
    match world.rank() {
        0 => primes = farm(&world, tasks, &mut meter),
        _ => work(&world, &mut meter),
    }
    primes.sort_unstable();
    let mut wrong = u64::from(world.rank() == 0 && primes != sieve(tasks * RANGE));
    wrong += swap_with_all(&world, &mut meter);

    let what = format!("{} ranks, {tasks} tasks, {} primes", world.size(), primes.len());
    finish(&world, "point_to_point", &meter, wrong, Digest::of(primes), &what)
}

/// Rank 0: every answer, from whoever it comes, is the request for another task.
fn farm(world: &SimpleCommunicator, tasks: u64, meter: &mut Meter) -> Vec<u64> {
    let (mut primes, mut next, mut idle) = (Vec::new(), 0, 1);
    while idle < world.size() {
        // A matched probe tells the sender and the length before anything is received.
        let (answer, status) =
            meter.communicate(|| world.any_process().matched_probe_with_tag(ANSWER).matched_receive_vec::<u64>());
        primes.extend(answer);
        let task = if next < tasks { next } else { NO_MORE };
        (next, idle) = if task == NO_MORE { (next, idle + 1) } else { (next + 1, idle) };
        meter.communicate(|| world.process_at_rank(status.source_rank()).send_with_tag(&task, TASK));
        meter.step();
    }
    primes
}

/// All others: the first answer is empty and only asks for work.
fn work(world: &SimpleCommunicator, meter: &mut Meter) {
    let farmer = world.process_at_rank(0);
    let mut answer = Vec::new();
    loop {
        meter.communicate(|| farmer.send_with_tag(&answer[..], ANSWER));
        let (task, _) = meter.communicate(|| farmer.receive_with_tag::<u64>(TASK));
        if task == NO_MORE {
            return;
        }
        let is_prime =
            |number: &u64| *number > 1 && (2..).take_while(|d| d * d <= *number).all(|d| !number.is_multiple_of(d));
        answer = (task * RANGE..(task + 1) * RANGE).filter(is_prime).collect();
        meter.step();
    }
}

/// Swaps blocks with all other ranks at once; the number of words that are wrong.
fn swap_with_all(world: &SimpleCommunicator, meter: &mut Meter) -> u64 {
    let (me, ranks) = (world.rank(), world.size());
    let block = |from: i32, to: i32| -> Vec<u64> {
        (0..BLOCK_WORDS as u64).map(|n| (n * n) ^ (from * 1000 + to) as u64).collect()
    };
    let others: Vec<i32> = (0..ranks).filter(|&rank| rank != me).collect();
    let outgoing: Vec<Vec<u64>> = others.iter().map(|&to| block(me, to)).collect();
    let mut incoming = vec![vec![0u64; BLOCK_WORDS]; others.len()];
    meter.communicate(|| {
        // The scope keeps the buffers borrowed until each request in it has been waited for.
        scope(|scope| {
            let mut guards = Vec::new();
            for (&from, buffer) in others.iter().zip(&mut incoming) {
                let source = world.process_at_rank(from);
                guards.push(WaitGuard::from(source.immediate_receive_into_with_tag(scope, &mut buffer[..], BLOCK)));
            }
            let sends = others.iter().zip(&outgoing).map(|(&to, buffer)| {
                WaitGuard::from(world.process_at_rank(to).immediate_send_with_tag(scope, &buffer[..], BLOCK))
            });
            // Dropping a guard waits; receives were posted first, so no message arrives unexpected.
            drop(sends.collect::<Vec<_>>());
            drop(guards);
        });
    });
    let differ = |(&from, words): (&i32, &Vec<u64>)| words.iter().zip(block(from, me)).filter(|(a, b)| *a != b).count();
    others.iter().zip(&incoming).map(differ).sum::<usize>() as u64
}

/// All primes below `end`, computed in another way.
fn sieve(end: u64) -> Vec<u64> {
    let mut composite = vec![false; end as usize];
    for factor in (2..).take_while(|factor| factor * factor < end) {
        (factor * factor..end).step_by(factor as usize).for_each(|multiple| composite[multiple as usize] = true);
    }
    (2..end).filter(|&number| !composite[number as usize]).collect()
}
