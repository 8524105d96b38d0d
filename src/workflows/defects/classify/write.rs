//! Writes what `defects classify` found.

use super::super::detected::Detected;
use super::super::output::{self, Finished, Table};
use super::figures::mean_silhouette;
use super::{Classified, Pictures};
use crate::analysis::{Recipe, linkage};
use crate::error::Result;
use crate::io::results::{Meta, OutputDir, ResultFile};
use ndarray::{Array2, arr1, arr2};
use std::path::PathBuf;

pub use super::figures::figures;

/// Lines of the report, and its tables.
pub struct Results {
    pub summary: Vec<(&'static str, String)>,
    pub tables: Vec<Table>,
}

/// Writes the arrays of classes into a result file, and gives what the report says about them.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no.
pub fn put(file: &ResultFile, found: &Detected, c: &Classified) -> Result<Results> {
    let published = c.effective.recipe == Recipe::Published;
    let kept = ["kept"];
    file.put(
        "classes/labels",
        arr1(&c.labels).view(),
        Meta::new("", &kept, "class of each detection with a window"),
    )?;
    let meta = Meta::new("", &kept, "probability of that class");
    file.put("classes/probability", arr1(&c.probability).view(), meta)?;
    let meta = Meta::new(
        "scaled intensity",
        &["class", "y", "x"],
        "mean window of each class; NaN where it has none",
    );
    file.put("classes/means", c.means.mapv(|v| v as f32).view(), meta)?;
    let meta = Meta::new("", &["class", "frame"], "windows of each class in each frame");
    file.put("classes/counts", c.counts.view(), meta)?;
    let meaning = match published {
        true => "moving average: column k is the mean over frames k to k + width - 1; the last row is that of all windows",
        false => "moving average about each frame; the last row is that of all windows",
    };
    file.put(
        "classes/averages",
        c.averages.view(),
        Meta::new("", &["class_all", "frame"], meaning),
    )?;
    let bic = Array2::from_shape_fn((c.bic.len(), 2), |(i, k)| [c.bic[i].0 as f64, c.bic[i].1][k]);
    file.put(
        "classes/bic",
        bic.view(),
        Meta::new("", &["run", "classes_bic"], "number of classes, and Schwarz's criterion"),
    )?;
    if let Some(fit) = &c.fit {
        let weights = arr1(&fit.mixture.weights);
        file.put(
            "classes/weights",
            weights.view(),
            Meta::new("", &["class"], "weights of the mixture"),
        )?;
        let meta = Meta::new("", &["class", "feature"], "means of the mixture");
        file.put("classes/centres", fit.mixture.means.view(), meta)?;
        let meta = Meta::new("", &["round"], "mean log-likelihood of a window before each round");
        file.put("classes/log_likelihood", arr1(&fit.trace).view(), meta)?;
    }
    let sample: Vec<i64> = c.sample.iter().map(|&i| i as i64).collect();
    let meta = Meta::new("", &["sample"], "windows that dendrogram and silhouettes are taken of");
    file.put("classes/sample", arr1(&sample).view(), meta)?;
    let meta = Meta::new("", &["sample"], "silhouette of each of these windows");
    file.put("classes/silhouette", arr1(&c.silhouette).view(), meta)?;
    file.put(
        "pca/ratio",
        arr1(&c.ratios).view(),
        Meta::new("", &["component"], "share in the whole variance"),
    )?;
    let meta = Meta::new(
        "",
        &["component", "pixel"],
        "components; pixels as registration/radius says, row by row",
    );
    file.put("pca/components", c.components.mapv(|v| v as f32).view(), meta)?;
    let meta = Meta::new(
        "",
        &["kept", "feature"],
        "what the classes come from: scores of the components, or pixels",
    );
    file.put("pca/scores", c.features.view(), meta)?;
    let likeliest = arr1(&[c.likeliest.map_or(-1, |k| k as i64)]);
    let meta = Meta::new("", &["one"], "most probable number of components (Minka), -1 unknown");
    file.put("pca/likeliest", likeliest.view(), meta)?;
    let meta = Meta::new(
        "",
        &["merge", "first_second_distance_size"],
        "ward tree of the sample, scipy's linkage",
    );
    file.put("dendrogram", linkage::rows(&c.tree).view(), meta)?;
    let (unit, meaning) = match published {
        true => (
            "",
            "windows of each class over a pixel, mean over frames; rows and columns are exchanged",
        ),
        false => (
            "1/px^2",
            "detections of each class a pixel and frame, drift taken out, blurred",
        ),
    };
    file.put("density", c.density.view(), Meta::new(unit, &["class", "y", "x"], meaning))?;
    let p = &c.placement;
    let meta = Meta::new(
        "px",
        &["kept", "yx"],
        "place in the frame at the centre of the window that was compared",
    );
    let centre = Array2::from_shape_fn((p.centre.len(), 2), |(i, k)| p.centre[i][k]);
    file.put("registration/centre", centre.view(), meta)?;
    let meta = Meta::new("", &kept, "site within the lattice's cell, -1 without a lattice");
    file.put("registration/site", arr1(&p.site).view(), meta)?;
    let turn: Vec<i32> = p.turn.iter().map(|&t| t as i32).collect();
    let meta = Meta::new("", &kept, "rotation or mirror image that was taken, 0 none");
    file.put("registration/turn", arr1(&turn).view(), meta)?;
    let meta = Meta::new("px", &["one"], "radius of the disk that was compared, 0: the whole window");
    file.put("registration/radius", arr1(&[p.radius]).view(), meta)?;
    if let Some(lattice) = p.lattice {
        let meta = Meta::new("1/px", &["vector", "yx"], "reciprocal vectors of the lattice");
        file.put("registration/reciprocal", arr2(&lattice.reciprocal).view(), meta)?;
        let sites = Array2::from_shape_fn((p.sites.len(), 2), |(i, k)| p.sites[i][k]);
        let meta = Meta::new(
            "",
            &["site", "vector"],
            "sites in units of the lattice vectors, most frequent first",
        );
        file.put("registration/sites", sites.view(), meta)?;
    }
    Ok(results(found, c))
}

fn results(found: &Detected, c: &Classified) -> Results {
    let e = &c.effective;
    let placed = match (&c.placement.lattice, c.placement.moved) {
        (Some(l), _) => {
            let [a, b] = l.reduced().map(|v| v[0].hypot(v[1]));
            format!(
                "on {} sites of a lattice of {a:.2} × {b:.2} px, compared within {:.1} px",
                c.placement.sites.len(),
                c.placement.radius
            )
        }
        (None, true) => format!("about their centres of mass, compared within {:.1} px", c.placement.radius),
        (None, false) => "as they are".into(),
    };
    let from = match (c.features.ncols() == c.components.nrows(), c.likeliest) {
        (true, Some(k)) => format!("{} principal components (most probable: {k})", c.features.ncols()),
        (true, None) => format!("{} principal components", c.features.ncols()),
        (false, _) => format!("{} pixels", c.features.ncols()),
    };
    let mut summary = vec![
        (
            "Windows",
            format!(
                "{} of {} detections in {} frames",
                c.labels.len(),
                found.frame.len(),
                found.frames
            ),
        ),
        ("Registration", placed),
        ("Classes from", from),
        ("Mean silhouette", format!("{:.3}", mean_silhouette(c, None))),
        ("Recipe", e.recipe.to_string()),
    ];
    if let Some(fit) = &c.fit {
        let text = format!(
            "BIC {:.1}, {} rounds, regularisation {:.2e}",
            fit.bic(),
            fit.trace.len(),
            c.regularisation
        );
        summary.insert(3, ("Mixture", text));
    }
    if let Some(best) = c.bic.iter().min_by(|a, b| a.1.total_cmp(&b.1)) {
        summary.push(("Least BIC", format!("{:.1} with {} classes", best.1, best.0)));
    }
    let rows = (0..c.sizes.len())
        .map(|k| {
            let first = c.counts.row(k).first().copied().unwrap_or(0);
            let last = c.counts.row(k).last().copied().unwrap_or(0);
            vec![
                k.to_string(),
                c.sizes[k].to_string(),
                format!("{:.1} %", 100.0 * c.sizes[k] as f64 / c.labels.len() as f64),
                format!("{first} → {last}"),
                format!("{:.3}", mean_silhouette(c, Some(k))),
            ]
        })
        .collect();
    let columns = ["Class", "Windows", "Share", "First → last frame", "Mean silhouette"]
        .map(String::from)
        .to_vec();
    let tables = vec![Table {
        heading: "Classes".into(),
        columns,
        rows,
    }];
    Results { summary, tables }
}

/// Repeats what later steps need of the detections.
pub(super) fn put_detections(file: &ResultFile, found: &Detected) -> Result<()> {
    let each = ["detection"];
    let frames: Vec<i32> = found.frame.iter().map(|&f| f as i32).collect();
    file.put(
        "detections/frame",
        arr1(&frames).view(),
        Meta::new("", &each, "number of the frame, from 0"),
    )?;
    file.put(
        "detections/y",
        arr1(&found.y).view(),
        Meta::new("px", &each, "row of the centre of mass"),
    )?;
    file.put(
        "detections/x",
        arr1(&found.x).view(),
        Meta::new("px", &each, "column of the centre of mass"),
    )?;
    file.put(
        "detections/area",
        arr1(&found.area).view(),
        Meta::new("px^2", &each, "pixels above the threshold"),
    )?;
    let kept: Vec<u8> = found.kept.iter().map(|&k| u8::from(k)).collect();
    file.put(
        "detections/kept",
        arr1(&kept).view(),
        Meta::new("", &each, "1 for those with a window"),
    )?;
    let corner = Array2::from_shape_fn((found.corner.len(), 2), |(i, k)| found.corner[i][k] as i32);
    let meta = Meta::new("px", &["kept", "yx"], "first row and column of each window");
    file.put("detections/corner", corner.view(), meta)?;
    if !found.drift.is_empty() {
        let drift = Array2::from_shape_fn((found.drift.len(), 2), |(i, k)| found.drift[i][k]);
        let meta = Meta::new("px", &["frame", "yx"], "displacement of each frame against the first");
        file.put("drift", drift.view(), meta)?;
    }
    let frames = arr1(&[i64::from(found.first), found.frames as i64]);
    let meta = Meta::new("", &["first_number"], "first frame that was looked at, and how many");
    file.put("movie/frames", frames.view(), meta)?;
    let size = arr1(&found.size.map(|v| v as i64));
    file.put(
        "movie/size",
        size.view(),
        Meta::new("px", &["yx"], "height and width of a frame"),
    )?;
    let meaning = "raw values are divided by the first number; the second then became 0, the third 1";
    file.put(
        "movie/scale",
        arr1(&found.scale).view(),
        Meta::new("", &["scale_low_high"], meaning),
    )
}

/// Writes result, figures and report into `dir` and puts it in place. `parameters` is the text of `params.toml`.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no; the output folder is then as it was.
pub fn write(found: &Detected, c: &Classified, pictures: &Pictures, parameters: &str, dir: OutputDir) -> Result<PathBuf> {
    let file = dir.result()?;
    put_detections(&file, found)?;
    let results = put(&file, found, c)?;
    let page = Finished {
        title: "Classes of defects",
        about: ("Detections", format!("{} in {} frames", found.frame.len(), found.frames)),
        name: found.path.display().to_string(),
        provenance: output::from_result("defects classify", found, parameters, &c.timings)?,
        parameters,
        warnings: &c.warnings,
        summary: &results.summary,
        tables: results.tables,
        figures: figures(found, c, pictures),
    };
    page.finish(file, dir)
}
