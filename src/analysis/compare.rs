//! How alike two segmentations are.

use crate::error::{Error, Result};
use ndarray::Array2;
use std::collections::BTreeMap;

/// How many positions have label i in `a` and label j in `b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contingency {
    /// The labels of `a` that occur, ascending: the rows.
    pub rows: Vec<i32>,
    /// The labels of `b` that occur, ascending: the columns.
    pub columns: Vec<i32>,
    /// Counts.
    pub counts: Array2<u64>,
}

/// The contingency table of two labellings of the same positions. Positions with a negative label in either are left out.
///
/// # Errors
/// [`Error::Parameter`] if the lengths differ.
pub fn contingency(a: &[i32], b: &[i32]) -> Result<Contingency> {
    if a.len() != b.len() {
        return Err(Error::parameter(
            "labels",
            format!("{} and {} positions cannot be compared", a.len(), b.len()),
        ));
    }
    let pairs = || a.iter().zip(b).filter(|(a, b)| **a >= 0 && **b >= 0);
    let number = |labels: &mut dyn Iterator<Item = i32>| {
        let mut index: BTreeMap<i32, usize> = labels.map(|l| (l, 0)).collect();
        index.values_mut().enumerate().for_each(|(i, v)| *v = i);
        index
    };
    let (row, column) = (number(&mut pairs().map(|p| *p.0)), number(&mut pairs().map(|p| *p.1)));
    let mut counts = Array2::zeros((row.len(), column.len()));
    for (a, b) in pairs() {
        counts[[row[a], column[b]]] += 1;
    }
    Ok(Contingency {
        rows: row.into_keys().collect(),
        columns: column.into_keys().collect(),
        counts,
    })
}

/// How alike labellings are that share no labelled position: entirely if both found nothing, else not at all. Without this, a labelling
/// that found nothing would count as equal to every other.
fn nothing_shared(a: &[i32], b: &[i32]) -> f64 {
    let empty = |labels: &[i32]| labels.iter().all(|l| *l < 0);
    if empty(a) && empty(b) { 1.0 } else { 0.0 }
}

/// The adjusted Rand index of two labellings: 1 for equal partitions, about 0 for independent ones, whatever the numbers of the
/// labels. Positions with a negative label in either are left out. 1 if one position is left; if none is, 1 for two labellings without
/// any label, else 0. L. Hubert, P. Arabie, *J. Classif.* 2 (1985) 193.
///
/// # Errors
/// [`Error::Parameter`] if the lengths differ.
pub fn adjusted_rand_index(a: &[i32], b: &[i32]) -> Result<f64> {
    let table = contingency(a, b)?.counts;
    if table.is_empty() {
        return Ok(nothing_shared(a, b));
    }
    let pairs = |n: u64| u128::from(n) * u128::from(n.saturating_sub(1)) / 2;
    let sum = |counts: &mut dyn Iterator<Item = u64>| counts.map(pairs).sum::<u128>() as f64;
    let together = sum(&mut table.iter().copied());
    let in_a = sum(&mut table.rows().into_iter().map(|r| r.sum()));
    let in_b = sum(&mut table.columns().into_iter().map(|c| c.sum()));
    let all = pairs(table.sum()) as f64;
    if all == 0.0 {
        return Ok(1.0);
    }
    let expected = in_a / all * in_b;
    let largest = (in_a + in_b) / 2.0;
    // Both all in one cluster, or both all apart: the partitions are equal.
    if largest == expected {
        Ok(1.0)
    } else {
        Ok((together - expected) / (largest - expected))
    }
}

/// The normalised mutual information of two labellings, 2 I(a, b)/(H(a) + H(b)): 1 for equal partitions, 0 for independent ones. Positions
/// with a negative label in either are left out. 1 if both put everything in one cluster; if no position is left, 1 for two labellings
/// without any label, else 0. A. Strehl, J. Ghosh, *J. Mach. Learn. Res.* 3 (2002) 583, with the arithmetic mean of the entropies.
///
/// # Errors
/// [`Error::Parameter`] if the lengths differ.
pub fn normalised_mutual_information(a: &[i32], b: &[i32]) -> Result<f64> {
    let table = contingency(a, b)?.counts.mapv(|c| c as f64);
    if table.is_empty() {
        return Ok(nothing_shared(a, b));
    }
    let all = table.sum();
    let (rows, columns) = (table.sum_axis(ndarray::Axis(1)), table.sum_axis(ndarray::Axis(0)));
    let entropy = |counts: &ndarray::Array1<f64>| -> f64 { counts.iter().map(|c| -c / all * (c / all).ln()).sum() };
    let mean = (entropy(&rows) + entropy(&columns)) / 2.0;
    if mean <= 0.0 {
        return Ok(1.0);
    }
    let mut information = 0.0;
    for ((r, c), &n) in table.indexed_iter().filter(|(_, n)| **n > 0.0) {
        information += n / all * (n * all / (rows[r] * columns[c])).ln();
    }
    Ok((information / mean).max(0.0))
}
