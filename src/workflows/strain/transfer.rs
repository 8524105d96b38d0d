//! The photon transfer line: variances of pixels over their means, and where it meets zero.

/// χ² per bin up to which bins lie on a line.
const STRAIGHT: f64 = 2.0;

/// Pixels of about one level: their number, means of their means m and variances v, and the covariances of m and v.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bin {
    /// Of the darker pixels.
    pub background: bool,
    pub n: f64,
    pub mean: f64,
    pub noise: f64,
    mm: f64,
    mv: f64,
    vv: f64,
}

impl Bin {
    /// The pixels whose means and variances are `values`.
    pub fn of(background: bool, values: &[[f64; 2]]) -> Bin {
        let n = values.len() as f64;
        let [mean, noise] = [0, 1].map(|k| values.iter().map(|v| v[k]).sum::<f64>() / n);
        let (mut mm, mut mv, mut vv) = (0.0, 0.0, 0.0);
        for [m, v] in values {
            let (m, v) = (m - mean, v - noise);
            (mm, mv, vv) = (mm + m * m, mv + m * v, vv + v * v);
        }
        let [mm, mv, vv] = [mm, mv, vv].map(|sum| sum / (n - 1.0));
        Bin {
            background,
            n,
            mean,
            noise,
            mm,
            mv,
            vv,
        }
    }
}

/// Where a line of variances over means meets zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub zero: f64,
    pub error: f64,
}

/// The line through `bins`; `None` if they lie on none that rises. Bins weigh as their variances are known; errors are those of the
/// residuals, or of the pixels' scatter about the line where that is larger, as mean and variance of a pixel share their noise.
pub(super) fn line(bins: &[Bin]) -> Option<Line> {
    let mut scatter: Vec<f64> = bins.iter().map(|b| b.vv).collect();
    scatter.sort_by(f64::total_cmp);
    // A bin in which no pixel saw a difference is not known without error.
    let least = (0.01 * scatter[scatter.len() / 2]).max(1e-9 * scatter.iter().sum::<f64>() / scatter.len() as f64);
    let weights: Vec<f64> = bins.iter().map(|b| b.n / b.vv.max(least)).collect();
    let sum = |of: &dyn Fn(&Bin) -> f64| bins.iter().zip(&weights).map(|(b, w)| w * of(b)).sum::<f64>();
    let all = sum(&|_| 1.0);
    let (m, v) = (sum(&|b| b.mean) / all, sum(&|b| b.noise) / all);
    let mm = sum(&|b| (b.mean - m).powi(2));
    let slope = sum(&|b| (b.mean - m) * (b.noise - v)) / mm;
    let rising = slope > 0.0 && slope.is_finite();
    if !rising {
        return None;
    }
    let (mut found, mut expected) = (0.0, 0.0);
    // Of v, of the slope, and of both.
    let mut variance = [0.0; 3];
    for (b, w) in bins.iter().zip(&weights) {
        let x = b.mean - m;
        let rest = (b.noise - v - slope * x).powi(2);
        let own = ((b.vv - 2.0 * slope * b.mv + slope * slope * b.mm) / b.n).max(0.0);
        (found, expected) = (found + w * rest, expected + w * own);
        let known = w * w * rest.max(own);
        let terms = [known, known * x * x, known * x];
        variance.iter_mut().zip(terms).for_each(|(sum, t)| *sum += t);
    }
    let count = bins.len() as f64;
    let straight = found * count <= STRAIGHT * expected * (count - 2.0);
    let zero = m - v / slope;
    let by_slope = (m - zero) / mm;
    let error = (variance[0] / (all * all) + variance[1] * by_slope * by_slope - 2.0 * variance[2] * by_slope / all).max(0.0);
    straight.then(|| Line {
        zero,
        error: error.sqrt() / slope,
    })
}
