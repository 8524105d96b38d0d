//! Rates of uncompressed formats beside the raw reader's, printed when `EMSTREAM_SPEED` is set: files of 64 MiB in the page cache, one thread.

use super::control;
use emstream::io::{self, OpenOptions};
use std::path::Path;
use std::time::Instant;

const EDGE: usize = 256;
const FRAMES: usize = 512;

/// Frames between `before` and `after` bytes, with something at the front of the file.
fn write(path: &Path, start: &[u8], before: &[u8], frame: usize, after: usize, frames: usize) {
    let mut bytes = start.to_vec();
    for i in 0..frames {
        bytes.extend(before);
        bytes.extend((0..frame).map(|k| (k * 31 + i) as u8 & 0x3f));
        bytes.extend(vec![0; after]);
    }
    std::fs::write(path, bytes).unwrap();
}

/// Bytes a second of the best of several passes, sixteen frames at a time.
fn rate(path: &Path, options: &OpenOptions) -> f64 {
    let scan = io::open(path, options, &control()).unwrap();
    let (frame, frames) = (scan.info().frame, scan.info().frames());
    let mut out = vec![0; 16 * frame.stride()];
    let pass = || {
        let begin = Instant::now();
        for first in (0..frames).step_by(16) {
            let list: Vec<u64> = (first..(first + 16).min(frames)).collect();
            scan.read(&list, frame.stride(), &mut out, &control()).unwrap();
        }
        frames as f64 * frame.bytes() as f64 / begin.elapsed().as_secs_f64()
    };
    std::iter::repeat_with(pass).take(15).fold(0.0, f64::max)
}

#[test]
fn rates_beside_raw() {
    if std::env::var_os("EMSTREAM_SPEED").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let frame = EDGE * EDGE * 2;
    let raw = |path: &Path, sig: [usize; 2], dtype: &str| {
        let options = OpenOptions {
            sig_shape: Some(sig),
            dtype: Some(dtype.into()),
            ..OpenOptions::default()
        };
        rate(path, &options)
    };
    let none = OpenOptions::default();
    write(&at("a.raw"), &[], &[], frame, 0, FRAMES);
    let (little, big) = (raw(&at("a.raw"), [EDGE, EDGE], "u16"), raw(&at("a.raw"), [EDGE, EDGE], ">u2"));
    let mut header = format!("MQ1,000001,00384,01,{EDGE:04},{EDGE:04},U16,   1x1,01,12,").into_bytes();
    header.resize(384, 0);
    write(&at("a.mib"), &[], &header, frame, 0, FRAMES);
    let mut start = vec![0; 1024];
    for (place, value) in [(0, EDGE), (4, EDGE), (8, FRAMES), (12, 6)] {
        start[place..place + 4].copy_from_slice(&(value as u32).to_le_bytes());
    }
    start[208..214].copy_from_slice(b"MAP DD");
    write(&at("a.mrc"), &start, &[], frame, 0, FRAMES);
    write(&at("b.raw"), &[], &[], 128 * 128 * 4, 0, FRAMES);
    let floats = raw(&at("b.raw"), [128, 128], "f32");
    write(&at("scan_x16_y32.raw"), &[], &[], 128 * 128 * 4, 1024, FRAMES);
    let mut start = vec![0; 256];
    for (place, value) in [(0, 256), (4, 2), (8, EDGE), (12, EDGE), (16, 16), (48, 128)] {
        start[place..place + 4].copy_from_slice(&(value as u32).to_le_bytes());
    }
    write(&at("a_000.tvips"), &start, &[0; 128], frame, 0, FRAMES);
    for (name, beside) in [
        ("a.mib", big),
        ("a.mrc", little),
        ("scan_x16_y32.raw", floats),
        ("a_000.tvips", little),
    ] {
        let rate = rate(&at(name), &none);
        println!(
            "{name}: {:.2} GB/s, raw {:.2} GB/s: {:.2}",
            rate / 1e9,
            beside / 1e9,
            rate / beside
        );
    }
}
