//! A distributed solver: conjugate gradients for Poisson's equation on a square, rows of the grid spread over the ranks.
//!
//! `mpirun -n RANKS conjugate_gradient [CELLS [DIGITS]]`: any number of ranks up to CELLS (default 256 x 256 cells, the residual reduced by ten
//! digits). A step swaps one row with each neighbour and adds up two numbers over all ranks. The right-hand side is made
//! from a known solution; at the end the residual is computed anew, and the solution compared with the known one.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use mpi::collective::SystemOperation;
use mpi::point_to_point::send_receive_into;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};
use mpi_examples::{Argument, Digest, Meter, finish};

fn main() -> ExitCode {
    let universe = mpi::initialize().expect("MPI starts once in a process");
    let world = universe.world();
    let (rank, ranks) = (world.rank() as usize, world.size() as usize);
    let (Ok(cells @ 1..), Ok(digits @ 1..=12)) = (Argument::at(1, 256usize), Argument::at(2, 10i32)) else {
        return usage(rank);
    };
    if cells < ranks {
        return usage(rank);
    }
    let rows = rank * cells / ranks..(rank + 1) * cells / ranks;
    // Zero outside the square.
    let exact = |row: i64, column: i64| {
        let inside = |n: i64| (0..cells as i64).contains(&n);
        let at = |n: i64| (n + 1) as f64 / (cells + 1) as f64;
        if inside(row) && inside(column) {
            (at(row) * 7.0).sin() * at(column).exp() + at(row) * at(column)
        } else {
            0.0
        }
    };
    let over_my_rows = |value: &dyn Fn(i64, i64) -> f64| -> Vec<f64> {
        rows.clone().flat_map(|row| (0..cells).map(move |column| value(row as i64, column as i64))).collect()
    };
    let wanted = over_my_rows(&exact);
    // Computed without any communication: a row that does not arrive below shows in the residual.
    let b = over_my_rows(&|row, column| {
        let around = exact(row - 1, column) + exact(row + 1, column) + exact(row, column - 1) + exact(row, column + 1);
        4.0 * exact(row, column) - around
    });

    let mut meter = Meter::start();
    let mut system = System { world: &world, cells, rows: rows.len(), meter: &mut meter };
    let (x, steps) = system.solve(&b, 10f64.powi(-digits));
    system.meter.stop();

    // What the recurrence says of the residual is not what the solution says: rounding drives them apart.
    let ax = system.apply(&x);
    let rest: Vec<f64> = b.iter().zip(&ax).map(|(b, ax)| b - ax).collect();
    let residual = (system.dot(&rest, &rest) / system.dot(&b, &b)).sqrt();
    let error = x.iter().zip(&wanted).map(|(x, wanted)| (x - wanted).abs()).fold(0.0, f64::max);
    // The condition number of the matrix is about (cells / 2)^2: that much of the residual may be in the solution.
    let allowed = 10f64.powi(-digits) * (cells * cells) as f64;
    let solved = residual < 10.0 * 10f64.powi(-digits) && error < allowed;
    let wrong = u64::from(!solved);

    let what = format!("{ranks} ranks, {cells} x {cells} cells, {steps} steps, relative residual {residual:.1e}");
    finish(&world, "conjugate_gradient", &meter, wrong, Digest::of(x.iter().map(|x| x.to_bits())), &what)
}

fn usage(rank: usize) -> ExitCode {
    if rank == 0 {
        eprintln!(
            "conjugate_gradient: usage: conjugate_gradient [CELLS [DIGITS]], with a row of cells for each rank and 1 to 12 digits"
        );
    }
    if rank == 0 { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

/// This rank's rows of the equations.
struct System<'a> {
    world: &'a SimpleCommunicator,
    cells: usize,
    rows: usize,
    meter: &'a mut Meter,
}

impl System<'_> {
    /// Conjugate gradients from zero; the solution and the number of steps.
    fn solve(&mut self, b: &[f64], tolerance: f64) -> (Vec<f64>, usize) {
        let mut x = vec![0.0; b.len()];
        let mut rest = b.to_vec();
        let mut direction = rest.clone();
        let start = self.dot(&rest, &rest);
        let mut rest_squared = start;
        let mut steps = 0;
        // Without rounding it ends after as many steps as there are unknowns.
        while rest_squared > start * tolerance * tolerance && steps < self.cells * self.cells {
            let image = self.apply(&direction);
            let length = rest_squared / self.dot(&direction, &image);
            for n in 0..x.len() {
                x[n] += length * direction[n];
                rest[n] -= length * image[n];
            }
            let next = self.dot(&rest, &rest);
            for (direction, rest) in direction.iter_mut().zip(&rest) {
                *direction = rest + next / rest_squared * *direction;
            }
            rest_squared = next;
            steps += 1;
            self.meter.step();
        }
        (x, steps)
    }

    /// The five-point Laplacian; cells outside the square are zero.
    fn apply(&mut self, x: &[f64]) -> Vec<f64> {
        let (above, below) = self.neighbours(x);
        let cells = self.cells;
        let row = |n: usize| {
            if n == 0 {
                &above[..]
            } else if n > self.rows {
                &below[..]
            } else {
                &x[(n - 1) * cells..n * cells]
            }
        };
        let mut out = Vec::with_capacity(x.len());
        for n in 1..=self.rows {
            let (up, here, down) = (row(n - 1), row(n), row(n + 1));
            out.extend((0..cells).map(|c| {
                let left = if c > 0 { here[c - 1] } else { 0.0 };
                let right = here.get(c + 1).copied().unwrap_or(0.0);
                4.0 * here[c] - up[c] - down[c] - left - right
            }));
        }
        out
    }

    /// The rows next to this rank's.
    fn neighbours(&mut self, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (world, cells) = (self.world, self.cells);
        let (rank, ranks) = (world.rank(), world.size());
        let (first, last) = (&x[..cells], &x[x.len() - cells..]);
        // In a ring, so that all ranks do the same; what comes from over the edge is thrown away.
        let up = world.process_at_rank((rank + ranks - 1) % ranks);
        let down = world.process_at_rank((rank + 1) % ranks);
        let (mut above, mut below) = (vec![0.0; cells], vec![0.0; cells]);
        self.meter.communicate(|| {
            send_receive_into(last, &down, &mut above[..], &up);
            send_receive_into(first, &up, &mut below[..], &down);
        });
        if rank == 0 {
            above.fill(0.0);
        }
        if rank == ranks - 1 {
            below.fill(0.0);
        }
        (above, below)
    }

    fn dot(&mut self, left: &[f64], right: &[f64]) -> f64 {
        let mine: f64 = left.iter().zip(right).map(|(left, right)| left * right).sum();
        let mut all = 0.0;
        self.meter.communicate(|| self.world.all_reduce_into(&mine, &mut all, SystemOperation::sum()));
        all
    }
}
