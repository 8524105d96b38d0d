//! NumPy's `.npy`: one array behind a short text header, read in place.

use super::dtype::Stored;
use super::flat::{Flat, Marker};
use super::limits::{self, MAX_NPY_HEADER};
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::stack::Stack;
use super::{Axis, Scan, ScanInfo};
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
    let fields = Parser { rest: text.trim_end() }
        .dict()
        .ok_or_else(|| at(format!("cannot be understood: {}", text.trim_end())))?;
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
    let sizes = limits::arrange(
        &path,
        "the array",
        &h.shape,
        options.nav_shape,
        options.sig_shape,
        h.stored.bytes(),
    )?;
    let pixel = h.stored.deliver(options.wanted_pixel()?)?;
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
    };
    let flat = Flat::new(file, h.start, Marker::None, &sizes, h.stored, pixel);
    Ok(Box::new(Stack::new(info, flat, options.sync_offset)?))
}

#[derive(Default)]
struct Fields {
    descr: Option<String>,
    fortran: Option<bool>,
    shape: Option<Vec<u64>>,
}

/// Reads the one Python literal that an `.npy` header is: a dictionary of a string, a truth value and a tuple of integers.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn eat(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?;
        Some(())
    }
    fn string(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (s, rest) = rest[1..].split_once(quote)?;
        self.rest = rest;
        Some(s)
    }
    fn tuple(&mut self) -> Option<Vec<u64>> {
        self.eat("(")?;
        let mut out = Vec::new();
        while self.eat(")").is_none() {
            // More dimensions than NumPy allows would be a forged header.
            if out.len() == 64 {
                return None;
            }
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            out.push(digits.parse().ok()?);
            // NumPy 1 under Python 2 wrote long integers as 5L.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if self.eat(",").is_none() {
                self.eat(")")?;
                break;
            }
        }
        Some(out)
    }
    fn dict(&mut self) -> Option<Fields> {
        let mut fields = Fields::default();
        self.eat("{")?;
        while self.eat("}").is_none() {
            let key = self.string()?;
            self.eat(":")?;
            match key {
                // A structured type is a list: its text cannot name a pixel type.
                "descr" if self.rest.trim_start().starts_with('[') => {
                    let (list, rest) = self.rest.trim_start().split_once(']')?;
                    fields.descr = Some(format!("{list}]"));
                    self.rest = rest;
                }
                "descr" => fields.descr = Some(self.string()?.to_owned()),
                "fortran_order" => {
                    let yes = self.eat("True").is_some();
                    if !yes {
                        self.eat("False")?;
                    }
                    fields.fortran = Some(yes);
                }
                "shape" => fields.shape = Some(self.tuple()?),
                _ => return None,
            }
            if self.eat(",").is_none() {
                self.eat("}")?;
                break;
            }
        }
        self.rest.trim().is_empty().then_some(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, bool, Vec<u64>)> {
        let f = Parser { rest: text }.dict()?;
        Some((f.descr?, f.fortran?, f.shape?))
    }

    #[test]
    fn headers_of_numpy() {
        let want = Some(("<u2".to_owned(), false, vec![2, 3, 4, 5]));
        assert_eq!(
            parse("{'descr': '<u2', 'fortran_order': False, 'shape': (2, 3, 4, 5), }"),
            want
        );
        assert_eq!(
            parse("{\"shape\":(2L,3L,4L,5L),'fortran_order':False,'descr':'<u2'}  \n"),
            want
        );
        assert_eq!(
            parse("{'descr': '|u1', 'fortran_order': True, 'shape': (7,), }"),
            Some(("|u1".into(), true, vec![7]))
        );
        assert!(
            parse("{'descr': '|u1', 'fortran_order': True, 'shape': (), }")
                .unwrap()
                .2
                .is_empty()
        );
        assert_eq!(
            parse("{'descr': [('a', '<u2')], 'fortran_order': False, 'shape': (1,)}")
                .unwrap()
                .0,
            "[('a', '<u2')]"
        );
    }

    #[test]
    fn nonsense_is_no_header() {
        for text in [
            "",
            "{",
            "{'descr'",
            "{'shape': (1,",
            "{'shape': (-1,)}",
            "{'shape': (99999999999999999999999,)}",
            "{'a': 1}",
            "{} x",
            "{'descr': 'é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
