//! CPU path: a tile of pixels at a time, the frames of a group multiplied into it, one logarithm each.

use super::{LabelSum, Params, Part, group};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::stage::{Cost, CpuStage};
use crate::error::{Error, Result};
use crate::kernels::ln::ln;
use crate::kernels::shifted::{Shifted, minimum};
use crate::pixel::{FrameShape, Frames, LEAF, Pixel};
use std::collections::BTreeMap;

/// Pixels whose products stay in the first-level cache.
const TILE: usize = 512;

/// Adds ln Π(f − min + 1) over `F` frames, multiplied in order, to each pixel of a tile.
#[inline(always)]
fn add_product<T: Shifted, const F: usize>(rows: [(&[T], T); F], sum: &mut [f32]) {
    let n = sum.len();
    let rows = rows.map(|(r, min)| (&r[..n], min));
    for p in 0..n {
        let mut product = rows[0].0[p].shifted(rows[0].1);
        for (row, min) in &rows[1..] {
            product *= row[p].shifted(*min);
        }
        sum[p] += ln(product);
    }
}

per_isa! {
    /// Adds the logarithm of the product of `rows` (frames of one group and label, each with its minimum) to `sum`.
    fn add_group[T: Shifted][T](rows: &[(&[T], T)], sum: &mut [f32]) {
        let pixels = sum.len();
        for start in (0..pixels).step_by(TILE) {
            let end = (start + TILE).min(pixels);
            let sum = &mut sum[start..end];
            // Whole groups keep the product in registers; what labels leave of a group goes through memory.
            if let Ok(&rows) = <&[_; 8]>::try_from(rows) {
                add_product(rows.map(|(r, m): (&[T], T)| (&r[start..end], m)), sum);
            } else if let Ok(&rows) = <&[_; 4]>::try_from(rows) {
                add_product(rows.map(|(r, m): (&[T], T)| (&r[start..end], m)), sum);
            } else if let Ok(&rows) = <&[_; 1]>::try_from(rows) {
                add_product(rows.map(|(r, m): (&[T], T)| (&r[start..end], m)), sum);
            } else {
                let mut products = [1f32; TILE];
                for (row, min) in rows {
                    for (product, x) in products.iter_mut().zip(&row[start..end]) {
                        *product *= x.shifted(*min);
                    }
                }
                for (sum, product) in sum.iter_mut().zip(&products) {
                    *sum += ln(*product);
                }
            }
        }
    }
}

/// The sum of one label in the current leaf.
struct LeafSum {
    label: i32,
    frames: u64,
    values: Vec<f32>,
}

/// State of one leaf: a sum for each label that occurred.
struct Stage {
    isa: Isa,
    shape: FrameShape,
    params: Params,
    sums: Vec<LeafSum>,
    /// Sums of earlier leaves, to be used again.
    spare: Vec<Vec<f32>>,
}

impl Stage {
    fn add<T: Shifted>(&mut self, frames: Frames<'_>) {
        let size = group(self.shape.pixel);
        let minima: Vec<T> = (0..frames.count()).map(|i| minimum(self.isa, frames.frame::<T>(i))).collect();
        let mut rows: Vec<(&[T], T)> = Vec::with_capacity(size);
        for from in (0..frames.count()).step_by(size) {
            let members = from..(from + size).min(frames.count());
            let labels: Vec<i32> = members
                .clone()
                .map(|i| self.params.label(frames.first() + i as u64))
                .collect();
            for (k, &label) in labels.iter().enumerate() {
                if label < 0 || labels[..k].contains(&label) {
                    continue;
                }
                rows.clear();
                rows.extend(
                    members
                        .clone()
                        .filter(|i| labels[i - from] == label)
                        .map(|i| (frames.frame::<T>(i), minima[i])),
                );
                let isa = self.isa;
                let sum = self.sum(label);
                sum.frames += rows.len() as u64;
                add_group(isa, &rows, &mut sum.values);
            }
        }
    }

    /// The leaf's sum for `label`, made when it is first asked for.
    fn sum(&mut self, label: i32) -> &mut LeafSum {
        let k = match self.sums.iter().position(|s| s.label == label) {
            Some(k) => k,
            None => {
                let mut values = self.spare.pop().unwrap_or_default();
                values.clear();
                values.resize(self.shape.pixels(), 0.0);
                self.sums.push(LeafSum {
                    label,
                    frames: 0,
                    values,
                });
                self.sums.len() - 1
            }
        };
        &mut self.sums[k]
    }
}

impl CpuStage for Stage {
    type Part = Part;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        if frames.shape() != self.shape {
            return Err(Error::Internal(format!(
                "log-sum of {:?} given {:?}",
                self.shape,
                frames.shape()
            )));
        }
        if !(frames.first() % LEAF).is_multiple_of(group(self.shape.pixel) as u64) {
            return Err(Error::Internal(format!(
                "log-sum: cut inside a group of frames at frame {}",
                frames.first()
            )));
        }
        match self.shape.pixel {
            Pixel::U8 => self.add::<u8>(frames),
            Pixel::I8 => self.add::<i8>(frames),
            Pixel::U16 => self.add::<u16>(frames),
            Pixel::I16 => self.add::<i16>(frames),
            Pixel::U32 => self.add::<u32>(frames),
            Pixel::I32 => self.add::<i32>(frames),
            Pixel::F32 => self.add::<f32>(frames),
        }
        Ok(())
    }

    fn end_leaf(&mut self) -> Result<Option<Part>> {
        if self.sums.is_empty() {
            return Ok(None);
        }
        let mut sums = BTreeMap::new();
        for leaf in self.sums.drain(..) {
            let values = leaf.values.iter().map(|&v| f64::from(v)).collect();
            sums.insert(
                leaf.label,
                LabelSum {
                    frames: leaf.frames,
                    values,
                },
            );
            if self.spare.len() < 4 {
                self.spare.push(leaf.values);
            }
        }
        Ok(Some(Part { sums }))
    }

    fn finish(&mut self) -> Result<Option<Part>> {
        Ok(None)
    }
}

/// A stage for one worker.
///
/// # Errors
/// None; frames of another shape than `shape` are refused by the stage.
pub fn stage(shape: FrameShape, params: &Params) -> Result<Box<dyn CpuStage<Part = Part>>> {
    stage_with(Isa::active(), shape, params)
}

/// [`stage`] on a given instruction set.
///
/// # Errors
/// None.
pub fn stage_with(isa: Isa, shape: FrameShape, params: &Params) -> Result<Box<dyn CpuStage<Part = Part>>> {
    Ok(Box::new(Stage {
        isa,
        shape,
        params: params.clone(),
        sums: Vec::new(),
        spare: Vec::new(),
    }))
}

/// Memory of one worker's stage: 12 bytes per pixel for each label that occurs in a leaf (4 for the sum, 8 for its part),
/// and up to four sums kept for the next leaf. `labels` is how many labels a leaf holds.
pub fn cost(shape: FrameShape, labels: usize) -> Cost {
    Cost {
        fixed: (shape.pixels() * (12 * labels + 4 * labels.min(4))) as u64,
        per_frame: 0,
    }
}
