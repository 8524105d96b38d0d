//! `ebsd bse`: images of backscattered electrons from regions of the patterns.

use super::Target;
use super::output::grey;
use crate::analysis::virtual_bse::{self, asymmetry, channel, flatten_rows, shading};
use crate::control::Control;
use crate::engine::{Backend, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::ebsd::PatternMap;
use crate::io::results::Meta;
use crate::ops::MaskProducts;
use crate::report::html::Report;
use crate::report::{ColourMap, Panel, Tile};
use crate::workflows::{Timings, provenance, scatter_rows};
use ndarray::{Array2, Array3, ArrayView2, Axis, s};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Parameters of `ebsd bse`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// Cells (rows, columns).
    pub grid: [usize; 2],
    /// Rectangles (top, left, height, width) instead of the grid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub region: Vec<[usize; 4]>,
    /// Sums instead of means.
    pub sum: bool,
    /// Contrast of the colour images.
    pub contrast: f64,
    /// Columns of the grid that become red, green and blue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<[usize; 3]>,
    /// Direction of the light of the shaded image in degrees.
    pub azimuth: f64,
    pub altitude: f64,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            grid: [7, 7],
            region: Vec::new(),
            sum: false,
            contrast: 0.8,
            columns: None,
            azimuth: -60.0,
            altitude: 20.0,
        }
    }
}

impl Params {
    fn check(&self) -> Result<()> {
        let last = self.grid[1].saturating_sub(1);
        if let Some(wrong) = self.columns.iter().flatten().find(|&&c| c > last) {
            return Err(Error::parameter(
                "--columns",
                format!("{wrong} is not among the columns 0 to {last} of the grid"),
            ));
        }
        for (name, value) in [
            ("--contrast", self.contrast),
            ("--azimuth", self.azimuth),
            ("--altitude", self.altitude),
        ] {
            if !value.is_finite() {
                return Err(Error::parameter(name, format!("{value} is not finite")));
            }
        }
        Ok(())
    }
}

/// Signals of all regions and the centre of mass of every pattern; NaN where there is no pattern.
pub struct Signals {
    /// (rows, columns, regions).
    pub values: Array3<f64>,
    /// Centre of mass (y, x) in pixels (rows, columns, 2).
    pub centre: Array3<f64>,
    pub timings: Timings,
}

/// One pass over the patterns.
///
/// # Errors
/// [`crate::Error::Parameter`] for regions that do not fit; whatever reading or the device reports.
pub fn signals(
    map: &PatternMap,
    selection: &Selection,
    params: &Params,
    backend: &Backend,
    control: &Control,
) -> Result<Signals> {
    let frame = map.scan.info().frame;
    let (h, w) = (frame.height, frame.width);
    params.check()?;
    let stack = match params.region.is_empty() {
        true => virtual_bse::grid(h, w, params.grid[0], params.grid[1], params.sum)?,
        false => virtual_bse::regions(h, w, &params.region, params.sum)?,
    };
    let moments = virtual_bse::moments(h, w);
    let mut timings = Timings::default();
    let mut pass = Pass::new("virtual detectors", &*map.scan, selection);
    let (of_regions, of_moments) = (pass.add(MaskProducts::new(&stack)), pass.add(MaskProducts::new(&moments)));
    let mut done = timings.pass("virtual detectors", &*map.scan, selection, || {
        pass.run(backend, &Resident::none(), control)
    })?;
    let values = scatter_rows(selection, stack.len(), done.take(of_regions)?, f32::NAN)?.mapv(f64::from);
    let moments = scatter_rows(selection, 3, done.take(of_moments)?, f32::NAN)?;
    let (rows, columns, _) = moments.dim();
    let centre = Array3::from_shape_fn((rows, columns, 2), |(y, x, k)| {
        virtual_bse::centre_of_mass([0, 1, 2].map(|m| f64::from(moments[[y, x, m]])))[k]
    });
    Ok(Signals { values, centre, timings })
}

/// Writes values and images to `target` and a page beside it; returns the page's place.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn write(
    signals: &Signals,
    map: &PatternMap,
    params: &Params,
    target: Target,
    backend: &Backend,
    effective: String,
) -> Result<PathBuf> {
    let meaning = if params.sum {
        "area-weighted sum of each region"
    } else {
        "area-weighted mean of each region"
    };
    let meta = Meta::new("counts", &["row", "column", "region"], meaning);
    target.put("VirtualBSE/values", signals.values.mapv(|v| v as f32).view(), meta)?;
    let meta = Meta::new("px", &["row", "column", "y, x"], "centre of mass of each pattern");
    target.put("VirtualBSE/centre_of_mass", signals.centre.mapv(|v| v as f32).view(), meta)?;
    let (cy, cx) = (signals.centre.index_axis(Axis(2), 0), signals.centre.index_axis(Axis(2), 1));
    let shaded = shading(cx, cy.mapv(|v| -v).view(), params.azimuth, params.altitude);
    let meta = Meta::new("", &["row", "column"], "relief of the centre of mass, lit from the side");
    target.put("VirtualBSE/shaded", shaded.view(), meta)?;
    let mut report = Report::new("Virtual backscatter images");
    report.summary("input", map.scan.info().path.display());
    let total = signals.values.sum_axis(Axis(2));
    let meta = Meta::new("counts", &["row", "column"], "sum over all regions");
    target.put("VirtualBSE/total", total.view(), meta)?;
    let flat = flatten_rows(total.view());
    let tiles = vec![
        grey(total.view(), "sum of all regions"),
        grey(flat.view(), "lines flattened"),
        grey(shaded.view(), "shaded centre of mass"),
        grey(cy, "centre of mass y (px)"),
        grey(cx, "centre of mass x (px)"),
    ];
    report.section("Whole patterns");
    report.figure(
        &Panel::new("", tiles).draw().to_png()?,
        "Signal and centre of mass of the whole pattern.",
    );
    if params.region.is_empty() {
        grids(signals, params, &target, &mut report)?;
    } else {
        let maps: Vec<ArrayView2<'_, f64>> = signals.values.axis_iter(Axis(2)).collect();
        let named = params.region.iter().zip(maps);
        let tiles = named.map(|([t, l, h, w], m)| grey(m, format!("{h} × {w} pixels at {t}, {l}")));
        report.section("Regions");
        report.figure(
            &Panel::new("", tiles.collect()).draw().to_png()?,
            "Signal of each region over its own range.",
        );
    }
    report.section("Parameters").code(&effective);
    let provenance = provenance("ebsd bse", &*map.scan, backend, effective, &signals.timings)?;
    target.finish(&provenance, &report.render())
}

/// Rows of the grid as colour images and their asymmetry.
fn grids(signals: &Signals, params: &Params, target: &Target, report: &mut Report) -> Result<()> {
    let [rows, columns] = params.grid;
    let (ny, nx, _) = signals.values.dim();
    let cell = |r: usize, c: usize| signals.values.slice(s![.., .., r * columns + c]);
    let picked = params.columns.unwrap_or([0, columns / 2, columns - 1]);
    let mut colours = ndarray::Array4::<u8>::zeros((rows, ny, nx, 3));
    for r in 0..rows {
        for (k, &c) in picked.iter().enumerate() {
            let channel = channel(cell(r, c), params.contrast, true);
            colours.slice_mut(s![r, .., .., k]).assign(&channel);
        }
    }
    let meta = Meta::new(
        "",
        &["grid row", "row", "column", "rgb"],
        "left, middle and right cell of each row of the grid as colours",
    );
    target.put("VirtualBSE/rgb", colours.view(), meta)?;
    let sums: Vec<Array2<f64>> = (0..rows)
        .map(|r| (0..columns).fold(Array2::zeros((ny, nx)), |sum: Array2<f64>, c| sum + cell(r, c)))
        .collect();
    let pairs: Vec<Array2<f64>> = sums.windows(2).map(|w| asymmetry(w[1].view(), w[0].view())).collect();
    if let Ok(stack) = ndarray::stack(Axis(0), &pairs.iter().map(|p| p.view()).collect::<Vec<_>>()) {
        let meta = Meta::new(
            "",
            &["grid row", "row", "column"],
            "(a - b) / (a + b) of each row of the grid, a, and the one above, b",
        );
        target.put("VirtualBSE/asymmetry", stack.view(), meta)?;
    }
    report.section("Rows of the grid");
    let tiles = sums.iter().enumerate().map(|(r, m)| grey(m.view(), format!("row {r}")));
    report.figure(
        &Panel::new("", tiles.collect()).draw().to_png()?,
        "Sum of each row of the grid, top first.",
    );
    let tiles = pairs.iter().enumerate().map(|(r, m)| Tile {
        colours: ColourMap::Diverging,
        limits: crate::report::Limits::SymmetricAboutZero,
        ..Tile::new(m.view(), format!("rows {} and {r}", r + 1))
    });
    report.figure(
        &Panel::new("", tiles.collect()).draw().to_png()?,
        "Asymmetry of each row of the grid and the one above.",
    );
    Ok(())
}
