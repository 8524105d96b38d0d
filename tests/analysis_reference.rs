//! Analysis against LiberTEM, scikit-learn and the truth of two simulated scans (tests/data/README.md).

use emstream::Control;
use emstream::analysis::Recipe;
use emstream::analysis::compare::adjusted_rand_index;
use emstream::analysis::correlate::correlation_map;
use emstream::analysis::features::{column_scale, feature_matrix};
use emstream::analysis::grid::Grid;
use emstream::analysis::peaks::{Peak, find_peaks};
use emstream::analysis::template::{Pattern, Template, balance, ring};
use emstream::analysis::tree::Tree;
use emstream::analysis::ward::ward;
use ndarray::{Array1, Array2, ArrayD, ArrayView2, IxDyn, ShapeBuilder, s};
use std::path::Path;

fn unpack<T: npyz::Deserialize, R: std::io::Read>(file: npyz::NpyFile<R>) -> ArrayD<T> {
    let shape: Vec<usize> = file.shape().iter().map(|&n| n as usize).collect();
    let fortran = file.order() == npyz::Order::Fortran;
    ArrayD::from_shape_vec(IxDyn(&shape).set_f(fortran), file.into_vec().unwrap()).unwrap()
}

fn load<T: npyz::Deserialize>(name: &str) -> ArrayD<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    if name.ends_with("npz") {
        unpack(npyz::npz::NpzArchive::open(path).unwrap().by_name("data").unwrap().unwrap())
    } else {
        unpack(npyz::NpyFile::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).unwrap())
    }
}

fn image(name: &str) -> Array2<f64> {
    load::<f64>(name).into_dimensionality().unwrap()
}
fn image_f32(name: &str) -> Array2<f64> {
    load::<f32>(name).into_dimensionality().unwrap().mapv(f64::from)
}
fn labels(name: &str) -> Vec<i32> {
    load::<i32>(name).into_iter().collect()
}
fn places(name: &str) -> Vec<[usize; 2]> {
    load::<i64>(name)
        .into_dimensionality::<ndarray::Ix2>()
        .unwrap()
        .rows()
        .into_iter()
        .map(|r| [r[0] as usize, r[1] as usize])
        .collect()
}

fn largest<'a>(a: impl IntoIterator<Item = &'a f64>) -> f64 {
    a.into_iter().fold(0.0, |m, v| v.abs().max(m))
}
fn difference(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    largest(&(a - b))
}
fn at(peaks: &[Peak]) -> Vec<[usize; 2]> {
    peaks.iter().map(|p| [p.y, p.x]).collect()
}
fn ari(a: &[i32], b: &[i32]) -> f64 {
    adjusted_rand_index(a, b).unwrap()
}

fn polycrystal_pattern() -> Template {
    Template::parse("background:1.5,2.5", |_| panic!("no file")).unwrap()
}
fn bullseye_template() -> Template {
    Template::parse("template.npy", |p| Ok(image(&format!("bullseye/{}", p.display())))).unwrap()
}
/// ln(std − min + 1), as the notebook does.
fn bullseye_log_std() -> Array2<f64> {
    let std = image("bullseye/stddev_std.npz");
    let lowest = std.iter().copied().fold(f64::INFINITY, f64::min);
    std.mapv(|v| (v - lowest + 1.0).ln())
}

#[test]
fn templates_in_stamps_and_windows() {
    let t = polycrystal_pattern();
    assert_eq!(t.crop(), 3);
    assert!(difference(&t.stamp(), &image("polycrystal/std_pattern_stamp.npy")) < 1e-12);
    let t = Template::named("background", 1.5, Some(4.0)).unwrap();
    assert_eq!(t.crop(), 4);
    for window in [t.window(8, 8), t.window_published(8, 8)] {
        assert!(difference(&window, &image("polycrystal/refine_pattern_fast.npy")) < 1e-12);
    }
    assert!(difference(&t.window(9, 9), &image("polycrystal/refine_pattern_sparse.npy")) < 1e-12);
}

#[test]
fn user_template_in_stamp_and_frame() {
    let t = bullseye_template();
    assert!((t.search() - 21.92).abs() < 0.01);
    assert!(difference(&t.stamp(), &image("bullseye/template_stamp.npy")) == 0.0);
    let published = image_f32("bullseye/template_in_frame.npz");
    assert!(difference(&t.window_published(250, 250), &published) < 1e-7);
    // The right window is the published one moved by one pixel, so that its centre is at (125, 125).
    let right = t.window(250, 250);
    assert!(
        difference(
            &right.slice(s![1.., 1..]).to_owned(),
            &published.slice(s![..249, ..249]).to_owned()
        ) < 1e-7
    );
    assert_eq!(right[[125, 125]], image("bullseye/template.npy")[[15, 15]]);
}

#[test]
fn rings_and_balance_make_the_bullseye() {
    let mut t = Array2::from_shape_fn((31, 31), |(y, x)| {
        let (dy, dx) = (y as f64 - 15.0, x as f64 - 15.0);
        let r = dy.hypot(dx);
        let value = ring(r, 0.0, 2.8) + ring(r, 8.0, 11.5);
        if r > 16.0 {
            0.0
        } else if value == 0.0 || (r >= 8.0 && (dy.abs() <= 1.0 || dx.abs() <= 1.0)) {
            -0.01
        } else {
            value
        }
    });
    balance(&mut t);
    assert!(difference(&t, &image("bullseye/template.npy")) < 1e-12);
    assert!(t.sum().abs() < 1e-10);
}

#[test]
fn polycrystal_correlation_and_peaks() {
    let std = image("polycrystal/stddev_std.npy");
    let want = image("polycrystal/std_correlation.npy");
    // Even frames and a point-symmetric pattern: both recipes agree.
    for recipe in [Recipe::Published, Recipe::Default] {
        let map = correlation_map(std.view(), &polycrystal_pattern(), recipe).unwrap();
        assert!(difference(&map, &want) < 1e-12 * largest(&want), "{recipe}");
        assert_eq!(
            at(&find_peaks(map.view(), 300)),
            places("polycrystal/std_peaks.npy"),
            "{recipe}"
        );
        assert_eq!(find_peaks(map.view(), 10_000).len(), 901, "{recipe}");
    }
}

#[test]
fn bullseye_correlation_and_peaks_as_published() {
    let template = bullseye_template();
    for (map, want, n, peaks) in [
        (
            image_f32("bullseye/logsum.npy"),
            "bullseye/logsum_correlation.npz",
            1,
            "bullseye/zero_peak.npy",
        ),
        (
            bullseye_log_std(),
            "bullseye/std_correlation.npz",
            500,
            "bullseye/std_peaks.npy",
        ),
    ] {
        let map = correlation_map(map.view(), &template, Recipe::Published).unwrap();
        let want = image_f32(want);
        assert!(difference(&map, &want) < 1e-6 * largest(&want));
        assert_eq!(at(&find_peaks(map.view(), n)), places(peaks));
    }
}

#[test]
fn bullseye_zero_peak_by_truth() {
    let truth = load::<f32>("bullseye/true_zero.npy");
    let mean = |axis: usize| f64::from(truth.index_axis(ndarray::Axis(2), axis).mean().unwrap());
    let template = bullseye_template();
    assert_eq!(template.offset(), [0.0, 0.0]);
    let logsum = image_f32("bullseye/logsum.npy");
    let map = correlation_map(logsum.view(), &template, Recipe::Default).unwrap();
    let zero = find_peaks(map.view(), 1)[0];
    assert!((zero.y as f64 - mean(0)).abs() <= 0.5, "{} {}", zero.y, mean(0));
    assert!((zero.x as f64 - mean(1)).abs() <= 0.5, "{} {}", zero.x, mean(1));
    // The published one is off by one pixel in each direction.
    let published = places("bullseye/zero_peak.npy")[0];
    assert_eq!([zero.y, zero.x], published.map(|p| p + 1));
}

#[test]
fn bullseye_peaks_are_the_published_ones_moved_by_one() {
    let map = correlation_map(bullseye_log_std().view(), &bullseye_template(), Recipe::Default).unwrap();
    let (got, want) = (at(&find_peaks(map.view(), 500)), places("bullseye/std_peaks.npy"));
    // The template is point-symmetric, so away from the borders nothing else differs.
    let inside = |p: &&[usize; 2]| p.iter().all(|&v| (3..247).contains(&v));
    let moved: Vec<[usize; 2]> = want.iter().map(|p| p.map(|v| v + 1)).collect();
    let (got, moved): (Vec<_>, Vec<_>) = (got.iter().filter(inside).collect(), moved.iter().filter(inside).collect());
    assert!(moved.len() > 450);
    assert_eq!(got[..450], moved[..450]);
}

/// Rows of the file are features; features are columns here.
fn features(name: &str) -> Array2<f32> {
    load::<f32>(name)
        .into_dimensionality::<ndarray::Ix2>()
        .unwrap()
        .reversed_axes()
        .as_standard_layout()
        .into_owned()
}

#[test]
fn features_are_scaled_as_in_the_reference() {
    let raw = features("bullseye/feature_vectors.npz");
    let want = features("bullseye/feature_vectors_normalised.npz");
    let grid = Grid::full([24, 28]).unwrap();
    let scale = column_scale(raw.view()).unwrap();
    assert_eq!(scale.len(), 500);
    let got = feature_matrix(raw.view(), &scale, &grid, 0.0).unwrap();
    assert_eq!(got.dim(), want.dim());
    for (column, raw) in raw.columns().into_iter().enumerate() {
        let mean = raw.iter().map(|&v| f64::from(v).abs()).sum::<f64>() / 672.0;
        assert!((scale[column] - mean).abs() < 1e-14 * mean);
        // The reference divides by a mean that was summed in float32, one rounding for each of 672 frames: its error, at most
        // 672 · 2⁻²⁴ (2e-6 in fact), is the same for the whole column, so the columns are proportional to float32 precision.
        let largest = (0..672usize).max_by(|&a, &b| raw[a].abs().total_cmp(&raw[b].abs())).unwrap();
        let ratio = f64::from(want[[largest, column]]) / f64::from(got[[largest, column]]);
        assert!((ratio - 1.0).abs() < 672.0 * 2f64.powi(-24), "{ratio}");
        for (&a, &b) in got.column(column).iter().zip(want.column(column)) {
            assert!(
                (f64::from(a) * ratio - f64::from(b)).abs() <= 2.5e-7 * f64::from(b).abs(),
                "{a} {b}"
            );
        }
    }
}

#[test]
fn positions_are_weighted_as_in_the_reference() {
    let want = features("polycrystal/feature_vectors_normalised.npz");
    let values = want.slice(s![.., ..300]);
    let scale = column_scale(values).unwrap();
    assert!(scale.iter().all(|s| (s - 1.0).abs() < 1e-6));
    let got = feature_matrix(values, &vec![1.0; 300], &Grid::full([40, 50]).unwrap(), 0.2).unwrap();
    assert_eq!(got, want);
}

/// The tree, and the checks that both scans share.
fn reference_tree(scan: &str, shape: [usize; 2]) -> Tree {
    let features = features(&format!("{scan}/feature_vectors_normalised.npz"));
    let tree = ward(features, &Grid::full(shape).unwrap(), &Control::new()).unwrap();
    let children = load::<i32>(&format!("{scan}/ward_children.npy"));
    let got: Vec<i32> = tree.children().iter().flatten().map(|&c| c as i32).collect();
    assert_eq!(
        got,
        children.into_iter().collect::<Vec<_>>(),
        "{scan}: the same merges in the same order"
    );
    let distances: Array1<f64> = load(&format!("{scan}/ward_distances.npy")).into_dimensionality().unwrap();
    let top = largest(&distances);
    for (a, b) in tree.distances().iter().zip(&distances) {
        assert!((a - b).abs() < 1e-9 * top, "{scan}: {a} {b}");
    }
    tree
}

#[test]
fn polycrystal_ward() {
    let tree = reference_tree("polycrystal", [40, 50]);
    let truth = labels("polycrystal/true_grain_id.npy");
    let eight = tree.cut_number(8).unwrap();
    let six = tree.cut_number(6).unwrap();
    assert_eq!(ari(&eight, &labels("polycrystal/ward_labels.npy")), 1.0);
    assert_eq!(ari(&six, &labels("polycrystal/ward_labels_true_count.npy")), 1.0);
    assert_eq!(ari(&six, &truth), 1.0);
    assert!((ari(&eight, &truth) - 0.9209727593408777).abs() < 1e-12);
}

#[test]
fn bullseye_ward() {
    let tree = reference_tree("bullseye", [24, 28]);
    let truth = labels("bullseye/true_grain_id.npy");
    let at_140 = tree.cut_distance(140.0).unwrap();
    assert_eq!(at_140.iter().max(), Some(&7));
    assert_eq!(ari(&at_140, &labels("bullseye/ward_labels.npy")), 1.0);
    assert_eq!(ari(&at_140, &truth), 1.0);
    let at_200 = tree.cut_distance(200.0).unwrap();
    assert_eq!(tree.clusters_at(200.0).unwrap(), 6);
    assert_eq!(ari(&at_200, &labels("bullseye/ward_labels_notebook_threshold.npy")), 1.0);
    assert!((ari(&at_200, &truth) - 0.7786950784726457).abs() < 1e-12);
    let eight = tree.cut_number(8).unwrap();
    assert_eq!(ari(&eight, &labels("bullseye/ward_labels_true_count.npy")), 1.0);
    assert_eq!(eight, at_140);
}

/// Counts with many equal distances: the order of ties is scikit-learn's too, and distances agree to the last bit.
#[test]
fn ties_are_broken_as_by_scikit_learn() {
    let features = load::<f32>("ties/features.npy").into_dimensionality().unwrap();
    let tree = ward(features, &Grid::full([20, 24]).unwrap(), &Control::new()).unwrap();
    let children: Vec<i32> = tree.children().iter().flatten().map(|&c| c as i32).collect();
    assert_eq!(children, labels("ties/ward_children.npy"));
    assert_eq!(
        tree.distances(),
        load::<f64>("ties/ward_distances.npy").into_raw_vec_and_offset().0
    );
}

/// Our own scaling, in float64, moves the distances a little and the partition not at all.
#[test]
fn bullseye_ward_from_raw_features() {
    let raw = features("bullseye/feature_vectors.npz");
    let grid = Grid::full([24, 28]).unwrap();
    let matrix = feature_matrix(raw.view(), &column_scale(raw.view()).unwrap(), &grid, 0.0).unwrap();
    let tree = ward(matrix, &grid, &Control::new()).unwrap();
    for (threshold, name) in [
        (140.0, "bullseye/ward_labels.npy"),
        (200.0, "bullseye/ward_labels_notebook_threshold.npy"),
    ] {
        assert_eq!(ari(&tree.cut_distance(threshold).unwrap(), &labels(name)), 1.0);
    }
    let want: Array1<f64> = load("bullseye/ward_distances.npy").into_dimensionality().unwrap();
    let error = tree
        .distances()
        .iter()
        .zip(&want)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    assert!(error < 1e-5 * largest(&want), "{error}");
}

/// A disk at a known place is found there, whatever is odd or even.
#[test]
fn disks_are_found_where_they_are() {
    let user = |n: usize, m: usize| {
        let c = [(n as f64 - 1.0) / 2.0, (m as f64 - 1.0) / 2.0];
        Array2::from_shape_fn((n, m), |(y, x)| {
            (3.5 - (y as f64 - c[0]).hypot(x as f64 - c[1])).clamp(0.0, 1.0)
        })
    };
    let mut templates: Vec<Template> = [
        "disk:3",
        "background:3,5",
        "gradient:3",
        "gradient-background:3,5",
        "ring:1,3",
    ]
    .iter()
    .map(|s| Template::parse(s, |_| panic!("no file")).unwrap())
    .collect();
    for n in [9, 10] {
        for m in [9, 10] {
            templates.push(Template::new(Pattern::User(user(n, m))).unwrap());
        }
    }
    for t in &templates {
        let [oy, ox] = t.offset();
        for (h, w) in [(40, 50), (41, 50), (40, 51), (41, 51)] {
            for (y, x) in [(12, 31), (25, 8)] {
                // What the template shows, centred at (y + oy, x + ox).
                let scene = Array2::from_shape_fn((h, w), |(i, j)| {
                    let r = (i as f64 - (y as f64 + oy)).hypot(j as f64 - (x as f64 + ox));
                    (3.5 - r).clamp(0.0, 1.0)
                });
                let map = correlation_map(scene.view(), t, Recipe::Default).unwrap();
                assert_eq!(map.dim(), (h, w));
                let p = find_peaks(map.view(), 1)[0];
                assert_eq!((p.y, p.x), (y, x), "{t} in {h}×{w}");
            }
        }
    }
}

/// An image without any symmetry is found only by a correlation, not by a convolution.
#[test]
fn correlation_is_not_convolution() {
    let l = Array2::from_shape_fn((6, 5), |(y, x)| if x == 0 || y == 5 { 1.0 } else { -0.5 });
    let t = Template::new(Pattern::User(l.clone())).unwrap();
    for (h, w) in [(32, 32), (33, 31)] {
        let mut scene = Array2::zeros((h, w));
        scene.slice_mut(s![10..16, 20..25]).assign(&l);
        let map = correlation_map(scene.view(), &t, Recipe::Default).unwrap();
        let p = find_peaks(map.view(), 1)[0];
        let found = [p.y as f64 + t.offset()[0], p.x as f64 + t.offset()[1]];
        assert_eq!(found, [12.5, 22.0]);
        assert!((p.value - l.mapv(|v| v * v).sum()).abs() < 1e-9);
    }
}

/// Direct sums, for both recipes and all parities.
#[test]
fn maps_equal_direct_sums() {
    let noise = |n: usize, seed: u64| {
        let mut z = seed;
        Array1::from_shape_fn(n, |_| {
            z = z.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (z >> 33) as f64 / (1u64 << 31) as f64
        })
    };
    for (h, w) in [(12, 14), (13, 14), (12, 15), (13, 15)] {
        for (n, m) in [(5, 5), (4, 6), (5, 4)] {
            let map = noise(h * w, 1).into_shape_with_order((h, w)).unwrap();
            let t = Template::new(Pattern::User(noise(n * m, 2).into_shape_with_order((n, m)).unwrap())).unwrap();
            let got = correlation_map(map.view(), &t, Recipe::Default).unwrap();
            let stamp = t.window(h, w);
            let want = direct(map.view(), stamp.view(), 1);
            assert!(difference(&got, &want) < 1e-12 * largest(&want));
            let got = correlation_map(map.view(), &t, Recipe::Published).unwrap();
            assert_eq!(got.dim(), (h, w - w % 2));
            if h % 2 == 0 && w % 2 == 0 {
                let want = direct(map.view(), t.window_published(h, w).view(), -1);
                assert!(difference(&got, &want) < 1e-12 * largest(&want));
            }
        }
    }
}

/// Σ_d map[p ± d] · window[centre + d], wrapping around.
fn direct(map: ArrayView2<f64>, window: ArrayView2<f64>, sign: isize) -> Array2<f64> {
    let (h, w) = (map.nrows() as isize, map.ncols() as isize);
    Array2::from_shape_fn(map.dim(), |(y, x)| {
        let mut sum = 0.0;
        for ((i, j), &t) in window.indexed_iter() {
            let (dy, dx) = (i as isize - h / 2, j as isize - w / 2);
            let (sy, sx) = ((y as isize + sign * dy).rem_euclid(h), (x as isize + sign * dx).rem_euclid(w));
            sum += t * map[[sy as usize, sx as usize]];
        }
        sum
    })
}

/// In odd frames the published recipe finds positions one pixel too small along each odd axis, and drops the last column.
#[test]
fn published_shift_in_odd_frames() {
    let t = polycrystal_pattern();
    for (h, w) in [(40, 50), (41, 50), (40, 51), (41, 51)] {
        let mut scene = Array2::zeros((h, w));
        // Of all places, the pattern resembles itself most at its own.
        scene.slice_mut(s![17..24, 27..34]).assign(&t.stamp());
        let map = correlation_map(scene.view(), &t, Recipe::Published).unwrap();
        let p = find_peaks(map.view(), 1)[0];
        assert_eq!((p.y, p.x), (20 - h % 2, 30 - w % 2), "{h}×{w}");
        assert_eq!(map.ncols(), w - w % 2);
    }
}

/// The published recipe in odd frames is what NumPy makes of the formula: the product of half spectra, inverted as if the image
/// were 2·(w/2) pixels wide. Here with sums over every frequency and pixel.
#[test]
fn published_maps_of_odd_frames_by_definition() {
    use std::f64::consts::TAU;
    let (n, m) = (4, 3);
    for (h, w) in [(7, 9), (8, 9), (7, 8), (8, 8)] {
        let map = Array2::from_shape_fn((h, w), |(y, x)| {
            ((y * 7 + x * 3) % 11) as f64 + if y == 3 && x == 5 { 9.0 } else { 0.0 }
        });
        let t = Template::new(Pattern::User(Array2::from_shape_fn((n, m), |(y, x)| {
            (y * 2 + x) as f64 - 2.0
        })))
        .unwrap();
        let spectrum = |a: &Array2<f64>, ky: usize, kx: usize| {
            a.indexed_iter().fold([0.0, 0.0], |[re, im], ((y, x), v)| {
                let phase = -TAU * ((ky * y) as f64 / h as f64 + (kx * x) as f64 / w as f64);
                [re + v * phase.cos(), im + v * phase.sin()]
            })
        };
        let window = t.window_published(h, w);
        let width = 2 * (w / 2);
        let mut want = Array2::<f64>::zeros((h, width));
        for ky in 0..h {
            for kx in 0..=w / 2 {
                let ([a, b], [c, d]) = (spectrum(&map, ky, kx), spectrum(&window, ky, kx));
                let product = [a * c - b * d, a * d + b * c];
                let twice = if kx == 0 || kx == width / 2 { 1.0 } else { 2.0 };
                for y in 0..h {
                    for x in 0..width {
                        let phase = TAU * ((ky * y) as f64 / h as f64 + (kx * x) as f64 / width as f64);
                        let at = [(y + h / 2) % h, (x + width / 2) % width];
                        want[at] += twice * (product[0] * phase.cos() - product[1] * phase.sin()) / (h * width) as f64;
                    }
                }
            }
        }
        let got = correlation_map(map.view(), &t, Recipe::Published).unwrap();
        assert!(difference(&got, &want) < 1e-11 * largest(&want), "{h}×{w}");
    }
}
