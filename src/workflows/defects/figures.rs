//! The figures of `defects`.

use super::detect::{Detection, Shown};
use super::label::Labelled;
use crate::io::Axis;
use crate::report::{ColourMap, Figure, HeatMap, Limits, LinePlot, Mark, Marker, Panel, Series, Tile};
use crate::workflows::folder::Named;
use ndarray::{Array2, ArrayView2};

/// Bins of the histogram of a difference image.
const BINS: usize = 200;
/// Colours of defects with and without a window.
pub(super) const KEPT: [u8; 3] = [255, 196, 0];
pub(super) const BORDER: [u8; 3] = [80, 200, 255];

fn named(name: impl Into<String>, caption: impl Into<String>, figure: Figure) -> Named {
    Named {
        name: name.into(),
        caption: caption.into(),
        figure,
    }
}

fn grey<'a>(data: ArrayView2<'a, f64>, caption: &str) -> Tile<'a> {
    let mut tile = Tile::new(data, caption);
    tile.colours = ColourMap::Grey;
    tile
}

/// Frame, spectra, difference image with its levels, labels.
pub fn label(result: &Labelled, frame: u64, axis: &Axis) -> Vec<Named> {
    let power = |v: &rustfft::num_complex::Complex<f64>| (1.0 + v.norm()).ln();
    let (spectrum, filtered) = (result.difference.spectrum.map(power), result.difference.filtered.map(power));
    let labels = result.map.mapv(f64::from);
    let mut tiles = vec![
        grey(result.frame.view(), &format!("frame {frame}")),
        Tile::new(spectrum.view(), "spectrum, ln(1 + |F|)"),
        Tile::new(filtered.view(), "the same without low frequencies"),
        Tile::new(result.difference.image.view(), "frame minus its high-pass"),
        grey(labels.view(), &format!("labels: {} regions", result.regions)),
    ];
    tiles[1].limits = limits(&spectrum);
    tiles[2].limits = limits(&spectrum);
    tiles[4].limits = Limits::Fixed(0.0, 1.0);
    let mut panel = Panel::new("From a frame to labels", tiles);
    panel.columns = 3;
    let steps = named(
        "steps",
        "The frame, its spectrum before and after the filter, what the filter takes away, and the labels",
        panel.draw(),
    );

    let mut map = HeatMap::new(result.difference.image.view(), "Frame minus its high-pass");
    map.unit = "scaled difference";
    map.limits = Limits::Full;
    map.axis = axis.clone();
    let difference = named(
        "difference",
        "Pixels below the lower and above the upper level are labelled",
        map.draw(),
    );
    vec![steps, difference, histogram(result)]
}

fn limits(spectrum: &Array2<f64>) -> Limits {
    let (low, high) = spectrum.iter().fold((f64::INFINITY, 0f64), |(l, h), &v| (l.min(v), h.max(v)));
    Limits::Fixed(low, high)
}

fn histogram(result: &Labelled) -> Named {
    let mut counts = vec![0.0; BINS];
    for &v in &result.difference.image {
        let bin = (v.clamp(0.0, 1.0) * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1.0;
    }
    let x: Vec<f64> = (0..BINS).map(|i| (i as f64 + 0.5) / BINS as f64).collect();
    let mut plot = LinePlot::new("Histogram of the difference image", "scaled difference", "pixels");
    plot.log_y = true;
    plot.series.push(Series {
        name: "",
        x: &x,
        y: &counts,
        dots: false,
    });
    let levels = result.levels;
    plot.marks.push(Mark::Vertical(levels.low, format!("low {:.3}", levels.low)));
    plot.marks
        .push(Mark::Vertical(levels.high, format!("high {:.3}", levels.high)));
    named("histogram", "How often each value occurs, and the levels", plot.draw())
}

/// Circles around detections.
pub(super) fn markers(found: &[Detection]) -> Vec<Marker> {
    let circle = |d: &Detection| {
        let radius = (f64::from(d.area) / std::f64::consts::PI).sqrt() + 3.0;
        Marker::circle(d.y, d.x, radius).coloured(if d.kept { KEPT } else { BORDER })
    };
    found.iter().map(circle).collect()
}

/// Chosen frames with their detections, single and together, and the number of detections in every frame.
pub fn detect(shown: &[&Shown], counts: &[(u64, usize, usize)], axis: &Axis) -> Vec<Named> {
    let mut figures = Vec::new();
    let images: Vec<Array2<f64>> = shown.iter().map(|s| s.image.mapv(f64::from)).collect();
    if let (Some(first), Some(image)) = (shown.first(), images.first()) {
        let marks = markers(&first.found);
        let title = format!("Defects in frame {}", first.frame);
        let mut map = HeatMap::new(image.view(), &title);
        map.unit = "scaled intensity";
        map.colours = ColourMap::Grey;
        map.axis = axis.clone();
        map.markers = &marks;
        let legend = [(KEPT, "with window"), (BORDER, "at the border, no window")];
        map.legend = &legend;
        figures.push(named(
            "overlay",
            "Detections on the frame; circles have the area of what was found",
            map.draw(),
        ));
        let probability = first.probability.mapv(f64::from);
        let mut map = HeatMap::new(probability.view(), "Probability of a defect");
        map.unit = "probability";
        map.limits = Limits::Fixed(0.0, 1.0);
        map.axis = axis.clone();
        figures.push(named(
            "probability",
            format!("What the network says about frame {}", first.frame),
            map.draw(),
        ));
    }
    if shown.len() > 1 {
        let tiles = shown.iter().zip(&images).map(|(s, image)| {
            let mut tile = grey(image.view(), &format!("frame {}: {} defects", s.frame, s.found.len()));
            tile.markers = markers(&s.found);
            tile
        });
        let mut panel = Panel::new("Defects in chosen frames", tiles.collect());
        panel.columns = 2;
        figures.push(named(
            "frames",
            "Chosen frames (--show-frames) with their detections",
            panel.draw(),
        ));
    }
    let x: Vec<f64> = counts.iter().map(|c| c.0 as f64).collect();
    let all: Vec<f64> = counts.iter().map(|c| c.1 as f64).collect();
    let kept: Vec<f64> = counts.iter().map(|c| c.2 as f64).collect();
    let mut plot = LinePlot::new("Defects in every frame", "frame", "defects");
    for (name, y) in [("all", &all), ("with window", &kept)] {
        plot.series.push(Series {
            name,
            x: &x,
            y,
            dots: x.len() < 60,
        });
    }
    figures.push(named("counts", "Number of detections over the movie", plot.draw()));
    figures
}
