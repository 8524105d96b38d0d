//! NumPy's `.npy`: one array behind a short text header, read in place.

use super::dtype::Stored;
use super::flat::{Flat, Marker};
use super::limits::{self, MAX_NPY_HEADER};
use super::npy_header::Fields;
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::stack::Stack;
use super::{Axis, Reading, Scan, ScanInfo, ShapeFrom};
use crate::error::{Error, Result};

/// First bytes of every `.npy` file.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// What the header of a `.npy` file says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NpyHeader {
    pub stored: Stored,
    pub shape: Vec<u64>,
    /// Byte at which the array begins.
    pub start: u64,
}

/// Reads and checks the header: a number type, C order, and a file of exactly the size that the shape makes.
///
/// # Errors
/// [`Error::Format`] with the place, [`Error::Unsupported`] for Fortran order and other types.
pub(crate) fn header(file: &ReadAt) -> Result<NpyHeader> {
    let path = file.path();
    let mut lead = [0; 8];
    file.read(0, &mut lead)?;
    if &lead[..6] != MAGIC {
        return Err(Error::format(path, "byte 0", "an .npy file begins with \\x93NUMPY"));
    }
    let (text_at, length) = match lead[6] {
        1 => {
            let mut b = [0; 2];
            file.read(8, &mut b)?;
            (10, usize::from(u16::from_le_bytes(b)))
        }
        2 | 3 => {
            let mut b = [0; 4];
            file.read(8, &mut b)?;
            (12, u32::from_le_bytes(b) as usize)
        }
        v => return Err(Error::unsupported(path, format!("version {v} of the .npy format"))),
    };
    if length > MAX_NPY_HEADER {
        return Err(Error::limit(
            path,
            format!("a header of {length} bytes; at most {MAX_NPY_HEADER} are read"),
        ));
    }
    let mut text = vec![0; length];
    file.read(text_at, &mut text)?;
    let text = String::from_utf8_lossy(&text);
    let at = |what: String| Error::format(path, "header", what);
    let fields = Fields::parse(&text).ok_or_else(|| at(format!("cannot be understood: {}", Fields::excerpt(&text))))?;
    let (Some(descr), Some(fortran), Some(shape)) = (fields.descr, fields.fortran, fields.shape) else {
        return Err(at("descr, fortran_order and shape are needed".into()));
    };
    let stored = Stored::parse(&descr);
    let stored = stored.ok_or_else(|| Error::unsupported(path, format!("pixels of type {descr}")))?;
    if fortran && shape.len() > 1 {
        let what = "an array in Fortran order; save it with numpy.ascontiguousarray";
        return Err(Error::unsupported(path, what));
    }
    let start = text_at + length as u64;
    let bytes = shape.iter().try_fold(stored.bytes() as u64, |n, &d| n.checked_mul(d));
    let have = file.len().saturating_sub(start);
    if bytes != Some(have) {
        let claim = bytes.map_or("more bytes than a file can hold".into(), |b| format!("{b} bytes"));
        let what = format!(
            "shape {} of {stored} makes {claim}, but the file has {have} behind its header",
            limits::tuple(&shape)
        );
        return Err(Error::format(path, "size of the file", what));
    }
    Ok(NpyHeader { stored, shape, start })
}

/// Opens an array of 3 or 4 dimensions as a scan.
///
/// # Errors
/// Those of [`header`] and of [`limits::arrange`].
pub(crate) fn open(file: ReadAt, options: &OpenOptions) -> Result<Box<dyn Scan>> {
    let h = header(&file)?;
    let path = file.path().to_owned();
    let dims = match h.shape[..] {
        [ny, nx, channels] if options.spectra => vec![ny, nx, 1, channels],
        _ => h.shape.clone(),
    };
    let sizes = limits::arrange(
        &path,
        "the array",
        &dims,
        options.nav_shape,
        options.sig_shape,
        h.stored.bytes(),
    )?;
    let pixel = h.stored.deliver(options.wanted_pixel()?)?;
    let from = match h.shape.len() {
        3 if !options.spectra => ShapeFrom::Unknown,
        _ => ShapeFrom::Stored("the array's shape".into()),
    };
    let info = ScanInfo {
        path,
        format: "npy",
        dataset: None,
        nav: sizes.nav,
        frame: sizes.frame(pixel),
        stored: h.stored.to_string(),
        nav_axes: [Axis::default(), Axis::default()],
        sig_axes: [Axis::default(), Axis::default()],
        together: 1,
        costly: false,
        file_bytes: file.len(),
        notes: h.stored.note(pixel).into_iter().collect(),
        reading: Reading::shape(options, from),
    };
    let flat = Flat::new(file, h.start, Marker::None, &sizes, h.stored, pixel);
    Ok(Box::new(Stack::new(info, flat, options.sync_offset)?))
}
