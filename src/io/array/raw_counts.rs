//! Pages whose photometric interpretation is WhiteIsZero, as the decoder is to see them.
//!
//! The decoder turns such pixels into light: it inverts unsigned integers, takes floats from 1 and refuses signed integers. A detector's
//! counts are no light, and pages that are read in place come as they are stored. So the decoder reads a file in which every page says
//! BlackIsZero; undoing the inversion behind it would be exact for unsigned integers only.

use std::io::{Read, Result, Seek, SeekFrom};

/// A file of which some zero bytes read as one.
pub(crate) struct RawCounts<R> {
    file: R,
    at: u64,
    /// Bytes that hold the 0 of WhiteIsZero, in order.
    white: Vec<u64>,
}

impl<R> RawCounts<R> {
    /// A file at its beginning, and what [`super::tiff_claims::check`] found in it.
    pub fn new(file: R, mut white: Vec<u64>) -> Self {
        white.sort_unstable();
        RawCounts { file, at: 0, white }
    }
}

impl<R: Read> Read for RawCounts<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let count = self.file.read(out)?;
        let begin = self.at;
        self.at += count as u64;
        let first = self.white.partition_point(|&w| w < begin);
        for place in self.white.iter().skip(first).take_while(|&&w| w < self.at) {
            if let Some(byte) = out.get_mut((place - begin) as usize) {
                *byte = 1;
            }
        }
        Ok(count)
    }
}

impl<R: Seek> Seek for RawCounts<R> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}
