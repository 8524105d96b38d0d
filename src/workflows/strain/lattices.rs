//! The lattice of each cluster, from the peaks of its log-sum.

use super::Params;
use super::chance::by_chance;
use crate::analysis::Recipe;
use crate::analysis::correlate::correlation_map;
use crate::analysis::lattice::basis::{change_of_basis, common, reduce};
use crate::analysis::lattice::directbeam::{Cloud, direct_beam_among};
use crate::analysis::lattice::{FullMatch, Lattice, LatticeMatch, Matcher, Scratch, Vector, length};
use crate::analysis::lobes::{SideLobes, noise_level};
use crate::analysis::peaks::{Peak, find_peaks};
use crate::analysis::template::Template;
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::Array2;
use rayon::prelude::*;

/// How alike the lattices of two clusters must be to share a basis, relative to the shortest vector.
const SAME_CRYSTAL: f64 = 0.1;
/// The lattice is looked for in this many twentieths of the spots asked for, and what chance would produce must be this many
/// times rarer: the weakest spots of patterned probes may be none and hide the lattice of the strong ones.
const TRIES: [(usize, f64); 3] = [(20, 1.0), (12, 100.0), (8, 100.0)];
/// Chance must be this many times rarer for peaks that do not stand out of the noise.
const UNSEEN: f64 = 100.0;
/// Share of the strongest spots that the first lattice of a cluster should hold, and that a finer one must hold to replace it.
const MOST_OF: f64 = 0.8;
const NEARLY_ALL: f64 = 0.9;
/// Spots of a cluster at most, of which the strongest and, for further lattices, others are used.
const MOST_SPOTS: usize = 400;
/// Lattices of a cluster at most.
const MOST_LATTICES: usize = 4;

/// A lattice in the peaks of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    pub lattice: Lattice,
    /// Mean distance between its peaks and its sites, px.
    pub error: f64,
    /// Indices (h, k) of its peaks.
    pub indices: Vec<[i32; 2]>,
    /// Positions (y, x) of its peaks.
    pub refined: Vec<Vector>,
}

impl Match {
    /// Where the lattice expects its peaks.
    pub fn calculated(&self) -> Vec<Vector> {
        let site = |i: &[i32; 2]| self.lattice.position(f64::from(i[0]), f64::from(i[1]));
        self.indices.iter().map(site).collect()
    }
}

/// What is known of one cluster.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterLattice {
    /// Selected frames in it.
    pub frames: usize,
    /// Highest maxima (y, x) of its log-sum's correlation with the template, without side lobes (published: with them), highest
    /// first, and their heights.
    pub peaks: Vec<Vector>,
    pub heights: Vec<f64>,
    /// Lattices, best first; none if chance would produce the best as well.
    pub matches: Vec<Match>,
}

impl ClusterLattice {
    /// The lattice that is refined in every frame.
    pub fn lattice(&self) -> Option<Lattice> {
        self.matches.first().map(|m| m.lattice)
    }
}

/// Finds the lattice of every cluster whose log-sum is in `logsums`; `sizes` counts its frames. `brightest`: the highest maximum of the
/// whole scan, which is likely to be the direct beam even where clusters do not show it.
///
/// # Errors
/// Those of [`correlation_map`] and of the search.
pub fn find(
    logsums: &[Array2<f64>],
    sizes: &[usize],
    brightest: Option<Vector>,
    template: &Template,
    params: &Params,
    recipe: Recipe,
    control: &Control,
) -> Result<Vec<ClusterLattice>> {
    let offset = match recipe {
        Recipe::Default => template.offset(),
        Recipe::Published => [0.0; 2],
    };
    let lobes = SideLobes::of(template)?;
    let spots_of = |(map, &frames): (&Array2<f64>, &usize)| {
        control.check()?;
        let correlation = correlation_map(map.view(), template, recipe)?;
        let mut found = match recipe {
            Recipe::Default => lobes.spots(correlation.view(), MOST_SPOTS.max(params.lattice_peaks)),
            Recipe::Published => find_peaks(correlation.view(), params.lattice_peaks),
        };
        let position = |p: &Peak| [p.y as f64 + offset[0], p.x as f64 + offset[1]];
        let noise = noise_level(correlation.view());
        let outstanding = found.iter().filter(|p| p.value > noise).map(position).collect();
        found.truncate(params.lattice_peaks);
        let cluster = ClusterLattice {
            frames,
            peaks: found.iter().map(position).collect(),
            heights: found.iter().map(|p| p.value).collect(),
            matches: Vec::new(),
        };
        Ok((cluster, outstanding))
    };
    // Of each cluster all maxima that are no noise, highest first.
    let found: Vec<(ClusterLattice, Vec<Vector>)> = logsums.par_iter().zip(sizes).map(spots_of).collect::<Result<_>>()?;
    let (mut clusters, outstanding): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    if let Some(lattice) = params.given() {
        for cluster in &mut clusters {
            cluster.matches = vec![sites_of(&cluster.peaks, &lattice, &params.matcher(recipe))];
        }
        return Ok(clusters);
    }

    // The direct beam is where all clusters have a spot; the published analysis takes each one's strongest.
    let zero = match recipe {
        Recipe::Published => params.zero,
        Recipe::Default => params.zero.or_else(|| {
            let clouds: Vec<Cloud> = clusters
                .iter()
                .map(|c| Cloud {
                    points: &c.peaks,
                    weights: Some(&c.heights),
                })
                .collect();
            direct_beam_among(&clouds, brightest.as_slice(), params.tolerance)
        }),
    };
    let search = FullMatch {
        min_delta: match recipe {
            Recipe::Default => lobes.reach(),
            Recipe::Published => 0.0,
        },
        ..params.search(recipe)
    };
    let frame = logsums.first().map_or((0, 0), |m| m.dim());
    clusters.par_iter_mut().zip(&outstanding).try_for_each(|(cluster, spots)| {
        control.check()?;
        cluster.matches = match recipe {
            Recipe::Published => {
                let found = search.find(&cluster.peaks, None, zero)?;
                found.matches.into_iter().map(|m| on_lattice(&cluster.peaks, m)).collect()
            }
            Recipe::Default => best_first(spots, &cluster.peaks, zero, &search, frame)?,
        };
        Ok::<_, Error>(())
    })?;
    if recipe == Recipe::Default {
        common_bases(&mut clusters);
    }
    Ok(clusters)
}

/// The lattice of the highest spots that stand out of the noise, as many of `spots` as there are `peaks`, then further ones of the
/// highest spots that lie on none of those found before. Where disks fill the frame, most maxima are spots and hardly one stands out:
/// then `peaks`, the highest maxima whatever the noise, may hold the lattice.
fn best_first(
    spots: &[Vector],
    peaks: &[Vector],
    zero: Option<Vector>,
    search: &FullMatch,
    frame: (usize, usize),
) -> Result<Vec<Match>> {
    let most = peaks.len();
    let mut first = first_of(spots, most, zero, search, frame, 1.0)?;
    if first.is_none() && spots.len() < most {
        first = first_of(peaks, most, zero, search, frame, UNSEEN)?;
    }
    let Some(first) = first else { return Ok(Vec::new()) };
    let first = finer(first, &spots[..spots.len().min(most)], search, frame);
    let direct_beam = first.lattice.zero;
    let mut matches = vec![first];
    while matches.len() < MOST_LATTICES {
        let on_none = |p: &&Vector| matches.iter().all(|m| search.matcher().site(&m.lattice, **p).is_none());
        let mut rest = vec![direct_beam];
        rest.extend(spots.iter().filter(on_none).take(most));
        let Some(next) = search.find_further(&rest)? else { break };
        if by_chance((&rest, 3), &next.fit.lattice, &search.matcher(), frame, 1.0) {
            break;
        }
        matches.push(on_lattice(&rest, next));
    }
    Ok(matches)
}

/// The lattice of the highest `most` of `spots`, or of fewer, unless chance explains it; `doubt` as in [`by_chance`].
fn first_of(
    spots: &[Vector],
    most: usize,
    zero: Option<Vector>,
    search: &FullMatch,
    frame: (usize, usize),
    doubt: f64,
) -> Result<Option<Match>> {
    for (share, rarer) in TRIES {
        let strongest = &spots[..spots.len().min(most * share / 20)];
        // Any three points lie on a lattice, and peaks of noise on many.
        let found = search.find(strongest, None, zero)?.matches.into_iter().next();
        let chance = |m: &LatticeMatch| by_chance((strongest, 3), &m.fit.lattice, &search.matcher(), frame, doubt * rarer);
        if let Some(first) = found.filter(|m| !chance(m)) {
            return Ok(Some(on_lattice(strongest, first)));
        }
    }
    Ok(None)
}

/// The lattice of which `first` is every second, third or fourth site, if it holds nearly all of the `strongest` spots where `first` leaves
/// many out: those are no weaker than its own, so they belong to the crystal. That they lie on it must be no chance, of their own.
fn finer(first: Match, strongest: &[Vector], search: &FullMatch, frame: (usize, usize)) -> Match {
    let matcher = search.matcher();
    let is_on = |lattice: &Lattice, p: Vector| matcher.site(lattice, p).is_some();
    let on = |lattice: &Lattice| strongest.iter().filter(|&&p| is_on(lattice, p)).count();
    let between: Vec<Vector> = strongest.iter().copied().filter(|&p| !is_on(&first.lattice, p)).collect();
    let all = strongest.len() as f64;
    if on(&first.lattice) as f64 >= MOST_OF * all {
        return first;
    }
    let weights = vec![1.0; strongest.len()];
    let mut scratch = Scratch::default();
    for index in 2..=4 {
        let mut best: Option<(usize, Match)> = None;
        for r in (1..=index).filter(|r| index % r == 0) {
            let p = index / r;
            for q in 0..p {
                // a = p a' + q b', b = r b': each lattice that holds the first as a part of this index, once.
                let b = first.lattice.b.map(|v| v / f64::from(r));
                let a = [0, 1].map(|k| (first.lattice.a[k] - f64::from(q) * b[k]) / f64::from(p));
                let Some([a, b]) = reduce(a, b) else { continue };
                if length(a).min(length(b)) < search.min_delta {
                    continue;
                }
                let start = Lattice { a, b, ..first.lattice };
                let Some(fit) = matcher.fast(strongest, &weights, &start, &mut scratch) else {
                    continue;
                };
                let count = on(&fit.lattice);
                if count as f64 >= NEARLY_ALL * all
                    && best.as_ref().is_none_or(|(most, _)| count > *most)
                    && !by_chance((&between, 0), &fit.lattice, &matcher, frame, UNSEEN)
                {
                    best = Some((count, sites_of(strongest, &fit.lattice, &matcher)));
                }
            }
        }
        if let Some((_, finer)) = best {
            return finer;
        }
    }
    first
}

/// What is kept of a match among `peaks`.
fn on_lattice(peaks: &[Vector], m: LatticeMatch) -> Match {
    Match {
        lattice: m.fit.lattice,
        error: m.fit.error,
        refined: m.points.iter().map(|&n| peaks[n]).collect(),
        indices: m.indices,
    }
}

/// A given lattice with the peaks on it.
fn sites_of(peaks: &[Vector], lattice: &Lattice, matcher: &Matcher) -> Match {
    let on: Vec<_> = peaks.iter().filter_map(|&p| Some((p, matcher.site(lattice, p)?))).collect();
    let away = |(p, i): &(Vector, [i32; 2])| {
        let q = lattice.position(f64::from(i[0]), f64::from(i[1]));
        length([q[0] - p[0], q[1] - p[1]])
    };
    Match {
        lattice: *lattice,
        error: on.iter().map(away).sum::<f64>() / on.len() as f64,
        indices: on.iter().map(|o| o.1).collect(),
        refined: on.iter().map(|o| o.0).collect(),
    }
}

/// Gives clusters of one crystal the same basis; the largest cluster chooses.
fn common_bases(clusters: &mut [ClusterLattice]) {
    let mut order: Vec<usize> = (0..clusters.len()).filter(|&c| !clusters[c].matches.is_empty()).collect();
    order.sort_by_key(|&c| (std::cmp::Reverse(clusters[c].frames), c));
    let lattices: Vec<Lattice> = order.iter().filter_map(|&c| clusters[c].lattice()).collect();
    for (&c, new) in order.iter().zip(common(&lattices, SAME_CRYSTAL)) {
        let Some(best) = clusters[c].matches.first_mut() else {
            continue;
        };
        let change = change_of_basis(&best.lattice, &new);
        let indices: Option<Vec<[i32; 2]>> = best.indices.iter().map(|&i| change?.index(i)).collect();
        if let Some(indices) = indices {
            best.lattice = new;
            best.indices = indices;
        }
    }
}

/// Indices (h, k) of the sites of each lattice that are refined: k slow, h fast, kept if the search range around the site lies
/// inside frames of h × w pixels.
pub fn sites(lattice: &Lattice, params: &Params, search: f64, (h, w): (usize, usize)) -> Vec<[i32; 2]> {
    let range = || params.indices.first..=params.indices.last;
    let inside = |v: f64, n: usize| search <= v && v < n as f64 - search;
    range()
        .flat_map(|j| range().map(move |i| [i, j]))
        .filter(|i| {
            let p = lattice.position(f64::from(i[0]), f64::from(i[1]));
            inside(p[0], h) && inside(p[1], w)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every second site was found, but the others are spots as well.
    #[test]
    fn no_spots_are_left_between_the_sites() {
        let truth = Lattice {
            zero: [70.0, 71.0],
            a: [-4.2, -8.5],
            b: [-10.6, 0.7],
        };
        let search = Params::default().search(Recipe::Default);
        let spots: Vec<Vector> = (-2..=2)
            .flat_map(|h| (-2..=1).map(move |k| truth.position(h.into(), k.into()).map(f64::round)))
            .collect();
        let part = |a: [f64; 2], b: [f64; 2]| {
            let make = |m: [f64; 2]| [0, 1].map(|k| m[0] * truth.a[k] + m[1] * truth.b[k]);
            let lattice = Lattice {
                a: make(a),
                b: make(b),
                ..truth
            };
            sites_of(&spots, &lattice, &search.matcher())
        };
        for (a, b) in [([1.0, -1.0], [1.0, 1.0]), ([2.0, 0.0], [0.0, 2.0]), ([1.0, 0.0], [1.0, 3.0])] {
            let first = part(a, b);
            assert!(first.indices.len() < 16, "{}", first.indices.len());
            let found = finer(first, &spots, &search, (144, 144));
            let change = change_of_basis(&found.lattice, &truth).unwrap();
            assert!(change.vectors_off < 0.5 && found.indices.len() == 20, "{found:?}");
        }
        // Half of the spots lie on it, the others anywhere: it stays.
        let first = part([1.0, -1.0], [1.0, 1.0]);
        let mut mixed = first.refined.clone();
        mixed.extend((0..12).map(|i| [f64::from(i * 37 % 120) + 10.3, f64::from(i * 53 % 125) + 8.7]));
        assert_eq!(finer(first.clone(), &mixed, &search, (144, 144)), first);
    }

    #[test]
    fn sites_stay_inside_the_frame() {
        let lattice = Lattice {
            zero: [20.0, 20.0],
            a: [0.0, 8.0],
            b: [8.0, 0.0],
        };
        let all = sites(&lattice, &Params::default(), 4.0, (40, 40));
        // x = 4, 12, 20, 28 are inside; 36 is not below 40 − 4.
        assert_eq!(all.len(), 16);
        assert_eq!((all[0], all[1], all[15]), ([-2, -2], [-1, -2], [1, 1]));
    }
}
