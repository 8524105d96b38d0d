//! A mask stack cut into tiles of pixels, made once and read by all workers.

use super::lanes::{BLOCK, TILE};
use crate::error::Result;
use crate::kernels::masks::MaskStack;
use crate::pixel::FrameShape;
use std::ops::Range;
use std::sync::Arc;

/// Dense stacks with fewer masks, or a smaller share of values that are not zero, are worked on as sparse ones.
const DENSE_MASKS: usize = 3;
const DENSE_SHARE: f64 = 0.4;

/// A pixel of one or two bytes that masks want at most so often on average is converted when they do.
const RARE: f64 = 1.5;

/// The masks in the order in which they are worked on.
#[derive(Debug)]
pub struct Plan {
    pub(super) masks: usize,
    /// Tiles that any mask touches.
    pub(super) tiles: Vec<Tile>,
    pub(super) work: Work,
    /// Whether masks convert pixels themselves: it pays where most pixels belong to one mask or none, and saves
    /// three quarters (or half) of what is written otherwise.
    pub(super) narrow: bool,
}

/// [`TILE`] pixels in C order from `start`, fewer at the end of the frame.
#[derive(Debug)]
pub(super) struct Tile {
    pub start: usize,
    /// The tile's segments (sparse) or values (dense).
    pub work: Range<usize>,
}

/// The values of the masks, tile by tile.
#[derive(Debug)]
pub(super) enum Work {
    /// Values that are not zero: pixel in the tile, and value, of one mask after the other.
    Sparse {
        segments: Vec<Segment>,
        index: Vec<u16>,
        value: Vec<f32>,
    },
    /// All values: [`BLOCK`] masks at a time, pixel by pixel, filled up with zeros.
    Dense { value: Vec<f32> },
}

/// What one mask has in one tile.
#[derive(Debug)]
pub(super) struct Segment {
    pub mask: usize,
    pub entries: Range<usize>,
}

impl Plan {
    /// Plans `stack` for frames of `shape`.
    ///
    /// # Errors
    /// Those of [`MaskStack::check`].
    pub fn new(shape: FrameShape, stack: &MaskStack) -> Result<Arc<Plan>> {
        stack.check(shape.height, shape.width)?;
        let pixels = shape.pixels();
        let mut plan = match stack {
            MaskStack::Stamps { stamp, positions } => {
                let (ry, rx) = (stamp.nrows() as i64 / 2, stamp.ncols() as i64 / 2);
                let (height, width) = (shape.height as i64, shape.width as i64);
                sparse(pixels, positions.len(), |mask| {
                    let [y0, x0] = positions[mask].map(i64::from);
                    stamp.indexed_iter().filter_map(move |((sy, sx), &v)| {
                        let (y, x) = (y0 + sy as i64 - ry, x0 + sx as i64 - rx);
                        let inside = (0..height).contains(&y) && (0..width).contains(&x);
                        inside.then_some(((y * width + x) as usize, v))
                    })
                })
            }
            MaskStack::Csr { indptr, indices, values } => sparse(pixels, stack.len(), |mask| {
                let row = indptr[mask] as usize..indptr[mask + 1] as usize;
                indices[row.clone()]
                    .iter()
                    .map(|&i| i as usize)
                    .zip(values[row].iter().copied())
            }),
            MaskStack::Dense { rows } => {
                let filled = rows.iter().filter(|v| **v != 0.0).count();
                if rows.nrows() < DENSE_MASKS || (filled as f64) < DENSE_SHARE * rows.len() as f64 {
                    sparse(pixels, rows.nrows(), |mask| rows.row(mask).into_iter().copied().enumerate())
                } else {
                    dense(pixels, rows)
                }
            }
        };
        if let Work::Sparse { index, .. } = &plan.work {
            let turned = plan.tiles.len() * TILE;
            plan.narrow = shape.pixel.bytes() <= 2 && (index.len() as f64) < RARE * turned as f64;
        }
        Ok(Arc::new(plan))
    }

    /// Number of masks.
    pub fn masks(&self) -> usize {
        self.masks
    }

    /// Memory it takes: 6 bytes for each value of a sparse stack, 4 of a dense one, and 24 for each mask in each tile it touches.
    pub fn bytes(&self) -> u64 {
        let work = match &self.work {
            Work::Sparse { segments, index, value } => size_of_val(&segments[..]) + 2 * index.len() + 4 * value.len(),
            Work::Dense { value } => 4 * value.len(),
        };
        (work + size_of_val(&self.tiles[..])) as u64
    }
}

/// Sorts the values of masks, each given as ascending (pixel, value), into tiles. Zeros are dropped.
fn sparse<I: Iterator<Item = (usize, f32)>>(pixels: usize, masks: usize, entries: impl Fn(usize) -> I) -> Plan {
    let mut counts = vec![0usize; pixels.div_ceil(TILE) + 1];
    for mask in 0..masks {
        entries(mask)
            .filter(|e| e.1 != 0.0)
            .for_each(|(pixel, _)| counts[pixel / TILE + 1] += 1);
    }
    for t in 1..counts.len() {
        counts[t] += counts[t - 1];
    }
    let total = counts.last().copied().unwrap_or(0);
    let (mut index, mut value) = (vec![0u16; total], vec![0f32; total]);
    let mut next = counts.clone();
    let mut by_tile: Vec<Vec<Segment>> = (1..counts.len()).map(|_| Vec::new()).collect();
    for mask in 0..masks {
        for (pixel, v) in entries(mask).filter(|e| e.1 != 0.0) {
            let tile = pixel / TILE;
            let at = next[tile];
            next[tile] += 1;
            (index[at], value[at]) = ((pixel % TILE) as u16, v);
            match by_tile[tile].last_mut() {
                Some(s) if s.mask == mask => s.entries.end = at + 1,
                _ => by_tile[tile].push(Segment {
                    mask,
                    entries: at..at + 1,
                }),
            }
        }
    }
    let (mut tiles, mut segments) = (Vec::new(), Vec::new());
    for (t, mut of_tile) in by_tile.into_iter().enumerate().filter(|(_, s)| !s.is_empty()) {
        // Neighbours after each other: what they share of the tile stays in the first-level cache.
        of_tile.sort_by_key(|s| index[s.entries.start]);
        let from = segments.len();
        segments.append(&mut of_tile);
        tiles.push(Tile {
            start: t * TILE,
            work: from..segments.len(),
        });
    }
    Plan {
        masks,
        tiles,
        work: Work::Sparse { segments, index, value },
        narrow: false,
    }
}

fn dense(pixels: usize, rows: &ndarray::Array2<f32>) -> Plan {
    let masks = rows.nrows();
    let mut value = Vec::with_capacity(masks.next_multiple_of(BLOCK) * pixels);
    let mut tiles = Vec::new();
    for start in (0..pixels).step_by(TILE) {
        let from = value.len();
        for block in (0..masks).step_by(BLOCK) {
            for p in start..(start + TILE).min(pixels) {
                value.extend((block..block + BLOCK).map(|m| rows.get((m, p)).copied().unwrap_or(0.0)));
            }
        }
        tiles.push(Tile {
            start,
            work: from..value.len(),
        });
    }
    Plan {
        masks,
        tiles,
        work: Work::Dense { value },
        narrow: false,
    }
}
