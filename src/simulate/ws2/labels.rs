//! Which pixels of a frame belong to defects: what a network can be trained with.

use super::frames::SimulatedWs2;
use super::history::Kind;
use ndarray::Array2;

/// Radius around a defect, and around each column that a hole has swallowed, in lattice constants: discs of neighbouring sulphur columns (1 apart) stay
/// apart, those of neighbouring columns (1/√3 apart) in a hole touch.
const POINT: f64 = 0.28;
const SWALLOWED: f64 = 0.34;

impl SimulatedWs2 {
    /// 1 in pixels of defects of frame `n`, drift included, 0 elsewhere; (h, w). Point defects are discs, a dopant and the vacancy beside it one region, a hole
    /// what it has swallowed. All 0 behind the last frame.
    pub fn label_map(&self, n: u64) -> Array2<u8> {
        let p = self.parameters();
        let mut map = Array2::zeros((p.sig[0], p.sig[1]));
        let f = n as usize;
        let (history, a) = (self.history(), p.lattice / p.pixel_size);
        let (Some(points), Some(beside), Some(drift)) = (history.points.get(f), history.beside.get(f), self.drift(n)) else {
            return map;
        };
        let mut arms = beside.iter();
        for d in points.iter().filter(|d| d.kind != Kind::Hole) {
            let at = [d.y, d.x];
            let end = if d.kind == Kind::DopantWithVacancy {
                arms.next()
            } else {
                None
            };
            mark(&mut map, at, *end.unwrap_or(&at), drift, POINT * a);
        }
        for hole in points.iter().filter(|d| d.kind == Kind::Hole) {
            let columns = history.sites.tungsten.iter().chain(&history.sites.sulphur);
            for &at in columns.filter(|c| (c[0] - hole.y).hypot(c[1] - hole.x) < hole.radius) {
                mark(&mut map, at, at, drift, SWALLOWED * a);
            }
        }
        map
    }
}

/// Pixels within `radius` of the line from `a` to `b`.
fn mark(map: &mut Array2<u8>, a: [f64; 2], b: [f64; 2], drift: [f64; 2], radius: f64) {
    let [a, b] = [a, b].map(|p| [p[0] + drift[0], p[1] + drift[1]]);
    let line = [b[0] - a[0], b[1] - a[1]];
    let length = line[0] * line[0] + line[1] * line[1];
    let (h, w) = map.dim();
    let range = |k: usize, n: usize| {
        let first = (a[k].min(b[k]) - radius).ceil().clamp(0.0, n as f64) as usize;
        first..((a[k].max(b[k]) + radius).floor() + 1.0).clamp(first as f64, n as f64) as usize
    };
    for y in range(0, h) {
        for x in range(1, w) {
            let from = [y as f64 - a[0], x as f64 - a[1]];
            let along = (from[0] * line[0] + from[1] * line[1]) / length.max(1e-12);
            let along = along.clamp(0.0, 1.0);
            if (from[0] - along * line[0]).hypot(from[1] - along * line[1]) <= radius {
                map[[y, x]] = 1;
            }
        }
    }
}
