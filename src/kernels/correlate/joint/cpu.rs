//! CPU path: frame by frame in float64.

use super::normal::{GLOBALS, Local, Normal};
use super::{ENOUGH, FLOOR, Fit, Lattice, NOTHING, Params, Part, STEPS, Settings, Shape, Status, base, enough, window};
use crate::backend::stage::CpuStage;
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Frames, LEAF, Sample};
use crate::with_pixel;

/// A pixel of a spot's window, relative to the spot's first whole position.
#[derive(Debug, Clone, Copy)]
pub(super) struct PixelOf {
    pub y: i16,
    pub x: i16,
    pub value: f64,
}

/// A spot, its window and what is fitted for it alone.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub index: [i32; 2],
    pub base: [f64; 2],
    pub pixels: std::ops::Range<usize>,
    pub sum: f64,
    pub squares: f64,
    pub amplitude: f64,
    pub background: f64,
}

/// Fits frames of one size; keeps its memory from frame to frame.
pub struct Joint {
    height: usize,
    width: usize,
    settings: Settings,
    pixels: Vec<PixelOf>,
    spots: Vec<Spot>,
    locals: Vec<Local>,
}

impl Joint {
    /// For frames of `height` × `width` pixels.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a radius or an edge that is not positive, or larger than the frame.
    pub fn new(height: usize, width: usize, settings: Settings) -> Result<Self> {
        let Shape { radius, edge, .. } = settings.shape;
        let most = height.min(width) as f64;
        if !(radius > 0.0 && radius < most && edge > 0.0 && edge < most) {
            let what = format!("a disk of radius {radius} px with an edge of {edge} px in frames of {height}×{width}");
            return Err(Error::parameter("radius", what));
        }
        Ok(Joint {
            height,
            width,
            settings,
            pixels: Vec::new(),
            spots: Vec::new(),
            locals: Vec::new(),
        })
    }

    /// Fits one frame (C order, as many pixels as announced) from `start`, which must be right to about half a radius, with the spots
    /// `indices`; those whose centre lies outside the frame are left out. Pixels that are not finite are left out.
    pub fn fit<T: Sample>(&mut self, frame: &[T], start: &Lattice, indices: &[[i32; 2]]) -> Fit {
        let first = self.settings.shape;
        let mut shape = first;
        let failed = |status| Fit::failed(status, first);
        let Some(window) = window(&shape, start).filter(|_| frame.len() == self.height * self.width) else {
            return failed(Status::Undetermined);
        };
        self.collect(frame, start, indices, window);
        let (count, total) = self
            .spots
            .iter()
            .fold((0, 0.0), |(n, s), spot| (n + spot.pixels.len(), s + spot.sum));
        let floor = FLOOR * total / count.max(1) as f64;
        if self.spots.len() < 3 || floor <= 0.0 || floor.is_nan() {
            return failed(Status::Undetermined);
        }
        self.guess(&shape, floor);
        let mut lattice = *start;
        let unknowns = if self.settings.free_shape { GLOBALS } else { 6 };
        let freedom = (count as f64 - 2.0 * self.spots.len() as f64 - unknowns as f64).max(1.0);
        let limit = shape.reach();
        let (mut steps, mut status) = (0, Status::Slow);
        let (mut damping, mut before) = (1.0, f64::INFINITY);
        while steps < STEPS {
            steps += 1;
            let mut normal = Normal::new(unknowns);
            self.locals.clear();
            for s in &self.spots {
                self.locals
                    .push(normal.add(s, &self.pixels[s.pixels.clone()], &lattice, &shape, floor));
            }
            let Some((mut step, length)) = normal.solve() else {
                return failed(Status::Undetermined);
            };
            // In standard errors as the residuals show them, whatever the unit of the pixels.
            let length = length / (normal.chi2 / freedom).sqrt().max(1e-9);
            // Long steps leave the region where the linear model holds.
            let reach = self
                .spots
                .iter()
                .map(|s| moved(&step, s.index))
                .fold(0.0, f64::max)
                .max(step[6].abs())
                .max(step[7].abs());
            let whole = (0.5 / reach).min(1.0);
            // The score jumps where a pixel enters the edge of a disk: steps that no longer shrink go to and fro across a jump.
            let settling = length < 1.0 || steps > 10;
            if settling && length > 0.7 * before {
                damping *= 0.5;
            }
            before = length;
            let scale = whole * damping;
            step.iter_mut().for_each(|v| *v *= scale);
            for (spot, local) in self.spots.iter_mut().zip(&self.locals) {
                let [da, db] = local.change(spot.index, &step);
                spot.amplitude = (spot.amplitude + da).max(floor);
                spot.background = (spot.background + db).max(floor);
            }
            for i in 0..2 {
                lattice.zero[i] += step[i];
                lattice.a[i] += step[2 + i];
                lattice.b[i] += step[4 + i];
            }
            shape.radius = (shape.radius + step[6]).clamp(0.3, 2.0 * first.radius);
            shape.edge = (shape.edge + step[7]).clamp(0.3, 2.0 * shape.radius.max(0.5));
            let gone = |s: &Spot| {
                let p = lattice.spot(s.index);
                (p[0] - s.base[0]).hypot(p[1] - s.base[1]) > limit + 0.75
            };
            if !lattice.zero[0].is_finite() || self.spots.iter().any(gone) {
                return failed(Status::Lost);
            }
            if whole == 1.0 && (settling && damping * length < ENOUGH || damping * reach < NOTHING) {
                status = Status::Converged;
                break;
            }
        }
        let mut normal = Normal::new(unknowns);
        for s in &self.spots {
            normal.add(s, &self.pixels[s.pixels.clone()], &lattice, &shape, floor);
        }
        let Some(covariance) = normal.covariance() else {
            return failed(Status::Undetermined);
        };
        Fit {
            lattice,
            covariance,
            shape,
            chi2: normal.chi2 / freedom,
            spots: self.spots.len() as u32,
            steps,
            status,
        }
    }

    /// Windows of the spots: pixels within `window` of the nearest whole position.
    fn collect<T: Sample>(&mut self, frame: &[T], start: &Lattice, indices: &[[i32; 2]], window: f64) {
        self.pixels.clear();
        self.spots.clear();
        let reach = window.ceil() as i64;
        let (h, w) = (self.height as i64, self.width as i64);
        for &index in indices {
            let Some(base) = base(start, index, self.height, self.width) else {
                continue;
            };
            let (y0, x0) = (base[0] as i64, base[1] as i64);
            let first = self.pixels.len();
            let (mut sum, mut squares) = (0.0, 0.0);
            for y in (y0 - reach).max(0)..=(y0 + reach).min(h - 1) {
                for x in (x0 - reach).max(0)..=(x0 + reach).min(w - 1) {
                    let value = frame[(y * w + x) as usize].to_f64();
                    let d = ((y - y0) * (y - y0) + (x - x0) * (x - x0)) as f64;
                    if d <= window * window && value.is_finite() {
                        sum += value;
                        squares += value * value;
                        self.pixels.push(PixelOf {
                            y: (y - y0) as i16,
                            x: (x - x0) as i16,
                            value,
                        });
                    }
                }
            }
            self.spots.push(Spot {
                index,
                base,
                pixels: first..self.pixels.len(),
                sum,
                squares,
                amplitude: 0.0,
                background: 0.0,
            });
        }
        self.spots.retain(|s| s.pixels.len() as f64 >= enough(window));
    }

    /// First amplitudes and backgrounds: the mean beyond the disk, and the weighted mean above it on the disk.
    fn guess(&mut self, shape: &Shape, floor: f64) {
        for spot in &mut self.spots {
            let pixels = &self.pixels[spot.pixels.clone()];
            let profile = |p: &PixelOf| shape.profile(f64::from(p.y).hypot(f64::from(p.x)))[0];
            let (mut n, mut sum) = (0.0, 0.0);
            for p in pixels.iter().filter(|p| profile(p) == 0.0) {
                n += 1.0;
                sum += p.value;
            }
            spot.background = if n > 0.0 { (sum / n).max(floor) } else { floor };
            let (mut weight, mut product) = (0.0, 0.0);
            for p in pixels {
                let s = profile(p);
                weight += s * s;
                product += s * (p.value - spot.background);
            }
            spot.amplitude = if weight > 0.0 { (product / weight).max(floor) } else { floor };
        }
    }
}

/// How far a step moves a spot.
fn moved(step: &[f64; GLOBALS], [h, k]: [i32; 2]) -> f64 {
    let d = [0, 1].map(|i| step[i] + f64::from(h) * step[2 + i] + f64::from(k) * step[4 + i]);
    d[0].hypot(d[1])
}

/// A stage for one worker.
///
/// # Errors
/// Those of [`Joint::new`].
pub fn stage(shape: FrameShape, params: &Params) -> Result<Box<dyn CpuStage<Part = Part>>> {
    Ok(Box::new(Stage {
        shape,
        joint: Joint::new(shape.height, shape.width, params.settings)?,
        params: params.clone(),
        part: None,
    }))
}

struct Stage {
    shape: FrameShape,
    joint: Joint,
    params: Params,
    part: Option<Part>,
}

impl CpuStage for Stage {
    type Part = Part;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        let part = self.part.get_or_insert_with(|| Part {
            first: frames.first(),
            fits: Vec::with_capacity(LEAF as usize),
        });
        for i in 0..frames.count() {
            let number = frames.first() + i as u64;
            part.fits.push(match self.params.start(number) {
                None => Fit::failed(Status::Undetermined, self.params.settings.shape),
                Some(start) => {
                    let indices = start.indices(self.shape.height, self.shape.width, 0.0, self.params.most);
                    with_pixel!(self.shape.pixel, T => self.joint.fit(frames.frame::<T>(i), &start, &indices))
                }
            });
        }
        Ok(())
    }

    fn end_leaf(&mut self) -> Result<Option<Part>> {
        Ok(self.part.take())
    }

    fn finish(&mut self) -> Result<Option<Part>> {
        Ok(None)
    }
}
