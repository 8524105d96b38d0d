//! `defects detect`: a network marks defects in every frame; each connected region becomes a detection, with a window around it.

use super::figures;
use super::inference::{Inference, Tiling};
use super::movie::{Movie, MovieParams};
use super::output;
use crate::analysis::Recipe;
use crate::analysis::components::components;
use crate::analysis::drift;
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::keras::Model;
use crate::io::results::{Meta, OutputDir, ResultFile, Stream};
use crate::network::Network;
use crate::report::{self, Limits, MovieFrame};
use crate::workflows::Timings;
use ndarray::{Array2, Array3, ArrayView2, Axis, arr1, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Frames of the movie of results.
const MOVIE: u64 = 120;
/// Frames shown unless others are asked for.
const SHOWN: u64 = 4;
/// Most frames shown.
const MOST_SHOWN: usize = 64;
/// Size of patches where neither the model nor the user says one.
const PATCH: usize = 256;
/// Farthest drift from one frame to the next, in pixels.
const STEP: f64 = 4.0;

/// Which drift of the specimen is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    None,
    /// From each frame to the next, by correlation.
    #[default]
    Measured,
}

/// Parameters of `defects detect`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// The model, for the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// Pixels with a higher probability belong to defects.
    pub threshold: f32,
    /// Smallest and largest area in pixels. Both belong to the range, by the published recipe neither does.
    pub min_area: u32,
    pub max_area: u32,
    /// Side of the windows in pixels.
    pub window: usize,
    /// Separate patches as in the published analysis.
    pub patch_exact: bool,
    /// Store probabilities of all frames.
    pub save_probability: bool,
    /// First frame, and the one behind the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<[u64; 2]>,
    /// Frames in the figures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub show_frames: Vec<u64>,
    pub drift: Drift,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            model: None,
            threshold: 0.5,
            min_area: 5,
            max_area: 700,
            window: 32,
            patch_exact: false,
            save_probability: false,
            frames: None,
            show_frames: Vec::new(),
            drift: Drift::default(),
        }
    }
}

impl Params {
    fn range(&self, frames: u64) -> Result<Range<u64>> {
        match self.frames {
            None => Ok(0..frames),
            Some([a, b]) if a < b && b <= frames => Ok(a..b),
            Some([a, b]) => Err(Error::parameter(
                "--frames",
                format!("{a}..{b} of a movie of {frames} frames; the second number is not included"),
            )),
        }
    }

    fn check(&self, size: [usize; 2]) -> Result<()> {
        let wrong = |name: &str, what: String| Err(Error::parameter(name, what));
        if !(0.0..1.0).contains(&self.threshold) {
            return wrong("--threshold", format!("{} is not between 0 and 1", self.threshold));
        }
        if self.min_area > self.max_area {
            return wrong(
                "--min-area",
                format!("{} is above the largest area {}", self.min_area, self.max_area),
            );
        }
        if self.window == 0 || self.window > size[0].min(size[1]) {
            let what = format!("{} pixels in frames of {} × {}", self.window, size[0], size[1]);
            return wrong("--window", what);
        }
        if self.show_frames.len() > MOST_SHOWN {
            return wrong(
                "--show-frames",
                format!("{} frames; at most {MOST_SHOWN} fit", self.show_frames.len()),
            );
        }
        Ok(())
    }

    fn area_counts(&self, area: u32, recipe: Recipe) -> bool {
        match recipe {
            Recipe::Default => (self.min_area..=self.max_area).contains(&area),
            Recipe::Published => self.min_area < area && area < self.max_area,
        }
    }

    /// First row and column of the window around a centre, if it is kept. Published: windows that touch the first row or column or the last
    /// possible place are dropped, too.
    fn corner(&self, centre: [f64; 2], size: [usize; 2], recipe: Recipe) -> Option<[usize; 2]> {
        let mut corner = [0; 2];
        for k in 0..2 {
            let first = (centre[k] - self.window as f64 / 2.0).round_ties_even();
            let last = size[k] as f64 - self.window as f64;
            let inside = match recipe {
                Recipe::Default => (0.0..=last).contains(&first),
                Recipe::Published => first > 0.0 && first < last,
            };
            if !inside {
                return None;
            }
            corner[k] = first as usize;
        }
        Some(corner)
    }
}

/// One defect in one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    pub frame: u64,
    /// Centre of mass in pixels. By the published recipe every pixel counts the same, else by how far its probability exceeds the threshold.
    pub y: f64,
    pub x: f64,
    /// Pixels above the threshold.
    pub area: u32,
    /// Largest probability.
    pub peak: f32,
    /// It has a window: the window lies inside the frame.
    pub kept: bool,
    /// First row and column of the window, where there is one.
    pub corner: [usize; 2],
}

/// A frame for figures.
pub struct Shown {
    pub frame: u64,
    /// Scaled frame (h, w).
    pub image: Array2<f32>,
    /// Probability of a defect (h, w).
    pub probability: Array2<f32>,
    pub found: Vec<Detection>,
}

/// What was found, without what has gone to the result file already.
pub struct Found {
    pub detections: Vec<Detection>,
    /// Frame, detections, detections with window.
    pub counts: Vec<(u64, usize, usize)>,
    /// Displacement (y, x) of each frame against the first, in pixels.
    pub drift: Vec<[f64; 2]>,
    pub shown: Vec<Shown>,
    /// Scale, and values that became 0 and 1.
    pub scale: [f64; 3],
    pub warnings: Vec<String>,
    pub timings: Timings,
}

/// Probability of a defect (h, w) from probabilities (h, classes, w): that of class 1 of two, everything but class 0 of more, the only one of one.
pub fn defect_probability(probabilities: &Array3<f32>) -> Array2<f32> {
    match probabilities.dim().1 {
        1 => probabilities.index_axis(Axis(1), 0).to_owned(),
        2 => probabilities.index_axis(Axis(1), 1).to_owned(),
        _ => probabilities.index_axis(Axis(1), 0).mapv(|v| 1.0 - v),
    }
}

/// Finds defects; windows, and probabilities if asked for, go to `file` as they are found. A frame in work takes the network's activations (about 70
/// bytes a pixel for the published one) and 16 bytes a pixel, in each thread; a detection takes 64 bytes.
///
/// # Errors
/// [`Error::Parameter`], [`Error::Memory`]; what reading, the device and the disk report.
pub fn run(
    scan: &dyn Scan,
    model: &Model,
    (movie, params): (&MovieParams, &Params),
    dir: &OutputDir,
    file: &ResultFile,
    backend: &Backend,
    control: &Control,
) -> Result<Found> {
    let frame = scan.info().frame;
    let size = [frame.height, frame.width];
    params.check(size)?;
    let range = params.range(scan.info().frames())?;
    if let Some(f) = params.show_frames.iter().find(|f| !range.contains(f)) {
        return Err(Error::parameter(
            "--show-frames",
            format!("{f} is not among frames {} to {}", range.start, range.end - 1),
        ));
    }
    let network = Arc::new(model.network.clone());
    let tiling = match params.patch_exact || movie.recipe == Recipe::Published {
        true => Tiling::Patches(model.trained_on.map_or(PATCH, |s| s[0])),
        false => Tiling::Seamless,
    };
    let inference = Inference::new(network.clone(), size, tiling, control.threads, control.memory / 2)?;
    let mut timings = Timings::default();
    let recipe = movie.recipe;
    let movie = Movie::open(scan, movie, backend, &mut timings, control)?;
    let mut sink = Sink::new(params, &range, &network, size, dir, file, scan)?;
    sink.warnings.extend(model.notes.iter().cloned());
    sink.warnings.extend(movie.warnings.iter().cloned());
    let total = range.end - range.start;
    control.progress.begin("detect", total, total * frame.bytes() as u64);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(control.threads).build();
    let pool = pool.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))?;
    let batch = 2 * control.threads.max(1) as u64;
    let begun = std::time::Instant::now();
    let work = || -> Result<()> {
        for first in range.clone().step_by(batch as usize) {
            control.check()?;
            let numbers: Vec<u64> = (first..(first + batch).min(range.end)).collect();
            scan.prefetch(first..(first + 2 * batch).min(range.end));
            let images: Vec<Array2<f32>> = numbers.par_iter().map(|&n| movie.frame(n, control)).collect::<Result<_>>()?;
            let probabilities = inference.run(&images, backend)?;
            let results: Vec<Analysed> = numbers
                .into_par_iter()
                .zip(images)
                .zip(probabilities)
                .map(|((n, image), p)| analyse(n, image, p, params, recipe))
                .collect::<Result<_>>()?;
            for result in results {
                sink.take(result)?;
                control.progress.advance(1);
            }
        }
        Ok(())
    };
    let result = pool.install(work);
    control.progress.end();
    result?;
    timings.steps.push(crate::io::results::Timing {
        step: "detect".into(),
        seconds: begun.elapsed().as_secs_f64(),
        frames: total,
        bytes: total * frame.bytes() as u64,
        ..Default::default()
    });
    let mut found = sink.finish()?;
    found.scale = [movie.scale, movie.low, movie.high];
    found.warnings.extend(scan.warnings());
    if found.detections.is_empty() {
        found
            .warnings
            .push("no defect was found: lower --threshold or --min-area, or check that the model suits this movie".into());
    }
    found.timings = timings;
    Ok(found)
}

/// One frame, done.
struct Analysed {
    frame: u64,
    image: Array2<f32>,
    /// (h, classes, w).
    probabilities: Array3<f32>,
    defect: Array2<f32>,
    found: Vec<Detection>,
    spectrum: Option<drift::Spectrum>,
}

fn analyse(frame: u64, image: Array2<f32>, probabilities: Array3<f32>, params: &Params, recipe: Recipe) -> Result<Analysed> {
    let defect = defect_probability(&probabilities);
    let (h, w) = image.dim();
    let found = components(defect.view(), params.threshold)?;
    let found = found.into_iter().filter(|c| params.area_counts(c.area, recipe)).map(|c| {
        let centre = match recipe {
            Recipe::Default => c.weighted,
            Recipe::Published => c.centre,
        };
        let corner = params.corner(centre, [h, w], recipe);
        Detection {
            frame,
            y: centre[0],
            x: centre[1],
            area: c.area,
            peak: c.peak,
            kept: corner.is_some(),
            corner: corner.unwrap_or_default(),
        }
    });
    let found = found.collect();
    let spectrum = (params.drift == Drift::Measured).then(|| drift::spectrum(image.view()));
    Ok(Analysed {
        frame,
        image,
        probabilities,
        defect,
        found,
        spectrum,
    })
}

/// Takes frames in order and puts away what is large.
struct Sink<'a> {
    params: &'a Params,
    windows: Stream<f32>,
    probability: Option<Stream<f32>>,
    detections: Vec<Detection>,
    counts: Vec<(u64, usize, usize)>,
    drift: Vec<[f64; 2]>,
    last: Option<drift::Spectrum>,
    shown: Vec<Shown>,
    show: Vec<u64>,
    /// Every so many frames one goes into the movie; how many in all.
    step: u64,
    pictures: u32,
    first: u64,
    movie: Option<report::Movie<std::io::BufWriter<std::fs::File>>>,
    path: PathBuf,
    limits: Option<Limits>,
    seconds: f64,
    frame_time: Option<(f64, String)>,
    warnings: Vec<String>,
}

impl<'a> Sink<'a> {
    fn new(
        params: &'a Params,
        range: &Range<u64>,
        network: &Network,
        size: [usize; 2],
        dir: &OutputDir,
        file: &ResultFile,
        scan: &dyn Scan,
    ) -> Result<Self> {
        let total = range.end - range.start;
        let window = [params.window; 2];
        let meaning = "scaled frames around the detections with `kept`, in their order; the centre lies in pixel window / 2";
        let windows = file.stream("detections/windows", &window, Meta::new("", &["kept", "y", "x"], meaning))?;
        let probability = if params.save_probability {
            let tail = [network.classes(), size[0], size[1]];
            let meaning = "probability of each class, class 0 is background";
            let meta = Meta::new("", &["frame", "class", "y", "x"], meaning);
            Some(file.stream("detections/probability", &tail, meta)?)
        } else {
            None
        };
        let show = match params.show_frames.is_empty() {
            false => params.show_frames.clone(),
            true => (0..SHOWN.min(total))
                .map(|i| range.start + i * (total - 1) / (SHOWN.min(total) - 1).max(1))
                .collect(),
        };
        let step = total.div_ceil(MOVIE);
        let time = &scan.info().nav_axes[1];
        Ok(Sink {
            params,
            windows,
            probability,
            detections: Vec::new(),
            counts: Vec::new(),
            drift: Vec::new(),
            last: None,
            shown: Vec::new(),
            show,
            step,
            pictures: total.div_ceil(step) as u32,
            first: range.start,
            movie: None,
            path: dir.path().join("figures/movie.png"),
            limits: None,
            seconds: if total.div_ceil(step) > 40 { 0.1 } else { 0.25 },
            frame_time: time.scale.map(|s| (s, time.unit.clone())),
            warnings: Vec::new(),
        })
    }

    fn take(&mut self, a: Analysed) -> Result<()> {
        let side = self.params.window;
        for d in a.found.iter().filter(|d| d.kept) {
            let [y, x] = d.corner;
            self.windows
                .append(a.image.slice(s![y..y + side, x..x + side]).iter().copied())?;
        }
        if let Some(stream) = &mut self.probability {
            stream.append(a.probabilities.permuted_axes([1, 0, 2]).iter().copied())?;
        }
        let kept = a.found.iter().filter(|d| d.kept).count();
        self.counts.push((a.frame, a.found.len(), kept));
        if let Some(spectrum) = a.spectrum {
            let before = self.drift.last().copied().unwrap_or_default();
            let step = self
                .last
                .as_ref()
                .map_or([0.0; 2], |last| drift::displacement(last, &spectrum, STEP));
            self.drift.push([before[0] + step[0], before[1] + step[1]]);
            self.last = Some(spectrum);
        }
        if (a.frame - self.first).is_multiple_of(self.step) {
            self.picture(a.frame, a.image.view(), &a.found)?;
        }
        self.detections.extend_from_slice(&a.found);
        if self.show.contains(&a.frame) {
            self.shown.push(Shown {
                frame: a.frame,
                image: a.image,
                probability: a.defect,
                found: a.found,
            });
        }
        Ok(())
    }

    fn picture(&mut self, frame: u64, image: ArrayView2<'_, f32>, found: &[Detection]) -> Result<()> {
        let data = image.mapv(f64::from);
        let limits = *self.limits.get_or_insert_with(|| {
            let (low, high) = Limits::Auto.resolve(data.view(), false);
            Limits::Fixed(low, high)
        });
        let marks = figures::markers(found);
        let time = self
            .frame_time
            .as_ref()
            .map_or(String::new(), |(step, unit)| format!(", {:.1} {unit}", frame as f64 * step));
        let picture = MovieFrame {
            data: data.view(),
            limits,
            markers: &marks,
            caption: format!("frame {frame}{time}: {} defects", found.len()),
        };
        let picture = picture.draw();
        if self.movie.is_none() {
            let failed = |e| Error::io(&self.path, "cannot write", e);
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            let to = std::io::BufWriter::new(std::fs::File::create(&self.path).map_err(failed)?);
            self.movie = Some(report::Movie::begin(to, &picture, self.pictures, self.seconds)?);
        }
        match &mut self.movie {
            Some(movie) => movie.add(&picture),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Found> {
        self.windows.flush()?;
        if let Some(stream) = &mut self.probability {
            stream.flush()?;
        }
        if let Some(movie) = self.movie.take() {
            movie.finish()?;
        }
        Ok(Found {
            detections: self.detections,
            counts: self.counts,
            drift: self.drift,
            shown: self.shown,
            scale: [1.0, 0.0, 1.0],
            warnings: self.warnings,
            timings: Timings::default(),
        })
    }
}

/// Writes what [`run`] has not written, figures and report, and puts the folder in place. `parameters` is the text of `params.toml`.
///
/// # Errors
/// [`Error::Io`] when the disk says no; the output folder is then as it was.
pub fn write(
    found: &Found,
    scan: &dyn Scan,
    model: &Model,
    (movie, params): (&MovieParams, &Params),
    backend: &Backend,
    parameters: &str,
    file: ResultFile,
    dir: OutputDir,
) -> Result<PathBuf> {
    let d = &found.detections;
    let column = |name: &str, unit: &str, meaning: &str, value: &dyn Fn(&Detection) -> f64| {
        let values: Vec<f64> = d.iter().map(value).collect();
        file.put(
            &format!("detections/{name}"),
            arr1(&values).view(),
            Meta::new(unit, &["detection"], meaning),
        )
    };
    column("y", "px", "row of the centre of mass", &|d| d.y)?;
    column("x", "px", "column of the centre of mass", &|d| d.x)?;
    let whole = |name: &str, unit: &str, meaning: &str, value: &dyn Fn(&Detection) -> i32| {
        let values: Vec<i32> = d.iter().map(value).collect();
        file.put(
            &format!("detections/{name}"),
            arr1(&values).view(),
            Meta::new(unit, &["detection"], meaning),
        )
    };
    whole("frame", "", "number of the frame, from 0", &|d| d.frame as i32)?;
    whole("area", "px^2", "pixels above the threshold", &|d| d.area as i32)?;
    let kept: Vec<u8> = d.iter().map(|d| u8::from(d.kept)).collect();
    let meaning = "1 where the window lies inside the frame: these have one in detections/windows";
    file.put("detections/kept", arr1(&kept).view(), Meta::new("", &["detection"], meaning))?;
    let peaks: Vec<f32> = d.iter().map(|d| d.peak).collect();
    let meta = Meta::new("", &["detection"], "largest probability of the region");
    file.put("detections/peak", arr1(&peaks).view(), meta)?;
    let with: Vec<&Detection> = d.iter().filter(|d| d.kept).collect();
    let corners = Array2::from_shape_fn((with.len(), 2), |(i, k)| with[i].corner[k] as i32);
    let meta = Meta::new("px", &["kept", "yx"], "first row and column of each window");
    file.put("detections/corner", corners.view(), meta)?;
    let counts = Array2::from_shape_fn((found.counts.len(), 2), |(i, k)| {
        let (_, all, kept) = found.counts[i];
        [all, kept][k] as i32
    });
    let meta = Meta::new(
        "",
        &["frame", "all_kept"],
        "detections of each frame: all, and those with a window",
    );
    file.put("detections/counts", counts.view(), meta)?;
    if !found.drift.is_empty() {
        let drift = Array2::from_shape_fn((found.drift.len(), 2), |(i, k)| found.drift[i][k]);
        let meaning = "displacement (y, x) of each frame against the first, summed from frame to frame";
        file.put("drift", drift.view(), Meta::new("px", &["frame", "yx"], meaning))?;
    }
    let meaning = "raw values are divided by the first number; the second then became 0, the third 1";
    let meta = Meta::new("", &["scale_low_high"], meaning);
    file.put("movie/scale", arr1(&found.scale).view(), meta)?;
    let kept = with.len();
    let summary = [
        ("Detections", format!("{} in {} frames", d.len(), found.counts.len())),
        (
            "With window",
            format!("{kept} of {} × {} pixels", params.window, params.window),
        ),
        (
            "Network",
            format!(
                "{} layers, {} parameters, {} classes",
                model.network.layers().len(),
                model.network.parameters(),
                model.network.classes()
            ),
        ),
        ("Recipe", movie.recipe.to_string()),
    ];
    let mut shown: Vec<&Shown> = found.shown.iter().collect();
    shown.sort_by_key(|s| params.show_frames.iter().position(|&f| f == s.frame));
    let page = output::Page {
        command: "defects detect",
        title: "Defects",
        scan,
        backend,
        parameters,
        timings: &found.timings,
        warnings: &found.warnings,
        summary: &summary,
        figures: figures::detect(&shown, &found.counts, &scan.info().sig_axes[1]),
    };
    page.finish(file, dir)
}
