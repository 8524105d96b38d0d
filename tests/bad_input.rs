//! The program on bad input: exit code 1, one clear line on stderr, nothing written; 2 for wrong usage.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

fn emstream(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_emstream"))
        .args(args)
        .current_dir(dir)
        .output()
        .expect("the program starts")
}

/// Names of everything in a folder, hidden files too.
fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

/// Runs, and checks that it fails with one line that holds all of `words`, and that nothing new lies in the folder.
fn fails(dir: &Path, args: &[&str], words: &[&str]) {
    let before = names(dir);
    let out = emstream(dir, args);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{args:?}: {text}");
    let lines: Vec<_> = text.lines().filter(|l| !l.starts_with("warning: ")).collect();
    assert_eq!(lines.len(), 1, "{args:?}: {text}");
    assert!(lines[0].starts_with("error: "), "{text}");
    for w in words {
        assert!(lines[0].contains(w), "{args:?}: '{w}' is not in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(names(dir), before, "{args:?} left something behind");
}

/// A .npy file of u8 pixels.
fn npy(path: &Path, shape: &[usize], dtype: &str, bytes: &[u8]) {
    let shape = shape.iter().map(|n| format!("{n}, ")).collect::<String>();
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes);
    fs::write(path, file).unwrap();
}

#[test]
fn no_command_replaces_what_it_reads() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    let scan = small_scan(d);
    fs::write(d.join("mask.npy"), fs::read(d.join(scan)).unwrap()).unwrap();
    fs::create_dir(d.join("old")).unwrap();
    for name in ["result.h5", "params.toml"] {
        fs::write(d.join("old").join(name), "").unwrap();
    }
    std::os::unix::fs::symlink(scan, d.join("link.h5")).unwrap();
    let before = fs::read(d.join(scan)).unwrap();
    for output in [scan, "./scan.npy", "link.h5"] {
        for command in ["stats", "convert"] {
            fails(
                d,
                &[command, scan, "-o", output, "--overwrite"],
                &["-o: the output is the input"],
            );
        }
        let masks = ["masks", scan, "--masks", "disk:8,8,3", "-o", output, "--overwrite"];
        fails(d, &masks, &["-o: the output is the input"]);
        fails(
            d,
            &["pick", scan, "--at", "0,0", "-o", output, "--overwrite"],
            &["-o: the output"],
        );
    }
    // Whatever flag names it, and in whatever form.
    for (args, flag) in [
        (vec!["stats", scan, "--roi", "mask.npy", "-o", "mask.npy"], "-o"),
        (vec!["template", "probe:scan.npy@3,3,9", "-o", scan], "-o"),
        (
            vec!["ebsd", "background", scan, "-o", "b.h5", "--save-mask", scan],
            "--save-mask",
        ),
    ] {
        fails(d, &[&args[..], &["--overwrite"]].concat(), &[flag, "the output is the input"]);
    }
    // A folder of results goes with what is in it.
    let inside = ["defects", "track", "old/result.h5", "-o", "old", "--overwrite"];
    fails(d, &inside, &["-o: ", "result.h5 lies in the folder that would be replaced"]);
    // Only flags that the command has are named.
    let own = ["defects", "classify", "old", "-o", "old", "--overwrite"];
    fails(d, &own, &["-o: the output is the input: give it a name of its own"]);
    let own = ["ebsd", "average", "scan.npy", "-o", "scan.npy", "--overwrite"];
    fails(d, &own, &["-o: the output is the input: use --in-place"]);
    assert_eq!(fs::read(d.join(scan)).unwrap(), before);
    assert!(d.join("old/result.h5").exists());
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let dir = TempDir::new().unwrap();
    let scan = small_scan(dir.path());
    for args in [
        ["info", scan].as_slice(),
        &["info", "--json", scan],
        &["stats", scan, "-o", "s.h5"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut program = Command::new(env!("CARGO_BIN_EXE_emstream"));
        program.args(args).current_dir(dir.path()).stdout(writer);
        let out = program.stderr(std::process::Stdio::piped()).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
    assert!(dir.path().join("s.h5").exists());
}

/// A scan of 6 × 8 frames of 16 × 16 pixels with a moving disk.
fn small_scan(dir: &Path) -> &'static str {
    let mut pixels = Vec::new();
    for i in 0..48usize {
        for y in 0..16i32 {
            for x in 0..16i32 {
                let centre = if i % 8 < 4 { (5, 5) } else { (10, 9) };
                let d = (y - centre.0).pow(2) + (x - centre.1).pow(2);
                pixels.push(if d <= 3 { 90 } else { ((y * 7 + x * 3 + i as i32) % 5) as u8 });
            }
        }
    }
    npy(&dir.join("scan.npy"), &[6, 8, 16, 16], "|u1", &pixels);
    "scan.npy"
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let dir = TempDir::new().unwrap();
    for args in [
        &["cluster"][..],
        &["cluster", "x.blo", "-o", "out", "--clusters", "none"],
        &["nonsense"],
        &["stats", "x", "-o", "y", "--memory", "lots"],
    ] {
        let out = emstream(dir.path(), args);
        assert_eq!(
            out.status.code(),
            Some(2),
            "{args:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

#[test]
fn files_that_are_not_what_they_claim() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    fails(d, &["stats", "nowhere.blo", "-o", "s.h5"], &["nowhere.blo"]);
    fs::write(
        d.join("wrong.blo"),
        b"this is no block file, however long it may be, and never was one",
    )
    .unwrap();
    fails(d, &["stats", "wrong.blo", "-o", "s.h5"], &["wrong.blo"]);
    fails(d, &["cluster", "wrong.blo", "-o", "out"], &["wrong.blo"]);
    fs::write(d.join("wrong.h5"), b"\x89HDF\r\n\x1a\n and then nothing of the kind").unwrap();
    fails(d, &["stats", "wrong.h5", "-o", "s.h5"], &["wrong.h5"]);
    npy(&d.join("short.npy"), &[4, 4, 8, 8], "|u1", &[0; 1000]);
    fails(d, &["stats", "short.npy", "-o", "s.h5"], &["short.npy", "1024"]);
    npy(&d.join("huge.npy"), &[1 << 30, 1 << 30, 8, 8], "|u1", &[0; 64]);
    fails(d, &["stats", "huge.npy", "-o", "s.h5"], &["huge.npy"]);
    npy(&d.join("zero.npy"), &[4, 0, 8, 8], "|u1", &[]);
    fails(d, &["stats", "zero.npy", "-o", "s.h5"], &["zero.npy"]);
    npy(&d.join("flat.npy"), &[64, 8], "|u1", &[0; 512]);
    fails(d, &["stats", "flat.npy", "-o", "s.h5"], &["flat.npy"]);
    fs::write(d.join("scan.raw"), [0; 100]).unwrap();
    fails(
        d,
        &[
            "stats",
            "scan.raw",
            "-o",
            "s.h5",
            "--nav-shape",
            "2,2",
            "--sig-shape",
            "4,4",
            "--dtype",
            "u16",
        ],
        &["scan.raw", "128"],
    );
}

#[test]
fn parameters_that_do_not_fit_the_scan() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    let scan = small_scan(d);
    fails(d, &["stats", scan, "-o", "s.h5", "--roi", "2:2,0:4"], &["--roi", "empty"]);
    fails(
        d,
        &["stats", scan, "-o", "s.h5", "--roi", "0:9,0:4"],
        &["--roi", "leaves the scan"],
    );
    fails(
        d,
        &["stats", scan, "-o", "s.h5", "--roi", "somewhere"],
        &["--roi", "somewhere"],
    );
    fails(d, &["stats", scan, "-o", "s.h5", "--ops", "sum,median"], &["--ops", "median"]);
    fails(d, &["stats", scan, "-o", "s.h5", "--nav-shape", "5,5"], &["scan.npy"]);
    fails(d, &["pick", scan, "--at", "6,0", "-o", "f.npy"], &["--at", "6×8"]);
    fails(d, &["pick", scan, "--at", "0,0", "-o", "f.xyz"], &["--output"]);
    fails(d, &["cluster", scan, "-o", "out", "--radius", "-1"], &["radius"]);
    fails(
        d,
        &["cluster", scan, "-o", "out", "--feature-peaks", "0"],
        &["--feature-peaks"],
    );
    fails(d, &["cluster", scan, "-o", "out", "--clusters", "100"], &["100"]);
    fails(
        d,
        &["cluster", scan, "-o", "out", "--radius", "30", "--radius-outer", "40"],
        &["template"],
    );
    fails(d, &["masks", scan, "-o", "m.h5", "--masks", "disk:4,4"], &["disk:4,4"]);
    fails(d, &["masks", scan, "-o", "m.h5", "--masks", "nowhere.npz"], &["nowhere.npz"]);
}

#[test]
fn masks_and_templates_that_are_no_masks() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    let scan = small_scan(d);
    let f32s = |v: &[f32]| bytemuck::cast_slice::<f32, u8>(v).to_vec();
    npy(&d.join("nan.npy"), &[16, 16], "<f4", &f32s(&[f32::NAN; 256]));
    npy(&d.join("empty.npy"), &[0, 16, 16], "<f4", &[]);
    npy(&d.join("shape.npy"), &[15, 16], "<f4", &f32s(&[1.0; 240]));
    npy(&d.join("zeros.npy"), &[5, 5], "<f4", &f32s(&[0.0; 25]));
    for (file, word) in [("nan.npy", "NaN"), ("empty.npy", "empty.npy"), ("shape.npy", "shape.npy")] {
        fails(d, &["masks", scan, "-o", "m.h5", "--masks", file], &[word]);
    }
    for (file, word) in [("nan.npy", "template"), ("empty.npy", "empty.npy"), ("zeros.npy", "template")] {
        fails(d, &["cluster", scan, "-o", "out", "--template", file], &[word]);
    }
    npy(&d.join("labels.npy"), &[3, 3], "<i4", &[0; 36]);
    fails(
        d,
        &["cluster", scan, "-o", "out", "--labels", "labels.npy"],
        &["--labels", "3×3"],
    );
}

#[test]
fn outputs_that_exist_or_cannot_be_written() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    let scan = small_scan(d);
    fs::write(d.join("s.h5"), b"precious").unwrap();
    fails(d, &["stats", scan, "-o", "s.h5"], &["s.h5", "--overwrite"]);
    assert_eq!(fs::read(d.join("s.h5")).unwrap(), b"precious");
    assert!(emstream(d, &["stats", scan, "-o", "s.h5", "--overwrite"]).status.success());
    assert_ne!(fs::read(d.join("s.h5")).unwrap(), b"precious");
    fs::create_dir(d.join("out")).unwrap();
    fs::write(d.join("out/kept.txt"), b"precious").unwrap();
    fails(d, &["cluster", scan, "-o", "out"], &["out", "--overwrite"]);
    assert_eq!(fs::read(d.join("out/kept.txt")).unwrap(), b"precious");
    fails(d, &["stats", scan, "-o", "no/such/folder/s.h5"], &["no/such/folder"]);
    fails(d, &["cluster", scan, "-o", "scan.npy/out"], &["scan.npy"]);
}

/// A full disk: /dev/full refuses every write, a small file size limit does so in the middle.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_behind() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    small_scan(d);
    for limit in [1, 8, 40] {
        let before = names(d);
        let script = format!(
            "ulimit -f {limit}; trap '' XFSZ; exec {} cluster scan.npy -o out --backend cpu",
            env!("CARGO_BIN_EXE_emstream")
        );
        let out = Command::new("bash").arg("-c").arg(script).current_dir(d).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "limit {limit}: {text}");
        assert_eq!(text.lines().filter(|l| l.starts_with("error: ")).count(), 1, "{text}");
        assert_eq!(names(d), before, "limit {limit}");
    }
}

#[test]
fn oddities_that_only_warn() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    let scan = small_scan(d);
    let out = emstream(
        d,
        &[
            "cluster",
            scan,
            "-o",
            "out",
            "--feature-peaks",
            "4000",
            "--clusters",
            "2",
            "--backend",
            "cpu",
        ],
    );
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}");
    assert!(
        text.contains("warning: ") && text.contains("of 4000 feature peaks found"),
        "{text}"
    );
    assert!(d.join("out/report.html").exists() && d.join("out/result.h5").exists() && d.join("out/params.toml").exists());

    let mut pixels = vec![1.0f32; 4 * 8 * 8];
    pixels[70] = f32::NAN;
    pixels[200] = f32::INFINITY;
    npy(&d.join("nan.npy"), &[2, 2, 8, 8], "<f4", bytemuck::cast_slice(&pixels));
    let out = emstream(d, &["stats", "nan.npy", "-o", "n.h5", "--backend", "cpu"]);
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}");
    assert!(text.contains("warning: ") && text.contains("2 non-finite pixels"), "{text}");
}

/// Ctrl-C in the middle of a scan that would take long (a sparse file of 200 GB).
#[cfg(unix)]
#[test]
fn ctrl_c_leaves_nothing_behind() {
    use std::io::{BufRead, BufReader, Read};
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    fs::File::create(d.join("long.raw"))
        .unwrap()
        .set_len(12800 * 1000 * 128 * 128)
        .unwrap();
    let shape = ["--nav-shape", "12800,1000", "--sig-shape", "128,128", "--dtype", "u8"];
    for command in [["stats", "long.raw", "-o", "s.h5"], ["cluster", "long.raw", "-o", "out"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_emstream"))
            .args(command)
            .args(shape)
            .args(["--backend", "cpu", "-v"])
            .current_dir(d)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut messages = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        messages.read_line(&mut first).unwrap();
        assert!(first.starts_with("backend cpu"), "{first}");
        assert!(
            Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let mut rest = String::new();
        messages.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{rest}");
        assert_eq!(rest.trim(), "error: cancelled");
        assert_eq!(names(d), ["long.raw"]);
    }
}
