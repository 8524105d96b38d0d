//! The layers of a convolutional network that labels every pixel, as trained: what model files hold, and what inference and training work on.

use crate::error::{Error, Result};
use ndarray::Array4;

/// Largest kernel.
pub const MAX_KERNEL: usize = 15;
/// Most channels of a layer.
pub const MAX_CHANNELS: usize = 4096;
/// Most layers.
pub const MAX_LAYERS: usize = 1000;

/// What becomes of a layer's sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Linear,
    /// max(x, 0).
    Relu,
    /// 1 / (1 + e^−x).
    Sigmoid,
    /// e^x over the sum of all channels' e^x.
    Softmax,
}

/// A convolution with stride 1 whose output has the size of its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// (row, column, input channel, output channel), as Keras stores it; rows and columns are odd and equal.
    pub kernel: Array4<f32>,
    /// One for each output channel.
    pub bias: Vec<f32>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    Convolution(Convolution),
    Activation(Activation),
    /// The largest of 2 × 2 pixels, step 2.
    MaxPool,
    /// Every pixel becomes 2 × 2.
    Upsample,
}

/// A layer with its name in the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    pub name: String,
    pub layer: Layer,
}

/// A chain of layers from one image to a probability per class and pixel of the same size.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    layers: Vec<Named>,
    inputs: usize,
    classes: usize,
    multiple: usize,
    reach: usize,
}

impl Network {
    /// Checks that the layers fit together. Sigmoid and softmax may only be the last layer.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the layer: sizes that do not fit, weights that are not finite, an output that is not of the size of the input.
    pub fn new(layers: Vec<Named>) -> Result<Self> {
        let wrong = |name: &str, what: String| Err(Error::parameter(format!("model layer {name}"), what));
        let mut channels = None;
        // Size of the input over that of the layer, and reach in input pixels of one output pixel to either side.
        let (mut scale, mut multiple, mut reach) = (1usize, 1usize, 0usize);
        let mut inputs = None;
        let last = layers.len().saturating_sub(1);
        if layers.len() > MAX_LAYERS {
            return Err(Error::parameter("model", format!("{} layers", layers.len())));
        }
        for (i, Named { name, layer }) in layers.iter().enumerate() {
            match layer {
                Layer::Convolution(c) => {
                    let (k, l, from, to) = c.kernel.dim();
                    if k != l || k.is_multiple_of(2) || k > MAX_KERNEL {
                        return wrong(
                            name,
                            format!("a kernel of {k} × {l} pixels; odd squares up to {MAX_KERNEL} are supported"),
                        );
                    }
                    if c.bias.len() != to || !(1..=MAX_CHANNELS).contains(&from) || !(1..=MAX_CHANNELS).contains(&to) {
                        return wrong(name, format!("{from} to {to} channels with {} biases", c.bias.len()));
                    }
                    if channels.is_some_and(|n| n != from) {
                        let got = channels.unwrap_or_default();
                        return wrong(name, format!("it takes {from} channels, the layer before gives {got}"));
                    }
                    let finite = |v: &f32| v.is_finite();
                    if !c.kernel.iter().all(finite) || !c.bias.iter().all(finite) {
                        return wrong(name, "weights are not finite (NaN or infinite)".into());
                    }
                    inputs.get_or_insert(from);
                    channels = Some(to);
                    reach += k / 2 * scale;
                }
                Layer::Activation(Activation::Softmax | Activation::Sigmoid) if i != last => {
                    return wrong(name, "softmax and sigmoid are supported at the end only".into());
                }
                Layer::Activation(_) => {}
                Layer::MaxPool => {
                    // A pixel of the pooled image sees up to one more pixel of its own input on either side of a pixel's place.
                    reach += scale;
                    scale *= 2;
                    if scale > 1 << 10 {
                        return wrong(name, "more than ten poolings".into());
                    }
                    multiple = multiple.max(scale);
                }
                Layer::Upsample => {
                    if scale == 1 {
                        return wrong(name, "the image would become larger than the frame".into());
                    }
                    scale /= 2;
                }
            }
        }
        if scale != 1 {
            let what = format!("its output is {scale} times smaller than its input; a network that labels every pixel is needed");
            return Err(Error::parameter("model", what));
        }
        let (Some(inputs), Some(classes)) = (inputs, channels) else {
            return Err(Error::parameter("model", "there is no convolution"));
        };
        Ok(Network {
            layers,
            inputs,
            classes,
            multiple,
            reach,
        })
    }

    pub fn layers(&self) -> &[Named] {
        &self.layers
    }
    /// Channels of the input image.
    pub fn inputs(&self) -> usize {
        self.inputs
    }
    /// Channels of the output.
    pub fn classes(&self) -> usize {
        self.classes
    }
    /// Heights and widths must be multiples of this.
    pub fn multiple(&self) -> usize {
        self.multiple
    }
    /// Input pixels farther than this, in rows or columns, have no influence on an output pixel.
    pub fn reach(&self) -> usize {
        self.reach
    }
    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        let of = |n: &Named| match &n.layer {
            Layer::Convolution(c) => c.kernel.len() + c.bias.len(),
            _ => 0,
        };
        self.layers.iter().map(of).sum()
    }
    /// What the last layer is, if it is an activation.
    pub fn ending(&self) -> Activation {
        match self.layers.last().map(|n| &n.layer) {
            Some(Layer::Activation(a)) => *a,
            _ => Activation::Linear,
        }
    }
}
