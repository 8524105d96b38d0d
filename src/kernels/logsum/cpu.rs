//! CPU path: a tile of pixels at a time, the frames of a group multiplied into it, one logarithm each.
//!
//! What limits it: arithmetic. A pixel takes a subtraction, two conversions, an addition and a multiplication, and a group 22 operations for
//! its logarithm: about 0.33 vector operations a byte of 16-bit pixels, 0.5 of 8-bit ones.

use super::{LabelSum, Params, Part, group};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::ln::ln;
use crate::backend::stage::{Cost, CpuStage};
use crate::error::{Error, Result};
use crate::kernels::shifted::{Shifted, minimum};
use crate::pixel::{FrameShape, Frames, LEAF, Pixel};
use std::collections::BTreeMap;

/// Pixels whose products stay in the first-level cache.
const TILE: usize = 512;

/// Most frames of a group.
const GROUP: usize = 8;

/// Products of a tile, in whole cache lines.
#[repr(align(64))]
struct Products([f32; TILE]);

/// Multiplies f − min + 1 of `F` frames, in order, into `products`.
#[inline(always)]
fn multiply<T: Shifted, const F: usize>(rows: [(&[T; TILE], T); F], products: &mut [f32; TILE]) {
    for p in 0..TILE {
        let mut product = rows[0].0[p].shifted(rows[0].1);
        for (row, min) in &rows[1..] {
            product *= row[p].shifted(*min);
        }
        products[p] = product;
    }
}

/// The tile of every row that begins at pixel `start`, if it is whole.
#[inline(always)]
fn tiles<'f, T: Shifted, const F: usize>(rows: &[(&'f [T], T)], start: usize) -> Option<[(&'f [T; TILE], T); F]> {
    let rows = <&[(&[T], T); F]>::try_from(rows).ok()?;
    let mut tiles = [(rows[0].0.get(start..)?.first_chunk()?, rows[0].1); F];
    for (tile, (row, min)) in tiles.iter_mut().zip(rows) {
        *tile = (row.get(start..)?.first_chunk()?, *min);
    }
    Some(tiles)
}

per_isa! {
    /// Adds the logarithm of the product of `rows` (frames of one group and label, each with its minimum) to `sum`.
    ///
    /// Products first, then logarithms: a loop over both would be one long chain of dependent operations.
    fn add_group[T: Shifted][T](rows: &[(&[T], T)], sum: &mut [f32]) {
        let pixels = sum.len();
        let mut products = Products([1.0; TILE]);
        let products = &mut products.0;
        for start in (0..pixels).step_by(TILE) {
            let end = (start + TILE).min(pixels);
            // Whole groups keep the product in registers; what labels leave of a group, and the last pixels, go through memory.
            if let Some(rows) = tiles::<T, 8>(rows, start) {
                multiply(rows, products);
            } else if let Some(rows) = tiles::<T, 4>(rows, start) {
                multiply(rows, products);
            } else if let Some(rows) = tiles::<T, 1>(rows, start) {
                multiply(rows, products);
            } else {
                products.fill(1.0);
                for (row, min) in rows {
                    for (product, x) in products.iter_mut().zip(&row[start..end]) {
                        *product *= x.shifted(*min);
                    }
                }
            }
            if let Some(sum) = sum[start..].first_chunk_mut::<TILE>() {
                for (sum, product) in sum.iter_mut().zip(&*products) {
                    *sum += ln(*product);
                }
            } else {
                for (sum, product) in sum[start..end].iter_mut().zip(&*products) {
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
        for from in (0..frames.count()).step_by(size) {
            let count = size.min(frames.count() - from);
            let mut group: [(i32, &[T], T); GROUP] = [(-1, &[], T::ZERO); GROUP];
            for (i, member) in (from..from + count).zip(&mut group) {
                let frame = frames.frame::<T>(i);
                let label = self.params.label(frames.first() + i as u64);
                *member = (label, frame, minimum(self.isa, frame));
            }
            for (k, &(label, ..)) in group.iter().enumerate() {
                if label < 0 || group[..k].iter().any(|m| m.0 == label) {
                    continue;
                }
                let mut rows: [(&[T], T); GROUP] = [(&[], T::ZERO); GROUP];
                let mut used = 0;
                for &(_, frame, min) in group.iter().filter(|m| m.0 == label) {
                    rows[used] = (frame, min);
                    used += 1;
                }
                let rows = &rows[..used];
                let isa = self.isa;
                let sum = self.sum(label);
                sum.frames += rows.len() as u64;
                add_group(isa, rows, &mut sum.values);
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
