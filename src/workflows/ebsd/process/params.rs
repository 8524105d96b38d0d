//! Parameters of `ebsd process` and the chain of steps they make.

use crate::error::{Error, Result};
use crate::kernels::pattern::{self, Border, Dynamic, Static, Step, Window};
use crate::pixel::Pixel;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// What happens with the static background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StaticArg {
    Divide,
    Subtract,
    SubtractScaled,
    None,
}

/// Which window the dynamic background is a low-pass with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    Aloe,
    Symmetric,
    KikuchipyFrequency,
    KikuchipySpatial,
}

/// What happens with the dynamic background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DynamicArg {
    Divide,
    Subtract,
    None,
}

/// Pixels of processed patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dtype {
    U8,
    U16,
    F32,
}

impl Dtype {
    /// The pixel type.
    pub fn pixel(self) -> Pixel {
        match self {
            Dtype::U8 => Pixel::U8,
            Dtype::U16 => Pixel::U16,
            Dtype::F32 => Pixel::F32,
        }
    }
}

/// Parameters of `ebsd process`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// Edge of the blocks of pixels whose mean is taken first.
    pub bin: usize,
    #[serde(rename = "static")]
    pub static_background: StaticArg,
    /// Static background: a file, `mean` for the mean pattern of the map, or what the input holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<String>,
    pub dynamic: DynamicArg,
    pub method: Method,
    /// Standard deviation of the low-pass in pixels after binning.
    pub sigma: f64,
    /// Part of the background that is subtracted.
    pub background_scale: f32,
    /// Percentiles that become the smallest and largest value.
    pub low: f64,
    pub high: f64,
    pub dtype: Dtype,
    /// Round instead of dropping the digits behind the point.
    pub round: bool,
    /// Replace hot and dead pixels that are this many times the spread of their neighbours away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hot: Option<f32>,
    /// Half width of the local normalisation in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<usize>,
    /// Tiles (y, x) of the adaptive histogram equalisation in pixels, and its clip limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clahe: Option<[usize; 2]>,
    pub clahe_limit: f64,
    /// Zero outside the circle with this radius in parts of the width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circle: Option<f64>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            bin: 1,
            static_background: StaticArg::Divide,
            background: None,
            dynamic: DynamicArg::Divide,
            method: Method::Aloe,
            sigma: 15.0,
            background_scale: 1.0,
            low: 1.0,
            high: 99.0,
            dtype: Dtype::U8,
            round: false,
            hot: None,
            local: None,
            clahe: None,
            clahe_limit: 0.01,
            circle: None,
        }
    }
}

impl Params {
    /// The window of the low-pass.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a sigma that gives none.
    pub fn window(&self) -> Result<Window> {
        match self.method {
            Method::Aloe => Window::aloe(self.sigma),
            Method::Symmetric => Window::symmetric(self.sigma),
            Method::KikuchipyFrequency => Window::kikuchipy_frequency(self.sigma),
            Method::KikuchipySpatial => Window::kikuchipy_spatial(self.sigma),
        }
    }

    /// The chain, with a name for the result of each step.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a sigma out of range or a missing static background.
    pub fn chain(&self, raw: Pixel, background: Option<&Array2<f64>>) -> Result<(pattern::Params, Vec<&'static str>)> {
        let (mut steps, mut names) = (Vec::new(), vec!["raw"]);
        let mut add = |step: Step, name: &'static str| {
            steps.push(step);
            names.push(name);
        };
        // kikuchipy spreads every intermediate result over the range of the raw type.
        let kikuchipy = matches!(self.method, Method::KikuchipyFrequency | Method::KikuchipySpatial);
        let (to, whole) = match raw {
            Pixel::U8 | Pixel::I8 => ([0.0, 255.0], true),
            Pixel::F32 => ([-1.0, 1.0], false),
            _ => ([0.0, 65535.0], true),
        };
        let full = Step::Stretch {
            low: 0.0,
            high: 100.0,
            to,
            whole,
        };
        if let Some(factor) = self.hot {
            add(Step::Hot { factor }, "without hot pixels");
        }
        let how = match self.static_background {
            StaticArg::Divide => Some(Static::Divide),
            StaticArg::Subtract => Some(Static::Subtract),
            StaticArg::SubtractScaled => Some(Static::SubtractScaled),
            StaticArg::None => None,
        };
        if let Some(how) = how {
            let image = background.ok_or_else(|| {
                let what = "the input holds no static background: name a file, or `mean`, or use --static none";
                Error::parameter("--background", what)
            })?;
            let image = image.clone();
            add(Step::Static { image, how }, "flat");
            if kikuchipy {
                add(full.clone(), "flat, full range");
            }
        }
        let how = match self.dynamic {
            DynamicArg::Divide => Some(Dynamic::Divide),
            DynamicArg::Subtract => Some(Dynamic::Subtract {
                scale: self.background_scale,
            }),
            DynamicArg::None => None,
        };
        if let Some(how) = how {
            let window = self.window()?;
            add(Step::Lowpass { window, how }, "signal");
            if kikuchipy {
                add(full, "signal, full range");
            }
        }
        if let Some(half) = self.local {
            let border = Border::Symmetric;
            add(Step::LocalNorm { half, border }, "locally normalised");
        }
        if let Some(tile) = self.clahe {
            let (clip, bins) = (self.clahe_limit, 256);
            add(Step::Clahe { tile, clip, bins }, "equalised");
        }
        let (to, whole) = match self.dtype {
            Dtype::U8 => ([0.0, 255.0], !self.round),
            Dtype::U16 => ([0.0, 65535.0], !self.round),
            Dtype::F32 => ([0.0, 1.0], false),
        };
        let (low, high) = (self.low, self.high);
        add(Step::Stretch { low, high, to, whole }, "stretched");
        if let Some(radius) = self.circle {
            add(Step::Circle { radius }, "inside the circle");
        }
        let params = pattern::Params {
            bin: self.bin,
            steps,
            output: self.dtype.pixel(),
            round: self.round,
        };
        Ok((params, names))
    }
}
