//! Blocks of 8- and 16-bit numbers turned over before they become float32: a register then holds four or two times as many.

use super::LANES;

/// Sixteen bytes of each row from number `at` on: byte c of row r becomes byte r of row c. Rows that end earlier count as zeros.
pub(crate) type Bytes = [[u8; LANES]; LANES];

/// The same with eight numbers of 16 bits of each row.
pub(crate) type Shorts = [[u16; LANES]; LANES / 2];

#[cfg(target_arch = "x86_64")]
mod unpacked {
    use super::{Bytes, LANES, Shorts};
    use std::arch::x86_64::*;

    // Safety of all: SSE2 belongs to every x86-64; loads and stores of 16 bytes are from and to arrays of 16 bytes. Four (three) times
    // the first half of all rows is mixed with the second one.

    #[inline(always)]
    pub(crate) fn turn_bytes(rows: &[&[u8]; LANES], at: usize, out: &mut Bytes) {
        let mut r = [unsafe { _mm_setzero_si128() }; LANES];
        for (r, row) in r.iter_mut().zip(rows) {
            if let Some(bytes) = row[at..].first_chunk::<LANES>() {
                *r = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
            }
        }
        for _ in 0..4 {
            let mut mixed = r;
            for i in 0..LANES / 2 {
                mixed[2 * i] = unsafe { _mm_unpacklo_epi8(r[i], r[i + LANES / 2]) };
                mixed[2 * i + 1] = unsafe { _mm_unpackhi_epi8(r[i], r[i + LANES / 2]) };
            }
            r = mixed;
        }
        for (out, r) in out.iter_mut().zip(r) {
            unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), r) };
        }
    }

    #[inline(always)]
    pub(crate) fn turn_shorts(rows: &[&[u16]; LANES], at: usize, out: &mut Shorts) {
        const HALF: usize = LANES / 2;
        for (h, rows) in rows.as_chunks::<HALF>().0.iter().enumerate() {
            let mut r = [unsafe { _mm_setzero_si128() }; HALF];
            for (r, row) in r.iter_mut().zip(rows) {
                if let Some(shorts) = row[at..].first_chunk::<HALF>() {
                    *r = unsafe { _mm_loadu_si128(shorts.as_ptr().cast()) };
                }
            }
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
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod unpacked {
    use super::{Bytes, LANES, Shorts};

    #[inline(always)]
    pub(crate) fn turn_bytes(rows: &[&[u8]; LANES], at: usize, out: &mut Bytes) {
        *out = std::array::from_fn(|c| std::array::from_fn(|r| rows[r].get(at + c).copied().unwrap_or(0)));
    }

    #[inline(always)]
    pub(crate) fn turn_shorts(rows: &[&[u16]; LANES], at: usize, out: &mut Shorts) {
        *out = std::array::from_fn(|c| std::array::from_fn(|r| rows[r].get(at + c).copied().unwrap_or(0)));
    }
}
pub(crate) use unpacked::{turn_bytes, turn_shorts};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let bytes: [[u8; LANES + 3]; LANES] = std::array::from_fn(|r| std::array::from_fn(|c| (16 * r + c) as u8));
        let shorts: [[u16; LANES]; LANES] = std::array::from_fn(|r| std::array::from_fn(|c| (4099 * r + c) as u16));
        let (mut turned, mut wide) = ([[0; LANES]; LANES], [[0; LANES]; LANES / 2]);
        turn_bytes(&std::array::from_fn(|r| &bytes[r][..]), 3, &mut turned);
        turn_shorts(&std::array::from_fn(|r| &shorts[r][..]), 5, &mut wide);
        for r in 0..LANES {
            assert!((0..LANES).all(|c| turned[c][r] == bytes[r][c + 3]));
            assert!((0..LANES / 2).all(|c| wide[c][r] == shorts[r][c + 5]));
        }
    }
}
