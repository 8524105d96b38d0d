//! What is said of frames whose drift could not simply be measured.

use super::super::output::named;
use super::drifting::STEP;

/// What a frame's place comes from.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// It was measured.
    Measured,
    /// It was measured, farther than [`STEP`] from what was expected: pixels a frame.
    Far(f64),
    /// It could not be measured.
    Lost,
    /// The frame shows too little, or far too much, and lies on the way from the frame before to the one behind.
    Blank,
    Bright,
}

/// From this frame on the contrast is another.
pub(super) struct Change {
    pub first: usize,
    /// Share of the contrast before.
    pub share: f64,
    /// Nothing moves by as much as would tell what is seen from a pattern of the detector.
    pub still: bool,
}

/// What a user should know about the drift of frames of these `kinds`, the first of which has the number `first`.
pub(super) fn warnings(first: u64, kinds: &[Kind], changes: &[Change]) -> Vec<String> {
    let frames =
        |is: &dyn Fn(&Kind) -> bool| -> Vec<u64> { (first..).zip(kinds).filter(|(_, kind)| is(kind)).map(|(n, _)| n).collect() };
    let mut warnings = Vec::new();
    for (kind, what) in [
        (Kind::Blank, "nearly no contrast"),
        (Kind::Bright, "far more contrast than the others"),
    ] {
        let frames = frames(&|k| *k == kind);
        if !frames.is_empty() {
            warnings.push(format!(
                "{} {what}: drift is measured from the frame before to the one behind",
                has(&frames, "has", "have")
            ));
        }
    }
    for change in changes {
        let then = match change.still {
            false => "drift goes on from there",
            true => "what is seen there rests, so it may be the movie, or the detector's own pattern while the beam is off",
        };
        warnings.push(format!(
            "from frame {} on the contrast is {:.0} % of that before: {then}",
            first + change.first as u64,
            100.0 * change.share
        ));
    }
    let lost = frames(&|k| *k == Kind::Lost);
    if !lost.is_empty() {
        warnings.push(format!("the drift to {} could not be measured: it counts as 0", named(&lost)));
    }
    let far = frames(&|k| matches!(k, Kind::Far(_)));
    if !far.is_empty() {
        let step = |k: &Kind| if let Kind::Far(step) = k { *step } else { 0.0 };
        warnings.push(format!(
            "the drift to {} is more than {STEP} px ({:.1} px a frame at most): it is right if that is less than half of the lattice's spacing, else it may be short of it by a spacing",
            named(&far),
            kinds.iter().map(step).fold(0.0, f64::max)
        ));
    }
    warnings
}

fn has(frames: &[u64], one: &str, more: &str) -> String {
    format!("{} {}", named(frames), if frames.len() == 1 { one } else { more })
}
