//! Writes what `strain` found: `result.h5`, `params.toml`, `figures/*.png`, `report.html`.

use super::figures;
use super::maps::Quality;
use super::{ClusterLattice, Correlation, Params, Pedestal, Strain};
use crate::analysis::lattice::{Fit, Vector, angle, length};
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::results::{Meta, OutputDir, ResultFile};
use crate::report::html::Report;
use crate::workflows::folder::{add_figures, finish};
use crate::workflows::{cluster, provenance};
use ndarray::{Array2, Array3, Array4, arr1};
use std::path::PathBuf;

/// Writes everything into `dir` and puts it in place. `parameters` is the text of `params.toml`.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no; the output folder is then as it was.
pub fn write(
    result: &Strain,
    params: &Params,
    scan: &dyn Scan,
    backend: &Backend,
    parameters: &str,
    dir: OutputDir,
) -> Result<PathBuf> {
    let info = scan.info();
    let clustering = &result.clustering;
    let shared = cluster::output::maps(clustering, info)?;
    let provenance = provenance("strain", scan, backend, parameters.to_owned(), &clustering.timings)?;
    let file = dir.result()?;
    cluster::output::arrays(&file, clustering, &shared, info)?;
    cluster_lattices(&file, result)?;
    lattice_maps(&file, result)?;
    strain_maps(&file, result, params)?;
    saved_peaks(&file, result)?;
    file.provenance(&provenance)?;
    file.finish()?;

    let mut report = cluster::output::summary("Strain", clustering, info, backend);
    summary(&mut report, result, params);
    for section in figures::draw(result, params, info)? {
        report.section(section.heading);
        add_figures(&dir, &mut report, &section.figures)?;
    }
    report.section("Crystallites");
    add_figures(&dir, &mut report, &cluster::figures::draw(clustering, &shared, info)?)?;
    finish(dir, report, parameters)
}

fn pairs<T: Copy>(list: &[[T; 2]]) -> Array2<T> {
    Array2::from_shape_fn((list.len(), 2), |(i, k)| list[i][k])
}

fn cluster_lattices(file: &ResultFile, result: &Strain) -> Result<()> {
    for (c, ClusterLattice { peaks, matches, .. }) in result.clusters.iter().enumerate() {
        let group = format!("clusters/{c:02}");
        let spots = ["spot", "yx"];
        file.put(
            &format!("{group}/peaks"),
            pairs(peaks).view(),
            Meta::new(
                "pixels",
                &spots,
                "highest maxima (y, x) of the log-sum's correlation with the template",
            ),
        )?;
        for (k, m) in matches.iter().enumerate() {
            let group = format!("{group}/match_{k}");
            let put = |name: &str, v: Vector, meaning: &str| {
                let meta = Meta::new("pixels", &["yx"], meaning);
                file.put(&format!("{group}/{name}"), arr1(&v).view(), meta)
            };
            put("zero", m.lattice.zero, "direct beam")?;
            put("a", m.lattice.a, "lattice vector")?;
            put("b", m.lattice.b, "lattice vector")?;
            file.put(
                &format!("{group}/indices"),
                pairs(&m.indices).view(),
                Meta::new("", &["spot", "hk"], "indices of the peaks on this lattice"),
            )?;
            let meta = Meta::new("pixels", &spots, "positions of these peaks");
            file.put(&format!("{group}/refined"), pairs(&m.refined).view(), meta)?;
            let meta = Meta::new("pixels", &spots, "zero + h a + k b of these peaks");
            file.put(&format!("{group}/calculated"), pairs(&m.calculated()).view(), meta)?;
        }
    }
    Ok(())
}

/// Values of every selected frame's fit.
fn per_frame(result: &Strain, of: impl Fn(&Fit) -> f64) -> Array2<f32> {
    let fits = &result.refined.fits;
    let values: Vec<f32> = fits.iter().map(|f| f.as_ref().map_or(f32::NAN, |f| of(f) as f32)).collect();
    result.clustering.selection.scatter(&values, f32::NAN)
}

/// Two values of every selected frame's fit.
fn two_per_frame(result: &Strain, of: impl Fn(&Fit) -> Option<[f64; 2]>) -> Array3<f32> {
    let [ny, nx] = result.clustering.selection.nav();
    let mut out = Array3::from_elem((ny, nx, 2), f32::NAN);
    for ([y, x], fit) in result.clustering.selection.places().zip(&result.refined.fits) {
        if let Some([first, second]) = fit.as_ref().and_then(&of) {
            out[[y, x, 0]] = first as f32;
            out[[y, x, 1]] = second as f32;
        }
    }
    out
}

type OfFit = fn(&Fit) -> Vector;
const VECTORS: [(&str, OfFit, &str); 3] = [
    ("zero", |f| f.lattice.zero, "direct beam (y, x) of each frame"),
    ("a", |f| f.lattice.a, "lattice vector a (y, x) of each frame"),
    ("b", |f| f.lattice.b, "lattice vector b (y, x) of each frame"),
];

fn lattice_maps(file: &ResultFile, result: &Strain) -> Result<()> {
    let scan = ["scan_y", "scan_x"];
    let vector = ["scan_y", "scan_x", "yx"];
    let by = result.correlation;
    for (name, of, meaning) in VECTORS {
        let meaning = format!("{meaning}, refined by {by}");
        let meta = Meta::new("pixels", &vector, &meaning);
        file.put(
            &format!("lattice/{name}"),
            two_per_frame(result, |f| Some(of(f))).view(),
            meta,
        )?;
        let polar = two_per_frame(result, |f| Some([length(of(f)), angle(of(f))]));
        let meta = Meta::new(
            "pixels, rad",
            &["scan_y", "scan_x", "length_angle"],
            "the same as length and angle atan2(y, x)",
        );
        file.put(&format!("polar/{name}"), polar.view(), meta)?;
    }
    let errors: [(&str, OfFit); 3] = [
        ("zero_error", |f| f.errors.map_or([f64::NAN; 2], |e| e.zero)),
        ("a_error", |f| f.errors.map_or([f64::NAN; 2], |e| e.a)),
        ("b_error", |f| f.errors.map_or([f64::NAN; 2], |e| e.b)),
    ];
    for (name, of) in errors {
        let meaning = match by {
            Correlation::Joint => "standard error, from the counts and the scatter of the spots",
            _ => "standard error, from the residuals of the spots",
        };
        let meta = Meta::new("pixels", &vector, meaning);
        file.put(
            &format!("lattice/{name}"),
            two_per_frame(result, |f| Some(of(f))).view(),
            meta,
        )?;
    }
    let put = |name: &str, map: Array2<f32>, unit: &str, meaning: &str| {
        file.put(&format!("lattice/{name}"), map.view(), Meta::new(unit, &scan, meaning))
    };
    put(
        "error",
        per_frame(result, |f| f.error),
        "pixels",
        "mean distance between spots and lattice, weighted with the elevation",
    )?;
    put(
        "matched",
        per_frame(result, |f| f.matched as f64),
        "",
        "number of spots in the fit",
    )?;
    put("ratio", per_frame(result, |f| f.lattice.ratio()), "", "|b|/|a|")?;
    put(
        "angle",
        per_frame(result, |f| f.lattice.angle_between()),
        "rad",
        "angle between a and b",
    )?;
    let quality: Vec<i8> = result.maps.quality.iter().map(|&q| q as i8).collect();
    let map = result.clustering.selection.scatter(&quality, Quality::Outside as i8);
    let meta = Meta::new(
        "",
        &scan,
        "0: to be trusted; 1: few spots; 2: large error; 3: no lattice in the cluster; 4: spots of another crystal; -1: in no cluster",
    );
    file.put("lattice/quality", map.view(), meta)
}

fn strain_maps(file: &ResultFile, result: &Strain, params: &Params) -> Result<()> {
    type Component = fn(&crate::analysis::lattice::strain::Strain) -> f64;
    let maps: [(&str, Component, &str, &str); 4] = [
        ("xx", |s| s.xx, "", "strain of the diffraction pattern along x"),
        ("yy", |s| s.yy, "", "strain of the diffraction pattern along y"),
        ("xy", |s| s.xy, "", "shear of the diffraction pattern (tensor component)"),
        ("rotation", |s| s.rotation, "rad", "rotation from +x towards +y (clockwise)"),
    ];
    for (name, of, unit, meaning) in maps {
        let values: Vec<f32> = result.maps.strain.iter().map(|s| of(s) as f32).collect();
        let map = result.clustering.selection.scatter(&values, f32::NAN);
        let meaning = format!("{meaning}; reference {}, axes {}", params.reference, params.strain_axes);
        file.put(
            &format!("strain/{name}"),
            map.view(),
            Meta::new(unit, &["scan_y", "scan_x"], &meaning),
        )?;
    }
    let references = Array3::from_shape_fn((result.maps.references.len(), 2, 2), |(c, v, k)| {
        result.maps.references[c].map_or(f64::NAN, |r| r[v][k])
    });
    file.put(
        "strain/reference",
        references.view(),
        Meta::new(
            "pixels",
            &["cluster", "ab", "yx"],
            "reference vectors a and b of each cluster",
        ),
    )?;
    let (Pedestal::At { value, error }, Correlation::Joint) = (result.pedestal, result.correlation) else {
        return Ok(());
    };
    let meaning = "value at which pixels would have no noise, which the joint fit took off them, and its standard error";
    let meta = Meta::new("pixel values", &["value_error"], meaning);
    file.put("strain/pedestal", arr1(&[f64::from(value), error]).view(), meta)
}

/// Spots of every frame, as many columns as the cluster with most has; NaN and indices of −32768 where there are fewer.
fn saved_peaks(file: &ResultFile, result: &Strain) -> Result<()> {
    if result.refined.spots.is_none() {
        return Ok(());
    }
    let [ny, nx] = result.clustering.selection.nav();
    let most = result.sites.iter().map(Vec::len).max().unwrap_or(0);
    let index = |v: i32| i16::try_from(v).map_err(|_| Error::Internal(format!("lattice index {v}")));
    let mut positions = Array4::from_elem((ny, nx, most, 2), f32::NAN);
    let mut indices = Array4::from_elem((ny, nx, most, 2), i16::MIN);
    let mut heights = Array3::from_elem((ny, nx, most), f32::NAN);
    let mut elevations = heights.clone();
    let mut matched = Array3::from_elem((ny, nx, most), 0u8);
    for (n, [y, x]) in result.clustering.selection.places().enumerate() {
        let label = result.clustering.labels.get(n).copied().unwrap_or(-1);
        let sites = usize::try_from(label).ok().and_then(|l| result.sites.get(l));
        for (s, (spot, site)) in result.refined.frame(n).iter().zip(sites.into_iter().flatten()).enumerate() {
            for k in 0..2 {
                positions[[y, x, s, k]] = spot.peak.refined[k];
                indices[[y, x, s, k]] = index(site[k])?;
            }
            heights[[y, x, s]] = spot.peak.height;
            elevations[[y, x, s]] = spot.peak.elevation;
            matched[[y, x, s]] = u8::from(spot.matched);
        }
    }
    let pair = ["scan_y", "scan_x", "spot", "yx"];
    let single = ["scan_y", "scan_x", "spot"];
    file.put(
        "lattice/positions",
        positions.view(),
        Meta::new("pixels", &pair, "refined positions of the spots of each frame"),
    )?;
    file.put(
        "lattice/indices",
        indices.view(),
        Meta::new("", &["scan_y", "scan_x", "spot", "hk"], "their indices; -32768: no spot"),
    )?;
    let meta = Meta::new("", &single, "height of the correlation at the spot");
    file.put("lattice/heights", heights.view(), meta)?;
    let meta = Meta::new("", &single, "smallest slope from the spot down: its weight");
    file.put("lattice/elevations", elevations.view(), meta)?;
    let meta = Meta::new("", &single, "1: in the fit of the frame's lattice");
    file.put("lattice/fitted", matched.view(), meta)
}

fn summary(report: &mut Report, result: &Strain, params: &Params) {
    let count = |q: Quality| result.maps.quality.iter().filter(|&&v| v == q).count();
    report.summary(
        "Refined by",
        match &result.why {
            Some(why) => format!("{}: {why}", result.correlation),
            None => result.correlation.to_string(),
        },
    );
    report.summary("Strain relative to", &params.reference);
    report.summary("Strain axes", params.strain_axes);
    report.summary("Frames to be trusted", count(Quality::Good));
    report.summary(
        "Not to be trusted",
        format!(
            "{} few spots, {} large error, {} no lattice in the cluster, {} another crystal",
            count(Quality::FewSpots),
            count(Quality::LargeError),
            count(Quality::NoLattice),
            count(Quality::OtherCrystal)
        ),
    );
    let rows: Vec<Vec<String>> = result.clusters.iter().enumerate().map(|(c, k)| row(c, k, result)).collect();
    report.section("Lattices").table(
        &[
            "cluster",
            "frames",
            "lattices",
            "peaks on it",
            "zero (px)",
            "|a| (px)",
            "|b| (px)",
            "angle",
            "spots refined",
        ],
        &rows,
    );
}

fn row(c: usize, cluster: &ClusterLattice, result: &Strain) -> Vec<String> {
    let mut row = vec![c.to_string(), cluster.frames.to_string(), cluster.matches.len().to_string()];
    if let Some(m) = cluster.matches.first() {
        let l = m.lattice;
        row.extend([
            format!("{} of {}", m.refined.len(), cluster.peaks.len()),
            format!("({:.2}, {:.2})", l.zero[0], l.zero[1]),
            format!("{:.2}", length(l.a)),
            format!("{:.2}", length(l.b)),
            format!("{:.1}°", l.angle_between().to_degrees()),
            result.sites.get(c).map_or(0, Vec::len).to_string(),
        ]);
    }
    row
}
