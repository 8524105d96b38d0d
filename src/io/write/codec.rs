//! Packing of chunks, as HDF5's and Zarr's filters do it, and their way into HDF5.

use super::Compression;
use crate::error::{Error, Result};
use crate::io::results::hdf5_error;
use hdf5::dataset::Dataset;
use std::cell::RefCell;
use std::path::Path;

thread_local! {
    /// Compressors keep tables of up to a megabyte, one for each level that was asked for last.
    static DEFLATE: RefCell<Option<(u8, libdeflater::Compressor)>> = const { RefCell::new(None) };
}

/// All first bytes of the elements of `size` bytes, then all second bytes, and so on.
pub(crate) fn shuffle(bytes: &[u8], size: usize) -> Vec<u8> {
    match size {
        0 | 1 => bytes.to_vec(),
        2 => planes::<2>(bytes),
        4 => planes::<4>(bytes),
        _ => (0..size).flat_map(|b| bytes.iter().skip(b).step_by(size).copied()).collect(),
    }
}

/// [`shuffle`] for sizes known to the compiler, which then takes many elements at a time.
fn planes<const N: usize>(bytes: &[u8]) -> Vec<u8> {
    let (elements, _) = bytes.as_chunks::<N>();
    let mut out = Vec::with_capacity(bytes.len());
    for b in 0..N {
        out.extend(elements.iter().map(|e| e[b]));
    }
    out
}

/// A zlib stream; level 1 to 9.
///
/// # Errors
/// [`Error::Internal`] if the encoder breaks its promise about sizes.
pub(crate) fn deflate(bytes: &[u8], level: u8) -> Result<Vec<u8>> {
    DEFLATE.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(l, _)| *l != level) {
            let level_of = libdeflater::CompressionLvl::new(i32::from(level.clamp(1, 9)));
            let level_of = level_of.map_err(|e| Error::Internal(format!("compression level {level}: {e:?}")))?;
            *slot = Some((level, libdeflater::Compressor::new(level_of)));
        }
        let Some((_, encoder)) = slot else {
            return Err(Error::Internal("no encoder".into()));
        };
        let mut out = vec![0; encoder.zlib_compress_bound(bytes.len())];
        let n = encoder.zlib_compress(bytes, &mut out);
        out.truncate(n.map_err(|e| Error::Internal(format!("deflate: {e:?}")))?);
        Ok(out)
    })
}

/// A chunk of elements of `size` bytes, shuffled and packed.
pub(super) fn pack(bytes: Vec<u8>, size: usize, compression: Compression) -> Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(bytes),
        Compression::Gzip(level) => deflate(&shuffle(&bytes, size), level),
        Compression::Zstd(level) => {
            let packed = zstd::bulk::compress(&shuffle(&bytes, size), i32::from(level));
            packed.map_err(|e| Error::Internal(format!("zstd: {e}")))
        }
    }
}

/// Frames of a scan row that are packed together: chunks of about a mebibyte that never reach into the next row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunks {
    pub frames: usize,
    nx: u64,
    frame_bytes: usize,
}

/// Bytes of a chunk, unless one frame is larger.
const CHUNK: usize = 1 << 20;

impl Chunks {
    pub fn of(scan: &super::NewScan) -> Chunks {
        let frame_bytes = scan.frame.bytes();
        Chunks {
            frames: (CHUNK / frame_bytes).clamp(1, scan.nav[1]),
            nx: scan.nav[1] as u64,
            frame_bytes,
        }
    }
    /// See [`super::ScanWriter::boundary`].
    pub fn boundary(&self, at: u64) -> u64 {
        let x = at % self.nx;
        at - x + x.next_multiple_of(self.frames as u64).min(self.nx)
    }
    /// Cuts a run of frames into chunks: position (y, x) of the first frame of each, and its bytes. The last chunk of a row may have fewer
    /// frames than the others.
    ///
    /// # Errors
    /// [`Error::Internal`] if the run does not begin and end at boundaries.
    pub fn cut<'a>(&self, first: u64, bytes: &'a [u8]) -> Result<Vec<([u64; 2], &'a [u8])>> {
        let end = first + (bytes.len() / self.frame_bytes) as u64;
        if self.boundary(first) != first || self.boundary(end) != end {
            return Err(Error::Internal(format!("frames {first} to {end} are no whole chunks")));
        }
        let (mut at, mut rest, mut chunks) = (first, bytes, Vec::new());
        while at < end {
            let next = self.boundary(at + 1);
            let (chunk, tail) = rest.split_at((next - at) as usize * self.frame_bytes);
            chunks.push(([at / self.nx, at % self.nx], chunk));
            (at, rest) = (next, tail);
        }
        Ok(chunks)
    }
    /// A chunk of full size: what lies beyond the row is zero.
    pub fn full(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.frames * self.frame_bytes);
        out.extend_from_slice(bytes);
        out.resize(self.frames * self.frame_bytes, 0);
        out
    }
}

/// Writes a packed chunk whose first element lies at `offset` past the library's filters.
///
/// # Errors
/// What the library reports; [`Error::Internal`] if the dataset has another number of dimensions.
pub(crate) fn write_chunk(dataset: &Dataset, path: &Path, offset: &[u64], chunk: &[u8]) -> Result<()> {
    if dataset.ndim() != offset.len() {
        return Err(Error::Internal(format!(
            "a chunk at {offset:?} of {} dimensions",
            dataset.ndim()
        )));
    }
    let written = hdf5::sync::sync(|| {
        // SAFETY: the dataset is open and has as many dimensions as `offset` has entries (the library refuses one without chunks), the chunk's bytes are
        // borrowed for the call, and the library's lock is held.
        let status = unsafe {
            hdf5_sys::h5d::H5Dwrite_chunk(
                dataset.id(),
                hdf5_sys::h5p::H5P_DEFAULT,
                0,
                offset.as_ptr(),
                chunk.len(),
                chunk.as_ptr().cast(),
            )
        };
        hdf5::h5check(status).map(|_| ())
    });
    written.map_err(|e| hdf5_error(path, "cannot write", &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::{FrameShape, Pixel};

    #[test]
    fn chunks_stay_within_rows() {
        let frame = FrameShape {
            pixel: Pixel::U8,
            height: 512,
            width: 512,
        };
        let chunks = Chunks::of(&super::super::NewScan::new([3, 10], frame));
        assert_eq!(chunks.frames, 4);
        let ends: Vec<u64> = [0, 1, 4, 5, 8, 9, 10, 11, 29, 30].map(|at| chunks.boundary(at)).to_vec();
        assert_eq!(ends, [0, 4, 4, 8, 8, 10, 10, 14, 30, 30]);
        let bytes = vec![1; 6 * frame.bytes()];
        let cut = chunks.cut(8, &bytes).unwrap();
        assert_eq!(cut.iter().map(|c| c.0).collect::<Vec<_>>(), [[0, 8], [1, 0]]);
        assert_eq!(chunks.full(cut[0].1).iter().filter(|&&b| b == 1).count(), 2 * frame.bytes());
        assert!(chunks.cut(9, &bytes).is_err());
    }

    #[test]
    fn shuffled_bytes() {
        assert_eq!(shuffle(&[1, 2, 3, 4], 2), [1, 3, 2, 4]);
        assert_eq!(shuffle(&[1, 2, 3, 4, 5, 6, 7, 8], 4), [1, 5, 2, 6, 3, 7, 4, 8]);
        assert_eq!(shuffle(&[1, 2, 3, 4, 5, 6], 3), [1, 4, 2, 5, 3, 6]);
    }
}
