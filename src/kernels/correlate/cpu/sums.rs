//! From pixels to maps of correlations: crops side by side in lanes, or whole frames.

use super::Window;
use super::crop::{Crop, Gather, Outside, Shifted, logs, minimum, shift};
use super::evaluate::Maps;
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::lanes::{Complex, LANES, Lanes, Vector, per_vector};
use crate::kernels::correlate::plan::{Axis, Direct, NONE, Plan, Spectral, Sums};
use crate::kernels::correlate::{Method, Recipe};

/// Windows of a lane group.
pub(super) type Group = [Option<Window>; LANES];

/// Crops that wait until all lanes are filled. A direct sum has one crop per lane, a transform two (real and imaginary part).
pub(super) struct Pending<'f, T> {
    crops: [[Option<Crop<'f, T>>; LANES]; 2],
    windows: [Group; 2],
    used: usize,
}

impl<T: Shifted> Pending<'_, T> {
    pub(super) fn new() -> Self {
        Pending {
            crops: [[None; LANES]; 2],
            windows: [[None; LANES]; 2],
            used: 0,
        }
    }
}

/// Crops side by side.
pub(super) struct Windows {
    /// Direct sums: log-scaled crops, continued to the region that the sums read, and their maps.
    crops: Vec<Lanes>,
    region: Vec<Lanes>,
    maps: Vec<Lanes>,
    /// Transforms: rows of the window, then of its spectrum, then of its map; one line before and after continuation; scratch.
    data: Vec<Complex>,
    line: [Vec<Complex>; 2],
    scratch: Vec<Complex>,
}

impl Windows {
    pub(super) fn bytes(plan: &Plan) -> u64 {
        let (edge, n) = (plan.reach().0 as u64, plan.window() as u64);
        64 * match &plan.sums {
            Sums::Direct(d) => edge * edge + n * n + (d.width * d.height) as u64,
            Sums::Spectral(s) => 2 * (s.y.n * s.x.m + 4 * s.y.m.max(s.x.m)) as u64,
        }
    }

    pub(super) fn new(plan: &Plan) -> Self {
        let (edge, n) = (plan.reach().0, plan.window());
        let (direct, region, data, line) = match &plan.sums {
            Sums::Direct(d) => (1, d.width * d.height, 0, 0),
            Sums::Spectral(s) => (0, 0, s.y.n * s.x.m, s.y.m.max(s.x.m)),
        };
        Windows {
            crops: vec![Lanes::ZERO; direct * edge * edge],
            region: vec![Lanes::ZERO; region],
            maps: vec![Lanes::ZERO; direct * n * n],
            data: vec![Complex::ZERO; data],
            line: [(); 2].map(|_| vec![Complex::ZERO; line]),
            scratch: vec![Complex::ZERO; 2 * line],
        }
    }

    /// Takes the crops of one frame; its peaks go to `first` and after. Whole groups go to `done`.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn frame<'f, T: Shifted>(
        &mut self,
        isa: Isa,
        plan: &Plan,
        frame: &'f [T],
        expected: &[[i32; 2]],
        first: usize,
        pending: &mut Pending<'f, T>,
        mut done: impl FnMut(Maps<'_>, &Group),
    ) {
        let (edge, before) = plan.reach();
        let outside = match (plan.params().method, plan.params().recipe) {
            _ if expected.is_empty() => return,
            (Method::Sparse { .. }, _) => Outside::Below(minimum(isa, frame)),
            (_, Recipe::Published) => Outside::Zero,
            _ => Outside::Nothing,
        };
        let halves = match plan.sums {
            Sums::Direct(_) => 1,
            Sums::Spectral(_) => 2,
        };
        // Where the window begins in the crop: at its start, or, for the stamp, where displacement −s lies.
        let margin = (edge - plan.window()) / 2;
        for (pair, members) in expected.chunks(halves).enumerate() {
            for (half, p) in members.iter().enumerate() {
                let origin = p.map(|v| v - before as i32);
                pending.crops[half][pending.used] = Some(Crop {
                    frame,
                    width: plan.shape().width,
                    origin,
                    outside,
                });
                pending.windows[half][pending.used] = Some(Window {
                    peak: first + pair * halves + half,
                    origin: origin.map(|v| v + margin as i32),
                });
            }
            pending.used += 1;
            if pending.used == LANES {
                self.flush(isa, plan, pending, &mut done);
            }
        }
    }

    /// Works on the lanes that are filled.
    pub(super) fn flush<T: Shifted>(
        &mut self,
        isa: Isa,
        plan: &Plan,
        pending: &mut Pending<'_, T>,
        mut done: impl FnMut(Maps<'_>, &Group),
    ) {
        if pending.used == 0 {
            return;
        }
        let edge = plan.reach().0;
        match &plan.sums {
            Sums::Direct(d) => {
                let mut crops = Gather::new(isa, &pending.crops[0], edge);
                for (y, row) in self.crops.chunks_exact_mut(edge).enumerate() {
                    crops.row(isa, y, row, 1);
                }
                for (place, &source) in self.region.iter_mut().zip(&d.source) {
                    *place = self.crops[source as usize];
                }
                direct(isa, d, &self.region, &mut self.maps);
                done(Maps::dense(&self.maps, plan.window()), &pending.windows[0]);
            }
            Sums::Spectral(s) => {
                let crops = [0, 1].map(|half| Gather::new(isa, &pending.crops[half], edge));
                self.transforms(isa, s, crops);
                let lanes: &[Lanes] = bytemuck::cast_slice(&self.data);
                // Real and imaginary part are still exchanged.
                for (half, windows) in pending.windows.iter().enumerate() {
                    let maps = Maps {
                        n: plan.window(),
                        lanes: &lanes[1 - half..],
                        pitch: 2 * s.x.m,
                        step: 2,
                    };
                    done(maps, windows);
                }
            }
        }
        *pending = Pending::new();
    }

    /// Circular correlation of 32 crops with 16 complex transforms, line by line; maps come out in rows of `data`.
    fn transforms<T: Shifted>(&mut self, isa: Isa, s: &Spectral, mut crops: [Gather<'_, '_, T>; 2]) {
        // A template that is not square makes the continued lengths differ.
        let (n, height, width) = (s.y.n, s.y.m, s.x.m);
        let Windows {
            data,
            line: [line, longer],
            scratch,
            ..
        } = self;
        for (y, row) in data.chunks_exact_mut(width).enumerate() {
            let lanes: &mut [Lanes] = bytemuck::cast_slice_mut(line);
            for (half, crops) in crops.iter_mut().enumerate() {
                crops.row(isa, y, &mut lanes[half..], 2);
            }
            let from = continued(&s.x, (line, 1), longer);
            s.x.fft.between(isa, from, (row, 1), None, scratch);
        }
        for x in 0..width {
            let from = continued(&s.y, (&data[x..], width), longer);
            let spectrum = &s.spectrum[x * height..(x + 1) * height];
            s.y.fft.between(isa, from, (line, 1), Some(spectrum), scratch);
            if n == height {
                s.y.fft.between(isa, (line, 1), (&mut data[x..], width), None, scratch);
            } else {
                s.y.fft.forward(isa, line, scratch);
                for (z, v) in data[x..].iter_mut().step_by(width).zip(&*line) {
                    *z = *v;
                }
            }
        }
        for row in data.chunks_exact_mut(width) {
            s.x.fft.forward(isa, row, scratch);
        }
    }
}

/// The input of a transform along `axis`: n numbers `from.1` apart, or in `longer` their continuation.
fn continued<'a>(axis: &Axis, from: (&'a [Complex], usize), longer: &'a mut [Complex]) -> (&'a [Complex], usize) {
    if axis.m == axis.n {
        return from;
    }
    for (z, &i) in longer.iter_mut().zip(&axis.source) {
        *z = match i {
            NONE => Complex::ZERO,
            i => from.0[i as usize * from.1],
        };
    }
    (longer, 1)
}

/// Outputs of a direct sum that are worked on together.
const BLOCK: usize = 4;

per_vector! {
    /// Direct sums, taps in ascending order.
    fn direct = direct_sums(d: &Direct, region: &[Lanes], map: &mut [Lanes])
}

#[inline(always)]
fn direct_sums<V: Vector>(d: &Direct, region: &[Lanes], map: &mut [Lanes]) {
    for y in 0..d.out {
        let mut x = 0;
        while x < d.out {
            // The last block overlaps the one before.
            let at = x.min(d.out - BLOCK);
            let from = &region[y * d.width + at..];
            let mut sums = [V::all(0.0); BLOCK];
            for &(offset, v) in &d.taps {
                let r = &from[offset as usize..offset as usize + BLOCK];
                let v = V::all(v);
                for (s, r) in sums.iter_mut().zip(r) {
                    *s = s.plus(V::load(r).times(v));
                }
            }
            for (s, out) in sums.into_iter().zip(&mut map[y * d.out + at..][..BLOCK]) {
                s.store(out);
            }
            x += BLOCK;
        }
    }
}

/// Whole frames, two at a time.
pub(super) struct FullFrames {
    /// Log-scaled frames, then their maps.
    images: [Vec<f32>; 2],
    /// Blocks of 16 columns, each all rows of the transform.
    by_column: Vec<Complex>,
    /// Blocks of 16 rows, each all columns of the transform.
    by_row: Vec<Complex>,
    scratch: Vec<Complex>,
    maps: Vec<Lanes>,
}

fn blocks(m: usize) -> usize {
    m.div_ceil(LANES)
}

impl FullFrames {
    pub(super) fn bytes(plan: &Plan) -> u64 {
        let n = plan.window() as u64;
        let Sums::Spectral(s) = &plan.sums else { return 0 };
        let complex = blocks(s.x.m) * s.y.m + blocks(s.y.m) * s.x.m + s.x.m.max(s.y.m);
        64 * n * n + 8 * plan.shape().pixels() as u64 + 128 * complex as u64
    }

    pub(super) fn new(plan: &Plan) -> Self {
        let n = plan.window();
        let (column, row, scratch) = match &plan.sums {
            Sums::Spectral(s) => (blocks(s.x.m) * s.y.m, blocks(s.y.m) * s.x.m, s.x.m.max(s.y.m)),
            Sums::Direct(_) => (0, 0, 0),
        };
        FullFrames {
            images: [0, 1].map(|_| vec![0.0; plan.shape().pixels()]),
            by_column: vec![Complex::ZERO; column],
            by_row: vec![Complex::ZERO; row],
            scratch: vec![Complex::ZERO; scratch],
            maps: vec![Lanes::ZERO; n * n],
        }
    }

    /// Correlates two frames (a missing one is zero) and hands their windows to `done`, with the map of the whole frame.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn pair<T: Shifted>(
        &mut self,
        isa: Isa,
        plan: &Plan,
        frames: [Option<&[T]>; 2],
        expected: [&[[i32; 2]]; 2],
        first: usize,
        mut done: impl FnMut(Maps<'_>, &Group, (&[f32], usize, usize)),
    ) {
        let Sums::Spectral(s) = &plan.sums else { return };
        if frames.iter().all(Option::is_none) {
            return;
        }
        for (image, frame) in self.images.iter_mut().zip(frames) {
            match frame {
                Some(frame) => {
                    shift(isa, frame, minimum(isa, frame), image);
                    logs(isa, image);
                }
                None => image.fill(0.0),
            }
        }
        self.correlate(isa, s);
        let (h, w) = (s.y.n, s.x.n);
        let n = plan.window();
        let before = plan.params().crop as i32;
        let mut next = first;
        for (image, expected) in self.images.iter().zip(expected) {
            for chunk in expected.chunks(LANES) {
                let mut windows: Group = [None; LANES];
                for (lane, (window, p)) in windows.iter_mut().zip(chunk).enumerate() {
                    let origin = p.map(|v| v - before);
                    take(image, [h, w], origin, n, lane, &mut self.maps);
                    *window = Some(Window { peak: next, origin });
                    next += 1;
                }
                done(Maps::dense(&self.maps, n), &windows, (image, h, w));
            }
        }
    }

    fn correlate(&mut self, isa: Isa, s: &Spectral) {
        let (h, w, my, mx) = (s.y.n, s.x.n, s.y.m, s.x.m);
        let FullFrames {
            images,
            by_column,
            by_row,
            scratch,
            ..
        } = self;
        for (block, columns) in by_column.chunks_exact_mut(my).enumerate() {
            let source = &s.x.source[block * LANES..mx.min((block + 1) * LANES)];
            for (z, &y) in columns.iter_mut().zip(&s.y.source) {
                *z = match y {
                    NONE => Complex::ZERO,
                    y => load(images, y as usize * w, source),
                };
            }
            s.y.fft.forward(isa, columns, scratch);
        }
        turn(isa, by_column, my, by_row, mx);
        for (block, rows) in by_row.chunks_exact_mut(mx).enumerate() {
            s.x.fft.forward(isa, rows, scratch);
            for (x, z) in rows.iter_mut().enumerate() {
                let from = x * my + block * LANES;
                multiply_lanes(isa, &s.spectrum[from..(x + 1) * my], z);
            }
            s.x.fft.forward(isa, rows, scratch);
        }
        turn(isa, by_row, mx, by_column, my);
        for (block, columns) in by_column.chunks_exact_mut(my).enumerate() {
            s.y.fft.forward(isa, columns, scratch);
            let x = block * LANES..w.min((block + 1) * LANES);
            if x.is_empty() {
                continue;
            }
            for (y, z) in columns[..h].iter().enumerate() {
                let to = y * w + x.start..y * w + x.end;
                images[0][to.clone()].copy_from_slice(&z.im.0[..x.len()]);
                images[1][to].copy_from_slice(&z.re.0[..x.len()]);
            }
        }
    }
}

/// Sixteen pixels of a row of both images, from the columns that `source` names.
fn load(images: &[Vec<f32>; 2], row: usize, source: &[u32]) -> Complex {
    let mut z = Complex::ZERO;
    for (l, &x) in source.iter().enumerate() {
        if x != NONE {
            z.re.0[l] = images[0][row + x as usize];
            z.im.0[l] = images[1][row + x as usize];
        }
    }
    z
}

per_isa! {
    /// As [`multiply`], with a factor for each lane; lanes without become zero.
    fn multiply_lanes(spectrum: &[[f32; 2]], z: &mut Complex) {
        let (mut c, mut s) = (Lanes::ZERO, Lanes::ZERO);
        for (l, h) in spectrum.iter().take(LANES).enumerate() {
            c.0[l] = h[0];
            s.0[l] = h[1];
        }
        for l in 0..LANES {
            let (re, im) = (z.re.0[l], z.im.0[l]);
            z.re.0[l] = re * s.0[l] + im * c.0[l];
            z.im.0[l] = re * c.0[l] - im * s.0[l];
        }
    }
}

per_isa! {
    /// Blocks of 16 columns with `rows` entries each become blocks of 16 rows with `columns` entries each, or the other way round.
    fn turn(from: &[Complex], rows: usize, to: &mut [Complex], columns: usize) {
        for (r, to) in to.chunks_exact_mut(columns).enumerate() {
            let height = LANES.min(rows - r * LANES);
            for (c, from) in from.chunks_exact(rows).enumerate() {
                let from = &from[r * LANES..r * LANES + height];
                let width = LANES.min(columns - c * LANES);
                for (l, z) in to[c * LANES..c * LANES + width].iter_mut().enumerate() {
                    for (k, f) in from.iter().enumerate() {
                        z.re.0[k] = f.re.0[l];
                        z.im.0[k] = f.im.0[l];
                    }
                }
            }
        }
    }
}

/// The `n` × `n` values of a map from `origin` on into one lane; 0 outside.
fn take(map: &[f32], [h, w]: [usize; 2], origin: [i32; 2], n: usize, lane: usize, out: &mut [Lanes]) {
    for (i, v) in out[..n * n].iter_mut().enumerate() {
        let (y, x) = (origin[0] + (i / n) as i32, origin[1] + (i % n) as i32);
        let inside = (0..h as i32).contains(&y) && (0..w as i32).contains(&x);
        v.0[lane] = if inside { map[y as usize * w + x as usize] } else { 0.0 };
    }
}
