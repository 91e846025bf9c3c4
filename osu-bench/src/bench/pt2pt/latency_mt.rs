//! `osu_latency_mt`: ping-pong with several threads in a rank.

use std::thread;

use super::pair::LATENCY_DEFAULTS;
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::{Check, Context, Piece, Pieces, Samples, percentile_columns, percentiles};
use crate::mpi_raw::{Buffer, Element, Peer, SharedComm};
use crate::options::{Iterations, Options};
use crate::report::{Cell, Column, Table};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "latency_mt",
    title: "OSU MPI Multi-threaded Latency Test",
    about: "Ping-pong between two ranks with several threads at once (MPI_THREAD_MULTIPLE)",
    meaning: "The threads of rank 0 (one, or SEND of -t SEND:RECV) share the round trips, those of rank 1 (two, or RECV) answer whatever \
              message they get. Half of a round trip, measured by the threads of rank 0; the mean over the timed iterations of all of them.",
    options: "mixtcudTz",
    defaults: LATENCY_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Threads(run),
};

/// Messages from rank 0.
const PING_TAG: u16 = 1;
/// Answers of rank 1.
const PONG_TAG: u16 = 2;
/// Any thread may get any message, so all of them have the content of one iteration.
const ONE_CONTENT: usize = 0;

/// What the threads of one rank do for one size.
struct Job<'a> {
    comm: SharedComm<'a>,
    options: &'a Options,
    element: Element,
    size_bytes: usize,
    iterations: Iterations,
    threads: usize,
    rank: usize,
}

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let options = context.options;
    let comm = context.comm.shared().ok_or(BenchError::Threads)?;
    let rank = context.comm.rank();
    let (senders, receivers) = (options.threads.senders, options.threads.receivers);
    context.require_memory(2 * options.sizes.max_bytes * if rank == 0 { senders } else { receivers })?;
    for &element in &options.elements {
        let mut columns = vec![Column::new("latency_us", "Avg Latency(us)")];
        if options.validate {
            columns.push(Column::new("validation", "Validation"));
        }
        columns.extend(percentile_columns(&options.percentiles, "Lat(us)"));
        context.report.begin(Table {
            title: context.benchmark.title.to_owned(),
            notes: vec![
                format!("Number of Sender threads: {senders}"),
                format!("Number of Receiver threads: {receivers}"),
                format!("Datatype: {}.", element.mpi_name()),
            ],
            sized: true,
            columns,
        });
        for size_bytes in options.sizes.iter(element) {
            let iterations = options.counts.of_size(size_bytes);
            let threads = if rank == 0 { senders } else { receivers };
            let job = Job { comm, options, element, size_bytes, iterations, threads, rank };
            context.barrier();
            let (samples, errors) = job.run();
            context.barrier();
            let errors = context.sum(errors);
            let mut cells = vec![Cell::Number(samples.mean_s() * 1e6 / 2.0)];
            if options.validate {
                cells.push(Cell::Validation(errors == 0));
            }
            let each_us = samples.each_s().iter().map(|seconds| seconds * 1e6 / 2.0);
            cells.extend(percentiles(each_us, &options.percentiles).into_iter().map(Cell::Number));
            context.report.row(Some(size_bytes), &cells);
            context.require_valid(size_bytes, errors)?;
        }
    }
    Ok(())
}

impl Job<'_> {
    /// Runs all threads; their samples and errors together.
    fn run(&self) -> (Samples, u64) {
        thread::scope(|scope| {
            let handles: Vec<_> =
                (0..self.threads).map(|thread| scope.spawn(move || self.run_thread(thread))).collect();
            let mut all = Samples::new(self.iterations.timed, !self.options.percentiles.is_empty());
            let mut errors = 0;
            for handle in handles {
                let (samples, wrong) = handle.join().expect("a panic ends the process");
                all.append(samples);
                errors += wrong;
            }
            (all, errors)
        })
    }

    fn run_thread(&self, thread: usize) -> (Samples, u64) {
        let (send, recv) = (Buffer::new(self.size_bytes), Buffer::new(self.size_bytes));
        let count = self.size_bytes / self.element.size_bytes();
        let (ping, pong) = (send.elements(0, count, self.element), recv.elements(0, count, self.element));
        let piece = |buffer: Buffer, sender: usize| vec![Piece { bytes: buffer.bytes(), sender, receiver: 0 }];
        let check = Pieces { sends: piece(send, self.rank), receives: piece(recv, 1 - self.rank) };
        let (to_receiver, to_sender) = (Peer::new(1 - self.rank, PING_TAG), Peer::new(1 - self.rank, PONG_TAG));
        let mut samples = Samples::new(self.iterations.timed, !self.options.percentiles.is_empty());
        let mut errors = 0;
        check.fill(ONE_CONTENT);
        let all = self.iterations.warmup + self.iterations.timed;
        for iteration in (thread..all).step_by(self.threads) {
            if self.options.validate {
                check.fill(ONE_CONTENT);
            }
            let start_s = mpi::time();
            if self.rank == 0 {
                self.comm.send(ping, to_receiver);
                self.comm.recv(pong, to_sender);
            } else {
                self.comm.recv(pong, to_receiver);
                self.comm.send(ping, to_sender);
            }
            let end_s = mpi::time();
            if iteration >= self.iterations.warmup {
                samples.add(end_s - start_s);
            }
            if self.options.validate {
                if self.options.corrupt_received && iteration == self.iterations.warmup {
                    check.corrupt();
                }
                errors += check.errors(ONE_CONTENT);
            }
        }
        (samples, errors)
    }
}
