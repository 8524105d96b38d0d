//! The layers of a network one by one, as devices train them.

use crate::error::{Error, Result};
use crate::network::{Activation, Convolution, Layer, Network};

/// One layer.
#[derive(Debug)]
pub(super) enum Link {
    Convolve(Box<Linked>),
    Relu,
    Pool,
    Upsample,
}

/// A convolution, and the ReLU behind it.
#[derive(Debug)]
pub(super) struct Linked {
    pub source: Convolution,
    pub relu: bool,
    /// Where its parameters begin.
    pub at: usize,
}

#[derive(Debug)]
pub(super) struct Chain {
    pub links: Vec<Link>,
    pub inputs: usize,
    pub classes: usize,
    pub multiple: usize,
    pub parameters: usize,
}

impl Chain {
    /// # Errors
    /// [`Error::Parameter`] for networks that do not end in a softmax: their loss is another one.
    pub fn new(network: &Network) -> Result<Self> {
        if network.ending() != Activation::Softmax {
            return Err(Error::parameter("model", "training needs a network that ends in a softmax"));
        }
        let mut layers = network.layers().iter().map(|n| &n.layer).peekable();
        let (mut links, mut at) = (Vec::new(), 0);
        while let Some(layer) = layers.next() {
            links.push(match layer {
                Layer::Convolution(c) => {
                    let relu = layers.next_if(|l| matches!(l, Layer::Activation(Activation::Relu))).is_some();
                    let linked = Linked {
                        source: c.clone(),
                        relu,
                        at,
                    };
                    at += c.kernel.len() + c.bias.len();
                    Link::Convolve(Box::new(linked))
                }
                Layer::MaxPool => Link::Pool,
                Layer::Upsample => Link::Upsample,
                Layer::Activation(Activation::Relu) => Link::Relu,
                Layer::Activation(_) => continue,
            });
        }
        Ok(Chain {
            links,
            inputs: network.inputs(),
            classes: network.classes(),
            multiple: network.multiple(),
            parameters: at,
        })
    }

    /// Sizes (height, width, channels) of the input and of every layer's output.
    pub fn sizes(&self, height: usize, width: usize) -> Vec<(usize, usize, usize)> {
        let mut sizes = vec![(height, width, self.inputs)];
        let mut size = sizes[0];
        for link in &self.links {
            let (h, w, c) = size;
            size = match link {
                Link::Convolve(linked) => (h, w, linked.source.bias.len()),
                Link::Relu => size,
                Link::Pool => (h / 2, w / 2, c),
                Link::Upsample => (2 * h, 2 * w, c),
            };
            sizes.push(size);
        }
        sizes
    }
}
