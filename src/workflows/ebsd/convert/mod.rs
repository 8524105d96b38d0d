//! Patterns of any format into one file in the h5ebsd-like layout: binned, with the mean of every pattern, with all that is known of the points.
//!
//! An uncompressed conversion that is interrupted (Ctrl-C, a full disk) leaves `FILE.part` and goes on from there when it is run again:
//! `FILE.part.means` holds the mean of every pattern that is safely in the file, `FILE.part.toml` what was being done.

mod part;

use super::points;
use crate::control::Control;
use crate::engine::Selection;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::ebsd::{Codec, Description, Geometry, Orientations, PatternMap, PatternWriter, Store, StoreLayout};
use crate::io::results::Meta;
use crate::pattern_centre::{Convention, after_binning};
use crate::pixel::{FrameShape, Frames};
use crate::with_pixel;
pub use crate::workflows::binning::BinMode;
use crate::workflows::binning::{Binning, bin, bin_background, binned_frame, mean};
use crate::workflows::blocks::Blocks;
use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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
    /// Orientations of the points, from a `.ctf` or an `.ang`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctf: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ang: Option<PathBuf>,
    /// Image that is the static background, over the one of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<PathBuf>,
    /// Step of the map (y, x) in µm, over what files say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<[f64; 2]>,
    /// One pattern centre for the map, in `pc_convention`, before binning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pc: Option<[f64; 3]>,
    /// `bruker`, `edax`, `oxford`, or `emsoft` (from the middle, all three in pixels).
    pub pc_convention: String,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            bin: 1,
            mode: BinMode::Mean,
            gzip: 0,
            target: Target::Emstream,
            ctf: None,
            ang: None,
            background: None,
            step: None,
            pc: None,
            pc_convention: "bruker".into(),
        }
    }
}

impl Params {
    fn binning(&self) -> Binning {
        Binning {
            bin: self.bin,
            mode: self.mode,
        }
    }
}

/// What [`Params`] name besides the patterns' own file, read.
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
    let frame = binned_frame(from, params.binning())?;
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
        Some(b) if b.dim() == (from.height, from.width) => Some(bin_background(b, frame, params.binning())),
        Some(b) => {
            let what = format!("{:?} pixels, the patterns have {} × {}", b.dim(), from.height, from.width);
            return Err(Error::parameter("--background", what));
        }
    };
    let selection = points(&map)?;
    let without = map.present.len() as u64 - selection.len();
    if params.target == Target::Kikuchipy && without > 0 {
        warnings.push(format!(
            "points without a pattern: {without}; kikuchipy's layout keeps a place for each, and other programs see patterns of zeros there"
        ));
    }
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

/// Largest distance of a detector that is believed, in its heights.
const FARTHEST: f64 = 10.0;

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
            let flag = if params.ctf.is_some() { "--ctf" } else { "--ang" };
            return Err(Error::parameter(flag, what));
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
        // Positions of files have other steps.
        map.data.remove("x");
        map.data.remove("y");
    }
    if given.static_background.is_some() {
        map.static_background = given.static_background;
    }
    let size = [frame.height, frame.width];
    if let Some(pc) = params.pc {
        let convention = Convention::named(&params.pc_convention);
        let wrong = || Error::parameter("--pc-convention", "is none of bruker, edax, oxford, emsoft");
        let convention = convention.ok_or_else(wrong)?;
        // EMsoft counts pixels.
        let unit = if convention == Convention::Emsoft {
            frame.width as f64
        } else {
            1.0
        };
        let pc = convention.to_bruker(pc.map(|v| v / unit), frame.height as f64 / frame.width as f64);
        if !(pc[2] > 0.0 && pc[2] <= FARTHEST) {
            let what = format!(
                "puts the source {} pattern heights away; distances go up to {FARTHEST}{}",
                pc[2],
                if convention == Convention::Emsoft {
                    ", and EMsoft's L is divided by the size of a pixel"
                } else {
                    ""
                }
            );
            return Err(Error::parameter("--pc", what));
        }
        map.geometry.pc = Some(Array3::from_shape_fn((nav[0], nav[1], 3), |(_, _, k)| pc[k]));
    }
    bin_geometry(&mut map.geometry, size, params.bin);
    Ok(steps)
}

/// What geometry says of patterns of `size` (height, width) becomes what it says of the binned ones: pattern centres count in parts of the
/// detector, of which rows and columns that are left over are cropped.
pub(super) fn bin_geometry(geometry: &mut Geometry, size: [usize; 2], bin: usize) {
    for mut one in geometry.pc.iter_mut().flat_map(|pc| pc.rows_mut()) {
        let moved = after_binning([one[0], one[1], one[2]], size, bin);
        one.iter_mut().zip(moved).for_each(|(slot, v)| *slot = v);
    }
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
        let blocks = Blocks {
            title: "convert",
            start,
            total: self.selection.len(),
            read: self.from.bytes(),
            held: self.from.stride() + self.frame.bytes(),
            control: self.control,
        };
        let work = |range: std::ops::Range<u64>| {
            let (binned, means) = self.piece(range.start, range.end)?;
            put(range.start, &binned)?;
            Ok(means)
        };
        blocks.run(|at| at, work, |_, means: Vec<Vec<f64>>| done(&means.concat()))
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
                    bin(pattern, self.from.width, self.frame, self.params.binning(), place).map_err(|what| {
                        let [y, x] = self.scan.info().place(numbers[i]);
                        Error::parameter("--bin-mode", format!("pattern at row {y}, column {x}: {what}"))
                    })?;
                }
            });
        }
        Ok((out, means))
    }
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
