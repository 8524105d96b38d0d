//! `strain`: a lattice matched per cluster and refined in every frame.
//!
//! 1. `cluster`, with the log-sum of the frames of each cluster.
//! 2. Correlation of each log-sum with a template; the lattice of its highest maxima.
//! 3. One pass: in every frame, the spots of its cluster's lattice by correlation, and the lattice fitted to them.
//! 4. Maps of the lattice; strain and rotation against a reference; which frames are to be trusted.
//!
//! Memory for each scan position, beyond what `cluster` takes: 130 bytes of fits, about as much for each map while figures and
//! results are written, and with `--save-peaks` 24 for every spot.
//!
//! Source: LiberTEM's example "Refine lattice parameters on polycrystalline sample"; formulas in `docs/workflows.md`.

mod chance;
mod choices;
mod claims;
mod figures;
mod joint;
mod lattices;
pub mod maps;
mod output;
mod pairs;
mod params;
mod pedestal;
mod profile;
mod refine;
mod simulated;
mod transfer;
mod warn;

pub use choices::{Correlation, Indices, Matching, Reference, StrainAxes, vector};
pub use lattices::{ClusterLattice, Match};
pub use maps::{Maps, Quality};
pub use output::write;
pub use params::Params;
pub use pedestal::Pedestal;
pub use refine::{Refined, Spot};

use super::cluster::{self, Clustering};
use crate::analysis::Recipe;
use crate::analysis::lattice::Lattice;
use crate::analysis::template::Template;
use crate::control::Control;
use crate::engine::{Backend, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::kernels::{correlate, displace};
use crate::ops::Correlate;
use crate::pixel::FrameShape;
use crate::workflows::descan::Track;
use ndarray::Array2;
use refine::{Fitter, Refine};
use std::sync::Arc;

/// What `strain` found.
pub struct Strain {
    /// Warnings and timings of all steps are in here.
    pub clustering: Clustering,
    /// The template that found and refined the spots.
    pub template: Template,
    /// By label.
    pub clusters: Vec<ClusterLattice>,
    /// Indices (h, k) of the spots refined in the frames of each cluster.
    pub sites: Vec<Vec<[i32; 2]>>,
    /// Per selected frame.
    pub refined: Refined,
    /// How frames were refined: never [`Correlation::Auto`].
    pub correlation: Correlation,
    /// Why, where it was left to the data.
    pub why: Option<String>,
    /// Of the pixels, where the joint fit was tried.
    pub pedestal: Pedestal,
    pub maps: Maps,
    pub sample: Option<Sample>,
}

/// A frame with its spots, to look at.
pub struct Sample {
    /// Scan position (y, x).
    pub at: [usize; 2],
    /// Its number in the selection.
    pub number: usize,
    /// Pixels (h, w).
    pub frame: Array2<f64>,
    pub spots: Vec<Spot>,
}

/// Arrays that replace steps of the recipe.
#[derive(Default)]
pub struct Given {
    pub clustering: cluster::Given,
    /// The frames of [`Reference::Region`].
    pub region: Option<Selection>,
}

/// Templates of the two parts.
pub struct Templates {
    pub cluster: Template,
    pub lattice: Template,
}

impl Strain {
    /// The lattice that each cluster's frames were refined from.
    pub fn lattices(&self) -> Vec<Option<Lattice>> {
        self.clusters.iter().map(ClusterLattice::lattice).collect()
    }

    /// Strain against another reference in other axes (of `params`); `region` as in [`Given`].
    ///
    /// # Errors
    /// [`Error::Parameter`] if no frame of the region has a lattice to be trusted.
    pub fn against(&self, reference: &Reference, region: Option<&Selection>, params: &Params) -> Result<Maps> {
        maps::strain(
            &self.refined,
            &self.clustering.labels,
            &self.lattices(),
            reference,
            region.map(|r| (r, &self.clustering.selection)),
            params,
            &mut Vec::new(),
        )
    }
}

/// Runs the recipe; `clustering` and `params` are the parameters of the two parts.
///
/// # Errors
/// Parameters that make no sense for this scan, whatever passes report, [`Error::Cancelled`]. A cluster without a lattice is
/// no error but a warning.
#[allow(clippy::too_many_arguments)]
pub fn run(
    scan: &dyn Scan,
    selection: Selection,
    templates: Templates,
    given: Given,
    clustering: &cluster::Params,
    params: &Params,
    backend: &Backend,
    control: &Control,
) -> Result<Strain> {
    params.check()?;
    let recipe = clustering.recipe;
    let frame = scan.info().frame;
    let template = templates.lattice;
    template.check_frame(frame.height, frame.width)?;
    // Wrong parameters are known before the long passes.
    let kernel = kernel_params(&template, params, recipe, frame);
    Correlate::new(frame, kernel.clone())?;
    check_show(params, &selection)?;

    let resident = Resident::new(control.kept());
    let mut clustering = cluster::run_with(
        scan,
        selection,
        templates.cluster,
        given.clustering,
        clustering,
        backend,
        &resident,
        control,
    )?;
    let control = &cluster::within(control, control.memory - control.memory / 4);

    let sizes = sizes(&clustering.labels, clustering.clusters);
    let maps_of = &clustering.cluster_logsums;
    let clusters = clustering.timings.time("lattices", || {
        lattices::find(maps_of, &sizes, clustering.zero_peak, &template, params, recipe, control)
    })?;
    clustering.warnings.extend(warn::clusters(&clusters));
    if recipe == Recipe::Default && params.zero.is_none() {
        clustering
            .warnings
            .extend(warn::zero(&clusters, clustering.zero_peak, params.tolerance));
    }

    let lattices: Vec<Option<Lattice>> = clusters.iter().map(ClusterLattice::lattice).collect();
    let size = (frame.height, frame.width);
    let descan = clustering.descan.as_ref().map(|d| &d.track);
    // Whole pixels leave the values as they are; the search range is large enough for the rest.
    let moved: Option<Arc<[[f64; 2]]>> = descan.map(Track::whole);
    let search = template.search() + descan.map_or(0, |t| t.margin().into_iter().max().unwrap_or(0)) as f64;
    let sites: Vec<Vec<[i32; 2]>> = lattices
        .iter()
        .map(|l| l.map_or_else(Vec::new, |l| lattices::sites(&l, params, search, size)))
        .collect();
    let offset = match recipe {
        Recipe::Default => template.offset(),
        Recipe::Published => [0.0; 2],
    };
    let expected = lattices.iter().zip(&sites).map(|(lattice, sites)| {
        let position = |i: &[i32; 2]| {
            let p = lattice.map_or([0.0; 2], |l| l.position(f64::from(i[0]), f64::from(i[1])));
            [p[0] - offset[0], p[1] - offset[1]]
        };
        sites.iter().map(position).collect()
    });
    let kernel = correlate::Params {
        positions: expected.collect(),
        ..kernel
    };
    let refiner = |labels: Arc<[i32]>, moved: Option<Arc<[[f64; 2]]>>, keep: bool| -> Result<Refine> {
        let seen = if moved.is_some() { displace::moved(frame) } else { frame };
        Ok(Refine {
            correlate: Correlate::new(
                seen,
                correlate::Params {
                    labels: labels.clone(),
                    ..kernel.clone()
                },
            )?,
            fitter: Arc::new(Fitter {
                labels,
                lattices: lattices.clone(),
                sites: sites.clone(),
                matcher: params.matcher(recipe),
                matching: params.matching,
                offset,
                moved,
                keep,
            }),
        })
    };
    let selection = &clustering.selection;
    let mut pass = Pass::new("refinement", scan, selection);
    let labels = Arc::from(clustering.labels.as_slice());
    let fits = refiner(labels, moved.clone(), params.save_peaks)?.on_frames(&mut pass);
    let timings = &mut clustering.timings;
    let mut done = timings.pass("refinement", scan, selection, || pass.run(backend, &resident, control))?;
    let mut refined: Refined = done.take(fits)?;
    let largest = clustering.moments.extrema().1.into_iter().fold(f64::NAN, f64::max);
    let unfitted = warn::unfitted(&refined, &clustering.labels, &lattices, params.min_weight, largest);
    clustering.warnings.extend(unfitted);
    let (mut correlation, mut why, mut pedestal) = (params.correlation, None, Pedestal::None);
    if correlation == Correlation::Auto {
        correlation = Correlation::Fast;
    }
    if params.may_join(recipe, &template) {
        let mut joint = joint::Refinement {
            scan,
            selection,
            labels: &clustering.labels,
            radius: params.lattice_radius,
            indices: params.indices,
            masked: scan.replaced().into(),
            pedestal,
            control,
        };
        let asked = params.correlation == Correlation::Joint;
        let choice = clustering
            .timings
            .time("shape of the disks", || joint.choose(&refined, asked))?;
        let seen = choice.radius.and_then(|r| warn::radius(r, params.lattice_radius));
        clustering.warnings.extend(seen);
        pedestal = joint.pedestal;
        clustering.warnings.extend(pedestal.warning(choice.shape.is_some()));
        if choice.shape.is_some() {
            correlation = Correlation::Joint;
            let (warnings, timings) = (&mut clustering.warnings, &mut clustering.timings);
            joint.refine(&mut refined, &choice, backend, &resident, warnings, timings)?;
        }
        why = Some(choice.why);
    }

    let region = given.region.as_ref().map(|r| (r, selection));
    let maps = maps::strain(
        &refined,
        &clustering.labels,
        &lattices,
        &params.reference,
        region,
        params,
        &mut clustering.warnings,
    )?;
    let sample = match sample_position(params, &clustering, &sizes) {
        Some(number) => {
            let moved = moved.as_ref().and_then(|m| m.get(number)).map(|m| Arc::from([*m]));
            Some(sample(
                scan,
                &clustering,
                number,
                |labels| refiner(labels, moved, true),
                control,
            )?)
        }
        None => None,
    };
    Ok(Strain {
        clustering,
        template,
        clusters,
        sites,
        refined,
        correlation,
        why,
        pedestal,
        maps,
        sample,
    })
}

/// Number of frames with each label.
fn sizes(labels: &[i32], clusters: usize) -> Vec<usize> {
    let mut sizes = vec![0; clusters];
    for &label in labels {
        if let Some(n) = usize::try_from(label).ok().and_then(|l| sizes.get_mut(l)) {
            *n += 1;
        }
    }
    sizes
}

/// What the kernel is told, but for labels and positions.
fn kernel_params(template: &Template, params: &Params, recipe: Recipe, frame: FrameShape) -> correlate::Params {
    // The smallest window with neighbours on all sides of its middle.
    let crop = template.crop().max(2);
    let method = params.method();
    let window = |h, w| match recipe {
        Recipe::Default => template.window(h, w),
        Recipe::Published => template.window_published(h, w),
    };
    correlate::Params {
        method,
        recipe: match recipe {
            Recipe::Default => correlate::Recipe::Default,
            Recipe::Published => correlate::Recipe::Published,
        },
        template: match method {
            correlate::Method::Fast => window(2 * crop, 2 * crop),
            correlate::Method::Full => window(frame.height, frame.width),
            correlate::Method::Sparse { .. } => window(2 * crop + 1, 2 * crop + 1),
        },
        crop,
        labels: Arc::from([]),
        positions: Arc::from([]),
        upsample: params.upsample,
    }
}

fn check_show(params: &Params, selection: &Selection) -> Result<()> {
    let (Some([y, x]), [ny, nx]) = (params.show, selection.nav()) else {
        return Ok(());
    };
    if y >= ny || x >= nx || !selection.mask()[[y, x]] {
        let what = format!("({y}, {x}) lies outside the scan of {ny}×{nx} or its region of interest");
        return Err(Error::parameter("--show", what));
    }
    Ok(())
}

/// Number, in the selection, of the frame to show: the one asked for, or the member of the largest cluster (with a lattice)
/// nearest to its middle.
fn sample_position(params: &Params, clustering: &Clustering, sizes: &[usize]) -> Option<usize> {
    if let Some(show) = params.show {
        return clustering.selection.places().position(|place| place == show);
    }
    let largest = (0..sizes.len()).max_by_key(|&c| (sizes[c], std::cmp::Reverse(c)))? as i32;
    let members: Vec<(usize, [usize; 2])> = clustering
        .selection
        .places()
        .enumerate()
        .filter(|(n, _)| clustering.labels.get(*n) == Some(&largest))
        .collect();
    let mean = |k: usize| members.iter().map(|m| m.1[k] as f64).sum::<f64>() / members.len() as f64;
    let middle = [mean(0), mean(1)];
    let away = |m: &[usize; 2]| (m[0] as f64 - middle[0]).hypot(m[1] as f64 - middle[1]);
    members.iter().min_by(|p, q| away(&p.1).total_cmp(&away(&q.1))).map(|m| m.0)
}

/// Reads one frame and finds its spots again, which the pass over all frames did not keep.
fn sample(
    scan: &dyn Scan,
    clustering: &Clustering,
    number: usize,
    refiner: impl FnOnce(Arc<[i32]>) -> Result<Refine>,
    control: &Control,
) -> Result<Sample> {
    let missing = || Error::Internal("a sample frame outside the selection".into());
    let frame = clustering.selection.iter().nth(number).ok_or_else(missing)?;
    let at = clustering.selection.place(frame);
    let label = clustering.labels.get(number).copied().ok_or_else(missing)?;
    let one = Selection::from_rect(clustering.selection.nav(), at[0]..at[0] + 1, at[1]..at[1] + 1)?;
    let mut pass = Pass::new("sample frame", scan, &one);
    let spots = refiner(Arc::from([label]))?.on_frames(&mut pass);
    let refined: Refined = pass.run(&Backend::Cpu, &Resident::none(), control)?.take(spots)?;
    Ok(Sample {
        at,
        number,
        frame: super::read_frame(scan, frame, control)?,
        spots: refined.spots.unwrap_or_default(),
    })
}
