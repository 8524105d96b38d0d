//! The way in for fuzzers: arbitrary bytes as a file of a given format.

use super::open::OpenOptions;
use super::{Scan, blo, dm, h5, npy, raw, readat::ReadAt, tiff};
use crate::control::Control;
use crate::error::{Error, Result};

/// A format to read bytes as, whatever their first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FuzzFormat {
    Blo,
    Dm,
    Npy,
    Raw,
    Hdf5,
    Tiff,
}

/// Opens `bytes` as a file of `format` and reads its first, middle and last frame; most bytes end in an error, none may do worse.
///
/// # Errors
/// Those of opening and reading.
pub fn fuzz_bytes(format: FuzzFormat, bytes: &[u8]) -> Result<()> {
    let io = |e| Error::io("temporary file", "cannot write", e);
    let file = tempfile::NamedTempFile::new().map_err(io)?;
    std::fs::write(file.path(), bytes).map_err(io)?;
    let mut control = Control::new();
    control.memory = 64 << 20;
    let mut options = OpenOptions::default();
    let opened = ReadAt::open(file.path())?;
    let scan = match format {
        FuzzFormat::Blo => blo::open(opened, &options)?,
        FuzzFormat::Dm => dm::open(opened, &options)?,
        FuzzFormat::Tiff => tiff::open(opened, &options)?,
        FuzzFormat::Npy => npy::open(opened, &options)?,
        FuzzFormat::Hdf5 => h5::open(opened, &options, &control)?,
        FuzzFormat::Raw => {
            // The first bytes choose shape and type, so that these are explored too.
            let at = |i: usize| usize::from(bytes.get(i).copied().unwrap_or(1));
            let types = ["u8", "i8", ">u2", "i16", "u32", ">i4", "<u8", "i64", "f32", ">f8"];
            options.sig_shape = Some([at(0), at(1)]);
            options.dtype = types.get(at(2) % types.len()).map(|t| (*t).to_owned());
            options.offset = Some(at(3) as u64);
            options.sync_offset = at(4) as i64 - 128;
            raw::open(opened, &options)?
        }
    };
    read_some(scan.as_ref(), &control)
}

fn read_some(scan: &dyn Scan, control: &Control) -> Result<()> {
    let (frames, stride) = (scan.info().frames(), scan.info().frame.stride());
    // As the engine does it: memory is asked for what fits, not for what a header claims.
    if stride as u64 > control.memory / 4 {
        return Err(Error::Memory {
            what: format!("frames of {stride} bytes"),
        });
    }
    let mut out = vec![0; 3 * stride];
    scan.read(&[0, frames / 2, frames - 1], stride, &mut out, control)
}
