//! The figures of `cluster`.

use super::Clustering;
use crate::engine::Selection;
use crate::error::Result;
use crate::io::ScanInfo;
use crate::report::{ColourMap, Figure, HeatMap, LabelMap, Marker, MergeDistances, Panel, Tile};
use ndarray::{Array2, ArrayView2};

/// Feature maps shown: evenly chosen from the strongest peak to the weakest.
const FEATURE_MAPS: usize = 12;
/// Clusters shown with their log-sum and mask, the largest first.
const SHOWN: usize = 24;
/// Merges shown.
const MERGES: usize = 40;

/// A drawn figure with its file name (without ending) and caption.
pub struct Named {
    pub name: &'static str,
    pub caption: String,
    pub figure: Figure,
}

/// Maps of the scan that the figures show.
pub struct Maps {
    /// Labels (ny, nx), −1 outside the selection.
    pub labels: Array2<i32>,
    /// Population standard deviation (h, w).
    pub std: Array2<f64>,
}

/// Draws all figures of a result.
pub fn draw(result: &Clustering, maps: &Maps, info: &ScanInfo) -> Result<Vec<Named>> {
    let mut figures = vec![labels(result, maps, info), std_map(result, maps, info), feature_maps(result)?];
    if let Some(tree) = &result.tree {
        let runner_up = result.choice.as_ref().and_then(|c| c.runner_up);
        let plot = MergeDistances {
            distances: tree.distances(),
            clusters: result.clusters,
            runner_up,
            last: MERGES,
            log: true,
        };
        figures.push(Named {
            name: "merge_distances",
            caption: "Ward distance of the last merges; the line marks the cut".into(),
            figure: plot.draw(),
        });
    }
    figures.push(clusters(result, maps));
    Ok(figures)
}

fn labels(result: &Clustering, maps: &Maps, info: &ScanInfo) -> Named {
    let mut map = LabelMap::new(maps.labels.view(), "Crystallites");
    map.axis = info.nav_axes[1].clone();
    let caption = format!(
        "{} clusters of scan positions with alike diffraction patterns",
        result.clusters
    );
    Named {
        name: "labels",
        caption,
        figure: map.draw(),
    }
}

fn std_map(result: &Clustering, maps: &Maps, info: &ScanInfo) -> Named {
    // The smallest circle that is still seen on a magnified pixel.
    let radius = result.template.extent()[0] as f64 / 2.0;
    let markers: Vec<Marker> = result
        .peaks
        .iter()
        .map(|p| Marker::circle(f64::from(p[0]), f64::from(p[1]), radius))
        .collect();
    let mut map = HeatMap::new(maps.std.view(), "Standard deviation over the scan, with the feature peaks");
    map.unit = "standard deviation (counts)";
    map.log = true;
    map.axis = info.sig_axes[1].clone();
    map.markers = &markers;
    let caption = format!(
        "What changes between frames, and the {} peaks that became features",
        result.peaks.len()
    );
    Named {
        name: "std",
        caption,
        figure: map.draw(),
    }
}

/// Values of one feature over the scan.
fn feature_map(features: ArrayView2<'_, f32>, selection: &Selection, column: usize) -> Array2<f64> {
    let values: Vec<f64> = features.column(column).iter().map(|&v| f64::from(v)).collect();
    selection.scatter(&values, f64::NAN)
}

fn feature_maps(result: &Clustering) -> Result<Named> {
    let count = result.peaks.len();
    let shown = count.min(FEATURE_MAPS);
    let columns: Vec<usize> = (0..shown).map(|i| i * count / shown).collect();
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
        name: "features",
        caption: format!("{shown} of {count} features, strongest first"),
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
        name: "clusters",
        caption,
        figure: panel.draw(),
    }
}
