//! `ebsd maps` and `simulate ebsd`: colours, conditions, figures, known orientations.

use emstream::Control;
use emstream::analysis::orientation::{Key, Laue, Setting, crystal_from_sample, misorientation, rotate};
use emstream::engine::Selection;
use emstream::io::{OpenOptions, ebsd};
use emstream::pixel::Pixel;
use emstream::simulate::{Kikuchi, Parameters, SimulatedKikuchi, Structure};
use emstream::workflows::ebsd::maps::{self, Params};
use std::path::{Path, PathBuf};
use std::process::Command;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ebsd").join(name)
}

fn load(path: &Path) -> maps::Table {
    maps::load(path, &OpenOptions::default(), &Control::new()).unwrap()
}

fn with(condition: &str) -> Params {
    Params {
        condition: Some(condition.into()),
        ..Params::default()
    }
}

#[test]
fn points_are_selected_and_coloured() {
    let table = load(&data("map.ctf"));
    let bc = table.data.get("bc").unwrap();
    let result = maps::run(&table, None, &with("phase==1 & bc>210")).unwrap();
    for (at, &shown) in result.shown.indexed_iter() {
        assert_eq!(shown, bc[at] > 210.0);
        assert_eq!(result.ipf[0].1[at].is_some(), shown);
        assert_eq!(result.euler.as_ref().unwrap()[at].is_some(), shown);
    }
    assert!(result.shown.iter().any(|&s| s) && !result.shown.iter().all(|&s| s));
    // Of a part of the map.
    let part = Selection::from_rect([4, 5], 1..3, 0..2).unwrap();
    let few = maps::run(&table, Some(&part), &with("bc>210")).unwrap();
    for (at, &shown) in few.shown.indexed_iter() {
        assert_eq!(shown, bc[at] > 210.0 && (1..3).contains(&at.0) && at.1 < 2);
    }
    // Angles count in degrees.
    let steep = maps::run(&table, None, &with("euler2 > 100 and euler2 < 180")).unwrap();
    let angle = table.data.get("euler2").unwrap().mapv(f64::to_degrees);
    for (at, &shown) in steep.shown.indexed_iter() {
        assert_eq!(shown, angle[at] > 100.0 && angle[at] < 180.0);
    }

    // The colour of one point by hand: φ1 = 47.7273°, Φ = 162.6075°, φ2 = 134.4758°.
    let g = crystal_from_sample([47.7273f64, 162.6075, 134.4758].map(f64::to_radians));
    let mut z = rotate(&g, [0.0, 0.0, 1.0]).map(f64::abs);
    z.sort_by(f64::total_cmp);
    // 001–101–111: x is the middle, y the smallest, z the largest component.
    let [y, x, z] = z;
    let weights = [z - x, (x - y) * 2f64.sqrt(), y * 3f64.sqrt()];
    let most = weights.iter().copied().fold(0.0, f64::max);
    let want = weights.map(|w| (255.0 * (w / most).sqrt()).round() as u8);
    let ipf = maps::run(&table, None, &Params::default()).unwrap().ipf;
    assert_eq!(ipf[2].0, "z");
    let got = ipf[2].1[[0, 0]].unwrap();
    assert!(got.iter().zip(want).all(|(a, b)| a.abs_diff(b) <= 1), "{got:?} {want:?}");
    assert_eq!(
        maps::run(&table, None, &Params::default()).unwrap().euler.unwrap()[[0, 0]],
        Some([34, 230, 95])
    );
}

#[test]
fn unknown_names_are_refused() {
    let table = load(&data("map.ctf"));
    let fails = |p: &Params| match maps::run(&table, None, p) {
        Ok(_) => panic!("accepted"),
        Err(e) => e.to_string(),
    };
    let e = fails(&with("bc > 1 & nothing == 2"));
    assert!(
        e.starts_with("--where: there is no column 'nothing'; there are phase, x, y"),
        "{e}"
    );
    let p = Params {
        directions: vec!["w".into()],
        ..Params::default()
    };
    assert_eq!(fails(&p), "--direction: 'w' is none of x, y, z");
    let p = Params {
        symmetry: Some("432".into()),
        ..Params::default()
    };
    assert!(fails(&p).contains("is none of -1, 2/m, mmm"));
    let e = match maps::load(&data("map.up1"), &OpenOptions::default(), &Control::new()) {
        Ok(_) => panic!("accepted"),
        Err(e) => e.to_string(),
    };
    assert!(e.contains("nothing but patterns is known of its points"), "{e}");
}

#[test]
fn every_symmetry_draws_a_map_with_its_key() {
    let table = load(&data("map.ctf"));
    for laue in (1..=11).filter_map(Laue::numbered) {
        let p = Params {
            symmetry: Some(laue.symbol().into()),
            directions: vec!["z".into()],
            ..Params::default()
        };
        let result = maps::run(&table, None, &p).unwrap();
        let figures = maps::draw(&table, &result);
        let names: Vec<&str> = figures.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["bc", "bs", "mad", "bands", "phase", "euler", "ipf_z"]);
        let figure = &figures[6].figure;
        assert!(figure.width() > 900 && figure.height() > 400);
        // A key is there: many colours right of the map.
        let beside = (0..figure.height()).flat_map(|y| (850..figure.width()).map(move |x| (x, y)));
        let colours: std::collections::HashSet<_> = beside.map(|(x, y)| figure.pixel(x, y)).collect();
        assert!(colours.len() > 200, "{}: {}", laue.symbol(), colours.len());
    }
}

#[test]
fn the_program_writes_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("maps");
    let run = |extra: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emstream"));
        command
            .args(["ebsd", "maps"])
            .arg(data("map.ctf"))
            .arg("-o")
            .arg(&out)
            .args(extra);
        command.output().unwrap()
    };
    let done = run(&["--where", "bc>100", "--direction", "z"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for name in [
        "result.h5",
        "params.toml",
        "report.html",
        "figures/ipf_z.png",
        "figures/phase.png",
        "figures/bc.png",
    ] {
        assert!(out.join(name).is_file(), "{name}");
    }
    let text = std::fs::read_to_string(out.join("params.toml")).unwrap();
    assert!(
        text.contains("where = \"bc>100\"") && text.contains("directions = [\"z\"]"),
        "{text}"
    );
    let file = hdf5::File::open(out.join("result.h5")).unwrap();
    assert_eq!(file.dataset("colours/ipf_z").unwrap().shape(), [4, 5, 3]);
    assert_eq!(file.dataset("maps/euler1").unwrap().shape(), [4, 5]);
    drop(file);
    // The written parameters repeat the run.
    let params = dir.path().join("p.toml");
    std::fs::write(&params, &text).unwrap();
    let again = run(&["--overwrite", "--params", params.to_str().unwrap()]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(std::fs::read_to_string(out.join("params.toml")).unwrap(), text);
    let bad = run(&["--overwrite", "--where", "bc >"]);
    assert_eq!(bad.status.code(), Some(1));
    let e = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert_eq!(
        e.trim(),
        "error: --where: 'bc >', character 5: a column or a number is expected"
    );
    assert!(out.join("result.h5").is_file());
}

fn small() -> Kikuchi {
    Kikuchi {
        nav: [6, 7],
        sig: [40, 50],
        grains: 3,
        unindexed: 0.1,
        ..Kikuchi::default()
    }
}

#[test]
fn simulated_maps_hold_their_truth() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map.h5");
    let simulated = SimulatedKikuchi::new(&small()).unwrap();
    let ctf = simulated.write(&path, false, &Control::new()).unwrap();
    assert!(simulated.write(&path, false, &Control::new()).is_err());
    let map = ebsd::open(&path, &OpenOptions::default(), &Control::new()).unwrap();
    assert_eq!((map.scan.info().nav, map.scan.info().frame.pixel), ([6, 7], Pixel::U16));
    let (euler, phase) = (map.data.euler().unwrap(), map.data.get("phase").unwrap());
    let table = ebsd::read_ctf(&ctf).unwrap();
    let written = table.data.euler().unwrap();
    for (i, ((y, x), &phase)) in phase.indexed_iter().enumerate() {
        if phase < 1.0 {
            continue;
        }
        for angles in [&euler, &written] {
            let g = crystal_from_sample([0, 1, 2].map(|k| angles[[y, x, k]]));
            let off = misorientation(&g, simulated.orientation(i).unwrap(), Laue::Cubic, Setting::AlongA);
            assert!(off < 5e-6, "{off}");
        }
    }
    assert!(phase.iter().any(|&p| p == 0.0) && phase.iter().any(|&p| p == 1.0));
    assert_eq!(map.geometry.pc.as_ref().unwrap()[[5, 6, 2]] as f32, 0.62);
    // The same patterns whatever the number of threads and the memory.
    let mut one = Control::new();
    (one.threads, one.memory) = (1, 20_000);
    let again = dir.path().join("again.h5");
    simulated.write(&again, false, &one).unwrap();
    let read = |p: &Path| {
        let file = hdf5::File::open(p).unwrap();
        file.dataset("Scan/EBSD/Data/RawPatterns").unwrap().read_raw::<u16>().unwrap()
    };
    assert_eq!(read(&path), read(&again));
    assert!(read(&path).iter().all(|v| v % 16 == 0));
}

/// Brightness of the pixels within a narrow strip about the trace of a plane, less those beside its band.
fn strip(simulated: &SimulatedKikuchi, p: &Kikuchi, point: usize, normal: [f64; 3]) -> Option<f64> {
    let [h, w] = p.sig;
    let mut out = vec![0u8; h * w * 2];
    simulated.pattern(point, &mut Vec::new(), &mut out);
    let g = simulated.orientation(point).unwrap();
    let (s, c) = p.sample_tilt.to_radians().sin_cos();
    let length = normal.iter().map(|v| v * v).sum::<f64>().sqrt();
    let (mut inside, mut outside) = ((0.0, 0.0), (0.0, 0.0));
    for (i, v) in out.chunks_exact(2).enumerate() {
        let v = f64::from(u16::from_ne_bytes([v[0], v[1]]));
        // Written out from the definition of the pattern centre and the axes.
        let (row, column) = (i / w, i % w);
        let right = ((column as f64 + 0.5) / w as f64 - p.pc[0]) * w as f64 / h as f64 / p.pc[2];
        let up = (p.pc[1] - (row as f64 + 0.5) / h as f64) / p.pc[2];
        let sample = [right, c - s * up, s + c * up];
        let crystal = rotate(g, sample);
        let size = crystal.iter().map(|v| v * v).sum::<f64>().sqrt();
        let sine = crystal.iter().zip(normal).map(|(a, b)| a * b).sum::<f64>().abs() / size / length;
        if sine < 0.01 {
            inside = (inside.0 + v, inside.1 + 1.0);
        } else if (0.05..0.07).contains(&sine) {
            outside = (outside.0 + v, outside.1 + 1.0);
        }
    }
    (inside.1 > 20.0 && outside.1 > 20.0).then(|| inside.0 / inside.1 - outside.0 / outside.1)
}

#[test]
fn bands_lie_where_the_orientation_says() {
    // Even light, no noise to speak of: the defects stay far below the bands.
    for (structure, normals) in [
        (
            Structure::Fcc,
            [[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, -1.0]],
        ),
        (
            Structure::Bcc,
            [[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, -1.0]],
        ),
    ] {
        let p = Kikuchi {
            contrast: 0.5,
            electrons: 1e9,
            dust: 0,
            hot: 0,
            unindexed: 0.0,
            grains: 8,
            structure,
            lattice: 2.9,
            ..small()
        };
        let simulated = SimulatedKikuchi::new(&p).unwrap();
        let (mut bright, mut seen) = (0, 0);
        for point in 0..42 {
            for normal in normals {
                if let Some(difference) = strip(&simulated, &p, point, normal) {
                    seen += 1;
                    bright += usize::from(difference > 0.0);
                }
            }
        }
        // Light falls off towards the edges, and other bands cross: nearly all strips are brighter than what is beside them.
        assert!(seen > 60 && bright * 100 >= seen * 90, "{structure:?}: {bright} of {seen}");
    }
}

#[test]
fn impossible_simulations_are_refused() {
    let fails = |p: Kikuchi| match SimulatedKikuchi::new(&p) {
        Ok(_) => panic!("accepted"),
        Err(e) => e.to_string(),
    };
    assert!(fails(Kikuchi { nav: [0, 5], ..small() }).contains("--nav-shape"));
    assert!(fails(Kikuchi { sig: [4, 5], ..small() }).contains("--sig-shape"));
    assert!(
        fails(Kikuchi {
            lattice: f64::NAN,
            ..small()
        })
        .contains("must be above 0")
    );
    assert!(
        Kikuchi::from_toml("grain = 5")
            .unwrap_err()
            .to_string()
            .contains("unknown field")
    );
}

#[test]
fn keys_of_all_groups_are_drawn() {
    for laue in (1..=11).filter_map(Laue::numbered) {
        let picture = Key::new(laue, Setting::AlongB).picture(120);
        assert!(!picture.names.is_empty());
        let filled = picture.colours.iter().filter(|p| p.is_some()).count();
        assert!(filled > 2000, "{}: {filled}", laue.symbol());
    }
}
