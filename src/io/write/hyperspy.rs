//! A HyperSpy signal as groups with attributes, for Zarr; [`super::hspy`] is the same for HDF5. Layout: RosettaSciIO's hierarchical format,
//! version 3.3.

use crate::io::Axis;

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Attribute {
    Text(String),
    Float(f64),
    Integer(i64),
    Bool(bool),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Attribute::Text(text.to_owned())
    }
}

/// Groups by their paths from the file's root, parents first, with their attributes; `""` is the root itself.
pub(crate) type Tree = Vec<(String, Vec<(&'static str, Attribute)>)>;

/// One axis of a signal.
pub(crate) struct SignalAxis<'a> {
    pub name: &'a str,
    pub size: usize,
    pub step: &'a Axis,
    /// True for an axis of the scan.
    pub navigate: bool,
}

/// A name that a group may have.
pub(crate) fn group_name(title: &str) -> String {
    match title {
        "" => "__unnamed__".into(),
        title => title.replace('/', "-").replace('.', "_"),
    }
}

/// Everything but the values, which belong to `Experiments/NAME/data`.
pub(crate) fn tree(title: &str, axes: &[SignalAxis<'_>]) -> Tree {
    use Attribute::{Bool, Float, Integer};
    let base = format!("Experiments/{}", group_name(title));
    let mut tree: Tree = vec![
        (
            String::new(),
            vec![("file_format", "ZSpy".into()), ("file_format_version", "3.3".into())],
        ),
        ("Experiments".into(), Vec::new()),
        (base.clone(), vec![("package", "".into()), ("package_version", "".into())]),
    ];
    for (i, axis) in axes.iter().enumerate() {
        let unit = if axis.step.unit.is_empty() {
            "_None_"
        } else {
            &axis.step.unit
        };
        tree.push((
            format!("{base}/axis-{i}"),
            vec![
                ("_type", "UniformDataAxis".into()),
                ("name", axis.name.into()),
                ("units", unit.into()),
                ("scale", Float(axis.step.scale.unwrap_or(1.0))),
                ("offset", Float(0.0)),
                ("size", Integer(axis.size as i64)),
                ("navigate", Bool(axis.navigate)),
                ("is_binned", Bool(false)),
            ],
        ));
    }
    tree.extend([
        (format!("{base}/metadata"), Vec::new()),
        (format!("{base}/metadata/General"), vec![("title", title.into())]),
        (format!("{base}/metadata/Signal"), vec![("signal_type", "".into())]),
        (format!("{base}/original_metadata"), Vec::new()),
        (format!("{base}/learning_results"), Vec::new()),
        (
            format!("{base}/attributes"),
            vec![("_lazy", Bool(false)), ("ragged", Bool(false))],
        ),
    ]);
    tree
}
