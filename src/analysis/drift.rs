//! How far one frame of a movie is displaced from another.

use super::fft2;
use ndarray::{Array2, ArrayView2};
use rustfft::num_complex::Complex;

/// Spectra are damped towards high frequencies, where frames are noise: standard deviation in cycles a pixel.
const WIDTH: f64 = 0.12;
/// Standard deviation of a scaled frame of which only rounding is left.
const FLAT: f64 = 1e-9;

/// The spectrum of a frame less its mean that fades out towards its edges (Hann window), for comparison with others.
pub struct Spectrum {
    values: Array2<Complex<f64>>,
    size: (usize, usize),
    contrast: f64,
}

impl Spectrum {
    /// Standard deviation of the frame, faded out: 0, or nearly so, of a frame that shows nothing.
    pub fn contrast(&self) -> f64 {
        self.contrast
    }
}

/// Prepares a frame; pixels that are not finite count as the mean.
pub fn spectrum(frame: ArrayView2<'_, f32>) -> Spectrum {
    let (h, w) = frame.dim();
    let finite = frame.iter().filter(|v| v.is_finite());
    let (sum, n) = finite.fold((0.0, 0u64), |(s, n), &v| (s + f64::from(v), n + 1));
    let mean = sum / n.max(1) as f64;
    let hann = |i: usize, n: usize| (std::f64::consts::PI * (i as f64 + 0.5) / n as f64).sin().powi(2);
    let faded = Array2::from_shape_fn((h, w), |(y, x)| {
        let v = f64::from(frame[[y, x]]);
        if v.is_finite() {
            (v - mean) * hann(y, h) * hann(x, w)
        } else {
            0.0
        }
    });
    let contrast = (faded.iter().map(|v| v * v).sum::<f64>() / faded.len().max(1) as f64).sqrt();
    Spectrum {
        values: fft2::forward(faded.view()).values,
        size: (h, w),
        contrast,
    }
}

/// The displacement (y, x) of `moved` against `fixed` in pixels: where the cross-correlation of the two, with the modulus of each frequency
/// replaced by its square root (half-way to the phase correlation of Kuglin and Hines 1975) and damped towards high frequencies, is largest within `most` pixels of
/// `around`; a parabola through the neighbours gives fractions. Where the largest value lies at the edge of that circle with a larger one beyond it, the maximum that it
/// leads up to counts. A lattice repeats itself, so displacements beyond half its spacing from `around` cannot be told from others.
///
/// Nothing for frames of different sizes or without contrast, and where no maximum is found within the frame.
pub fn displacement(fixed: &Spectrum, moved: &Spectrum, around: [f64; 2], most: f64) -> Option<[f64; 2]> {
    let (h, w) = fixed.size;
    if moved.size != fixed.size || h < 4 || w < 4 || fixed.contrast <= FLAT || moved.contrast <= FLAT {
        return None;
    }
    let frequency = |i: usize, n: usize| (if i <= n / 2 { i as f64 } else { i as f64 - n as f64 }) / n as f64;
    let values = Array2::from_shape_fn(fixed.values.dim(), |(y, x)| {
        let product = moved.values[[y, x]] * fixed.values[[y, x]].conj();
        let f = frequency(y, h).hypot(frequency(x, w)) / WIDTH;
        let size = product.norm();
        if size > 0.0 {
            product / size.sqrt() * (-0.5 * f * f).exp()
        } else {
            Complex::default()
        }
    });
    let map = fft2::inverse(fft2::HalfSpectrum { values }, w);
    let at = |y: i64, x: i64| map[[y.rem_euclid(h as i64) as usize, x.rem_euclid(w as i64) as usize]];
    let farthest = (h.min(w) / 2 - 1) as f64;
    let reach = most.max(0.0).min(farthest);
    let whole = reach.floor() as i64;
    let middle = around.map(|v| v.clamp(-farthest, farthest).round() as i64);
    let mut best = (middle[0], middle[1]);
    for y in -whole..=whole {
        for x in -whole..=whole {
            let here = (middle[0] + y, middle[1] + x);
            if (y * y + x * x) as f64 <= reach * reach && at(here.0, here.1) > at(best.0, best.1) {
                best = here;
            }
        }
    }
    // Within the circle this stays where it is.
    loop {
        let around = (-1..=1).flat_map(|y| (-1..=1).map(move |x| (best.0 + y, best.1 + x)));
        let up = around.fold(best, |up, to| if at(to.0, to.1) > at(up.0, up.1) { to } else { up });
        if up == best {
            break;
        }
        best = up;
        if best.0.abs().max(best.1.abs()) as f64 > farthest {
            return None;
        }
    }
    let peak = |before: f64, here: f64, after: f64| {
        let bend = before - 2.0 * here + after;
        if bend < 0.0 {
            ((before - after) / (2.0 * bend)).clamp(-0.5, 0.5)
        } else {
            0.0
        }
    };
    let (y, x) = best;
    let here = at(y, x);
    Some([
        y as f64 + peak(at(y - 1, x), here, at(y + 1, x)),
        x as f64 + peak(at(y, x - 1), here, at(y, x + 1)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_lattice_is_found_to_a_tenth_of_a_pixel() {
        let frame = |dy: f64, dx: f64| {
            Array2::from_shape_fn((96, 110), |(y, x)| {
                let (y, x) = (y as f64 - dy, x as f64 - dx);
                let lattice = (y * 0.6).sin() * (x * 0.55 + y * 0.1).cos();
                let spot = |cy: f64, cx: f64| 2.0 * (-((y - cy).powi(2) + (x - cx).powi(2)) / 18.0).exp();
                (lattice + spot(40.0, 50.0) + spot(60.0, 30.0) + 5.0) as f32
            })
        };
        let fixed = spectrum(frame(0.0, 0.0).view());
        for [dy, dx] in [[0.0, 0.0], [0.4, -1.3], [-2.25, 3.1]] {
            let [y, x] = displacement(&fixed, &spectrum(frame(dy, dx).view()), [0.0; 2], 5.0).unwrap();
            assert!((y - dy).abs() < 0.1 && (x - dx).abs() < 0.1, "({y}, {x}) for ({dy}, {dx})");
        }
        let flat = spectrum(Array2::from_elem((96, 110), 3.0f32).view());
        assert_eq!(displacement(&fixed, &flat, [0.0; 2], 5.0), None);
        // 0.1 has no exact value, so the mean is not quite it.
        let flat = spectrum(Array2::from_elem((96, 110), 0.1f32).view());
        assert_eq!(displacement(&fixed, &flat, [0.0; 2], 5.0), None);
    }

    #[test]
    fn a_maximum_beyond_the_circle_is_found_from_its_edge() {
        // Spacing of 20 px: half of it is beyond what is searched.
        let frame = |dy: f64, dx: f64| {
            Array2::from_shape_fn((128, 140), |(y, x)| {
                let (y, x) = (y as f64 - dy, x as f64 - dx);
                let wave = |v: f64| (std::f64::consts::TAU * v / 20.0).cos();
                let spot = |cy: f64, cx: f64| 2.0 * (-((y - cy).powi(2) + (x - cx).powi(2)) / 18.0).exp();
                (wave(y) + wave(x) + spot(50.0, 60.0) + spot(80.0, 90.0)) as f32
            })
        };
        let fixed = spectrum(frame(0.0, 0.0).view());
        for [dy, dx] in [[4.5, 4.0], [-6.3, 2.2], [0.0, 7.5]] {
            let moved = spectrum(frame(dy, dx).view());
            let [y, x] = displacement(&fixed, &moved, [0.0; 2], 4.0).unwrap();
            assert!((y - dy).abs() < 0.2 && (x - dx).abs() < 0.2, "({y}, {x}) for ({dy}, {dx})");
        }
        // A displacement of more than half the spacing takes a guess.
        let moved = spectrum(frame(13.0, 2.0).view());
        let [y, x] = displacement(&fixed, &moved, [11.6, 1.0], 4.0).unwrap();
        assert!((y - 13.0).abs() < 0.5 && (x - 2.0).abs() < 0.5, "({y}, {x})");
    }
}
