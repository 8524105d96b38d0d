//! The reference scan, what LiberTEM found in it, and the truth.
#![allow(dead_code)]

use emstream::analysis::lattice::basis::change_of_basis;
use emstream::analysis::lattice::strain::{Deformation, Measure, Strain as Tensor};
use emstream::analysis::lattice::{Fit, Lattice, Vector, length};
use emstream::control::Control;
use emstream::engine::{Backend, Selection};
use emstream::io::{self, OpenOptions, Scan, array};
use emstream::simulate::Simulated;
use emstream::workflows::cluster;
use emstream::workflows::strain::{self, Given, Params, Quality, Reference, Strain, Templates};
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

/// Reference vectors of a grain from its frames: a₀ = (1 + E)⁻¹ a, and E of every frame as a deformation.
pub struct Truth {
    pub lattices: Vec<Lattice>,
    pub gradients: Vec<Deformation>,
    pub grains: Vec<i32>,
}

impl Truth {
    /// Of the bundled scan.
    pub fn reference() -> Self {
        let e = array("strain/true_strain.npy");
        let at = |n: usize, i: usize, j: usize| e[[n / NAV[1], n % NAV[1], i, j]];
        Truth {
            lattices: truth(),
            gradients: (0..NAV[0] * NAV[1])
                .map(|n| Deformation {
                    yy: 1.0 + at(n, 0, 0),
                    yx: at(n, 0, 1),
                    xy: at(n, 1, 0),
                    xx: 1.0 + at(n, 1, 1),
                })
                .collect(),
            grains: labels("polycrystal/true_grain_id.npy").iter().copied().collect(),
        }
    }
    /// Of a simulated scan.
    pub fn of(scan: &Simulated) -> Self {
        let all: Vec<_> = (0..scan.info().frames()).map(|n| scan.lattice(n)).collect();
        Truth {
            lattices: all
                .iter()
                .map(|l| Lattice {
                    zero: l.zero,
                    a: l.a,
                    b: l.b,
                })
                .collect(),
            gradients: all
                .iter()
                .map(|l| Deformation {
                    yy: 1.0 + l.strain[0][0],
                    yx: l.strain[0][1],
                    xy: l.strain[1][0],
                    xx: 1.0 + l.strain[1][1],
                })
                .collect(),
            grains: all.iter().map(|l| l.grain as i32).collect(),
        }
    }
    fn unstrained(&self, n: usize, v: Vector) -> Vector {
        let f = self.gradients[n];
        let det = f.determinant();
        [(f.xx * v[0] - f.yx * v[1]) / det, (f.yy * v[1] - f.xy * v[0]) / det]
    }
    fn tensor(&self, n: usize) -> Tensor {
        self.gradients[n].strain(Measure::Polar).unwrap()
    }
}

fn errors_of(tensor: Tensor, truth: Tensor) -> [f64; 4] {
    [
        (tensor.xx - truth.xx).abs(),
        (tensor.yy - truth.yy).abs(),
        (tensor.xy - truth.xy).abs(),
        (tensor.rotation - truth.rotation).abs(),
    ]
}

pub const QUANTITIES: [&str; 7] = ["a", "b", "zero", "xx", "yy", "xy", "rotation"];

/// Errors of every frame, ours and LiberTEM's: of a, b, zero in LiberTEM's basis, and of strain and rotation.
pub fn errors(result: &Strain, truth: &Truth, theirs: &[Lattice], grains: i32, params: &Params) -> [[Vec<f64>; 7]; 2] {
    let mut all: [[Vec<f64>; 7]; 2] = Default::default();
    for grain in 0..grains {
        let frames: Vec<usize> = (0..truth.grains.len()).filter(|&n| truth.grains[n] == grain).collect();
        let first = frames[0];
        let [a0, b0] = [truth.lattices[first].a, truth.lattices[first].b].map(|v| truth.unstrained(first, v));
        let maps = result.against(&Reference::Vectors { a: a0, b: b0 }, None, params).unwrap();
        for &n in &frames {
            // Errors of vectors depend on the basis; all are compared in LiberTEM's.
            let expected = in_basis(&truth.lattices[n], &theirs[n]);
            let [a0, b0] = [expected.a, expected.b].map(|v| truth.unstrained(n, v));
            let f = Deformation::between(theirs[n].a, theirs[n].b, a0, b0).unwrap();
            assert_eq!(maps.quality[n], Quality::Good);
            for (found, tensor, errors) in [
                (in_basis(&fit(result, n).lattice, &theirs[n]), maps.strain[n], 0),
                (theirs[n], f.strain(Measure::Polar).unwrap(), 1),
            ] {
                let vectors = [(found.a, expected.a), (found.b, expected.b), (found.zero, expected.zero)];
                let tensor = errors_of(tensor, truth.tensor(n));
                let values = vectors.into_iter().map(|(p, q)| off(p, q)).chain(tensor);
                all[errors].iter_mut().zip(values).for_each(|(list, v)| list.push(v));
            }
        }
    }
    all
}

/// Share of all true components that lie within the standard errors.
pub fn coverage(result: &Strain, truth: &[Lattice]) -> f64 {
    let (mut covered, mut claims) = (0usize, 0usize);
    for (n, truth) in truth.iter().enumerate() {
        let f = fit(result, n);
        let expected = in_basis(truth, &f.lattice);
        let e = f.errors.unwrap();
        for (found, truth, error) in [
            (f.lattice.zero, expected.zero, e.zero),
            (f.lattice.a, expected.a, e.a),
            (f.lattice.b, expected.b, e.b),
        ] {
            for k in 0..2 {
                claims += 1;
                covered += usize::from((found[k] - truth[k]).abs() <= error[k]);
            }
        }
    }
    covered as f64 / claims as f64
}
