//! Which of the spots is the direct beam.

use super::{Vector, length};

/// How well each point is supported as the direct beam, 0 to 1: half for its brightness, half for the share of the other
/// points that have a partner on the opposite side, within `radius` of the mirrored position. Brightness is the weight
/// relative to the largest; without weights, points count as listed brightest first, and it falls from 1 in equal steps.
pub fn support(points: &[Vector], weights: Option<&[f64]>, radius: f64) -> Vec<f64> {
    let usable = |w: f64| if w.is_finite() { w.max(0.0) } else { 0.0 };
    let top = weights.map_or(1.0, |w| w.iter().copied().map(usable).fold(0.0, f64::max));
    let others = points.len().saturating_sub(1).max(1) as f64;
    let mut all = Vec::with_capacity(points.len());
    for i in 0..points.len() {
        let brightness = match weights.and_then(|w| w.get(i)) {
            Some(&w) if top > 0.0 => usable(w) / top,
            Some(_) => 1.0,
            None => 1.0 - i as f64 / points.len() as f64,
        };
        all.push(0.5 * brightness + 0.5 * paired(points, points[i], Some(i), radius) as f64 / others);
    }
    all
}

/// Points other than number `own` that have a partner, within `radius`, where `p` mirrors them.
fn paired(points: &[Vector], p: Vector, own: Option<usize>, radius: f64) -> usize {
    let others = || points.iter().enumerate().filter(|(j, _)| Some(*j) != own);
    let mirrored = |q: &Vector, r: &Vector| length([2.0 * p[0] - q[0] - r[0], 2.0 * p[1] - q[1] - r[1]]) < radius;
    others()
        .filter(|&(j, q)| others().any(|(k, r)| k != j && mirrored(q, r)))
        .count()
}

/// A list of spots with their weights (heights), if known.
#[derive(Debug, Clone, Copy)]
pub struct Cloud<'a> {
    /// Positions; brightest first if there are no weights.
    pub points: &'a [Vector],
    /// Heights, as many as points.
    pub weights: Option<&'a [f64]>,
}

/// The position best supported as the direct beam by all clouds together (one per cluster of a scan): the direct beam is
/// where all of them have a spot, the others move with the lattice. `radius` (px) should cover the shift of the beam
/// between clusters. The best point of every cloud within `radius` counts with its [`support`]; the result is the mean of
/// these points. Ties: the candidate nearest to the centre of all points, then the first. `None` without finite points.
pub fn direct_beam(clouds: &[Cloud], radius: f64) -> Option<Vector> {
    direct_beam_among(clouds, &[], radius)
}

/// [`direct_beam`], which may also be one of `guesses`, positions known from elsewhere: an overexposed direct beam is no higher than
/// the spots around it and may be in no cloud. A cloud without a point within `radius` of a guess counts with half the share of its
/// points that have a partner on the opposite side of it.
pub fn direct_beam_among(clouds: &[Cloud], guesses: &[Vector], radius: f64) -> Option<Vector> {
    let clouds: Vec<(&[Vector], Vec<f64>)> = clouds
        .iter()
        .map(|c| (c.points, support(c.points, c.weights, radius)))
        .collect();
    let finite = |p: &Vector| p[0].is_finite() && p[1].is_finite();
    let points = || clouds.iter().flat_map(|c| c.0).copied().filter(finite);
    let count = points().count() as f64;
    let centre = points().fold([0.0; 2], |c, p| [c[0] + p[0] / count, c[1] + p[1] / count]);
    let mut best: Option<(f64, f64, Vector)> = None;
    let candidates = points().map(|p| (p, false));
    for (p, guess) in candidates.chain(guesses.iter().copied().filter(finite).map(|p| (p, true))) {
        let (mut score, mut sum, mut near) = (0.0, [0.0; 2], 0.0);
        for (cloud, support) in &clouds {
            let within = cloud
                .iter()
                .zip(support)
                .filter(|(q, _)| length([q[0] - p[0], q[1] - p[1]]) <= radius);
            if let Some((q, s)) = within.max_by(|a, b| a.1.total_cmp(b.1)) {
                score += s;
                sum = [sum[0] + q[0], sum[1] + q[1]];
                near += 1.0;
            } else if guess && !cloud.is_empty() {
                score += 0.5 * paired(cloud, p, None, radius) as f64 / cloud.len() as f64;
            }
        }
        let mean = if near > 0.0 { [sum[0] / near, sum[1] / near] } else { p };
        let off = length([p[0] - centre[0], p[1] - centre[1]]);
        // Sums of the same numbers in the same order are equal for equal sets.
        if best.is_none_or(|(s, o, _)| score > s || (score == s && off < o)) {
            best = Some((score, off, mean));
        }
    }
    best.map(|b| b.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hexagon(zero: Vector, turn: f64) -> Vec<Vector> {
        let mut points: Vec<Vector> = (0..6)
            .map(|n| {
                let d = super::super::from_polar(20.0, turn + f64::from(n) * std::f64::consts::FRAC_PI_3);
                [zero[0] + d[0], zero[1] + d[1]]
            })
            .collect();
        points.push(zero);
        points
    }

    #[test]
    fn the_centre_of_symmetry_without_weights_and_the_brightest_with() {
        let points = hexagon([70.0, 72.0], 0.2);
        assert_eq!(
            direct_beam(
                &[Cloud {
                    points: &points,
                    weights: None
                }],
                3.0
            ),
            Some([70.0, 72.0])
        );
        // Half the pattern is missing: the heights decide.
        let half = [points[6], points[0], points[1], points[2]];
        let weights = [9.0, 3.0, 2.0, 1.0];
        assert_eq!(
            direct_beam(
                &[Cloud {
                    points: &half,
                    weights: Some(&weights)
                }],
                3.0
            ),
            Some([70.0, 72.0])
        );
        assert_eq!(direct_beam(&[], 3.0), None);
        assert_eq!(
            direct_beam(
                &[Cloud {
                    points: &[[f64::NAN; 2]],
                    weights: None
                }],
                3.0
            ),
            None
        );
    }

    /// Clouds whose points have the same weights.
    fn weighted<'a>(clouds: &'a [Vec<Vector>], weights: &'a [f64]) -> Vec<Cloud<'a>> {
        let cloud = |points: &'a Vec<Vector>| Cloud {
            points,
            weights: Some(weights),
        };
        clouds.iter().map(cloud).collect()
    }

    /// Three crystals in different directions whose direct beam is not among their spots.
    #[test]
    fn a_guess_is_taken_where_spots_lie_around_it() {
        let clouds: Vec<Vec<Vector>> = [0.2, 0.5, 0.8].map(|turn| hexagon([70.0, 72.0], turn)[..6].to_vec()).into();
        let weights = [1.0; 6];
        let clouds = weighted(&clouds, &weights);
        assert_ne!(direct_beam(&clouds, 3.0), Some([70.0, 72.0]));
        assert_eq!(direct_beam_among(&clouds, &[[70.0, 72.0]], 3.0), Some([70.0, 72.0]));
        // Where no spots lie around it, it does not matter.
        assert_eq!(direct_beam_among(&clouds, &[[20.0, 30.0]], 3.0), direct_beam(&clouds, 3.0));
    }

    #[test]
    fn clusters_agree_on_the_direct_beam() {
        let a = hexagon([70.0, 72.0], 0.2);
        let b = hexagon([71.0, 72.0], 0.6);
        // The strongest spot of each is another one.
        let weights = [9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 7.0];
        let clouds = [a, b].map(|points| points.to_vec());
        let clouds = weighted(&clouds, &weights);
        assert_eq!(direct_beam(&clouds, 3.0), Some([70.5, 72.0]));
    }
}
