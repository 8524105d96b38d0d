//! The reference scan, what LiberTEM found in it, and the truth.
#![allow(dead_code)]

use emstream::analysis::lattice::basis::change_of_basis;
use emstream::analysis::lattice::{Fit, Lattice, Vector, length};
use emstream::control::Control;
use emstream::engine::{Backend, Selection};
use emstream::io::{self, OpenOptions, Scan, array};
use emstream::workflows::cluster;
use emstream::workflows::strain::{self, Given, Params, Strain, Templates};
use ndarray::{Array2, ArrayD};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub const NAV: [usize; 2] = [40, 50];

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The bundled scan, unpacked.
pub fn polycrystal() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("polycrystal.blo");
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/polycrystal.blo.gz");
    let mut out = std::fs::File::create(&path).unwrap();
    let mut unpacked = flate2::read::GzDecoder::new(std::fs::File::open(packed).unwrap());
    std::io::copy(&mut unpacked, &mut out).unwrap();
    (dir, path)
}

pub fn open(path: &Path) -> Box<dyn Scan> {
    io::open(path, &OpenOptions::default(), &control(2)).unwrap()
}

pub fn control(threads: usize) -> Control {
    Control {
        threads,
        memory: 2 << 30,
        ..Control::new()
    }
}

pub fn array(name: &str) -> ArrayD<f64> {
    array::read_array::<f64>(data(name), 1 << 24).unwrap()
}

pub fn npz(name: &str, key: &str) -> ArrayD<f64> {
    array::read_npz::<f64>(data(name), key, 1 << 24).unwrap()
}

pub fn labels(name: &str) -> Array2<i32> {
    array(name).mapv(|v| v as i32).into_dimensionality().unwrap()
}

/// Given labels and one feature peak: everything but the clustering.
pub fn given(labels: Array2<i32>) -> Given {
    Given {
        clustering: cluster::Given {
            peaks: Some(vec![[71, 72]]),
            labels: Some(labels),
        },
        region: None,
    }
}

pub fn run(
    scan: &dyn Scan,
    given: Given,
    clustering: &cluster::Params,
    params: &Params,
    control: &Control,
) -> emstream::Result<Strain> {
    run_on(scan, given, clustering, params, &Backend::Cpu, control)
}

pub fn run_on(
    scan: &dyn Scan,
    given: Given,
    clustering: &cluster::Params,
    params: &Params,
    backend: &Backend,
    control: &Control,
) -> emstream::Result<Strain> {
    let load = |_: &Path| unreachable!("no template file");
    let templates = Templates {
        cluster: clustering.template(load)?,
        lattice: params.template(clustering, load)?,
    };
    let all = Selection::all(scan.info().nav);
    strain::run(scan, all, templates, given, clustering, params, backend, control)
}

/// Lattices of all frames out of maps (ny, nx, 2).
pub fn lattices(zero: &ArrayD<f64>, a: &ArrayD<f64>, b: &ArrayD<f64>) -> Vec<Lattice> {
    let pair = |v: &ArrayD<f64>, n: usize| [v[[n / NAV[1], n % NAV[1], 0]], v[[n / NAV[1], n % NAV[1], 1]]];
    (0..NAV[0] * NAV[1])
        .map(|n| Lattice {
            zero: pair(zero, n),
            a: pair(a, n),
            b: pair(b, n),
        })
        .collect()
}

pub fn truth() -> Vec<Lattice> {
    let [zero, a, b] = ["zero", "a", "b"].map(|k| array(&format!("strain/true_{k}.npy")));
    lattices(&zero, &a, &b)
}

pub fn libertem(variant: &str) -> Vec<Lattice> {
    let [zero, a, b] = ["zero", "a", "b"].map(|k| npz(&format!("strain/maps_{variant}.npz"), k));
    lattices(&zero, &a, &b)
}

pub fn fit(result: &Strain, n: usize) -> &Fit {
    result.refined.fits[n]
        .as_ref()
        .unwrap_or_else(|| panic!("frame {n} has no fit"))
}

/// `lattice` described as `like` is.
pub fn in_basis(lattice: &Lattice, like: &Lattice) -> Lattice {
    let change = change_of_basis(lattice, like).expect("the same lattice");
    let vectors = Lattice {
        zero: [0.0; 2],
        ..*lattice
    };
    let [a, b] = change.matrix.map(|m| vectors.position(m[0] as f64, m[1] as f64));
    Lattice {
        zero: lattice.position(change.shift[0] as f64, change.shift[1] as f64),
        a,
        b,
    }
}

pub fn off(p: Vector, q: Vector) -> f64 {
    length([p[0] - q[0], p[1] - q[1]])
}

/// Median and 95th percentile.
pub fn spread(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    [at(0.5), at(0.95)]
}
