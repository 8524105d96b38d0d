//! Standard errors that a joint fit claims, and the fit of a frame that they go with.

use crate::analysis::lattice::{Fit, Lattice, StandardErrors};
use crate::kernels::correlate::joint;

/// All standard errors in one number.
pub(super) fn size(e: StandardErrors) -> f64 {
    [e.zero, e.a, e.b].iter().flatten().map(|v| v * v).sum::<f64>().sqrt()
}

/// For people, if a factor is worth a word.
pub(super) fn larger(factors: &[f64]) -> String {
    let most = factors.iter().copied().fold(1.0, f64::max);
    if most < 1.1 {
        return String::new();
    }
    format!("; at so few counts they are up to {most:.2} times what the counts alone claim")
}

/// The factor of a label.
pub(super) fn of(factors: &[f64], label: i32) -> f64 {
    let factor = usize::try_from(label).ok().and_then(|l| factors.get(l));
    factor.copied().unwrap_or(1.0)
}

/// Standard errors of a fit. χ² scales them, so that they hold for pixels with a gain as well, or the scatter of the spots' own
/// positions, whichever is larger.
pub(super) fn claims(fit: &joint::Fit) -> joint::Lattice {
    let (e, scale) = (fit.errors(), fit.chi2.max(fit.scatter).sqrt());
    let scaled = |v: [f64; 2]| v.map(|x| x * scale);
    joint::Lattice {
        zero: scaled(e.zero),
        a: scaled(e.a),
        b: scaled(e.b),
    }
}

/// The joint result, its standard errors `factor` times what it claims. Which spots can be seen, and how far they are from the
/// lattice, is for the fast refinement to say.
pub(super) fn joined(fast: &Fit, new: &joint::Fit, factor: f64) -> Fit {
    let (l, e) = (new.lattice, claims(new));
    let scaled = |v: [f64; 2]| v.map(|x| x * factor);
    Fit {
        lattice: Lattice {
            zero: l.zero,
            a: l.a,
            b: l.b,
        },
        errors: Some(StandardErrors {
            zero: scaled(e.zero),
            a: scaled(e.a),
            b: scaled(e.b),
        }),
        ..*fast
    }
}
