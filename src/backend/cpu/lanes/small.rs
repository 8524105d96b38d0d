//! Blocks of 8- and 16-bit numbers turned over before they become float32: a register then holds four or two times as many.

use super::LANES;

/// Sixteen rows of 16 bytes; byte c of row r becomes byte r of row c.
pub(crate) type Bytes = [[u8; LANES]; LANES];

/// Sixteen rows of 8 numbers of 16 bits become 8 rows of 16.
pub(crate) type Shorts = [[u16; LANES / 2]; LANES];

#[cfg(target_arch = "x86_64")]
mod unpacked {
    use super::{Bytes, LANES, Shorts};
    use std::arch::x86_64::*;

    // Safety of all: SSE2 belongs to every x86-64. Four (three) times the first half of all rows is mixed with the second one.

    #[inline(always)]
    pub(crate) fn turn_bytes(rows: &Bytes) -> Bytes {
        // Safety: loads and stores of 16 bytes from and to arrays of 16 bytes.
        let mut r: [__m128i; LANES] = std::array::from_fn(|i| unsafe { _mm_loadu_si128(rows[i].as_ptr().cast()) });
        for _ in 0..4 {
            let mut mixed = r;
            for i in 0..LANES / 2 {
                mixed[2 * i] = unsafe { _mm_unpacklo_epi8(r[i], r[i + LANES / 2]) };
                mixed[2 * i + 1] = unsafe { _mm_unpackhi_epi8(r[i], r[i + LANES / 2]) };
            }
            r = mixed;
        }
        let mut out = [[0; LANES]; LANES];
        for (out, r) in out.iter_mut().zip(r) {
            unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), r) };
        }
        out
    }

    #[inline(always)]
    pub(crate) fn turn_shorts(rows: &Shorts) -> [[u16; LANES]; LANES / 2] {
        const HALF: usize = LANES / 2;
        let mut out = [[0; LANES]; HALF];
        for (h, rows) in rows.as_chunks::<HALF>().0.iter().enumerate() {
            // Safety: as above.
            let mut r: [__m128i; HALF] = std::array::from_fn(|i| unsafe { _mm_loadu_si128(rows[i].as_ptr().cast()) });
            for _ in 0..3 {
                let mut mixed = r;
                for i in 0..HALF / 2 {
                    mixed[2 * i] = unsafe { _mm_unpacklo_epi16(r[i], r[i + HALF / 2]) };
                    mixed[2 * i + 1] = unsafe { _mm_unpackhi_epi16(r[i], r[i + HALF / 2]) };
                }
                r = mixed;
            }
            for (out, r) in out.iter_mut().zip(r) {
                let half = &mut out.as_chunks_mut::<HALF>().0[h];
                unsafe { _mm_storeu_si128(half.as_mut_ptr().cast(), r) };
            }
        }
        out
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod unpacked {
    use super::{Bytes, LANES, Shorts};

    #[inline(always)]
    pub(crate) fn turn_bytes(rows: &Bytes) -> Bytes {
        std::array::from_fn(|c| std::array::from_fn(|r| rows[r][c]))
    }

    #[inline(always)]
    pub(crate) fn turn_shorts(rows: &Shorts) -> [[u16; LANES]; LANES / 2] {
        std::array::from_fn(|c| std::array::from_fn(|r| rows[r][c]))
    }
}
pub(crate) use unpacked::{turn_bytes, turn_shorts};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let bytes: Bytes = std::array::from_fn(|r| std::array::from_fn(|c| (16 * r + c) as u8));
        let shorts: Shorts = std::array::from_fn(|r| std::array::from_fn(|c| (4099 * r + c) as u16));
        let (turned, wide) = (turn_bytes(&bytes), turn_shorts(&shorts));
        for r in 0..LANES {
            assert!((0..LANES).all(|c| turned[c][r] == bytes[r][c]));
            assert!((0..LANES / 2).all(|c| wide[c][r] == shorts[r][c]));
        }
    }
}
