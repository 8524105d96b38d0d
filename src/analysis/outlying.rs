//! Values of a matrix that stand alone: what a cosmic ray leaves in one pixel of one frame, a frame that is unlike all others, a pixel that
//! varies on its own.
//!
//! Such a value gives its column a variance that belongs to no component, and with it the edge of the noise (see [`super::pca`]) rises above
//! real ones; such a row makes a component of its own. Neither says anything of groups of rows. Both are told by being alone: at most two
//! rows take part. Matrices without them keep every bit.
//!
//! A column that varies on its own in many rows, as an unstable pixel or channel does, raises the edge likewise. What no other column
//! shares is noise to the law of that edge, however large, so the column cannot show anything itself.

use super::pca::{Components, back};
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Fewest rows among which one can stand alone.
const LEAST_ROWS: usize = 16;
/// How many times as far as the others a value is that stands alone. The farthest of a thousand normal values is 1.2 times as far as the
/// third, of a thousand counts of an almost empty channel at most two times.
const FARTHER: f64 = 3.0;
/// Share of the sum of squares of a component that one or two rows carry which stand alone.
const CARRIED: f64 = 0.9;
/// Fewest columns among which one can vary on its own, and their share that may do so.
const LEAST_COLUMNS: usize = 16;
const FEW: f64 = 0.05;
/// Share of a column in a component (the square of its entry) above which the component is rather that of the column.
const OWNED: f64 = 0.3;
/// Share of its variance that a column on its own has in common with any other at most, and chance between independent columns in units of
/// one over the number of rows: the largest of ten thousand squared correlations is about 15 of these.
const SHARED: f64 = 0.1;
const CHANCE: f64 = 20.0;
/// Columns that one thread works on.
const STRIPE: usize = 32;

/// The extremes of one column.
#[derive(Clone, Copy)]
struct Extremes {
    /// Row and value of the three largest, descending, and of the three smallest, ascending.
    high: [(usize, f64); 3],
    low: [(usize, f64); 3],
    sum: f64,
}

impl Extremes {
    const NONE: Extremes = Extremes {
        high: [(usize::MAX, f64::NEG_INFINITY); 3],
        low: [(usize::MAX, f64::INFINITY); 3],
        sum: 0.0,
    };

    fn add(&mut self, row: usize, v: f64) {
        self.sum += v;
        insert(&mut self.high, (row, v), |a, b| a > b);
        insert(&mut self.low, (row, v), |a, b| a < b);
    }

    /// The two values farthest from the mean, and what the others of the column reach.
    fn split(&self, rows: usize) -> Split {
        let mean = self.sum / rows as f64;
        let mut all: Vec<(usize, f64)> = self.high.iter().chain(&self.low).copied().collect();
        all.sort_by(|a, b| (b.1 - mean).abs().total_cmp(&(a.1 - mean).abs()).then(a.0.cmp(&b.0)));
        all.dedup();
        let apart = [all[0], all[1]];
        let rest = |of: &[(usize, f64); 3]| of.iter().find(|e| apart.iter().all(|a| a.0 != e.0)).map_or(mean, |e| e.1);
        Split {
            apart,
            low: rest(&self.low),
            high: rest(&self.high),
            mean: (self.sum - apart[0].1 - apart[1].1) / (rows - 2) as f64,
        }
    }
}

/// A column as two values and all others.
struct Split {
    apart: [(usize, f64); 2],
    low: f64,
    high: f64,
    mean: f64,
}

impl Split {
    /// How far the others lie from their mean at most.
    fn reach(&self) -> f64 {
        (self.high - self.mean).max(self.mean - self.low)
    }
}

/// Puts an entry in its place in a list of the first three.
fn insert(list: &mut [(usize, f64); 3], mut entry: (usize, f64), before: impl Fn(f64, f64) -> bool) {
    for place in list {
        if before(entry.1, place.1) {
            std::mem::swap(place, &mut entry);
        }
    }
}

/// What [`clip`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clipped {
    /// Values.
    pub values: usize,
    /// Rows that held them.
    pub rows: usize,
}

/// Sets values that stand alone to the mean of the others of their column, which says nothing: at most two of a column, which are three times as far
/// from the mean of the others as any of these, and than the values of half of all columns reach.
pub fn clip(values: &mut Array2<f32>) -> Clipped {
    let rows = values.nrows();
    if rows < LEAST_ROWS {
        return Clipped::default();
    }
    let splits = splits(values.view());
    let mut reaches: Vec<f64> = splits.iter().map(Split::reach).filter(|r| *r > 0.0).collect();
    reaches.sort_unstable_by(f64::total_cmp);
    let typical = reaches.get(reaches.len() / 2).copied().unwrap_or(f64::INFINITY);
    let (mut count, mut hit) = (0, BTreeSet::new());
    for (column, split) in splits.iter().enumerate() {
        let far = FARTHER * split.reach().max(typical);
        for (row, _) in split.apart.into_iter().filter(|(_, v)| (v - split.mean).abs() > far) {
            values[[row, column]] = split.mean as f32;
            count += 1;
            hit.insert(row);
        }
    }
    Clipped {
        values: count,
        rows: hit.len(),
    }
}

fn splits(values: ArrayView2<'_, f32>) -> Vec<Split> {
    let (rows, columns) = values.dim();
    let stripes: Vec<Vec<Split>> = (0..columns)
        .into_par_iter()
        .step_by(STRIPE)
        .map(|first| {
            let last = (first + STRIPE).min(columns);
            let mut extremes = vec![Extremes::NONE; last - first];
            for (i, row) in values.slice(s![.., first..last]).rows().into_iter().enumerate() {
                extremes.iter_mut().zip(row).for_each(|(e, v)| e.add(i, f64::from(*v)));
            }
            extremes.iter().map(|e| e.split(rows)).collect()
        })
        .collect();
    stripes.into_iter().flatten().collect()
}

/// Takes the first `count` components that one or two rows carry out of these rows; which rows these were.
pub fn take_out(values: &mut Array2<f32>, found: &Components, count: usize) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    if values.nrows() < LEAST_ROWS {
        return all;
    }
    for (scores, vector) in found.scores.columns().into_iter().zip(found.vectors.columns()).take(count) {
        let mut first = [(usize::MAX, f64::NEG_INFINITY); 3];
        scores
            .iter()
            .enumerate()
            .for_each(|(i, v)| insert(&mut first, (i, v * v), |a, b| a > b));
        let least = CARRIED * scores.iter().map(|v| v * v).sum::<f64>();
        let carriers = match first {
            [a, ..] if a.1 > least => &first[..1],
            [a, b, _] if a.1 + b.1 > least => &first[..2],
            _ => continue,
        };
        for &(row, _) in carriers {
            let score = scores[row];
            let entries = values.row_mut(row);
            entries.into_iter().zip(vector).for_each(|(x, v)| *x -= (score * v) as f32);
            all.insert(row);
        }
    }
    all
}

/// Columns that vary on their own: the standard deviation that components of several columns leave of them is three times that of all but a
/// twentieth of the columns, and no other column shares a tenth of their variance.
pub fn own_columns(values: ArrayView2<'_, f32>, found: &Components) -> Vec<usize> {
    let (rows, columns) = values.dim();
    if rows < LEAST_ROWS || columns < LEAST_COLUMNS {
        return Vec::new();
    }
    let mut own = found.column_variances.clone();
    for (vector, variance) in found.vectors.columns().into_iter().zip(&found.variances) {
        for (o, v) in own.iter_mut().zip(vector).filter(|(_, v)| *v * *v < OWNED) {
            *o -= variance * v * v;
        }
    }
    let mut sorted = own.clone();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let most = ((FEW * columns as f64) as usize).max(1);
    let least = FARTHER * FARTHER * sorted[most].max(0.0);
    let loud: Vec<usize> = (0..columns).filter(|&c| least > 0.0 && own[c] > least).collect();
    if loud.is_empty() {
        return loud;
    }
    let scores = Array2::from_shape_fn((rows, loud.len()), |(i, k)| {
        f64::from(values[[i, loud[k]]]) - found.mean[loud[k]]
    });
    let products = back(values, &found.mean, &scores);
    let shared = |k: usize| {
        let others = (0..columns).filter(|&c| c != loud[k] && found.column_variances[c] > 0.0);
        let squared = others.map(|c| (products[[c, k]] / rows as f64).powi(2) / found.column_variances[c]);
        squared.fold(0.0, f64::max) / found.column_variances[loud[k]]
    };
    let limit = SHARED.max(CHANCE / rows as f64);
    (0..loud.len()).filter(|&k| shared(k) < limit).map(|k| loud[k]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::pca::principal;
    use crate::control::Control;
    use crate::rng::Source;

    /// Counts of mean 4 as the features of patterns hold them, the last column of an almost empty channel.
    fn clean() -> Array2<f32> {
        let mut numbers = Source::new(3, 0).sequence(0);
        Array2::from_shape_fn((400, 40), |(i, c)| {
            let count = if c == 39 {
                f64::from(i == 7)
            } else {
                (4.0 + 2.0 * numbers.normal()).max(0.0).round()
            };
            (count.sqrt() + (count + 1.0).sqrt()) as f32
        })
    }

    #[test]
    fn values_that_stand_alone_are_set_to_the_mean_of_the_others() {
        let mut values = clean();
        assert_eq!(clip(&mut values), Clipped::default());
        assert_eq!(values, clean());
        // Two in one column, one below all others, and two of one row.
        for (row, column, v) in [(5, 3, 80.0), (9, 3, 60.0), (11, 8, -40.0), (20, 12, 50.0), (20, 13, 50.0)] {
            values[[row, column]] = v;
        }
        assert_eq!(clip(&mut values), Clipped { values: 5, rows: 4 });
        let mean = |c: usize, rows: &[usize]| {
            let of = clean();
            let others: Vec<f64> = (0..400)
                .filter(|i| !rows.contains(i))
                .map(|i| f64::from(of[[i, c]]))
                .collect();
            others.iter().sum::<f64>() / others.len() as f64
        };
        // The mean leaves out the two farthest values, be the second alone or not.
        let close = |row: usize, column: usize, rows: &[usize]| {
            let found = f64::from(values[[row, column]]);
            (found - mean(column, rows)).abs() < 0.02
        };
        assert!(close(5, 3, &[5, 9]) && close(9, 3, &[5, 9]) && close(11, 8, &[11]) && close(20, 12, &[20]));
        // Three rows are a group, if a small one; and few rows say nothing.
        let mut three = clean();
        for row in [1, 2, 3] {
            three[[row, 5]] = 70.0;
        }
        assert_eq!(clip(&mut three).values, 0);
        let mut few = clean().slice(s![..10, ..]).to_owned();
        few[[4, 4]] = 1e4;
        assert_eq!(clip(&mut few).values, 0);
    }

    #[test]
    fn a_row_unlike_all_others_makes_no_component() {
        let mut values = clean();
        // Half of the rows differ from the others: a component of all.
        values.slice_mut(s![..200, ..20]).mapv_inplace(|v| v + 2.0);
        let before = values.clone();
        let components = |v: &Array2<f32>| principal(v.view(), 5, &Control::new()).unwrap();
        assert!(take_out(&mut values, &components(&before), 5).is_empty());
        assert_eq!(values, before);
        values.row_mut(30).slice_mut(s![20..]).mapv_inplace(|v| v + 300.0);
        let found = components(&values);
        assert!(found.variances[0] > 1000.0);
        assert_eq!(take_out(&mut values, &found, 5).into_iter().collect::<Vec<_>>(), [30]);
        let after = components(&values);
        let clean = components(&before);
        assert!(
            (after.variances[0] / clean.variances[0] - 1.0).abs() < 0.01,
            "{:?}",
            after.variances
        );
        assert_eq!(after.significant(), 1);
    }

    #[test]
    fn columns_that_vary_on_their_own_are_told() {
        let mut values = clean();
        values.slice_mut(s![..200, ..20]).mapv_inplace(|v| v + 2.0);
        let own = |v: &Array2<f32>| own_columns(v.view(), &principal(v.view(), 5, &Control::new()).unwrap());
        assert_eq!(own(&values), [0; 0]);
        // A column that varies with others is not one of these, however much it does.
        let mut loud = values.clone();
        loud.column_mut(7).mapv_inplace(|v| 20.0 * v);
        assert_eq!(own(&loud), [0; 0]);
        // Nine rows in a hundred, whatever the others do: they hide the component.
        let blink = |v: &mut Array2<f32>, c: usize| (0..400).filter(|i| i % 11 == c % 7).for_each(|i| v[[i, c]] += 40.0);
        blink(&mut values, 25);
        let found = principal(values.view(), 5, &Control::new()).unwrap();
        assert_eq!((own_columns(values.view(), &found), found.significant()), (vec![25], 0));
        blink(&mut values, 31);
        assert_eq!(own(&values), [25, 31]);
        // Three of forty are more than few.
        blink(&mut values, 36);
        assert_eq!(own(&values), [0; 0]);
        assert_eq!(own(&values.slice(s![.., 20..32]).to_owned()), [0; 0]);
    }
}
