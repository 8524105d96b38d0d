//! Fused multiply-adds with SSE2, which has none.

use std::arch::x86_64::*;

/// a · b + c, rounded once: products are exact in float64.
#[inline(always)]
pub(super) unsafe fn fused_128(a: __m128, b: __m128, c: __m128) -> __m128 {
    unsafe {
        let upper = |v: __m128| _mm_movehl_ps(v, v);
        let low = sum_to_odd(_mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b)), _mm_cvtps_pd(c));
        let high = _mm_mul_pd(_mm_cvtps_pd(upper(a)), _mm_cvtps_pd(upper(b)));
        let high = sum_to_odd(high, _mm_cvtps_pd(upper(c)));
        _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high))
    }
}

/// a + b, where it is not exact the neighbour whose last bit is set: rounding that to float32 is rounding the exact sum (Boldo and
/// Melquiond, Emulation of FMA and correctly rounded sums, IEEE Trans. Comput. 57, 462 (2008)).
#[inline(always)]
unsafe fn sum_to_odd(a: __m128d, b: __m128d) -> __m128d {
    unsafe {
        let sum = _mm_add_pd(a, b);
        let of_b = _mm_sub_pd(sum, a);
        let lost = _mm_add_pd(_mm_sub_pd(a, _mm_sub_pd(sum, of_b)), _mm_sub_pd(b, of_b));
        let zero = _mm_setzero_pd();
        // False for NaN, which infinite sums leave.
        let inexact = _mm_or_pd(_mm_cmplt_pd(lost, zero), _mm_cmpgt_pd(lost, zero));
        let one = _mm_set1_epi64x(1);
        let bits = _mm_castpd_si128(sum);
        let even = _mm_sub_epi64(_mm_and_si128(bits, one), one);
        // One bit up if what was lost points away from zero, else one down.
        let against = _mm_srai_epi32::<31>(_mm_xor_si128(bits, _mm_castpd_si128(lost)));
        let step = _mm_or_si128(_mm_shuffle_epi32::<0b11_11_01_01>(against), one);
        let step = _mm_and_si128(step, _mm_and_si128(even, _mm_castpd_si128(inexact)));
        _mm_castsi128_pd(_mm_add_epi64(bits, step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_products_without_the_instruction_are_rounded_once() {
        let mut state = 1u64;
        let mut bits = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 32) as u32
        };
        let special = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            f32::MAX,
            f32::INFINITY,
            f32::NAN,
        ];
        let mut inexact = 0;
        for round in 0..300_000 {
            let mut four = || -> [f32; 4] {
                std::array::from_fn(|_| {
                    let v = bits();
                    match round % 3 {
                        // Any number at all; sums that lie close to the middle between two; and the ends of the range.
                        0 => f32::from_bits(v),
                        1 => 1.0 + (v % 64) as f32 * f32::EPSILON,
                        _ => special[v as usize % special.len()],
                    }
                })
            };
            let (a, b, mut c) = (four(), four(), four());
            if round % 3 == 1 {
                // Far below the product, of either sign.
                c = c.map(|c| (c - 1.0 - 32.0 * f32::EPSILON) * 1e-10);
            }
            let mut found = [0f32; 4];
            unsafe {
                let [a, b, c] = [a, b, c].map(|v| _mm_loadu_ps(v.as_ptr()));
                _mm_storeu_ps(found.as_mut_ptr(), fused_128(a, b, c));
            }
            for l in 0..4 {
                let exact = a[l].mul_add(b[l], c[l]);
                let equal = exact.to_bits() == found[l].to_bits() || exact.is_nan() && found[l].is_nan();
                assert!(equal, "{} · {} + {}: {} instead of {exact}", a[l], b[l], c[l], found[l]);
                inexact += usize::from((f64::from(a[l]) * f64::from(b[l]) + f64::from(c[l])) as f32 != exact);
            }
        }
        assert!(inexact > 100, "only {inexact} cases that rounding twice would get wrong");
    }
}
