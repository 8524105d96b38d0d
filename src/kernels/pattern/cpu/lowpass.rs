//! Separable low-pass: down the columns, turn, down the columns, turn back. Columns run in lanes, eight rows of sums stay in
//! registers while their inputs stream past; squares of sixteen rows and lanes are turned before they leave the first-level cache.

use crate::backend::cpu::isa::Isa;
use crate::backend::cpu::lanes::{LANES, Lanes, Vector, per_vector};
use crate::kernels::pattern::plan::Axis;

/// Rows whose sums are in registers together.
const ROWS: usize = 8;

/// Padded copies of one pattern.
#[derive(Default)]
pub(super) struct Lowpass {
    one: Vec<Lanes>,
    two: Vec<Lanes>,
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
        columns(isa, from, &mut self.two, [across, height], &axes[0].weights, &axes[0].sources);
        columns(
            isa,
            &self.two,
            &mut self.one,
            [down, width],
            &axes[1].weights,
            &axes[1].sources,
        );
    }

    /// Rows of the last result.
    pub(super) fn result(&self, width: usize) -> impl Iterator<Item = &[f32]> {
        let rows = self.one.chunks_exact(width.div_ceil(LANES));
        rows.take(self.height)
            .map(move |row| &bytemuck::cast_slice::<Lanes, f32>(row)[..width])
    }
}

per_vector! {
    /// For each row y of `rows` rows of `lanes` lanes: Σ_m weights[m] · row sources[y + m], in ascending m; rows become columns.
    fn columns = sum_columns(from: &[Lanes], to: &mut [Lanes], size: [usize; 2], weights: &[f32], sources: &[u32])
}

#[inline(always)]
fn sum_columns<V: Vector>(from: &[Lanes], to: &mut [Lanes], [lanes, rows]: [usize; 2], weights: &[f32], sources: &[u32]) {
    let to_lanes = rows.div_ceil(LANES);
    for top in (0..rows).step_by(LANES) {
        for column in 0..lanes {
            // Rows beyond the last one stay zero.
            let mut square = [Lanes::ZERO; LANES];
            for (part, square) in square.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                let first = top + part * ROWS;
                if first < rows {
                    let live = ROWS.min(rows - first);
                    let inputs = Inputs {
                        from,
                        lanes,
                        column,
                        sources: &sources[first..first + live + weights.len() - 1],
                    };
                    if live == ROWS && weights.len() >= ROWS {
                        eight_rows::<V>(&inputs, weights, square);
                    } else {
                        few_rows::<V>(&inputs, weights, &mut square[..live]);
                    }
                }
            }
            let mut turned = [Lanes::ZERO; LANES];
            V::turn(bytemuck::cast_slice(&square), LANES, &mut turned);
            for (l, turned) in turned.iter().enumerate() {
                to[(column * LANES + l) * to_lanes + top / LANES] = *turned;
            }
        }
    }
}

/// One column of lanes of the rows that `sources` names.
struct Inputs<'a> {
    from: &'a [Lanes],
    lanes: usize,
    column: usize,
    sources: &'a [u32],
}

impl Inputs<'_> {
    #[inline(always)]
    fn load<V: Vector>(&self, j: usize) -> V {
        V::load(&self.from[self.sources[j] as usize * self.lanes + self.column])
    }
}

/// Row r takes inputs r to r + number of weights − 1: all rows but for the first and last seven inputs.
#[inline(always)]
fn eight_rows<V: Vector>(inputs: &Inputs<'_>, weights: &[f32], out: &mut [Lanes; ROWS]) {
    /// Adds input `j`, times its weights, to the rows from `A` to `B`.
    #[inline(always)]
    fn add<V: Vector, const A: usize, const B: usize>(sums: &mut [V; ROWS], inputs: &Inputs<'_>, weights: &[f32], j: usize) {
        let value = inputs.load::<V>(j);
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
                let value = inputs.load::<V>(j);
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
fn few_rows<V: Vector>(inputs: &Inputs<'_>, weights: &[f32], out: &mut [Lanes]) {
    for (r, out) in out.iter_mut().enumerate() {
        let mut sum = V::all(0.0);
        for (m, &weight) in weights.iter().enumerate() {
            sum = sum.plus(inputs.load::<V>(r + m).times(V::all(weight)));
        }
        sum.store(out);
    }
}
