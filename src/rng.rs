//! Random numbers by counter: any number can be had at any time, in any order, on any thread.
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: *Parallel random numbers: as easy as 1, 2, 3*, SC 2011): a
//! bijection of a 128-bit counter under a 64-bit key, four words a call. The key is the seed; the counter holds what the
//! numbers are for, so nothing depends on who asks first.

pub mod math;
mod poisson;

pub use poisson::Poisson;

/// Philox4x32-10: ten rounds on `counter` under `key`.
#[inline]
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = 0xD251_1F53_u64 * counter[0] as u64;
        let b = 0xCD9E_8D57_u64 * counter[2] as u64;
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

/// Numbers for one purpose: words addressed by (item, index, draw).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    key: [u32; 2],
    purpose: u32,
}

impl Source {
    /// Different `purpose`s of one seed are independent of each other.
    pub fn new(seed: u64, purpose: u8) -> Self {
        Source {
            key: [seed as u32, (seed >> 32) as u32],
            purpose: (purpose as u32) << 24,
        }
    }
    /// Four words for `index` of `item`; `draw` counts repeated attempts. `item` must be below 2⁵⁶.
    #[inline]
    pub fn words(&self, item: u64, index: u32, draw: u32) -> [u32; 4] {
        debug_assert!(item < 1 << 56);
        philox([index, draw, item as u32, (item >> 32) as u32 | self.purpose], self.key)
    }
    /// Two uniform numbers of [`uniform`].
    #[inline]
    pub fn uniform2(&self, item: u64, index: u32, draw: u32) -> [f64; 2] {
        let w = self.words(item, index, draw);
        [uniform(w[0], w[1]), uniform(w[2], w[3])]
    }
    /// Two independent standard normal numbers (Box and Muller).
    #[inline]
    pub fn normal2(&self, item: u64, index: u32) -> [f64; 2] {
        let [u, v] = self.uniform2(item, index, 0);
        let r = (-2.0 * math::ln(u)).sqrt();
        let (s, c) = math::sin_cos_turns(v);
        [r * c, r * s]
    }
    /// A sequence of numbers for `item`, for set-up code that just needs the next one.
    pub fn sequence(&self, item: u64) -> Sequence {
        Sequence {
            source: *self,
            item,
            next: 0,
        }
    }
}

/// A uniform number in the open interval (0, 1) with 53 bits, from two words.
#[inline]
pub fn uniform(high: u32, low: u32) -> f64 {
    let bits = ((high as u64) << 32 | low as u64) >> 11;
    // Half a step above the grid, so that neither 0 nor (after rounding) 1 can occur.
    ((bits >> 1) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
}

/// Numbers one after the other; see [`Source::sequence`].
#[derive(Debug, Clone)]
pub struct Sequence {
    source: Source,
    item: u64,
    next: u32,
}

impl Sequence {
    fn step(&mut self) -> u32 {
        let n = self.next;
        self.next = n.wrapping_add(1);
        n
    }
    /// Uniform in (0, 1).
    pub fn unit(&mut self) -> f64 {
        let n = self.step();
        self.source.uniform2(self.item, n, 0)[0]
    }
    /// Uniform in (`from`, `to`).
    pub fn range(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }
    /// Uniform integer in `0..n`; 0 for `n` = 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }
    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        let n = self.step();
        self.source.normal2(self.item, n)[0]
    }
    /// e^(mean + sigma · normal).
    pub fn lognormal(&mut self, mean: f64, sigma: f64) -> f64 {
        math::exp(mean + sigma * self.normal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_meets_the_published_vectors() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn uniform_stays_inside_the_open_interval() {
        assert!(uniform(0, 0) > 0.0);
        assert!(uniform(u32::MAX, u32::MAX) < 1.0);
    }

    #[test]
    fn normal_numbers_have_the_right_moments() {
        let s = Source::new(7, 1);
        let n = 100_000u32;
        let (mut m1, mut m2, mut m4) = (0.0, 0.0, 0.0);
        for i in 0..n / 2 {
            for x in s.normal2(3, i) {
                m1 += x;
                m2 += x * x;
                m4 += x * x * x * x;
            }
        }
        let n = n as f64;
        // Five standard errors: of the mean 1, of the square 2, of the fourth power 96.
        assert!((m1 / n).abs() < 5.0 / n.sqrt());
        assert!((m2 / n - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
        assert!((m4 / n - 3.0).abs() < 5.0 * (96.0 / n).sqrt());
    }

    #[test]
    fn purposes_and_items_differ() {
        let a = Source::new(1, 0).words(0, 0, 0);
        assert_ne!(a, Source::new(1, 1).words(0, 0, 0));
        assert_ne!(a, Source::new(1, 0).words(1, 0, 0));
        assert_ne!(a, Source::new(1, 0).words(1 << 40, 0, 0));
        assert_ne!(a, Source::new(1 << 40 | 1, 0).words(0, 0, 0));
        let mut s = Source::new(5, 9).sequence(0);
        let drawn: Vec<usize> = (0..2000).map(|_| s.below(4)).collect();
        assert!((0..4).all(|k| (drawn.iter().filter(|&&d| d == k).count() as f64 - 500.0).abs() < 5.0 * 375f64.sqrt()));
    }
}
