//! Round numbers for axes, colour bars and scale bars, and how they are written.

/// Ticks of an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticks {
    /// Position and label.
    pub marks: Vec<(f64, String)>,
    /// Power of ten taken out of the labels; 0: none.
    pub exponent: i32,
}

/// The largest of 1, 2, 5 times a power of ten that is not above `value`; 0 for values that are not positive and finite.
pub fn round_down(value: f64) -> f64 {
    if !(value > 0.0 && value.is_finite()) {
        return 0.0;
    }
    let power = 10f64.powf(value.log10().floor());
    // The slack keeps 0.1 + 0.2 and the like from falling to the step below.
    [10.0, 5.0, 2.0, 1.0]
        .into_iter()
        .map(|f| f * power)
        .find(|&v| v <= value * (1.0 + 1e-9))
        .unwrap_or(power)
}

/// Evenly spaced round ticks from `low` to `high`, at most about `most`.
pub fn linear(low: f64, high: f64, most: usize) -> Ticks {
    let span = high - low;
    if !(span > 0.0 && span.is_finite()) {
        return Ticks {
            marks: vec![(low, number(low))],
            exponent: 0,
        };
    }
    let wanted = span / most.max(2) as f64;
    let power = 10f64.powf(wanted.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|f| f * power)
        .find(|&v| v >= wanted * (1.0 - 1e-9))
        .unwrap_or(wanted);
    let largest = low.abs().max(high.abs());
    let magnitude = largest.log10().floor() as i32;
    let exponent = if (-2..5).contains(&magnitude) { 0 } else { magnitude };
    let unit = 10f64.powi(exponent);
    let decimals = (-(step / unit).log10().floor()).clamp(0.0, 12.0) as usize;
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let count = (last - first).clamp(0.0, 1000.0) as usize;
    let marks = (0..=count)
        .map(|i| {
            let value = (first + i as f64) * step;
            (value, minus(format!("{:.decimals$}", value / unit)))
        })
        .collect();
    Ticks { marks, exponent }
}

/// Ticks of a logarithmic axis: powers of ten, with twos and fives between them where there are few.
pub fn logarithmic(low: f64, high: f64, most: usize) -> Ticks {
    if !(low > 0.0 && high > low && high.is_finite()) {
        return Ticks {
            marks: Vec::new(),
            exponent: 0,
        };
    }
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let inside = |v: &f64| *v >= low * (1.0 - 1e-9) && *v <= high * (1.0 + 1e-9);
    let decades: Vec<f64> = (first..=last).map(|e| 10f64.powi(e)).filter(inside).collect();
    let values = match decades.len() {
        0..=1 if high / low < 4.0 => return linear(low, high, most),
        0..=2 => (first..=last)
            .flat_map(|e| [1.0, 2.0, 5.0].map(|f| f * 10f64.powi(e)))
            .filter(inside)
            .collect(),
        n => decades.into_iter().step_by(n.div_ceil(most.max(2))).collect::<Vec<_>>(),
    };
    Ticks {
        marks: values.into_iter().map(|v| (v, number(v))).collect(),
        exponent: 0,
    }
}

/// A number as people write it: up to four significant digits, powers of ten for the very large and small.
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN".into()
        } else {
            minus(if value > 0.0 { "∞".into() } else { "-∞".into() })
        };
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-3..6).contains(&magnitude) {
        let factor = value / 10f64.powi(magnitude);
        let power = format!("10{}", superscript(magnitude));
        return match trim(format!("{factor:.3}")).as_str() {
            "1" => power,
            "-1" => format!("−{power}"),
            factor => minus(format!("{factor}×{power}")),
        };
    }
    minus(trim(format!("{value:.*}", (3 - magnitude).max(0) as usize)))
}

/// ` ×10ⁿ`, empty for 0.
pub fn times_power(exponent: i32) -> String {
    if exponent == 0 {
        String::new()
    } else {
        format!("×10{}", superscript(exponent))
    }
}

fn superscript(n: i32) -> String {
    n.to_string()
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '4' => '⁴',
            '5' => '⁵',
            '6' => '⁶',
            '7' => '⁷',
            '8' => '⁸',
            '9' => '⁹',
            _ => '⁰',
        })
        .collect()
}

fn trim(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A true minus sign; "-0" loses its sign.
fn minus(text: String) -> String {
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}
