//! HDBSCAN against the Python package hdbscan 0.8.44 (tests/data/README.md).

mod lattice_data;

use emstream::analysis::hdbscan::{Clustering, Hdbscan, Selection, core_distances, spanning_tree};
use lattice_data::{Npz, Random};
use ndarray::{Array2, Axis};
use std::collections::HashMap;

fn cases() -> Vec<(&'static str, Hdbscan)> {
    let of = |min_cluster_size, min_samples| Hdbscan {
        min_cluster_size,
        min_samples,
        ..Hdbscan::default()
    };
    let leaf = |h| Hdbscan {
        selection: Selection::Leaf,
        ..h
    };
    vec![
        ("blobs2", of(10, None)),
        ("blobs3", of(15, Some(5))),
        ("blobs5", of(8, Some(1))),
        ("moons", of(20, Some(5))),
        ("nested_eom", of(25, Some(10))),
        ("nested_leaf", leaf(of(25, Some(10)))),
        ("uniform", of(10, None)),
        ("uniform_leaf", leaf(of(10, None))),
        (
            "single",
            Hdbscan {
                allow_single_cluster: true,
                ..of(15, None)
            },
        ),
        ("differences", of(5, Some(1))),
        ("coinciding", of(5, Some(2))),
    ]
}

/// Checks that two labellings are the same partition with the same noise.
fn same_partition(a: &[i32], b: &[i32]) -> bool {
    let (mut there, mut back) = (HashMap::from([(-1, -1)]), HashMap::from([(-1, -1)]));
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(x, y)| *there.entry(*x).or_insert(*y) == *y && *back.entry(*y).or_insert(*x) == *x)
}

#[test]
fn labels_and_probabilities_are_those_of_the_package() {
    for (name, hdbscan) in cases() {
        let mut file = Npz::open(&format!("hdbscan/{name}.npz"));
        let found = hdbscan.fit(file.matrix("points").view()).unwrap();
        let labels: Vec<i32> = file.i32("labels").into_iter().collect();
        assert!(same_partition(&found.labels, &labels), "{name}");
        assert_eq!(found.len() as i32, labels.iter().max().unwrap() + 1, "{name}");
        for (n, (p, q)) in found.probabilities.iter().zip(file.f64("probabilities").iter()).enumerate() {
            assert!((p - q).abs() < 1e-9, "{name}: point {n}: {p} instead of {q}");
        }
    }
}

/// Points that change their cluster if every cluster of `a` is taken for the cluster of `b` that it shares most points with.
fn moved(a: &[i32], b: &[i32]) -> usize {
    let mut shared: HashMap<i32, HashMap<i32, usize>> = HashMap::new();
    for (x, y) in a.iter().zip(b) {
        *shared.entry(*x).or_default().entry(*y).or_default() += 1;
    }
    a.len() - shared.values().filter_map(|s| s.values().max()).sum::<usize>()
}

/// The package's default algorithm (dual-tree Borůvka, approximate) breaks ties of mutual reachability differently than its
/// Prim's algorithm and this one. That moves few points: 17 of 1700 in `blobs3`, where 9 % of the merges have the same height
/// as another and the package's two exact trees have the same heights, and at most two elsewhere.
#[test]
fn the_default_algorithm_of_the_package_differs_only_in_ties() {
    for (name, hdbscan) in cases() {
        let mut file = Npz::open(&format!("hdbscan/{name}.npz"));
        let found = hdbscan.fit(file.matrix("points").view()).unwrap();
        let default: Vec<i32> = file.i32("default_labels").into_iter().collect();
        let differ = moved(&found.labels, &default).max(moved(&default, &found.labels));
        assert!(
            differ <= if name == "blobs3" { 17 } else { 2 },
            "{name}: {differ} points differ"
        );
    }
}

#[test]
fn core_distances_and_tree_by_brute_force() {
    let mut random = Random(3);
    let points = Array2::from_shape_fn((150, 3), |_| random.uniform(-1.0, 1.0));
    let d = |i: usize, j: usize| (&points.row(i) - &points.row(j)).mapv(|v| v * v).sum().sqrt();
    for k in [1, 4, 70, 149] {
        let core = core_distances(points.view(), k);
        assert_eq!(core.len(), 150);
        for (i, found) in core.iter().enumerate() {
            let mut all: Vec<f64> = (0..150).filter(|j| *j != i).map(|j| d(i, j)).collect();
            all.sort_by(f64::total_cmp);
            assert!((found - all[k - 1]).abs() < 1e-15);
        }
        // Kruskal's tree has the same total length.
        let mut edges: Vec<(f64, usize, usize)> = (0..150)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| (d(i, j).max(core[i]).max(core[j]), i, j))
            .collect();
        edges.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut group: Vec<usize> = (0..150).collect();
        let mut total = 0.0;
        for (w, i, j) in edges {
            if group[i] != group[j] {
                total += w;
                let (from, to) = (group[i], group[j]);
                group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
            }
        }
        let tree = spanning_tree(points.view(), &core);
        assert_eq!(tree.len(), 149);
        assert!((tree.iter().map(|e| e.distance).sum::<f64>() - total).abs() < 1e-12);
    }
}

#[test]
fn small_and_bad_inputs() {
    let noise = |c: &Clustering, n: usize| c.labels == vec![-1; n] && c.probabilities == vec![0.0; n] && c.is_empty();
    let h = Hdbscan::default();
    for n in 0..5 {
        let points = Array2::from_shape_fn((n, 2), |(i, k)| (i * 3 + k) as f64);
        assert!(noise(&h.fit(points.view()).unwrap(), n), "{n}");
    }
    // All points in one place; no coordinates at all.
    assert!(noise(&h.fit(Array2::zeros((20, 2)).view()).unwrap(), 20));
    assert!(noise(&h.fit(Array2::zeros((20, 0)).view()).unwrap(), 20));
    let mut points = Array2::from_shape_fn((20, 2), |(i, k)| (i * k) as f64);
    points[[7, 1]] = f64::NAN;
    assert!(h.fit(points.view()).unwrap_err().to_string().contains("point 7"));
    assert!(
        Hdbscan {
            min_cluster_size: 1,
            ..h
        }
        .fit(Array2::zeros((3, 2)).view())
        .is_err()
    );
    assert!(
        Hdbscan {
            min_samples: Some(0),
            ..h
        }
        .fit(Array2::zeros((3, 2)).view())
        .is_err()
    );
}

#[test]
fn layout_does_not_matter() {
    let points = Npz::open("hdbscan/moons.npz").matrix("points");
    let h = Hdbscan {
        min_cluster_size: 20,
        min_samples: Some(5),
        ..Hdbscan::default()
    };
    let mut columns = Array2::zeros((points.ncols(), points.nrows()));
    columns.assign(&points.t());
    let mut padded = Array2::from_elem((points.nrows(), 4), 1e9);
    padded.slice_axis_mut(Axis(1), (0..2).into()).assign(&points);
    let plain = h.fit(points.view()).unwrap();
    assert_eq!(h.fit(columns.t()).unwrap(), plain);
    assert_eq!(h.fit(padded.slice_axis(Axis(1), (0..2).into())).unwrap(), plain);
}
