//! Directories of TIFF and BigTIFF files: the few tags that a stack of frames needs.

use crate::error::{Error, Result};
use crate::io::readat::ReadAt;

/// Most entries of a directory, and most values of a tag.
const MAX_ENTRIES: u64 = 4096;
const MAX_VALUES: u64 = 1 << 20;
/// Longest description that is kept.
const MAX_TEXT: u64 = 1 << 16;
/// Longest description of the first page: OME-XML names every plane.
const MAX_FIRST_TEXT: u64 = 16 << 20;

/// One page.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Page {
    pub width: u64,
    pub height: u64,
    pub bits: u64,
    /// 1 unsigned, 2 signed, 3 floating point.
    pub format: u64,
    pub samples: u64,
    /// 1: none.
    pub compression: u64,
    /// Where the pixels begin, if they lie together in rows.
    pub pixels: Option<u64>,
    /// Units per pixel along y and x: the other way round than the tags of resolution have them.
    pub steps: [Option<f64>; 2],
    pub description: String,
}

/// Walks the directories of a file.
pub(super) struct Directories<'a> {
    file: &'a ReadAt,
    big_endian: bool,
    big: bool,
    next: u64,
    /// Directories that may still come: no file has more than its bytes allow, and circles end.
    left: u64,
    /// The next page is the first.
    first: bool,
}

impl<'a> Directories<'a> {
    /// Reads the header.
    pub fn new(file: &'a ReadAt) -> Result<Self> {
        let mut head = [0; 8];
        file.read(0, &mut head)?;
        let mut walk = Directories {
            file,
            big_endian: head[0] == b'M',
            big: false,
            next: 0,
            left: file.len() / 6,
            first: true,
        };
        walk.big = walk.number(&head[2..4]) == 43;
        walk.next = if walk.big {
            let sizes = [walk.number(&head[4..6]), walk.number(&head[6..8])];
            if sizes != [8, 0] {
                return Err(Error::format(
                    file.path(),
                    "byte 4",
                    format!("BigTIFF offsets of {} bytes", sizes[0]),
                ));
            }
            let mut first = [0; 8];
            file.read(8, &mut first)?;
            walk.number(&first)
        } else {
            walk.number(&head[4..8])
        };
        Ok(walk)
    }

    pub fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let fold = |n: u64, b: &u8| n << 8 | u64::from(*b);
        if self.big_endian {
            bytes.iter().fold(0, fold)
        } else {
            bytes.iter().rev().fold(0, fold)
        }
    }

    /// The next page, `None` behind the last.
    pub fn next(&mut self) -> Result<Option<Page>> {
        if self.next == 0 {
            return Ok(None);
        }
        let at = self.next;
        let fault = |what: String| Error::format(self.file.path(), format!("directory at byte {at}"), what);
        if self.left == 0 {
            return Err(fault("the directories follow each other in a circle".into()));
        }
        self.left -= 1;
        let (count_bytes, entry, word) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let mut head = [0; 8];
        self.file.read(at, &mut head[..count_bytes])?;
        let count = self.number(&head[..count_bytes]);
        if count == 0 || count > MAX_ENTRIES {
            return Err(fault(format!("{count} entries")));
        }
        let size = count as usize * entry;
        let mut bytes = vec![0; size + word];
        let begin = at
            .checked_add(count_bytes as u64)
            .ok_or_else(|| fault("lies beyond all bytes".into()))?;
        self.file.read(begin, &mut bytes)?;
        let mut page = Page {
            samples: 1,
            format: 1,
            compression: 1,
            ..Page::default()
        };
        let (mut offsets, mut counts, mut tiled) = (Vec::new(), Vec::new(), false);
        for e in bytes[..size].chunks_exact(entry) {
            let tag = self.number(&e[..2]);
            let first = |v: Vec<u64>| v.first().copied().unwrap_or(0);
            match tag {
                256 => page.width = first(self.values(e, 1)?),
                257 => page.height = first(self.values(e, 1)?),
                258 => page.bits = first(self.values(e, 1)?),
                259 => page.compression = first(self.values(e, 1)?),
                270 => page.description = self.text(e)?,
                273 => offsets = self.values(e, MAX_VALUES)?,
                277 => page.samples = first(self.values(e, 1)?),
                279 => counts = self.values(e, MAX_VALUES)?,
                282 => page.steps[1] = self.step(e)?,
                283 => page.steps[0] = self.step(e)?,
                322..=325 => tiled = true,
                339 => page.format = first(self.values(e, 1)?),
                _ => {}
            }
        }
        let adjacent = |i: usize| {
            offsets
                .get(i + 1)
                .is_none_or(|n| counts.get(i).is_some_and(|c| offsets[i].checked_add(*c) == Some(*n)))
        };
        if !tiled && !offsets.is_empty() && (0..offsets.len()).all(adjacent) {
            page.pixels = offsets.first().copied();
        }
        // Both are required; where one is missing, pixels are taken for square.
        page.steps[0] = page.steps[0].or(page.steps[1]);
        self.first = false;
        self.next = self.number(&bytes[size..]);
        Ok(Some(page))
    }

    /// Bytes of one of an entry's values, and their number.
    fn extent(&self, e: &[u8]) -> Option<(u64, u64)> {
        let kind = self.number(&e[2..4]);
        let word = if self.big { 8 } else { 4 };
        let count = self.number(&e[4..4 + word]);
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            _ => return None,
        };
        Some((size, count))
    }

    /// The bytes of at most `most` values, and the size of one.
    fn bytes(&self, e: &[u8], most: u64) -> Result<(Vec<u8>, usize)> {
        let word = if self.big { 8 } else { 4 };
        let Some((size, count)) = self.extent(e) else {
            return Ok((Vec::new(), 1));
        };
        let inline = count.checked_mul(size).is_some_and(|n| n <= word);
        let count = count.min(most);
        let value = &e[e.len() - word as usize..];
        let room = |n: u64| vec![0; n as usize];
        let mut out;
        if inline {
            out = room(count * size);
            out.copy_from_slice(&value[..(count * size) as usize]);
        } else {
            let at = self.number(value);
            if at.checked_add(count * size).is_none_or(|end| end > self.file.len()) {
                let what = format!("{count} values at byte {at} lie behind the end of the file");
                return Err(Error::format(self.file.path(), format!("tag {}", self.number(&e[..2])), what));
            }
            out = room(count * size);
            self.file.read(at, &mut out)?;
        }
        Ok((out, size as usize))
    }

    fn values(&self, e: &[u8], most: u64) -> Result<Vec<u64>> {
        let (bytes, size) = self.bytes(e, most)?;
        Ok(bytes.chunks_exact(size).map(|b| self.number(b)).collect())
    }

    fn text(&self, e: &[u8]) -> Result<String> {
        let (bytes, _) = self.bytes(e, if self.first { MAX_FIRST_TEXT } else { MAX_TEXT })?;
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    /// The inverse of a resolution, as the exact fraction has it.
    fn step(&self, e: &[u8]) -> Result<Option<f64>> {
        let (bytes, size) = self.bytes(e, 1)?;
        let parts = bytes.split_at_checked(4).filter(|_| size == 8);
        Ok(parts.map(|(a, b)| self.number(b) as f64 / self.number(a) as f64))
    }
}
