//! `simulate phases` and `phases` as users meet them: truth, the same bits for any threads and blocks, and every way to make features.

use emstream::analysis::compare::adjusted_rand_index;
use emstream::engine::{Backend, Selection};
use emstream::io::{OpenOptions, Scan, hspy};
use emstream::pixel::Pixel;
use emstream::simulate::{Parameters, Phases, SimulatedPhases};
use emstream::workflows::phases::{self, Given, Params, Reduce, Signal};
use emstream::{Control, Error};
use ndarray::{Array2, Array3};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

fn start(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_emstream"))
        .args(args)
        .current_dir(dir)
        .output()
        .expect("the program starts")
}

fn emstream(dir: &Path, args: &str) -> String {
    let args: Vec<&str> = args.split(' ').collect();
    let out = start(dir, &args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// 20 × 24 positions of five phases; few grains, so that each has its place.
fn small(seed: u64) -> Phases {
    Phases {
        nav: [20, 24],
        sig: [48, 48],
        channels: 512,
        energy_axis: [-0.1, 0.02],
        grains: Some(5),
        seed,
        ..Phases::default()
    }
}

fn bytes(scan: &dyn Scan, order: &[u64]) -> Vec<Vec<u8>> {
    let frame = scan.info().frame;
    let mut out = vec![0u8; order.len() * frame.stride()];
    scan.read(order, frame.stride(), &mut out, &Control::new()).unwrap();
    out.chunks_exact(frame.stride())
        .map(|f| f[..frame.bytes()].to_vec())
        .collect()
}

#[test]
fn simulated_signals_are_the_same_in_any_order_and_count_what_they_expect() {
    for pixel in [Pixel::U8, Pixel::U16, Pixel::F32] {
        let made = SimulatedPhases::new(&Phases { pixel, ..small(4) }).unwrap();
        let scans: [&dyn Scan; 2] = [&made.patterns, &made.spectra];
        for scan in scans {
            let forward = bytes(scan, &[0, 1, 2, 3]);
            let mut backward = bytes(scan, &[3, 2, 1, 0]);
            backward.reverse();
            assert_eq!(forward, backward, "{pixel}");
        }
    }
    // Counts about their expectation, and variances as Poisson's law has them.
    let made = SimulatedPhases::new(&small(4)).unwrap();
    let (mut expected, mut counted, mut squares, mut pixels) = (0.0, 0.0, 0.0, 0.0);
    let mut expectation = vec![0.0f32; 48 * 48];
    for n in 0..200u64 {
        made.patterns.expectation(n, &mut expectation).unwrap();
        for (pixel, &e) in bytes(&made.patterns, &[n])[0].chunks(2).zip(&expectation) {
            let count = f64::from(u16::from_ne_bytes([pixel[0], pixel[1]]));
            expected += f64::from(e);
            counted += count;
            squares += (count - f64::from(e)).powi(2) / f64::from(e).max(1e-9);
            pixels += 1.0;
        }
    }
    assert!((counted - expected).abs() < 5.0 * expected.sqrt(), "{counted} {expected}");
    assert!((squares / pixels - 1.0).abs() < 0.02, "{}", squares / pixels);
    let mut spectrum = vec![0.0f32; 512];
    made.spectra.expectation(7, &mut spectrum).unwrap();
    let total: f64 = spectrum.iter().map(|v| f64::from(*v)).sum();
    assert!((200.0..1500.0).contains(&total), "{total} X-rays");
}

#[test]
fn the_truth_is_that_of_the_signals() {
    let p = small(2).resolved().unwrap();
    let made = SimulatedPhases::new(&p).unwrap();
    let list = p.phases.as_ref().unwrap();
    assert_eq!(list.len(), 5);
    let labels = made.specimen.labels();
    for phase in 0..5 {
        let count = labels.iter().filter(|l| **l == phase).count();
        assert!(count > 30, "phase {phase}: {count} positions");
    }
    for n in 0..480 {
        let fractions = made.specimen.fractions(n);
        assert!((fractions.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    // Overlap: wider zones hold more mixed positions.
    let mixed = |overlap: f64| {
        let made = SimulatedPhases::new(&Phases { overlap, ..p.clone() }).unwrap();
        let pure = |n: &u64| made.specimen.fractions(*n).iter().any(|f| *f > 0.95);
        (0..480).filter(|n| !pure(n)).count()
    };
    let counts = [0.0, 0.6, 3.0].map(mixed);
    assert!(counts[0] == 0 && counts[0] < counts[1] && counts[1] < counts[2], "{counts:?}");
    // Characteristic lines of what a phase is made of: tin in A, none in the film.
    let mean = |phase: i32, energy: f64| {
        let mut sum = (0.0, 0);
        let mut spectrum = vec![0.0f32; 512];
        for n in (0..480u64).filter(|&n| labels[[n as usize / 24, n as usize % 24]] == phase) {
            made.spectra.expectation(n, &mut spectrum).unwrap();
            sum.0 += f64::from(spectrum[((energy + 0.1) / 0.02).round() as usize]);
            sum.1 += 1;
        }
        sum.0 / f64::from(sum.1)
    };
    assert!(mean(1, 3.444) > 5.0 * mean(0, 3.444));
    assert!(mean(0, 0.277) > 5.0 * mean(1, 0.277));
    assert!(
        (mean(0, 8.048) / mean(1, 8.048) - 1.0).abs() < 0.05,
        "the grid is the same everywhere"
    );
}

#[test]
fn bad_parameters_of_a_simulation_are_errors() {
    let message = |p: Phases| match SimulatedPhases::new(&p) {
        Ok(_) => panic!("{p:?}"),
        Err(e) => e.to_string(),
    };
    assert!(message(Phases { nav: [0, 3], ..small(1) }).contains("nav"));
    assert!(
        message(Phases {
            overlap: -1.0,
            ..small(1)
        })
        .contains("overlap")
    );
    assert!(
        message(Phases {
            dose: f64::NAN,
            ..small(1)
        })
        .contains("dose")
    );
    assert!(
        message(Phases {
            grains: Some(2),
            ..small(1)
        })
        .contains("grains")
    );
    let mut list = small(1).resolved().unwrap().phases.unwrap();
    list[1].composition.insert("Xx".into(), 1.0);
    let e = message(Phases {
        phases: Some(list),
        ..small(1)
    });
    assert!(e.contains("'Xx'") && e.contains("Sn"), "{e}");
    assert!(matches!(Phases::from_toml("nonsense = 3"), Err(Error::Parameter { .. })));
    // What is written reads back the same.
    let p = small(3).resolved().unwrap();
    assert_eq!(Phases::from_toml(&p.to_toml().unwrap()).unwrap(), p);
}

#[test]
fn the_default_recipe_finds_the_phases_of_five_scans() {
    for seed in 1..=5 {
        let p = Phases {
            nav: [24, 40],
            grains: Some(6),
            channels: 512,
            energy_axis: [-0.1, 0.02],
            ..small(seed)
        };
        let made = SimulatedPhases::new(&p).unwrap();
        let truth: Vec<i32> = made.specimen.labels().into_iter().collect();
        let signals = [
            Signal::of("dp", Path::new("dp"), Box::new(made.patterns)),
            Signal::of("eds", Path::new("eds"), Box::new(made.spectra)),
        ];
        let params = Params {
            min_cluster_size: 50,
            runs: 3,
            ..Params::default()
        };
        let selections = phases::align(&signals, &Selection::all(p.nav), &params).unwrap();
        let found = phases::run(
            &signals,
            &selections,
            Given::default(),
            &params,
            &Backend::Cpu,
            &Control::new(),
        )
        .unwrap();
        let index = adjusted_rand_index(&found.found.soft, &truth).unwrap();
        eprintln!("scan {seed}: index {index:.3}, {} phases", found.sizes.len());
        assert!(index >= 0.9, "scan {seed}: {index}");
        // The positions that runs agree on are right more often than the others.
        let trusted: Vec<usize> = (0..truth.len())
            .filter(|&i| found.agreement.with_reference[i] >= 0.8)
            .collect();
        let of = |l: &[i32]| trusted.iter().map(|&i| l[i]).collect::<Vec<_>>();
        let among = adjusted_rand_index(&of(&found.found.soft), &of(&truth)).unwrap();
        assert!(
            among >= index - 0.01,
            "scan {seed}: {among} among the trusted, {index} of all"
        );
    }
}

/// Every number of a result file that does not tell of the run itself.
fn contents(dir: &Path, name: &str) -> Vec<(String, Vec<u64>)> {
    fn walk(group: &hdf5::Group, all: &mut Vec<(String, Vec<u64>)>) {
        for inner in group.groups().unwrap() {
            if !inner.name().ends_with("provenance") {
                walk(&inner, all);
            }
        }
        for dataset in group.datasets().unwrap() {
            let values: Vec<u64> = match dataset.dtype().unwrap().size() {
                _ if dataset.dtype().unwrap().is::<hdf5::types::VarLenUnicode>() => continue,
                _ => dataset.read_raw::<f64>().unwrap().into_iter().map(f64::to_bits).collect(),
            };
            all.push((dataset.name(), values));
        }
    }
    let file = hdf5::File::open(dir.join(name).join("result.h5")).unwrap();
    let mut all = Vec::new();
    walk(&file, &mut all);
    all.sort();
    all
}

fn simulated(dir: &Path, args: &str) {
    std::fs::write(dir.join("scan.toml"), small(2).to_toml().unwrap()).unwrap();
    emstream(dir, &format!("simulate phases -o scan --params scan.toml{args}"));
}

#[test]
fn a_simulated_pair_is_a_hyperspy_pair_with_truth() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    simulated(d, "");
    let signal = hspy::signals(&d.join("scan/eds.hspy")).unwrap().remove(0);
    assert_eq!((signal.signal_type.as_str(), signal.beam_energy), ("EDS_TEM", Some(200.0)));
    assert_eq!(signal.elements, ["C", "Cu", "Ni", "O", "Sn", "Ti"]);
    assert!(signal.xray_lines.contains(&"Sn_La".to_owned()));
    let axis = signal.spectral_axis().unwrap();
    assert_eq!(
        (axis.size, axis.scale, axis.offset, axis.unit.as_str()),
        (512, Some(0.02), -0.1, "keV")
    );
    let signal = hspy::signals(&d.join("scan/dp.hspy")).unwrap().remove(0);
    let sizes: Vec<u64> = signal.axes.iter().map(|a| a.size).collect();
    assert_eq!(
        (sizes, signal.signal_type.as_str()),
        (vec![20, 24, 48, 48], "electron_diffraction")
    );
    // What is in the files is what the simulation says.
    let made = SimulatedPhases::new(&small(2)).unwrap();
    let opened = Signal::open("dp", &d.join("scan/dp.hspy"), false, &OpenOptions::default(), &Control::new()).unwrap();
    assert_eq!(bytes(&*opened.scan, &[0, 77, 479]), bytes(&made.patterns, &[0, 77, 479]));
    let opened = Signal::open(
        "eds",
        &d.join("scan/eds.hspy"),
        true,
        &OpenOptions::default(),
        &Control::new(),
    )
    .unwrap();
    assert_eq!(bytes(&*opened.scan, &[0, 77, 479]), bytes(&made.spectra, &[0, 77, 479]));
    let truth = hdf5::File::open(d.join("scan/truth.h5")).unwrap();
    let phase: Array2<i32> = truth.dataset("phase").unwrap().read_2d().unwrap();
    assert_eq!(phase, made.specimen.labels());
    let fractions: Array3<f32> = truth.dataset("fractions").unwrap().read::<f32, ndarray::Ix3>().unwrap();
    assert_eq!(fractions.dim(), (20, 24, 5));
    assert_eq!(truth.attr("seed").unwrap().read_scalar::<i64>().unwrap(), 2);
    // Nothing is replaced unless asked.
    let again = start(d, &["simulate", "phases", "-o", "scan"]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("--overwrite"));
    // By the name of a file.
    emstream(
        d,
        "simulate phases -o one.hspy --nav-shape 3,4 --sig-shape 32,32 --channels 64 --grains 5",
    );
    assert!(
        ["one.hspy", "one_eds.hspy", "one.hspy.truth.h5"]
            .iter()
            .all(|f| d.join(f).is_file())
    );
}

#[test]
fn threads_and_blocks_do_not_change_a_bit_of_the_command() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    simulated(d, "");
    let run = |name: &str, threads: usize, memory: &str| {
        emstream(
            d,
            &format!(
                "--backend cpu --threads {threads} --memory {memory} phases scan/dp.hspy --eds scan/eds.hspy -o {name} --runs 2 \
                 --min-cluster-size 30 --save-features"
            ),
        );
        contents(d, name)
    };
    let want = run("a", 1, "1G");
    assert!(want.len() > 25, "{} datasets", want.len());
    for (name, threads, memory) in [("b", 2, "64M"), ("c", 3, "24M")] {
        let found = run(name, threads, memory);
        for (a, b) in want.iter().zip(&found) {
            assert_eq!(a.0, b.0);
            assert!(a.1 == b.1, "{} differs with {threads} threads and {memory}", a.0);
        }
        assert_eq!(want.len(), found.len());
    }
}

fn ari_of(d: &Path, name: &str) -> f64 {
    let file = hdf5::File::open(d.join(name).join("result.h5")).unwrap();
    let found: Vec<i32> = file.dataset("clusters/labels_soft").unwrap().read_raw().unwrap();
    let truth: Vec<i32> = hdf5::File::open(d.join("scan/truth.h5"))
        .unwrap()
        .dataset("phase")
        .unwrap()
        .read_raw()
        .unwrap();
    let both: (Vec<i32>, Vec<i32>) = found
        .iter()
        .zip(&truth)
        .filter(|(f, _)| **f >= 0)
        .map(|(f, t)| (*f, *t))
        .unzip();
    adjusted_rand_index(&both.0, &both.1).unwrap()
}

#[test]
fn every_way_to_make_features_runs_through_the_program() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    simulated(d, "");
    let shape = |name: &str, dataset: &str| {
        let file = hdf5::File::open(d.join(name).join("result.h5")).unwrap();
        file.dataset(dataset).unwrap_or_else(|e| panic!("{dataset}: {e}")).shape()
    };
    let with = |name: &str, flags: &str| {
        let base =
            "--backend cpu --threads 2 phases scan/dp.hspy --eds scan/eds.hspy --runs 1 --no-densmap --min-cluster-size 30";
        emstream(d, &format!("{base} -o {name} {flags}"))
    };
    // Rings, and the cepstrum: fewer numbers, still the phases.
    for (name, flags, least) in [
        ("radial", "--reduce radial", 0.75),
        ("annular", "--reduce annular --rings 6", 0.75),
        ("cepstrum", "--reduce cepstrum --rebin 1 --keep 0.2", 0.75),
    ] {
        with(name, flags);
        let index = ari_of(d, name);
        eprintln!("{name}: index {index:.3}");
        assert!(index >= least, "{name}: {index}");
    }
    assert_eq!(shape("annular", "phases/dp_std"), [1, 6]);
    assert_eq!(shape("cepstrum", "phases/dp_std"), [48, 25]);
    // A grid of parameters.
    with("vary", "--vary keep=.2,.4 weight=1,2");
    assert_eq!(shape("vary", "vary/labels"), [4, 20, 24]);
    assert_eq!(shape("vary", "vary/values"), [4, 2]);
    assert_eq!(shape("vary", "vary/ari"), [4, 4]);
    // Part of the scan, one signal against the other.
    with("crop", "--crop 2:18,0:20 --shift eds=0,1");
    let labels: Vec<i32> = hdf5::File::open(d.join("crop/result.h5"))
        .unwrap()
        .dataset("clusters/labels_soft")
        .unwrap()
        .read_raw()
        .unwrap();
    let inside = |i: usize| (2..18).contains(&(i / 24)) && i % 24 < 20;
    assert!(labels.iter().enumerate().all(|(i, l)| (*l >= 0) == inside(i)));
    // Approximate neighbours: said, and about as good. Saved features give the same answer as the files.
    with("exact", "--save-features");
    with("approximate", "--exact-up-to 100");
    let [exact, approximate] = ["exact", "approximate"].map(|n| ari_of(d, n));
    assert!((exact - approximate).abs() < 0.1, "{exact} {approximate}");
    let report = std::fs::read_to_string(d.join("approximate/report.html")).unwrap();
    assert!(report.contains("approximate"));
    assert!(d.join("exact/figures/labels.png").is_file() && d.join("exact/params.toml").is_file());
    let features: Array3<f32> = hdf5::File::open(d.join("exact/result.h5"))
        .unwrap()
        .dataset("phases/features")
        .unwrap()
        .read::<f32, ndarray::Ix3>()
        .unwrap();
    let file = std::fs::File::create(d.join("features.npy")).unwrap();
    write_npy(file, &features);
    with("again", "--features features.npy");
    let labels = |name: &str| {
        contents(d, name)
            .into_iter()
            .find(|(n, _)| n == "/clusters/labels_soft")
            .unwrap()
    };
    assert_eq!(labels("again"), labels("exact"));
}

fn write_npy(mut file: std::fs::File, values: &Array3<f32>) {
    use std::io::Write;
    let (a, b, c) = values.dim();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({a}, {b}, {c}), }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    file.write_all(b"\x93NUMPY\x01\x00").unwrap();
    file.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    for v in values {
        file.write_all(&v.to_le_bytes()).unwrap();
    }
}

/// What a run that must fail says.
fn refused(dir: &Path, args: &str) -> String {
    let args: Vec<&str> = args.split(' ').collect();
    let out = start(dir, &args);
    assert!(!out.status.success(), "{args:?} is wrong");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn answers_without_clusters_and_flags_without_effect_are_told() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    simulated(d, "");
    let base = "--overwrite --backend cpu phases scan/dp.hspy -o out --no-densmap";
    let said = emstream(d, &format!("{base} --runs 2 --min-cluster-size 400"));
    assert!(
        said.starts_with("no phases: no cluster was found in any of 2 runs; "),
        "{said}"
    );
    let args = format!("{base} --runs 1 --min-cluster-size 300 --min-samples 480");
    let out = start(d, &args.split(' ').collect::<Vec<_>>());
    let (said, warned) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(said.starts_with("no phases: no cluster was found; "), "{said}");
    assert!(warned.contains("(--min-samples)"), "{warned}");
    let e = refused(d, &format!("{base} --eds scan/eds.hspy --eds-axis -0.1,0"));
    assert!(e.contains("--eds-axis: a step of 0 keV"), "{e}");
    let e = refused(d, &format!("{base} --features features.npy --keep 0.2"));
    assert!(e.contains("--keep") && e.contains("--features"), "{e}");
    let e = refused(d, &format!("{base} --scale-exponent 2"));
    assert_eq!(e, "error: --scale-exponent: has no effect beside --recipe default\n");
    let e = refused(d, &format!("{base} --recipe published --principal 3"));
    assert_eq!(e, "error: --principal: has no effect beside --recipe published\n");
    for (flags, flag, usual) in [
        ("--reduce radial --keep 0.3", "--keep", "0.4"),
        ("--reduce radial --rings 8", "--rings", "16"),
        ("--reduce annular --std log", "--std", "raw"),
        ("--reduce cepstrum --rebin-mode mean", "--rebin-mode", "sum"),
        ("--reduce cepstrum --beam-mask 12,12,3", "--beam-mask", "auto"),
    ] {
        let beside: Vec<&str> = flags.split(' ').take(2).collect();
        let e = refused(d, &format!("{base} {flags}"));
        let what = format!("has no effect beside {}", beside.join(" "));
        assert_eq!(
            e,
            format!("error: {flag}: {what}; where a parameter file gives it, {flag} {usual} undoes that\n")
        );
    }
    let e = refused(d, &format!("{base} --vary scale-exponent=1,2"));
    assert!(e.contains("--scale-exponent: has no effect"), "{e}");
}

/// Whole numbers from 1 to 2047, which half precision holds exactly.
#[test]
fn arrays_of_half_precision_are_read() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    simulated(d, "");
    let values = Array3::from_shape_fn((20, 24, 2), |(y, x, k)| {
        let group = if x < 12 { 1 } else { 1800 };
        (group + (y * 31 + x * 17 + k * 11 + x * y) % 100) as f32
    });
    write_npy(std::fs::File::create(d.join("f4.npy")).unwrap(), &values);
    let half = |v: f32| {
        let v = v as u16;
        let exponent = v.ilog2() as u16;
        (exponent + 15) << 10 | (v << (10 - exponent) & 0x3ff)
    };
    let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (20, 24, 2), }\n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|v| half(*v).to_le_bytes()));
    std::fs::write(d.join("f2.npy"), bytes).unwrap();
    for flag in ["embedding", "features"] {
        for name in ["f2", "f4"] {
            let base = "--overwrite --backend cpu phases scan/dp.hspy --runs 1 --min-cluster-size 30 --neighbors 30";
            emstream(d, &format!("{base} -o {name} --{flag} {name}.npy"));
        }
        assert!(contents(d, "f2") == contents(d, "f4"), "--{flag}");
    }
}

#[test]
fn cepstra_are_those_of_the_definition() {
    let made = SimulatedPhases::new(&Phases {
        nav: [3, 4],
        sig: [16, 20],
        grains: Some(5),
        ..small(1)
    })
    .unwrap();
    let signal = Signal::of("dp", Path::new("dp"), Box::new(made.patterns));
    let params = Params {
        reduce: Reduce::Cepstrum,
        rebin: 1,
        keep: 1.0,
        ..Params::default()
    };
    let raw = bytes(&*signal.scan, &(0..12).collect::<Vec<_>>());
    let features = phases::features(&[signal], &[Selection::all([3, 4])], &params, &Backend::Cpu, &Control::new())
        .unwrap()
        .remove(0);
    // |Σ w (ln(1 + x) − mean) exp(−2πi(ky y/h + kx x/w))|, Hann's window w; frequency 0 in row h/2.
    let hann = |i: usize, n: usize| (std::f64::consts::PI * (i as f64 + 0.5) / n as f64).sin().powi(2);
    let (h, w) = (16, 20);
    let kept: Vec<usize> = features
        .mask
        .iter()
        .enumerate()
        .filter(|(_, m)| **m)
        .map(|(i, _)| i)
        .collect();
    assert_eq!(features.mask.dim(), (16, 11));
    for (frame, raw) in raw.iter().enumerate() {
        let x: Vec<f64> = raw
            .chunks(2)
            .map(|p| f64::from(u16::from_ne_bytes([p[0], p[1]])).ln_1p())
            .collect();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        for (c, &at) in kept.iter().enumerate().step_by(7) {
            let (ky, kx) = ((at / 11) as f64 - 8.0, (at % 11) as f64);
            let (mut re, mut im) = (0.0, 0.0);
            for (i, v) in x.iter().enumerate() {
                let (y, x) = (i / w, i % w);
                let angle = std::f64::consts::TAU * (ky * y as f64 / h as f64 + kx * x as f64 / w as f64);
                let value = (v - mean) * hann(y, h) * hann(x, w);
                re += value * angle.cos();
                im -= value * angle.sin();
            }
            let (found, expected) = (f64::from(features.values[[frame, c]]), re.hypot(im));
            assert!(
                (found - expected).abs() < 1e-4 * expected.max(1.0),
                "{found} instead of {expected}"
            );
        }
    }
}
