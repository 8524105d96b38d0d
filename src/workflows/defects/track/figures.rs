//! The figures of `defects track`.

use super::super::detected::Detected;
use super::{Region, Tracked};
use crate::report::colour::label_colour;
use crate::report::{Broom, Figure, LinePlot, Marker, Matrix, Panel, Segment, Series, Tile};
use crate::workflows::folder::Named;
use ndarray::Array2;
use std::collections::BTreeMap;

/// Tracks whose distances are drawn, at most.
const LONGEST: usize = 12;

fn named(name: &str, caption: impl Into<String>, figure: Figure) -> Named {
    Named {
        name: name.into(),
        caption: caption.into(),
        figure,
    }
}

/// Colour number of each detection: its class, or that of its track where it has none, or the track where there are no classes.
fn labels(found: &Detected, t: &Tracked) -> Vec<i32> {
    (0..found.frame.len())
        .map(|i| match (found.class.get(i), t.linked.track.get(i)) {
            (Some(&c), _) if c >= 0 => c,
            (Some(_), Some(&track)) => t.class.get(track).copied().unwrap_or(-1),
            (None, Some(&track)) => (track % 1000) as i32,
            _ => -1,
        })
        .collect()
}

/// All figures.
pub fn figures(found: &Detected, t: &Tracked) -> Vec<Named> {
    let labels = labels(found, t);
    let mut out = vec![broom(found, t, &labels), paths(found, t, &labels)];
    out.push(distances(found, t));
    out.extend(msd(t));
    out.extend(switching(t));
    out.extend(regions(found, t));
    out.push(lengths(t));
    out
}

fn broom(found: &Detected, t: &Tracked, labels: &[i32]) -> Named {
    let u = &t.units;
    let points: Vec<[f64; 3]> =
        t.at.iter()
            .zip(&found.frame)
            .map(|(at, &f)| [at[0] * u.pixel, at[1] * u.pixel, f64::from(f) * u.frame])
            .collect();
    let names: Vec<String> = match t.classes {
        0 => Vec::new(),
        k => (0..k).map(|c| format!("class {c}")).collect(),
    };
    let (across, back) = (format!("x ({})", u.length), format!("y ({})", u.length));
    let up = if u.time == "frame" {
        "frame".to_owned()
    } else {
        format!("time ({})", u.time)
    };
    let figure = Broom {
        title: "Paths of defects over time",
        points: &points,
        labels,
        paths: &t.linked.members,
        axes: [&across, &back, &up],
        names: &names,
    };
    named(
        "broom",
        "Broom plot: positions, drift taken out, time upwards; colours are classes",
        figure.draw(),
    )
}

/// Links over the frame.
fn paths(found: &Detected, t: &Tracked, labels: &[i32]) -> Named {
    let [h, w] = found.size;
    // A frame of a few hundred pixels is enough to draw on.
    let thin = (h.max(w) / 512).max(1);
    let ground = Array2::<f64>::zeros((h.div_ceil(thin), w.div_ceil(thin)));
    let place = |i: usize| t.at[i].map(|v| v / thin as f64);
    let mut tile = Tile::new(
        ground.view(),
        format!("{} tracks, {} links", t.linked.members.len(), links(t)),
    );
    tile.labels = Some(black());
    for m in &t.linked.members {
        for pair in m.windows(2) {
            tile.segments.push(Segment {
                ends: [place(pair[0]), place(pair[1])],
                colour: label_colour(labels[pair[1]]),
            });
        }
        if let [only] = m[..] {
            let [y, x] = place(only);
            tile.markers
                .push(Marker::circle(y, x, 1.0).coloured(label_colour(labels[only])));
        }
    }
    let mut panel = Panel::new("Paths of defects", vec![tile]);
    panel.columns = 1;
    named(
        "paths",
        "Links from frame to frame, drift taken out; circles were seen once",
        panel.draw(),
    )
}

/// The ground that paths are drawn on.
fn black() -> BTreeMap<i32, [u8; 3]> {
    BTreeMap::from([(0, [0, 0, 0])])
}

pub(super) fn links(t: &Tracked) -> usize {
    t.linked.members.iter().map(|m| m.len() - 1).sum()
}

/// r(t) of the tracks that go furthest among the longest.
fn distances(found: &Detected, t: &Tracked) -> Named {
    let u = &t.units;
    let mut order: Vec<usize> = (0..t.linked.members.len())
        .filter(|&k| t.linked.members[k].len() > 1)
        .collect();
    order.sort_by_key(|&k| std::cmp::Reverse(t.linked.members[k].len()));
    order.truncate(4 * LONGEST);
    let away = |k: usize, i: usize| {
        let first = t.at[t.linked.members[k][0]];
        (t.at[i][0] - first[0]).hypot(t.at[i][1] - first[1]) * u.pixel
    };
    let reach = |k: usize| t.linked.members[k].iter().map(|&i| away(k, i)).fold(0.0, f64::max);
    order.sort_by(|&a, &b| reach(b).total_cmp(&reach(a)));
    order.truncate(LONGEST);
    let curves: Vec<(String, Vec<f64>, Vec<f64>)> = order
        .iter()
        .map(|&k| {
            let m = &t.linked.members[k];
            let x = m.iter().map(|&i| f64::from(found.frame[i]) * u.frame).collect();
            (format!("track {k}"), x, m.iter().map(|&i| away(k, i)).collect())
        })
        .collect();
    let (x, y) = (time_axis(t), format!("distance from the first place ({})", u.length));
    let mut plot = LinePlot::new("r(t) of the tracks that go furthest", &x, &y);
    plot.legend_beside = true;
    for (name, x, y) in &curves {
        plot.series.push(Series { name, x, y, dots: true });
    }
    named(
        "distance",
        "Distance of each defect from where it was first seen",
        plot.draw(),
    )
}

fn time_axis(t: &Tracked) -> String {
    if t.units.time == "frame" {
        "frame".into()
    } else {
        format!("time ({})", t.units.time)
    }
}

fn msd(t: &Tracked) -> Option<Named> {
    let rows: Vec<(&str, Vec<f64>, Vec<f64>)> = t
        .groups
        .iter()
        .map(|g| {
            let known = g.msd.iter().enumerate().filter(|(_, m)| m.1 >= 3);
            let (x, y) = known.map(|(i, m)| ((i + 1) as f64 * t.units.frame, m.0)).unzip();
            (g.name.as_str(), x, y)
        })
        .filter(|r: &(&str, Vec<f64>, Vec<f64>)| !r.1.is_empty())
        .collect();
    if rows.is_empty() {
        return None;
    }
    let x = match t.units.time.as_str() {
        "frame" => "lag (frames)".to_owned(),
        u => format!("lag ({u})"),
    };
    let y = format!("mean r² ({}²)", t.units.length);
    let mut plot = LinePlot::new("Mean square displacement", &x, &y);
    plot.legend_beside = true;
    for (name, x, y) in &rows {
        plot.series.push(Series { name, x, y, dots: true });
    }
    Some(named(
        "msd",
        "Mean square displacement of linked defects: its slope is 4 D, its height at lag 0 four times the variance of a coordinate's error",
        plot.draw(),
    ))
}

fn switching(t: &Tracked) -> Option<Named> {
    if t.classes == 0 {
        return None;
    }
    let shares = Array2::from_shape_fn((t.classes, t.classes), |(i, j)| {
        let whole: i64 = t.switching.row(i).sum();
        if whole > 0 {
            t.switching[[i, j]] as f64 / whole as f64
        } else {
            0.0
        }
    });
    let texts: Vec<String> = t.switching.iter().map(|n| n.to_string()).collect();
    let names: Vec<String> = (0..t.classes).map(|k| format!("class {k}")).collect();
    let figure = Matrix {
        title: "Changes of class along links",
        shares: shares.view(),
        texts: &texts,
        names: &names,
        rows: "from",
        columns: "to",
    };
    Some(named(
        "switching",
        "Number of links from class to class; colours are shares of a row",
        figure.draw(),
    ))
}

/// Points of the regions with their ellipses.
fn regions(found: &Detected, t: &Tracked) -> Option<Named> {
    if t.regions.is_empty() {
        return None;
    }
    let grounds: Vec<Array2<f64>> = t
        .regions
        .iter()
        .map(|r| {
            let side = (2.0 * r.square.0[2]).ceil().clamp(1.0, 2000.0) as usize + 1;
            Array2::zeros((side, side))
        })
        .collect();
    let tiles = t
        .regions
        .iter()
        .zip(&grounds)
        .map(|(r, ground)| tile(found, t, r, ground))
        .collect();
    let caption = format!(
        "Points in each region in the order of time, and the ellipse of their covariance at {} standard deviations (2 hold 86 % of a normal distribution in the plane)",
        t.params.deviations
    );
    Some(named("regions", caption, Panel::new("Regions", tiles).draw()))
}

fn tile<'a>(found: &Detected, t: &Tracked, r: &Region, ground: &'a Array2<f64>) -> Tile<'a> {
    let [y, x, half] = r.square.0;
    let mut tile = Tile::new(ground.view(), format!("({y}, {x}) ± {half} px: {} points", r.points.len()));
    tile.labels = Some(black());
    let place = |i: usize| [found.y[i] - y + half, found.x[i] - x + half];
    for pair in r.points.windows(2) {
        tile.segments.push(Segment {
            ends: [place(pair[0]), place(pair[1])],
            colour: [110, 110, 110],
        });
    }
    for &i in &r.points {
        let [py, px] = place(i);
        let colour = label_colour(found.class.get(i).copied().unwrap_or(0));
        tile.markers.push(Marker::circle(py, px, 0.6).coloured(colour));
    }
    let n = r.points.len() as f64;
    if r.points.len() > 2 && r.ellipse.axes.iter().all(|a| a.is_finite()) {
        let middle = [0, 1].map(|k| r.points.iter().map(|&i| place(i)[k]).sum::<f64>() / n);
        let [a, b] = r.ellipse.axes.map(|v| v / 2.0 / t.units.pixel);
        let (s, c) = r.ellipse.angle.sin_cos();
        let at = |turn: usize| {
            let (sin, cos) = (std::f64::consts::TAU * turn as f64 / 72.0).sin_cos();
            // The angle runs from +y towards +x.
            [middle[0] + a * cos * c - b * sin * s, middle[1] + a * cos * s + b * sin * c]
        };
        for k in 0..72 {
            tile.segments.push(Segment {
                ends: [at(k), at(k + 1)],
                colour: [255, 196, 0],
            });
        }
    }
    tile
}

fn lengths(t: &Tracked) -> Named {
    let longest = t.linked.members.iter().map(Vec::len).max().unwrap_or(1);
    let x: Vec<f64> = (1..=longest).map(|l| l as f64).collect();
    let mut y = vec![0.0; longest];
    t.linked.members.iter().for_each(|m| y[m.len() - 1] += 1.0);
    let mut plot = LinePlot::new("Lengths of tracks", "frames in which the defect was seen", "tracks");
    plot.series.push(Series {
        name: "",
        x: &x,
        y: &y,
        dots: true,
    });
    named("lengths", "How many tracks have how many detections", plot.draw())
}
