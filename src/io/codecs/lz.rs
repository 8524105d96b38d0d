//! Compressors: gzip, lzf, LZ4, zstd and blosclz. Each decodes to exactly the bytes that are expected.

use super::{Outcome, sizes, take, take_array};
use std::cell::RefCell;

thread_local! {
    static STATE: RefCell<libdeflater::Decompressor> = RefCell::new(libdeflater::Decompressor::new());
}

/// Decodes a zlib stream.
pub(super) fn inflate(from: &[u8], out: &mut [u8]) -> Outcome {
    deflated(STATE.with_borrow_mut(|d| d.zlib_decompress(from, out)), out)
}

/// Decodes a gzip file of one member.
pub(super) fn gunzip(from: &[u8], out: &mut [u8]) -> Outcome {
    deflated(STATE.with_borrow_mut(|d| d.gzip_decompress(from, out)), out)
}

/// Decodes an LZ4 block behind its size as decoded.
pub(super) fn sized_lz4(mut from: &[u8], out: &mut [u8]) -> Outcome {
    let size = u32::from_le_bytes(take_array(&mut from)?) as usize;
    if size != out.len() {
        return Err(sizes(size, out.len()));
    }
    lz4(from, out)
}

fn deflated(outcome: Result<usize, libdeflater::DecompressionError>, out: &[u8]) -> Outcome {
    use libdeflater::DecompressionError::{BadData, InsufficientSpace};
    match outcome {
        Ok(n) if n == out.len() => Ok(()),
        Ok(n) => Err(sizes(n, out.len())),
        Err(BadData) => Err("the data are damaged".into()),
        Err(InsufficientSpace) => Err(format!("more than the {} bytes that are expected", out.len())),
    }
}

/// Decodes zstd frames.
pub(super) fn zstd(from: &[u8], out: &mut [u8]) -> Outcome {
    let n = zstd::bulk::decompress_to_buffer(from, out).map_err(|e| e.to_string())?;
    if n == out.len() { Ok(()) } else { Err(sizes(n, out.len())) }
}

/// Decodes one LZ4 block.
pub(super) fn lz4(from: &[u8], out: &mut [u8]) -> Outcome {
    let (Ok(source), Ok(room)) = (i32::try_from(from.len()), i32::try_from(out.len())) else {
        return Err("an LZ4 block beyond 2 GiB".into());
    };
    // SAFETY: both lengths are those of the slices; the function reads and writes only inside of them, whatever the bytes say.
    let n = unsafe { lz4_sys::LZ4_decompress_safe(from.as_ptr().cast(), out.as_mut_ptr().cast(), source, room) };
    match usize::try_from(n) {
        Ok(n) if n == out.len() => Ok(()),
        Ok(n) => Err(sizes(n, out.len())),
        Err(_) => Err("the data are damaged".into()),
    }
}

/// Decodes what filter 32004 writes: size of all (u64), size of a block (u32), then each block with its compressed size (u32),
/// all big-endian; a block that did not get smaller stands as it is.
pub(super) fn lz4_frames(mut from: &[u8], out: &mut [u8]) -> Outcome {
    let total = u64::from_be_bytes(take_array(&mut from)?);
    let block = u32::from_be_bytes(take_array(&mut from)?) as usize;
    if total != out.len() as u64 {
        return Err(format!("{total} bytes where {} are expected", out.len()));
    }
    if block == 0 && total > 0 {
        return Err("blocks of no bytes".into());
    }
    for part in out.chunks_mut(block.max(1)) {
        let n = u32::from_be_bytes(take_array(&mut from)?) as usize;
        let source = take(&mut from, n)?;
        if n == part.len() {
            part.copy_from_slice(source);
        } else {
            lz4(source, part)?;
        }
    }
    Ok(())
}

/// Decodes LibLZF: a byte below 32 precedes that many literals and one more; others hold 3 bits of length and 5 bits of distance.
pub(super) fn lzf(mut from: &[u8], out: &mut [u8]) -> Outcome {
    let mut done = 0;
    while !from.is_empty() {
        let [control] = take_array(&mut from)?;
        if control < 32 {
            literals(&mut from, usize::from(control) + 1, out, &mut done)?;
            continue;
        }
        let mut length = usize::from(control >> 5);
        if length == 7 {
            let [more] = take_array(&mut from)?;
            length += usize::from(more);
        }
        let [low] = take_array(&mut from)?;
        let distance = usize::from(control & 31) << 8 | usize::from(low);
        repeat(distance + 1, length + 2, out, &mut done)?;
    }
    complete(done, out)
}

/// Decodes blosclz, c-blosc's variant of FastLZ level 2: as lzf, but lengths of 7 and more go on in bytes of 255, and the largest distance
/// announces another 16 bits of it. The stream begins with literals.
pub(super) fn blosclz(mut from: &[u8], out: &mut [u8]) -> Outcome {
    /// Distances that 13 bits hold.
    const NEAR: usize = 8191;
    let mut done = 0;
    let mut first = true;
    while !from.is_empty() {
        let [control] = take_array(&mut from)?;
        let control = if std::mem::take(&mut first) { control & 31 } else { control };
        if control < 32 {
            literals(&mut from, usize::from(control) + 1, out, &mut done)?;
            continue;
        }
        let mut length = usize::from(control >> 5) + 2;
        if control >> 5 == 7 {
            loop {
                let [more] = take_array(&mut from)?;
                length += usize::from(more);
                if more != 255 {
                    break;
                }
            }
        }
        let [low] = take_array(&mut from)?;
        let mut distance = usize::from(control & 31) << 8 | usize::from(low);
        if distance == NEAR {
            distance += usize::from(u16::from_be_bytes(take_array(&mut from)?));
        }
        repeat(distance + 1, length, out, &mut done)?;
    }
    complete(done, out)
}

fn complete(done: usize, out: &[u8]) -> Outcome {
    if done == out.len() {
        Ok(())
    } else {
        Err(sizes(done, out.len()))
    }
}

fn literals(from: &mut &[u8], n: usize, out: &mut [u8], done: &mut usize) -> Outcome {
    let source = take(from, n)?;
    let target = out.get_mut(*done..*done + n).ok_or("more bytes than expected")?;
    target.copy_from_slice(source);
    *done += n;
    Ok(())
}

/// Repeats `length` bytes from `distance` bytes before; the two stretches may overlap.
fn repeat(distance: usize, length: usize, out: &mut [u8], done: &mut usize) -> Outcome {
    let start = done.checked_sub(distance).ok_or("a reference before the beginning")?;
    let end = *done + length;
    if end > out.len() {
        return Err("more bytes than expected".into());
    }
    if distance >= length {
        out.copy_within(start..start + length, *done);
    } else {
        // What was copied is copied again: each round doubles what may be taken at once.
        let mut at = *done;
        while at < end {
            let n = (at - start).min(end - at);
            out.copy_within(start..start + n, at);
            at += n;
        }
    }
    *done = end;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_may_overlap() {
        let mut out = [0; 12];
        lzf(&[1, 7, 8, 7 << 5, 1, 1], &mut out).unwrap();
        assert_eq!(out, [7, 8, 7, 8, 7, 8, 7, 8, 7, 8, 7, 8]);
        let mut out = [0; 9];
        blosclz(&[0, 5, 6 << 5, 0], &mut out).unwrap();
        assert_eq!(out, [5; 9]);
    }

    #[test]
    fn damaged_streams_are_refused() {
        let mut out = [0; 12];
        for bad in [
            &[5u8, 1][..],
            &[0, 1, 32, 5],
            &[0, 1, 7 << 5],
            &[0, 1, 7 << 5, 200, 0],
            &[0, 1],
        ] {
            assert!(lzf(bad, &mut out).is_err());
            assert!(blosclz(bad, &mut out).is_err());
        }
        assert!(lz4_frames(&[0; 12], &mut out).is_err());
        assert!(lz4_frames(&[0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0], &mut out).is_err());
        assert!(inflate(&[1, 2, 3], &mut out).is_err() && zstd(&[1, 2, 3], &mut out).is_err());
    }
}
