//! Single hot or dead pixels: compared with the order of their eight neighbours.

use crate::backend::cpu::isa::{Isa, per_isa};

/// Comparisons that sort eight numbers (Batcher's odd-even merge).
const NETWORK: [(usize, usize); 19] = [
    (0, 1),
    (2, 3),
    (4, 5),
    (6, 7),
    (0, 2),
    (1, 3),
    (4, 6),
    (5, 7),
    (1, 2),
    (5, 6),
    (0, 4),
    (1, 5),
    (2, 6),
    (3, 7),
    (2, 4),
    (3, 5),
    (1, 2),
    (3, 4),
    (5, 6),
];

/// Neighbours (y, x).
const AROUND: [(isize, isize); 8] = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)];

/// Copies `values` to `out` with outliers replaced. Neighbours beyond the border are mirrored without the border pixel.
pub(super) fn remove_hot(isa: Isa, values: &[f32], out: &mut [f32], width: usize, factor: f32) {
    let height = values.len() / width;
    // The neighbour that stands for −1 or n is the one on the other side.
    let mirror = |i: isize, n: usize| match i {
        -1 => 1.min(n - 1),
        i if i as usize >= n => n.saturating_sub(2),
        i => i as usize,
    };
    for (y, out) in out.chunks_exact_mut(width).enumerate() {
        let line = |dy: isize| &values[mirror(y as isize + dy, height) * width..][..width];
        let lines = [line(-1), line(0), line(1)];
        row(isa, lines, out, factor);
        for x in [0, width - 1] {
            let around = AROUND.map(|(dy, dx)| lines[(dy + 1) as usize][mirror(x as isize + dx, width)]);
            out[x] = judge(lines[1][x], around, factor);
        }
    }
}

per_isa! {
    /// All but the first and last pixel of a row.
    fn row(lines: [&[f32]; 3], out: &mut [f32], factor: f32) {
        let n = out.len();
        if n < 3 {
            return;
        }
        for x in 1..n - 1 {
            let around = AROUND.map(|(dy, dx)| lines[(dy + 1) as usize][(x as isize + dx) as usize]);
            out[x] = judge(lines[1][x], around, factor);
        }
    }
}

/// The pixel, or the median of its neighbours if it is too far from it.
#[inline(always)]
fn judge(v: f32, mut around: [f32; 8], factor: f32) -> f32 {
    for (a, b) in NETWORK {
        let (x, y) = (around[a], around[b]);
        around[a] = if y < x { y } else { x };
        around[b] = if y < x { x } else { y };
    }
    let median = 0.5 * (around[3] + around[4]);
    let spread = around[6] - around[1];
    if (v - median).abs() > factor * spread { median } else { v }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_sorts_all_patterns_of_zeros_and_ones() {
        for bits in 0..256u32 {
            let mut x: [u32; 8] = std::array::from_fn(|i| bits >> i & 1);
            for (a, b) in NETWORK {
                (x[a], x[b]) = (x[a].min(x[b]), x[a].max(x[b]));
            }
            assert!(x.is_sorted(), "{bits:08b}");
        }
    }

    #[test]
    fn one_hot_pixel_goes_and_the_rest_stays() {
        let clean: Vec<f32> = (0..35).map(|i| (i % 7 + i / 7) as f32).collect();
        for at in 0..35 {
            let mut hot = clean.clone();
            hot[at] += 1000.0;
            let mut out = vec![0.0; 35];
            remove_hot(Isa::active(), &hot, &mut out, 7, 5.0);
            assert!((out[at] - clean[at]).abs() <= 1.5, "pixel {at}: {}", out[at]);
            assert!((0..35).all(|i| i == at || out[i] == clean[i]), "pixel {at}");
        }
    }
}
