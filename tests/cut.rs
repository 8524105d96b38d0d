//! The automatic number of clusters: right on simulated scans, none where there is one grain, and never out of range.

use emstream::Control;
use emstream::analysis::compare::adjusted_rand_index;
use emstream::analysis::correlate::correlation_map;
use emstream::analysis::cut::{Choice, choose, choose_with};
use emstream::analysis::features::{column_scale, feature_matrix};
use emstream::analysis::grid::Grid;
use emstream::analysis::peaks::find_peaks;
use emstream::analysis::template::Template;
use emstream::analysis::tree::Tree;
use emstream::analysis::{Recipe, ward::ward};
use emstream::io::Scan;
use emstream::rng::Source;
use emstream::simulate::{Grain, Grains, Polycrystal, Simulated};
use ndarray::{Array2, ArrayView2};

/// Standard deviation, peaks, stamped features, ward: the workflow in its simplest form.
fn cluster(parameters: &Polycrystal) -> (Choice, Tree, Vec<i32>) {
    let scan = Simulated::new(parameters).unwrap();
    let (n, [h, w]) = (scan.info().frames() as usize, parameters.sig);
    assert_eq!(scan.info().frame.bytes(), h * w);
    let mut pixels = vec![0u8; n * h * w];
    let mut scratch = Vec::new();
    for (i, frame) in pixels.chunks_exact_mut(h * w).enumerate() {
        scan.counts(i as u64, &mut scratch, frame).unwrap();
    }
    let (mut sum, mut square) = (vec![0u64; h * w], vec![0u64; h * w]);
    for frame in pixels.chunks_exact(h * w) {
        for ((s, q), &v) in sum.iter_mut().zip(&mut square).zip(frame) {
            *s += v as u64;
            *q += v as u64 * v as u64;
        }
    }
    let variance = |(&s, &q): (&u64, &u64)| ((n as u64 * q - s * s) as f64).sqrt() / n as f64;
    let std: Vec<f64> = sum.iter().zip(&square).map(variance).collect();
    let template = Template::named("background", 1.5, Some(2.5)).unwrap();
    let map = Array2::from_shape_vec((h, w), std).unwrap();
    let peaks = find_peaks(correlation_map(map.view(), &template, Recipe::Default).unwrap().view(), 300);
    let stamp = template.stamp();
    let crop = (stamp.nrows() / 2) as isize;
    let mut values = Array2::<f32>::zeros((n, peaks.len()));
    for (mut row, frame) in values.rows_mut().into_iter().zip(pixels.chunks_exact(h * w)) {
        for (v, p) in row.iter_mut().zip(&peaks) {
            for ((i, j), &t) in stamp.indexed_iter() {
                let (y, x) = (p.y as isize + i as isize - crop, p.x as isize + j as isize - crop);
                if (0..h as isize).contains(&y) && (0..w as isize).contains(&x) {
                    *v += t as f32 * frame[y as usize * w + x as usize] as f32;
                }
            }
        }
    }
    let grid = Grid::full(parameters.nav).unwrap();
    let features = feature_matrix(values.view(), &column_scale(values.view()).unwrap(), &grid, 0.2).unwrap();
    let tree = ward(features.clone(), &grid, &Control::new()).unwrap();
    let choice = choose(&tree, features.view(), &grid, &Control::new()).unwrap();
    (choice, tree, scan.truth().grain_id.into_raw_vec_and_offset().0)
}

/// The array of a `.npy` file, or the first one of a `.npz` file, in tests/data: shape, values as stored, and whether they
/// are stored in Fortran order.
fn reference<T: npyz::Deserialize>(name: &str) -> (Vec<usize>, Vec<T>, bool) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let shape = |s: &[u64]| s.iter().map(|&d| d as usize).collect();
    if name.ends_with(".npz") {
        let mut archive = npyz::npz::NpzArchive::open(path).unwrap();
        let first = archive.array_names().next().unwrap().to_owned();
        let file = archive.by_name(&first).unwrap().unwrap();
        let order = file.order() == npyz::Order::Fortran;
        (shape(file.shape()), file.into_vec().unwrap(), order)
    } else {
        let file = npyz::NpyFile::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).unwrap();
        let order = file.order() == npyz::Order::Fortran;
        (shape(file.shape()), file.into_vec().unwrap(), order)
    }
}

#[test]
fn reference_scans() {
    for (name, want) in [("polycrystal", 6), ("bullseye", 8)] {
        let (shape, values, fortran) = reference::<f32>(&format!("{name}/feature_vectors_normalised.npz"));
        let (rows, columns) = (shape[0], shape[1]);
        let features = if fortran {
            Array2::from_shape_vec((columns, rows), values).unwrap()
        } else {
            Array2::from_shape_vec((rows, columns), values).unwrap().reversed_axes()
        };
        let children = reference::<i32>(&format!("{name}/ward_children.npy")).1;
        let children = children.chunks(2).map(|c| [c[0] as u32, c[1] as u32]).collect();
        let tree = Tree::new(
            features.nrows(),
            children,
            reference::<f64>(&format!("{name}/ward_distances.npy")).1,
        )
        .unwrap();
        let (nav, truth, _) = reference::<i32>(&format!("{name}/true_grain_id.npy"));
        let grid = Grid::full([nav[0], nav[1]]).unwrap();
        let choice = choose(&tree, features.view(), &grid, &Control::new()).unwrap();
        assert_eq!((choice.clusters, choice.runner_up), (want, Some(want - 1)), "{name}");
        assert_eq!(
            adjusted_rand_index(&tree.cut_number(want).unwrap(), &truth).unwrap(),
            1.0,
            "{name}"
        );
    }
}

/// Grains of at least 8 positions.
fn grains(truth: &[i32]) -> usize {
    let mut sizes = std::collections::BTreeMap::<i32, usize>::new();
    truth.iter().for_each(|&g| *sizes.entry(g).or_default() += 1);
    sizes.values().filter(|&&n| n >= 8).count()
}

fn scan(seed: u64, nav: [usize; 2], grains: usize, dose: f64, strain_max: f64) -> Polycrystal {
    Polycrystal {
        nav,
        sig: [128, 128],
        seed,
        dose,
        strain_max,
        grains: Some(Grains::Count(grains)),
        ..Default::default()
    }
}

#[test]
fn ten_simulated_scans() {
    let scans = [
        scan(11, [24, 30], 3, 1.0, 0.015),
        scan(12, [30, 28], 5, 0.3, 0.015),
        scan(13, [36, 40], 8, 1.0, 0.015),
        scan(14, [40, 33], 4, 0.05, 0.015),
        scan(15, [40, 50], 15, 1.0, 0.015),
        scan(16, [28, 52], 7, 0.1, 0.01),
        scan(17, [48, 48], 12, 0.02, 0.015),
        scan(18, [32, 32], 6, 1.0, 0.04),
        scan(19, [44, 38], 10, 2.0, 0.03),
        scan(20, [64, 64], 14, 0.5, 0.02),
    ];
    let mut exact = 0;
    for p in &scans {
        let (choice, tree, truth) = cluster(p);
        let (want, got) = (grains(&truth), choice.clusters);
        let labels = tree.cut_number(got).unwrap();
        let index = adjusted_rand_index(&labels, &truth).unwrap();
        println!(
            "seed {}: {got} for {want} grains, then {:?}; Rand index {index:.3}",
            p.seed, choice.runner_up
        );
        assert!(got.abs_diff(want) <= 1, "seed {}: {got} clusters for {want} grains", p.seed);
        assert!(index > 0.9, "seed {}: Rand index {index}", p.seed);
        exact += usize::from(got == want);
    }
    assert!(exact >= 8, "{exact} of 10 exact");
}

#[test]
fn one_grain_is_one_cluster() {
    for (seed, dose, strain) in [(31, 1.0, 0.015), (32, 0.05, 0.015), (33, 1.0, 0.04)] {
        let (choice, _, _) = cluster(&scan(seed, [30, 34], 1, dose, strain));
        assert_eq!(choice.clusters, 1, "seed {seed}");
    }
}

#[test]
fn a_weak_superlattice_is_a_grain_of_its_own() {
    // Same lattice, same intensities; one of the grains has superlattice spots of a tenth of the others.
    let grain = |at, superlattice, rotation| Grain {
        at,
        a: 16.0,
        b: 21.0,
        rotation,
        gamma: 90.0,
        superlattice,
        spots: Some(0),
    };
    let list = vec![
        grain([0.3, 0.2], 0.0, 14.0),
        grain([0.5, 0.55], 0.12, 14.0),
        grain([0.6, 0.9], 0.0, 60.0),
    ];
    let p = Polycrystal {
        grains: Some(Grains::List(list)),
        ..scan(41, [30, 40], 3, 1.0, 0.015)
    };
    let (choice, tree, truth) = cluster(&p);
    assert_eq!(choice.clusters, 3);
    assert!(adjusted_rand_index(&tree.cut_number(3).unwrap(), &truth).unwrap() > 0.99);
}

/// Features of a field on a grid, with unit noise.
fn noisy(nav: [usize; 2], columns: usize, seed: u64, field: impl Fn(usize, usize, usize) -> f64) -> Array2<f32> {
    let source = Source::new(seed, 250);
    Array2::from_shape_fn((nav[0] * nav[1], columns), |(i, c)| {
        (field(i / nav[1], i % nav[1], c) + source.normal2(i as u64, c as u32)[0]) as f32
    })
}

fn choice_of(features: ArrayView2<f32>, grid: &Grid) -> Choice {
    choose(
        &ward(features.to_owned(), grid, &Control::new()).unwrap(),
        features,
        grid,
        &Control::new(),
    )
    .unwrap()
}

#[test]
fn a_step_is_a_boundary_and_a_slope_of_the_same_height_is_not() {
    let grid = Grid::full([30, 40]).unwrap();
    let step = noisy([30, 40], 30, 1, |_, x, c| if c < 10 && x >= 20 { 2.0 } else { 0.0 });
    let c = choice_of(step.view(), &grid);
    assert_eq!(c.clusters, 2);
    assert!(
        (c.splits[0].contrast - 1.0).abs() < 0.15 && c.splits[0].weight > 0.7,
        "{:?}",
        c.splits[0]
    );
    let slope = noisy([30, 40], 30, 1, |_, x, c| if c < 10 { x as f64 * 0.2 } else { 0.0 });
    assert_eq!(choice_of(slope.view(), &grid).clusters, 1);
    let nothing = noisy([30, 40], 30, 1, |_, _, _| 0.0);
    assert_eq!(choice_of(nothing.view(), &grid).clusters, 1);
}

#[test]
fn numbers_of_a_small_tree_by_hand() {
    // Four positions in a row with values 0, 0, 6, 6: one boundary in the middle, no noise inside.
    let tree = Tree::new(4, vec![[0, 1], [2, 3], [4, 5]], vec![0.0, 0.0, 12.0]).unwrap();
    let features = Array2::from_shape_vec((4, 1), vec![0f32, 0.0, 6.0, 6.0]).unwrap();
    let pairs = [[0, 1], [1, 2], [2, 3]];
    let c = choose_with(&tree, features.view(), pairs.into_iter(), &Control::new()).unwrap();
    assert_eq!((c.scores.len(), c.splits.len()), (2, 1));
    let s = c.splits[0];
    assert_eq!(
        (s.clusters, s.distance, s.smaller, s.contrast, s.cost),
        (2, 12.0, 2, 1.0, f64::INFINITY)
    );
    // Two positions are too few to be a crystallite.
    assert_eq!((s.weight, c.clusters, c.runner_up), (0.0, 1, Some(2)));
}

#[test]
fn parts_that_do_not_touch_stay_apart() {
    let mask = Array2::from_shape_fn((12, 21), |(_, x)| x != 10);
    let grid = Grid::masked(mask.view()).unwrap();
    let features = noisy([12, 20], 10, 5, |_, _, _| 0.0);
    let c = choice_of(features.view(), &grid);
    assert_eq!(c.clusters, 2);
    assert_eq!(c.splits[0].weight, 1.0);
}

#[test]
fn odd_inputs_give_a_number_or_an_error() {
    let control = Control::new();
    let single = Tree::new(1, Vec::new(), Vec::new()).unwrap();
    let c = choose(&single, Array2::zeros((1, 3)).view(), &Grid::full([1, 1]).unwrap(), &control).unwrap();
    assert_eq!((c.clusters, c.runner_up, c.scores), (1, None, vec![0.0]));
    // All the same: no noise, no difference.
    let grid = Grid::full([10, 10]).unwrap();
    assert_eq!(choice_of(Array2::ones((100, 2)).view(), &grid).clusters, 1);
    let tree = ward(Array2::ones((100, 2)), &grid, &control).unwrap();
    assert!(choose(&tree, Array2::ones((99, 2)).view(), &grid, &control).is_err());
    assert!(choose(&tree, Array2::ones((100, 2)).view(), &Grid::full([9, 11]).unwrap(), &control).is_err());
    assert!(choose_with(&tree, Array2::ones((100, 2)).view(), [[0, 100]].into_iter(), &control).is_err());
    control.cancel();
    assert!(matches!(
        choose(&tree, Array2::ones((100, 2)).view(), &grid, &control),
        Err(emstream::Error::Cancelled)
    ));
}
