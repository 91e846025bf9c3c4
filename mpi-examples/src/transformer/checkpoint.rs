//! Checkpoints: safetensors, as `mpi-examples/torch/text.py` writes them.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};

use super::matrix::Matrix;

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is damaged, or something else.
    #[error("this is no safetensors file: {0}; `cargo xtask example torch` writes one")]
    Format(#[from] safetensors::SafeTensorError),
    /// A tensor is not there, or not as the model needs it.
    #[error(
        "the checkpoint has no tensor {name} of 32-bit floats with {dimensions} dimensions: it is of another model"
    )]
    Tensor {
        /// Which one.
        name: String,
        /// How many dimensions it should have.
        dimensions: usize,
    },
    /// The number of attention heads is missing.
    #[error(
        "the checkpoint does not say how many attention heads the model has (metadata `heads`): it is of another model"
    )]
    Heads,
    /// Heads cannot be shared equally.
    #[error("{heads} attention heads cannot be split over {ranks} ranks: take a number of ranks that divides {heads}")]
    Split {
        /// Heads of the model.
        heads: usize,
        /// Ranks of the job.
        ranks: usize,
    },
}

/// A whole model's parameters.
#[derive(Debug)]
pub struct Checkpoint {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    heads: usize,
}

impl Checkpoint {
    /// Reads a file's contents.
    ///
    /// # Errors
    /// If it is no safetensors file, or of another model.
    pub fn parse(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let heads = metadata.metadata().as_ref().and_then(|texts| texts.get("heads")?.parse().ok());
        let heads = heads.filter(|&heads: &usize| heads > 0).ok_or(CheckpointError::Heads)?;
        let file = SafeTensors::deserialize(bytes)?;
        let floats = file.tensors().into_iter().filter(|(_, view)| view.dtype() == Dtype::F32);
        let tensors = floats.map(|(name, view)| {
            let (words, _) = view.data().as_chunks::<4>();
            (name, (view.shape().to_vec(), words.iter().map(|word| f32::from_le_bytes(*word)).collect()))
        });
        Ok(Checkpoint { tensors: tensors.collect(), heads })
    }

    /// A model of the same form that has learnt nothing, for tests; its 12 heads can be split over up to four ranks.
    #[must_use]
    pub fn random(seed: u64) -> Checkpoint {
        let (tokens, width, context, layers) = (128, 96, 64, 2);
        let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let mut tensors = BTreeMap::new();
        let mut add = |name: String, shape: &[usize], scale: f32| {
            let values = (0..shape.iter().product()).map(|_| uniform() * scale).collect();
            tensors.insert(name, (shape.to_vec(), values));
        };
        let scale = (3.0 / width as f32).sqrt();
        add("tokens.weight".into(), &[tokens, width], 1.0);
        add("positions.weight".into(), &[context, width], 1.0);
        for layer in 0..layers {
            for name in ["attention_norm", "mlp_norm"] {
                add(format!("blocks.{layer}.{name}.weight"), &[width], 1.0);
            }
            for name in ["query", "key", "value", "out"] {
                add(format!("blocks.{layer}.{name}.weight"), &[width, width], scale);
            }
            add(format!("blocks.{layer}.up.weight"), &[4 * width, width], scale);
            add(format!("blocks.{layer}.down.weight"), &[width, 4 * width], scale / 2.0);
        }
        add("norm.weight".into(), &[width], 1.0);
        add("head.weight".into(), &[tokens, width], scale);
        Checkpoint { tensors, heads: 12 }
    }

    /// Attention heads.
    pub(super) fn heads(&self) -> usize {
        self.heads
    }

    /// Layers.
    pub(super) fn layers(&self) -> usize {
        (0..).take_while(|number| self.tensors.contains_key(&format!("blocks.{number}.up.weight"))).count()
    }

    pub(super) fn matrix(&self, name: &str) -> Result<Matrix, CheckpointError> {
        match self.tensors.get(name) {
            Some((shape, values)) if shape.len() == 2 && shape[1] > 0 => Ok(Matrix::new(shape[1], values.clone())),
            _ => Err(CheckpointError::Tensor { name: name.to_owned(), dimensions: 2 }),
        }
    }

    pub(super) fn vector(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        match self.tensors.get(name) {
            Some((shape, values)) if shape.len() == 1 => Ok(values.clone()),
            _ => Err(CheckpointError::Tensor { name: name.to_owned(), dimensions: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::serialize;
    use safetensors::tensor::TensorView;

    fn file(heads: Option<&str>, dtype: Dtype) -> Vec<u8> {
        let data: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let shape = if dtype == Dtype::F32 { vec![1, 2] } else { vec![1, 4] };
        let view = TensorView::new(dtype, shape, &data).unwrap();
        let metadata = heads.map(|heads| [("heads".to_owned(), heads.to_owned())].into());
        serialize([("tokens.weight", view)], metadata).unwrap()
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let checkpoint = Checkpoint::parse(&file(Some("4"), Dtype::F32)).unwrap();
        assert_eq!(checkpoint.heads(), 4);
        assert_eq!(checkpoint.matrix("tokens.weight").unwrap().row(0), [1.5, -2.0]);
        assert!(matches!(checkpoint.vector("tokens.weight"), Err(CheckpointError::Tensor { dimensions: 1, .. })));
        assert!(matches!(checkpoint.matrix("other"), Err(CheckpointError::Tensor { dimensions: 2, .. })));
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(Checkpoint::parse(b"none"), Err(CheckpointError::Format(_))));
        assert!(matches!(Checkpoint::parse(&file(None, Dtype::F32)), Err(CheckpointError::Heads)));
        assert!(matches!(Checkpoint::parse(&file(Some("0"), Dtype::F32)), Err(CheckpointError::Heads)));
        let halves = Checkpoint::parse(&file(Some("4"), Dtype::F16)).unwrap();
        assert!(matches!(halves.matrix("tokens.weight"), Err(CheckpointError::Tensor { .. })));
    }
}
