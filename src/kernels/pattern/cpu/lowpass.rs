//! Separable low-pass: down the columns, turn, down the columns, turn back. Columns run in lanes, some rows of sums stay in
//! registers while their inputs stream past; squares of sixteen rows and lanes are turned before they leave the first-level cache.

mod mirrored;

use crate::backend::cpu::isa::Isa;
use crate::backend::cpu::lanes::{LANES, Lanes, Vector, per_vector};
use crate::kernels::pattern::plan::Axis;

/// Rows whose sums are in registers together where weights do not mirror.
const ROWS: usize = 8;

/// Padded copies of one pattern.
#[derive(Default)]
pub(super) struct Lowpass {
    one: Vec<Lanes>,
    two: Vec<Lanes>,
    column: Vec<Lanes>,
    height: usize,
}

impl Lowpass {
    /// Σ weights · pixels around each pixel of a pattern of rows of `width`.
    pub(super) fn run(&mut self, isa: Isa, values: &[f32], width: usize, axes: &[Axis; 2]) {
        let height = values.len() / width;
        self.height = height;
        let (across, down) = (width.div_ceil(LANES), height.div_ceil(LANES));
        // Turned squares may fill rows beyond the last one.
        self.one.resize(across * down * LANES, Lanes::ZERO);
        self.two.resize(across * down * LANES, Lanes::ZERO);
        // Patterns that lie as lanes do already need no copy.
        let from = match bytemuck::try_cast_slice::<f32, Lanes>(values) {
            Ok(lanes) if width.is_multiple_of(LANES) => lanes,
            _ => {
                for (to, from) in self.one.chunks_exact_mut(across).zip(values.chunks_exact(width)) {
                    let flat: &mut [f32] = bytemuck::cast_slice_mut(to);
                    flat[..width].copy_from_slice(from);
                    flat[width..].fill(0.0);
                }
                &self.one
            }
        };
        columns(isa, from, &mut self.two, [across, height], &axes[0], &mut self.column);
        columns(isa, &self.two, &mut self.one, [down, width], &axes[1], &mut self.column);
    }

    /// Rows of the last result.
    pub(super) fn result(&self, width: usize) -> impl Iterator<Item = &[f32]> {
        let rows = self.one.chunks_exact(width.div_ceil(LANES));
        rows.take(self.height)
            .map(move |row| &bytemuck::cast_slice::<Lanes, f32>(row)[..width])
    }
}

per_vector! {
    /// For each row y of `rows` rows of `lanes` lanes: Σ_m weights[m] · row sources[y + m]; rows become columns. `column` is a buffer.
    fn columns = sum_columns(from: &[Lanes], to: &mut [Lanes], size: [usize; 2], axis: &Axis, column: &mut Vec<Lanes>)
}

#[inline(always)]
fn sum_columns<V: Vector>(from: &[Lanes], to: &mut [Lanes], [lanes, rows]: [usize; 2], axis: &Axis, column: &mut Vec<Lanes>) {
    let weights = &axis.weights[..];
    let mirrored = mirrored::is(weights);
    let to_lanes = rows.div_ceil(LANES);
    for left in 0..lanes {
        // All inputs of a column, side by side in the first-level cache.
        column.clear();
        column.extend(axis.sources.iter().map(|&row| from[row as usize * lanes + left]));
        for top in (0..rows).step_by(LANES) {
            // Rows beyond the last one stay zero.
            let mut square = [Lanes::ZERO; LANES];
            let live = LANES.min(rows - top);
            let inputs = &column[top..top + live + weights.len() - 1];
            if mirrored {
                mirrored::rows::<V>(inputs, weights, &mut square[..live]);
            } else {
                any_rows::<V>(inputs, weights, &mut square[..live]);
            }
            let mut turned = [Lanes::ZERO; LANES];
            V::turn(bytemuck::cast_slice(&square), LANES, &mut turned);
            for (l, turned) in turned.iter().enumerate() {
                to[(left * LANES + l) * to_lanes + top / LANES] = *turned;
            }
        }
    }
}

/// Row r takes inputs r to r + number of weights − 1, in ascending order.
#[inline(always)]
fn any_rows<V: Vector>(inputs: &[Lanes], weights: &[f32], out: &mut [Lanes]) {
    let (blocks, rest) = out.as_chunks_mut::<ROWS>();
    let first = blocks.len() * ROWS;
    for (block, out) in blocks.iter_mut().enumerate() {
        let inputs = &inputs[block * ROWS..];
        if weights.len() >= ROWS {
            eight_rows::<V>(inputs, weights, out);
        } else {
            few_rows::<V>(inputs, weights, out);
        }
    }
    few_rows::<V>(&inputs[first..], weights, rest);
}

/// Eight rows of these. Only some of them take the first and last seven inputs.
#[inline(always)]
fn eight_rows<V: Vector>(inputs: &[Lanes], weights: &[f32], out: &mut [Lanes; ROWS]) {
    /// Adds input `j`, times its weights, to the rows from `A` to `B`.
    #[inline(always)]
    fn add<V: Vector, const A: usize, const B: usize>(sums: &mut [V; ROWS], inputs: &[Lanes], weights: &[f32], j: usize) {
        let value = V::load(&inputs[j]);
        for r in A..B {
            sums[r] = sums[r].plus(value.times(V::all(weights[j - r])));
        }
    }
    let n = weights.len();
    let mut sums = [V::all(0.0); ROWS];
    macro_rules! ramp {
        ($($j:literal)*) => {
            $(add::<V, 0, { $j + 1 }>(&mut sums, inputs, weights, $j);)*
            for (j, weights) in (ROWS - 1..n).zip(weights.windows(ROWS)) {
                let weights: &[f32; ROWS] = weights.as_chunks().0.first().unwrap_or(&[0.0; ROWS]);
                let value = V::load(&inputs[j]);
                for r in 0..ROWS {
                    sums[r] = sums[r].plus(value.times(V::all(weights[ROWS - 1 - r])));
                }
            }
            $(add::<V, { $j + 1 }, ROWS>(&mut sums, inputs, weights, n + $j);)*
        };
    }
    ramp!(0 1 2 3 4 5 6);
    for (out, sum) in out.iter_mut().zip(sums) {
        sum.store(out);
    }
}

/// The same for fewer rows, or windows shorter than eight rows.
#[inline(always)]
fn few_rows<V: Vector>(inputs: &[Lanes], weights: &[f32], out: &mut [Lanes]) {
    for (r, out) in out.iter_mut().enumerate() {
        let mut sum = V::all(0.0);
        for (m, &weight) in weights.iter().enumerate() {
            sum = sum.plus(V::load(&inputs[r + m]).times(V::all(weight)));
        }
        sum.store(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths around the blocks of both ways of adding, weights that mirror and weights that do not, sizes around blocks of rows and lanes.
    #[test]
    fn sums_are_those_of_two_plain_loops() {
        for (height, width) in [(1, 1), (3, 18), (16, 16), (13, 47), (41, 32)] {
            let values: Vec<f32> = (0..height * width)
                .map(|i| ((i * 7919 + i * i) % 1013) as f32 / 7.0)
                .collect();
            for n in [1, 2, 3, 4, 7, 8, 9, 16, 17, 18, 19, 35, 60] {
                for mirror in [false, true] {
                    let weights: Vec<f32> = (0..n)
                        .map(|m| 0.3 + (if mirror { m.min(n - 1 - m) } else { m } as f32 * 0.37).sin())
                        .collect();
                    assert_eq!(mirrored::is(&weights), n > 1 && mirror);
                    let axes = [height, width].map(|edge| Axis {
                        weights: weights.clone(),
                        sources: (0..edge + n - 1).map(|j| (j * 5 % edge) as u32).collect(),
                    });
                    let sum = |from: &dyn Fn(usize) -> f64| (0..n).map(|m| f64::from(weights[m]) * from(m)).sum::<f64>();
                    let source = |axis: usize, j: usize| axes[axis].sources[j] as usize;
                    let expected = |y: usize, x: usize| {
                        sum(&|my| sum(&|mx| f64::from(values[source(0, y + my) * width + source(1, x + mx)])))
                    };
                    let mut baseline: Option<Vec<f32>> = None;
                    for isa in Isa::available() {
                        let mut lowpass = Lowpass::default();
                        lowpass.run(isa, &values, width, &axes);
                        let found: Vec<f32> = lowpass.result(width).flatten().copied().collect();
                        for (i, &v) in found.iter().enumerate() {
                            let e = expected(i / width, i % width);
                            let size = weights.iter().map(|w| f64::from(w.abs())).sum::<f64>().powi(2) * 150.0;
                            assert!(
                                (f64::from(v) - e).abs() < 2e-6 * size,
                                "{height} × {width}, {n} weights, {i}: {v}, {e}"
                            );
                        }
                        match &baseline {
                            None => baseline = Some(found),
                            Some(first) => assert!(first.iter().map(|v| v.to_bits()).eq(found.iter().map(|v| v.to_bits()))),
                        }
                    }
                }
            }
        }
    }
}
