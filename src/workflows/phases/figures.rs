//! The figures of `phases`.

use super::signals::{Kind, Signal};
use super::{Phases, features};
use crate::error::Result;
use crate::report::colour::label_colours;
use crate::report::{ColourMap, CondensedPlot, Departure, LabelMap, Limits, LinePlot, Marker, Panel, Scatter, Series, Tile};
use crate::workflows::folder::Named;
use ndarray::Array2;
use std::collections::BTreeMap;

/// Phases shown with their mean pattern, and runs and trials shown.
const SHOWN: usize = 16;

/// Maps of the scan that results and figures show.
pub(super) struct Maps {
    /// (ny, nx), −1 outside the selection.
    pub labels: Array2<i32>,
    pub hard: Array2<i32>,
    /// Largest membership.
    pub membership: Array2<f64>,
    pub agreement: Array2<f64>,
    pub outlier: Array2<f64>,
}

fn named(name: &str, caption: impl Into<String>, figure: crate::report::Figure) -> Named {
    Named {
        name: name.into(),
        caption: caption.into(),
        figure,
    }
}

/// Draws all figures of a result.
pub(super) fn draw(result: &Phases, maps: &Maps, signals: &[Signal], params: &super::Params) -> Result<Vec<Named>> {
    let colours = label_colours(maps.labels.view());
    let mut figures = vec![labels(result, maps, signals), trust(result, maps, &colours)];
    figures.extend(memberships(result, maps));
    figures.extend(varied(result, signals, params));
    figures.push(named(
        "embedding",
        "The embedding, each position a dot in the colour of its phase",
        scatter(result, &colours).draw(),
    ));
    if params.components > 2 {
        figures.push(named(
            "embedding_3d",
            "The same in space, from two sides; far dots fade",
            scatter(result, &colours).draw_in_space(),
        ));
    }
    figures.push(tree(result, &colours));
    figures.extend(phases(result, signals, params));
    figures.extend(runs(result, &colours));
    figures.extend(trials(result, &colours));
    Ok(figures)
}

fn labels(result: &Phases, maps: &Maps, signals: &[Signal]) -> Named {
    let total: usize = result.sizes.iter().sum();
    let names: Vec<String> = result
        .sizes
        .iter()
        .enumerate()
        .map(|(c, n)| format!("{c} ({:.1} %)", 100.0 * *n as f64 / total.max(1) as f64))
        .collect();
    let mut map = LabelMap::new(maps.labels.view(), "Phases");
    map.names = &names;
    if let Some(s) = signals.first() {
        map.axis = s.scan.info().nav_axes[1].clone();
    }
    let caption = format!(
        "{} phases: the one of largest membership at each position",
        result.sizes.len()
    );
    named("labels", caption, map.draw())
}

/// Which positions to trust: labels, how far they belong, whether runs agree, and what all three leave.
fn trust(result: &Phases, maps: &Maps, colours: &BTreeMap<i32, [u8; 3]>) -> Named {
    let values = maps.labels.mapv(f64::from);
    let doubtful = ndarray::Zip::from(&maps.labels)
        .and(&maps.hard)
        .and(&maps.agreement)
        .map_collect(|l, h, a| {
            if *l >= 0 && *h >= 0 && *a >= super::output::TRUSTED {
                f64::from(*l)
            } else {
                -1.0
            }
        });
    let share = doubtful.iter().filter(|v| **v >= 0.0).count() as f64 / result.selection.len().max(1) as f64;
    let labelled = |data, caption: String| Tile {
        labels: Some(colours.clone()),
        ..Tile::new(data, caption)
    };
    let share_of = |data, caption: String| Tile {
        limits: Limits::Fixed(0.0, 1.0),
        ..Tile::new(data, caption)
    };
    let tiles = vec![
        labelled(values.view(), "phase".into()),
        share_of(maps.membership.view(), "membership in that phase".into()),
        share_of(
            maps.agreement.view(),
            format!("share of {} runs that agree", result.agreement.ari.nrows()),
        ),
        labelled(
            doubtful.view(),
            format!("to be trusted: {:.0} % of the positions", 100.0 * share),
        ),
    ];
    let mut panel = Panel::new("Which positions to trust", tiles);
    panel.columns = 2;
    named(
        "trust",
        "Bottom right: positions that at least four of five runs label alike and that lie in a dense region; grey ones deserve no trust",
        panel.draw(),
    )
}

fn memberships(result: &Phases, maps: &Maps) -> Option<Named> {
    let clusters = result.found.memberships.values.ncols();
    let shown: Vec<(Array2<f64>, usize)> = (0..clusters.min(SHOWN))
        .map(|c| {
            let column: Vec<f64> = result.found.memberships.values.column(c).to_vec();
            (result.selection.scatter(&column, f64::NAN), c)
        })
        .collect();
    let mut tiles: Vec<Tile<'_>> = shown
        .iter()
        .map(|(map, c)| {
            let mut tile = Tile::new(map.view(), format!("phase {c}: {} positions", result.sizes[*c]));
            tile.limits = Limits::Fixed(0.0, 1.0);
            tile
        })
        .collect();
    if tiles.is_empty() {
        return None;
    }
    tiles.push(Tile::new(maps.outlier.view(), "outlier score"));
    let figure = Panel::new("Membership of every position in each phase", tiles).draw();
    Some(named(
        "membership",
        "How far each position belongs to each phase, and how far it lies outside",
        figure,
    ))
}

/// What varies over the scan, and what of it became features.
fn varied(result: &Phases, signals: &[Signal], params: &super::Params) -> Vec<Named> {
    let mut figures = Vec::new();
    for (f, signal) in result.features.iter().zip(signals) {
        let count = f.mask.iter().filter(|m| **m).count();
        if f.std.nrows() > 1 {
            let kept = f.mask.mapv(|m| if m { 1.0 } else { 0.0 });
            let mut std = Tile::new(f.std.view(), "standard deviation");
            let mut mean = Tile::new(f.mean.view(), "mean");
            mean.log = true;
            if let Some([y, x, r]) = f.beam {
                mean.markers.push(Marker::circle(y, x, r));
                std.markers.push(Marker::circle(y, x, r));
            }
            let mut mask = Tile::new(kept.view(), format!("{count} features"));
            mask.colours = ColourMap::Grey;
            let title = format!("What varies in {}", f.name);
            let figure = Panel::new(&title, vec![mean, std, mask]).draw();
            let caption = match f.beam {
                Some(_) => format!(
                    "{count} of {} rebinned pixels vary most over the scan; the circle is the beam mask",
                    f.mask.len()
                ),
                None => format!("{count} of {} pixels vary most over the scan", f.mask.len()),
            };
            figures.push(named(&format!("features_{}", f.name), caption, figure));
        } else {
            let energy = features::energy(signal, params);
            let at = |c: usize| energy.as_ref().map_or(c as f64, |e| e.at(c));
            let x: Vec<f64> = (0..f.mean.len()).map(at).collect();
            let mean: Vec<f64> = f.mean.iter().copied().collect();
            let std: Vec<f64> = f.std.iter().copied().collect();
            let kept: Vec<f64> = mean
                .iter()
                .zip(&f.mask)
                .map(|(v, m)| if *m { *v } else { f64::NAN })
                .collect();
            let label = energy
                .as_ref()
                .map_or("channel".to_owned(), |e| format!("energy ({})", e.unit));
            let title = format!("What varies in {}", f.name);
            let mut plot = LinePlot::new(&title, &label, "counts");
            plot.log_y = true;
            let line = |name, y| Series {
                name,
                x: &x,
                y,
                dots: false,
            };
            plot.series = vec![line("mean", &mean), line("standard deviation", &std), line("kept", &kept)];
            let caption = format!("{count} of {} channels became features", f.mask.len());
            figures.push(named(&format!("features_{}", f.name), caption, plot.draw()));
        }
    }
    figures
}

fn scatter<'a>(result: &'a Phases, colours: &'a BTreeMap<i32, [u8; 3]>) -> Scatter<'a> {
    Scatter {
        title: "Embedding",
        points: result.found.embedding.view(),
        labels: &result.found.soft,
        colours,
    }
}

fn tree(result: &Phases, colours: &BTreeMap<i32, [u8; 3]>) -> Named {
    let tree = &result.found.clustering.tree;
    let rows: Vec<Departure> = tree.rows.iter().map(|r| (r.parent, r.child, r.lambda, r.size)).collect();
    let plot = CondensedPlot {
        points: tree.points,
        rows: &rows,
        chosen: &result.found.clustering.selected,
        colours,
    };
    named(
        "condensed_tree",
        "How groups of positions split as the density rises; coloured branches are the phases",
        plot.draw(),
    )
}

/// Mean and standard deviation of the frames of each phase.
fn phases(result: &Phases, signals: &[Signal], params: &super::Params) -> Vec<Named> {
    let mut figures = Vec::new();
    for (k, signal) in signals.iter().enumerate() {
        let means: Vec<_> = result.means.iter().take(SHOWN).filter_map(|m| m.get(k)).collect();
        if means.is_empty() {
            continue;
        }
        let name = format!("phases_{}", signal.name);
        if signal.kind == Kind::Pattern {
            let mut tiles = Vec::new();
            for (c, m) in means.iter().enumerate() {
                let mut mean = Tile::new(m.mean.view(), format!("phase {c}: mean of {}", m.frames));
                mean.log = true;
                let mut std = Tile::new(m.std.view(), format!("phase {c}: standard deviation"));
                std.log = true;
                tiles.extend([mean, std]);
            }
            let title = format!("Mean and standard deviation of {} in each phase", signal.name);
            let mut panel = Panel::new(&title, tiles);
            panel.columns = 4;
            figures.push(named(
                &name,
                "Mean pattern of each phase, and how far its patterns differ",
                panel.draw(),
            ));
        } else {
            let energy = features::energy(signal, params);
            let x: Vec<f64> = (0..signal.scan.info().frame.pixels())
                .map(|c| energy.as_ref().map_or(c as f64, |e| e.at(c)))
                .collect();
            let y: Vec<Vec<f64>> = means.iter().map(|m| m.mean.iter().copied().collect()).collect();
            let names: Vec<String> = (0..y.len()).map(|c| format!("phase {c}")).collect();
            let label = energy
                .as_ref()
                .map_or("channel".to_owned(), |e| format!("energy ({})", e.unit));
            let title = format!("Mean of {} in each phase", signal.name);
            let mut plot = LinePlot::new(&title, &label, "counts");
            plot.log_y = true;
            plot.series = names
                .iter()
                .zip(&y)
                .map(|(name, y)| Series {
                    name,
                    x: &x,
                    y,
                    dots: false,
                })
                .collect();
            figures.push(named(&name, "Mean spectrum of each phase", plot.draw()));
        }
    }
    figures
}

/// Label map of each run, labels matched to the run that gives the answer.
fn runs(result: &Phases, colours: &BTreeMap<i32, [u8; 3]>) -> Option<Named> {
    let count = result.agreement.matched.nrows();
    if count < 2 {
        return None;
    }
    let maps: Vec<Array2<f64>> = result
        .agreement
        .matched
        .rows()
        .into_iter()
        .take(SHOWN)
        .map(|r| {
            result
                .selection
                .scatter(&r.iter().map(|l| f64::from(*l)).collect::<Vec<_>>(), -1.0)
        })
        .collect();
    let mut all = colours.clone();
    for l in result.agreement.matched.iter() {
        all.entry(*l).or_insert_with(|| crate::report::colour::label_colour(*l));
    }
    let tiles = maps.iter().enumerate().map(|(i, map)| {
        let seed = result.seeds.get(i).map_or(String::new(), |s| format!("seed {s}: "));
        let index = result.agreement.ari[[i, result.agreement.reference]];
        let mut tile = Tile::new(map.view(), format!("{seed}Rand index {index:.3} with the answer"));
        tile.labels = Some(all.clone());
        tile
    });
    let mut panel = Panel::new("Labels of each run", tiles.collect());
    panel.columns = 3;
    Some(named(
        "runs",
        "The same analysis with other seeds; labels are matched to those of the answer",
        panel.draw(),
    ))
}

fn trials(result: &Phases, colours: &BTreeMap<i32, [u8; 3]>) -> Option<Named> {
    let trials = result.trials.as_ref()?;
    let matched = &trials.agreement.matched;
    let maps: Vec<Array2<f64>> = matched
        .rows()
        .into_iter()
        .take(SHOWN)
        .map(|r| {
            result
                .selection
                .scatter(&r.iter().map(|l| f64::from(*l)).collect::<Vec<_>>(), -1.0)
        })
        .collect();
    let mut all = colours.clone();
    for l in matched.iter() {
        all.entry(*l).or_insert_with(|| crate::report::colour::label_colour(*l));
    }
    let tiles = maps.iter().zip(&trials.trials).map(|(map, trial)| {
        let values: Vec<String> = trials
            .names
            .iter()
            .zip(&trial.values)
            .map(|(n, v)| format!("{n} {v}"))
            .collect();
        let mut tile = Tile::new(map.view(), format!("{}: {} phases", values.join(", "), trial.clusters));
        tile.labels = Some(all.clone());
        tile
    });
    let figure = Panel::new("Labels under other parameters", tiles.collect()).draw();
    Some(named(
        "vary",
        "The answer for every combination of the varied parameters, labels matched",
        figure,
    ))
}
