//! Gradients of a network: how its loss on labelled images changes with every weight.
//!
//! The loss of an image is Σ w(label) · −ln p(label) over its pixels, p from the softmax that ends the network, and the sum of the weights w; labels of
//! [`IGNORED`] count for nothing. What a step divides by what is the caller's choice.
//!
//! Convolutions run through the tiles of inference: forwards with the weights as they are, backwards with kernels turned by half a circle and channels
//! exchanged. Gradients of weights are sums over pixels of input times error (`products`). A convolution behind an upsampling works on the small image, both
//! ways (`passes`). An image is worked on by one thread, so the bits depend neither on threads nor, as sums run in lanes and a fixed order, on the instruction
//! set.

mod adam;
mod chain;
pub mod gpu;
mod loss;
mod passes;
mod point;
mod products;
mod tape;

pub use adam::{Adam, Rates};
pub use passes::Passes;
pub use tape::Tape;

use crate::error::{Error, Result};
use crate::network::{Activation, Convolution, Layer, Named, Network};
use crate::rng::Source;
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// The label of pixels that do not count.
pub const IGNORED: u8 = 255;

/// What one image contributes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contribution {
    /// Weighted sum of the cross entropy.
    pub loss: f64,
    /// Sum of the weights.
    pub weight: f64,
    /// Pixels that count, and those of them whose most probable class is the label.
    pub pixels: u64,
    pub right: u64,
    /// Derivatives of `loss` by all parameters, in the order of [`parameters`]; empty if they were not asked for.
    pub gradient: Vec<f64>,
}

impl Contribution {
    /// Adds what another image contributes.
    pub fn add(&mut self, other: &Contribution) {
        self.loss += other.loss;
        self.weight += other.weight;
        self.pixels += other.pixels;
        self.right += other.right;
        if self.gradient.is_empty() {
            self.gradient.clone_from(&other.gradient);
        } else {
            self.gradient.iter_mut().zip(&other.gradient).for_each(|(a, b)| *a += b);
        }
    }
}

/// An image (h, channels, w) and the labels of its pixels (h, w).
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    pub image: Vec<f32>,
    pub labels: Vec<u8>,
    pub size: [usize; 2],
}

/// What several images contribute, as [`Tapes::batch`], with memory for this once.
///
/// # Errors
/// As [`Tape::run`].
pub fn batch(passes: &Passes, examples: &[Example], weights: &[f64], gradient: bool) -> Result<Contribution> {
    Tapes::default().batch(passes, examples, weights, gradient)
}

/// Memory for images that are worked on at the same time, kept from batch to batch: fresh pages cost as much time as some layers.
#[derive(Default)]
pub struct Tapes(Mutex<Vec<Tape>>);

impl Tapes {
    /// What several images contribute, each on one of the threads of the current rayon pool; added in their order.
    ///
    /// # Errors
    /// As [`Tape::run`].
    pub fn batch(&self, passes: &Passes, examples: &[Example], weights: &[f64], gradient: bool) -> Result<Contribution> {
        let tapes = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let work = |e: &Example| {
            let free = tapes().pop();
            let mut tape = free.unwrap_or_default();
            let found = tape.run(passes, &e.image, &e.labels, e.size, weights, gradient);
            tapes().push(tape);
            found
        };
        let each: Vec<Contribution> = examples.par_iter().map(work).collect::<Result<_>>()?;
        let mut sum = Contribution::default();
        each.iter().for_each(|c| sum.add(c));
        Ok(sum)
    }
}

/// What random numbers are for.
const PURPOSE: u8 = 66;

/// The published architecture with `classes` classes: 3 × 3 convolutions to 20, 40, 40, 20 and `classes` channels with ReLU between, two poolings and two
/// upsamplings, a 1 × 1 convolution, softmax. Weights are uniform in ± √(6 / (inputs + outputs)) (X. Glorot, Y. Bengio, *AISTATS* 2010, 249), biases 0.
///
/// # Errors
/// As [`Network::new`].
pub fn published(classes: usize, seed: u64) -> Result<Network> {
    let mut random = Source::new(seed, PURPOSE).sequence(0);
    let mut layers = Vec::new();
    let mut push = |name: String, layer| layers.push(Named { name, layer });
    let plan = [
        (1, 20, 3),
        (20, 40, 3),
        (40, 40, 3),
        (40, 20, 3),
        (20, classes, 3),
        (classes, classes, 1),
    ];
    let name = |base: &str, i: usize| if i == 0 { base.to_owned() } else { format!("{base}_{i}") };
    for (i, (from, to, k)) in plan.into_iter().enumerate() {
        let limit = (6.0 / ((from + to) * k * k) as f64).sqrt();
        let kernel = ndarray::Array4::from_shape_simple_fn((k, k, from, to), || random.range(-limit, limit) as f32);
        let bias = vec![0.0; to];
        push(name("conv2d", i), Layer::Convolution(Convolution { kernel, bias }));
        if i < 4 {
            push(name("conv2d", i), Layer::Activation(Activation::Relu));
        }
        match i {
            0 | 1 => push(name("max_pooling2d", i), Layer::MaxPool),
            2 | 3 => push(name("up_sampling2d", i - 2), Layer::Upsample),
            _ => {}
        }
    }
    push("activation".to_owned(), Layer::Activation(Activation::Softmax));
    Network::new(layers)
}

/// All weights and biases of a network: for each convolution its kernel (row, column, input, output) and its biases.
pub fn parameters(network: &Network) -> Vec<f32> {
    let of = network.layers().iter().filter_map(|n| match &n.layer {
        Layer::Convolution(c) => Some(c.kernel.iter().copied().chain(c.bias.iter().copied())),
        _ => None,
    });
    of.flatten().collect()
}

/// The network with other weights and biases, in the order of [`parameters`].
///
/// # Errors
/// [`Error::Parameter`] if they are not finite, [`Error::Internal`] if their number is wrong.
pub fn with_parameters(network: &Network, parameters: &[f32]) -> Result<Network> {
    if parameters.len() != network.parameters() {
        return Err(Error::Internal(format!(
            "{} parameters for {}",
            parameters.len(),
            network.parameters()
        )));
    }
    let mut rest = parameters.iter().copied();
    let layers = network.layers().iter().map(|n| {
        let layer = match &n.layer {
            Layer::Convolution(c) => {
                let mut c = c.clone();
                c.kernel
                    .iter_mut()
                    .chain(c.bias.iter_mut())
                    .zip(rest.by_ref())
                    .for_each(|(to, v)| *to = v);
                Layer::Convolution(c)
            }
            other => other.clone(),
        };
        Named {
            name: n.name.clone(),
            layer,
        }
    });
    Network::new(layers.collect())
}
