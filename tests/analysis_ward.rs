//! Ward clustering against a slow, obvious version; scan masks, disconnected parts, ties, bad input.

use emstream::analysis::grid::Grid;
use emstream::analysis::tree::Tree;
use emstream::analysis::ward::ward;
use emstream::{Control, Error};
use ndarray::{Array2, ArrayView2};
use std::collections::BTreeSet;

/// Numbers in 0..1 from a linear congruential generator.
struct Noise(u64);
impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }
    fn features(&mut self, n: usize, p: usize) -> Array2<f32> {
        Array2::from_shape_simple_fn((n, p), || self.next() as f32)
    }
}

/// Every pair of clusters is looked at before every merge; means come from the members. Disconnected parts join when no
/// neighbours are left.
fn oracle(features: ArrayView2<f32>, grid: &Grid) -> (Vec<[u32; 2]>, Vec<f64>) {
    let at: Vec<[usize; 2]> = grid.positions().collect();
    let n = at.len();
    let mean = |members: &[usize]| -> Vec<f64> {
        let column = |c| members.iter().map(|&m| f64::from(features[[m, c]])).sum::<f64>() / members.len() as f64;
        (0..features.ncols()).map(column).collect()
    };
    let touch = |a: &[usize], b: &[usize]| {
        a.iter().any(|&a| {
            b.iter()
                .any(|&b| at[a][0].abs_diff(at[b][0]) + at[a][1].abs_diff(at[b][1]) == 1)
        })
    };
    let mut clusters: Vec<(u32, Vec<usize>)> = (0..n).map(|i| (i as u32, vec![i])).collect();
    let (mut children, mut distances) = (Vec::new(), Vec::new());
    while clusters.len() > 1 {
        let search = |all: bool| {
            let mut best: Option<(f64, u32, u32)> = None;
            for (i, (a, of_a)) in clusters.iter().enumerate() {
                for (b, of_b) in &clusters[..i] {
                    if all || touch(of_a, of_b) {
                        let (na, nb) = (of_a.len() as f64, of_b.len() as f64);
                        let apart: f64 = mean(of_a).iter().zip(mean(of_b)).map(|(x, y)| (x - y) * (x - y)).sum();
                        let key = (na * nb / (na + nb) * apart, *a.max(b), *a.min(b));
                        if best.is_none_or(|best| key < best) {
                            best = Some(key);
                        }
                    }
                }
            }
            best
        };
        let near = search(false);
        let (cost, newer, older) = near.or_else(|| search(true)).unwrap();
        children.push([older, newer]);
        distances.push(if near.is_some() { (2.0 * cost).sqrt() } else { f64::INFINITY });
        let take = |id: u32, clusters: &mut Vec<(u32, Vec<usize>)>| {
            let i = clusters.iter().position(|c| c.0 == id).unwrap();
            clusters.remove(i).1
        };
        let mut members = take(newer, &mut clusters);
        members.extend(take(older, &mut clusters));
        clusters.push(((n + children.len() - 1) as u32, members));
    }
    (children, distances)
}

fn check(features: Array2<f32>, grid: &Grid) -> Tree {
    let (children, distances) = oracle(features.view(), grid);
    let tree = ward(features, grid, &Control::new()).unwrap();
    assert_eq!(tree.children(), children);
    for (a, b) in tree.distances().iter().zip(&distances) {
        assert!(a == b || (a - b).abs() < 1e-9 * b, "{a} {b}");
    }
    tree
}

#[test]
fn equals_the_oracle_on_full_grids() {
    for seed in 0..12 {
        let mut noise = Noise(seed);
        for (shape, p) in [([5, 7], 3), ([1, 12], 1), ([9, 1], 20), ([6, 6], 70)] {
            check(noise.features(shape[0] * shape[1], p), &Grid::full(shape).unwrap());
        }
    }
}

#[test]
fn equals_the_oracle_with_holes_and_parts() {
    let mut several = 0;
    for seed in 0..24 {
        let mut noise = Noise(1000 + seed);
        let share = [0.8, 0.5, 0.3][seed as usize % 3];
        let mask = Array2::from_shape_simple_fn((6, 8), || noise.next() < share);
        let grid = Grid::masked(mask.view()).unwrap();
        let tree = check(noise.features(grid.len(), 4), &grid);
        let parts = 1 + tree.distances().iter().filter(|d| d.is_infinite()).count();
        several += usize::from(parts > 2);
        // All joins of parts come last.
        assert!(tree.distances()[grid.len() - parts..].iter().all(|d| d.is_infinite()));
        assert_eq!(tree.clusters_at(f64::INFINITY).unwrap(), parts);
        let labels = tree.cut_number(parts).unwrap();
        for (i, [y, x]) in grid.positions().enumerate() {
            for (j, [v, u]) in grid.positions().enumerate() {
                if y.abs_diff(v) + x.abs_diff(u) == 1 {
                    assert_eq!(labels[i], labels[j], "neighbours are in one part");
                }
            }
        }
    }
    assert!(several > 8);
}

#[test]
fn equals_the_oracle_in_any_order_of_selection() {
    let mut noise = Noise(7);
    let mut frames: Vec<u64> = (0..30).collect();
    for i in (1..30).rev() {
        frames.swap(i, (noise.next() * (i + 1) as f64) as usize);
    }
    let grid = Grid::selected([5, 6], &frames[..26]).unwrap();
    check(noise.features(26, 5), &grid);
}

/// Equal features make every cost a tie: the order is by node numbers.
#[test]
fn ties_follow_the_node_numbers() {
    check(Array2::from_elem((20, 3), 2.5), &Grid::full([4, 5]).unwrap());
    // Small whole numbers: many ties, all sums exact.
    for seed in 0..6 {
        let mut noise = Noise(seed);
        let features = Array2::from_shape_simple_fn((30, 2), || (noise.next() * 3.0).floor() as f32);
        let grid = Grid::full([5, 6]).unwrap();
        let tree = ward(features.clone(), &grid, &Control::new()).unwrap();
        assert_eq!(tree.children()[0], oracle(features.view(), &grid).0[0]);
    }
}

#[test]
fn many_parts() {
    // A chequerboard: no two positions are neighbours, more parts than are joined pair by pair.
    let mask = Array2::from_shape_fn((60, 60), |(y, x)| (y + x) % 2 == 0);
    let grid = Grid::masked(mask.view()).unwrap();
    let mut noise = Noise(3);
    let tree = ward(noise.features(grid.len(), 3), &grid, &Control::new()).unwrap();
    assert_eq!(tree.children().len(), 1799);
    assert!(tree.distances().iter().all(|d| d.is_infinite()));
    assert_eq!(tree.cut_distance(1.0).unwrap(), (0..1800).collect::<Vec<i32>>());
    assert_eq!(tree.cut_number(5).unwrap().iter().max(), Some(&4));
}

#[test]
fn one_position() {
    let tree = ward(Array2::ones((1, 4)), &Grid::full([1, 1]).unwrap(), &Control::new()).unwrap();
    assert_eq!(tree.leaves(), 1);
    assert_eq!(tree.cut_number(1).unwrap(), [0]);
    assert_eq!(tree.cut_distance(0.0).unwrap(), [0]);
}

#[test]
fn labels_are_numbered_in_order_and_counted() {
    let mut noise = Noise(11);
    let grid = Grid::full([7, 8]).unwrap();
    let tree = ward(noise.features(56, 6), &grid, &Control::new()).unwrap();
    for k in 1..=56 {
        let labels = tree.cut_number(k).unwrap();
        let mut next = 0;
        for &l in &labels {
            assert!(l <= next);
            next = next.max(l + 1);
        }
        assert_eq!(next as usize, k);
        assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), k);
    }
    let map = grid.map(&tree.cut_number(3).unwrap(), -1).unwrap();
    assert_eq!(map.dim(), (7, 8));
}

#[test]
fn fortran_ordered_features_give_the_same_tree() {
    let mut noise = Noise(5);
    let features = noise.features(20, 7);
    let grid = Grid::full([4, 5]).unwrap();
    let a = ward(features.clone(), &grid, &Control::new()).unwrap();
    let turned = features.t().as_standard_layout().into_owned().reversed_axes();
    assert!(!turned.is_standard_layout());
    assert_eq!(ward(turned, &grid, &Control::new()).unwrap(), a);
    let sliced = ndarray::concatenate![ndarray::Axis(0), Array2::ones((2, 7)), features].slice_move(ndarray::s![2.., ..]);
    assert_eq!(ward(sliced, &grid, &Control::new()).unwrap(), a);
}

#[test]
fn bad_input_is_an_error() {
    let control = Control::new();
    let grid = Grid::full([2, 3]).unwrap();
    let parameter = |r: Result<Tree, Error>, says: &str| match r {
        Err(Error::Parameter { what, .. }) => assert!(what.contains(says), "{what}"),
        other => panic!("{other:?}"),
    };
    parameter(ward(Array2::zeros((5, 2)), &grid, &control), "5 rows for 6 positions");
    parameter(ward(Array2::zeros((6, 0)), &grid, &control), "none");
    let mut nan = Array2::zeros((6, 2));
    nan[[4, 1]] = f32::NAN;
    parameter(ward(nan, &grid, &control), "feature 1 of selected frame 4 is NaN");
    let tree = ward(Array2::zeros((6, 2)), &grid, &control).unwrap();
    assert!(tree.cut_number(0).is_err() && tree.cut_number(7).is_err());
    assert!(tree.cut_distance(f64::NAN).is_err() && tree.cut_distance(-1.0).is_err());
    control.cancel();
    assert!(matches!(ward(Array2::zeros((6, 2)), &grid, &control), Err(Error::Cancelled)));

    for (shape, frames) in [
        ([2, 3], vec![]),
        ([2, 3], vec![6]),
        ([2, 3], vec![1, 1]),
        ([2, 3], vec![u64::MAX]),
    ] {
        assert!(
            matches!(Grid::selected(shape, &frames), Err(Error::Parameter { .. })),
            "{frames:?}"
        );
    }
    for shape in [[0, 3], [3, 0], [1 << 20, 1 << 11], [usize::MAX, 2]] {
        assert!(matches!(Grid::full(shape), Err(Error::Parameter { .. })), "{shape:?}");
    }
    assert!(grid.map(&[1, 2], 0).is_err());
    for (leaves, children, distances) in [
        (0, vec![], vec![]),
        (3, vec![[0, 1]], vec![1.0]),
        (3, vec![[0, 1], [0, 2]], vec![1.0, 2.0]),
        (3, vec![[0, 3], [1, 2]], vec![1.0, 2.0]),
        (3, vec![[0, 1], [2, 3]], vec![1.0, f64::NAN]),
        (3, vec![[0, 0], [2, 3]], vec![1.0, 1.0]),
    ] {
        assert!(Tree::new(leaves, children, distances).is_err());
    }
}

/// A scan of the size that people record, in seconds. Grains with noise, so that clusters grow large.
#[test]
fn full_size() {
    let (shape, p) = ([240, 250], 302);
    let grid = Grid::full(shape).unwrap();
    let mut noise = Noise(1);
    let mut features = noise.features(grid.len(), p);
    let truth: Vec<i32> = grid.positions().map(|[y, x]| ((y / 60) * 4 + x / 63) as i32).collect();
    for (mut row, &g) in features.rows_mut().into_iter().zip(&truth) {
        row.iter_mut()
            .enumerate()
            .for_each(|(c, v)| *v += if c as i32 * (g + 3) % 17 < 4 { 0.6 } else { 0.0 });
    }
    let start = std::time::Instant::now();
    let tree = ward(features, &grid, &Control::new()).unwrap();
    println!(
        "{} positions × {p} features: {:.2} s",
        grid.len(),
        start.elapsed().as_secs_f64()
    );
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        status
            .lines()
            .filter(|l| l.starts_with("VmHWM"))
            .for_each(|l| println!("{l}"));
    }
    assert_eq!(
        emstream::analysis::compare::adjusted_rand_index(&tree.cut_number(16).unwrap(), &truth).unwrap(),
        1.0
    );
}
