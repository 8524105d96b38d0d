//! The tag tree of DigitalMicrograph files: named values and groups of them, of which only small values are kept; arrays are remembered by place.
//!
//! Structure words are big-endian (32 bits in version 3, 64 in version 4); values follow the byte order that the header names.

use crate::error::{Error, Result};
use crate::io::readat::ReadAt;

/// Deepest nesting of groups; files of DigitalMicrograph have about ten levels.
const MAX_DEPTH: usize = 64;
/// Most entries of a file, groups included.
const MAX_ENTRIES: usize = 1 << 20;
/// Most bytes of all names and texts that are kept.
const MAX_TEXT: usize = 64 << 20;
/// Most words that describe a value's type.
const MAX_INFO: u64 = 4096;
/// Longest text that is kept, in characters; longer ones count as arrays.
const LONGEST: u64 = 65_536;
/// Bytes that are read at a time.
const BUFFER: usize = 64 << 10;

/// A number type of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    I16,
    I32,
    U16,
    U32,
    F32,
    F64,
    Bool,
    I8,
    Octet,
    I64,
    U64,
}

impl Type {
    fn of(code: u64) -> Option<Type> {
        Some(match code {
            2 => Type::I16,
            3 => Type::I32,
            4 => Type::U16,
            5 => Type::U32,
            6 => Type::F32,
            7 => Type::F64,
            8 => Type::Bool,
            9 => Type::I8,
            10 => Type::Octet,
            11 => Type::I64,
            12 => Type::U64,
            _ => return None,
        })
    }
    const fn bytes(self) -> u64 {
        match self {
            Type::Bool | Type::I8 | Type::Octet => 1,
            Type::I16 | Type::U16 => 2,
            Type::I32 | Type::U32 | Type::F32 => 4,
            Type::F64 | Type::I64 | Type::U64 => 8,
        }
    }
}

/// What a tag holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Integer(i128),
    Float(f64),
    Text(String),
    /// The fields of a record.
    Record(Vec<Value>),
    /// Values that stay in the file: their number, the bytes of one, and where they begin.
    Array {
        count: u64,
        bytes: u64,
        at: u64,
    },
}

impl Value {
    /// A number as float64.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Integer(i) => Some(*i as f64),
            Value::Float(f) => Some(*f),
            _ => None,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Integer(i) => write!(f, "{i}"),
            Value::Float(v) => write!(f, "{v}"),
            Value::Text(t) => write!(f, "{t:?}"),
            Value::Record(fields) => {
                let fields: Vec<String> = fields.iter().map(Value::to_string).collect();
                write!(f, "({})", fields.join(", "))
            }
            Value::Array { count, bytes, .. } => write!(f, "{count} values of {bytes} bytes"),
        }
    }
}

/// All tags of a file in its order.
#[derive(Debug)]
pub(crate) struct Tags {
    /// Values are little-endian.
    pub little: bool,
    /// 3 or 4.
    pub version: u32,
    /// Names of the groups and the value with `/` between them; entries without a name are called by their place.
    pub list: Vec<(String, Value)>,
}

impl Tags {
    /// Reads the tree.
    ///
    /// # Errors
    /// [`Error::Format`] naming the byte where the file contradicts the format, [`Error::Limit`] for trees beyond all measure.
    pub fn read(file: &ReadAt) -> Result<Tags> {
        let mut walk = Walk {
            at: 0,
            buffer: Vec::new(),
            begin: 0,
            wide: false,
            little: false,
            entries: 0,
            text: 0,
            list: Vec::new(),
            file,
        };
        let version = u32::from_be_bytes(walk.take()?);
        walk.wide = match version {
            3 => false,
            4 => true,
            v => return Err(walk.fault(0, format!("version {v}, expected 3 or 4"))),
        };
        walk.word()?;
        walk.little = match u32::from_be_bytes(walk.take()?) {
            0 => false,
            1 => true,
            v => return Err(walk.fault(walk.at - 4, format!("byte order {v}, expected 0 or 1"))),
        };
        walk.group("", 0)?;
        Ok(Tags {
            little: walk.little,
            version,
            list: walk.list,
        })
    }

    /// The value at a path.
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.list.iter().find(|(p, _)| p == path).map(|(_, v)| v)
    }
    /// A number at a path.
    pub fn number(&self, path: &str) -> Option<f64> {
        self.get(path)?.number()
    }
    /// A text at a path.
    pub fn text(&self, path: &str) -> Option<&str> {
        match self.get(path)? {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }
    /// A count at a path: an integer that is not negative.
    pub fn count(&self, path: &str) -> Option<u64> {
        match self.get(path)? {
            Value::Integer(i) => u64::try_from(*i).ok(),
            _ => None,
        }
    }
}

/// The type of a value as its info words describe it.
enum Shape {
    Simple(Type),
    Text(u64),
    Record(Vec<Type>),
    Array { count: u64, bytes: u64, simple: Option<Type> },
}

struct Walk<'a> {
    file: &'a ReadAt,
    /// The next byte.
    at: u64,
    buffer: Vec<u8>,
    /// Place of the buffer in the file.
    begin: u64,
    /// 64-bit structure words.
    wide: bool,
    little: bool,
    entries: usize,
    text: usize,
    list: Vec<(String, Value)>,
}

impl Walk<'_> {
    fn fault(&self, at: u64, what: impl Into<String>) -> Error {
        Error::format(self.file.path(), format!("byte {at}"), what)
    }

    /// The next `n` bytes, at most a few hundred thousand.
    fn bytes(&mut self, n: usize) -> Result<&[u8]> {
        let left = self.file.len().saturating_sub(self.at);
        if n as u64 > left {
            let what = format!("the file ends inside a tag, {} bytes early", n as u64 - left);
            return Err(self.fault(self.at, what));
        }
        let inside = self.at >= self.begin && self.at + n as u64 <= self.begin + self.buffer.len() as u64;
        if !inside {
            let size = (BUFFER.max(n) as u64).min(left) as usize;
            self.buffer.resize(size, 0);
            self.begin = self.at;
            self.file.read(self.at, &mut self.buffer)?;
        }
        let from = (self.at - self.begin) as usize;
        self.at += n as u64;
        Ok(&self.buffer[from..from + n])
    }
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N)?);
        Ok(out)
    }
    fn skip(&mut self, n: u64) -> Result<()> {
        let end = self.at.checked_add(n).filter(|&e| e <= self.file.len());
        match end {
            Some(end) => self.at = end,
            None => {
                let left = self.file.len() - self.at;
                return Err(self.fault(self.at, format!("a tag of {n} bytes, but the file has only {left} more")));
            }
        }
        Ok(())
    }
    /// A structure word.
    fn word(&mut self) -> Result<u64> {
        Ok(if self.wide {
            u64::from_be_bytes(self.take()?)
        } else {
            u64::from(u32::from_be_bytes(self.take()?))
        })
    }
    fn name(&mut self, place: u64) -> Result<String> {
        let length = u16::from_be_bytes(self.take()?) as usize;
        if length == 0 {
            return Ok(place.to_string());
        }
        // Latin-1: bytes are code points.
        Ok(self.bytes(length)?.iter().map(|&b| char::from(b)).collect())
    }

    fn group(&mut self, path: &str, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::limit(
                self.file.path(),
                format!("byte {}: tags nest more than {MAX_DEPTH} levels deep", self.at),
            ));
        }
        self.bytes(2)?;
        let count = self.word()?;
        for place in 0..count {
            let begin = self.at;
            let kind = self.bytes(1)?[0];
            let name = self.name(place)?;
            self.entries += 1;
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            self.text += path.len();
            if self.entries > MAX_ENTRIES || self.text > MAX_TEXT {
                let what = format!("byte {begin}: more than {MAX_ENTRIES} tags, or {MAX_TEXT} bytes of names and texts");
                return Err(Error::limit(self.file.path(), what));
            }
            if self.wide {
                // The entry's length, which the entry itself tells as well.
                self.word()?;
            }
            match kind {
                20 => self.group(&path, depth + 1)?,
                21 => self.value(path)?,
                k => {
                    return Err(self.fault(
                        begin,
                        format!("an entry of kind {k} at {path:?}, expected 20 (group) or 21 (value)"),
                    ));
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, path: String) -> Result<()> {
        let begin = self.at;
        if self.bytes(4)? != b"%%%%" {
            return Err(self.fault(begin, format!("the value {path:?} should begin with %%%%")));
        }
        let words = self.word()?;
        if words == 0 || words > MAX_INFO {
            return Err(self.fault(begin + 4, format!("{words} words describe the value {path:?}")));
        }
        let info = (0..words).map(|_| self.word()).collect::<Result<Vec<u64>>>()?;
        let shape = shape(&info)
            .ok_or_else(|| self.fault(begin, format!("the value {path:?} has a type that does not exist: {info:?}")))?;
        let value = match shape {
            Shape::Simple(t) => self.simple(t)?,
            Shape::Text(n) if n <= LONGEST => {
                self.text += n as usize;
                Value::Text(self.bytes(n as usize)?.iter().map(|&b| char::from(b)).collect())
            }
            Shape::Text(n) => self.array(n, 1)?,
            Shape::Record(fields) => Value::Record(fields.into_iter().map(|t| self.simple(t)).collect::<Result<_>>()?),
            // Texts are arrays of 16-bit characters.
            Shape::Array {
                count,
                simple: Some(Type::U16),
                ..
            } if count <= LONGEST && is_text(&path) => {
                self.text += count as usize;
                let little = self.little;
                let raw = self.bytes(2 * count as usize)?;
                let units: Vec<u16> = raw
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|&b| {
                        if little {
                            u16::from_le_bytes(b)
                        } else {
                            u16::from_be_bytes(b)
                        }
                    })
                    .collect();
                Value::Text(String::from_utf16_lossy(&units))
            }
            Shape::Array { count, bytes, .. } => self.array(count, bytes)?,
        };
        self.list.push((path, value));
        Ok(())
    }

    fn array(&mut self, count: u64, bytes: u64) -> Result<Value> {
        let at = self.at;
        let total = count
            .checked_mul(bytes)
            .ok_or_else(|| self.fault(at, format!("an array of {count} values of {bytes} bytes")))?;
        self.skip(total)?;
        Ok(Value::Array { count, bytes, at })
    }

    fn simple(&mut self, t: Type) -> Result<Value> {
        let little = self.little;
        macro_rules! number {
            ($t:ty) => {{
                let b = self.take()?;
                if little {
                    <$t>::from_le_bytes(b)
                } else {
                    <$t>::from_be_bytes(b)
                }
            }};
        }
        Ok(match t {
            Type::I16 => Value::Integer(number!(i16).into()),
            Type::I32 => Value::Integer(number!(i32).into()),
            Type::U16 => Value::Integer(number!(u16).into()),
            Type::U32 => Value::Integer(number!(u32).into()),
            Type::F32 => Value::Float(number!(f32).into()),
            Type::F64 => Value::Float(number!(f64)),
            Type::Bool | Type::Octet => Value::Integer(number!(u8).into()),
            Type::I8 => Value::Integer(number!(i8).into()),
            Type::I64 => Value::Integer(number!(i64).into()),
            Type::U64 => Value::Integer(number!(u64).into()),
        })
    }
}

/// The pixels of an image are an array of 16-bit numbers that is no text.
fn is_text(path: &str) -> bool {
    !path.ends_with("ImageData/Data")
}

fn shape(info: &[u64]) -> Option<Shape> {
    Some(match info {
        [18, n] => Shape::Text(*n),
        [15, rest @ ..] => Shape::Record(record(rest)?.0),
        [20, 15, rest @ ..] => {
            let (fields, rest) = record(rest)?;
            let &[count] = rest else { return None };
            let bytes = fields.iter().map(|t| t.bytes()).sum();
            Shape::Array {
                count,
                bytes,
                simple: None,
            }
        }
        // Arrays of arrays of one type.
        [20, 20, code, inner, count] => Shape::Array {
            count: *count,
            bytes: inner.checked_mul(Type::of(*code)?.bytes())?,
            simple: None,
        },
        [20, code, count] => {
            let t = Type::of(*code)?;
            Shape::Array {
                count: *count,
                bytes: t.bytes(),
                simple: Some(t),
            }
        }
        [code] => Shape::Simple(Type::of(*code)?),
        _ => return None,
    })
}

/// The fields of a record and the words behind it: length of its name (0), number of fields, for each the length of its name (0) and its type.
fn record(words: &[u64]) -> Option<(Vec<Type>, &[u64])> {
    let [0, n, rest @ ..] = words else { return None };
    let n = usize::try_from(*n).ok().filter(|n| *n <= rest.len() / 2)?;
    let (fields, rest) = rest.split_at(2 * n);
    let fields = fields
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&[name, code]| if name == 0 { Type::of(code) } else { None });
    Some((fields.collect::<Option<_>>()?, rest))
}
