//! Seeded damage to valid files of every format: an error or other pixels, never a panic, never the memory that a header claims.
//! `EMSTREAM_MUTATE=SECONDS` goes on with other seeds for so long (each format).

use super::data;
use super::watched::{BOUND, LARGEST};
use emstream::io::{FuzzFormat, fuzz_bytes};
use std::sync::atomic::Ordering;

/// Damages `bytes` by a seed: cuts, bits, extreme bytes, extreme words of two, four and eight bytes, stretches copied elsewhere, and digits
/// of texts.
fn damage(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n.max(1) as u64) as usize
    };
    let mut b = bytes.to_vec();
    if seed.is_multiple_of(7) {
        b.truncate(next(b.len()));
    }
    for _ in 0..1 + next(4) {
        if b.len() < 8 {
            break;
        }
        // Half of the changes hit the header.
        let within = if next(2) == 0 { b.len().min(400) } else { b.len() };
        let at = next(within - 7);
        match next(6) {
            0 => b[at] ^= 1 << next(8),
            1 => b[at] = [0, 1, 0x7f, 0x80, 0xff][next(5)],
            2 => {
                let n = [2, 4, 8][next(3)];
                let byte = [0, 0xff, 0x7f][next(3)];
                b[at..at + n].fill(byte);
            }
            3 => {
                let word = (next(1 << 20) as u32).to_le_bytes();
                b[at..at + 4].copy_from_slice(&word);
            }
            4 => {
                let from = next(b.len() - 7);
                let n = 1 + next(7);
                b.copy_within(from..from + n, at);
            }
            _ => {
                // Texts: other digits, signs and letters where digits stand.
                if let Some(i) = (at..b.len()).find(|&i| b[i].is_ascii_digit()) {
                    b[i] = b"0123456789-.,eE<>\"{"[next(19)];
                }
            }
        }
    }
    b
}

fn one(format: FuzzFormat, name: &str, bytes: &[u8], seed: u64) {
    let damaged = damage(bytes, seed);
    let result = std::panic::catch_unwind(|| fuzz_bytes(format, &damaged));
    match result {
        Ok(Err(e)) => assert!(!e.to_string().contains('\n'), "{name}, seed {seed}: one line: {e}"),
        Ok(Ok(())) => {}
        Err(e) => panic!("{name}, seed {seed}: {e:?}"),
    }
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < BOUND, "{name}, seed {seed}: {largest} bytes at once");
}

/// A few hundred seeds of each of several valid files, or as many as the time allows.
pub fn mutate(format: FuzzFormat, files: &[(&str, Vec<u8>)]) {
    let seconds = std::env::var("EMSTREAM_MUTATE").ok().and_then(|s| s.parse().ok());
    let Some(seconds) = seconds else {
        for (name, bytes) in files {
            assert!(fuzz_bytes(format, bytes).is_ok(), "{name}: {:?}", fuzz_bytes(format, bytes));
            (0..300).for_each(|seed| one(format, name, bytes, seed));
        }
        return;
    };
    let begin = std::time::Instant::now();
    let mut seed = 1000;
    while begin.elapsed() < std::time::Duration::from_secs(seconds) {
        for (name, bytes) in files {
            one(format, name, bytes, seed);
        }
        seed += 1;
    }
    println!("{format:?}: {} files, {} rounds each, {seconds} s", files.len(), seed - 1000);
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(data(name)).unwrap()
}

fn files<'a>(names: &[&'a str]) -> Vec<(&'a str, Vec<u8>)> {
    names.iter().map(|n| (*n, read(n))).collect()
}

/// Two files as one, the first's length before both.
fn pair(first: &[u8], second: &[u8]) -> Vec<u8> {
    [&(first.len() as u16).to_be_bytes(), first, second].concat()
}

#[test]
fn damaged_merlin_files() {
    let names = [
        "mib/counts12.mib",
        "mib/counts24.mib",
        "mib/raw1.mib",
        "mib/raw24.mib",
        "mib/quad6.mib",
    ];
    mutate(FuzzFormat::Mib, &files(&names));
    let both = pair(&read("mib/counts12.hdr"), &read("mib/counts12.mib"));
    mutate(FuzzFormat::Hdr, &[("mib/counts12.hdr", both)]);
}

#[test]
fn damaged_empad_files() {
    let both = |xml: &str, raw: &str| pair(&read(xml), &read(raw));
    let new = both("empad/new.xml", "empad/scan_x2_y1.raw");
    mutate(
        FuzzFormat::Empad,
        &[
            ("scan", both("empad/scan.xml", "empad/scan_x1_y3.raw")),
            ("series", both("empad/series.xml", "empad/series.raw")),
        ],
    );
    // Without its name the shape of this one is not known: always an error, and never more.
    (0..200).for_each(|seed| one(FuzzFormat::Empad, "new", &new, seed));
}

#[test]
fn damaged_mrc_files() {
    mutate(
        FuzzFormat::Mrc,
        &files(&["mrc/mode0.mrc", "mrc/mode12.mrc", "mrc/big2.mrc", "mrc/fei1.mrc"]),
    );
}

#[test]
fn damaged_series() {
    mutate(
        FuzzFormat::Ser,
        &files(&["ser/scan_1.ser", "ser/stack_1.ser", "ser/short_1.ser", "ser/spectra_1.ser"]),
    );
}

#[test]
fn damaged_streams() {
    let two = pair(&read("tvips/parts_001.tvips"), &read("tvips/parts_000.tvips"));
    let scan = pair(&[], &read("tvips/scan_000.tvips"));
    // An empty second part is one frame too few of it.
    let none = pair(&read("tvips/parts_001.tvips")[..0], &read("tvips/one_000.tvips"));
    mutate(FuzzFormat::Tvips, &[("tvips/parts", two)]);
    (0..200).for_each(|seed| {
        one(FuzzFormat::Tvips, "scan", &scan, seed);
        one(FuzzFormat::Tvips, "one", &none, seed);
    });
}

/// A folder of one chunk: its description's length before both.
fn zarr_array() -> Vec<u8> {
    let description = r#"{"chunks":[4,5,6],"compressor":{"id":"lz4","acceleration":1},"dtype":"<u2","fill_value":0,"filters":null,"order":"C","shape":[4,5,6],"zarr_format":2}"#;
    // An LZ4 block of literals alone.
    let mut chunk = 240u32.to_le_bytes().to_vec();
    chunk.extend([0xf0, 225]);
    chunk.extend((0..240).map(|i| i as u8));
    pair(description.as_bytes(), &chunk)
}

#[test]
fn damaged_zarr() {
    mutate(FuzzFormat::ZarrArray, &[("array", zarr_array())]);
    mutate(FuzzFormat::Zarr, &files(&["zspy/scan_zip.zspy"]));
}

/// Only what emstream itself reads is damaged: HDF5 1.10 crashes on some damage to the structure of a file.
#[test]
fn damaged_descriptions_of_velox() {
    let bytes = read("velox/image.emd");
    let at = bytes.windows(8).position(|w| w == b"{\"Core\":").unwrap();
    let (before, json) = bytes.split_at(at);
    let (json, after) = json.split_at(2000);
    for seed in 0..400 {
        let mut damaged = damage(json, seed);
        damaged.resize(2000, 0);
        let all = [before, &damaged, after].concat();
        let result = std::panic::catch_unwind(|| fuzz_bytes(FuzzFormat::Hdf5, &all));
        // A description that cannot be read is a note, never a reason to refuse the pixels.
        assert!(matches!(result, Ok(Ok(()))), "seed {seed}: {result:?}");
    }
}

#[test]
fn damaged_tiff_descriptions() {
    mutate(
        FuzzFormat::Tiff,
        &files(&[
            "tiff/scan.ome.tif",
            "tiff/channels.ome.tif",
            "tiff/hyperstack.tif",
            "tiff/shaped.tif",
        ]),
    );
}
