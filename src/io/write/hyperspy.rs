//! A HyperSpy signal as groups with attributes, for HDF5 and Zarr. Layout: RosettaSciIO's hierarchical format, version 3.3.

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
    // Signals are found by names without a slash.
    title.replace(['/', '.'], "_")
}

/// Everything but the values, which belong to `Experiments/NAME/data`. `format` is `HyperSpy` or `ZSpy`; `own` are further words for the
/// original metadata, among them perhaps `unit`.
pub(crate) fn tree(format: &str, title: &str, axes: &[SignalAxis<'_>], own: &[(&'static str, String)]) -> Tree {
    use Attribute::{Bool, Float, Integer};
    let base = format!("Experiments/{}", group_name(title));
    let mut tree: Tree = vec![
        (
            String::new(),
            vec![("file_format", format.into()), ("file_format_version", "3.3".into())],
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
    let mut signal = vec![("signal_type", "".into())];
    if let Some((_, unit)) = own.iter().find(|(n, _)| *n == "unit") {
        signal.push(("quantity", format!("{title} ({unit})").as_str().into()));
    }
    let original = own.iter().map(|(n, text)| (*n, text.as_str().into())).collect();
    tree.extend([
        (format!("{base}/metadata"), Vec::new()),
        (format!("{base}/metadata/General"), vec![("title", title.into())]),
        (format!("{base}/metadata/Signal"), signal),
        (format!("{base}/original_metadata"), original),
        (format!("{base}/learning_results"), Vec::new()),
        (
            format!("{base}/attributes"),
            vec![("_lazy", Bool(false)), ("ragged", Bool(false))],
        ),
    ]);
    tree
}

/// Makes the groups of a tree in an HDF5 file.
pub(crate) fn to_hdf5(file: &hdf5::File, tree: &Tree) -> hdf5::Result<()> {
    for (path, attributes) in tree {
        let made;
        let at: &hdf5::Group = if path.is_empty() {
            file
        } else {
            made = file.create_group(path)?;
            &made
        };
        for (name, value) in attributes {
            match value {
                Attribute::Text(text) => crate::io::results::put_text(at, name, text)?,
                Attribute::Float(v) => at.new_attr::<f64>().create(*name)?.write_scalar(v)?,
                Attribute::Integer(v) => at.new_attr::<i64>().create(*name)?.write_scalar(v)?,
                Attribute::Bool(v) => at.new_attr::<bool>().create(*name)?.write_scalar(v)?,
            }
        }
    }
    Ok(())
}
