//! A scan into a file of another format: the same pixels, or binned, or log-scaled; with its calibration.
//!
//! A conversion that is interrupted (Ctrl-C, a full disk) leaves `FILE.part` and goes on from there when it is run again: `FILE.part.toml` says what
//! was being done, `FILE.part.done` how many frames are safely in the file.

mod part;

use super::binning::{BinMode, Binning, bin, binned_frame};
use super::blocks::Blocks;
use crate::backend::stage::CpuStage;
use crate::control::Control;
use crate::engine::Selection;
use crate::error::{Error, Result};
use crate::io::write::{Compression, Format, NewScan, ScanWriter, lost_in_blo};
use crate::io::{Axis, Scan, ScanInfo};
use crate::kernels::framemap;
use crate::pixel::{FrameShape, Frames, Pixel};
use crate::with_pixel;
use part::Part;
use std::ops::Range;
use std::path::Path;

/// Bytes that are written between two notes of how far it is.
const NOTED: u64 = 256 << 20;

/// What to do with the frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    pub format: Format,
    pub compression: Compression,
    /// Edge of the blocks of pixels that become one; rows and columns that are left over are cropped.
    pub bin: usize,
    pub mode: BinMode,
    /// ln(f − min f + 1) of every (binned) frame, in float32.
    pub log: bool,
    /// How the scan was opened, in any words: another answer makes another conversion.
    pub input: String,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    pub nav: [usize; 2],
    pub frame: FrameShape,
    /// Frames that an earlier run had written.
    pub resumed: u64,
    /// Things the user should know.
    pub notes: Vec<String>,
}

/// Writes the selected frames of `scan` to `path`. The new scan keeps the scan's shape and steps where the selection is a rectangle, else it is
/// (1, frames).
///
/// # Errors
/// [`Error::Parameter`] for frames that the format does not hold and binnings that do not fit; whatever reading and the disk report, a full disk
/// before any work where the size is known; [`Error::Cancelled`].
pub fn run(
    scan: &dyn Scan,
    selection: &Selection,
    params: &Params,
    path: &Path,
    overwrite: bool,
    control: &Control,
) -> Result<Converted> {
    let job = Job::new(scan, selection, params, path, control)?;
    let part = Part::of(path);
    part.check_target(params.format, overwrite)?;
    let (writer, resumed) = part.open(&job)?;
    let outcome = job.run(&*writer, resumed, &part);
    match outcome {
        Ok(()) => writer.finish()?,
        Err((e, done)) => {
            part.keep(writer, &job, done);
            return Err(e);
        }
    }
    part.publish(params.format, overwrite)?;
    Ok(Converted {
        nav: job.new.nav,
        frame: job.new.frame,
        resumed,
        notes: job.notes,
    })
}

/// One conversion.
struct Job<'a> {
    scan: &'a dyn Scan,
    selection: &'a Selection,
    params: &'a Params,
    control: &'a Control,
    from: FrameShape,
    new: NewScan,
    notes: Vec<String>,
}

impl<'a> Job<'a> {
    fn new(
        scan: &'a dyn Scan,
        selection: &'a Selection,
        params: &'a Params,
        path: &'a Path,
        control: &'a Control,
    ) -> Result<Job<'a>> {
        let info = scan.info();
        let from = info.frame;
        let frame = match params.log {
            false => binned_frame(from, params.binning())?,
            true if params.mode == BinMode::Mean && params.bin > 1 => {
                return Err(Error::parameter(
                    "--norm",
                    "log takes sums of pixels: leave --bin-mode mean out",
                ));
            }
            true => {
                let (height, width) = params.framemap().output(from.height, from.width)?;
                FrameShape {
                    pixel: Pixel::F32,
                    height,
                    width,
                }
            }
        };
        let mut notes = Vec::new();
        let cropped = [from.height % params.bin, from.width % params.bin];
        if cropped != [0, 0] {
            let [y, x] = cropped;
            let what = "crops {y} rows and {x} columns at the bottom and the right";
            let what = what.replace("{y}", &y.to_string()).replace("{x}", &x.to_string());
            notes.push(format!("binning by {} {what}", params.bin));
        }
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let new = NewScan {
            nav: selection.shape(),
            frame,
            nav_axes: nav_axes(info, selection),
            sig_axes: info.sig_axes.clone().map(|a| Axis {
                scale: a.scale.map(|s| s * params.bin as f64),
                ..a
            }),
            title: stem.filter(|s| !s.is_empty()).unwrap_or_else(|| "scan".into()),
            signal: None,
        };
        if params.format == Format::Blo
            && let Some(lost) = lost_in_blo(&new)
        {
            notes.push(lost.to_owned());
        }
        Ok(Job {
            scan,
            selection,
            params,
            control,
            from,
            new,
            notes,
        })
    }

    /// Writes the frames from number `start` on; with an error comes how many are in the file.
    fn run(&self, writer: &dyn ScanWriter, start: u64, part: &Part) -> Result<(), (Error, u64)> {
        let blocks = Blocks {
            title: "convert",
            start,
            total: self.selection.len(),
            read: self.from.bytes(),
            held: self.from.stride() + self.new.frame.bytes(),
            control: self.control,
        };
        let (mut done, mut noted) = (start, start);
        let frame = self.new.frame.bytes() as u64;
        let work = |range: Range<u64>| writer.put(range.start, &self.piece(range.clone())?);
        let outcome = blocks.run(
            |at| writer.boundary(at),
            work,
            |upto, _| {
                if writer.survives() && (upto - noted) * frame >= NOTED {
                    writer.sync()?;
                    part.note(upto)?;
                    noted = upto;
                }
                done = upto;
                Ok(())
            },
        );
        outcome.map_err(|e| (e, done))
    }

    /// Frames of the selection as they will be in the file, tightly packed.
    fn piece(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut numbers = Vec::new();
        self.selection.frames(range.clone(), &mut numbers);
        let mut words = vec![0u32; numbers.len() * self.from.stride() / 4];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        self.scan.read(&numbers, self.from.stride(), bytes, self.control)?;
        let frames = Frames::new(self.from, range.start, numbers.len(), bytes)?;
        if self.params.log {
            let mut stage: Box<dyn CpuStage<Part = framemap::Part>> = framemap::cpu::stage(self.from, &self.params.framemap())?;
            stage.frames(frames)?;
            let values = stage.take().map(|p| p.values).unwrap_or_default();
            return Ok(bytemuck::cast_slice(&values).to_vec());
        }
        let size = self.new.frame.bytes();
        let mut out = vec![0; numbers.len() * size];
        for (i, place) in out.chunks_exact_mut(size).enumerate() {
            with_pixel!(self.from.pixel, T => {
                let frame = frames.frame::<T>(i);
                if self.params.bin == 1 {
                    place.copy_from_slice(bytemuck::cast_slice(frame));
                } else {
                    bin(frame, self.from.width, self.new.frame, self.params.binning(), place).map_err(|what| {
                        let [y, x] = self.scan.info().place(numbers[i]);
                        Error::parameter("--bin-mode", format!("frame at row {y}, column {x}: {what}"))
                    })?;
                }
            });
        }
        Ok(out)
    }
}

impl Params {
    fn binning(&self) -> Binning {
        Binning {
            bin: self.bin,
            mode: self.mode,
        }
    }
    fn framemap(&self) -> framemap::Params {
        framemap::Params {
            bin: self.bin,
            log: true,
        }
    }
}

/// Steps of the new scan: those of the scan, unless the selected frames lie anywhere.
fn nav_axes(info: &ScanInfo, selection: &Selection) -> [Axis; 2] {
    let [rows, columns] = selection.shape();
    let scattered = rows == 1 && columns > info.nav[1];
    let along_row = selection.iter().next().zip(selection.iter().last());
    let together = along_row.is_some_and(|(first, last)| rows > 1 || last - first + 1 == columns as u64);
    if scattered || !together {
        return Default::default();
    }
    info.nav_axes.clone()
}
