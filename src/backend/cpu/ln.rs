//! The natural logarithm in float32 that every log of the kernels goes through, on the CPU and, transcribed, on the GPU.
//!
//! x = 2^e·m with m in [√½, √2), split off by integer arithmetic on the bits of x; with f = m − 1
//! ln x = e·ln 2 + f − f²/2 + f³·P(f), where P is the polynomial of degree 7 that minimises the relative error on that
//! interval (least squares reweighted towards equal ripple, coefficients rounded to float32 one after the other). ln 2 is
//! split in two so that e·[`LN2_HI`] is exact. There are no fused multiply-adds; contracting some changes the last bit only.
//!
//! Error below 0.9 units in the last place for finite x ≥ 1; ln 1 is exactly 0. Infinity and NaN are given back as they are.
//! Smaller positive normal numbers work too (with larger relative error near 1); zero, negative and subnormal ones do not.

/// Bits of √½ rounded to float32: subtracting them leaves e in the bits from 23 upwards.
pub const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
/// Bits of infinity: numbers from here on are given back.
pub const INFINITY_BITS: u32 = 0x7f80_0000;
/// 355/512, the leading 9 bits of ln 2.
#[allow(clippy::excessive_precision)] // Exactly 355/512, all digits shown.
pub const LN2_HI: f32 = 0.693_359_375;
/// ln 2 − [`LN2_HI`].
pub const LN2_LO: f32 = -0.000_212_194_44;
/// Coefficients of P, constant first; their bits are 3eaaaaaa be800114 3e4cd011 be2a390d 3e116c30 be06c296 3e02b298 bd9c65c7.
pub const P: [f32; 8] = [
    0.333_333_3,
    -0.250_008_23,
    0.200_012_46,
    -0.166_233_26,
    0.142_014_27,
    -0.131_601_66,
    0.127_634_4,
    -0.076_366,
];

/// Operations of [`ln`].
pub const OPERATIONS: u64 = 28;

/// ln x for x ≥ 1. Free of branches, so loops over it become vector code.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let e = (bits.wrapping_sub(SQRT_HALF_BITS) as i32) >> 23;
    let f = f32::from_bits(bits.wrapping_sub((e as u32) << 23)) - 1.0;
    let e = e as f32;
    let z = f * f;
    let mut p = P[7];
    p = p * f + P[6];
    p = p * f + P[5];
    p = p * f + P[4];
    p = p * f + P[3];
    p = p * f + P[2];
    p = p * f + P[1];
    p = p * f + P[0];
    let y = f * z * p;
    let y = y + e * LN2_LO;
    let y = y - 0.5 * z;
    let y = e * LN2_HI + (f + y);
    if bits < INFINITY_BITS { y } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error in units in the last place over the numbers with these bits.
    fn worst(bits: impl Iterator<Item = u32>) -> (f64, f32) {
        let mut worst = (0.0, 1.0);
        for b in bits {
            let x = f32::from_bits(b);
            let exact = f64::from(x).ln();
            let nearest = exact as f32;
            let ulp = f64::from(f32::from_bits(nearest.to_bits() + 1)) - f64::from(nearest);
            let error = (f64::from(ln(x)) - exact).abs() / ulp;
            if error > worst.0 {
                worst = (error, x);
            }
        }
        worst
    }

    #[test]
    fn error_below_one_unit_in_the_last_place() {
        let one = 1f32.to_bits();
        let top = 2f32.powi(127).to_bits();
        // Every number of [1, 2), where the result is smallest; a dense sample of the rest, in odd steps through all mantissas.
        let near = worst(one + 1..2f32.to_bits());
        let all = worst((2f32.to_bits()..=top).step_by(251));
        assert!(near.0 < 0.9, "{near:?}");
        assert!(all.0 < 0.9, "{all:?}");
    }

    #[test]
    fn error_at_small_integers() {
        let integers = worst((2..=65536u32).map(|i| (i as f32).to_bits()));
        assert!(integers.0 < 0.9, "{integers:?}");
    }

    #[test]
    fn special_values() {
        assert_eq!(ln(1.0).to_bits(), 0f32.to_bits());
        assert_eq!(ln(f32::INFINITY), f32::INFINITY);
        assert!(ln(f32::NAN).is_nan());
        assert!((ln(f32::MAX) - f32::MAX.ln()).abs() < 1e-5);
    }

    #[test]
    fn coefficients_have_the_documented_bits() {
        let bits = [
            0x3eaaaaaa, 0xbe800114, 0x3e4cd011, 0xbe2a390d, 0x3e116c30, 0xbe06c296, 0x3e02b298, 0xbd9c65c7,
        ];
        assert_eq!(P.map(f32::to_bits), bits);
        assert_eq!(f64::from(LN2_HI), 355.0 / 512.0);
        assert_eq!(LN2_LO, (std::f64::consts::LN_2 - 355.0 / 512.0) as f32);
    }
}
