//! CPU path: frame by frame, sixteen spots side by side.
//!
//! Pixels of the windows are put into lanes once a frame. A step sums over them in float32, relative to the spots' whole positions and
//! in a fixed order; what follows, a hundredth of the work, is float64. There are no fused multiply-adds, so bits are the same on every
//! instruction set.
//!
//! What limits it: two divisions and a square root for each pixel of a disk; with few spots, lanes without one.

mod spots;
mod sums;

pub(super) use sums::{MOST, of};

use super::normal::{Equations, GLOBALS, Normal};
use super::{AROUND, ENOUGH, FLOOR, Fit, Lattice, NOTHING, Params, Part, STEPS, Settings, Shape, Status, base, enough, window};
use crate::backend::cpu::isa::Isa;
use crate::backend::cpu::lanes::LANES;
use crate::backend::stage::CpuStage;
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Frames, LEAF, Sample};
use crate::with_pixel;
use spots::Group;
use sums::{Disk, Pixel};

/// Fits frames of one size; keeps its memory from frame to frame.
pub struct Joint {
    isa: Isa,
    height: usize,
    width: usize,
    settings: Settings,
    /// Whether a pixel holds no data; empty if all do.
    masked: Vec<bool>,
    /// Taken off every pixel.
    pedestal: f32,
    /// Pixels of the largest window relative to a spot's whole position, and their squared distance, nearest first.
    around: Vec<([i32; 2], f64)>,
    /// The same for the kernels.
    offsets: Vec<[f32; 2]>,
    /// Pixels of group after group.
    pixels: Vec<Pixel>,
    groups: Vec<Group>,
}

impl Joint {
    /// For frames of `height` × `width` pixels.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a radius or an edge that is not positive, or larger than the frame.
    pub fn new(height: usize, width: usize, settings: Settings) -> Result<Self> {
        Joint::on(Isa::active(), height, width, settings)
    }

    /// [`Joint::new`] for an instruction set.
    ///
    /// # Errors
    /// As [`Joint::new`].
    pub fn on(isa: Isa, height: usize, width: usize, settings: Settings) -> Result<Self> {
        let Shape { radius, edge, .. } = settings.shape;
        let most = height.min(width) as f64;
        if !(radius > 0.0 && radius < most && edge > 0.0 && edge < most) {
            let what = format!("a disk of radius {radius} px with an edge of {edge} px in frames of {height}×{width}");
            return Err(Error::parameter("radius", what));
        }
        let largest = settings.shape.reach() + AROUND;
        let reach = largest.ceil() as i32;
        let mut around: Vec<([i32; 2], f64)> = (-reach..=reach)
            .flat_map(|y| (-reach..=reach).map(move |x| ([y, x], f64::from(y * y + x * x))))
            .filter(|(_, d)| *d <= largest * largest)
            .collect();
        around.sort_by(|p, q| p.1.total_cmp(&q.1));
        Ok(Joint {
            isa,
            height,
            width,
            settings,
            masked: Vec::new(),
            pedestal: 0.0,
            offsets: around.iter().map(|(at, _)| at.map(|v| v as f32)).collect(),
            around,
            pixels: Vec::new(),
            groups: Vec::new(),
        })
    }

    /// The same, leaving out `masked` pixels, numbered in C order, of every frame.
    #[must_use]
    pub fn without(mut self, masked: &[u32]) -> Self {
        self.masked.clear();
        if !masked.is_empty() {
            self.masked.resize(self.height * self.width, false);
        }
        for &pixel in masked {
            if let Some(place) = self.masked.get_mut(pixel as usize) {
                *place = true;
            }
        }
        self
    }

    /// The same for pixels whose noise is that of counts above `pedestal`: with a gain g, an offset o and read noise of variance σ² the
    /// variance of a pixel is g (mean − o) + σ² = g (mean − p), p = o − σ²/g, so pixels less p have the noise that the fit expects.
    #[must_use]
    pub fn above(mut self, pedestal: f32) -> Self {
        self.pedestal = pedestal;
        self
    }

    /// Fits one frame (C order, as many pixels as announced) from `start`, which must be right to about half a radius, with the spots
    /// `indices`; those whose centre lies outside the frame are left out. Pixels that are not finite are left out.
    pub fn fit<T: Sample>(&mut self, frame: &[T], start: &Lattice, indices: impl Iterator<Item = [i32; 2]>) -> Fit {
        let first = self.settings.shape;
        let free = self.settings.free_shape;
        let mut shape = first;
        let isa = self.isa;
        let failed = |status| Fit::failed(status, first);
        let Some(window) = window(&shape, start).filter(|_| frame.len() == self.height * self.width) else {
            return failed(Status::Undetermined);
        };
        let found = self.collect(frame, start, indices, window);
        let mut disk = Disk {
            shape,
            floor: (FLOOR * found.total / found.pixels.max(1.0)) as f32,
        };
        if found.spots < 3 || disk.floor <= 0.0 || !disk.floor.is_finite() {
            return failed(Status::Undetermined);
        }
        let floor = f64::from(disk.floor);
        let size = found.size;
        let offsets = &self.offsets[..size];
        for (group, pixels) in self.groups.iter_mut().zip(self.pixels.chunks_exact(size)) {
            spots::place(self.isa, group, start);
            sums::guess(self.isa, pixels, offsets, &disk, &mut group.model);
        }
        let mut lattice = *start;
        let unknowns = if free { GLOBALS } else { 6 };
        let freedom = (found.pixels - 2.0 * found.spots as f64 - unknowns as f64).max(1.0);
        let limit = shape.reach();
        let (mut steps, mut status) = (0, Status::Slow);
        let (mut damping, mut before) = (1.0, f64::INFINITY);
        while steps < STEPS {
            steps += 1;
            let equations = self.equations(&disk, size);
            let Some((mut step, length)) = equations.solve() else {
                return failed(Status::Undetermined);
            };
            // In standard errors as the residuals show them, whatever the unit of the pixels.
            let length = length / (equations.chi2 / freedom).sqrt().max(1e-9);
            // Long steps leave the region where the linear model holds.
            let reach = self.groups.iter().map(|g| spots::longest(isa, g, &step)).fold(0.0, f64::max);
            let reach = reach.max(step[6].abs()).max(step[7].abs());
            let whole = (0.5 / reach).min(1.0);
            // The score jumps where a pixel enters the edge of a disk: steps that no longer shrink go to and fro across a jump.
            let settling = length < 1.0 || steps > 10;
            if settling && length > 0.7 * before {
                damping *= 0.5;
            }
            before = length;
            let scale = whole * damping;
            step.iter_mut().for_each(|v| *v *= scale);
            for i in 0..2 {
                lattice.zero[i] += step[i];
                lattice.a[i] += step[2 + i];
                lattice.b[i] += step[4 + i];
            }
            shape.radius = (shape.radius + step[6]).clamp(0.3, 2.0 * first.radius);
            shape.edge = (shape.edge + step[7]).clamp(0.3, 2.0 * shape.radius.max(0.5));
            disk.shape = shape;
            let mut furthest = 0f64;
            for group in &mut self.groups {
                spots::change(isa, group, &step, floor, free);
                furthest = furthest.max(spots::place(isa, group, &lattice));
            }
            if !lattice.is_finite() || furthest.is_nan() || furthest > limit + 0.75 {
                return failed(Status::Lost);
            }
            if whole == 1.0 && (settling && damping * length < ENOUGH || damping * reach < NOTHING) {
                status = Status::Converged;
                break;
            }
        }
        // The matrix jumps by some percent where a pixel enters the edge of a disk: it is that of the result.
        let equations = self.equations(&disk, size);
        let Some(covariance) = equations.covariance() else {
            return failed(Status::Undetermined);
        };
        let [scatter, scattered] = equations.scatter;
        Fit {
            lattice,
            covariance,
            shape,
            chi2: equations.chi2 / freedom,
            scatter: scatter / (scattered - 6.0).max(1.0),
            spots: found.spots as u32,
            steps,
            status,
        }
    }

    /// Normal equations at the groups' present models.
    fn equations(&mut self, disk: &Disk, size: usize) -> Equations {
        let mut normal = Normal::new(self.settings.free_shape);
        let offsets = &self.offsets[..size];
        for (group, pixels) in self.groups.iter_mut().zip(self.pixels.chunks_exact(size)) {
            // Pixels further from the whole position than this are beyond the disk wherever a lane's centre is.
            let near = disk.shape.reach() + group.furthest + 1e-3;
            let inner = self.around[..size].partition_point(|(_, d)| *d <= near * near);
            let sums = &mut group.sums;
            if self.settings.free_shape {
                sums::shapes(self.isa, pixels, offsets, inner, &group.model, disk, sums);
            } else {
                sums::positions(self.isa, pixels, offsets, inner, &group.model, disk, sums);
            }
            spots::accumulate(self.isa, &mut normal, group, f64::from(disk.floor));
        }
        normal.equations()
    }

    /// Puts the windows of all spots that lie in the frame by at least half into lanes.
    fn collect<T: Sample>(
        &mut self,
        frame: &[T],
        start: &Lattice,
        indices: impl Iterator<Item = [i32; 2]>,
        window: f64,
    ) -> Collected {
        let size = self.around.partition_point(|(_, d)| *d <= window * window);
        let mut found = Collected {
            size,
            spots: 0,
            pixels: 0.0,
            total: 0.0,
        };
        let around = &self.around[..size];
        let reach = window.ceil() as i32;
        let (h, w) = (self.height as i32, self.width as i32);
        self.pixels.clear();
        self.groups.clear();
        for index in indices {
            let Some(base) = base(start, index, self.height, self.width) else {
                continue;
            };
            let lane = found.spots % LANES;
            if lane == 0 && self.groups.len() * LANES == found.spots {
                self.groups.push(Group::new());
                self.pixels.resize(self.groups.len() * size, Pixel::NONE);
            }
            let first = self.pixels.len() - size;
            let pixels = &mut self.pixels[first..];
            let [y, x] = base.map(|v| v as i32);
            let (mut count, mut sum) = (0.0, 0.0);
            let whole = y >= reach && x >= reach && y + reach < h && x + reach < w;
            for (pixel, ([dy, dx], _)) in pixels.iter_mut().zip(around) {
                let (y, x) = (y + dy, x + dx);
                let inside = whole || (y >= 0 && x >= 0 && y < h && x < w);
                let value = if inside {
                    let number = y as usize * w as usize + x as usize;
                    let masked = self.masked.get(number).copied().unwrap_or(false);
                    if masked {
                        f32::NAN
                    } else {
                        frame[number].to_f32() - self.pedestal
                    }
                } else {
                    f32::NAN
                };
                let counts = value.is_finite();
                pixel.value.0[lane] = if counts { value } else { 0.0 };
                pixel.counts.0[lane] = f32::from(u8::from(counts));
                count += f64::from(u8::from(counts));
                sum += if counts { f64::from(value) } else { 0.0 };
            }
            if count < enough(window) {
                continue;
            }
            if let Some(group) = self.groups.last_mut() {
                group.set(lane, index, base);
            }
            found.spots += 1;
            found.pixels += count;
            found.total += sum;
        }
        // The last spot that was looked at may have been left out.
        let used = found.spots.div_ceil(LANES);
        self.groups.truncate(used);
        self.pixels.truncate(used * size);
        if !found.spots.is_multiple_of(LANES) {
            let first = self.pixels.len() - size;
            for pixel in &mut self.pixels[first..] {
                pixel.value.0[found.spots % LANES..].fill(0.0);
                pixel.counts.0[found.spots % LANES..].fill(0.0);
            }
        }
        found
    }
}

/// What the windows of a frame hold.
struct Collected {
    /// Pixels of a window.
    size: usize,
    spots: usize,
    pixels: f64,
    total: f64,
}

/// A stage for one worker.
///
/// # Errors
/// Those of [`Joint::new`].
pub fn stage(shape: FrameShape, params: &Params) -> Result<Box<dyn CpuStage<Part = Part>>> {
    Ok(Box::new(Stage {
        shape,
        joint: Joint::new(shape.height, shape.width, params.settings)?
            .without(&params.masked)
            .above(params.pedestal),
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
                    let indices = start.inside(self.shape.height, self.shape.width, 0.0, self.params.indices);
                    with_pixel!(self.shape.pixel, T => self.joint.fit(frames.frame::<T>(i), &start, indices))
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
