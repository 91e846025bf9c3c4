//! Every rank sends a block around the ring until it is home again; each rank checks every byte on every hop.
//!
//! `mpirun -n RANKS ring [BYTES [ROUNDS]]`: any number of ranks, blocks of any size (default 1 MiB, 3 rounds). Rank 0
//! prints one line with PASS or FAIL; a failure ends with exit code 1.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use mpi::point_to_point::send_receive_into;
use mpi::traits::Communicator;
use mpi_examples::{Argument, Digest, Meter, finish};

/// Byte `index` of the block that starts at rank `origin` in `round`.
fn expected(origin: i32, round: usize, index: usize) -> u8 {
    ((index ^ (index >> 8)) as u8)
        .wrapping_mul(167)
        .wrapping_add(origin as u8)
        .wrapping_add((round as u8).wrapping_mul(59))
}

/// Fletcher's checksum (64 bits): it depends on the order of the bytes, as their sum does not.
fn checksum(bytes: &[u8]) -> u64 {
    let (low, high) = bytes.iter().fold((1u64, 0u64), |(low, high), &byte| {
        let low = (low + u64::from(byte)) % 0xffff_ffff;
        (low, (high + low) % 0xffff_ffff)
    });
    high << 32 | low
}

fn main() -> ExitCode {
    let universe = mpi::initialize().expect("MPI starts once in a process");
    let world = universe.world();
    let (rank, ranks) = (world.rank(), world.size());
    let (bytes, rounds) = match (Argument::at(1, 1 << 20), Argument::at(2, 3usize)) {
        (Ok(bytes), Ok(rounds)) => (bytes, rounds),
        (Err(message), _) | (_, Err(message)) => {
            if rank == 0 {
                eprintln!("ring: {message}; usage: ring [BYTES [ROUNDS]]");
            }
            return if rank == 0 { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let next = world.process_at_rank((rank + 1) % ranks);
    let previous = world.process_at_rank((rank + ranks - 1) % ranks);

    let mut meter = Meter::start();
    let (mut wrong, mut sum) = (0u64, 0u64);
    for round in 0..rounds {
        let mut block: Vec<u8> = (0..bytes).map(|index| expected(rank, round, index)).collect();
        let sent = checksum(&block);
        for hop in 1..=ranks {
            let mut arrived = vec![0u8; bytes];
            meter.communicate(|| send_receive_into(&block[..], &next, &mut arrived[..], &previous));
            meter.step();
            // After `hop` hops a block is that far from its origin.
            let origin = (rank + ranks - hop) % ranks;
            let differs = |(index, byte): &(usize, &u8)| **byte != expected(origin, round, *index);
            wrong += arrived.iter().enumerate().filter(differs).count() as u64;
            block = arrived;
        }
        // The block is home: what came back is what was sent.
        wrong += u64::from(checksum(&block) != sent);
        sum = sum.wrapping_add(sent);
    }

    let what = format!("{ranks} ranks, {rounds} rounds of {bytes} bytes, checksum {sum:016x}");
    finish(&world, "ring", &meter, wrong, Digest::of([sum]), &what)
}
