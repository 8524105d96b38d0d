//! Lattices of clusters: weak superlattices are found where there are some, and patterned probes need no other parameters.

mod strain_support;

use emstream::analysis::lattice::basis::change_of_basis;
use emstream::analysis::lattice::{Lattice, length};
use emstream::analysis::template::{Pattern, Template};
use emstream::engine::{Backend, Selection};
use emstream::io::{self, Scan};
use emstream::simulate::{Grain, Grains, Polycrystal, Simulated};
use emstream::workflows::cluster;
use emstream::workflows::strain::{self, Correlation, Match, Params, Strain, Templates};
use ndarray::Array2;
use strain_support::*;

/// Only the lattices of clusters matter here.
fn params() -> Params {
    Params {
        correlation: Correlation::Fast,
        ..Params::default()
    }
}

/// The lattice of superlattice spots at (h + ½, k + ½), which holds the others as well.
fn centred(l: &Lattice) -> Lattice {
    Lattice {
        a: [(l.a[0] + l.b[0]) / 2.0, (l.a[1] + l.b[1]) / 2.0],
        b: [(l.a[0] - l.b[0]) / 2.0, (l.a[1] - l.b[1]) / 2.0],
        ..*l
    }
}

/// The same lattice, and its zero is the same site.
fn same(found: &Match, wanted: &Lattice) -> bool {
    let change = change_of_basis(&found.lattice, wanted).filter(|c| c.vectors_off < 0.5);
    change.is_some() && off(found.lattice.zero, wanted.zero) < 1.0
}

fn check(result: &Strain, grain: usize, truth: &Lattice, superlattice: bool) {
    let matches = &result.clusters[grain].matches;
    assert!(same(&matches[0], truth), "grain {grain}: {:?}, not {truth:?}", matches[0]);
    assert_eq!(matches.len(), 1 + usize::from(superlattice), "grain {grain}: {matches:?}");
    if superlattice {
        assert!(same(&matches[1], &centred(truth)), "grain {grain}: {:?}", matches[1]);
        assert!(matches[1].indices.len() >= 10);
    }
}

/// The mean lattice of the frames with each label.
fn means(labels: &Array2<i32>, lattices: &[Lattice], clusters: usize) -> Vec<Lattice> {
    (0..clusters as i32)
        .map(|c| {
            let of: Vec<&Lattice> = labels
                .iter()
                .zip(lattices)
                .filter(|(l, _)| **l == c)
                .map(|(_, l)| l)
                .collect();
            let mean = |v: fn(&Lattice) -> [f64; 2]| [0, 1].map(|k| of.iter().map(|l| v(l)[k]).sum::<f64>() / of.len() as f64);
            Lattice {
                zero: mean(|l| l.zero),
                a: mean(|l| l.a),
                b: mean(|l| l.b),
            }
        })
        .collect()
}

/// Grain 1 of the reference scan has superlattice spots of 10 %; the published search does not find them.
#[test]
fn the_weak_superlattice_of_the_reference_scan_is_found() {
    let (_dir, path) = polycrystal();
    let grains = labels("polycrystal/true_grain_id.npy");
    let result = run(
        &*open(&path),
        given(grains.clone()),
        &cluster::Params::default(),
        &params(),
        &control(2),
    )
    .unwrap();
    for (grain, truth) in means(&grains, &truth(), 6).iter().enumerate() {
        check(&result, grain, truth, grain == 1);
    }
}

#[test]
fn superlattices_of_simulated_scans_are_found_and_no_others() {
    let grain = |at, a, b, rotation, gamma, superlattice| Grain {
        at,
        a,
        b,
        rotation,
        gamma,
        superlattice,
        spots: None,
    };
    for (seed, dose, superlattice) in [
        (5, 1.0, 0.1),
        (6, 1.0, 0.2),
        (7, 3.0, 0.1),
        (8, 1.0, 0.0),
        (9, 0.4, 0.0),
        (10, 3.0, 0.0),
    ] {
        let scan = Simulated::new(&Polycrystal {
            nav: [16, 18],
            seed,
            dose,
            grains: Some(Grains::List(vec![
                grain([0.2, 0.2], 17.1, 22.3, 12.0, 90.0, superlattice),
                grain([0.3, 0.8], 18.8, 18.8, -25.0, 90.0, 0.0),
                grain([0.8, 0.3], 16.4, 20.2, 65.0, 78.0, superlattice),
                grain([0.8, 0.8], 19.0, 19.0, 40.0, 60.0, 0.0),
            ])),
            ..Polycrystal::default()
        })
        .unwrap();
        let frames = 16 * 18;
        let all: Vec<_> = (0..frames).map(|n| scan.lattice(n)).collect();
        let grains = Array2::from_shape_fn((16, 18), |(y, x)| all[y * 18 + x].grain as i32);
        let lattices: Vec<Lattice> = all
            .iter()
            .map(|l| Lattice {
                zero: l.zero,
                a: l.a,
                b: l.b,
            })
            .collect();
        let result = run(
            &scan,
            given(grains.clone()),
            &cluster::Params::default(),
            &params(),
            &control(2),
        )
        .unwrap();
        for (n, truth) in means(&grains, &lattices, 4).iter().enumerate() {
            check(&result, n, truth, superlattice > 0.0 && n % 2 == 0);
        }
    }
}

/// Lengths of the reflections of gold on the bundled scan, px: 47 px per 1/Å, fcc with 4.0782 Å.
fn gold() -> Vec<f64> {
    let mut all = Vec::new();
    for h in 0..7i32 {
        for k in 0..7i32 {
            for l in 0..7i32 {
                if (h + k) % 2 == 0 && (k + l) % 2 == 0 && h + k + l > 0 {
                    all.push(47.0 / 4.0782 * f64::from(h * h + k * k + l * l).sqrt());
                }
            }
        }
    }
    all
}

#[test]
fn patterned_probes_need_no_other_parameters() {
    let image = array("bullseye/template.npy").into_dimensionality().unwrap();
    let template = || Template::new(Pattern::User(image.clone())).unwrap();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/bullseye.h5");
    let scan: Box<dyn Scan> = io::open(&path, &io::OpenOptions::default(), &control(2)).unwrap();
    let result = strain::run(
        &*scan,
        Selection::all(scan.info().nav),
        Templates {
            cluster: template(),
            lattice: template(),
        },
        given(labels("bullseye/true_grain_id.npy")),
        &cluster::Params::default(),
        &params(),
        &Backend::Cpu,
        &control(2),
    )
    .unwrap();
    let gold = gold();
    let is_gold = |v: [f64; 2]| gold.iter().any(|g| (length(v) - g).abs() < 0.03 * g);
    let mut right = 0;
    for cluster in &result.clusters {
        // Disks have a radius of 11.5 px: no lattice of their side lobes, first or further.
        for m in &cluster.matches {
            assert!(length(m.lattice.a) > 15.0 && length(m.lattice.b) > 15.0, "{m:?}");
            assert!(off(m.lattice.zero, [124.2, 125.6]) < 4.0, "{m:?}");
        }
        let first = cluster.matches.first().map(|m| m.lattice);
        right += usize::from(first.is_some_and(|l| is_gold(l.a) && is_gold(l.b)));
    }
    assert!(right >= 6, "{right} right lattices in 8 grains");
}
