//! The drift of a movie, summed from frame to frame.

use super::kinds::{Change, Kind, warnings};
use super::run::{AGREE, Run, SURE, apart, less, shifted};
use crate::analysis::drift::{Spectrum, displacement};

/// Farthest drift from one frame to the next that is looked for at once, in pixels.
pub(super) const STEP: f64 = 4.0;
/// A frame with less than this share of the contrast of the one before is blank: the beam was off, or the frame is lost. The other way round it is a flash.
pub(super) const BLANK: f64 = 0.2;
/// The contrast of a movie is known from so many frames on: a change is one of these frames, not an end of blank ones.
const KNOWN: usize = 2;
/// Whether a movie hangs together is looked for in so many of its first frames.
const FIRST: usize = 8;
/// Over a gap the mean step of so many frames before it goes on: an error of one step alone would grow with the gap.
const PACE: usize = 8;

/// Takes spectra in order.
#[derive(Default)]
pub(super) struct Drifting {
    /// Number of the first frame.
    number: u64,
    /// Displacement (y, x) of each frame against the first, in pixels.
    sum: Vec<[f64; 2]>,
    kind: Vec<Kind>,
    /// The last frame of the movie's contrast, by its place in `sum`.
    last: Option<(usize, Spectrum)>,
    /// The one before, until it is known whether they hang together.
    before: Option<(usize, Spectrum)>,
    /// The first frame of that contrast, and how many there are.
    since: usize,
    known: usize,
    /// How often in a row two ways to measure agreed in the first of them.
    agreed: usize,
    /// They show nothing of what came before.
    doubtful: bool,
    /// Frames since then that are of another contrast, but alike.
    run: Option<Run>,
    changes: Vec<Change>,
}

impl Drifting {
    /// Takes the next frame, number `frame` of the movie.
    pub fn take(&mut self, frame: u64, spectrum: Spectrum) {
        let here = self.sum.len();
        let Some((from, last)) = &self.last else {
            self.number = frame;
            self.sum.push([0.0; 2]);
            self.kind.push(Kind::Measured);
            self.last = Some((here, spectrum));
            self.known = 1;
            return;
        };
        let from = *from;
        let dark = spectrum.contrast() <= BLANK * last.contrast();
        if dark || last.contrast() <= BLANK * spectrum.contrast() {
            // Keeps the spectrum of the last good frame: the step over the gap is measured from there.
            self.kind.push(if dark { Kind::Blank } else { Kind::Bright });
            self.sum.push(self.sum[from]);
            self.other(here, spectrum);
            return;
        }
        self.run = None;
        // Without a gap nothing is known of the step; over one the steps before it go on.
        let frames = here - from;
        let guess = if frames > 1 { self.foretold(frames) } else { [0.0; 2] };
        let found = displacement(last, &spectrum, guess, STEP);
        let step = found.unwrap_or_default();
        self.kind.push(match found {
            Some(step) if apart(step, guess) > STEP => {
                let [y, x] = step.map(|s| s / frames as f64);
                Kind::Far(y.hypot(x))
            }
            Some(_) => Kind::Measured,
            None => Kind::Lost,
        });
        self.sum.push([0.0; 2]);
        self.bridge(from, here, step);
        self.known += 1;
        self.hang_together(here, &spectrum);
        self.before = self.last.replace((here, spectrum)).filter(|_| self.known < FIRST);
    }

    /// Counts whether the step from the frame before the last one says the same as both steps between.
    fn hang_together(&mut self, here: usize, spectrum: &Spectrum) {
        let Some((place, before)) = self.before.as_ref().filter(|_| self.agreed < SURE) else {
            return;
        };
        let guess = less(self.sum[here], self.sum[*place]);
        let other = displacement(before, spectrum, guess, STEP);
        self.agreed = match other.is_some_and(|o| apart(o, guess) < AGREE) {
            true => self.agreed + 1,
            false => 0,
        };
    }

    /// How far something lies from the last frame after so many more, if the movie goes on as before.
    fn foretold(&self, frames: usize) -> [f64; 2] {
        let Some((from, _)) = self.last else {
            return [0.0; 2];
        };
        let seen = (from - self.since).min(PACE);
        let way = less(self.sum[from], self.sum[from - seen]);
        way.map(|w| w * frames as f64 / seen.max(1) as f64)
    }

    /// Frame `to` is displaced by `step` against `from`; those between lie on the way.
    fn bridge(&mut self, from: usize, to: usize, step: [f64; 2]) {
        let before = self.sum[from];
        let frames = (to - from) as f64;
        for (k, between) in self.sum[from + 1..to].iter_mut().enumerate() {
            let share = (k + 1) as f64 / frames;
            *between = shifted(before, step.map(|s| share * s));
        }
        self.sum[to] = shifted(before, step);
    }

    /// Frame `here` of another contrast, already in `sum`: perhaps the movie goes on like this.
    fn other(&mut self, here: usize, spectrum: Spectrum) {
        let Some((from, good)) = &self.last else {
            return;
        };
        let given_back = match &mut self.run {
            Some(run) => run.take(good, spectrum).err(),
            None => Some(spectrum),
        };
        if let Some(spectrum) = given_back {
            self.run = Some(Run::new(here, good, spectrum, self.foretold(here - from)));
        }
        let Some(run) = &self.run else { return };
        let shown = run.shows_the_movie();
        if shown || self.replaced_by(run) {
            self.go_on(shown);
        }
    }

    /// What was seen since the contrast changed hangs together and moves: it is no noise, and nothing that stays the same.
    fn moves(&self) -> bool {
        let places = &self.sum[self.since..self.last.as_ref().map_or(self.since, |l| l.0)];
        self.agreed >= SURE && places.iter().any(|p| apart(*p, self.sum[self.since]) > AGREE)
    }

    /// Noise of a detector may agree with itself, so dark frames must show what the good ones show. Bright ones cannot where those were the blank ones:
    /// they are the movie if they move, or else if the frames before neither move nor hang together, or are fewer.
    fn replaced_by(&self, run: &Run) -> bool {
        let may = run.bright || self.doubtful || self.known < KNOWN;
        let outdone = || !self.moves() && (self.agreed < SURE || run.len() > self.known);
        may && run.own.agreed >= SURE && (run.own.moved >= SURE || outdone())
    }

    /// The run is the movie from its first frame on. It shows what was seen before, or something else.
    fn go_on(&mut self, shown: bool) {
        let moves = self.moves();
        let (Some(run), Some((from, good))) = (self.run.take(), &self.last) else {
            return;
        };
        let (from, first, end) = (*from, run.first, run.first + run.len());
        let share = run.last.contrast() / good.contrast();
        let way = if shown { &run.against } else { &run.own };
        self.kind[first..end].fill(Kind::Measured);
        if shown || moves {
            self.bridge(from, first, way.places[0]);
            let still = shown && run.against.moved < SURE;
            self.changes.push(Change { first, share, still });
        } else {
            // There was no movie before.
            let start = self.sum[self.since];
            self.sum[self.since..=first].fill(start);
            self.kind[self.since..first].fill(if run.bright { Kind::Blank } else { Kind::Bright });
        }
        if !shown && moves {
            self.kind[first] = Kind::Lost;
        }
        let start = less(self.sum[first], way.places[0]);
        for (sum, place) in self.sum[first..end].iter_mut().zip(&way.places) {
            *sum = shifted(start, *place);
        }
        self.doubtful = !shown;
        (self.since, self.known, self.agreed) = (first, run.len(), SURE);
        self.before = None;
        self.last = Some((end - 1, run.last));
    }

    /// The drift of all frames, and what a user should know about it.
    pub fn finish(mut self) -> (Vec<[f64; 2]>, Vec<String>) {
        // No frame comes any more that could tell a beam that is off from a dim movie at rest, or a first frame that is blank from others that are bright.
        if let Some(run) = &self.run {
            let shown = run.may_show_the_movie();
            if shown || (run.bright && self.known < KNOWN) {
                self.go_on(shown);
            }
        }
        let warnings = warnings(self.number, &self.kind, &self.changes);
        (self.sum, warnings)
    }
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

    /// A lattice of this share of its contrast that drifts by (0.5, −0.3) times `pace` a frame, over the pattern of a detector and some noise.
    fn seen(t: usize, share: f64, pattern: f64, pace: f64) -> Spectrum {
        let number = |seed: usize, y: usize, x: usize| {
            let mixed = (y * 140 + x + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ (seed << 17));
            ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f64 / (1u64 << 24) as f64 - 0.5
        };
        let image = Array2::from_shape_fn((128, 140), |(y, x)| {
            let (v, w) = (y as f64 - 0.5 * pace * t as f64, x as f64 + 0.3 * pace * t as f64);
            let wave = |v: f64| (std::f64::consts::TAU * v / 10.5).cos();
            let spot = |cy: f64, cx: f64| -1.5 * (-((v - cy).powi(2) + (w - cx).powi(2)) / 18.0).exp();
            let lattice = wave(v) + wave(w) + spot(40.0, 50.0) + spot(60.0, 90.0);
            (share * lattice + pattern * number(0, y, x) + 0.03 * number(t + 1, y, x)) as f32
        });
        spectrum(image.view())
    }

    /// Frames of another share of the contrast add nothing to the error of the drift: the detector's pattern makes steps too short by themselves.
    fn as_without(share: impl Fn(usize) -> f64, frames: usize, pattern: f64, pace: f64) -> Vec<String> {
        let (whole, none) = drift((0..frames).map(|t| seen(t, 1.0, pattern, pace)).collect());
        assert!(none.is_empty(), "{none:?}");
        let (found, warnings) = drift((0..frames).map(|t| seen(t, share(t), pattern, pace)).collect());
        for (t, (a, b)) in found.iter().zip(&whole).enumerate() {
            let truth = [0.5, -0.3].map(|s| s * pace * t as f64);
            let (error, usual) = (apart(*a, truth), apart(*b, truth));
            assert!(
                error < usual + 0.2,
                "frame {t} of {pattern} at {pace}: {error} px, not {usual}"
            );
        }
        warnings
    }

    #[test]
    fn a_beam_that_is_off_is_no_movie_whatever_the_detector_shows() {
        for pattern in [0.0, 0.06, 0.15] {
            // Over 50 frames the strongest pattern makes what is foretold so short that another warning says so.
            let longest = if pattern < 0.1 { 50 } else { 35 };
            for (frames, pace) in [(4, 1.0), (8, 1.0), (20, 1.0), (longest, 1.0), (20, 0.15), (20, 2.5)] {
                let off = 10..10 + frames;
                let warnings = as_without(|t| if off.contains(&t) { 0.0 } else { 1.0 }, 16 + frames, pattern, pace);
                let [warning] = &warnings[..] else {
                    panic!("{frames} frames of {pattern} at {pace}: {warnings:?}");
                };
                let named = match frames {
                    4 => "frames 20, 21, 22 and 23 have".to_owned(),
                    8 => "frames 20, 21, 22, 23, 24, 25, 26 and 27 have".to_owned(),
                    _ => format!("{frames} frames (20, 21, "),
                };
                assert!(
                    warning.starts_with(&named) && warning.contains("nearly no contrast"),
                    "{warning}"
                );
            }
        }
        // Twice.
        let off = |t: usize| (8..16).contains(&t) || (24..39).contains(&t);
        let warnings = as_without(|t| if off(t) { 0.0 } else { 1.0 }, 46, 0.06, 1.0);
        assert!(
            warnings.len() == 1 && warnings[0].starts_with("23 frames (18, "),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_dim_movie_is_told_from_the_detector_as_soon_as_it_moves() {
        let dim = |t: usize| if t < 12 { 1.0 } else { 0.15 };
        let warnings = as_without(dim, 50, 0.015, 0.15);
        assert_eq!(
            warnings,
            ["from frame 22 on the contrast is 15 % of that before: drift goes on from there"]
        );
        // One that rests cannot be told, and one that comes back need not.
        let warnings = as_without(dim, 24, 0.015, 0.02);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].starts_with("from frame 22 on the contrast is 15 % of that before: what is seen there rests"),
            "{warnings:?}"
        );
        let warnings = as_without(|t| if (12..20).contains(&t) { 0.15 } else { 1.0 }, 24, 0.015, 0.02);
        assert!(
            warnings.len() == 1 && warnings[0].starts_with("frames 22, 23, 24, 25, 26, 27, 28 and 29 have nearly"),
            "{warnings:?}"
        );
    }

    #[test]
    fn frames_before_the_beam_is_on_have_the_place_of_the_first_behind() {
        for pattern in [0.0, 0.1] {
            for off in [1, 2, 5, 9] {
                let share = |t: usize| if t < off { 0.0 } else { 1.0 };
                let (whole, _) = drift((off..off + 12).map(|t| seen(t, 1.0, pattern, 1.0)).collect());
                let (found, warnings) = drift((0..off + 12).map(|t| seen(t, share(t), pattern, 1.0)).collect());
                assert_eq!(found[..=off], vec![[0.0; 2]; off + 1], "{off} frames of {pattern}");
                for (a, b) in found[off..].iter().zip(&whole) {
                    assert!(apart(*a, *b) < 1e-9, "{off} frames of {pattern}: {a:?}, not {b:?}");
                }
                let [warning] = &warnings[..] else { panic!("{warnings:?}") };
                let named = match off {
                    1 => "frame 10 has nearly no contrast",
                    2 => "frames 10 and 11 have nearly no contrast",
                    5 => "frames 10, 11, 12, 13 and 14 have nearly no contrast",
                    _ => "9 frames (10, 11, ",
                };
                assert!(warning.starts_with(named), "{warning}");
            }
        }
    }

    #[test]
    fn flashes_are_left_out_wherever_they_are() {
        let bright = || spectrum(Array2::from_shape_fn((128, 140), |(y, _)| y as f32).view());
        let (whole, _) = drift((0..20).map(|t| seen(t, 1.0, 0.06, 1.0)).collect());
        for (flashes, named) in [
            (1..2, "frame 11 has far more contrast than the others"),
            (8..9, "frame 18 has far more contrast than the others"),
            (
                8..14,
                "frames 18, 19, 20, 21, 22 and 23 have far more contrast than the others",
            ),
        ] {
            let one = |t: usize| {
                if flashes.contains(&t) {
                    bright()
                } else {
                    seen(t, 1.0, 0.06, 1.0)
                }
            };
            let (found, warnings) = drift((0..20).map(one).collect());
            for (t, (a, b)) in found.iter().zip(&whole).enumerate() {
                assert!(apart(*a, *b) < 0.3, "frame {t} with {flashes:?}: {a:?}, not {b:?}");
            }
            assert!(warnings.len() == 1 && warnings[0].starts_with(named), "{warnings:?}");
        }
        // The same lattice, eight times as bright.
        let (found, warnings) = drift((0..20).map(|t| seen(t, if t == 1 { 8.0 } else { 1.0 }, 0.06, 1.0)).collect());
        assert!(apart(found[19], whole[19]) < 0.1, "{found:?}");
        assert!(
            warnings.len() == 1 && warnings[0].starts_with("frame 11 has far more"),
            "{warnings:?}"
        );
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
