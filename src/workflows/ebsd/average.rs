//! `ebsd average`: every pattern with its neighbours on the map, with equal, Gaussian or non-local weights.

use super::output::{Stack, grey, middle, timed};
use crate::control::Control;
use crate::engine::{Backend, Selection, Tile, Tiles, on_backend};
use crate::error::{Error, Result};
use crate::io::ebsd::{PatternMap, Store};
use crate::io::results::Meta;
use crate::kernels::neighbours::{self, Lists, Measure, noise, similarity_weight};
use crate::pixel::{FrameShape, Pixel};
use crate::report::html::Report;
use crate::report::{HeatMap, Panel};
use crate::workflows::{Timings, frame_array, provenance, read_frame};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub use super::process::Dtype;

/// Largest radius: (2·16 + 1)² patterns.
const MAX_RADIUS: usize = 16;

/// Which points around a point count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// All within so many rows and columns.
    #[default]
    Square,
    /// All within so many steps.
    Circle,
}

impl std::str::FromStr for Shape {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "square" => Ok(Shape::Square),
            "circle" => Ok(Shape::Circle),
            _ => Err(Error::parameter("--shape", format!("`{s}` is neither square nor circle"))),
        }
    }
}

/// Parameters of `ebsd average`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    pub radius: usize,
    pub shape: Shape,
    /// Standard deviation of Gaussian weights in steps; equal weights without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<f64>,
    /// Weights from the similarity of patterns (NLPAR).
    pub nlpar: bool,
    /// Strength of the non-local average: differences of so many standard deviations of the noise still count.
    pub lambda: f64,
    pub dtype: Dtype,
    /// Spread each pattern over the range of an integer type.
    pub rescale: bool,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            radius: 1,
            shape: Shape::Square,
            std: None,
            nlpar: false,
            lambda: 0.7,
            dtype: Dtype::F32,
            rescale: false,
        }
    }
}

impl Params {
    /// Offsets (y, x) of the points that count, and their weights before similarity.
    ///
    /// # Errors
    /// [`Error::Parameter`] for numbers out of range.
    pub fn offsets(&self) -> Result<Vec<([isize; 2], f32)>> {
        if self.radius == 0 || self.radius > MAX_RADIUS {
            let what = format!("{} is not between 1 and {MAX_RADIUS}", self.radius);
            return Err(Error::parameter("--radius", what));
        }
        let positive = |name: &str, v: f64| match v.is_finite() && v > 0.0 {
            true => Ok(()),
            false => Err(Error::parameter(name, format!("{v} is not above 0"))),
        };
        positive("--lambda", self.lambda)?;
        self.std.map_or(Ok(()), |s| positive("--std", s))?;
        let r = self.radius as isize;
        let all = (-r..=r).flat_map(|y| (-r..=r).map(move |x| [y, x]));
        let far = |[y, x]: [isize; 2]| (y * y + x * x) as f64;
        Ok(all
            .filter(|&at| self.shape == Shape::Square || far(at) <= (r * r) as f64)
            .map(|at| (at, self.std.map_or(1.0, |s| (-0.5 * far(at) / (s * s)).exp() as f32)))
            .collect())
    }

    fn output(&self, raw: FrameShape) -> Result<FrameShape> {
        let pixel = self.dtype.pixel();
        let narrow = match raw.pixel {
            Pixel::U8 => false,
            Pixel::U16 => pixel == Pixel::U8,
            _ => true,
        };
        if pixel.is_integer() && narrow && !self.rescale {
            let what = format!("means of {} need not fit {pixel}: add --rescale, or use f32", raw.pixel);
            return Err(Error::parameter("--dtype", what));
        }
        if self.rescale && !pixel.is_integer() {
            return Err(Error::parameter("--rescale", "is for --dtype u8 or u16"));
        }
        Ok(FrameShape { pixel, ..raw })
    }
}

/// What a run did.
pub struct Done {
    pub patterns: u64,
    /// Patterns that an averaged one is worth on average: Σ w over the largest weight.
    pub together: f64,
    pub report: PathBuf,
}

/// What to average and how.
pub struct Job<'a> {
    pub map: &'a PatternMap,
    pub selection: &'a Selection,
    pub params: &'a Params,
    /// All parameters as TOML.
    pub effective: String,
}

/// The variance of the noise of every pattern from its most similar neighbour (rows, columns); NaN without neighbours.
fn variances(job: &Job<'_>, backend: &Backend, control: &Control) -> Result<Array2<f64>> {
    let around: Vec<[isize; 2]> = (-1..=1)
        .flat_map(|y| (-1..=1).map(move |x| [y, x]))
        .filter(|o| *o != [0, 0])
        .collect();
    let pixels = job.map.scan.info().frame.pixels();
    let mut map = Array2::from_elem(job.map.present.dim(), f64::NAN);
    walk(job, 1, Measure::Difference, "noise", backend, control, |stage, tile| {
        let (pairs, ends) = pairs(tile, &around);
        let differences = stage.pairs(tile.frames, &pairs)?;
        let mut from = 0;
        for ((at, _), end) in tile.points().zip(ends) {
            let own = differences[from..end].iter().map(|&d| f64::from(d));
            map[at] = noise(own, pixels).unwrap_or(f64::NAN);
            from = end;
        }
        Ok(())
    })?;
    Ok(map)
}

/// Pairs of each wanted point of a tile and those around it, and where the pairs of each end.
pub(super) fn pairs(tile: &Tile<'_>, around: &[[isize; 2]]) -> (Vec<[u32; 2]>, Vec<usize>) {
    let (mut pairs, mut ends) = (Vec::new(), Vec::new());
    for ([y, x], frame) in tile.points() {
        let others = around.iter().filter_map(|o| tile.at(y as isize + o[0], x as isize + o[1]));
        pairs.extend(others.map(|other| [frame as u32, other as u32]));
        ends.push(pairs.len());
    }
    (pairs, ends)
}

/// Shows every tile and a kernel for it to `work`.
fn walk(
    job: &Job<'_>,
    reach: usize,
    measure: Measure,
    title: &str,
    backend: &Backend,
    control: &Control,
    work: impl FnMut(&mut dyn neighbours::Stage, &Tile<'_>) -> Result<()> + Send,
) -> Result<()> {
    let params = neighbours::Params {
        frame: job.map.scan.info().frame,
        measure,
        weights: None,
    };
    tiles(job.map, job.selection, reach, &params, title, backend, control, work)
}

/// The same for any part of a map and any measure.
#[allow(clippy::too_many_arguments)]
pub(super) fn tiles(
    map: &PatternMap,
    selection: &Selection,
    reach: usize,
    params: &neighbours::Params,
    title: &str,
    backend: &Backend,
    control: &Control,
    mut work: impl FnMut(&mut dyn neighbours::Stage, &Tile<'_>) -> Result<()> + Send,
) -> Result<()> {
    let tiles = Tiles {
        scan: &*map.scan,
        present: &map.present,
        selection,
        reach,
        cost: neighbours::cpu::cost(params),
    };
    on_backend(backend, title, |device| {
        let (mut stage, most) = match device {
            None => (neighbours::cpu::stage(params)?, usize::MAX),
            Some((gpu, largest)) => {
                let most = (largest / neighbours::gpu::cost(params)) as usize;
                let least = (2 * reach + 1) * (2 * reach + 1);
                if most < least {
                    let what = format!("{least} patterns of {} KiB", params.frame.bytes() >> 10);
                    return Err(Error::TooLargeForDevice(what));
                }
                // No more than a tile will have.
                let [ny, nx] = map.scan.info().nav;
                let most = most.min(ny * nx);
                (neighbours::gpu::stage(gpu, params, most)?, most)
            }
        };
        tiles.walk(title, most, control, |tile| work(&mut *stage, tile))
    })
}

impl Job<'_> {
    /// A new store with `AveragedPatterns`, or these put beside the others of an existing `store`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for numbers out of range; whatever reading, the device or the disk reports; an existing file keeps what it had.
    pub fn run(
        &self,
        store: Option<Store>,
        output: &Path,
        overwrite: bool,
        backend: &Backend,
        control: &Control,
    ) -> Result<Done> {
        let (map, params) = (self.map, self.params);
        let raw = map.scan.info().frame;
        let offsets = params.offsets()?;
        let frame = params.output(raw)?;
        let stack = Stack::begin(store, output, overwrite, "AveragedPatterns", frame, &map.describe(frame))?;
        let mut timings = Timings::default();
        let noise = match params.nlpar {
            true => Some(timings.frames("noise", &*map.scan, self.selection, || variances(self, backend, control))?),
            false => None,
        };
        // Numbers of the present points in map order, as the store counts them.
        let mut numbers = Array2::from_elem(map.present.dim(), 0u64);
        let mut n = 0;
        for (number, &present) in numbers.iter_mut().zip(&map.present) {
            *number = n;
            n += u64::from(present);
        }
        let shown = middle(&map.present);
        let (mut example, mut together) = (None, 0.0);
        let work = |stage: &mut dyn neighbours::Stage, tile: &Tile<'_>| {
            let lists = self.lists(stage, tile, &offsets, noise.as_ref())?;
            let means = stage.means(tile.frames, &lists)?;
            for (i, ((at, _), mean)) in tile.points().zip(means.chunks_exact(raw.pixels())).enumerate() {
                let weights = || lists.of(i).iter().map(|m| f64::from(m.1));
                together += weights().sum::<f64>() / weights().fold(f64::MIN_POSITIVE, f64::max);
                if at == shown {
                    example = Some(mean.to_vec());
                }
                stack.put(numbers[at], &quantise(mean, frame.pixel, params.rescale))?;
            }
            Ok(())
        };
        timings.frames("average", &*map.scan, self.selection, || {
            walk(self, params.radius, Measure::Difference, "average", backend, control, work)
        })?;
        let together = together / self.selection.len() as f64;
        let example = frame_array(raw, example.unwrap_or_default().into_iter().map(f64::from).collect())?;
        if let Some(noise) = &noise {
            let meaning = "standard deviation of the noise of each pattern, from the neighbour that is most like it";
            let meta = Meta::new("counts", &["row", "column"], meaning);
            stack.store.put("Data/noise", noise.mapv(f64::sqrt).view(), meta)?;
        }
        let before = read_frame(&*map.scan, (shown[0] * map.present.ncols() + shown[1]) as u64, control)?;
        let page = stack.page(|| self.page(&timings, together, shown, [&before, &example], noise.as_ref()))?;
        let provenance = provenance("ebsd average", &*map.scan, backend, self.effective.clone(), &timings)?;
        let report = stack.finish("counts", "patterns averaged with their neighbours", &provenance, &page)?;
        Ok(Done {
            patterns: self.selection.len(),
            together,
            report,
        })
    }

    /// The neighbours of every wanted point of a tile with their weights.
    fn lists(
        &self,
        stage: &mut dyn neighbours::Stage,
        tile: &Tile<'_>,
        offsets: &[([isize; 2], f32)],
        noise: Option<&Array2<f64>>,
    ) -> Result<Lists> {
        let mut lists = Lists::default();
        let near = |[y, x]: [usize; 2]| {
            offsets
                .iter()
                .filter_map(move |(o, w)| Some((*o, tile.at(y as isize + o[0], x as isize + o[1])? as u32, *w)))
        };
        let Some(noise) = noise else {
            for (at, _) in tile.points() {
                lists.push(near(at).map(|(_, frame, weight)| (frame, weight)));
            }
            return Ok(lists);
        };
        let around: Vec<[isize; 2]> = offsets.iter().map(|o| o.0).filter(|o| *o != [0, 0]).collect();
        let (pairs, _) = pairs(tile, &around);
        let differences = stage.pairs(tile.frames, &pairs)?;
        let mut next = differences.iter().map(|&d| f64::from(d));
        let pixels = self.map.scan.info().frame.pixels();
        for (at, _) in tile.points() {
            lists.push(near(at).map(|(o, frame, weight)| {
                if o == [0, 0] {
                    return (frame, weight);
                }
                let other = [at[0].saturating_add_signed(o[0]), at[1].saturating_add_signed(o[1])];
                let difference = next.next().unwrap_or(f64::INFINITY);
                let similar = similarity_weight(difference, pixels, [noise[at], noise[other]], self.params.lambda);
                (frame, weight * if similar.is_finite() { similar as f32 } else { 0.0 })
            }));
        }
        Ok(lists)
    }

    fn page(
        &self,
        timings: &Timings,
        together: f64,
        at: [usize; 2],
        [before, after]: [&Array2<f64>; 2],
        noise: Option<&Array2<f64>>,
    ) -> Result<String> {
        let mut report = Report::new("Averaged patterns");
        report.summary("input", self.map.scan.info().path.display());
        report.summary("patterns", self.selection.len());
        report.summary("patterns in an average", format!("{together:.2}"));
        timed(&mut report, timings);
        let tiles = vec![grey(before.view(), "before"), grey(after.view(), "averaged")];
        let title = format!("Pattern at row {}, column {}", at[0], at[1]);
        report.section("One pattern").figure(
            &Panel::new(&title, tiles).draw().to_png()?,
            "A pattern before and after averaging, each over its own range.",
        );
        if let Some(noise) = noise {
            let noise = noise.mapv(f64::sqrt);
            let mut map = HeatMap::new(noise.view(), "Noise");
            map.unit = "standard deviation (counts)";
            let [_, axis] = &self.map.scan.info().nav_axes;
            map.axis = axis.clone();
            report.section("Noise").figure(
                &map.draw().to_png()?,
                "Noise of each pattern, from the neighbour that is most like it; high at boundaries, where no neighbour is alike.",
            );
        }
        report.section("Parameters").code(&self.effective);
        Ok(report.render())
    }
}

/// A pattern as pixels: rounded, ties to even; or spread over the range of the type, digits behind the point dropped.
pub fn quantise(pattern: &[f32], pixel: Pixel, rescale: bool) -> Vec<u8> {
    let top = match pixel {
        Pixel::U8 => 255.0f64,
        Pixel::U16 => 65535.0,
        _ => return bytemuck::cast_slice(pattern).to_vec(),
    };
    let (low, high) = match rescale {
        true => pattern
            .iter()
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| {
                (l.min(f64::from(v)), h.max(f64::from(v)))
            }),
        false => (0.0, top),
    };
    let value = |v: f32| {
        let v = f64::from(v);
        match rescale {
            // A constant pattern becomes 0.
            true if high > low => ((v - low) / (high - low) * top).trunc(),
            true => 0.0,
            // Saturates; NaN becomes 0.
            false => v.round_ties_even(),
        }
    };
    match pixel {
        Pixel::U8 => pattern.iter().map(|&v| value(v) as u8).collect(),
        _ => pattern.iter().flat_map(|&v| (value(v) as u16).to_ne_bytes()).collect(),
    }
}
