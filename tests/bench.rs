//! `emstream bench`: the documented report, on both backends. No test looks at how fast anything is.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

fn emstream(dir: &Path, args: &[&str]) -> Output {
    let program = Command::new(env!("CARGO_BIN_EXE_emstream"))
        .args(args)
        .current_dir(dir)
        .output();
    program.expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A simulated scan of 12 × 8 frames of 48² pixels, which is less than two leaves.
fn scan(dir: &Path) -> &'static str {
    let out = emstream(
        dir,
        &[
            "simulate",
            "polycrystal",
            "-o",
            "scan.npy",
            "--nav-shape",
            "12,8",
            "--sig-shape",
            "48,48",
            "--grains",
            "2",
        ],
    );
    assert!(out.status.success(), "{}", text(&out.stderr));
    "scan.npy"
}

fn positive(value: &Value, what: &str) -> f64 {
    let v = value.as_f64().unwrap_or_else(|| panic!("{what}: {value} is no number"));
    assert!(v.is_finite() && v > 0.0, "{what}: {v}");
    v
}

fn check_limit(limit: &Value, unit: &str) {
    assert_eq!(limit["unit"], unit, "{limit}");
    let [low, median, high] = ["low", "median", "high"].map(|k| positive(&limit[k], k));
    assert!(low <= median && median <= high, "{limit}");
}

fn check_row(row: &Value) {
    let name = row["name"].as_str().expect("a name");
    let [low, median, high] = ["low_s", "median_s", "high_s"].map(|k| positive(&row[k], name));
    assert!(low <= median && median <= high, "{row}");
    positive(&row["runs"], name);
    assert!(["cpu", "gpu"].contains(&row["backend"].as_str().unwrap()), "{row}");
    if ["kernel", "host", "pass"].contains(&row["group"].as_str().unwrap()) {
        for key in ["items", "items_per_s", "GB_per_s", "Gop_per_s", "share_of_limit"] {
            positive(&row[key], &format!("{name} {key}"));
        }
        // The rate of operations follows from the kernel's own account.
        let operations = positive(&row["work"]["operations"], name) * positive(&row["items_per_s"], name) / 1e9;
        assert!((operations / positive(&row["Gop_per_s"], name) - 1.0).abs() < 1e-9, "{row}");
        assert!(row["bound"].is_string() && !row["note"].as_str().unwrap().is_empty(), "{row}");
    }
}

#[test]
fn a_users_scan_on_both_backends_gives_the_documented_report() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    let file = scan(d);
    let args = [
        "bench",
        "--file",
        file,
        "--json",
        "b.json",
        "--repeat",
        "1",
        "--time",
        "1",
        "--threads",
        "2",
        "--gpu",
        "llvmpipe",
    ];
    let out = emstream(d, &args);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let table = text(&out.stdout);
    let report: Value = serde_json::from_str(&std::fs::read_to_string(d.join("b.json")).unwrap()).unwrap();

    for key in ["emstream", "date", "command", "scan"] {
        assert!(!report[key].as_str().unwrap().is_empty(), "{key}");
    }
    assert_eq!(report["threads"], 2);
    assert!(report["adapter"]["name"].as_str().unwrap().contains("llvmpipe"));
    for key in ["cpu", "isa", "system"] {
        assert!(!report["machine"][key].as_str().unwrap().is_empty(), "{key}");
    }
    positive(&report["machine"]["cores"], "cores");
    positive(&report["machine"]["memory_bytes"], "memory");

    let limits = &report["limits"];
    for (limits, threads) in limits["cpu"].as_array().unwrap().iter().zip([1, 2]) {
        assert_eq!(limits["threads"], threads);
        check_limit(&limits["read_sweep"], "GB/s");
        check_limit(&limits["copy"], "GB/s");
        check_limit(&limits["multiply_add"], "Gop/s");
    }
    for key in ["upload", "read_back", "copy"] {
        check_limit(&limits["gpu"][key], "GB/s");
    }
    check_limit(&limits["gpu"]["multiply_add"], "Gop/s");
    check_limit(&limits["gpu"]["dispatch"], "us");
    check_limit(&limits["gpu"]["submission"], "us");
    assert_eq!(limits["file_read"][0]["frame"], "48x48 u8");
    check_limit(&limits["file_read"][0], "GB/s");

    let rows = report["rows"].as_array().unwrap();
    rows.iter().for_each(check_row);
    let find = |group: &str, name: &str, backend: &str| {
        let fits = |r: &&Value| r["group"] == group && r["name"] == name && r["backend"] == backend;
        rows.iter().find(fits).unwrap_or_else(|| panic!("{group} {name} {backend}"))
    };
    for name in [
        "sum",
        "sum+std",
        "sum+std+min+max",
        "log-sum",
        "log-sum, 3 labels",
        "300 stamps 7×7",
        "300 stamps 7×7, moved",
        "300 stamps 45×45",
        "16 sparse masks",
        "16 full masks",
        "log frames",
        "binned 2×2",
        "25 peaks fast 8×8",
        "25 peaks fast 44×44",
        "25 peaks full",
        "25 peaks sparse",
        "25 peaks fast 8×8, upsampled 20×",
    ] {
        for backend in ["cpu", "gpu"] {
            assert_eq!(find("kernel", name, backend)["frame"], "48x48 u8");
            assert_eq!(find("pass", name, backend)["items"], 96);
        }
        positive(&find("kernel", name, "gpu")["ratio_to_cpu"], name);
        assert!(
            table.lines().any(|l| l.starts_with(name)),
            "{name} is not in the table:\n{table}"
        );
    }
    for name in ["feature scaling", "ward"] {
        assert_eq!(find("host", name, "cpu")["threads"], 1);
    }
    // The figure lies beside the JSON.
    assert_eq!(&std::fs::read(d.join("b.png")).unwrap()[1..4], b"PNG");
}

#[test]
fn workflow_steps_of_a_quick_run() {
    let dir = TempDir::new().unwrap();
    let args = [
        "bench",
        "--quick",
        "--only",
        "workflow",
        "--repeat",
        "1",
        "--backend",
        "cpu",
        "--json",
        "w.json",
    ];
    let out = emstream(dir.path(), &args);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(dir.path().join("w.json")).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    rows.iter().for_each(check_row);
    let steps: Vec<&str> = rows.iter().map(|r| r["name"].as_str().unwrap()).collect();
    for step in [
        "statistics",
        "features",
        "ward",
        "cluster log-sums",
        "lattices",
        "refinement",
        "strain, all steps",
    ] {
        assert!(steps.contains(&step), "{step} is missing in {steps:?}");
    }
    assert!(report["adapter"].is_null() && report["limits"]["gpu"].is_null());
    // No kernel was measured, so there is nothing to draw.
    assert!(!dir.path().join("w.png").exists());
}

#[test]
fn joint_fit_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let args = [
        "bench",
        "--quick",
        "--only",
        "joint fit",
        "--repeat",
        "1",
        "--backend",
        "cpu",
        "--threads",
        "1",
        "--json",
        "j.json",
    ];
    let out = emstream(dir.path(), &args);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(dir.path().join("j.json")).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    rows.iter().for_each(check_row);
    let frames: Vec<&str> = rows.iter().map(|r| r["frame"].as_str().unwrap()).collect();
    assert_eq!(frames, ["256x256 u8", "256x256 u16", "256x256 f32"]);
}

#[test]
fn growth_of_commands_with_its_figures() {
    let dir = TempDir::new().unwrap();
    let args = ["bench", "--quick", "--growth", "growth", "--repeat", "1", "--threads", "2"];
    let out = emstream(dir.path(), &args);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let folder = dir.path().join("growth");
    let growth: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("growth.json")).unwrap()).unwrap();
    let points = growth["points"].as_array().unwrap();
    // A line of the table for each point, below the one of names.
    assert_eq!(text(&out.stdout).lines().count(), points.len() + 1);
    for curve in ["scan", "frame", "peaks", "threads"] {
        for command in ["stats", "cluster", "strain"] {
            let mine: Vec<&Value> = points
                .iter()
                .filter(|p| p["curve"] == curve && p["command"] == command)
                .collect();
            assert_eq!(mine.len(), 2, "{curve} {command}");
            for point in mine {
                positive(&point["median_s"], command);
                // Less than a mebibyte, or more than `--memory`, would be another unit.
                let peak = positive(&point["peak_bytes"], command);
                assert!((1e6..2e9).contains(&peak), "{point}");
            }
        }
        for what in ["time", "memory"] {
            let file = folder.join(format!("growth-{curve}-{what}.png"));
            let picture = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&file).unwrap())).read_info();
            assert!(picture.unwrap().info().width > 400, "{}", file.display());
        }
    }
    // Nothing is replaced unasked, nor timed before that is known.
    std::fs::remove_file(folder.join("growth-scan-time.png")).unwrap();
    let again = emstream(dir.path(), &args);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(text(&again.stdout).lines().count(), 1);
    assert!(
        text(&again.stderr).contains("growth-scan-memory.png"),
        "{}",
        text(&again.stderr)
    );
}

#[test]
fn wrong_requests_are_one_clear_line() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    std::fs::write(d.join("junk.npy"), b"not an array").unwrap();
    let failing = |args: &[&str]| {
        let out = emstream(d, args);
        assert_eq!(out.status.code(), Some(1), "{args:?}");
        let error = text(&out.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.starts_with("error: "), "{error}");
        error
    };
    assert!(failing(&["bench", "--file", "missing.npy", "--backend", "cpu"]).contains("missing.npy"));
    assert!(failing(&["bench", "--file", "junk.npy", "--backend", "cpu"]).contains("junk.npy"));
    let error = failing(&[
        "bench",
        "--only",
        "no such kernel",
        "--backend",
        "cpu",
        "--time",
        "1",
        "--repeat",
        "1",
        "--quick",
    ]);
    assert!(error.contains("--only") && error.contains("no such kernel"), "{error}");
    assert_eq!(emstream(d, &["bench", "--repeat", "0"]).status.code(), Some(2));
    assert_eq!(emstream(d, &["bench", "--time", "-1"]).status.code(), Some(2));
}
