//! Scale bars: a round length that suits the map.

use crate::io::Axis;
use crate::report::ticks::{number, round_down};

/// A scale bar: its length in pixels of the data and what is written beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleBar {
    pub pixels: f64,
    pub label: String,
}

/// The scale bar for a map `columns` wide whose pixels are `axis.scale` `axis.unit` apart: 1, 2 or 5 times a power of ten,
/// at most 30 % of the width; in pixels when the axis is not calibrated. `None` for a map too narrow for a whole pixel.
pub fn scale_bar(axis: &Axis, columns: usize) -> Option<ScaleBar> {
    let room = 0.3 * columns as f64;
    if let Some(scale) = axis.scale.filter(|s| *s > 0.0 && s.is_finite()) {
        let length = round_down(room * scale);
        if length > 0.0 {
            return Some(ScaleBar {
                pixels: length / scale,
                label: with_unit(length, &axis.unit),
            });
        }
    }
    let length = round_down(room.max(1.0));
    (columns > 1).then(|| ScaleBar {
        pixels: length,
        label: format!("{} px", number(length)),
    })
}

/// Length with unit; metric lengths change unit where the number reads better.
fn with_unit(length: f64, unit: &str) -> String {
    let unit = match unit.trim() {
        "um" | "micron" | "microns" | "μm" => "µm",
        "angstrom" | "Angstrom" | "A" => "Å",
        "1/nm" | "nm^-1" => "nm⁻¹",
        "1/A" | "1/Å" | "A^-1" | "Å^-1" => "Å⁻¹",
        other => other,
    };
    const METRIC: [(&str, i32); 5] = [("pm", -12), ("nm", -9), ("µm", -6), ("mm", -3), ("m", 0)];
    if let Some(&(_, power)) = METRIC.iter().find(|m| m.0 == unit) {
        // 1e-9: a length that was rounded to 1000 nm counts as 1 µm.
        let metres = length.log10() + power as f64 + 1e-9;
        let (name, chosen) = METRIC
            .iter()
            .rev()
            .find(|m| metres >= m.1 as f64)
            .copied()
            .unwrap_or(METRIC[0]);
        return format!("{} {name}", number(length * 10f64.powi(power - chosen)));
    }
    if unit.is_empty() {
        number(length)
    } else {
        format!("{} {unit}", number(length))
    }
}
