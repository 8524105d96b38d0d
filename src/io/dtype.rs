//! Pixel types as files store them, and their decoding to the types that kernels see.

use crate::error::{Error, Result};
use crate::pixel::Pixel;

/// A number type of a file, without byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    /// IEEE half precision.
    F16,
    F32,
    F64,
}

/// A number type with its byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub kind: Kind,
    pub big_endian: bool,
}

/// A value that the delivered type cannot hold: its number in the decoded stretch, and the value for people.
#[derive(Debug, PartialEq)]
pub(crate) struct Overflow {
    pub index: usize,
    pub value: String,
}

impl Kind {
    /// Bytes of one pixel.
    pub const fn bytes(self) -> usize {
        match self {
            Kind::Bool | Kind::U8 | Kind::I8 => 1,
            Kind::U16 | Kind::I16 | Kind::F16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::U64 | Kind::I64 | Kind::F64 => 8,
        }
    }
    /// The type in which these pixels are delivered unless another is asked for.
    pub const fn default_pixel(self) -> Pixel {
        match self {
            Kind::Bool | Kind::U8 => Pixel::U8,
            Kind::I8 => Pixel::I8,
            Kind::U16 => Pixel::U16,
            Kind::I16 => Pixel::I16,
            Kind::U32 | Kind::U64 => Pixel::U32,
            Kind::I32 | Kind::I64 => Pixel::I32,
            Kind::F16 | Kind::F32 | Kind::F64 => Pixel::F32,
        }
    }
    const fn name(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::U8 => "uint8",
            Kind::I8 => "int8",
            Kind::U16 => "uint16",
            Kind::I16 => "int16",
            Kind::U32 => "uint32",
            Kind::I32 => "int32",
            Kind::U64 => "uint64",
            Kind::I64 => "int64",
            Kind::F16 => "float16",
            Kind::F32 => "float32",
            Kind::F64 => "float64",
        }
    }
}

impl Stored {
    /// `kind` in the byte order of this machine.
    pub const fn native(kind: Kind) -> Self {
        Stored {
            kind,
            big_endian: cfg!(target_endian = "big") && kind.bytes() > 1,
        }
    }
    /// Bytes of one pixel.
    pub const fn bytes(self) -> usize {
        self.kind.bytes()
    }

    /// Reads a type's name: `u16`, `f32`, `uint16`, `float64` (little-endian, sizes in bits), or NumPy's codes with sizes in bytes,
    /// `<u2`, `>f4`, `|u1`, also without the order where that is unambiguous (`u2`, `f4`).
    pub fn parse(name: &str) -> Option<Stored> {
        let (order, rest) = match name.chars().next()? {
            c @ ('<' | '>' | '|' | '=') => (Some(c), &name[1..]),
            _ => (None, name),
        };
        let kind = match (order, rest) {
            (Some(_), "b1") | (None, "bool") => Kind::Bool,
            (Some(_), "u8") => Kind::U64,
            (Some(_), "i8") => Kind::I64,
            (_, "u1") | (None, "u8" | "uint8") => Kind::U8,
            (_, "i1") | (None, "i8" | "int8") => Kind::I8,
            (_, "u2") | (None, "u16" | "uint16") => Kind::U16,
            (_, "i2") | (None, "i16" | "int16") => Kind::I16,
            (_, "u4") | (None, "u32" | "uint32") => Kind::U32,
            (_, "i4") | (None, "i32" | "int32") => Kind::I32,
            (None, "u64" | "uint64") => Kind::U64,
            (None, "i64" | "int64") => Kind::I64,
            (_, "f2") | (None, "f16" | "float16") => Kind::F16,
            (_, "f4") | (None, "f32" | "float32") => Kind::F32,
            (_, "f8") | (None, "f64" | "float64") => Kind::F64,
            _ => return None,
        };
        let big_endian = match order {
            Some('>') => true,
            Some('=') => cfg!(target_endian = "big"),
            // '|' says that the order does not matter, so the type must have one byte.
            Some('|') if kind.bytes() > 1 => return None,
            _ => false,
        };
        Some(Stored {
            kind,
            big_endian: big_endian && kind.bytes() > 1,
        })
    }

    /// The type in which pixels are delivered when `--dtype` asks for `wanted`: the stored one, `f32` from any, `u32` or `i32` from
    /// 64-bit integers.
    ///
    /// # Errors
    /// [`Error::Parameter`] for any other.
    pub fn deliver(self, wanted: Option<Pixel>) -> Result<Pixel> {
        let default = self.kind.default_pixel();
        let wide = matches!(self.kind, Kind::U64 | Kind::I64);
        match wanted {
            None => Ok(default),
            Some(p) if p == default || p == Pixel::F32 || (wide && matches!(p, Pixel::U32 | Pixel::I32)) => Ok(p),
            Some(p) => {
                let choice = if wide {
                    "u32, i32 or f32".to_owned()
                } else {
                    format!("{default} or f32")
                };
                Err(Error::parameter(
                    "--dtype",
                    format!("{p}: the file stores {self}, which can be read as {choice}"),
                ))
            }
        }
    }

    /// True when bytes can be delivered as they are.
    pub fn is_plain(self, pixel: Pixel) -> bool {
        self == Stored::native(self.kind) && self.bytes() == pixel.bytes() && self.kind.default_pixel() == pixel
    }

    /// A note for the user about what decoding to `pixel` loses or may refuse.
    pub fn note(self, pixel: Pixel) -> Option<String> {
        match (self.kind, pixel) {
            (Kind::F64, _) => Some("float64 pixels are rounded to float32 as they are read".into()),
            (Kind::U32 | Kind::I32 | Kind::U64 | Kind::I64, Pixel::F32) => Some(format!(
                "{} pixels are rounded to float32 as they are read: exact up to 16777216",
                self.kind.name()
            )),
            (Kind::U64 | Kind::I64, _) => Some(format!(
                "{} pixels are narrowed to {pixel}; a value that does not fit is an error",
                self.kind.name()
            )),
            _ => None,
        }
    }

    /// Decodes whole pixels from `source` to native-endian `pixel`s in `target`; both hold the same number.
    pub fn decode(self, pixel: Pixel, source: &[u8], target: &mut [u8]) -> std::result::Result<(), Overflow> {
        let b = self.big_endian;
        match (self.kind, pixel) {
            (Kind::Bool | Kind::U8, Pixel::F32) => each::<1, 4>(source, target, |v| f32::from(v[0]).to_ne_bytes()),
            (Kind::I8, Pixel::F32) => each::<1, 4>(source, target, |v| f32::from(v[0] as i8).to_ne_bytes()),
            (Kind::U16, Pixel::F32) => each::<2, 4>(source, target, |v| f32::from(u16_of(v, b)).to_ne_bytes()),
            (Kind::I16, Pixel::F32) => each::<2, 4>(source, target, |v| f32::from(u16_of(v, b) as i16).to_ne_bytes()),
            (Kind::U32, Pixel::F32) => each::<4, 4>(source, target, |v| (u32_of(v, b) as f32).to_ne_bytes()),
            (Kind::I32, Pixel::F32) => each::<4, 4>(source, target, |v| (u32_of(v, b) as i32 as f32).to_ne_bytes()),
            (Kind::U64, Pixel::F32) => each::<8, 4>(source, target, |v| (u64_of(v, b) as f32).to_ne_bytes()),
            (Kind::I64, Pixel::F32) => each::<8, 4>(source, target, |v| (u64_of(v, b) as i64 as f32).to_ne_bytes()),
            (Kind::F16, _) => each::<2, 4>(source, target, |v| half(u16_of(v, b)).to_ne_bytes()),
            (Kind::F64, _) => each::<8, 4>(source, target, |v| (f64::from_bits(u64_of(v, b)) as f32).to_ne_bytes()),
            (Kind::U64, p) => {
                let high = if p == Pixel::I32 {
                    i32::MAX as u64
                } else {
                    u64::from(u32::MAX)
                };
                return narrow(source, target, |v| u64_of(v, b), |v| v <= high, |v| v as u32);
            }
            (Kind::I64, p) => {
                let (low, high) = if p == Pixel::I32 {
                    (i64::from(i32::MIN), i64::from(i32::MAX))
                } else {
                    (0, i64::from(u32::MAX))
                };
                return narrow(
                    source,
                    target,
                    |v| u64_of(v, b) as i64,
                    |v| v >= low && v <= high,
                    |v| v as u32,
                );
            }
            (Kind::U32 | Kind::I32 | Kind::F32, _) => each::<4, 4>(source, target, |v| u32_of(v, b).to_ne_bytes()),
            (Kind::U16 | Kind::I16, _) => each::<2, 2>(source, target, |v| u16_of(v, b).to_ne_bytes()),
            (Kind::Bool | Kind::U8 | Kind::I8, _) => {
                let n = source.len().min(target.len());
                target[..n].copy_from_slice(&source[..n]);
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.kind.name())?;
        if self.big_endian { f.write_str(" big-endian") } else { Ok(()) }
    }
}

#[inline(always)]
fn u16_of(v: &[u8; 2], big: bool) -> u16 {
    if big { u16::from_be_bytes(*v) } else { u16::from_le_bytes(*v) }
}
#[inline(always)]
fn u32_of(v: &[u8; 4], big: bool) -> u32 {
    if big { u32::from_be_bytes(*v) } else { u32::from_le_bytes(*v) }
}
#[inline(always)]
fn u64_of(v: &[u8; 8], big: bool) -> u64 {
    if big { u64::from_be_bytes(*v) } else { u64::from_le_bytes(*v) }
}

/// Half precision as `f32`, exactly: 1 bit of sign, 5 of exponent (bias 15), 10 of fraction (IEEE 754).
#[inline(always)]
pub(super) fn half(v: u16) -> f32 {
    let (sign, rest) = (u32::from(v & 0x8000) << 16, u32::from(v & 0x7fff));
    let bits = match rest >> 10 {
        // Zero and subnormal numbers: units of 2⁻²⁴.
        0 => (rest as f32 / 16_777_216.0).to_bits(),
        31 => 0x7f80_0000 | (rest & 0x3ff) << 13,
        _ => (rest << 13) + (112 << 23),
    };
    f32::from_bits(sign | bits)
}

/// Applies `f` to every pixel of `N` bytes, giving pixels of `M` bytes.
#[inline(always)]
fn each<const N: usize, const M: usize>(source: &[u8], target: &mut [u8], f: impl Fn(&[u8; N]) -> [u8; M]) {
    for (s, t) in source.as_chunks::<N>().0.iter().zip(target.as_chunks_mut::<M>().0) {
        *t = f(s);
    }
}

/// Narrows 64-bit integers to `u32` or `i32` (`bits` gives the four bytes of either), or tells the first that does not fit.
#[inline(always)]
fn narrow<T: Copy + ToString>(
    source: &[u8],
    target: &mut [u8],
    value: impl Fn(&[u8; 8]) -> T,
    fits: impl Fn(T) -> bool,
    bits: impl Fn(T) -> u32,
) -> std::result::Result<(), Overflow> {
    let mut all = true;
    for (s, t) in source.as_chunks::<8>().0.iter().zip(target.as_chunks_mut::<4>().0) {
        let v = value(s);
        all &= fits(v);
        *t = bits(v).to_ne_bytes();
    }
    if all {
        return Ok(());
    }
    let mut values = source.as_chunks::<8>().0.iter().map(value).enumerate();
    let first = values.find(|&(_, v)| !fits(v));
    first.map_or(Ok(()), |(index, v)| {
        Err(Overflow {
            index,
            value: v.to_string(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types() {
        let p = |s: &str| Stored::parse(s).map(|t| t.to_string());
        for (name, want) in [
            ("u8", "uint8"),
            ("|u1", "uint8"),
            ("<u8", "uint64"),
            (">u8", "uint64 big-endian"),
            ("u64", "uint64"),
            ("u2", "uint16"),
            (">u2", "uint16 big-endian"),
            ("uint16", "uint16"),
            ("<f4", "float32"),
            ("f32", "float32"),
            ("float64", "float64"),
            (">i1", "int8"),
            ("i8", "int8"),
            ("<i8", "int64"),
            ("|b1", "bool"),
        ] {
            assert_eq!(p(name).as_deref(), Some(want), "{name}");
        }
        for name in ["", "u3", "c8", "<c16", "|u2", "<uint16", "é", "f24", "<f3"] {
            assert_eq!(p(name), None, "{name}");
        }
    }

    #[test]
    fn decodes_values_and_refuses_what_does_not_fit() {
        let mut out = [0; 8];
        Stored::parse(">u2")
            .unwrap()
            .decode(Pixel::U16, &[1, 2, 3, 4], &mut out[..4])
            .unwrap();
        assert_eq!(out[..4], [0x0102u16.to_ne_bytes(), 0x0304u16.to_ne_bytes()].concat());
        let wide: Vec<u8> = [-5i64, 7].iter().flat_map(|v| v.to_be_bytes()).collect();
        let t = Stored::parse(">i8").unwrap();
        t.decode(Pixel::I32, &wide, &mut out).unwrap();
        assert_eq!(out, *[(-5i32).to_ne_bytes(), 7i32.to_ne_bytes()].concat());
        t.decode(Pixel::F32, &wide, &mut out).unwrap();
        assert_eq!(out, *[(-5f32).to_ne_bytes(), 7f32.to_ne_bytes()].concat());
        let e = t.decode(Pixel::U32, &wide, &mut out).unwrap_err();
        assert_eq!(
            e,
            Overflow {
                index: 0,
                value: "-5".into()
            }
        );
        let wide: Vec<u8> = [1u64, u64::from(u32::MAX), 1 << 32]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let e = Stored::parse("u64")
            .unwrap()
            .decode(Pixel::U32, &wide, &mut [0; 12])
            .unwrap_err();
        assert_eq!(
            e,
            Overflow {
                index: 2,
                value: "4294967296".into()
            }
        );
        let f: Vec<u8> = [0.1f64, f64::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        Stored::parse("f64").unwrap().decode(Pixel::F32, &f, &mut out).unwrap();
        assert_eq!(out[..4], 0.1f32.to_ne_bytes());
        assert!(f32::from_ne_bytes([out[4], out[5], out[6], out[7]]).is_nan());
    }

    #[test]
    fn halves_are_exact() {
        for (bits, want) in [
            (0x0000u16, 0.0f32),
            (0x8000, -0.0),
            (0x0001, 5.960_464_5e-8),
            (0x83ff, -6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3c00, 1.0),
            (0xc248, -3.140_625),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), want.to_bits(), "{bits:04x}");
        }
        assert!(half(0x7e01).is_nan());
        let mut out = [0; 8];
        let t = Stored::parse(">f2").unwrap();
        t.decode(Pixel::F32, &[0x3c, 0, 0xc2, 0x48], &mut out).unwrap();
        assert_eq!(out, *[1f32.to_ne_bytes(), (-3.140_625f32).to_ne_bytes()].concat());
    }

    #[test]
    fn only_sensible_conversions_are_offered() {
        let t = Stored::parse("u16").unwrap();
        assert_eq!(t.deliver(None).unwrap(), Pixel::U16);
        assert_eq!(t.deliver(Some(Pixel::F32)).unwrap(), Pixel::F32);
        let e = t.deliver(Some(Pixel::U8)).unwrap_err().to_string();
        assert_eq!(e, "--dtype: u8: the file stores uint16, which can be read as u16 or f32");
        assert_eq!(Stored::parse("i64").unwrap().deliver(Some(Pixel::U32)).unwrap(), Pixel::U32);
        assert!(t.is_plain(Pixel::U16) && !t.is_plain(Pixel::F32));
        assert_eq!(
            Stored::parse(">u2").unwrap().is_plain(Pixel::U16),
            cfg!(target_endian = "big")
        );
    }
}
