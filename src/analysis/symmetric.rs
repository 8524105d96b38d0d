//! Eigenvalues and vectors of small symmetric matrices.

use ndarray::Array2;

/// Sweeps after which rotations end in any case; ten suffice for any matrix of this size.
const SWEEPS: usize = 64;

/// Eigenvalues, largest first, and the eigenvectors as columns, of a symmetric matrix (its lower triangle is not read), by
/// cyclic Jacobi rotations (G. Golub, C. Van Loan, *Matrix Computations*, 4th ed., section 8.5). The largest entry of each vector is positive.
/// Time grows as n³ with a large factor: for matrices up to about 100 × 100.
pub fn eigen(matrix: &Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let n = matrix.nrows().min(matrix.ncols());
    let mut a = Array2::from_shape_fn((n, n), |(r, c)| matrix[[r.min(c), r.max(c)]]);
    let mut vectors = Array2::eye(n);
    for _ in 0..SWEEPS {
        let off: f64 = (0..n)
            .flat_map(|p| (p + 1..n).map(move |q| (p, q)))
            .map(|at| a[at].powi(2))
            .sum();
        let on: f64 = a.diag().iter().map(|v| v * v).sum();
        if off <= on * f64::EPSILON * f64::EPSILON {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[[j, j]].total_cmp(&a[[i, i]]));
    let values = order.iter().map(|&i| a[[i, i]]).collect();
    let mut sorted = vectors.select(ndarray::Axis(1), &order);
    for mut column in sorted.columns_mut() {
        let largest = column
            .iter()
            .copied()
            .fold(0.0_f64, |m, v| if v.abs() > m.abs() { v } else { m });
        if largest < 0.0 {
            column.mapv_inplace(|v| -v);
        }
    }
    (values, sorted)
}

/// The rotation in the plane (p, q) that makes `a[p, q]` zero.
fn rotate(a: &mut Array2<f64>, vectors: &mut Array2<f64>, p: usize, q: usize) {
    let apq = a[[p, q]];
    if apq == 0.0 {
        return;
    }
    let tau = (a[[q, q]] - a[[p, p]]) / (2.0 * apq);
    let t = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
    let c = 1.0 / (1.0 + t * t).sqrt();
    let s = t * c;
    let n = a.nrows();
    for i in 0..n {
        let (x, y) = (a[[i, p]], a[[i, q]]);
        a[[i, p]] = c * x - s * y;
        a[[i, q]] = s * x + c * y;
    }
    for i in 0..n {
        let (x, y) = (a[[p, i]], a[[q, i]]);
        a[[p, i]] = c * x - s * y;
        a[[q, i]] = s * x + c * y;
        let (x, y) = (vectors[[i, p]], vectors[[i, q]]);
        vectors[[i, p]] = c * x - s * y;
        vectors[[i, q]] = s * x + c * y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn known_pairs() {
        let (values, vectors) = eigen(&array![[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, -4.0]]);
        for (v, e) in values.iter().zip([3.0, 1.0, -4.0]) {
            assert!((v - e).abs() < 1e-15);
        }
        let half = 0.5_f64.sqrt();
        assert!((vectors[[0, 0]] - half).abs() < 1e-15 && (vectors[[1, 0]] - half).abs() < 1e-15);
    }

    #[test]
    fn vectors_are_orthonormal_and_rebuild_the_matrix() {
        let n = 24;
        let m = Array2::from_shape_fn((n, n), |(r, c)| {
            ((r * c) as f64 * 0.37).sin() + f64::from(u8::from(r == c)) * r as f64
        });
        let (values, v) = eigen(&m);
        let product = v.t().dot(&v);
        let rebuilt = v.dot(&Array2::from_diag(&ndarray::Array1::from(values.clone()))).dot(&v.t());
        for r in 0..n {
            for c in 0..n {
                assert!((product[[r, c]] - f64::from(u8::from(r == c))).abs() < 1e-13);
                assert!((rebuilt[[r, c]] - m[[r.min(c), r.max(c)]]).abs() < 1e-12);
            }
        }
        assert!(values.windows(2).all(|w| w[0] >= w[1]));
    }
}
