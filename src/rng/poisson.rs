//! Poisson counts for pixels: inversion for small means, Hörmann's transformed rejection for large ones.

use super::{Source, math, uniform};

/// Means below this are drawn by inversion of the distribution function.
const SMALL: f32 = 12.0;
/// Steps of the table of e^-t per unit of t.
const STEPS: usize = 32;
/// No 32-bit uniform number asks for a larger count when the mean is below [`SMALL`].
const LARGEST: usize = 64;
/// Exact logarithms of factorials are tabulated up to here.
const FACTORIALS: usize = 64;

/// Draws counts with given means; made once, shared by all threads.
///
/// A pixel's count depends only on its source, item (frame), index (pixel) and mean. Means below 12 use one 32-bit word, so
/// probabilities below 2⁻³² are cut off: the mean is biased by less than 1e-8. Larger means use PTRS (Hörmann, *The transformed
/// rejection method for generating Poisson random variables*, Insurance: Mathematics and Economics 12 (1993) 39), which is exact.
#[derive(Debug, Clone)]
pub struct Poisson {
    exponentials: Vec<f64>,
    reciprocals: Vec<f64>,
    log_factorials: Vec<f64>,
}

impl Default for Poisson {
    fn default() -> Self {
        Self::new()
    }
}

impl Poisson {
    /// Fills the tables.
    pub fn new() -> Self {
        let exponentials = (0..=SMALL as usize * STEPS)
            .map(|i| math::exp(-(i as f64) / STEPS as f64))
            .collect();
        let reciprocals = (0..=LARGEST).map(|k| 1.0 / (k.max(1)) as f64).collect();
        let mut log_factorials = vec![0.0; FACTORIALS];
        for k in 1..FACTORIALS {
            log_factorials[k] = log_factorials[k - 1] + math::ln(k as f64);
        }
        Poisson {
            exponentials,
            reciprocals,
            log_factorials,
        }
    }

    /// Draws one count for each of `means` (pixels `first..` of `item`; `first` a multiple of 4) and hands it to `put`
    /// with its position in `means`. Means that are negative or not a number count as 0.
    pub fn fill(&self, source: &Source, item: u64, first: u32, means: &[f32], mut put: impl FnMut(usize, u64)) {
        debug_assert!(first.is_multiple_of(4));
        for (block, four) in means.chunks(4).enumerate() {
            let words = source.words(item, first / 4 + block as u32, 0);
            for (lane, (&mean, word)) in four.iter().zip(words).enumerate() {
                let count = if mean < SMALL {
                    self.small(mean, word)
                } else if mean >= SMALL {
                    self.large(mean as f64, source, item, first + (block * 4 + lane) as u32)
                } else {
                    0
                };
                put(block * 4 + lane, count);
            }
        }
    }

    /// Inversion: the first k with u ≤ P(0) + … + P(k).
    #[inline]
    fn small(&self, mean: f32, word: u32) -> u64 {
        let mean = mean.max(0.0) as f64;
        let u = (word as f64 + 0.5) * (1.0 / 4_294_967_296.0);
        let step = (mean * STEPS as f64) as usize;
        let f = mean - step as f64 / STEPS as f64;
        // e^-f for f < 1/32: the next term of the series is below 2e-12.
        let series = 1.0 - f * (1.0 - f / 2.0 * (1.0 - f / 3.0 * (1.0 - f / 4.0 * (1.0 - f / 5.0))));
        let mut p = self.exponentials[step] * series;
        let mut sum = p;
        // The first steps without branches: for the small means of diffuse scattering, nearly always all there is to do.
        let mut k = usize::from(u > sum);
        for reciprocal in &self.reciprocals[1..5] {
            p *= mean * reciprocal;
            sum += p;
            k += usize::from(u > sum);
        }
        while u > sum && k < LARGEST {
            p *= mean * self.reciprocals[k];
            sum += p;
            k += usize::from(u > sum);
        }
        k as u64
    }

    /// PTRS: acceptance is above 0.9, so the attempts end quickly.
    fn large(&self, mean: f64, source: &Source, item: u64, pixel: u32) -> u64 {
        // Beyond 2^53 counts are not integers any more; nothing physical is there.
        let mean = mean.min(1e15);
        let root = mean.sqrt();
        let b = 0.931 + 2.53 * root;
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let vr = 0.9277 - 3.6224 / (b - 2.0);
        let log_mean = math::ln(mean);
        let mut draw = 1;
        loop {
            let w = source.words(item, pixel, draw);
            draw += 1;
            let (u, v) = (uniform(w[0], w[1]) - 0.5, uniform(w[2], w[3]));
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= vr {
                return k as u64;
            }
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            if math::ln(v) + math::ln(inverse_alpha) - math::ln(a / (us * us) + b) <= k * log_mean - mean - self.log_factorial(k)
            {
                return k as u64;
            }
        }
    }

    /// ln k!: table, or Stirling's series (error below 1e-12 from 64 on).
    fn log_factorial(&self, k: f64) -> f64 {
        if let Some(&v) = self.log_factorials.get(k as usize) {
            return v;
        }
        let n = k + 1.0;
        let r = 1.0 / (n * n);
        let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r / 1680.0))) / n;
        (n - 0.5) * math::ln(n) - n + 0.918_938_533_204_672_7 + series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_variance_for_small_and_large_means() {
        let poisson = Poisson::new();
        let n = 200_000usize;
        for (i, mean) in [0.01f32, 0.3, 1.7, 6.0, 11.99, 12.0, 40.0, 300.0, 60_000.0]
            .into_iter()
            .enumerate()
        {
            let source = Source::new(99, i as u8);
            let (mut s1, mut s2) = (0.0, 0.0);
            poisson.fill(&source, 5, 0, &vec![mean; n], |_, k| {
                let d = k as f64 - mean as f64;
                s1 += d;
                s2 += d * d;
            });
            let (m, n) = (mean as f64, n as f64);
            assert!((s1 / n).abs() < 5.0 * (m / n).sqrt(), "mean {mean}: {}", s1 / n);
            // Var((x - m)^2) = m + 2 m^2.
            assert!(
                (s2 / n - m).abs() < 5.0 * ((m + 2.0 * m * m) / n).sqrt(),
                "variance {mean}: {}",
                s2 / n
            );
        }
    }

    #[test]
    fn counts_follow_the_distribution() {
        // Chi-square against exact probabilities, on both sides of the switch.
        for (mean, purpose) in [(2.5f32, 1u8), (12.5, 2)] {
            let n = 100_000;
            let mut seen = [0f64; 60];
            Poisson::new().fill(&Source::new(3, purpose), 1, 0, &vec![mean; n], |_, k| {
                seen[(k as usize).min(59)] += 1.0
            });
            let (mut chi, mut cells) = (0.0, 0.0f64);
            let mut p = (-mean as f64).exp();
            for (k, s) in seen.iter().enumerate() {
                if k > 0 {
                    p *= mean as f64 / k as f64;
                }
                let expected = p * n as f64;
                if expected > 10.0 {
                    chi += (s - expected).powi(2) / expected;
                    cells += 1.0;
                }
            }
            assert!(
                chi < cells + 5.0 * (2.0 * cells).sqrt(),
                "mean {mean}: chi-square {chi} in {cells} cells"
            );
        }
    }

    #[test]
    fn odd_means_give_zero_and_parts_agree_with_the_whole() {
        let poisson = Poisson::new();
        let source = Source::new(1, 0);
        poisson.fill(&source, 0, 0, &[0.0, -3.0, f32::NAN, 0.0], |_, k| assert_eq!(k, 0));
        let means: Vec<f32> = (0..64).map(|i| i as f32 * 0.7).collect();
        let mut whole = vec![0; 64];
        poisson.fill(&source, 9, 0, &means, |i, k| whole[i] = k);
        let mut part = vec![0; 24];
        poisson.fill(&source, 9, 40, &means[40..], |i, k| part[i] = k);
        assert_eq!(part, whole[40..]);
    }

    #[test]
    fn log_factorial_joins_table_and_series() {
        let p = Poisson::new();
        let exact: f64 = (1..=80).map(|k| (k as f64).ln()).sum();
        assert!((p.log_factorial(80.0) - exact).abs() < 1e-10);
    }
}
