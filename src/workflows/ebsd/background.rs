//! `ebsd background`: what is in the static background.

use super::output::grey;
use super::{Target, process};
use crate::analysis::background::{self, BadPixels, Line};
use crate::backend::cpu::isa::Isa;
use crate::control::Control;
use crate::engine::{Backend, Selection};
use crate::error::{Error, Result};
use crate::io::ebsd::PatternMap;
use crate::io::results::Meta;
use crate::kernels::pattern::cpu::Worker;
use crate::kernels::pattern::{self, Dynamic, Plan, Step, Window};
use crate::pixel::{FrameShape, Pixel};
use crate::report::html::Report;
use crate::report::{LinePlot, Marker, Panel, Series};
use crate::workflows::{Timings, provenance};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Bins of histograms.
const BINS: usize = 128;
/// Lines that are listed.
const LINES: usize = 8;

/// Parameters of `ebsd background`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// A file, `mean` for the mean pattern of the map, or what the input holds; without that the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<String>,
    /// Standard deviation of the low-pass in pixels; the width over 25 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// Pixels that differ from their neighbourhood by so many times the spread of such differences are bad.
    pub factor: f64,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            background: None,
            sigma: None,
            factor: 6.0,
        }
    }
}

/// What was found.
pub struct Parts {
    pub image: Array2<f64>,
    pub bad: BadPixels,
    /// Low-pass of the image without bad pixels, and the image over it.
    pub smooth: Array2<f64>,
    pub fine: Array2<f64>,
    /// Edges and counts of `image` and `fine`.
    pub histograms: [(Array1<f64>, Array1<u64>); 2],
    /// Left over right and top over bottom, of the smooth part; and the step in the middle of the fine part.
    pub asymmetry: [f64; 2],
    pub step: f64,
    pub lines: Vec<Line>,
}

/// The background that `params` ask for; `read` opens a file that they name.
///
/// # Errors
/// Whatever reading or the device reports.
pub fn image(
    map: &PatternMap,
    selection: &Selection,
    params: &Params,
    read: impl Fn(&Path) -> Result<Array2<f64>>,
    backend: &Backend,
    control: &Control,
) -> Result<Array2<f64>> {
    match (params.background.as_deref(), &map.static_background) {
        (None, Some(own)) => Ok(own.clone()),
        (None | Some("mean"), _) => process::mean_pattern(map, selection, backend, control),
        (Some(file), _) => read(Path::new(file)),
    }
}

/// The low-pass of an image.
///
/// # Errors
/// [`Error::Parameter`] if the window does not fit.
pub(super) fn lowpass(image: &Array2<f64>, window: Window) -> Result<Array2<f64>> {
    let (height, width) = image.dim();
    let frame = FrameShape {
        pixel: Pixel::F32,
        height,
        width,
    };
    let chain = pattern::Params {
        bin: 1,
        steps: vec![Step::Lowpass {
            window,
            how: Dynamic::Background,
        }],
        output: Pixel::F32,
        round: false,
    };
    let mut worker = Worker::new(Isa::active(), Plan::new(frame, &chain)?);
    let values: Vec<f32> = image.iter().map(|&v| v as f32).collect();
    let mut bytes = Vec::new();
    worker.run::<f32>(&values, &mut bytes);
    let out: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
    Ok(Array2::from_shape_fn((height, width), |(y, x)| f64::from(out[y * width + x])))
}

/// Takes a background apart.
///
/// # Errors
/// [`Error::Parameter`] for numbers out of range or an image without positive pixels.
pub fn parts(image: Array2<f64>, params: &Params) -> Result<Parts> {
    if !params.factor.is_finite() || params.factor <= 0.0 {
        return Err(Error::parameter("--factor", format!("{} is not above 0", params.factor)));
    }
    if !image.iter().any(|v| v.is_finite() && *v > 0.0) || image.nrows().min(image.ncols()) < 4 {
        let what = format!("{:?} pixels, none of them or too few positive", image.dim());
        return Err(Error::parameter("--background", what));
    }
    let sigma = params.sigma.unwrap_or(image.ncols() as f64 / 25.0);
    let bad = background::bad_pixels(image.view(), params.factor);
    let smooth = lowpass(&bad.filled, Window::symmetric(sigma)?)?;
    let fine = &bad.filled / &smooth;
    Ok(Parts {
        histograms: [image.view(), fine.view()].map(|v| background::histogram(v, BINS)),
        asymmetry: background::asymmetry(smooth.view()),
        step: background::middle_step(fine.view()),
        lines: background::lines(fine.view(), LINES),
        image,
        bad,
        smooth,
        fine,
    })
}

/// Writes all parts to `target` and a page beside it; returns the page's place.
///
/// # Errors
/// [`Error::Io`].
pub fn write(parts: &Parts, map: &PatternMap, target: Target, backend: &Backend, effective: String) -> Result<PathBuf> {
    let of_pixels = ["y", "x"];
    let images = [
        ("image", &parts.image, "counts", "the background"),
        (
            "smooth",
            &parts.smooth,
            "counts",
            "low-pass of the background without bad pixels",
        ),
        ("fine", &parts.fine, "", "background without bad pixels over its smooth part"),
    ];
    for (name, image, unit, meaning) in images {
        let meta = Meta::new(unit, &of_pixels, meaning);
        target.put(&format!("Background/{name}"), image.mapv(|v| v as f32).view(), meta)?;
    }
    let list = Array2::from_shape_fn((parts.bad.at.len(), 2), |(i, k)| parts.bad.at[i][k] as i32);
    let meta = Meta::new("px", &["pixel", "y, x"], "pixels that stand out from their neighbourhood");
    target.put("Background/bad_pixels", list.view(), meta)?;
    let meta = Meta::new("", &of_pixels, "1 where a pixel is bad: a mask for --bad-pixels");
    target.put("Background/bad_pixel_mask", mask(parts).view(), meta)?;
    for (name, (edges, counts)) in ["image", "fine"].into_iter().zip(&parts.histograms) {
        let unit = if name == "image" { "counts" } else { "" };
        let meta = Meta::new(unit, &["edge"], "edges of the bins of the histogram");
        target.put(&format!("Background/histogram_{name}_edges"), edges.view(), meta)?;
        let meta = Meta::new("pixels", &["bin"], "pixels in each bin");
        target.put(&format!("Background/histogram_{name}"), counts.view(), meta)?;
    }
    let lines = Array2::from_shape_fn((parts.lines.len(), 4), |(i, k)| {
        let l = &parts.lines[i];
        [l.theta, l.rho, l.contrast, l.significance][k]
    });
    let meaning = "lines along which the fine part differs most from 1: angle of the normal (rad), distance (px), difference, difference in \
                   standard errors";
    let meta = Meta::new("", &["line", "theta, rho, contrast, significance"], meaning);
    target.put("Background/lines", lines.view(), meta)?;

    let mut report = Report::new("Static background");
    report.summary("input", map.scan.info().path.display());
    let (h, w) = parts.image.dim();
    report.summary("bad pixels", format!("{} of {h} × {w}", parts.bad.at.len()));
    report.summary(
        "limit of bad pixels",
        format!("{:.2} % from their neighbourhood", 100.0 * parts.bad.limit),
    );
    let [left, top] = parts.asymmetry.map(|a| 100.0 * a);
    report.summary("left against right", format!("{left:+.2} % of the sum"));
    report.summary("top against bottom", format!("{top:+.2} % of the sum"));
    report.summary(
        "step in the middle",
        format!("{:+.2} % from left to right", 100.0 * parts.step),
    );
    let strongest = parts.lines.first();
    let strongest = strongest.map_or("none".into(), |l| {
        format!("{:+.2} %, {:.1} standard errors", 100.0 * l.contrast, l.significance.abs())
    });
    report.summary("strongest line", strongest);
    let mut fine = grey(parts.fine.view(), "fine part");
    // Enough to see where they are; a whole row of bad pixels must not hide the others.
    let every = parts.bad.at.len() / 300 + 1;
    fine.markers = (parts.bad.at.iter().step_by(every))
        .map(|&[y, x]| Marker::circle(y as f64, x as f64, 2.0))
        .collect();
    let tiles = vec![
        grey(parts.image.view(), "background"),
        grey(parts.smooth.view(), "smooth part"),
        fine,
    ];
    report.section("Parts").figure(
        &Panel::new("", tiles).draw().to_png()?,
        "The background, its low-pass, and what is left when divided by it; circles around bad pixels.",
    );
    report.section("Histogram");
    for ((edges, counts), (title, label)) in parts
        .histograms
        .iter()
        .zip([("Background", "counts"), ("Fine part", "background over smooth part")])
    {
        let x: Vec<f64> = edges.windows(2).into_iter().map(|e| (e[0] + e[1]) / 2.0).collect();
        let y: Vec<f64> = counts.iter().map(|&c| c as f64).collect();
        let mut plot = LinePlot::new(title, label, "pixels");
        plot.series = vec![Series {
            name: "",
            x: &x,
            y: &y,
            dots: false,
        }];
        report.figure(&plot.draw().to_png()?, &format!("{title}: how often each value occurs."));
    }
    report.section("Residual lines");
    report.paragraph(
        "Bands that a mean over too few orientations left in the background, and lines of the camera, show as straight lines along which the \
         fine part differs from 1. Noise alone stays below about 5 standard errors.",
    );
    let rows: Vec<Vec<String>> = parts
        .lines
        .iter()
        .map(|l| {
            vec![
                format!("{:.1}°", l.theta.to_degrees()),
                format!("{:.0}", l.rho),
                format!("{:+.3} %", 100.0 * l.contrast),
                format!("{:.1}", l.significance),
            ]
        })
        .collect();
    report.table(&["normal", "distance (px)", "difference", "standard errors"], &rows);
    report.section("Parameters").code(&effective);
    let provenance = provenance("ebsd background", &*map.scan, backend, effective, &Timings::default())?;
    target.finish(&provenance, &report.render())
}

/// 1 where a pixel is bad.
pub fn mask(parts: &Parts) -> Array2<u8> {
    let mut mask = Array2::zeros(parts.image.dim());
    parts.bad.at.iter().for_each(|&at| mask[at] = 1);
    mask
}
