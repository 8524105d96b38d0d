//! What happens to each pixel by itself on the way through the network and back, rows of all channels at a time.

use super::super::planes::SIDE;
use crate::backend::cpu::isa::per_isa;

/// Code of a pooled pixel that ReLU has cut off; those of the others say which of the four was the largest: 0 and 1 above, 2 and 3 below.
const CUT: u8 = 4;

/// Shape of rows of channels: from one channel to the next, and pixels.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub pitch: usize,
    pub width: usize,
}

per_isa! {
    /// The largest of 2 × 2 pixels of `rows` (two rows of `wide`), and which it was: the first of equal ones, row by row. With `relu` numbers are none below zero.
    pub(super) fn pool(rows: &[f32], wide: Shape, out: &mut [f32], narrow: Shape, codes: &mut [u8], relu: bool) {
        let (above, below) = rows.split_at(rows.len() / 2);
        let lines = above.chunks_exact(wide.pitch).zip(below.chunks_exact(wide.pitch));
        let outs = out.chunks_exact_mut(narrow.pitch).zip(codes.chunks_exact_mut(narrow.width));
        for ((above, below), (out, codes)) in lines.zip(outs) {
            let above = above[SIDE..SIDE + wide.width].as_chunks::<2>().0;
            let below = below[SIDE..SIDE + wide.width].as_chunks::<2>().0;
            let out = &mut out[SIDE..SIDE + narrow.width];
            for (((out, code), a), b) in out.iter_mut().zip(codes).zip(above).zip(below) {
                let upper = if a[1] > a[0] { a[1] } else { a[0] };
                let lower = if b[1] > b[0] { b[1] } else { b[0] };
                let high = if lower > upper { lower } else { upper };
                let at = if lower > upper { 2 + u8::from(b[1] > b[0]) } else { u8::from(a[1] > a[0]) };
                *code = if relu && high <= 0.0 { CUT } else { at };
                *out = high;
            }
        }
    }
}

per_isa! {
    /// Errors of pooled pixels go to those that were the largest: the way back of [`pool`].
    pub(super) fn unpool(error: &[f32], narrow: Shape, codes: &[u8], rows: &mut [f32], wide: Shape) {
        let half = rows.len() / 2;
        let (above, below) = rows.split_at_mut(half);
        let lines = above.chunks_exact_mut(wide.pitch).zip(below.chunks_exact_mut(wide.pitch));
        let errors = error.chunks_exact(narrow.pitch).zip(codes.chunks_exact(narrow.width));
        for ((above, below), (error, codes)) in lines.zip(errors) {
            let error = &error[SIDE..SIDE + narrow.width];
            for (line, code) in [(above, 0), (below, 2)] {
                line[..SIDE].fill(0.0);
                for ((to, e), c) in line[SIDE..].as_chunks_mut::<2>().0.iter_mut().zip(error).zip(codes) {
                    *to = [if *c == code { *e } else { 0.0 }, if *c == code + 1 { *e } else { 0.0 }];
                }
                line[SIDE + wide.width..].fill(0.0);
            }
        }
    }
}

per_isa! {
    /// Errors of outputs that ReLU has cut off are none.
    pub(super) fn stop(error: &mut [f32], output: &[f32]) {
        for (e, o) in error.iter_mut().zip(output) {
            *e = if *o > 0.0 { *e } else { 0.0 };
        }
    }
}

per_isa! {
    /// A row of errors at an even (`half` 0) or odd (1) row of an upsampled image, without those that ReLU has cut off, to the channels of that row's even
    /// and odd columns.
    pub(super) fn split(error: &[f32], output: Option<&[f32]>, large: Shape, to: &mut [f32], small: Shape, half: usize) {
        let channels = error.len() / large.pitch;
        let to = &mut to[2 * half * channels * small.pitch..][..2 * channels * small.pitch];
        let (even, odd) = to.split_at_mut(channels * small.pitch);
        let to = even.chunks_exact_mut(small.pitch).zip(odd.chunks_exact_mut(small.pitch));
        for (c, (even, odd)) in to.enumerate() {
            let of = c * large.pitch + SIDE..c * large.pitch + SIDE + large.width;
            for line in [&mut *even, &mut *odd] {
                line[..SIDE].fill(0.0);
                line[SIDE + small.width..].fill(0.0);
            }
            let errors = error[of.clone()].as_chunks::<2>().0;
            let to = even[SIDE..].iter_mut().zip(&mut odd[SIDE..]);
            match output {
                Some(output) => {
                    for (((even, odd), e), o) in to.zip(errors).zip(output[of].as_chunks::<2>().0) {
                        *even = if o[0] > 0.0 { e[0] } else { 0.0 };
                        *odd = if o[1] > 0.0 { e[1] } else { 0.0 };
                    }
                }
                None => to.zip(errors).for_each(|((even, odd), e)| (*even, *odd) = (e[0], e[1])),
            }
        }
    }
}
