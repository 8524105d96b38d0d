//! How fast something wanders, from where it was seen: positions (y, x) at equal steps of time, with gaps.
//!
//! *Covariance estimator* (C. L. Vestergaard, P. C. Blainey, H. Flyvbjerg, *Phys. Rev. E* 89 (2014) 022726): in each dimension
//! D = ⟨Δ²⟩/(2τ) + ⟨Δₙ Δₙ₊₁⟩/τ with the displacements Δ of single steps τ; the second term takes out what errors of the positions add. The variance
//! of those errors is −⟨Δₙ Δₙ₊₁⟩.
//!
//! *Mean square displacement*: ⟨|r(t+n τ) − r(t)|²⟩ = 4 D n τ + 4 σ², D from the slope through the first lags.

use crate::control::Control;
use crate::error::Result;
use crate::rng::Source;

/// What random numbers are for.
const PURPOSE: u8 = 65;
/// Resampled sets of tracks that the interval comes from.
const RESAMPLES: usize = 2000;
/// Steps of a piece: pieces of some steps are nearly independent of each other, so that one long track gives an interval, too.
const PIECE: usize = 6;
/// With fewer pieces resampling gives intervals that are far too narrow (none at all from a single piece).
const FEW: usize = 10;
/// Lags that the slope is taken from.
const LAGS: usize = 4;

/// Positions of one object: frame and (y, x), in order of the frames, each frame once.
pub type Track = [(u32, [f64; 2])];

/// A diffusion coefficient in (unit of the positions)² per (unit of the time step).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Diffusion {
    /// By the covariance estimator; NaN without two steps.
    pub value: f64,
    /// Interval that shall hold the true value in 95 % of all cases; NaN where there are too few steps for one.
    pub low: f64,
    pub high: f64,
    /// Standard deviation of the error of one coordinate of a position, from the same steps.
    pub localisation: f64,
    /// From the slope of the mean square displacement.
    pub from_msd: f64,
    /// Single steps that were used.
    pub steps: usize,
}

/// Sums over the steps of one track, both dimensions together.
#[derive(Clone, Copy, Default)]
struct Sums {
    squares: f64,
    steps: usize,
    products: f64,
    pairs: usize,
    /// Three steps in a row.
    triples: usize,
    /// Squares of the steps' squares.
    fourths: f64,
}

impl Sums {
    fn of(track: &Track) -> Self {
        let mut sums = Sums::default();
        let mut before: Option<[f64; 2]> = None;
        let mut row = 0;
        for pair in track.windows(2) {
            let [(f0, p0), (f1, p1)] = [pair[0], pair[1]];
            if f1 != f0 + 1 {
                (before, row) = (None, 0);
                continue;
            }
            let step = [p1[0] - p0[0], p1[1] - p0[1]];
            let square = step[0] * step[0] + step[1] * step[1];
            sums.squares += square;
            sums.fourths += square * square;
            sums.steps += 1;
            row += 1;
            sums.triples += usize::from(row > 2);
            if let Some(b) = before {
                sums.products += step[0] * b[0] + step[1] * b[1];
                sums.pairs += 1;
            }
            before = Some(step);
        }
        sums
    }
    fn add(&mut self, other: &Sums) {
        self.squares += other.squares;
        self.steps += other.steps;
        self.products += other.products;
        self.pairs += other.pairs;
        self.triples += other.triples;
        self.fourths += other.fourths;
    }
    /// Mean over both dimensions of the covariance of neighbouring steps.
    fn covariance(&self) -> f64 {
        if self.pairs == 0 {
            0.0
        } else {
            self.products / (2 * self.pairs) as f64
        }
    }
    fn diffusion(&self, time: f64) -> f64 {
        self.squares / (4 * self.steps) as f64 / time + self.covariance() / time
    }
    /// Standard deviation of [`Sums::diffusion`], see [`diffusion()`].
    fn deviation(&self, time: f64) -> f64 {
        let [steps, pairs, triples] = [self.steps, self.pairs, self.triples].map(|n| n as f64);
        let (a, b) = (self.squares / (2.0 * steps), self.covariance());
        // In one dimension, of the sum of squares, that of products, and both together.
        let squares = 2.0 * (steps * a * a + 2.0 * pairs * b * b);
        let products = pairs * (a * a + b * b) + 2.0 * triples * b * b;
        let both = 4.0 * a * b * pairs;
        let mut variance = squares / (4.0 * steps * steps);
        if self.pairs > 0 {
            variance += products / (pairs * pairs) + both / (steps * pairs);
        }
        // Hops vary more than normal steps, whose squares' squares have the mean 8 a².
        let excess = (self.fourths - 8.0 * a * a * steps).max(0.0) / (16.0 * steps * steps);
        (variance.max(0.0) / 2.0 + excess).sqrt() / time
    }
}

/// The diffusion coefficient common to `tracks`, `time` between frames.
///
/// With 10 and more pieces of about 6 steps the interval comes from pieces drawn again at random (bootstrap); `seed` makes it repeatable. Fewer pieces
/// vary too little among themselves. Then it is D ± 1.96 standard deviations, the low end not below 0, none (NaN) with fewer than three steps. The
/// variance is that of Vestergaard, Blainey and Flyvbjerg for displacements with variance a = ⟨Δ²⟩ and covariance b = ⟨Δₙ Δₙ₊₁⟩ of neighbours, added
/// up over tracks and gaps: with N steps, M pairs and T triples in a row, in each of two dimensions
/// var(D) τ² = (N a² + 2 M b²)/(2 N²) + (M (a² + b²) + 2 T b²)/M² + 4 a b/N, for one long track D² ((6 + 4ε + 2ε²)/N + 4 (1 + ε)²/N²) with
/// ε = −b/(D τ). As measured a and b enter, not D and ε: a small D by chance would make the interval narrow just where it is far off. What
/// Σ|Δ|⁴ exceeds that of normal steps by is added, for hops. In simulations with errors of 0 to 1 √(D τ) it holds the true value in 0.87 (one track of 4
/// points), 0.89 to 0.96 (8 points), 0.92 to 0.96 (3 × 8 or 31 points) of all cases; hops with a chance of 0.22 a frame: 0.83, 0.93.
///
/// # Errors
/// [`crate::Error::Cancelled`].
pub fn diffusion(tracks: &[&Track], time: f64, seed: u64, control: &Control) -> Result<Diffusion> {
    let mut pieces = Vec::new();
    let mut all = Sums::default();
    for track in tracks {
        all.add(&Sums::of(track));
        let mut at = 0;
        while at + 2 < track.len() || (at == 0 && track.len() == 2) {
            let end = (at + PIECE).min(track.len() - 1);
            // The last piece takes what would be too short for one of its own.
            let end = if track.len() - 1 - end < PIECE / 2 {
                track.len() - 1
            } else {
                end
            };
            pieces.push(Sums::of(&track[at..=end]));
            at = end;
        }
    }
    if all.steps < 2 {
        let value = if all.steps == 0 { f64::NAN } else { all.diffusion(time) };
        return Ok(Diffusion {
            value,
            low: f64::NAN,
            high: f64::NAN,
            localisation: f64::NAN,
            from_msd: f64::NAN,
            steps: all.steps,
        });
    }
    let value = all.diffusion(time);
    let [low, high] = match pieces.iter().filter(|p| p.steps > 0).count() {
        FEW.. => resampled(&pieces, time, seed, control)?,
        _ if all.steps < 3 => [f64::NAN; 2],
        _ => [-1.96, 1.96].map(|k| (value + k * all.deviation(time)).max(0.0)),
    };
    Ok(Diffusion {
        value,
        low,
        high,
        localisation: (-all.covariance()).max(0.0).sqrt(),
        from_msd: slope(&mean_square_displacement(tracks, LAGS)) / (4.0 * time),
        steps: all.steps,
    })
}

/// The middle 95 % of diffusion coefficients from `pieces` drawn again.
fn resampled(pieces: &[Sums], time: f64, seed: u64, control: &Control) -> Result<[f64; 2]> {
    let mut random = Source::new(seed, PURPOSE).sequence(0);
    let mut drawn: Vec<f64> = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        control.check()?;
        let mut sums = Sums::default();
        for _ in 0..pieces.len() {
            sums.add(&pieces[random.below(pieces.len())]);
        }
        drawn.extend((sums.steps > 0).then(|| sums.diffusion(time)));
    }
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| {
        drawn
            .get((share * (drawn.len().saturating_sub(1)) as f64).round() as usize)
            .copied()
            .unwrap_or(f64::NAN)
    };
    Ok([at(0.025), at(0.975)])
}

/// Mean square displacement at lags of 1 … `lags` steps, and the number of displacements behind it.
pub fn mean_square_displacement(tracks: &[&Track], lags: usize) -> Vec<(f64, usize)> {
    let mut sums = vec![(0.0, 0usize); lags];
    for track in tracks {
        for (i, (f0, p0)) in track.iter().enumerate() {
            for (f1, p1) in &track[i + 1..] {
                let lag = (f1 - f0) as usize;
                if lag > lags {
                    break;
                }
                if lag > 0 {
                    sums[lag - 1].0 += (p1[0] - p0[0]).powi(2) + (p1[1] - p0[1]).powi(2);
                    sums[lag - 1].1 += 1;
                }
            }
        }
    }
    sums.into_iter().map(|(sum, n)| (sum / n as f64, n)).collect()
}

/// Slope per lag of a line through the means, weighted by their numbers.
fn slope(msd: &[(f64, usize)]) -> f64 {
    let known = msd.iter().enumerate().filter(|(_, m)| m.1 > 0);
    let (mut n, mut x, mut y) = (0.0, 0.0, 0.0);
    for (i, &(mean, count)) in known.clone() {
        let (w, lag) = (count as f64, (i + 1) as f64);
        n += w;
        x += w * lag;
        y += w * mean;
    }
    let (x, y) = (x / n, y / n);
    let (mut up, mut down) = (0.0, 0.0);
    for (i, &(mean, count)) in known {
        let (w, away) = (count as f64, (i + 1) as f64 - x);
        up += w * away * (mean - y);
        down += w * away * away;
    }
    up / down
}

/// What the published notebook calls the diffusion coefficient: the variance of the positions about their mean by four times the number of points and
/// the time step. It is 6 to 11 times too small: a variance about the mean is no mean square displacement.
pub fn published(positions: &[[f64; 2]], time: f64) -> f64 {
    let c = covariance(positions);
    let n = positions.len() as f64;
    (c[0][0] + c[1][1]) * (n - 1.0) / n / (4.0 * n * time)
}

/// Covariance (y, x) of positions with n − 1.
pub fn covariance(positions: &[[f64; 2]]) -> [[f64; 2]; 2] {
    let n = positions.len() as f64;
    let mean = [0, 1].map(|k| positions.iter().map(|p| p[k]).sum::<f64>() / n);
    let of = |i: usize, j: usize| positions.iter().map(|p| (p[i] - mean[i]) * (p[j] - mean[j])).sum::<f64>() / (n - 1.0);
    [[of(0, 0), of(0, 1)], [of(1, 0), of(1, 1)]]
}

/// The ellipse of a covariance (y, x) at `deviations` standard deviations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ellipse {
    /// Eigenvalues, largest first.
    pub variances: [f64; 2],
    /// Direction of the longer axis: angle from +y towards +x in radians, 0 … π.
    pub angle: f64,
    /// Full lengths of both axes.
    pub axes: [f64; 2],
}

/// The ellipse of a covariance. In two dimensions 2 standard deviations hold 86 % of all points, 2.45 hold 95 %.
pub fn ellipse(covariance: [[f64; 2]; 2], deviations: f64) -> Ellipse {
    let [[yy, yx], [_, xx]] = covariance;
    let (half, root) = ((yy + xx) / 2.0, ((yy - xx) / 2.0).hypot(yx));
    let variances = [half + root, (half - root).max(0.0)];
    let angle = (0.5 * (2.0 * yx).atan2(yy - xx)).rem_euclid(std::f64::consts::PI);
    Ellipse {
        variances,
        angle,
        axes: variances.map(|v| 2.0 * deviations * v.sqrt()),
    }
}
