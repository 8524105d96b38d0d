//! What results say about one frame, as points, lines and words to draw over it.

use super::sources::{Source, Sources};
use crate::control::Control;
use crate::engine::{Backend, Selection};
use crate::error::Result;
use crate::io::browse::Browser;
use crate::workflows::ebsd::bands;
use ndarray::{Array1, Array2, ArrayD, Ix1, Ix2};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Bytes of float64 that one overlay reads at most.
const MOST: u64 = 64 << 20;
/// Largest index of calculated spots.
const REACH: i32 = 12;

/// The overlays that the open files have something for.
pub fn available(sources: &Sources) -> Vec<&'static str> {
    let any = |path: &str| sources.results.iter().any(|r| r.get(path).is_some());
    let tracks = sources
        .results
        .iter()
        .any(|r| r.listed().iter().any(|l| l.path.starts_with("/tracks/")));
    let patterns = sources.scans.first().is_some_and(|s| !s.is_spectrum());
    let all = [
        ("peaks", any("features/peaks") || any("clusters/00/peaks")),
        ("lattice", any("lattice/zero") && any("lattice/a") && any("lattice/b")),
        ("spots", any("lattice/positions")),
        ("detections", any("detections/frame")),
        ("tracks", tracks),
        ("bands", patterns),
    ];
    all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

/// One overlay of the frame at scan position `at`: a list of groups of `points` `[[y, x, text?]…]`, `lines` `[[y0, x0, y1, x1]…]` or
/// `paths` `[[[y, x]…]…]`, each with a `name`.
///
/// # Errors
/// Whatever reading reports. What a file does not have for this frame is left out.
pub fn draw(sources: &Sources, name: &str, at: [usize; 2], control: &Control) -> Result<Vec<Value>> {
    let mut groups = Vec::new();
    for result in &sources.results {
        match name {
            "peaks" => groups.extend(peaks(result, at)?),
            "lattice" => groups.extend(lattice(sources, result, at)?),
            "spots" => groups.extend(spots(result, at)?),
            "detections" => groups.extend(detections(result, frame_number(sources, at))?),
            "tracks" => groups.extend(tracks(result, frame_number(sources, at))?),
            _ => {}
        }
    }
    if name == "bands"
        && let Some(source) = sources.scans.first()
    {
        groups.extend(kikuchi(source, at, control)?);
    }
    Ok(groups)
}

fn frame_number(sources: &Sources, at: [usize; 2]) -> f64 {
    (at[0] * sources.nav[1] + at[1]) as f64
}

/// An array, or a part of it; `None` where the file has none or is of another shape.
fn part(result: &Browser, path: &str, at: &[usize]) -> Result<Option<ArrayD<f64>>> {
    let fits = |shape: &[usize]| shape.len() >= at.len() && at.iter().zip(shape).all(|(i, n)| i < n);
    match result.get(path) {
        Some(l) if fits(&l.shape) => {
            let at: Vec<Option<usize>> = at.iter().copied().map(Some).collect();
            result.read(path, &at, MOST).map(Some)
        }
        _ => Ok(None),
    }
}

fn vector(result: &Browser, path: &str, at: &[usize]) -> Result<Option<Array1<f64>>> {
    Ok(part(result, path, at)?.and_then(|a| a.into_dimensionality::<Ix1>().ok()))
}

fn table(result: &Browser, path: &str, at: &[usize]) -> Result<Option<Array2<f64>>> {
    Ok(part(result, path, at)?.and_then(|a| a.into_dimensionality::<Ix2>().ok()))
}

fn pair(result: &Browser, path: &str, at: [usize; 2]) -> Result<Option<[f64; 2]>> {
    let values = vector(result, path, &at)?;
    Ok(values
        .filter(|v| v.len() == 2 && v.iter().all(|x| x.is_finite()))
        .map(|v| [v[0], v[1]]))
}

fn points(name: &str, list: Vec<Value>) -> Option<Value> {
    (!list.is_empty()).then(|| json!({ "name": name, "points": list }))
}

/// Peaks of the frame's cluster, or those of the features.
fn peaks(result: &Browser, at: [usize; 2]) -> Result<Vec<Value>> {
    let label = part(result, "clusters/labels", &at)?.and_then(|a| a.first().copied());
    let own = match label {
        Some(l) if l >= 0.0 => table(result, &format!("clusters/{:02}/peaks", l as usize), &[])?,
        _ => None,
    };
    let (name, found) = match own {
        Some(own) => ("peaks of the cluster", Some(own)),
        None => ("feature peaks", table(result, "features/peaks", &[])?),
    };
    let found = found.filter(|p| p.ncols() == 2);
    let list = found.iter().flat_map(|p| p.rows().into_iter().map(|r| json!([r[0], r[1]])));
    Ok(points(name, list.collect()).into_iter().collect())
}

/// The lattice of the frame: vectors and the spots it calculates inside of the frame, with their indices.
fn lattice(sources: &Sources, result: &Browser, at: [usize; 2]) -> Result<Vec<Value>> {
    let [zero, a, b] = ["zero", "a", "b"].map(|n| pair(result, &format!("lattice/{n}"), at));
    let (Some(zero), Some(a), Some(b)) = (zero?, a?, b?) else {
        return Ok(Vec::new());
    };
    let size = sources.scans.first().map(|s| s.scan().info().frame);
    let inside = |p: [f64; 2]| {
        size.is_none_or(|f| p[0] >= -0.5 && p[1] >= -0.5 && p[0] < f.height as f64 - 0.5 && p[1] < f.width as f64 - 0.5)
    };
    let spot = |h: i32, k: i32| [0, 1].map(|i| zero[i] + f64::from(h) * a[i] + f64::from(k) * b[i]);
    let all = (-REACH..=REACH).flat_map(|h| (-REACH..=REACH).map(move |k| (h, k)));
    let list = all
        .map(|(h, k)| (h, k, spot(h, k)))
        .filter(|(.., p)| inside(*p))
        .map(|(h, k, p)| json!([p[0], p[1], format!("{h} {k}")]));
    let arrow = |v: [f64; 2]| json!([zero[0], zero[1], zero[0] + v[0], zero[1] + v[1]]);
    let mut groups: Vec<Value> = points("lattice", list.collect()).into_iter().collect();
    groups.push(json!({ "name": "a", "arrow": true, "lines": [arrow(a)] }));
    groups.push(json!({ "name": "b", "arrow": true, "lines": [arrow(b)] }));
    Ok(groups)
}

/// Refined positions of the frame's spots, those in the fit and those left out.
fn spots(result: &Browser, at: [usize; 2]) -> Result<Vec<Value>> {
    let Some(positions) = table(result, "lattice/positions", &at)?.filter(|p| p.ncols() == 2) else {
        return Ok(Vec::new());
    };
    let indices = table(result, "lattice/indices", &at)?.filter(|i| i.dim() == positions.dim());
    let fitted = vector(result, "lattice/fitted", &at)?;
    let mut lists = [Vec::new(), Vec::new()];
    for (i, p) in positions
        .rows()
        .into_iter()
        .enumerate()
        .filter(|(_, p)| p.iter().all(|v| v.is_finite()))
    {
        let text = indices
            .as_ref()
            .map(|n| format!("{} {}", n[[i, 0]], n[[i, 1]]))
            .unwrap_or_default();
        let left = fitted.as_ref().and_then(|f| f.get(i)).is_some_and(|f| *f == 0.0);
        lists[usize::from(left)].push(json!([p[0], p[1], text]));
    }
    let names = ["refined spots", "spots left out"];
    Ok(names.into_iter().zip(lists).filter_map(|(n, l)| points(n, l)).collect())
}

/// Detections in a frame of a movie.
fn detections(result: &Browser, frame: f64) -> Result<Vec<Value>> {
    let [frames, y, x, kept, class] = [
        "detections/frame",
        "detections/y",
        "detections/x",
        "detections/kept",
        "classes/labels",
    ]
    .map(|n| vector(result, n, &[]));
    let (Some(frames), Some(y), Some(x)) = (frames?, y?, x?) else {
        return Ok(Vec::new());
    };
    let (kept, class) = (kept?, class?);
    let mut lists = [Vec::new(), Vec::new()];
    // Classes are those of kept detections, in their order.
    let mut number = 0;
    for i in 0..frames.len().min(y.len()).min(x.len()) {
        let is_kept = kept.as_ref().and_then(|k| k.get(i)).is_none_or(|k| *k != 0.0);
        if frames[i] == frame {
            let class = class.as_ref().filter(|_| is_kept).and_then(|c| c.get(number));
            let text = class.map(|c| c.to_string()).unwrap_or_default();
            lists[usize::from(!is_kept)].push(json!([y[i], x[i], text]));
        }
        number += usize::from(is_kept);
    }
    let names = ["detections", "detections left out"];
    Ok(names.into_iter().zip(lists).filter_map(|(n, l)| points(n, l)).collect())
}

/// Tracks that are there in a frame: their way so far, and where they go on.
fn tracks(result: &Browser, frame: f64) -> Result<Vec<Value>> {
    let mut members: BTreeMap<&str, u8> = BTreeMap::new();
    for l in result.listed() {
        let inside = l.path.strip_prefix("/tracks/").and_then(|rest| rest.rsplit_once('/'));
        if let Some((track, name)) = inside
            && ["frame", "y", "x"].contains(&name)
        {
            *members.entry(track).or_default() += 1;
        }
    }
    let (mut past, mut coming) = (Vec::new(), Vec::new());
    for track in members.into_iter().filter(|(_, n)| *n == 3).map(|(t, _)| t).take(5000) {
        let [frames, y, x] = ["frame", "y", "x"].map(|n| vector(result, &format!("tracks/{track}/{n}"), &[]));
        let (Some(frames), Some(y), Some(x)) = (frames?, y?, x?) else {
            continue;
        };
        let n = frames.len().min(y.len()).min(x.len());
        let ends = (frames.first(), frames.iter().last());
        if !matches!(ends, (Some(a), Some(b)) if *a <= frame && frame <= *b) {
            continue;
        }
        let now = (0..n).take_while(|&i| frames[i] <= frame).count();
        let way = |range: std::ops::Range<usize>| range.map(|i| [y[i], x[i]]).collect::<Vec<_>>();
        past.push(way(0..now));
        if now < n {
            coming.push(way(now.saturating_sub(1)..n));
        }
    }
    let group = |name: &str, paths: Vec<Vec<[f64; 2]>>| (!paths.is_empty()).then(|| json!({ "name": name, "paths": paths }));
    Ok([group("tracks", past), group("tracks to come", coming)]
        .into_iter()
        .flatten()
        .collect())
}

/// Kikuchi bands of the pattern, found now with the defaults of `ebsd bands`.
fn kikuchi(source: &Source, at: [usize; 2], control: &Control) -> Result<Vec<Value>> {
    let info = source.scan().info();
    if source.map.present.get((at[0], at[1])) != Some(&true) {
        return Ok(Vec::new());
    }
    let number = (at[0] * info.nav[1] + at[1]) as u64;
    let one = Selection::from_range(info.nav, number..number + 1);
    let found = bands::find(&source.map, &one, &bands::Params::default(), &Backend::Cpu, control)?;
    let size = [info.frame.height, info.frame.width];
    let lines = found.theta.iter().zip(&found.rho).filter(|(t, _)| t.is_finite());
    let lines: Vec<Value> = lines
        .map(|(&t, &r)| bands::line(size, f64::from(t), f64::from(r)))
        .map(|[from, to]| json!([from[0], from[1], to[0], to[1]]))
        .collect();
    Ok((!lines.is_empty())
        .then(|| json!({ "name": "bands", "lines": lines }))
        .into_iter()
        .collect())
}
