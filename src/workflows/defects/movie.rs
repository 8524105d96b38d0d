//! A movie with the scale on which its frames are compared.

use super::extremes::{Extremes, extremes};
use crate::analysis::Recipe;
use crate::control::Control;
use crate::engine::{Backend, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::{self, Scan};
use crate::kernels::statistics;
use crate::ops::Statistics;
use crate::pixel::{Frames, Sample};
use crate::with_pixel;
use crate::workflows::{Timings, frame_array};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Raw values are divided by the detector's gain over this: the published analysis's unit.
const GAIN_UNIT: f64 = 64_000.0;

/// How raw values become those that filters and networks see; part of the parameters of every step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MovieParams {
    /// Divide by the last tag whose path contains this, over 64000; DigitalMicrograph files only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_tag: Option<String>,
    /// Raw values (after the division) that become 0 and 1, instead of the extremes of the whole movie (by default without single pixels far beyond all others).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    pub recipe: Recipe,
}

/// A scan as a movie: frame after frame, scaled by one range.
pub struct Movie<'a> {
    pub scan: &'a dyn Scan,
    /// Raw values are divided by this.
    pub scale: f64,
    /// Divided values that become 0, and 1.
    pub low: f64,
    pub high: f64,
    /// Things a user should know.
    pub warnings: Vec<String>,
}

impl<'a> Movie<'a> {
    /// Finds gain and range; the range takes a pass over all frames.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a tag that is not there or a range that is none; what reading and the device report.
    pub fn open(
        scan: &'a dyn Scan,
        params: &MovieParams,
        backend: &Backend,
        timings: &mut Timings,
        control: &Control,
    ) -> Result<Self> {
        let mut warnings = Vec::new();
        let scale = match &params.scale_tag {
            None => 1.0,
            Some(part) => {
                let found = io::number_tag(&scan.info().path, part)?;
                let (path, value) = found.ok_or_else(|| {
                    let what = format!(
                        "no number among the tags of {} has {part:?} in its path",
                        scan.info().path.display()
                    );
                    Error::parameter("--scale-tag", what)
                })?;
                if !(value.is_finite() && value > 0.0) {
                    return Err(Error::parameter("--scale-tag", format!("{path} is {value}")));
                }
                log::info!("values are divided by {path} = {value} over {GAIN_UNIT}");
                value / GAIN_UNIT
            }
        };
        let [low, high] = match params.range {
            Some([low, high]) if low < high && low.is_finite() && high.is_finite() => [low, high],
            Some([low, high]) => return Err(Error::parameter("--range", format!("{low},{high} is no range"))),
            None => {
                let found = extremes_of(scan, scale, backend, timings, control)?;
                warnings.extend(alone(&found, params.recipe));
                match params.recipe {
                    Recipe::Default => found.common,
                    Recipe::Published => found.all,
                }
            }
        };
        if low >= high {
            warnings.push(format!("all pixels of the movie are {low}: there is nothing to see"));
        }
        Ok(Movie {
            scan,
            scale,
            low,
            high,
            warnings,
        })
    }

    /// Number of frames.
    pub fn frames(&self) -> u64 {
        self.scan.info().frames()
    }

    /// Frame `number` (h, w), scaled: 0 is the low end of the range and 1 the high one. In float64, rounded once.
    ///
    /// # Errors
    /// What reading reports.
    pub fn frame(&self, number: u64, control: &Control) -> Result<Array2<f32>> {
        Ok(self.frame_f64(number, control)?.mapv(|v| v as f32))
    }

    /// The same in float64.
    ///
    /// # Errors
    /// What reading reports.
    pub fn frame_f64(&self, number: u64, control: &Control) -> Result<Array2<f64>> {
        let shape = self.scan.info().frame;
        let mut words = vec![0u32; shape.stride() / 4];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        self.scan.read(&[number], shape.stride(), bytes, control)?;
        let frames = Frames::new(shape, 0, 1, bytes)?;
        let span = if self.high > self.low { self.high - self.low } else { 1.0 };
        let values = with_pixel!(shape.pixel, T => {
            frames.frame::<T>(0).iter().map(|v| (v.to_f64() / self.scale - self.low) / span).collect()
        });
        frame_array(shape, values)
    }
}

/// Extremes of the whole movie, divided by `scale`.
fn extremes_of(scan: &dyn Scan, scale: f64, backend: &Backend, timings: &mut Timings, control: &Control) -> Result<Extremes> {
    let all = Selection::all(scan.info().nav);
    let mut pass = Pass::new("range", scan, &all);
    let handle = pass.add(Statistics(statistics::Params {
        squares: false,
        extrema: true,
    }));
    let mut done = timings.pass("range", scan, &all, || pass.run(backend, &Resident::none(), control))?;
    let (low, high) = done.take(handle)?.extrema();
    let shape = scan.info().frame;
    let mut found = extremes(frame_array(shape, low)?.view(), frame_array(shape, high)?.view());
    for ends in [&mut found.all, &mut found.common] {
        *ends = ends.map(|v| v / scale);
    }
    Ok(found)
}

/// What to say of pixels that stand alone.
fn alone(found: &Extremes, recipe: Recipe) -> Option<String> {
    if found.alone == 0 {
        return None;
    }
    let ([low, high], [least, most]) = (found.all, found.common);
    let pixels = match found.alone {
        1 => "1 pixel stands alone".into(),
        n => format!("{n} pixels stand alone"),
    };
    let begin =
        format!("{pixels} far beyond all others in some frame: values go from {low} to {high}, without from {least} to {most}");
    Some(match recipe {
        Recipe::Default => format!("{begin}, which is the range that is used; `--range={low},{high}` takes all"),
        Recipe::Published => format!("{begin}; this recipe's range holds all, `--range={least},{most}` does not"),
    })
}
