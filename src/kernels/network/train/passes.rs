//! What training on the CPU makes of a network: a convolution takes an upsampling before it, ReLU and pooling behind it along.
//!
//! A 3 × 3 convolution of an upsampled image is four 2 × 2 convolutions of the small one, one for each parity (p, q) of rows and columns of the output
//! (`plan::merged`). So are the ways back: errors are split by parity into four times as many channels of a small image; each convolution sends them to the
//! input, and has gradients of its 2 × 2 weights, which those of the 3 × 3 weights are sums of. That is 4/9 of the work, three times.

use super::super::plan::{Filter, Step, merged};
use super::super::tile::ROWS;
use super::chain::{Chain, Link, Linked};
use crate::error::Result;
use crate::network::{Convolution, Network};

/// One step forwards and backwards.
#[derive(Debug)]
pub(super) enum Pass {
    Convolve(Box<Both>),
    Relu,
    Pool,
    Upsample,
}

#[derive(Debug)]
pub(super) struct Both {
    /// Without pooling.
    pub forward: Step,
    pub pool: bool,
    /// Turned kernels; with upsampling from errors split by parity.
    pub backward: Filter,
    /// Biases of the way back: zeros.
    pub nothing: Vec<f32>,
    /// Where its parameters begin, and their number without biases.
    pub at: usize,
    pub kernel: usize,
}

/// A network ready for gradients; made anew after every change of its weights.
#[derive(Debug)]
pub struct Passes {
    pub(super) passes: Vec<Pass>,
    pub(super) inputs: usize,
    pub(super) classes: usize,
    pub(super) multiple: usize,
    pub(super) parameters: usize,
    /// Rows of zeros that convolutions read beyond images.
    half: usize,
}

impl Passes {
    /// Packs the weights both ways.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for networks that do not end in a softmax: their loss is another one.
    pub fn new(network: &Network) -> Result<Self> {
        let chain = Chain::new(network)?;
        let (mut passes, mut half) = (Vec::new(), 0);
        let mut links = chain.links.iter().peekable();
        while let Some(link) = links.next() {
            let narrow = |l: &&Link| matches!(l, Link::Convolve(c) if c.source.kernel.dim().0 == 3);
            let (upsample, linked) = match link {
                Link::Convolve(linked) => (false, linked),
                Link::Upsample => match links.next_if(narrow) {
                    Some(Link::Convolve(linked)) => (true, linked),
                    _ => {
                        passes.push(Pass::Upsample);
                        continue;
                    }
                },
                Link::Relu => {
                    passes.push(Pass::Relu);
                    continue;
                }
                Link::Pool => {
                    passes.push(Pass::Pool);
                    continue;
                }
            };
            half = half.max(linked.source.kernel.dim().0 / 2);
            let pool = !upsample && links.next_if(|l| matches!(l, Link::Pool)).is_some();
            passes.push(Pass::Convolve(Box::new(Both::new(linked, upsample, pool))));
        }
        Ok(Passes {
            passes,
            inputs: chain.inputs,
            classes: chain.classes,
            multiple: chain.multiple,
            parameters: chain.parameters,
            half,
        })
    }

    /// Rows of zeros above and below an image: tiles reach beyond its last row.
    pub(super) fn margin(&self, height: usize) -> usize {
        self.half + height.next_multiple_of(ROWS) - height
    }

    /// Sizes (height, width, channels) of the input and of every pass's output.
    pub(super) fn sizes(&self, height: usize, width: usize) -> Vec<(usize, usize, usize)> {
        let mut sizes = vec![(height, width, self.inputs)];
        let mut size = sizes[0];
        for pass in &self.passes {
            let (h, w, c) = size;
            size = match pass {
                Pass::Convolve(both) => match (both.pool, both.forward.upsample) {
                    (true, _) => (h / 2, w / 2, both.forward.bias.len()),
                    (_, true) => (2 * h, 2 * w, both.forward.bias.len()),
                    _ => (h, w, both.forward.bias.len()),
                },
                Pass::Relu => size,
                Pass::Pool => (h / 2, w / 2, c),
                Pass::Upsample => (2 * h, 2 * w, c),
            };
            sizes.push(size);
        }
        sizes
    }
}

/// The four parities of row and column, in the order of the filters of an upsampled step.
pub(super) const PARITIES: [[usize; 2]; 4] = [[0, 0], [0, 1], [1, 0], [1, 1]];

impl Both {
    fn new(linked: &Linked, upsample: bool, pool: bool) -> Self {
        let c = &linked.source;
        Both {
            forward: Step::new(c, linked.relu, upsample, false),
            pool,
            backward: if upsample { turned_by_parity(c) } else { turned(c) },
            nothing: vec![0.0; c.kernel.dim().2],
            at: linked.at,
            kernel: c.kernel.len(),
        }
    }

    /// Adds the gradients of the four filters, one after the other, to those of the 3 × 3 weights.
    pub fn gather(&self, parts: &[f64], out: &mut [f64]) {
        let channels = out.len() / 9;
        for ([p, q], part) in PARITIES.iter().zip(parts.chunks_exact(4 * channels)) {
            for (side, from) in part.chunks_exact(channels).enumerate() {
                for y in merged(*p, side / 2) {
                    for x in merged(*q, side % 2) {
                        let to = &mut out[(3 * y + x) * channels..][..channels];
                        to.iter_mut().zip(from).for_each(|(to, v)| *to += v);
                    }
                }
            }
        }
    }
}

/// The convolution that takes errors of the output to those of the input.
fn turned(c: &Convolution) -> Filter {
    let (k, _, inputs, outputs) = c.kernel.dim();
    Filter::new(k, [outputs, inputs], vec![[k / 2; 2]], |y, x, o, i| {
        c.kernel[[k - 1 - y, k - 1 - x, i, o]]
    })
}

/// The same behind an upsampling, from errors split by parity: a group of inputs for each.
fn turned_by_parity(c: &Convolution) -> Filter {
    let (_, _, inputs, outputs) = c.kernel.dim();
    Filter::new(2, [4 * outputs, inputs], PARITIES.to_vec(), |row, column, from, i| {
        let [p, q] = PARITIES[from / outputs];
        let taps = merged(p, 1 - row).flat_map(|y| merged(q, 1 - column).map(move |x| (y, x)));
        taps.map(|(y, x)| c.kernel[[y, x, i, from % outputs]]).sum()
    })
}
