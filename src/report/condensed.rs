//! The condensed tree of a density-based clustering: how clusters shrink and split as the density rises.

use super::canvas::{Figure, INK, Rgb};
use super::line::{Frame, LinePlot};
use std::collections::BTreeMap;

/// Share of the departures that may lie above the picture, so that a few dense points do not squeeze the rest.
const ABOVE: f64 = 0.005;
const UNCHOSEN: Rgb = [188, 192, 198];

/// A row of a condensed tree: (parent, child, λ, points in the child). Children below `points` are points.
pub type Departure = (usize, usize, f64, usize);

/// A condensed tree; chosen clusters have the colour of their label.
#[derive(Debug, Clone)]
pub struct CondensedPlot<'a> {
    /// Number of points; clusters are numbered from here, the first one holds all of them.
    pub points: usize,
    /// Parents before children.
    pub rows: &'a [Departure],
    /// Number in the tree of the cluster of each label.
    pub chosen: &'a [usize],
    pub colours: &'a BTreeMap<i32, Rgb>,
}

/// A cluster in the picture.
#[derive(Default)]
struct Branch {
    birth: f64,
    size: usize,
    /// Left end and width of its room.
    room: (f64, f64),
    /// λ and points of everything that leaves.
    departures: Vec<(f64, usize)>,
}

impl CondensedPlot<'_> {
    /// Draws the tree, 920 × 560 pixels: the width of a branch is its number of points, density rises upwards.
    pub fn draw(&self) -> Figure {
        let mut finite: Vec<f64> = self.rows.iter().map(|r| r.2).filter(|l| l.is_finite()).collect();
        finite.sort_unstable_by(f64::total_cmp);
        let last = finite.len().saturating_sub(1);
        let top = finite
            .get(last - (last as f64 * ABOVE) as usize)
            .copied()
            .unwrap_or(1.0)
            .max(f64::MIN_POSITIVE);
        let plot = LinePlot::new(
            "Condensed tree: the width of a branch is its number of positions",
            "positions",
            "λ = 1/distance",
        );
        let mut figure = LinePlot::blank();
        let range = (0.0, top * 1.03);
        let frame = Frame::new((0.0, self.points.max(1) as f64), range, false).axes(&mut figure, &plot);
        for (number, branch) in self.branches() {
            let label = self.chosen.iter().position(|c| *c == number);
            let colour = label.and_then(|l| self.colours.get(&(l as i32))).copied().unwrap_or(UNCHOSEN);
            let middle = branch.room.0 + branch.room.1 / 2.0;
            let mut left = branch.size as f64;
            let mut from = branch.birth.min(range.1);
            for (lambda, gone) in branch.departures {
                let to = lambda.min(range.1);
                bar(
                    &mut figure,
                    &frame,
                    (middle - left / 2.0, middle + left / 2.0),
                    (from, to),
                    colour,
                );
                left -= gone as f64;
                from = to;
                if left <= 0.0 || from >= range.1 {
                    break;
                }
            }
            // Where it begins.
            let half = branch.size as f64 / 2.0;
            let y = branch.birth.min(range.1);
            figure.line(frame.place((middle - half, y)), frame.place((middle + half, y)), 1.2, INK);
        }
        figure
    }

    fn branches(&self) -> BTreeMap<usize, Branch> {
        let all = self.points as f64;
        let root = Branch {
            size: self.points,
            room: (0.0, all),
            ..Branch::default()
        };
        let mut branches = BTreeMap::from([(self.points, root)]);
        // Two clusters are born at a split, one row after the other; they share the room of their parent by size.
        let mut elder: BTreeMap<usize, usize> = BTreeMap::new();
        for &(parent, child, lambda, size) in self.rows {
            let Some(of) = branches.get_mut(&parent) else { continue };
            of.departures.push((lambda, size));
            if child < self.points {
                continue;
            }
            let room = of.room;
            let branch = Branch {
                birth: if lambda.is_finite() { lambda } else { f64::MAX },
                size,
                ..Branch::default()
            };
            branches.insert(child, branch);
            match elder.remove(&parent) {
                None => {
                    elder.insert(parent, child);
                }
                Some(first) => {
                    let first_size = branches.get(&first).map_or(0, |b| b.size);
                    let share = first_size as f64 / (first_size + size).max(1) as f64;
                    for (number, room) in [
                        (first, (room.0, room.1 * share)),
                        (child, (room.0 + room.1 * share, room.1 * (1.0 - share))),
                    ] {
                        if let Some(b) = branches.get_mut(&number) {
                            b.room = room;
                        }
                    }
                }
            }
        }
        for branch in branches.values_mut() {
            branch.departures.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        branches
    }
}

fn bar(figure: &mut Figure, frame: &Frame, (x0, x1): (f64, f64), (y0, y1): (f64, f64), colour: Rgb) {
    let (left, bottom) = frame.place((x0, y0));
    let (right, top) = frame.place((x1, y1));
    let (left, top) = (left.round().max(0.0) as usize, top.round().max(0.0) as usize);
    let width = (right.round() as usize).saturating_sub(left).max(1);
    figure.fill(left, top, width, (bottom.round() as usize).saturating_sub(top), colour);
}
