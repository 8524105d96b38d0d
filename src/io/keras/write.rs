//! Networks as Keras 2 saves full models in HDF5, which Keras 2 and 3 load.

use super::h5;
use crate::error::{Error, Result};
use crate::io::output::temp_file;
use crate::network::{Activation, Layer, Network};
use hdf5::types::VarLenUnicode;
use serde_json::{Value, json};
use std::path::Path;

/// One layer of Keras: what of the network it holds.
struct Described<'a> {
    name: &'a str,
    class: &'static str,
    config: Value,
    layer: &'a Layer,
}

/// Writes a model, trained on images of `size` (height, width).
///
/// # Errors
/// [`Error::Io`] if the file exists and `overwrite` is false, or cannot be written.
pub fn write_model(path: &Path, network: &Network, size: [usize; 2], overwrite: bool) -> Result<()> {
    let temporary = temp_file(path, overwrite)?.into_temp_path();
    put(&temporary, network, size).map_err(|e| h5::fault(path, "model", &e))?;
    let stored = if overwrite {
        temporary.persist(path).map_err(|e| e.error)
    } else {
        temporary.persist_noclobber(path).map_err(|e| e.error)
    };
    stored.map_err(|e| Error::io(path, "cannot write", e))
}

fn put(path: &Path, network: &Network, size: [usize; 2]) -> hdf5::Result<()> {
    let file = hdf5::File::create(path)?;
    let layers = described(network);
    text(&file, "keras_version", "2.15.0")?;
    text(&file, "backend", "tensorflow")?;
    text(&file, "model_config", &config(&layers, network, size).to_string())?;
    let all = file.create_group("model_weights")?;
    text(&all, "keras_version", "2.15.0")?;
    text(&all, "backend", "tensorflow")?;
    let names: Vec<String> = std::iter::once("input_1".to_owned())
        .chain(layers.iter().map(|l| l.name.to_owned()))
        .collect();
    texts(&all, "layer_names", &names)?;
    all.create_group("top_level_model_weights")?;
    none(&all.create_group("input_1")?)?;
    for layer in &layers {
        let group = all.create_group(layer.name)?;
        let Layer::Convolution(c) = layer.layer else {
            none(&group)?;
            continue;
        };
        let weights = ["kernel", "bias"].map(|n| format!("{}/{n}:0", layer.name));
        texts(&group, "weight_names", &weights)?;
        let inner = group.create_group(layer.name)?;
        inner.new_dataset_builder().with_data(c.kernel.view()).create("kernel:0")?;
        inner.new_dataset_builder().with_data(&c.bias).create("bias:0")?;
    }
    Ok(())
}

/// Layers of Keras: a convolution takes the activation of the same name along.
fn described(network: &Network) -> Vec<Described<'_>> {
    let layers = network.layers();
    let mut found: Vec<Described<'_>> = Vec::new();
    for n in layers {
        let (class, config) = match &n.layer {
            Layer::Convolution(c) => {
                let (k, _, _, outputs) = c.kernel.dim();
                let config = json!({
                    "filters": outputs, "kernel_size": [k, k], "strides": [1, 1], "padding": "same", "data_format": "channels_last",
                    "dilation_rate": [1, 1], "groups": 1, "activation": "linear", "use_bias": true,
                });
                ("Conv2D", config)
            }
            Layer::Activation(a) => {
                if let Some(last) = found.last_mut().filter(|l| l.name == n.name && l.class == "Conv2D") {
                    last.config["activation"] = json!(activation(*a));
                    continue;
                }
                ("Activation", json!({"activation": activation(*a)}))
            }
            Layer::MaxPool => {
                let config = json!({"pool_size": [2, 2], "padding": "same", "strides": [2, 2], "data_format": "channels_last"});
                ("MaxPooling2D", config)
            }
            Layer::Upsample => {
                let config = json!({"size": [2, 2], "data_format": "channels_last", "interpolation": "nearest"});
                ("UpSampling2D", config)
            }
        };
        found.push(Described {
            name: &n.name,
            class,
            config,
            layer: &n.layer,
        });
    }
    found
}

fn activation(a: Activation) -> &'static str {
    match a {
        Activation::Linear => "linear",
        Activation::Relu => "relu",
        Activation::Sigmoid => "sigmoid",
        Activation::Softmax => "softmax",
    }
}

fn config(layers: &[Described<'_>], network: &Network, size: [usize; 2]) -> Value {
    let input = json!({
        "class_name": "InputLayer", "name": "input_1", "inbound_nodes": [],
        "config": {
            "batch_input_shape": [null, size[0], size[1], network.inputs()], "dtype": "float32", "sparse": false, "ragged": false,
            "name": "input_1",
        },
    });
    let mut all = vec![input];
    let mut before = "input_1";
    for layer in layers {
        let mut config = layer.config.clone();
        config["name"] = json!(layer.name);
        config["trainable"] = json!(true);
        config["dtype"] = json!("float32");
        all.push(json!({
            "class_name": layer.class, "config": config, "name": layer.name, "inbound_nodes": [[[before, 0, 0, {}]]],
        }));
        before = layer.name;
    }
    json!({
        "class_name": "Functional",
        "config": {
            "name": "model", "trainable": true, "layers": all, "input_layers": [["input_1", 0, 0]], "output_layers": [[before, 0, 0]],
        },
    })
}

fn word(text: &str) -> hdf5::Result<VarLenUnicode> {
    text.parse().map_err(|_| hdf5::Error::from("a text with a zero in it"))
}

fn text(place: &hdf5::Location, name: &str, value: &str) -> hdf5::Result<()> {
    place.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&word(value)?)
}

fn texts(place: &hdf5::Location, name: &str, values: &[String]) -> hdf5::Result<()> {
    let words = values.iter().map(|v| word(v)).collect::<hdf5::Result<Vec<_>>>()?;
    place.new_attr_builder().with_data(&words).create(name)?;
    Ok(())
}

/// A layer without weights: Keras stores an empty list of numbers.
fn none(group: &hdf5::Group) -> hdf5::Result<()> {
    group.new_attr::<f64>().shape(0).create("weight_names")?;
    Ok(())
}
