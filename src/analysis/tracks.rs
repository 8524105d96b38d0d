//! Objects followed through the frames of a movie: detections linked by assignment, frame by frame.
//!
//! Of all tracks seen in the last `gap` + 1 frames and the detections of a frame, pairs nearer than the gate may be linked; the links taken are those
//! with the largest sum of gate² − distance² (as in K. Jaqaman et al., *Nat. Methods* 5 (2008) 695: as many links as possible, short ones first,
//! decided for all at once). Groups of tracks and detections that are out of reach of each other are solved apart.

use super::agreement::assign;
use crate::error::{Error, Result};
use ndarray::Array2;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A detection: frame and position (y, x) in pixels, drift taken out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub frame: u32,
    pub at: [f64; 2],
}

/// How detections are linked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// Largest distance of a link in pixels.
    pub distance: f64,
    /// Frames that an object may be missed in a row.
    pub gap: u32,
    /// Pixels that a change of the class adds to the distance.
    pub class_change: f64,
}

/// Two objects that meet, or one that becomes two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Frame of the first picture that shows it.
    pub frame: u32,
    /// The track that goes on.
    pub track: usize,
    /// The track that ends there, or begins.
    pub other: usize,
    pub kind: EventKind,
}

/// What happens in an [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Merge,
    Split,
}

/// Detections as tracks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Linked {
    /// Track of each detection, numbered by first appearance.
    pub track: Vec<usize>,
    /// Detections of each track in order of their frames.
    pub members: Vec<Vec<usize>>,
    pub events: Vec<Event>,
}

/// Links `points`, which are sorted by frame; `class` holds one number for each (or nothing).
///
/// # Errors
/// [`Error::Parameter`] for a gate that makes no sense, positions that are not finite, or frames out of order.
pub fn link(points: &[Point], class: &[i32], gate: Gate) -> Result<Linked> {
    if !(gate.distance > 0.0 && gate.distance.is_finite() && gate.class_change >= 0.0) {
        return Err(Error::parameter("--gate", format!("{} px is no distance", gate.distance)));
    }
    if !class.is_empty() && class.len() != points.len() {
        return Err(Error::Internal("one class for each detection".into()));
    }
    if points.iter().any(|p| !p.at.iter().all(|v| v.is_finite())) {
        return Err(Error::parameter("tracks", "a detection has no finite position"));
    }
    if points.windows(2).any(|w| w[0].frame > w[1].frame) {
        return Err(Error::parameter("tracks", "detections are not sorted by frame"));
    }
    let mut linked = Linked {
        track: vec![usize::MAX; points.len()],
        ..Linked::default()
    };
    // Last detection of every track that may go on.
    let mut live: Vec<usize> = Vec::new();
    let mut first = 0;
    while first < points.len() {
        let frame = points[first].frame;
        let end = first + points[first..].iter().take_while(|p| p.frame == frame).count();
        live.retain(|&last| frame - points[last].frame <= gate.gap + 1);
        let gain = |last: usize, next: usize| {
            let (a, b) = (points[last].at, points[next].at);
            let change = if class.is_empty() || class[last] == class[next] {
                0.0
            } else {
                gate.class_change
            };
            let distance = (a[0] - b[0]).hypot(a[1] - b[1]) + change;
            // Something never seen for a while may have gone further, but what was there a frame ago goes first.
            gate.distance * gate.distance - distance * distance - 1e-6 * f64::from(frame - points[last].frame)
        };
        let taken = best_pairs(&live, first..end, gate.distance, points, &gain);
        let before = live.clone();
        let mut from = vec![None; end - first];
        for &(last, next) in &taken {
            from[next - first] = Some(last);
        }
        for (next, from) in (first..end).zip(from) {
            let track = from.map_or(linked.members.len(), |last| linked.track[last]);
            if track == linked.members.len() {
                linked.members.push(Vec::new());
            }
            linked.track[next] = track;
            linked.members[track].push(next);
        }
        let gone: HashSet<usize> = taken.iter().map(|t| t.0).collect();
        live.retain(|l| !gone.contains(l));
        live.extend(first..end);
        events(points, &before, first..end, &taken, gate.distance, &mut linked);
        first = end;
    }
    // A track that goes on behind a gap has not ended in another one.
    let Linked { events, members, .. } = &mut linked;
    events.retain(|e| e.kind == EventKind::Split || members[e.other].last().is_some_and(|&m| points[m].frame < e.frame));
    Ok(linked)
}

/// Links between the last detections of tracks and those of a frame.
fn best_pairs(
    live: &[usize],
    now: std::ops::Range<usize>,
    reach: f64,
    points: &[Point],
    gain: &dyn Fn(usize, usize) -> f64,
) -> Vec<(usize, usize)> {
    // Detections by columns as wide as the gate: only neighbours are looked at.
    let cell = |p: &Point| (p.at.map(|v| (v / reach).floor() as i64)).into();
    let mut grid: HashMap<(i64, i64), Vec<usize>> = HashMap::new();
    for next in now.clone() {
        grid.entry(cell(&points[next])).or_default().push(next);
    }
    let mut reachable: Vec<(usize, usize)> = Vec::new();
    for (t, &last) in live.iter().enumerate() {
        let (y, x) = cell(&points[last]);
        for at in (y - 1..=y + 1).flat_map(|y| (x - 1..=x + 1).map(move |x| (y, x))) {
            let near = grid.get(&at).into_iter().flatten();
            reachable.extend(near.filter(|&&n| gain(last, n) > 0.0).map(|&n| (t, n - now.start)));
        }
    }
    // Groups in reach of each other: union and find over tracks, then detections.
    let mut parent: Vec<usize> = (0..live.len() + now.len()).collect();
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    for &(t, n) in &reachable {
        let (a, b) = (root(&mut parent, t), root(&mut parent, live.len() + n));
        parent[a.max(b)] = a.min(b);
    }
    let mut groups: BTreeMap<usize, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for i in 0..parent.len() {
        let group = groups.entry(root(&mut parent, i)).or_default();
        if i < live.len() {
            group.0.push(i)
        } else {
            group.1.push(i - live.len())
        }
    }
    let mut taken = Vec::new();
    for (tracks, nexts) in groups.values().filter(|g| !g.0.is_empty() && !g.1.is_empty()) {
        let gains = Array2::from_shape_fn((tracks.len(), nexts.len()), |(i, j)| {
            gain(live[tracks[i]], now.start + nexts[j]).max(0.0)
        });
        for (i, j) in assign(gains.view()).into_iter().enumerate() {
            if let Some(j) = j.filter(|&j| gains[[i, j]] > 0.0) {
                taken.push((live[tracks[i]], now.start + nexts[j]));
            }
        }
    }
    taken
}

/// Merges: a track seen a frame ago ends in reach of a detection that another track took. Splits: a track begins in reach of one that went on elsewhere.
fn events(
    points: &[Point],
    before: &[usize],
    now: std::ops::Range<usize>,
    taken: &[(usize, usize)],
    reach: f64,
    linked: &mut Linked,
) {
    let distance = |a: usize, b: usize| (points[a].at[0] - points[b].at[0]).hypot(points[a].at[1] - points[b].at[1]);
    let frame = points[now.start].frame;
    let nearest = |of: usize, among: &mut dyn Iterator<Item = (usize, usize)>, near: &dyn Fn(&(usize, usize)) -> usize| {
        let best = among
            .map(|pair| (distance(of, near(&pair)), pair))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        best.filter(|b| b.0 <= reach).map(|b| b.1)
    };
    let from: HashSet<usize> = taken.iter().map(|t| t.0).collect();
    let to: HashSet<usize> = taken.iter().map(|t| t.1).collect();
    for &last in before.iter().filter(|&&l| points[l].frame + 1 == frame && !from.contains(&l)) {
        if let Some((into, _)) = nearest(last, &mut taken.iter().copied(), &|pair| pair.1) {
            linked.events.push(Event {
                frame,
                track: linked.track[into],
                other: linked.track[last],
                kind: EventKind::Merge,
            });
        }
    }
    if before.is_empty() {
        return;
    }
    for next in now.filter(|n| !to.contains(n)) {
        if let Some((from, _)) = nearest(next, &mut taken.iter().copied(), &|pair| pair.0) {
            linked.events.push(Event {
                frame,
                track: linked.track[from],
                other: linked.track[next],
                kind: EventKind::Split,
            });
        }
    }
}
