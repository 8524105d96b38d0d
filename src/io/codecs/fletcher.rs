//! Fletcher's checksum with two sums of 16-bit big-endian words modulo 65535, as HDF5 stores it: little-endian, behind the data.

use super::Outcome;

/// Bytes of the checksum.
pub(super) const BYTES: usize = 4;

/// Words whose sums cannot overflow 32 bits.
const RUN: usize = 360;

/// The data before the checksum, if it fits them.
pub(super) fn check(from: &[u8]) -> Outcome<&[u8]> {
    let (data, stored) = from.split_last_chunk::<BYTES>().ok_or("too short for a checksum")?;
    let sum = fletcher32(data);
    let [a, b, c, d] = *stored;
    // Old versions of the library swapped the bytes of both halves; the library accepts these, too.
    if [u32::from_le_bytes(*stored), u32::from_le_bytes([b, a, d, c])].contains(&sum) {
        Ok(data)
    } else {
        let stored = u32::from_le_bytes(*stored);
        Err(format!(
            "the checksum should be {stored:08x} and is {sum:08x}: the data are damaged"
        ))
    }
}

fn fletcher32(data: &[u8]) -> u32 {
    let fold = |s: u32| (s & 0xffff) + (s >> 16);
    let (mut one, mut two) = (0u32, 0u32);
    let (words, odd) = data.as_chunks::<2>();
    for run in words.chunks(RUN) {
        for &w in run {
            one += u32::from(u16::from_be_bytes(w));
            two += one;
        }
        (one, two) = (fold(one), fold(two));
    }
    if let [last] = odd {
        one += u32::from(*last) << 8;
        two += one;
        (one, two) = (fold(one), fold(two));
    }
    fold(two) << 16 | fold(one)
}

#[cfg(test)]
mod tests {
    #[test]
    fn sums_by_hand() {
        assert_eq!(super::fletcher32(&[]), 0);
        assert_eq!(super::fletcher32(&[1, 2, 3, 4]), (0x0102 * 2 + 0x0304) << 16 | 0x0406);
        assert_eq!(super::fletcher32(&[0, 1, 2]), (1 + 0x0201) << 16 | 0x0201);
    }
}
