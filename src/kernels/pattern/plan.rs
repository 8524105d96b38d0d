//! A chain resolved for one shape of frames: sizes, windows, tables. Made once, shared by all workers.

use super::{Params, Static, Step, Window};
use crate::backend::stage::Work;
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel};
use ndarray::Array2;
use std::sync::Arc;

/// Pixels to fill, each from some others.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fill {
    pub pixels: Vec<u32>,
    /// `starts[i]..starts[i + 1]` of `sources` belong to pixel i.
    pub starts: Vec<u32>,
    pub sources: Vec<u32>,
}

/// A step with all that can be known before the first pattern.
#[derive(Debug, Clone)]
pub(crate) enum Ready {
    Hot(f32),
    Static {
        image: Vec<f32>,
        range: [f32; 2],
        how: Static,
        fill: Fill,
    },
    Lowpass {
        axes: [Axis; 2],
        how: super::Dynamic,
    },
    LocalNorm {
        axes: [Axis; 2],
    },
    Clahe(Tiles),
    Stretch {
        low: Rank,
        high: Rank,
        to: [f32; 2],
        whole: bool,
    },
    Circle(Vec<bool>),
}

/// Weights along one axis and the pixel that each tap falls on.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub weights: Vec<f32>,
    pub sources: Vec<u32>,
}

/// A percentile as an order statistic and the way from it to the next one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rank {
    pub below: usize,
    pub part: f64,
}

impl Rank {
    /// NumPy's default: position q/100·(n − 1).
    pub(crate) fn new(percent: f64, n: usize) -> Self {
        let position = percent / 100.0 * (n - 1) as f64;
        let below = (position.floor() as usize).min(n - 1);
        Rank {
            below,
            part: position - below as f64,
        }
    }
    /// The percentile, from the order statistics `below` and `below` + 1.
    #[inline]
    pub(crate) fn between(self, a: f32, b: f32) -> f32 {
        (f64::from(a) + (f64::from(b) - f64::from(a)) * self.part) as f32
    }
}

/// Tiles of the adaptive histogram equalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tiles {
    /// Pixels of a tile.
    pub size: [usize; 2],
    /// Tiles with a histogram along each axis.
    pub count: [usize; 2],
    /// Largest count of a bin before clipping.
    pub limit: u32,
    pub bins: usize,
    /// Grey levels of a bin.
    pub width: usize,
}

/// Grey levels of the adaptive histogram equalisation before binning.
pub(crate) const LEVELS: usize = 1 << 14;

/// A chain for frames of one shape.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) frame: FrameShape,
    pub(crate) bin: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) steps: Vec<Ready>,
    pub(crate) output: Pixel,
    pub(crate) round: bool,
    bad: usize,
}

impl Plan {
    /// Resolves `params` for frames of `frame`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a binning, background, window, tile or percentile that does not fit the patterns.
    pub fn new(frame: FrameShape, params: &Params) -> Result<Arc<Plan>> {
        let bin = params.bin;
        if bin == 0 || bin > frame.height.min(frame.width) {
            let what = format!("{bin} does not fit patterns of {}×{}", frame.height, frame.width);
            return Err(Error::parameter("--bin", what));
        }
        if !matches!(params.output, Pixel::U8 | Pixel::U16 | Pixel::F32) {
            let what = format!("patterns are written as u8, u16 or f32, not {}", params.output);
            return Err(Error::parameter("--dtype", what));
        }
        let (height, width) = (frame.height / bin, frame.width / bin);
        let mut bad = 0;
        let steps = params.steps.iter().map(|s| ready(s, frame, bin, height, width, &mut bad));
        Ok(Arc::new(Plan {
            frame,
            bin,
            height,
            width,
            steps: steps.collect::<Result<_>>()?,
            output: params.output,
            round: params.round,
            bad,
        }))
    }

    /// The same chain for raw patterns that are float32 already.
    pub fn for_values(plan: &Arc<Plan>) -> Arc<Plan> {
        let mut floats = Plan::clone(plan);
        floats.frame.pixel = Pixel::F32;
        Arc::new(floats)
    }

    /// Rows and columns of the results.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }
    /// Shape and type of the raw patterns.
    pub fn raw(&self) -> FrameShape {
        self.frame
    }
    /// Pixels of a result.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }
    /// Shape and type of the results.
    pub fn output(&self) -> FrameShape {
        FrameShape {
            pixel: self.output,
            height: self.height,
            width: self.width,
        }
    }
    /// Work on one pattern: an operation for each pixel and step, two for each weight of a low-pass along both axes (twice that for the local
    /// normalisation), 28 comparisons for the median of eight neighbours and four operations for each look of a stretch at a pixel. Where weights
    /// mirror, the CPU adds pairs first and needs three quarters of those of the low-pass.
    pub fn work(&self) -> Work {
        let pixels = self.pixels() as u64;
        let window = |axes: &[Axis; 2]| 2 * axes.iter().map(|a| a.weights.len() as u64).sum::<u64>();
        let each = |step: &Ready| match step {
            Ready::Hot(_) => 28,
            Ready::Static { .. } | Ready::Circle(_) => 1,
            Ready::Lowpass { axes, .. } => window(axes) + 1,
            Ready::LocalNorm { axes } => 2 * window(axes) + 5,
            Ready::Clahe(_) => 20,
            Ready::Stretch { .. } => 8,
        };
        Work {
            read: self.frame.bytes() as u64,
            written: self.output().bytes() as u64,
            operations: self.frame.pixels() as u64 + pixels * self.steps.iter().map(each).sum::<u64>(),
        }
    }
    /// Pixels whose static background is unusable: filled in every pattern.
    pub fn bad_background(&self) -> usize {
        self.bad
    }
}

fn ready(step: &Step, frame: FrameShape, bin: usize, height: usize, width: usize, bad: &mut usize) -> Result<Ready> {
    let axes = |window: &Window| {
        [height, width].map(|n| Axis {
            weights: window.weights.iter().map(|&w| w as f32).collect(),
            sources: window.sources(n),
        })
    };
    Ok(match step {
        Step::Hot { factor } if *factor > 0.0 => Ready::Hot(*factor),
        Step::Hot { factor } => return Err(Error::parameter("--hot", format!("{factor} is not a positive number"))),
        Step::Static { image, how } => {
            let usable = |v: f32| v.is_finite() && (*how != Static::Divide || v > 0.0);
            let image = fitting(image, frame, bin, height, width, usable)?;
            let good: Vec<bool> = image.iter().map(|&v| usable(v)).collect();
            let fill = fill(&good, height, width)?;
            *bad += fill.pixels.len();
            let values = || image.iter().copied().filter(|&v| usable(v));
            let range = [
                values().fold(f32::INFINITY, f32::min),
                values().fold(f32::NEG_INFINITY, f32::max),
            ];
            // An unusable background must not make a pixel that is filled later infinite.
            let image = image.iter().map(|&v| if usable(v) { v } else { 1.0 }).collect();
            Ready::Static {
                image,
                range,
                how: *how,
                fill,
            }
        }
        Step::Lowpass { window, how } => Ready::Lowpass {
            axes: axes(window),
            how: *how,
        },
        Step::LocalNorm { half, border } => {
            if *half == 0 || *half >= height.min(width) {
                let what = format!("a half width of {half} does not fit patterns of {height}×{width}");
                return Err(Error::parameter("--local", what));
            }
            Ready::LocalNorm {
                axes: axes(&Window::mean(*half, *border)),
            }
        }
        Step::Clahe { tile, clip, bins } => Ready::Clahe(tiles(*tile, *clip, *bins, height, width)?),
        Step::Stretch { low, high, to, whole } => {
            if !(0.0 <= *low && low < high && *high <= 100.0) {
                let what = format!("percentiles rise from 0 to 100; these are {low} and {high}");
                return Err(Error::parameter("--low", what));
            }
            Ready::Stretch {
                low: Rank::new(*low, height * width),
                high: Rank::new(*high, height * width),
                to: *to,
                whole: *whole,
            }
        }
        Step::Circle { radius } => {
            let (cy, cx, r) = (0.5 * height as f64, 0.5 * width as f64, radius * width as f64);
            if radius.is_nan() || *radius <= 0.0 {
                return Err(Error::parameter("--circle", format!("{radius} is not a positive number")));
            }
            let inside = |i: usize| ((i % width) as f64 - cx).hypot((i / width) as f64 - cy) <= r;
            Ready::Circle((0..height * width).map(inside).collect())
        }
    })
}

/// The background in the size of the binned patterns; NaN where a block has a pixel that is not usable.
fn fitting(
    image: &Array2<f64>,
    frame: FrameShape,
    bin: usize,
    height: usize,
    width: usize,
    usable: impl Fn(f32) -> bool,
) -> Result<Vec<f32>> {
    if image.dim() == (height, width) {
        return Ok(image.iter().map(|&v| v as f32).collect());
    }
    if image.dim() != (frame.height, frame.width) {
        let (h, w) = image.dim();
        let what = format!(
            "the static background has {h}×{w} pixels, the patterns have {}×{}",
            frame.height, frame.width
        );
        return Err(Error::parameter("--background", what));
    }
    let area = (bin * bin) as f64;
    let mean = |y: usize, x: usize| {
        let block = image.slice(ndarray::s![y * bin..(y + 1) * bin, x * bin..(x + 1) * bin]);
        // A block with an unusable pixel is unusable: its mean would be wrong.
        let all = block.iter().all(|&v| usable(v as f32));
        if all { (block.sum() / area) as f32 } else { f32::NAN }
    };
    Ok((0..height * width).map(|i| mean(i / width, i % width)).collect())
}

/// For each bad pixel the good ones in the smallest square around it that has any.
fn fill(good: &[bool], height: usize, width: usize) -> Result<Fill> {
    let mut out = Fill {
        starts: vec![0],
        ..Fill::default()
    };
    if !good.iter().any(|&g| g) {
        return Err(Error::parameter(
            "--background",
            "no pixel of the static background is a positive number",
        ));
    }
    for at in (0..good.len()).filter(|&i| !good[i]) {
        let (y, x) = (at / width, at % width);
        for r in 1..height.max(width) {
            let rows = y.saturating_sub(r)..(y + r + 1).min(height);
            let columns = x.saturating_sub(r)..(x + r + 1).min(width);
            for row in rows {
                let line = columns.clone().map(|c| row * width + c).filter(|&i| good[i]);
                out.sources.extend(line.map(|i| i as u32));
            }
            if out.sources.len() as u32 > out.starts[out.pixels.len()] {
                break;
            }
        }
        out.pixels.push(at as u32);
        out.starts.push(out.sources.len() as u32);
    }
    Ok(out)
}

fn tiles(size: [usize; 2], clip: f64, bins: usize, height: usize, width: usize) -> Result<Tiles> {
    let edges = [height, width];
    // Reflection reaches at most one pattern; histograms of tiles are kept for the whole pattern.
    // Counts times grey levels stay below 2^32.
    let fits = (0..2).all(|a| size[a] >= 1 && size[a] < edges[a]) && size[0] * size[1] <= 1 << 18;
    if !fits || !(0.0..=1.0).contains(&clip) || !(2..=256).contains(&bins) {
        let what = format!(
            "tiles of {}×{} pixels with {bins} bins and a limit of {clip} do not fit patterns of {height}×{width}",
            size[0], size[1]
        );
        return Err(Error::parameter("--clahe", what));
    }
    let area = (size[0] * size[1]) as f64;
    Ok(Tiles {
        size,
        count: [0, 1].map(|a| edges[a].div_ceil(size[a])),
        limit: if clip > 0.0 {
            ((clip * area) as u32).max(1)
        } else {
            area as u32
        },
        bins,
        width: 1 + LEVELS / bins,
    })
}
