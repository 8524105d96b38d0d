//! Exact percentiles: values are sorted into narrow bins, and only those in the bins of the wanted ranks are looked at one by one.

use crate::backend::cpu::isa::{Isa, per_isa};
use crate::kernels::pattern::plan::Rank;
use std::ops::RangeInclusive;

/// Bins; the tables of them fit the first-level cache.
const BINS: usize = 1024;
/// Tables of counts: equal neighbours would wait for each other in one.
const TABLES: usize = 4;
/// Numbers in the sample that says where bins lie, about, and how many of them may lie beyond at either end.
const SAMPLE: usize = 1024;
const BEYOND: usize = 2;

/// Buffers of the selection.
#[derive(Default)]
pub(super) struct Select {
    keys: Vec<u16>,
    sample: Vec<f32>,
    near: [Vec<f32>; 2],
}

impl Select {
    /// The percentiles `low` and `high` of finite values.
    pub(super) fn range(&mut self, isa: Isa, values: &[f32], low: Rank, high: Rank) -> [f32; 2] {
        let [first, last] = self.extent(values);
        // Where all are equal, or too far apart for a difference, all fall into one bin.
        let scale = (BINS - 1) as f32 / (last - first);
        let scale = if scale.is_finite() { scale } else { 0.0 };
        self.keys.resize(values.len(), 0);
        sort_into_bins(isa, values, first, scale, &mut self.keys);
        let counts = count(&self.keys);
        let [found_low, found_high] = [low, high].map(|rank| bins_of(&counts, rank.below, values.len()));
        let ranges = [found_low.0, found_high.0];
        self.near.iter_mut().for_each(Vec::clear);
        let mut from = 0;
        while let Some(chunk) = next_hit(isa, &self.keys[from..], &ranges) {
            let start = from + chunk * CHUNK;
            let end = (start + CHUNK).min(values.len());
            for (&key, &v) in self.keys[start..end].iter().zip(&values[start..end]) {
                for (near, range) in self.near.iter_mut().zip(&ranges) {
                    if range.contains(&key) {
                        near.push(v);
                    }
                }
            }
            from = end;
        }
        let mut percentile = |i: usize, rank: Rank, below: usize| {
            let (a, b) = select(&mut self.near[i], rank.below - below);
            rank.between(a, b)
        };
        [percentile(0, low, found_low.1), percentile(1, high, found_high.1)]
    }

    /// A range that holds almost all values, so that a few far ones make no bin wide.
    fn extent(&mut self, values: &[f32]) -> [f32; 2] {
        // An odd stride visits all columns of patterns whose width is a power of two.
        let stride = (values.len() / SAMPLE) | 1;
        self.sample.clear();
        self.sample.extend(values.iter().copied().step_by(stride));
        let n = self.sample.len();
        if n <= 2 * BEYOND {
            return [0.0; 2];
        }
        let (_, &mut first, rest) = self.sample.select_nth_unstable_by(BEYOND, f32::total_cmp);
        let last = match rest.len() > BEYOND {
            true => *rest.select_nth_unstable_by(rest.len() - 1 - BEYOND, f32::total_cmp).1,
            false => first,
        };
        [first, last]
    }
}

fn count(keys: &[u16]) -> [u32; BINS] {
    let mut counts = [[0u32; BINS]; TABLES];
    let (chunks, rest) = keys.as_chunks::<{ 2 * TABLES }>();
    for chunk in chunks {
        for (i, &key) in chunk.iter().enumerate() {
            // Keys are below BINS; the remainder says so to the compiler.
            counts[i % TABLES][usize::from(key) % BINS] += 1;
        }
    }
    for &key in rest {
        counts[0][usize::from(key) % BINS] += 1;
    }
    std::array::from_fn(|bin| counts.iter().map(|c| c[bin]).sum())
}

/// The bins of the order statistics `rank` and `rank` + 1 (the last one twice), and how many values lie in bins before.
fn bins_of(counts: &[u32; BINS], rank: usize, n: usize) -> (RangeInclusive<u16>, usize) {
    let next = (rank + 1).min(n - 1);
    let (mut sum, mut first) = (0, None);
    for (bin, &count) in counts.iter().enumerate() {
        let before = sum;
        sum += count as usize;
        if first.is_none() && sum > rank {
            first = Some((bin as u16, before));
        }
        if let Some((first, below)) = first
            && sum > next
        {
            return (first..=bin as u16, below);
        }
    }
    (0..=BINS as u16 - 1, 0)
}

/// The order statistics `rank` and `rank` + 1, the last one twice.
fn select(values: &mut [f32], rank: usize) -> (f32, f32) {
    let (_, &mut a, after) = values.select_nth_unstable_by(rank, f32::total_cmp);
    let b = after.iter().copied().min_by(f32::total_cmp).unwrap_or(a);
    (a, b)
}

per_isa! {
    /// Bin of each value: none is below that of a smaller value.
    fn sort_into_bins(values: &[f32], first: f32, scale: f32, keys: &mut [u16]) {
        const LAST: f32 = (BINS - 1) as f32;
        for (key, v) in keys.iter_mut().zip(values) {
            let bin = (*v - first) * scale;
            let bin = if bin > 0.0 { bin } else { 0.0 };
            let bin = if bin < LAST { bin } else { LAST };
            // Safety: a finite number from 0 to the last bin, since comparisons are false for NaN.
            *key = unsafe { bin.to_int_unchecked::<i32>() } as u16;
        }
    }
}

/// Keys that are looked at together.
const CHUNK: usize = 64;

per_isa! {
    /// The first chunk with a key in one of the ranges.
    fn next_hit(keys: &[u16], ranges: &[RangeInclusive<u16>; 2]) -> Option<usize> {
        let [a, b] = [ranges[0].start(), ranges[1].start()].map(|v| *v);
        let (wide_a, wide_b) = (*ranges[0].end() - a, *ranges[1].end() - b);
        let (chunks, rest) = keys.as_chunks::<CHUNK>();
        for (number, chunk) in chunks.iter().enumerate() {
            let mut hit = 0u16;
            for key in chunk {
                let inside_a = key.wrapping_sub(a) <= wide_a;
                let inside_b = key.wrapping_sub(b) <= wide_b;
                hit |= u16::from(inside_a | inside_b);
            }
            if hit != 0 {
                return Some(number);
            }
        }
        let hit = |key: &u16| key.wrapping_sub(a) <= wide_a || key.wrapping_sub(b) <= wide_b;
        rest.iter().any(hit).then_some(chunks.len())
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
