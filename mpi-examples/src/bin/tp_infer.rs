//! Tensor-parallel inference: a small transformer continues text, its heads and perceptrons split over all ranks.
//!
//! `mpirun -n RANKS tp_infer --model FILE`: as many ranks as divide the number of heads (4). `cargo xtask example torch` trains
//! the model. Rank 0 reads the file and sends it to all; each keeps its share. Two all-reduces in each layer are the
//! communication. Checked: rank 0 then generates alone, and must find the same text.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mpi::collective::{Root, SystemOperation};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};
use mpi_examples::transformer::{Checkpoint, Shard, softmax};
use mpi_examples::{Digest, Meter, finish};

/// Continue text with a transformer that is split over all ranks
#[derive(Debug, Parser)]
struct Options {
    /// The checkpoint (safetensors); without one, a model that has learnt nothing
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,

    /// What is continued
    #[arg(long, default_value = "This program is free software")]
    prompt: String,

    /// Characters to generate
    #[arg(long, default_value_t = 200)]
    tokens: usize,

    /// How daring it is; 0 takes the likeliest character each time
    #[arg(long, default_value_t = 0.5)]
    temperature: f32,

    /// Latency of the link, one way, to tell what it would allow
    #[arg(long, default_value_t = 5.5, value_name = "US")]
    link_latency_us: f64,

    /// Rate of the link
    #[arg(long, default_value_t = 52.0, value_name = "GBPS")]
    link_rate_gbps: f64,
}

fn main() -> ExitCode {
    let universe = mpi::initialize().expect("MPI starts once in a process");
    let world = universe.world();
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            if world.rank() == 0 {
                // Nobody reads any more: there is nobody to tell.
                let _ = error.print();
            }
            return if world.rank() == 0 { ExitCode::from(error.exit_code() as u8) } else { ExitCode::SUCCESS };
        }
    };
    match run(&world, &options) {
        Ok(code) => code,
        Err(message) => {
            if world.rank() == 0 {
                eprintln!("tp_infer: {message}");
            }
            if world.rank() == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
    }
}

/// An error is found by all ranks alike, so that none waits for another.
fn run(world: &SimpleCommunicator, options: &Options) -> Result<ExitCode, String> {
    let (rank, ranks) = (world.rank() as usize, world.size() as usize);
    let checkpoint = load(world, options)?;
    let shard = |rank: usize, ranks: usize| Shard::new(&checkpoint, rank, ranks).map_err(|error| error.to_string());
    let mut mine = shard(rank, ranks)?;

    let mut meter = Meter::start();
    let together = generate(&mut mine, options, Some(world), &mut meter);
    meter.stop();
    let mut wrong = 0;
    if rank == 0 {
        let alone = generate(&mut shard(0, 1)?, options, None, &mut Meter::start());
        wrong = together.iter().zip(&alone).filter(|(together, alone)| together != alone).count() as u64;
        println!("{}{}", options.prompt, together.iter().map(|&token| char::from(token)).collect::<String>());
    }
    let what = describe(&mine, options, &meter, ranks);
    meter.note(&what);
    let digest = Digest::of(together.iter().copied().map(u64::from));
    Ok(finish(world, "tp_infer", &meter, wrong, digest, &format!("TP={ranks}: {what}")))
}

/// The checkpoint; only rank 0 needs the file.
fn load(world: &SimpleCommunicator, options: &Options) -> Result<Checkpoint, String> {
    let Some(path) = &options.model else { return Ok(Checkpoint::random(1)) };
    let root = world.process_at_rank(0);
    let read = (world.rank() == 0).then(|| std::fs::read(path));
    let mut bytes = match read {
        Some(Ok(bytes)) => bytes,
        Some(Err(error)) => {
            eprintln!("tp_infer: {} cannot be read: {error}", path.display());
            Vec::new()
        }
        None => Vec::new(),
    };
    let mut len = bytes.len();
    root.broadcast_into(&mut len);
    if len == 0 {
        return Err("there is no checkpoint: `cargo xtask example torch` trains a model and writes one".to_owned());
    }
    bytes.resize(len, 0);
    root.broadcast_into(&mut bytes[..]);
    Checkpoint::parse(&bytes).map_err(|error| error.to_string())
}

/// The characters behind the prompt. With a world, all ranks generate together; without, this one does alone.
fn generate(shard: &mut Shard, options: &Options, world: Option<&SimpleCommunicator>, meter: &mut Meter) -> Vec<u8> {
    let bar = progress_bar(options.tokens, world);
    let mut text: Vec<u8> = options.prompt.bytes().map(|byte| if byte.is_ascii() { byte } else { b'?' }).collect();
    let start = text.len();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut read = 0;
    while text.len() < start + options.tokens {
        if shard.place() == shard.context() {
            // The context is full: go on from its second half.
            shard.forget();
            read = text.len() - shard.context() / 2;
        }
        let logits = shard.read(usize::from(text[read]), |part| {
            if let Some(world) = world {
                let own = part.to_vec();
                meter.communicate(|| world.all_reduce_into(&own[..], part, SystemOperation::sum()));
            }
        });
        meter.step();
        read += 1;
        if read == text.len() {
            let mut next = choose(logits, options.temperature, &mut random);
            if let Some(world) = world {
                // Sums may differ between ranks in the last bit, and then the choice: rank 0's counts.
                meter.communicate(|| world.process_at_rank(0).broadcast_into(&mut next));
            }
            text.push(next);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    text.split_off(start)
}

fn choose(logits: Vec<f32>, temperature: f32, random: &mut Random) -> u8 {
    let draw = random.next();
    if temperature <= 0.0 {
        let likeliest = logits.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        return likeliest.map_or(b'?', |(token, _)| token as u8);
    }
    let weights = softmax(logits.into_iter().map(|logit| logit / temperature).collect());
    let mut sum = 0.0;
    let chosen = weights.iter().position(|weight| {
        sum += weight;
        sum > draw
    });
    chosen.unwrap_or(weights.len() - 1) as u8
}

/// Xorshift: the same numbers in each rank and each run.
struct Random(u64);

impl Random {
    /// From 0 to below 1.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }
}

/// What it moved, and how fast the link alone would let it be.
fn describe(shard: &Shard, options: &Options, meter: &Meter, ranks: usize) -> String {
    let (step_us, _) = meter.times_us();
    let (bytes, rate) = (shard.summed_bytes() as f64, options.link_rate_gbps * 1e3 / 8.0);
    // An all-reduce of small vectors takes as many exchanges as the number of ranks has binary digits; then the choice.
    let exchanges = f64::from(usize::BITS - (ranks - 1).leading_zeros());
    let least_us = exchanges * ((shard.sums() + 1) as f64 * options.link_latency_us + bytes / rate);
    let speed = format!("{:.0} tokens/s, {:.1} kB summed per token", 1e6 / step_us, bytes / 1e3);
    match ranks {
        1 => speed,
        _ => format!("{speed}; the link alone would allow {:.0} tokens/s", 1e6 / least_us),
    }
}

fn progress_bar(tokens: usize, world: Option<&SimpleCommunicator>) -> ProgressBar {
    let shown = world.is_none_or(|world| world.rank() == 0) && std::io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let title = if world.is_some() { "together" } else { "alone" };
    let style = ProgressStyle::with_template("{msg:8} {wide_bar} {pos}/{len} {per_sec}");
    let bar = ProgressBar::with_draw_target(Some(tokens as u64), target).with_message(title);
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}
