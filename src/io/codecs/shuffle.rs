//! HDF5's shuffle: first bytes of all elements, then second bytes, and so on; what is left behind whole elements stands at the end as it is.

use crate::backend::cpu::isa::{Isa, per_isa};

/// Puts the bytes of `from` back into elements of `size` bytes. Both slices have the same length.
pub(super) fn undo(isa: Isa, size: usize, from: &[u8], out: &mut [u8]) {
    match size {
        2 => two(isa, from, out),
        4 => four(isa, from, out),
        8 => eight(isa, from, out),
        _ => {
            let n = from.len() / size;
            for (i, element) in out[..n * size].chunks_exact_mut(size).enumerate() {
                element.iter_mut().enumerate().for_each(|(b, v)| *v = from[b * n + i]);
            }
            out[n * size..].copy_from_slice(&from[n * size..]);
        }
    }
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

#[inline(always)]
fn planes<const N: usize>(from: &[u8], out: &mut [u8]) {
    let n = from.len() / N;
    let (elements, rest) = out.as_chunks_mut::<N>();
    let mut planes = [&from[..0]; N];
    planes.iter_mut().enumerate().for_each(|(b, p)| *p = &from[b * n..][..n]);
    // Blocks of fixed size become interleaves of vectors.
    let whole = n / 32 * 32;
    for (k, block) in elements[..whole].as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (b, plane) in planes.iter().enumerate() {
            for (element, &v) in block.iter_mut().zip(&plane[k * 32..][..32]) {
                element[b] = v;
            }
        }
    }
    for (i, element) in elements.iter_mut().enumerate().skip(whole) {
        element.iter_mut().zip(&planes).for_each(|(v, p)| *v = p[i]);
    }
    let tail = from.len() - rest.len();
    rest.copy_from_slice(&from[tail..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_and_length() {
        for isa in Isa::available() {
            for size in [1, 2, 3, 4, 8, 16] {
                for len in [0, 1, 7, 16, 63, 64, 65, 1000] {
                    let want: Vec<u8> = (0..len).map(|i| (i * 37 % 251) as u8).collect();
                    let n = len / size;
                    let mut shuffled = want.clone();
                    for i in 0..n * size {
                        shuffled[i % size * n + i / size] = want[i];
                    }
                    let mut out = vec![0; len];
                    undo(isa, size, &shuffled, &mut out);
                    assert_eq!(out, want, "{isa}, {size} bytes, {len}");
                }
            }
        }
    }
}
