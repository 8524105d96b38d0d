//! The top of a merge tree: how clusters come together, and where the tree is cut.

use super::canvas::{Figure, Rgb};
use super::line::{Frame, LinePlot, Mark};
use std::collections::BTreeMap;

/// A merge tree from its top down to a number of branches, coloured by the clusters of a cut.
#[derive(Debug, Clone)]
pub struct Dendrogram<'a> {
    /// The two nodes of each merge, as in `clusters/merges`: n positions, then one node for each merge.
    pub children: &'a [[u32; 2]],
    /// Distance of each merge. Need not increase; infinite ones are drawn at the top.
    pub distances: &'a [f64],
    /// Label of each position.
    pub labels: &'a [i32],
    /// Number of clusters of the labels.
    pub clusters: usize,
    /// Where the line of the cut is drawn.
    pub threshold: Option<f64>,
    /// Colours of the labels.
    pub colours: &'a BTreeMap<i32, Rgb>,
    /// Branches that are shown.
    pub branches: usize,
}

/// Branches above the cut.
const ABOVE: Rgb = [120, 120, 120];

/// A drawn node: where its branch ends.
#[derive(Clone, Copy, Default)]
struct Node {
    x: f64,
    y: f64,
}

impl Dendrogram<'_> {
    /// Draws the tree, 920 × 560 pixels.
    pub fn draw(&self) -> Figure {
        let merges = self.distances.len().min(self.children.len());
        let leaves = merges + 1;
        let first = leaves - self.branches.clamp(2, leaves.max(2)).min(leaves);
        let shown = self.distances.get(first..merges).unwrap_or(&[]);
        let finite = || shown.iter().copied().filter(|d| d.is_finite() && *d > 0.0);
        let high = finite().fold(0.0, f64::max);
        let low = finite().fold(f64::INFINITY, f64::min).min(high);
        // Room for the branches that end below the lowest merge, and for merges at an infinite distance.
        let range = if high > 0.0 { (low / 1.25, high * 1.15) } else { (0.1, 1.0) };
        let order = self.order(first, merges);
        let mut plot = LinePlot::new(
            "Merge tree: grey branches meet above the cut",
            "branches in the order of the tree",
            "Ward distance",
        );
        plot.log_y = true;
        if let Some(at) = self.threshold {
            plot.marks.push(Mark::Horizontal(at, format!("{} clusters", self.clusters)));
        }
        let across = (0.0, order.len() as f64 + 1.0);
        let mut figure = LinePlot::blank();
        let frame = Frame::new(across, range, true).axes(&mut figure, &plot);

        let mut nodes: BTreeMap<usize, Node> = order
            .iter()
            .enumerate()
            .map(|(i, &node)| {
                (
                    node,
                    Node {
                        x: i as f64 + 1.0,
                        y: range.0,
                    },
                )
            })
            .collect();
        let by_position = self.representatives(merges);
        // The first merges make the clusters, the last ones join them.
        let colour_of = |node: usize| {
            let within = node + self.clusters < 2 * leaves;
            let label = by_position.get(node).and_then(|&p| self.labels.get(p)).filter(|_| within);
            label.and_then(|l| self.colours.get(l)).copied().unwrap_or(ABOVE)
        };
        for (m, pair) in self.children.iter().enumerate().take(merges).skip(first) {
            let y = self.distances[m].clamp(range.0, range.1);
            let ends = pair.map(|c| nodes.get(&(c as usize)).copied().unwrap_or_default());
            for (child, end) in pair.iter().zip(ends) {
                let colour = colour_of(*child as usize);
                figure.line(frame.place((end.x, end.y)), frame.place((end.x, y)), 2.4, colour);
            }
            figure.line(
                frame.place((ends[0].x, y)),
                frame.place((ends[1].x, y)),
                2.4,
                colour_of(leaves + m),
            );
            nodes.insert(
                leaves + m,
                Node {
                    x: (ends[0].x + ends[1].x) / 2.0,
                    y,
                },
            );
        }
        plot.draw_marks(&mut figure, &frame);
        figure
    }

    /// The nodes at the lower end of the shown branches, from left to right.
    fn order(&self, first: usize, merges: usize) -> Vec<usize> {
        let leaves = merges + 1;
        let mut out = Vec::new();
        let mut waiting = vec![leaves + merges - 1];
        if merges == 0 {
            return vec![0];
        }
        while let Some(node) = waiting.pop() {
            match node.checked_sub(leaves) {
                Some(m) if m >= first => waiting.extend(self.children[m].iter().rev().map(|&c| c as usize)),
                _ => out.push(node),
            }
        }
        out
    }

    /// A position of each node.
    fn representatives(&self, merges: usize) -> Vec<usize> {
        let mut of: Vec<usize> = (0..=merges).collect();
        for pair in self.children.iter().take(merges) {
            of.push(of.get(pair[0] as usize).copied().unwrap_or(0));
        }
        of
    }
}
