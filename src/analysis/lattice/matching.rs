//! Matching positions to a lattice that is roughly known, and fitting it: the per-frame step.

use super::fit::{self, Fit, Spot};
use super::{Lattice, Vector, length};
use crate::analysis::Recipe;
use serde::{Deserialize, Serialize};

/// How the distance of a point from its lattice site is measured. With (u, v) the lattice coordinates of the point and
/// du = u − round(u), dv = v − round(v); each part is divided by sqrt(max(1, |u|)) or sqrt(max(1, |v|)), since an error of
/// a or b moves far spots more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchDistance {
    /// |du·a/√max(1,|u|) + dv·b/√max(1,|v|)|: near zero this is the distance in pixels, whatever the angle between a and b.
    #[default]
    Pixels,
    /// hypot(du·|a|/√max(1,|u|), dv·|b|/√max(1,|v|)), as in LiberTEM-blobfinder: the same for a ⟂ b. With an angle γ
    /// between a and b of equal length it is the distance in pixels divided by up to √(1 ± cos γ), depending on the
    /// direction.
    Published,
}

impl From<Recipe> for MatchDistance {
    fn from(recipe: Recipe) -> Self {
        match recipe {
            Recipe::Default => MatchDistance::Pixels,
            Recipe::Published => MatchDistance::Published,
        }
    }
}

/// Parameters of a match.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    /// Points nearer to a site than this match, in px.
    pub tolerance: f64,
    /// Points of smaller weight (elevation) are ignored.
    pub min_weight: f64,
    /// Fewer matched points are no match; at least 3.
    pub min_match: usize,
    /// How distance is measured.
    pub distance: MatchDistance,
}

impl Default for Matcher {
    fn default() -> Self {
        Matcher {
            tolerance: 3.0,
            min_weight: 0.1,
            min_match: 3,
            distance: MatchDistance::Pixels,
        }
    }
}

/// Working memory of [`Matcher::fast`], and what was matched by the last call. Grows to the number of points once.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    indices: Vec<[i32; 2]>,
    matched: Vec<bool>,
}

impl Scratch {
    /// Whether each point of the last call was matched.
    pub fn matched(&self) -> &[bool] {
        &self.matched
    }

    /// Indices (h, k) of each point of the last call; of no meaning for points that were not matched.
    pub fn indices(&self) -> &[[i32; 2]] {
        &self.indices
    }
}

impl Matcher {
    /// Site of `point` on `lattice` if it is near enough. NaN is near nothing.
    #[inline(always)]
    pub fn site(&self, lattice: &Lattice, point: Vector) -> Option<[i32; 2]> {
        let [u, v] = lattice.coordinates(point);
        let (h, k) = (u.round_ties_even(), v.round_ties_even());
        // An index beyond this is no diffraction spot, and would not survive the conversion.
        if !(h.abs() <= 1e6 && k.abs() <= 1e6) {
            return None;
        }
        let (du, dv) = ((u - h) / u.abs().max(1.0).sqrt(), (v - k) / v.abs().max(1.0).sqrt());
        let distance = match self.distance {
            MatchDistance::Pixels => length([du * lattice.a[0] + dv * lattice.b[0], du * lattice.a[1] + dv * lattice.b[1]]),
            MatchDistance::Published => (du * length(lattice.a)).hypot(dv * length(lattice.b)),
        };
        (distance < self.tolerance).then_some([h as i32, k as i32])
    }

    /// Marks the points that lie on `lattice`; how many.
    pub fn find(&self, points: &[Vector], weights: &[f64], lattice: &Lattice, scratch: &mut Scratch) -> usize {
        scratch.indices.clear();
        scratch.matched.clear();
        let mut count = 0;
        for (&p, &w) in points.iter().zip(weights) {
            let site = if w >= self.min_weight { self.site(lattice, p) } else { None };
            count += usize::from(site.is_some());
            scratch.matched.push(site.is_some());
            scratch.indices.push(site.unwrap_or([0, 0]));
        }
        count
    }

    /// Spots marked by the last [`Matcher::find`].
    fn marked<'s>(points: &'s [Vector], weights: &'s [f64], scratch: &'s Scratch) -> impl Iterator<Item = Spot> + Clone + 's {
        let all = points.iter().zip(weights).zip(scratch.indices.iter().zip(&scratch.matched));
        all.filter(|(_, (_, m))| **m)
            .map(|((&position, &weight), (&index, _))| Spot { position, index, weight })
    }

    /// *fast* match: points near the sites of `start` are fitted, matched again with the fitted lattice, and fitted again.
    /// `None` if fewer than `min_match` match in either round or they determine no lattice; then nothing in `scratch` is
    /// marked as matched. `points` and `weights` belong together (the longer one is cut). Allocates only when `scratch`
    /// has seen fewer points before.
    pub fn fast(&self, points: &[Vector], weights: &[f64], start: &Lattice, scratch: &mut Scratch) -> Option<Fit> {
        let found = self.fast_checked(points, weights, start, scratch, |_| true);
        if found.is_none() {
            scratch.matched.fill(false);
        }
        found
    }

    /// [`Matcher::fast`] that also gives up when `accept` refuses the lattice of either fit.
    pub(super) fn fast_checked(
        &self,
        points: &[Vector],
        weights: &[f64],
        start: &Lattice,
        scratch: &mut Scratch,
        accept: impl Fn(&Lattice) -> bool,
    ) -> Option<Fit> {
        let least = self.min_match.max(3);
        if self.find(points, weights, start, scratch) < least {
            return None;
        }
        let first = fit::lattice(Self::marked(points, weights, scratch)).filter(&accept)?;
        if self.find(points, weights, &first, scratch) < least {
            return None;
        }
        fit::fit(Self::marked(points, weights, scratch)).filter(|f| accept(&f.lattice))
    }
}

/// *affine* match: all `points` with the given `indices` are fitted, none is rejected (points of weight 0 have no say).
/// `None` as for [`fit::fit`].
pub fn affine(points: &[Vector], weights: &[f64], indices: &[[i32; 2]]) -> Option<Fit> {
    let spots = points.iter().zip(weights).zip(indices);
    fit::fit(spots.map(|((&position, &weight), &index)| Spot { position, index, weight }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(l: &Lattice, n: i32) -> Vec<Vector> {
        (-n..=n)
            .flat_map(|h| (-n..=n).map(move |k| (h, k)))
            .map(|(h, k)| l.position(h.into(), k.into()))
            .collect()
    }

    #[test]
    fn outliers_and_weak_points_are_left_out() {
        let truth = Lattice {
            zero: [50.0, 60.0],
            a: [2.0, 15.0],
            b: [20.0, -1.0],
        };
        let mut points = grid(&truth, 2);
        points[7][0] += 4.0;
        points[9][1] = f64::NAN;
        let mut weights = vec![1.0; points.len()];
        weights[3] = 0.09;
        weights[4] = f64::NAN;
        points[3][0] += 2.0;
        let start = Lattice {
            zero: [51.0, 59.2],
            a: [2.4, 15.2],
            b: [19.8, -0.6],
        };
        let mut scratch = Scratch::default();
        let f = Matcher::default().fast(&points, &weights, &start, &mut scratch).unwrap();
        assert_eq!(f.matched, 21);
        for n in 0..25 {
            assert_eq!(scratch.matched()[n], ![3, 4, 7, 9].contains(&n), "point {n}");
        }
        assert!(length([f.lattice.a[0] - 2.0, f.lattice.a[1] - 15.0]) < 1e-12);
        let weights = vec![0.0; 25];
        assert!(Matcher::default().fast(&points, &weights, &start, &mut scratch).is_none());
        assert!(scratch.matched().iter().all(|m| !m));
    }

    /// Both kinds of distance are the same for a ⟂ b; for 60° only one is the distance in pixels.
    #[test]
    fn distance_in_oblique_lattices_is_in_pixels() {
        let oblique = Lattice {
            zero: [0.0, 0.0],
            a: [0.0, 20.0],
            b: [20.0 * 3f64.sqrt() / 2.0, 10.0],
        };
        let pixels = Matcher::default();
        let published = Matcher {
            distance: MatchDistance::Published,
            ..pixels
        };
        for n in 0..360 {
            let angle = f64::from(n).to_radians();
            for (r, inside) in [(2.9, true), (3.1, false)] {
                let p = super::super::from_polar(r, angle);
                assert_eq!(pixels.site(&oblique, p).is_some(), inside, "{n}° {r}");
            }
        }
        // 2.6 px off between −a and b (both coordinates large): LiberTEM's rule rejects it; 3.4 px off along a + b:
        // accepted.
        let off = |r: f64, degrees: f64| super::super::from_polar(r, degrees.to_radians());
        assert_eq!(published.site(&oblique, off(2.6, 120.0)), None);
        assert_eq!(published.site(&oblique, off(3.4, 30.0)), Some([0, 0]));
        let square = Lattice {
            b: [20.0, 0.0],
            ..oblique
        };
        for n in 0..100 {
            let p = [-40.0 + 0.83 * f64::from(n), 35.0 - 0.57 * f64::from(n)];
            assert_eq!(pixels.site(&square, p), published.site(&square, p));
        }
    }
}
