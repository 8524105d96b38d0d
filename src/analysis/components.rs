//! Connected components of a map of probabilities: where single objects are.

use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};

/// One connected region above the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Component {
    /// Centre of mass (y, x), every pixel counting the same.
    pub centre: [f64; 2],
    /// The same with every pixel counting by how far it exceeds the threshold.
    pub weighted: [f64; 2],
    /// Pixels.
    pub area: u32,
    /// Largest value.
    pub peak: f32,
}

/// Regions of pixels above `threshold` that touch at sides or corners (8-connected), in the order of their first pixels by rows. Pixels that are not a number
/// are below every threshold. Takes 4 bytes for each pixel.
///
/// # Errors
/// [`Error::Parameter`] for a threshold that is not finite.
pub fn components(map: ArrayView2<'_, f32>, threshold: f32) -> Result<Vec<Component>> {
    Ok(labelled(map, threshold)?.1)
}

/// The same with the map of labels: 0 outside, i + 1 in component i.
///
/// # Errors
/// As [`components`].
pub fn labelled(map: ArrayView2<'_, f32>, threshold: f32) -> Result<(Array2<u32>, Vec<Component>)> {
    if !threshold.is_finite() {
        return Err(Error::parameter("--threshold", format!("{threshold} is not a number")));
    }
    let (h, w) = map.dim();
    let mut labels = Array2::<u32>::zeros((h, w));
    let mut found = Vec::new();
    let mut stack = Vec::new();
    for y in 0..h {
        for x in 0..w {
            let above = map[[y, x]] > threshold;
            if labels[[y, x]] != 0 || !above {
                continue;
            }
            let label = found.len() as u32 + 1;
            labels[[y, x]] = label;
            stack.push((y, x));
            let mut sums = Sums::default();
            while let Some((y, x)) = stack.pop() {
                sums.add(y, x, map[[y, x]], threshold);
                for ny in y.saturating_sub(1)..(y + 2).min(h) {
                    for nx in x.saturating_sub(1)..(x + 2).min(w) {
                        if labels[[ny, nx]] == 0 && map[[ny, nx]] > threshold {
                            labels[[ny, nx]] = label;
                            stack.push((ny, nx));
                        }
                    }
                }
            }
            found.push(sums.component());
        }
    }
    Ok((labels, found))
}

/// Sums over the pixels of one component. The plain ones are integers, so they do not depend on the order.
#[derive(Default)]
struct Sums {
    area: u32,
    y: u64,
    x: u64,
    weight: f64,
    wy: f64,
    wx: f64,
    peak: f32,
}

impl Sums {
    fn add(&mut self, y: usize, x: usize, value: f32, threshold: f32) {
        self.area += 1;
        self.y += y as u64;
        self.x += x as u64;
        let weight = f64::from(value) - f64::from(threshold);
        self.weight += weight;
        self.wy += weight * y as f64;
        self.wx += weight * x as f64;
        self.peak = if self.area == 1 { value } else { self.peak.max(value) };
    }
    fn component(&self) -> Component {
        let n = f64::from(self.area);
        let centre = [self.y as f64 / n, self.x as f64 / n];
        let weighted = [self.wy / self.weight, self.wx / self.weight];
        Component {
            centre,
            weighted: if weighted.iter().all(|v| v.is_finite()) {
                weighted
            } else {
                centre
            },
            area: self.area,
            peak: self.peak,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn corners_connect_and_order_is_by_rows() {
        let map = array![
            [0.0, 0.0, 0.9, 0.0, 0.0],
            [0.8, 0.0, 0.0, 0.7, 0.0],
            [0.8, 0.0, 0.0, 0.0, f32::NAN],
            [0.0, 0.5, 0.0, 0.0, 0.6],
        ];
        let found = components(map.view(), 0.5).unwrap();
        let areas: Vec<u32> = found.iter().map(|c| c.area).collect();
        assert_eq!(areas, [2, 2, 1]);
        assert_eq!(found[0].centre, [0.5, 2.5]);
        assert_eq!(found[1].centre, [1.5, 0.0]);
        assert!(found[0].weighted[0] < 0.5 && found[0].peak == 0.9);
        assert!(components(map.view(), 2.0).unwrap().is_empty());
        assert!(components(map.view(), f32::NAN).is_err());
    }
}
