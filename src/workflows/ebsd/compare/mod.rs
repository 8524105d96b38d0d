//! `ebsd compare`: patterns with their neighbours, with one of them, or with a set of templates.

mod write;

pub use write::write;

use super::average::{pairs, tiles};
use crate::analysis::shift::Registration;
use crate::backend::cpu::fft::smooth_from;
use crate::backend::cpu::pages::zeros;
use crate::control::Control;
use crate::engine::{Backend, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::ebsd::PatternMap;
use crate::kernels::matches::{Matches, Metric, Templates};
use crate::kernels::neighbours::{self, Measure};
use crate::pixel::{FrameShape, Frames};
use crate::workflows::{Timings, read_frame};
use ndarray::{Array2, Array3, Array4};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The four neighbours of a point.
const AROUND: [[isize; 2]; 4] = [[-1, 0], [0, -1], [0, 1], [1, 0]];
/// Patterns that are compared with templates at a time.
const BLOCK: usize = 4096;

/// What says how alike two patterns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Likeness {
    /// Normalised cross-correlation coefficient (Pearson).
    #[default]
    Ncc,
    /// Normalised inner product; uniform noise gives 0.75 already.
    Nip,
}

impl std::str::FromStr for Likeness {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "ncc" => Ok(Likeness::Ncc),
            "nip" => Ok(Likeness::Nip),
            _ => Err(Error::parameter("--metric", format!("`{s}` is neither ncc nor nip"))),
        }
    }
}

/// Parameters of `ebsd compare`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    pub metric: Likeness,
    /// Pixels that count: a detector (`disk:Y,X,R` …) or a file of weights; and weights: `gauss:SIGMA` or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// File of templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templates: Option<String>,
    /// Best templates that are kept.
    pub keep: usize,
    /// Row and column of the pattern that all are compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<[usize; 2]>,
    /// Shifts are found to 1/upsample pixels.
    pub upsample: u32,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            metric: Likeness::Ncc,
            mask: None,
            weights: None,
            templates: None,
            keep: 5,
            reference: None,
            upsample: 200,
        }
    }
}

/// Weights exp(−((y − h/2)² + (x − w/2)²) / 2σ²) of the pixels (h, w).
pub fn gaussian_weights(h: usize, w: usize, sigma: f64) -> Array2<f64> {
    let square = |i: usize, n: usize| (i as f64 - n as f64 / 2.0).powi(2);
    Array2::from_shape_fn((h, w), |(y, x)| {
        (-(square(y, h) + square(x, w)) / (2.0 * sigma * sigma)).exp()
    })
}

/// What to compare and how.
pub struct Job<'a> {
    pub map: &'a PatternMap,
    pub selection: &'a Selection,
    pub params: &'a Params,
    /// Weight of each pixel (h, w).
    pub weights: Option<Array2<f64>>,
}

/// Similarity with neighbours, NaN where there is none.
pub struct Neighbours {
    /// Mean over the neighbours inside the map (rows, columns).
    pub mean: Array2<f64>,
    /// With each point of the 3 × 3 around (rows, columns, 3, 3): 1 in the middle, NaN in the corners.
    pub each: Array4<f32>,
}

/// Comparison with one pattern, NaN where there is no pattern.
pub struct WithReference {
    pub at: [usize; 2],
    /// (rows, columns).
    pub similarity: Array2<f64>,
    /// (rows, columns, 2): shift (y, x) in pixels against the reference.
    pub shift: Array3<f64>,
    /// Correlation at that shift (rows, columns).
    pub height: Array2<f64>,
}

impl Job<'_> {
    fn frame(&self) -> FrameShape {
        self.map.scan.info().frame
    }

    fn kernel(&self) -> neighbours::Params {
        neighbours::Params {
            frame: self.frame(),
            measure: match self.params.metric {
                Likeness::Ncc => Measure::Correlation,
                Likeness::Nip => Measure::InnerProduct,
            },
            weights: (self.weights.as_ref()).map(|w| w.iter().map(|&v| v as f32).collect::<Arc<[f32]>>()),
        }
    }

    /// Every pattern with its four neighbours.
    ///
    /// # Errors
    /// [`Error::Parameter`] for weights that do not fit; whatever reading or the device reports.
    pub fn neighbours(&self, timings: &mut Timings, backend: &Backend, control: &Control) -> Result<Neighbours> {
        let (rows, columns) = self.map.present.dim();
        let mut each = Array4::from_elem((rows, columns, 3, 3), f32::NAN);
        let work = |stage: &mut dyn neighbours::Stage, tile: &crate::engine::Tile<'_>| {
            let (pairs, _) = pairs(tile, &AROUND);
            let mut values = stage.pairs(tile.frames, &pairs)?.into_iter();
            for ([y, x], _) in tile.points() {
                each[[y, x, 1, 1]] = 1.0;
                for o in AROUND {
                    if tile.at(y as isize + o[0], x as isize + o[1]).is_some() {
                        let value = values.next().unwrap_or(f32::NAN);
                        each[[y, x, (o[0] + 1) as usize, (o[1] + 1) as usize]] = value;
                    }
                }
            }
            Ok(())
        };
        timings.frames("similarity", &*self.map.scan, self.selection, || {
            tiles(
                self.map,
                self.selection,
                1,
                &self.kernel(),
                "similarity",
                backend,
                control,
                work,
            )
        })?;
        let mean = Array2::from_shape_fn((rows, columns), |(y, x)| {
            let around = AROUND.map(|o| f64::from(each[[y, x, (o[0] + 1) as usize, (o[1] + 1) as usize]]));
            let there: Vec<f64> = around.into_iter().filter(|v| v.is_finite()).collect();
            match there.len() {
                0 => f64::NAN,
                n => there.iter().sum::<f64>() / n as f64,
            }
        });
        Ok(Neighbours { mean, each })
    }

    /// Frames `numbers` of a scan as rows that products of are similarities: see [`neighbours::cpu::rows`]. Pixels of no weight are left out.
    fn rows(&self, scan: &dyn Scan, numbers: &[u64], control: &Control) -> Result<Array2<f32>> {
        const PIECE: usize = 16;
        let shape = scan.info().frame;
        let params = neighbours::Params {
            frame: shape,
            ..self.kernel()
        };
        let kept: Option<Vec<usize>> = (self.weights.as_ref()).map(|w| {
            let weighted = w.iter().enumerate().filter(|(_, w)| **w > 0.0);
            weighted.map(|(i, _)| i).collect()
        });
        let width = kept.as_ref().map_or(shape.pixels(), Vec::len);
        let mut out: Vec<f32> = zeros(numbers.len() * width);
        let pieces = out.par_chunks_mut(PIECE * width.max(1)).zip(numbers.par_chunks(PIECE));
        pieces.try_for_each(|(out, numbers)| {
            control.check()?;
            let mut words = vec![0u32; numbers.len() * shape.stride() / 4];
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
            scan.read(numbers, shape.stride(), bytes, control)?;
            let frames = Frames::new(shape, 0, numbers.len(), bytes)?;
            match &kept {
                None => neighbours::cpu::rows(&params, frames, out)?,
                Some(kept) => {
                    let mut rows = vec![0.0f32; numbers.len() * shape.pixels()];
                    neighbours::cpu::rows(&params, frames, &mut rows)?;
                    for (out, row) in out.chunks_exact_mut(width).zip(rows.chunks_exact(shape.pixels())) {
                        out.iter_mut().zip(kept).for_each(|(o, &i)| *o = row[i]);
                    }
                }
            }
            Ok::<(), Error>(())
        })?;
        let out = Array2::from_shape_vec((numbers.len(), width), out);
        out.map_err(|e| Error::Internal(format!("rows of patterns: {e}")))
    }

    /// The best templates of every pattern, in map order. Templates and patterns are held in parts that fit the memory ceiling; patterns are
    /// read again for every part of the templates.
    ///
    /// # Errors
    /// [`Error::Parameter`] for templates of another size or more to keep than there are; [`Error::Memory`]; whatever reading reports.
    pub fn templates(
        &self,
        templates: &dyn Scan,
        timings: &mut Timings,
        backend: &Backend,
        control: &Control,
    ) -> Result<Matches> {
        let (frame, of_templates) = (self.frame(), templates.info().frame);
        if (frame.height, frame.width) != (of_templates.height, of_templates.width) {
            let what = format!(
                "{} × {} pixels, the patterns have {} × {}",
                of_templates.height, of_templates.width, frame.height, frame.width
            );
            return Err(Error::parameter("--templates", what));
        }
        let (all, keep) = (templates.info().frames(), self.params.keep);
        if keep == 0 || keep as u64 > all || u32::try_from(all).is_err() {
            return Err(Error::parameter("--keep", format!("{keep} of {all} templates")));
        }
        let n = self.selection.len() as usize;
        // Rows as they are made and as the product takes them.
        let row = 8 * frame.pixels() as u64;
        let results = (n * keep * 24) as u64;
        let room = control.memory.saturating_sub(results) / 2;
        let (at_once, block) = (room / row, (room / (row + frame.stride() as u64)).min(BLOCK as u64));
        if at_once.min(block) == 0 {
            let what = format!("comparison needs {} MB at least", (results + 4 * row).div_ceil(1 << 20));
            return Err(Error::Memory { what });
        }
        let at_once = at_once.min(all).max(keep as u64) as usize;
        let parts = (all as usize).div_ceil(at_once);
        let mut best: Vec<Vec<(u32, f64)>> = vec![Vec::new(); n];
        let total = self.selection.len() * parts as u64;
        let progress = &control.progress;
        timings.frames("templates", &*self.map.scan, self.selection, || {
            progress.begin("templates", total, total * frame.bytes() as u64);
            let mut numbers = Vec::new();
            for first in (0..all).step_by(at_once) {
                let upto = (first + at_once as u64).min(all);
                let rows = self.rows(templates, &(first..upto).collect::<Vec<_>>(), control)?;
                // Rows hold the weights already: their products are the similarities.
                let set = Templates::new(rows, None, Metric::InnerProduct)?;
                let k = keep.min(set.len());
                for from in (0..n as u64).step_by(block as usize) {
                    self.selection.frames(from..(from + block).min(n as u64), &mut numbers);
                    let rows = self.rows(&*self.map.scan, &numbers, control)?;
                    let found = match backend {
                        Backend::Cpu => set.best(rows, None, k, control)?,
                        Backend::Gpu(device) => set.best_on(&device.current(), rows, None, k, control)?,
                    };
                    for (i, slot) in best[from as usize..from as usize + numbers.len()].iter_mut().enumerate() {
                        let others = found.index.row(i).into_iter().zip(found.score.row(i));
                        slot.extend(others.map(|(&t, &s)| (t + first as u32, s)));
                        slot.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                        slot.truncate(keep);
                    }
                    progress.advance(numbers.len() as u64);
                }
            }
            progress.end();
            Ok(())
        })?;
        Ok(Matches {
            index: Array2::from_shape_fn((n, keep), |(i, j)| best[i][j].0),
            score: Array2::from_shape_fn((n, keep), |(i, j)| best[i][j].1),
        })
    }

    /// Every pattern with the one at `at`: similarity in place, and the shift that makes them most alike.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a point without a pattern; whatever reading reports.
    pub fn reference(&self, at: [usize; 2], timings: &mut Timings, control: &Control) -> Result<WithReference> {
        let [rows, columns] = self.map.scan.info().nav;
        let number = super::point(self.map, at, "--reference")?;
        let frame = self.frame();
        let reference = read_frame(&*self.map.scan, number, control)?;
        // A quarter of the pattern is room enough for shifts.
        let cell = [frame.height, frame.width].map(|n| smooth_from(n + n.div_ceil(4)));
        let registration = Registration::new(reference.view(), cell)?;
        let own = self.rows(&*self.map.scan, &[number], control)?;
        let set = Templates::new(own, None, Metric::InnerProduct)?;
        let n = self.selection.len();
        let mut values: Vec<[f64; 4]> = Vec::with_capacity(n as usize);
        let each = (8 * frame.pixels() + frame.stride()) as u64;
        let block = (control.memory / 4 / each).clamp(1, 512);
        let progress = &control.progress;
        timings.frames("reference", &*self.map.scan, self.selection, || {
            progress.begin("reference", n, n * frame.bytes() as u64);
            let mut numbers = Vec::new();
            for from in (0..n).step_by(block as usize) {
                self.selection.frames(from..(from + block).min(n), &mut numbers);
                let rows = self.rows(&*self.map.scan, &numbers, control)?;
                let similar = set.best(rows, None, 1, control)?;
                let shifts = numbers.par_iter().map(|&number| {
                    control.check()?;
                    let pattern = read_frame(&*self.map.scan, number, control)?;
                    registration.find_in_common(pattern.view(), self.params.upsample)
                });
                let shifts = shifts.collect::<Result<Vec<_>>>()?;
                let both = similar.score.iter().zip(&shifts);
                values.extend(both.map(|(&score, s)| [score, s.shift[0], s.shift[1], s.height]));
                progress.advance(numbers.len() as u64);
            }
            progress.end();
            Ok(())
        })?;
        let part = |k: usize| {
            let values: Vec<f64> = values.iter().map(|v| v[k]).collect();
            self.selection.scatter(&values, f64::NAN)
        };
        let shift = [part(1), part(2)];
        Ok(WithReference {
            at,
            similarity: part(0),
            shift: Array3::from_shape_fn((rows, columns, 2), |(y, x, k)| shift[k][[y, x]]),
            height: part(3),
        })
    }
}

/// What was compared.
pub enum Compared {
    Neighbours(Neighbours),
    Templates { matches: Matches, templates: u64 },
    Reference(WithReference),
}
