//! `strain` against LiberTEM's maps and against the truth of the simulated scan. Data: `tests/data/README.md`.

mod strain_support;

use emstream::analysis::Recipe;
use emstream::analysis::compare::adjusted_rand_index;
use emstream::analysis::lattice::strain::Strain as Tensor;
use emstream::analysis::lattice::{Lattice, Vector};
use emstream::engine::Selection;
use emstream::io::memory::MemoryScan;
use emstream::workflows::cluster::{self, Clusters};
use emstream::workflows::strain::{Correlation, Given, Matching, Params, Quality, Reference, Strain, StrainAxes};
use ndarray::Array2;
use strain_support::*;

fn published() -> cluster::Params {
    cluster::Params {
        clusters: Clusters::Number(8),
        recipe: Recipe::Published,
        ..cluster::Params::default()
    }
}

/// zero, a and b of every frame are those of LiberTEM, up to one change of basis for each cluster and zero modulo the lattice.
fn follows(result: &Strain, variant: &str) {
    assert!(differences(result, variant).is_empty(), "{variant}: frames beyond 1e-3 px");
}

/// Frames where something differs by more than 1e-3 px; the median difference is at most 1e-4 px.
fn differences(result: &Strain, variant: &str) -> Vec<usize> {
    let reference = libertem(variant);
    let (mut all, mut beyond, mut worst) = (Vec::new(), Vec::new(), 0.0);
    for (n, expected) in reference.iter().enumerate() {
        let found = in_basis(&fit(result, n).lattice, expected);
        let away = [(found.zero, expected.zero), (found.a, expected.a), (found.b, expected.b)].map(|(p, q)| off(p, q));
        let largest = away.into_iter().fold(0.0, f64::max);
        worst = largest.max(worst);
        if largest > 1e-3 {
            beyond.push(n);
        }
        all.extend(away);
    }
    let [median, _] = spread(all);
    let count = beyond.len();
    eprintln!("{variant}: largest difference {worst:.1e} px, median {median:.1e} px, {count} frames beyond 1e-3 px");
    assert!(median <= 1e-4, "{variant}: {median}");
    beyond
}

fn published_with(params: Params) -> Strain {
    let (_dir, path) = polycrystal();
    run(
        &*open(&path),
        given(labels("polycrystal/ward_labels.npy")),
        &published(),
        &params,
        &control(2),
    )
    .unwrap()
}

fn variant(name: &str, params: Params) {
    follows(&published_with(params), name);
}

#[test]
fn published_recipe_from_the_file_to_the_maps() {
    let (_dir, path) = polycrystal();
    let result = run(&*open(&path), Given::default(), &published(), &Params::default(), &control(2)).unwrap();
    let reference: Vec<i32> = labels("polycrystal/ward_labels.npy").iter().copied().collect();
    assert_eq!(adjusted_rand_index(&result.clustering.labels, &reference).unwrap(), 1.0);
    follows(&result, "fast");
}

#[test]
fn published_sparse() {
    variant(
        "sparse",
        Params {
            correlation: Correlation::Sparse,
            ..Params::default()
        },
    );
}

#[test]
fn published_full_frame() {
    variant(
        "fullframe",
        Params {
            correlation: Correlation::Full,
            ..Params::default()
        },
    );
}

#[test]
fn published_affine() {
    variant(
        "affine",
        Params {
            matching: Matching::Affine,
            ..Params::default()
        },
    );
}

/// Positions lie on a grid of 1/20 px; where two of its points are equally high up to rounding, a spot may be at the other one
/// (at most one in a thousand). Frames without such spots are the same.
#[test]
fn published_upsampling() {
    let result = published_with(Params {
        upsample: Some(20),
        save_peaks: true,
        ..Params::default()
    });
    let labels = &result.clustering.labels;
    let (mut spots, mut moved) = (0, Vec::new());
    for c in 0..8 {
        let positions = npz("strain/refine_fast_upsample.npz", &format!("c{c}_refineds"));
        let members = (0..labels.len()).filter(|&n| labels[n] == c);
        for (row, n) in members.enumerate() {
            for (s, spot) in result.refined.frame(n).iter().enumerate() {
                spots += 1;
                let expected = [positions[[row, s, 0]], positions[[row, s, 1]]];
                let away = off(spot.peak.refined.map(f64::from), expected);
                if away > 1e-3 {
                    moved.push(n);
                }
            }
        }
    }
    eprintln!("{} of {spots} spots at another point of the grid", moved.len());
    assert!(spots > 60_000 && moved.len() * 1000 <= spots);
    let differ = differences(&result, "fast_upsample");
    assert!(differ.iter().all(|n| moved.contains(n)), "{differ:?} {moved:?}");
}

/// Ours and LiberTEM's median and 95th percentile of each quantity: at most 2 % above.
fn compare(names: &[&str], ours: [Vec<f64>; 7], theirs: [Vec<f64>; 7]) {
    let mut report = String::new();
    let mut good = true;
    for ((name, ours), theirs) in names.iter().zip(ours).zip(theirs) {
        let (ours, theirs) = (spread(ours), spread(theirs));
        let ratio = [ours[0] / theirs[0], ours[1] / theirs[1]];
        report += &format!(
            "{name}: median {:.5} (LiberTEM {:.5}, ratio {:.3}), p95 {:.5} ({:.5}, {:.3})\n",
            ours[0], theirs[0], ratio[0], ours[1], theirs[1], ratio[1]
        );
        good &= ratio.iter().all(|&r| r <= 1.02);
    }
    eprint!("{report}");
    assert!(good, "{report}");
}

fn closeness(name: &str, params: Params, reference: &str) {
    let (_dir, path) = polycrystal();
    let labels = given(labels("polycrystal/true_grain_id.npy"));
    let result = run(&*open(&path), labels, &cluster::Params::default(), &params, &control(2)).unwrap();
    let truth = Truth::reference();
    let theirs = libertem(reference);
    let [ours, theirs] = errors(&result, &truth, &theirs, 6, &params);
    eprintln!("{name}");
    compare(&QUANTITIES, ours, theirs);
}

/// Joint, that is: every median and 95th percentile at most 0.8 times LiberTEM's, and those of zero, a and b at most 0.6 times.
#[test]
fn default_recipe_is_closer_to_the_truth() {
    let (_dir, path) = polycrystal();
    let given = given(labels("polycrystal/true_grain_id.npy"));
    let params = Params::default();
    let result = run(&*open(&path), given, &cluster::Params::default(), &params, &control(2)).unwrap();
    assert_eq!(result.correlation, Correlation::Joint);
    let [ours, theirs] = errors(&result, &Truth::reference(), &libertem("fast"), 6, &params);
    for (n, (ours, theirs)) in ours.into_iter().zip(theirs).enumerate() {
        let (ours, theirs) = (spread(ours), spread(theirs));
        let ratio = [ours[0] / theirs[0], ours[1] / theirs[1]];
        eprintln!("{}: ratios {ratio:.3?}", QUANTITIES[n]);
        let most = if n < 3 { 0.6 } else { 0.8 };
        assert!(ratio.iter().all(|&r| r <= most), "{}: {ratio:?}", QUANTITIES[n]);
    }
}

#[test]
fn fast_is_as_close_to_the_truth() {
    let params = Params {
        correlation: Correlation::Fast,
        ..Params::default()
    };
    closeness("fast", params, "fast");
}

#[test]
fn default_sparse_is_as_close_to_the_truth() {
    closeness(
        "sparse",
        Params {
            correlation: Correlation::Sparse,
            ..Params::default()
        },
        "sparse",
    );
}

#[test]
fn default_full_frame_is_as_close_to_the_truth() {
    closeness(
        "full",
        Params {
            correlation: Correlation::Full,
            ..Params::default()
        },
        "fullframe",
    );
}

#[test]
fn default_upsampling_is_as_close_to_the_truth() {
    closeness(
        "upsample",
        Params {
            upsample: Some(20),
            ..Params::default()
        },
        "fast_upsample",
    );
}

/// Standard errors, reference and zero of the default run.
#[test]
fn default_recipe_knows_zero_and_how_good_it_is() {
    let (_dir, path) = polycrystal();
    let params = Params::default();
    let labels = labels("polycrystal/ward_labels.npy");
    let result = run(
        &*open(&path),
        given(labels),
        &cluster::Params::default(),
        &params,
        &control(2),
    )
    .unwrap();
    let truth = Truth::reference();
    for (n, expected) in truth.lattices.iter().enumerate() {
        let f = fit(&result, n);
        // Not modulo the lattice: the direct beam itself.
        assert!(
            off(f.lattice.zero, expected.zero) < 0.3,
            "frame {n}: zero {:?}",
            f.lattice.zero
        );
    }
    let share = coverage(&result, &truth.lattices);
    eprintln!("standard errors cover the truth in {:.1} % of all cases", 100.0 * share);
    assert!((share - 0.683).abs() < 0.05, "{share}");
    // Strain against the cluster's own median: its median is zero.
    for c in 0..8 {
        let of: Vec<f64> = (0..2000)
            .filter(|&n| result.clustering.labels[n] == c)
            .map(|n| result.maps.strain[n].xx)
            .collect();
        assert!(of.len() > 100 && spread(of)[0].abs() < 2e-3);
    }
    // Grains 0 and 1 are one crystal, as are the two halves of 2, 3 and 6, 7: they share bases.
    let bases: Vec<Lattice> = result.clusters.iter().map(|c| c.lattice().unwrap()).collect();
    for (p, q) in [(2, 7), (3, 6), (4, 5)] {
        assert!(off(bases[p].a, bases[q].a) < 0.6 && off(bases[p].b, bases[q].b) < 0.6);
    }
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let (_dir, path) = polycrystal();
    let params = Params {
        save_peaks: true,
        ..Params::default()
    };
    let result = |threads, block| {
        let control = emstream::Control {
            block,
            ..control(threads)
        };
        let labels = given(labels("polycrystal/true_grain_id.npy"));
        run(&*open(&path), labels, &cluster::Params::default(), &params, &control).unwrap()
    };
    let one = result(1, None);
    for (threads, block) in [(2, None), (3, Some(1 << 20))] {
        let other = result(threads, block);
        assert!(one.refined == other.refined);
        assert!(one.clusters == other.clusters && one.sites == other.sites);
        let bits = |r: &Strain| -> Vec<[u64; 4]> {
            let of = |s: &Tensor| [s.xx, s.yy, s.xy, s.rotation].map(f64::to_bits);
            r.maps.strain.iter().map(of).collect()
        };
        assert!(bits(&one) == bits(&other));
    }
}

/// The first rows of the reference scan; the frames of `blank` hold noise.
fn part(rows: usize, blank: impl Fn(usize) -> bool) -> MemoryScan<u8> {
    let (_dir, path) = polycrystal();
    let scan = open(&path);
    let frames = rows * NAV[1];
    let pixels = 144 * 144;
    let mut bytes = vec![0u8; frames * pixels];
    let numbers: Vec<u64> = (0..frames as u64).collect();
    scan.read(&numbers, pixels, &mut bytes, &control(2)).unwrap();
    let mut state = 1u64;
    for (_, frame) in bytes.chunks_mut(pixels).enumerate().filter(|f| blank(f.0)) {
        for p in frame {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *p = [0, 0, 0, 1, 1, 2, 1, 3][(state >> 61) as usize];
        }
    }
    MemoryScan::new([rows, NAV[1]], [144, 144], bytes).unwrap()
}

#[test]
fn a_cluster_without_a_lattice_leaves_the_others_alone() {
    let rows = 12;
    let noise = |n: usize| n % NAV[1] < 12;
    let scan = part(rows, noise);
    let grains = labels("polycrystal/true_grain_id.npy");
    let map = Array2::from_shape_fn((rows, NAV[1]), |(y, x)| if noise(x) { 6 } else { grains[[y, x]] });
    let result = run(
        &scan,
        given(map),
        &cluster::Params::default(),
        &Params::default(),
        &control(2),
    )
    .unwrap();
    assert!(result.clusters[6].matches.is_empty() && !result.clusters[6].peaks.is_empty());
    let warnings = &result.clustering.warnings;
    assert!(
        warnings.iter().any(|w| w.starts_with("cluster 6: no lattice")),
        "{warnings:?}"
    );
    for (n, expected) in truth().iter().enumerate().take(rows * NAV[1]) {
        if noise(n) {
            assert_eq!(result.maps.quality[n], Quality::NoLattice);
            assert!(result.refined.fits[n].is_none() && result.maps.strain[n].xx.is_nan());
        } else {
            assert_eq!(result.maps.quality[n], Quality::Good);
            assert!(off(fit(&result, n).lattice.zero, expected.zero) < 0.3);
        }
    }
}

#[test]
fn a_given_lattice_replaces_the_search() {
    let scan = part(12, |_| false);
    let grains = labels("polycrystal/true_grain_id.npy");
    let truth = truth();
    let map = Array2::from_shape_fn((12, NAV[1]), |(y, x)| if grains[[y, x]] == 2 { 0 } else { -1 });
    let members: Vec<usize> = (0..600).filter(|&n| map[[n / 50, n % 50]] == 0).collect();
    let start = truth[members[members.len() / 2]];
    let rounded = |v: Vector| v.map(|x| (10.0 * x).round() / 10.0);
    let params = Params {
        zero: Some(rounded(start.zero)),
        a: Some(rounded(start.a)),
        b: Some(rounded(start.b)),
        strain_axes: StrainAxes::AlongA,
        reference: Reference::Vectors { a: start.a, b: start.b },
        ..Params::default()
    };
    let result = run(&scan, given(map), &cluster::Params::default(), &params, &control(2)).unwrap();
    let used = result.clusters[0].lattice().unwrap();
    assert_eq!(
        (Some(used.zero), Some(used.a), Some(used.b)),
        (params.zero, params.a, params.b)
    );
    assert!(result.clusters[0].matches[0].indices.len() >= 15);
    for (n, t) in truth.iter().enumerate().take(600) {
        if members.contains(&n) {
            let l = fit(&result, n).lattice;
            assert!(off(l.a, t.a) < 0.05 && off(l.b, t.b) < 0.05 && off(l.zero, t.zero) < 0.1);
        } else {
            assert_eq!(result.maps.quality[n], Quality::Outside);
            assert!(result.refined.fits[n].is_none());
        }
    }
    // Zero alone: the site nearest to it is called zero.
    let map = Array2::from_shape_fn((12, NAV[1]), |(y, x)| if grains[[y, x]] == 2 { 0 } else { -1 });
    let shifted = start.position(1.0, -1.0);
    let params = Params {
        zero: Some(rounded(shifted)),
        ..Params::default()
    };
    let result = run(&scan, given(map), &cluster::Params::default(), &params, &control(2)).unwrap();
    assert!(off(result.clusters[0].lattice().unwrap().zero, shifted) < 1.5);
}

#[test]
fn a_region_is_the_reference() {
    let scan = part(12, |_| false);
    let grains = labels("polycrystal/true_grain_id.npy");
    let map = grains.slice(ndarray::s![..12, ..]).to_owned();
    let mut clustering = given(map);
    let region = Selection::from_rect([12, 50], 0..4, 0..6).unwrap();
    clustering.region = Some(region);
    let params = Params {
        reference: Reference::Region("0:4,0:6".into()),
        ..Params::default()
    };
    let result = run(&scan, clustering, &cluster::Params::default(), &params, &control(2)).unwrap();
    let inside: Vec<f64> = (0..4)
        .flat_map(|y| (0..6).map(move |x| y * 50 + x))
        .map(|n| result.maps.strain[n].yy)
        .collect();
    assert!(spread(inside)[0].abs() < 1e-3);
    // Grain 2 is square, grain 0 is not: no strain of one against the other.
    let other = (0..600).find(|&n| grains[[n / 50, n % 50]] == 2).unwrap();
    assert!(result.maps.strain[other].xx.is_nan() && result.maps.quality[other] == Quality::Good);
}
