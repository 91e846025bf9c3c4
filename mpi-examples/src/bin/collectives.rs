//! Operations of all ranks together, each beside what it replaces: what every rank could compute alone.
//!
//! `mpirun -n RANKS collectives [WORDS [ROUNDS]]`: any number of ranks (default 4096 words, 20 rounds). Each rank knows what
//! every rank contributes, and so checks each result word by word.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use mpi::collective::{Root, SystemOperation};
use mpi::datatype::{Partition, PartitionMut};
use mpi::request::{WaitGuard, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};
use mpi_examples::{Argument, Digest, Meter, finish};

fn main() -> ExitCode {
    let universe = mpi::initialize().expect("MPI starts once in a process");
    let world = universe.world();
    let (Ok(words), Ok(rounds)) = (Argument::at(1, 4096usize), Argument::at(2, 20u64)) else {
        if world.rank() == 0 {
            eprintln!("collectives: usage: mpirun -n RANKS collectives [WORDS [ROUNDS]]");
        }
        return if world.rank() == 0 { ExitCode::from(2) } else { ExitCode::SUCCESS };
    };
    let mut meter = Meter::start();
    let (mut wrong, mut sums) = (0, Vec::new());
    for round in 0..rounds {
        let job = Round { world: &world, words, round };
        wrong += job.one_to_all(&mut meter) + job.all_to_one(&mut meter) + job.blocks(&mut meter);
        wrong += job.prefixes(&mut meter);
        let (faults, sum) = job.sums(&mut meter);
        wrong += faults;
        sums.extend(sum);
        meter.communicate(|| world.barrier());
        meter.step();
    }
    let what = format!("{} ranks, {rounds} rounds of {words} words", world.size());
    finish(&world, "collectives", &meter, wrong, Digest::of(sums), &what)
}

/// One round of all operations; each returns the number of wrong words.
struct Round<'a> {
    world: &'a SimpleCommunicator,
    words: usize,
    round: u64,
}

impl Round<'_> {
    fn ranks(&self) -> usize {
        self.world.size() as usize
    }

    fn me(&self) -> usize {
        self.world.rank() as usize
    }

    /// The rank that the others send to or receive from: another one in each round.
    fn root(&self) -> usize {
        self.round as usize % self.ranks()
    }

    /// What `rank` contributes.
    fn of(&self, rank: usize) -> Vec<u64> {
        let word = |n: usize| (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20 ^ (rank as u64 + 1) ^ self.round;
        (0..self.words).map(word).collect()
    }

    /// Broadcast, then scatter.
    fn one_to_all(&self, meter: &mut Meter) -> u64 {
        let root = self.world.process_at_rank(self.root() as i32);
        let mut words = if self.me() == self.root() { self.of(self.root()) } else { vec![0; self.words] };
        meter.communicate(|| root.broadcast_into(&mut words[..]));
        let mut wrong = differences(&words, &self.of(self.root()));
        let mut mine = vec![0; self.words];
        if self.me() == self.root() {
            let all: Vec<u64> = (0..self.ranks()).flat_map(|rank| self.of(rank)).collect();
            meter.communicate(|| root.scatter_into_root(&all[..], &mut mine[..]));
        } else {
            meter.communicate(|| root.scatter_into(&mut mine[..]));
        }
        wrong += differences(&mine, &self.of(self.me()));
        wrong
    }

    /// Gather with as many words from each rank as its number says, and all to all.
    fn all_to_one(&self, meter: &mut Meter) -> u64 {
        let counts: Vec<i32> = (0..self.ranks()).map(|rank| (self.words * (rank + 1) / self.ranks()) as i32).collect();
        let starts: Vec<i32> = counts
            .iter()
            .scan(0, |next, count| {
                let at = *next;
                *next += count;
                Some(at)
            })
            .collect();
        let part = |rank: usize| self.of(rank)[..counts[rank] as usize].to_vec();
        let mine = part(self.me());
        let mut all = vec![0; counts.iter().sum::<i32>() as usize];
        meter.communicate(|| {
            let mut parts = PartitionMut::new(&mut all[..], counts.clone(), &starts[..]);
            self.world.all_gather_varcount_into(&mine[..], &mut parts);
        });
        let mut wrong = differences(&all, &(0..self.ranks()).flat_map(part).collect::<Vec<_>>());
        let root = self.world.process_at_rank(self.root() as i32);
        if self.me() == self.root() {
            all.fill(0);
            meter.communicate(|| {
                let mut parts = PartitionMut::new(&mut all[..], &counts[..], &starts[..]);
                root.gather_varcount_into_root(&mine[..], &mut parts);
            });
            wrong += differences(&all, &(0..self.ranks()).flat_map(part).collect::<Vec<_>>());
        } else {
            meter.communicate(|| root.gather_varcount_into(&mine[..]));
        }
        wrong
    }

    /// All to all with equal blocks, then with blocks that grow with the receiver's number.
    fn blocks(&self, meter: &mut Meter) -> u64 {
        let (ranks, me, words) = (self.ranks(), self.me(), self.words);
        let block = |from: usize, to: usize| self.of(from).into_iter().map(move |word| word + to as u64);
        let outgoing: Vec<u64> = (0..ranks).flat_map(|to| block(me, to)).collect();
        let mut incoming = vec![0; outgoing.len()];
        meter.communicate(|| self.world.all_to_all_into(&outgoing[..], &mut incoming[..]));
        let mut wrong = differences(&incoming, &(0..ranks).flat_map(|from| block(from, me)).collect::<Vec<_>>());

        // Rank `to` gets words * to / ranks from everybody; blocks stay where they are in the buffers.
        let starts: Vec<i32> = (0..ranks).map(|rank| (rank * words) as i32).collect();
        let counts: Vec<i32> = (0..ranks).map(|to| (words * to / ranks) as i32).collect();
        let from_each = vec![counts[me]; ranks];
        incoming.fill(0);
        meter.communicate(|| {
            let parts = Partition::new(&outgoing[..], &counts[..], &starts[..]);
            let mut arrived = PartitionMut::new(&mut incoming[..], &from_each[..], &starts[..]);
            self.world.all_to_all_varcount_into(&parts, &mut arrived);
        });
        for (from, arrived) in incoming.chunks(words.max(1)).enumerate() {
            let expected: Vec<u64> = block(from, me).take(counts[me] as usize).collect();
            wrong += differences(&arrived[..counts[me] as usize], &expected);
        }
        wrong
    }

    /// Sums of all lower ranks, with and without one's own.
    fn prefixes(&self, meter: &mut Meter) -> u64 {
        let mine = self.of(self.me());
        let (mut with, mut without) = (vec![0; self.words], vec![0; self.words]);
        meter.communicate(|| self.world.scan_into(&mine[..], &mut with[..], SystemOperation::sum()));
        meter.communicate(|| self.world.exclusive_scan_into(&mine[..], &mut without[..], SystemOperation::sum()));
        let sum = |ranks: std::ops::Range<usize>| {
            ranks.fold(vec![0u64; self.words], |sum, rank| sum.iter().zip(self.of(rank)).map(|(a, b)| a + b).collect())
        };
        // Rank 0 has nobody below it, and what it gets is not defined.
        let before = if self.me() == 0 { 0 } else { differences(&without, &sum(0..self.me())) };
        before + differences(&with, &sum(0..self.me() + 1))
    }

    /// Two reductions at once in the background, and the scattered one.
    fn sums(&self, meter: &mut Meter) -> (u64, Vec<u64>) {
        let mine = self.of(self.me());
        let (mut sum, mut largest) = (vec![0; self.words], vec![0; self.words]);
        meter.communicate(|| {
            scope(|scope| {
                let world = self.world;
                let first = world.immediate_all_reduce_into(scope, &mine[..], &mut sum[..], SystemOperation::sum());
                let second =
                    world.immediate_all_reduce_into(scope, &mine[..], &mut largest[..], SystemOperation::max());
                // Other work could stand here. Dropping the guards waits.
                drop((WaitGuard::from(first), WaitGuard::from(second)));
            });
        });
        let all: Vec<Vec<u64>> = (0..self.ranks()).map(|rank| self.of(rank)).collect();
        let column = |n: usize| all.iter().map(move |words| words[n]);
        let expected: Vec<u64> = (0..self.words).map(|n| column(n).sum()).collect();
        let peaks: Vec<u64> = (0..self.words).map(|n| column(n).max().unwrap_or(0)).collect();
        let mut wrong = differences(&sum, &expected) + differences(&largest, &peaks);

        // The same sum again, of which each rank wants only its share.
        let share = self.words / self.ranks();
        let mut part = vec![0; share];
        let whole = &mine[..share * self.ranks()];
        meter.communicate(|| self.world.reduce_scatter_block_into(whole, &mut part[..], SystemOperation::sum()));
        wrong += differences(&part, &expected[self.me() * share..(self.me() + 1) * share]);
        (wrong, sum)
    }
}

fn differences(found: &[u64], expected: &[u64]) -> u64 {
    let lengths = found.len().abs_diff(expected.len());
    (lengths + found.iter().zip(expected).filter(|(a, b)| a != b).count()) as u64
}
