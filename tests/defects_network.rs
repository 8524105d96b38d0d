//! The network kernels against a slow float64 network, on every instruction set and on the GPU; and the whole chain on simulated movies.

mod common;

use common::Mix;
use emstream::Control;
use emstream::analysis::components::components;
use emstream::backend::cpu::isa::Isa;
use emstream::backend::gpu::{Fault, FaultPoint, Gpu, GpuChoice};
use emstream::engine::Backend;
use emstream::io::{Scan, keras};
use emstream::kernels::network::{Plan, cpu, gpu};
use emstream::network::{Activation, Convolution, Layer, Named, Network};
use emstream::simulate::{DefectKind, SimulatedWs2, Ws2};
use emstream::workflows::Timings;
use emstream::workflows::defects::{Inference, Movie, MovieParams, Tiling, default_model, defect_probability};
use ndarray::{Array3, Array4};
use std::path::Path;
use std::sync::Arc;

/// What a network is made of, for short.
enum L {
    /// Kernel, inputs, outputs.
    Conv(usize, usize, usize),
    Relu,
    Pool,
    Up,
    Softmax,
    Sigmoid,
}

fn network(layers: &[L], seed: u64) -> Network {
    let mut mix = Mix(seed);
    let mut number = move |size: f64| ((mix.next() >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0) as f32 * size as f32;
    let layers = layers.iter().enumerate().map(|(i, l)| Named {
        name: format!("layer {i}"),
        layer: match *l {
            L::Conv(k, from, to) => Layer::Convolution(Convolution {
                kernel: Array4::from_shape_simple_fn((k, k, from, to), || number(1.5 / ((k * k * from) as f64).sqrt())),
                bias: (0..to).map(|_| number(0.3)).collect(),
            }),
            L::Relu => Layer::Activation(Activation::Relu),
            L::Pool => Layer::MaxPool,
            L::Up => Layer::Upsample,
            L::Softmax => Layer::Activation(Activation::Softmax),
            L::Sigmoid => Layer::Activation(Activation::Sigmoid),
        },
    });
    Network::new(layers.collect()).unwrap()
}

/// The definition, in float64, on (channel, y, x).
fn oracle(network: &Network, image: &Array3<f64>) -> Array3<f64> {
    let mut x = image.clone();
    for n in network.layers() {
        let (channels, h, w) = x.dim();
        x = match &n.layer {
            Layer::Convolution(c) => {
                let (k, _, _, outputs) = c.kernel.dim();
                let half = (k / 2) as i64;
                Array3::from_shape_fn((outputs, h, w), |(o, y, xx)| {
                    let mut sum = f64::from(c.bias[o]);
                    for ky in 0..k {
                        for kx in 0..k {
                            let (sy, sx) = (y as i64 + ky as i64 - half, xx as i64 + kx as i64 - half);
                            if sy < 0 || sx < 0 || sy >= h as i64 || sx >= w as i64 {
                                continue;
                            }
                            for i in 0..channels {
                                sum += f64::from(c.kernel[[ky, kx, i, o]]) * x[[i, sy as usize, sx as usize]];
                            }
                        }
                    }
                    sum
                })
            }
            Layer::MaxPool => Array3::from_shape_fn((channels, h / 2, w / 2), |(c, y, xx)| {
                let at = |dy, dx| x[[c, 2 * y + dy, 2 * xx + dx]];
                at(0, 0).max(at(0, 1)).max(at(1, 0)).max(at(1, 1))
            }),
            Layer::Upsample => Array3::from_shape_fn((channels, 2 * h, 2 * w), |(c, y, xx)| x[[c, y / 2, xx / 2]]),
            Layer::Activation(Activation::Relu) => x.mapv(|v| v.max(0.0)),
            Layer::Activation(Activation::Sigmoid) => x.mapv(|v| 1.0 / (1.0 + (-v).exp())),
            Layer::Activation(Activation::Softmax) => {
                let e = x.mapv(f64::exp);
                let sums = e.sum_axis(ndarray::Axis(0));
                Array3::from_shape_fn((channels, h, w), |(c, y, xx)| e[[c, y, xx]] / sums[[y, xx]])
            }
            Layer::Activation(Activation::Linear) => x,
        };
    }
    x
}

/// Networks with every kind of step: fused and not, tiles of every width, more than one group of channels.
fn cases() -> Vec<(Network, [usize; 2])> {
    use L::*;
    vec![
        (
            network(
                &[
                    Conv(3, 1, 20),
                    Relu,
                    Pool,
                    Conv(3, 20, 40),
                    Relu,
                    Pool,
                    Conv(3, 40, 40),
                    Relu,
                    Up,
                    Conv(3, 40, 20),
                    Relu,
                    Up,
                    Conv(3, 20, 2),
                    Conv(1, 2, 2),
                    Softmax,
                ],
                1,
            ),
            [36, 44],
        ),
        (
            network(
                &[Conv(5, 1, 7), Relu, Conv(3, 7, 13), Pool, Relu, Up, Conv(5, 13, 3), Softmax],
                2,
            ),
            [18, 50],
        ),
        (
            network(&[Conv(1, 1, 5), Pool, Conv(3, 5, 8), Pool, Up, Up, Conv(3, 8, 1), Sigmoid], 3),
            [20, 12],
        ),
        (
            network(&[Conv(3, 1, 16), Relu, Conv(3, 16, 4), Relu, Conv(3, 4, 6)], 4),
            [19, 33],
        ),
        (
            network(
                &[
                    Conv(3, 3, 9),
                    Relu,
                    Pool,
                    Pool,
                    Conv(3, 9, 11),
                    Relu,
                    Up,
                    Up,
                    Conv(3, 11, 4),
                    Softmax,
                ],
                5,
            ),
            [16, 24],
        ),
    ]
}

fn image(network: &Network, [h, w]: [usize; 2]) -> Vec<f32> {
    let mut mix = Mix(77);
    (0..h * w * network.inputs())
        .map(|_| (mix.next() >> 40) as f32 / (1 << 24) as f32)
        .collect()
}

/// Largest difference of rows of channels from the oracle.
fn error(network: &Network, [h, w]: [usize; 2], image: &[f32], got: &[f32]) -> f64 {
    let (inputs, classes) = (network.inputs(), network.classes());
    let planes = Array3::from_shape_fn((inputs, h, w), |(c, y, x)| f64::from(image[(y * inputs + c) * w + x]));
    let want = oracle(network, &planes);
    let of = |(c, y, x): (usize, usize, usize)| f64::from(got[(y * classes + c) * w + x]);
    want.indexed_iter().map(|(i, v)| (of(i) - v).abs()).fold(0.0, f64::max)
}

#[test]
fn the_cpu_is_right_and_has_the_same_bits_everywhere() {
    for (n, (network, size)) in cases().into_iter().enumerate() {
        let network = Arc::new(network);
        let plan = Plan::new(network.clone());
        let image = image(&network, size);
        let mut all = Vec::new();
        for isa in Isa::available() {
            for parallel in [false, true] {
                let mut out = vec![0.0; size[0] * size[1] * network.classes()];
                let mut runner = cpu::Runner::new(isa);
                // The second run meets what the first left in memory.
                for _ in 0..2 {
                    runner.run(&plan, &image, size, &mut out, parallel).unwrap();
                }
                all.push(out);
            }
        }
        let worst = error(&network, size, &image, &all[0]);
        assert!(worst < 3e-6, "case {n}: {worst}");
        assert!(all.windows(2).all(|w| w[0] == w[1]), "case {n}: bits differ");
    }
}

fn on_device(gpu: &Gpu) {
    for (n, (network, size)) in cases().into_iter().enumerate() {
        let network = Arc::new(network);
        let plan = Plan::new(network.clone());
        let image = image(&network, size);
        let runner = gpu::Runner::new(gpu, &plan, size, false).unwrap();
        for _ in 0..2 {
            let submission = runner.submit(gpu, &image).unwrap();
            let out = runner.take(&submission).unwrap();
            let worst = error(&network, size, &image, &out);
            assert!(worst < 3e-6, "case {n}: {worst}");
        }
    }
}

#[test]
fn the_gpu_is_right() {
    let Backend::Gpu(device) = common::gpu() else { unreachable!() };
    on_device(&device.current());
}

#[test]
fn the_smallest_limits_suffice() {
    let choice = match std::env::var_os("EMSTREAM_GPU") {
        Some(_) => GpuChoice::Required,
        None => GpuChoice::Name("llvmpipe".into()),
    };
    on_device(&Gpu::open_with_limits(choice, Some(&wgpu::Limits::default())).unwrap());
}

#[test]
fn a_device_that_fails() {
    let backend = common::gpu();
    let Backend::Gpu(device) = &backend else { unreachable!() };
    let (network, size) = cases().swap_remove(1);
    let frame = ndarray::Array2::from_shape_vec((size[0], size[1]), image(&network, size)).unwrap();
    let frames = [frame.clone(), frame];
    let network = Arc::new(network);
    let make = || Inference::new(network.clone(), size, Tiling::Seamless, 1, 1 << 30).unwrap();
    let inference = make();
    let first = inference.run(&frames, &backend).unwrap();
    // Lost in the middle: opened again, with the same result.
    device.current().faults.inject(FaultPoint::Submit, 1, Fault::Lost);
    assert_eq!(inference.run(&frames, &backend).unwrap(), first);
    // No room: the CPU does it.
    device.current().faults.inject(FaultPoint::Buffer, 0, Fault::OutOfMemory);
    let cpu = make().run(&frames, &Backend::Cpu).unwrap();
    assert_eq!(make().run(&frames, &backend).unwrap(), cpu);
}

#[test]
fn networks_that_do_not_fit_together() {
    let conv = |k: usize, from: usize, to: usize| {
        Layer::Convolution(Convolution {
            kernel: Array4::zeros((k, k, from, to)),
            bias: vec![0.0; to],
        })
    };
    let refused = |layers: Vec<Layer>| {
        let named = layers.into_iter().enumerate().map(|(i, layer)| Named {
            name: format!("l{i}"),
            layer,
        });
        Network::new(named.collect()).unwrap_err().to_string()
    };
    assert!(refused(vec![conv(3, 1, 4), conv(3, 5, 2)]).contains("l1: it takes 5 channels, the layer before gives 4"));
    assert!(refused(vec![conv(3, 1, 4), Layer::MaxPool]).contains("2 times smaller"));
    assert!(refused(vec![conv(3, 1, 4), Layer::Upsample]).contains("l1: the image would become larger"));
    assert!(refused(vec![conv(2, 1, 4)]).contains("2 × 2 pixels"));
    assert!(refused(vec![Layer::MaxPool, Layer::Upsample]).contains("no convolution"));
    assert!(refused(vec![Layer::Activation(Activation::Softmax), conv(1, 1, 1)]).contains("at the end only"));
    let e = refused(vec![Layer::Convolution(Convolution {
        kernel: Array4::from_elem((1, 1, 1, 1), f32::NAN),
        bias: vec![0.0],
    })]);
    assert!(e.contains("weights are not finite"), "{e}");
}

fn small() -> Ws2 {
    Ws2 {
        frames: 4,
        sig: [256, 320],
        seed: 5,
        ..Ws2::default()
    }
}

#[test]
fn simulated_movies_know_their_defects() {
    let movie = SimulatedWs2::new(&small()).unwrap();
    let (a, b) = (movie.defects(0), movie.defects(3));
    let count = |list: &[emstream::simulate::TrueDefect], kind| list.iter().filter(|d| d.kind == kind).count();
    // As many as 512² has, by area: 24, 30, 14 and 10.
    let singles = count(&a, DefectKind::SingleVacancy);
    assert_eq!(
        [count(&a, DefectKind::Dopant), singles, count(&a, DefectKind::Adatom)],
        [8, 9, 3]
    );
    assert!(count(&b, DefectKind::Hole) >= 1);
    // A hop is one lattice constant long.
    let spacing = 0.3153 / 0.03;
    let [dy, dx] = movie.drift(3).unwrap();
    for d in &b {
        if let Some(before) = a.iter().find(|o| o.id == d.id) {
            let moved = (d.y - dy - before.y).hypot(d.x - dx - before.x);
            let hops = matches!(d.kind, DefectKind::Dopant | DefectKind::DopantWithVacancy);
            assert!(
                moved < 1e-6 || (hops && moved > 0.99 * spacing && moved < 3.01 * spacing),
                "{d:?}: {moved}"
            );
        }
    }
    // The dose, and what a vacancy and an adatom do to it.
    let mut frame = vec![0f32; 256 * 320];
    movie.expectation(0, &mut frame).unwrap();
    let mean = frame.iter().map(|&v| f64::from(v)).sum::<f64>() / frame.len() as f64;
    assert!((mean - 160.0).abs() < 1e-3, "{mean}");
    let at = |d: &emstream::simulate::TrueDefect| frame[d.y.round() as usize * 320 + d.x.round() as usize];
    let brightest = frame.iter().copied().fold(0.0, f32::max);
    for d in &a {
        match d.kind {
            DefectKind::Adatom => assert!(at(d) > 0.85 * brightest),
            DefectKind::DoubleVacancy => assert!(at(d) < 0.06 * brightest, "{} {brightest}", at(d)),
            _ => {}
        }
    }
    // Frames do not depend on who asks.
    let mut out = [vec![0u8; 2 * frame.len()], vec![0u8; 2 * frame.len()]];
    movie.read(&[2], 2 * frame.len(), &mut out[0], &Control::new()).unwrap();
    let again = SimulatedWs2::new(&small()).unwrap();
    again.read(&[2], 2 * frame.len(), &mut out[1], &Control::new()).unwrap();
    assert_eq!(out[0], out[1]);
    for (wrong, name) in [
        (Ws2 { frames: 0, ..small() }, "frames"),
        (Ws2 { sig: [8, 64], ..small() }, "sig"),
        (
            Ws2 {
                dose: f64::NAN,
                ..small()
            },
            "dose",
        ),
    ] {
        let e = SimulatedWs2::new(&wrong).err().unwrap().to_string();
        assert!(e.starts_with(name), "{e}");
    }
}

/// Which true defects were found: one to one, nearest first, within 5 px.
fn matched(truth: &[[f64; 2]], found: &[[f64; 2]]) -> Vec<bool> {
    let far = |t: usize, f: usize| (truth[t][0] - found[f][0]).hypot(truth[t][1] - found[f][1]);
    let mut pairs: Vec<(usize, usize)> = (0..truth.len()).flat_map(|t| (0..found.len()).map(move |f| (t, f))).collect();
    pairs.retain(|&(t, f)| far(t, f) <= 5.0);
    pairs.sort_by(|a, b| far(a.0, a.1).total_cmp(&far(b.0, b.1)));
    let (mut hit, mut taken) = (vec![false; truth.len()], vec![false; found.len()]);
    for (t, f) in pairs {
        if !hit[t] && !taken[f] {
            (hit[t], taken[f]) = (true, true);
        }
    }
    hit
}

#[test]
fn the_default_network_finds_single_vacancies() {
    // The dose of the reference movie; seeds that the network was not trained with.
    for seed in [11, 12, 13] {
        let movie = SimulatedWs2::new(&Ws2 {
            frames: 6,
            seed,
            angle: 5.0 * seed as f64,
            ..Ws2::default()
        });
        let movie = movie.unwrap();
        let model = default_model(movie.info()).unwrap();
        assert_eq!(model.notes.len(), 1, "{:?}", model.notes);
        let (mut timings, control) = (Timings::default(), Control::new());
        let inference = Inference::new(Arc::new(model.network), [512, 512], Tiling::Seamless, 2, 1 << 30).unwrap();
        let scaled = Movie::open(&movie, &MovieParams::default(), &Backend::Cpu, &mut timings, &control).unwrap();
        let (mut found, mut right, mut all, mut singles) = (0, 0, 0, [0, 0]);
        for n in [0, 2, 5] {
            let p = inference.run(&[scaled.frame(n, &control).unwrap()], &Backend::Cpu).unwrap();
            let regions = components(defect_probability(&p[0]).view(), 0.5).unwrap();
            let regions: Vec<_> = regions
                .iter()
                .filter(|c| (5..=700).contains(&c.area))
                .map(|c| c.weighted)
                .collect();
            let truth: Vec<_> = movie.defects(n).into_iter().filter(|d| d.kind != DefectKind::Hole).collect();
            let hit = matched(&truth.iter().map(|d| [d.y, d.x]).collect::<Vec<_>>(), &regions);
            for (_, hit) in truth.iter().zip(&hit).filter(|(d, _)| d.kind == DefectKind::SingleVacancy) {
                singles[0] += 1;
                singles[1] += usize::from(*hit);
            }
            found += regions.len();
            right += hit.iter().filter(|h| **h).count();
            all += truth.len();
        }
        let (precision, recall) = (right as f64 / found as f64, right as f64 / all as f64);
        let single = singles[1] as f64 / singles[0] as f64;
        println!(
            "seed {seed}: precision {precision:.3}, recall {recall:.3}, single vacancies {single:.3} of {}",
            singles[0]
        );
        assert!(
            precision >= 0.95 && single >= 0.9 && recall >= 0.9,
            "seed {seed}: {precision}, {recall}, {single}"
        );
    }
}

#[test]
fn the_default_network_says_what_it_does_not_know() {
    let with = |pixel_size| {
        let movie = SimulatedWs2::new(&Ws2 { pixel_size, ..small() }).unwrap();
        default_model(movie.info()).unwrap().notes
    };
    assert!(with(0.03)[0].contains("default network"));
    assert!(with(0.05)[1].contains("0.05 nm"), "{:?}", with(0.05));
    assert_eq!(with(0.036).len(), 1);
}

#[test]
fn label_maps_are_where_the_defects_are() {
    let movie = SimulatedWs2::new(&small()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let truth = movie.write(&folder.path().join("movie.npy"), false, &Control::new()).unwrap();
    let a = 0.3153_f64 / 0.03;
    for n in 0..4 {
        let map = movie.label_map(n);
        let stored = emstream::io::read_stored_map::<u8>(&truth, "defects/label_map", n, 1 << 20).unwrap();
        assert_eq!(stored, map);
        let regions = components(map.mapv(f32::from).view(), 0.5).unwrap().len();
        let points: Vec<_> = movie.defects(n).into_iter().filter(|d| d.kind != DefectKind::Hole).collect();
        assert!(
            regions >= points.len().saturating_sub(2) && regions <= points.len() + 3,
            "{regions}, {}",
            points.len()
        );
        for d in &points {
            assert_eq!(map[[d.y.round() as usize, d.x.round() as usize]], 1, "{d:?}");
        }
        // A disc of 0.28 lattice constants each, twice that for dopants with a vacancy.
        let area = map.iter().filter(|v| **v == 1).count() as f64;
        let one = std::f64::consts::PI * (0.28 * a).powi(2);
        assert!(area > 0.9 * one * points.len() as f64, "{area}");
    }
    assert!(emstream::io::read_stored_map::<u8>(&truth, "defects/label_map", 9, 1 << 20).is_err());
    assert!(movie.label_map(99).iter().all(|v| *v == 0));
}

#[test]
fn the_network_finds_defects_it_has_never_seen() {
    let movie = SimulatedWs2::new(&small()).unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/defects/defect_model.keras");
    let model = Arc::new(keras::read_model(&model).unwrap().network);
    let inference = Inference::new(model, [256, 320], Tiling::Seamless, 2, 1 << 30).unwrap();
    let (mut timings, control) = (Timings::default(), Control::new());
    let scaled = Movie::open(&movie, &MovieParams::default(), &Backend::Cpu, &mut timings, &control).unwrap();
    let (mut right, mut found, mut all) = (0, 0, 0);
    for n in 0..4 {
        let image = scaled.frame(n, &control).unwrap();
        let p = inference.run(&[image], &Backend::Cpu).unwrap();
        let truth: Vec<_> = movie.defects(n).into_iter().filter(|d| d.kind != DefectKind::Hole).collect();
        let regions = components(defect_probability(&p[0]).view(), 0.5).unwrap();
        let regions: Vec<_> = regions.into_iter().filter(|c| (5..=700).contains(&c.area)).collect();
        let near = |d: &&emstream::simulate::TrueDefect| {
            regions
                .iter()
                .any(|c| (c.weighted[0] - d.y).hypot(c.weighted[1] - d.x) <= 5.0)
        };
        right += truth.iter().filter(near).count();
        found += regions.len();
        all += truth.len();
    }
    let (precision, recall) = (right as f64 / found as f64, right as f64 / all as f64);
    assert!(
        precision > 0.93 && recall > 0.8,
        "{precision}, {recall}: {right} of {all}, {found} found"
    );
}
