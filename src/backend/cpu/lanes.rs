//! Sixteen float32 numbers side by side, and the registers of each instruction set that hold them.
//!
//! Loops over lanes that go through memory become vector code by themselves. Where numbers must stay in registers over several
//! steps (sums over many terms, butterflies) the compiler falls back to single numbers; there code is written against
//! [`Vector`] and compiled by `per_vector!` once for each instruction set. All operations are those of IEEE 754, so bits agree.

pub(crate) mod small;

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
    /// self · a + b, rounded once. Exact everywhere; several times as slow where the instruction set lacks it.
    fn fused(self, a: Self, b: Self) -> Self;
    /// This or |a − b|, whichever is larger. This must not be negative.
    fn or_apart(self, a: Self, b: Self) -> Self;
    /// self + |a − b|
    fn plus_apart(self, a: Self, b: Self) -> Self;
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
    fn minus(self, o: Self) -> Self;
    fn times(self, o: Self) -> Self;
    fn over(self, o: Self) -> Self;
    fn root(self) -> Self;
    /// The larger of two numbers; `o` where either is NaN or they are equal.
    fn larger(self, o: Self) -> Self;
    /// `yes` where this is below `o`, else `no`.
    fn below(self, o: Self, yes: Self, no: Self) -> Self;
    /// The bits of each lane of `a` and `b` taken as two 16-bit integers, those of `self` as a 32-bit one: adds the sum of the two products.
    /// The sum must fit 32 bits.
    fn plus_pairs(self, a: Self, b: Self) -> Self;
    /// [`Vector::plus_pairs`] as one instruction where registers are 512 bits wide: only in functions compiled for AVX-512 VNNI there.
    fn plus_pairs_fused(self, a: Self, b: Self) -> Self;
    /// The bits of each lane taken as 32-bit integers: their sum, modulo 2³².
    fn plus_whole(self, o: Self) -> Self;
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
    fn or_apart(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|l| {
            let d = (a[l] - b[l]).abs();
            if self[l] > d { self[l] } else { d }
        })
    }
    #[inline(always)]
    fn plus_apart(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|l| self[l] + (a[l] - b[l]).abs())
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
    fn minus(self, o: Self) -> Self {
        std::array::from_fn(|l| self[l] - o[l])
    }
    #[inline(always)]
    fn over(self, o: Self) -> Self {
        std::array::from_fn(|l| self[l] / o[l])
    }
    #[inline(always)]
    fn root(self) -> Self {
        self.map(f32::sqrt)
    }
    #[inline(always)]
    fn larger(self, o: Self) -> Self {
        std::array::from_fn(|l| if self[l] > o[l] { self[l] } else { o[l] })
    }
    #[inline(always)]
    fn below(self, o: Self, yes: Self, no: Self) -> Self {
        std::array::from_fn(|l| if self[l] < o[l] { yes[l] } else { no[l] })
    }
    #[inline(always)]
    fn plus_pairs(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|l| {
            let (a, b) = (a[l].to_bits(), b[l].to_bits());
            let low = i32::from(a as i16) * i32::from(b as i16);
            let high = i32::from((a >> 16) as i16) * i32::from((b >> 16) as i16);
            f32::from_bits((self[l].to_bits() as i32).wrapping_add(low).wrapping_add(high) as u32)
        })
    }
    #[inline(always)]
    fn plus_pairs_fused(self, a: Self, b: Self) -> Self {
        self.plus_pairs(a, b)
    }
    #[inline(always)]
    fn plus_whole(self, o: Self) -> Self {
        std::array::from_fn(|l| f32::from_bits(self[l].to_bits().wrapping_add(o[l].to_bits())))
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
mod x86;
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
                $body::<$crate::backend::cpu::lanes::Plain $(, $($extra)*)?>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,bmi2,f16c,lzcnt,movbe,popcnt")]
            fn v3 $(<$($gen)*>)? ($($arg: $ty),*) {
                $body::<$crate::backend::cpu::lanes::Avx2 $(, $($extra)*)?>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c,lzcnt,movbe,popcnt")]
            fn v4 $(<$($gen)*>)? ($($arg: $ty),*) {
                $body::<$crate::backend::cpu::lanes::Avx512 $(, $($extra)*)?>($($arg),*)
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
