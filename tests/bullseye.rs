//! Patterned probes: templates of every kind, simulated bullseye scans, descan and what it does to crystallite maps.

mod common;

use common::gpu;
use emstream::analysis::compare::adjusted_rand_index;
use emstream::analysis::descan::Surface;
use emstream::analysis::template::Template;
use emstream::analysis::{probe, tree::Tree};
use emstream::control::Control;
use emstream::engine::{Backend, Selection};
use emstream::io::{Scan, array, results::OutputDir};
use emstream::pixel::Pixel;
use emstream::simulate::{Bullseye, Parameters, Polycrystal, Simulated, SimulatedBullseye};
use emstream::workflows::cluster::{self, Clustering, Clusters, Given, Params};
use emstream::workflows::descan::Descan;
use emstream::workflows::strain;
use emstream::{Error, Result};
use ndarray::{Array2, s};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SPEC: &str = "bullseye:2.8,8,11.5,16,cross=1,size=31";

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn no_file(path: &Path) -> Result<Array2<f64>> {
    Err(Error::parameter("loaded", path.display().to_string()))
}

fn parse(spec: &str) -> Result<Template> {
    Template::parse(spec, no_file)
}

fn control() -> Control {
    Control {
        threads: 2,
        memory: 1 << 30,
        ..Control::new()
    }
}

#[test]
fn the_bullseye_is_that_of_the_published_analysis() {
    let reference: Array2<f64> = array::read_array(data("bullseye/template.npy"), 1 << 20)
        .unwrap()
        .into_dimensionality()
        .unwrap();
    let template = parse(SPEC).unwrap();
    assert_eq!(template.extent(), [31, 31]);
    assert_eq!(template.crop(), 22);
    assert_eq!(template.to_string(), SPEC);
    let stamp = template.stamp();
    let inner = stamp.slice(s![7..38, 7..38]);
    let worst = (&inner - &reference).iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert!(worst < 1e-12, "{worst}");
    assert!(stamp.sum().abs() < 1e-9);
    // Without a size it reaches to the rim, without a cross nothing is held.
    let open = parse("bullseye:2.8,8,11.5,16").unwrap();
    assert_eq!(open.extent(), [33, 33]);
    assert_eq!(open.window(33, 33)[[16, 26]], 1.0);
    assert!(parse("bullseye:2.8,8,11.5,16,cross=1").unwrap().window(33, 33)[[16, 26]] < 0.0);
}

#[test]
fn bad_specs_say_what_is_wrong() {
    for (spec, message) in [
        ("bullseye", "needs radii, e.g. `bullseye:2.8,8,11.5,16,cross=1`"),
        ("bullseye:2,8,11", "3 radii, want four"),
        ("bullseye:2,8,7,16", "must ascend"),
        ("bullseye:2,8,x,16", "`x` is not a number"),
        ("bullseye:2,8,11,NaN", "must ascend"),
        ("bullseye:2,8,11,16,size=30", "not an odd number"),
        ("bullseye:2,8,11,16,cross=-1", "not a width"),
        ("bullseye:2,8,11,16,holes=3", "unknown option `holes`"),
        ("bullseye:2,8,11,cross=1,16", "stands after an option"),
        ("probe", "probe:FILE@Y,X,N"),
        ("probe:vacuum.tif", "no place in the frame"),
        ("probe:vacuum.tif@1,2", "not three numbers"),
        ("probe:vacuum.tif@1,2,8", "must be odd"),
        ("probe:@1,2,9", "no file"),
        ("probe:vacuum.tif@1,2,9", "vacuum.tif"),
    ] {
        let error = parse(spec).unwrap_err().to_string();
        assert!(error.contains(message), "{spec}: {error}");
    }
}

/// A bullseye at a place between pixels, on a constant level.
fn vacuum(at: [f64; 2]) -> Array2<f64> {
    Array2::from_shape_fn((90, 101), |(y, x)| {
        let (dy, dx) = (y as f64 - at[0], x as f64 - at[1]);
        let r = dy.hypot(dx);
        let edge = |d: f64| 1.0 / (1.0 + (-2.0 * d).exp());
        let held = edge(dy.abs() - 1.5) * edge(dx.abs() - 1.5);
        12.0 + 400.0 * (edge(3.5 - r) + edge(11.5 - r) * edge(r - 8.0) * held)
    })
}

#[test]
fn a_probe_is_cut_centred_and_balanced() {
    let want = probe::cut(vacuum([44.0, 50.0]).view(), [44.0, 50.0], 31).unwrap();
    assert!(want.sum().abs() < 1e-9);
    // Open, closed, and beyond the circle.
    assert!((want[[15, 15]] - 1.0).abs() < 0.05 && want[[15, 9]] < 0.0 && want[[0, 0]] == 0.0);
    for at in [[44.3, 50.2], [43.6, 49.55], [44.5, 50.5]] {
        // Asked for two pixels away.
        let got = probe::cut(vacuum(at).view(), [at[0].round() + 2.0, at[1].round() - 2.0], 31).unwrap();
        let worst = (&got - &want).iter().fold(0.0f64, |m, v| m.max(v.abs()));
        assert!(worst < 0.06, "{at:?}: {worst}");
        // Its point symmetry tells how well it is centred.
        let mirrored = got.slice(s![..;-1, ..;-1]);
        let (mut same, mut all) = (0.0, 0.0);
        for (a, b) in got.iter().zip(&mirrored) {
            same += (a - b).powi(2);
            all += a.powi(2);
        }
        assert!(same < 1e-3 * all, "{at:?}: {}", same / all);
    }
    let refused = |frame: &Array2<f64>, at, size| probe::cut(frame.view(), at, size).unwrap_err().to_string();
    assert!(refused(&vacuum([44.0, 50.0]), [5.0, 50.0], 31).contains("leaves the 90×101 frame"));
    assert!(refused(&Array2::from_elem((90, 101), 7.0), [44.0, 50.0], 31).contains("nothing is brighter"));
    let mut hole = vacuum([44.0, 50.0]);
    hole[[44, 50]] = f64::NAN;
    assert!(refused(&hole, [44.0, 50.0], 31).contains("not a number"));
}

/// A run of the program; what it printed on stderr where it failed.
fn program(arguments: &[&str], dir: &Path) -> std::result::Result<String, String> {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_emstream"))
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    if out.status.success() {
        Ok(text(&out.stdout))
    } else {
        Err(text(&out.stderr))
    }
}

#[test]
fn the_program_reads_templates_from_images_stacks_and_scans() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let frame = vacuum([44.3, 50.2]);
    let bright = frame.mapv(|v| v as f32 * 1.5);
    let dim = frame.mapv(|v| v as f32 * 0.5);
    array::save_npy(&path("one.npy"), frame.view(), false).unwrap();
    array::save_tiff(path("two.tif"), &[bright.view(), dim.view()], false).unwrap();
    let mut scan = ndarray::Array4::<f32>::zeros((1, 2, 90, 101));
    scan.slice_mut(s![0, 0, .., ..]).assign(&bright);
    scan.slice_mut(s![0, 1, .., ..]).assign(&dim);
    let file = hdf5::File::create(path("scan.h5")).unwrap();
    let group = file.create_group("vacuum").unwrap();
    group.new_dataset_builder().with_data(&scan).create("data").unwrap();
    file.new_dataset_builder().with_data(&scan).create("other").unwrap();
    drop(group);
    file.close().unwrap();

    let mut first: Option<Array2<f64>> = None;
    for spec in [
        "probe:one.npy@44,50,31",
        "probe:two.tif@44,50,31",
        "probe:scan.h5/vacuum/data@44,50,31",
    ] {
        program(&["template", spec, "-o", "t.npy", "--overwrite"], dir.path()).unwrap();
        let stamp: Array2<f64> = array::read_array(path("t.npy"), 1 << 20)
            .unwrap()
            .into_dimensionality()
            .unwrap();
        assert_eq!(stamp.dim(), (45, 45));
        let first = first.get_or_insert_with(|| stamp.clone());
        let worst = (&stamp - &*first).iter().fold(0.0f64, |m, v| m.max(v.abs()));
        assert!(worst < 1e-5, "{spec}: {worst}");
    }
    program(&["template", SPEC, "-o", "t.png"], dir.path()).unwrap();
    assert!(path("t.png").exists());
    let error = program(&["template", "probe:scan.h5@44,50,31", "-o", "u.npy"], dir.path()).unwrap_err();
    assert!(error.contains("vacuum/data"), "{error}");
    let error = program(&["template", "probe:none.tif@44,50,31", "-o", "u.npy"], dir.path()).unwrap_err();
    assert!(error.contains("none.tif"), "{error}");
}

#[test]
fn the_surface_is_found_among_outliers() {
    let mut mix = common::Mix(7);
    let mut random = move || (mix.next() >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
    let (mut at, mut exact, mut noisy) = (Vec::new(), Vec::new(), Vec::new());
    for y in 0..20 {
        for x in 0..30 {
            let (v, u) = (f64::from(y) / 10.0, f64::from(x) / 15.0);
            let p = [60.0 + 1.5 * v - 0.7 * u + 0.4 * v * u, 70.0 - v + 0.9 * u * u];
            at.push([f64::from(y), f64::from(x)]);
            exact.push(p);
            // Sum of uniform numbers: standard deviation 0.1. Every fifth position is another disk.
            let noise = |r: &mut dyn FnMut() -> f64| 0.1 * (0..12).map(|_| r()).sum::<f64>();
            let wrong = if (y * 30 + x) % 5 == 0 { 15.0 } else { 0.0 };
            noisy.push([p[0] + noise(&mut random) + wrong, p[1] + noise(&mut random)]);
        }
    }
    let surface = Surface::fit(&at, &noisy).unwrap();
    let worst = at.iter().zip(&exact).fold(0.0f64, |m, (a, p)| {
        let q = surface.position(*a);
        m.max((p[0] - q[0]).hypot(p[1] - q[1]))
    });
    assert!(worst < 0.05, "{worst}");
    assert!((0.08..0.15).contains(&surface.spread), "{}", surface.spread);
    // One row has no slope in y; a single position and a diagonal are enough for something.
    let row = Surface::fit(&at[..30], &exact[..30]).unwrap();
    let q = row.position([0.0, 12.0]);
    assert!((q[0] - exact[12][0]).abs() < 1e-9 && (q[1] - exact[12][1]).abs() < 1e-9);
    assert_eq!(Surface::fit(&at[..1], &exact[..1]).unwrap().position([5.0, 5.0]), exact[0]);
    let diagonal: Vec<[f64; 2]> = (0..9).map(|i| [f64::from(i), f64::from(i)]).collect();
    let values: Vec<[f64; 2]> = (0..9).map(|i| [f64::from(i) * 0.5, 3.0]).collect();
    let middle = Surface::fit(&diagonal, &values).unwrap().position([4.0, 4.0]);
    assert!((middle[0] - 2.0).abs() < 0.51 && (middle[1] - 3.0).abs() < 1e-9, "{middle:?}");
    assert!(
        Surface::fit(&at[..1], &[[f64::NAN, 0.0]])
            .unwrap_err()
            .to_string()
            .contains("in no frame")
    );
}

/// A scan of 250 × 250 frames would take minutes; this one has the same pattern at 100 × 100.
fn small(seed: u64) -> Bullseye {
    Bullseye {
        nav: [16, 20],
        sig: [100, 100],
        seed,
        grains: Some(5),
        electrons: 2000.0,
        radii: Some([1.4, 3.6, 5.4]),
        cross: Some(0.8),
        descan_max: Some(3.0),
        ..Bullseye::default()
    }
}
const SMALL_SPEC: &str = "bullseye:1.4,3.6,5.4,7.5,cross=0.8";

#[test]
fn bullseye_scans_count_their_electrons_and_hold_their_truth() {
    let scan = SimulatedBullseye::new(&small(3)).unwrap();
    let frame = scan.info().frame;
    assert_eq!((frame.pixel, frame.height, frame.width), (Pixel::U16, 100, 100));
    let mut out = vec![0f32; frame.pixels()];
    let (mut total, mut away) = (0.0, 0.0f64);
    for n in (0..320).step_by(40) {
        scan.expectation(n, &mut out).unwrap();
        total += out.iter().map(|v| f64::from(*v)).sum::<f64>() / 8.0;
        // The mean of the brightest disk is the direct beam's place.
        let zero = scan.pose(n).zero;
        let (mut mass, mut sum) = (0.0, [0.0; 2]);
        for (i, v) in out.iter().enumerate() {
            let (y, x) = ((i / 100) as f64, (i % 100) as f64);
            if (y - zero[0]).hypot(x - zero[1]) < 2.5 {
                mass += f64::from(*v);
                sum = [sum[0] + f64::from(*v) * y, sum[1] + f64::from(*v) * x];
            }
        }
        away = away.max((sum[0] / mass - zero[0]).hypot(sum[1] / mass - zero[1]));
    }
    assert!((total / 2000.0 - 1.0).abs() < 0.1, "{total}");
    assert!(away < 0.25, "{away}");
    // The same bits whoever asks, in any order.
    let read = |order: &[u64]| {
        let mut bytes = vec![0u8; order.len() * frame.stride()];
        scan.read(order, frame.stride(), &mut bytes, &control()).unwrap();
        bytes
    };
    assert_eq!(read(&[7, 3])[frame.stride()..], read(&[3]));
    for (bad, name) in [
        (
            Bullseye {
                diffracted: 1.5,
                ..small(1)
            },
            "diffracted",
        ),
        (
            Bullseye {
                sig: [4, 100],
                ..small(1)
            },
            "sig",
        ),
        (
            Bullseye {
                radii: Some([3.0, 2.0, 5.0]),
                ..small(1)
            },
            "radii",
        ),
        (
            Bullseye {
                electrons: f64::NAN,
                ..small(1)
            },
            "electrons",
        ),
        (
            Bullseye {
                camera: Some(0.6),
                ..small(1)
            },
            "camera",
        ),
    ] {
        assert!(SimulatedBullseye::new(&bad).err().unwrap().to_string().starts_with(name));
    }
    let dir = TempDir::new().unwrap();
    let truth = scan.write(&dir.path().join("b.h5"), false, &control()).unwrap();
    let file = hdf5::File::open(truth).unwrap();
    let grain: ndarray::Array2<i32> = file.dataset("grain_id").unwrap().read().unwrap();
    assert_eq!(grain, scan.grain_id());
    assert_eq!(file.dataset("orientation").unwrap().shape(), [16, 20, 3, 3]);
    assert_eq!(
        Bullseye::from_toml(&scan.parameters().to_toml().unwrap()).unwrap(),
        *scan.parameters()
    );
}

fn clustered(scan: &dyn Scan, params: &Params, backend: &Backend) -> Clustering {
    let all = Selection::all(scan.info().nav);
    let template = params.template(no_file).unwrap();
    cluster::run(scan, all, template, Given::default(), params, backend, &control()).unwrap()
}

fn bullseye_params(clusters: usize, descan: Descan) -> Params {
    Params {
        template: Some(SMALL_SPEC.into()),
        log_std: true,
        feature_peaks: 200,
        position_weight: 0.0,
        clusters: Clusters::Number(clusters),
        descan,
        ..Params::default()
    }
}

#[test]
fn descan_of_a_bullseye_scan_is_measured_on_both_backends() {
    let scan = SimulatedBullseye::new(&small(5)).unwrap();
    let truth: Vec<i32> = scan.grain_id().iter().copied().collect();
    let mut labels: Option<Vec<i32>> = None;
    for backend in [&Backend::Cpu, &gpu()] {
        for how in [Descan::Fit, Descan::Measured] {
            let r = clustered(&scan, &bullseye_params(5, how), backend);
            let track = &r.descan.as_ref().unwrap().track;
            let mut errors: Vec<f64> = (0..320)
                .map(|n| {
                    let (want, got) = (scan.pose(n).descan, track.shifts[n as usize]);
                    (want[0] - got[0]).hypot(want[1] - got[1])
                })
                .collect();
            errors.sort_by(f64::total_cmp);
            let (median, worst) = if how == Descan::Fit { (0.05, 0.15) } else { (0.1, 0.6) };
            assert!(
                errors[160] < median && errors[319] < worst,
                "{how:?}: {} {}",
                errors[160],
                errors[319]
            );
            let index = adjusted_rand_index(&r.labels, &truth).unwrap();
            assert!(index > 0.98, "{how:?} on {}: {index}", backend.name());
            if how == Descan::Fit {
                let first = labels.get_or_insert_with(|| r.labels.clone());
                assert_eq!(&r.labels, first, "backends agree");
            }
        }
    }
}

/// Three pixels of descan are more than the radius of these disks.
#[test]
fn taking_descan_out_brings_the_crystallites_back() {
    for seed in [1, 2, 3] {
        let parameters = |descan: f64| Polycrystal {
            nav: [24, 30],
            sig: [96, 96],
            seed,
            grains: Some(emstream::simulate::Grains::Count(6)),
            descan_max: Some(descan),
            ..Polycrystal::default()
        };
        let index = |descan: f64, how: Descan| {
            let scan = Simulated::new(&parameters(descan)).unwrap();
            let truth: Vec<i32> = scan.truth().grain_id.iter().copied().collect();
            let params = Params {
                clusters: Clusters::Number(6),
                feature_peaks: 150,
                descan: how,
                ..Params::default()
            };
            adjusted_rand_index(&clustered(&scan, &params, &Backend::Cpu).labels, &truth).unwrap()
        };
        let (still, moving) = (index(0.0, Descan::None), index(3.0, Descan::None));
        for how in [Descan::Fit, Descan::Measured] {
            let back = index(3.0, how);
            assert!(
                back >= still - 0.02,
                "seed {seed}, {how:?}: {back}, without descan {still}, left in {moving}"
            );
        }
    }
}

/// A window around the mean place would lose the beam: other disks are nearer.
#[test]
fn a_beam_that_wanders_far_is_followed() {
    let parameters = Polycrystal {
        nav: [20, 24],
        seed: 5,
        grains: Some(emstream::simulate::Grains::Count(4)),
        descan_max: Some(16.0),
        ..Polycrystal::default()
    };
    let scan = Simulated::new(&parameters).unwrap();
    let truth = scan.truth();
    let params = Params {
        descan: Descan::Fit,
        ..Params::default()
    };
    let beam = |n: usize| [0, 1].map(|k| f64::from(truth.zero[[n / 24, n % 24, k]]));
    let mean = [0, 1].map(|k| (0..480).map(|n| beam(n)[k]).sum::<f64>() / 480.0);
    let mut shifts = None;
    for backend in [&Backend::Cpu, &gpu()] {
        let r = clustered(&scan, &params, backend);
        let track = &r.descan.as_ref().unwrap().track;
        for (n, (shift, measured)) in track.shifts.iter().zip(&track.measured).enumerate() {
            let zero = beam(n);
            let off = |k: usize| shift[k] + mean[k] - zero[k];
            assert!(
                off(0).hypot(off(1)) < 0.15,
                "frame {n}: {shift:?} for {zero:?} about {mean:?}"
            );
            assert!((measured[0] - zero[0]).hypot(measured[1] - zero[1]) < 1.0, "frame {n}");
        }
        assert_eq!(track.outliers, 0, "{}", backend.name());
        let zero = r.zero_peak.unwrap();
        assert!((zero[0] - track.mean[0]).hypot(zero[1] - track.mean[1]) < 1.0, "{zero:?}");
        let truth: Vec<i32> = truth.grain_id.iter().copied().collect();
        assert_eq!((r.clusters, adjusted_rand_index(&r.labels, &truth).unwrap()), (4, 1.0));
        let first = shifts.get_or_insert_with(|| track.shifts.clone());
        for (a, b) in first.iter().zip(&*track.shifts) {
            assert!((a[0] - b[0]).hypot(a[1] - b[1]) < 1e-3, "backends agree");
        }
    }
}

/// Distance of the true direct beam from the nearest site of the fitted lattice, in pixels; infinite without a fit.
fn beside_lattice(fit: Option<&emstream::analysis::lattice::Fit>, zero: [f64; 2]) -> f64 {
    let Some(l) = fit.map(|f| f.lattice) else {
        return f64::INFINITY;
    };
    let d = [zero[0] - l.zero[0], zero[1] - l.zero[1]];
    let det = l.a[0] * l.b[1] - l.a[1] * l.b[0];
    let (i, j) = ((d[0] * l.b[1] - d[1] * l.b[0]) / det, (l.a[0] * d[1] - l.a[1] * d[0]) / det);
    let p = l.position(i.round(), j.round());
    (p[0] - zero[0]).hypot(p[1] - zero[1])
}

#[test]
fn strain_starts_from_lattices_that_follow_the_descan() {
    let parameters = Polycrystal {
        nav: [12, 14],
        seed: 4,
        grains: Some(emstream::simulate::Grains::Count(3)),
        descan_max: Some(6.0),
        ..Polycrystal::default()
    };
    let scan = Simulated::new(&parameters).unwrap();
    let truth = scan.truth();
    let run = |how: Descan, backend: &Backend| {
        let clustering = Params {
            descan: how,
            ..Params::default()
        };
        // The joint fit would find its way without.
        let params = strain::Params {
            correlation: strain::Correlation::Fast,
            ..strain::Params::default()
        };
        let templates = strain::Templates {
            cluster: clustering.template(no_file).unwrap(),
            lattice: params.template(&clustering, no_file).unwrap(),
        };
        let given = strain::Given {
            clustering: Given {
                peaks: None,
                labels: Some(truth.grain_id.clone()),
            },
            region: None,
        };
        let all = Selection::all(scan.info().nav);
        let r = strain::run(&scan, all, templates, given, &clustering, &params, backend, &control()).unwrap();
        let mut errors: Vec<f64> = (0..168)
            .map(|n| {
                let zero = [0, 1].map(|k| f64::from(truth.zero[[n / 14, n % 14, k]]));
                beside_lattice(r.refined.fits[n].as_ref(), zero)
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        [errors[84], errors[160]]
    };
    for backend in [&Backend::Cpu, &gpu()] {
        let [median, high] = run(Descan::Fit, backend);
        assert!(median < 0.03 && high < 0.1, "on {}: {median} {high}", backend.name());
    }
    // Six pixels are beyond the search range of four.
    let [_, high] = run(Descan::None, &Backend::Cpu);
    assert!(high > 0.1, "{high}");
}

#[test]
fn results_and_report_hold_descan_and_cuts() {
    let scan = SimulatedBullseye::new(&small(5)).unwrap();
    let r = clustered(&scan, &bullseye_params(5, Descan::Fit), &Backend::Cpu);
    let dir = TempDir::new().unwrap();
    let out = OutputDir::create(dir.path().join("out"), false).unwrap();
    let folder = cluster::write(&r, &scan, &Backend::Cpu, "[cluster]\n", out).unwrap();
    for name in ["correlation", "descan", "dendrogram", "cuts", "labels", "features", "std"] {
        assert!(folder.join(format!("figures/{name}.png")).exists(), "{name}");
    }
    let file = hdf5::File::open(folder.join("result.h5")).unwrap();
    for name in ["measured", "fitted", "shift"] {
        let dataset = file.dataset(&format!("descan/{name}")).unwrap();
        assert_eq!(dataset.shape(), [16, 20, 2]);
    }
    assert_eq!(file.dataset("descan/std").unwrap().shape(), [100, 100]);
}

#[test]
fn thresholds_of_a_tree_give_the_number_back() {
    let tree = Tree::new(5, vec![[0, 1], [2, 3], [5, 6], [4, 7]], vec![1.0, 2.5, 2.0, 8.0]).unwrap();
    for k in 1..=5 {
        let (above, to) = tree.thresholds(k).unwrap();
        assert_eq!(tree.clusters_at(to.min(1e9)).unwrap(), k);
        assert_eq!(tree.clusters_at((above + to.min(1e9)) / 2.0).unwrap(), k);
    }
    let equal = Tree::new(3, vec![[0, 1], [2, 3]], vec![1.0, 1.0]).unwrap();
    assert_eq!(equal.thresholds(2), None);
    assert_eq!(equal.thresholds(0), None);
    assert_eq!(equal.thresholds(4), None);
}
