//! Whether repeated runs of a segmentation agree, and where.

use super::compare::{Contingency, adjusted_rand_index, contingency, normalised_mutual_information};
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};

/// How well runs agree. Labels below 0 are no label.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    /// Adjusted Rand index of each pair of runs (runs, runs).
    pub ari: Array2<f64>,
    /// Normalised mutual information of each pair.
    pub nmi: Array2<f64>,
    /// The run that is most like the others: largest mean index, the first among equals; one without any label only if no run has one.
    pub reference: usize,
    /// Labels of every run (runs, points), renamed to match the reference run; labels without a partner there follow after its own.
    pub matched: Array2<i32>,
    /// Share of the runs that give a point the label of the reference run.
    pub with_reference: Vec<f64>,
    /// Share of the pairs of runs that agree on a point, labels matched for each pair.
    pub pairwise: Vec<f64>,
}

/// Compares `labels` (runs, points).
///
/// # Errors
/// [`Error::Parameter`] without runs.
pub fn agreement(labels: ArrayView2<i32>) -> Result<Agreement> {
    let (runs, points) = labels.dim();
    if runs == 0 {
        return Err(Error::parameter("--runs", "at least 1 is needed"));
    }
    let of: Vec<Vec<i32>> = labels.rows().into_iter().map(|r| r.to_vec()).collect();
    let (mut ari, mut nmi) = (Array2::ones((runs, runs)), Array2::ones((runs, runs)));
    let mut pairwise = vec![0.0; points];
    let pairs = (runs * (runs - 1) / 2).max(1) as f64;
    for a in 0..runs {
        for b in a + 1..runs {
            ari[[a, b]] = adjusted_rand_index(&of[a], &of[b])?;
            nmi[[a, b]] = normalised_mutual_information(&of[a], &of[b])?;
            ari[[b, a]] = ari[[a, b]];
            nmi[[b, a]] = nmi[[a, b]];
            let renamed = renamed(&of[b], &of[a])?;
            for (share, (x, y)) in pairwise.iter_mut().zip(renamed.iter().zip(&of[a])) {
                *share += f64::from(u8::from(x == y)) / pairs;
            }
        }
    }
    if runs == 1 {
        pairwise.fill(1.0);
    }
    // Runs that found nothing are all alike, but say nothing about what there is.
    let mut reference = None;
    for run in (0..runs).filter(|&run| of[run].iter().any(|l| *l >= 0)) {
        if reference.is_none_or(|best| ari.row(run).sum() > ari.row(best).sum()) {
            reference = Some(run);
        }
    }
    let reference = reference.unwrap_or(0);
    let mut matched = Array2::zeros((runs, points));
    let mut with_reference = vec![0.0; points];
    for (run, labels) in of.iter().enumerate() {
        let labels = renamed(labels, &of[reference])?;
        for (i, &label) in labels.iter().enumerate() {
            matched[[run, i]] = label;
            with_reference[i] += f64::from(u8::from(label == of[reference][i])) / runs as f64;
        }
    }
    Ok(Agreement {
        ari,
        nmi,
        reference,
        matched,
        with_reference,
        pairwise,
    })
}

/// `labels` renamed so that they coincide with those of `reference` in as many points as possible, one to one. Labels that find no
/// partner get numbers after the largest of the reference.
///
/// # Errors
/// [`Error::Parameter`] if the lengths differ.
pub fn renamed(labels: &[i32], reference: &[i32]) -> Result<Vec<i32>> {
    let Contingency { rows, columns, counts } = contingency(labels, reference)?;
    let partner = assign(counts.mapv(|c| c as f64).view());
    let largest = labels.iter().chain(reference).copied().max().unwrap_or(-1).max(-1);
    let mut name = vec![None; (largest + 1) as usize];
    let mut next = reference.iter().copied().max().unwrap_or(-1).max(-1) + 1;
    for (row, partner) in rows.iter().zip(partner) {
        name[*row as usize] = partner.map(|c| columns[c]);
    }
    // In the order of their numbers, also those whose points all lack a label in the reference.
    let mut present = vec![false; name.len()];
    labels.iter().filter(|l| **l >= 0).for_each(|&l| present[l as usize] = true);
    for (name, _) in name
        .iter_mut()
        .zip(&present)
        .filter(|(name, present)| name.is_none() && **present)
    {
        *name = Some(next);
        next += 1;
    }
    let rename = |&l: &i32| usize::try_from(l).ok().and_then(|l| name[l]).unwrap_or(l);
    Ok(labels.iter().map(rename).collect())
}

/// The one-to-one assignment of rows to columns with the largest sum of `gain`: of each row its column, `None` for rows left over when
/// there are more rows than columns. Hungarian method with potentials, O(n³) (H. W. Kuhn, *Nav. Res. Logist.* 2 (1955) 83; R. Jonker, A. Volgenant,
/// *Computing* 38 (1987) 325).
pub fn assign(gain: ArrayView2<f64>) -> Vec<Option<usize>> {
    let (rows, columns) = gain.dim();
    if rows > columns {
        let mut of = vec![None; rows];
        for (column, row) in assign(gain.t()).into_iter().enumerate() {
            if let Some(row) = row {
                of[row] = Some(column);
            }
        }
        return of;
    }
    // Columns are numbered from 1; column 0 holds the row that is being placed.
    let mut row_price = vec![0.0; rows + 1];
    let mut column_price = vec![0.0; columns + 1];
    let mut taken_by = vec![0; columns + 1];
    for row in 1..=rows {
        taken_by[0] = row;
        let mut at = 0;
        let mut slack = vec![f64::INFINITY; columns + 1];
        let mut before = vec![0; columns + 1];
        let mut done = vec![false; columns + 1];
        while taken_by[at] != 0 {
            done[at] = true;
            let (mut least, mut next) = (f64::INFINITY, 0);
            for c in (1..=columns).filter(|&c| !done[c]) {
                let reduced = -gain[[taken_by[at] - 1, c - 1]] - row_price[taken_by[at]] - column_price[c];
                if reduced < slack[c] {
                    slack[c] = reduced;
                    before[c] = at;
                }
                if slack[c] < least {
                    least = slack[c];
                    next = c;
                }
            }
            for c in 0..=columns {
                if done[c] {
                    row_price[taken_by[c]] += least;
                    column_price[c] -= least;
                } else {
                    slack[c] -= least;
                }
            }
            at = next;
        }
        // Back along the path: each row moves on to the next column.
        while at != 0 {
            taken_by[at] = taken_by[before[at]];
            at = before[at];
        }
    }
    let mut of = vec![None; rows];
    for c in 1..=columns {
        if taken_by[c] > 0 {
            of[taken_by[c] - 1] = Some(c - 1);
        }
    }
    of
}
