//! Bad pixels are replaced before anything else sees them: listed or detected ones in every frame, non-finite ones wherever they occur.

mod detect;
mod finite;
mod mask;

use super::{Scan, ScanInfo};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel, Sample};
use crate::with_pixel;
use finite::NonFinite;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which pixels of the detector are bad (`--bad-pixels`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BadPixels {
    /// None are known.
    #[default]
    None,
    /// Dead and hot pixels are looked for in up to 64 frames, evenly over the scan.
    Auto,
    /// A mask of the frame's shape, not zero where a pixel is bad (`.npy`, `.png`, or `FILE:/DATASET` in HDF5), or a list (n, 2) of (y, x) (not
    /// `.png`).
    File(PathBuf),
}

/// Largest neighbourhood that is searched for good pixels: ±7, 15×15. It bounds the work for masks and frames with large bad regions.
const MAX_RADIUS: usize = 7;
/// Pixels whose median stands in where a neighbourhood has none.
const FAR: usize = 1024;

/// Wraps a scan so that its bad pixels are replaced by the median of the good ones in the smallest neighbourhood (3×3, 5×5, …, 15×15) of
/// the same frame that has any; inside larger bad regions, by the median of about a thousand good pixels spread over the frame. With an
/// even number of them that is the mean of the middle two, rounded down for integers.
///
/// # Errors
/// [`Error::Parameter`] and [`Error::Format`] for a wrong mask, [`Error::Parameter`] when the detection finds more than 1 % of the pixels.
pub(crate) fn wrap(scan: Box<dyn Scan>, bad: &BadPixels, control: &Control) -> Result<Box<dyn Scan>> {
    let frame = scan.info().frame;
    let (listed, note) = match bad {
        BadPixels::None => (Vec::new(), None),
        BadPixels::File(path) => {
            let listed = mask::read(path, frame)?;
            let note = format!(
                "{} bad pixels from {} are replaced by the local median",
                listed.len(),
                path.display()
            );
            (listed, Some(note))
        }
        BadPixels::Auto => {
            let found = detect::detect(scan.as_ref(), control)?;
            (found.all(), Some(found.note()))
        }
    };
    if listed.len() >= frame.pixels() {
        return Err(Error::parameter("--bad-pixels", "every pixel of the frame is marked bad"));
    }
    if listed.is_empty() && frame.pixel != Pixel::F32 {
        return match note {
            // Nothing to repair, but the user asked: say so.
            Some(_) => Ok(Box::new(Repaired::new(scan, listed, note))),
            None => Ok(scan),
        };
    }
    Ok(Box::new(Repaired::new(scan, listed, note)))
}

/// A scan without bad pixels.
struct Repaired {
    inner: Box<dyn Scan>,
    info: ScanInfo,
    /// Bad pixels in C order, each with its good neighbours.
    sources: Vec<(u32, Vec<u32>)>,
    /// Good pixels for those without.
    far: Vec<u32>,
    seen: NonFinite,
    /// Frames without a finite pixel are left out by whoever reads.
    missing: AtomicBool,
}

impl Repaired {
    /// `bad` in C order without repetition, fewer than all pixels.
    fn new(inner: Box<dyn Scan>, bad: Vec<u32>, note: Option<String>) -> Self {
        let mut info = inner.info().clone();
        info.notes.extend(note);
        let mut good = vec![true; if bad.is_empty() { 0 } else { info.frame.pixels() }];
        for &p in &bad {
            good[p as usize] = false;
        }
        let sources = bad.iter().map(|&p| (p, neighbours(info.frame, p, &good))).collect();
        Repaired {
            inner,
            info,
            sources,
            far: spread(&good),
            seen: NonFinite::default(),
            missing: AtomicBool::new(false),
        }
    }

    /// Repairs one frame in place. `T` is the scan's pixel type.
    fn repair<T: Middle>(&self, frame: u64, bytes: &mut [u8]) {
        let size = size_of::<T>();
        let at = |bytes: &[u8], p: u32| {
            bytes
                .get(p as usize * size..)
                .map_or(T::zeroed(), |b| bytemuck::pod_read_unaligned(&b[..size]))
        };
        if T::PIXEL == Pixel::F32 {
            if !all_finite(bytes) {
                return self.repair_floats(frame, bytes);
            }
            self.seen.whole();
        }
        let mut values = Vec::new();
        for (p, from) in &self.sources {
            let from = if from.is_empty() { &self.far } else { from };
            values.clear();
            values.extend(from.iter().map(|&q| at(bytes, q)));
            let m = median(&mut values);
            bytes[*p as usize * size..][..size].copy_from_slice(bytemuck::bytes_of(&m));
        }
    }

    /// The slow path: listed and non-finite pixels of a frame of `f32`.
    #[cold]
    fn repair_floats(&self, frame: u64, bytes: &mut [u8]) {
        let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_ne_bytes(*b)).collect();
        let mut good: Vec<bool> = values.iter().map(|v| v.is_finite()).collect();
        self.seen.add(frame, self.info.frames(), &good);
        for (p, _) in &self.sources {
            good[*p as usize] = false;
        }
        let mut far: Vec<f32> = spread(&good).iter().map(|&q| values[q as usize]).collect();
        let far = median(&mut far);
        let mut around = Vec::new();
        for (p, place) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate().filter(|(p, _)| !good[*p]) {
            around.clear();
            around.extend(
                neighbours(self.info.frame, p as u32, &good)
                    .iter()
                    .map(|&q| values[q as usize]),
            );
            let value = if around.is_empty() { far } else { median(&mut around) };
            *place = value.to_ne_bytes();
        }
    }
}

impl Scan for Repaired {
    fn info(&self) -> &ScanInfo {
        &self.info
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        self.inner.read(frames, stride, out, control)?;
        if self.sources.is_empty() && self.info.frame.pixel != Pixel::F32 {
            return Ok(());
        }
        let bytes = self.info.frame.bytes();
        for (&frame, place) in frames.iter().zip(out.chunks_mut(stride)) {
            with_pixel!(self.info.frame.pixel, T => self.repair::<T>(frame, &mut place[..bytes]));
        }
        Ok(())
    }
    fn warnings(&self) -> Vec<String> {
        let mut all = self.inner.warnings();
        let [pixels, frames] = self.seen.counts();
        if pixels > 0 {
            let s = |n: u64| if n == 1 { "" } else { "s" };
            let were = if pixels == 1 { "was" } else { "were" };
            all.push(format!(
                "{pixels} non-finite pixel{} in {frames} frame{} {were} replaced by the local median",
                s(pixels),
                s(frames)
            ));
        }
        let missing = self.missing.load(Ordering::Relaxed);
        match self.seen.empty().as_slice() {
            [] => {}
            [one] => {
                let [y, x] = self.info.place(*one);
                let so = match missing {
                    true => "counts as a point without a pattern",
                    false => "reads as zeros",
                };
                all.push(format!("the frame at row {y}, column {x} has no finite pixel and {so}"));
            }
            empty @ [first, ..] => {
                let ([y, x], n) = (self.info.place(*first), empty.len());
                let so = match missing {
                    true => "count as points without a pattern",
                    false => "read as zeros",
                };
                all.push(format!(
                    "{n} frames have no finite pixel and {so}; the first is at row {y}, column {x}"
                ));
            }
        }
        all
    }
    fn replaced(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.sources.iter().map(|(p, _)| *p).collect();
        all.extend(self.seen.always(self.info.frame.pixels()));
        all.sort_unstable();
        all.dedup();
        all
    }
    fn empty(&self) -> Vec<u64> {
        self.seen.empty()
    }
    fn empty_are_missing(&self) {
        self.missing.store(true, Ordering::Relaxed);
    }
    fn prefetch(&self, frames: Range<u64>) {
        self.inner.prefetch(frames);
    }
}

/// True when no pixel is NaN or infinite: one sweep over the exponents, which compilers turn into vector code.
fn all_finite(bytes: &[u8]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    bytes.chunks(4096).all(|block| {
        let hits = block
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| u32::from(u32::from_ne_bytes(*b) & EXPONENT == EXPONENT));
        hits.fold(0, |a, b| a | b) == 0
    })
}

/// The good pixels around `p` in the smallest square neighbourhood that has any; empty if there are none up to [`MAX_RADIUS`].
fn neighbours(frame: FrameShape, p: u32, good: &[bool]) -> Vec<u32> {
    let (h, w) = (frame.height, frame.width);
    let (y, x) = (p as usize / w, p as usize % w);
    let mut out = Vec::new();
    for r in 1..=MAX_RADIUS {
        for yy in y.saturating_sub(r)..(y + r + 1).min(h) {
            // The inner squares had none: only the rim is new.
            let step = if yy.abs_diff(y) == r { 1 } else { 2 * r };
            let columns = (0..2 * r + 1)
                .step_by(step)
                .filter_map(|c| (x + c).checked_sub(r))
                .filter(|&xx| xx < w);
            out.extend(columns.map(|xx| (yy * w + xx) as u32).filter(|&q| good[q as usize]));
        }
        if !out.is_empty() {
            break;
        }
    }
    out
}

/// About [`FAR`] good pixels, evenly over the frame.
fn spread(good: &[bool]) -> Vec<u32> {
    let all = good.iter().filter(|&&g| g).count();
    let pixels = (0u32..).zip(good).filter(|(_, g)| **g).map(|(p, _)| p);
    pixels.step_by(all.div_ceil(FAR).max(1)).collect()
}

/// The mean of the two middle values.
trait Middle: Sample {
    fn middle(a: Self, b: Self) -> Self;
}
macro_rules! middle {
    ($($t:ty),*) => {$(
        impl Middle for $t {
            fn middle(a: Self, b: Self) -> Self {
                ((i64::from(a) + i64::from(b)) >> 1) as $t
            }
        }
    )*};
}
middle!(u8, i8, u16, i16, u32, i32);
impl Middle for f32 {
    fn middle(a: Self, b: Self) -> Self {
        ((f64::from(a) + f64::from(b)) * 0.5) as f32
    }
}

/// Median of finite values; zero of none.
fn median<T: Middle>(values: &mut [T]) -> T {
    values.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let n = values.len();
    match (values.get(n / 2), n.checked_sub(1).and_then(|m| values.get(m / 2))) {
        (Some(&high), Some(&low)) => T::middle(low, high),
        _ => T::zeroed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median::<u8>(&mut [9, 1, 5]), 5);
        assert_eq!(median::<u8>(&mut [250, 255]), 252);
        assert_eq!(median::<i16>(&mut [-3, -2]), -3);
        assert_eq!(median::<f32>(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median::<u32>(&mut []), 0);
    }

    #[test]
    fn neighbourhoods_grow_until_a_pixel_is_good() {
        let frame = FrameShape {
            pixel: Pixel::U8,
            height: 4,
            width: 5,
        };
        let of = |p: u32, good: &dyn Fn(u32) -> bool| neighbours(frame, p, &(0..20).map(good).collect::<Vec<_>>());
        assert_eq!(of(0, &|_| true), [1, 5, 6]);
        assert_eq!(of(7, &|_| true), [1, 2, 3, 6, 8, 11, 12, 13]);
        assert_eq!(of(7, &|q| q >= 15), [15, 16, 17, 18, 19]);
        assert_eq!(of(7, &|q| q == 5), [5]);
        assert!(of(7, &|_| false).is_empty());
        assert_eq!(spread(&[true, false, true]), [0, 2]);
        assert_eq!(spread(&[true; 4096]).len(), 1024);
        assert!(spread(&[]).is_empty());
    }

    #[test]
    fn finite_sweep_sees_every_pixel() {
        for at in [0, 1, 1023, 1024, 2047, 2500] {
            let mut v = vec![1.0f32; 2501];
            assert!(all_finite(bytemuck::cast_slice(&v)));
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                v[at] = bad;
                assert!(!all_finite(bytemuck::cast_slice(&v)), "{bad} at {at}");
            }
        }
        assert!(all_finite(bytemuck::cast_slice(&[f32::MAX, f32::MIN, 0.0, 1e-45])));
    }
}
