//! `--correlation joint`: after the fast refinement, zero, a and b of every frame from the pixels of all its disks at once.
//!
//! The shape of the disks is not known beforehand: it is fitted freely in a sample of the frames, with and without the pixels' own
//! width; the sample's likelihood decides between the two ([`super::profile`]), and the median is then fixed for all. Frames whose joint
//! fit does not converge keep their fast result. See [`crate::kernels::correlate::joint`].
//!
//! Standard errors follow from the counts, or from the scatter of the spots about the lattice where that is larger: something then moves
//! spots one by one that uniform disks do not know of. So they can be compared with those of the fast refinement, which also come from
//! the scatter of spots; left to the data, the joint fit is taken if it claims less in most frames of the sample.

use super::profile::{self, Disks};
use super::{Indices, Refined};
use crate::analysis::lattice::{Fit, Lattice, StandardErrors};
use crate::control::Control;
use crate::engine::{Backend, Done, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::kernels::correlate::joint::{self, Params, Range, Settings, Shape, Status};
use crate::ops::JointFit;
use crate::workflows::Timings;
use ndarray::Array2;
use rayon::prelude::*;
use std::sync::Arc;

/// Frames in which the shape of the disks is fitted, evenly over the selection.
const SAMPLE: usize = 100;
/// Where the fit of the disks' radius is held, in radii of its start, less a hundredth.
pub(super) const LARGEST: f64 = 1.99;

/// What is refined.
pub(super) struct Refinement<'a> {
    pub scan: &'a dyn Scan,
    pub selection: &'a Selection,
    /// Where the fit of the disks' radius starts.
    pub radius: f64,
    /// Indices of the spots that are fitted.
    pub indices: Indices,
    pub control: &'a Control,
}

/// Whether to go on.
pub(super) struct Choice {
    /// The disks; `None`: stay with the fast refinement.
    pub shape: Option<Shape>,
    /// Radius of the disks in the sample, whether or not the joint fit is taken; `None`: no disks that can be fitted.
    pub radius: Option<f64>,
    /// For people.
    pub why: String,
}

impl Refinement<'_> {
    /// Fits the shape of the disks in a sample of the frames, and compares standard errors there.
    ///
    /// # Errors
    /// Whatever the passes report; [`Error::Parameter`] if the joint fit was `asked` for and no frame of the sample shows disks that can
    /// be fitted.
    pub fn choose(&self, refined: &Refined, asked: bool) -> Result<Choice> {
        let failed = |why: &str| {
            if asked {
                return Err(Error::parameter("--correlation", format!("joint: {why}; try fast")));
            }
            Ok(Choice {
                shape: None,
                radius: None,
                why: why.to_owned(),
            })
        };
        let Some((some, fast)) = self.sample(refined) else {
            return failed("no frame has a lattice to start from");
        };
        let starts: Vec<_> = fast.iter().map(|f| Some(start(&f.lattice))).collect();
        let fit_sample = |smooth| {
            let shape = Shape {
                smooth,
                ..Shape::disk(self.radius)
            };
            let free = Settings { shape, free_shape: true };
            let (backend, resident) = (&Backend::Cpu, Resident::none());
            self.pass(&some, &starts, free, backend, &resident).map(|p| p.0)
        };
        let (sharp, smooth) = (fit_sample(false)?, fit_sample(true)?);
        let Some((shape, fits)) = self.better(&some, &sharp, &smooth)? else {
            return failed("the spots of the sampled frames are no disks that can be fitted");
        };
        let claims_less = |(fast, joint): &(&Fit, &joint::Fit)| {
            let good = joint.status == Status::Converged;
            let (fast, joint) = (fast.errors.map(size), joined(fast, joint).errors.map(size));
            good && joint.is_some_and(|j| fast.is_none_or(|f| j < f))
        };
        let (all, less) = (fast.len(), fast.iter().zip(fits).filter(claims_less).count());
        let why = format!("its standard errors are smaller than those of fast in {less} of {all} sampled frames; {shape}");
        log::info!("joint fit: {why}");
        if !asked && 2 * less <= all {
            let why = format!("the standard errors of the joint fit are smaller in only {less} of {all} sampled frames");
            return Ok(Choice {
                shape: None,
                radius: Some(shape.radius),
                why,
            });
        }
        Ok(Choice {
            shape: Some(shape),
            radius: Some(shape.radius),
            why,
        })
    }

    /// Refines `refined` further, in place.
    ///
    /// # Errors
    /// Whatever the pass reports.
    pub fn refine(
        &self,
        refined: &mut Refined,
        shape: Shape,
        backend: &Backend,
        resident: &Resident,
        warnings: &mut Vec<String>,
        timings: &mut Timings,
    ) -> Result<()> {
        let starts: Vec<Option<joint::Lattice>> = refined.fits.iter().map(|f| f.as_ref().map(|f| start(&f.lattice))).collect();
        let fixed = Settings {
            shape,
            free_shape: false,
        };
        let mut fits = Vec::new();
        timings.pass("joint fit", self.scan, self.selection, || {
            let (found, done) = self.pass(self.selection, &starts, fixed, backend, resident)?;
            fits = found;
            Ok(done)
        })?;
        let mut kept = 0;
        for (old, new) in refined.fits.iter_mut().zip(&fits) {
            if let Some(old) = old {
                match new.status {
                    Status::Converged => *old = joined(old, new),
                    _ => kept += 1,
                }
            }
        }
        if kept > 0 {
            warnings.push(format!(
                "{kept} frames keep their fast result: the joint fit did not converge"
            ));
        }
        Ok(())
    }

    /// Evenly chosen frames that have a lattice to start from, and their fast fits.
    fn sample(&self, refined: &Refined) -> Option<(Selection, Vec<Fit>)> {
        let [ny, nx] = self.selection.nav();
        let fits = self.selection.iter().zip(&refined.fits);
        let usable: Vec<(u64, Fit)> = fits.filter_map(|(frame, fit)| Some((frame, (*fit)?))).collect();
        let step = usable.len().div_ceil(SAMPLE).max(1);
        let chosen: Vec<_> = usable.into_iter().step_by(step).collect();
        let mut mask = Array2::from_elem((ny, nx), false);
        for (frame, _) in &chosen {
            mask[[*frame as usize / nx, *frame as usize % nx]] = true;
        }
        let some = Selection::from_mask([ny, nx], mask.view()).ok()?;
        Some((some, chosen.into_iter().map(|(_, fit)| fit).collect()))
    }

    fn pass(
        &self,
        selection: &Selection,
        starts: &[Option<joint::Lattice>],
        settings: Settings,
        backend: &Backend,
        resident: &Resident,
    ) -> Result<(Vec<joint::Fit>, Done)> {
        let params = Params {
            settings,
            starts: Arc::from(starts),
            indices: Range {
                first: self.indices.first,
                last: self.indices.last,
            },
        };
        let mut pass = Pass::new("joint fit", self.scan, selection);
        let fits = pass.add(JointFit(params));
        let mut done = pass.run(backend, resident, self.control)?;
        Ok((done.take(fits)?, done))
    }

    /// The typical shape of the disks in the sample `some`, and the fits it is from: sharp ones only if they are clearly more likely, as
    /// at few counts neither is, and the standard errors of the smooth ones are the more careful. `None` if neither converged anywhere.
    fn better<'f>(
        &self,
        some: &Selection,
        sharp: &'f [joint::Fit],
        smooth: &'f [joint::Fit],
    ) -> Result<Option<(Shape, &'f [joint::Fit])>> {
        let (Some(hard), Some(soft)) = (Shape::typical(sharp), Shape::typical(smooth)) else {
            let either = [smooth, sharp].into_iter();
            return Ok(either.flat_map(|fits| Some((Shape::typical(fits)?, fits))).next());
        };
        let frame = |(number, (p, q)): (u64, (&joint::Fit, &joint::Fit))| {
            self.control.check()?;
            if [p, q].iter().any(|f| f.status != Status::Converged) {
                return Ok(profile::Gain::default());
            }
            let disks = [(p, hard), (q, soft)].map(|(fit, shape)| Disks {
                shape,
                lattice: fit.lattice,
            });
            let pixels = crate::workflows::read_frame(self.scan, number, self.control)?;
            Ok(profile::compare(pixels.view(), &disks, self.indices))
        };
        let frames: Vec<_> = some.iter().zip(sharp.iter().zip(smooth)).collect();
        let gains: Vec<profile::Gain> = frames.into_par_iter().map(frame).collect::<Result<_>>()?;
        let gain = gains.into_iter().fold(profile::Gain::default(), profile::Gain::and);
        log::debug!("sharp disks instead of smooth ones: {gain:?}");
        Ok(Some(if gain.clear() { (hard, sharp) } else { (soft, smooth) }))
    }
}

fn start(l: &Lattice) -> joint::Lattice {
    joint::Lattice {
        zero: l.zero,
        a: l.a,
        b: l.b,
    }
}

/// All standard errors in one number.
fn size(e: StandardErrors) -> f64 {
    [e.zero, e.a, e.b].iter().flatten().map(|v| v * v).sum::<f64>().sqrt()
}

/// The joint result. χ² scales the errors, so that they hold for pixels with a gain as well, or the scatter of the spots' own positions,
/// whichever is larger. Which spots can be seen, and how far they are from the lattice, is for the fast refinement to say.
fn joined(fast: &Fit, new: &joint::Fit) -> Fit {
    let (l, e, scale) = (new.lattice, new.errors(), new.chi2.max(new.scatter).sqrt());
    let scaled = |v: [f64; 2]| v.map(|x| x * scale);
    Fit {
        lattice: Lattice {
            zero: l.zero,
            a: l.a,
            b: l.b,
        },
        errors: Some(StandardErrors {
            zero: scaled(e.zero),
            a: scaled(e.a),
            b: scaled(e.b),
        }),
        ..*fast
    }
}
