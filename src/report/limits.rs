//! Which values the colours of a map span.

use ndarray::ArrayView2;

/// Which values the colour map spans.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Limits {
    /// From the 0.5th to the 99.5th percentile of the finite values.
    #[default]
    Auto,
    /// From the smallest to the largest finite value.
    Full,
    /// From the first to the second.
    Fixed(f64, f64),
    /// From −v to v, v the 99.5th percentile of the absolute values: for signed maps.
    SymmetricAboutZero,
}

impl Limits {
    /// The lower and upper limit for `data`; the upper is always above the lower. With `positive`, only values above 0 count
    /// (for logarithmic colours), and without any the result is (0.1, 1).
    pub fn resolve(self, data: ArrayView2<'_, f64>, positive: bool) -> (f64, f64) {
        let mut values: Vec<f64> = data
            .iter()
            .copied()
            .filter(|v| v.is_finite() && (!positive || *v > 0.0))
            .collect();
        if values.is_empty() && !matches!(self, Limits::Fixed(..)) {
            return if positive { (0.1, 1.0) } else { (0.0, 1.0) };
        }
        let (low, high) = match self {
            Limits::Fixed(low, high) => (low, high),
            Limits::Full => values
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v))),
            Limits::Auto => (percentile(&mut values, 0.005), percentile(&mut values, 0.995)),
            Limits::SymmetricAboutZero => {
                let mut sizes: Vec<f64> = values.iter().map(|v| v.abs()).collect();
                let reach = percentile(&mut sizes, 0.995);
                (-reach, reach)
            }
        };
        widen(low, high, positive)
    }
}

/// Limits that span something: a constant map sits in the middle of its colours.
fn widen(low: f64, high: f64, positive: bool) -> (f64, f64) {
    let (low, high) = if low > high { (high, low) } else { (low, high) };
    if !(low.is_finite() && high.is_finite()) {
        return if positive { (0.1, 1.0) } else { (0.0, 1.0) };
    }
    match (positive, high > low) {
        (true, _) if low <= 0.0 && high <= 0.0 => (0.1, 1.0),
        (true, _) if low <= 0.0 => (high * 1e-6, high),
        (true, false) => (low / 2.0, high * 2.0),
        (false, false) => (low - 0.5 * low.abs().max(1.0), high + 0.5 * high.abs().max(1.0)),
        (_, true) => (low, high),
    }
}

/// Nearest-rank percentile, `share` in 0 … 1, of at least one value.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    let rank = ((values.len() - 1) as f64 * share).round() as usize;
    *values.select_nth_unstable_by(rank, f64::total_cmp).1
}

/// Where `value` lies between the limits, 0 … 1 and beyond; NaN stays NaN.
pub(super) fn position(value: f64, (low, high): (f64, f64), log: bool) -> f64 {
    if value.is_nan() {
        f64::NAN
    } else if log {
        if value <= 0.0 {
            0.0
        } else {
            (value / low).ln() / (high / low).ln()
        }
    } else {
        (value - low) / (high - low)
    }
}
