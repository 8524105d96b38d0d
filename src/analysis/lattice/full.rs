//! Finding lattices in a cloud of points of which nothing is known.
//!
//! 1. Candidate vectors: clusters of difference vectors ([`super::candidates`]); all difference vectors if there are few
//!    points or few clusters.
//! 2. Every pair of candidates that is not nearly parallel: match, fit, match, fit ([`Matcher::fast`]).
//! 3. The best has the largest (Σ w)² |a × b|/(|a|² + |b|²), w the weights of its points.
//! 4. Its points except the direct beam are removed, and the rest may hold a further lattice, e.g. a weak superlattice.

use super::candidates::{clustered, differences};
use super::directbeam::{Cloud, direct_beam};
use super::fit::{self, Fit, Spot};
use super::matching::{Matcher, Scratch};
use super::{Lattice, Vector, basis, cross, dot, length};
use crate::analysis::Recipe;
use crate::analysis::hdbscan::Hdbscan;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Most difference vectors that are tried in pairs, the shortest: the number of pairs grows with its square.
const MOST_VECTORS: usize = 200;
/// Most difference vectors that are clustered, the shortest (200 points have fewer): time grows with the square.
const MOST_CLUSTERED: usize = 20_000;
/// Points nearest to the assumed direct beam that are tried as the origin.
const ORIGINS: usize = 3;
/// Points nearest to the direct beam whose vectors from it are candidates for a further lattice.
const NEAREST: usize = 8;

/// Parameters of the search; the defaults are those of LiberTEM-blobfinder's `FullMatcher`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FullMatch {
    /// Points nearer to a site than this belong to the lattice; also the largest scatter of a candidate vector. px.
    pub tolerance: f64,
    /// Points of smaller weight are ignored.
    pub min_weight: f64,
    /// Fewer points are no lattice.
    pub min_match: usize,
    /// Fewer points are no lattice beside a better one: three points always lie on some lattice. `published` ignores this.
    pub min_match_further: usize,
    /// Smallest angle between the lines of a and b, rad.
    pub min_angle: f64,
    /// Candidates come from clusters if there are more points than this.
    pub min_points: usize,
    /// Shortest lattice vector, px.
    pub min_delta: f64,
    /// Longest lattice vector, px; `None`: any.
    pub max_delta: Option<f64>,
    /// With fewer clusters than this, all difference vectors are candidates.
    pub min_candidates: usize,
    /// Only so many candidates are used, the shortest.
    pub max_candidates: usize,
    /// HDBSCAN's minimum cluster size is the number of points divided by this, at least 2.
    pub cluster_fraction: usize,
    /// HDBSCAN's number of samples is the number of points divided by this, at least 1.
    pub sample_fraction: usize,
    /// `published`: LiberTEM's distance, its choice of the direct beam (the first point) and its basis (the shorter vector
    /// first, as found). `default`: distance in pixels, the direct beam by its support, the canonical basis of
    /// [`basis::canonical`].
    pub recipe: Recipe,
}

impl Default for FullMatch {
    fn default() -> Self {
        FullMatch {
            tolerance: 3.0,
            min_weight: 0.1,
            min_match: 3,
            min_match_further: 5,
            min_angle: std::f64::consts::PI / 10.0,
            min_points: 10,
            min_delta: 0.0,
            max_delta: None,
            min_candidates: 3,
            max_candidates: 7,
            cluster_fraction: 4,
            sample_fraction: 20,
            recipe: Recipe::Default,
        }
    }
}

/// A lattice with the points on it.
#[derive(Debug, Clone, PartialEq)]
pub struct LatticeMatch {
    /// Lattice, error, standard errors.
    pub fit: Fit,
    /// Its points, as positions in the list given.
    pub points: Vec<usize>,
    /// Their lattice indices (h, k).
    pub indices: Vec<[i32; 2]>,
    /// Figure of merit.
    pub merit: f64,
}

/// Result of [`FullMatch::find`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// Lattices, best first.
    pub matches: Vec<LatticeMatch>,
    /// Points on none of them.
    pub unmatched: Vec<usize>,
    /// Points ignored for their weight.
    pub weak: Vec<usize>,
    /// Candidate vectors of the first lattice, shortest first.
    pub candidates: Vec<Vector>,
}

impl FullMatch {
    /// The match this search uses, and which fits its result in single frames.
    pub fn matcher(&self) -> Matcher {
        Matcher {
            tolerance: self.tolerance,
            min_weight: self.min_weight,
            min_match: self.min_match,
            distance: self.recipe.into(),
        }
    }

    /// Lattices in `points`. `weights` (elevations; 1 if `None`) weight the fits, the merit and the choice of the direct
    /// beam. `zero`: where the direct beam is, roughly; with the default recipe the lattice's zero is the site nearest to
    /// it, whichever points are in the list. No lattice is not an error: `matches` is empty.
    ///
    /// # Errors
    /// [`Error::Parameter`] for points or a zero that are not finite, for as many weights as there are not points, for a
    /// tolerance that is not positive, or fractions of 0.
    pub fn find(&self, points: &[Vector], weights: Option<&[f64]>, zero: Option<Vector>) -> Result<Found> {
        self.check(points, weights, zero)?;
        let ones = vec![1.0; points.len()];
        let all_weights = weights.unwrap_or(&ones);
        let strong = |n: &usize| all_weights[*n] >= self.min_weight;
        let mut left: Vec<usize> = (0..points.len()).filter(strong).collect();
        let weak = (0..points.len()).filter(|n| !strong(n)).collect();
        let mut found = Found {
            weak,
            ..Found::default()
        };

        let near: Vec<Vector> = left.iter().map(|&n| points[n]).collect();
        let near_weights: Vec<f64> = left.iter().map(|&n| all_weights[n]).collect();
        let guess = zero.or_else(|| match self.recipe {
            Recipe::Published => near.first().copied(),
            Recipe::Default => direct_beam(
                &[Cloud {
                    points: &near,
                    weights: weights.map(|_| &near_weights[..]),
                }],
                self.tolerance,
            ),
        });
        let Some(mut guess) = guess else { return Ok(found) };

        while left.len() >= self.min_match.max(3) {
            let cloud: Vec<Vector> = left.iter().map(|&n| points[n]).collect();
            let cloud_weights: Vec<f64> = left.iter().map(|&n| all_weights[n]).collect();
            let (best, candidates) = self.best(&cloud, &cloud_weights, guess)?;
            let further = !found.matches.is_empty();
            if !further {
                found.candidates = candidates;
            }
            let Some(mut best) = best else { break };
            if further && self.recipe == Recipe::Default && best.points.len() < self.min_match_further {
                break;
            }
            // The direct beam belongs to every lattice.
            let before = left.len();
            let taken: Vec<usize> = best
                .points
                .iter()
                .zip(&best.indices)
                .filter(|(_, i)| **i != [0, 0])
                .map(|(&n, _)| left[n])
                .collect();
            for n in &mut best.points {
                *n = left[*n];
            }
            left.retain(|n| !taken.contains(n));
            if self.recipe == Recipe::Default && !further {
                guess = best.fit.lattice.zero;
            }
            found.matches.push(best);
            if left.len() == before {
                break;
            }
        }
        // What is left may hold the direct beam, which is matched.
        found.unmatched = left
            .into_iter()
            .filter(|n| !found.matches.iter().any(|m| m.points.contains(n)))
            .collect();
        Ok(found)
    }

    fn check(&self, points: &[Vector], weights: Option<&[f64]>, zero: Option<Vector>) -> Result<()> {
        if let Some(n) = points.iter().position(|p| !(p[0].is_finite() && p[1].is_finite())) {
            return Err(Error::parameter("peaks", format!("position {n} is not a finite number")));
        }
        if let Some(w) = weights.filter(|w| w.len() != points.len()) {
            return Err(Error::parameter(
                "weights",
                format!("{} weights for {} positions", w.len(), points.len()),
            ));
        }
        if zero.is_some_and(|z| !(z[0].is_finite() && z[1].is_finite())) {
            return Err(Error::parameter("--zero", "is not a finite position"));
        }
        if !(self.tolerance > 0.0 && self.tolerance.is_finite()) {
            return Err(Error::parameter("--tolerance", "must be a positive number of pixels"));
        }
        if self.cluster_fraction == 0 || self.sample_fraction == 0 {
            return Err(Error::parameter("cluster_fraction, sample_fraction", "must be at least 1"));
        }
        Ok(())
    }

    /// A further lattice in peaks that lie on none of those found so far, e.g. a weak superlattice. The first of `points` is the direct
    /// beam, which belongs to every lattice: the vectors from it to its nearest points are candidates, too, since a superlattice
    /// has few sites by which its own vectors are repeated. `None` if fewer than `min_match_further` points lie on the best one.
    ///
    /// # Errors
    /// As [`FullMatch::find`].
    pub fn find_further(&self, points: &[Vector]) -> Result<Option<LatticeMatch>> {
        self.check(points, None, None)?;
        let Some((&zero, others)) = points.split_first() else {
            return Ok(None);
        };
        let from_zero = |p: &Vector| [p[0] - zero[0], p[1] - zero[1]];
        let mut nearest: Vec<Vector> = others.iter().map(from_zero).collect();
        nearest.sort_by(|p, q| length(*p).total_cmp(&length(*q)));
        nearest.truncate(NEAREST);
        let (mut candidates, _) = self.candidates(points)?;
        candidates.extend(nearest);
        let best = self.best_of(points, &vec![1.0; points.len()], zero, &[zero], &candidates);
        Ok(best.filter(|m| m.points.len() >= self.min_match_further))
    }

    /// The best lattice of a cloud, its points counted in the cloud, and the candidate vectors.
    fn best(&self, cloud: &[Vector], weights: &[f64], guess: Vector) -> Result<(Option<LatticeMatch>, Vec<Vector>)> {
        let (candidates, clusters) = self.candidates(cloud)?;
        let origins = self.origins(cloud, guess);
        let mut best = self.best_of(cloud, weights, guess, &origins, &candidates);
        if best.is_none() && clusters && self.recipe == Recipe::Default {
            best = self.best_of(cloud, weights, guess, &origins, &self.brute(cloud));
        }
        Ok((best, candidates))
    }

    /// The shortest differences of the points of a cloud.
    fn brute(&self, cloud: &[Vector]) -> Vec<Vector> {
        let mut all = differences(cloud, self.min_delta, self.max_delta.unwrap_or(f64::INFINITY));
        all.truncate(MOST_VECTORS);
        all
    }

    /// Candidate vectors, and whether they are clusters of differences.
    fn candidates(&self, cloud: &[Vector]) -> Result<(Vec<Vector>, bool)> {
        if cloud.len() > self.min_points {
            let mut all = differences(cloud, self.min_delta, self.max_delta.unwrap_or(f64::INFINITY));
            all.truncate(MOST_CLUSTERED);
            let hdbscan = Hdbscan {
                min_cluster_size: (cloud.len() / self.cluster_fraction).max(2),
                min_samples: Some((cloud.len() / self.sample_fraction).max(1)),
                ..Hdbscan::default()
            };
            let mut candidates = clustered(&all, &hdbscan, self.tolerance)?;
            candidates.truncate(self.max_candidates);
            if candidates.len() >= self.min_candidates {
                return Ok((candidates, true));
            }
        }
        Ok((self.brute(cloud), false))
    }

    fn best_of(
        &self,
        cloud: &[Vector],
        weights: &[f64],
        guess: Vector,
        origins: &[Vector],
        candidates: &[Vector],
    ) -> Option<LatticeMatch> {
        let matcher = self.matcher();
        let mut scratch = Scratch::default();
        let mut best: Option<(f64, Lattice)> = None;
        for &zero in origins {
            for (n, &a) in candidates.iter().enumerate() {
                for &b in &candidates[n + 1..] {
                    let start = Lattice { zero, a, b };
                    if !self.acceptable(&start) {
                        continue;
                    }
                    let Some(fit) = matcher.fast_checked(cloud, weights, &start, &mut scratch, |l| self.acceptable(l)) else {
                        continue;
                    };
                    let sum: f64 = weights
                        .iter()
                        .zip(scratch.matched())
                        .filter(|(_, m)| **m)
                        .map(|(w, _)| w)
                        .sum();
                    let l = fit.lattice;
                    let merit = sum * sum * l.area().abs() / (dot(l.a, l.a) + dot(l.b, l.b));
                    if best.is_none_or(|(m, _)| merit > m) {
                        best = Some((merit, start));
                    }
                }
            }
        }
        // The winner once more, for its points.
        let (merit, start) = best?;
        let mut fit = matcher.fast_checked(cloud, weights, &start, &mut scratch, |l| self.acceptable(l))?;
        let points: Vec<usize> = (0..cloud.len()).filter(|&n| scratch.matched()[n]).collect();
        let mut indices: Vec<[i32; 2]> = points.iter().map(|&n| scratch.indices()[n]).collect();
        if self.recipe == Recipe::Default {
            let target = basis::canonical_at(&fit.lattice, guess)?;
            let change = basis::change_of_basis(&fit.lattice, &target)?;
            for index in &mut indices {
                *index = change.index(*index)?;
            }
            let spots = points.iter().zip(&indices);
            fit = fit::fit(spots.map(|(&n, &index)| Spot {
                position: cloud[n],
                index,
                weight: weights[n],
            }))?;
        }
        Some(LatticeMatch {
            fit,
            points,
            indices,
            merit,
        })
    }

    /// Positions to try as the origin.
    fn origins(&self, cloud: &[Vector], guess: Vector) -> Vec<Vector> {
        if self.recipe == Recipe::Published {
            return vec![guess];
        }
        let away = |p: &Vector| length([p[0] - guess[0], p[1] - guess[1]]);
        let mut near = cloud.to_vec();
        near.sort_by(|p, q| away(p).total_cmp(&away(q)));
        near.truncate(ORIGINS);
        near.push(guess);
        near
    }

    /// Angle and lengths within their limits.
    fn acceptable(&self, l: &Lattice) -> bool {
        let (a, b) = (length(l.a), length(l.b));
        let line_angle = cross(l.a, l.b).abs().atan2(dot(l.a, l.b).abs());
        let longest = self.max_delta.unwrap_or(f64::INFINITY);
        line_angle > self.min_angle && a.min(b) >= self.min_delta && a.max(b) <= longest
    }
}
