//! Best matches of patterns among templates: against all scores of the reference dictionary and a slow float64 version.

#[allow(dead_code, unused_macros, unused_imports)]
#[path = "parity/data.rs"]
mod data;
#[path = "common/disorder.rs"]
mod disorder;
#[allow(dead_code)]
#[path = "parity/driver.rs"]
mod driver;
mod ebsd_support;

use driver::{open, open_small};

use ebsd_support::{array, plane};
use emstream::Control;
use emstream::kernels::matches::{Metric, Templates};
use ndarray::{Array2, Axis};

/// A stack of patterns as rows.
fn rows(file: &str, name: &str) -> Array2<f32> {
    let stack = array::<f32>(file, name);
    let n = stack.len_of(Axis(0));
    let pixels = stack.len() / n;
    stack.into_shape_with_order((n, pixels)).unwrap()
}

#[test]
fn scores_of_the_reference_dictionary() {
    let (dictionary, patterns) = (rows("similarity.npz", "patterns"), rows("similarity.npz", "experimental"));
    let top = array::<i64>("similarity.npz", "top5");
    for (metric, name) in [(Metric::Correlation, "ncc"), (Metric::InnerProduct, "nip")] {
        let templates = Templates::new(dictionary.view(), None, metric).unwrap();
        let n = templates.len();
        let found = templates.best(patterns.view(), None, n, &Control::new()).unwrap();
        let wanted = plane("similarity.npz", name);
        for ((i, j), &index) in found.index.indexed_iter() {
            let w = wanted[[i, index as usize]];
            assert!(
                (found.score[[i, j]] - w).abs() < 2e-6,
                "{name} {i} {index}: {} {w}",
                found.score[[i, j]]
            );
            assert!(j == 0 || found.score[[i, j - 1]] >= found.score[[i, j]]);
        }
        let few = templates.best(patterns.view(), None, 5, &Control::new()).unwrap();
        assert_eq!(few.index, found.index.slice(ndarray::s![.., ..5]), "fewer are the same ones");
        if metric == Metric::Correlation {
            for (i, row) in few.index.rows().into_iter().enumerate() {
                assert_eq!(i64::from(row[0]), top[[i, 0]], "pattern {i}");
            }
        }
    }
}

#[test]
fn masks_and_raw_patterns_of_the_reference() {
    let disk: Vec<bool> = (0..120 * 160)
        .map(|i| ((i % 160) as f64 - 80.0).hypot((i / 160) as f64 - 60.0) <= 64.0)
        .collect();
    let raw = rows("patterns.npz", "raw");
    let processed = rows("patterns.npz", "processed");
    let sets = [
        (&raw, None, Metric::Correlation, "ncc_raw"),
        (&raw, None, Metric::InnerProduct, "nip_raw"),
        (&processed, None, Metric::Correlation, "ncc_processed"),
        (&processed, None, Metric::InnerProduct, "nip_processed"),
        (&processed, Some(&disk[..]), Metric::Correlation, "ncc_disk04"),
    ];
    for (patterns, mask, metric, name) in sets {
        let templates = Templates::new(patterns.view(), mask, metric).unwrap();
        let found = templates.best(patterns.view(), mask, 6, &Control::new()).unwrap();
        let wanted = plane("similarity.npz", name);
        for ((i, j), &index) in found.index.indexed_iter() {
            let w = wanted[[i, index as usize]];
            assert!(
                (found.score[[i, j]] - w).abs() < 2e-6,
                "{name} {i} {index}: {} {w}",
                found.score[[i, j]]
            );
        }
        assert!(
            (0..6).all(|i| found.index[[i, 0]] == i as u32),
            "{name}: each is most like itself"
        );
    }
}

#[test]
fn tiles_threads_and_ties_do_not_matter() {
    // More templates and patterns than a tile; every template comes three times.
    let template = |t: usize, p: usize| {
        let mixed = ((t % 500 * 64 + p) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) as f32 / u64::MAX as f32
    };
    let dictionary = Array2::from_shape_fn((1500, 40), |(t, p)| template(t, p));
    let patterns = Array2::from_shape_fn((300, 40), |(i, p)| {
        template(i, p) + 0.1 * ((i * 31 + p * 17) % 13) as f32 / 13.0
    });
    let templates = Templates::new(dictionary.view(), None, Metric::Correlation).unwrap();
    let found = templates.best(patterns.view(), None, 4, &Control::new()).unwrap();
    for i in [0, 127, 128, 299] {
        let one = patterns.slice(ndarray::s![i..i + 1, ..]);
        let alone = templates.best(one, None, 4, &Control::new()).unwrap();
        assert_eq!(alone.index.row(0), found.index.row(i));
        assert_eq!(alone.score.row(0), found.score.row(i));
        let [a, b, c] = [0, 1, 2].map(|j| found.index[[i, j]] as usize);
        assert_eq!([a, b, c], [i, i + 500, i + 1000], "equal ones in their order");
    }
}

#[test]
fn the_best_are_those_of_float64_also_among_near_ties() {
    // Templates that differ from one another by less than what the fast products resolve, and some that are equal.
    let base = |p: usize| ((p * 2_654_435_761) % 1013) as f32 / 1013.0 - 0.5;
    let dictionary = Array2::from_shape_fn((700, 130), |(t, p)| base(p) + 1e-5 * (((t / 2 * 31 + p) * 7919) % 101) as f32);
    let patterns = Array2::from_shape_fn((5, 130), |(i, p)| match i {
        4 => 2.0,
        _ => base(p) * (i + 1) as f32 + 1e-3 * ((i * 13 + p * 5) % 7) as f32,
    });
    let templates = Templates::new(dictionary.view(), None, Metric::Correlation).unwrap();
    let found = templates.best(patterns.view(), None, 9, &Control::new()).unwrap();
    let unit = |row: ndarray::ArrayView1<f32>| {
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / row.len() as f64;
        let length = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>().sqrt();
        let one = |&v: &f32| ((f64::from(v) - mean) / length) as f32;
        row.iter().map(one).collect::<Vec<f32>>()
    };
    for i in 0..4 {
        let pattern = unit(patterns.row(i));
        let score = |t: usize| {
            let terms = pattern.iter().zip(unit(dictionary.row(t)));
            terms.map(|(&a, b)| f64::from(a) * f64::from(b)).sum::<f64>()
        };
        let mut all: Vec<(f64, usize)> = (0..700).map(|t| (score(t), t)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (j, wanted) in all.iter().take(9).enumerate() {
            let (index, value) = (found.index[[i, j]] as usize, found.score[[i, j]]);
            assert!((value - wanted.0).abs() < 1e-13, "pattern {i}, place {j}");
            assert!(
                (score(index) - wanted.0).abs() < 1e-13,
                "pattern {i}, place {j}: {index}, not {}",
                wanted.1
            );
        }
        assert!((0..8).all(|j| found.score[[i, j]] >= found.score[[i, j + 1]]));
    }
    assert_eq!(
        found.index.row(4).to_vec(),
        (0..9).collect::<Vec<u32>>(),
        "no contrast: the first ones"
    );
}

#[test]
fn backends_choose_the_same_templates() {
    // Odd numbers of patterns, templates and pixels; one chunk of templates, and several under a small budget.
    let number = |i: usize, j: usize, seed: u64| {
        let mixed = (seed + (i * 1000 + j) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32
    };
    for (n, m, pixels, k) in [(1, 1, 1, 1), (70, 333, 117, 7), (130, 65, 16, 65), (3, 1000, 250, 20)] {
        let dictionary = Array2::from_shape_fn((m, pixels), |(t, p)| number(t, p, 3));
        let patterns = Array2::from_shape_fn((n, pixels), |(i, p)| match i {
            2 => 1.0,
            _ => number(i % m, p, 3) + 0.7 * number(i, p, 1_000_003),
        });
        let mask: Vec<bool> = (0..pixels).map(|p| pixels < 20 || p % 7 != 3).collect();
        for metric in [Metric::Correlation, Metric::InnerProduct] {
            let templates = Templates::new(dictionary.view(), Some(&mask), metric).unwrap();
            let cpu = templates.best(patterns.view(), Some(&mask), k, &Control::new()).unwrap();
            let small = open_small();
            small.set_budget(1 << 20);
            for gpu in [open(), small] {
                let found = templates
                    .best_on(&gpu, patterns.view(), Some(&mask), k, &Control::new())
                    .unwrap();
                assert_eq!(found, cpu, "{n} patterns, {m} templates, {pixels} pixels, {metric:?}");
            }
        }
    }
    // More than a list on the device holds goes to the CPU.
    let dictionary = Array2::from_shape_fn((300, 9), |(t, p)| number(t, p, 3));
    let templates = Templates::new(dictionary.view(), None, Metric::Correlation).unwrap();
    let all = templates
        .best_on(&open(), dictionary.view(), None, 300, &Control::new())
        .unwrap();
    assert_eq!(all, templates.best(dictionary.view(), None, 300, &Control::new()).unwrap());
}

#[test]
fn what_does_not_fit_is_refused() {
    let few = Array2::<f32>::from_elem((3, 5), 1.0);
    let refused = |r: Result<Templates, emstream::Error>| assert!(r.is_err());
    refused(Templates::new(Array2::zeros((0, 5)).view(), None, Metric::Correlation));
    refused(Templates::new(few.view(), Some(&[true; 4]), Metric::Correlation));
    refused(Templates::new(few.view(), Some(&[false; 5]), Metric::Correlation));
    let templates = Templates::new(few.view(), None, Metric::Correlation).unwrap();
    assert!(
        templates
            .best(Array2::zeros((1, 4)).view(), None, 1, &Control::new())
            .is_err()
    );
    assert!(templates.best(few.view(), None, 4, &Control::new()).is_err());
    let flat = templates.best(few.view(), None, 3, &Control::new()).unwrap();
    assert!(flat.score.iter().all(|&s| s == 0.0), "no contrast, no correlation");
    let cancelled = Control::new();
    cancelled.cancel();
    assert!(templates.best(few.view(), None, 1, &cancelled).is_err());
}
