//! A disk that refuses one read: what a command says is what it says in peace, or the file and the system's error. Never is something told as
//! missing that is there.
#![cfg(target_os = "linux")]

use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A disk on which reads of `file` fail: all but the first `after`, or `count` of those.
struct Disk<'a> {
    library: &'a Path,
    file: &'a str,
    after: usize,
    count: Option<usize>,
}

fn run(args: &[&str], folder: &Path, disk: Option<Disk<'_>>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emstream"));
    command.args(args).current_dir(folder);
    if let Some(disk) = disk {
        command.env("LD_PRELOAD", disk.library);
        command.env("FAILING_NAME", format!("/{}", disk.file));
        command.env("FAILING_AFTER", disk.after.to_string());
        if let Some(count) = disk.count {
            command.env("FAILING_COUNT", count.to_string());
        }
    }
    command.output().unwrap()
}

fn text(output: &Output) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|t| String::from_utf8_lossy(t).into_owned())
}

/// Runs the command once for each read of the file, with that read refused.
fn each_read_refused_once(library: &Path, args: &[&str], file: &str) {
    let run = |after, count| {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk {
            library,
            file,
            after,
            count,
        };
        run(args, folder.path(), Some(disk))
    };
    let folder = tempfile::tempdir().unwrap();
    let peace = self::run(args, folder.path(), None);
    assert!(peace.status.success(), "{args:?}: {:?}", text(&peace));
    // As many reads as have to go well before all others may fail.
    let numbers: Vec<usize> = (0..1000).collect();
    let reads = numbers.partition_point(|&n| !run(n, None).status.success());
    assert!((10..1000).contains(&reads), "{args:?}: {reads} reads");
    let refused = (0..reads).into_par_iter().filter(|&n| {
        let output = run(n, Some(1));
        if output.status.success() {
            assert_eq!(text(&output), text(&peace), "{args:?}: read {n} refused");
            return false;
        }
        let [_, error] = text(&output);
        let told = error.contains("errno = 5") || error.contains("os error 5");
        assert!(told && error.contains(file), "{args:?}: read {n} refused: {error}");
        let lines = error.lines().filter(|l| !l.starts_with("warning: "));
        assert_eq!(lines.count(), 1, "{args:?}: read {n} refused: {error}");
        true
    });
    let refused = refused.count();
    assert!(refused >= 5, "{args:?}: {refused} of {reads} refusals were told");
}

#[test]
fn nothing_is_missing_because_a_read_failed() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("failing_disk.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &repository("tests/common/failing_disk.c")])
        .arg("-ldl")
        .status();
    assert!(built.unwrap().success());
    let maps = [
        "ebsd/oxford.h5oina",
        "ebsd/kikuchipy.h5",
        "ebsd/store.h5",
        "ebsd/edax.h5",
        "ebsd/v1.ebsp",
        "ebsd/v4.ebsp",
    ];
    let scans = [
        "h5/hyperspy.hspy",
        "h5/emd1.h5",
        "h5/py4dstem.h5",
        "formats/nexus/rosettasciio.nxs",
        "formats/velox/image.emd",
        "formats/eiger/series_master.h5",
        "formats/zspy/scan_zip.zspy",
    ];
    for (path, is_map) in maps.map(|m| (m, true)).into_iter().chain(scans.map(|s| (s, false))) {
        let input = repository("tests/data").join(path);
        let (file, input) = (path.rsplit('/').next().unwrap(), input.to_str().unwrap());
        match is_map {
            true => each_read_refused_once(&library, &["ebsd", "quality", input, "-o", "quality.h5"], file),
            false => each_read_refused_once(&library, &["info", input, "--json"], file),
        }
    }
}
