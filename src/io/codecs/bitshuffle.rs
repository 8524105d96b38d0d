//! Bitshuffle (filter 32008; EIGER, ARINA): in blocks of elements, first the lowest bits of all elements, then the next ones, and so on;
//! each block is then compressed by LZ4 or zstd. Layout: K. Masui et al., Astronomy and Computing 12 (2015) 181, and its HDF5 filter.

use super::{Outcome, lz, same_size, take, take_array};
use crate::backend::cpu::isa::{Isa, per_isa};
use std::cell::RefCell;

/// What follows the bit transposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    None,
    Lz4,
    Zstd,
}

/// Client data of the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Params {
    /// Bytes of an element.
    size: usize,
    /// Elements of a block where there is no compression; compressed chunks say it themselves.
    block: usize,
    codec: Codec,
}

impl Params {
    /// From (version, version, element bytes[, block elements[, compression]]).
    pub fn of(values: &[u32]) -> Option<Params> {
        let at = |i: usize| values.get(i).copied().unwrap_or(0) as usize;
        let (size, block) = (at(2), at(3));
        let codec = match at(4) {
            0 => Codec::None,
            2 => Codec::Lz4,
            3 => Codec::Zstd,
            _ => return None,
        };
        // The default: 8 KiB, but at least 128 elements.
        let block = if block == 0 {
            (8192 / size.max(1)).max(128) & !7
        } else {
            block
        };
        ((1..=64).contains(&size) && block.is_multiple_of(8)).then_some(Params { size, block, codec })
    }
    pub fn compresses(self) -> bool {
        self.codec != Codec::None
    }
}

/// Decodes a chunk.
pub(super) fn decode(isa: Isa, p: Params, mut from: &[u8], out: &mut [u8]) -> Outcome {
    let mut block = p.block * p.size;
    if p.compresses() {
        let total = u64::from_be_bytes(take_array(&mut from)?);
        block = u32::from_be_bytes(take_array(&mut from)?) as usize;
        if total != out.len() as u64 {
            return Err(format!("{total} bytes where {} are expected", out.len()));
        }
        if block == 0 || !block.is_multiple_of(8 * p.size) {
            return Err(format!("blocks of {block} bytes, not of whole groups of 8 elements"));
        }
    } else {
        same_size(from, out)?;
    }
    thread_local! {
        static PLANES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    // Elements that make no group of eight stand at the end as they are.
    let whole = out.len() / (8 * p.size) * (8 * p.size);
    let (blocks, rest) = out.split_at_mut(whole);
    PLANES.with_borrow_mut(|planes| {
        for part in blocks.chunks_mut(block) {
            let source = match p.codec {
                Codec::None => take(&mut from, part.len())?,
                codec => {
                    let n = u32::from_be_bytes(take_array(&mut from)?) as usize;
                    let packed = take(&mut from, n)?;
                    if planes.len() < part.len() {
                        planes.resize(part.len(), 0);
                    }
                    let planes = &mut planes[..part.len()];
                    if codec == Codec::Lz4 {
                        lz::lz4(packed, planes)?;
                    } else {
                        lz::zstd(packed, planes)?;
                    }
                    &*planes
                }
            };
            undo(isa, p.size, source, part);
        }
        // A block is a chunk at most, and chunks may be large.
        if planes.len() > super::KEEP {
            *planes = Vec::new();
        }
        Ok::<(), String>(())
    })?;
    rest.copy_from_slice(take(&mut from, rest.len())?);
    Ok(())
}

/// Undoes the bit transposition of a block of whole groups of 8 elements of `size` bytes.
pub(super) fn undo(isa: Isa, size: usize, from: &[u8], out: &mut [u8]) {
    match size {
        1 => one(isa, from, out),
        2 => two(isa, from, out),
        4 => four(isa, from, out),
        8 => eight(isa, from, out),
        _ => {
            let row = from.len() / (8 * size);
            for b in 0..size {
                for j in 0..row {
                    let group = transposed(std::array::from_fn(|k| from[(8 * b + k) * row + j]));
                    group.iter().enumerate().for_each(|(k, &v)| out[(8 * j + k) * size + b] = v);
                }
            }
        }
    }
}

/// Byte i of the result holds bit i of each byte.
fn transposed(rows: [u8; 8]) -> [u8; 8] {
    std::array::from_fn(|i| rows.iter().enumerate().fold(0, |v, (k, r)| v | (r >> i & 1) << k))
}

per_isa! {
    fn one(from: &[u8], out: &mut [u8]) { planes::<1>(from, out) }
}
per_isa! {
    fn two(from: &[u8], out: &mut [u8]) { planes::<2>(from, out) }
}
per_isa! {
    fn four(from: &[u8], out: &mut [u8]) { planes::<4>(from, out) }
}
per_isa! {
    fn eight(from: &[u8], out: &mut [u8]) { planes::<8>(from, out) }
}

/// Bytes of a bit plane that are worked on together: one vector.
const LANES: usize = 32;
type Row = [u64; LANES / 8];

#[inline(always)]
fn planes<const N: usize>(from: &[u8], out: &mut [u8]) {
    let row = from.len() / (8 * N);
    let whole = row / LANES * LANES;
    for j in (0..whole).step_by(LANES) {
        let bytes: [[[u8; LANES]; 8]; N] = std::array::from_fn(|b| {
            let rows = std::array::from_fn(|k| load(&from[(8 * b + k) * row + j..]));
            transpose_bits(rows).map(bytemuck::cast)
        });
        let groups = out[8 * N * j..][..8 * N * LANES]
            .as_chunks_mut::<N>()
            .0
            .as_chunks_mut::<8>()
            .0;
        for (i, group) in groups.iter_mut().enumerate() {
            for (k, element) in group.iter_mut().enumerate() {
                *element = std::array::from_fn(|b| bytes[b][k][i]);
            }
        }
    }
    for j in whole..row {
        for b in 0..N {
            let group = transposed(std::array::from_fn(|k| from[(8 * b + k) * row + j]));
            group.iter().enumerate().for_each(|(k, &v)| out[(8 * j + k) * N + b] = v);
        }
    }
}

#[inline(always)]
fn load(from: &[u8]) -> Row {
    let (words, _) = from[..LANES].as_chunks::<8>();
    std::array::from_fn(|i| u64::from_ne_bytes(words[i]))
}

/// Bit transposition of the 8 × 8 bits that stand at the same byte of the eight rows: three rounds in which halves of rows change places.
#[inline(always)]
fn transpose_bits(mut r: [Row; 8]) -> [Row; 8] {
    #[inline(always)]
    fn swap(r: &mut [Row; 8], low: usize, high: usize, shift: u32, mask: u64) {
        let (mut a, mut b) = (r[low], r[high]);
        for (a, b) in a.iter_mut().zip(&mut b) {
            let t = (*a >> shift ^ *b) & mask;
            *b ^= t;
            *a ^= t << shift;
        }
        (r[low], r[high]) = (a, b);
    }
    for k in 0..4 {
        swap(&mut r, k, k + 4, 4, 0x0f0f_0f0f_0f0f_0f0f);
    }
    for k in [0, 1, 4, 5] {
        swap(&mut r, k, k + 2, 2, 0x3333_3333_3333_3333);
    }
    for k in [0, 2, 4, 6] {
        swap(&mut r, k, k + 1, 1, 0x5555_5555_5555_5555);
    }
    r
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, as the layout says.
    fn slow(size: usize, elements: &[u8]) -> Vec<u8> {
        let n = elements.len() / size;
        let mut planes = vec![0; elements.len()];
        for e in 0..n {
            for bit in 0..8 * size {
                let v = elements[e * size + bit / 8] >> (bit % 8) & 1;
                planes[bit * (n / 8) + e / 8] |= v << (e % 8);
            }
        }
        planes
    }

    #[test]
    fn every_size_and_length() {
        for isa in Isa::available() {
            for size in [1, 2, 3, 4, 8, 16] {
                for n in [8, 16, 248, 256, 264, 1032] {
                    let mut state = 7u32;
                    let want: Vec<u8> = std::iter::repeat_with(|| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (state >> 24) as u8
                    })
                    .take(n * size)
                    .collect();
                    let mut out = vec![0; want.len()];
                    undo(isa, size, &slow(size, &want), &mut out);
                    assert!(out == want, "{isa}, {size} bytes, {n} elements");
                }
            }
        }
    }
}
