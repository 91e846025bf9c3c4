//! One-sided communication with atomics: a hash table spread over all ranks, filled by whoever has time.
//!
//! `mpirun -n RANKS one_sided [KEYS]`: any number of ranks (default 2000 keys). Rank 0's counter hands out the keys (fetch and add:
//! each exactly once, without rank 0 doing anything); a key goes into the first free slot from its hash on (compare and
//! swap), and its value beside it (put). Then every rank looks up every key (get), and the counters are checked.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use mpi::collective::SystemOperation;
use mpi::traits::{Communicator, CommunicatorCollectives};
use mpi_examples::{Argument, Digest, Meter, Window, finish};

const FREE: u64 = u64::MAX;

fn main() -> ExitCode {
    let universe = mpi::initialize().expect("MPI starts once in a process");
    let world = universe.world();
    let (rank, ranks) = (world.rank() as usize, world.size() as usize);
    let Ok(keys) = Argument::at(1, 2000u64) else {
        if rank == 0 {
            eprintln!("one_sided: usage: mpirun -n RANKS one_sided [KEYS]");
        }
        return if rank == 0 { ExitCode::from(2) } else { ExitCode::SUCCESS };
    };
    let counter = Window::new(&world, 1, 0);
    // Half full at the end; a slot is a key and its value.
    let slots_per_rank = (2 * keys as usize).div_ceil(ranks).max(1);
    let table = Table { window: Window::new(&world, 2 * slots_per_rank, FREE), ranks, slots_per_rank };

    let mut meter = Meter::start();
    let (mut taken, mut wrong) = (0u64, 0u64);
    loop {
        let key = meter.communicate(|| counter.fetch_add(0, 0, 1));
        if key >= keys {
            break;
        }
        taken += 1;
        wrong += u64::from(!meter.communicate(|| table.insert(key, value(key))));
        meter.step();
    }
    // Whoever looks up must not be earlier than whoever inserts.
    meter.communicate(|| world.barrier());
    for key in 0..keys {
        wrong += u64::from(meter.communicate(|| table.find(key)) != Some(value(key)));
        meter.step();
    }
    meter.stop();
    wrong += u64::from(table.find(keys).is_some());

    // Every key was handed out once, and every rank asked once too often.
    // rsmpi does not compare the types of the two buffers: a 32-bit one here would be overrun.
    let (mut all_taken, mut largest) = (0u64, 0u64);
    world.all_reduce_into(&taken, &mut all_taken, SystemOperation::sum());
    world.all_reduce_into(&taken, &mut largest, SystemOperation::max());
    wrong += u64::from(all_taken != keys);
    wrong += u64::from(counter.get(0, 0, 1) != [keys + ranks as u64]);
    // Which rank took a key and which of two colliding keys came first differs from run to run; the table's contents do not.
    let mut contents: Vec<u64> = (0..keys).filter_map(|key| table.find(key)).collect();
    contents.sort_unstable();
    let what = format!("{ranks} ranks, {keys} keys, {largest} by the busiest rank");
    finish(&world, "one_sided", &meter, wrong, Digest::of(contents), &what)
}

fn value(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1
}

/// Open addressing over the windows of all ranks.
struct Table<'a, C: Communicator> {
    window: Window<'a, C>,
    ranks: usize,
    slots_per_rank: usize,
}

impl<C: Communicator> Table<'_, C> {
    /// Rank and word of the slots where a key may be, best first.
    fn places(&self, key: u64) -> impl Iterator<Item = (usize, usize)> {
        let (ranks, slots) = (self.ranks, self.ranks * self.slots_per_rank);
        let first = (key.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) as usize % slots;
        (0..slots).map(move |n| ((first + n) % slots % ranks, 2 * ((first + n) % slots / ranks)))
    }

    /// Whether there was room.
    fn insert(&self, key: u64, value: u64) -> bool {
        let mine = |&(rank, word): &(usize, usize)| self.window.compare_and_swap(rank, word, FREE, key) == FREE;
        let Some((rank, word)) = self.places(key).find(mine) else { return false };
        self.window.put(rank, word + 1, &[value]);
        true
    }

    fn find(&self, key: u64) -> Option<u64> {
        let slots = self.places(key).map(|(rank, word)| self.window.get(rank, word, 2));
        let slot = slots.take_while(|slot| slot[0] != FREE).find(|slot| slot[0] == key)?;
        Some(slot[1])
    }
}
