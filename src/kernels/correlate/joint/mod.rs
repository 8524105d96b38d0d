//! One fit per frame: zero, a and b from the pixels of all disks at once.
//!
//! The counts around the spots n = (h, k) of a lattice are modelled as
//!
//! λ(x) = B_n + A_n · s(|x − p_n|),  p_n = zero + h a + k b,  s(d) = clip((R − d)/w + 1/2, 0, 1),
//!
//! a disk of radius R with an edge of width w on a background that is constant in the spot's window. For pixels that collect what
//! falls on their area ([`Shape::smooth`]) s is its mean over d ± 1/2; the difference is small to the eye, but with the wrong one
//! positions are off by 0.01 to 0.03 px, depending on where the disk lies between pixels. zero, a and b are common to all spots; A_n and B_n are each spot's own. The Poisson likelihood is maximised by Fisher
//! scoring (iteratively reweighted Gauss–Newton with weights 1/λ): A_n and B_n are eliminated spot by spot (Schur complement), which leaves
//! six equations. Their matrix is the Fisher information, its inverse the covariance of the result. Spots without counts weigh nothing.
//!
//! R and w can be fitted too ([`Settings::free_shape`]); a wrong radius costs accuracy (10 % of 1.7 px: twice the error), so fit
//! them in some frames, take [`Shape::typical`], and keep it for all.
//!
//! On the simulated scans of the tests the median errors of zero, a and b are those of the Cramér–Rao bound within 10 %, where
//! those of the fast correlation with a weighted fit are 2 to 5 times larger.
//!
//! Uniform disks are a model. What it does not know of (contrast inside the disks of a thick crystal, a second pattern) moves spots one
//! by one, so χ² of the spots' own positions about the lattice, [`Fit::scatter`], exceeds that of the pixels, [`Fit::chi2`]: errors
//! scaled with the larger of the two hold in either case.
//!
//! **Work and bytes.** A step takes about 45 operations for each pixel of the disks and their edges, (R + w/2 + 1)² π of each spot, two of
//! them divisions and one a square root, and 4 for each pixel of the background up to 2 px further out; most frames take three
//! steps, and the sums once more at the result. On the CPU sixteen spots lie side by side, sums over pixels are float32 and all else
//! float64, in a fixed order of IEEE 754 operations: the same bits on every machine. On
//! the GPU a workgroup takes a frame, numbers are float32 relative to where the fit starts, and 128 bytes a frame come back, from
//! which the host makes the covariance; 64 bytes of device memory a spot hold what is fitted for it alone, a bit a pixel says which are masked. The last step is shorter than
//! 0.05 of a standard error; the backends agree within 0.05. The shape of the disks ([`Settings::free_shape`]) is fitted on the CPU.

pub mod cpu;
pub mod gpu;
mod normal;

pub use cpu::Joint;

use crate::backend::stage::{Cost, Work};
use crate::pixel::{FrameShape, LEAF};
use std::sync::Arc;

/// Profile of the disks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Radius in pixels at half height.
    pub radius: f64,
    /// Width of the edge in pixels.
    pub edge: f64,
    /// The mean over a pixel's width: detectors that collect what falls on the area of a pixel.
    pub smooth: bool,
}

impl Shape {
    /// A sharp disk.
    pub const fn disk(radius: f64) -> Self {
        Shape {
            radius,
            edge: 1.0,
            smooth: false,
        }
    }
    /// Where the profile reaches zero.
    fn reach(&self) -> f64 {
        let blur = if self.smooth { 1.0 } else { 0.0 };
        self.radius + (self.edge + blur) / 2.0
    }
    /// Median radius and edge of the fits that converged; `None` if there are none. `smooth` is that of the first.
    pub fn typical<'a>(fits: impl IntoIterator<Item = &'a Fit>) -> Option<Shape> {
        let good: Vec<&Fit> = fits.into_iter().filter(|f| f.status == Status::Converged).collect();
        let median = |value: fn(&Fit) -> f64| {
            let mut v: Vec<f64> = good.iter().map(|f| value(f)).collect();
            v.sort_by(f64::total_cmp);
            let (low, high) = (v.get(v.len().wrapping_sub(1) / 2)?, v.get(v.len() / 2)?);
            Some((low + high) / 2.0)
        };
        Some(Shape {
            radius: median(|f| f.shape.radius)?,
            edge: median(|f| f.shape.edge)?,
            smooth: good.first()?.shape.smooth,
        })
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let over = if self.smooth { ", over the area of a pixel" } else { "" };
        write!(
            f,
            "disks of radius {:.3} px with an edge of {:.2} px{over}",
            self.radius, self.edge
        )
    }
}

/// A lattice (y, x) in detector pixels: spot (h, k) lies at zero + h a + k b.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lattice {
    pub zero: [f64; 2],
    pub a: [f64; 2],
    pub b: [f64; 2],
}

impl Lattice {
    /// Position of spot (h, k).
    pub fn spot(&self, [h, k]: [i32; 2]) -> [f64; 2] {
        [0, 1].map(|i| self.zero[i] + f64::from(h) * self.a[i] + f64::from(k) * self.b[i])
    }

    /// Indices from −`most` to `most` of all spots at least `margin` pixels inside a frame of `height` × `width`.
    pub fn indices(&self, height: usize, width: usize, margin: f64, most: i32) -> Vec<[i32; 2]> {
        self.inside(height, width, margin, Range::symmetric(most)).collect()
    }

    /// The same one after the other.
    pub(crate) fn inside(
        &self,
        height: usize,
        width: usize,
        margin: f64,
        range: Range,
    ) -> impl Iterator<Item = [i32; 2]> + use<> {
        let lattice = *self;
        let within = move |v: f64, n: usize| v >= margin && v <= n as f64 - 1.0 - margin;
        (range.first..=range.last)
            .flat_map(move |h| (range.first..=range.last).map(move |k| [h, k]))
            .filter(move |&i| {
                let p = lattice.spot(i);
                within(p[0], height) && within(p[1], width)
            })
    }

    fn is_finite(&self) -> bool {
        [self.zero, self.a, self.b].iter().flatten().all(|v| v.is_finite())
    }

    /// Shortest distance between two of its spots.
    fn spacing(&self) -> f64 {
        let square = |h: f64, k: f64| (h * self.a[0] + k * self.b[0]).powi(2) + (h * self.a[1] + k * self.b[1]).powi(2);
        let mut shortest = f64::INFINITY;
        for h in 0..=3 {
            for k in -3..=3 {
                if h > 0 || k > 0 {
                    shortest = shortest.min(square(f64::from(h), f64::from(k)));
                }
            }
        }
        shortest.sqrt()
    }
}

/// How frames are fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Shape of the disks, or where its fit starts.
    pub shape: Shape,
    /// Fit the shape in every frame.
    pub free_shape: bool,
}

/// How a fit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Converged,
    /// Not converged after 30 steps: numbers are given, but should not be trusted.
    Slow,
    /// It ran away from the start: the frame shows another lattice.
    Lost,
    /// Fewer than three spots that span a plane, no counts, or disks that overlap.
    Undetermined,
}

/// The lattice of one frame. All numbers are NaN when the status is `Lost` or `Undetermined`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    pub lattice: Lattice,
    /// Covariance of (zero y, zero x, a y, a x, b y, b x) for counts; scale it with `chi2` if pixels are not counts. It is taken at the
    /// fitted heights, whose noise counts as information: with fewer than some hundred electrons a spot it is too small.
    pub covariance: [[f64; 6]; 6],
    pub shape: Shape,
    /// Pearson's χ² per degree of freedom: about 1 for counts and a model that holds; the gain for scaled counts.
    pub chi2: f64,
    /// χ² per degree of freedom of the spots' own positions about the lattice: as large as `chi2` if disks are what the model says,
    /// larger if something moves them one by one (contrast inside disks, a second pattern, a wrong shape).
    pub scatter: f64,
    /// Spots that were used.
    pub spots: u32,
    pub steps: u32,
    pub status: Status,
}

impl Fit {
    /// Standard errors of zero, a and b in (y, x).
    pub fn errors(&self) -> Lattice {
        let e = |i: usize| self.covariance[i][i].sqrt();
        Lattice {
            zero: [e(0), e(1)],
            a: [e(2), e(3)],
            b: [e(4), e(5)],
        }
    }

    fn failed(status: Status, shape: Shape) -> Self {
        let nothing = [f64::NAN; 2];
        Fit {
            lattice: Lattice {
                zero: nothing,
                a: nothing,
                b: nothing,
            },
            covariance: [[f64::NAN; 6]; 6],
            shape,
            chi2: f64::NAN,
            scatter: f64::NAN,
            spots: 0,
            steps: 0,
            status,
        }
    }
}

/// What is fitted in which frame.
#[derive(Debug, Clone)]
pub struct Params {
    pub settings: Settings,
    /// Where the fit starts, for each selected frame; `None`: not fitted.
    pub starts: Arc<[Option<Lattice>]>,
    /// Indices h and k of the spots, as far as these lie in the frame.
    pub indices: Range,
    /// Pixels, numbered in C order, that hold no data in any frame and are left out.
    pub masked: Arc<[u32]>,
    /// Value at which pixels would have no noise, taken off every pixel: 0 for counts, finite. See [`Joint::above`].
    pub pedestal: f32,
}

/// First and last of both lattice indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub first: i32,
    pub last: i32,
}

impl Range {
    /// From −`most` to `most`.
    pub const fn symmetric(most: i32) -> Self {
        Range {
            first: -most,
            last: most,
        }
    }
}

impl Params {
    /// Where the fit of selected frame `n` starts.
    fn start(&self, n: u64) -> Option<Lattice> {
        usize::try_from(n).ok().and_then(|n| self.starts.get(n)).copied().flatten()
    }
}

/// The fits of some consecutive frames; frames that were not fitted are `Undetermined`.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Number, in the selection, of the first frame.
    pub first: u64,
    pub fits: Vec<Fit>,
}

/// Memory of one worker: the windows, at most some frames' worth of pixels, which of these are masked, and the fits of a leaf.
pub fn cost(shape: FrameShape) -> Cost {
    Cost {
        fixed: (4 * 16 + 1) * shape.pixels() as u64 + 2 * LEAF * size_of::<Fit>() as u64,
        per_frame: 0,
    }
}

/// Work on a frame whose lattice is `lattice`: the sums four times, 45 operations on each pixel of disks and 4 on the others of the windows.
pub fn work(shape: FrameShape, settings: &Settings, lattice: &Lattice, most: i32) -> Work {
    let spots = lattice.indices(shape.height, shape.width, 0.0, most).len() as f64;
    let window = window(&settings.shape, lattice).unwrap_or(0.0);
    let area = |radius: f64| (spots * std::f64::consts::PI * radius * radius) as u64;
    let (pixels, inner) = (area(window), area(window.min(settings.shape.reach() + 0.5)));
    Work {
        read: pixels * shape.pixel.bytes() as u64,
        written: size_of::<Fit>() as u64,
        operations: 4 * (45 * inner + 4 * (pixels - inner)),
    }
}

/// Radius of the windows around the spots of `start`; `None` for disks that overlap or a lattice of which a number is not finite.
fn window(shape: &Shape, start: &Lattice) -> Option<f64> {
    let window = (shape.reach() + AROUND).min(start.spacing() - shape.reach());
    (start.is_finite() && window >= shape.reach() + 0.5).then_some(window)
}

/// The pixel nearest to spot `index`, if it lies in a frame of `height` × `width`.
fn base(start: &Lattice, index: [i32; 2], height: usize, width: usize) -> Option<[f64; 2]> {
    let base = start.spot(index).map(f64::round);
    let inside = base[0] >= 0.0 && base[1] >= 0.0 && base[0] < height as f64 && base[1] < width as f64;
    inside.then_some(base)
}

/// A window of which less than half lies in the frame cannot tell disk and background apart.
fn enough(window: f64) -> f64 {
    std::f64::consts::PI * window * window / 2.0
}

/// Steps after which a fit is given up.
const STEPS: u32 = 30;
/// Steps that count as none: in standard errors, and in pixels at the spot that moves most.
const ENOUGH: f64 = 0.05;
const NOTHING: f64 = 1e-5;
/// Smallest intensity of the model relative to the frame's mean.
const FLOOR: f64 = 0.02;
/// Background seen around a disk, in pixels.
const AROUND: f64 = 2.0;
