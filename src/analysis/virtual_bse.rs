//! Images of backscattered electrons from regions of Kikuchi patterns: area weights of the regions, and what is made of their signals.
//!
//! After the scheme of Nowell et al. (Microscopy Today 22, 2014) and Winkelmann et al. (Ultramicroscopy 2017): patterns are divided into a
//! grid of cells that act as an array of detectors. Colours, asymmetry and centre of mass follow aloe's notebooks.

use super::robust::median;
use crate::error::{Error, Result};
use crate::mask::MaskStack;
use ndarray::{Array2, ArrayView2, Axis, Zip};

/// Weights of the pixels along an axis of `pixels` in each of `cells` equal cells: the exact overlap of pixel and cell over the
/// length of a cell, in whole numbers until the last division. A row for each cell: first pixel and weights.
pub fn overlaps(pixels: usize, cells: usize) -> Vec<(usize, Vec<f64>)> {
    // In units of 1/cells of a pixel a pixel is `cells` long and a cell `pixels`.
    let cell = |c: usize| {
        let (from, to) = (c * pixels, (c + 1) * pixels);
        let (first, end) = (from / cells, to.div_ceil(cells));
        let weight = |p: usize| (to.min((p + 1) * cells) - from.max(p * cells)) as f64 / pixels as f64;
        (first, (first..end).map(weight).collect())
    };
    (0..cells).map(cell).collect()
}

/// Masks of a grid of `rows` × `columns` cells, row by row: products with a pattern are the area-weighted means of the cells, or with
/// `sums` their area-weighted sums.
///
/// # Errors
/// [`Error::Parameter`] for a grid without cells or with more cells than pixels along an axis.
pub fn grid(height: usize, width: usize, rows: usize, columns: usize, sums: bool) -> Result<MaskStack> {
    if rows == 0 || columns == 0 || rows > height || columns > width {
        let what = format!("{rows}×{columns} cells do not fit patterns of {height}×{width}");
        return Err(Error::parameter("--grid", what));
    }
    let area = if sums {
        height as f64 * width as f64 / (rows * columns) as f64
    } else {
        1.0
    };
    let (down, across) = (overlaps(height, rows), overlaps(width, columns));
    let mut stack = (vec![0u32], Vec::new(), Vec::new());
    for (top, y_weights) in &down {
        for (left, x_weights) in &across {
            for (y, wy) in (*top..).zip(y_weights) {
                for (x, wx) in (*left..).zip(x_weights) {
                    stack.1.push((y * width + x) as u32);
                    stack.2.push((wy * wx * area) as f32);
                }
            }
            stack.0.push(stack.1.len() as u32);
        }
    }
    Ok(MaskStack::Csr {
        indptr: stack.0,
        indices: stack.1,
        values: stack.2,
    })
}

/// A mask for each rectangle (top, left, height, width): the mean of its pixels, or with `sums` their sum.
///
/// # Errors
/// [`Error::Parameter`] for a rectangle that is empty or leaves the pattern.
pub fn regions(height: usize, width: usize, rectangles: &[[usize; 4]], sums: bool) -> Result<MaskStack> {
    let (mut indptr, mut indices, mut values) = (vec![0u32], Vec::new(), Vec::new());
    for &[top, left, h, w] in rectangles {
        let inside = |at: usize, n: usize, all: usize| n > 0 && at.checked_add(n).is_some_and(|end| end <= all);
        if !inside(top, h, height) || !inside(left, w, width) {
            let what = format!("{top},{left},{h},{w} does not lie inside patterns of {height}×{width}");
            return Err(Error::parameter("--region", what));
        }
        let weight = if sums { 1.0 } else { (1.0 / (h * w) as f64) as f32 };
        for y in top..top + h {
            indices.extend((left..left + w).map(|x| (y * width + x) as u32));
        }
        values.resize(indices.len(), weight);
        indptr.push(indices.len() as u32);
    }
    Ok(MaskStack::Csr { indptr, indices, values })
}

/// Three masks over the whole pattern: sum, Σ y·I and Σ x·I, from which [`centre_of_mass`] follows.
pub fn moments(height: usize, width: usize) -> MaskStack {
    let weight = |mask: usize, i: usize| match mask {
        0 => 1.0,
        1 => (i / width) as f32,
        _ => (i % width) as f32,
    };
    MaskStack::Dense {
        rows: Array2::from_shape_fn((3, height * width), |(mask, i)| weight(mask, i)),
    }
}

/// Centre of mass (y, x) in pixels from the products with [`moments`], origin at the centre of the first pixel. (aloe counts y from below,
/// as `height` − y.)
pub fn centre_of_mass(products: [f64; 3]) -> [f64; 2] {
    [products[1] / products[0], products[2] / products[0]]
}

/// Population standard deviation of the finite values.
pub fn deviation(map: ArrayView2<'_, f64>) -> f64 {
    let v: Vec<f64> = map.iter().copied().filter(|v| v.is_finite()).collect();
    let mean = v.iter().sum::<f64>() / v.len() as f64;
    (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / v.len() as f64).sqrt()
}

/// One colour channel: 128 + 80 · `contrast` · (v − median) / deviation, clipped to 0 … 255; the digits behind the point are dropped, or
/// with `round` rounded. Points without a value are 0.
pub fn channel(map: ArrayView2<'_, f64>, contrast: f64, round: bool) -> Array2<u8> {
    let (middle, spread) = (median(map.iter().copied()), deviation(map));
    map.mapv(|v| {
        let z = 128.0 + contrast * 80.0 * (v - middle) / spread;
        let z = if round { z.round() } else { z };
        z.clamp(0.0, 255.0) as u8
    })
}

/// (a − b) / (a + b).
pub fn asymmetry(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Array2<f64> {
    Zip::from(a).and(b).map_collect(|a, b| (a - b) / (a + b))
}

/// Takes from each row the median of its columns from 5 to 95 %: removes drift from line to line.
pub fn flatten_rows(map: ArrayView2<'_, f64>) -> Array2<f64> {
    let w = map.ncols() as f64;
    let (from, to) = ((0.05 * w) as usize, (0.95 * w) as usize);
    let mut out = map.to_owned();
    for mut row in out.axis_iter_mut(Axis(0)) {
        let middle = median(row.iter().copied().take(to).skip(from));
        row.mapv_inplace(|v| v - middle);
    }
    out
}

/// Shaded relief 0 … 1 of a surface with normals (x, y, 1), lit from `azimuth` and `altitude` in degrees. `x` and `y` are taken about
/// their means.
pub fn shading(x: ArrayView2<'_, f64>, y: ArrayView2<'_, f64>, azimuth: f64, altitude: f64) -> Array2<f64> {
    let mean = |m: ArrayView2<'_, f64>| {
        let finite = || m.iter().filter(|v| v.is_finite());
        finite().sum::<f64>() / finite().count() as f64
    };
    let (mx, my) = (mean(x), mean(y));
    let (az, alt) = ((90.0 - azimuth).to_radians(), altitude.to_radians());
    let light = [az.cos() * alt.cos(), az.sin() * alt.cos(), alt.sin()];
    let lit = Zip::from(x).and(y).map_collect(|x, y| {
        let n = [x - mx, y - my, 1.0];
        let length = n.iter().map(|v| v * v).sum::<f64>().sqrt();
        n.iter().zip(light).map(|(a, b)| a * b).sum::<f64>() / length
    });
    let (low, high) = lit
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    lit.mapv(|v| ((v - low) / (high - low)).clamp(0.0, 1.0))
}
