//! How a file was understood: where the scan shape comes from, what was left out, how else it could be read.

use super::open::OpenOptions;
use super::{Candidate, ScanInfo};
use ndarray::Array2;

/// Where the scan shape comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ShapeFrom {
    /// The file (or one beside it) says so: the field's name.
    Stored(String),
    /// Worked out from other numbers of the file; the sentence says from which.
    Derived(String),
    /// The user said so with `--nav-shape`.
    Given,
    /// Nothing says so: all frames make one row.
    #[default]
    Unknown,
}

impl std::fmt::Display for ShapeFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            ShapeFrom::Stored(field) => write!(f, "stored in the file: {field}"),
            ShapeFrom::Derived(how) => write!(f, "derived: {how}"),
            ShapeFrom::Given => f.write_str("given by --nav-shape"),
            ShapeFrom::Unknown => f.write_str("not known: all frames make one row"),
        }
    }
}

impl ShapeFrom {
    /// One word for programs: `stored`, `derived`, `given`, `unknown`.
    pub fn word(&self) -> &'static str {
        match self {
            ShapeFrom::Stored(_) => "stored",
            ShapeFrom::Derived(_) => "derived",
            ShapeFrom::Given => "given",
            ShapeFrom::Unknown => "unknown",
        }
    }
}

/// How a file was understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    pub shape: ShapeFrom,
    /// What the file holds and emstream does not read, one sentence each.
    pub ignored: Vec<String>,
    /// Flags that read the file in another way, each with what it does: `--nav-shape 16,16` and `a square scan`.
    pub otherwise: Vec<(String, String)>,
    /// Of files that say of every frame where it belongs: which positions have one. `--sync-offset` is refused.
    pub places: Option<Array2<bool>>,
}

impl Reading {
    /// The shape is the user's if there is one, else `otherwise`.
    pub(crate) fn shape(options: &OpenOptions, otherwise: ShapeFrom) -> Self {
        Reading {
            shape: match options.nav_shape {
                Some(_) => ShapeFrom::Given,
                None => otherwise,
            },
            ..Reading::default()
        }
    }
}

/// Flags that would read a scan in another way: those that its reader names, and those that serve any file. `datasets` are the others of
/// the same file.
pub fn otherwise(info: &ScanInfo, datasets: &[Candidate]) -> Vec<(String, String)> {
    let mut list = info.reading.otherwise.clone();
    let frames = info.frames();
    let edge = frames.isqrt();
    let square = (edge * edge == frames && edge > 1).then(|| format!("{edge},{edge}"));
    if info.reading.shape == ShapeFrom::Unknown && frames > 1 {
        match square {
            Some(shape) => list.push((format!("--nav-shape {shape}"), "a square scan".to_owned())),
            None => list.push((
                "--nav-shape Y,X".to_owned(),
                format!("a scan of Y rows and X columns, Y·X = {frames}"),
            )),
        }
    }
    for d in datasets.iter().filter(|d| Some(&d.path) != info.dataset.as_ref()) {
        list.push((format!("--dataset {}", d.path), format!("shape {:?}, {}", d.shape, d.dtype)));
    }
    if frames > 1 && info.reading.places.is_none() {
        list.push((
            "--sync-offset N".to_owned(),
            "skips N frames (N < 0: puts blank ones before)".to_owned(),
        ));
    }
    // Of a raw file the flag says what is stored.
    if info.frame.pixel != crate::pixel::Pixel::F32 && info.format != "raw" {
        list.push(("--dtype f32".to_owned(), "floats".to_owned()));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::Sample;

    #[test]
    fn flags_follow_from_what_is_not_known() {
        let scan = crate::io::memory::MemoryScan::<u16>::new([1, 16], [2, 2], vec![0; 64]);
        let mut info = crate::io::Scan::info(&scan.unwrap()).clone();
        assert_eq!(info.frame.pixel, u16::PIXEL);
        let flags = |info: &ScanInfo| otherwise(info, &[]).into_iter().map(|f| f.0).collect::<Vec<_>>();
        assert_eq!(flags(&info), ["--nav-shape 4,4", "--sync-offset N", "--dtype f32"]);
        info.reading.shape = ShapeFrom::Given;
        assert_eq!(flags(&info), ["--sync-offset N", "--dtype f32"]);
        let (options, stored) = (OpenOptions::default(), ShapeFrom::Stored("ScanX".into()));
        assert_eq!(Reading::shape(&options, stored.clone()).shape, stored);
        let given = OpenOptions {
            nav_shape: Some([4, 4]),
            ..options
        };
        assert_eq!(Reading::shape(&given, stored).shape.word(), "given");
    }
}
