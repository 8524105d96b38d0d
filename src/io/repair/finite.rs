//! Which pixels of the frames read so far were not finite.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What was seen in a scan of float pixels. Frames come from several threads, some of them more than once; what is told does not depend
/// on their order.
#[derive(Default)]
pub(super) struct NonFinite {
    pixels: AtomicU64,
    frames: AtomicU64,
    /// A bit for each frame that is counted, and for those of them without any finite pixel.
    counted: OnceLock<Vec<AtomicU64>>,
    empty: OnceLock<Vec<AtomicU64>>,
    /// A bit for each pixel that was finite in some frame; all of them are, once a frame had nothing else.
    finite: OnceLock<Vec<AtomicU64>>,
    all: AtomicBool,
}

impl NonFinite {
    /// Every pixel of a frame is finite.
    pub fn whole(&self) {
        if !self.all.load(Ordering::Relaxed) {
            self.all.store(true, Ordering::Relaxed);
        }
    }

    /// Frame `number` of `of` has pixels that are not finite: those that are not `good`. It counts once.
    pub fn add(&self, number: u64, of: u64, good: &[bool]) {
        if !self.all.load(Ordering::Relaxed) {
            let finite = self.finite.get_or_init(|| zeros(good.len() as u64));
            for (word, good) in finite.iter().zip(good.chunks(64)) {
                let bits: u64 = (0..).zip(good).map(|(n, &g)| u64::from(g) << n).sum();
                // Most frames say nothing new.
                if bits & !word.load(Ordering::Relaxed) != 0 {
                    word.fetch_or(bits, Ordering::Relaxed);
                }
            }
        }
        let counted = self.counted.get_or_init(|| zeros(of));
        let Some(word) = usize::try_from(number / 64).ok().and_then(|i| counted.get(i)) else {
            return;
        };
        let bit = 1 << (number % 64);
        if word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            let bad = good.iter().filter(|&&g| !g).count();
            if bad == good.len() {
                let empty = self.empty.get_or_init(|| zeros(of));
                if let Some(word) = empty.get((number / 64) as usize) {
                    word.fetch_or(bit, Ordering::Relaxed);
                }
                return;
            }
            self.pixels.fetch_add(bad as u64, Ordering::Relaxed);
            self.frames.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Numbers of the frames without any finite pixel, ascending.
    pub fn empty(&self) -> Vec<u64> {
        let words = self.empty.get().map_or(&[][..], |w| w);
        let bits = |(n, word): (u64, &AtomicU64)| {
            let word = word.load(Ordering::Relaxed);
            (0..64).filter(move |b| word >> b & 1 == 1).map(move |b| 64 * n + b)
        };
        (0..).zip(words).flat_map(bits).collect()
    }

    /// Pixels that were not finite among others that were, over all frames, and frames that had any.
    pub fn counts(&self) -> [u64; 2] {
        [&self.pixels, &self.frames].map(|n| n.load(Ordering::Relaxed))
    }

    /// Numbers of the pixels that were not finite in any frame, of which there was one at least and `pixels` are in each; ascending.
    pub fn always(&self, pixels: usize) -> Vec<u32> {
        let Some(finite) = self.finite.get().filter(|_| !self.all.load(Ordering::Relaxed)) else {
            return Vec::new();
        };
        let words: Vec<u64> = finite.iter().map(|w| w.load(Ordering::Relaxed)).collect();
        let never = |&p: &usize| words.get(p / 64).is_some_and(|w| w >> (p % 64) & 1 == 0);
        let found: Vec<u32> = (0..pixels).filter(never).map(|p| p as u32).collect();
        // Frames of nothing but such pixels say nothing of the detector.
        if found.len() == pixels { Vec::new() } else { found }
    }
}

/// A bit each for `n` things.
fn zeros(n: u64) -> Vec<AtomicU64> {
    (0..n.div_ceil(64)).map(|_| AtomicU64::new(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_that_are_never_finite() {
        let seen = NonFinite::default();
        assert!(seen.always(70).is_empty() && seen.counts() == [0, 0]);
        let frame = |bad: &[usize]| (0..70).map(|p| !bad.contains(&p)).collect::<Vec<_>>();
        seen.add(3, 9, &frame(&[2, 5, 64, 69]));
        seen.add(3, 9, &frame(&[2, 5, 64, 69]));
        assert_eq!((seen.always(70), seen.counts()), (vec![2, 5, 64, 69], [4, 1]));
        seen.add(4, 9, &frame(&(0..70).collect::<Vec<_>>()));
        assert_eq!((seen.always(70), seen.counts()), (vec![2, 5, 64, 69], [4, 1]));
        assert_eq!(seen.empty(), [4]);
        seen.add(0, 9, &frame(&[1, 2, 69]));
        assert_eq!((seen.always(70), seen.counts()), (vec![2, 69], [7, 2]));
        seen.whole();
        seen.add(1, 9, &frame(&[2]));
        assert_eq!((seen.always(70), seen.counts()), (vec![], [8, 3]));
        let empty = NonFinite::default();
        assert!(empty.empty().is_empty());
        empty.add(130, 131, &[false; 3]);
        empty.add(2, 131, &[false; 3]);
        assert!(empty.always(3).is_empty());
        assert_eq!((empty.empty(), empty.counts()), (vec![2, 130], [0, 0]));
    }
}
