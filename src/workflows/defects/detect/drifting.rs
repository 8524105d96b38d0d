//! The drift of a movie, summed from frame to frame.

use super::super::output::named;
use crate::analysis::drift::{Spectrum, displacement};

/// Farthest drift from one frame to the next that is looked for at once, in pixels.
const STEP: f64 = 4.0;
/// A frame with less than this share of the contrast of the one before is blank: the beam was off, or the frame is lost.
const BLANK: f64 = 0.2;

/// Takes spectra in order.
#[derive(Default)]
pub(super) struct Drifting {
    /// Displacement (y, x) of each frame against the first, in pixels.
    sum: Vec<[f64; 2]>,
    /// The last frame that is not blank, by its place in `sum`.
    last: Option<(usize, Spectrum)>,
    /// The last step that was measured, a frame.
    step: [f64; 2],
    blank: Vec<u64>,
    lost: Vec<u64>,
    far: Vec<u64>,
    /// Length of the longest step a frame among those.
    farthest: f64,
}

impl Drifting {
    /// Takes the next frame, number `frame` of the movie.
    pub fn take(&mut self, frame: u64, spectrum: Spectrum) {
        let here = self.sum.len();
        let Some((from, last)) = &self.last else {
            self.sum.push([0.0; 2]);
            self.last = Some((here, spectrum));
            return;
        };
        let from = *from;
        let before = self.sum[from];
        if spectrum.contrast() <= BLANK * last.contrast() {
            // Keeps the spectrum of the last good frame: the step over the gap is measured from there.
            self.blank.push(frame);
            self.sum.push(before);
            return;
        }
        let begins = last.contrast() <= BLANK * spectrum.contrast();
        // Without a gap nothing is known of the step; over one the steps before it go on.
        let frames = (here - from) as f64;
        let guess = if frames > 1.0 {
            self.step.map(|s| s * frames)
        } else {
            [0.0; 2]
        };
        let step = match displacement(last, &spectrum, guess, STEP) {
            // All that came before was blank.
            _ if begins => {
                self.blank.push(frame - (here - from) as u64);
                [0.0; 2]
            }
            Some(step) => {
                self.step = step.map(|s| s / frames);
                if (step[0] - guess[0]).hypot(step[1] - guess[1]) > STEP {
                    self.far.push(frame);
                    self.farthest = self.farthest.max(self.step[0].hypot(self.step[1]));
                }
                step
            }
            None => {
                self.lost.push(frame);
                [0.0; 2]
            }
        };
        for (k, sum) in self.sum[from + 1..].iter_mut().enumerate() {
            let share = (k + 1) as f64 / frames;
            *sum = [before[0] + share * step[0], before[1] + share * step[1]];
        }
        self.sum.push([before[0] + step[0], before[1] + step[1]]);
        self.last = Some((here, spectrum));
    }

    /// The drift of all frames, and what a user should know about it.
    pub fn finish(mut self) -> (Vec<[f64; 2]>, Vec<String>) {
        self.blank.sort_unstable();
        let mut warnings = Vec::new();
        if !self.blank.is_empty() {
            warnings.push(format!(
                "{} nearly no contrast: drift is measured from the frame before to the one behind",
                has(&self.blank, "has", "have")
            ));
        }
        if !self.lost.is_empty() {
            warnings.push(format!(
                "the drift to {} could not be measured: it counts as 0",
                named(&self.lost)
            ));
        }
        if !self.far.is_empty() {
            warnings.push(format!(
                "the drift to {} is more than {STEP} px ({:.1} px a frame at most): it is right if that is less than half of the lattice's spacing, else it may be short of it by a spacing",
                named(&self.far),
                self.farthest
            ));
        }
        (self.sum, warnings)
    }
}

fn has(frames: &[u64], one: &str, more: &str) -> String {
    format!("{} {}", named(frames), if frames.len() == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::drift::spectrum;
    use ndarray::Array2;

    /// A lattice of 10.5 px with a few spots, moved.
    fn frame(dy: f64, dx: f64) -> Spectrum {
        let image = Array2::from_shape_fn((128, 140), |(y, x)| {
            let (y, x) = (y as f64 - dy, x as f64 - dx);
            let wave = |v: f64| (std::f64::consts::TAU * v / 10.5).cos();
            let spot = |cy: f64, cx: f64| -1.5 * (-((y - cy).powi(2) + (x - cx).powi(2)) / 18.0).exp();
            (wave(y) + wave(x) + spot(40.0, 50.0) + spot(60.0, 90.0)) as f32
        });
        spectrum(image.view())
    }

    /// Something of little contrast, such as noise of the detector.
    fn dark() -> Spectrum {
        spectrum(Array2::from_shape_fn((128, 140), |(y, x)| ((y * 31 + x * 17) % 23) as f32 / 500.0).view())
    }

    fn drift(frames: Vec<Spectrum>) -> (Vec<[f64; 2]>, Vec<String>) {
        let mut all = Drifting::default();
        for (i, f) in frames.into_iter().enumerate() {
            all.take(10 + i as u64, f);
        }
        all.finish()
    }

    fn check(found: &[[f64; 2]], first: usize, [dy, dx]: [f64; 2]) {
        for (i, d) in found.iter().enumerate() {
            let t = i.saturating_sub(first) as f64;
            assert!((d[0] - dy * t).abs() < 0.2 && (d[1] - dx * t).abs() < 0.2, "frame {i}: {d:?}");
        }
    }

    #[test]
    fn blank_frames_do_not_break_the_drift() {
        let moved = |t: usize| frame(2.5 * t as f64, 1.5 * t as f64);
        // Frames 3 and 4 are lost: over the gap the step is longer than the lattice's spacing.
        for blank in [dark, || spectrum(Array2::from_elem((128, 140), 0.1f32).view())] {
            let frames = (0..8).map(|t| if t == 3 || t == 4 { blank() } else { moved(t) }).collect();
            let (found, warnings) = drift(frames);
            check(&found, 0, [2.5, 1.5]);
            assert_eq!(
                warnings,
                ["frames 13 and 14 have nearly no contrast: drift is measured from the frame before to the one behind"]
            );
        }
        let (found, warnings) = drift((0..5).map(|t| if t == 0 { dark() } else { moved(t) }).collect());
        check(&found, 1, [2.5, 1.5]);
        assert!(
            warnings.len() == 1 && warnings[0].starts_with("frame 10 has nearly no contrast"),
            "{warnings:?}"
        );
        let (found, warnings) = drift((0..4).map(moved).collect());
        check(&found, 0, [2.5, 1.5]);
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn long_steps_are_measured_and_named() {
        let (found, warnings) = drift((0..4).map(|t| frame(4.0 * t as f64, 3.0 * t as f64)).collect());
        check(&found, 0, [4.0, 3.0]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].starts_with("the drift to frames 11, 12 and 13 is more than 4 px (5."),
            "{warnings:?}"
        );
    }
}
