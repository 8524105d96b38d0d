//! Separable low-pass: down the columns, turn, down the columns, turn back. Columns run in lanes, eight rows of sums stay in
//! registers while their inputs stream past.

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
    taps: Vec<f32>,
    height: usize,
}

impl Lowpass {
    /// Σ weights · pixels around each pixel of a pattern of rows of `width`.
    pub(super) fn run(&mut self, isa: Isa, values: &[f32], width: usize, axes: &[Axis; 2]) {
        let height = values.len() / width;
        self.height = height;
        let (across, down) = (width.div_ceil(LANES), height.div_ceil(LANES));
        self.one.resize((across * height).max(down * width), Lanes::ZERO);
        self.two.resize((across * height).max(down * width), Lanes::ZERO);
        for (to, from) in self.one.chunks_exact_mut(across).zip(values.chunks_exact(width)) {
            let flat: &mut [f32] = bytemuck::cast_slice_mut(to);
            flat[..width].copy_from_slice(from);
            flat[width..].fill(0.0);
        }
        pad(&mut self.taps, &axes[0].weights);
        columns(isa, &self.one, &mut self.two, across, height, &self.taps, &axes[0].sources);
        turn(isa, &self.two, &mut self.one, across, height, width);
        pad(&mut self.taps, &axes[1].weights);
        columns(isa, &self.one, &mut self.two, down, width, &self.taps, &axes[1].sources);
        turn(isa, &self.two, &mut self.one, down, width, height);
    }

    /// Rows of the last result.
    pub(super) fn result(&self, width: usize) -> impl Iterator<Item = &[f32]> {
        let rows = self.one.chunks_exact(width.div_ceil(LANES));
        rows.take(self.height)
            .map(move |row| &bytemuck::cast_slice::<Lanes, f32>(row)[..width])
    }
}

/// Zeros before and after the weights, so that a tile of rows needs no special cases: a term of zero changes no sum.
fn pad(taps: &mut Vec<f32>, weights: &[f32]) {
    taps.clear();
    taps.resize(ROWS - 1, 0.0);
    taps.extend_from_slice(weights);
    taps.resize(weights.len() + 2 * (ROWS - 1), 0.0);
}

per_vector! {
    /// For each row y: Σ_m weights[m] · row sources[y + m], in ascending m.
    fn columns = sum_columns(from: &[Lanes], to: &mut [Lanes], lanes: usize, rows: usize, taps: &[f32], sources: &[u32])
}

#[inline(always)]
fn sum_columns<V: Vector>(from: &[Lanes], to: &mut [Lanes], lanes: usize, rows: usize, taps: &[f32], sources: &[u32]) {
    let window = taps.len() - 2 * (ROWS - 1);
    for top in (0..rows).step_by(ROWS) {
        let live = ROWS.min(rows - top);
        let inputs = &sources[top..top + live + window - 1];
        for column in 0..lanes {
            let mut sums = [V::all(0.0); ROWS];
            for (j, &source) in inputs.iter().enumerate() {
                let value = V::load(&from[source as usize * lanes + column]);
                let taps: &[f32; ROWS] = taps[j..j + ROWS].try_into().expect("as many taps as rows");
                for r in 0..ROWS {
                    sums[r] = sums[r].plus(value.times(V::all(taps[ROWS - 1 - r])));
                }
            }
            for (r, sum) in sums.into_iter().enumerate().take(live) {
                sum.store(&mut to[(top + r) * lanes + column]);
            }
        }
    }
}

crate::backend::cpu::isa::per_isa! {
    /// Transposes `rows` rows of `columns` numbers, `lanes` lanes each.
    fn turn(from: &[Lanes], to: &mut [Lanes], lanes: usize, rows: usize, columns: usize) {
        let to_lanes = rows.div_ceil(LANES);
        for top in (0..rows).step_by(LANES) {
            let live = LANES.min(rows - top);
            for lane in 0..lanes {
                let mut block = [[0f32; LANES]; LANES];
                for (i, row) in block.iter_mut().enumerate().take(live) {
                    *row = from[(top + i) * lanes + lane].0;
                }
                // Four perfect shuffles of rows i and i + 8 exchange the two halves of the index.
                for _ in 0..4 {
                    let before = block;
                    for i in 0..LANES / 2 {
                        for k in 0..LANES / 2 {
                            block[2 * i][2 * k] = before[i][k];
                            block[2 * i][2 * k + 1] = before[i + LANES / 2][k];
                            block[2 * i + 1][2 * k] = before[i][LANES / 2 + k];
                            block[2 * i + 1][2 * k + 1] = before[i + LANES / 2][LANES / 2 + k];
                        }
                    }
                }
                for (j, row) in block.iter().enumerate().take(LANES.min(columns - lane * LANES)) {
                    to[(lane * LANES + j) * to_lanes + top / LANES] = Lanes(*row);
                }
            }
        }
    }
}
