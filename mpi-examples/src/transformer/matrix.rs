//! Matrices in rows.

use std::ops::Range;

/// A matrix of 32-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// From its rows, one behind the other.
    pub(super) fn new(columns: usize, values: Vec<f32>) -> Matrix {
        Matrix { columns, values }
    }

    pub(super) fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn row(&self, at: usize) -> &[f32] {
        &self.values[at * self.columns..(at + 1) * self.columns]
    }

    pub(super) fn take_rows(&self, rows: Range<usize>) -> Matrix {
        let values = self.values[rows.start * self.columns..rows.end * self.columns].to_vec();
        Matrix { columns: self.columns, values }
    }

    pub(super) fn take_columns(&self, columns: Range<usize>) -> Matrix {
        let values = self.values.chunks(self.columns).flat_map(|row| row[columns.clone()].to_vec()).collect();
        Matrix { columns: columns.len(), values }
    }

    /// The product with a vector.
    pub(super) fn times(&self, x: &[f32]) -> Vec<f32> {
        self.values.chunks(self.columns).map(|row| super::dot(row, x)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_product_add_up() {
        let matrix = Matrix::new(4, (1..=8).map(|n| n as f32).collect());
        let x = [1.0, 10.0, 100.0, 1000.0];
        assert_eq!(matrix.times(&x), [4321.0, 8765.0]);
        assert_eq!(matrix.take_rows(1..2).times(&x), [8765.0]);
        assert_eq!(matrix.take_columns(0..2).times(&x[..2]), [21.0, 65.0]);
        assert_eq!(matrix.take_columns(2..4).times(&x[2..]), [4300.0, 8700.0]);
    }
}
