//! What inference makes of a network: fewer, larger steps, with weights in the order in which kernels read them.

use crate::network::{Activation, Convolution, Layer, Network};
use std::sync::Arc;

/// Output channels that are computed together, by choice of what fits registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// First output channel.
    pub first: usize,
    /// 10, 8, 5, 4, 2 or 1 of them.
    pub channels: usize,
    /// Where its weights begin.
    pub at: usize,
}

/// Weights of k × k taps: for each block, input channel, column and row of the kernel one weight for each output channel of the block.
#[derive(Debug)]
pub(super) struct Filter {
    pub taps: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub blocks: Vec<Block>,
    pub weights: Vec<f32>,
    /// The inputs fall into as many groups of the same size: rows and columns from the first tap of each to the output pixel.
    pub ahead: Vec<[usize; 2]>,
}

impl Filter {
    /// `weight(row, column, input, output)`.
    pub(super) fn new(
        taps: usize,
        [inputs, outputs]: [usize; 2],
        ahead: Vec<[usize; 2]>,
        weight: impl Fn(usize, usize, usize, usize) -> f32,
    ) -> Self {
        let mut blocks = Vec::new();
        let mut weights = Vec::with_capacity(taps * taps * inputs * outputs);
        let mut first = 0;
        while first < outputs {
            let left = outputs - first;
            let channels = match left {
                n if n.is_multiple_of(10) => 10,
                n if n >= 8 => 8,
                n if n >= 5 => 5,
                n if n >= 4 => 4,
                n if n >= 2 => 2,
                _ => 1,
            };
            blocks.push(Block {
                first,
                channels,
                at: weights.len(),
            });
            for input in 0..inputs {
                for column in 0..taps {
                    for row in 0..taps {
                        weights.extend((first..first + channels).map(|output| weight(row, column, input, output)));
                    }
                }
            }
            first += channels;
        }
        Filter {
            taps,
            inputs,
            outputs,
            blocks,
            weights,
            ahead,
        }
    }
}

/// A convolution with what follows it.
#[derive(Debug)]
pub(super) struct Step {
    /// The convolution as it was trained, for the device.
    pub source: Convolution,
    /// One filter; or four on the image before upsampling, for the output rows and columns 2y + p, 2x + q in the order (p, q).
    pub filters: Vec<Filter>,
    pub bias: Vec<f32>,
    pub relu: bool,
    /// The input is upsampled first.
    pub upsample: bool,
    /// The output is pooled.
    pub pool: bool,
}

/// One step of inference.
#[derive(Debug)]
pub(super) enum Task {
    Convolve(Box<Step>),
    Pool,
    Upsample,
    Relu,
}

/// A network ready for inference on any backend.
#[derive(Debug)]
pub struct Plan {
    network: Arc<Network>,
    pub(super) tasks: Vec<Task>,
}

impl Plan {
    /// Joins layers and packs weights.
    pub fn new(network: Arc<Network>) -> Self {
        let layers: Vec<&Layer> = network.layers().iter().map(|n| &n.layer).filter(|l| !is_ending(l)).collect();
        let mut tasks = Vec::new();
        let mut i = 0;
        while i < layers.len() {
            let (upsample, at) = match (layers[i], layers.get(i + 1)) {
                (Layer::Upsample, Some(Layer::Convolution(c))) if c.kernel.dim().0 == 3 => (true, i + 1),
                _ => (false, i),
            };
            i = at + 1;
            let task = match layers[at] {
                Layer::Convolution(c) => {
                    let relu = matches!(layers.get(i), Some(Layer::Activation(Activation::Relu)));
                    i += usize::from(relu);
                    // Pooling rides on a plain convolution only.
                    let pool = !upsample && matches!(layers.get(i), Some(Layer::MaxPool));
                    i += usize::from(pool);
                    Task::Convolve(Box::new(Step::new(c, relu, upsample, pool)))
                }
                Layer::MaxPool => Task::Pool,
                Layer::Upsample => Task::Upsample,
                Layer::Activation(Activation::Relu) => Task::Relu,
                Layer::Activation(_) => continue,
            };
            tasks.push(task);
        }
        Plan { network, tasks }
    }

    /// The network as trained.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Rows of zeros that the input of task `i` needs around it.
    pub(super) fn margin(&self, i: usize) -> usize {
        match self.tasks.get(i) {
            Some(Task::Convolve(s)) if s.upsample => 1 + super::tile::ROWS,
            Some(Task::Convolve(s)) => s.filters.first().map_or(0, |f| f.taps / 2) + super::tile::ROWS,
            _ => 0,
        }
    }

    /// Sizes (height, width, channels) of the input of every task, and of the output, for an image of this size.
    pub(super) fn sizes(&self, height: usize, width: usize) -> Vec<(usize, usize, usize)> {
        let mut size = (height, width, self.network.inputs());
        let mut sizes = vec![size];
        for task in &self.tasks {
            let (h, w, c) = size;
            size = match task {
                Task::Convolve(s) => {
                    let (h, w) = if s.upsample { (2 * h, 2 * w) } else { (h, w) };
                    let (h, w) = if s.pool { (h / 2, w / 2) } else { (h, w) };
                    (h, w, s.bias.len())
                }
                Task::Pool => (h / 2, w / 2, c),
                Task::Upsample => (2 * h, 2 * w, c),
                Task::Relu => size,
            };
            sizes.push(size);
        }
        sizes
    }
}

fn is_ending(layer: &Layer) -> bool {
    matches!(
        layer,
        Layer::Activation(Activation::Softmax | Activation::Sigmoid | Activation::Linear)
    )
}

/// Of three rows of an upsampled image two fall on one of the small: rows 2y − 1 | 2y, 2y + 1 around 2y (`p` = 0), 2y, 2y + 1 | 2y + 2 around 2y + 1 (1).
/// Those on the first or second (`side` 0 or 1).
pub(super) fn merged(p: usize, side: usize) -> std::ops::Range<usize> {
    match (p, side) {
        (0, 0) => 0..1,
        (0, _) => 1..3,
        (_, 0) => 0..2,
        _ => 2..3,
    }
}

impl Step {
    pub(super) fn new(c: &Convolution, relu: bool, upsample: bool, pool: bool) -> Self {
        let (k, _, inputs, outputs) = c.kernel.dim();
        let w = &c.kernel;
        let filters = if upsample {
            let sum = |p: usize, q: usize| {
                Filter::new(2, [inputs, outputs], vec![[1 - p, 1 - q]], |row, column, i, o| {
                    merged(p, row)
                        .flat_map(|y| merged(q, column).map(move |x| (y, x)))
                        .map(|(y, x)| w[[y, x, i, o]])
                        .sum()
                })
            };
            vec![sum(0, 0), sum(0, 1), sum(1, 0), sum(1, 1)]
        } else {
            let ahead = vec![[k / 2; 2]];
            vec![Filter::new(k, [inputs, outputs], ahead, |row, column, i, o| {
                w[[row, column, i, o]]
            })]
        };
        Step {
            source: c.clone(),
            filters,
            bias: c.bias.clone(),
            relu,
            upsample,
            pool,
        }
    }
}
