//! `ebsd process`: every pattern through one chain of steps, streamed from file to file.

use super::output::{Stack, middle, timed};
use super::stages::{self, Stages};
use crate::analysis::binning::bin_mean;
use crate::control::Control;
use crate::engine::{Backend, FrameSink, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::ebsd::{PatternMap, Store};
use crate::kernels::pattern::{self, Border, Dynamic, Plan, Static, Step, Window};
use crate::kernels::statistics;
use crate::ops::{PatternChain, Statistics};
use crate::pixel::{FrameShape, Pixel};
use crate::report::html::Report;
use crate::workflows::{Timings, frame_array, provenance, read_frame};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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

/// The static background that the parameters ask for, if any; `read` opens a file that they name.
///
/// # Errors
/// Whatever reading reports.
pub fn background(
    map: &PatternMap,
    selection: &Selection,
    params: &Params,
    read: impl Fn(&Path) -> Result<Array2<f64>>,
    backend: &Backend,
    control: &Control,
) -> Result<Option<Array2<f64>>> {
    match params.background.as_deref() {
        _ if params.static_background == StaticArg::None => Ok(None),
        None => Ok(map.static_background.clone()),
        Some("mean") => mean_pattern(map, selection, backend, control).map(Some),
        Some(file) => read(Path::new(file)).map(Some),
    }
}

/// The mean of all patterns.
///
/// # Errors
/// Whatever reading or the device reports.
pub fn mean_pattern(map: &PatternMap, selection: &Selection, backend: &Backend, control: &Control) -> Result<Array2<f64>> {
    let mut pass = Pass::new("mean pattern", &*map.scan, selection);
    let handle = pass.add(Statistics(statistics::Params {
        squares: false,
        extrema: false,
    }));
    let mean = pass.run(backend, &Resident::none(), control)?.take(handle)?.mean();
    frame_array(map.scan.info().frame, mean)
}

/// What a run did.
pub struct Done {
    pub patterns: u64,
    /// Pixels filled because they or their background were not usable, and those of them that the static background marks in every pattern.
    pub filled: u64,
    pub bad_background: usize,
    /// Rows and columns of the raw pattern that binning left out at the bottom and right.
    pub cropped: [usize; 2],
    pub report: PathBuf,
}

/// What to process and how.
pub struct Job<'a> {
    pub map: &'a PatternMap,
    pub selection: &'a Selection,
    pub params: &'a Params,
    pub background: Option<&'a Array2<f64>>,
    /// All parameters as TOML.
    pub effective: String,
}

impl Job<'_> {
    fn plan(&self) -> Result<(Arc<Plan>, Vec<&'static str>)> {
        let frame = self.map.scan.info().frame;
        let (chain, names) = self.params.chain(frame.pixel, self.background)?;
        Ok((Plan::new(frame, &chain)?, names))
    }

    /// Every stage of the pattern at (row, column).
    ///
    /// # Errors
    /// [`Error::Parameter`] for a point without a pattern.
    pub fn stages(&self, at: [usize; 2], control: &Control) -> Result<Stages> {
        let [rows, columns] = self.map.scan.info().nav;
        if self.map.present.get(at) != Some(&true) {
            let what = format!(
                "no pattern at row {}, column {} of {rows} rows and {columns} columns",
                at[0], at[1]
            );
            return Err(Error::parameter("--at", what));
        }
        let number = (at[0] * columns + at[1]) as u64;
        let raw = read_frame(&*self.map.scan, number, control)?;
        let (plan, names) = self.plan()?;
        stages::collect(raw, &plan, &names, self.params, self.background)
    }

    /// A new store with the processed patterns, or the patterns put beside the raw ones in an existing `store`.
    ///
    /// # Errors
    /// Whatever reading, the device or the disk reports; an existing file keeps what it had.
    pub fn run(
        &self,
        store: Option<Store>,
        output: &Path,
        overwrite: bool,
        backend: &Backend,
        control: &Control,
    ) -> Result<Done> {
        let (plan, _) = self.plan()?;
        let (map, frame) = (self.map, plan.output());
        let binned = self.background.map(|b| match b.dim() == plan.size() {
            true => b.clone(),
            false => bin_mean(b.view(), self.params.bin),
        });
        let mut what = map.describe(frame);
        what.static_background = binned.as_ref();
        let stack = Stack::begin(store, output, overwrite, "Patterns", frame, &what)?;
        let mut timings = Timings::default();
        let mut pass = Pass::new("patterns", &*map.scan, self.selection);
        let handle = pass.add(PatternChain::new(plan.clone(), Arc::new(Mutex::new(stack.sink()))));
        let mut done = timings.pass("patterns", &*map.scan, self.selection, || {
            pass.run(backend, &Resident::none(), control)
        })?;
        let filled = done.take(handle)?;
        let raw = map.scan.info().frame;
        let provenance = provenance("ebsd process", &*map.scan, backend, self.effective.clone(), &timings)?;
        let at = middle(&map.present);
        let page = self.page(&timings, filled, &plan, at, control)?;
        let report = stack.finish("", "processed patterns", &provenance, &page)?;
        Ok(Done {
            patterns: self.selection.len(),
            filled,
            bad_background: plan.bad_background(),
            cropped: [raw.height % self.params.bin, raw.width % self.params.bin],
            report,
        })
    }

    fn page(&self, timings: &Timings, filled: u64, plan: &Plan, at: [usize; 2], control: &Control) -> Result<String> {
        let mut report = Report::new("Processed patterns");
        let info = self.map.scan.info();
        let FrameShape { pixel, height, width } = plan.output();
        report
            .summary("input", info.path.display())
            .summary("map", format!("{} rows × {} columns", info.nav[0], info.nav[1]))
            .summary(
                "patterns",
                format!("{} of {height} × {width} pixels, {pixel}", self.selection.len()),
            )
            .summary("filled pixels", filled);
        timed(&mut report, timings);
        if plan.bad_background() > 0 {
            report.warning(&format!(
                "{} pixels of the static background are no positive numbers; they were filled from their neighbours in every pattern.",
                plan.bad_background()
            ));
        }
        let stages = self.stages(at, control)?;
        report.section("One pattern through all steps");
        let caption = format!("Pattern at row {}, column {}.", at[0], at[1]);
        report.figure(&stages.draw(at).to_png()?, &caption);
        report.figure(
            &stages.histograms().to_png()?,
            "Histograms of the raw pattern and of the result, each over its own range.",
        );
        report.section("Parameters").code(&self.effective);
        Ok(report.render())
    }
}

/// A sink for tests and small maps: all patterns in memory.
#[derive(Clone, Default)]
pub struct InMemory(Arc<Mutex<Vec<u8>>>);

impl InMemory {
    /// The bytes of all patterns.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FrameSink<u8> for InMemory {
    fn put(&mut self, _: u64, _: usize, patterns: &[u8]) -> Result<()> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(patterns);
        Ok(())
    }
    fn restart(&mut self) -> Result<()> {
        self.take();
        Ok(())
    }
}
