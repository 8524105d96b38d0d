//! From pixels to maps of correlations: crops side by side in lanes, or whole frames.

use super::Window;
use super::crop::{Outside, Shifted, gather, logs, minimum, shift};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::kernels::correlate::plan::{Direct, NONE, Plan, Spectral, Sums};
use crate::kernels::correlate::{Method, Recipe};
use crate::kernels::fft::{Complex, LANES, Lanes};

/// Windows of a lane group.
pub(super) type Group = [Option<Window>; LANES];

/// Crops side by side. A direct sum has one crop per lane, a transform two (real and imaginary part).
pub(super) struct Windows {
    crops: Vec<Vec<Lanes>>,
    windows: Vec<Group>,
    maps: Vec<Vec<Lanes>>,
    /// Lanes in use.
    used: usize,
    region: Vec<Lanes>,
    data: Vec<Complex>,
    line: Vec<Complex>,
}

impl Windows {
    pub(super) fn bytes(plan: &Plan) -> u64 {
        let (edge, n) = (plan.reach().0 as u64, plan.window() as u64);
        64 * match &plan.sums {
            Sums::Direct(d) => edge * edge + n * n + (d.width * d.height) as u64,
            Sums::Spectral(s) => 2 * (edge * edge + n * n) + 2 * (s.y.m * s.x.m + 2 * s.y.m) as u64,
        }
    }

    pub(super) fn new(plan: &Plan) -> Self {
        let (edge, n) = (plan.reach().0, plan.window());
        let (halves, region, data, line) = match &plan.sums {
            Sums::Direct(d) => (1, d.width * d.height, 0, 0),
            Sums::Spectral(s) => (2, 0, s.y.m * s.x.m, 2 * s.y.m),
        };
        Windows {
            // Lanes that are never filled hold "no signal".
            crops: vec![vec![Lanes::all(1.0); edge * edge]; halves],
            windows: vec![[None; LANES]; halves],
            maps: vec![vec![Lanes::ZERO; n * n]; halves],
            used: 0,
            region: vec![Lanes::ZERO; region],
            data: vec![Complex::ZERO; data],
            line: vec![Complex::ZERO; line],
        }
    }

    /// Takes the crops of one frame; its peaks go to `first` and after. Whole groups go to `done`.
    pub(super) fn frame<T: Shifted>(
        &mut self,
        isa: Isa,
        plan: &Plan,
        frame: &[T],
        expected: &[[i32; 2]],
        first: usize,
        mut done: impl FnMut(&[Lanes], &Group),
    ) {
        let (edge, before) = plan.reach();
        let outside = match (plan.params().method, plan.params().recipe) {
            _ if expected.is_empty() => return,
            (Method::Sparse { .. }, _) => Outside::Below(minimum(isa, frame)),
            (_, Recipe::Published) => Outside::Zero,
            _ => Outside::Nothing,
        };
        let halves = self.crops.len();
        // Where the window begins in the crop: at its start, or, for the stamp, where displacement −s lies.
        let margin = (edge - plan.window()) / 2;
        for (pair, members) in expected.chunks(halves).enumerate() {
            for half in 0..halves {
                self.windows[half][self.used] = members.get(half).map(|p| {
                    let origin = p.map(|v| v - before as i32);
                    gather(
                        isa,
                        frame,
                        plan.shape().width,
                        origin,
                        edge,
                        outside,
                        self.used,
                        &mut self.crops[half],
                    );
                    Window {
                        peak: first + pair * halves + half,
                        origin: origin.map(|v| v + margin as i32),
                    }
                });
                if half >= members.len() {
                    self.crops[half].iter_mut().for_each(|v| v.0[self.used] = 1.0);
                }
            }
            self.used += 1;
            if self.used == LANES {
                self.flush(isa, plan, &mut done);
            }
        }
    }

    /// Works on the lanes that are filled.
    pub(super) fn flush(&mut self, isa: Isa, plan: &Plan, mut done: impl FnMut(&[Lanes], &Group)) {
        if self.used == 0 {
            return;
        }
        self.crops.iter_mut().for_each(|c| logs(isa, bytemuck::cast_slice_mut(c)));
        match &plan.sums {
            Sums::Direct(d) => {
                for (place, &source) in self.region.iter_mut().zip(&d.source) {
                    *place = self.crops[0][source as usize];
                }
                direct(isa, d, &self.region, &mut self.maps[0]);
            }
            Sums::Spectral(s) => self.transforms(isa, s),
        }
        for (maps, windows) in self.maps.iter().zip(&mut self.windows) {
            done(maps, windows);
            windows.fill(None);
        }
        self.used = 0;
    }

    /// Circular correlation of 32 crops with 16 complex transforms.
    fn transforms(&mut self, isa: Isa, s: &Spectral) {
        let (n, m) = (s.y.n, s.y.m);
        let Windows {
            crops, maps, data, line, ..
        } = self;
        let (line, scratch) = line.split_at_mut(m);
        for y in 0..n {
            let row = &mut data[y * m..(y + 1) * m];
            for (z, &x) in row.iter_mut().zip(&s.x.source) {
                *z = match x {
                    NONE => Complex::ZERO,
                    x => Complex {
                        re: crops[0][y * n + x as usize],
                        im: crops[1][y * n + x as usize],
                    },
                };
            }
            s.x.fft.forward(isa, row, scratch);
        }
        for x in 0..m {
            // Rows that only repeat others need no transform of their own.
            for (z, &y) in line.iter_mut().zip(&s.y.source) {
                *z = if y == NONE { Complex::ZERO } else { data[y as usize * m + x] };
            }
            s.y.fft.forward(isa, line, scratch);
            multiply(isa, &s.spectrum[x * m..(x + 1) * m], line);
            s.y.fft.forward(isa, line, scratch);
            for (y, z) in line[..n].iter().enumerate() {
                data[y * m + x] = *z;
            }
        }
        for y in 0..n {
            let row = &mut data[y * m..(y + 1) * m];
            s.x.fft.forward(isa, row, scratch);
            for (x, z) in row[..n].iter().enumerate() {
                // Real and imaginary part are still exchanged.
                maps[0][y * n + x] = z.im;
                maps[1][y * n + x] = z.re;
            }
        }
    }
}

per_isa! {
    /// Multiplies with the spectrum and exchanges real and imaginary parts, so that the next forward transforms are inverse ones.
    fn multiply(spectrum: &[[f32; 2]], line: &mut [Complex]) {
        for (z, &h) in line.iter_mut().zip(spectrum) {
            let p = z.times(h);
            *z = Complex { re: p.im, im: p.re };
        }
    }
}

/// Outputs of a direct sum that are worked on together.
const BLOCK: usize = 4;

per_isa! {
    /// Direct sums, taps in ascending order.
    fn direct(d: &Direct, region: &[Lanes], map: &mut [Lanes]) {
        for y in 0..d.out {
            let mut x = 0;
            while x < d.out {
                // The last block overlaps the one before.
                let at = x.min(d.out - BLOCK);
                let from = &region[y * d.width + at..];
                let [mut a, mut b, mut c, mut e] = [Lanes::ZERO; BLOCK];
                for &(offset, v) in &d.taps {
                    let r = &from[offset as usize..offset as usize + BLOCK];
                    a = a + r[0] * v;
                    b = b + r[1] * v;
                    c = c + r[2] * v;
                    e = e + r[3] * v;
                }
                map[y * d.out + at..][..BLOCK].copy_from_slice(&[a, b, c, e]);
                x += BLOCK;
            }
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
        mut done: impl FnMut(&[Lanes], &Group, (&[f32], usize, usize)),
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
                done(&self.maps, &windows, (image, h, w));
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
            for y in 0..h {
                columns[y] = load(images, y * w, &s.x.source[block * LANES..mx.min((block + 1) * LANES)]);
            }
            for y in h..my {
                columns[y] = match s.y.source[y] {
                    NONE => Complex::ZERO,
                    y => columns[y as usize],
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
        *z = Complex {
            re: z.re * s + z.im * c,
            im: z.re * c - z.im * s,
        };
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
