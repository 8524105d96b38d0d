//! Networks as Keras stores them: full models and weights alone in HDF5 (Keras 1 and 2), and `.keras` archives (Keras 3).
//!
//! In HDF5 the weights of a layer lie in `[/model_weights]/LAYER/NAME`, NAME as in the layer's attribute `weight_names`, and the
//! architecture is JSON in the attribute `model_config`. An archive holds `config.json` and `model.weights.h5`, in which they lie in
//! `/layers/CLASS_N/vars/0…`, with the class's name in small letters and a number.

mod config;
mod weights;
mod write;

pub use write::write_model;

use self::config::{Kind, Spec};
use self::weights::Weights;
use super::h5;
use super::h5::refused::all_told;
use super::readat::ReadAt;
use crate::error::{Error, Result};
use crate::network::{Activation, Convolution, Layer, Named, Network};
use ndarray::{Array4, Ix1, Ix4};
use std::path::Path;

/// A network with what its file says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub network: Network,
    /// Height and width of the images it was trained on, where the file says so.
    pub trained_on: Option<[usize; 2]>,
    /// Things a user should know.
    pub notes: Vec<String>,
}

/// Reads a network.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] with the place in the file, [`Error::Unsupported`] naming a layer or option that emstream does not know,
/// [`Error::Parameter`] where layers do not fit together or weights are not finite.
pub fn read_model(path: &Path) -> Result<Model> {
    all_told(path, || read(path))
}

fn read(path: &Path) -> Result<Model> {
    let file = ReadAt::open(path)?;
    let mut head = [0; 4];
    if file.len() >= 4 {
        file.read(0, &mut head)?;
    }
    if head == *b"PK\x03\x04" {
        let (text, weights) = weights::archive(path)?;
        return build(path, config::parse(path, &text)?, &weights, Vec::new());
    }
    if !h5::has_signature(&file)? {
        return Err(Error::unsupported(
            path,
            "a model is an HDF5 file or a .keras archive of Keras",
        ));
    }
    let weights = Weights::open(path)?;
    match weights.config() {
        Some(text) => build(path, config::parse(path, &text)?, &weights, Vec::new()),
        None => {
            let (specs, note) = config::guess(path, &weights.layers()?, |layer| weights.outputs(layer))?;
            build(path, specs, &weights, vec![note])
        }
    }
}

fn build(path: &Path, specs: Vec<Spec>, weights: &Weights, notes: Vec<String>) -> Result<Model> {
    let mut layers = Vec::new();
    let mut trained_on = None;
    for spec in specs {
        let mut push = |layer| {
            layers.push(Named {
                name: spec.name.clone(),
                layer,
            });
        };
        match spec.kind {
            Kind::Input(size) => trained_on = trained_on.or(size),
            Kind::Nothing => {}
            Kind::Activation(a) => push(Layer::Activation(a)),
            Kind::MaxPool => push(Layer::MaxPool),
            Kind::Upsample => push(Layer::Upsample),
            Kind::Convolution {
                filters,
                kernel,
                bias,
                activation,
            } => {
                let arrays = weights.of(&spec.name, &spec.stored)?;
                let wrong = |what: String| Error::format(path, format!("layer {}", spec.name), what);
                let mut arrays = arrays.into_iter();
                let first = arrays.next().ok_or_else(|| wrong("its kernel is missing".into()))?;
                let shape = first.shape().to_vec();
                let weight: Array4<f32> = first.into_dimensionality::<Ix4>().map_err(|_| {
                    wrong(format!(
                        "a kernel of shape {shape:?}; expected (rows, columns, inputs, outputs)"
                    ))
                })?;
                let dim = weight.dim();
                let said = [filters, kernel.map(|k| k[0]), kernel.map(|k| k[1])];
                let is = [dim.3, dim.0, dim.1];
                if said.iter().zip(is).any(|(s, i)| s.is_some_and(|s| s != i)) {
                    return Err(wrong(format!(
                        "a kernel of shape {shape:?} where the model's configuration has {} filters",
                        filters.unwrap_or_default()
                    )));
                }
                let bias = match arrays.next() {
                    Some(b) if bias => b
                        .into_dimensionality::<Ix1>()
                        .map_err(|_| wrong("its bias is no list of numbers".into()))?
                        .to_vec(),
                    None if bias => return Err(wrong("its bias is missing".into())),
                    _ => vec![0.0; dim.3],
                };
                push(Layer::Convolution(Convolution { kernel: weight, bias }));
                if activation != Activation::Linear {
                    push(Layer::Activation(activation));
                }
            }
        }
    }
    let network = Network::new(layers).map_err(|e| match e {
        Error::Parameter { name, what } => Error::format(path, name, what),
        e => e,
    })?;
    Ok(Model {
        network,
        trained_on,
        notes,
    })
}
