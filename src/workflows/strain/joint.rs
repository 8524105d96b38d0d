//! `--correlation joint`: after the fast refinement, zero, a and b of every frame from the pixels of all its disks at once.
//!
//! The shape of the disks is not known beforehand: it is fitted freely in a sample of the frames, with and without the pixels' own
//! width; what describes more frames better is taken, and its median is then fixed for all. Frames whose joint fit does not
//! converge keep their fast result. See [`crate::kernels::correlate::joint`].

use super::Refined;
use crate::analysis::lattice::{Fit, Lattice, StandardErrors};
use crate::control::Control;
use crate::engine::{Backend, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::kernels::correlate::joint::{self, Params, Settings, Shape, Status};
use crate::ops::JointFit;
use ndarray::Array2;
use std::sync::Arc;

/// Frames in which the shape of the disks is fitted, evenly over the selection.
const SAMPLE: usize = 100;

/// Refines `refined` further, in place. `radius` is where the fit of the disks' radius starts, `most` the largest lattice index.
///
/// # Errors
/// Whatever the passes report; [`Error::Parameter`] if no frame of the sample shows disks that can be fitted.
pub(super) fn refine(
    scan: &dyn Scan,
    selection: &Selection,
    refined: &mut Refined,
    (radius, most): (f64, i32),
    backend: &Backend,
    warnings: &mut Vec<String>,
    control: &Control,
) -> Result<()> {
    let starts: Vec<Option<joint::Lattice>> = refined.fits.iter().map(|f| f.as_ref().map(|f| start(&f.lattice))).collect();
    let (some, from) = sample(selection, &starts)?;
    let fit_sample = |smooth| {
        let shape = Shape {
            smooth,
            ..Shape::disk(radius)
        };
        let free = Settings { shape, free_shape: true };
        fit(scan, &some, from.clone(), free, most, &Backend::Cpu, control)
    };
    let (sharp, smooth) = (fit_sample(false)?, fit_sample(true)?);
    let shape = better(&sharp, &smooth).ok_or_else(|| {
        let what = "joint: the spots of the sampled frames are no disks that can be fitted; try fast";
        Error::parameter("--correlation", what)
    })?;
    log::info!("{shape}");
    let fixed = Settings {
        shape,
        free_shape: false,
    };
    let fits = fit(scan, selection, starts, fixed, most, backend, control)?;

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

fn start(l: &Lattice) -> joint::Lattice {
    joint::Lattice {
        zero: l.zero,
        a: l.a,
        b: l.b,
    }
}

/// The typical shape of the fits that have the smaller χ² in more frames; `None` if neither converged in any.
fn better(sharp: &[joint::Fit], smooth: &[joint::Fit]) -> Option<Shape> {
    let good = |f: &joint::Fit| f.status == Status::Converged;
    let both = || sharp.iter().zip(smooth).filter(|(p, q)| good(p) && good(q));
    let smoother = both().filter(|(p, q)| q.chi2 < p.chi2).count();
    let (first, second) = if 2 * smoother > both().count() {
        (smooth, sharp)
    } else {
        (sharp, smooth)
    };
    Shape::typical(first).or_else(|| Shape::typical(second))
}

/// Evenly chosen frames that have a lattice to start from.
fn sample(selection: &Selection, starts: &[Option<joint::Lattice>]) -> Result<(Selection, Vec<Option<joint::Lattice>>)> {
    let [ny, nx] = selection.nav();
    let usable: Vec<(u64, joint::Lattice)> = selection.iter().zip(starts).filter_map(|(f, s)| s.map(|s| (f, s))).collect();
    let step = usable.len().div_ceil(SAMPLE).max(1);
    let chosen: Vec<_> = usable.into_iter().step_by(step).collect();
    let mut mask = Array2::from_elem((ny, nx), false);
    for (frame, _) in &chosen {
        mask[[*frame as usize / nx, *frame as usize % nx]] = true;
    }
    let nothing = |_| Error::parameter("--correlation", "joint: no frame has a lattice to start from");
    let some = Selection::from_mask([ny, nx], mask.view()).map_err(nothing)?;
    Ok((some, chosen.into_iter().map(|(_, s)| Some(s)).collect()))
}

fn fit(
    scan: &dyn Scan,
    selection: &Selection,
    starts: Vec<Option<joint::Lattice>>,
    settings: Settings,
    most: i32,
    backend: &Backend,
    control: &Control,
) -> Result<Vec<joint::Fit>> {
    let params = Params {
        settings,
        starts: Arc::from(starts),
        most,
    };
    let mut pass = Pass::new("joint fit", scan, selection);
    let fits = pass.add(JointFit(params));
    pass.run(backend, &Resident::none(), control)?.take(fits)
}

/// The joint result; χ² scales the errors, so that they hold for pixels with a gain as well.
fn joined(fast: &Fit, new: &joint::Fit) -> Fit {
    let (l, e, scale) = (new.lattice, new.errors(), new.chi2.sqrt());
    let scaled = |v: [f64; 2]| v.map(|x| x * scale);
    Fit {
        lattice: Lattice {
            zero: l.zero,
            a: l.a,
            b: l.b,
        },
        error: fast.error,
        matched: new.spots as usize,
        errors: Some(StandardErrors {
            zero: scaled(e.zero),
            a: scaled(e.a),
            b: scaled(e.b),
        }),
    }
}
