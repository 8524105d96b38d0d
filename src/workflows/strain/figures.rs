//! The figures of `strain`.

use super::maps::{self, Quality};
use super::{Match, Params, Strain};
use crate::error::Result;
use crate::io::ScanInfo;
use crate::report::{ColourMap, HeatMap, LabelMap, Limits, Marker, Panel, Tile, Vector};
use crate::workflows::folder::Named;
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

/// Clusters shown one by one, the largest first.
const SHOWN: usize = 12;
/// Radius of the mark of a calculated position, px.
const SITE: f64 = 0.4;

/// Figures under one heading.
pub struct Section {
    pub heading: &'static str,
    pub figures: Vec<Named>,
}

/// How one of [`maps::NAMES`] is drawn.
struct Style {
    title: &'static str,
    unit: &'static str,
    colours: ColourMap,
    limits: Limits,
    /// Angles are drawn in degrees.
    degrees: bool,
}

fn style(name: &str) -> Style {
    let plain = |title, unit| Style {
        title,
        unit,
        colours: ColourMap::Viridis,
        limits: Limits::Auto,
        degrees: false,
    };
    let signed = |title, unit| Style {
        colours: ColourMap::Diverging,
        limits: Limits::SymmetricAboutZero,
        ..plain(title, unit)
    };
    let turning = |title| Style {
        colours: ColourMap::Cyclic,
        limits: Limits::Fixed(-180.0, 180.0),
        degrees: true,
        ..plain(title, "angle (°)")
    };
    match name {
        "zero_y" => plain("Direct beam, y", "y (px)"),
        "zero_x" => plain("Direct beam, x", "x (px)"),
        "a_length" => plain("Length of a", "|a| (px)"),
        "a_angle" => turning("Direction of a"),
        "b_length" => plain("Length of b", "|b| (px)"),
        "b_angle" => turning("Direction of b"),
        "ratio" => plain("Ratio of lengths", "|b|/|a|"),
        "angle" => Style {
            degrees: true,
            ..plain("Angle between a and b", "angle (°)")
        },
        "error" => plain("Distance of spots from lattice", "mean distance (px)"),
        "matched" => Style {
            limits: Limits::Full,
            ..plain("Spots in the fit", "spots")
        },
        "xx" => signed("Strain xx", "strain"),
        "yy" => signed("Strain yy", "strain"),
        "xy" => signed("Shear strain xy", "strain"),
        _ => Style {
            degrees: true,
            ..signed("Rotation", "rotation (°)")
        },
    }
}

/// What fits below a narrow map.
fn short(name: &str) -> &'static str {
    match name {
        "zero_y" => "zero y (px)",
        "zero_x" => "zero x (px)",
        "a_length" => "|a| (px)",
        "a_angle" => "angle of a (°)",
        "b_length" => "|b| (px)",
        "b_angle" => "angle of b (°)",
        "ratio" => "|b|/|a|",
        "angle" => "a to b (°)",
        "error" => "error (px)",
        "matched" => "spots",
        "xx" => "xx",
        "yy" => "yy",
        "xy" => "xy",
        _ => "rotation (°)",
    }
}

/// Draws all figures of a result, but for those of the clustering.
pub fn draw(result: &Strain, params: &Params, info: &ScanInfo) -> Result<Vec<Section>> {
    let all: Vec<(&'static str, Array2<f64>)> = maps::NAMES.par_iter().map(|&n| (n, map(result, n))).collect();
    let drawn: Vec<Named> = all.par_iter().map(|(n, map)| whole(n, map.view(), params, info)).collect();
    let is_strain = |n: &Named| matches!(&n.name[..], "xx" | "yy" | "xy" | "rotation");
    let (mut strain, lattice): (Vec<Named>, Vec<Named>) = drawn.into_iter().partition(is_strain);
    strain.push(quality(result, info));
    let order = largest(result);
    let clusters = order.par_iter().map(|&c| cluster_maps(result, params, c, &all)).collect();
    let mut found: Vec<Named> = order.par_iter().map(|&c| cluster_lattice(result, info, c)).collect();
    found.extend(sample(result, info));
    let section = |heading, figures| Section { heading, figures };
    Ok(vec![
        section("Strain", strain),
        section("Lattice found in each cluster, and one frame with its fit", found),
        section("Lattice in every frame", lattice),
        section("Every cluster with its own limits", clusters),
    ])
}

/// A map of the scan; frames that are not to be trusted are NaN, but for maps that tell why.
fn map(result: &Strain, name: &str) -> Array2<f64> {
    let tells = matches!(name, "error" | "matched");
    let degrees = style(name).degrees;
    let frames = result.refined.fits.iter().zip(&result.maps.strain).zip(&result.maps.quality);
    let values: Vec<f64> = frames
        .map(|((fit, strain), quality)| {
            if tells || *quality == Quality::Good {
                let v = maps::value(name, fit.as_ref(), strain);
                if degrees { v.to_degrees() } else { v }
            } else {
                f64::NAN
            }
        })
        .collect();
    result.clustering.selection.scatter(&values, f64::NAN)
}

fn whole(name: &'static str, map: ArrayView2<'_, f64>, params: &Params, info: &ScanInfo) -> Named {
    let style = style(name);
    let mut figure = HeatMap::new(map, style.title);
    figure.unit = style.unit;
    figure.colours = style.colours;
    figure.limits = params.range.get(name).map_or(style.limits, |r| Limits::Fixed(r[0], r[1]));
    figure.axis = info.nav_axes[1].clone();
    let caption = match name {
        "xx" | "yy" | "xy" => format!(
            "{} of the diffraction pattern against {}, axes {}; grey: not to be trusted",
            style.title, params.reference, params.strain_axes
        ),
        "rotation" => format!("Rotation against {}, clockwise positive", params.reference),
        "error" => "Distance of the spots from the fitted lattice, weighted mean of each frame".into(),
        "matched" => "Spots that the lattice of each frame was fitted to".into(),
        _ => format!("{} in every frame", style.title),
    };
    Named {
        name: name.into(),
        caption,
        figure: figure.draw(),
    }
}

fn quality(result: &Strain, info: &ScanInfo) -> Named {
    let values: Vec<i32> = result.maps.quality.iter().map(|&q| i32::from(q as i8)).collect();
    let map = result.clustering.selection.scatter(&values, -1);
    let names = ["trusted", "few spots", "large error", "no lattice", "another crystal"].map(String::from);
    let mut figure = LabelMap::new(map.view(), "Which frames are to be trusted");
    figure.axis = info.nav_axes[1].clone();
    figure.names = &names;
    Named {
        name: "quality".into(),
        caption: "Frames to be trusted, and why the others are not".into(),
        figure: figure.draw(),
    }
}

/// The largest clusters, those with frames.
fn largest(result: &Strain) -> Vec<usize> {
    let mut order: Vec<usize> = (0..result.clusters.len())
        .filter(|&c| result.clusters[c].frames > 0)
        .collect();
    order.sort_by_key(|&c| (std::cmp::Reverse(result.clusters[c].frames), c));
    order.truncate(SHOWN);
    order
}

/// Colours that stand out on Inferno, and on each other for colour-blind eyes: spots found, those of lattices (best first, then
/// further ones), and where a lattice expects them.
const FOUND: [u8; 3] = [255, 255, 255];
const LATTICES: [[u8; 3]; 4] = [[64, 224, 255], [120, 255, 120], [170, 200, 255], [210, 210, 210]];
const CALCULATED: [u8; 3] = [64, 160, 255];

fn arrows(m: &Match, mark: &str, colour: [u8; 3]) -> [Vector; 2] {
    let arrow = |step, name: &str| Vector {
        from: m.lattice.zero,
        step,
        label: Some(format!("{name}{mark}")),
        colour: Some(colour),
    };
    [arrow(m.lattice.a, "a"), arrow(m.lattice.b, "b")]
}

fn cluster_lattice(result: &Strain, info: &ScanInfo, c: usize) -> Named {
    let cluster = &result.clusters[c];
    let radius = result.template.crop() as f64;
    let circle = |p: &[f64; 2], r: f64, colour| Marker::circle(p[0], p[1], r).coloured(colour);
    let mut legend = vec![(FOUND, "peaks")];
    let mut markers: Vec<Marker> = cluster.peaks.iter().map(|p| circle(p, radius / 2.0, FOUND)).collect();
    let mut vectors = Vec::new();
    for ((m, colour), n) in cluster.matches.iter().zip(LATTICES).zip(0..) {
        markers.extend(m.refined.iter().map(|p| circle(p, radius, colour)));
        let mark = if n == 0 { String::new() } else { (n + 1).to_string() };
        vectors.extend(arrows(m, &mark, colour));
        legend.push((colour, ["lattice", "second lattice", "third", "fourth"][n]));
    }
    if let (Some(lattice), Some(sites)) = (cluster.lattice(), result.sites.get(c)) {
        let site = |i: &[i32; 2]| circle(&lattice.position(f64::from(i[0]), f64::from(i[1])), SITE, CALCULATED);
        markers.extend(sites.iter().map(site));
        legend.push((CALCULATED, "refined"));
    }
    let title = format!("Cluster {c}: log-sum of {} frames", cluster.frames);
    let mut figure = HeatMap::new(result.clustering.cluster_logsums[c].view(), &title);
    figure.unit = "log-sum";
    figure.colours = ColourMap::Inferno;
    figure.axis = info.sig_axes[1].clone();
    figure.markers = &markers;
    figure.vectors = &vectors;
    figure.legend = &legend;
    let caption = match cluster.matches.len() {
        0 => format!("Cluster {c}: the peaks found lie on no lattice"),
        1 => format!("Cluster {c}: peaks of the log-sum, the lattice they lie on, and the sites that are refined in every frame"),
        n => format!("Cluster {c}: peaks of the log-sum and the {n} lattices they lie on; the first is refined in every frame"),
    };
    Named {
        name: format!("lattice_{c:02}"),
        caption,
        figure: figure.draw(),
    }
}

/// The maps of one cluster, cut out.
fn cluster_maps(result: &Strain, params: &Params, c: usize, all: &[(&'static str, Array2<f64>)]) -> Named {
    let labels = result.clustering.selection.scatter(&result.clustering.labels, -1);
    let inside = |label: &i32| *label == c as i32;
    let (mut rows, mut cols) = ((usize::MAX, 0), (usize::MAX, 0));
    for ((y, x), _) in labels.indexed_iter().filter(|l| inside(l.1)) {
        rows = (rows.0.min(y), rows.1.max(y + 1));
        cols = (cols.0.min(x), cols.1.max(x + 1));
    }
    let window = s![rows.0.min(rows.1)..rows.1, cols.0.min(cols.1)..cols.1];
    let labels = labels.slice(window);
    let cut: Vec<(&'static str, Array2<f64>)> = all
        .iter()
        .map(|(name, map)| {
            let mut map = map.slice(window).to_owned();
            map.zip_mut_with(&labels, |v, l| {
                if !inside(l) {
                    *v = f64::NAN;
                }
            });
            (*name, map)
        })
        .collect();
    let tiles = cut.iter().map(|(name, map)| {
        let style = style(name);
        let mut tile = Tile::new(map.view(), short(name));
        // Inside one cluster a direction varies little: a turn of hue would show nothing.
        let turns = style.colours == ColourMap::Cyclic;
        tile.colours = if turns { ColourMap::Viridis } else { style.colours };
        let limits = if turns { Limits::Auto } else { style.limits };
        tile.limits = params.range.get(*name).map_or(limits, |r| Limits::Fixed(r[0], r[1]));
        tile
    });
    let title = format!("Cluster {c}: {} frames", result.clusters[c].frames);
    let mut panel = Panel::new(&title, tiles.collect());
    panel.columns = 4;
    Named {
        name: format!("cluster_{c:02}"),
        caption: format!("Cluster {c}: every map with limits of its own"),
        figure: panel.draw(),
    }
}

fn sample(result: &Strain, info: &ScanInfo) -> Option<Named> {
    let sample = result.sample.as_ref()?;
    let low = sample.frame.iter().copied().fold(f64::INFINITY, f64::min);
    let scaled = sample.frame.mapv(|v| (v - low + 1.0).ln());
    let radius = result.template.crop() as f64;
    let fit = result.refined.fits.get(sample.number)?.as_ref();
    let mut markers: Vec<Marker> = Vec::new();
    for spot in &sample.spots {
        let [y, x] = spot.peak.refined.map(f64::from);
        markers.push(Marker::circle(y, x, radius / 2.0).coloured(FOUND));
        if spot.matched {
            markers.push(Marker::circle(y, x, radius).coloured(LATTICES[0]));
        }
    }
    let mut vectors = Vec::new();
    if let Some(fit) = fit {
        let m = Match {
            lattice: fit.lattice,
            error: fit.error,
            indices: Vec::new(),
            refined: Vec::new(),
        };
        vectors.extend(arrows(&m, "", LATTICES[0]));
        let label = result.clustering.labels.get(sample.number).copied().unwrap_or(-1);
        let sites = usize::try_from(label).ok().and_then(|l| result.sites.get(l));
        for site in sites.into_iter().flatten() {
            let p = fit.lattice.position(f64::from(site[0]), f64::from(site[1]));
            markers.push(Marker::circle(p[0], p[1], SITE).coloured(CALCULATED));
        }
    }
    let [y, x] = sample.at;
    let title = format!("Frame at ({y}, {x})");
    let mut figure = HeatMap::new(scaled.view(), &title);
    figure.unit = "ln(counts − min + 1)";
    figure.colours = ColourMap::Inferno;
    figure.axis = info.sig_axes[1].clone();
    figure.markers = &markers;
    figure.vectors = &vectors;
    figure.legend = &[(FOUND, "found"), (LATTICES[0], "in the fit"), (CALCULATED, "fitted lattice")];
    let caption = match fit {
        Some(f) => format!(
            "Frame at ({y}, {x}): spots found, those in the fit, and the fitted lattice; {} spots, mean distance {:.3} px",
            f.matched, f.error
        ),
        None => format!("Frame at ({y}, {x}): spots found; no lattice fits them"),
    };
    Some(Named {
        name: "frame".into(),
        caption,
        figure: figure.draw(),
    })
}
