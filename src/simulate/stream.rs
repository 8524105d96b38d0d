//! Frames in order, made by several threads in blocks of bounded size.

use super::truth::{parameters_in, put_parameters};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::{Scan, ScanInfo, output, write};
use crate::pixel::Pixel;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Blocks need not be larger than this.
const BLOCK: u64 = 64 << 20;

/// A scan that is made up frame by frame, with a truth that can be written down.
pub(super) trait Synthetic: Scan {
    /// The counts of frame `n` as native-endian pixels, C order. `scratch` is any vector; its memory is reused.
    fn counts(&self, n: u64, scratch: &mut Vec<f32>, out: &mut [u8]) -> Result<()>;
    /// Puts the truth into a new HDF5 file.
    fn fill_truth(&self, file: &hdf5::File) -> hdf5::Result<()>;
    /// All parameters as TOML: they decide every count.
    fn parameters_toml(&self) -> Result<String>;
}

/// Writes the scan to `path` (`.blo`, `.npy` or HDF5, see [`write::create`]) and the truth beside it (see [`write_truth`]). Returns
/// the path of the truth: [`truth_path`]. The scan gets its name last, so that a complete scan always has its truth.
///
/// # Errors
/// As [`write::create`], [`stream`] and [`write_truth`]; [`Error::Cancelled`] leaves no file.
pub(super) fn write_scan(scan: &dyn Synthetic, path: &Path, overwrite: bool, control: &Control) -> Result<PathBuf> {
    let truth = truth_path(path);
    // A run that was killed may have left the truth alone, as it would be written again.
    let parameters = scan.parameters_toml()?;
    let over_truth = overwrite || (!path.exists() && parameters_in(&truth).is_some_and(|p| p == parameters));
    output::check_free(&truth, over_truth)?;
    let mut writer = write::create(path, scan.info().nav, scan.info().frame, overwrite)?;
    stream(scan, control, |frames| writer.write(frames))?;
    write_truth(scan, &truth, over_truth, control)?;
    writer.finish()?;
    Ok(truth)
}

/// Writes the truth and all parameters to an HDF5 file, which appears complete or not at all.
///
/// # Errors
/// [`Error::Io`] if the file exists and `overwrite` is false, or cannot be written.
pub(super) fn write_truth(scan: &dyn Synthetic, path: &Path, overwrite: bool, control: &Control) -> Result<()> {
    control.check()?;
    let parameters = scan.parameters_toml()?;
    let partial = output::temp_file(path, overwrite)?.into_temp_path();
    let failed = |e: hdf5::Error| Error::io(path, "cannot write", std::io::Error::other(e.to_string()));
    let fill = || {
        let file = hdf5::File::create(&partial)?;
        scan.fill_truth(&file)?;
        put_parameters(&file, &parameters)?;
        file.flush()
    };
    fill().map_err(failed)?;
    control.check()?;
    output::persist(partial, path, overwrite)
}

/// The largest value of a pixel type that counts are cut off at.
fn largest(pixel: Pixel) -> Option<u32> {
    match pixel {
        Pixel::U8 => Some(u8::MAX.into()),
        Pixel::U16 => Some(u16::MAX.into()),
        Pixel::I16 => Some(i16::MAX as u32),
        _ => None,
    }
}

/// Pixels of a frame that have the largest value of their type.
fn cut_off(pixel: Pixel, frame: &[u8]) -> u64 {
    let (pairs, _) = frame.as_chunks::<2>();
    let count = match pixel {
        Pixel::U8 => frame.iter().filter(|v| **v == u8::MAX).count(),
        Pixel::U16 => pairs.iter().filter(|v| u16::from_ne_bytes(**v) == u16::MAX).count(),
        Pixel::I16 => pairs.iter().filter(|v| i16::from_ne_bytes(**v) == i16::MAX).count(),
        _ => 0,
    };
    count as u64
}

/// What to say of `cut` of `all` pixels that are cut off: nothing of none.
fn cut_warning(info: &ScanInfo, cut: u64) -> Option<String> {
    let all = info.frames().saturating_mul(info.frame.pixels() as u64);
    let (largest, pixel) = (largest(info.frame.pixel).filter(|_| cut > 0)?, info.frame.pixel);
    let share = 100.0 * cut as f64 / all as f64;
    let share = match share {
        s if s >= 0.095 => format!("{s:.1} %"),
        _ => format!("{cut} of {all}"),
    };
    Some(format!(
        "{}: {share} of the pixels are cut off at {largest}, the largest value of {pixel}: fewer electrons or a wider type keep them",
        info.path.display()
    ))
}

/// Makes all frames and hands them to `sink` in scan order, several at a time, tightly packed. A warning in the log tells of pixels that are
/// cut off at the largest value of their type.
///
/// Memory: one block of at most 64 MiB and at most a quarter of `control.memory` (but at least one frame), and one frame of f32
/// for each thread.
///
/// # Errors
/// What `sink` says; [`Error::Cancelled`].
pub(super) fn stream(scan: &dyn Synthetic, control: &Control, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let (frames, bytes) = (scan.info().frames(), scan.info().frame.bytes());
    let fit = (control.memory / 4).min(BLOCK) / bytes as u64;
    let count = fit.clamp(1, frames) as usize;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(control.threads).build();
    let pool = pool.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))?;
    let mut block = vec![0u8; count * bytes];
    let (pixel, cut) = (scan.info().frame.pixel, AtomicU64::new(0));
    control
        .progress
        .begin("simulate", frames, frames.saturating_mul(bytes as u64));
    let result = (0..frames.div_ceil(count as u64)).try_for_each(|b| {
        let first = b * count as u64;
        let here = &mut block[..(frames - first).min(count as u64) as usize * bytes];
        pool.install(|| {
            here.par_chunks_exact_mut(bytes)
                .enumerate()
                .try_for_each_init(Vec::new, |scratch, (i, out)| {
                    control.check()?;
                    scan.counts(first + i as u64, scratch, out)?;
                    cut.fetch_add(cut_off(pixel, out), Ordering::Relaxed);
                    control.progress.advance(1);
                    Ok(())
                })
        })?;
        sink(here)
    });
    control.progress.end();
    if let (Ok(()), Some(warning)) = (&result, cut_warning(scan.info(), cut.into_inner())) {
        log::warn!("{warning}");
    }
    result
}

/// Reads frames as [`Scan::read`] does.
pub(super) fn read(scan: &dyn Synthetic, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
    let bytes = scan.info().frame.bytes();
    let mut scratch = Vec::new();
    for (i, &n) in frames.iter().enumerate() {
        control.check()?;
        let to = out.get_mut(i * stride..i * stride + bytes);
        let to = to.ok_or_else(|| Error::Internal(format!("no room for frame {n}")))?;
        scan.counts(n, &mut scratch, to)?;
    }
    Ok(())
}

/// The methods of a made-up scan that write it.
macro_rules! writable {
    ($scan:ty) => {
        impl $scan {
            /// Writes the scan to `path` (`.blo`, `.npy` or HDF5, by its ending) and the truth beside it, whose path is returned:
            /// [`crate::simulate::truth_path`]. The scan gets its name last, so that a complete scan always has its truth.
            ///
            /// # Errors
            /// [`crate::Error::Parameter`] if a file exists and `overwrite` is false; [`crate::Error::Io`];
            /// [`crate::Error::Cancelled`] leaves no file.
            pub fn write(
                &self,
                path: &std::path::Path,
                overwrite: bool,
                control: &crate::control::Control,
            ) -> crate::error::Result<std::path::PathBuf> {
                $crate::simulate::stream::write_scan(self, path, overwrite, control)
            }

            /// Makes all frames and hands them to `sink` in scan order, several at a time, tightly packed.
            ///
            /// Memory: one block of at most 64 MiB and at most a quarter of `control.memory` (but at least one frame), and one
            /// frame of f32 for each thread.
            ///
            /// # Errors
            /// What `sink` says; [`crate::Error::Cancelled`].
            pub fn stream(
                &self,
                control: &crate::control::Control,
                sink: impl FnMut(&[u8]) -> crate::error::Result<()>,
            ) -> crate::error::Result<()> {
                $crate::simulate::stream::stream(self, control, sink)
            }
        }
    };
}
pub(super) use writable;

/// Where the truth of a scan at `path` goes: the same name with `.truth.h5` added.
pub fn truth_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".truth.h5");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::FrameShape;
    use crate::simulate::parameters::info;

    fn said(pixel: Pixel, values: &[i32], frames: usize) -> Option<String> {
        let bytes: Vec<u8> = match pixel {
            Pixel::U8 => values.iter().map(|v| *v as u8).collect(),
            Pixel::I16 => values.iter().flat_map(|v| (*v as i16).to_ne_bytes()).collect(),
            _ => values.iter().flat_map(|v| (*v as u16).to_ne_bytes()).collect(),
        };
        let frame = FrameShape {
            pixel,
            height: 2,
            width: values.len() / 2,
        };
        cut_warning(&info("simulated", [1, frames], frame), cut_off(pixel, &bytes))
    }

    #[test]
    fn counts_that_are_cut_off_are_told_with_their_share() {
        let told = |share: &str, at: &str| {
            let what = format!("simulated: {share} of the pixels are cut off at {at}: fewer electrons or a wider type keep them");
            Some(what)
        };
        let u16 = said(Pixel::U16, &[65_535, 65_534, 3, 65_535, 0, 1, 2, 65_535], 1);
        assert_eq!(u16, told("37.5 %", "65535, the largest value of u16"));
        assert_eq!(
            said(Pixel::I16, &[32_767, -1, -32_768, 5], 1),
            told("25.0 %", "32767, the largest value of i16")
        );
        // Few of many in numbers.
        assert_eq!(
            said(Pixel::U8, &[255, 254], 10_000),
            told("1 of 20000", "255, the largest value of u8")
        );
        assert_eq!(said(Pixel::U8, &[254, 0], 1), None);
        assert_eq!(said(Pixel::F32, &[255, 65_535], 1), None);
    }
}
