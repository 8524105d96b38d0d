//! Sixteen float32 numbers side by side, and the registers of each instruction set that hold them.
//!
//! Loops over lanes that go through memory become vector code by themselves. Where numbers must stay in registers over several
//! steps (sums over many terms, butterflies) the compiler falls back to single numbers; there code is written against
//! [`Vector`] and compiled by [`per_vector!`] once for each instruction set. All operations are those of IEEE 754, so bits agree.

/// Numbers side by side.
pub const LANES: usize = 16;

/// Sixteen independent float32 numbers.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub struct Lanes(pub [f32; LANES]);

impl Lanes {
    pub const ZERO: Lanes = Lanes([0.0; LANES]);

    /// The same number in all lanes.
    #[inline(always)]
    pub const fn all(v: f32) -> Self {
        Lanes([v; LANES])
    }
}

/// Sixteen complex numbers.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C)]
pub struct Complex {
    pub re: Lanes,
    pub im: Lanes,
}

impl Complex {
    pub const ZERO: Complex = Complex {
        re: Lanes::ZERO,
        im: Lanes::ZERO,
    };
}

/// One register: some of the sixteen lanes.
pub trait Register: Copy {
    fn all(v: f32) -> Self;
    /// Part number `part` of the lanes.
    fn load(from: &Lanes, part: usize) -> Self;
    fn store(self, to: &mut Lanes, part: usize);
    fn plus(self, o: Self) -> Self;
    fn minus(self, o: Self) -> Self;
    fn times(self, o: Self) -> Self;
    /// self · a + b, rounded once. Exact everywhere; where the instruction set lacks it, each number calls a library function.
    fn fused(self, a: Self, b: Self) -> Self;
    /// As many numbers as it holds, from any address.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_from(from: *const f32) -> Self;
    /// The same to memory.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store_to(self, to: *mut f32);
}

/// Sixteen float32 numbers in registers.
pub trait Vector: Copy {
    /// What it consists of, for code that needs all registers for each part of the lanes.
    type Register: Register;
    /// How many.
    const PARTS: usize;
    fn all(v: f32) -> Self;
    fn load(from: &Lanes) -> Self;
    fn store(self, to: &mut Lanes);
    fn plus(self, o: Self) -> Self;
    fn times(self, o: Self) -> Self;
    /// Number l of row r, that is `rows[r * pitch + l]`, becomes lane r of `out[l]`.
    fn turn(rows: &[f32], pitch: usize, out: &mut [Lanes; LANES]);
}

/// Any architecture.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) type Plain = [f32; LANES];

#[cfg(not(target_arch = "x86_64"))]
impl Register for [f32; 4] {
    #[inline(always)]
    fn all(v: f32) -> Self {
        [v; 4]
    }
    #[inline(always)]
    fn load(from: &Lanes, part: usize) -> Self {
        from.0.as_chunks().0[part]
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes, part: usize) {
        to.0.as_chunks_mut().0[part] = self;
    }
    #[inline(always)]
    fn plus(self, o: Self) -> Self {
        std::array::from_fn(|l| self[l] + o[l])
    }
    #[inline(always)]
    fn minus(self, o: Self) -> Self {
        std::array::from_fn(|l| self[l] - o[l])
    }
    #[inline(always)]
    fn times(self, o: Self) -> Self {
        std::array::from_fn(|l| self[l] * o[l])
    }
    #[inline(always)]
    fn fused(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|l| self[l].mul_add(a[l], b[l]))
    }
    #[inline(always)]
    unsafe fn load_from(from: *const f32) -> Self {
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_to(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Vector for [f32; LANES] {
    type Register = [f32; 4];
    const PARTS: usize = LANES / 4;
    #[inline(always)]
    fn all(v: f32) -> Self {
        [v; LANES]
    }
    #[inline(always)]
    fn load(from: &Lanes) -> Self {
        from.0
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes) {
        to.0 = self;
    }
    #[inline(always)]
    fn plus(self, o: Self) -> Self {
        std::array::from_fn(|l| self[l] + o[l])
    }
    #[inline(always)]
    fn times(self, o: Self) -> Self {
        std::array::from_fn(|l| self[l] * o[l])
    }
    #[inline(always)]
    fn turn(rows: &[f32], pitch: usize, out: &mut [Lanes; LANES]) {
        for (r, row) in rows.chunks(pitch).take(LANES).enumerate() {
            for (out, v) in out.iter_mut().zip(row) {
                out.0[r] = *v;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, Lanes, Register, Vector};
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
        ($register:ty, $n:literal, $set:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $fused:expr, $turn:ident) => {
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
                fn turn(rows: &[f32], pitch: usize, out: &mut [Lanes; LANES]) {
                    let rows = &rows[..(LANES - 1) * pitch + LANES];
                    unsafe { $turn(rows.as_ptr(), pitch, out.as_mut_ptr().cast()) }
                }
            }
        };
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

    /// SSE2 has no fused multiply-add: one number after the other, in the library.
    #[inline(always)]
    unsafe fn fused_128(a: __m128, b: __m128, c: __m128) -> __m128 {
        let (mut x, mut y, mut z) = ([0f32; 4], [0f32; 4], [0f32; 4]);
        unsafe {
            _mm_storeu_ps(x.as_mut_ptr(), a);
            _mm_storeu_ps(y.as_mut_ptr(), b);
            _mm_storeu_ps(z.as_mut_ptr(), c);
        }
        for i in 0..4 {
            z[i] = x[i].mul_add(y[i], z[i]);
        }
        unsafe { _mm_loadu_ps(z.as_ptr()) }
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
        turn_128
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
        turn_256
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
        turn_512
    );
}
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, Plain};

/// Defines a function that takes an [`Isa`](crate::backend::cpu::isa::Isa) first and runs `$body::<V>` with the [`Vector`] of that
/// instruction set, compiled for it. `$body` and what it calls must be `#[inline(always)]`. Generic parameters come in brackets, as
/// declared and as used; further ones of `$body` come in brackets behind it.
macro_rules! per_vector {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $([$($gen:tt)*][$($used:tt)*])? = $body:ident $([$($extra:tt)*])? ($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$meta])*
        $vis fn $name $(<$($gen)*>)? (isa: $crate::backend::cpu::isa::Isa, $($arg: $ty),*) {
            // A function of its own: its stack must not be a burden on calls of the others.
            #[inline(never)]
            fn plain $(<$($gen)*>)? ($($arg: $ty),*) {
                $body::<$crate::kernels::fft::Plain $(, $($extra)*)?>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,bmi2,f16c,lzcnt,movbe,popcnt")]
            fn v3 $(<$($gen)*>)? ($($arg: $ty),*) {
                $body::<$crate::kernels::fft::Avx2 $(, $($extra)*)?>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c,lzcnt,movbe,popcnt")]
            fn v4 $(<$($gen)*>)? ($($arg: $ty),*) {
                $body::<$crate::kernels::fft::Avx512 $(, $($extra)*)?>($($arg),*)
            }
            match isa.level() {
                $crate::backend::cpu::isa::Level::Baseline => plain $(::<$($used)*>)? ($($arg),*),
                // Safety: an `Isa` of this level exists only on a CPU where all these features were detected.
                #[cfg(target_arch = "x86_64")]
                $crate::backend::cpu::isa::Level::V3 => unsafe { v3 $(::<$($used)*>)? ($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                $crate::backend::cpu::isa::Level::V4 => unsafe { v4 $(::<$($used)*>)? ($($arg),*) },
            }
        }
    };
}
pub(crate) use per_vector;
