//! Columns about their median, in units of their interquartile range.

use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;

/// Columns that are sorted together: neighbours in memory.
const PANEL: usize = 16;

/// Centre and scale of columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Robust {
    /// Median of each column.
    pub centre: Vec<f64>,
    /// Interquartile range of each column, 1 where it is below ten units of rounding: such columns are only centred.
    pub scale: Vec<f64>,
}

impl Robust {
    /// Medians and interquartile ranges of the columns of `values` (rows, columns), each multiplied by its entry of `weight` first. Percentiles
    /// are interpolated linearly between order statistics: (n − 1) q.
    pub fn of(values: ArrayView2<'_, f32>, weight: &[f64]) -> Robust {
        let columns = values.ncols();
        let panels: Vec<Vec<(f64, f64)>> = (0..columns)
            .into_par_iter()
            .step_by(PANEL)
            .map(|first| {
                let count = PANEL.min(columns - first);
                let mut sorted = vec![Vec::with_capacity(values.nrows()); count];
                for row in values.rows() {
                    for (k, column) in sorted.iter_mut().enumerate() {
                        column.push(f64::from(row[first + k]) * weight.get(first + k).copied().unwrap_or(1.0));
                    }
                }
                sorted.iter_mut().map(|c| centre_and_scale(c)).collect()
            })
            .collect();
        let (centre, scale) = panels.into_iter().flatten().unzip();
        Robust { centre, scale }
    }

    /// (weight · value − centre) / scale of every value, in place, computed in float64.
    pub fn apply(&self, mut values: ArrayViewMut2<'_, f32>, weight: &[f64]) {
        values.outer_iter_mut().into_par_iter().for_each(|mut row| {
            for (k, v) in row.iter_mut().enumerate() {
                let w = weight.get(k).copied().unwrap_or(1.0);
                *v = ((f64::from(*v) * w - self.centre[k]) / self.scale[k]) as f32;
            }
        });
    }
}

fn centre_and_scale(column: &mut [f64]) -> (f64, f64) {
    if column.is_empty() {
        return (0.0, 1.0);
    }
    column.sort_unstable_by(f64::total_cmp);
    let (low, median, high) = (percentile(column, 0.25), percentile(column, 0.5), percentile(column, 0.75));
    let range = high - low;
    (median, if range < 10.0 * f64::EPSILON { 1.0 } else { range })
}

/// The value below which a share `q` of sorted values lies; NaN without any.
pub fn percentile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len().saturating_sub(1)) as f64;
    let (below, t) = (at.floor() as usize, at - at.floor());
    let (Some(&a), Some(&b)) = (sorted.get(below), sorted.get((below + 1).min(sorted.len().saturating_sub(1)))) else {
        return f64::NAN;
    };
    // From the nearer end, so that equal values stay equal.
    if t < 0.5 { a + (b - a) * t } else { b - (b - a) * (1.0 - t) }
}

/// The median of finite values; NaN without any.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    median_of(&mut values.into_iter().filter(|v| v.is_finite()).collect::<Vec<_>>())
}

/// The median of values without NaN, which change their order: the middle one, of an even number the mean of the two in the middle; NaN of none.
pub fn median_of(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut middle, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    match n % 2 {
        1 => middle,
        _ => (middle + below.iter().copied().fold(f64::NEG_INFINITY, f64::max)) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_values() {
        assert!(percentile(&[], 0.9).is_nan());
        assert_eq!(percentile(&[3.0], 0.9), 3.0);
        assert_eq!(percentile(&[1.0, 3.0], 0.5), 2.0);
        assert_eq!(percentile(&[1.0, 3.0, 4.0], 1.0), 4.0);
    }

    #[test]
    fn medians_of_few_values() {
        assert!(median([]).is_nan() && median([f64::NAN]).is_nan());
        assert_eq!(median([5.0, f64::INFINITY, 1.0, 2.0]), 2.0);
        assert_eq!(median([5.0, 1.0, 2.0, 4.0]), 3.0);
    }
}
