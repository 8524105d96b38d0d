//! Elementary functions from plain IEEE arithmetic only, so that simulated data has the same bits on every machine
//! (the standard library's `exp`, `ln` and `sin` depend on the system's mathematics library).

/// e^x for |x| ≤ 700 (clamped beyond), relative error below 4e-16.
#[inline]
pub fn exp(x: f64) -> f64 {
    // ln 2 in two parts: the first has 32 significant bits, so n * LN2_HIGH is exact.
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = x.clamp(-700.0, 700.0);
    let n = (x * std::f64::consts::LOG2_E).round();
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut sum = 1.0;
    for k in (1..=14).rev() {
        sum = 1.0 + sum * r / k as f64;
    }
    sum * f64::from_bits(((n as i64 + 1023) as u64) << 52)
}

/// Natural logarithm of a positive normal number, relative error below 1e-15.
#[inline]
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut m = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh((m-1)/(m+1)), |s| ≤ 0.1716.
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let mut sum = 0.0;
    for k in (0..=11).rev() {
        sum = sum * s2 + 1.0 / (2 * k + 1) as f64;
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * s * sum
}

/// (sin, cos) of `turns` full turns, absolute error below 1e-15 for small arguments.
#[inline]
pub fn sin_cos_turns(turns: f64) -> (f64, f64) {
    let t = turns - turns.floor();
    let quarter = (t * 4.0).round();
    let r = (t - quarter * 0.25) * std::f64::consts::TAU;
    let r2 = r * r;
    let sin =
        r * (1.0 - r2 / 6.0 * (1.0 - r2 / 20.0 * (1.0 - r2 / 42.0 * (1.0 - r2 / 72.0 * (1.0 - r2 / 110.0 * tail(r2, 156.0))))));
    let cos = 1.0 - r2 / 2.0 * (1.0 - r2 / 12.0 * (1.0 - r2 / 30.0 * (1.0 - r2 / 56.0 * (1.0 - r2 / 90.0 * tail(r2, 132.0)))));
    match quarter as i64 & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// The last two factors of the nested series; `k` is the product of the last but one pair of factorial factors.
#[inline]
fn tail(r2: f64, k: f64) -> f64 {
    let next = if k == 156.0 { 210.0 } else { 182.0 };
    1.0 - r2 / k * (1.0 - r2 / next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_the_standard_library() {
        for i in -2000..2000 {
            let x = i as f64 * 0.0173;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-15, "exp {x}");
            let (s, c) = sin_cos_turns(x);
            let (es, ec) = (x * std::f64::consts::TAU).sin_cos();
            assert!((s - es).abs() < 1e-13 && (c - ec).abs() < 1e-13, "turns {x}");
        }
        for i in 1..4000 {
            let x = i as f64 * i as f64 * 0.00137;
            assert!((ln(x) - x.ln()).abs() <= 1e-15 * x.ln().abs().max(1.0), "ln {x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(exp(-1e9), exp(-700.0));
    }
}
