//! A parallel sort: samples say where to cut, every rank gets the keys between two cuts, and sorts them.
//!
//! `mpirun -n RANKS sample_sort [KEYS]`: any number of ranks (default 1000000 keys in each). Checked: each rank's keys are in order, none
//! is smaller than those of the rank before, and they are the same keys as at the start: their number, their sum, and
//! the sum of a hash of each are unchanged.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use mpi::collective::SystemOperation;
use mpi::datatype::{Partition, PartitionMut};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};
use mpi_examples::{Argument, Digest, Meter, finish};

/// Samples of each rank: enough that no rank gets twice its share.
const SAMPLES: usize = 256;

fn main() -> ExitCode {
    let universe = mpi::initialize().expect("MPI starts once in a process");
    let world = universe.world();
    let Ok(count) = Argument::at(1, 1_000_000usize) else {
        if world.rank() == 0 {
            eprintln!("sample_sort: usage: mpirun -n RANKS sample_sort [KEYS]");
        }
        return if world.rank() == 0 { ExitCode::from(2) } else { ExitCode::SUCCESS };
    };
    let keys = random_keys(world.rank() as u64, count);
    let before = fingerprint(&world, &keys);

    let mut meter = Meter::start();
    let sorted = sort(&world, keys, &mut meter);
    meter.step();
    meter.stop();

    let mut wrong = u64::from(!sorted.is_sorted()) + u64::from(fingerprint(&world, &sorted) != before);
    // Ends of all ranks' keys, in order of the ranks. An empty rank has none.
    let ends: Vec<u64> = sorted.first().into_iter().chain(sorted.last()).copied().collect();
    wrong += u64::from(!gather(&world, &ends).is_sorted());
    let what = format!("{} ranks, {} keys", world.size(), before[0]);
    finish(&world, "sample_sort", &meter, wrong, Digest::of(sorted), &what)
}

fn sort(world: &SimpleCommunicator, mut keys: Vec<u64>, meter: &mut Meter) -> Vec<u64> {
    let ranks = world.size() as usize;
    keys.sort_unstable();
    let sample: Vec<u64> = (0..SAMPLES).filter_map(|n| keys.get(n * keys.len() / SAMPLES)).copied().collect();
    let mut samples = meter.communicate(|| gather(world, &sample));
    samples.sort_unstable();
    let cuts = (1..ranks).filter_map(|n| samples.get(n * samples.len() / ranks));
    let mut ends: Vec<usize> = cuts.map(|cut| keys.partition_point(|key| key < cut)).collect();
    ends.resize(ranks, keys.len());

    let starts: Vec<i32> = std::iter::once(0).chain(ends.iter().map(|&end| end as i32)).take(ranks).collect();
    let counts: Vec<i32> = starts.iter().zip(&ends).map(|(&start, &end)| end as i32 - start).collect();
    let mut incoming = vec![0; ranks];
    meter.communicate(|| world.all_to_all_into(&counts[..], &mut incoming[..]));
    let incoming_starts = starts_of(&incoming);
    let mut mine = vec![0; incoming.iter().sum::<i32>() as usize];
    meter.communicate(|| {
        let from = Partition::new(&keys[..], &counts[..], &starts[..]);
        let mut into = PartitionMut::new(&mut mine[..], &incoming[..], &incoming_starts[..]);
        world.all_to_all_varcount_into(&from, &mut into);
    });
    // Sorted runs, one from each rank: the standard library's stable sort finds and merges them.
    mine.sort();
    mine
}

/// The keys of all ranks, however many each has.
fn gather(world: &SimpleCommunicator, keys: &[u64]) -> Vec<u64> {
    let mut counts = vec![0; world.size() as usize];
    world.all_gather_into(&(keys.len() as i32), &mut counts[..]);
    let mut all = vec![0; counts.iter().sum::<i32>() as usize];
    let starts = starts_of(&counts);
    world.all_gather_varcount_into(keys, &mut PartitionMut::new(&mut all[..], &counts[..], &starts[..]));
    all
}

fn starts_of(counts: &[i32]) -> Vec<i32> {
    counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count))).collect()
}

/// Xorshift*: reproducible, and a different sequence in each rank.
fn random_keys(rank: u64, count: usize) -> Vec<u64> {
    let mut state = (rank + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Number of all keys, their sum, and the sum of their hashes.
fn fingerprint(world: &SimpleCommunicator, keys: &[u64]) -> [u64; 3] {
    let hash = |key: u64| (key ^ key >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ key.rotate_left(17);
    let sum = |words: &mut dyn Iterator<Item = u64>| words.fold(0, u64::wrapping_add);
    let mine = [keys.len() as u64, sum(&mut keys.iter().copied()), sum(&mut keys.iter().copied().map(hash))];
    let mut all = [0; 3];
    world.all_reduce_into(&mine[..], &mut all[..], SystemOperation::sum());
    all
}
