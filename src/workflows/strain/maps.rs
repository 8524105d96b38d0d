//! From lattices to strain, and what is to be trusted.
//!
//! Strain: F·a₀ = a, F·b₀ = b, F = R·U; U − 1 in the axes asked for, and the angle of R ([`crate::analysis::lattice::strain`]).
//! It is the strain of the diffraction pattern: where the crystal is stretched, spots move together, and xx is negative.

use super::refine::Refined;
use super::{Params, Reference};
use crate::analysis::lattice::basis::{change_of_basis, reduce};
use crate::analysis::lattice::strain::{Axes, Deformation, Measure, Strain, median};
use crate::analysis::lattice::{Fit, Lattice, Vector, angle, length};
use crate::analysis::robust::percentile;
use crate::engine::Selection;
use crate::error::{Error, Result};

/// Names of the maps, for figures and `--range`.
pub const NAMES: [&str; 14] = [
    "zero_y", "zero_x", "a_length", "a_angle", "b_length", "b_angle", "ratio", "angle", "error", "matched", "xx", "yy", "xy",
    "rotation",
];

/// Why a frame is not to be trusted; the values of `/lattice/quality`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Quality {
    /// In no cluster.
    Outside = -1,
    Good = 0,
    /// No fit, or fewer spots than `--min-spots`.
    FewSpots = 1,
    /// Spots further from the lattice than `--max-error`.
    LargeError = 2,
    /// Its cluster has no lattice.
    NoLattice = 3,
    /// Far fewer spots than the cluster's frames have, on a lattice strained beyond what they are: spots of another crystal.
    OtherCrystal = 4,
}

/// Frames with strain beyond this against a reference are of another crystal.
const OTHER_CRYSTAL: f64 = 0.15;
/// Ways to map one lattice onto another whose strains differ by no more than this are equally good.
const EQUALLY_GOOD: f64 = 0.02;

/// Per selected frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Maps {
    pub quality: Vec<Quality>,
    /// In the axes asked for; NaN where there is no lattice or no reference.
    pub strain: Vec<Strain>,
    /// Reference vectors (a₀, b₀) of each cluster.
    pub references: Vec<Option<[Vector; 2]>>,
}

/// A frame with less than this share of the spots that most of its cluster's frames do not exceed, and strained by more than this against
/// the median of the others, shows another crystal: among some forty sites a few spots of any pattern are near enough to be taken for its own.
const FEW_OF_MANY: f64 = 0.5;
const MOST_FRAMES: f64 = 0.9;
const FOREIGN_STRAIN: f64 = 0.025;

/// Quality of every frame; `lattices` by label.
pub fn quality(refined: &Refined, labels: &[i32], lattices: &[Option<Lattice>], params: &Params) -> Vec<Quality> {
    let of = |(fit, &label): (&Option<Fit>, &i32)| {
        let Ok(label) = usize::try_from(label) else {
            return Quality::Outside;
        };
        match (lattices.get(label).copied().flatten(), fit) {
            (None, _) => Quality::NoLattice,
            (_, None) => Quality::FewSpots,
            (_, Some(f)) if f.matched < params.min_spots => Quality::FewSpots,
            (_, Some(f)) if f.error > params.max_error => Quality::LargeError,
            _ => Quality::Good,
        }
    };
    let mut quality: Vec<Quality> = refined.fits.iter().zip(labels).map(of).collect();
    for label in 0..lattices.len() {
        let mine: Vec<(usize, &Fit)> = (0..labels.len())
            .filter(|&n| usize::try_from(labels[n]) == Ok(label) && quality[n] == Quality::Good)
            .filter_map(|n| Some((n, refined.fits[n].as_ref()?)))
            .collect();
        let mut counts: Vec<f64> = mine.iter().map(|(_, f)| f.matched as f64).collect();
        counts.sort_unstable_by(f64::total_cmp);
        let usual = percentile(&counts, MOST_FRAMES);
        let many = |f: &Fit| f.matched as f64 >= FEW_OF_MANY * usual;
        let own = || mine.iter().filter(|(_, f)| many(f)).map(|(_, f)| f.lattice);
        let (Some(a), Some(b)) = (median(own().map(|l| l.a)), median(own().map(|l| l.b))) else {
            continue;
        };
        for (n, fit) in mine.iter().filter(|(_, f)| !many(f)) {
            if strained(&fit.lattice, [a, b]) > FOREIGN_STRAIN {
                quality[*n] = Quality::OtherCrystal;
            }
        }
    }
    quality
}

/// The largest component of the strain of `lattice` against one of vectors `a` and `b`; infinite if one of them has no area.
fn strained(lattice: &Lattice, [a, b]: [Vector; 2]) -> f64 {
    Deformation::between(lattice.a, lattice.b, a, b)
        .and_then(|d| d.strain(Measure::Polar))
        .map_or(f64::INFINITY, |s| s.xx.abs().max(s.yy.abs()).max(s.xy.abs()))
}

/// Strain of every frame against `reference`. `region`: the frames of [`Reference::Region`]. Adds to `warnings` what could not be
/// compared.
///
/// # Errors
/// [`Error::Parameter`] if no frame of the region has a lattice to be trusted.
pub fn strain(
    refined: &Refined,
    labels: &[i32],
    lattices: &[Option<Lattice>],
    reference: &Reference,
    region: Option<(&Selection, &Selection)>,
    params: &Params,
    warnings: &mut Vec<String>,
) -> Result<Maps> {
    let quality = quality(refined, labels, lattices, params);
    let good = |n: &usize| quality[*n] == Quality::Good;
    // Medians of a and b of some frames.
    let medians = |frames: &[usize]| -> Option<[Vector; 2]> {
        let fits = || frames.iter().filter_map(|&n| refined.fits[n]);
        Some([median(fits().map(|f| f.lattice.a))?, median(fits().map(|f| f.lattice.b))?])
    };
    let axes = Axes::from(params.strain_axes);
    // Each cluster describes a common reference in its own basis, but the axes are along the a of the reference itself.
    let mut common = None;
    let references: Vec<Option<[Vector; 2]>> = match reference {
        Reference::ClusterMedian => {
            let mut members = vec![Vec::new(); lattices.len()];
            (0..labels.len()).filter(good).for_each(|n| {
                if let Some(m) = usize::try_from(labels[n]).ok().and_then(|l| members.get_mut(l)) {
                    m.push(n);
                }
            });
            members.iter().map(|m| medians(m)).collect()
        }
        Reference::Region(_) => {
            let (region, selection) = region.ok_or_else(|| Error::Internal("a reference region that was not given".into()))?;
            let mask = region.mask();
            let inside = |place: [usize; 2]| mask.get(place) == Some(&true);
            let frames: Vec<usize> = selection.places().enumerate().filter(|f| inside(f.1)).map(|f| f.0).collect();
            let trusted: Vec<usize> = frames.into_iter().filter(good).collect();
            let main = most_frequent(&trusted, labels)
                .ok_or_else(|| Error::parameter("--reference", "no frame of the region has a lattice to be trusted"))?;
            let of_main: Vec<usize> = trusted.iter().copied().filter(|&n| labels[n] == main).collect();
            if of_main.len() < trusted.len() {
                warnings.push(format!(
                    "the reference region touches several clusters; its {} frames of cluster {main} are the reference",
                    of_main.len()
                ));
            }
            let vectors = medians(&of_main);
            common = vectors.map(|[a, _]| axes.angle(a));
            spread(vectors, lattices, warnings)
        }
        Reference::Vectors { a, b } => {
            common = Some(axes.angle(*a));
            spread(Some([*a, *b]), lattices, warnings)
        }
    };
    let of = |(fit, &label): (&Option<Fit>, &i32)| -> Option<Strain> {
        let [a0, b0] = references.get(usize::try_from(label).ok()?).copied().flatten()?;
        let l = (*fit)?.lattice;
        let strain = Deformation::between(l.a, l.b, a0, b0)?.strain(Measure::Polar)?;
        Some(strain.in_axes(common.unwrap_or_else(|| axes.angle(a0))))
    };
    let strain = refined
        .fits
        .iter()
        .zip(labels)
        .map(|f| of(f).unwrap_or(Strain::NAN))
        .collect();
    Ok(Maps {
        quality,
        strain,
        references,
    })
}

/// The label of most of `frames`, the smallest of equally frequent ones.
fn most_frequent(frames: &[usize], labels: &[i32]) -> Option<i32> {
    let mut counts = std::collections::BTreeMap::<i32, usize>::new();
    frames.iter().for_each(|&n| *counts.entry(labels[n]).or_default() += 1);
    let most = counts.values().copied().max()?;
    counts.into_iter().find(|c| c.1 == most).map(|c| c.0)
}

/// One reference in the basis of each cluster's lattice.
fn spread(reference: Option<[Vector; 2]>, lattices: &[Option<Lattice>], warnings: &mut Vec<String>) -> Vec<Option<[Vector; 2]>> {
    let mut other = Vec::new();
    let mut all = Vec::with_capacity(lattices.len());
    for (c, lattice) in lattices.iter().enumerate() {
        let found = reference.zip(*lattice).and_then(|([a, b], l)| corresponding(a, b, &l));
        if lattice.is_some() && found.is_none() {
            other.push(c.to_string());
        }
        all.push(found);
    }
    if !other.is_empty() {
        warnings.push(format!(
            "no strain for cluster {}: not the lattice of the reference, however turned",
            other.join(", ")
        ));
    }
    all
}

/// The basis of the lattice of `a` and `b` that corresponds to that of `lattice`: of all bases the one with the least strain,
/// of equally good ones (symmetry) the one with the least rotation. `None` if strain is large for all: another crystal.
fn corresponding(a: Vector, b: Vector, lattice: &Lattice) -> Option<[Vector; 2]> {
    let [a, b] = reduce(a, b)?;
    let [p, q] = reduce(lattice.a, lattice.b)?;
    let reduced = Lattice { a: p, b: q, ..*lattice };
    let to_lattice = change_of_basis(&reduced, lattice)?.matrix;
    let make = |m: [i64; 2]| [0, 1].map(|k| m[0] as f64 * a[k] + m[1] as f64 * b[k]);
    let mut ways = Vec::new();
    for n in 0..81 {
        let digit = |k: u32| n / 3_i64.pow(k) % 3 - 1;
        let (first, second) = ([digit(0), digit(1)], [digit(2), digit(3)]);
        if (first[0] * second[1] - first[1] * second[0]).abs() != 1 {
            continue;
        }
        let Some(s) = Deformation::between(p, q, make(first), make(second)).and_then(|f| f.strain(Measure::Polar)) else {
            continue;
        };
        let size = (s.xx * s.xx + s.yy * s.yy + 2.0 * s.xy * s.xy).sqrt();
        ways.push((size, s.rotation.abs(), [first, second]));
    }
    let least = ways.iter().map(|w| w.0).fold(f64::INFINITY, f64::min);
    if least > OTHER_CRYSTAL {
        return None;
    }
    let best = ways
        .iter()
        .filter(|w| w.0 <= least + EQUALLY_GOOD)
        .min_by(|v, w| v.1.total_cmp(&w.1))?;
    let [first, second] = best.2;
    // The same integers that make the cluster's basis of its reduced one.
    Some(to_lattice.map(|[s, t]| make([s * first[0] + t * second[0], s * first[1] + t * second[1]])))
}

/// One of [`NAMES`] for a frame, angles in rad; NaN where unknown.
pub fn value(name: &str, fit: Option<&Fit>, strain: &Strain) -> f64 {
    let of = |f: fn(&Fit) -> f64| fit.map_or(f64::NAN, f);
    match name {
        "zero_y" => of(|f| f.lattice.zero[0]),
        "zero_x" => of(|f| f.lattice.zero[1]),
        "a_length" => of(|f| length(f.lattice.a)),
        "a_angle" => of(|f| angle(f.lattice.a)),
        "b_length" => of(|f| length(f.lattice.b)),
        "b_angle" => of(|f| angle(f.lattice.b)),
        "ratio" => of(|f| f.lattice.ratio()),
        "angle" => of(|f| f.lattice.angle_between()),
        "error" => of(|f| f.error),
        "matched" => of(|f| f.matched as f64),
        "xx" => strain.xx,
        "yy" => strain.yy,
        "xy" => strain.xy,
        "rotation" => strain.rotation,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lattice::from_polar;

    #[test]
    fn a_turned_crystal_corresponds_by_its_shape() {
        let (a0, b0) = ([3.0, 16.0], [22.0, -4.0]);
        for degrees in [0.0_f64, 20.0, 75.0, 140.0] {
            let turn = |v: Vector| from_polar(1.01 * length(v), angle(v) + degrees.to_radians());
            // The cluster describes it by a long, oblique basis.
            let (a, b) = (turn(a0), turn(b0));
            let lattice = Lattice {
                zero: [70.0, 70.0],
                a: [a[0] + 2.0 * b[0], a[1] + 2.0 * b[1]],
                b: [-b[0], -b[1]],
            };
            let [p, q] = corresponding(a0, b0, &lattice).unwrap();
            let s = Deformation::between(lattice.a, lattice.b, p, q)
                .unwrap()
                .strain(Measure::Polar)
                .unwrap();
            assert!((s.xx - 0.01).abs() < 1e-12 && (s.yy - 0.01).abs() < 1e-12 && s.xy.abs() < 1e-12);
            // Half a turn is a symmetry of every lattice.
            let smallest = degrees.min(180.0 - degrees);
            assert!((s.rotation.abs().to_degrees() - smallest).abs() < 1e-9, "{degrees}");
        }
        let other = Lattice {
            zero: [0.0; 2],
            a: [0.0, 16.0],
            b: [14.0, 8.0],
        };
        assert!(corresponding(a0, b0, &other).is_none());
    }
}
