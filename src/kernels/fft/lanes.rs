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

/// Sixteen float32 numbers in registers.
pub trait Vector: Copy {
    fn all(v: f32) -> Self;
    fn load(from: &Lanes) -> Self;
    fn store(self, to: &mut Lanes);
    fn plus(self, o: Self) -> Self;
    fn minus(self, o: Self) -> Self;
    fn times(self, o: Self) -> Self;
}

/// Any architecture.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) type Plain = [f32; LANES];

#[cfg(not(target_arch = "x86_64"))]
impl Vector for [f32; LANES] {
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
    fn minus(self, o: Self) -> Self {
        std::array::from_fn(|l| self[l] - o[l])
    }
    #[inline(always)]
    fn times(self, o: Self) -> Self {
        std::array::from_fn(|l| self[l] * o[l])
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, Lanes, Vector};
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
        ($register:ty, $n:literal, $set:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident) => {
            // Safety of all: `per_vector!` uses the type only in functions that are compiled for, and called after detecting, its
            // instruction set; pointers are those of 16 numbers.
            impl Vector for Registers<$register, $n> {
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
                fn minus(mut self, o: Self) -> Self {
                    for i in 0..$n {
                        self.0[i] = unsafe { $sub(self.0[i], o.0[i]) };
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
            }
        };
    }
    vector!(
        __m128,
        4,
        _mm_set1_ps,
        _mm_loadu_ps,
        _mm_storeu_ps,
        _mm_add_ps,
        _mm_sub_ps,
        _mm_mul_ps
    );
    vector!(
        __m256,
        2,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps
    );
    vector!(
        __m512,
        1,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps
    );
}
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, Plain};

/// Defines a function that takes an [`Isa`](crate::backend::cpu::isa::Isa) first and runs `$body::<V>` with the [`Vector`] of that
/// instruction set, compiled for it. `$body` and what it calls must be `#[inline(always)]`.
macro_rules! per_vector {
    ($(#[$meta:meta])* $vis:vis fn $name:ident = $body:ident ($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::backend::cpu::isa::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,bmi2,f16c,lzcnt,movbe,popcnt")]
            fn v3($($arg: $ty),*) {
                $body::<$crate::kernels::fft::Avx2>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c,lzcnt,movbe,popcnt")]
            fn v4($($arg: $ty),*) {
                $body::<$crate::kernels::fft::Avx512>($($arg),*)
            }
            match isa.level() {
                $crate::backend::cpu::isa::Level::Baseline => $body::<$crate::kernels::fft::Plain>($($arg),*),
                // Safety: an `Isa` of this level exists only on a CPU where all these features were detected.
                #[cfg(target_arch = "x86_64")]
                $crate::backend::cpu::isa::Level::V3 => unsafe { v3($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                $crate::backend::cpu::isa::Level::V4 => unsafe { v4($($arg),*) },
            }
        }
    };
}
pub(crate) use per_vector;
