//! The figures of `cluster`.

use super::Clustering;
use crate::analysis::tree::Tree;
use crate::engine::Selection;
use crate::error::Result;
use crate::io::ScanInfo;
use crate::report::colour::label_colours;
use crate::report::{ColourMap, Dendrogram, HeatMap, LabelMap, Marker, MergeDistances, Panel, Tile, ticks};
use crate::workflows::descan;
use crate::workflows::folder::Named;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Feature maps shown: evenly chosen from the strongest peak to the weakest.
const FEATURE_MAPS: usize = 12;
/// Clusters shown with their log-sum and mask, the largest first.
const SHOWN: usize = 24;
/// Radius of the circles around feature peaks, in pixels.
const LARGEST_MARK: f64 = 2.5;
/// Circles around peaks that were not clustered.
const UNSHARED: [u8; 3] = [150, 150, 150];
/// Branches of the merge tree shown, unless there are more clusters.
const BRANCHES: usize = 40;
/// Merges shown.
const MERGES: usize = 40;

/// Maps of the scan that the figures show.
pub struct Maps {
    /// Labels (ny, nx), −1 outside the selection.
    pub labels: Array2<i32>,
    /// Population standard deviation (h, w).
    pub std: Array2<f64>,
}

/// Draws all figures of a result.
pub fn draw(result: &Clustering, maps: &Maps, info: &ScanInfo) -> Result<Vec<Named>> {
    type Job<'a> = Box<dyn Fn() -> Result<Named> + Sync + 'a>;
    let mut jobs: Vec<Job<'_>> = vec![
        Box::new(|| Ok(labels(result, maps, info))),
        Box::new(|| Ok(correlations(result))),
    ];
    if let Some(d) = &result.descan {
        jobs.push(Box::new(|| {
            Ok(Named {
                name: "descan".into(),
                caption: "Where the direct beam is, the surface through it, and what is left".into(),
                figure: descan::figure(&d.track, &result.selection),
            })
        }));
    }
    jobs.push(Box::new(|| Ok(std_map(result, maps, info))));
    jobs.push(Box::new(|| feature_maps(result)));
    if let Some(tree) = &result.tree {
        jobs.push(Box::new(|| Ok(dendrogram(result, tree, maps))));
        jobs.push(Box::new(|| cuts(result, tree)));
        jobs.push(Box::new(|| Ok(merge_distances(result, tree))));
    }
    jobs.push(Box::new(|| Ok(clusters(result, maps))));
    jobs.par_iter().map(|draw| draw()).collect()
}

fn merge_distances(result: &Clustering, tree: &Tree) -> Named {
    let plot = MergeDistances {
        distances: tree.distances(),
        clusters: result.clusters,
        runner_up: result.choice.as_ref().and_then(|c| c.runner_up),
        last: MERGES,
        log: true,
    };
    Named {
        name: "merge_distances".into(),
        caption: "Ward distance of the last merges; the line marks the cut".into(),
        figure: plot.draw(),
    }
}

fn labels(result: &Clustering, maps: &Maps, info: &ScanInfo) -> Named {
    let mut map = LabelMap::new(maps.labels.view(), "Crystallites");
    map.axis = info.nav_axes[1].clone();
    let caption = format!(
        "{} clusters of scan positions with alike diffraction patterns",
        result.clusters
    );
    Named {
        name: "labels".into(),
        caption,
        figure: map.draw(),
    }
}

fn std_map(result: &Clustering, maps: &Maps, info: &ScanInfo) -> Named {
    // As large as the template where there is room for it.
    let radius = (result.template.extent()[0] as f64 / 2.0).min(LARGEST_MARK);
    let marker = |(k, p): (usize, &[i32; 2])| {
        let circle = Marker::circle(f64::from(p[0]), f64::from(p[1]), radius);
        match result.shared.binary_search(&k) {
            Ok(_) => circle,
            Err(_) => circle.coloured(UNSHARED),
        }
    };
    let markers: Vec<Marker> = result.peaks.iter().enumerate().map(marker).collect();
    let std = result.descan.as_ref().map_or(&maps.std, |d| &d.std);
    let mut map = HeatMap::new(std.view(), "Standard deviation over the scan, with the feature peaks");
    map.unit = "standard deviation (counts)";
    map.log = true;
    map.axis = info.sig_axes[1].clone();
    map.markers = &markers;
    let (peaks, unshared) = (result.peaks.len(), result.peaks.len() - result.shared.len());
    let left_out = match unshared {
        0 => String::new(),
        n => format!("; {n} of them, grey, show nothing that neighbouring positions share, and were not clustered"),
    };
    let caption = format!("What changes between frames, and the {peaks} peaks that became features{left_out}");
    Named {
        name: "std".into(),
        caption,
        figure: map.draw(),
    }
}

/// Log-sum, its correlation with the template and the strongest disk; the map that the peaks come from and its correlation.
fn correlations(result: &Clustering) -> Named {
    let logsum = result.descan.as_ref().map_or(&result.logsum, |d| &d.logsum);
    let mut tiles = vec![
        Tile::new(logsum.view(), "log-sum of all frames"),
        Tile::new(result.logsum_correlation.view(), "its correlation with the template"),
        Tile::new(result.std_correlation.view(), "correlation of the standard deviation"),
    ];
    if let Some([y, x]) = result.zero_peak {
        let radius = result.template.extent()[0] as f64 / 2.0;
        for tile in &mut tiles[..2] {
            tile.markers.push(Marker::circle(y, x, radius));
        }
    }
    Named {
        name: "correlation".into(),
        caption: "Where the log-sum and the standard deviation resemble the template; the circle marks the strongest disk".into(),
        figure: Panel::new("Correlation with the template", tiles).draw(),
    }
}

/// The top of the merge tree.
fn dendrogram(result: &Clustering, tree: &Tree, maps: &Maps) -> Named {
    let colours = label_colours(maps.labels.view());
    let threshold = tree.thresholds(result.clusters).map(|(above, to)| middle(above, to));
    let plot = Dendrogram {
        children: tree.children(),
        distances: tree.distances(),
        labels: &result.labels,
        clusters: result.clusters,
        threshold,
        colours: &colours,
        branches: BRANCHES.max(result.clusters + 4),
    };
    Named {
        name: "dendrogram".into(),
        caption: "How clusters come together; colours as in the label map".into(),
        figure: plot.draw(),
    }
}

/// A threshold between two distances, on a logarithmic scale where possible.
fn middle(above: f64, to: f64) -> f64 {
    match (above > 0.0, to.is_finite()) {
        (true, true) => (above * to).sqrt(),
        (_, true) => to / 2.0,
        (_, false) => above * 1.1,
    }
}

/// Label maps for several numbers of clusters. A cluster has the colour of its largest part in the finest map.
fn cuts(result: &Clustering, tree: &Tree) -> Result<Named> {
    let k = result.clusters;
    let mut numbers: Vec<usize> = [k / 2, 3 * k / 4, k, k + 1, 5 * k / 4, 3 * k / 2, 2 * k]
        .into_iter()
        .chain(result.choice.as_ref().and_then(|c| c.runner_up))
        .filter(|&n| n >= 2 && n <= tree.leaves())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let finest = tree.cut_number(numbers.last().copied().unwrap_or(1))?;
    let colours = label_colours(result.selection.scatter(&finest, -1).view());
    let mut maps = Vec::with_capacity(numbers.len());
    for &n in &numbers {
        let labels = tree.cut_number(n)?;
        let named = largest_parts(&labels, &finest);
        let values: Vec<f64> = labels.iter().map(|&l| f64::from(named[l as usize])).collect();
        let chosen = if n == k { " (chosen)" } else { "" };
        let threshold = match tree.thresholds(n) {
            Some((above, to)) => format!("threshold {}", ticks::number(middle(above, to))),
            None => "no threshold".into(),
        };
        maps.push((
            result.selection.scatter(&values, -1.0),
            format!("{n} clusters{chosen}: {threshold}"),
        ));
    }
    let tiles = maps.iter().map(|(map, caption)| {
        let mut tile = Tile::new(map.view(), caption.clone());
        tile.labels = Some(colours.clone());
        tile
    });
    let mut panel = Panel::new("Other cuts of the merge tree", tiles.collect());
    panel.columns = 3;
    Ok(Named {
        name: "cuts".into(),
        caption: "Label maps for other numbers of clusters (--clusters) or thresholds (--distance-threshold)".into(),
        figure: panel.draw(),
    })
}

/// For each label of a coarse partition the label of `fine` that most of its positions have.
fn largest_parts(labels: &[i32], fine: &[i32]) -> Vec<i32> {
    let mut counts: BTreeMap<(i32, i32), usize> = BTreeMap::new();
    for (&l, &f) in labels.iter().zip(fine) {
        *counts.entry((l, f)).or_default() += 1;
    }
    let clusters = labels.iter().max().map_or(0, |m| m + 1);
    let mut best = vec![(0, 0); clusters.max(0) as usize];
    for ((l, f), n) in counts {
        if n > best[l as usize].0 {
            best[l as usize] = (n, f);
        }
    }
    best.into_iter().map(|b| b.1).collect()
}

/// Values of one feature over the scan.
fn feature_map(features: ArrayView2<'_, f32>, selection: &Selection, column: usize) -> Array2<f64> {
    let values: Vec<f64> = features.column(column).iter().map(|&v| f64::from(v)).collect();
    selection.scatter(&values, f64::NAN)
}

fn feature_maps(result: &Clustering) -> Result<Named> {
    let count = result.shared.len();
    let shown = count.min(FEATURE_MAPS);
    let columns: Vec<usize> = (0..shown).map(|i| result.shared[i * count / shown]).collect();
    let maps: Vec<_> = columns
        .iter()
        .map(|&c| feature_map(result.features.view(), &result.selection, c))
        .collect();
    let tiles = columns.iter().zip(&maps).map(|(&c, map)| {
        let [y, x] = result.peaks[c];
        Tile::new(map.view(), format!("peak {c} at ({y}, {x})"))
    });
    let figure = Panel::new("Feature maps: virtual dark-field images of single peaks", tiles.collect()).draw();
    Ok(Named {
        name: "features".into(),
        caption: format!("{shown} of the {count} features that were clustered, strongest first"),
        figure,
    })
}

fn clusters(result: &Clustering, maps: &Maps) -> Named {
    let mut order: Vec<usize> = (0..result.clusters).collect();
    let mut sizes = vec![0usize; result.clusters];
    result
        .labels
        .iter()
        .filter(|&&l| l >= 0)
        .for_each(|&l| sizes[l as usize] += 1);
    order.sort_by_key(|&c| (std::cmp::Reverse(sizes[c]), c));
    order.truncate(SHOWN);
    let masks: Vec<Array2<f64>> = order
        .iter()
        .map(|&c| maps.labels.mapv(|l| if l == c as i32 { 1.0 } else { 0.0 }))
        .collect();
    let mut tiles = Vec::with_capacity(2 * order.len());
    for (&c, mask) in order.iter().zip(&masks) {
        let mut where_it_is = Tile::new(mask.view(), format!("cluster {c}: {} positions", sizes[c]));
        where_it_is.colours = ColourMap::Grey;
        tiles.push(where_it_is);
        tiles.push(Tile::new(result.cluster_logsums[c].view(), format!("cluster {c}: log-sum")));
    }
    let mut panel = Panel::new("Where each cluster is, and the log-sum of its frames", tiles);
    panel.columns = 4;
    let caption = match result.clusters {
        n if n > SHOWN => format!("The {SHOWN} largest of {n} clusters"),
        n => format!("All {n} clusters, largest first"),
    };
    Named {
        name: "clusters".into(),
        caption,
        figure: panel.draw(),
    }
}
