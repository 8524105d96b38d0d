//! Patterns of any format into one file in the h5ebsd-like layout: binned, with the mean of every pattern, with all that is known of the points.
//!
//! An uncompressed conversion that is interrupted (Ctrl-C, a full disk) leaves `FILE.part` and goes on from there when it is run again:
//! `FILE.part.means` holds the mean of every pattern that is safely in the file, `FILE.part.toml` what was being done.

use super::points;
use crate::control::Control;
use crate::engine::Selection;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::ebsd::{Codec, Description, Geometry, Orientations, PatternMap, PatternWriter, Store, StoreLayout};
use crate::io::output::check_free;
use crate::io::results::Meta;
use crate::pattern_centre::{Convention, after_binning};
use crate::pixel::{FrameShape, Frames, Pixel, Sample};
use crate::with_pixel;
use ndarray::{Array2, Array3};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of patterns that are converted between two looks at the disk.
const BLOCK: u64 = 32 << 20;
/// Most that a sum of pixels may take: frames are binned in 32 bits.
const MAX_BIN: usize = 256;

/// How a block of pixels becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinMode {
    /// Their mean, rounded to the nearest integer, ties to even; the pixel type stays.
    #[default]
    Mean,
    /// Their sum, in the next larger integer type.
    Sum,
}

/// The file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The h5ebsd-like layout that the other commands work on.
    #[default]
    Emstream,
    /// kikuchipy's h5ebsd file.
    Kikuchipy,
}

impl Target {
    fn layout(self) -> StoreLayout {
        match self {
            Target::Emstream => StoreLayout::H5Ebsd,
            Target::Kikuchipy => StoreLayout::Kikuchipy,
        }
    }
    /// Name of the patterns.
    fn stack(self) -> &'static str {
        match self {
            Target::Emstream => "RawPatterns",
            Target::Kikuchipy => "patterns",
        }
    }
}

/// What to do with the patterns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Edge of the blocks of pixels that are binned; rows and columns that are left over are cropped.
    pub bin: usize,
    pub mode: BinMode,
    /// gzip level 1–9; 0: not compressed.
    pub gzip: u8,
    pub target: Target,
    /// Step of the map (y, x) in µm, over what files say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<[f64; 2]>,
    /// One pattern centre for the map, in `pc_convention`, before binning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pc: Option<[f64; 3]>,
    /// `bruker`, `edax`, `oxford` or `emsoft`.
    pub pc_convention: String,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            bin: 1,
            mode: BinMode::Mean,
            gzip: 0,
            target: Target::Emstream,
            step: None,
            pc: None,
            pc_convention: "bruker".into(),
        }
    }
}

/// What is known besides the patterns' own file.
#[derive(Default)]
pub struct Given {
    /// From a `.ctf` or `.ang`.
    pub orientations: Option<Orientations>,
    /// Instead of the one in the file (h, w), unbinned.
    pub static_background: Option<Array2<f64>>,
}

/// What was written.
#[derive(Debug)]
pub struct Converted {
    pub patterns: u64,
    pub nav: [usize; 2],
    pub frame: FrameShape,
    /// Patterns that an earlier run had converted.
    pub resumed: u64,
    /// Things the user should know.
    pub warnings: Vec<String>,
}

/// Converts `map` to `path`.
///
/// # Errors
/// [`Error::Parameter`] where the parameters do not fit the map; whatever reading and the disk report; [`Error::Cancelled`].
pub fn run(
    mut map: PatternMap,
    given: Given,
    params: &Params,
    path: &Path,
    overwrite: bool,
    control: &Control,
) -> Result<Converted> {
    let mut warnings = map.scan.info().notes.clone();
    let from = map.scan.info().frame;
    let frame = binned_frame(from, params)?;
    let cropped = [from.height % params.bin, from.width % params.bin];
    if cropped != [0, 0] {
        let [y, x] = cropped;
        warnings.push(format!(
            "binning by {} crops {y} rows and {x} columns at the bottom and the right",
            params.bin
        ));
    }
    let steps = merge(&mut map, given, params, &mut warnings)?;
    let background = match &map.static_background {
        None => None,
        Some(b) if b.dim() == (from.height, from.width) => Some(bin_background(b, frame, params)),
        Some(b) => {
            let what = format!("{:?} pixels, the patterns have {} × {}", b.dim(), from.height, from.width);
            return Err(Error::parameter("--background", what));
        }
    };
    let selection = points(&map)?;
    let what = Description {
        present: &map.present,
        pattern: [frame.height, frame.width],
        steps,
        data: &map.data,
        geometry: &map.geometry,
        static_background: background.as_ref(),
    };
    let job = Job {
        scan: &*map.scan,
        selection: &selection,
        params,
        from,
        frame,
        control,
    };
    let mut resumed = 0;
    match params.gzip {
        0 => resumed = job.resumable(&what, path, overwrite)?,
        level => {
            let store = Store::create_as(path, params.target.layout(), &what, overwrite)?;
            let writer = store.pattern_writer(params.target.stack(), frame, Codec::Gzip(level))?;
            let mut means = Vec::new();
            let keep = |m: &[f64]| {
                means.extend_from_slice(m);
                Ok(())
            };
            job.run(0, keep, |first, bytes| writer.put(first, bytes))?;
            complete(store, writer, &selection, &means)?;
        }
    }
    warnings.extend(map.scan.warnings());
    Ok(Converted {
        patterns: selection.len(),
        nav: map.scan.info().nav,
        frame,
        resumed,
        warnings,
    })
}

/// Takes over what files and flags say about the points; returns the steps (y, x) in µm.
fn merge(map: &mut PatternMap, given: Given, params: &Params, warnings: &mut Vec<String>) -> Result<[Option<f64>; 2]> {
    let nav = map.scan.info().nav;
    let frame = map.scan.info().frame;
    let mut steps = map.steps();
    if let Some(o) = given.orientations {
        if o.data.nav != nav {
            let what = format!(
                "{} × {} points, but the patterns make a map of {} × {}",
                o.data.nav[0], o.data.nav[1], nav[0], nav[1]
            );
            return Err(Error::parameter("--ctf", what));
        }
        warnings.extend(o.notes);
        steps = o.steps.map(|s| (s > 0.0).then_some(s));
        let geometry = &mut map.geometry;
        *geometry = Geometry {
            pc: o.geometry.pc.or(geometry.pc.take()),
            sample_tilt: o.geometry.sample_tilt.or(geometry.sample_tilt),
            camera_tilt: o.geometry.camera_tilt.or(geometry.camera_tilt),
            voltage: o.geometry.voltage.or(geometry.voltage),
        };
        map.data = o.data;
    }
    if let Some(given) = params.step {
        steps = given.map(Some);
    }
    if given.static_background.is_some() {
        map.static_background = given.static_background;
    }
    let size = [frame.height, frame.width];
    if let Some(pc) = params.pc {
        let convention = Convention::named(&params.pc_convention);
        let wrong = || Error::parameter("--pc-convention", "is none of bruker, edax, oxford, emsoft");
        let pc = convention
            .ok_or_else(wrong)?
            .to_bruker(pc, frame.height as f64 / frame.width as f64);
        map.geometry.pc = Some(Array3::from_shape_fn((nav[0], nav[1], 3), |(_, _, k)| pc[k]));
    }
    if let Some(pc) = &mut map.geometry.pc {
        for mut one in pc.rows_mut() {
            let moved = after_binning([one[0], one[1], one[2]], size, params.bin);
            one.iter_mut().zip(moved).for_each(|(slot, v)| *slot = v);
        }
    }
    Ok(steps)
}

/// The shape and type of binned patterns.
fn binned_frame(from: FrameShape, params: &Params) -> Result<FrameShape> {
    let f = params.bin;
    if f == 0 || f > MAX_BIN || f > from.height || f > from.width {
        let what = format!(
            "{f} for patterns of {} × {}: 1 to {MAX_BIN} and at most the pattern",
            from.height, from.width
        );
        return Err(Error::parameter("--bin", what));
    }
    let pixel = match (params.mode, from.pixel) {
        (BinMode::Mean, p) => p,
        (BinMode::Sum, p) if f == 1 => p,
        (BinMode::Sum, Pixel::U8) => Pixel::U16,
        (BinMode::Sum, Pixel::U16 | Pixel::U32) => Pixel::U32,
        (BinMode::Sum, Pixel::I8 | Pixel::I16 | Pixel::I32) => Pixel::I32,
        (BinMode::Sum, Pixel::F32) => Pixel::F32,
    };
    Ok(FrameShape {
        pixel,
        height: from.height / f,
        width: from.width / f,
    })
}

/// The static background binned like the patterns; rounded where it holds whole numbers, as the layout's own importers do.
fn bin_background(background: &Array2<f64>, frame: FrameShape, params: &Params) -> Array2<f64> {
    let f = params.bin;
    let whole = background.iter().all(|v| v.fract() == 0.0);
    Array2::from_shape_fn((frame.height, frame.width), |(y, x)| {
        let block = background.slice(ndarray::s![y * f..(y + 1) * f, x * f..(x + 1) * f]);
        match params.mode {
            BinMode::Sum => block.sum(),
            BinMode::Mean if whole => (block.sum() / (f * f) as f64).round_ties_even(),
            BinMode::Mean => block.sum() / (f * f) as f64,
        }
    })
}

/// One conversion.
struct Job<'a> {
    scan: &'a dyn Scan,
    selection: &'a Selection,
    params: &'a Params,
    from: FrameShape,
    frame: FrameShape,
    control: &'a Control,
}

impl Job<'_> {
    /// Reads, bins and writes the patterns from number `start` on. `put` gets runs of patterns from several threads, `done` the means of
    /// every block after all of it was put.
    fn run(
        &self,
        start: u64,
        mut done: impl FnMut(&[f64]) -> Result<()>,
        put: impl Fn(u64, &[u8]) -> Result<()> + Sync,
    ) -> Result<()> {
        let total = self.selection.len();
        let bytes = (self.from.stride() + self.frame.bytes()) as u64;
        // A piece is what one thread reads and writes at a time.
        let piece = (4 << 20) / bytes;
        let threads = self.control.threads.max(1) as u64;
        let piece = piece.min(self.control.memory / 4 / threads / bytes).max(1);
        let block = (BLOCK.min(self.control.memory / 4) / bytes).max(1).div_ceil(piece) * piece;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.control.threads).build();
        let pool = pool.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))?;
        let progress = &self.control.progress;
        progress.begin("convert", total - start, (total - start) * self.from.bytes() as u64);
        let mut first = start;
        let mut result = Ok(());
        while first < total && result.is_ok() {
            let end = (first + block).min(total);
            let pieces: Vec<u64> = (first..end).step_by(piece as usize).collect();
            result = pool
                .install(|| {
                    let work = pieces.par_iter().map(|&at| {
                        let upto = (at + piece).min(end);
                        let (binned, means) = self.piece(at, upto)?;
                        put(at, &binned)?;
                        progress.advance(upto - at);
                        Ok(means)
                    });
                    work.collect::<Result<Vec<Vec<f64>>>>()
                })
                .and_then(|means| done(&means.concat()));
            first = end;
        }
        progress.end();
        result
    }

    /// Patterns `from..to` of the selection, binned, tightly packed, and their means before binning.
    fn piece(&self, from: u64, to: u64) -> Result<(Vec<u8>, Vec<f64>)> {
        self.control.check()?;
        let mut numbers = Vec::new();
        self.selection.frames(from..to, &mut numbers);
        let mut words = vec![0u32; numbers.len() * self.from.stride() / 4];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        self.scan.read(&numbers, self.from.stride(), bytes, self.control)?;
        let frames = Frames::new(self.from, from, numbers.len(), bytes)?;
        let size = self.frame.bytes();
        let mut out = vec![0; numbers.len() * size];
        let mut means = Vec::with_capacity(numbers.len());
        for (i, place) in out.chunks_exact_mut(size).enumerate() {
            with_pixel!(self.from.pixel, T => {
                let pattern = frames.frame::<T>(i);
                means.push(mean(pattern));
                if self.params.bin == 1 {
                    place.copy_from_slice(bytemuck::cast_slice(pattern));
                } else {
                    self.bin(pattern, place).map_err(|what| {
                        let nx = self.scan.info().nav[1] as u64;
                        let (y, x) = (numbers[i] / nx, numbers[i] % nx);
                        Error::parameter("--bin-mode", format!("pattern at row {y}, column {x}: {what}"))
                    })?;
                }
            });
        }
        Ok((out, means))
    }

    /// Bins one pattern to `out`, in the type of `self.frame`.
    fn bin<T: Sample>(&self, pattern: &[T], out: &mut [u8]) -> Result<(), String> {
        let (f, w) = (self.params.bin, self.from.width);
        let (bw, count) = (self.frame.width, (f * f) as f64);
        // Sums of 2¹⁶ pixels of 32 bits are exact in float64, and so is every half.
        let mut sums = vec![0.0f64; bw];
        let size = self.frame.pixel.bytes();
        for (y, row) in out.chunks_exact_mut(bw * size).enumerate() {
            sums.fill(0.0);
            for line in pattern[y * f * w..(y + 1) * f * w].chunks_exact(w) {
                for (sum, block) in sums.iter_mut().zip(line.chunks_exact(f)) {
                    *sum += block.iter().map(|v| v.to_f64()).sum::<f64>();
                }
            }
            let integer = self.frame.pixel.is_integer();
            if self.params.mode == BinMode::Mean {
                sums.iter_mut().for_each(|s| {
                    *s /= count;
                    if integer {
                        *s = s.round_ties_even();
                    }
                });
            }
            for (place, &sum) in row.chunks_exact_mut(size).zip(&sums) {
                store(self.frame.pixel, sum, place)?;
            }
        }
        Ok(())
    }

    /// Converts to `path` by way of `path.part`, going on where an earlier run stopped. Returns how many patterns that run had converted.
    fn resumable(&self, what: &Description<'_>, path: &Path, overwrite: bool) -> Result<u64> {
        check_free(path, overwrite)?;
        let (layout, stack) = (self.params.target.layout(), self.params.target.stack());
        let part = Part::of(path);
        let task = self.task()?;
        let (store, writer, before) = match part.reopen(&task, stack, self.frame, || {
            Store::resume_part(&part.file, path, layout, what, overwrite)
        })? {
            Some((store, writer, before)) => {
                log::info!("{}: going on after {} patterns", path.display(), before.len());
                (store, writer, before)
            }
            None => {
                part.remove();
                let store = Store::create_part(&part.file, path, layout, what, overwrite)?;
                let writer = store.pattern_writer(stack, self.frame, Codec::None)?;
                fs::write(&part.task, &task).map_err(|e| Error::io(&part.task, "cannot write", e))?;
                (store, writer, Vec::new())
            }
        };
        let failed = |e| Error::io(&part.means, "cannot write", e);
        let mut log = File::options().append(true).create(true).open(&part.means).map_err(failed)?;
        let mut means = before;
        let resumed = means.len() as u64;
        let go_on = self.run(
            resumed,
            |block| {
                writer.sync()?;
                log.write_all(bytemuck::cast_slice(block)).map_err(failed)?;
                means.extend_from_slice(block);
                Ok(())
            },
            |first, bytes| writer.put(first, bytes),
        );
        if let Err(e) = go_on {
            log::warn!(
                "{} holds {} of {} patterns; the same command goes on from there",
                part.file.display(),
                means.len(),
                self.selection.len()
            );
            return Err(e);
        }
        drop(log);
        complete(store, writer, self.selection, &means)?;
        part.remove();
        Ok(resumed)
    }

    /// What is being done, so that only the same work is taken up again.
    fn task(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Task<'a> {
            input: String,
            bytes: u64,
            modified: String,
            patterns: u64,
            shape: [usize; 4],
            pixel: &'a str,
            params: &'a Params,
        }
        let info = self.scan.info();
        let metadata = fs::metadata(&info.path).map_err(|e| Error::io(&info.path, "cannot read", e))?;
        let absolute = fs::canonicalize(&info.path).map_err(|e| Error::io(&info.path, "cannot read", e))?;
        let task = Task {
            input: absolute.display().to_string(),
            bytes: metadata.len(),
            modified: metadata.modified().map(crate::io::results::iso_time).unwrap_or_default(),
            patterns: self.selection.len(),
            shape: [info.nav[0], info.nav[1], self.frame.height, self.frame.width],
            pixel: self.frame.pixel.name(),
            params: self.params,
        };
        crate::workflows::to_toml(&task)
    }
}

/// Mean of a pattern; exact for integers.
fn mean<T: Sample>(pattern: &[T]) -> f64 {
    // Lanes that the compiler can keep in registers; sums of integers below 2⁵³ are exact in any order.
    let mut lanes = [0.0f64; 16];
    let chunks = pattern.chunks_exact(16);
    let rest: f64 = chunks.remainder().iter().map(|v| v.to_f64()).sum();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane += v.to_f64());
    }
    (lanes.iter().sum::<f64>() + rest) / pattern.len() as f64
}

/// A value in the bytes of a pixel type.
fn store(pixel: Pixel, value: f64, place: &mut [u8]) -> Result<(), String> {
    macro_rules! put {
        ($t:ty) => {{
            // False for NaN too.
            if !(value >= f64::from(<$t>::MIN) && value <= f64::from(<$t>::MAX)) {
                return Err(format!("the sum {value} does not fit {pixel}; --bin-mode mean does"));
            }
            place.copy_from_slice(&(value as $t).to_ne_bytes());
        }};
    }
    match pixel {
        Pixel::U8 => put!(u8),
        Pixel::I8 => put!(i8),
        Pixel::U16 => put!(u16),
        Pixel::I16 => put!(i16),
        Pixel::U32 => put!(u32),
        Pixel::I32 => put!(i32),
        Pixel::F32 => place.copy_from_slice(&(value as f32).to_ne_bytes()),
    }
    Ok(())
}

/// Names the stack, adds the map of means and finishes the file.
fn complete(store: Store, writer: PatternWriter, selection: &Selection, means: &[f64]) -> Result<()> {
    writer.finish("counts", "patterns as measured")?;
    let map = selection.scatter(means, f64::NAN);
    let meta = Meta::new(
        "counts",
        &["map_y", "map_x"],
        "mean of each pattern before binning; NaN where there is none",
    );
    store.put("Data/bse_map", map.view(), meta)?;
    store.finish()
}

/// The files of a conversion that is not complete.
struct Part {
    file: PathBuf,
    means: PathBuf,
    task: PathBuf,
}

impl Part {
    fn of(path: &Path) -> Part {
        let with = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Part {
            file: with(".part"),
            means: with(".part.means"),
            task: with(".part.toml"),
        }
    }

    fn remove(&self) {
        for file in [&self.means, &self.task, &self.file] {
            // Most often there is none.
            let _ = fs::remove_file(file);
        }
    }

    /// The unfinished file and the means of the patterns in it, if it is of the same task and can be read.
    fn reopen(
        &self,
        task: &str,
        stack: &str,
        frame: FrameShape,
        open: impl FnOnce() -> Result<Store>,
    ) -> Result<Option<(Store, PatternWriter, Vec<f64>)>> {
        if !fs::read_to_string(&self.task).is_ok_and(|t| t == task) {
            return Ok(None);
        }
        let opened = open().and_then(|store| Ok((store.resume_writer(stack, frame)?, store)));
        let Ok((Some(writer), store)) = opened else { return Ok(None) };
        let failed = |e| Error::io(&self.means, "cannot read", e);
        let mut bytes = Vec::new();
        let mut log = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.means)
            .map_err(failed)?;
        (&mut log).take(8 * writer.count()).read_to_end(&mut bytes).map_err(failed)?;
        let means: Vec<f64> = bytes.as_chunks::<8>().0.iter().map(|b| f64::from_ne_bytes(*b)).collect();
        // A mean that was cut in the middle is written anew.
        log.set_len(8 * means.len() as u64).map_err(failed)?;
        Ok(Some((store, writer, means)))
    }
}
