//! What the EBSD tests share: the reference arrays, and slow float64 versions of every step on patterns.
#![allow(dead_code)]

use emstream::Control;
use emstream::io::OpenOptions;
use emstream::io::array::{Element, MAX_BYTES, read_npz};
use emstream::io::ebsd::{self, Codec, Description, Geometry, MapData, PatternMap, Store};
use emstream::kernels::pattern::Border;
use emstream::pixel::{FrameShape, Pixel};
use ndarray::{Array2, Array3, ArrayD, Ix2, Ix3};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// One test at a time: a child that is started while another test holds an HDF5 file open inherits its lock.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the program in `dir`: exit code and stderr.
pub fn program(dir: &TempDir, args: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_emstream"))
        .current_dir(dir.path())
        .args(args)
        .output()
        .unwrap();
    (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
}

pub fn data(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/ebsd").join(file)
}

/// An array of a reference file.
pub fn array<T: Element>(file: &str, name: &str) -> ArrayD<T> {
    read_npz(data(file), name, MAX_BYTES).unwrap_or_else(|e| panic!("{e}"))
}
pub fn plane(file: &str, name: &str) -> Array2<f64> {
    array(file, name).into_dimensionality::<Ix2>().expect("two axes")
}
pub fn stack(file: &str, name: &str) -> Array3<f64> {
    array(file, name).into_dimensionality::<Ix3>().expect("three axes")
}

/// Every fifth row and column: what the reference files keep of large results.
pub fn thin(a: &Array2<f64>) -> Array2<f64> {
    a.slice(ndarray::s![..;5, ..;5]).to_owned()
}

pub fn bin_mean(image: &Array2<f64>, f: usize) -> Array2<f64> {
    let (h, w) = (image.nrows() / f, image.ncols() / f);
    Array2::from_shape_fn((h, w), |(y, x)| {
        image.slice(ndarray::s![y * f..(y + 1) * f, x * f..(x + 1) * f]).sum() / (f * f) as f64
    })
}

/// A separable window applied as two sums.
pub fn lowpass(image: &Array2<f64>, weights: &[f64], centre: usize, border: Border) -> Array2<f64> {
    let (h, w) = image.dim();
    let at = |i: usize, m: usize, n: usize| border.source(i as isize + m as isize - centre as isize, n);
    let rows = Array2::from_shape_fn((h, w), |(y, x)| {
        weights
            .iter()
            .enumerate()
            .map(|(m, g)| g * image[[y, at(x, m, w)]])
            .sum::<f64>()
    });
    Array2::from_shape_fn((h, w), |(y, x)| {
        weights
            .iter()
            .enumerate()
            .map(|(m, g)| g * rows[[at(y, m, h), x]])
            .sum::<f64>()
    })
}

/// NumPy's linear percentile.
pub fn percentile(image: &Array2<f64>, q: f64) -> f64 {
    let mut v: Vec<f64> = image.iter().copied().collect();
    v.sort_by(f64::total_cmp);
    let p = q / 100.0 * (v.len() - 1) as f64;
    let k = p.floor() as usize;
    let next = v[(k + 1).min(v.len() - 1)];
    v[k] + (next - v[k]) * (p - k as f64)
}

pub fn stretch(image: &Array2<f64>, low: f64, high: f64, to: [f64; 2], whole: bool) -> Array2<f64> {
    let (lo, hi) = (percentile(image, low), percentile(image, high));
    image.mapv(|v| {
        let x = (v.clamp(lo, hi) - lo) / (hi - lo) * (to[1] - to[0]) + to[0];
        if whole { x.trunc() } else { x }
    })
}

/// Share of equal values and the largest difference.
pub fn agreement(a: impl IntoIterator<Item = f64>, b: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let (mut same, mut n, mut worst) = (0, 0, 0f64);
    for (a, b) in a.into_iter().zip(b) {
        assert!(a.is_finite() && b.is_finite());
        same += usize::from(a == b);
        n += 1;
        worst = worst.max((a - b).abs());
    }
    assert!(n > 0);
    (same as f64 / n as f64, worst)
}

pub const RAW: FrameShape = FrameShape {
    pixel: Pixel::U16,
    height: 120,
    width: 160,
};

/// A map of 2 × 4 points with the six raw patterns of the reference; two points are missing.
pub fn small_map(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("map.h5");
    let mut present = Array2::from_elem((2, 4), true);
    present[[0, 2]] = false;
    present[[1, 3]] = false;
    let background = plane("patterns.npz", "static");
    let what = Description {
        present: &present,
        pattern: [120, 160],
        steps: [Some(0.25), Some(0.25)],
        data: &MapData::new([2, 4]),
        geometry: &Geometry::default(),
        static_background: Some(&background),
    };
    let store = Store::create(&path, &what, false).unwrap();
    let writer = store.pattern_writer("RawPatterns", RAW, Codec::None).unwrap();
    let raw = array::<u16>("patterns.npz", "raw");
    writer.put(0, bytemuck::cast_slice(raw.as_slice().unwrap())).unwrap();
    writer.finish("counts", "raw patterns").unwrap();
    store.finish().unwrap();
    path
}

pub fn open(path: &Path, dataset: Option<&str>) -> PatternMap {
    let options = OpenOptions {
        dataset: dataset.map(str::to_owned),
        ..OpenOptions::default()
    };
    ebsd::open(path, &options, &Control::new()).unwrap()
}

/// Pixels of the present patterns in map order.
pub fn pixels(map: &PatternMap) -> Vec<f64> {
    let columns = map.scan.info().nav[1];
    let there = map.present.indexed_iter().filter(|(_, p)| **p);
    there
        .flat_map(|((y, x), _)| {
            let number = (y * columns + x) as u64;
            emstream::workflows::read_frame(&*map.scan, number, &Control::new()).unwrap()
        })
        .collect()
}
