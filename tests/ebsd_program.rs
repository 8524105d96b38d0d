//! The EBSD commands through the program. In a file of its own: a child started while another test of the same process holds an HDF5 file
//! open inherits its lock.

mod ebsd_support;

use ebsd_support::{open, pixels, small_map};
use emstream::pixel::Pixel;
use std::process::Command;
use tempfile::TempDir;

/// Runs the program in `dir`: exit code and stderr.
fn program(dir: &TempDir, args: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_emstream"))
        .current_dir(dir.path())
        .args(args)
        .output()
        .unwrap();
    (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
}

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
