//! Recognising an input again without reading all of it.

use super::folder::{Member, members};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

const END: u64 = 64 << 10;
const BLOCK: u64 = 4 << 10;
const BLOCKS: u64 = 16;
/// Files of a folder that are looked into.
const FILES: usize = 16;

/// Fingerprint of a file: `xxh3-128:` and 32 hex digits, of its length (8 bytes, little-endian), its first and last 64 KiB, and
/// 16 blocks of 4 KiB evenly spaced between them. Files up to 192 KiB are hashed whole after their length. Of a folder: names and lengths of
/// all files in it, in order, then the fingerprints of 16 of them, evenly spaced.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read.
pub fn fingerprint(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    if path.is_dir() {
        return of_folder(path, &members(path)?);
    }
    let failed = |e| Error::io(path, "cannot read", e);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut hash = Xxh3::new();
    hash.update(&length.to_le_bytes());
    for (offset, bytes) in samples(length) {
        let mut buffer = vec![0; bytes as usize];
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        file.read_exact(&mut buffer).map_err(failed)?;
        hash.update(&buffer);
    }
    Ok(format!("xxh3-128:{:032x}", hash.digest128()))
}

/// Fingerprint of a folder with these members.
pub(super) fn of_folder(folder: &Path, members: &[Member]) -> Result<String> {
    let mut hash = Xxh3::new();
    for member in members {
        for part in &member.path {
            hash.update(part.as_encoded_bytes());
            hash.update(b"/");
        }
        hash.update(&member.bytes.to_le_bytes());
    }
    let step = members.len().div_ceil(FILES).max(1);
    for member in members.iter().step_by(step) {
        hash.update(fingerprint(folder.join(&member.path))?.as_bytes());
    }
    Ok(format!("xxh3-128:{:032x}", hash.digest128()))
}

/// Offsets and lengths of the parts that are hashed.
fn samples(length: u64) -> Vec<(u64, u64)> {
    if length <= 2 * END + BLOCKS * BLOCK {
        return vec![(0, length)];
    }
    let between = length - 2 * END - BLOCK;
    let spaced = (0..BLOCKS).map(|i| (END + (between as u128 * i as u128 / (BLOCKS - 1) as u128) as u64, BLOCK));
    std::iter::once((0, END)).chain(spaced).chain([(length - END, END)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_cover_both_ends_and_stay_inside() {
        assert_eq!(samples(0), [(0, 0)]);
        assert_eq!(samples(196_608), [(0, 196_608)]);
        let parts = samples(500 << 30);
        assert_eq!(parts.len(), 18);
        assert_eq!(parts[0], (0, 65_536));
        assert_eq!(parts[1].0, 65_536);
        assert_eq!(parts[16].0 + parts[16].1, (500 << 30) - 65_536);
        assert_eq!(parts[17].0 + parts[17].1, 500 << 30);
        assert!(parts.windows(2).all(|p| p[0].0 + p[0].1 <= p[1].0));
    }
}
