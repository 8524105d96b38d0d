//! The architecture of a Keras model from its JSON, and from layer names where there is no JSON.

use crate::error::{Error, Result};
use crate::network::{Activation, MAX_LAYERS};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// What a layer does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// The size of the images, where it is fixed.
    Input(Option<[usize; 2]>),
    /// Has no effect after training.
    Nothing,
    Convolution {
        /// What the configuration says, to be compared with the weights.
        filters: Option<usize>,
        kernel: Option<[usize; 2]>,
        bias: bool,
        activation: Activation,
    },
    MaxPool,
    Upsample,
    Activation(Activation),
}

/// A layer of the chain.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spec {
    pub name: String,
    /// What its weights are called in archives: class in small letters and a number.
    pub stored: String,
    pub kind: Kind,
}

fn activation(path: &Path, layer: &str, name: &str) -> Result<Activation> {
    Ok(match name {
        "linear" => Activation::Linear,
        "relu" => Activation::Relu,
        "sigmoid" => Activation::Sigmoid,
        "softmax" => Activation::Softmax,
        other => {
            return Err(Error::unsupported(
                path,
                format!("layer {layer}: the activation {other}; linear, relu, sigmoid and softmax are known"),
            ));
        }
    })
}

/// The activation that a layer's configuration says: none, a name, or an object, as Keras writes activations that are layers.
fn activation_of(path: &Path, layer: &str, config: &Value) -> Result<Activation> {
    match config.get("activation") {
        None | Some(Value::Null) => Ok(Activation::Linear),
        Some(Value::String(name)) => activation(path, layer, name),
        Some(value @ Value::Object(_)) => object(path, layer, value),
        Some(other) => Err(Error::unsupported(
            path,
            format!(
                "layer {layer}: an activation that is neither a name nor a layer: {}",
                short(other)
            ),
        )),
    }
}

/// An activation stored as an object: a layer by its class, a function by its name.
fn object(path: &Path, layer: &str, value: &Value) -> Result<Activation> {
    let text = |v: Option<&Value>| v.and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
    let config = value.get("config").unwrap_or(&Value::Null);
    match text(value.get("class_name")).as_deref() {
        Some("ReLU") => relu(path, layer, config),
        Some("Softmax") => softmax(path, layer, config),
        Some("Activation") => activation_of(path, layer, config),
        // A class that is not known is never taken for the function that its name or its layer's name reminds of.
        Some(class) if class != "function" => Err(Error::unsupported(
            path,
            format!("layer {layer}: the activation {class}; linear, relu, sigmoid and softmax are known"),
        )),
        _ => {
            let name = text(Some(config))
                .or_else(|| text(config.get("name")))
                .or_else(|| text(value.get("registered_name")));
            match name.as_deref().map(numberless) {
                Some("re_lu" | "ReLU") => relu(path, layer, config),
                Some("softmax" | "Softmax") => softmax(path, layer, config),
                Some(name) => activation(path, layer, name),
                None => Err(Error::unsupported(
                    path,
                    format!("layer {layer}: an activation without a name: {}", short(value)),
                )),
            }
        }
    }
}

/// `re_lu_3` is `re_lu`.
fn numberless(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((class, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => class,
        _ => name,
    }
}

/// The beginning of a value, for messages.
fn short(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

/// A ReLU layer that does no more than max(x, 0).
fn relu(path: &Path, layer: &str, config: &Value) -> Result<Activation> {
    // Numbers of numpy lie in an object.
    let number = |key: &str| config.get(key).map(|v| v.get("value").unwrap_or(v)).filter(|v| !v.is_null());
    let plain = |key: &str| number(key).is_none_or(|v| v.as_f64() == Some(0.0));
    if number("max_value").is_some() || !plain("negative_slope") || !plain("threshold") {
        return Err(Error::unsupported(
            path,
            format!("layer {layer}: a ReLU with another slope or threshold than 0, or with a largest value"),
        ));
    }
    Ok(Activation::Relu)
}

/// A softmax over channels.
fn softmax(path: &Path, layer: &str, config: &Value) -> Result<Activation> {
    let axis = config.get("axis").filter(|a| !a.is_null());
    let one = |a: &Value| matches!(a.as_i64(), Some(-1 | 3));
    let channels = match axis {
        None => true,
        Some(Value::Array(list)) => matches!(&list[..], [a] if one(a)),
        Some(a) => one(a),
    };
    match channels {
        true => Ok(Activation::Softmax),
        false => Err(Error::unsupported(
            path,
            format!("layer {layer}: a softmax over another axis than the channels"),
        )),
    }
}

/// Two numbers of a configuration.
fn pair(config: &Value, key: &str) -> Option<[usize; 2]> {
    let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
    match config.get(key)? {
        Value::Array(list) => match &list[..] {
            [a, b] => Some([number(a)?, number(b)?]),
            _ => None,
        },
        v => number(v).map(|n| [n, n]),
    }
}

/// Parses the JSON of a model into its chain of layers, first to last.
///
/// # Errors
/// [`Error::Format`] for JSON that is none, [`Error::Unsupported`] for layers, options and branches that are not known.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Spec>> {
    let broken = |what: &str| Error::format(path, "model configuration", what);
    let root: Value = serde_json::from_str(text).map_err(|e| broken(&e.to_string()))?;
    let class = root.get("class_name").and_then(Value::as_str).unwrap_or("");
    let config = root.get("config").ok_or_else(|| broken("there is no config"))?;
    // Old sequential models have the list itself.
    let layers = config.get("layers").unwrap_or(config);
    let layers = layers.as_array().ok_or_else(|| broken("there is no list of layers"))?;
    if layers.len() > MAX_LAYERS {
        return Err(Error::limit(path, format!("{} layers", layers.len())));
    }
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut specs = Vec::new();
    for layer in layers {
        let class = layer.get("class_name").and_then(Value::as_str).unwrap_or("");
        let config = layer.get("config").unwrap_or(&Value::Null);
        let name = [config.get("name"), layer.get("name")]
            .into_iter()
            .flatten()
            .find_map(Value::as_str);
        let name = name.unwrap_or(class).to_owned();
        let small = snake_case(class);
        let count = counts.entry(small.clone()).or_default();
        let stored = if *count == 0 { small } else { format!("{small}_{count}") };
        *count += 1;
        let kind = kind(path, class, &name, config)?;
        specs.push(Spec { name, stored, kind });
        // The first layer of a sequential model may carry the shape of the input.
        if specs.len() == 1
            && !matches!(specs[0].kind, Kind::Input(_))
            && let size @ Some(_) = input_size(config)
        {
            specs.insert(
                0,
                Spec {
                    name: "input".into(),
                    stored: "input".into(),
                    kind: Kind::Input(size),
                },
            );
        }
    }
    match class {
        "Sequential" => Ok(specs),
        "Functional" | "Model" => chain(path, layers, specs),
        other => Err(Error::unsupported(path, format!("a model of class {other:?}"))),
    }
}

fn input_size(config: &Value) -> Option<[usize; 2]> {
    let shape = config
        .get("batch_input_shape")
        .or_else(|| config.get("batch_shape"))?
        .as_array()?;
    match &shape[..] {
        [_, h, w, _] => Some([h.as_u64()?.try_into().ok()?, w.as_u64()?.try_into().ok()?]),
        _ => None,
    }
}

fn kind(path: &Path, class: &str, name: &str, config: &Value) -> Result<Kind> {
    let refuse = |what: String| Err(Error::unsupported(path, format!("layer {name}: {what}")));
    let text = |key: &str| config.get(key).and_then(Value::as_str);
    if text("data_format").is_some_and(|f| f != "channels_last") {
        return refuse("channels come first in its data".into());
    }
    Ok(match class {
        "InputLayer" => Kind::Input(input_size(config)),
        "Dropout" | "SpatialDropout2D" | "GaussianNoise" | "GaussianDropout" => Kind::Nothing,
        "Activation" => Kind::Activation(activation_of(path, name, config)?),
        "Softmax" => Kind::Activation(softmax(path, name, config)?),
        "ReLU" => Kind::Activation(relu(path, name, config)?),
        "Conv2D" => {
            let one = |key: &str| pair(config, key).is_none_or(|p| p == [1, 1]);
            if !one("strides") || !one("dilation_rate") || config.get("groups").and_then(Value::as_u64).unwrap_or(1) != 1 {
                return refuse("strides, dilation and groups other than 1".into());
            }
            let kernel = pair(config, "kernel_size");
            if text("padding").is_some_and(|p| p != "same") && kernel != Some([1, 1]) {
                return refuse("padding other than `same`".into());
            }
            Kind::Convolution {
                filters: config.get("filters").and_then(Value::as_u64).and_then(|n| n.try_into().ok()),
                kernel,
                bias: config.get("use_bias").and_then(Value::as_bool).unwrap_or(true),
                activation: activation_of(path, name, config)?,
            }
        }
        "MaxPooling2D" => {
            let two = |key: &str| pair(config, key).is_none_or(|p| p == [2, 2]);
            if !two("pool_size") || !two("strides") {
                return refuse("pooling of other than 2 × 2 pixels".into());
            }
            Kind::MaxPool
        }
        "UpSampling2D" => {
            if pair(config, "size").is_some_and(|p| p != [2, 2]) || text("interpolation").is_some_and(|i| i != "nearest") {
                return refuse("upsampling other than 2 × 2 to the nearest pixel".into());
            }
            Kind::Upsample
        }
        other => {
            return refuse(format!(
                "the class {other} is not known; Conv2D, MaxPooling2D, UpSampling2D, Activation, ReLU, Softmax and Dropout are"
            ));
        }
    })
}

/// `UpSampling2D` is `up_sampling2d`, `Conv2D` is `conv2d`.
fn snake_case(class: &str) -> String {
    let mut out = String::new();
    let mut before: Option<char> = None;
    for c in class.chars() {
        if c.is_ascii_uppercase() && before.is_some_and(|b| b.is_ascii_lowercase()) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
        before = Some(c);
    }
    out
}

/// Names of the layers that a layer takes its input from, in either of Keras's notations.
fn inbound(layer: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    let nodes = layer.get("inbound_nodes").and_then(Value::as_array);
    for node in nodes.into_iter().flatten() {
        if let Some(args) = node.get("args") {
            histories(args, 0, &mut found);
        } else if let Some(list) = node.as_array() {
            found.extend(list.iter().filter_map(|input| input.get(0)?.as_str()));
        }
    }
    found
}

/// All tensors' `keras_history` in nested arguments.
fn histories<'a>(value: &'a Value, depth: usize, found: &mut Vec<&'a str>) {
    if depth > 16 {
        return;
    }
    if let Some(name) = value.pointer("/config/keras_history/0").and_then(Value::as_str) {
        found.push(name);
    } else if let Some(list) = value.as_array() {
        list.iter().for_each(|v| histories(v, depth + 1, found));
    }
}

/// Layers in the order of their connections, which must be a chain.
fn chain(path: &Path, layers: &[Value], specs: Vec<Spec>) -> Result<Vec<Spec>> {
    let mut next: HashMap<&str, usize> = HashMap::new();
    let mut start = None;
    for (i, layer) in layers.iter().enumerate() {
        let branches = |name: &str| {
            Err(Error::unsupported(
                path,
                format!("layer {name}: the model branches; only chains of layers are supported"),
            ))
        };
        match inbound(layer)[..] {
            [] if start.is_none() => start = Some(i),
            [one] if next.insert(one, i).is_none() => {}
            _ => return branches(&specs[i].name),
        }
    }
    let Some(start) = start else {
        return Err(Error::format(path, "model configuration", "no layer takes the input"));
    };
    let mut order = vec![start];
    while let Some(&i) = order.last().and_then(|&l| next.get(specs[l].name.as_str())) {
        if order.len() == specs.len() {
            return Err(Error::format(
                path,
                "model configuration",
                "layers feed each other in a circle",
            ));
        }
        order.push(i);
    }
    Ok(order.into_iter().map(|i| specs[i].clone()).collect())
}

/// The chain from layer names alone, for files of weights without configuration: `conv2d_1`, `max_pooling2d`, `up_sampling2d` and so on. Which activations
/// follow is not in such files: ReLU is assumed after convolutions that have more outputs than there are classes, softmax at the end.
/// `outputs` tells the number of outputs of a convolution.
///
/// # Errors
/// [`Error::Unsupported`] for other names.
pub(super) fn guess(path: &Path, names: &[String], outputs: impl Fn(&str) -> Result<usize>) -> Result<(Vec<Spec>, String)> {
    let is = |name: &str, class: &str| {
        name.strip_prefix(class)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    let last = names.iter().rev().find(|n| is(n, "conv2d"));
    let classes = last.map_or(Ok(0), |n| outputs(n))?;
    let mut specs = Vec::new();
    for name in names {
        let kind = if is(name, "input") || is(name, "activation") || is(name, "softmax") || is(name, "dropout") {
            Kind::Nothing
        } else if is(name, "conv2d") {
            let hidden = outputs(name)? > classes;
            Kind::Convolution {
                filters: None,
                kernel: None,
                bias: true,
                activation: if hidden { Activation::Relu } else { Activation::Linear },
            }
        } else if is(name, "max_pooling2d") {
            Kind::MaxPool
        } else if is(name, "up_sampling2d") {
            Kind::Upsample
        } else {
            return Err(Error::unsupported(
                path,
                format!("weights without a model: what layer {name:?} does cannot be told from its name; save the whole model"),
            ));
        };
        specs.push(Spec {
            name: name.clone(),
            stored: name.clone(),
            kind,
        });
    }
    specs.push(Spec {
        name: "softmax".into(),
        stored: String::new(),
        kind: Kind::Activation(Activation::Softmax),
    });
    let note = "the file holds weights without a model: ReLU is assumed after convolutions with more outputs than classes, softmax at the end";
    Ok((specs, note.into()))
}
