//! A two-dimensional halo exchange: a periodic grid in blocks, one per rank, whose edges are swapped before every step.
//!
//! `mpirun -n RANKS halo [CELLS [STEPS]]`: any number of ranks, CELLS x CELLS cells (default 192, 50 steps). A step
//! replaces each cell by a weighted sum of itself and its neighbours in wrapping integers, so the result is exact;
//! each rank also computes the whole grid alone and compares its block, cell by cell. Rank 0 prints PASS or FAIL.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use mpi::point_to_point::send_receive_into;
use mpi::traits::Communicator;
use mpi_examples::{Digest, Meter, finish};

/// Cells in rows, with a border one cell wide all around that holds the neighbours' edges.
struct Grid(Vec<Vec<u64>>);

impl Grid {
    fn new(rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Self {
        let start = |row: usize| columns.clone().map(move |column| (row * 7919 + column * 104_729) as u64).collect();
        let border = std::iter::once(vec![0; columns.len() + 2]);
        let inner = rows.map(|row| [vec![0], start(row), vec![0]].concat());
        Grid(border.clone().chain(inner).chain(border).collect())
    }

    fn column(&self, at: usize) -> Vec<u64> {
        self.0.iter().map(|row| row[at]).collect()
    }

    /// Fills the border: `swap` sends an edge to the neighbour in direction (down, right) and returns what comes from
    /// the opposite one. Columns go second and carry the corners that the rows brought.
    fn exchange(&mut self, mut swap: impl FnMut(&[u64], (i64, i64)) -> Vec<u64>) {
        let (last_row, last_column) = (self.0.len() - 2, self.0[0].len() - 2);
        self.0[0] = swap(&self.0[last_row], (1, 0));
        self.0[last_row + 1] = swap(&self.0[1], (-1, 0));
        let (left, right) = (swap(&self.column(last_column), (0, 1)), swap(&self.column(1), (0, -1)));
        for ((row, left), right) in self.0.iter_mut().zip(left).zip(right) {
            (row[0], row[last_column + 1]) = (left, right);
        }
    }

    /// One step; the corners count too, so that a halo without them is seen.
    fn step(&mut self) {
        let old = self.0.clone();
        for row in 1..old.len() - 1 {
            for column in 1..old[0].len() - 1 {
                let around = (0..9).map(|n| old[row + n / 3 - 1][column + n % 3 - 1].wrapping_mul(n as u64 + 1));
                self.0[row][column] = around.fold(0, u64::wrapping_add);
            }
        }
    }
}

fn main() -> ExitCode {
    let universe = mpi::initialize().expect("MPI starts once in a process");
    let world = universe.world();
    let (rank, ranks) = (world.rank() as usize, world.size() as usize);
    let argument = |at: usize, default: usize| std::env::args().nth(at).map_or(Some(default), |text| text.parse().ok());
    // The most square arrangement of all ranks.
    let high = (1..=ranks).filter(|rows| ranks % rows == 0 && rows * rows <= ranks).max().unwrap_or(1);
    let wide = ranks / high;
    let (Some(cells), Some(steps), true) = (argument(1, 192), argument(2, 50), argument(1, 192) >= Some(wide)) else {
        if rank == 0 {
            eprintln!("halo: usage: halo [CELLS [STEPS]], with at least as many CELLS as blocks side by side ({wide})");
        }
        return if rank == 0 { ExitCode::from(2) } else { ExitCode::SUCCESS };
    };
    let (row, column) = (rank / wide, rank % wide);
    let block = |at: usize, of: usize| at * cells / of..(at + 1) * cells / of;
    let (rows, columns) = (block(row, high), block(column, wide));

    let mut mine = Grid::new(rows.clone(), columns.clone());
    let mut whole = Grid::new(0..cells, 0..cells);
    let mut meter = Meter::start();
    for _ in 0..steps {
        mine.exchange(|edge, (down, right)| {
            let neighbour = |sign: i64| {
                let wrap = |at: usize, by: i64, of: usize| (at as i64 + sign * by).rem_euclid(of as i64) as usize;
                world.process_at_rank((wrap(row, down, high) * wide + wrap(column, right, wide)) as i32)
            };
            let mut arrived = vec![0; edge.len()];
            meter.communicate(|| send_receive_into(edge, &neighbour(1), &mut arrived[..], &neighbour(-1)));
            arrived
        });
        mine.step();
        meter.step();
    }
    meter.stop();
    for _ in 0..steps {
        whole.exchange(|edge, _| edge.to_vec());
        whole.step();
    }

    let differs = |row: usize, column: usize| {
        mine.0[row - rows.start + 1][column - columns.start + 1] != whole.0[row + 1][column + 1]
    };
    let count = |row: usize| columns.clone().filter(|&column| differs(row, column)).count() as u64;
    let wrong = rows.clone().map(count).sum::<u64>();
    let cells_of_rank_0 = mine.0.iter().flatten().copied();
    let what = format!("{cells} x {cells} cells in {high} x {wide} blocks, {steps} steps");
    finish(&world, "halo", &meter, wrong, Digest::of(cells_of_rank_0), &what)
}
