//! EBSD workflows on small maps: processing into files, virtual backscatter images; against the reference, on both backends.

mod common;
mod ebsd_support;

use common::gpu;
use ebsd_support::{agreement, array, open, pixels, plane, small_map, stack};
use emstream::Control;
use emstream::analysis::virtual_bse;
use emstream::engine::Backend;
use emstream::kernels::masks::MaskStack;
use emstream::pixel::Pixel;
use emstream::workflows::ebsd::process::{self, Job, Params};
use emstream::workflows::ebsd::{bse, points};
use ndarray::{Array2, Axis, s};
use tempfile::TempDir;

#[test]
fn processed_maps_hold_the_patterns_of_the_reference() {
    let wanted = stack("patterns.npz", "processed");
    for (name, backend) in [("cpu", Backend::Cpu), ("gpu", gpu())] {
        let dir = TempDir::new().unwrap();
        let input = small_map(&dir);
        let map = open(&input, None);
        let selection = points(&map).unwrap();
        let params = Params::default();
        let job = Job {
            map: &map,
            selection: &selection,
            params: &params,
            background: map.static_background.as_ref(),
            effective: "x = 1\n".into(),
        };
        let output = dir.path().join("out.h5");
        let done = job.run(None, &output, false, &backend, &Control::new()).unwrap();
        assert_eq!((done.patterns, done.filled, done.cropped), (6, 0, [0, 0]));
        let found = open(&output, None);
        assert_eq!(found.present, map.present);
        assert_eq!(found.steps(), [Some(0.25), Some(0.25)]);
        assert_eq!(found.scan.info().frame.pixel, Pixel::U8);
        let (same, worst) = agreement(pixels(&found), wanted.iter().copied());
        assert!(same >= 0.995 && worst <= 1.0, "{name}: {same} equal, worst {worst}");
        assert!(dir.path().join("out.params.toml").exists());
        let page = std::fs::read_to_string(done.report).unwrap();
        assert!(page.contains("6 of 120 × 160 pixels, u8") && page.contains("data:image/png"));
    }
}

#[test]
fn threads_and_blocks_do_not_change_a_bit() {
    let dir = TempDir::new().unwrap();
    let map = open(&small_map(&dir), None);
    let selection = points(&map).unwrap();
    let params = Params {
        bin: 2,
        sigma: 7.5,
        dtype: process::Dtype::F32,
        ..Params::default()
    };
    let job = Job {
        map: &map,
        selection: &selection,
        params: &params,
        background: map.static_background.as_ref(),
        effective: String::new(),
    };
    let mut first = None;
    for (i, (threads, block)) in [(1, None), (2, Some(40_000)), (3, None)].into_iter().enumerate() {
        let control = Control {
            threads,
            block,
            ..Control::new()
        };
        let output = dir.path().join(format!("{i}.h5"));
        job.run(None, &output, false, &Backend::Cpu, &control).unwrap();
        let found = pixels(&open(&output, None));
        assert_eq!(&found, first.get_or_insert_with(|| found.clone()));
    }
}

#[test]
fn signals_of_regions_are_those_of_the_reference() {
    let dir = TempDir::new().unwrap();
    let map = open(&small_map(&dir), None);
    let selection = points(&map).unwrap();
    let near = |name: &str, found: Vec<f64>, wanted: Vec<f64>, tolerance: f64| {
        assert_eq!(found.len(), wanted.len(), "{name}");
        for (f, w) in found.iter().zip(&wanted) {
            assert!((f - w).abs() <= tolerance * w.abs(), "{name}: {f} {w}");
        }
    };
    let there: Vec<[usize; 2]> = map
        .present
        .indexed_iter()
        .filter(|(_, p)| **p)
        .map(|((y, x), _)| [y, x])
        .collect();
    for (name, backend) in [("cpu", Backend::Cpu), ("gpu", gpu())] {
        let of = |params: &bse::Params| bse::signals(&map, &selection, params, &backend, &Control::new()).unwrap();
        let rows = |s: &bse::Signals| -> Vec<f64> {
            there
                .iter()
                .flat_map(|&[y, x]| s.values.slice(s![y, x, ..]).to_vec())
                .collect()
        };
        let signals = of(&bse::Params::default());
        near(
            name,
            rows(&signals),
            array::<f64>("bse.npz", "vbse").iter().copied().collect(),
            1e-6,
        );
        assert!(signals.values[[0, 2, 0]].is_nan(), "no pattern, no signal");
        let com = plane("bse.npz", "com_xy");
        for (i, &[y, x]) in there.iter().enumerate() {
            let [cy, cx] = [signals.centre[[y, x, 0]], signals.centre[[y, x, 1]]];
            // The reference counts y from below, one pixel more than the distance from the last row.
            assert!(
                (cx - com[[i, 0]]).abs() < 1e-3 && (120.0 - cy - com[[i, 1]]).abs() < 1e-3,
                "{name} {i}"
            );
        }
        for (cells, which) in [([5, 3], "rebin_5x3"), ([6, 8], "rebin_6x8")] {
            let signals = of(&bse::Params {
                grid: cells,
                ..bse::Params::default()
            });
            let first = signals.values.slice(s![0, 0, ..]).to_vec();
            near(which, first, plane("bse.npz", which).iter().copied().collect(), 1e-6);
        }
        // Six forescatter regions and the whole: a tenth of the height, thirds of the width.
        let lines = |top: usize| [[top, 0, 12, 53], [top, 53, 12, 53], [top, 106, 12, 54]];
        let region = std::iter::once([0, 0, 120, 160]).chain(lines(108)).chain(lines(0)).collect();
        let signals = of(&bse::Params {
            region,
            sum: true,
            ..bse::Params::default()
        });
        let found = rows(&signals).iter().map(|v| v / 1000.0).collect();
        near("fsd6", found, plane("bse.npz", "fsd6").iter().copied().collect(), 1e-6);
    }
}

#[test]
fn images_made_of_signals() {
    let cells = array::<f64>("bse.npz", "cells_rows_2_3")
        .into_dimensionality::<ndarray::Ix4>()
        .unwrap();
    let cell = |r: usize, c: usize| cells.slice(s![.., .., r, c]);
    let off = |a: Array2<u8>, b: ndarray::ArrayView2<'_, f64>| {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
    };
    let wanted = stack("bse.npz", "rgb_rows");
    for (k, c) in [0, 3, 6].into_iter().enumerate() {
        let worst = off(virtual_bse::channel(cell(1, c), 0.8, false), wanted.index_axis(Axis(2), k));
        assert!(worst <= 1.0, "channel {k}: {worst}");
    }
    let wanted = stack("bse.npz", "rgb_row_ratio");
    for (k, c) in [0, 2, 4].into_iter().enumerate() {
        let ratio = &cell(1, c) / &cell(0, c);
        let worst = off(virtual_bse::channel(ratio.view(), 1.2, false), wanted.index_axis(Axis(2), k));
        assert!(worst <= 1.0, "ratio {k}: {worst}");
    }
    let sums = |r: usize| (0..7).fold(Array2::zeros((16, 22)), |s: Array2<f64>, c| s + cell(r, c));
    let near = |a: Array2<f64>, b: Array2<f64>| assert!(agreement(a, b).1 <= 1e-9);
    near(
        virtual_bse::asymmetry(sums(1).view(), sums(0).view()),
        plane("bse.npz", "row_asymmetry"),
    );
    let total = plane("bse.npz", "total_map");
    near(virtual_bse::flatten_rows(total.view()), plane("bse.npz", "total_vflat"));
    near(
        virtual_bse::flatten_rows(total.t()).t().to_owned(),
        plane("bse.npz", "total_hflat"),
    );
    let limits = array::<f64>("bse.npz", "vrange_total");
    let (middle, spread) = (
        emstream::analysis::robust::median(total.iter().copied()),
        virtual_bse::deviation(total.view()),
    );
    assert!((middle - 2.0 * spread - limits[0]).abs() < 1e-6 && (middle + 2.0 * spread - limits[1]).abs() < 1e-6);
    let com = stack("bse.npz", "com_map");
    let [x, y] = [0, 1].map(|k| com.index_axis(Axis(2), k));
    near(virtual_bse::shading(x, y, -60.0, 20.0), plane("bse.npz", "shading"));
}

#[test]
fn cells_of_any_size_share_pixels_exactly() {
    // Widths at which rounded cell limits fail.
    for pixels in [7, 29, 58, 116, 123, 225, 240] {
        for cells in 1..=7 {
            let rows = virtual_bse::overlaps(pixels, cells);
            let mut shares = vec![0.0; pixels];
            for (first, weights) in &rows {
                assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12 && weights.iter().all(|&w| w > 0.0));
                weights.iter().enumerate().for_each(|(i, w)| shares[first + i] += w);
            }
            let each = cells as f64 / pixels as f64;
            assert!(shares.iter().all(|s| (s - each).abs() < 1e-12), "{pixels} in {cells}");
        }
    }
    assert!(virtual_bse::grid(5, 5, 6, 1, false).is_err() && virtual_bse::grid(5, 5, 0, 1, false).is_err());
    for bad in [[0, 0, 0, 1], [4, 0, 2, 1], [0, usize::MAX, 1, 2]] {
        assert!(virtual_bse::regions(5, 5, &[bad], false).is_err(), "{bad:?}");
    }
    let MaskStack::Csr { values, .. } = virtual_bse::regions(5, 5, &[[1, 1, 2, 2]], true).unwrap() else {
        panic!("a sparse stack")
    };
    assert_eq!(values, [1.0; 4]);
}

#[test]
fn regions_and_processed_signals_of_the_reference() {
    let dir = TempDir::new().unwrap();
    let raw = open(&small_map(&dir), None);
    let selection = points(&raw).unwrap();
    let there: Vec<[usize; 2]> = (raw.present.indexed_iter())
        .filter(|(_, p)| **p)
        .map(|((y, x), _)| [y, x])
        .collect();
    // Processed patterns, binned: a map of 3 × 4 points, all there.
    let patterns = array::<u8>("kikuchipy.npz", "map_processed");
    let scan = emstream::io::memory::MemoryScan::new([3, 4], [60, 80], patterns.iter().copied().collect()).unwrap();
    let processed = emstream::io::ebsd::PatternMap {
        scan: Box::new(scan),
        present: Array2::from_elem((3, 4), true),
        static_background: None,
        data: emstream::io::ebsd::MapData::new([3, 4]),
        geometry: emstream::io::ebsd::Geometry::default(),
        dialect: String::new(),
        group: None,
    };
    let all = points(&processed).unwrap();
    for (name, backend) in [("cpu", Backend::Cpu), ("gpu", gpu())] {
        let near = |what: &str, f: f64, w: f64| assert!((f - w).abs() <= 1e-6 * w.abs(), "{name} {what}: {f} {w}");
        let sums = |params: bse::Params| bse::signals(&raw, &selection, &params, &backend, &Control::new()).unwrap();
        let region = sums(bse::Params {
            region: vec![[5, 10, 25, 30]],
            sum: true,
            ..bse::Params::default()
        });
        let wanted = array::<f64>("neighbours.npz", "vbse_roi");
        for (&[y, x], &w) in there.iter().zip(&wanted) {
            near("vbse_roi", region.values[[y, x, 0]], w);
        }
        let grid = sums(bse::Params {
            grid: [5, 5],
            sum: true,
            ..bse::Params::default()
        });
        let wanted = stack("neighbours.npz", "vbse_grid5x5");
        for (&[y, x], w) in there.iter().zip(wanted.outer_iter()) {
            let found = grid.values.slice(s![y, x, ..]);
            found.iter().zip(&w).for_each(|(&f, &w)| near("vbse_grid5x5", f, w));
        }
        let found = bse::signals(&processed, &all, &bse::Params::default(), &backend, &Control::new()).unwrap();
        let cells = array::<f64>("neighbours.npz", "vkiku");
        found.values.iter().zip(&cells).for_each(|(&f, &w)| near("vkiku", f, w));
        let total = plane("neighbours.npz", "kiku_total");
        found
            .values
            .sum_axis(Axis(2))
            .iter()
            .zip(&total)
            .for_each(|(&f, &w)| near("kiku_total", f, w));
        let com = stack("neighbours.npz", "kiku_com_xy");
        for ((y, x), _) in total.indexed_iter() {
            let [cy, cx] = [found.centre[[y, x, 0]], found.centre[[y, x, 1]]];
            // y counts from below, one pixel more than the distance from the last row.
            let apart = (cx - com[[y, x, 0]]).abs().max((60.0 - cy - com[[y, x, 1]]).abs());
            assert!(apart < 1e-3, "{name}: {apart}");
        }
    }
    let (row, wanted) = (
        stack("neighbours.npz", "kiku_row3"),
        array::<u8>("neighbours.npz", "kiku_rgb_row3"),
    );
    for k in 0..3 {
        let found = virtual_bse::channel(row.index_axis(Axis(2), k), 1.2, false);
        let wanted = wanted.index_axis(Axis(2), k);
        assert!(found.iter().zip(&wanted).all(|(f, w)| f.abs_diff(*w) <= 1), "channel {k}");
    }
}

#[test]
fn conversion_bins_as_the_reference() {
    use emstream::workflows::ebsd::convert::{self, BinMode, Given};
    let dir = TempDir::new().unwrap();
    let input = small_map(&dir);
    for (mode, bin, name) in [
        (BinMode::Sum, 2, "sum2"),
        (BinMode::Sum, 4, "sum4"),
        (BinMode::Sum, 7, "sum7"),
        (BinMode::Mean, 2, "mean2"),
        (BinMode::Mean, 4, "mean4"),
        (BinMode::Mean, 7, "mean7"),
    ] {
        let output = dir.path().join(format!("{name}.h5"));
        let params = convert::Params {
            bin,
            mode,
            ..convert::Params::default()
        };
        let control = Control::new();
        convert::run(open(&input, None), Given::default(), &params, &output, false, &control).unwrap();
        let map = open(&output, None);
        let file = if mode == BinMode::Sum {
            "neighbours.npz"
        } else {
            "processing.npz"
        };
        let wanted = array::<f64>(file, name);
        let found = pixels(&map);
        assert!(wanted.iter().zip(&found).all(|(w, f)| w == f), "{name}: all bits");
        if let (BinMode::Mean, 2 | 4) = (mode, bin) {
            let wanted = plane("neighbours.npz", &format!("static_mean{bin}"));
            assert_eq!(map.static_background.unwrap(), wanted);
        }
        let file = hdf5::File::open(&output).unwrap();
        let means = file.dataset("Scan/EBSD/Data/bse_map").unwrap().read_2d::<f64>().unwrap();
        let there = means.iter().filter(|v| v.is_finite());
        let wanted = array::<f64>("neighbours.npz", "bse_map");
        assert!(there.zip(&wanted).all(|(f, w)| (f / w - 1.0).abs() < 1e-12));
    }
    // The mean pattern of the whole map, at every tenth pixel.
    let thin = array::<u16>("neighbours.npz", "raw_thin");
    let scan = emstream::io::memory::MemoryScan::new([16, 22], [12, 16], thin.iter().copied().collect()).unwrap();
    let mean = emstream::workflows::mean_frame(&scan, &Control::new()).unwrap();
    let wanted = plane("neighbours.npz", "map_mean_thin");
    assert!(mean.iter().zip(&wanted).all(|(f, w)| (f / w - 1.0).abs() < 1e-12));
}
