//! Bad pixels are replaced before anything else sees them: listed or detected ones in every frame, non-finite ones wherever they occur.

mod detect;
mod mask;

use super::{Scan, ScanInfo};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel, Sample};
use crate::with_pixel;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which pixels of the detector are bad (`--bad-pixels`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BadPixels {
    /// None are known.
    #[default]
    None,
    /// Dead and hot pixels are looked for in up to 64 frames, evenly over the scan.
    Auto,
    /// A `.npy` mask of the frame's shape or list (n, 2) of (y, x), or a `.png` whose non-zero pixels are bad.
    File(PathBuf),
}

/// Wraps a scan so that its bad pixels are replaced by the median of the good ones in the smallest neighbourhood (3×3, 5×5, …) of the
/// same frame that has any. With an even number of them that is the mean of the middle two, rounded down for integers.
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
    /// Bad pixels in C order, to look them up.
    bad: Vec<u32>,
    count: NonFinite,
}

/// Non-finite pixels found so far; a frame that is read twice counts once.
#[derive(Default)]
struct NonFinite {
    pixels: AtomicU64,
    frames: AtomicU64,
    seen: OnceLock<Vec<AtomicU64>>,
}

impl NonFinite {
    fn add(&self, frame: u64, of: u64, pixels: u64) {
        let seen = self
            .seen
            .get_or_init(|| (0..of.div_ceil(64)).map(|_| AtomicU64::new(0)).collect());
        let Some(word) = usize::try_from(frame / 64).ok().and_then(|i| seen.get(i)) else {
            return;
        };
        let bit = 1 << (frame % 64);
        if word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            self.pixels.fetch_add(pixels, Ordering::Relaxed);
            self.frames.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Repaired {
    /// `bad` in C order without repetition, fewer than all pixels.
    fn new(inner: Box<dyn Scan>, bad: Vec<u32>, note: Option<String>) -> Self {
        let mut info = inner.info().clone();
        info.notes.extend(note);
        let sources = bad
            .iter()
            .map(|&p| (p, neighbours(info.frame, p, |q| bad.binary_search(&q).is_err())))
            .collect();
        Repaired {
            inner,
            info,
            sources,
            bad,
            count: NonFinite::default(),
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
        if T::PIXEL == Pixel::F32 && !all_finite(bytes) {
            return self.repair_floats(frame, bytes);
        }
        let mut values = Vec::new();
        for (p, from) in &self.sources {
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
        let good = |q: u32| values.get(q as usize).is_some_and(|v| v.is_finite()) && self.bad.binary_search(&q).is_err();
        let mut around = Vec::new();
        let mut found = 0;
        for (p, place) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let p = p as u32;
            if good(p) {
                continue;
            }
            found += u64::from(!f32::from_ne_bytes(*place).is_finite());
            around.clear();
            around.extend(neighbours(self.info.frame, p, good).iter().map(|&q| values[q as usize]));
            *place = median(&mut around).to_ne_bytes();
        }
        self.count.add(frame, self.info.frames(), found);
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
        let (pixels, frames) = (
            self.count.pixels.load(Ordering::Relaxed),
            self.count.frames.load(Ordering::Relaxed),
        );
        if pixels > 0 {
            let s = |n: u64| if n == 1 { "" } else { "s" };
            let were = if pixels == 1 { "was" } else { "were" };
            all.push(format!(
                "{pixels} non-finite pixel{} in {frames} frame{} {were} replaced by the local median",
                s(pixels),
                s(frames)
            ));
        }
        all
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

/// The good pixels around `p` in the smallest square neighbourhood that has any; empty if the frame has none.
fn neighbours(frame: FrameShape, p: u32, good: impl Fn(u32) -> bool) -> Vec<u32> {
    let (h, w) = (frame.height, frame.width);
    let (y, x) = (p as usize / w, p as usize % w);
    let mut out = Vec::new();
    for r in 1..h.max(w) {
        let columns = x.saturating_sub(r)..(x + r + 1).min(w);
        for yy in y.saturating_sub(r)..(y + r + 1).min(h) {
            // The inner squares had none.
            if yy.abs_diff(y) == r {
                out.extend(columns.clone().map(|xx| (yy * w + xx) as u32).filter(|&q| good(q)));
            } else {
                let edges = [x.checked_sub(r), Some(x + r).filter(|&xx| xx < w)];
                out.extend(
                    edges
                        .into_iter()
                        .flatten()
                        .map(|xx| (yy * w + xx) as u32)
                        .filter(|&q| good(q)),
                );
            }
        }
        if !out.is_empty() {
            break;
        }
    }
    out
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
        assert_eq!(neighbours(frame, 0, |_| true), [1, 5, 6]);
        assert_eq!(neighbours(frame, 7, |_| true), [1, 2, 3, 6, 8, 11, 12, 13]);
        assert_eq!(neighbours(frame, 7, |q| q >= 15), [15, 16, 17, 18, 19]);
        assert_eq!(neighbours(frame, 7, |q| q == 5), [5]);
        assert!(neighbours(frame, 7, |_| false).is_empty());
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
