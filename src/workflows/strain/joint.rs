//! `--correlation joint`: after the fast refinement, zero, a and b of every frame from the pixels of all its disks at once.
//!
//! The shape of the disks is not known beforehand: it is fitted freely in a sample of the frames, with and without the pixels' own
//! width; the sample's likelihood decides between the two ([`super::profile`]), and the median is then fixed for all. Frames whose joint
//! fit does not converge keep their fast result. See [`crate::kernels::correlate::joint`].
//!
//! The noise of pixels is that of counts above a pedestal, which neighbouring frames tell ([`super::pedestal`]) and which is taken off.
//!
//! Standard errors follow from the counts, or from the scatter of the spots about the lattice where that is larger: something then moves
//! spots one by one that uniform disks do not know of; at few counts they are too small and multiplied by what frames simulated after
//! each cluster's mean pattern tell ([`super::simulated`]). So they can be compared with those of the fast refinement, which also come from
//! the scatter of spots; left to the data, the joint fit is taken if it claims less in most frames of the sample.

use super::claims::{claims, joined, larger, of, size};
use super::pedestal::{self, Pedestal};
use super::profile::{self, Disks};
use super::simulated::{self, Example, Seen, Simulation};
use super::{Indices, Refined};
use crate::analysis::lattice::{Fit, Lattice};
use crate::control::Control;
use crate::engine::{Backend, Done, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::kernels::correlate::joint::{self, Params, Settings, Shape, Status};
use crate::ops::JointFit;
use crate::workflows::Timings;
use ndarray::Array2;
use rayon::prelude::*;
use std::sync::Arc;

/// Frames in which the shape of the disks is fitted, evenly over the selection.
const SAMPLE: usize = 100;
/// Frames of a cluster that say what it looks like, and frames simulated of all clusters, of one at least and of one at most.
const EXAMPLES: usize = 40;
const DRAWS: usize = 3000;
const LEAST_DRAWS: usize = 25;
const MOST_DRAWS: usize = 100;
/// Where the fit of the disks' radius is held, in radii of its start, less a hundredth.
pub(super) const LARGEST: f64 = 1.99;

/// What is refined.
pub(super) struct Refinement<'a> {
    pub scan: &'a dyn Scan,
    pub selection: &'a Selection,
    /// Cluster of each selected frame.
    pub labels: &'a [i32],
    /// Where the fit of the disks' radius starts.
    pub radius: f64,
    /// Indices of the spots that are fitted.
    pub indices: Indices,
    /// Pixels without data, once the frames have been read ([`Scan::replaced`]).
    pub masked: Arc<[u32]>,
    /// What [`Refinement::choose`] found of the pixels' pedestal.
    pub pedestal: Pedestal,
    pub control: &'a Control,
}

/// A frame, by its number in the scan, with the fast fit.
#[derive(Debug, Clone, Copy)]
struct Member {
    frame: u64,
    label: i32,
    fit: Fit,
}

/// Whether to go on.
pub(super) struct Choice {
    /// The disks; `None`: stay with the fast refinement.
    pub shape: Option<Shape>,
    /// Radius of the disks in the sample, whether or not the joint fit is taken; `None`: no disks that can be fitted.
    pub radius: Option<f64>,
    /// By which standard errors are multiplied, by label.
    pub factors: Vec<f64>,
    /// For people.
    pub why: String,
}

impl Refinement<'_> {
    /// Fits the shape of the disks in a sample of the frames, and compares standard errors there.
    ///
    /// # Errors
    /// Whatever the passes report; [`Error::Parameter`] if the joint fit was `asked` for and no frame of the sample shows disks that can
    /// be fitted.
    pub fn choose(&mut self, refined: &Refined, asked: bool) -> Result<Choice> {
        // Frames without a lattice, such as blank ones, are not like their neighbours.
        let usable = self.usable(refined);
        let frames = usable.iter().map(|m| (m.frame, m.label));
        let near = |frame| self.selection.place(frame);
        self.pedestal = pedestal::find(frames, near, |frame| self.data(frame))?;
        if !asked && self.pedestal == Pedestal::Unknown {
            return Ok(Choice {
                shape: None,
                radius: None,
                factors: Vec::new(),
                why: pedestal::UNKNOWN.to_owned(),
            });
        }
        let failed = |why: &str| {
            if asked {
                return Err(Error::parameter("--correlation", format!("joint: {why}; try fast")));
            }
            Ok(Choice {
                shape: None,
                radius: None,
                factors: Vec::new(),
                why: why.to_owned(),
            })
        };
        let Some((some, fast)) = self.sample(refined, SAMPLE) else {
            return failed("no frame has a lattice to start from");
        };
        let starts: Vec<_> = fast.iter().map(|f| Some(start(&f.fit.lattice))).collect();
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
        let factors = self.factors(refined, shape)?;
        let claims_less = |(fast, joint): &(&Member, &joint::Fit)| {
            let good = joint.status == Status::Converged;
            let claimed = joined(&fast.fit, joint, of(&factors, fast.label));
            let (fast, joint) = (fast.fit.errors.map(size), claimed.errors.map(size));
            good && joint.is_some_and(|j| fast.is_none_or(|f| j < f))
        };
        let (all, less) = (fast.len(), fast.iter().zip(fits).filter(claims_less).count());
        let why = format!(
            "its standard errors are smaller than those of fast in {less} of {all} sampled frames; {shape}{}",
            larger(&factors)
        );
        log::info!("joint fit: {why}");
        if !asked && 2 * less <= all {
            let why = format!("the standard errors of the joint fit are smaller in only {less} of {all} sampled frames");
            return Ok(Choice {
                shape: None,
                radius: Some(shape.radius),
                factors,
                why,
            });
        }
        Ok(Choice {
            shape: Some(shape),
            radius: Some(shape.radius),
            factors,
            why,
        })
    }

    /// Refines `refined` further, in place, if that was chosen.
    ///
    /// # Errors
    /// Whatever the pass reports.
    pub fn refine(
        &self,
        refined: &mut Refined,
        choice: &Choice,
        backend: &Backend,
        resident: &Resident,
        warnings: &mut Vec<String>,
        timings: &mut Timings,
    ) -> Result<()> {
        let Some(shape) = choice.shape else {
            return Ok(());
        };
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
        for ((old, new), &label) in refined.fits.iter_mut().zip(&fits).zip(self.labels) {
            if let Some(old) = old {
                match new.status {
                    Status::Converged => *old = joined(old, new, of(&choice.factors, label)),
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

    /// Evenly chosen frames that have a lattice to start from, at most about `most`.
    fn sample(&self, refined: &Refined, most: usize) -> Option<(Selection, Vec<Member>)> {
        let usable = self.usable(refined);
        let step = usable.len().div_ceil(most).max(1);
        self.chosen(usable.into_iter().step_by(step).collect())
    }

    /// All frames that have a lattice to start from.
    fn usable(&self, refined: &Refined) -> Vec<Member> {
        let frames = self.selection.iter().zip(self.labels).zip(&refined.fits);
        let member = |((frame, &label), fit): ((u64, &i32), &Option<Fit>)| {
            Some(Member {
                frame,
                label,
                fit: (*fit)?,
            })
        };
        frames.filter_map(member).collect()
    }

    /// The selection of `members`, which are in its order.
    fn chosen(&self, members: Vec<Member>) -> Option<(Selection, Vec<Member>)> {
        let [ny, nx] = self.selection.nav();
        let mut mask = Array2::from_elem((ny, nx), false);
        for Member { frame, .. } in &members {
            mask[self.selection.place(*frame)] = true;
        }
        Some((Selection::from_mask([ny, nx], mask.view()).ok()?, members))
    }

    /// By how much the errors of disks of this shape exceed what the fits claim, by label ([`simulated`]).
    fn factors(&self, refined: &Refined, shape: Shape) -> Result<Vec<f64>> {
        let usable = self.usable(refined);
        let clusters = usable.iter().map(|m| m.label + 1).max().unwrap_or(0).max(0) as usize;
        let mut left: Vec<Vec<Member>> = vec![Vec::new(); clusters];
        for m in usable {
            if let Some(members) = usize::try_from(m.label).ok().and_then(|l| left.get_mut(l)) {
                members.push(m);
            }
        }
        let evenly = |members: Vec<Member>| {
            let step = members.len().div_ceil(EXAMPLES).max(1);
            members.into_iter().step_by(step)
        };
        let mut some: Vec<Member> = left.into_iter().flat_map(evenly).collect();
        some.sort_by_key(|m| m.frame);
        let Some((selection, some)) = self.chosen(some) else {
            return Ok(vec![1.0; clusters]);
        };
        let starts: Vec<_> = some.iter().map(|m| Some(start(&m.fit.lattice))).collect();
        let fixed = Settings {
            shape,
            free_shape: false,
        };
        let (fits, _) = self.pass(&selection, &starts, fixed, &Backend::Cpu, &Resident::none())?;
        let example = |(m, fit): (&Member, &joint::Fit)| {
            self.control.check()?;
            if fit.status != Status::Converged {
                return Ok(None);
            }
            let (truth, window) = (fit.lattice, simulated::window(&shape));
            let pixels = self.data(m.frame)?;
            let disks = Disks { shape, lattice: truth };
            let seen = Seen::of(pixels.view(), &disks, self.indices, window);
            let start = start(&m.fit.lattice);
            Ok(Some((m.label, Example { start, truth, seen })))
        };
        let examples: Vec<_> = some.par_iter().zip(&fits).map(example).collect::<Result<_>>()?;
        let examples: Vec<(i32, Example)> = examples.into_iter().flatten().collect();
        let all = examples.iter().fold(Seen::default(), |sum, (_, e)| sum.and(&e.seen));
        let Some(gain) = all.gain() else {
            return Ok(vec![1.0; clusters]);
        };
        let draws = (DRAWS / clusters.max(1)).clamp(LEAST_DRAWS, MOST_DRAWS);
        let frame = self.scan.info().frame;
        let of_cluster = |n: usize| {
            self.control.check()?;
            let own = examples.iter().filter(|(label, _)| usize::try_from(*label) == Ok(n));
            let simulation = Simulation {
                shape,
                indices: self.indices,
                frame: (frame.height, frame.width),
                masked: &self.masked,
                examples: &own.map(|(_, e)| e.clone()).collect::<Vec<_>>(),
                gain,
                seed: n as u64,
            };
            Ok(simulation.factor(draws, claims))
        };
        let factors: Vec<f64> = (0..clusters).into_par_iter().map(of_cluster).collect::<Result<_>>()?;
        log::debug!("errors of the joint fit in simulated frames, relative to what it claims: {factors:.2?}");
        Ok(factors)
    }

    /// A frame, by its number in the scan, less the pedestal and NaN where there is no data.
    fn data(&self, number: u64) -> Result<Array2<f64>> {
        let mut frame = crate::workflows::read_frame(self.scan, number, self.control)?;
        let pixels = frame.as_slice_mut().unwrap_or_default();
        let pedestal = f64::from(self.pedestal.value());
        pixels.iter_mut().for_each(|p| *p -= pedestal);
        for &p in self.masked.iter() {
            if let Some(pixel) = pixels.get_mut(p as usize) {
                *pixel = f64::NAN;
            }
        }
        Ok(frame)
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
            indices: self.indices.into(),
            masked: Arc::clone(&self.masked),
            pedestal: self.pedestal.value(),
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
            let pixels = self.data(number)?;
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
