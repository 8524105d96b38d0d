//! Exact percentiles: a sample brackets the order statistics, one sweep counts and collects, the few collected are selected from.

use crate::backend::cpu::isa::{Isa, per_isa};
use crate::kernels::pattern::plan::Rank;

/// Numbers in the sample, about.
const SAMPLE: usize = 1024;

/// Buffers of the selection.
#[derive(Default)]
pub(super) struct Select {
    sample: Vec<f32>,
    near: Vec<f32>,
}

impl Select {
    /// The percentiles `low` and `high` of finite values.
    pub(super) fn range(&mut self, isa: Isa, values: &[f32], low: Rank, high: Rank) -> [f32; 2] {
        // An odd stride visits all columns of patterns whose width is a power of two.
        let stride = (values.len() / SAMPLE) | 1;
        self.sample.clear();
        self.sample.extend(values.iter().copied().step_by(stride));
        self.sample.sort_unstable_by(f32::total_cmp);
        [low, high].map(|rank| {
            let (a, b) = self.pair(isa, values, rank.below);
            rank.between(a, b)
        })
    }

    /// The order statistics `rank` and `rank` + 1 (the last one twice).
    fn pair(&mut self, isa: Isa, values: &[f32], rank: usize) -> (f32, f32) {
        let n = self.sample.len();
        let middle = rank * n / values.len();
        // Five standard deviations of a binomial, and a few for the tails.
        let part = middle as f64 / n as f64;
        let margin = (5.0 * (n as f64 * part * (1.0 - part)).sqrt()) as usize + 4;
        let low = if middle > margin {
            self.sample[middle - margin]
        } else {
            f32::NEG_INFINITY
        };
        let high = if middle + margin < n {
            self.sample[middle + margin]
        } else {
            f32::INFINITY
        };
        self.near.clear();
        let below = collect(isa, values, low, high, &mut self.near);
        let wanted = rank.wrapping_sub(below);
        if rank < below || wanted + 1 >= self.near.len() && below + self.near.len() < values.len() {
            // An unlucky sample: select from all.
            self.near.clear();
            self.near.extend_from_slice(values);
            return select(&mut self.near, rank);
        }
        select(&mut self.near, wanted)
    }
}

fn select(values: &mut [f32], rank: usize) -> (f32, f32) {
    let (_, &mut a, after) = values.select_nth_unstable_by(rank, f32::total_cmp);
    let b = after.iter().copied().min_by(f32::total_cmp).unwrap_or(a);
    (a, b)
}

per_isa! {
    /// Collects the values from `low` to `high`; returns how many are smaller.
    fn collect(values: &[f32], low: f32, high: f32, out: &mut Vec<f32>) -> usize {
        let mut below = [0u32; 16];
        let (chunks, rest) = values.as_chunks::<16>();
        for chunk in chunks {
            let mut hits = 0u32;
            for l in 0..16 {
                below[l] += u32::from(chunk[l] < low);
                hits |= u32::from(chunk[l] >= low) & u32::from(chunk[l] <= high);
            }
            if hits != 0 {
                out.extend(chunk.iter().filter(|v| **v >= low && **v <= high));
            }
        }
        out.extend(rest.iter().filter(|v| **v >= low && **v <= high));
        below.iter().sum::<u32>() as usize + rest.iter().filter(|v| **v < low).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_statistics_are_those_of_sorting() {
        let mut state = 1u32;
        let mut number = || {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            state >> 8
        };
        for n in [1, 2, 3, 17, 1000, 5000, 40_000] {
            for kind in 0..3 {
                let values: Vec<f32> = (0..n)
                    .map(|i| match kind {
                        0 => number() as f32 / 1e5 - 30.0,
                        // Many ties, and values that follow the stride of the sample.
                        1 => (number() % 7) as f32,
                        _ => (i % 39) as f32 * 1e6,
                    })
                    .collect();
                let mut sorted = values.clone();
                sorted.sort_unstable_by(f32::total_cmp);
                for q in [0.0, 0.01, 0.5, 1.0, 37.0, 50.0, 99.0, 99.99, 100.0] {
                    let rank = Rank::new(q, n);
                    let next = sorted[(rank.below + 1).min(n - 1)];
                    let expected = rank.between(sorted[rank.below], next);
                    let found = Select::default().range(Isa::active(), &values, rank, rank);
                    assert_eq!(found, [expected; 2], "{n} values of kind {kind}, {q} %");
                }
            }
        }
    }
}
