//! `ebsd bands`: the bands of every pattern, and how far they stand out.

use super::Target;
use super::output::{grey, timed};
use crate::control::Control;
use crate::engine::{Backend, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::ebsd::PatternMap;
use crate::io::results::Meta;
use crate::kernels::hough::{self, Plan};
use crate::ops;
use crate::report::html::Report;
use crate::report::{Figure, HeatMap, Panel, Segment};
use crate::workflows::{Timings, provenance, read_frame};
use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Parameters of `ebsd bands`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// Number of angles.
    pub theta: usize,
    /// Most bands of a pattern.
    pub peaks: usize,
    /// Pixels brighter than this many times Otsu's threshold count.
    pub factor: f64,
    /// Grey values vote instead.
    pub grey: bool,
    /// Least height of a peak in the range of the filtered transform.
    pub threshold: f64,
    pub recipe: crate::analysis::Recipe,
}

impl Default for Params {
    fn default() -> Self {
        let p = hough::Params::default();
        Params {
            theta: p.theta,
            peaks: p.peaks,
            factor: p.factor,
            grey: p.grey,
            threshold: p.threshold,
            recipe: crate::analysis::Recipe::Default,
        }
    }
}

impl Params {
    fn kernel(&self) -> hough::Params {
        hough::Params {
            theta: self.theta,
            peaks: self.peaks,
            factor: self.factor,
            grey: self.grey,
            threshold: self.threshold,
            published: self.recipe == crate::analysis::Recipe::Published,
            ..hough::Params::default()
        }
    }
}

/// Bands of the selected patterns in map order, strongest first, NaN where there are fewer.
pub struct Found {
    /// 0 … 1, radians, pixels: (patterns, peaks).
    pub value: Array2<f32>,
    pub theta: Array2<f32>,
    pub rho: Array2<f32>,
    /// Mean height of the bands' responses in standard deviations of all responses (rows, columns); NaN without a pattern.
    pub quality: Array2<f64>,
    pub timings: Timings,
}

/// One pass over the patterns.
///
/// # Errors
/// [`Error::Parameter`] for numbers out of range; whatever reading reports.
pub fn find(map: &PatternMap, selection: &Selection, params: &Params, backend: &Backend, control: &Control) -> Result<Found> {
    let plan = Plan::new(map.scan.info().frame, &params.kernel())?;
    let mut timings = Timings::default();
    let mut pass = Pass::new("bands", &*map.scan, selection);
    let handle = pass.add(ops::Bands(Arc::clone(&plan)));
    let mut done = timings.pass("bands", &*map.scan, selection, || {
        pass.run(backend, &Resident::none(), control)
    })?;
    let rows = done.take(handle)?;
    let n = selection.len() as usize;
    let rows = Array2::from_shape_vec((n, plan.row()), rows).map_err(|e| Error::Internal(format!("bands: {e}")))?;
    let part = |k: usize| rows.slice(s![.., k..3 * params.peaks;3]).to_owned();
    let quality = selection.scatter(&rows.column(3 * params.peaks).mapv(f64::from).to_vec(), f64::NAN);
    Ok(Found {
        value: part(0),
        theta: part(1),
        rho: part(2),
        quality,
        timings,
    })
}

/// The line of a band over a pattern of `h` × `w` pixels: ends (y, x), y downwards.
///
/// θ and ρ count from the lowest left pixel, y upwards.
pub fn line([h, w]: [usize; 2], theta: f64, rho: f64) -> [[f64; 2]; 2] {
    let (s, c) = theta.sin_cos();
    let reach = 2.0 * (h as f64).hypot(w as f64);
    [-reach, reach].map(|along| {
        let (x, y) = (rho * c - along * s, rho * s + along * c);
        [h as f64 - 1.0 - y, x]
    })
}

/// A pattern beside itself with its bands, the strongest in yellow, weaker ones towards red.
pub fn draw(pattern: &Array2<f64>, theta: &[f32], rho: &[f32], title: &str) -> Figure {
    let found: Vec<(f64, f64)> = (theta.iter().zip(rho))
        .filter(|(t, _)| t.is_finite())
        .map(|(&t, &r)| (f64::from(t), f64::from(r)))
        .collect();
    let count = found.len();
    let colour = |rank: usize| [255, (225 - 160 * rank / count.max(1)) as u8, 40];
    let mut bands = grey(pattern.view(), format!("{count} bands"));
    bands.segments = (found.iter().enumerate())
        .map(|(rank, &(t, r))| Segment {
            ends: line([pattern.nrows(), pattern.ncols()], t, r),
            colour: colour(rank),
        })
        // The strongest last, over the others.
        .rev()
        .collect();
    Panel::new(title, vec![grey(pattern.view(), "pattern"), bands]).draw()
}

/// The figure of the pattern at scan position `at`, which `found` holds bands of.
///
/// # Errors
/// [`Error::Parameter`] for a point that was not selected; whatever reading reports.
pub fn draw_at(found: &Found, map: &PatternMap, selection: &Selection, at: [usize; 2], control: &Control) -> Result<Figure> {
    let mut numbered = selection.iter().enumerate();
    let (row, number) = numbered.find(|(_, frame)| selection.place(*frame) == at).ok_or_else(|| {
        let what = format!("no pattern at row {}, column {}", at[0], at[1]);
        Error::parameter("--at", what)
    })?;
    let pattern = read_frame(&*map.scan, number, control)?;
    let of = |a: &Array2<f32>| a.row(row).to_vec();
    let title = format!("Bands of the pattern at row {}, column {}", at[0], at[1]);
    Ok(draw(&pattern, &of(&found.theta), &of(&found.rho), &title))
}

/// Writes bands and quality to `target` and a page beside it; returns the page's place.
///
/// # Errors
/// [`Error::Io`].
pub fn write(
    found: &Found,
    map: &PatternMap,
    figure: &Figure,
    target: Target,
    backend: &Backend,
    effective: String,
) -> Result<PathBuf> {
    let axes = ["pattern", "peak"];
    let theta = "angle of the normal of each band from the x axis, y upwards; strongest band first";
    target.put_rows("Bands/theta", found.theta.view(), Meta::new("rad", &axes, theta))?;
    let rho = "distance of each band from the centre of the lowest left pixel, x cos(theta) + y sin(theta)";
    target.put_rows("Bands/rho", found.rho.view(), Meta::new("px", &axes, rho))?;
    let value = "height of each band in the range of the filtered transform of its pattern";
    target.put_rows("Bands/value", found.value.view(), Meta::new("", &axes, value))?;
    let quality = "mean response of the bands above that of all lines, in standard deviations";
    let meta = Meta::new("", &["row", "column"], quality);
    target.put("Data/band_quality", found.quality.view(), meta)?;
    let mut report = Report::new("Bands");
    report.summary("input", map.scan.info().path.display());
    report.summary("patterns", found.theta.nrows());
    let mean = found.theta.iter().filter(|t| t.is_finite()).count() as f64 / found.theta.nrows() as f64;
    report.summary("bands a pattern", format!("{mean:.1}"));
    timed(&mut report, &found.timings);
    report
        .section("One pattern")
        .figure(&figure.to_png()?, "A pattern, and its bands drawn over it.");
    let mut quality = HeatMap::new(found.quality.view(), "Band quality");
    quality.unit = "height of the bands (standard deviations)";
    let [_, axis] = &map.scan.info().nav_axes;
    quality.axis = axis.clone();
    report
        .section("Map")
        .figure(&quality.draw().to_png()?, "How far the bands of each pattern stand out.");
    report.section("Parameters").code(&effective);
    let provenance = provenance("ebsd bands", &*map.scan, backend, effective, &found.timings)?;
    target.finish(&provenance, &report.render())
}
