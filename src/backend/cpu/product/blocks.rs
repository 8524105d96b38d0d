//! The inner loop: a tile of products in registers while one block of left numbers stays in the first-level and one of right numbers in the
//! second-level cache. Left numbers are spread over all lanes, right ones come sixteen rows at a time.

use super::DEPTH;
use crate::backend::cpu::lanes::{Lanes, Vector};

/// How a term enters a sum.
pub(super) trait Term {
    fn add<V: Vector>(sum: V, a: V, b: V) -> V;
    /// The sum of two sums.
    fn join<V: Vector>(a: V, b: V) -> V;
}

/// `left` has rows of `depth` numbers, `right` panels of as many lanes, `out` for each left row one group of lanes a panel.
#[inline(always)]
pub(super) fn all_products<V: Vector, T: Term>(
    left: &[f32],
    right: &[Lanes],
    depth: usize,
    packed: &mut Vec<f32>,
    out: &mut [Lanes],
) {
    // As many sums as there are registers, but for those of one right row and one left number.
    match V::PARTS {
        1 => blocks::<V, T, 8, 3>(left, right, depth, packed, out),
        2 => blocks::<V, T, 6, 1>(left, right, depth, packed, out),
        _ => blocks::<V, T, 3, 1>(left, right, depth, packed, out),
    }
}

#[inline(always)]
fn blocks<V: Vector, T: Term, const R: usize, const P: usize>(
    left: &[f32],
    right: &[Lanes],
    depth: usize,
    packed: &mut Vec<f32>,
    out: &mut [Lanes],
) {
    let panels = right.len() / depth;
    for from in (0..depth).step_by(DEPTH) {
        let deep = DEPTH.min(depth - from);
        packed.resize(R * deep, 0.0);
        for (left, out) in left.chunks(R * depth).zip(out.chunks_mut(R * panels)) {
            // Rows beyond the last one repeat it; their products are not stored.
            let rows = left.len() / depth;
            for (k, to) in packed.chunks_exact_mut(R).enumerate() {
                for (r, to) in to.iter_mut().enumerate() {
                    *to = left[r.min(rows - 1) * depth + from + k];
                }
            }
            let mut panel = 0;
            while panel + P <= panels {
                tile::<V, T, R, P>(packed, right, panel, [depth, from], out, panels);
                panel += P;
            }
            while panel < panels {
                tile::<V, T, R, 1>(packed, right, panel, [depth, from], out, panels);
                panel += 1;
            }
        }
    }
}

/// Adds the products of `R` packed left rows with `P` panels from `panel` on, of numbers from `from` on, to `out`.
#[inline(always)]
fn tile<V: Vector, T: Term, const R: usize, const P: usize>(
    packed: &[f32],
    right: &[Lanes],
    panel: usize,
    [depth, from]: [usize; 2],
    out: &mut [Lanes],
    panels: usize,
) {
    let packed = packed.as_chunks::<R>().0;
    let deep = packed.len();
    let right: [&[Lanes]; P] = std::array::from_fn(|p| &right[(panel + p) * depth + from..][..deep]);
    let mut sums = [[V::all(0.0); P]; R];
    for (k, left) in packed.iter().enumerate() {
        let mut values = [V::all(0.0); P];
        for p in 0..P {
            values[p] = V::load(&right[p][k]);
        }
        for r in 0..R {
            let a = V::all(left[r]);
            for p in 0..P {
                sums[r][p] = T::add(sums[r][p], a, values[p]);
            }
        }
    }
    for (out, sums) in out.chunks_exact_mut(panels).zip(sums) {
        for (out, sum) in out[panel..panel + P].iter_mut().zip(sums) {
            T::join(V::load(out), sum).store(out);
        }
    }
}
