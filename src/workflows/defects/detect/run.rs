//! Frames in a row whose contrast is another than the movie's so far: the beam is off, there is a flash, or the movie goes on like this.

use super::drifting::{BLANK, STEP};
use crate::analysis::drift::{Spectrum, displacement};

/// Two ways to measure one displacement agree within so many pixels. Of noise, which may give any displacement within [`STEP`], one in sixteen does.
pub(super) const AGREE: f64 = 1.0;
/// So many agreements in a row are no chance.
pub(super) const SURE: usize = 3;

pub(super) fn apart(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

pub(super) fn shifted(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

pub(super) fn less(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] - b[0], a[1] - b[1]]
}

/// Places of frames, measured in two ways.
pub(super) struct Way {
    pub places: Vec<[f64; 2]>,
    /// How often in a row both agreed, and how often they did so for a place away from the first. What stays the same, such as the pattern of a detector or
    /// noise that two spectra are compared with, agrees with itself, but it does not move.
    pub agreed: usize,
    pub moved: usize,
}

impl Way {
    fn new(first: [f64; 2]) -> Self {
        Way {
            places: vec![first],
            agreed: 0,
            moved: 0,
        }
    }

    fn last(&self) -> [f64; 2] {
        self.places.last().copied().unwrap_or_default()
    }

    fn take(&mut self, place: [f64; 2], agrees: bool) {
        let moved = self.places.first().is_some_and(|first| apart(*first, place) > AGREE);
        self.agreed = if agrees { self.agreed + 1 } else { 0 };
        self.moved = if agrees && moved { self.moved + 1 } else { 0 };
        self.places.push(place);
    }
}

pub(super) struct Run {
    /// Place of the first in the movie.
    pub first: usize,
    /// They have more contrast than the movie.
    pub bright: bool,
    /// The last one and the one before.
    pub last: Spectrum,
    before: Option<Spectrum>,
    /// Displacement of each against the last good frame, and against the first of the run.
    pub against: Way,
    pub own: Way,
    /// The first lies where the steps before it foretell.
    foretold: bool,
}

impl Run {
    /// Begins with a frame that is displaced against the last good one by about `guess`.
    pub fn new(first: usize, good: &Spectrum, spectrum: Spectrum, guess: [f64; 2]) -> Self {
        let against = displacement(good, &spectrum, guess, STEP);
        Run {
            first,
            bright: spectrum.contrast() > good.contrast(),
            last: spectrum,
            before: None,
            against: Way::new(against.unwrap_or(guess)),
            own: Way::new([0.0; 2]),
            foretold: against.is_some_and(|a| apart(a, guess) < AGREE),
        }
    }

    pub fn len(&self) -> usize {
        self.own.places.len()
    }

    /// Takes the next frame, or gives it back if it is not like these.
    pub fn take(&mut self, good: &Spectrum, spectrum: Spectrum) -> Result<(), Spectrum> {
        let ratio = spectrum.contrast() / self.last.contrast();
        let (Some(step), true) = (
            displacement(&self.last, &spectrum, [0.0; 2], STEP),
            ratio > BLANK && ratio * BLANK < 1.0,
        ) else {
            return Err(spectrum);
        };
        let against = shifted(self.against.last(), step);
        let other = displacement(good, &spectrum, against, STEP).filter(|o| apart(*o, against) < AGREE);
        self.against.take(other.unwrap_or(against), other.is_some());
        let own = shifted(self.own.last(), step);
        let agrees = self.before.as_ref().is_some_and(|before| {
            let guess = less(own, self.own.places[self.len() - 2]);
            displacement(before, &spectrum, guess, STEP).is_some_and(|o| apart(o, guess) < AGREE)
        });
        self.own.take(own, agrees);
        self.before = Some(std::mem::replace(&mut self.last, spectrum));
        Ok(())
    }

    /// What the good frame shows is seen in these, and moves as it did: what seemed blank is the movie with another contrast.
    pub fn shows_the_movie(&self) -> bool {
        self.foretold && self.against.moved >= SURE
    }

    /// That, or something that rests.
    pub fn may_show_the_movie(&self) -> bool {
        self.foretold && self.against.agreed >= SURE
    }
}
