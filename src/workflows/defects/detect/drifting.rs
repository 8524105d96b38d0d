//! The drift of a movie, summed from frame to frame.

use super::super::output::named;
use crate::analysis::drift::{Spectrum, displacement};

/// Farthest drift from one frame to the next that is looked for at once, in pixels.
const STEP: f64 = 4.0;
/// A frame with less than this share of the contrast of the one before is blank: the beam was off, or the frame is lost. The other way round it is a flash.
const BLANK: f64 = 0.2;
/// The contrast of a movie is known from so many frames on: a change is one of these frames, not an end of blank ones.
const KNOWN: usize = 2;
/// Two ways to measure one displacement agree within so many pixels. Of noise, which may give any displacement within [`STEP`], one in sixteen does.
const AGREE: f64 = 1.0;
/// So many agreements in a row are no chance: what seemed blank is the movie with another contrast.
const SURE: usize = 3;

/// Takes spectra in order.
#[derive(Default)]
pub(super) struct Drifting {
    /// Displacement (y, x) of each frame against the first, in pixels.
    sum: Vec<[f64; 2]>,
    /// The last frame of the movie's contrast, by its place in `sum`.
    last: Option<(usize, Spectrum)>,
    /// Frames of that contrast so far.
    known: usize,
    /// They show nothing of what came before.
    doubtful: bool,
    /// The last step that was measured, a frame.
    step: [f64; 2],
    /// Frames since then that are of another contrast, but alike.
    run: Option<Run>,
    blank: Vec<u64>,
    bright: Vec<u64>,
    lost: Vec<u64>,
    far: Vec<u64>,
    /// Length of the longest step a frame among those.
    farthest: f64,
    /// First frames of another contrast, and which share of the one before it is.
    changed: Vec<(u64, f64)>,
}

/// Frames in a row whose contrast is another than the movie's so far.
struct Run {
    /// Place of the first.
    first: usize,
    /// The last one and the one before.
    last: Spectrum,
    before: Option<Spectrum>,
    /// Displacement of each against the last good frame, and against the first of the run.
    against: Vec<[f64; 2]>,
    own: Vec<[f64; 2]>,
    /// The first lies where the steps before it foretell. Noise that stays the same seems to lie still, wherever that is.
    foretold: bool,
    /// How often in a row both ways to measure agreed.
    as_against: usize,
    as_own: usize,
}

fn apart(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

fn sum(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

impl Run {
    /// Begins with a frame that is displaced against the last good one by about `guess`.
    fn new(first: usize, good: &Spectrum, spectrum: Spectrum, guess: [f64; 2]) -> Self {
        let against = displacement(good, &spectrum, guess, STEP);
        let foretold = against.is_some_and(|a| apart(a, guess) < AGREE);
        Run {
            first,
            last: spectrum,
            before: None,
            against: vec![against.unwrap_or(guess)],
            own: vec![[0.0; 2]],
            foretold,
            as_against: 0,
            as_own: 0,
        }
    }

    /// Takes the next frame, or gives it back if it is not like these.
    fn take(&mut self, good: &Spectrum, spectrum: Spectrum) -> Result<(), Spectrum> {
        let ratio = spectrum.contrast() / self.last.contrast();
        let (Some(step), true) = (
            displacement(&self.last, &spectrum, [0.0; 2], STEP),
            ratio > BLANK && ratio * BLANK < 1.0,
        ) else {
            return Err(spectrum);
        };
        let against = sum(self.against[self.against.len() - 1], step);
        let other = displacement(good, &spectrum, against, STEP);
        match other.filter(|o| apart(*o, against) < AGREE) {
            Some(other) => {
                self.as_against += 1;
                self.against.push(other);
            }
            None => {
                self.as_against = 0;
                self.against.push(against);
            }
        }
        let own = sum(self.own[self.own.len() - 1], step);
        if let Some(before) = &self.before {
            let from = self.own[self.own.len() - 2];
            let guess = [own[0] - from[0], own[1] - from[1]];
            let other = displacement(before, &spectrum, guess, STEP);
            match other.is_some_and(|o| apart(o, guess) < AGREE) {
                true => self.as_own += 1,
                false => self.as_own = 0,
            }
        }
        self.own.push(own);
        self.before = Some(std::mem::replace(&mut self.last, spectrum));
        Ok(())
    }
}

impl Drifting {
    /// Takes the next frame, number `frame` of the movie.
    pub fn take(&mut self, frame: u64, spectrum: Spectrum) {
        let here = self.sum.len();
        let Some((from, last)) = &self.last else {
            self.sum.push([0.0; 2]);
            self.last = Some((here, spectrum));
            self.known = 1;
            return;
        };
        let from = *from;
        let before = self.sum[from];
        let dark = spectrum.contrast() <= BLANK * last.contrast();
        let flash = last.contrast() <= BLANK * spectrum.contrast();
        if dark || (flash && self.known >= KNOWN) {
            // Keeps the spectrum of the last good frame: the step over the gap is measured from there.
            match dark {
                true => self.blank.push(frame),
                false => self.bright.push(frame),
            }
            self.sum.push(before);
            self.other(frame, spectrum);
            return;
        }
        self.run = None;
        // Without a gap nothing is known of the step; over one the steps before it go on.
        let frames = (here - from) as f64;
        let guess = if frames > 1.0 {
            self.step.map(|s| s * frames)
        } else {
            [0.0; 2]
        };
        let step = match displacement(last, &spectrum, guess, STEP) {
            // All that came before was blank.
            _ if flash => {
                self.blank.push(frame - (here - from) as u64);
                self.known = 0;
                [0.0; 2]
            }
            Some(step) => {
                self.step = step.map(|s| s / frames);
                if apart(step, guess) > STEP {
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
        self.sum.push([0.0; 2]);
        self.bridge(from, here, step);
        self.known += 1;
        self.last = Some((here, spectrum));
    }

    /// Frame `to` is displaced by `step` against `from`; those between lie on the way.
    fn bridge(&mut self, from: usize, to: usize, step: [f64; 2]) {
        let before = self.sum[from];
        let frames = (to - from) as f64;
        for (k, between) in self.sum[from + 1..to].iter_mut().enumerate() {
            let share = (k + 1) as f64 / frames;
            *between = [before[0] + share * step[0], before[1] + share * step[1]];
        }
        self.sum[to] = sum(before, step);
    }

    /// A frame of another contrast, already in `sum`: perhaps the movie goes on like this.
    fn other(&mut self, frame: u64, spectrum: Spectrum) {
        let here = self.sum.len() - 1;
        let Some((from, good)) = &self.last else {
            return;
        };
        let from = *from;
        let given_back = match &mut self.run {
            Some(run) => run.take(good, spectrum).err(),
            None => Some(spectrum),
        };
        if let Some(spectrum) = given_back {
            let guess = self.step.map(|s| s * (here - from) as f64);
            self.run = Some(Run::new(here, good, spectrum, guess));
        }
        let good = good.contrast();
        let flash = |run: &Run| good <= BLANK * run.last.contrast();
        // Noise of a detector may agree with itself, so dark frames must show what the good ones show. Bright ones cannot where those were the blank ones.
        let doubtful = self.doubtful || self.known < KNOWN;
        let shows = |run: &Run| run.foretold && run.as_against >= SURE;
        let goes_on = |run: &Run| shows(run) || (run.as_own >= SURE && (flash(run) || doubtful));
        let Some(run) = self.run.take_if(|run| goes_on(run)) else {
            return;
        };
        let shown = shows(&run);
        self.doubtful = !shown;
        let before = self.sum[from];
        let places = match shown {
            true => &run.against,
            false => &run.own,
        };
        self.bridge(from, run.first, places[0]);
        for (k, place) in places.iter().enumerate() {
            self.sum[run.first + k] = sum(before, *place);
        }
        let first = frame - (here - run.first) as u64;
        self.blank.retain(|f| *f < first);
        self.bright.retain(|f| *f < first);
        match shown || !flash(&run) {
            true => self.changed.push((first, run.last.contrast() / good)),
            false => self.blank.push(frame - (here - from) as u64),
        }
        let [.., a, b] = run.own[..] else { return };
        self.step = [b[0] - a[0], b[1] - a[1]];
        self.known = run.own.len();
        self.last = Some((here, run.last));
    }

    /// The drift of all frames, and what a user should know about it.
    pub fn finish(mut self) -> (Vec<[f64; 2]>, Vec<String>) {
        self.blank.sort_unstable();
        let mut warnings = Vec::new();
        for (frames, what) in [
            (&self.blank, "nearly no contrast"),
            (&self.bright, "far more contrast than the others"),
        ] {
            if !frames.is_empty() {
                warnings.push(format!(
                    "{} {what}: drift is measured from the frame before to the one behind",
                    has(frames, "has", "have")
                ));
            }
        }
        for (frame, share) in &self.changed {
            warnings.push(format!(
                "from frame {frame} on the contrast is {:.0} % of that before: drift goes on from there",
                100.0 * share
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

    /// A bright frame without a lattice.
    fn flash() -> Spectrum {
        spectrum(Array2::from_shape_fn((128, 140), |(y, _)| y as f32).view())
    }

    /// The movie of `frame`, dimmer and with some noise.
    fn dim(t: usize, share: f32) -> Spectrum {
        let image = Array2::from_shape_fn((128, 140), |(y, x)| {
            let (v, w) = (y as f64 - 1.2 * t as f64, x as f64 + 0.8 * t as f64);
            let wave = |v: f64| (std::f64::consts::TAU * v / 10.5).cos();
            let spot = |cy: f64, cx: f64| -1.5 * (-((v - cy).powi(2) + (w - cx).powi(2)) / 18.0).exp();
            share * (wave(v) + wave(w) + spot(40.0, 50.0) + spot(60.0, 90.0)) as f32
                + ((y * 31 + x * 17 + t * 7) % 23) as f32 / 500.0
        });
        spectrum(image.view())
    }

    #[test]
    fn drift_goes_on_when_the_contrast_changes_for_good() {
        for (before, behind, named) in [(1.0, 0.15, "15 %"), (0.15, 1.0, "6")] {
            let share = |t: usize| if t < 7 { before } else { behind };
            let (found, warnings) = drift((0..14).map(|t| dim(t, share(t))).collect());
            check(&found, 0, [1.2, -0.8]);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            let begin = format!("from frame 17 on the contrast is {named}");
            assert!(warnings[0].starts_with(&begin), "{warnings:?}");
        }
        // A beam that is off for long shows the detector's noise: the step over the gap counts. The same for a flash.
        for (odd, frames, what) in [(dark as fn() -> Spectrum, 7, "nearly no"), (flash, 2, "far more")] {
            let lost = 4..4 + frames;
            let movie = (0..14).map(|t| if lost.contains(&t) { odd() } else { dim(t, 1.0) }).collect();
            let (found, warnings) = drift(movie);
            check(&found, 0, [1.2, -0.8]);
            assert!(warnings.len() == 1 && warnings[0].contains(what), "{warnings:?}");
        }
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
