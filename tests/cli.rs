//! The program end to end: every command, the names in result files, parameters that repeat a run.

use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

fn emstream(dir: &Path, args: &[&str]) -> Output {
    let out = Command::new(env!("CARGO_BIN_EXE_emstream"))
        .args(args)
        .current_dir(dir)
        .output()
        .expect("the program starts");
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out
}

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A simulated scan of 16 × 20 frames with four grains.
fn simulated(dir: &Path) -> &'static str {
    emstream(
        dir,
        &[
            "simulate",
            "polycrystal",
            "-o",
            "scan.blo",
            "--nav-shape",
            "16,20",
            "--sig-shape",
            "96,96",
            "--grains",
            "4",
            "--seed",
            "3",
        ],
    );
    "scan.blo"
}

fn shape(file: &hdf5::File, name: &str) -> Vec<usize> {
    file.dataset(name).unwrap_or_else(|e| panic!("{name}: {e}")).shape()
}

#[test]
fn cluster_writes_what_the_contract_names_and_params_repeat_it() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    let scan = simulated(d);
    let out = emstream(
        d,
        &[
            "cluster",
            scan,
            "-o",
            "out",
            "--feature-peaks",
            "120",
            "--backend",
            "cpu",
            "--roi",
            "0:16,1:20",
        ],
    );
    assert!(
        text(&out).contains("clusters") && text(&out).contains("report.html"),
        "{}",
        text(&out)
    );
    let file = hdf5::File::open(d.join("out/result.h5")).unwrap();
    for name in [
        "sum",
        "mean",
        "var",
        "std",
        "min",
        "max",
        "logsum",
        "std_correlation",
        "logsum_correlation",
    ] {
        assert_eq!(shape(&file, &format!("stats/{name}")), [96, 96]);
    }
    assert_eq!(shape(&file, "stats/zero_peak"), [2]);
    assert_eq!(shape(&file, "template/stamp"), [7, 7]);
    assert_eq!(shape(&file, "features/peaks"), [120, 2]);
    assert_eq!(shape(&file, "features/values"), [16, 20, 120]);
    assert_eq!(shape(&file, "features/scale"), [120]);
    assert_eq!(shape(&file, "clusters/labels"), [16, 20]);
    assert_eq!(shape(&file, "clusters/merges"), [16 * 19 - 1, 2]);
    assert_eq!(shape(&file, "clusters/distances"), [16 * 19 - 1]);
    assert_eq!(shape(&file, "clusters/00/logsum"), [96, 96]);
    assert!(file.group("provenance").is_ok());
    let labels = file.dataset("clusters/labels").unwrap().read_2d::<i32>().unwrap();
    assert!(labels.column(0).iter().all(|&l| l == -1), "outside the region of interest");
    assert_eq!(labels.iter().copied().max(), Some(3), "four grains");
    let values = file.dataset("features/values").unwrap().read_dyn::<f32>().unwrap();
    assert!(values[[3, 0, 5]].is_nan() && values[[3, 1, 5]].is_finite());
    for figure in ["labels", "std", "features", "merge_distances", "clusters"] {
        let png = std::fs::read(d.join(format!("out/figures/{figure}.png"))).unwrap();
        assert_eq!(&png[1..4], b"PNG");
    }
    let report = std::fs::read_to_string(d.join("out/report.html")).unwrap();
    assert!(
        report.contains("data:image/png;base64") && !report.contains("src=\"http"),
        "self-contained"
    );

    emstream(
        d,
        &[
            "cluster",
            scan,
            "-o",
            "again",
            "--params",
            "out/params.toml",
            "--backend",
            "cpu",
        ],
    );
    let again = hdf5::File::open(d.join("again/result.h5")).unwrap();
    assert_eq!(again.dataset("clusters/labels").unwrap().read_2d::<i32>().unwrap(), labels);
    assert_eq!(
        std::fs::read_to_string(d.join("again/params.toml")).unwrap(),
        std::fs::read_to_string(d.join("out/params.toml")).unwrap()
    );
}

#[test]
fn small_commands_do_what_they_say() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    let scan = simulated(d);

    let info: serde_json::Value = serde_json::from_str(&text(&emstream(d, &["info", scan, "--json"]))).unwrap();
    assert_eq!(info["nav_shape"], serde_json::json!([16, 20]));
    assert_eq!(info["sig_shape"], serde_json::json!([96, 96]));
    assert_eq!(info["dtype"], "u8");
    assert_eq!(
        (&info["shape_from"], &info["shape_reason"]),
        (&"stored".into(), &"stored in the file: the header".into())
    );
    assert_eq!(info["otherwise"][0]["flags"], "--sync-offset N");
    let shown = text(&emstream(d, &["info", scan]));
    assert!(shown.contains("scan shape  stored in the file: the header"), "{shown}");
    assert!(shown.contains("ignored     the bright-field image and the note"), "{shown}");
    // What was asked for is said in any case, what was done is not.
    assert_eq!(text(&emstream(d, &["-q", "info", scan])), shown);
    let convert = |quiet: &[&str]| {
        text(&emstream(
            d,
            &[quiet, &["convert", scan, "-o", "scan.npy", "--overwrite"]].concat(),
        ))
    };
    assert_eq!(convert(&[]), "320 frames of 96 × 96 u8, scan of 16 × 20\n");
    assert_eq!(convert(&["-q"]), "");
    let devices: serde_json::Value = serde_json::from_str(&text(&emstream(d, &["devices", "--json"]))).unwrap();
    assert!(devices["adapters"].is_array());

    emstream(d, &["stats", scan, "-o", "stats.h5", "--ops", "sum,std", "--backend", "cpu"]);
    let stats = hdf5::File::open(d.join("stats.h5")).unwrap();
    assert_eq!(stats.group("stats").unwrap().member_names().unwrap(), ["std", "sum"]);
    let sum = stats.dataset("stats/sum").unwrap().read_2d::<f64>().unwrap();

    emstream(
        d,
        &[
            "masks",
            scan,
            "-o",
            "masks.h5",
            "--masks",
            "rect:0,0,96,96",
            "disk:48,48,5",
            "--backend",
            "cpu",
        ],
    );
    let masks = hdf5::File::open(d.join("masks.h5")).unwrap();
    let values = masks.dataset("masks/values").unwrap().read_dyn::<f32>().unwrap();
    assert_eq!(values.shape(), [16, 20, 2]);
    let whole: f64 = values.index_axis(ndarray::Axis(2), 0).iter().map(|&v| f64::from(v)).sum();
    assert_eq!(whole, sum.sum(), "a mask of ones sums all counts");

    emstream(d, &["pick", scan, "--at", "2,3", "-o", "frame.npy"]);
    let frame = emstream::io::array::read_array::<f64>(d.join("frame.npy"), 1 << 20).unwrap();
    assert_eq!(frame.sum(), f64::from(values[[2, 3, 0]]));
    emstream(d, &["pick", scan, "--at", "2,3", "-o", "frame.png", "--norm", "log"]);
    emstream(d, &["pick", scan, "--at", "2,3", "-o", "frame.tif"]);
    let tif = emstream::io::array::read_array::<f64>(d.join("frame.tif"), 1 << 20).unwrap();
    assert_eq!(tif, frame);

    let out = emstream(d, &["template", "background:3,5", "-o", "t.npy"]);
    assert!(text(&out).starts_with("13 × 13 pixels"), "{}", text(&out));

    emstream(d, &["export", "stats.h5", "-o", "csv", "--as", "csv"]);
    assert!(d.join("csv/stats_sum.csv").exists());
    emstream(d, &["convert", scan, "-o", "binned.npy", "--bin", "4", "--roi", "2:5,1:4"]);
    let binned = emstream::io::array::read_array::<f64>(d.join("binned.npy"), 1 << 20).unwrap();
    assert_eq!(binned.shape(), [3, 3, 24, 24]);
    let first: f64 = binned.index_axis(ndarray::Axis(0), 0).index_axis(ndarray::Axis(0), 2).sum();
    assert_eq!(first, frame.sum(), "binning keeps counts");
    assert!(d.join("scan.blo.truth.h5").exists());
}
