//! Adam (D. Kingma, J. Ba, arXiv:1412.6980) as Keras computes it: ε is added to √v, and the corrections of the first steps are part of the rate.

/// How fast weights follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    pub rate: f64,
    pub first: f64,
    pub second: f64,
    pub epsilon: f64,
}

impl Default for Rates {
    /// Keras's: 10⁻³, 0.9, 0.999, 10⁻⁷.
    fn default() -> Self {
        Rates {
            rate: 1e-3,
            first: 0.9,
            second: 0.999,
            epsilon: 1e-7,
        }
    }
}

/// Running means of gradients and of their squares.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    pub rates: Rates,
    pub mean: Vec<f64>,
    pub square: Vec<f64>,
    /// Steps taken.
    pub steps: u64,
}

impl Adam {
    /// For `n` weights.
    pub fn new(n: usize, rates: Rates) -> Self {
        Adam {
            rates,
            mean: vec![0.0; n],
            square: vec![0.0; n],
            steps: 0,
        }
    }

    /// Moves `weights` against `gradient`.
    pub fn step(&mut self, weights: &mut [f32], gradient: &[f64]) {
        self.steps += 1;
        let Rates {
            rate,
            first,
            second,
            epsilon,
        } = self.rates;
        let power = |b: f64| b.powi(self.steps.min(1 << 30) as i32);
        let rate = rate * (1.0 - power(second)).sqrt() / (1.0 - power(first));
        let means = self.mean.iter_mut().zip(&mut self.square);
        for ((w, g), (m, v)) in weights.iter_mut().zip(gradient).zip(means) {
            *m += (1.0 - first) * (g - *m);
            *v += (1.0 - second) * (g * g - *v);
            *w = (f64::from(*w) - rate * *m / (v.sqrt() + epsilon)) as f32;
        }
    }
}
