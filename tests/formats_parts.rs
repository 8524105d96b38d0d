//! Scans of several files and of parts of files: what belongs to them is read, what cannot be read is an error, and what is left out is said.

use emstream::Control;
use emstream::io::{self, OpenOptions, Scan};
use std::path::Path;
use std::process::Command;

fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Scan>, String> {
    io::open(path, options, &Control::new()).map_err(|e| {
        let text = e.to_string();
        assert!(!text.contains('\n'), "one line: {text}");
        text
    })
}

fn scan(path: &Path) -> Box<dyn Scan> {
    open(path, &OpenOptions::default()).unwrap()
}

fn error(path: &Path) -> String {
    open(path, &OpenOptions::default())
        .err()
        .unwrap_or_else(|| panic!("{} should be refused", path.display()))
}

fn shaped(nav: [usize; 2]) -> OpenOptions {
    OpenOptions {
        nav_shape: Some(nav),
        ..OpenOptions::default()
    }
}

/// Bytes of every frame.
fn frames(scan: &dyn Scan) -> Vec<Vec<u8>> {
    let bytes = scan.info().frame.bytes();
    let all: Vec<u64> = (0..scan.info().frames()).collect();
    let mut out = vec![0; all.len() * bytes];
    scan.read(&all, bytes, &mut out, &Control::new()).unwrap();
    out.chunks(bytes).map(<[u8]>::to_vec).collect()
}

fn notes(scan: &dyn Scan) -> String {
    scan.info().notes.join("; ")
}

/// What `emstream info FILE --json` prints, in the file's folder.
fn info_json(folder: &Path, name: &str) -> serde_json::Value {
    let mut program = Command::new(env!("CARGO_BIN_EXE_emstream"));
    let output = program.args(["info", name, "--json"]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

// ---------------------------------------------------------------- Merlin

/// A frame of 2×3 counts: the frame's number and the pixel's.
fn merlin_frame(number: u64) -> Vec<u8> {
    (0..6).map(|i| (number * 10 + i) as u8).collect()
}

/// A file of frames with these numbers.
fn merlin(numbers: std::ops::RangeInclusive<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in numbers {
        let header = format!("MQ1,{n:06},00384,01,0003,0002,U08,   1x1,01,2024-01-01 00:00:00,0.002,0,0,6");
        bytes.extend(format!("{header:<384}").into_bytes());
        bytes.extend(merlin_frame(n));
    }
    bytes
}

/// A folder with `s_1.mib`, `s_2.mib` and so on.
fn folder(files: &[&[u8]]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (i, bytes) in files.iter().enumerate() {
        std::fs::write(dir.path().join(format!("s_{}.mib", i + 1)), bytes).unwrap();
    }
    dir
}

const HINT: &str = "move it elsewhere to read the others without it";

#[test]
fn a_cut_neighbour_does_not_shorten_the_acquisition() {
    let (one, whole, three) = (merlin(1..=4), merlin(5..=8), merlin(9..=12));
    let cut = &whole[..whole.len() - 7];
    let dir = folder(&[&one, cut, &three]);
    let at = |n: u64| dir.path().join(format!("s_{n}.mib"));
    let truncated = "s_2.mib: end of file (truncated): 3 frames of 390 bytes and 383 bytes more";
    for (opened, by) in [(1, "s_1.mib"), (3, "s_3.mib")] {
        let e = error(&at(opened));
        let want = format!("{truncated}; its frame number says that it belongs to {by}: {HINT}");
        assert!(e.ends_with(&want), "{opened}: {e}");
        assert!(e.starts_with(dir.path().to_str().unwrap()), "{e}");
    }
    assert!(error(&at(2)).ends_with(truncated));
    // Out of its way, the others are read, and say what is missing.
    std::fs::rename(at(2), dir.path().join("bad.mib")).unwrap();
    for (opened, want, note) in [
        (
            1,
            1..=4,
            "s_3.mib is not read as a part of this acquisition: its first frame has number 9 instead of 5",
        ),
        (
            3,
            9..=12,
            "s_1.mib is not read as a part of this acquisition: its last frame has number 4, the first of s_3.mib 9",
        ),
    ] {
        let scan = scan(&at(opened));
        assert_eq!(frames(&*scan), want.map(merlin_frame).collect::<Vec<_>>());
        assert!(notes(&*scan).contains(note), "{}", notes(&*scan));
    }
    // Whole, all three are one scan, whichever is opened.
    std::fs::write(at(2), &whole).unwrap();
    for opened in 1..=3 {
        let scan = scan(&at(opened));
        assert_eq!(scan.info().nav, [1, 12]);
        assert_eq!(frames(&*scan), (1..=12).map(merlin_frame).collect::<Vec<_>>());
        assert_eq!(notes(&*scan), "exposure 0.002 s; 3 files, numbered frames 1 to 12");
    }
    // Also by a name without a folder.
    for name in ["s_1.mib", "s_2.mib", "s_3.mib"] {
        assert_eq!(info_json(dir.path(), name)["nav_shape"], serde_json::json!([1, 12]), "{name}");
    }
}

#[test]
fn damaged_neighbours_are_errors() {
    let (one, two) = (merlin(1..=4), merlin(5..=8));
    let other_length = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[11..16].copy_from_slice(b"99999");
        bytes
    };
    for (name, second, want) in [
        ("a header's first bytes", two[..100].to_vec(), "byte 100: the file ends here"),
        ("no frame", two[..384].to_vec(), "0 frames of 390 bytes and 384 bytes more"),
        (
            "too long",
            [&two[..], b"more"].concat(),
            "4 frames of 390 bytes and 4 bytes more",
        ),
        ("damaged", other_length(&two), "header, field 3 (length)"),
    ] {
        let dir = folder(&[&one, &second]);
        let e = error(&dir.path().join("s_1.mib"));
        assert!(
            e.contains("s_2.mib: ") && e.contains(want) && e.ends_with(HINT),
            "{name}: {e}"
        );
    }
    // Before the file that is opened: whole frames are missing, too.
    for first in [one[..390 + 17].to_vec(), one[..100].to_vec(), other_length(&one)] {
        let dir = folder(&[&first, &two]);
        let e = error(&dir.path().join("s_2.mib"));
        assert!(e.contains("s_1.mib: ") && e.ends_with(HINT), "{e}");
    }
}

#[cfg(unix)]
#[test]
fn a_neighbour_that_cannot_be_opened_is_an_error() {
    let dir = folder(&[&merlin(1..=4)]);
    std::os::unix::fs::symlink("nowhere", dir.path().join("s_2.mib")).unwrap();
    let e = error(&dir.path().join("s_1.mib"));
    assert!(e.contains("s_2.mib: cannot open: "), "{e}");
    assert!(e.ends_with(&format!("; it may continue s_1.mib: {HINT}")), "{e}");
    // Nothing comes before frame 1.
    let dir = folder(&[&[], &merlin(1..=4)]);
    std::fs::remove_file(dir.path().join("s_1.mib")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("s_1.mib")).unwrap();
    let scan = scan(&dir.path().join("s_2.mib"));
    assert_eq!(scan.info().frames(), 4);
    assert!(notes(&*scan).contains("s_1.mib is not read as a part"), "{}", notes(&*scan));
}

#[test]
fn other_acquisitions_are_left_out_and_noted() {
    let mine = merlin(1..=4);
    let larger = String::from_utf8_lossy(&merlin(5..=8)[..384])
        .replace(",0003,0002,", ",0003,0003,")
        .into_bytes();
    let larger = [&larger[..], &[7; 9]].concat();
    let cases: [(&[u8], &str); 5] = [
        (&merlin(1..=6), "its first frame has number 1 instead of 5"),
        // Cut, but not of this acquisition.
        (&merlin(1..=6)[..1000], "its first frame has number 1 instead of 5"),
        (&larger, "frames of 3×3, 8 bits, those of s_1.mib are 2×3, 8 bits"),
        (b"", "its 0 bytes begin with no header of a frame"),
        (b"MQ1,00", "its 6 bytes begin with no header of a frame"),
    ];
    for (neighbour, why) in cases {
        let dir = folder(&[&mine, neighbour]);
        let scan = scan(&dir.path().join("s_1.mib"));
        assert_eq!(frames(&*scan), (1..=4).map(merlin_frame).collect::<Vec<_>>());
        let want = format!("exposure 0.002 s; s_2.mib is not read as a part of this acquisition: {why}");
        assert_eq!(notes(&*scan), want);
    }
    let before: [(&[u8], &str); 3] = [
        (&merlin(1..=4), "its last frame has number 4, the first of s_2.mib 7"),
        (&merlin(1..=9)[..3505], "its frames go on to number 9, s_2.mib begins with 7"),
        (&merlin(7..=9), "its first frame has number 7, that of s_2.mib 7"),
    ];
    for (neighbour, why) in before {
        let dir = folder(&[neighbour, &merlin(7..=8)]);
        let scan = scan(&dir.path().join("s_2.mib"));
        assert_eq!(frames(&*scan), (7..=8).map(merlin_frame).collect::<Vec<_>>());
        assert!(
            notes(&*scan).ends_with(&format!("s_1.mib is not read as a part of this acquisition: {why}")),
            "{}",
            notes(&*scan)
        );
    }
    let dir = folder(&[&mine]);
    std::fs::create_dir(dir.path().join("s_2.mib")).unwrap();
    assert!(
        notes(&*scan(&dir.path().join("s_1.mib"))).ends_with("s_2.mib is not read as a part of this acquisition: it is a folder")
    );
}

#[test]
fn numbers_without_end_do_no_harm() {
    let number = u64::MAX.to_string();
    let last = |n: &str| {
        let header = format!("MQ1,{n},00384,01,0003,0002,U08,   1x1,01,2024-01-01 00:00:00,0.002,0,0,6");
        [format!("{header:<384}").into_bytes(), vec![1; 6]].concat()
    };
    let dir = folder(&[&last(&number), &last(&number), &last("000001")]);
    for n in 1..=3 {
        let scan = scan(&dir.path().join(format!("s_{n}.mib")));
        assert_eq!(frames(&*scan).first(), Some(&vec![1; 6]));
    }
}

// ---------------------------------------------------------------- TVIPS

/// A frame of 2×3 counts: the frame's number in the stream, and the pixel's.
fn stream_frame(number: usize) -> Vec<u8> {
    (0..6).flat_map(|i| ((number * 10 + i) as u16).to_ne_bytes()).collect()
}

fn stream_frames(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    range.map(stream_frame).collect()
}

/// A stream whose frames have these positions (y, x), so many in a file. The first file's path is `s_000.tvips` in the folder.
fn stream(positions: &[[f32; 2]], per_file: usize) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut header = Vec::new();
    for n in [256, 2, 3, 2, 16, 0, 0, 1, 1, 0, 200, 0, 128_i32] {
        header.extend(n.to_le_bytes());
    }
    header.resize(256, 0);
    let numbered: Vec<(usize, &[f32; 2])> = positions.iter().enumerate().collect();
    for (i, part) in numbered.chunks(per_file).enumerate() {
        let mut bytes = if i == 0 { header.clone() } else { Vec::new() };
        for (number, [y, x]) in part {
            let mut head = [0; 128];
            head[68..72].copy_from_slice(&x.to_le_bytes());
            head[72..76].copy_from_slice(&y.to_le_bytes());
            bytes.extend(head);
            bytes.extend((0..6).flat_map(|i| ((number * 10 + i) as u16).to_le_bytes()));
        }
        std::fs::write(dir.path().join(format!("s_{i:03}.tvips")), bytes).unwrap();
    }
    let first = dir.path().join("s_000.tvips");
    (dir, first)
}

/// `before` frames at rest, a scan of `n` positions in rows of 5, `after` frames at rest.
fn positions(before: (usize, [f32; 2]), n: usize, after: (usize, [f32; 2])) -> Vec<[f32; 2]> {
    let scan = (0..n).map(|i| [(i / 5) as f32, (i % 5) as f32]);
    let rest = |(n, at): (usize, [f32; 2])| std::iter::repeat_n(at, n);
    rest(before).chain(scan).chain(rest(after)).collect()
}

const ORIGIN: [f32; 2] = [0.0, 0.0];

#[test]
fn frames_before_and_after_a_scan_are_left_out_and_noted() {
    for (before, after) in [(0, 0), (0, 3), (4, 0), (5, 0), (2, 4), (0, 5), (1, 12), (7, 16)] {
        // Where the beam rests: at the origin, at the last position, behind it, outside, nowhere.
        for start in [ORIGIN, [2.0, 4.0], [-1.0, -1.0], [f32::NAN, f32::NAN]] {
            for stop in [
                ORIGIN,
                [2.0, 4.0],
                [3.0, 0.0],
                [1.0, 2.0],
                [-1.0, 7.5],
                [9.0, 3.0],
                [f32::NAN, 1.0],
            ] {
                for per_file in [100, 4] {
                    let (_dir, path) = stream(&positions((before, start), 15, (after, stop)), per_file);
                    let scan = scan(&path);
                    let what = format!("{before} at {start:?}, {after} at {stop:?}, {per_file} a file");
                    assert_eq!(scan.info().nav, [3, 5], "{what}");
                    assert_eq!(scan.info().reading.shape.word(), "derived", "{what}");
                    assert_eq!(frames(&*scan), stream_frames(before..before + 15), "{what}");
                    let all = before + 15 + after;
                    let want = match (before, after) {
                        (0, 0) => None,
                        (n, 0) => Some(format!("of {all} frames, {n} before the scan are left out")),
                        (0, n) => Some(format!("of {all} frames, {n} after the scan's last whole row are left out")),
                        (n, m) => Some(format!(
                            "of {all} frames, {n} before the scan and {m} after the scan's last whole row are left out"
                        )),
                    };
                    let found = scan.info().notes.iter().find(|n| n.contains("left out")).cloned();
                    assert_eq!(found, want, "{what}");
                    assert!(!notes(&*scan).contains("follow"), "{what}: {}", notes(&*scan));
                    let flags = io::otherwise(scan.info(), &[]);
                    let flag = (
                        format!("--nav-shape 1,{all}"),
                        "all frames, also those that are not of the scan".to_owned(),
                    );
                    assert_eq!(flags.contains(&flag), want.is_some(), "{what}: {flags:?}");
                }
            }
        }
    }
}

#[test]
fn a_given_shape_counts_the_scan_or_the_whole_stream() {
    let (_dir, path) = stream(&positions((0, ORIGIN), 15, (3, ORIGIN)), 4);
    let all = open(&path, &shaped([3, 6])).unwrap();
    assert_eq!((all.info().nav, all.info().reading.shape.word()), ([3, 6], "given"));
    assert_eq!(frames(&*all), stream_frames(0..18));
    assert!(notes(&*all).contains("all 18 frames are read; by the scan positions 3×5 of them, from frame 0 on, are the scan"));
    assert!(!notes(&*all).contains("left out"), "{}", notes(&*all));
    let (_dir, path) = stream(&positions((2, ORIGIN), 15, (4, ORIGIN)), 4);
    for nav in [[5, 3], [1, 15], [3, 5]] {
        let turned = open(&path, &shaped(nav)).unwrap();
        assert_eq!((turned.info().nav, turned.info().reading.shape.word()), (nav, "given"));
        assert_eq!(frames(&*turned), stream_frames(2..17));
        assert!(notes(&*turned).contains("2 before the scan and 4 after"));
    }
    for nav in [[7, 3], [1, 21]] {
        let all = open(&path, &shaped(nav)).unwrap();
        assert_eq!(all.info().nav, nav);
        assert_eq!(frames(&*all), stream_frames(0..21));
    }
    for nav in [[3, 6], [2, 5], [usize::MAX, 2], [0, 5]] {
        let e = open(&path, &shaped(nav)).err().unwrap();
        let want = format!(
            "--nav-shape: {},{} makes neither the 15 frames of the scan nor all 21 frames that {} holds",
            nav[0],
            nav[1],
            path.display()
        );
        assert_eq!(e, want);
    }
    let (_dir, path) = stream(&positions((0, ORIGIN), 15, (0, ORIGIN)), 100);
    let e = open(&path, &shaped([3, 6])).err().unwrap();
    assert!(e.starts_with("--nav-shape: 3,6 does not make the 15 frames that "), "{e}");
    // No positions: all frames.
    let (_dir, path) = stream(&[ORIGIN; 12], 5);
    assert_eq!(scan(&path).info().nav, [1, 12]);
    let given = open(&path, &shaped([3, 4])).unwrap();
    assert_eq!((given.info().nav, frames(&*given)), ([3, 4], stream_frames(0..12)));
}

#[test]
fn a_sync_offset_counts_from_the_scan() {
    let (_dir, path) = stream(&positions((4, ORIGIN), 15, (2, ORIGIN)), 6);
    let options = OpenOptions {
        sync_offset: 1,
        ..OpenOptions::default()
    };
    let shifted = open(&path, &options).unwrap();
    let want = [stream_frames(5..19), vec![vec![0; 12]]].concat();
    assert_eq!(frames(&*shifted), want);
}

#[test]
fn stopped_and_broken_scans() {
    // Stopped in the fourth row.
    for after in [0, 1, 9] {
        let (_dir, path) = stream(&positions((1, ORIGIN), 17, (after, ORIGIN)), 7);
        let scan = scan(&path);
        assert_eq!((scan.info().nav, frames(&*scan)), ([3, 5], stream_frames(1..16)));
        let n = after + 2;
        let want = format!("1 before the scan and {n} after the scan's last whole row are left out");
        assert!(notes(&*scan).contains(&want), "{}", notes(&*scan));
    }
    // A frame was lost, or stored twice: the rows go on.
    let mut lost = positions((2, ORIGIN), 30, (0, ORIGIN));
    lost.remove(2 + 12);
    let mut doubled = positions((2, ORIGIN), 30, (0, ORIGIN));
    doubled.insert(2 + 12, [2.0, 1.0]);
    for (positions, rows, from) in [(lost, 5, 14), (doubled, 6, 14)] {
        let (_dir, path) = stream(&positions, 100);
        let scan = scan(&path);
        assert_eq!(scan.info().nav, [rows, 5]);
        assert_eq!(frames(&*scan), stream_frames(2..2 + 5 * rows));
        let want = format!("the scan positions do not follow each other from frame {from} on");
        assert!(notes(&*scan).contains(&want), "{}", notes(&*scan));
    }
    // Steps of less than one in y, and a scan that was begun twice.
    let scaled: Vec<[f32; 2]> = positions((3, ORIGIN), 15, (4, ORIGIN))
        .iter()
        .map(|p| [p[0] * 0.1, p[1]])
        .collect();
    let begun = [
        &positions((0, ORIGIN), 3, (0, ORIGIN))[..],
        &positions((0, ORIGIN), 15, (4, ORIGIN)),
    ]
    .concat();
    for positions in [scaled, begun] {
        let (_dir, path) = stream(&positions, 100);
        let scan = scan(&path);
        assert_eq!((scan.info().nav, frames(&*scan)), ([3, 5], stream_frames(3..18)));
    }
}

#[test]
fn names_without_a_folder_find_all_parts_of_a_stream() {
    let (dir, _) = stream(&positions((1, ORIGIN), 15, (2, ORIGIN)), 4);
    for name in ["s_000.tvips", "s_002.tvips"] {
        assert_eq!(info_json(dir.path(), name)["nav_shape"], serde_json::json!([3, 5]), "{name}");
    }
}
