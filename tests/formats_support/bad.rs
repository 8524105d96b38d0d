//! Truncated files, other magic, absurd headers, other byte orders, wrong sizes: one line each that says what and where.

use super::{control, data};
use emstream::io::{self, OpenOptions};
use std::path::Path;

/// The error of opening, or of reading every frame.
pub fn error_of(path: &Path, options: &OpenOptions) -> String {
    let result = io::open(path, options, &control()).and_then(|scan| {
        let stride = scan.info().frame.stride();
        let mut out = vec![0; stride];
        (0..scan.info().frames()).try_for_each(|f| scan.read(&[f], stride, &mut out, &control()))
    });
    let e = result
        .expect_err(&format!("{} should be refused", path.display()))
        .to_string();
    assert!(!e.contains('\n'), "one line: {e}");
    e
}

/// A change to the bytes of a file.
pub type Change = Box<dyn Fn(&mut Vec<u8>)>;

/// A name, a change, and a part of the error that it must cause.
pub type Case<'a> = (&'a str, Change, &'a str);

pub fn put(at: usize, bytes: &[u8]) -> Change {
    let bytes = bytes.to_vec();
    Box::new(move |b| b[at..at + bytes.len()].copy_from_slice(&bytes))
}

pub fn cut(n: usize) -> Change {
    Box::new(move |b| b.truncate(b.len() - n))
}

pub fn longer(n: usize) -> Change {
    Box::new(move |b| b.extend(vec![0; n]))
}

/// Changes a text in a file.
pub fn text(from: &'static str, to: &'static str) -> Change {
    assert_eq!(from.len(), to.len());
    Box::new(move |b| {
        let at = b.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        b[at..at + to.len()].copy_from_slice(to.as_bytes());
    })
}

/// Every case in a folder of its own with the files beside it; the error names the changed file.
pub fn refuse(file: &str, beside: &[&str], open: &str, cases: &[Case<'_>]) {
    for (name, change, want) in cases {
        let dir = tempfile::tempdir().unwrap();
        let at = |f: &str| dir.path().join(Path::new(f).file_name().unwrap());
        for f in beside {
            std::fs::copy(data(f), at(f)).unwrap();
        }
        let mut bytes = std::fs::read(data(file)).unwrap();
        change(&mut bytes);
        std::fs::write(at(file), bytes).unwrap();
        let e = error_of(&at(open), &OpenOptions::default());
        assert!(e.contains(want), "{file}, {name}: {want:?} is not in: {e}");
        assert!(e.contains(dir.path().to_str().unwrap()), "{file}, {name}: no file in: {e}");
    }
}

#[test]
fn bad_merlin_files() {
    let open = "mib/counts12.mib";
    refuse(
        open,
        &[],
        open,
        &[
            (
                "cut",
                cut(5),
                "end of file (truncated): 5 frames of 664 bytes and 659 bytes more",
            ),
            ("long", longer(7), "6 frames of 664 bytes and 7 bytes more"),
            ("magic", put(0, b"MQ2,"), "byte 0: the name says a file of a Merlin detector"),
            ("length", text("00384", "99999"), "header, field 3 (length)"),
            ("short length", text("00384", "00010"), "header, field 3 (length)"),
            (
                "columns",
                text(",0014,", ",0000,"),
                "header, fields 5 and 6: 10 rows and 0 columns",
            ),
            (
                "rows",
                text(",0010,", ",00xx,"),
                "header, field 6 (rows): '00xx' is no number",
            ),
            ("type", text("U16", "F32"), "not supported: pixels of type 'F32'"),
            (
                "depth",
                text("U16", "R64"),
                "header, field 5 (columns): 14 values of 12 bits are not whole words",
            ),
            (
                "marker",
                put(3 * 664, b"XX"),
                "frame 3, byte 1992: the frame's header does not begin with MQ1",
            ),
        ],
    );
    refuse(
        "mib/raw24.mib",
        &[],
        "mib/raw24.mib",
        &[
            (
                "bits",
                text("000000ns,24,", "000000ns,25,"),
                "header, last field (counter depth): 25 instead of",
            ),
            (
                "chips",
                text(",01,", ",03,"),
                "not supported: raw frames of 24 bits from 3 chips arranged as 1x1",
            ),
            ("marker", put(640, b"XX"), "frame 1, byte 640"),
        ],
    );
    let hdr = "mib/counts12.hdr";
    refuse(
        hdr,
        &[],
        hdr,
        &[("alone", Box::new(|_| {}), "frames: there is no counts12.mib beside it")],
    );
    refuse(hdr, &[open], open, &[("magic", put(0, b"XDR"), "byte 0: an .hdr file")]);
}

#[test]
fn hdr_that_contradicts_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    let at = |n: &str| dir.path().join(n);
    std::fs::copy(data("mib/counts12.mib"), at("a.mib")).unwrap();
    let notes = |hdr: &str| {
        std::fs::write(at("a.hdr"), format!("HDR,\t\n{hdr}\nEnd\t\n")).unwrap();
        let scan = io::open(&at("a.mib"), &OpenOptions::default(), &control()).unwrap();
        (
            scan.info().nav,
            scan.info().reading.shape.word(),
            scan.info().notes.join("; "),
        )
    };
    let trigger = |all: u64, row: u64| format!("Frames in Acquisition (Number):\t{all}\nFrames per Trigger (Number):\t{row}");
    let (nav, word, _) = notes(&trigger(8, 2));
    assert_eq!((nav, word), ([3, 2], "derived"));
    let (nav, word, text) = notes(&trigger(8, 4));
    assert_eq!((nav, word), ([1, 6], "unknown"));
    assert!(text.contains("a.hdr says 8 frames, 4 a trigger, but there are 6"), "{text}");
    assert_eq!(notes(&trigger(0, 0)).1, "unknown");
    let (nav, word, text) = notes("ScanX:\t5\nScanY:\t5");
    assert_eq!((nav, word), ([1, 6], "unknown"));
    assert!(text.contains("a.hdr says 5×5 positions, but there are 6 frames"), "{text}");
}

#[test]
fn bad_empad_files() {
    let (xml, raw) = ("empad/scan.xml", "empad/scan_x1_y3.raw");
    refuse(
        xml,
        &[raw],
        xml,
        &[
            ("tag", text("</root>", "</toor>"), "XML: "),
            ("cut", cut(60), "XML: "),
            (
                "other",
                text("<raw_file ", "<law_file "),
                "an XML file that describes no EMPAD frames",
            ),
            (
                "absent",
                text("scan_x1_y3.raw", "scan_x9_y3.raw"),
                "raw_file: there is no file scan_x9_y3.raw beside it",
            ),
        ],
    );
    refuse(
        raw,
        &[xml],
        xml,
        &[
            ("cut", cut(4), "size of the file: 199676 bytes are not whole frames"),
            ("long", longer(100), "not whole frames of 130×128 float32"),
            ("empty", Box::new(|b| b.clear()), "not whole frames"),
        ],
    );
    // A frame less: neither the description nor the name fits.
    refuse(
        "empad/series.raw",
        &["empad/series.xml"],
        "empad/series.xml",
        &[(
            "less",
            cut(66_560),
            "the file holds 1 frames, its description says (1, 2) (series_count)",
        )],
    );
}

#[test]
fn bad_mrc_files() {
    let open = "mrc/mode6.mrc";
    let edge = |n: i32| n.to_le_bytes();
    refuse(
        open,
        &[],
        open,
        &[
            (
                "cut",
                cut(1),
                "end of file (truncated): 5 sections of 7×9 uint16 from byte 1024 on make 1654 bytes, but the file has 1653",
            ),
            ("magic", put(208, b"NAP "), "byte 0: the name says an MRC file"),
            ("width", put(0, &edge(70_000)), "at most 65536 rows and columns"),
            ("negative", put(4, &edge(-7)), "a dimension is zero"),
            ("sections", put(8, &edge(i32::MAX)), "end of file (truncated)"),
            ("mode", put(12, &edge(4)), "not supported: mode 4: complex numbers"),
            ("mode", put(12, &edge(77)), "not supported: mode 77"),
            ("extended", put(92, &edge(i32::MAX)), "end of file (truncated)"),
            // A header of the other order: the mode makes sense in neither.
            ("mixed", put(12, &[0, 6, 0, 0]), "byte 12 (MODE)"),
        ],
    );
    // A big-endian header with a little-endian stamp reads by its mode.
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(data("mrc/big1.mrc")).unwrap();
    bytes[212..216].copy_from_slice(&[0x44, 0x44, 0, 0]);
    std::fs::write(dir.path().join("a.mrc"), bytes).unwrap();
    let scan = io::open(&dir.path().join("a.mrc"), &OpenOptions::default(), &control()).unwrap();
    assert_eq!(scan.info().stored, "int16 big-endian");
}

#[test]
fn bad_series() {
    let open = "ser/scan_1.ser";
    refuse(
        open,
        &[],
        open,
        &[
            ("cut", cut(1), "byte 22: the places of 6 elements"),
            ("magic", put(2, &[0x98]), "byte 0: the name says a TIA series"),
            ("version", put(4, &[0x30, 0x02]), "byte 4: version 0x0230"),
            ("type", put(6, &[0x21]), "byte 6: elements of type 0x4121"),
            ("none", put(18, &[0; 4]), "byte 18: no element was written"),
            ("more", put(18, &[200, 0, 0, 0]), "byte 18: 200 valid elements of 6"),
            ("many", put(14, &[255; 8]), "byte 22: the places of 4294967295 elements"),
            ("dimensions", put(30, &[255; 4]), "a series of 4294967295 dimensions"),
            ("text", put(34 + 24, &[255; 4]), "a dimension's text of 4294967295 bytes"),
            ("place", put(22, &[255; 8]), "byte 22: the places"),
        ],
    );
    let header = 34 + 2 * (24 + 4 + 8 + 4 + 6);
    refuse(
        open,
        &[],
        open,
        &[
            (
                "pixels",
                put(header + 40, &[11]),
                "type of the first element: 11 is none of 1 to 10",
            ),
            ("complex", put(header + 40, &[9]), "not supported: complex numbers"),
            ("edge", put(header + 42, &[0, 0, 2, 0]), "at most 65536 rows and columns"),
            ("rows", put(header + 46, &[0; 4]), "a dimension is zero"),
            (
                "large",
                put(header + 42, &[0, 16, 0, 0]),
                "element 0 (truncated): 41010 bytes",
            ),
            ("other", put(header + 3 * (50 + 80 + 24) + 42, &[9]), "element 3, byte "),
        ],
    );
}

#[test]
fn bad_streams() {
    let open = "tvips/one_000.tvips";
    refuse(
        open,
        &[],
        open,
        &[
            ("cut", cut(2), "end of file (truncated): 3 frames of "),
            ("long", longer(2), "4 frames of "),
            ("magic", put(0, &[0, 2]), "byte 0: the name says a TVIPS stream"),
            ("version", put(4, &[3]), "byte 0: the name says a TVIPS stream"),
            ("bits", put(16, &[12]), "byte 0: the name says a TVIPS stream"),
            ("header", put(48, &[3, 0, 0, 0]), "byte 48: frame headers of 3 bytes"),
            ("header", put(48, &[255; 4]), "byte 48: frame headers of 0 bytes"),
            ("edge", put(8, &[0xff, 0xff, 0, 0]), "end of file (truncated)"),
        ],
    );
    let (first, second) = ("tvips/parts_000.tvips", "tvips/parts_001.tvips");
    refuse(
        second,
        &[first],
        first,
        &[
            ("cut", cut(1), "end of file (truncated)"),
            ("empty", Box::new(|b| b.clear()), "0 frames of"),
        ],
    );
    // The second part without the first.
    refuse(
        second,
        &[],
        second,
        &[("alone", Box::new(|_| {}), "byte 0: the name says a TVIPS stream")],
    );
}

/// A copy of a folder, changed.
fn folder(name: &str, change: impl FnOnce(&Path)) -> (tempfile::TempDir, std::path::PathBuf) {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            match entry.path().is_dir() {
                true => copy(&entry.path(), &to.join(entry.file_name())),
                false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join(Path::new(name).file_name().unwrap());
    copy(&data(name), &at);
    change(&at);
    (dir, at)
}

#[test]
fn bad_zarr() {
    let edit = |name: &'static str, from: &'static str, to: &'static str| {
        move |at: &Path| {
            let text = std::fs::read_to_string(at.join(name)).unwrap();
            assert!(text.contains(from), "{text}");
            std::fs::write(at.join(name), text.replace(from, to)).unwrap();
        }
    };
    type Edit = Box<dyn Fn(&Path)>;
    let cases: Vec<(&str, Edit, &str)> = vec![
        (
            "version",
            Box::new(edit(".zarray", "\"zarr_format\": 2", "\"zarr_format\": 3")),
            "zarr version 3; version 2 is read",
        ),
        ("json", Box::new(edit(".zarray", "\"order\"", "order")), ".zarray: JSON: "),
        (
            "order",
            Box::new(edit(".zarray", "\"C\"", "\"F\"")),
            "chunks in Fortran order",
        ),
        ("type", Box::new(edit(".zarray", "<u2", "<c8")), "values of type \"<c8\""),
        (
            "null",
            Box::new(edit(".zarray", "\"compressor\": null", "\"compressor\": {\"id\": \"bz2\"}")),
            "compressor 'bz2'",
        ),
        (
            "filters",
            Box::new(edit(".zarray", "\"filters\": null", "\"filters\": [{\"id\": \"delta\"}]")),
            "filters [{",
        ),
        (
            "claims",
            Box::new(edit(
                ".zarray",
                "        6\n    ],\n    \"zarr",
                "        6000000\n    ],\n    \"zarr",
            )),
            "at most 65536 rows and columns",
        ),
        (
            "chunks",
            Box::new(edit(
                ".zarray",
                "        4\n    ],\n    \"compressor",
                "        4000000000000\n    ],\n    \"compressor",
            )),
            "take more than",
        ),
        (
            "fewer",
            Box::new(edit(
                ".zarray",
                "        2,\n        5,\n        4\n",
                "        2,\n        4\n",
            )),
            "chunks: (2, 4) for an array of shape (4, 5, 6)",
        ),
        (
            "none",
            Box::new(edit(
                ".zarray",
                "        2,\n        5,\n        4\n",
                "        2,\n        0,\n        4\n",
            )),
            "chunks: (2, 0, 4)",
        ),
        (
            "cut",
            Box::new(|at: &Path| {
                let chunk = at.join("0/0/1");
                let bytes = std::fs::read(&chunk).unwrap();
                std::fs::write(chunk, &bytes[1..]).unwrap();
            }),
            "chunk at (0, 0, 4): 79 bytes where 80 are expected",
        ),
    ];
    for (name, change, want) in cases {
        let (_dir, at) = folder("zspy/plain.zarr", |at| change(at));
        let e = error_of(&at, &OpenOptions::default());
        assert!(
            e.contains(want) && e.contains("plain.zarr"),
            "{name}: {want:?} is not in: {e}"
        );
    }
    // Packed chunks that are damaged, and several arrays to choose from.
    let (_dir, at) = folder("zspy/gzip.zspy", |at| {
        let chunk = at.join("Experiments/scan/data/1/2/0/0");
        let mut bytes = std::fs::read(&chunk).unwrap();
        let n = bytes.len();
        bytes[n - 8] ^= 0x55;
        std::fs::write(chunk, bytes).unwrap();
    });
    let e = error_of(&at, &OpenOptions::default());
    assert!(e.contains("chunk at (1, 2, 0, 0): gzip: the data are damaged"), "{e}");
    let e = error_of(&data("zspy/group.zarr"), &OpenOptions::default());
    assert!(
        e.contains("group.zarr has 2 arrays to choose from; candidates: /shuffled (3, 4, 6, 5) uint16; /zlib"),
        "{e}"
    );
    let e = error_of(
        &data("zspy/group.zarr"),
        &OpenOptions {
            dataset: Some("/x".into()),
            ..OpenOptions::default()
        },
    );
    assert!(e.contains("has no array /x"), "{e}");
    assert_eq!(io::candidates(&data("zspy/group.zarr")).unwrap().len(), 2);
}

#[test]
fn bad_masters() {
    let master = "eiger/series_master.h5";
    let parts = [
        "eiger/series_data_000001.h5",
        "eiger/series_data_000002.h5",
        "eiger/series_data_000003.h5",
    ];
    let same: Change = Box::new(|_| {});
    refuse(
        master,
        &parts[..2],
        master,
        &[(
            "missing",
            same,
            "dataset /entry/data/data_000003: its file is missing or damaged",
        )],
    );
    refuse(
        parts[1],
        &[master, parts[0], parts[2]],
        master,
        &[
            ("cut", cut(200), "dataset /entry/data/data_000002"),
            ("magic", put(1, b"X"), "data_000002"),
        ],
    );
    // Another detector's frames.
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(Path::new(name).file_name().unwrap());
    for f in [master, parts[0], parts[2]] {
        std::fs::copy(data(f), at(f)).unwrap();
    }
    std::fs::copy(data("eiger/small_data_000001.h5"), at(parts[1])).unwrap();
    let e = error_of(&at(master), &OpenOptions::default());
    assert!(
        e.contains("data_000002: (9, 8, 8) of uint8, /entry/data/data_000001 has (4, 6, 9) of uint16"),
        "{e}"
    );
}

#[test]
fn bad_descriptions_of_stacks() {
    let open = "tiff/scan.ome.tif";
    refuse(
        open,
        &[],
        open,
        &[
            ("xml", text("<Pixels", "<<ixels"), "OME-XML: "),
            ("none", text("<Pixels", "<Rixels"), "OME-XML: "),
            ("size", text("SizeT=\"3\"", "SizeT=\"x\""), "OME-XML: SizeT is 'x'"),
            ("more", text("SizeT=\"3\"", "SizeT=\"9\""), "planes of dimensions"),
            (
                "order",
                text("DimensionOrder=\"XY", "DimensionOrder=\"XX"),
                "OME-XML: DimensionOrder 'XX",
            ),
            ("cut", cut(10), "behind the end of the file"),
        ],
    );
}
