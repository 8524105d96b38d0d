//! Training of networks: gradients against finite differences in float64, steps against Keras, threads and instruction sets.

mod common;
mod lattice_data;

use emstream::backend::cpu::isa::Isa;
use emstream::backend::gpu::{Fault, FaultPoint, Gpu};
use emstream::engine::Backend;
use emstream::io::{self, OpenOptions, Scan, array, keras};
use emstream::kernels::network::train::gpu::Trainer;
use emstream::kernels::network::train::{
    Adam, Contribution, Example, IGNORED, Passes, Rates, Tape, batch, parameters, published, with_parameters,
};
use emstream::network::{Activation, Convolution, Layer, Named, Network};
use emstream::rng::Source;
use emstream::workflows::Timings;
use emstream::workflows::defects::train::{self, Lesson, Params};
use emstream::workflows::defects::{Movie, MovieParams};
use emstream::{Control, Error};
use lattice_data::Npz;
use ndarray::{Array2, Array3, Array4, s};
use std::path::Path;

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The first eight patches that Keras was trained on.
fn keras_batch() -> Vec<Example> {
    let control = Control::new();
    let scan = io::open(&data("defects/movie.dm3"), &OpenOptions::default(), &control).unwrap();
    let params = MovieParams {
        range: Some([-379.0, 19328.0]),
        ..MovieParams::default()
    };
    let movie = Movie::open(&*scan, &params, &Backend::Cpu, &mut Timings::default(), &control).unwrap();
    let frame = movie.frame_f64(0, &control).unwrap();
    let packed: ndarray::ArrayD<u8> = array::read_array(data("defects/label.npy"), 1 << 30).unwrap();
    let packed: Vec<u8> = packed.into_iter().collect();
    let label = |y: usize, x: usize| packed[(y * 512 + x) / 8] >> (7 - x % 8) & 1;
    let range: Vec<f64> = Npz::open("classes/train_steps.npz").f64("range").into_iter().collect();
    let patch = |top: usize| Example {
        image: frame
            .slice(s![top..top + 256, ..256])
            .iter()
            .map(|v| ((f64::from(*v as f32) - range[0]) / (range[1] - range[0])) as f32)
            .collect(),
        labels: (top..top + 256)
            .flat_map(|y| (0..256).map(move |x| (y, x)))
            .map(|(y, x)| label(y, x))
            .collect(),
        size: [256, 256],
    };
    (0..8).map(|i| patch(32 * i)).collect()
}

#[test]
fn five_steps_are_those_of_keras() {
    let mut file = Npz::open("classes/train_steps.npz");
    let mut list = |name: &str| -> Vec<f64> { file.f32(name).into_iter().collect() };
    let (initial, gradient, after) = (list("initial"), list("gradient"), list("after5"));
    let losses: Vec<f64> = file.f64("loss").into_iter().collect();
    let start: Vec<f32> = initial.iter().map(|v| *v as f32).collect();
    let mut network = with_parameters(&published(2, 0).unwrap(), &start).unwrap();
    assert_eq!(parameters(&network), start);
    let examples = keras_batch();
    let mut adam = Adam::new(start.len(), Rates::default());
    let mut weights = start.clone();
    for (step, wanted) in losses.iter().enumerate() {
        let passes = Passes::new(&network).unwrap();
        let found = batch(&passes, &examples, &[1.0, 1.0], true).unwrap();
        let loss = found.loss / found.weight;
        assert!((loss - wanted).abs() < 1e-5, "step {step}: loss {loss}, Keras {wanted}");
        let mean: Vec<f64> = found.gradient.iter().map(|g| g / found.weight).collect();
        if step == 0 {
            let off: f64 = mean.iter().zip(&gradient).map(|(a, b)| (a - b).powi(2)).sum();
            let size: f64 = gradient.iter().map(|b| b * b).sum();
            let relative = (off / size).sqrt();
            assert!(relative < 1e-4, "gradients differ by {relative} of their length");
        }
        adam.step(&mut weights, &mean);
        network = with_parameters(&network, &weights).unwrap();
    }
    // More only where a gradient is near zero: Adam divides by its size.
    let off: Vec<f64> = weights.iter().zip(&after).map(|(a, b)| (f64::from(*a) - b).abs()).collect();
    let beyond = off.iter().filter(|d| **d > 2e-5).count();
    assert!(
        beyond * 500 < off.len(),
        "{beyond} of {} weights differ by more than 2e-5",
        off.len()
    );
    assert!(off.iter().all(|d| *d < 1e-3));
}

/// Convolution with zeros around, in float64.
fn convolved(input: &Array3<f64>, kernel: &Array4<f64>, bias: &[f64]) -> Array3<f64> {
    let (k, _, inputs, outputs) = kernel.dim();
    let (_, h, w) = input.dim();
    let half = (k / 2) as isize;
    Array3::from_shape_fn((outputs, h, w), |(o, y, x)| {
        let mut sum = bias[o];
        for (dy, dx) in (0..k).flat_map(|a| (0..k).map(move |b| (a, b))) {
            let (yy, xx) = (y as isize + dy as isize - half, x as isize + dx as isize - half);
            if (0..h as isize).contains(&yy) && (0..w as isize).contains(&xx) {
                sum += (0..inputs)
                    .map(|i| input[[i, yy as usize, xx as usize]] * kernel[[dy, dx, i, o]])
                    .sum::<f64>();
            }
        }
        sum
    })
}

/// The loss of one image in float64, as plainly as it can be written.
fn oracle(network: &Network, values: &[f64], example: &Example, weights: &[f64]) -> f64 {
    let [h, w] = example.size;
    let mut a = Array3::from_shape_fn((1, h, w), |(_, y, x)| f64::from(example.image[y * w + x]));
    let mut rest = values;
    for n in network.layers() {
        a = match &n.layer {
            Layer::Convolution(c) => {
                let (kernel, after) = rest.split_at(c.kernel.len());
                let (bias, after) = after.split_at(c.bias.len());
                rest = after;
                convolved(&a, &Array4::from_shape_vec(c.kernel.dim(), kernel.to_vec()).unwrap(), bias)
            }
            Layer::Activation(Activation::Relu) => a.mapv(|v| v.max(0.0)),
            Layer::Activation(_) => a,
            Layer::MaxPool => Array3::from_shape_fn((a.dim().0, a.dim().1 / 2, a.dim().2 / 2), |(c, y, x)| {
                [(0, 0), (0, 1), (1, 0), (1, 1)]
                    .map(|(p, q)| a[[c, 2 * y + p, 2 * x + q]])
                    .into_iter()
                    .fold(f64::MIN, f64::max)
            }),
            Layer::Upsample => Array3::from_shape_fn((a.dim().0, a.dim().1 * 2, a.dim().2 * 2), |(c, y, x)| a[[c, y / 2, x / 2]]),
        };
    }
    let mut loss = 0.0;
    for (at, &label) in example.labels.iter().enumerate().filter(|(_, l)| **l != IGNORED) {
        let z = a.slice(s![.., at / w, at % w]);
        let sum: f64 = z.iter().map(|v| v.exp()).sum();
        loss += weights[usize::from(label)] * (sum.ln() - z[usize::from(label)]);
    }
    loss
}

/// Random convolutions of k × k pixels.
fn random_convolutions() -> impl FnMut(usize, usize, usize) -> Layer {
    let mut random = Source::new(5, 90).sequence(0);
    move |k: usize, from: usize, to: usize| {
        Layer::Convolution(Convolution {
            kernel: Array4::from_shape_simple_fn((k, k, from, to), || (0.5 * random.normal()) as f32),
            bias: (0..to).map(|i| 0.1 * i as f32 - 0.05).collect(),
        })
    }
}

/// Kernels of 1, 3 and 5 pixels, odd numbers of channels, a ReLU that stands alone, three classes.
fn odd_network() -> Network {
    let mut conv = random_convolutions();
    let relu = || Layer::Activation(Activation::Relu);
    chain(vec![
        conv(3, 1, 5),
        relu(),
        Layer::MaxPool,
        relu(),
        conv(5, 5, 3),
        Layer::Upsample,
        conv(3, 3, 7),
        relu(),
        conv(1, 7, 3),
        Layer::Activation(Activation::Softmax),
    ])
}

/// Layers that little can be joined with: pooling first, without ReLU, behind an upsampled convolution and by itself, upsampling before 1 × 1 pixels.
fn bare_network() -> Network {
    let mut conv = random_convolutions();
    chain(vec![
        Layer::MaxPool,
        Layer::Upsample,
        conv(3, 1, 4),
        Layer::MaxPool,
        Layer::MaxPool,
        Layer::Activation(Activation::Relu),
        conv(3, 4, 11),
        Layer::MaxPool,
        Layer::Upsample,
        conv(1, 11, 2),
        Layer::Activation(Activation::Relu),
        Layer::Upsample,
        conv(3, 2, 3),
        Layer::Upsample,
        conv(3, 3, 3),
        Layer::Activation(Activation::Softmax),
    ])
}

fn chain(layers: Vec<Layer>) -> Network {
    let named = layers.into_iter().enumerate().map(|(i, layer)| Named {
        name: format!("layer{i}"),
        layer,
    });
    Network::new(named.collect()).unwrap()
}

fn odd_example() -> Example {
    example([14, 38])
}

fn example(size: [usize; 2]) -> Example {
    let mut random = Source::new(6, 90).sequence(0);
    let n = size[0] * size[1];
    Example {
        image: (0..n).map(|_| random.normal() as f32).collect(),
        labels: (0..n)
            .map(|i| if i % 11 == 0 { IGNORED } else { random.below(3) as u8 })
            .collect(),
        size,
    }
}

#[test]
fn gradients_of_every_layer_are_finite_differences() {
    gradients_are_finite_differences(&odd_network(), odd_example());
    // More rows than are summed at once.
    gradients_are_finite_differences(&odd_network(), example([70, 8]));
    gradients_are_finite_differences(&bare_network(), example([40, 24]));
}

fn gradients_are_finite_differences(network: &Network, example: Example) {
    let weights = [0.5, 1.0, 3.0];
    let passes = Passes::new(network).unwrap();
    let found = batch(&passes, std::slice::from_ref(&example), &weights, true).unwrap();
    let values: Vec<f64> = parameters(network).iter().map(|v| f64::from(*v)).collect();
    let exact = oracle(network, &values, &example, &weights);
    assert!((found.loss / exact - 1.0).abs() < 1e-5, "{} and {exact}", found.loss);
    let scale = found.gradient.iter().map(|g| g * g).sum::<f64>().sqrt() / (found.gradient.len() as f64).sqrt();
    for at in (0..values.len()).step_by(7).chain(values.len() - 30..values.len()) {
        let mut moved = values.clone();
        let h = 1e-6;
        moved[at] = values[at] + h;
        let up = oracle(network, &moved, &example, &weights);
        moved[at] = values[at] - h;
        let slope = (up - oracle(network, &moved, &example, &weights)) / (2.0 * h);
        assert!(
            (found.gradient[at] - slope).abs() < 1e-4 * (scale + slope.abs()),
            "parameter {at}: {} and {slope}",
            found.gradient[at]
        );
    }
    let none = batch(&passes, &[example], &weights, false).unwrap();
    assert!(none.gradient.is_empty() && none.loss == found.loss && none.weight == found.weight);
}

#[test]
fn bits_do_not_depend_on_threads_or_instruction_set() {
    bits_are_the_same(&odd_network(), &odd_example());
    bits_are_the_same(&bare_network(), &example([40, 24]));
    bits_are_the_same(&published(3, 1).unwrap(), &example([36, 52]));
}

fn bits_are_the_same(network: &Network, example: &Example) {
    let passes = Passes::new(network).unwrap();
    let run = |isa| -> Contribution {
        Tape::new(isa)
            .run(&passes, &example.image, &example.labels, example.size, &[1.0; 3], true)
            .unwrap()
    };
    let all: Vec<Contribution> = Isa::available().into_iter().map(run).collect();
    assert!(all.windows(2).all(|w| w[0] == w[1]));
    let many: Vec<Example> = (0..5)
        .map(|i| Example {
            image: example.image.iter().map(|v| v * i as f32).collect(),
            ..example.clone()
        })
        .collect();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| batch(&passes, &many, &[1.0; 3], true).unwrap())
    };
    assert!(with(1) == with(2) && with(1) == with(3));
}

fn device() -> std::sync::Arc<Gpu> {
    let Backend::Gpu(device) = common::gpu() else { unreachable!() };
    device.current()
}

/// Length of a − b over that of b.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let off: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (off / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

#[test]
fn the_gpu_has_the_gradients_of_the_cpu() {
    let gpu = device();
    let (network, weights) = (odd_network(), [0.5, 1.0, 3.0]);
    // Images of two sizes, so that gradients of several submissions add up; one wider than a tile of 32 columns.
    let mut examples: Vec<Example> = (1..4)
        .map(|i| Example {
            image: odd_example().image.iter().map(|v| v * i as f32).collect(),
            ..odd_example()
        })
        .collect();
    examples.push(Example {
        size: [38, 14],
        ..odd_example()
    });
    let cpu = batch(&Passes::new(&network).unwrap(), &examples, &weights, true).unwrap();
    let adam = Adam::new(network.parameters(), Rates::default());
    let mut trainer = Trainer::new(&gpu, &network, &adam, &weights).unwrap();
    let found = trainer.gradient(&gpu, &examples).unwrap();
    assert!((found.loss / cpu.loss - 1.0).abs() < 1e-6, "{} and {}", found.loss, cpu.loss);
    assert_eq!((found.weight, found.pixels, found.right), (cpu.weight, cpu.pixels, cpu.right));
    let mut at = 0;
    for n in network.layers() {
        let Layer::Convolution(c) = &n.layer else { continue };
        for count in [c.kernel.len(), c.bias.len()] {
            let part = at..at + count;
            let off = distance(&found.gradient[part.clone()], &cpu.gradient[part]);
            assert!(off < 1e-5, "{} of {}: {off}", count, n.name);
            at += count;
        }
    }
    assert_eq!(at, found.gradient.len());
    // Again: the same bits; and without gradients the same loss.
    assert_eq!(trainer.gradient(&gpu, &examples).unwrap(), found);
    let flight = trainer.loss(&gpu, &examples).unwrap();
    assert_eq!(trainer.take(flight).unwrap().loss, found.loss);
    examples[0].labels[3] = 7;
    assert!(trainer.gradient(&gpu, &examples).unwrap_err().to_string().contains("label 7"));
    examples[0].labels.pop();
    assert!(trainer.gradient(&gpu, &examples).is_err());
}

/// Bright spots on noise, labelled; 32 × 32.
fn spots(n: u64) -> Example {
    let mut random = Source::new(21, 90).sequence(n);
    let mut image: Vec<f32> = (0..1024).map(|_| 0.3 + 0.05 * random.normal() as f32).collect();
    let mut labels = vec![0; 1024];
    for _ in 0..3 {
        let at = [4 + random.below(24), 4 + random.below(24)];
        for (y, x) in (0..32).flat_map(|y| (0..32).map(move |x| (y, x))) {
            let r2 = (y as f32 - at[0] as f32).powi(2) + (x as f32 - at[1] as f32).powi(2);
            image[y * 32 + x] += 0.5 * (-r2 / 5.0).exp();
            labels[y * 32 + x] |= u8::from(r2 < 7.0);
        }
    }
    Example {
        image,
        labels,
        size: [32, 32],
    }
}

#[test]
fn both_backends_train_alike() {
    let gpu = device();
    let network = published(2, 3).unwrap();
    let batches: Vec<Vec<Example>> = (0..20).map(|s| (0..4).map(|i| spots(4 * (s % 5) + i)).collect()).collect();
    let weights = [0.7, 2.0];
    let fresh = Adam::new(network.parameters(), Rates::default());
    let (mut values, mut adam, mut losses) = (parameters(&network), fresh.clone(), Vec::new());
    for examples in &batches {
        let now = with_parameters(&network, &values).unwrap();
        let found = batch(&Passes::new(&now).unwrap(), examples, &weights, true).unwrap();
        losses.push(found.loss / found.weight);
        let mean: Vec<f64> = found.gradient.iter().map(|g| g / found.weight).collect();
        adam.step(&mut values, &mean);
    }
    assert!(losses[19] < 0.8 * losses[0], "{losses:?}");
    let mut trainer = Trainer::new(&gpu, &network, &fresh, &weights).unwrap();
    let mut curve = Vec::new();
    for (n, examples) in batches.iter().enumerate() {
        // Half way the state goes through the host, as a checkpoint does.
        if n == 10 {
            let (values, adam) = trainer.state(&gpu).unwrap();
            trainer = Trainer::new(&gpu, &with_parameters(&network, &values).unwrap(), &adam, &weights).unwrap();
        }
        let flight = trainer.step(&gpu, examples).unwrap();
        let found = trainer.take(flight).unwrap();
        curve.push(found.loss / found.weight);
    }
    let worst = losses
        .iter()
        .zip(&curve)
        .map(|(a, b)| (b / a - 1.0).abs())
        .fold(0.0, f64::max);
    println!("loss curves differ by {worst:.1e}");
    assert!(worst < 1e-4, "loss curves differ by {worst}: {losses:?}, {curve:?}");
    let (found, state) = trainer.state(&gpu).unwrap();
    assert_eq!(state.steps, 20);
    let wide = |v: &[f32]| -> Vec<f64> { v.iter().map(|v| f64::from(*v)).collect() };
    let off = distance(&wide(&found), &wide(&values));
    assert!(off < 1e-3, "weights differ by {off} of their length");
    // Without the detour over the host: the same bits.
    let mut again = Trainer::new(&gpu, &network, &fresh, &weights).unwrap();
    for examples in &batches {
        let flight = again.step(&gpu, examples).unwrap();
        again.take(flight).unwrap();
    }
    assert_eq!(again.state(&gpu).unwrap(), (found, state));
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let network = odd_network();
    let passes = Passes::new(&network).unwrap();
    let mut example = odd_example();
    let run = |e: &Example| Tape::default().run(&passes, &e.image, &e.labels, e.size, &[1.0; 3], true);
    example.labels[3] = 7;
    assert!(run(&example).unwrap_err().to_string().contains("label 7"));
    example.labels.pop();
    assert!(run(&example).is_err());
    let linear = Network::new(network.layers()[..network.layers().len() - 1].to_vec()).unwrap();
    assert!(Passes::new(&linear).unwrap_err().to_string().contains("softmax"));
    let mut wrong = parameters(&network);
    wrong[0] = f32::NAN;
    assert!(with_parameters(&network, &wrong).is_err());
}

#[test]
fn models_written_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.h5");
    let network = published(3, 7).unwrap();
    keras::write_model(&path, &network, [64, 96], false).unwrap();
    let read = keras::read_model(&path).unwrap();
    assert_eq!(read.network, network);
    assert_eq!(read.trained_on, Some([64, 96]));
    assert!(read.notes.is_empty(), "{:?}", read.notes);
    let again = keras::write_model(&path, &network, [64, 96], false);
    assert!(again.is_err(), "an existing model stays");
    // What the reference's Keras wrote survives a round trip.
    let theirs = keras::read_model(&data("defects/defect_model.h5")).unwrap().network;
    keras::write_model(&path, &theirs, [256, 256], true).unwrap();
    assert_eq!(keras::read_model(&path).unwrap().network, theirs);
    // Weights alone as Keras 3 saves them do not say in which order layers come.
    let bare = folder.path().join("model.weights.h5");
    let file = hdf5::File::create(&bare).unwrap();
    file.create_group("layers/conv2d/vars").unwrap();
    drop(file);
    let e = keras::read_model(&bare).unwrap_err().to_string();
    assert!(e.contains("save the whole model"), "{e}");
}

/// A small movie of bright dots on noise, and where they are.
fn dots(folder: &Path) -> (Box<dyn Scan>, Array2<u8>) {
    let mut random = Source::new(11, 90).sequence(0);
    let (h, w) = (48, 72);
    let mut image = Array2::from_shape_simple_fn((h, w), || 100.0 + 10.0 * random.normal());
    let mut labels = Array2::<u8>::zeros((h, w));
    for n in 0..14 {
        let (y, x) = (4 + random.below(h - 8), 4 + 5 * n - 2 + random.below(3));
        for (dy, dx) in (0..9).flat_map(|a| (0..9).map(move |b| (a, b))) {
            let r2 = (dy as f64 - 4.0).powi(2) + (dx as f64 - 4.0).powi(2);
            let at = [y + dy - 4, (x + dx).saturating_sub(4).min(w - 1)];
            image[at] += 90.0 * (-r2 / 3.0).exp();
            labels[at] |= u8::from(r2 < 4.0);
        }
    }
    let path = folder.join("movie.npy");
    let pixels = image
        .mapv(|v| v as u16)
        .insert_axis(ndarray::Axis(0))
        .insert_axis(ndarray::Axis(0));
    array::save_npy(&path, pixels.view(), true).unwrap();
    (io::open(&path, &OpenOptions::default(), &Control::new()).unwrap(), labels)
}

/// Cancels after so many patches.
struct Patience(std::sync::atomic::AtomicU64, Control);

impl emstream::control::Progress for Patience {
    fn begin(&self, _: &str, _: u64, _: u64) {}
    fn advance(&self, n: u64) {
        if self.0.fetch_sub(n, std::sync::atomic::Ordering::Relaxed) <= n {
            self.1.cancel();
        }
    }
    fn end(&self) {}
}

#[test]
fn training_learns_and_goes_on_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let (scan, labels) = dots(folder.path());
    let params = Params {
        patch: Some(32),
        step: Some(8),
        epochs: Some(24),
        batch: Some(4),
        ..Params::default()
    };
    // A range that is given takes no pass, so that faults strike the training.
    let movie = MovieParams {
        range: Some([60.0, 210.0]),
        ..MovieParams::default()
    };
    let resume = folder.path().join("train.part");
    let on = |backend: &Backend, control: &Control| {
        let lesson = Lesson {
            scan: &*scan,
            frames: vec![(0, labels.clone())],
        };
        let what = (&movie, &params);
        train::run(&[lesson], None, what, (&resume, "this run"), backend, control)
    };
    let train = |control: &Control| on(&Backend::Cpu, control);
    let whole = train(&Control::new()).unwrap();
    assert!(resume.is_file());
    let (first, last) = (whole.epochs[0], whole.epochs[whole.epochs.len() - 1]);
    assert_eq!(whole.epochs.len(), 24);
    assert!(last.loss < 0.35 * first.loss, "loss {} to {}", first.loss, last.loss);
    assert!(whole.epochs[whole.best].val_accuracy > 0.9, "{:?}", whole.epochs[whole.best]);

    // Stopped in the middle of an epoch, and taken up on another number of threads: the same bits.
    std::fs::remove_file(&resume).unwrap();
    let inner = Control::new();
    let stopping = Control {
        progress: std::sync::Arc::new(Patience(100.into(), inner.clone())),
        ..inner.clone()
    };
    assert!(matches!(train(&stopping), Err(Error::Cancelled)));
    let again = train(&Control {
        threads: 3,
        ..Control::new()
    })
    .unwrap();
    assert_eq!(again.epochs, whole.epochs);
    assert_eq!(parameters(&again.network), parameters(&whole.network));

    // A checkpoint of another run, or a damaged one, is not used.
    let mut bytes = std::fs::read(&resume).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&resume, &bytes).unwrap();
    assert_eq!(train(&Control::new()).unwrap().epochs, whole.epochs);

    // The GPU learns the same, stopped in between and lost once; without memory the CPU takes over.
    std::fs::remove_file(&resume).unwrap();
    let backend = common::gpu();
    let gpu = on(&backend, &Control::new()).unwrap();
    let (a, b) = (&gpu.epochs[5], &whole.epochs[5]);
    assert!((a.loss / b.loss - 1.0).abs() < 1e-2, "{a:?}, {b:?}");
    assert!(
        gpu.epochs[gpu.best].val_accuracy > 0.9 && gpu.warnings.is_empty(),
        "{:?}",
        gpu.warnings
    );
    std::fs::remove_file(&resume).unwrap();
    let inner = Control::new();
    let stopping = Control {
        progress: std::sync::Arc::new(Patience(100.into(), inner.clone())),
        ..inner.clone()
    };
    assert!(matches!(on(&backend, &stopping), Err(Error::Cancelled)));
    let Backend::Gpu(device) = &backend else { unreachable!() };
    device.current().faults.inject(FaultPoint::Submit, 9, Fault::Lost);
    let again = on(&backend, &Control::new()).unwrap();
    assert_eq!(again.epochs, gpu.epochs);
    assert_eq!(parameters(&again.network), parameters(&gpu.network));
    std::fs::remove_file(&resume).unwrap();
    device.current().faults.inject(FaultPoint::Pipeline, 0, Fault::Refused);
    let host = on(&backend, &Control::new()).unwrap();
    assert_eq!(host.epochs, whole.epochs);
    assert!(host.warnings[0].contains("runs on the CPU"), "{:?}", host.warnings);
}

#[test]
fn training_ends_when_nothing_improves_and_turning_helps() {
    let folder = tempfile::tempdir().unwrap();
    let (scan, labels) = dots(folder.path());
    let movie = MovieParams::default();
    let train = |params: &Params| {
        let resume = folder.path().join("train.part");
        let _ = std::fs::remove_file(&resume);
        let lesson = Lesson {
            scan: &*scan,
            frames: vec![(0, labels.clone())],
        };
        train::run(
            &[lesson],
            None,
            (&movie, params),
            (&resume, ""),
            &Backend::Cpu,
            &Control::new(),
        )
        .unwrap()
    };
    // At a rate of nearly nothing no epoch is better than the first.
    let still = Params {
        patch: Some(32),
        epochs: Some(9),
        patience: Some(2),
        rate: Some(1e-8),
        augment: Some(false),
        ..Params::default()
    };
    let found = train(&still);
    assert_eq!((found.epochs.len(), found.best), (3, 0));
    let all = train(&Params {
        patience: Some(0),
        ..still.clone()
    });
    assert_eq!(all.epochs.len(), 9);
    // Turned patches are other patches: another loss; the same seed, the same turns.
    let turned = Params {
        augment: Some(true),
        ..still
    };
    let (first, second) = (train(&turned), train(&turned));
    assert_eq!(first.epochs, second.epochs);
    assert!(first.epochs[0].loss != found.epochs[0].loss);
}

#[test]
fn labels_that_teach_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (scan, labels) = dots(folder.path());
    let resume = folder.path().join("train.part");
    let movie = MovieParams::default();
    let train = |labels: Array2<u8>, params: &Params| {
        let lesson = Lesson {
            scan: &*scan,
            frames: vec![(params.frames()[0], labels)],
        };
        let found = train::run(
            &[lesson],
            None,
            (&movie, params),
            (&resume, ""),
            &Backend::Cpu,
            &Control::new(),
        );
        found.map(|_| ()).unwrap_err().to_string()
    };
    let plain = Params::default();
    assert!(train(Array2::zeros((48, 72)), &plain).contains("nothing to learn"));
    assert!(train(Array2::ones((48, 72)), &plain).contains("nothing to learn"));
    assert!(train(Array2::zeros((72, 48)), &plain).contains("72 × 48"));
    assert!(
        train(
            labels.clone(),
            &Params {
                frame: vec![3],
                ..plain.clone()
            }
        )
        .contains("--frame")
    );
    assert!(
        train(
            labels.clone(),
            &Params {
                epochs: Some(0),
                ..plain.clone()
            }
        )
        .contains("--epochs")
    );
    assert!(
        train(
            labels,
            &Params {
                validation: Some(f64::NAN),
                ..plain
            }
        )
        .contains("--validation")
    );
}
