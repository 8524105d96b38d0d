//! What is shown is what is in the files, and what other commands compute.

use super::support::{Explore, run, scan};
use emstream::io::array::read_array;
use emstream::io::read_stored;
use emstream::io::results::{Meta, Provenance, ResultFile};
use emstream::{Control, kernels, pixel, workflows};
use ndarray::{Array2, Array3, Array4, Axis, Ix2, Ix3, arr1, s};
use std::path::Path;

const NAV: [usize; 2] = [23, 31];
const SIG: [usize; 2] = [40, 44];

/// A result with everything that overlays need.
fn result(folder: &Path) -> std::path::PathBuf {
    let [ny, nx] = NAV;
    let path = folder.join("result.h5");
    let file = ResultFile::create(&path, true).unwrap();
    let scan = ["scan_y", "scan_x"];
    let labels = Array2::from_shape_fn((ny, nx), |(y, x)| if y == 0 { -1 } else { ((x * 3 / nx) % 3) as i32 });
    file.put("clusters/labels", labels.view(), Meta::new("", &scan, "cluster"))
        .unwrap();
    let strain = Array2::from_shape_fn((ny, nx), |(y, x)| (y as f32 - 11.0) * 1e-3 + x as f32 * 1e-5);
    file.put("strain/xx", strain.view(), Meta::new("", &scan, "strain xx"))
        .unwrap();
    let vector = |v: [f32; 2]| Array3::from_shape_fn((ny, nx, 2), |(y, _, k)| v[k] + if k == 0 { 0.1 * y as f32 } else { 0.0 });
    let axes = ["scan_y", "scan_x", "yx"];
    for (name, v) in [("zero", [18.0, 21.0]), ("a", [9.0, 1.0]), ("b", [-1.0, 10.0])] {
        file.put(&format!("lattice/{name}"), vector(v).view(), Meta::new("pixels", &axes, name))
            .unwrap();
    }
    let spots = Array4::from_shape_fn((ny, nx, 2, 2), |(y, _, s, k)| {
        if s == 1 && y == 3 { f32::NAN } else { (10 * s + k + y) as f32 }
    });
    let axes = ["scan_y", "scan_x", "spot", "yx"];
    file.put("lattice/positions", spots.view(), Meta::new("pixels", &axes, "spots"))
        .unwrap();
    let peaks = ndarray::arr2(&[[10.0, 12.0], [20.0, 22.5]]);
    for c in 0..3 {
        let shifted = peaks.mapv(|v: f64| v + f64::from(c));
        file.put(
            &format!("clusters/{c:02}/peaks"),
            shifted.view(),
            Meta::new("pixels", &["peak", "yx"], "peaks"),
        )
        .unwrap();
        let mean = Array2::from_elem((SIG[0], SIG[1]), f64::from(c));
        file.put(
            &format!("clusters/{c:02}/dp_mean"),
            mean.view(),
            Meta::new("counts", &["y", "x"], "mean"),
        )
        .unwrap();
        let curve = arr1(&[1.0, 2.0, f64::from(c)]);
        file.put(
            &format!("clusters/{c:02}/eds_mean"),
            curve.view(),
            Meta::new("counts", &["channel"], "mean"),
        )
        .unwrap();
    }
    let member = Array3::from_shape_fn((ny, nx, 3), |(y, x, k)| (y + x + k) as f32);
    let axes = ["scan_y", "scan_x", "phase"];
    file.put("clusters/membership", member.view(), Meta::new("", &axes, "membership"))
        .unwrap();
    let runs = Array3::from_shape_fn((4, ny, nx), |(r, y, x)| (r + y * x) as i32);
    file.put(
        "stability/labels",
        runs.view(),
        Meta::new("", &["run", "scan_y", "scan_x"], "labels"),
    )
    .unwrap();
    let frame = (ny * nx) as i64;
    let put = |name: &str, v: &[f64]| file.put(name, arr1(v).view(), Meta::new("", &["detection"], name)).unwrap();
    file.put(
        "detections/frame",
        arr1(&[5i64, 5, 6, frame]).view(),
        Meta::new("", &["detection"], "frame"),
    )
    .unwrap();
    put("detections/y", &[1.5, 2.5, 3.5, 4.5]);
    put("detections/x", &[11.5, 12.5, 13.5, 14.5]);
    file.put(
        "detections/kept",
        arr1(&[1u8, 0, 1, 1]).view(),
        Meta::new("", &["detection"], "kept"),
    )
    .unwrap();
    file.put(
        "tracks/00/frame",
        arr1(&[4i64, 5, 7]).view(),
        Meta::new("", &["point"], "frame"),
    )
    .unwrap();
    put("tracks/00/y", &[1.0, 2.0, 3.0]);
    put("tracks/00/x", &[4.0, 5.0, 6.0]);
    file.provenance(&Provenance {
        command: "strain".into(),
        ..Provenance::default()
    })
    .unwrap();
    file.finish().unwrap();
    path
}

#[test]
fn frames_are_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let pixels = scan(folder.path(), "scan.npy", NAV, SIG);
    let explore = Explore::start(folder.path(), &["scan.npy"]);
    let (head, values) = explore.numbers("/api/frame?y=7&x=29");
    assert_eq!(
        (head["dtype"].as_str(), head["shape"][1].as_u64()),
        (Some("u2"), Some(SIG[1] as u64))
    );
    assert!(pixels.slice(s![7, 29, .., ..]).iter().map(|&v| f64::from(v)).eq(values));
    // The corner has 3 × 3 neighbours within two positions.
    let (head, mean) = explore.numbers("/api/frame?y=0&x=0&neighbours=2");
    assert_eq!(head["frames"], 9);
    let expected = pixels
        .slice(s![..3, ..3, .., ..])
        .mapv(f64::from)
        .mean_axis(Axis(0))
        .and_then(|m| m.mean_axis(Axis(0)))
        .unwrap();
    assert!(expected.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-4 * a.max(1.0)));
    // Processed as `ebsd process` does without a static background.
    let params = workflows::ebsd::process::Params {
        static_background: workflows::ebsd::process::StaticArg::None,
        sigma: 4.0,
        ..Default::default()
    };
    let frame = pixel::FrameShape {
        pixel: pixel::Pixel::U16,
        height: SIG[0],
        width: SIG[1],
    };
    let (chain, _) = params.chain(frame.pixel, None).unwrap();
    let plan = kernels::pattern::Plan::new(frame, &chain).unwrap();
    let mut expected = Vec::new();
    let raw: Vec<u16> = pixels.slice(s![7, 29, .., ..]).iter().copied().collect();
    kernels::pattern::cpu::Worker::new(emstream::backend::cpu::isa::Isa::active(), plan).run(&raw, &mut expected);
    let (head, values) = explore.numbers("/api/frame?y=7&x=29&process=1&sigma=4&static=none");
    assert_eq!(head["dtype"], "u1");
    assert!(values.iter().zip(&expected).all(|(a, b)| *a == f64::from(*b)));
    let saved = explore.get("/api/save?what=frame&y=7&x=29&format=npy");
    assert!(saved.head.contains("filename=\"frame_7_29.npy\""), "{}", saved.head);
    std::fs::write(folder.path().join("frame.npy"), &saved.body).unwrap();
    let again = read_array::<u16>(folder.path().join("frame.npy"), 1 << 20).unwrap();
    assert!(again.iter().eq(&raw));
    for (format, file) in [("tif", "frame.tif"), ("png", "frame.png")] {
        let saved = explore.get(&format!(
            "/api/save?what=frame&y=7&x=29&format={format}&colours=grey&low=0&high=255"
        ));
        std::fs::write(folder.path().join(file), &saved.body).unwrap();
        let again = read_array::<u16>(folder.path().join(file), 1 << 20).unwrap();
        match format {
            "tif" => assert!(again.iter().eq(&raw), "16-bit pixels stay"),
            _ => assert!(again.iter().zip(&raw).all(|(a, b)| a.abs_diff((*b).min(255)) <= 1)),
        }
    }
}

#[test]
fn detectors_show_nothing_where_a_frame_has_no_pixel() {
    let folder = tempfile::tempdir().unwrap();
    let mut frames = Array4::from_shape_fn((3, 4, 8, 10), |(y, x, j, i)| (100 * y + 10 * x + j + i) as f32);
    frames.slice_mut(s![1, 2, .., ..]).fill(f32::NAN);
    emstream::io::array::save_npy(folder.path().join("scan.npy"), frames.view(), false).unwrap();
    let explore = Explore::start(folder.path(), &["scan.npy"]);
    let (_, map) = explore.follow("/api/detector?client=a&spec=rect:2,3,4,5");
    for (number, value) in map.into_iter().enumerate() {
        let sum: f32 = frames.slice(s![number / 4, number % 4, 2..6, 3..8]).sum();
        match number {
            6 => assert!(value.is_nan(), "{value}"),
            _ => assert_eq!(value, f64::from(sum), "{number}"),
        }
    }
}

#[test]
fn detectors_are_those_of_masks_and_regions_those_of_stats() {
    let folder = tempfile::tempdir().unwrap();
    scan(folder.path(), "scan.npy", NAV, SIG);
    let explore = Explore::start(folder.path(), &["scan.npy", "--threads", "2"]);
    let spec = "ring:19.5,21.5,7.25,12";
    let (head, map) = explore.follow(&format!("/api/detector?client=a&spec={spec}"));
    assert_eq!(head["frames"], serde_json::json!([NAV[0] * NAV[1], NAV[0] * NAV[1]]));
    run(folder.path(), &["masks", "scan.npy", "--masks", spec, "-o", "masks.h5"]);
    let values = read_stored::<f32, Ix3>(&folder.path().join("masks.h5"), "masks/values", 1 << 20).unwrap();
    assert!(values.iter().map(|&v| f64::from(v)).eq(map), "the same bits as masks");
    let saved = explore.get(&format!("/api/save?what=detector&spec={spec}&format=npy"));
    std::fs::write(folder.path().join("map.npy"), &saved.body).unwrap();
    assert!(
        read_array::<f32>(folder.path().join("map.npy"), 1 << 20)
            .unwrap()
            .iter()
            .eq(&values)
    );

    // A lasso, saved and used by another command.
    let lasso = "poly:1.5,2;20.2,3.5;15,28;4,25.5";
    let (head, planes) = explore.follow(&format!("/api/region?client=a&region={lasso}"));
    for format in ["npy", "png"] {
        let roi = format!("roi.{format}");
        let saved = explore.get(&format!("/api/save?what=roi&region={lasso}&format={format}"));
        std::fs::write(folder.path().join(&roi), &saved.body).unwrap();
        run(
            folder.path(),
            &[
                "stats",
                "scan.npy",
                "--roi",
                &roi,
                "-o",
                "stats.h5",
                "--overwrite",
                "--ops",
                "mean,std,logsum",
            ],
        );
        for (name, plane) in ["mean", "std", "logsum"].iter().zip(planes.chunks(SIG[0] * SIG[1])) {
            let stats = read_stored::<f64, Ix2>(&folder.path().join("stats.h5"), &format!("stats/{name}"), 1 << 20).unwrap();
            assert!(
                stats.iter().map(|&v| f64::from(v as f32)).eq(plane.iter().copied()),
                "{name} has the same bits as stats"
            );
        }
        assert!(head["frames"][1].as_u64().unwrap() > 200);
    }
    let saved = explore.get(&format!("/api/save?what=region&region={lasso}&plane=mean&format=tif"));
    assert_eq!(saved.status, 200);
    // A rectangle needs no file.
    let (_, planes) = explore.follow("/api/region?client=a&region=3:9,4:17");
    run(
        folder.path(),
        &[
            "stats",
            "scan.npy",
            "--roi",
            "3:9,4:17",
            "-o",
            "stats.h5",
            "--overwrite",
            "--ops",
            "mean",
        ],
    );
    let stats = read_stored::<f64, Ix2>(&folder.path().join("stats.h5"), "stats/mean", 1 << 20).unwrap();
    assert!(
        stats
            .iter()
            .map(|&v| f64::from(v as f32))
            .eq(planes[..SIG[0] * SIG[1]].iter().copied())
    );
}

#[test]
fn results_lie_over_their_scan() {
    let folder = tempfile::tempdir().unwrap();
    scan(folder.path(), "scan.npy", NAV, SIG);
    let file = result(folder.path());
    let explore = Explore::start(folder.path(), &["scan.npy", "result.h5"]);
    let state = explore.json("/api/state");
    let shown = |name: &str| {
        let list = state["shown"].as_array().unwrap();
        list.iter()
            .find(|m| m["name"] == name)
            .unwrap_or_else(|| panic!("{name} is shown"))
            .clone()
    };
    for (name, role, style, count) in [
        ("strain/xx", "map", "signed", 1),
        ("clusters/labels", "map", "labels", 1),
        ("clusters/membership", "map", "scalar", 3),
        ("stability/labels", "map", "labels", 4),
        ("lattice/a", "map", "scalar", 2),
        ("clusters/01/dp_mean", "image", "scalar", 1),
        ("clusters/01/eds_mean", "curve", "scalar", 1),
    ] {
        let s = shown(name);
        assert_eq!(
            (s["role"].as_str(), s["style"].as_str(), s["count"].as_u64()),
            (Some(role), Some(style), Some(count)),
            "{name}"
        );
    }
    let values = |id: &str, index: usize| explore.numbers(&format!("/api/values?id={id}&index={index}")).1;
    let strain = read_stored::<f32, Ix2>(&file, "strain/xx", 1 << 20).unwrap();
    assert!(strain.iter().map(|&v| f64::from(v)).eq(values("0:/strain/xx", 0)));
    assert_eq!(values("0:/clusters/membership", 2)[NAV[1]], 3.0);
    assert_eq!(values("0:/stability/labels", 3)[NAV[1] + 1], 4.0);
    assert_eq!(values("0:/clusters/02/eds_mean", 0), [1.0, 2.0, 2.0]);
    assert_eq!(explore.get("/api/values?id=0:/clusters/membership&index=3").status, 422);
    assert_eq!(
        state["overlays"],
        serde_json::json!(["peaks", "lattice", "spots", "detections", "tracks", "bands"])
    );

    let at = |y: usize, x: usize| {
        explore.json(&format!(
            "/api/overlay?names=peaks,lattice,spots,detections,tracks&y={y}&x={x}"
        ))
    };
    let o = at(3, 15);
    assert_eq!(
        o["peaks"][0]["points"],
        serde_json::json!([[11.0, 13.0], [21.0, 23.5]]),
        "those of cluster 1"
    );
    let lattice = o["lattice"][0]["points"].as_array().unwrap();
    let origin = lattice.iter().find(|p| p[2] == "0 0").unwrap();
    assert!(
        (origin[0].as_f64().unwrap() - 18.3).abs() < 1e-5 && origin[1] == 21.0,
        "{origin}"
    );
    let other = lattice.iter().find(|p| p[2] == "1 -1").unwrap();
    // (18.3, 21) + (9.3, 1) − (−0.7, 10)
    assert!(
        (other[0].as_f64().unwrap() - 28.3).abs() < 1e-4 && other[1] == 12.0,
        "a − b at row 3: {other}"
    );
    assert_eq!(
        o["spots"][0]["points"],
        serde_json::json!([[3.0, 4.0, ""]]),
        "a spot of NaN is none"
    );
    assert_eq!(o["detections"], serde_json::json!([]));
    // Frame 5 of the scan.
    let o = at(0, 5);
    assert_eq!(o["detections"][0]["points"], serde_json::json!([[1.5, 11.5, ""]]));
    assert_eq!(o["detections"][1]["points"], serde_json::json!([[2.5, 12.5, ""]]));
    assert_eq!(o["tracks"][0]["paths"], serde_json::json!([[[1.0, 4.0], [2.0, 5.0]]]));
    assert_eq!(o["tracks"][1]["paths"], serde_json::json!([[[2.0, 5.0], [3.0, 6.0]]]));
    assert_eq!(at(0, 8)["tracks"], serde_json::json!([]));

    // A cluster as a region.
    let (head, _) = explore.follow("/api/region?client=a&region=label:0:/clusters/labels=2");
    let labels = read_stored::<i32, Ix2>(&file, "clusters/labels", 1 << 20).unwrap();
    assert_eq!(
        head["frames"][1].as_u64().unwrap() as usize,
        labels.iter().filter(|l| **l == 2).count()
    );
}

#[test]
fn scans_of_every_kind_open_with_their_columns_and_spectra() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let ebsd = data.join("ebsd/store.h5");
    let explore = Explore::start(&data, &[ebsd.to_str().unwrap()]);
    let state = explore.json("/api/state");
    assert!(
        state["shown"]
            .as_array()
            .unwrap()
            .iter()
            .any(|m| m["name"] == "Scan/EBSD/Data/bse_map"),
        "{}",
        state["shown"]
    );
    let map = emstream::io::ebsd::open(&ebsd, &Default::default(), &Control::new()).unwrap();
    let number = map.present.iter().position(|p| *p).unwrap();
    let (y, x) = (number / map.present.ncols(), number % map.present.ncols());
    let frame = workflows::read_frame(&*map.scan, number as u64, &Control::new()).unwrap();
    let (_, values) = explore.numbers(&format!("/api/frame?y={y}&x={x}"));
    assert!(frame.iter().copied().eq(values));

    let explore = Explore::start(&data, &["ebsd/edax.h5"]);
    let state = explore.json("/api/state");
    assert!(
        state["shown"]
            .as_array()
            .unwrap()
            .iter()
            .any(|m| m["name"] == "euler1" && m["style"] == "angle"),
        "{}",
        state["shown"]
    );

    let explore = Explore::start(&data, &["phases/dp.hspy", "--eds", "phases/eds.hspy"]);
    let state = explore.json("/api/state");
    assert_eq!(
        (
            state["scans"][0]["spectrum"].as_bool(),
            state["scans"][1]["spectrum"].as_bool()
        ),
        (Some(false), Some(true))
    );
    assert!(state["scans"][1]["energy"]["unit"] == "keV", "{}", state["scans"][1]);
    let (head, values) = explore.numbers("/api/frame?scan=1&y=0&x=1");
    assert_eq!(head["shape"], serde_json::json!([1, values.len()]));

    let explore = Explore::start(&data, &["ebsd/map.ctf"]);
    let state = explore.json("/api/state");
    assert!(state["scans"].as_array().unwrap().is_empty() && state["shown"].as_array().unwrap().len() >= 8);
}
