//! Contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994) with the conventions of scikit-image.

use crate::kernels::pattern::plan::{LEVELS, Tiles};

/// Most bins of a histogram.
const MOST: usize = 256;

/// Bins of all pixels, and the grey level that each tile makes of each bin.
#[derive(Default)]
pub(super) struct Maps {
    bins: Vec<u8>,
    levels: Vec<u16>,
}

impl Maps {
    /// Replaces `values`, which span `range`, by grey levels 0 … 16383.
    pub(super) fn run(&mut self, tiles: &Tiles, range: [f32; 2], values: &mut [f32], width: usize) {
        let height = values.len() / width;
        let span = range[1] - range[0];
        let scale = if span > 0.0 { (LEVELS - 1) as f32 / span } else { 0.0 };
        self.bins.clear();
        let bin = |v: &f32| (((v - range[0]) * scale).round_ties_even() as usize / tiles.width) as u8;
        self.bins.extend(values.iter().map(bin));
        let [ny, nx] = tiles.count;
        let [ky, kx] = tiles.size;
        self.levels.resize(ny * nx * tiles.bins, 0);
        for (tile, levels) in self.levels.chunks_exact_mut(tiles.bins).enumerate() {
            let (top, left) = (tile / nx * ky, tile % nx * kx);
            let mut counts = [0u32; MOST];
            let counts = &mut counts[..tiles.bins];
            for y in top..top + ky {
                let line = reflect(y as isize, height) * width;
                for x in left..left + kx {
                    counts[usize::from(self.bins[line + reflect(x as isize, width)])] += 1;
                }
            }
            clip(counts, tiles.limit);
            map(counts, (ky * kx) as f64, levels);
        }
        for y in 0..height {
            let (above, fy) = part(y, ky);
            for x in 0..width {
                let (before, fx) = part(x, kx);
                let bin = usize::from(self.bins[y * width + x]);
                let at = |dy: isize, dx: isize| {
                    let row = (above + dy).clamp(0, ny as isize - 1) as usize;
                    let column = (before + dx).clamp(0, nx as isize - 1) as usize;
                    f64::from(self.levels[(row * nx + column) * tiles.bins + bin])
                };
                let mut sum = 0f32;
                for (dy, dx, weight) in [
                    (0, 0, (1.0 - fy) * (1.0 - fx)),
                    (0, 1, (1.0 - fy) * fx),
                    (1, 0, fy * (1.0 - fx)),
                    (1, 1, fy * fx),
                ] {
                    sum += (at(dy, dx) * weight) as f32;
                }
                values[y * width + x] = sum;
            }
        }
    }
}

/// Mirrored without the border pixel.
fn reflect(i: isize, n: usize) -> usize {
    let period = 2 * (n as isize - 1).max(1);
    let i = i.rem_euclid(period);
    if i < n as isize { i as usize } else { (period - i) as usize }
}

/// Number of the tile whose centre lies before pixel `i`, and the way from there to the next one in parts.
/// The pattern is padded by half a tile before.
fn part(i: usize, size: usize) -> (isize, f64) {
    let padded = i + size / 2;
    ((padded / size) as isize - 1, (padded % size) as f64 / size as f64)
}

/// Cuts bins at `limit` and spreads what was cut off over the others.
fn clip(counts: &mut [u32], limit: u32) {
    let mut excess: i64 = counts.iter().map(|&c| i64::from(c.saturating_sub(limit))).sum();
    counts.iter_mut().for_each(|c| *c = (*c).min(limit));
    let each = excess / counts.len() as i64;
    let upper = i64::from(limit) - each;
    for c in counts.iter_mut() {
        if i64::from(*c) < upper {
            excess -= each;
            *c += each as u32;
        }
        // What is now almost full is filled up.
        if i64::from(*c) >= upper && *c < limit {
            excess -= i64::from(limit - *c);
            *c = limit;
        }
    }
    while excess > 0 {
        let before = excess;
        for first in 0..counts.len() {
            let under = counts.iter().filter(|&&c| c < limit).count() as i64;
            let step = (under / excess).max(1) as usize;
            let mut given = 0;
            for c in counts[first..].iter_mut().step_by(step).filter(|c| **c < limit) {
                *c += 1;
                given += 1;
            }
            excess -= given;
            if excess <= 0 {
                break;
            }
        }
        if excess == before {
            break;
        }
    }
}

/// Grey levels from the running sum of a histogram.
fn map(counts: &[u32], pixels: f64, levels: &mut [u16]) {
    let scale = (LEVELS - 1) as f64 / pixels;
    let mut sum = 0u64;
    for (level, &c) in levels.iter_mut().zip(counts) {
        sum += u64::from(c);
        *level = (sum as f64 * scale).min((LEVELS - 1) as f64) as u16;
    }
}
