//! Registers of x86-64: SSE2, AVX2, AVX-512.

mod fused;

use super::{LANES, Lanes, Register, Vector};
use fused::fused_128;
use std::arch::x86_64::*;

/// SSE2, which every x86-64 has.
pub(crate) type Plain = Registers<__m128, 4>;
/// AVX2. Values exist only inside functions compiled for it.
pub(crate) type Avx2 = Registers<__m256, 2>;
/// AVX-512. Values exist only inside functions compiled for it.
pub(crate) type Avx512 = Registers<__m512, 1>;

/// `N` registers that hold the sixteen lanes in order.
#[derive(Clone, Copy)]
pub(crate) struct Registers<R, const N: usize>([R; N]);

macro_rules! vector {
    ($register:ty, $n:literal, $set:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $fused:ident,
         $div:ident, $sqrt:ident, $max:ident, $magnitude:ident, $larger:ident, $below:ident, $turn:ident, $whole:ident, $float:ident, $madd:ident, $plus:ident, $pairs:ident) => {
        // Safety of all: `per_vector!` uses the type only in functions that are compiled for, and called after detecting, its
        // instruction set; pointers are those of 16 numbers.
        impl Register for $register {
            #[inline(always)]
            fn all(v: f32) -> Self {
                unsafe { $set(v) }
            }
            #[inline(always)]
            fn load(from: &Lanes, part: usize) -> Self {
                let part = &from.0.as_chunks::<{ LANES / $n }>().0[part];
                unsafe { $load(part.as_ptr()) }
            }
            #[inline(always)]
            fn store(self, to: &mut Lanes, part: usize) {
                let part = &mut to.0.as_chunks_mut::<{ LANES / $n }>().0[part];
                unsafe { $store(part.as_mut_ptr(), self) }
            }
            #[inline(always)]
            fn plus(self, o: Self) -> Self {
                unsafe { $add(self, o) }
            }
            #[inline(always)]
            fn minus(self, o: Self) -> Self {
                unsafe { $sub(self, o) }
            }
            #[inline(always)]
            fn times(self, o: Self) -> Self {
                unsafe { $mul(self, o) }
            }
            #[inline(always)]
            fn fused(self, a: Self, b: Self) -> Self {
                unsafe { $fused(self, a, b) }
            }
            #[inline(always)]
            fn or_apart(self, a: Self, b: Self) -> Self {
                unsafe { $larger(self, $sub(a, b)) }
            }
            #[inline(always)]
            fn plus_apart(self, a: Self, b: Self) -> Self {
                unsafe { $add(self, $magnitude($sub(a, b))) }
            }
            #[inline(always)]
            unsafe fn load_from(from: *const f32) -> Self {
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store_to(self, to: *mut f32) {
                unsafe { $store(to, self) }
            }
        }
        impl Vector for Registers<$register, $n> {
            type Register = $register;
            const PARTS: usize = $n;
            #[inline(always)]
            fn all(v: f32) -> Self {
                Registers([unsafe { $set(v) }; $n])
            }
            #[inline(always)]
            fn load(from: &Lanes) -> Self {
                let p = from.0.as_ptr();
                let mut out = Self::all(0.0);
                for (i, r) in out.0.iter_mut().enumerate() {
                    *r = unsafe { $load(p.add(i * LANES / $n)) };
                }
                out
            }
            #[inline(always)]
            fn store(self, to: &mut Lanes) {
                let p = to.0.as_mut_ptr();
                for (i, r) in self.0.into_iter().enumerate() {
                    unsafe { $store(p.add(i * LANES / $n), r) };
                }
            }
            #[inline(always)]
            fn plus(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] = unsafe { $add(self.0[i], o.0[i]) };
                }
                self
            }
            #[inline(always)]
            fn times(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] = unsafe { $mul(self.0[i], o.0[i]) };
                }
                self
            }
            #[inline(always)]
            fn minus(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] = unsafe { $sub(self.0[i], o.0[i]) };
                }
                self
            }
            #[inline(always)]
            fn over(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] = unsafe { $div(self.0[i], o.0[i]) };
                }
                self
            }
            #[inline(always)]
            fn larger(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] = unsafe { $max(self.0[i], o.0[i]) };
                }
                self
            }
            #[inline(always)]
            fn root(mut self) -> Self {
                for i in 0..$n {
                    self.0[i] = unsafe { $sqrt(self.0[i]) };
                }
                self
            }
            #[inline(always)]
            fn below(mut self, o: Self, yes: Self, no: Self) -> Self {
                for i in 0..$n {
                    self.0[i] = unsafe { $below(self.0[i], o.0[i], yes.0[i], no.0[i]) };
                }
                self
            }
            #[inline(always)]
            fn plus_pairs(mut self, a: Self, b: Self) -> Self {
                for i in 0..$n {
                    self.0[i] = unsafe { $float($plus($whole(self.0[i]), $madd($whole(a.0[i]), $whole(b.0[i])))) };
                }
                self
            }
            #[inline(always)]
            fn plus_pairs_fused(mut self, a: Self, b: Self) -> Self {
                for i in 0..$n {
                    self.0[i] = unsafe { $float($pairs($whole(self.0[i]), $whole(a.0[i]), $whole(b.0[i]))) };
                }
                self
            }
            #[inline(always)]
            fn plus_whole(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] = unsafe { $float($plus($whole(self.0[i]), $whole(o.0[i]))) };
                }
                self
            }
            #[inline(always)]
            fn turn(rows: &[f32], pitch: usize, out: &mut [Lanes; LANES]) {
                let rows = &rows[..(LANES - 1) * pitch + LANES];
                unsafe { $turn(rows.as_ptr(), pitch, out.as_mut_ptr().cast()) }
            }
        }
    };
}
#[inline(always)]
unsafe fn below_128(a: __m128, b: __m128, yes: __m128, no: __m128) -> __m128 {
    unsafe {
        let is = _mm_cmplt_ps(a, b);
        _mm_or_ps(_mm_and_ps(is, yes), _mm_andnot_ps(is, no))
    }
}
#[inline(always)]
unsafe fn below_256(a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
    unsafe { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
}
#[inline(always)]
unsafe fn below_512(a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
    unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes) }
}

// Square blocks of numbers are turned in registers: pairs of rows are mixed, then pairs of pairs. There are no closures, which
// would be compiled without the instruction set. Rows are `pitch` numbers apart in `from` and `LANES` in `to`.

/// Four rows as columns; each quarter of a register is a 4 × 4 block by itself.
macro_rules! quarters {
    ($rows:expr, $unpack_low:ident, $unpack_high:ident, $shuffle:ident) => {{
        let [a, b, c, d] = $rows;
        let (ab, cd) = ($unpack_low(a, b), $unpack_low(c, d));
        let (ab2, cd2) = ($unpack_high(a, b), $unpack_high(c, d));
        [
            $shuffle::<0x44>(ab, cd),
            $shuffle::<0xee>(ab, cd),
            $shuffle::<0x44>(ab2, cd2),
            $shuffle::<0xee>(ab2, cd2),
        ]
    }};
}

#[inline(always)]
unsafe fn turn_128(from: *const f32, pitch: usize, to: *mut f32) {
    for i in (0..LANES).step_by(4) {
        for j in (0..LANES).step_by(4) {
            unsafe {
                let p = from.add(i * pitch + j);
                let rows = [
                    _mm_loadu_ps(p),
                    _mm_loadu_ps(p.add(pitch)),
                    _mm_loadu_ps(p.add(2 * pitch)),
                    _mm_loadu_ps(p.add(3 * pitch)),
                ];
                let columns = quarters!(rows, _mm_unpacklo_ps, _mm_unpackhi_ps, _mm_shuffle_ps);
                for (k, c) in columns.into_iter().enumerate() {
                    _mm_storeu_ps(to.add((j + k) * LANES + i), c);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn turn_256(from: *const f32, pitch: usize, to: *mut f32) {
    for i in (0..LANES).step_by(8) {
        for j in (0..LANES).step_by(8) {
            unsafe {
                let mut rows = [_mm256_setzero_ps(); 8];
                for (k, row) in rows.iter_mut().enumerate() {
                    *row = _mm256_loadu_ps(from.add((i + k) * pitch + j));
                }
                let [a, b, c, d, e, f, g, h] = rows;
                let top = quarters!([a, b, c, d], _mm256_unpacklo_ps, _mm256_unpackhi_ps, _mm256_shuffle_ps);
                let bottom = quarters!([e, f, g, h], _mm256_unpacklo_ps, _mm256_unpackhi_ps, _mm256_shuffle_ps);
                let to = to.add(j * LANES + i);
                for k in 0..4 {
                    _mm256_storeu_ps(to.add(k * LANES), _mm256_permute2f128_ps::<0x20>(top[k], bottom[k]));
                    _mm256_storeu_ps(to.add((4 + k) * LANES), _mm256_permute2f128_ps::<0x31>(top[k], bottom[k]));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn turn_512(from: *const f32, pitch: usize, to: *mut f32) {
    /// Four columns of rows 0, 4, 8 and 12 from `p` on: narrow loads, which need not wait for narrow stores to be done.
    macro_rules! every_fourth {
        ($p:expr) => {{
            let p = $p;
            let v = _mm512_castps128_ps512(_mm_loadu_ps(p));
            let v = _mm512_insertf32x4::<1>(v, _mm_loadu_ps(p.add(4 * pitch)));
            let v = _mm512_insertf32x4::<2>(v, _mm_loadu_ps(p.add(8 * pitch)));
            _mm512_insertf32x4::<3>(v, _mm_loadu_ps(p.add(12 * pitch)))
        }};
    }
    for j in (0..LANES).step_by(4) {
        unsafe {
            let p = from.add(j);
            let (a, b) = (every_fourth!(p), every_fourth!(p.add(pitch)));
            let (c, d) = (every_fourth!(p.add(2 * pitch)), every_fourth!(p.add(3 * pitch)));
            let columns = quarters!([a, b, c, d], _mm512_unpacklo_ps, _mm512_unpackhi_ps, _mm512_shuffle_ps);
            for (k, c) in columns.into_iter().enumerate() {
                _mm512_storeu_ps(to.add((j + k) * LANES), c);
            }
        }
    }
}

#[inline(always)]
unsafe fn magnitude_128(v: __m128) -> __m128 {
    unsafe { _mm_andnot_ps(_mm_set1_ps(-0.0), v) }
}
#[inline(always)]
unsafe fn magnitude_256(v: __m256) -> __m256 {
    unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), v) }
}

// The larger magnitude of a number that is not negative and any number. AVX-512 has an instruction for it.
#[inline(always)]
unsafe fn larger_128(a: __m128, b: __m128) -> __m128 {
    unsafe { _mm_max_ps(a, magnitude_128(b)) }
}
#[inline(always)]
unsafe fn larger_256(a: __m256, b: __m256) -> __m256 {
    unsafe { _mm256_max_ps(a, magnitude_256(b)) }
}
#[inline(always)]
unsafe fn larger_512(a: __m512, b: __m512) -> __m512 {
    /// The larger of the magnitudes (0b11), its sign cleared (0b10 in the upper bits).
    const LARGER_MAGNITUDE: i32 = 0b10_11;
    unsafe { _mm512_range_ps::<LARGER_MAGNITUDE>(a, b) }
}

vector!(
    __m128,
    4,
    _mm_set1_ps,
    _mm_loadu_ps,
    _mm_storeu_ps,
    _mm_add_ps,
    _mm_sub_ps,
    _mm_mul_ps,
    fused_128,
    _mm_div_ps,
    _mm_sqrt_ps,
    _mm_max_ps,
    magnitude_128,
    larger_128,
    below_128,
    turn_128,
    _mm_castps_si128,
    _mm_castsi128_ps,
    _mm_madd_epi16,
    _mm_add_epi32,
    pairs_128
);
vector!(
    __m256,
    2,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps,
    _mm256_div_ps,
    _mm256_sqrt_ps,
    _mm256_max_ps,
    magnitude_256,
    larger_256,
    below_256,
    turn_256,
    _mm256_castps_si256,
    _mm256_castsi256_ps,
    _mm256_madd_epi16,
    _mm256_add_epi32,
    pairs_256
);
vector!(
    __m512,
    1,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps,
    _mm512_div_ps,
    _mm512_sqrt_ps,
    _mm512_max_ps,
    _mm512_abs_ps,
    larger_512,
    below_512,
    turn_512,
    _mm512_castps_si512,
    _mm512_castsi512_ps,
    _mm512_madd_epi16,
    _mm512_add_epi32,
    _mm512_dpwssd_epi32
);

// Narrower registers are fused by AVX-512's instruction set only, which has the wide ones.
#[inline(always)]
unsafe fn pairs_128(sum: __m128i, a: __m128i, b: __m128i) -> __m128i {
    unsafe { _mm_add_epi32(sum, _mm_madd_epi16(a, b)) }
}
#[inline(always)]
unsafe fn pairs_256(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
    unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)) }
}
