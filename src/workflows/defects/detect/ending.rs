//! What a network ends in, so that its outputs are probabilities.

use crate::error::{Error, Result};
use crate::network::{Activation, Layer, Named, Network};

/// The network with probabilities as its output, and what was added to it. Models trained with `from_logits=True` end without the softmax that their loss
/// takes for granted; a threshold of their plain outputs would mean nothing.
///
/// # Errors
/// [`Error::Parameter`] where no ending makes probabilities of the output: behind a ReLU, or a softmax of a single channel.
pub(super) fn probabilities(network: &Network) -> Result<(Network, Option<String>)> {
    let classes = network.classes();
    let (name, activation) = match network.ending() {
        Activation::Softmax if classes == 1 => {
            let what = "the network ends in a softmax of one channel, which is 1 everywhere";
            return Err(Error::parameter("--model", what));
        }
        Activation::Sigmoid | Activation::Softmax => return Ok((network.clone(), None)),
        Activation::Relu => {
            let what = "the network ends in a ReLU: its outputs are no probabilities; it should end in a softmax or sigmoid";
            return Err(Error::parameter("--model", what));
        }
        Activation::Linear if classes == 1 => ("sigmoid", Activation::Sigmoid),
        Activation::Linear => ("softmax", Activation::Softmax),
    };
    let mut layers = network.layers().to_vec();
    layers.push(Named {
        name: name.into(),
        layer: Layer::Activation(activation),
    });
    let note = format!("the network ends without softmax or sigmoid (trained with from_logits=True?): a {name} is added");
    Ok((Network::new(layers)?, Some(note)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Convolution;
    use ndarray::Array4;

    fn network(classes: usize, ending: Option<Activation>) -> Network {
        let convolution = Layer::Convolution(Convolution {
            kernel: Array4::ones((1, 1, 1, classes)),
            bias: vec![0.0; classes],
        });
        let layers = std::iter::once(convolution).chain(ending.map(Layer::Activation));
        let named = layers.map(|layer| Named {
            name: "layer".into(),
            layer,
        });
        Network::new(named.collect()).unwrap()
    }

    #[test]
    fn every_ending_gives_probabilities_or_is_refused() {
        for ending in [None, Some(Activation::Linear)] {
            for (classes, want) in [(1, Activation::Sigmoid), (2, Activation::Softmax), (5, Activation::Softmax)] {
                let (n, note) = probabilities(&network(classes, ending)).unwrap();
                assert_eq!(n.ending(), want);
                assert!(note.unwrap().contains("is added"));
            }
        }
        for (classes, ending) in [(1, Activation::Sigmoid), (3, Activation::Sigmoid), (2, Activation::Softmax)] {
            let whole = network(classes, Some(ending));
            assert_eq!(probabilities(&whole).unwrap(), (whole, None));
        }
        for (classes, ending) in [(2, Activation::Relu), (1, Activation::Softmax)] {
            let e = probabilities(&network(classes, Some(ending))).unwrap_err().to_string();
            assert!(e.starts_with("--model: the network ends in a"), "{e}");
        }
    }
}
