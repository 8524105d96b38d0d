//! Kikuchi patterns: processing, bands, image quality, comparison with neighbours and with a dictionary. How fast they are does not depend on what the frames show.

use super::super::case::{Case, OnFrames};
use super::super::data::{Data, DeviceData};
use super::super::timing::time;
use super::Cases;
use crate::backend::gpu::Gpu;
use crate::backend::stage::Work;
use crate::control::Control;
use crate::engine::{Backend, FrameSink};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::kernels::matches::{self, Metric, Templates};
use crate::kernels::neighbours::{self, Measure};
use crate::kernels::{hough, pattern, quality};
use crate::ops::{Bands, PatternChain, Quality};
use crate::pixel::{FrameShape, LEAF, Pixel, Sample};
use crate::with_pixel;
use ndarray::{Array2, s};
use std::hint::black_box;
use std::sync::{Arc, Mutex};

/// Most templates of the dictionary, and how many are kept of each pattern.
const TEMPLATES: usize = 1000;
const KEEP: usize = 20;
/// Most pixels of all templates together, and of all patterns.
const PIXELS: usize = 1 << 24;

/// The usual chain with aloe's window and with a wide one, bands, a dictionary.
pub fn cases(data: &Arc<Data>) -> Cases {
    let shape = data.shape;
    let width = shape.width as f64;
    let mut all = Vec::new();
    let windows = [
        ("patterns, narrow window", pattern::Window::aloe((width / 16.0).max(1.0))?),
        ("patterns, wide window", pattern::Window::symmetric((width / 8.0).max(1.0))?),
    ];
    for (name, window) in windows {
        let plan = pattern::Plan::new(shape, &chain(shape, window))?;
        let note = "Multiply-adds of the low-pass, one for each weight, axis and pixel.";
        let make = {
            let plan = plan.clone();
            move |_, _| Ok(PatternChain::new(plan.clone(), Arc::new(Mutex::new(Box::new(Nowhere)))))
        };
        all.push(OnFrames::new(name, note, plan.work(), data, make).boxed());
    }
    // Frames whose tables would not fit are no patterns.
    if let Ok(plan) = hough::Plan::new(shape, &hough::Params::default()) {
        let note = "The filter's multiply-adds for small patterns; votes from the second-level cache for large ones.";
        let work = plan.work();
        all.push(OnFrames::new("bands", note, work, data, move |_, _| Ok(Bands(plan.clone()))).boxed());
    }
    all.push(Box::new(Dictionary::new(data)?));
    if let Ok(plan) = quality::Plan::new(shape, true) {
        let note = "The transform's multiply-adds.";
        let work = plan.work();
        all.push(OnFrames::new("image quality", note, work, data, move |_, _| Ok(Quality(plan.clone()))).boxed());
    }
    all.push(Box::new(Neighbours::means(data)));
    all.push(Box::new(Neighbours::pairs(data)));
    Ok(all)
}

/// Division by the static background and the low-pass, stretch to 8 bits.
fn chain(shape: FrameShape, window: pattern::Window) -> pattern::Params {
    let image = Array2::from_shape_fn((shape.height, shape.width), |(y, x)| 1.0 + ((y * 7 + x) % 13) as f64);
    pattern::Params {
        bin: 1,
        steps: vec![
            pattern::Step::Static {
                image,
                how: pattern::Static::Divide,
            },
            pattern::Step::Lowpass {
                window,
                how: pattern::Dynamic::Divide,
            },
            pattern::Step::Stretch {
                low: 1.0,
                high: 99.0,
                to: [0.0, 255.0],
                whole: true,
            },
        ],
        output: Pixel::U8,
        round: false,
    }
}

struct Nowhere;

impl FrameSink<u8> for Nowhere {
    fn put(&mut self, _: u64, _: usize, values: &[u8]) -> Result<()> {
        black_box(values);
        Ok(())
    }
    fn restart(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Columns of the map that the frames in memory are taken for.
const COLUMNS: usize = 16;

/// A tile of a map: means of 3 × 3 neighbours, or correlations with the neighbours to the right and below.
struct Neighbours {
    data: Arc<Data>,
    means: bool,
}

impl Neighbours {
    fn means(data: &Arc<Data>) -> Self {
        Neighbours {
            data: data.clone(),
            means: true,
        }
    }
    fn pairs(data: &Arc<Data>) -> Self {
        Neighbours {
            data: data.clone(),
            means: false,
        }
    }
    fn params(&self) -> neighbours::Params {
        neighbours::Params {
            frame: self.data.shape,
            measure: Measure::Correlation,
            weights: None,
        }
    }
    /// Works on leaf after leaf as tiles of a map.
    fn run(&self, stage: &mut dyn neighbours::Stage, items: u64) -> Result<()> {
        let rows = LEAF as usize / COLUMNS;
        let at = |y: usize, x: usize| (y * COLUMNS + x) as u32;
        let mut lists = neighbours::Lists::default();
        let mut pairs = Vec::new();
        for (y, x) in (0..rows).flat_map(|y| (0..COLUMNS).map(move |x| (y, x))) {
            let near = (y.saturating_sub(1)..(y + 2).min(rows))
                .flat_map(|v| (x.saturating_sub(1)..(x + 2).min(COLUMNS)).map(move |u| (v, u)));
            lists.push(near.map(|(v, u)| (at(v, u), 1.0)));
            if x + 1 < COLUMNS {
                pairs.push([at(y, x), at(y, x + 1)]);
            }
            if y + 1 < rows {
                pairs.push([at(y, x), at(y + 1, x)]);
            }
        }
        for leaf in 0..items / LEAF {
            let frames = self.data.leaf(leaf)?;
            match self.means {
                true => black_box(stage.means(frames, &lists)?),
                false => black_box(stage.pairs(frames, &pairs)?),
            };
        }
        Ok(())
    }
}

impl Case for Neighbours {
    fn name(&self) -> &str {
        if self.means { "neighbour means" } else { "neighbour pairs" }
    }
    fn note(&self) -> &str {
        match self.means {
            true => "Nine patterns from the cache for each that is written; on a device the bus, up and back.",
            false => "Patterns to float32 rows of unit length once, then two products of rows; on a device the bus, up.",
        }
    }
    fn frame(&self) -> Option<FrameShape> {
        Some(self.data.shape)
    }
    fn unit(&self) -> &'static str {
        "frames"
    }
    fn work(&self) -> Work {
        let pixels = self.data.shape.pixels() as u64;
        Work {
            read: self.data.shape.bytes() as u64,
            written: if self.means { 4 * pixels } else { 8 },
            // Nine multiply-adds; or mean and length, and two products.
            operations: if self.means { 18 * pixels } else { 7 * pixels },
        }
    }
    fn items(&self, _: usize) -> (u64, u64) {
        (LEAF, self.data.count())
    }
    fn cpu(&self, threads: usize, items: u64) -> Result<f64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| Error::Internal(format!("threads: {e}")))?;
        let mut stage = neighbours::cpu::stage(&self.params())?;
        time(|| pool.install(|| self.run(&mut *stage, items)))
    }
    fn gpu(&self, gpu: &Arc<Gpu>, _: &DeviceData, items: u64) -> Result<Option<(u64, f64)>> {
        let items = (items / LEAF).max(1) * LEAF;
        let mut stage = neighbours::gpu::stage(gpu, &self.params(), LEAF as usize)?;
        // Rows are made room for when the first pairs come.
        self.run(&mut *stage, LEAF)?;
        let seconds = time(|| self.run(&mut *stage, items))?;
        Ok(Some((items, seconds)))
    }
    fn pass(&self, _: &dyn Scan, _: &Backend, _: &Control) -> Result<Option<f64>> {
        Ok(None)
    }
}

/// Frames compared with templates, preparation of the frames included.
struct Dictionary {
    name: String,
    shape: FrameShape,
    patterns: Array2<f32>,
    templates: Templates,
}

impl Dictionary {
    fn new(data: &Data) -> Result<Self> {
        let shape = data.shape;
        let pixels = shape.pixels();
        let leaves = (PIXELS / (LEAF as usize * pixels)).clamp(1, 8) as u64;
        let count = (PIXELS / pixels).clamp(64, TEMPLATES);
        let mut values = Vec::new();
        for leaf in 0..leaves.min(data.count() / LEAF) {
            let frames = data.leaf(leaf)?;
            for i in 0..frames.count() {
                with_pixel!(shape.pixel, T => {
                    // Frames repeat: a little noise makes them different.
                    let number = values.len() as f32 * 1e-9;
                    let noisy = |(p, v): (usize, &T)| v.to_f32() + ((p * 7919) % 101) as f32 * number;
                    values.extend(frames.frame::<T>(i).iter().enumerate().map(noisy))
                });
            }
        }
        let n = values.len() / pixels;
        let patterns = Array2::from_shape_vec((n, pixels), values).map_err(|e| Error::Internal(format!("patterns: {e}")))?;
        // As in a dictionary some templates are much alike a pattern and most are not: shares of a pattern and of a saw tooth.
        let top = patterns.fold(f32::MIN_POSITIVE, |top, v| top.max(*v));
        let template = |(t, p): (usize, usize)| {
            let wave = ((t * 31 + p * (7 + t % 97)) % 1009) as f32 / 1009.0;
            let share = (t + 1) as f32 / (count + 1) as f32;
            (1.0 - share) * patterns[[t % n, p]] / top + share * wave
        };
        let templates = Array2::from_shape_fn((count, pixels), template);
        Ok(Dictionary {
            name: format!("dictionary of {count}"),
            shape,
            patterns,
            templates: Templates::new(templates.view(), None, Metric::Correlation)?,
        })
    }
}

impl Case for Dictionary {
    fn name(&self) -> &str {
        &self.name
    }
    fn note(&self) -> &str {
        "Products of 16-bit integers; then the frames' own preparation."
    }
    fn frame(&self) -> Option<FrameShape> {
        Some(self.shape)
    }
    fn unit(&self) -> &'static str {
        "frames"
    }
    fn work(&self) -> Work {
        matches::work(self.shape.pixels(), self.templates.len(), KEEP)
    }
    fn items(&self, _: usize) -> (u64, u64) {
        (LEAF.min(self.patterns.nrows() as u64), self.patterns.nrows() as u64)
    }
    fn cpu(&self, threads: usize, items: u64) -> Result<f64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| Error::Internal(format!("threads: {e}")))?;
        let patterns = self.patterns.slice(s![..items as usize, ..]);
        let control = Control::new();
        time(|| pool.install(|| self.templates.best(patterns, None, KEEP, &control).map(black_box)))
    }
    fn gpu(&self, gpu: &Arc<Gpu>, _: &DeviceData, items: u64) -> Result<Option<(u64, f64)>> {
        let items = items.min(self.patterns.nrows() as u64);
        let patterns = self.patterns.slice(s![..items as usize, ..]);
        let control = Control::new();
        let seconds = time(|| self.templates.best_on(gpu, patterns, None, KEEP, &control).map(black_box))?;
        Ok(Some((items, seconds)))
    }
    fn pass(&self, _: &dyn Scan, _: &Backend, _: &Control) -> Result<Option<f64>> {
        Ok(None)
    }
}
