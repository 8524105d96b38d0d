//! One pass: the lattice of its cluster refined in every frame. Spots are correlated by a kernel, and each leaf's spots are
//! fitted on the host as they arrive, by the worker that has them, so that no peaks pile up.

use super::Matching;
use crate::analysis::lattice::matching::affine;
use crate::analysis::lattice::{Fit, Lattice, Matcher, Scratch, Vector};
use crate::backend::gpu::{Gpu, GpuBlock, Recorder};
use crate::backend::stage::{Cost, CpuStage, GpuStage};
use crate::engine::{Collector, Handle, Job, Needs, Operator, Pass};
use crate::error::{Error, Result};
use crate::kernels::correlate::{Part, Peak};
use crate::ops::{Correlate, Displaced};
use crate::pixel::{Frames, LEAF};
use rayon::prelude::*;
use std::sync::Arc;

/// From the peaks of a frame to its lattice.
pub struct Fitter {
    /// Label of each selected frame.
    pub labels: Arc<[i32]>,
    /// Where each label's lattice is expected.
    pub lattices: Vec<Option<Lattice>>,
    /// Indices (h, k) of the peaks of each label, in their order.
    pub sites: Vec<Vec<[i32; 2]>>,
    pub matcher: Matcher,
    pub matching: Matching,
    /// From a found position to the centre of what was found, see `Template::offset`.
    pub offset: Vector,
    /// Whole pixels (y, x) by which each selected frame was moved back before its spots were looked for; what is found is in the
    /// frame as it was.
    pub moved: Option<Arc<[Vector]>>,
    /// Keep the peaks.
    pub keep: bool,
}

/// A refined spot.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spot {
    /// Its centre is `peak.refined`, the template's offset included.
    pub peak: Peak,
    /// Whether it belongs to the fitted lattice.
    pub matched: bool,
}

/// What a leaf contributes.
pub struct Fitted {
    first: u64,
    fits: Vec<Option<Fit>>,
    spots: Vec<Spot>,
}

/// Lattices of all selected frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Refined {
    /// `None`: too few spots, or no lattice to begin with.
    pub fits: Vec<Option<Fit>>,
    /// The spots of each frame one after the other, if they were to be kept.
    pub spots: Option<Vec<Spot>>,
    /// First spot of each frame, and their number at the end.
    offsets: Vec<u64>,
}

impl Refined {
    /// Spots of selected frame `n`, in the order of the sites of its label; none if they were not kept.
    pub fn frame(&self, n: usize) -> &[Spot] {
        match (self.offsets.get(n), self.offsets.get(n + 1), &self.spots) {
            (Some(&from), Some(&to), Some(spots)) => spots.get(from as usize..to as usize).unwrap_or(&[]),
            _ => &[],
        }
    }
}

impl Fitter {
    fn label(&self, n: u64) -> Option<usize> {
        let label = usize::try_from(n).ok().and_then(|n| self.labels.get(n))?;
        usize::try_from(*label).ok()
    }

    /// Sites of selected frame `n`.
    pub fn sites(&self, n: u64) -> &[[i32; 2]] {
        self.label(n).and_then(|l| self.sites.get(l)).map_or(&[], Vec::as_slice)
    }

    /// How far selected frame `n` was moved.
    fn back(&self, n: u64) -> Vector {
        let of = |moved: &Arc<[Vector]>| moved.get(usize::try_from(n).ok()?).copied();
        self.moved.as_ref().and_then(of).unwrap_or_default()
    }

    /// Fits every frame of a part; frames are independent, so it does not matter who does.
    fn fit(&self, part: &Part) -> Fitted {
        let mut out = Fitted {
            first: part.first,
            fits: Vec::with_capacity(part.offsets.len()),
            spots: Vec::new(),
        };
        let (mut points, mut weights, mut scratch) = (Vec::new(), Vec::new(), Scratch::default());
        for (n, ends) in (part.first..).zip(part.offsets.windows(2)) {
            let peaks = part.peaks.get(ends[0] as usize..ends[1] as usize).unwrap_or(&[]);
            let back = self.back(n);
            points.clear();
            let true_place = |p: &Peak| [0, 1].map(|k| f64::from(p.refined[k]) + self.offset[k] + back[k]);
            points.extend(peaks.iter().map(true_place));
            weights.clear();
            weights.extend(peaks.iter().map(|p| f64::from(p.elevation)));
            let lattice = self.label(n).and_then(|l| self.lattices.get(l)).copied().flatten();
            let lattice = lattice.map(|l| Lattice {
                zero: [l.zero[0] + back[0], l.zero[1] + back[1]],
                ..l
            });
            let fit = lattice.and_then(|lattice| match self.matching {
                Matching::Fast => self.matcher.fast(&points, &weights, &lattice, &mut scratch),
                Matching::Affine => affine(&points, &weights, self.sites(n)),
            });
            if self.keep {
                out.spots.extend(peaks.iter().enumerate().map(|(i, peak)| Spot {
                    peak: Peak {
                        center: [0, 1].map(|k| peak.center[k] + back[k] as i16),
                        refined: points[i].map(|v| v as f32),
                        ..*peak
                    },
                    matched: fit.is_some()
                        && match self.matching {
                            Matching::Fast => scratch.matched().get(i).copied().unwrap_or(false),
                            Matching::Affine => weights[i] > 0.0,
                        },
                }));
            }
            out.fits.push(fit);
        }
        out
    }
}

/// The operator: a correlation whose peaks become lattices.
pub struct Refine {
    pub correlate: Correlate,
    pub fitter: Arc<Fitter>,
}

impl Refine {
    /// The operator for frames as they are: it moves them first if the fitter says so.
    pub fn on_frames(self, pass: &mut Pass<'_>) -> Handle<Refined> {
        match self.fitter.moved.clone() {
            Some(moved) => pass.add(Displaced::new(self, moved)),
            None => pass.add(self),
        }
    }
}

impl Operator for Refine {
    type Part = Fitted;
    type Output = Refined;
    fn name(&self) -> &'static str {
        "refinement"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        let needs = self.correlate.needs(job)?;
        let frames = job.selection.len();
        let spots: u64 = if self.fitter.keep {
            (0..frames).map(|n| self.fitter.sites(n).len() as u64).sum()
        } else {
            0
        };
        let widest = self.fitter.sites.iter().map(Vec::len).max().unwrap_or(0);
        Ok(Needs {
            worker: Cost {
                fixed: needs.worker.fixed + LEAF * (size_of::<Option<Fit>>() + widest * size_of::<Spot>()) as u64,
                ..needs.worker
            },
            output: frames * (size_of::<Option<Fit>>() as u64 + 8) + spots * size_of::<Spot>() as u64,
            ..Needs::default()
        })
    }
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Fitted>>> {
        Ok(Box::new(OnCpu {
            inner: self.correlate.cpu(job)?,
            fitter: self.fitter.clone(),
        }))
    }
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Fitted>>> {
        Ok(Box::new(OnGpu {
            inner: self.correlate.gpu(job, gpu)?,
            fitter: self.fitter.clone(),
        }))
    }
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = Fitted, Output = Refined>>> {
        let frames = job.selection.len();
        let mut offsets = vec![0];
        let mut total = 0;
        if self.fitter.keep {
            offsets.extend((0..frames).map(|n| {
                total += self.fitter.sites(n).len() as u64;
                total
            }));
        }
        Ok(Box::new(Collected(Refined {
            fits: vec![None; frames as usize],
            spots: self.fitter.keep.then(|| vec![Spot::default(); total as usize]),
            offsets,
        })))
    }
}

struct OnCpu {
    inner: Box<dyn CpuStage<Part = Part>>,
    fitter: Arc<Fitter>,
}

impl CpuStage for OnCpu {
    type Part = Fitted;
    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        self.inner.frames(frames)
    }
    fn end_leaf(&mut self) -> Result<Option<Fitted>> {
        Ok(self.inner.end_leaf()?.map(|part| self.fitter.fit(&part)))
    }
    fn finish(&mut self) -> Result<Option<Fitted>> {
        Ok(self.inner.finish()?.map(|part| self.fitter.fit(&part)))
    }
}

struct OnGpu {
    inner: Box<dyn GpuStage<Part = Part>>,
    fitter: Arc<Fitter>,
}

impl GpuStage for OnGpu {
    type Part = Fitted;
    fn cost(&self) -> Cost {
        self.inner.cost()
    }
    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        self.inner.encode(rec, block)
    }
    fn results(&mut self, first: u64, count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, Fitted)>> {
        let parts = self.inner.results(first, count, reads)?;
        let fit = |(leaf, part): (u64, Part)| (leaf, self.fitter.fit(&part));
        Ok(parts.into_par_iter().map(fit).collect())
    }
    fn encode_finish(&mut self, rec: &mut Recorder<'_>) -> Result<()> {
        self.inner.encode_finish(rec)
    }
    fn finish(&mut self, reads: &[&[u8]]) -> Result<Option<Fitted>> {
        Ok(self.inner.finish(reads)?.map(|part| self.fitter.fit(&part)))
    }
}

/// Puts leaves where they belong.
struct Collected(Refined);

impl Collector for Collected {
    type Part = Fitted;
    type Output = Refined;
    fn leaf(&mut self, _: u64, part: Fitted) -> Result<()> {
        let outside = || Error::Internal(format!("lattices of frame {} lie outside the selection", part.first));
        let first = usize::try_from(part.first).map_err(|_| outside())?;
        let place = self.0.fits.get_mut(first..first + part.fits.len());
        place.ok_or_else(outside)?.copy_from_slice(&part.fits);
        if let Some(spots) = &mut self.0.spots {
            let start = self.0.offsets.get(first).copied().ok_or_else(outside)? as usize;
            let place = spots.get_mut(start..start + part.spots.len());
            place.ok_or_else(outside)?.copy_from_slice(&part.spots);
        }
        Ok(())
    }
    fn rest(&mut self, part: Fitted) -> Result<()> {
        self.leaf(0, part)
    }
    fn finish(self: Box<Self>) -> Result<Refined> {
        Ok(self.0)
    }
}
