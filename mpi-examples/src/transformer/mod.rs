//! A small transformer that continues text, split over ranks as large ones are: attention by heads, the perceptron by
//! its inner width. `mpi-examples/torch/model.py` is the same model, and writes its checkpoints.
//!
//! A rank multiplies with its share of each matrix, and the partial results are added up over all ranks, twice in each
//! layer: that sum is all the communication there is, and this module is handed it as a function.

mod checkpoint;
mod matrix;

pub use checkpoint::{Checkpoint, CheckpointError};

use matrix::Matrix;

/// As in model.py.
const EPSILON: f32 = 1e-5;

/// One rank's share of the model, and what it remembers of the text so far.
#[derive(Debug)]
pub struct Shard {
    tokens: Matrix,
    positions: Matrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    head: Matrix,
    head_width: usize,
    place: usize,
}

/// A rank's share of one layer.
#[derive(Debug)]
struct Layer {
    attention_norm: Vec<f32>,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    out: Matrix,
    mlp_norm: Vec<f32>,
    up: Matrix,
    down: Matrix,
    /// Keys and values of all places so far, one row for each.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

impl Shard {
    /// The share of `rank` out of `ranks`.
    ///
    /// # Errors
    /// If the checkpoint is of another model, or cannot be split so.
    pub fn new(checkpoint: &Checkpoint, rank: usize, ranks: usize) -> Result<Shard, CheckpointError> {
        let heads = checkpoint.heads();
        if !heads.is_multiple_of(ranks) {
            return Err(CheckpointError::Split { heads, ranks });
        }
        let tokens = checkpoint.matrix("tokens.weight")?;
        let head_width = tokens.columns() / heads;
        let share = |len: usize| rank * len / ranks..(rank + 1) * len / ranks;
        let layers = (0..checkpoint.layers())
            .map(|number| {
                let matrix = |name: &str| checkpoint.matrix(&format!("blocks.{number}.{name}.weight"));
                let vector = |name: &str| checkpoint.vector(&format!("blocks.{number}.{name}.weight"));
                let rows = |name: &str| matrix(name).map(|whole| whole.take_rows(share(whole.rows())));
                let columns = |name: &str| matrix(name).map(|whole| whole.take_columns(share(whole.columns())));
                Ok(Layer {
                    attention_norm: vector("attention_norm")?,
                    query: rows("query")?,
                    key: rows("key")?,
                    value: rows("value")?,
                    out: columns("out")?,
                    mlp_norm: vector("mlp_norm")?,
                    up: rows("up")?,
                    down: columns("down")?,
                    keys: Vec::new(),
                    values: Vec::new(),
                })
            })
            .collect::<Result<_, CheckpointError>>()?;
        let positions = checkpoint.matrix("positions.weight")?;
        let (norm, head) = (checkpoint.vector("norm.weight")?, checkpoint.matrix("head.weight")?);
        Ok(Shard { tokens, positions, layers, norm, head, head_width, place: 0 })
    }

    /// Places until the model must forget.
    #[must_use]
    pub fn context(&self) -> usize {
        self.positions.rows()
    }

    /// How many places are taken.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }

    /// Bytes that a rank hands to `sum` for each character.
    #[must_use]
    pub fn summed_bytes(&self) -> usize {
        2 * self.layers.len() * self.tokens.columns() * size_of::<f32>()
    }

    /// Calls of `sum` for each character.
    #[must_use]
    pub fn sums(&self) -> usize {
        2 * self.layers.len()
    }

    /// Forgets the text so far.
    pub fn forget(&mut self) {
        self.place = 0;
        for layer in &mut self.layers {
            layer.keys.clear();
            layer.values.clear();
        }
    }

    /// Reads one more character; the logits of the next. `sum` adds up a vector over all ranks, in place.
    ///
    /// # Panics
    /// If the context is full, or the character unknown.
    pub fn read(&mut self, token: usize, mut sum: impl FnMut(&mut [f32])) -> Vec<f32> {
        let mut x: Vec<f32> =
            self.tokens.row(token).iter().zip(self.positions.row(self.place)).map(|(a, b)| a + b).collect();
        self.place += 1;
        for layer in &mut self.layers {
            let mut change = layer.attend(&x, self.head_width);
            sum(&mut change);
            add(&mut x, &change);
            let mut change = layer.think(&x);
            sum(&mut change);
            add(&mut x, &change);
        }
        self.head.times(&normal(&x, &self.norm))
    }
}

impl Layer {
    /// Attention of this rank's heads.
    fn attend(&mut self, x: &[f32], head_width: usize) -> Vec<f32> {
        let normal = normal(x, &self.attention_norm);
        let query = self.query.times(&normal);
        self.keys.push(self.key.times(&normal));
        self.values.push(self.value.times(&normal));
        let scale = 1.0 / (head_width as f32).sqrt();
        let mut mixed = vec![0.0; query.len()];
        for start in (0..query.len()).step_by(head_width) {
            let head = start..start + head_width;
            let score = |key: &Vec<f32>| scale * dot(&query[head.clone()], &key[head.clone()]);
            let weights = softmax(self.keys.iter().map(score).collect());
            for (weight, value) in weights.iter().zip(&self.values) {
                mixed[head.clone()]
                    .iter_mut()
                    .zip(&value[head.clone()])
                    .for_each(|(sum, value)| *sum += weight * value);
            }
        }
        self.out.times(&mixed)
    }

    /// This rank's part of the perceptron.
    fn think(&self, x: &[f32]) -> Vec<f32> {
        let mut inner = self.up.times(&normal(x, &self.mlp_norm));
        inner.iter_mut().for_each(|value| *value /= 1.0 + (-*value).exp());
        self.down.times(&inner)
    }
}

/// Weights that add up to 1.
#[must_use]
pub fn softmax(mut logits: Vec<f32>) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter_mut().for_each(|logit| *logit = (*logit - largest).exp());
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|weight| *weight /= sum);
    logits
}

fn normal(x: &[f32], weight: &[f32]) -> Vec<f32> {
    let scale = 1.0 / (dot(x, x) / x.len() as f32 + EPSILON).sqrt();
    x.iter().zip(weight).map(|(x, weight)| x * scale * weight).collect()
}

fn add(x: &mut [f32], change: &[f32]) {
    x.iter_mut().zip(change).for_each(|(x, change)| *x += change);
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `ranks` shards compute, in step: each layer's partial results are added up by hand.
    fn logits(checkpoint: &Checkpoint, ranks: usize, text: &[usize]) -> Vec<f32> {
        let shards: Vec<Shard> = (0..ranks).map(|rank| Shard::new(checkpoint, rank, ranks).unwrap()).collect();
        let barrier = std::sync::Barrier::new(ranks);
        let total = std::sync::Mutex::new(Vec::<f32>::new());
        let run = |mut shard: Shard| {
            let sum = |part: &mut [f32]| {
                barrier.wait();
                total.lock().unwrap().resize(part.len(), 0.0);
                add(&mut total.lock().unwrap(), part);
                barrier.wait();
                part.copy_from_slice(&total.lock().unwrap());
                barrier.wait();
                total.lock().unwrap().clear();
            };
            let mut logits = Vec::new();
            text.iter().for_each(|&token| logits = shard.read(token, sum));
            logits
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = shards.into_iter().map(|shard| scope.spawn(|| run(shard))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).next_back().unwrap()
        })
    }

    #[test]
    fn shards_together_compute_what_one_does_alone() {
        let checkpoint = Checkpoint::random(5);
        let text: Vec<usize> = "permission".bytes().map(usize::from).collect();
        let alone = logits(&checkpoint, 1, &text);
        for ranks in [2, 3, 4] {
            let together = logits(&checkpoint, ranks, &text);
            let difference = alone.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 1e-4, "{ranks} ranks: {difference}");
        }
        assert!(matches!(Shard::new(&checkpoint, 0, 5), Err(CheckpointError::Split { heads: 12, ranks: 5 })));
    }

    #[test]
    fn what_was_read_before_counts() {
        let checkpoint = Checkpoint::random(5);
        let (ab, cb) = (logits(&checkpoint, 1, &[65, 66]), logits(&checkpoint, 1, &[67, 66]));
        assert!(ab.iter().zip(&cb).any(|(a, c)| (a - c).abs() > 1e-3), "attention sees nothing");
        let mut shard = Shard::new(&checkpoint, 0, 1).unwrap();
        shard.read(65, |_| {});
        shard.forget();
        shard.read(67, |_| {});
        assert_eq!(shard.read(66, |_| {}), cb);
    }
}
