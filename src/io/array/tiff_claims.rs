//! What the directories of a TIFF file claim, checked before they are decoded: the decoder takes memory for the values of a tag as soon as it is
//! made, before any limit of ours can reach it. On the way pages are found that it would invert.

use crate::error::{Error, Result};
use crate::io::limits::MAX_EDGE;
use std::collections::HashSet;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// Photometric interpretation: 0 for WhiteIsZero.
const INTERPRETATION: u16 = 262;
/// Width and height of tiles.
const TILE_EDGES: [u16; 2] = [322, 323];

/// Bytes of one value of a TIFF type.
fn size_of_type(kind: u16) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 1,
    }
}

/// Goes through all directories and leaves `file` at its first byte. Damage that costs no memory is left to the decoder's own errors.
/// Returns the bytes that hold the 0 of WhiteIsZero, as [`super::raw_counts::RawCounts`] takes them.
///
/// # Errors
/// [`Error::Limit`] for a tag with more values than the whole file could hold, and for tiles above [`MAX_EDGE`]; [`Error::Io`].
pub(crate) fn check(path: &Path, file: &mut (impl Read + Seek)) -> Result<Vec<u64>> {
    let mut white = Vec::new();
    let found = walk(path, file, &mut white);
    let failed = |e| Error::io(path, "cannot read", e);
    match found {
        Ok(claims) => claims?,
        // Where the file ends too early, the decoder says what is missing.
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => {}
        Err(e) => return Err(failed(e)),
    }
    file.rewind().map_err(failed)?;
    Ok(white)
}

fn walk(path: &Path, file: &mut (impl Read + Seek), white: &mut Vec<u64>) -> std::io::Result<Result<()>> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut head = [0; 16];
    file.read_exact(&mut head[..8])?;
    let little = head[0] == b'I';
    let number = |bytes: &[u8]| {
        let add = |n: u64, &b: &u8| n << 8 | u64::from(b);
        if little {
            bytes.iter().rev().fold(0, add)
        } else {
            bytes.iter().fold(0, add)
        }
    };
    let big = number(&head[2..4]) == 43;
    // Bytes of offsets, of the number of entries, and of an entry.
    let (word, count_bytes, entry_bytes) = if big { (8, 8, 20) } else { (4, 2, 12) };
    if big {
        file.read_exact(&mut head[8..])?;
    }
    let mut next = if big { number(&head[8..]) } else { number(&head[4..8]) };
    let mut seen = HashSet::new();
    while next != 0 && next < length && seen.insert(next) {
        file.seek(SeekFrom::Start(next))?;
        let mut bytes = [0; 20];
        file.read_exact(&mut bytes[..count_bytes])?;
        let entries = number(&bytes[..count_bytes]);
        // Ends with the file at the latest.
        for i in 0..entries {
            let entry = &mut bytes[..entry_bytes];
            file.read_exact(entry)?;
            let tag = number(&entry[..2]) as u16;
            let kind = number(&entry[2..4]) as u16;
            let count = number(&entry[4..4 + word]);
            if count.checked_mul(size_of_type(kind)).is_none_or(|n| n > length) {
                let what = format!("tag {tag} of the directory at byte {next} claims {count} values in a file of {length} bytes");
                return Ok(Err(Error::limit(path, what)));
            }
            let value = &entry[4 + word..];
            let size = size_of_type(kind) as usize;
            if tag == INTERPRETATION && count == 1 && size <= word && number(&value[..size]) == 0 {
                let lowest = if little { 0 } else { size - 1 };
                let begin = next + count_bytes as u64 + i * entry_bytes as u64;
                white.push(begin + (4 + word + lowest) as u64);
            }
            let value = if kind == 3 { number(&value[..2]) } else { number(value) };
            if TILE_EDGES.contains(&tag) && matches!(kind, 3 | 4 | 16) && value > MAX_EDGE {
                let what = format!("tiles with an edge of {value} pixels; at most {MAX_EDGE} are read");
                return Ok(Err(Error::limit(path, what)));
            }
        }
        file.read_exact(&mut bytes[..word])?;
        next = number(&bytes[..word]);
    }
    Ok(Ok(()))
}
