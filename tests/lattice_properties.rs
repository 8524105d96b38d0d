//! Lattices made up for the purpose: bases, standard errors, several lattices in one cloud.

mod lattice_data;

use emstream::analysis::Recipe;
use emstream::analysis::lattice::basis::{align, canonical, canonical_at, change_of_basis, common, nearest_site, reduce};
use emstream::analysis::lattice::fit::{Spot, fit};
use emstream::analysis::lattice::{FullMatch, Lattice, Matcher, Scratch, Vector, cross, dot, from_polar, length};
use lattice_data::Random;

fn near(a: Vector, b: Vector, tolerance: f64) -> bool {
    length([a[0] - b[0], a[1] - b[1]]) < tolerance
}

/// A random matrix of determinant ±1: a product of shears, swaps and mirrors.
fn unimodular(random: &mut Random) -> [[f64; 2]; 2] {
    let mut m = [[1.0, 0.0], [0.0, 1.0]];
    for _ in 0..random.below(6) {
        let k = random.below(7) as f64 - 3.0;
        match random.below(4) {
            0 => m = [[m[0][0] + k * m[1][0], m[0][1] + k * m[1][1]], m[1]],
            1 => m = [m[0], [m[1][0] + k * m[0][0], m[1][1] + k * m[0][1]]],
            2 => m = [m[1], m[0]],
            _ => m = [m[0].map(|v| -v), m[1]],
        }
    }
    m
}

fn rebased(l: &Lattice, m: [[f64; 2]; 2], shift: [f64; 2]) -> Lattice {
    let free = Lattice { zero: [0.0; 2], ..*l };
    let [a, b] = m.map(|c| free.position(c[0], c[1]));
    Lattice {
        zero: l.position(shift[0], shift[1]),
        a,
        b,
    }
}

fn random_lattice(random: &mut Random, case: usize) -> Lattice {
    let turn = random.uniform(0.0, std::f64::consts::TAU);
    let a = random.uniform(8.0, 30.0);
    // General, square, hexagonal (60°), rectangular, and along the axes.
    let (b, gamma) = match case % 5 {
        0 => (random.uniform(8.0, 40.0), random.uniform(0.4, 2.7)),
        1 | 4 => (a, std::f64::consts::FRAC_PI_2),
        2 => (a, std::f64::consts::FRAC_PI_3),
        _ => (1.3 * a, std::f64::consts::FRAC_PI_2),
    };
    let turn = if case % 5 == 4 {
        std::f64::consts::FRAC_PI_4 * (case / 5 % 8) as f64
    } else {
        turn
    };
    let zero = [random.uniform(60.0, 80.0), random.uniform(60.0, 80.0)];
    Lattice {
        zero,
        a: from_polar(a, turn),
        b: from_polar(b, turn + gamma),
    }
}

#[test]
fn every_basis_of_a_lattice_leads_to_the_same_canonical_one() {
    let mut random = Random(11);
    for case in 0..2000 {
        let l = random_lattice(&mut random, case);
        let [a, b] = canonical(l.a, l.b).unwrap();
        assert!((cross(a, b) - l.area().abs()).abs() < 1e-9 * l.area().abs());
        assert!(a[1] > -1e-9 && length(a) <= 1.051 * length(b));
        let [p, q] = reduce(l.a, l.b).unwrap();
        assert!(length(p) <= length(q) * 1.0000001 && dot(p, q).abs() <= 0.5000001 * dot(p, p));
        let near_zero = [l.zero[0] + 1.0, l.zero[1] - 1.0];
        for _ in 0..5 {
            let m = unimodular(&mut random);
            let shift = [random.below(9) as f64 - 4.0, random.below(9) as f64 - 4.0];
            let other = rebased(&l, m, shift);
            let c = canonical_at(&other, near_zero).unwrap();
            assert!(
                near(c.a, a, 1e-6) && near(c.b, b, 1e-6),
                "case {case}: {l:?} {other:?}: {a:?} {b:?} and {c:?}"
            );
            assert!(near(c.zero, nearest_site(&l, near_zero).unwrap(), 1e-6));
            // The relation is found, and carries indices over.
            let change = change_of_basis(&l, &other).unwrap();
            assert_eq!(change.matrix.map(|r| r.map(|v| v as f64)), m);
            assert_eq!(change.shift.map(|v| v as f64), shift);
            assert!(change.vectors_off < 1e-9 && change.zero_off < 1e-9);
            let [h, k] = change.index([3, -5]).unwrap();
            assert!(near(other.position(h.into(), k.into()), l.position(3.0, -5.0), 1e-7));
        }
    }
}

#[test]
fn nearest_site_by_brute_force() {
    let mut random = Random(12);
    for case in 0..300 {
        let l = random_lattice(&mut random, case);
        let p = [random.uniform(40.0, 100.0), random.uniform(40.0, 100.0)];
        let site = nearest_site(&rebased(&l, unimodular(&mut random), [2.0, -1.0]), p).unwrap();
        let all = (-20..=20)
            .flat_map(|h| (-20..=20).map(move |k| (h, k)))
            .map(|(h, k)| l.position(h.into(), k.into()));
        let least = all.map(|s| length([s[0] - p[0], s[1] - p[1]])).fold(f64::INFINITY, f64::min);
        assert!((length([site[0] - p[0], site[1] - p[1]]) - least).abs() < 1e-7);
    }
}

/// Clusters of one crystal whose strain swaps the order of |a| and |b|, or turns it over the edge of the rule.
#[test]
fn clusters_of_one_crystal_share_a_basis() {
    let mut random = Random(13);
    for case in 0..300 {
        let l = random_lattice(&mut random, case);
        let wobble = |random: &mut Random, v: Vector| v.map(|c| c + random.uniform(-0.02, 0.02) * length(v));
        let kinds: Vec<Lattice> = (0..4)
            .map(|_| {
                let bent = Lattice {
                    zero: l.zero,
                    a: wobble(&mut random, l.a),
                    b: wobble(&mut random, l.b),
                };
                let [p, q] = reduce(bent.a, bent.b).unwrap();
                rebased(&Lattice { a: p, b: q, ..bent }, unimodular(&mut random), [1.0, 0.0])
            })
            .collect();
        let same = common(&kinds, 0.25);
        for c in &same[1..] {
            // Far less than the difference to any other basis.
            let tolerance = 0.25 * length(same[0].a).min(length(same[0].b));
            assert!(
                near(c.a, same[0].a, tolerance) && near(c.b, same[0].b, tolerance),
                "case {case}: {same:?}"
            );
        }
        for (c, k) in same.iter().zip(&kinds) {
            assert_eq!(c.zero, k.zero);
            assert!(change_of_basis(k, c).unwrap().vectors_off < 1e-6);
        }
    }
    let (square, other) = (
        Lattice {
            zero: [0.0; 2],
            a: [0.0, 20.0],
            b: [20.0, 0.0],
        },
        Lattice {
            zero: [0.0; 2],
            a: [0.0, 23.0],
            b: [17.0, 0.0],
        },
    );
    assert!(align(&other, &square, 0.1).is_none());
    assert_eq!(common(&[square, other], 0.1)[1].a, [17.0, 0.0].map(|v: f64| v));
}

#[test]
fn parallel_vectors_have_no_basis() {
    assert!(reduce([1.0, 2.0], [2.0, 4.0]).is_none());
    assert!(canonical([0.0, 0.0], [2.0, 4.0]).is_none());
    assert!(canonical([f64::NAN, 0.0], [2.0, 4.0]).is_none());
    let l = Lattice {
        zero: [0.0; 2],
        a: [0.0, 20.0],
        b: [20.0, 0.0],
    };
    assert!(change_of_basis(&l, &Lattice { a: [0.0, 40.0], ..l }).is_none());
}

/// Positions with Gaussian noise of variance 1/w: each standard error covers its truth in 68 % of the draws.
#[test]
fn standard_errors_cover_the_truth_as_often_as_they_claim() {
    let mut random = Random(21);
    let truth = Lattice {
        zero: [70.0, 72.0],
        a: [3.0, 16.0],
        b: [20.0, -5.0],
    };
    let draws = 4000;
    let mut inside = [0; 6];
    let mut squares = [0.0; 6];
    for _ in 0..draws {
        let mut spots = Vec::new();
        for h in -3..=4 {
            for k in -4..=2 {
                let weight: f64 = random.uniform(0.2, 5.0);
                let p = truth.position(h.into(), k.into());
                let noise = 0.05 / weight.sqrt();
                let position = [p[0] + noise * random.normal(), p[1] + noise * random.normal()];
                spots.push(Spot {
                    position,
                    index: [h, k],
                    weight,
                });
            }
        }
        let f = fit(spots.into_iter()).unwrap();
        let errors = f.errors.unwrap();
        let l = f.lattice;
        let triples = [
            (l.zero, truth.zero, errors.zero),
            (l.a, truth.a, errors.a),
            (l.b, truth.b, errors.b),
        ];
        for (n, (v, t, e)) in triples.into_iter().enumerate() {
            for axis in 0..2 {
                let ratio = (v[axis] - t[axis]) / e[axis];
                inside[2 * n + axis] += u32::from(ratio.abs() < 1.0);
                squares[2 * n + axis] += ratio * ratio;
            }
        }
    }
    for n in 0..6 {
        let share = f64::from(inside[n]) / f64::from(draws);
        assert!((share - 0.68).abs() < 0.03, "component {n}: {share}");
        // Student's t with 53 degrees of freedom has variance 53/51.
        assert!((squares[n] / f64::from(draws) - 53.0 / 51.0).abs() < 0.1);
    }
}

fn spots(l: &Lattice, range: std::ops::RangeInclusive<i32>, random: &mut Random, noise: f64) -> Vec<Vector> {
    let mut all: Vec<Vector> = range
        .clone()
        .flat_map(|h| range.clone().map(move |k| (h, k)))
        .map(|(h, k)| l.position(h.into(), k.into()).map(|v| v + noise * random.normal()))
        .collect();
    all.sort_by(|p, q| length([p[0] - l.zero[0], p[1] - l.zero[1]]).total_cmp(&length([q[0] - l.zero[0], q[1] - l.zero[1]])));
    all
}

/// Two crystals in one cloud, with the direct beam in common.
#[test]
fn several_lattices_best_first() {
    let mut random = Random(31);
    let zero = [70.0, 72.0];
    let strong = Lattice {
        zero,
        a: from_polar(19.0, 0.15),
        b: from_polar(27.0, 1.75),
    };
    let weak = Lattice {
        zero,
        a: from_polar(22.0, 0.85),
        b: from_polar(22.5, 1.95),
    };
    let mut points = spots(&strong, -2..=2, &mut random, 0.1);
    let first = points.len();
    points.extend(
        spots(&weak, -1..=1, &mut random, 0.1)
            .into_iter()
            .filter(|p| !near(*p, zero, 3.0)),
    );
    let weights: Vec<f64> = (0..points.len()).map(|n| if n < first { 1.0 } else { 0.4 }).collect();
    let found = FullMatch {
        tolerance: 1.5,
        ..FullMatch::default()
    }
    .find(&points, Some(&weights), None)
    .unwrap();
    assert!(found.matches.len() >= 2);
    for (m, truth) in found.matches.iter().zip([&strong, &weak]) {
        let change = change_of_basis(truth, &m.fit.lattice).expect("the lattice");
        assert!(
            change.vectors_off < 0.3 && change.zero_off < 0.3 && change.shift == [0, 0],
            "{change:?}"
        );
    }
    assert!(found.matches[0].merit > found.matches[1].merit);
    // The direct beam is in both, every other point in at most one.
    let mut seen = vec![0; points.len()];
    found
        .matches
        .iter()
        .flat_map(|m| &m.points)
        .chain(&found.unmatched)
        .for_each(|&n| seen[n] += 1);
    assert_eq!(seen[0], found.matches.len());
    assert!(seen[1..].iter().all(|&n| n == 1));
}

/// Superlattice spots at (h + 1/2, k + 1/2): the cell that explains all points is found.
#[test]
fn superlattice_spots_belong_to_the_smaller_cell() {
    let mut random = Random(32);
    let main = Lattice {
        zero: [71.0, 72.0],
        a: from_polar(16.6, 0.24),
        b: from_polar(23.4, 0.24 + std::f64::consts::FRAC_PI_2),
    };
    let mut points = spots(&main, -2..=2, &mut random, 0.1);
    let half = Lattice {
        zero: main.position(0.5, 0.5),
        ..main
    };
    points.extend(spots(&half, -1..=0, &mut random, 0.1));
    let cell = rebased(&main, [[0.5, 0.5], [-0.5, 0.5]], [0.0, 0.0]);
    let found = FullMatch::default().find(&points, None, None).unwrap();
    let change = change_of_basis(&cell, &found.matches[0].fit.lattice).expect("the cell");
    assert!(change.vectors_off < 0.2 && change.zero_off < 0.2);
    assert_eq!((found.matches[0].points.len(), found.unmatched.len()), (29, 0));
}

/// Seeded clouds: lattice, missing spots, noise points, a strongest spot that is not the direct beam, or no direct beam at all.
#[test]
fn lattices_in_difficult_clouds() {
    let mut random = Random(33);
    let mut found_all = 0;
    let draws = 200;
    for case in 0..draws {
        let gamma = random.uniform(1.0, 2.1);
        let turn = random.uniform(0.0, std::f64::consts::TAU);
        let (la, lb) = (random.uniform(15.0, 25.0), random.uniform(15.0, 25.0));
        let truth = Lattice {
            zero: [71.3, 72.4],
            a: from_polar(la, turn),
            b: from_polar(lb, turn + gamma),
        };
        let mut points = spots(&truth, -2..=2, &mut random, 0.3);
        points.truncate(22);
        // A tenth is missing; of every third cloud also the direct beam, in the others it is not the first.
        points.retain(|p| near(*p, truth.zero, 2.0) || random.uniform(0.0, 1.0) > 0.1);
        if case % 3 == 0 {
            points.remove(0);
        } else {
            points.swap(0, 3);
        }
        for _ in 0..2 {
            points.push([random.uniform(20.0, 120.0), random.uniform(20.0, 120.0)]);
        }
        let guess = [71.3 + random.uniform(-2.0, 2.0), 72.4 + random.uniform(-2.0, 2.0)];
        let found = FullMatch::default().find(&points, None, Some(guess)).unwrap();
        let Some(best) = found.matches.first() else { continue };
        let l = best.fit.lattice;
        if change_of_basis(&truth, &l).is_some_and(|c| c.vectors_off < 0.6 && c.zero_off < 0.6 && c.shift == [0, 0]) {
            found_all += 1;
            // Good enough to start from in a frame: the same spots again.
            let mut scratch = Scratch::default();
            let again = Matcher::default()
                .fast(&points, &vec![1.0; points.len()], &l, &mut scratch)
                .unwrap();
            assert!(change_of_basis(&truth, &again.lattice).is_some_and(|c| c.vectors_off < 0.6 && c.zero_off < 0.6));
        }
    }
    assert!(found_all * 100 >= draws * 97, "{found_all} of {draws}");
}

#[test]
fn clouds_without_a_lattice_are_no_error() {
    let search = FullMatch::default();
    let line: Vec<Vector> = (0..15)
        .map(|n| [10.0 + 7.0 * f64::from(n), 20.0 + 3.0 * f64::from(n)])
        .collect();
    for recipe in [Recipe::Default, Recipe::Published] {
        let search = FullMatch { recipe, ..search };
        for points in [&line[..0], &line[..1], &line[..2], &line[..5], &line[..]] {
            let found = search.find(points, None, None).unwrap();
            assert!(found.matches.is_empty());
            assert_eq!(found.unmatched.len(), points.len());
        }
        assert!(search.find(&[[5.0, 5.0]; 30], None, None).unwrap().matches.is_empty());
        let weak = search.find(&line, Some(&[0.05; 15]), None).unwrap();
        assert_eq!((weak.weak.len(), weak.unmatched.len()), (15, 0));
    }
    assert!(
        search
            .find(&[[f64::NAN, 1.0]], None, None)
            .unwrap_err()
            .to_string()
            .contains("position 0")
    );
    assert!(search.find(&line, Some(&[1.0; 3]), None).is_err());
    assert!(search.find(&line, None, Some([f64::INFINITY, 0.0])).is_err());
    assert!(
        FullMatch {
            tolerance: 0.0,
            ..search
        }
        .find(&line, None, None)
        .is_err()
    );
}

/// Limits on the length of the vectors hold for the result.
#[test]
fn lengths_stay_within_their_limits() {
    let mut random = Random(34);
    let truth = Lattice {
        zero: [70.0, 70.0],
        a: [0.0, 12.0],
        b: [14.0, 0.0],
    };
    let points = spots(&truth, -3..=3, &mut random, 0.1);
    let l = FullMatch {
        min_delta: 20.0,
        ..FullMatch::default()
    }
    .find(&points, None, None)
    .unwrap()
    .matches[0]
        .fit
        .lattice;
    assert!(length(l.a) >= 20.0 - 1e-9 || length(l.b) >= 20.0 - 1e-9);
    let l = FullMatch {
        max_delta: Some(16.0),
        ..FullMatch::default()
    }
    .find(&points, None, None)
    .unwrap()
    .matches[0]
        .fit
        .lattice;
    assert!(change_of_basis(&truth, &l).unwrap().vectors_off < 0.2);
}
