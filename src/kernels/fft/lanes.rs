//! Sixteen float32 numbers side by side: the unit that vector code of every instruction set is made from.

use std::ops::{Add, Mul, Sub};

/// Numbers side by side.
pub const LANES: usize = 16;

/// Sixteen independent float32 numbers. Operations act lane by lane, without fused multiply-adds.
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
    /// Each lane through `f`.
    #[inline(always)]
    pub fn map(self, f: impl Fn(f32) -> f32) -> Self {
        let mut out = self;
        for v in &mut out.0 {
            *v = f(*v);
        }
        out
    }
}

macro_rules! lane_by_lane {
    ($($trait:ident $name:ident $op:tt),*) => {$(
        impl $trait for Lanes {
            type Output = Lanes;
            #[inline(always)]
            fn $name(self, o: Lanes) -> Lanes {
                let mut out = self;
                for (a, b) in out.0.iter_mut().zip(&o.0) {
                    *a = *a $op b;
                }
                out
            }
        }
    )*};
}
lane_by_lane!(Add add +, Sub sub -, Mul mul *);

impl Mul<f32> for Lanes {
    type Output = Lanes;
    #[inline(always)]
    fn mul(self, v: f32) -> Lanes {
        let mut out = self;
        for a in &mut out.0 {
            *a *= v;
        }
        out
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

    /// Product with the same complex number `[re, im]` in all lanes.
    #[inline(always)]
    pub fn times(self, [c, s]: [f32; 2]) -> Self {
        Complex {
            re: self.re * c - self.im * s,
            im: self.re * s + self.im * c,
        }
    }
}

impl Add for Complex {
    type Output = Complex;
    #[inline(always)]
    fn add(self, o: Complex) -> Complex {
        Complex {
            re: self.re + o.re,
            im: self.im + o.im,
        }
    }
}

impl Sub for Complex {
    type Output = Complex;
    #[inline(always)]
    fn sub(self, o: Complex) -> Complex {
        Complex {
            re: self.re - o.re,
            im: self.im - o.im,
        }
    }
}
