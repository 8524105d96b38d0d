//! Defects in movies: the published notebook's values, the default recipe against truth, and what users do wrong.

mod common;

use emstream::Control;
use emstream::analysis::Recipe;
use emstream::analysis::components::components;
use emstream::analysis::lowpass::{Levels, difference};
use emstream::engine::Backend;
use emstream::io::{self, OpenOptions, Scan, array, keras};
use emstream::network::{Activation, Layer, Named, Network};
use emstream::workflows::Timings;
use emstream::workflows::defects::{Inference, Movie, MovieParams, Tiling, defect_probability};
use ndarray::{Array2, Array3, Axis, Ix2, Ix3, s};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/defects").join(name)
}

/// Smallest and largest value of the whole movie from which the two frames of the test file were taken.
const RANGE: [f64; 2] = [-379.0, 19328.0];

fn open(name: &str) -> Box<dyn Scan> {
    io::open(&data(name), &OpenOptions::default(), &Control::new()).unwrap()
}

fn movie(scan: &dyn Scan) -> Movie<'_> {
    let params = MovieParams {
        range: Some(RANGE),
        ..MovieParams::default()
    };
    Movie::open(scan, &params, &Backend::Cpu, &mut Timings::default(), &Control::new()).unwrap()
}

fn two(name: &str) -> Array2<f64> {
    let array: ndarray::ArrayD<f64> = array::read_array(data(name), 1 << 30).unwrap();
    array.into_dimensionality::<Ix2>().unwrap()
}

fn three(name: &str) -> Array3<f64> {
    let array: ndarray::ArrayD<f64> = array::read_array(data(name), 1 << 30).unwrap();
    array.into_dimensionality::<Ix3>().unwrap()
}

fn largest_difference<'a>(a: impl IntoIterator<Item = &'a f64>, b: impl IntoIterator<Item = &'a f64>) -> f64 {
    a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Columns of a table with a head.
fn table(name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(data(name)).unwrap();
    let rows = text.lines().skip(1);
    rows.map(|l| l.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn the_published_labels() {
    let scan = open("movie.dm3");
    let frame = movie(&*scan).frame_f64(0, &Control::new()).unwrap();
    let want = two("frame0_norm_8.npy");
    let rows = frame.slice(s![3..;8, ..]);
    assert!(largest_difference(rows, &want) < 2e-7);

    let d = difference(frame.view(), 10.0, Recipe::Published).unwrap();
    let want = three("f3_centre_4.npy");
    let (mut error, mut size) = (0.0, 0.0);
    for ((y, x, part), &w) in want.indexed_iter() {
        let v = d.filtered[[176 + 4 * y, 176 + x]];
        error += ([v.re, v.im][part] - w).powi(2);
        size += w * w;
    }
    assert!((error / size).sqrt() < 2e-6, "{}", (error / size).sqrt());
    let total: f64 = d.filtered.iter().map(|v| v.norm()).sum();
    assert!((total / 2265268.894018399 - 1.0).abs() < 1e-9, "{total}");
    assert_eq!(d.filtered.iter().filter(|v| v.norm() == 0.0).count(), 8171);

    let want = two("diff_8.npy");
    assert!(largest_difference(d.image.slice(s![3..;8, ..]), &want) < 1e-5);
    let labels = Levels { low: 0.45, high: 0.75 }.labels(d.image.view());
    let packed: ndarray::ArrayD<u8> = array::read_array(data("label.npy"), 1 << 30).unwrap();
    let bit = |i: usize| packed.as_slice().unwrap()[i / 8] >> (7 - i % 8) & 1;
    let differ = labels.iter().enumerate().filter(|(i, v)| **v != bit(*i)).count();
    assert!(differ <= 5, "{differ} pixels differ");
    assert_eq!(components(labels.mapv(f32::from).view(), 0.5).unwrap().len(), 400);
    let around = Levels::around(d.image.view(), 2.0, Recipe::Published).unwrap();
    assert!((around.low - 0.41654262687040844).abs() < 1e-9 && (around.high - 0.6110561162824155).abs() < 1e-9);
}

#[test]
fn default_labels_are_right_more_often() {
    let scan = open("movie.dm3");
    let frame = movie(&*scan).frame_f64(0, &Control::new()).unwrap();
    let quality = |recipe, levels: &dyn Fn(&Array2<f64>) -> Levels| {
        let d = difference(frame.view(), 10.0, recipe).unwrap();
        let map = levels(&d.image).labels(d.image.view());
        let found = components(map.mapv(f32::from).view(), 0.5).unwrap();
        let centres: Vec<[f64; 2]> = found.iter().filter(|c| c.area >= 5).map(|c| c.centre).collect();
        quality(&centres, &truth(0))
    };
    let (precision, recall) = quality(Recipe::Default, &|d| Levels::around(d.view(), 3.5, Recipe::Default).unwrap());
    assert!(precision > 0.9 && recall > 0.89, "{precision}, {recall}");
    let (published, _) = quality(Recipe::Published, &|_| Levels { low: 0.45, high: 0.75 });
    assert!(published < 0.25, "{published}");
}

#[test]
fn difference_images_of_any_size() {
    let scan = open("movie.dm3");
    let frame = movie(&*scan).frame_f64(0, &Control::new()).unwrap();
    for (h, w) in [(511, 320), (97, 512), (8, 40)] {
        let part = frame.slice(s![..h, ..w]);
        let d = difference(part, 8.0, Recipe::Default).unwrap();
        assert_eq!(d.image.dim(), (h, w));
        assert!(d.image.iter().all(|v| (0.0..=1.0).contains(v)));
        let e = difference(part, 8.0, Recipe::Published).unwrap_err().to_string();
        assert!(e.contains("square frames only"), "{e}");
    }
    for ratio in [1.0, f64::NAN, 1000.0] {
        let e = difference(frame.view(), ratio, Recipe::Default).unwrap_err().to_string();
        assert!(e.starts_with("--mask-ratio"), "{e}");
    }
    let flat = Array2::from_elem((32, 32), 3.0);
    assert!(
        difference(flat.view(), 10.0, Recipe::Default)
            .unwrap()
            .image
            .iter()
            .all(|&v| v == 0.0)
    );
}

/// True defects of a frame without holes, (y, x).
fn truth(frame: usize) -> Vec<[f64; 2]> {
    let rows = table("truth.csv");
    let here = rows.iter().filter(|r| r[0] == frame.to_string() && r[2] != "hole");
    here.map(|r| [r[3].parse().unwrap(), r[4].parse().unwrap()]).collect()
}

/// Precision and recall of `found` within 5 px, each true defect taken by the nearest that is left.
fn quality(found: &[[f64; 2]], truth: &[[f64; 2]]) -> (f64, f64) {
    let mut pairs = Vec::new();
    for (i, a) in found.iter().enumerate() {
        for (j, b) in truth.iter().enumerate() {
            let d = (a[0] - b[0]).hypot(a[1] - b[1]);
            if d <= 5.0 {
                pairs.push((d, i, j));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut used, mut hit) = (vec![false; found.len()], vec![false; truth.len()]);
    let mut n = 0.0;
    for (_, i, j) in pairs {
        if !used[i] && !hit[j] {
            (used[i], hit[j]) = (true, true);
            n += 1.0;
        }
    }
    (n / found.len() as f64, n / truth.len() as f64)
}

fn probabilities(backend: &Backend, tiling: Tiling, frames: &[Array2<f32>], logits: bool, model: &str) -> Vec<Array3<f32>> {
    let model = keras::read_model(&data(model)).unwrap();
    let size = [frames[0].nrows(), frames[0].ncols()];
    let inference = Inference::new(Arc::new(model.network), size, tiling, 2, 1 << 30).unwrap();
    let inference = if logits { inference.logits() } else { inference };
    inference.run(frames, backend).unwrap()
}

fn check_reference(backend: &Backend) {
    let scan = open("movie.dm3");
    let movie = movie(&*scan);
    let control = Control::new();
    let frames: Vec<_> = (0..2).map(|n| movie.frame(n, &control).unwrap()).collect();
    let patches = probabilities(backend, Tiling::Patches(256), &frames, false, "defect_model.h5");
    let want = three("softmax_patch_8.npy");
    for (p, want) in patches.iter().zip(want.axis_iter(Axis(0))) {
        let p = defect_probability(p).mapv(f64::from);
        let worst = largest_difference(p.slice(s![3..;8, ..]), want);
        assert!(worst < 2e-4, "{worst}");
    }
    // Class 0 is the rest.
    assert!(patches[0].sum_axis(Axis(1)).iter().all(|v| (v - 1.0).abs() < 1e-6));
    let whole = probabilities(backend, Tiling::Seamless, &frames[..1], false, "defect_model.h5");
    let whole = defect_probability(&whole[0]).mapv(f64::from);
    let want = two("softmax_band.npy");
    let worst = largest_difference(whole.slice(s![244..268;4, ..]), &want);
    assert!(worst < 2e-4, "{worst}");

    let patch = frames[0].slice(s![..256, ..256]).to_owned();
    let logits = probabilities(backend, Tiling::Seamless, &[patch], true, "defect_model.h5");
    for (i, row) in table("logit_probe.csv").iter().enumerate() {
        for (c, want) in row.iter().enumerate() {
            let (got, want) = (f64::from(logits[0][[100, c, 96 + i]]), want.parse::<f64>().unwrap());
            assert!((got - want).abs() < 1e-3 + 1e-4 * want.abs(), "{got}, {want}");
        }
    }
}

#[test]
fn the_published_network_on_the_cpu() {
    check_reference(&Backend::Cpu);
}

#[test]
fn the_published_network_on_the_gpu() {
    check_reference(&common::gpu());
}

#[test]
fn every_kind_of_model_file_gives_the_same_network() {
    let whole = keras::read_model(&data("defect_model.h5")).unwrap();
    assert_eq!(whole.network.parameters(), 29_468);
    assert_eq!(
        (whole.network.classes(), whole.network.multiple(), whole.trained_on),
        (2, 4, Some([256, 256]))
    );
    let kernels = |m: &keras::Model| {
        let layers = m.network.layers().iter();
        layers.map(|n| n.layer.clone()).collect::<Vec<_>>()
    };
    for other in ["defect_model_keras21.h5", "defect_model.keras", "defect_weights.h5"] {
        let model = keras::read_model(&data(other)).unwrap();
        assert_eq!(kernels(&model), kernels(&whole), "{other}");
        assert_eq!(model.notes.is_empty(), other != "defect_weights.h5");
    }
}

#[test]
fn strips_and_odd_sizes_have_no_seams() {
    let scan = open("movie.dm3");
    let frame = movie(&*scan).frame(0, &Control::new()).unwrap();
    let model = Arc::new(keras::read_model(&data("defect_model.h5")).unwrap().network);
    let whole = Inference::new(model.clone(), [512, 512], Tiling::Seamless, 1, 1 << 30).unwrap();
    let strips = Inference::new(model.clone(), [512, 512], Tiling::Seamless, 1, 4 << 20).unwrap();
    assert!(whole.pieces() == 1 && strips.pieces() > 2, "{}", strips.pieces());
    let frames = [frame];
    let one = whole.run(&frames, &Backend::Cpu).unwrap();
    assert_eq!(one, strips.run(&frames, &Backend::Cpu).unwrap());
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(one, pool.install(|| whole.run(&frames, &Backend::Cpu)).unwrap());
    }
    // A frame that is no multiple of four: the same away from the border where it was cut.
    let part = frames[0].slice(s![..201, ..299]).to_owned();
    let odd = Inference::new(model, [201, 299], Tiling::Seamless, 1, 1 << 30).unwrap();
    let odd = odd.run(&[part], &Backend::Cpu).unwrap();
    assert_eq!(odd[0].dim(), (201, 2, 299));
    assert_eq!(odd[0].slice(s![..180, .., ..280]), one[0].slice(s![..180, .., ..280]));
}

fn emstream(args: &[&str]) -> (bool, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_emstream"))
        .args(["--backend", "cpu", "--threads", "2"])
        .args(args)
        .output()
        .unwrap();
    let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
    (out.status.success(), text(out.stdout), text(out.stderr))
}

#[test]
fn the_published_detections() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (movie, model) = (data("movie.dm3"), data("defect_model_keras21.h5"));
    let (ok, said, err) = emstream(&[
        "defects",
        "detect",
        movie.to_str().unwrap(),
        "--model",
        model.to_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
        "--recipe",
        "published",
        "--range=-379,19328",
        "--save-probability",
        "--show-frames",
        "0,1",
    ]);
    assert!(ok, "{err}");
    assert!(
        said.contains("172 defects in 2 frames") || said.contains("defects in 2 frames"),
        "{said}"
    );
    let file = hdf5::File::open(out.join("result.h5")).unwrap();
    let numbers = |name: &str| file.dataset(name).unwrap().read_raw::<f64>().unwrap();
    let (y, x) = (numbers("detections/y"), numbers("detections/x"));
    let (frame, area, kept) = (
        numbers("detections/frame"),
        numbers("detections/area"),
        numbers("detections/kept"),
    );
    let want = table("defects.csv");
    assert_eq!(y.len(), want.len());
    let number = |t: &str| t.parse::<f64>().unwrap();
    let mut off = 0;
    for (i, w) in want.iter().enumerate() {
        assert_eq!(frame[i], if w[0] == "0" { 0.0 } else { 1.0 });
        let near = (y[i] - number(&w[1])).abs() < 0.05 && (x[i] - number(&w[2])).abs() < 0.05;
        off += usize::from(!near || (area[i] - number(&w[3])).abs() > 2.0);
        assert_eq!(kept[i], number(&w[4]));
    }
    assert!(off * 100 <= want.len(), "{off} of {} rows differ", want.len());

    let corners = file.dataset("detections/corner").unwrap().read_2d::<i32>().unwrap();
    let windows = file.dataset("detections/windows").unwrap().read::<f32, Ix3>().unwrap();
    let with: Vec<_> = want.iter().filter(|w| w[4] == "1").collect();
    assert_eq!(windows.dim(), (with.len(), 32, 32));
    let scan = open("movie.dm3");
    let scaled = self::movie(&*scan);
    for (i, w) in with.iter().enumerate() {
        assert_eq!(
            [corners[[i, 0]].to_string(), corners[[i, 1]].to_string()],
            [w[5].clone(), w[6].clone()]
        );
        if i % 20 == 0 {
            let image = scaled.frame(u64::from(w[0] != "0"), &Control::new()).unwrap();
            let (r, c) = (corners[[i, 0]] as usize, corners[[i, 1]] as usize);
            assert_eq!(windows.index_axis(Axis(0), i), image.slice(s![r..r + 32, c..c + 32]));
        }
    }
    assert_eq!(file.dataset("detections/probability").unwrap().shape(), [2, 2, 512, 512]);
    for name in ["overlay", "probability", "frames", "counts", "movie"] {
        assert!(out.join(format!("figures/{name}.png")).is_file(), "{name}");
    }
    let again = emstream(&[
        "defects",
        "detect",
        movie.to_str().unwrap(),
        "--params",
        out.join("params.toml").to_str().unwrap(),
        "-o",
        dir.path().join("again").to_str().unwrap(),
    ]);
    assert!(again.0 && again.1.starts_with(said.split(';').next().unwrap()), "{again:?}");
}

#[test]
fn the_default_recipe_finds_more() {
    let scan = open("movie.dm3");
    let movie = movie(&*scan);
    let control = Control::new();
    let frames: Vec<_> = (0..2).map(|n| movie.frame(n, &control).unwrap()).collect();
    let count = |tiling| {
        let maps = probabilities(&Backend::Cpu, tiling, &frames, false, "defect_model.keras");
        let (mut precision, mut recall) = (0.0, 0.0);
        for (p, frame) in maps.iter().zip([0, 18]) {
            let found = components(defect_probability(p).view(), 0.5).unwrap();
            let found: Vec<_> = found
                .iter()
                .filter(|c| (5..=700).contains(&c.area))
                .map(|c| c.weighted)
                .collect();
            let (a, b) = quality(&found, &truth(frame));
            precision += a / 2.0;
            recall += b / 2.0;
        }
        (precision, recall)
    };
    let (whole, patches) = (count(Tiling::Seamless), count(Tiling::Patches(256)));
    assert!(whole.0 >= patches.0 - 0.005 && whole.1 >= patches.1, "{whole:?}, {patches:?}");
    assert!(whole.0 > 0.96 && whole.1 > 0.84, "{whole:?}");
}

#[test]
fn one_line_for_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let movie = data("movie.dm3").to_str().unwrap().to_owned();
    let model = data("defect_weights.h5").to_str().unwrap().to_owned();
    let case = |args: &[&str], parts: &[&str]| {
        let mut all = vec!["defects"];
        all.extend(args);
        let out = path("out");
        all.extend(["-o", &out]);
        let (ok, _, err) = emstream(&all);
        assert!(!ok, "{args:?}");
        assert!(!Path::new(&out).exists());
        assert_eq!(err.lines().filter(|l| l.starts_with("error:")).count(), 1, "{err}");
        for part in parts {
            assert!(err.contains(part), "{part:?} is not in: {err}");
        }
    };
    case(
        &["detect", &movie, "--model", &movie],
        &["a model is an HDF5 file or a .keras archive"],
    );
    case(
        &["detect", &movie, "--model", &model, "--frames", "1..9"],
        &["--frames: 1..9 of a movie of 2 frames"],
    );
    case(
        &["detect", &movie, "--model", &model, "--window", "1000"],
        &["--window: 1000 pixels"],
    );
    case(
        &["detect", &movie, "--model", &model, "--threshold", "1.5"],
        &["--threshold: 1.5 is not between"],
    );
    case(
        &["detect", &movie, "--model", &model, "--show-frames", "7"],
        &["--show-frames: 7 is not among"],
    );
    case(&["label", &movie, "--frame", "2"], &["--frame: 2 of a movie of 2 frames"]);
    case(
        &["label", &movie, "--low", "0.6", "--high", "0.5"],
        &["0.6 is not below the upper level 0.5"],
    );
    case(
        &["label", &movie, "--scale-tag", "nothing"],
        &["--scale-tag: no number among the tags"],
    );
    case(&["label", &movie, "--range", "5"], &["--range: '5' is not two numbers"]);
    let give = "give the result file or folder of `emstream defects detect`";
    case(&["track", &movie], &["movie.dm3", give]);
    case(&["classify", &model], &["detections/frame: is missing", give]);
    let roi = "--roi: movies have no region of interest";
    case(&["label", &movie, "--roi", "0:1,0:1"], &[roi]);
    case(&["detect", &movie, "--model", &model, "--roi", "0:1,1:2"], &[roi]);
    case(&["run", &movie, "--model", &model, "--roi", "0:1,1:2"], &[roi]);
    let labels = path("labels.npy");
    array::save_npy(Path::new(&labels), Array2::<u8>::ones((512, 512)).view(), true).unwrap();
    case(&["train", &movie, "--labels", &labels, "--roi", "0:1,1:2"], &[roi]);
    case(&["run", &movie, "--class", "9"], &["--class: 9 of 5 classes, counted from 0"]);
    case(
        &["run", &movie, "--class=-1", "--classes", "3"],
        &["--class: -1 of 3 classes"],
    );

    // A model of another kind, weights that are not numbers, and a movie that was cut.
    let spoilt = path("spoilt.h5");
    std::fs::copy(data("defect_model.h5"), &spoilt).unwrap();
    let mut permissions = std::fs::metadata(&spoilt).unwrap().permissions();
    #[allow(clippy::permissions_set_readonly_false)]
    permissions.set_readonly(false);
    std::fs::set_permissions(&spoilt, permissions).unwrap();
    {
        let file = hdf5::File::open_rw(&spoilt).unwrap();
        let bias = file.dataset("model_weights/conv2d_2/conv2d_2/bias:0").unwrap();
        bias.write_slice(&ndarray::arr1(&[f32::NAN]), 3..4).unwrap();
    }
    case(
        &["detect", &movie, "--model", &spoilt],
        &["spoilt.h5", "conv2d_2", "weights are not finite"],
    );
    let cut = path("cut.dm3");
    std::fs::write(&cut, &std::fs::read(&movie).unwrap()[..600_000]).unwrap();
    case(&["label", &cut], &["cut.dm3", "a tag of 1048576 bytes"]);
}

/// One pixel of one frame far beyond all others, as a cosmic ray leaves it, does not set the scale of the movie.
#[test]
fn a_lone_pixel_does_not_set_the_range() {
    let dir = tempfile::tempdir().unwrap();
    let scan = open("movie.dm3");
    let control = Control::new();
    let read = |n: u64| emstream::workflows::read_frame(scan.as_ref(), n, &control).unwrap();
    let clean = ndarray::stack![Axis(0), read(0), read(1)];
    let [low, high] = clean.iter().fold([f64::MAX, f64::MIN], |[l, h], &v| [l.min(v), h.max(v)]);
    let range = |pixels: &[(usize, usize, usize, f64)], recipe: Recipe, backend: &Backend| {
        let mut values = clean.mapv(|v| v as f32);
        pixels.iter().for_each(|&(n, y, x, v)| values[[n, y, x]] = v as f32);
        let path = dir.path().join("movie.npy");
        array::save_npy(&path, values.view(), true).unwrap();
        let scan = io::open(&path, &OpenOptions::default(), &control).unwrap();
        let params = MovieParams {
            recipe,
            ..MovieParams::default()
        };
        let m = Movie::open(scan.as_ref(), &params, backend, &mut Timings::default(), &control).unwrap();
        ([m.low, m.high], m.warnings)
    };
    for recipe in [Recipe::Default, Recipe::Published] {
        assert_eq!(range(&[], recipe, &Backend::Cpu), ([low, high], vec![]));
    }
    let one = [(1, 100, 120, 40_000.0)];
    let (found, warnings) = range(&one, Recipe::Default, &Backend::Cpu);
    assert_eq!(found, [low, high]);
    let all = format!("`--range={low},40000` takes all");
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("1 pixel stands alone"),
        "{warnings:?}"
    );
    assert!(warnings[0].contains(&all), "{warnings:?}");
    assert_eq!(range(&one, Recipe::Default, &common::gpu()), (found, warnings));
    let (found, warnings) = range(&one, Recipe::Published, &Backend::Cpu);
    assert_eq!(found, [low, 40_000.0]);
    assert!(
        warnings.len() == 1 && warnings[0].contains(&format!("`--range={low},{high}` does not")),
        "{warnings:?}"
    );
    let two = [(0, 30, 31, 64_000.0), (1, 200, 90, -30_000.0)];
    assert_eq!(range(&two, Recipe::Default, &Backend::Cpu).0, [low, high]);
}

/// A frame that is lost has nothing to see, whatever number it is filled with.
#[test]
fn constant_frames_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let scan = open("movie.dm3");
    let frame = emstream::workflows::read_frame(scan.as_ref(), 0, &Control::new()).unwrap();
    let model = data("defect_model.h5");
    for (name, fill) in [("low", -379.0), ("middle", 100.0), ("nothing", f32::NAN)] {
        let lost = Array2::from_elem(frame.dim(), fill);
        let frame = frame.mapv(|v| v as f32);
        let path = dir.path().join(format!("{name}.npy"));
        array::save_npy(&path, ndarray::stack![Axis(0), frame, lost, frame].view(), true).unwrap();
        let (path, out) = (path.to_str().unwrap(), dir.path().join(name));
        let out = out.to_str().unwrap();
        let (ok, said, err) = emstream(&["defects", "label", path, "--frame", "1", "-o", out, "--overwrite"]);
        assert!(ok && said.starts_with("0 regions"), "{said}{err}");
        assert!(err.contains("frame 1 is constant: there is nothing to see"), "{err}");
        let model = model.to_str().unwrap();
        let (ok, said, err) = emstream(&["defects", "detect", path, "--model", model, "-o", out, "--overwrite"]);
        assert!(ok, "{said}{err}");
        assert!(err.contains("frame 1: all pixels are alike"), "{err}");
        assert!(err.contains("frame 1 has nearly no contrast"), "{err}");
        let file = hdf5::File::open(Path::new(out).join("result.h5")).unwrap();
        let counts: Array2<i32> = file.dataset("detections/counts").unwrap().read().unwrap();
        assert!(
            counts[[0, 0]] > 50 && counts[[0, 0]] == counts[[2, 0]] && counts[[1, 0]] == 0,
            "{counts}"
        );
        let drift: Array2<f64> = file.dataset("drift").unwrap().read().unwrap();
        assert!(drift.iter().all(|d| d.abs() < 1e-6), "{drift}");
    }
}

/// A pixel that holds more contrast than all others says nothing about the drift, whether it lasts or not.
#[test]
fn single_bright_pixels_leave_the_drift() {
    let dir = tempfile::tempdir().unwrap();
    let scan = open("movie.dm3");
    let frame = emstream::workflows::read_frame(scan.as_ref(), 0, &Control::new()).unwrap();
    let clean: Vec<Array2<f32>> = (0..4)
        .map(|t| frame.slice(s![2 * t..2 * t + 180, t..t + 200]).mapv(|v| v as f32))
        .collect();
    let mut drifts = Vec::new();
    for (name, struck) in [("clean", 0..0), ("stuck", 0..4), ("cosmic", 1..2)] {
        let mut movie = clean.clone();
        movie[struck].iter_mut().for_each(|f| f[[90, 100]] = 2e6);
        let path = dir.path().join(format!("{name}.npy"));
        let movie: Vec<_> = movie.iter().map(|f| f.view()).collect();
        array::save_npy(&path, ndarray::stack(Axis(0), &movie).unwrap().view(), true).unwrap();
        let (path, out) = (path.to_str().unwrap(), dir.path().join(name));
        let model = data("defect_model.h5");
        let model = model.to_str().unwrap();
        let (ok, said, err) = emstream(&["defects", "detect", path, "--model", model, "-o", out.to_str().unwrap()]);
        assert!(ok, "{said}{err}");
        assert!(!err.contains("contrast"), "{err}");
        let file = hdf5::File::open(out.join("result.h5")).unwrap();
        let drift: Array2<f64> = file.dataset("drift").unwrap().read().unwrap();
        drifts.push(drift);
    }
    for drift in &drifts {
        for (t, d) in drift.rows().into_iter().enumerate() {
            let (y, x) = (-2.0 * t as f64, -(t as f64));
            assert!((d[0] - y).abs() < 0.3 && (d[1] - x).abs() < 0.3, "frame {t}: {drifts:?}");
        }
        assert!(drift.iter().zip(&drifts[0]).all(|(a, b)| (a - b).abs() < 0.05), "{drifts:?}");
    }
}

#[test]
fn no_defect_and_a_single_one_are_results() {
    let dir = tempfile::tempdir().unwrap();
    let (movie, model) = (data("movie.dm3"), data("defect_model.keras"));
    for (extra, defects) in [(["--min-area", "699"], 0), (["--min-area", "109"], 1)] {
        let out = dir.path().join(defects.to_string());
        let mut args = vec![
            "defects",
            "detect",
            movie.to_str().unwrap(),
            "--model",
            model.to_str().unwrap(),
        ];
        args.extend(["--range=-379,19328", "--frames", "0..1", "-o", out.to_str().unwrap()]);
        args.extend(extra);
        let (ok, said, err) = emstream(&args);
        assert!(ok, "{err}");
        if defects == 0 {
            assert!(
                said.starts_with("0 defects") && err.contains("no defect was found"),
                "{said}{err}"
            );
        }
        let file = hdf5::File::open(out.join("result.h5")).unwrap();
        let n: usize = said.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(file.dataset("detections/y").unwrap().shape(), [n]);
        let kept = file.dataset("detections/kept").unwrap().read_raw::<u8>().unwrap();
        let kept = kept.iter().filter(|&&k| k == 1).count();
        assert_eq!(file.dataset("detections/windows").unwrap().shape(), [kept, 32, 32]);
    }
}

#[test]
fn a_network_without_its_softmax_gets_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let movie = data("movie.dm3").to_str().unwrap().to_owned();
    let whole = keras::read_model(&data("defect_model.keras")).unwrap().network;
    let mut layers = whole.layers().to_vec();
    let last = layers.pop().unwrap();
    assert_eq!(last.layer, Layer::Activation(Activation::Softmax));
    let with = |name: &str, ending: Option<Activation>| {
        let ending = ending.map(|a| Named {
            name: "ending".into(),
            layer: Layer::Activation(a),
        });
        let network = Network::new(layers.iter().cloned().chain(ending).collect()).unwrap();
        keras::write_model(Path::new(&path(name)), &network, [256, 256], false).unwrap();
    };
    with("softmax.h5", Some(Activation::Softmax));
    with("logits.h5", None);
    with("relu.h5", Some(Activation::Relu));
    let detect = |model: &str| {
        let (model, out) = (path(model), path(&format!("of_{model}")));
        let rest = ["--range=-379,19328", "--frames", "0..1", "-o", &out];
        let said = emstream(&[&["defects", "detect", &movie, "--model", &model], &rest[..]].concat());
        (said, dir.path().join(out).join("result.h5"))
    };
    let ((ok, _, err), want) = detect("softmax.h5");
    assert!(ok && !err.contains("is added"), "{err}");
    let ((ok, _, err), got) = detect("logits.h5");
    assert!(
        ok && err.contains("without softmax or sigmoid") && err.contains("a softmax is added"),
        "{err}"
    );
    let numbers = |path: &Path, name: &str| {
        hdf5::File::open(path)
            .unwrap()
            .dataset(name)
            .unwrap()
            .read_raw::<f64>()
            .unwrap()
    };
    for name in ["detections/y", "detections/x", "detections/peak"] {
        assert_eq!(numbers(&got, name), numbers(&want, name), "{name}");
    }
    assert!(numbers(&got, "detections/peak").iter().all(|p| (0.5..=1.0).contains(p)));
    let ((ok, _, err), none) = detect("relu.h5");
    assert!(
        !ok && !none.exists() && err.contains("--model: the network ends in a ReLU"),
        "{err}"
    );
    assert_eq!(err.lines().filter(|l| l.starts_with("error:")).count(), 1, "{err}");
}

#[test]
fn a_class_where_there_are_too_few_windows() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (movie, model) = (data("movie.dm3"), data("defect_model.keras"));
    let mut args = vec!["defects", "run", movie.to_str().unwrap(), "--model", model.to_str().unwrap()];
    let out = path("out");
    args.extend([
        "--range=-379,19328",
        "--frames",
        "0..1",
        "--min-area",
        "109",
        "--classes",
        "40",
    ]);
    args.extend(["--class", "9", "--region", "250,250,300", "-o", &out]);
    let (ok, said, err) = emstream(&args);
    assert!(ok && said.contains("0 classes"), "{said}{err}");
    assert!(
        err.contains("too few for 40 classes") && err.contains("no window has got class 9 (--class)"),
        "{err}"
    );
    let ellipse = hdf5::File::open(dir.path().join("out/result.h5"))
        .unwrap()
        .dataset("tracks/ellipse")
        .unwrap()
        .shape();
    assert_eq!(ellipse[0], 1);
}

#[test]
fn several_movies_and_frames_are_learnt_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let ok = |args: &[&str]| {
        let (ok, said, err) = emstream(args);
        assert!(ok, "{args:?}: {err}");
        said
    };
    let wrong = |args: &[&str], part: &str| {
        let (ok, _, err) = emstream(args);
        assert!(!ok && err.lines().filter(|l| l.starts_with("error:")).count() == 1, "{err}");
        assert!(err.contains(part), "{part:?} is not in: {err}");
    };
    let (a, b) = (path("a.npy"), path("b.npy"));
    for (movie, size, seed) in [(&a, "96,64", "3"), (&b, "64,96", "4")] {
        ok(&[
            "simulate",
            "ws2",
            "-o",
            movie,
            "--frames",
            "3",
            "--sig-shape",
            size,
            "--seed",
            seed,
        ]);
    }
    let (ta, tb, out) = (path("a.npy.truth.h5"), path("b.npy.truth.h5"), path("model"));
    let train = ["defects", "train", &a, &b, "--labels", &ta];
    let rest = [
        "--frame", "0,2", "--patch", "48", "--step", "24", "--batch", "3", "--epochs", "2", "-o", &out,
    ];
    let both = [&train[..], &["--labels", &tb], &rest].concat();
    let said = ok(&both);
    assert!(said.starts_with("2 epochs"), "{said}");
    let page = std::fs::read_to_string(dir.path().join("model/report.html")).unwrap();
    assert!(
        page.contains("of 4 frames"),
        "the report says how many frames were learnt from"
    );
    let again = ok(&[
        "defects",
        "detect",
        &a,
        "--model",
        &path("model/model.h5"),
        "-o",
        &path("found"),
    ]);
    assert!(again.contains("in 3 frames"), "{again}");
    // One file of labels for two movies; a frame that is not there; several frames with one map; labels of no sense.
    wrong(&[&train[..], &rest].concat(), "--labels: 1 files for 2 movies");
    wrong(&["defects", "train", &a, "-o", &path("x")], "--labels: a label map is needed");
    wrong(
        &["defects", "train", &a, "--labels", &ta, "--frame", "0,7", "-o", &path("x")],
        "there is no number 7",
    );
    let map = path("map.npy");
    array::save_npy(Path::new(&map), Array2::<u8>::ones((96, 64)).view(), true).unwrap();
    wrong(
        &["defects", "train", &a, "--labels", &map, "--frame", "0,1", "-o", &path("x")],
        "2 frames, but",
    );
    wrong(
        &["defects", "train", &a, "--labels", &map, "-o", &path("x")],
        "nothing to learn",
    );
    array::save_npy(Path::new(&map), Array2::from_elem((96, 64), 0.5f32).view(), true).unwrap();
    wrong(
        &["defects", "train", &a, "--labels", &map, "-o", &path("x")],
        "0.5 is no class",
    );
    wrong(
        &["defects", "train", &a, "--labels", &ta, "--rate", "7", "-o", &path("x")],
        "--rate: 7",
    );
    // Without a model the default network is used, and that is said.
    let (good, _, err) = emstream(&["defects", "detect", &b, "-o", &path("default")]);
    assert!(good && err.contains("default network"), "{err}");
}
