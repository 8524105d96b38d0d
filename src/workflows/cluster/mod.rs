//! `cluster`: a scan segmented into crystallites.
//!
//! 1. One pass: statistics and log-sum of every pixel.
//! 2. Correlation of the standard-deviation map (or its log) with a template; its highest maxima are the feature peaks.
//! 3. One pass: the template's stamp at every peak times every frame: a feature vector for each scan position.
//! 4. Features that neighbouring positions share, scaled by their mean magnitude, with weak scan coordinates, joined by ward's criterion along the
//!    scan grid.
//! 5. One pass: log-sum of the frames of each cluster.
//!
//! With `--descan`, the direct beam is followed through the frames after step 1, and steps 2 to 5 see frames moved back.
//!
//! Memory for each scan position, beyond what passes use under `--memory`: 4·P bytes of features, 4·(P+2) scaled ones
//! that become ward's sums, about 200 for its tree, and 4·P while results are written (P feature peaks).
//!
//! Source: LiberTEM's example "Refine lattice parameters on polycrystalline sample"; formulas in `docs/workflows.md`.

mod descanned;
pub(in crate::workflows) mod figures;
mod hits;
pub(in crate::workflows) mod output;
mod params;

pub use descanned::Descanned;
pub use output::write;
pub use params::{Clusters, Params, PatternName};

use super::Timings;
use crate::analysis::Recipe;
use crate::analysis::correlate::correlation_map;
use crate::analysis::cut::{self, Choice};
use crate::analysis::features::{column_scale, matrix_of};
use crate::analysis::grid::Grid;
use crate::analysis::peaks::find_peaks;
use crate::analysis::shared::shared_columns;
use crate::analysis::template::Template;
use crate::analysis::tree::Tree;
use crate::analysis::ward::ward;
use crate::control::Control;
use crate::engine::{Backend, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::kernels::logsum;
use crate::kernels::masks::MaskStack;
use crate::kernels::statistics::{self, Part as Moments};
use crate::ops::{LogSum, MaskProducts, Statistics};
use crate::workflows::descan::{self, Descan, Parts};
use crate::workflows::{frame_array, single_logsum};
use ndarray::Array2;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What `cluster` found.
pub struct Clustering {
    pub selection: Selection,
    pub moments: Moments,
    /// Log-sum of all selected frames (h, w).
    pub logsum: Array2<f64>,
    pub template: Template,
    pub std_correlation: Array2<f64>,
    pub logsum_correlation: Array2<f64>,
    /// Highest maximum of the log-sum's correlation, (y, x).
    pub zero_peak: Option<[f64; 2]>,
    /// `None` unless descan was taken out.
    pub descan: Option<Descanned>,
    /// Feature peaks (y, x), strongest first.
    pub peaks: Vec<[i32; 2]>,
    /// One row per selected frame, one column per peak: unscaled products.
    pub features: Array2<f32>,
    /// Mean magnitude of each column.
    pub scale: Vec<f64>,
    /// Columns that were clustered, ascending.
    pub shared: Vec<usize>,
    /// `None` where labels were given.
    pub tree: Option<Tree>,
    /// `None` unless the number was left to the data.
    pub choice: Option<Choice>,
    /// One label per selected frame, 0 … clusters − 1; −1: in none (only in given labels).
    pub labels: Vec<i32>,
    pub clusters: usize,
    /// Log-sum of the frames of each cluster (h, w).
    pub cluster_logsums: Vec<Array2<f64>>,
    pub timings: Timings,
    /// Things the user should know.
    pub warnings: Vec<String>,
}

/// Arrays that replace steps of the recipe.
#[derive(Default)]
pub struct Given {
    /// Instead of finding peaks.
    pub peaks: Option<Vec<[i32; 2]>>,
    /// Instead of clustering, (ny, nx).
    pub labels: Option<Array2<i32>>,
}

/// Runs the recipe.
///
/// # Errors
/// Parameters that make no sense for this scan, whatever passes report, [`Error::Cancelled`].
pub fn run(
    scan: &dyn Scan,
    selection: Selection,
    template: Template,
    given: Given,
    params: &Params,
    backend: &Backend,
    control: &Control,
) -> Result<Clustering> {
    let resident = Resident::new(control.kept());
    run_with(scan, selection, template, given, params, backend, &resident, control)
}

/// [`run`] for workflows that go on with the scan: `resident` keeps blocks for their passes too, in a quarter of the memory.
#[allow(clippy::too_many_arguments)]
pub(in crate::workflows) fn run_with(
    scan: &dyn Scan,
    selection: Selection,
    template: Template,
    given: Given,
    params: &Params,
    backend: &Backend,
    resident: &Resident,
    control: &Control,
) -> Result<Clustering> {
    params.check()?;
    let frame = scan.info().frame;
    template.check_frame(frame.height, frame.width)?;
    let mut timings = Timings::default();
    let mut warnings = Vec::new();
    let control = &within(control, control.memory - control.memory / 4);

    let mut pass = Pass::new("statistics", scan, &selection);
    let moments = pass.add(Statistics(statistics::Params {
        squares: true,
        extrema: true,
    }));
    let logsum = pass.add(LogSum::all());
    let parts = match params.descan {
        Descan::None => None,
        _ => Parts::of(&selection, frame, control.memory),
    };
    let of_parts = parts.as_ref().map(|p| pass.add(LogSum::by_label(p.labels.clone())));
    let mut done = timings.pass("statistics", scan, &selection, || pass.run(backend, resident, control))?;
    let moments: Moments = done.take(moments)?;
    let logsum = frame_array(frame, single_logsum(done.take(logsum)?, frame))?;

    let correlation = |map: &Array2<f64>| correlation_map(map.view(), &template, params.recipe);
    let std = frame_array(frame, moments.std())?;
    let hits = match params.recipe {
        Recipe::Default => hits::find(&moments, &std)?,
        Recipe::Published => Vec::new(),
    };
    let logsum_correlation = timings.time("log-sum correlation", || correlation(&logsum))?;
    let highest = |correlation: &Array2<f64>| {
        let [dy, dx] = template.offset();
        let peaks = find_peaks(correlation.view(), 1);
        peaks.first().map(|p| [p.y as f64 + dy, p.x as f64 + dx])
    };
    let mut zero_peak = highest(&logsum_correlation);
    let descan = match (params.descan, zero_peak) {
        (Descan::None, _) => None,
        (_, None) => return Err(Error::parameter("--descan", "no direct beam: the log-sum has no maximum")),
        (how, Some(zero)) => {
            let windows = match (parts, of_parts) {
                (Some(parts), Some(sums)) => parts.windows(done.take(sums)?, frame, &template, zero)?,
                _ => None,
            };
            let windows = windows.as_deref();
            let track = descan::track(
                scan,
                &selection,
                &template,
                zero,
                windows,
                how,
                backend,
                resident,
                control,
                &mut timings,
            )?;
            warnings.extend(track.warning(how));
            let found = Descanned::new(track, scan, &selection, backend, resident, control, &mut timings)?;
            if windows.is_some() {
                zero_peak = highest(&correlation(&found.logsum)?);
            }
            Some(found)
        }
    };
    let std = match &descan {
        Some(d) => d.std.clone(),
        None => hits::without(&std, &hits),
    };
    let std_map = if params.log_std { log_scaled(std) } else { std };
    let std_correlation = timings.time("correlation", || correlation(&std_map))?;
    // Whoever names peaks wants them all, and a distance is one over all features.
    let choose = params.recipe == Recipe::Default && given.peaks.is_none() && params.distance_threshold.is_none();
    let peaks = match given.peaks {
        Some(peaks) => peaks,
        None => feature_peaks(&std_correlation, params.feature_peaks, &mut warnings)?,
    };

    let stack = MaskStack::Stamps {
        stamp: template.stamp().mapv(|v| v as f32),
        positions: peaks.clone(),
    };
    let mut pass = Pass::new("features", scan, &selection);
    let products = descanned::moved(&mut pass, descan.as_ref(), MaskProducts::new(&stack));
    let mut done = timings.pass("features", scan, &selection, || pass.run(backend, resident, control))?;
    let mut features = Array2::from_shape_vec((selection.len() as usize, peaks.len()), done.take(products)?)
        .map_err(|e| Error::Internal(format!("feature vectors: {e}")))?;
    if !hits.is_empty() {
        warnings.push(hits::clip(&mut features, &hits, &peaks, &template, descan.as_ref()));
    }
    let scale = column_scale(features.view())?;
    let grid = Grid::masked(selection.mask().view())?;
    let told = match choose {
        true => timings.time("shared features", || Ok(shared_columns(features.view(), &grid)))?,
        false => Some((0..peaks.len()).collect()),
    };
    let noise = told.is_none();
    let shared = told.unwrap_or_else(|| (0..peaks.len()).collect());

    let (tree, choice, labels) = match given.labels {
        Some(map) => (None, None, selected_labels(&map, &selection, &mut warnings)?),
        None => timings.time("ward", || {
            let matrix = || matrix_of(features.view(), &shared, &scale, &grid, params.position_weight);
            let (tree, choice, labels) = partition(matrix, &grid, params, control)?;
            Ok((Some(tree), choice, labels))
        })?,
    };
    let clusters = labels.iter().copied().max().map_or(0, |m| (m + 1).max(0) as usize);
    if noise && tree.is_some() && clusters > 1 {
        warnings.push("neighbouring positions share hardly any of the features: the clusters may be those of noise".to_owned());
    }

    let mut pass = Pass::new("log-sums", scan, &selection);
    let by_label = LogSum::by_label(Arc::from(labels.as_slice()));
    let sums = descanned::moved(&mut pass, descan.as_ref(), by_label);
    let mut done = timings.pass("cluster log-sums", scan, &selection, || pass.run(backend, resident, control))?;
    let mut sums: logsum::Part = done.take(sums)?;
    let cluster_logsums = (0..clusters as i32)
        .map(|c| {
            let sum = sums.sums.remove(&c).map_or_else(|| vec![0.0; frame.pixels()], |s| s.values);
            let map = frame_array(frame, sum)?;
            Ok(match &descan {
                Some(d) => d.track.covered(map),
                None => map,
            })
        })
        .collect::<Result<_>>()?;
    warnings.extend(scan.warnings());

    Ok(Clustering {
        selection,
        moments,
        logsum,
        template,
        std_correlation,
        logsum_correlation,
        zero_peak,
        descan,
        peaks,
        features,
        scale,
        shared,
        tree,
        choice,
        labels,
        clusters,
        cluster_logsums,
        timings,
        warnings,
    })
}

/// The same control with another ceiling.
pub(in crate::workflows) fn within(control: &Control, memory: u64) -> Control {
    Control {
        memory,
        ..control.clone()
    }
}

/// ln(x − min x + 1)
fn log_scaled(map: Array2<f64>) -> Array2<f64> {
    let low = map.iter().copied().fold(f64::INFINITY, f64::min);
    map.mapv(|v| (v - low + 1.0).ln())
}

/// The highest maxima of the correlation map.
fn feature_peaks(correlation: &Array2<f64>, wanted: usize, warnings: &mut Vec<String>) -> Result<Vec<[i32; 2]>> {
    let peaks: Vec<_> = find_peaks(correlation.view(), wanted)
        .iter()
        .map(|p| [p.y as i32, p.x as i32])
        .collect();
    if peaks.is_empty() {
        return Err(Error::parameter(
            "--feature-peaks",
            "the standard-deviation map has no maximum: all frames are equal, or the template does not fit the disks",
        ));
    }
    if peaks.len() < wanted {
        warnings.push(format!("{} of {wanted} feature peaks found", peaks.len()));
    }
    Ok(peaks)
}

/// Labels up to this many may have gaps, as those of a region of a large map do; beyond it at least one in [`SPARSE`] must be used.
const FEW_LABELS: usize = 1000;
const SPARSE: usize = 10;

/// The labels of the selected frames out of a map of the scan. Each number up to the highest costs a log-sum, used or not.
fn selected_labels(map: &Array2<i32>, selection: &Selection, warnings: &mut Vec<String>) -> Result<Vec<i32>> {
    let [ny, nx] = selection.nav();
    if map.dim() != (ny, nx) {
        let (h, w) = map.dim();
        return Err(Error::parameter(
            "--labels",
            format!("map of {h}×{w} for a scan of {ny}×{nx}"),
        ));
    }
    let flat: Vec<i32> = map.iter().copied().collect();
    let labels: Vec<i32> = selection.iter().map(|i| flat[i as usize]).collect();
    if labels.iter().all(|&l| l < 0) {
        return Err(Error::parameter("--labels", "no selected position has a label of 0 or more"));
    }
    let used: BTreeSet<i32> = labels.iter().copied().filter(|&l| l >= 0).collect();
    let last = used.last().copied().unwrap_or(0);
    let unused = last as usize + 1 - used.len();
    let what = format!(
        "labels go up to {last}, but {unused} numbers from 0 on are not used, and each takes a log-sum: number clusters 0, 1, 2, …"
    );
    if last as usize >= FEW_LABELS && unused >= (SPARSE - 1) * used.len() {
        return Err(Error::parameter("--labels", what));
    }
    if unused > used.len() {
        warnings.push(what);
    }
    Ok(labels)
}

/// Ward's tree over the scan grid, cut as asked. Ward's sums take the place of the matrix, so whoever needs it afterwards makes another.
fn partition(
    matrix: impl Fn() -> Result<Array2<f32>>,
    grid: &Grid,
    params: &Params,
    control: &Control,
) -> Result<(Tree, Option<Choice>, Vec<i32>)> {
    let tree = ward(matrix()?, grid, control)?;
    let (choice, labels) = match (params.distance_threshold, params.clusters) {
        (Some(distance), _) => (None, tree.cut_distance(distance)?),
        (None, Clusters::Number(n)) => (None, tree.cut_number(n)?),
        (None, Clusters::Auto) => {
            let choice = cut::choose(&tree, matrix()?.view(), grid, control)?;
            let labels = tree.cut_number(choice.clusters)?;
            (Some(choice), labels)
        }
    };
    Ok((tree, choice, labels))
}
