//! Convolutional networks that label every pixel: a chain of "same" convolutions, 2 × 2 max pooling, nearest upsampling and activations, ending in
//! one probability per class and pixel.
//!
//! [`crate::network::Network`] is the chain as trained; the same type serves inference and training. [`Plan`] is what inference makes of it: a convolution
//! takes bias, ReLU and a following pooling along, and one behind an upsampling works on the small image. [`cpu`] keeps activations as
//! rows of channels (`planes::Planes`: for each row every channel's pixels, zeros around), [`gpu`] in groups of four channels.
//!
//! Convolutions are correlations (kernels are not flipped) with zeros around the image, upsampling repeats pixels, softmax is taken over
//! classes: the definitions of Keras.

pub mod cpu;
mod exp;
pub mod gpu;
mod plan;
mod planes;
mod tile;
pub mod train;

pub use plan::Plan;

use crate::backend::stage::Work;
use crate::network::{Activation, Layer, Network};

/// Work on one image of `height` × `width` pixels: two operations for each multiply-add of the convolutions as they are written, zeros
/// around the image included, as is usual for networks.
pub fn work(network: &Network, height: usize, width: usize) -> Work {
    let mut pixels = (height * width) as u64;
    let mut operations = 0;
    for n in network.layers() {
        match &n.layer {
            Layer::Convolution(c) => operations += 2 * pixels * c.kernel.len() as u64,
            Layer::MaxPool => pixels /= 4,
            Layer::Upsample => pixels *= 4,
            Layer::Activation(_) => {}
        }
    }
    let frame = (height * width * 4) as u64;
    Work {
        read: frame * network.inputs() as u64,
        written: frame * network.classes() as u64,
        operations,
    }
}
