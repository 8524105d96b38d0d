//! Products of rows: exact as integers, against float64, on every instruction set.

use emstream::backend::cpu::isa::Isa;
use emstream::backend::cpu::product::{Pairs, PairsWorker, Quantised};
use ndarray::{Array2, s};

/// Numbers between −1 and 1.
fn numbers(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(i, j)| {
        let mixed = (seed + (i * columns + j) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

const SHAPES: [[usize; 3]; 8] = [
    [1, 1, 1],
    [1, 16, 3],
    [13, 17, 255],
    [12, 32, 256],
    [25, 40, 257],
    [7, 600, 31],
    [200, 33, 513],
    [3, 5, 3600],
];

#[test]
fn integers_are_exact_and_within_their_bounds() {
    for [m, n, d] in SHAPES {
        let (mut left, mut right) = (numbers(m, d, 5), numbers(n, d, 77));
        // Large and small rows, rows of zeros, one number that stands out, equal numbers: the largest sums that can be.
        left.row_mut(0).fill(3.0e20);
        right.row_mut(0).fill(-1.0e-20);
        right.row_mut(n / 2).fill(0.0);
        if d > 2 {
            left[[m / 2, 1]] = 1.0e4;
        }
        right.slice_mut(s![n - 1, ..]).mapv_inplace(|v| v * 1e10);
        let panels = Pairs::new(right.view());
        for isa in Isa::available() {
            let mut worker = PairsWorker::new(isa);
            let rows: Vec<Quantised> = left.rows().into_iter().map(Quantised::new).collect();
            let packed: Vec<f32> = rows.iter().flat_map(|r| r.pairs().to_vec()).collect();
            let found = worker.times(&packed, &panels, 0..panels.count()).to_vec();
            for (i, row) in rows.iter().enumerate() {
                for (j, right) in right.rows().into_iter().enumerate() {
                    let other = Quantised::new(right);
                    let whole = |q: &Quantised| {
                        let both = |v: &f32| [v.to_bits() as i16, (v.to_bits() >> 16) as i16];
                        q.pairs().iter().flat_map(both).collect::<Vec<_>>()
                    };
                    let exact: i64 = whole(row)
                        .iter()
                        .zip(whole(&other))
                        .map(|(&a, b)| i64::from(a) * i64::from(b))
                        .sum();
                    let v = found[i * panels.count() + j / 16][j % 16];
                    assert_eq!(i64::from(v), exact, "{isa}, {m}×{n}×{d}: {i}, {j}");
                    assert!(other.error <= panels.error());
                    let length = |v: ndarray::ArrayView1<f32>| v.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
                    let truth: f64 = left
                        .row(i)
                        .iter()
                        .zip(right)
                        .map(|(&a, &b)| f64::from(a) * f64::from(b))
                        .sum();
                    let (a, b) = (length(left.row(i)), length(right));
                    let bound = row.error * b + (a + row.error) * other.error + 1e-12 * a * b;
                    let found = f64::from(v) * row.unit * other.unit;
                    assert!(
                        (found - truth).abs() <= bound,
                        "{m}×{n}×{d}: {i}, {j}: {found} {truth} {bound}"
                    );
                    assert!(
                        row.error <= (0.6 * (d as f64).sqrt() / 32_000.0 + 1e-5) * a,
                        "{} {a}",
                        row.error
                    );
                }
            }
        }
    }
}
