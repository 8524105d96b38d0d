//! All eigenvalues and the leading eigenvectors of symmetric matrices of a few thousand rows: Householder's reduction to a tridiagonal matrix, its eigenvalues by implicit QL steps, vectors
//! by inverse iteration (G. Golub, C. Van Loan, *Matrix Computations*, 4th ed., sections 8.3.1, 8.3.3, 8.4.2; J. Wilkinson, *The Algebraic Eigenvalue Problem* (1965), section 5.53). Rows are shared among threads,
//! each summed in a fixed order, so that bits do not depend on their number.

use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::{Array1, Array2};
use rayon::prelude::*;

/// Steps for one eigenvalue at most; three are usual.
const STEPS: usize = 60;
/// Rows that one thread works on at least.
const ROWS: usize = 16;

/// Eigenvalues, largest first, and the `leading` first eigenvectors as columns; the largest entry of each is positive. Only the upper triangle of `matrix` is read. Takes about 2 n³ operations and twice the memory of the matrix.
///
/// # Errors
/// [`Error::Cancelled`]; [`Error::Internal`] for matrices with values that are not finite.
pub fn eigen_leading(matrix: Array2<f64>, leading: usize, control: &Control) -> Result<(Vec<f64>, Array2<f64>)> {
    let n = matrix.nrows().min(matrix.ncols());
    if matrix.iter().any(|v| !v.is_finite()) {
        return Err(Error::Internal(
            "eigenvalues of a matrix with values that are not finite".into(),
        ));
    }
    let leading = leading.min(n);
    if n == 0 {
        return Ok((Vec::new(), Array2::zeros((0, 0))));
    }
    let (diagonal, beside, reflections) = tridiagonal(matrix, n, control)?;
    let mut values = tridiagonal_values(&diagonal, &beside)?;
    values.sort_by(|a, b| b.total_cmp(a));
    let mut vectors = Array2::zeros((n, leading));
    let mut found: Vec<Array1<f64>> = Vec::new();
    for (k, &value) in values.iter().take(leading).enumerate() {
        let inner = inverse_iteration(&diagonal, &beside, value, k, &found);
        found.push(inner);
    }
    for (k, inner) in found.into_iter().enumerate() {
        let mut vector = inner;
        // Reflections in reverse order lead back.
        for (at, v) in reflections.iter().enumerate().rev() {
            let Some(v) = v else { continue };
            let mut part = vector.slice_mut(ndarray::s![at + 1..]);
            let product = 2.0 * v.dot(&part);
            part.scaled_add(-product, v);
        }
        let largest = vector.iter().fold(0.0_f64, |m, v| if v.abs() > m.abs() { *v } else { m });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        vectors.column_mut(k).assign(&(vector * sign));
    }
    Ok((values, vectors))
}

type Tridiagonal = (Vec<f64>, Vec<f64>, Vec<Option<Array1<f64>>>);

/// Diagonal, what stands beside it, and the unit vectors v of the reflections 1 − 2 v vᵀ that act on rows behind k.
fn tridiagonal(mut a: Array2<f64>, n: usize, control: &Control) -> Result<Tridiagonal> {
    for r in 0..n {
        for c in 0..r {
            a[[r, c]] = a[[c, r]];
        }
    }
    let mut reflections: Vec<Option<Array1<f64>>> = Vec::with_capacity(n);
    let mut beside = Vec::with_capacity(n.saturating_sub(1));
    for k in 0..n.saturating_sub(2) {
        control.check()?;
        let mut v = a.slice(ndarray::s![k, k + 1..n]).to_owned();
        let norm = v.dot(&v).sqrt();
        let first = v[0];
        let off = v.iter().skip(1).any(|x| *x != 0.0);
        if !off || norm == 0.0 {
            beside.push(first);
            reflections.push(None);
            continue;
        }
        let to = if first > 0.0 { -norm } else { norm };
        v[0] -= to;
        let size = v.dot(&v).sqrt();
        v /= size;
        beside.push(to);
        let m = n - k - 1;
        let mut below = a.slice_mut(ndarray::s![k + 1..n, k + 1..n]);
        let rows: Vec<f64> = below
            .outer_iter()
            .into_par_iter()
            .with_min_len(ROWS)
            .map(|row| 2.0 * row.dot(&v))
            .collect();
        let mut w = Array1::from_vec(rows);
        let half = v.dot(&w);
        w.scaled_add(-half, &v);
        // B ← B − v wᵀ − w vᵀ
        below
            .outer_iter_mut()
            .into_par_iter()
            .with_min_len(ROWS)
            .enumerate()
            .for_each(|(i, mut row)| {
                let (vi, wi) = (v[i], w[i]);
                row.iter_mut()
                    .zip(v.iter().zip(&w))
                    .for_each(|(b, (v, w))| *b -= vi * w + wi * v);
            });
        debug_assert_eq!(v.len(), m);
        reflections.push(Some(v));
    }
    if n > 1 {
        beside.push(a[[n - 2, n - 1]]);
    }
    Ok((a.diag().to_vec(), beside, reflections))
}

/// Eigenvalues of a symmetric tridiagonal matrix by implicit QL steps with Wilkinson's shift.
fn tridiagonal_values(diagonal: &[f64], beside: &[f64]) -> Result<Vec<f64>> {
    let n = diagonal.len();
    let mut d = diagonal.to_vec();
    let mut e = beside.to_vec();
    e.push(0.0);
    for l in 0..n {
        let mut steps = 0;
        loop {
            let end = (l..n - 1)
                .find(|&m| e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs()))
                .unwrap_or(n - 1);
            if end == l {
                break;
            }
            steps += 1;
            if steps > STEPS {
                return Err(Error::Internal("eigenvalues do not converge".into()));
            }
            let mut g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let r = g.hypot(1.0);
            g = d[end] - d[l] + e[l] / (g + if g < 0.0 { -r } else { r });
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut split = false;
            for i in (l..end).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                let r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[end] = 0.0;
                    split = true;
                    break;
                }
                (s, c) = (f / r, g / r);
                g = d[i + 1] - p;
                let r = (d[i] - g) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
            }
            if split {
                continue;
            }
            d[l] -= p;
            e[l] = g;
            e[end] = 0.0;
        }
    }
    Ok(d)
}

/// The eigenvector number `k` of a tridiagonal matrix to an eigenvalue, perpendicular to those `found` before.
fn inverse_iteration(d: &[f64], e: &[f64], value: f64, k: usize, found: &[Array1<f64>]) -> Array1<f64> {
    let n = d.len();
    let scale = d.iter().chain(e).fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    // Equal eigenvalues: a start of its own for each.
    let numbers = crate::rng::Source::new(k as u64, 0);
    let mut x = Array1::from_shape_fn(n, |i| numbers.normal2(i as u64, 0)[0]);
    let shift = value + scale * f64::EPSILON * (1.0 + k as f64);
    for _ in 0..4 {
        perpendicular(&mut x, found);
        solve(d, e, shift, &mut x, scale);
        let size = x.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        if !(size > 0.0 && size.is_finite()) {
            x = Array1::from_shape_fn(n, |i| numbers.normal2(i as u64, 1)[0]);
            continue;
        }
        x /= size;
        let norm = x.dot(&x).sqrt();
        x /= norm;
    }
    perpendicular(&mut x, found);
    let norm = x.dot(&x).sqrt();
    if norm > 0.0 { x / norm } else { x }
}

fn perpendicular(x: &mut Array1<f64>, found: &[Array1<f64>]) {
    for _ in 0..2 {
        for v in found {
            let overlap = v.dot(x);
            x.scaled_add(-overlap, v);
        }
    }
}

/// Solves (T − shift) x = b with partial pivoting; `x` holds b.
fn solve(d: &[f64], e: &[f64], shift: f64, x: &mut Array1<f64>, scale: f64) {
    let n = d.len();
    let tiny = scale * f64::EPSILON;
    // Rows of the upper triangle: (diagonal, next, next but one).
    let mut upper = vec![[0.0; 3]; n];
    let mut row = [d[0] - shift, e.first().copied().unwrap_or(0.0), 0.0];
    for i in 0..n {
        if i + 1 == n {
            upper[i] = row;
            break;
        }
        let mut next = [e[i], d[i + 1] - shift, e.get(i + 1).copied().unwrap_or(0.0)];
        if next[0].abs() > row[0].abs() {
            std::mem::swap(&mut next, &mut row);
            x.swap(i, i + 1);
        }
        let pivot = if row[0].abs() < tiny { tiny } else { row[0] };
        row[0] = pivot;
        let factor = next[0] / pivot;
        let below = x[i + 1] - factor * x[i];
        x[i + 1] = below;
        upper[i] = row;
        row = [next[1] - factor * row[1], next[2] - factor * row[2], 0.0];
    }
    for i in (0..n).rev() {
        let [pivot, a, b] = upper[i];
        let mut rest = x[i];
        if i + 1 < n {
            rest -= a * x[i + 1];
        }
        if i + 2 < n {
            rest -= b * x[i + 2];
        }
        x[i] = rest / if pivot.abs() < tiny { tiny } else { pivot };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_vectors_are_those_of_jacobi() {
        let source = crate::rng::Source::new(5, 1);
        for n in [1usize, 2, 3, 12, 40] {
            let half = Array2::from_shape_fn((n, n + 3), |(i, j)| source.normal2(i as u64, j as u32)[0]);
            let matrix = half.dot(&half.t());
            let (values, vectors) = eigen_leading(matrix.clone(), n.min(9), &Control::new()).unwrap();
            let (expected, by_jacobi) = crate::analysis::symmetric::eigen(&matrix);
            for (a, b) in values.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-11 * expected[0], "{a} {b}");
            }
            for k in 0..n.min(9) {
                let overlap = vectors.column(k).dot(&by_jacobi.column(k));
                assert!((overlap - 1.0).abs() < 1e-9, "n {n}, vector {k}: {overlap}");
            }
        }
    }

    #[test]
    fn equal_values_still_give_perpendicular_vectors() {
        let (values, vectors) = eigen_leading(Array2::eye(7) * 3.0, 5, &Control::new()).unwrap();
        assert!(values.iter().all(|v| (v - 3.0).abs() < 1e-14));
        let product = vectors.t().dot(&vectors);
        assert!((product - Array2::<f64>::eye(5)).iter().all(|v| v.abs() < 1e-10));
        let (values, _) = eigen_leading(Array2::zeros((4, 4)), 2, &Control::new()).unwrap();
        assert_eq!(values, [0.0; 4]);
    }
}
