//! The EBSD commands through the program. In a file of its own: a child started while another test of the same process holds an HDF5 file
//! open inherits its lock.

mod ebsd_support;

use ebsd_support::{open, pixels, program, small_map};
use emstream::pixel::Pixel;
use std::process::Command;
use tempfile::TempDir;

#[test]
fn the_program_processes_draws_and_images() {
    let dir = TempDir::new().unwrap();
    small_map(&dir);
    let done = |args: &[&str]| {
        let (code, stderr) = program(&dir, args);
        // The map has two holes and, once processed, two sets of patterns; every command that reads it says so.
        let notes = ["2 points of the map have no pattern", "--dataset chooses among these"];
        let told = stderr.lines().all(|l| notes.iter().any(|n| l.contains(n)));
        assert!(code == Some(0) && told, "{args:?}: {stderr}");
    };
    let cpu = ["--backend", "cpu", "ebsd"];
    done(
        &[
            &cpu[..],
            &[
                "process",
                "map.h5",
                "--in-place",
                "--method",
                "symmetric",
                "--sigma",
                "10",
                "--hot",
                "6",
            ],
        ]
        .concat(),
    );
    assert_eq!(
        open(&dir.path().join("map.h5"), Some("Patterns")).scan.info().frame.pixel,
        Pixel::U8
    );
    assert_eq!(
        open(&dir.path().join("map.h5"), None).scan.info().frame.pixel,
        Pixel::U16,
        "raw patterns stay"
    );
    done(
        &[
            &cpu[..],
            &["process", "map.h5", "-o", "two.h5", "--params", "map.params.toml"],
        ]
        .concat(),
    );
    let (one, two) = (
        open(&dir.path().join("map.h5"), Some("Patterns")),
        open(&dir.path().join("two.h5"), None),
    );
    assert_eq!(pixels(&one), pixels(&two), "the parameter file repeats the run");
    done(
        &[
            &cpu[..],
            &[
                "process",
                "map.h5",
                "-o",
                "stages.png",
                "--at",
                "1,1",
                "--method",
                "kikuchipy-frequency",
            ],
        ]
        .concat(),
    );
    assert!(dir.path().join("stages.png").exists() && dir.path().join("stages.histograms.png").exists());
    done(
        &[
            &cpu[..],
            &[
                "process",
                "map.h5",
                "-o",
                "mean.h5",
                "--background",
                "mean",
                "--bin",
                "4",
                "--clahe",
                "6,8",
            ],
        ]
        .concat(),
    );
    done(&[&cpu[..], &["bse", "map.h5", "-o", "bse.h5", "--grid", "5x3"]].concat());
    done(
        &[
            &cpu[..],
            &[
                "bse",
                "map.h5",
                "--in-place",
                "--region",
                "5,10,25,30",
                "--region",
                "0,0,9,9",
                "--sum",
            ],
        ]
        .concat(),
    );
    assert!(dir.path().join("bse.report.html").exists());

    let fails = |args: &[&str], word: &str| {
        let (code, stderr) = program(&dir, &[&cpu[..], args].concat());
        let errors: Vec<&str> = stderr.lines().filter(|l| !l.starts_with("warning: map.h5: ")).collect();
        assert!(
            code == Some(1) && errors.len() == 1 && errors[0].contains(word),
            "{args:?}: {code:?} {stderr}"
        );
    };
    fails(&["process", "map.h5", "-o", "map.h5"], "--in-place");
    fails(&["process", "map.h5", "-o", "two.h5"], "two.h5");
    fails(&["process", "map.h5", "-o", "x.png", "--at", "0,2"], "no pattern");
    fails(&["process", "map.h5", "-o", "x.h5", "--sigma", "-1"], "--sigma");
    fails(&["process", "map.h5", "-o", "x.h5", "--low", "60", "--high", "40"], "--low");
    fails(&["process", "map.h5", "-o", "x.h5", "--background", "none.tif"], "none.tif");
    fails(&["process", "map.h5", "-o", "x.h5", "--bin", "121"], "--bin");
    fails(&["bse", "map.h5", "-o", "x.h5", "--grid", "200x1"], "--grid");
    fails(&["bse", "map.h5", "-o", "x.h5", "--region", "0,0,121,1"], "--region");
    fails(&["bse", "map.h5", "-o", "x.h5", "--grid", "7"], "--grid");
    // The page's name is taken: no file appears without it, and what is there stays.
    for command in ["bse", "process"] {
        std::fs::write(dir.path().join("x.report.html"), "mine").unwrap();
        fails(&[command, "map.h5", "-o", "x.h5"], "x.report.html");
        assert_eq!(std::fs::read(dir.path().join("x.report.html")).unwrap(), b"mine");
        assert!(!dir.path().join("x.params.toml").exists());
    }
    assert!(!dir.path().join("x.h5").exists(), "nothing half-written");
}

/// Shape and values of a dataset.
fn read(dir: &TempDir, file: &str, name: &str) -> ndarray::ArrayD<f64> {
    let file = hdf5::File::open(dir.path().join(file)).unwrap();
    file.dataset(name)
        .unwrap_or_else(|e| panic!("{name}: {e}"))
        .read_dyn::<f64>()
        .unwrap()
}

/// Runs a command that must succeed, with nothing on stderr but the notes of the reader.
fn succeed(dir: &TempDir, backend: &str, args: &[&str]) {
    let all = [&["--backend", backend, "ebsd"], args].concat();
    let (code, stderr) = program(dir, &all);
    let notes = [
        "points of the map have no pattern",
        "--dataset chooses among these",
        "raw patterns; bands show",
        "bad pixels from bad.npy are replaced by the local median",
    ];
    let told = stderr.lines().all(|l| notes.iter().any(|n| l.contains(n)));
    assert!(code == Some(0) && told, "{args:?}: {code:?} {stderr}");
}

#[test]
fn the_program_finds_bands() {
    use emstream::io::ebsd::{Codec, Description, Geometry, MapData, Store};
    let dir = TempDir::new().unwrap();
    let background = None;
    let what = Description {
        present: &ndarray::Array2::from_elem((2, 2), true),
        pattern: [60, 80],
        steps: [Some(0.25); 2],
        data: &MapData::new([2, 2]),
        geometry: &Geometry::default(),
        static_background: background,
    };
    let store = Store::create(&dir.path().join("four.h5"), &what, false).unwrap();
    let frame = emstream::pixel::FrameShape {
        pixel: Pixel::U8,
        height: 60,
        width: 80,
    };
    let writer = store.pattern_writer("Patterns", frame, Codec::None).unwrap();
    for i in 0..4 {
        let pattern = ebsd_support::array::<u8>("bands.npz", &format!("input{i}"));
        writer.put(i, pattern.as_slice().unwrap()).unwrap();
    }
    writer.finish("", "patterns").unwrap();
    store.finish().unwrap();

    succeed(&dir, "cpu", &["bands", "four.h5", "-o", "bands.h5", "--recipe", "published"]);
    let of = |name: &str| read(&dir, "bands.h5", &format!("Scan/EBSD/Bands/{name}"));
    let (theta, rho, value) = (of("theta"), of("rho"), of("value"));
    assert_eq!(theta.shape(), [4, 12]);
    for i in 0..4 {
        let peaks = ebsd_support::plane("bands.npz", &format!("peaks{i}"));
        for (k, peak) in peaks.rows().into_iter().enumerate() {
            let found = [value[[i, k]], theta[[i, k]], rho[[i, k]]];
            let near = found.iter().zip(&peak).all(|(f, w)| (f - w).abs() < 1e-5);
            assert!(near, "pattern {i}, band {k}: {found:?} {peak}");
        }
        assert!((peaks.nrows()..12).all(|k| theta[[i, k]].is_nan()));
    }
    let quality = read(&dir, "bands.h5", "Scan/EBSD/Data/band_quality");
    assert!(quality.shape() == [2, 2] && quality.iter().all(|&q| q > 1.0));
    assert!(
        std::fs::read_to_string(dir.path().join("bands.report.html"))
            .unwrap()
            .contains("data:image/png")
    );
    succeed(
        &dir,
        "cpu",
        &["bands", "four.h5", "--in-place", "--params", "bands.params.toml"],
    );
    let again = read(&dir, "four.h5", "Scan/EBSD/Bands/theta");
    assert!(again.iter().zip(&theta).all(|(a, b)| a.to_bits() == b.to_bits()));

    // The figure: lines in colours that no grey pattern has.
    succeed(&dir, "cpu", &["bands", "four.h5", "-o", "bands.png", "--at", "0,1"]);
    let bytes = std::fs::read(dir.path().join("bands.png")).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let coloured = pixels.chunks_exact(3).filter(|p| p[0] > 200 && p[2] < 90).count();
    assert!(coloured > 2000, "{coloured} pixels of lines");
    let (code, stderr) = program(&dir, &["ebsd", "bands", "four.h5", "-o", "x.png", "--at", "5,0"]);
    assert!(code == Some(1) && stderr.lines().count() == 1, "{stderr}");
}

/// A disk that takes no more: files may grow to so many KiB in the program, where the system has such limits.
#[cfg(unix)]
fn with_limit(dir: &TempDir, kib: u32, args: &[&str]) -> (Option<i32>, String) {
    // Ignored, the signal of the limit becomes an error of the write.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", 2 * kib);
    let run = Command::new("sh")
        .current_dir(dir.path())
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_emstream")])
        .args(args)
        .output()
        .unwrap();
    (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
}

#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing() {
    let dir = TempDir::new().unwrap();
    small_map(&dir);
    let convert = ["ebsd", "convert", "map.h5", "-o", "copy.h5"];
    let files = |dir: &TempDir| -> Vec<String> {
        let names = std::fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<String> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    for args in [
        &convert[..],
        &["ebsd", "process", "map.h5", "-o", "copy.h5"],
        &["ebsd", "average", "map.h5", "-o", "copy.h5"],
        &["ebsd", "average", "map.h5", "--in-place"],
    ] {
        let (code, stderr) = with_limit(&dir, 100, args);
        let errors: Vec<&str> = stderr.lines().filter(|l| l.starts_with("error: ")).collect();
        assert!(code == Some(1) && errors.len() == 1, "{args:?}: {code:?} {stderr}");
        assert!(!files(&dir).contains(&"copy.h5".to_owned()), "{args:?}");
        let map = open(&dir.path().join("map.h5"), Some("RawPatterns"));
        assert_eq!(pixels(&map).len(), 6 * 120 * 160, "{args:?}: the input is as it was");
    }
    // With room again the same command does it.
    let (code, stderr) = program(&dir, &convert);
    assert_eq!(code, Some(0), "{stderr}");
    let (one, two) = (
        open(&dir.path().join("map.h5"), None),
        open(&dir.path().join("copy.h5"), None),
    );
    assert_eq!(pixels(&one), pixels(&two));
    assert!(!files(&dir).iter().any(|n| n.contains(".part")), "{:?}", files(&dir));
}

/// The truth of the simulated detector behind `patterns.npz`: its hot pixels, and its dust as centre and standard deviation in pixels.
const HOT: [[usize; 2]; 25] = [
    [5, 109],
    [7, 99],
    [8, 118],
    [18, 128],
    [22, 35],
    [22, 41],
    [28, 7],
    [30, 82],
    [33, 15],
    [35, 145],
    [36, 116],
    [44, 88],
    [44, 91],
    [47, 16],
    [56, 96],
    [58, 73],
    [64, 49],
    [74, 23],
    [77, 154],
    [80, 56],
    [88, 71],
    [88, 118],
    [93, 80],
    [101, 71],
    [105, 89],
];
const DUST: [[f64; 3]; 14] = [
    [36.12, 108.45, 0.76],
    [73.77, 137.90, 1.00],
    [15.99, 151.70, 1.30],
    [110.59, 52.28, 0.82],
    [42.39, 17.61, 1.61],
    [25.53, 23.03, 0.98],
    [29.31, 92.33, 2.03],
    [27.23, 140.39, 2.19],
    [44.35, 41.31, 2.06],
    [80.17, 36.50, 1.51],
    [100.91, 116.83, 2.14],
    [10.28, 121.74, 1.12],
    [88.23, 59.97, 1.95],
    [105.78, 123.37, 2.55],
];

#[test]
fn the_program_averages_compares_and_takes_apart() {
    let dir = TempDir::new().unwrap();
    small_map(&dir);
    succeed(&dir, "cpu", &["process", "map.h5", "--in-place"]);
    // Averages: both backends, raw and processed, into the file and beside it.
    succeed(&dir, "cpu", &["average", "map.h5", "--in-place", "--shape", "circle"]);
    let averaged = read(&dir, "map.h5", "Scan/EBSD/Data/AveragedPatterns");
    assert_eq!(averaged.shape(), [6, 120, 160]);
    succeed(
        &dir,
        "gpu",
        &["average", "map.h5", "-o", "gpu.h5", "--params", "map.params.toml"],
    );
    let on_gpu = read(&dir, "gpu.h5", "Scan/EBSD/Data/AveragedPatterns");
    assert!(averaged.iter().zip(&on_gpu).all(|(a, b)| (a / b - 1.0).abs() < 1e-6));
    let nlpar = [
        "average",
        "map.h5",
        "-o",
        "nlpar.h5",
        "--nlpar",
        "--dataset",
        "Patterns",
        "--dtype",
        "u8",
    ];
    succeed(&dir, "cpu", &nlpar);
    assert_eq!(read(&dir, "nlpar.h5", "Scan/EBSD/Data/noise").shape(), [2, 4]);
    assert!(
        std::fs::read_to_string(dir.path().join("nlpar.params.toml"))
            .unwrap()
            .contains("radius = 3")
    );
    // An averaged map can be processed like a raw one.
    let process = ["process", "map.h5", "-o", "smooth.h5", "--dataset", "AveragedPatterns"];
    succeed(&dir, "cpu", &process);

    for (backend, file) in [("cpu", "cpu_q.h5"), ("gpu", "gpu_q.h5")] {
        succeed(&dir, backend, &["quality", "map.h5", "-o", file]);
    }
    for name in ["iq", "mean", "std"] {
        let name = format!("Scan/EBSD/Data/{name}");
        let (a, b) = (read(&dir, "cpu_q.h5", &name), read(&dir, "gpu_q.h5", &name));
        assert_eq!(a.shape(), [2, 4]);
        assert!(a[[0, 2]].is_nan() && a[[1, 3]].is_nan());
        assert!(
            a.iter()
                .zip(&b)
                .all(|(a, b)| a.is_nan() && b.is_nan() || (a / b - 1.0).abs() < 5e-6),
            "{a} {b}"
        );
    }
    succeed(&dir, "cpu", &["quality", "map.h5", "--in-place", "--roi", "0:1,0:2"]);
    let page = std::fs::read_to_string(dir.path().join("map.report.html")).unwrap();
    assert!(page.contains("Image quality") && page.contains("data:image/png"));

    succeed(&dir, "cpu", &["background", "map.h5", "--in-place", "--save-mask", "bad.npy"]);
    let (bad, mask) = (
        read(&dir, "map.h5", "Scan/EBSD/Background/bad_pixels"),
        read(&dir, "map.h5", "Scan/EBSD/Background/bad_pixel_mask"),
    );
    // Every hot pixel of the simulated detector and both of its weak lines; what else stands out is dust, but for three pixels at the edge.
    let found: Vec<[usize; 2]> = (bad.axis_iter(ndarray::Axis(0)))
        .map(|p| [p[0] as usize, p[1] as usize])
        .collect();
    assert_eq!(mask.sum(), found.len() as f64);
    assert!(found.iter().all(|&[y, x]| mask[[y, x]] == 1.0));
    assert!(HOT.iter().all(|at| found.contains(at)), "{found:?}");
    assert_eq!(found.iter().filter(|[y, _]| *y == 0).count(), 160);
    let seen = |&[y0, x0, size]: &[f64; 3]| {
        let near = |&&[y, x]: &&[usize; 2]| (y as f64 - y0).hypot(x as f64 - x0) < size + 1.0;
        found.iter().filter(near).count() > 3
    };
    // The widest and weakest spot is as smooth as the light.
    let unseen: Vec<&[f64; 3]> = DUST.iter().filter(|spot| !seen(spot)).collect();
    assert_eq!(unseen, [&DUST[13]]);
    let explained = |at: &[usize; 2]| {
        let dust = |&[y0, x0, size]: &[f64; 3]| (at[0] as f64 - y0).hypot(at[1] as f64 - x0) < 3.0 * size;
        HOT.contains(at) || at[0] < 2 || DUST.iter().any(dust)
    };
    let others: Vec<&[usize; 2]> = found.iter().filter(|at| !explained(at)).collect();
    assert_eq!(others, [&[2, 6], &[119, 47], &[119, 77]]);
    let (fine, smooth) = (
        read(&dir, "map.h5", "Scan/EBSD/Background/fine"),
        read(&dir, "map.h5", "Scan/EBSD/Background/smooth"),
    );
    assert!((fine.mean().unwrap() - 1.0).abs() < 0.01 && smooth.iter().all(|&v| v > 0.0));
    succeed(
        &dir,
        "cpu",
        &[
            "background",
            "map.h5",
            "-o",
            "mean.h5",
            "--background",
            "mean",
            "--sigma",
            "5",
        ],
    );
    // The mask is one that reading takes.
    succeed(
        &dir,
        "cpu",
        &["quality", "map.h5", "-o", "repaired.h5", "--bad-pixels", "bad.npy"],
    );

    succeed(&dir, "cpu", &["compare", "map.h5", "--in-place"]);
    let similarity = read(&dir, "map.h5", "Scan/EBSD/Data/similarity");
    assert!(similarity[[0, 0]] > 0.5 && similarity[[0, 2]].is_nan());
    succeed(
        &dir,
        "gpu",
        &[
            "compare",
            "map.h5",
            "-o",
            "gpu_s.h5",
            "--mask",
            "disk:60,80,50",
            "--weights",
            "gauss:30",
        ],
    );
    let templates = [
        "compare",
        "map.h5",
        "--in-place",
        "--templates",
        "map.h5/Scan/EBSD/Data/RawPatterns",
        "--keep",
        "2",
    ];
    succeed(&dir, "cpu", &templates);
    let index = read(&dir, "map.h5", "Scan/EBSD/Matches/index");
    // Templates are numbered as points of their map, of which two have no pattern.
    let own: Vec<f64> = index.index_axis(ndarray::Axis(1), 0).iter().copied().collect();
    assert_eq!(own, [0.0, 1.0, 3.0, 4.0, 5.0, 6.0], "each is most like itself: {index}");
    let on_gpu = ["compare", "map.h5", "-o", "gpu_t.h5", "--params", "map.params.toml"];
    succeed(&dir, "gpu", &on_gpu);
    assert_eq!(read(&dir, "gpu_t.h5", "Scan/EBSD/Matches/index"), index);
    succeed(
        &dir,
        "cpu",
        &[
            "compare",
            "map.h5",
            "-o",
            "shift.h5",
            "--reference",
            "0,1",
            "--upsample",
            "50",
        ],
    );
    let shift = read(&dir, "shift.h5", "Scan/EBSD/Data/shift");
    assert!(shift.shape() == [2, 4, 2] && shift[[0, 1, 0]] == 0.0 && shift[[0, 1, 1]] == 0.0);

    let fails = |args: &[&str], word: &str| {
        let (code, stderr) = program(&dir, &[&["--backend", "cpu", "ebsd"], args].concat());
        let errors: Vec<&str> = stderr.lines().filter(|l| !l.starts_with("warning: map.h5: ")).collect();
        assert!(
            code == Some(1) && errors.len() == 1 && errors[0].contains(word),
            "{args:?}: {code:?} {stderr}"
        );
    };
    fails(&["average", "map.h5", "-o", "x.h5", "--radius", "0"], "--radius");
    fails(&["average", "map.h5", "-o", "x.h5", "--dtype", "u8"], "--rescale");
    fails(&["average", "map.h5", "-o", "map.h5"], "--in-place");
    fails(&["average", "map.h5", "-o", "cpu_q.h5"], "cpu_q.h5");
    fails(&["compare", "map.h5", "-o", "x.h5", "--weights", "gauss:none"], "--weights");
    fails(&["compare", "map.h5", "-o", "x.h5", "--mask", "bad.npz"], "bad.npz");
    fails(
        &["compare", "map.h5", "-o", "x.h5", "--templates", "bad.npy"],
        "bad.npy: not supported: the array has 2 dimensions",
    );
    fails(&["compare", "map.h5", "-o", "x.h5", "--reference", "0,2"], "no pattern");
    fails(&["background", "map.h5", "-o", "x.h5", "--factor", "0"], "--factor");
    fails(&["quality", "none.h5", "-o", "x.h5"], "none.h5");
    assert!(!dir.path().join("x.h5").exists(), "nothing half-written");
}

/// Two of eight points of the map have no pattern.
#[test]
fn points_without_a_pattern_do_not_count() {
    let dir = TempDir::new().unwrap();
    let path = small_map(&dir);
    for (args, out) in [
        (vec!["stats", "map.h5", "--ops", "mean,min", "--backend", "cpu"], "s.h5"),
        (
            vec!["masks", "map.h5", "--masks", "rect:0,0,120,160", "--backend", "cpu"],
            "m.h5",
        ),
    ] {
        let (code, stderr) = program(&dir, &[&args[..], &["-o", out]].concat());
        assert_eq!(code, Some(0), "{stderr}");
    }
    let all = pixels(&open(&path, None));
    let n = 120 * 160;
    let mean = |at: usize| all.iter().skip(at).step_by(n).sum::<f64>() / 6.0;
    let least = |at: usize| all.iter().skip(at).step_by(n).copied().fold(f64::INFINITY, f64::min);
    let (means, minima) = (read(&dir, "s.h5", "stats/mean"), read(&dir, "s.h5", "stats/min"));
    for (at, (&m, &l)) in means.iter().zip(&minima).enumerate() {
        assert!((m - mean(at)).abs() < 1e-9 * m && l == least(at), "{at}");
    }
    let sums = read(&dir, "m.h5", "masks/values");
    for (at, value) in sums.indexed_iter() {
        let missing = (at[0], at[1]) == (0, 2) || (at[0], at[1]) == (1, 3);
        assert_eq!(value.is_nan(), missing, "{at:?}");
    }
    let flags = emstream::io::otherwise(open(&path, None).scan.info(), &[]);
    assert!(flags.iter().all(|(flag, _)| !flag.contains("--sync-offset")), "{flags:?}");

    // Steps and kinds of axes go with results of maps.
    let (code, stderr) = program(&dir, &["ebsd", "bse", "map.h5", "-o", "b.h5", "--grid", "2x3"]);
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stderr) = program(&dir, &["export", "b.h5", "-o", "signals", "--as", "hspy"]);
    assert_eq!(code, Some(0), "{stderr}");
    let values = std::fs::read_dir(dir.path().join("signals")).unwrap();
    let found: Vec<_> = values
        .filter_map(|e| Some(e.unwrap().path()).filter(|p| p.to_string_lossy().ends_with("values.hspy")))
        .collect();
    let file = hdf5::File::open(&found[0]).unwrap();
    let group = file.group("Experiments").unwrap();
    let group = group.group(&group.member_names().unwrap()[0]).unwrap();
    for (axis, navigates) in [("axis-0", true), ("axis-1", true), ("axis-2", false)] {
        let axis = group.group(axis).unwrap();
        let known = axis.attr("navigate").unwrap().read_scalar::<bool>().unwrap();
        assert_eq!(known, navigates);
        if navigates {
            assert_eq!(axis.attr("scale").unwrap().read_scalar::<f64>().unwrap(), 0.25);
        }
    }
}

#[test]
fn the_program_writes_columns_and_converts_scans() {
    let dir = TempDir::new().unwrap();
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ebsd");
    let at = |name: &str| data.join(name).display().to_string();
    let map = at("map.ctf");
    let write = [
        "ebsd", "maps", &map, "--write", "a.ang", "--write", "a.ctf", "--where", "bc > 100",
    ];
    let (code, stderr) = program(&dir, &write);
    // The frame is Oxford's in both; the .ang says so, and so does a warning.
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.starts_with("warning: a.ang: orientations keep their numbers, which refer to Bunge ZXZ, Oxford"));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let (ang, ctf) = (
        emstream::io::ebsd::read_ang(&dir.path().join("a.ang")).unwrap(),
        emstream::io::ebsd::read_ctf(&dir.path().join("a.ctf")).unwrap(),
    );
    let bc = ctf.data.get("bc").unwrap();
    assert!(ang.data.orientation_frame.contains("CS0"));
    assert_eq!(ang.data.get("phase"), ctf.data.get("phase"));
    assert_eq!(&bc.mapv(|b| f64::from(b > 100.0)), ctf.data.get("phase").unwrap());
    let (code, stderr) = program(&dir, &write);
    assert!(code == Some(1) && stderr.contains("exists already"), "{stderr}");
    let (code, stderr) = program(&dir, &["ebsd", "maps", &map, "--write", "a.txt"]);
    assert!(
        code == Some(1) && stderr.contains("columns are written as .ctf or .ang"),
        "{stderr}"
    );

    for name in ["bruker_region.h5", "emsoft.h5", "v2.ebsp"] {
        let (code, stderr) = program(&dir, &["convert", &at(name), "-o", "a.hspy", "--overwrite"]);
        assert!(code == Some(0) && stderr.is_empty(), "{stderr}");
        let (code, _) = program(&dir, &["ebsd", "convert", &at(name), "-o", "map.h5", "--overwrite"]);
        assert_eq!(code, Some(0));
        let back = emstream::io::open(
            &dir.path().join("a.hspy"),
            &emstream::io::OpenOptions::default(),
            &emstream::Control::new(),
        );
        let info = back.unwrap().info().clone();
        assert_eq!((info.nav[0] * info.nav[1], info.frame.height), (20, 12), "{name}");
        if name != "emsoft.h5" {
            assert_eq!((info.nav, info.nav_axes[0].scale), ([4, 5], Some(0.25)));
            assert_eq!(info.nav_axes[0].unit, "µm");
        }
    }
    let (code, stderr) = program(&dir, &["convert", &at("v2.ebsp"), "-o", "a.xyz"]);
    assert!(code == Some(1) && stderr.contains("--as gives one of hdf5, hspy"), "{stderr}");
    let (code, stderr) = program(&dir, &["convert", &at("v2.ebsp"), "-o", "a.npy", "--compression", "lz4"]);
    assert!(code == Some(1) && stderr.contains("'lz4' is none of"), "{stderr}");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
