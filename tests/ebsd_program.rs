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
