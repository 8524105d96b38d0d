//! The figures of `defects classify`.

use super::super::detected::Detected;
use super::{Classified, Pictures};
use crate::analysis::Recipe;
use crate::report::colour::label_colour;
use crate::report::{ColourMap, Dendrogram, Figure, HeatMap, Limits, LinePlot, Mark, Panel, Scatter, Series, Tile};
use crate::workflows::folder::Named;
use ndarray::{Array2, Axis};
use std::collections::BTreeMap;

/// Branches of the dendrogram that are drawn, components of the scree figure.
const BRANCHES: usize = 40;
const SCREE: usize = 64;

fn named(name: &str, caption: impl Into<String>, figure: Figure) -> Named {
    Named {
        name: name.into(),
        caption: caption.into(),
        figure,
    }
}

pub fn class_name(k: usize) -> String {
    format!("class {k}")
}

/// All figures; those of frames only with `pictures`.
pub fn figures(found: &Detected, c: &Classified, pictures: &Pictures) -> Vec<Named> {
    let classes = c.sizes.len();
    let colours: BTreeMap<i32, [u8; 3]> = (0..classes as i32).map(|k| (k, label_colour(k))).collect();
    let mut out = vec![means(c)];
    let legend_names: Vec<String> = (0..classes).map(class_name).collect();
    let mut legend: Vec<([u8; 3], &str)> = legend_names
        .iter()
        .enumerate()
        .map(|(k, n)| (label_colour(k as i32), n.as_str()))
        .collect();
    legend.push((label_colour(-1), "no window"));
    if let Some(first) = pictures.0.first() {
        let title = format!("Classes in frame {}", first.frame);
        let mut map = HeatMap::new(first.image.view(), &title);
        map.unit = "scaled intensity";
        map.colours = ColourMap::Grey;
        map.axis = found.pixel.clone();
        map.markers = &first.markers;
        map.legend = &legend;
        out.push(named("overlay", "Detections in the colours of their classes", map.draw()));
    }
    if pictures.0.len() > 1 {
        let tiles = pictures.0.iter().map(|p| {
            let mut tile = Tile::new(p.image.view(), format!("frame {}: {} defects", p.frame, p.found));
            tile.colours = ColourMap::Grey;
            tile.markers = p.markers.clone();
            tile
        });
        let mut panel = Panel::new("Classes in chosen frames", tiles.collect());
        panel.columns = 2;
        out.push(named(
            "frames",
            "Chosen frames (--show-frames) in class colours",
            panel.draw(),
        ));
    }
    out.extend(counts(found, c));
    out.push(density(c));
    out.push(scree(c));
    out.push(scores(c, &colours));
    out.extend(bic(c));
    out.extend(dendrogram(c, &colours));
    out.extend(silhouette(c));
    out
}

fn means(c: &Classified) -> Named {
    let finite = c.means.iter().copied().filter(|v| v.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let tiles = c.means.outer_iter().enumerate().map(|(k, mean)| {
        let mut tile = Tile::new(mean, format!("{}: {} windows", class_name(k), c.sizes[k]));
        tile.colours = ColourMap::Inferno;
        tile.limits = Limits::Fixed(low, high);
        tile
    });
    let panel = Panel::new("Mean windows of the classes", tiles.collect());
    named(
        "means",
        "Mean of the windows of each class, on one scale of intensity",
        panel.draw(),
    )
}

fn counts(found: &Detected, c: &Classified) -> Vec<Named> {
    let frames: Vec<f64> = (0..found.frames).map(|f| f64::from(found.first) + f as f64).collect();
    let over = c.effective.average.min(found.frames);
    // Published averages begin with the mean of the first frames; they are drawn at the middle of these.
    let shift = match c.effective.recipe {
        Recipe::Published => (over - 1) as f64 / 2.0,
        Recipe::Default => 0.0,
    };
    let smooth: Vec<f64> = (0..c.averages.ncols())
        .map(|f| f64::from(found.first) + f as f64 + shift)
        .collect();
    let classes = c.sizes.len();
    let rows = |of: &dyn Fn(usize) -> Vec<f64>| (0..classes).map(of).collect::<Vec<_>>();
    let raw = rows(&|k| c.counts.row(k).iter().map(|&v| f64::from(v)).collect());
    let averaged = rows(&|k| c.averages.row(k).to_vec());
    let names: Vec<String> = (0..classes).map(class_name).collect();
    let draw = |title: &str, x: &[f64], rows: &[Vec<f64>]| {
        let mut plot = LinePlot::new(title, "frame", "windows");
        plot.legend_beside = true;
        for (name, y) in names.iter().zip(rows) {
            plot.series.push(Series {
                name,
                x,
                y,
                dots: x.len() < 60,
            });
        }
        plot.draw()
    };
    let title = format!("The same, averaged over {over} frames");
    vec![
        named(
            "counts",
            "Windows of each class in every frame",
            draw("Classes over the movie", &frames, &raw),
        ),
        named(
            "counts_average",
            "Moving average of the counts",
            draw(&title, &smooth, &averaged),
        ),
    ]
}

fn density(c: &Classified) -> Named {
    let maps: Vec<Array2<f64>> = c.density.outer_iter().map(|m| m.mapv(f64::from)).collect();
    let tiles = maps.iter().enumerate().map(|(k, map)| {
        let mut tile = Tile::new(map.view(), class_name(k));
        tile.limits = Limits::Full;
        tile
    });
    let panel = Panel::new("Density of the classes", tiles.collect());
    let caption = match c.effective.recipe {
        Recipe::Default => "Detections a pixel and frame of each class, drift taken out, blurred",
        Recipe::Published => {
            "Windows of each class over a pixel, mean over frames; rows and columns exchanged as in the notebook"
        }
    };
    named("density", caption, panel.draw())
}

fn scree(c: &Classified) -> Named {
    let y: Vec<f64> = c.ratios.iter().take(SCREE.max(c.components.nrows() + 8)).copied().collect();
    let x: Vec<f64> = (1..=y.len()).map(|i| i as f64).collect();
    let mut plot = LinePlot::new("Variance of principal components", "component", "share of the whole variance");
    plot.log_y = true;
    plot.series.push(Series {
        name: "",
        x: &x,
        y: &y,
        dots: true,
    });
    let used = c.features.ncols();
    if used < y.len() && used == c.components.nrows() {
        plot.marks.push(Mark::Vertical(used as f64 + 0.5, format!("{used} are used")));
    }
    if let Some(k) = c.likeliest.filter(|k| *k <= y.len()) {
        plot.marks.push(Mark::Vertical(k as f64 + 0.5, format!("{k} most probable")));
    }
    let caption = match c.likeliest {
        Some(k) => format!("Scree: shares of the components; the most probable dimension is {k} (Minka)"),
        None => "Scree: shares of the components; there is no most probable dimension with fewer windows than pixels".into(),
    };
    named("scree", caption, plot.draw())
}

fn scores(c: &Classified, colours: &BTreeMap<i32, [u8; 3]>) -> Named {
    let axes = c.features.ncols().min(3);
    let points = c.features.slice(ndarray::s![.., ..axes]).mapv(|v| v as f32);
    let scatter = Scatter {
        title: "Windows by their first components",
        points: points.view(),
        labels: &c.labels,
        colours,
    };
    named("scores", "Each dot is a window, coloured by its class", scatter.draw())
}

fn bic(c: &Classified) -> Option<Named> {
    let best = c.bic.iter().min_by(|a, b| a.1.total_cmp(&b.1))?.0;
    let x: Vec<f64> = c.bic.iter().map(|b| b.0 as f64).collect();
    let y: Vec<f64> = c.bic.iter().map(|b| b.1).collect();
    let mut plot = LinePlot::new("Schwarz's criterion", "classes", "BIC, less is better");
    plot.series.push(Series {
        name: "",
        x: &x,
        y: &y,
        dots: true,
    });
    plot.marks.push(Mark::Vertical(c.sizes.len() as f64, "taken".into()));
    plot.marks.push(Mark::Vertical(best as f64, format!("least: {best}")));
    Some(named(
        "bic",
        "How well mixtures of more or fewer classes describe the windows",
        plot.draw(),
    ))
}

fn dendrogram(c: &Classified, colours: &BTreeMap<i32, [u8; 3]>) -> Option<Named> {
    let leaves = c.tree.leaves();
    let clusters = c.sizes.len().min(leaves);
    if leaves < 2 || c.tree.distances().last().is_none_or(|d| *d <= 0.0) {
        return None;
    }
    let labels = c.tree.cut_number(clusters).ok()?;
    let figure = Dendrogram {
        children: c.tree.children(),
        distances: c.tree.distances(),
        labels: &labels,
        clusters,
        threshold: c
            .tree
            .thresholds(clusters)
            .map(|(above, to)| if to.is_finite() { (above + to) / 2.0 } else { above * 1.05 }),
        colours,
        branches: BRANCHES,
    };
    let of = match c.sample.len() < c.labels.len() {
        true => format!(" of {} windows drawn from {}", c.sample.len(), c.labels.len()),
        false => String::new(),
    };
    Some(named(
        "dendrogram",
        format!("Ward's tree{of}; its cut is not the classes but shows how many there may be"),
        figure.draw(),
    ))
}

fn silhouette(c: &Classified) -> Option<Named> {
    let mut rows: Vec<Vec<f64>> = vec![Vec::new(); c.sizes.len()];
    for (&i, &s) in c.sample.iter().zip(&c.silhouette) {
        if s.is_finite() {
            rows[c.labels[i] as usize].push(s);
        }
    }
    if rows.iter().all(Vec::is_empty) {
        return None;
    }
    rows.iter_mut().for_each(|r| r.sort_by(|a, b| b.total_cmp(a)));
    let names: Vec<String> = (0..rows.len()).map(class_name).collect();
    let shares: Vec<Vec<f64>> = rows
        .iter()
        .map(|r| (0..r.len()).map(|i| (i as f64 + 0.5) / r.len() as f64).collect())
        .collect();
    let mut plot = LinePlot::new("Silhouettes", "share of the class", "silhouette");
    plot.legend_beside = true;
    for ((name, x), y) in names.iter().zip(&shares).zip(&rows) {
        plot.series.push(Series { name, x, y, dots: false });
    }
    plot.marks.push(Mark::Horizontal(0.0, "between classes".into()));
    Some(named(
        "silhouette",
        "How much nearer each window is to its own class than to the next (1: far from others, below 0: nearer to another)",
        plot.draw(),
    ))
}

/// Mean silhouette, NaN without one.
pub(super) fn mean_silhouette(c: &Classified, class: Option<usize>) -> f64 {
    let of: Vec<f64> = c
        .sample
        .iter()
        .zip(&c.silhouette)
        .filter(|(i, s)| s.is_finite() && class.is_none_or(|k| c.labels[**i] == k as i32))
        .map(|(_, s)| *s)
        .collect();
    ndarray::Array1::from_vec(of)
        .mean_axis(Axis(0))
        .map_or(f64::NAN, |m| m.into_scalar())
}
