//! Blosc 1 chunks (filter 32001): a header of 16 bytes, offsets of blocks, and blocks that are shuffled and compressed on their own.
//! Layout: c-blosc's README_CHUNK_FORMAT.

use super::{Outcome, bitshuffle, lz, shuffle, sizes, take_array};
use crate::backend::cpu::isa::Isa;

const SHUFFLED: u8 = 1;
const STORED: u8 = 2;
const BITSHUFFLED: u8 = 4;
const NOT_SPLIT: u8 = 16;

/// Blocks are split by byte plane only where planes have this many bytes, and elements at most that many.
const MIN_PLANE: usize = 128;
const MAX_SPLITS: usize = 16;

/// Decodes a chunk.
pub(super) fn decode(isa: Isa, all: &[u8], out: &mut [u8]) -> Outcome {
    let mut head = all;
    let [version, _, flags, size] = take_array(&mut head)?;
    let mut number = || take_array(&mut head).map(|b| u32::from_le_bytes(b) as usize);
    let (total, block, packed) = (number()?, number()?, number()?);
    if version > 2 {
        return Err(format!("version {version} of the format is not known"));
    }
    if total != out.len() {
        return Err(sizes(total, out.len()));
    }
    if packed > all.len() {
        return Err("the chunk ends too early".into());
    }
    let all = &all[..packed];
    if flags & STORED != 0 {
        let bytes = all.get(16..16 + total).ok_or("the chunk ends too early")?;
        out.copy_from_slice(bytes);
        return Ok(());
    }
    if total > 0 && block == 0 {
        return Err("blocks of no bytes".into());
    }
    let size = usize::from(size).max(1);
    let mut planes = vec![
        0;
        if flags & (SHUFFLED | BITSHUFFLED) == 0 {
            0
        } else {
            block.min(total)
        }
    ];
    for part in out.chunks_mut(block.max(1)) {
        let start = number()?;
        let source = all.get(start..).ok_or("a block behind the end of the chunk")?;
        let split = flags & NOT_SPLIT == 0 && part.len() == block && size <= MAX_SPLITS && block / size >= MIN_PLANE;
        let splits = if split { size } else { 1 };
        let codec = flags >> 5;
        // Single bytes are never shuffled by bytes.
        if flags & SHUFFLED != 0 && size > 1 {
            let planes = &mut planes[..part.len()];
            pieces(codec, splits, source, planes)?;
            shuffle::undo(isa, size, planes, part);
        } else if flags & BITSHUFFLED != 0 && part.len() >= size {
            let planes = &mut planes[..part.len()];
            pieces(codec, splits, source, planes)?;
            let elements = part.len() / size;
            // Only blocks of whole groups of eight elements were transposed.
            let whole = if elements.is_multiple_of(8) { elements * size } else { 0 };
            bitshuffle::undo(isa, size, &planes[..whole], &mut part[..whole]);
            part[whole..].copy_from_slice(&planes[whole..]);
        } else {
            pieces(codec, splits, source, part)?;
        }
    }
    Ok(())
}

/// Decodes the pieces of a block: size (u32), then compressed bytes, or the bytes themselves where they did not get smaller.
fn pieces(codec: u8, splits: usize, mut from: &[u8], out: &mut [u8]) -> Outcome {
    if !out.len().is_multiple_of(splits) {
        return Err("a block that cannot be split".into());
    }
    let length = out.len() / splits;
    for part in out.chunks_mut(length.max(1)) {
        let n = u32::from_le_bytes(take_array(&mut from)?) as usize;
        let source = super::take(&mut from, n)?;
        if n == length {
            part.copy_from_slice(source);
            continue;
        }
        match codec {
            0 => lz::blosclz(source, part)?,
            1 => lz::lz4(source, part)?,
            3 => lz::inflate(source, part)?,
            4 => lz::zstd(source, part)?,
            2 => return Err("snappy inside of blosc is not supported".into()),
            _ => return Err(format!("codec {codec} inside of blosc is not known")),
        }
    }
    Ok(())
}
