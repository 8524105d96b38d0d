//! Positional reads: every thread reads the same open file at its own offsets.

use crate::error::{Error, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// An open regular file that is read by offset. Its length is taken once, when it is opened.
#[derive(Debug)]
pub(crate) struct ReadAt {
    file: File,
    path: PathBuf,
    len: u64,
}

/// A stretch of file that goes to one place in memory.
pub(crate) type Piece<'a> = &'a mut [u8];

impl ReadAt {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// [`Error::Io`] if it does not exist, may not be read, or is not a regular file (opening a pipe would wait for a writer).
    pub fn open(path: &Path) -> Result<ReadAt> {
        let meta = std::fs::metadata(path).map_err(|e| Error::io(path, "cannot open", e))?;
        if !meta.is_file() {
            let kind = if meta.is_dir() {
                "is a directory"
            } else {
                "is not a regular file"
            };
            return Err(Error::io(
                path,
                "cannot open",
                std::io::Error::new(std::io::ErrorKind::InvalidInput, kind),
            ));
        }
        let file = File::open(path).map_err(|e| Error::io(path, "cannot open", e))?;
        Ok(ReadAt {
            file,
            path: path.to_owned(),
            len: meta.len(),
        })
    }
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Bytes of the file when it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Fills `out` from byte `offset` on.
    ///
    /// # Errors
    /// [`Error::Format`] naming the offset if the file ends before that, [`Error::Io`] otherwise.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            match self.read_some(at, &mut out[done..]) {
                Ok(0) => {
                    let missing = out.len() - done;
                    let what = format!("the file ends here, {missing} bytes early (it may have been cut while being read)");
                    return Err(Error::format(&self.path, format!("byte {at}"), what));
                }
                Ok(n) => done += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let e = std::io::Error::new(e.kind(), format!("at byte {at}: {e}"));
                    return Err(Error::io(&self.path, "cannot read", e));
                }
            }
        }
        Ok(())
    }

    #[cfg(unix)]
    fn read_some(&self, offset: u64, out: &mut [u8]) -> std::io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, out, offset)
    }
    #[cfg(windows)]
    fn read_some(&self, offset: u64, out: &mut [u8]) -> std::io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, out, offset)
    }

    /// Fills `pieces` one after the other from byte `offset` on, with one call of the system where it offers that (Linux): no second
    /// copy for frames that lie apart in memory.
    ///
    /// # Errors
    /// As [`ReadAt::read`].
    pub fn read_scattered(&self, offset: u64, pieces: &mut [Piece<'_>]) -> Result<()> {
        let total: usize = pieces.iter().map(|p| p.len()).sum();
        if self.read_vectored(offset, pieces) == total {
            return Ok(());
        }
        // Interrupted, short or unavailable: piece by piece, with exact errors.
        let mut at = offset;
        for piece in pieces {
            self.read(at, piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Bytes that one `preadv` delivered, 0 when it failed.
    #[cfg(target_os = "linux")]
    fn read_vectored(&self, offset: u64, pieces: &mut [Piece<'_>]) -> usize {
        use std::os::fd::AsRawFd;
        let vectors: Vec<libc::iovec> = pieces
            .iter_mut()
            .map(|p| libc::iovec {
                iov_base: p.as_mut_ptr().cast(),
                iov_len: p.len(),
            })
            .collect();
        let (Ok(count), Ok(offset)) = (i32::try_from(vectors.len()), i64::try_from(offset)) else {
            return 0;
        };
        // SAFETY: every vector is an exclusively borrowed slice that outlives the call; the descriptor is open.
        let n = unsafe { libc::preadv64(self.file.as_raw_fd(), vectors.as_ptr(), count, offset) };
        usize::try_from(n).unwrap_or(0)
    }
    #[cfg(not(target_os = "linux"))]
    fn read_vectored(&self, _offset: u64, _pieces: &mut [Piece<'_>]) -> usize {
        0
    }

    /// Hints that `len` bytes from `offset` on will be read soon.
    #[cfg(target_os = "linux")]
    pub fn will_need(&self, offset: u64, len: u64) {
        use std::os::fd::AsRawFd;
        let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
            return;
        };
        // SAFETY: takes plain numbers and an open descriptor; the answer is a hint's and may be ignored.
        unsafe { libc::posix_fadvise64(self.file.as_raw_fd(), offset, len, libc::POSIX_FADV_WILLNEED) };
    }
    #[cfg(not(target_os = "linux"))]
    pub fn will_need(&self, _offset: u64, _len: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_at_offsets_and_names_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bytes.bin");
        let bytes: Vec<u8> = (0..200).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = ReadAt::open(&path).unwrap();
        let mut out = [0; 5];
        file.read(17, &mut out).unwrap();
        assert_eq!(out, [17, 18, 19, 20, 21]);
        let (mut a, mut b) = ([0; 3], [0; 4]);
        file.read_scattered(100, &mut [&mut a, &mut b]).unwrap();
        assert_eq!((a, b), ([100, 101, 102], [103, 104, 105, 106]));
        let e = file.read(198, &mut out).unwrap_err().to_string();
        assert!(e.contains("bytes.bin: byte 200: the file ends here, 3 bytes early"), "{e}");
        let e = file.read_scattered(196, &mut [&mut a, &mut b]).unwrap_err().to_string();
        assert!(e.contains("byte 200: the file ends here, 3 bytes early"), "{e}");
        file.will_need(0, 200);
    }

    #[test]
    fn folders_and_missing_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ReadAt::open(dir.path()).unwrap_err().to_string().contains("is a directory"));
        let e = ReadAt::open(&dir.path().join("none.raw")).unwrap_err().to_string();
        assert!(e.contains("none.raw: cannot open"), "{e}");
    }
}
