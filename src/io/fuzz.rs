//! The way in for fuzzers: arbitrary bytes as a file of a given format.

use super::open::OpenOptions;
use super::{Scan, blo, dm, ebsd, empad, h5, mib, mrc, npy, raw, readat::ReadAt, ser, tiff, tvips, zarr};
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
    Mib,
    /// The `.hdr` file beside a `.mib` file: two bytes tell its length, the rest are frames.
    Hdr,
    /// EMPAD's description: two bytes tell its length, the rest are frames.
    Empad,
    Mrc,
    Ser,
    /// A TVIPS stream in two parts: two bytes tell the length of the second.
    Tvips,
    /// A zip archive with a zarr hierarchy.
    Zarr,
    /// A zarr array in a folder: two bytes tell the length of its description, the rest is its first chunk.
    ZarrArray,
    /// An Oxford `.ctf` and an EDAX `.ang`.
    Ctf,
    Ang,
    /// A zip archive of images.
    Zip,
    /// A folder with one image; the first byte chooses its kind.
    Image,
    /// EDAX's `.up1` and `.up2`.
    Up1,
    Up2,
    /// Oxford's `.ebsp`.
    Ebsp,
    /// An EBSD map in HDF5, of any maker.
    EbsdHdf5,
    /// NORDIF: two bytes tell how many of the next are its settings, the rest are patterns.
    Nordif,
}

/// Opens `bytes` as a file of `format` and reads its first, middle and last frame; most bytes end in an error, none may do worse.
///
/// # Errors
/// Those of opening and reading.
pub fn fuzz_bytes(format: FuzzFormat, bytes: &[u8]) -> Result<()> {
    let io = |e| Error::io("temporary file", "cannot write", e);
    if let Some(result) = ebsd_bytes(format, bytes) {
        return result;
    }
    if let Some(result) = several(format, bytes) {
        return result;
    }
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
        FuzzFormat::Zarr => zarr::open(file.path(), &options, &control)?,
        FuzzFormat::Mib => mib::open(opened, &options)?,
        FuzzFormat::Mrc => mrc::open(opened, &options)?,
        FuzzFormat::Ser => ser::open(opened, &options)?,
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
        // These went another way.
        _ => return Ok(()),
    };
    read_some(scan.as_ref(), &control)
}

/// `bytes` behind their first two, cut in two where these say.
fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_at(bytes.len().min(2));
    let length = length.iter().fold(0, |n, &b| 256 * n + usize::from(b)).min(rest.len());
    rest.split_at(length)
}

/// The same for scans of two files; `None` for other formats.
fn several(format: FuzzFormat, bytes: &[u8]) -> Option<Result<()>> {
    let io = |e| Error::io("temporary file", "cannot write", e);
    let names = match format {
        FuzzFormat::Hdr => ["scan.hdr", "scan.mib"],
        FuzzFormat::Empad => ["scan.xml", "scan.raw"],
        FuzzFormat::Tvips => ["scan_001.tvips", "scan_000.tvips"],
        FuzzFormat::ZarrArray => [".zarray", "0.0.0"],
        _ => return None,
    };
    let work = || {
        let dir = tempfile::tempdir().map_err(io)?;
        let (first, second) = halves(bytes);
        let paths = names.map(|n| dir.path().join(n));
        for (path, bytes) in paths.iter().zip([first, second]) {
            std::fs::write(path, bytes).map_err(io)?;
        }
        let mut control = Control::new();
        control.memory = 64 << 20;
        let (file, options) = (ReadAt::open(&paths[0])?, OpenOptions::default());
        if format == FuzzFormat::ZarrArray {
            return read_some(zarr::open(dir.path(), &options, &control)?.as_ref(), &control);
        }
        let scan = match format {
            FuzzFormat::Hdr => mib::open(file, &options)?,
            FuzzFormat::Empad => empad::open(file, &options)?,
            _ => tvips::open(file, &options)?,
        };
        read_some(scan.as_ref(), &control)
    };
    Some(work())
}

/// The same for EBSD files, which are known by their names; `None` for other formats.
fn ebsd_bytes(format: FuzzFormat, bytes: &[u8]) -> Option<Result<()>> {
    let io = |e| Error::io("temporary file", "cannot write", e);
    let dir = match tempfile::tempdir().map_err(io) {
        Ok(dir) => dir,
        Err(e) => return Some(Err(e)),
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).map_err(io).map(|()| path)
    };
    let mut control = Control::new();
    control.memory = 64 << 20;
    let patterns = |path: std::path::PathBuf| {
        let map = ebsd::open(&path, &OpenOptions::default(), &control)?;
        read_some(&*map.scan, &control)
    };
    Some(match format {
        FuzzFormat::Ctf => write("map.ctf", bytes).and_then(|p| ebsd::read_ctf(&p).map(drop)),
        FuzzFormat::Ang => write("map.ang", bytes).and_then(|p| ebsd::read_ang(&p).map(drop)),
        FuzzFormat::Zip => write("patterns.zip", bytes).and_then(patterns),
        FuzzFormat::Up1 => write("map.up1", bytes).and_then(patterns),
        FuzzFormat::Up2 => write("map.up2", bytes).and_then(patterns),
        FuzzFormat::Ebsp => write("map.ebsp", bytes).and_then(patterns),
        FuzzFormat::EbsdHdf5 => write("map.h5", bytes).and_then(patterns),
        FuzzFormat::Image => {
            let (kind, image) = bytes.split_first().unwrap_or((&0, &[]));
            let ending = ["tiff", "png", "bmp", "txt"][usize::from(*kind) % 4];
            write(&format!("0_0.{ending}"), image).and_then(|_| patterns(dir.path().to_owned()))
        }
        FuzzFormat::Nordif => {
            let (settings, stack) = halves(bytes);
            let both = write("Setting.txt", settings).and_then(|_| write("Pattern.dat", stack));
            both.and_then(patterns)
        }
        _ => return None,
    })
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
