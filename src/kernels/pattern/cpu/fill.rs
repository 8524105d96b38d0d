//! Pixels that are no use, filled from their neighbours.

use crate::kernels::pattern::plan::{Fill, Plan};
use crate::pixel::Sample;

/// Replaces pixels by the mean of others. Returns how many.
pub(super) fn fill_from(fill: &Fill, values: &mut [f32]) -> u64 {
    for (i, &at) in fill.pixels.iter().enumerate() {
        let sources = &fill.sources[fill.starts[i] as usize..fill.starts[i + 1] as usize];
        let sum: f32 = sources.iter().map(|&s| values[s as usize]).sum();
        values[at as usize] = sum / sources.len() as f32;
    }
    fill.pixels.len() as u64
}

/// Means over the finite pixels of each block, and of the smallest square around a block that has any; 0 if none has.
/// Returns the number of raw pixels that were not finite.
pub(super) fn fill_missing<T: Sample>(raw: &[T], plan: &Plan, values: &mut [f32]) -> u64 {
    let (rows, columns, bin) = (plan.frame.height, plan.frame.width, plan.bin);
    let mean = |top: usize, left: usize, bottom: usize, right: usize| {
        let (mut sum, mut n) = (0.0, 0);
        for y in top..bottom {
            for v in &raw[y * columns + left..y * columns + right] {
                let v = v.to_f32();
                if v.is_finite() {
                    sum += v;
                    n += 1;
                }
            }
        }
        (n > 0).then(|| sum / n as f32)
    };
    for (i, out) in values.iter_mut().enumerate().filter(|(_, v)| !v.is_finite()) {
        let (y, x) = (i / plan.width * bin, i % plan.width * bin);
        let around = |r: usize| {
            mean(
                y.saturating_sub(r),
                x.saturating_sub(r),
                (y + bin + r).min(rows),
                (x + bin + r).min(columns),
            )
        };
        *out = (0..rows.max(columns)).find_map(around).unwrap_or(0.0);
    }
    raw.iter().filter(|v| !v.to_f32().is_finite()).count() as u64
}
