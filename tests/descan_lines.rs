//! What `--descan measured` makes of whole rows and columns of the scan: it follows a beam that flies back or jumps, and is not led astray by a
//! layer along them in which another disk is brighter.

mod common;

use common::gpu;
use emstream::analysis::template::Template;
use emstream::control::Control;
use emstream::engine::{Backend, Resident, Selection};
use emstream::io::memory::MemoryScan;
use emstream::rng::{Poisson, Source};
use emstream::workflows::Timings;
use emstream::workflows::descan::{Descan, Track, track};

const NAV: [usize; 2] = [24, 28];
const EDGE: usize = 64;
const ZERO: [f64; 2] = [31.3, 32.1];

/// How the beam moves, beside a slow drift, and where another disk is the brightest.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beam {
    FliesBack,
    Jumps,
    Rows,
    Columns,
    PartOfRows,
}

fn beam(how: Beam, [i, j]: [usize; 2]) -> [f64; 2] {
    let (y, x) = (i as f64, j as f64);
    let [h, w] = NAV.map(|n| n as f64);
    let drift = [1.5 * (y / h - 0.5) + 0.02 * x / w, 1.5 * (x / w - 0.5)];
    match how {
        Beam::FliesBack => [drift[0], drift[1] + 6.0 * (-x / 2.5).exp()],
        Beam::Jumps if i >= 18 => [drift[0] + 5.0, drift[1]],
        _ => drift,
    }
}

/// A lattice of disks of radius 2 at a spacing of 6 px.
fn scan(how: Beam) -> MemoryScan<u16> {
    let (poisson, source) = (Poisson::new(), Source::new(4, 2));
    let mut pixels = vec![0u16; NAV[0] * NAV[1] * EDGE * EDGE];
    for (n, frame) in pixels.chunks_mut(EDGE * EDGE).enumerate() {
        let (i, j) = (n / NAV[1], n % NAV[1]);
        let layer = match how {
            Beam::Rows => (10..14).contains(&i),
            Beam::Columns => (10..14).contains(&j),
            Beam::PartOfRows => (10..14).contains(&i) && j < 17,
            _ => false,
        };
        let at = beam(how, [i, j]);
        let mut expected = vec![0.05f32; EDGE * EDGE];
        for (h, k) in (-3..=3).flat_map(|h| (-3..=3).map(move |k| (f64::from(h), f64::from(k)))) {
            let height = match (h == 0.0, k) {
                (true, 0.0) if layer => 15.0,
                (true, 1.0) if layer => 60.0,
                (true, 0.0) => 60.0,
                _ => 20.0 * (-h.hypot(k)).exp(),
            };
            let disk = [ZERO[0] + at[0] + 6.0 * h + 0.3 * k, ZERO[1] + at[1] + 6.0 * k - 0.3 * h];
            for (p, e) in expected.iter_mut().enumerate() {
                let r = ((p / EDGE) as f64 - disk[0]).hypot((p % EDGE) as f64 - disk[1]);
                *e += (height * (2.5 - r).clamp(0.0, 1.0)) as f32;
            }
        }
        poisson.fill(&source, n as u64, 0, &expected, |p, count| frame[p] = count as u16);
    }
    MemoryScan::new(NAV, [EDGE, EDGE], pixels).unwrap()
}

fn follow(scan: &MemoryScan<u16>, how: Descan, backend: &Backend) -> Track {
    let template = Template::named("background", 2.0, Some(3.0)).unwrap();
    let (all, control) = (Selection::all(NAV), Control::default());
    let mut timings = Timings::default();
    let resident = Resident::none();
    track(
        scan,
        &all,
        &template,
        ZERO,
        None,
        how,
        backend,
        &resident,
        &control,
        &mut timings,
    )
    .unwrap()
}

/// How far each shift is from the truth, both less their means.
fn errors(found: &Track, how: Beam) -> Vec<f64> {
    let places: Vec<[usize; 2]> = Selection::all(NAV).places().collect();
    let truth: Vec<[f64; 2]> = places.iter().map(|p| beam(how, *p)).collect();
    let mean = [0, 1].map(|k| truth.iter().map(|t| t[k]).sum::<f64>() / truth.len() as f64);
    let off = |(s, t): (&[f64; 2], &[f64; 2])| (s[0] - t[0] + mean[0]).hypot(s[1] - t[1] + mean[1]);
    found.shifts.iter().zip(&truth).map(off).collect()
}

#[test]
fn lines_are_followed_where_the_beam_moves_and_only_there() {
    for how in [Beam::FliesBack, Beam::Jumps, Beam::Rows, Beam::Columns, Beam::PartOfRows] {
        let scan = scan(how);
        let found = follow(&scan, Descan::Measured, &Backend::Cpu);
        let errors = errors(&found, how);
        let far = errors.iter().filter(|e| **e > 1.0).count();
        let rms = (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
        println!(
            "{how:?}: {far} far, rms {rms:.3}, {} outliers, {} in lines",
            found.outliers, found.in_lines
        );
        assert_eq!(far, 0, "{how:?}: rms {rms}");
        assert!(rms < 0.2, "{how:?}: {rms}");
        let moves = matches!(how, Beam::FliesBack | Beam::Jumps);
        // A layer's frames are outliers, those of a moving beam are not.
        assert_eq!((found.outliers == 0, found.in_lines > 0), (moves, moves), "{how:?}");
        let surface = follow(&scan, Descan::Fit, &Backend::Cpu);
        assert!(surface.in_lines >= 60, "{how:?}: {}", surface.in_lines);
    }
}

#[test]
fn lines_are_the_same_on_both_backends() {
    let scan = scan(Beam::Rows);
    let [cpu, gpu] = [&Backend::Cpu, &gpu()].map(|b| follow(&scan, Descan::Measured, b));
    assert_eq!((cpu.outliers, cpu.in_lines), (gpu.outliers, gpu.in_lines));
    for (a, b) in cpu.shifts.iter().zip(gpu.shifts.iter()) {
        assert!((a[0] - b[0]).hypot(a[1] - b[1]) < 2e-3, "{a:?} {b:?}");
    }
}
