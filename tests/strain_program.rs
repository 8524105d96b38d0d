//! `emstream strain` as a program: files it writes, parameters it refuses.

mod strain_support;

use std::path::Path;
use std::process::{Command, Output};
use strain_support::polycrystal;

fn strain(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_emstream"))
        .args(["--backend", "cpu", "--threads", "2", "strain"])
        .args(args)
        .current_dir(dir)
        .output()
        .expect("the program starts")
}

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn datasets_have_the_names_and_shapes_of_the_contract() {
    let (dir, _) = polycrystal();
    let d = dir.path();
    let scan = "polycrystal.blo";
    let out = strain(
        d,
        &[
            scan,
            "-o",
            "out",
            "--roi",
            "0:14,:",
            "--clusters",
            "2",
            "--save-peaks",
            "--indices=-3..3",
            "--strain-axes",
            "-30",
            "--range",
            "xx=-0.02,0.02",
            "--show",
            "3,4",
            "--feature-peaks",
            "60",
        ],
    );
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    let file = hdf5::File::open(d.join("out/result.h5")).unwrap();
    let shape = |name: &str| file.dataset(name).unwrap_or_else(|e| panic!("{name}: {e}")).shape();
    for name in ["zero", "a", "b"] {
        assert_eq!(shape(&format!("lattice/{name}")), [40, 50, 2]);
        assert_eq!(shape(&format!("lattice/{name}_error")), [40, 50, 2]);
        assert_eq!(shape(&format!("polar/{name}")), [40, 50, 2]);
        assert_eq!(shape(&format!("clusters/00/match_0/{name}")), [2]);
    }
    for name in [
        "lattice/error",
        "lattice/matched",
        "lattice/ratio",
        "lattice/angle",
        "lattice/quality",
    ] {
        assert_eq!(shape(name), [40, 50]);
    }
    for name in ["xx", "yy", "xy", "rotation"] {
        assert_eq!(shape(&format!("strain/{name}")), [40, 50]);
    }
    let spots = shape("lattice/positions")[2];
    assert_eq!(shape("lattice/positions"), [40, 50, spots, 2]);
    assert_eq!(shape("lattice/indices"), [40, 50, spots, 2]);
    assert_eq!(shape("lattice/heights"), [40, 50, spots]);
    assert_eq!(shape("lattice/elevations"), [40, 50, spots]);
    assert_eq!(shape("clusters/00/logsum"), [144, 144]);
    assert_eq!(shape("clusters/01/peaks"), [20, 2]);
    let matched = shape("clusters/01/match_0/indices")[0];
    assert_eq!(shape("clusters/01/match_0/refined"), [matched, 2]);
    assert_eq!(shape("clusters/01/match_0/calculated"), [matched, 2]);
    assert_eq!(shape("stats/std"), [144, 144]);
    // Outside the region of interest: NaN and −1.
    let quality = file.dataset("lattice/quality").unwrap().read_2d::<i8>().unwrap();
    let a: ndarray::Array3<f32> = file.dataset("lattice/a").unwrap().read().unwrap();
    assert!(quality.rows().into_iter().skip(14).all(|r| r.iter().all(|&q| q == -1)));
    assert!(a[[14, 0, 0]].is_nan() && a[[13, 49, 1]].is_finite());
    for figure in [
        "xx",
        "rotation",
        "a_length",
        "quality",
        "lattice_00",
        "cluster_00",
        "frame",
        "labels",
    ] {
        assert!(d.join(format!("out/figures/{figure}.png")).exists(), "{figure}");
    }
    let page = std::fs::read_to_string(d.join("out/report.html")).unwrap();
    assert!(page.contains("Strain in polycrystal.blo"));

    // The parameters that were written repeat the run.
    let again = strain(d, &[scan, "-o", "again", "--params", "out/params.toml"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    let file = hdf5::File::open(d.join("again/result.h5")).unwrap();
    let b: ndarray::Array3<f32> = file.dataset("lattice/a").unwrap().read().unwrap();
    assert!(a.iter().zip(&b).all(|(x, y)| x.to_bits() == y.to_bits()));
    let read = |f: &str| std::fs::read_to_string(d.join(f)).unwrap();
    assert_eq!(read("out/params.toml"), read("again/params.toml"));
}

#[test]
fn noise_has_no_lattice_and_that_is_no_failure() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut state = 7u64;
    let noise = ndarray::Array4::from_shape_fn((8, 9, 48, 52), |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        [0u8, 0, 1, 1, 2, 1, 3, 0][(state >> 61) as usize]
    });
    emstream::io::array::save_npy(dir.path().join("noise.npy"), noise.view(), false).unwrap();
    let out = strain(dir.path(), &["noise.npy", "-o", "out", "--clusters", "2", "--save-peaks"]);
    let message = text(&out);
    assert_eq!(out.status.code(), Some(0), "{message}");
    for c in 0..2 {
        let warning = format!("cluster {c}: no lattice in the ");
        assert!(
            message.lines().any(|l| l.starts_with("warning: ") && l.contains(&warning)),
            "{message}"
        );
    }
    let file = hdf5::File::open(dir.path().join("out/result.h5")).unwrap();
    let quality = file.dataset("lattice/quality").unwrap().read_2d::<i8>().unwrap();
    assert!(quality.iter().all(|&q| q == 3));
    let xx = file.dataset("strain/xx").unwrap().read_2d::<f32>().unwrap();
    assert!(xx.iter().all(|v| v.is_nan()));
    assert!(file.group("clusters/00/match_0").is_err());
    assert!(dir.path().join("out/report.html").exists());
}

#[test]
fn parameters_that_make_no_sense() {
    let (dir, _) = polycrystal();
    let d = dir.path();
    for (args, words) in [
        (&["--tolerance", "-1"][..], "--tolerance"),
        (&["--min-match", "2"], "--min-match"),
        (&["--lattice-peaks", "2"], "--lattice-peaks"),
        (&["--a", "1,2"], "--zero"),
        (&["--zero", "70,70", "--a", "1,2", "--b", "2,4"], "parallel"),
        (&["--reference", "vectors:0,1,0,2"], "parallel"),
        (&["--reference", "roi:0:2,0:99"], "leaves the scan"),
        (&["--correlation", "sparse", "--upsample", "10"], "--upsample"),
        (&["--upsample", "1"], "--upsample"),
        (&["--sparse-steps", "0", "--correlation", "sparse"], "--sparse-steps"),
        (&["--show", "40,0"], "--show"),
        (&["--range", "colour=0,1"], "colour"),
        (&["--range", "xx=1,0"], "xx"),
        (&["--range", "xx"], "NAME=LO,HI"),
        (&["--lattice-radius", "3", "--lattice-radius-outer", "2"], "radius"),
        (&["--lattice-template", "disk:90"], "frame"),
        (&["--lattice-template", "nowhere.npy"], "nowhere.npy"),
        (&["--params", "nowhere.toml"], "nowhere.toml"),
    ] {
        let all: Vec<&str> = ["polycrystal.blo", "-o", "out"].iter().chain(args).copied().collect();
        let out = strain(d, &all);
        let message = text(&out);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {message}");
        let lines: Vec<&str> = message.lines().filter(|l| !l.starts_with("warning: ")).collect();
        assert_eq!(lines.len(), 1, "{args:?}: {message}");
        assert!(
            lines[0].starts_with("error: ") && lines[0].contains(words),
            "{args:?}: {message}"
        );
        assert!(!d.join("out").exists(), "{args:?}");
    }
    for args in [
        &["--indices=4..-4"][..],
        &["--indices=0..1000"],
        &["--zero", "70"],
        &["--reference", "nothing"],
        &["--strain-axes", "b"],
        &["--correlation", "slow"],
        &["--match", "none"],
    ] {
        let all: Vec<&str> = ["polycrystal.blo", "-o", "out"].iter().chain(args).copied().collect();
        assert_eq!(strain(d, &all).status.code(), Some(2), "{args:?}");
    }
}
