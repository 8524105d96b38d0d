//! Formats whose frames lie one after the other: `.npy`, `.blo`, TIFF.

use super::{Format, NewScan, Place, ScanWriter, tiff};
use crate::error::{Error, Result};
use crate::io::Axis;
use crate::io::blo::{self, HEADER, MAGIC};
use crate::pixel::Pixel;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Byte of the bright-field image in every block file seen so far.
const BRIGHT_FIELD_AT: u32 = 0x1000;
/// What stands before every frame of a block file.
const MARKER: usize = 6;

/// What is particular about a format.
enum Kind {
    Npy,
    /// Every frame behind a marker with its number; its mean goes to the bright-field image.
    Blo,
    /// Directories of the pages stand behind the last frame.
    Tiff(tiff::Layout),
}

struct FlatWriter {
    file: File,
    name: PathBuf,
    scan: NewScan,
    kind: Kind,
    /// Byte of the first frame or its marker.
    start: u64,
}

/// Begins a file.
pub(super) fn begin(format: Format, place: Place<'_>, scan: &NewScan) -> Result<Box<dyn ScanWriter>> {
    let (kind, head) = layout(format, place.name, scan)?;
    let failed = |e| Error::io(place.name, "cannot write", e);
    let file = File::create(place.at).map_err(|e| Error::io(place.name, "cannot create", e))?;
    write_all_at(&file, &head, 0).map_err(failed)?;
    Ok(Box::new(FlatWriter {
        file,
        name: place.name(),
        scan: scan.clone(),
        kind,
        start: head.len() as u64,
    }))
}

/// Goes on with a file whose head is the one that [`begin`] would write.
pub(super) fn resume(format: Format, place: Place<'_>, scan: &NewScan) -> Result<Option<Box<dyn ScanWriter>>> {
    let (kind, head) = layout(format, place.name, scan)?;
    let same = crate::io::readat::ReadAt::open(place.at).and_then(|file| {
        let mut found = vec![0; head.len().min(file.len() as usize)];
        file.read(0, &mut found)?;
        Ok(found == head)
    });
    let (Ok(true), Ok(file)) = (same, File::options().write(true).open(place.at)) else {
        return Ok(None);
    };
    Ok(Some(Box::new(FlatWriter {
        file,
        name: place.name(),
        scan: scan.clone(),
        kind,
        start: head.len() as u64,
    })))
}

/// What stands before the first frame.
fn layout(format: Format, name: &Path, scan: &NewScan) -> Result<(Kind, Vec<u8>)> {
    match format {
        Format::Npy => Ok((Kind::Npy, npy_head(scan))),
        Format::Blo => Ok((Kind::Blo, blo_head(name, scan)?)),
        Format::Tiff => {
            let layout = tiff::Layout::new(name, scan)?;
            let head = layout.head();
            Ok((Kind::Tiff(layout), head))
        }
        f => Err(Error::Internal(format!("{} files are not flat", f.name()))),
    }
}

/// NumPy's header, padded so that the pixels begin at a multiple of 64 bytes.
fn npy_head(scan: &NewScan) -> Vec<u8> {
    let order = match scan.frame.pixel.bytes() {
        1 => '|',
        _ if cfg!(target_endian = "big") => '>',
        _ => '<',
    };
    let shape = format!(
        "({}, {}, {}, {})",
        scan.nav[0], scan.nav[1], scan.frame.height, scan.frame.width
    );
    let code = numpy_code(scan.frame.pixel);
    let mut text = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': {shape}, }}");
    let padded = (10 + text.len() + 1).next_multiple_of(64) - 10;
    text.push_str(&" ".repeat(padded - text.len() - 1));
    text.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((padded as u16).to_le_bytes());
    out.extend(text.as_bytes());
    out
}

/// NumPy's code of a pixel type without byte order.
pub(super) fn numpy_code(pixel: Pixel) -> &'static str {
    match pixel {
        Pixel::U8 => "u1",
        Pixel::I8 => "i1",
        Pixel::U16 => "u2",
        Pixel::I16 => "i2",
        Pixel::U32 => "u4",
        Pixel::I32 => "i4",
        Pixel::F32 => "f4",
    }
}

/// A block file's header and the room for its bright-field image.
///
/// # Errors
/// [`Error::Parameter`] unless frames are square and `u8` and the shapes fit 16 bits.
fn blo_head(name: &Path, scan: &NewScan) -> Result<Vec<u8>> {
    let frame = scan.frame;
    let wrong = |what: String| Err(Error::parameter("-o", format!("{}: a block file {what}", name.display())));
    if frame.pixel != Pixel::U8 || frame.height != frame.width {
        return wrong(format!(
            "holds square u8 frames, not {}x{} {}",
            frame.height, frame.width, frame.pixel
        ));
    }
    let [Ok(ny), Ok(nx), Ok(edge)] = [scan.nav[0], scan.nav[1], frame.height].map(u16::try_from) else {
        return wrong("has at most 65535 rows and columns".into());
    };
    let frames_at = u64::from(ny) * u64::from(nx) + u64::from(BRIGHT_FIELD_AT);
    let Ok(frames_at) = u32::try_from(frames_at.next_multiple_of(16)) else {
        return wrong("has at most 4 billion scan positions".into());
    };
    // Programs divide by these: 1 nm steps and 1 pixel per centimetre stand for "not calibrated", which the note says.
    let step = |axis: &Axis| in_metres(axis).map_or(1.0, |m| m * 1e9);
    let on_screen = in_metres(&scan.sig_axes[0]).filter(|_| scan.sig_axes[0] == scan.sig_axes[1]);
    let per_cm = on_screen.map(|m| (1.0 / m).round()).filter(|n| (1.0..=65535.0).contains(n));
    let mut head = vec![0; HEADER];
    head[..6].copy_from_slice(MAGIC);
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(6, &0x0102u16.to_le_bytes());
    put(8, &BRIGHT_FIELD_AT.to_le_bytes());
    put(12, &frames_at.to_le_bytes());
    // Flags that the files of the instrument's own software carry.
    put(16, &131_141u32.to_le_bytes());
    put(20, &edge.to_le_bytes());
    put(24, &nx.to_le_bytes());
    put(26, &ny.to_le_bytes());
    put(30, &step(&scan.nav_axes[1]).to_le_bytes());
    put(38, &step(&scan.nav_axes[0]).to_le_bytes());
    // Detector pixels per centimetre, times 100: the same as pixels per metre.
    put(50, &(per_cm.unwrap_or(100.0) as u16).to_le_bytes());
    let unknown = [
        (blo::NO_STEP, scan.nav_axes.iter().any(|a| in_metres(a).is_none())),
        (blo::NO_SCALE, per_cm.is_none()),
    ];
    for (note, _) in unknown.iter().filter(|(_, missing)| *missing) {
        head.extend_from_slice(note);
    }
    head.resize(frames_at as usize, 0);
    Ok(head)
}

/// What a block file of `scan` does not keep of its calibration.
pub(crate) fn lost_in_blo(scan: &NewScan) -> Option<&'static str> {
    let lost = |axes: &[Axis]| axes.iter().any(|a| a.scale.is_some() && in_metres(a).is_none());
    match (lost(&scan.nav_axes), lost(&scan.sig_axes)) {
        (false, false) => None,
        (true, false) => Some("block files keep no step of the scan that is not a length"),
        (false, true) => Some("block files keep no scale of the detector that is not a length"),
        (true, true) => Some("block files keep no steps and scales that are not lengths"),
    }
}

/// The step of an axis in metres, where it is a length.
fn in_metres(axis: &Axis) -> Option<f64> {
    let factor = match axis.unit.as_str() {
        "m" => 1.0,
        "cm" => 1e-2,
        "mm" => 1e-3,
        "µm" | "um" | "μm" | "micron" => 1e-6,
        "nm" => 1e-9,
        "Å" | "A" | "Angstrom" => 1e-10,
        "pm" => 1e-12,
        _ => return None,
    };
    axis.scale.map(|s| s * factor)
}

impl ScanWriter for FlatWriter {
    fn put(&self, first: u64, frames: &[u8]) -> Result<()> {
        self.scan.check(&self.name, first, frames.len())?;
        let failed = |e| Error::io(&self.name, "cannot write", e);
        let size = self.scan.frame.bytes();
        if !matches!(self.kind, Kind::Blo) {
            return write_all_at(&self.file, frames, self.start + first * size as u64).map_err(failed);
        }
        let step = size + MARKER;
        let mut marked = Vec::with_capacity(frames.len() / size * step);
        let mut means = Vec::new();
        for (frame, i) in frames.chunks_exact(size).zip(first..) {
            let sum: u64 = frame.iter().map(|&v| u64::from(v)).sum();
            means.push((sum / size as u64) as u8);
            // At most 65535² frames: the number fits.
            marked.extend([0xAA, 0x55]);
            marked.extend((i as u32).to_le_bytes());
            marked.extend_from_slice(frame);
        }
        write_all_at(&self.file, &marked, self.start + first * step as u64).map_err(failed)?;
        write_all_at(&self.file, &means, u64::from(BRIGHT_FIELD_AT) + first).map_err(failed)
    }
    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io(&self.name, "cannot write", e))
    }
    fn suspend(self: Box<Self>) -> Result<()> {
        self.sync()
    }
    fn finish(self: Box<Self>) -> Result<()> {
        if let Kind::Tiff(layout) = &self.kind {
            layout
                .write_directories(&self.file)
                .map_err(|e| Error::io(&self.name, "cannot write", e))?;
        }
        self.sync()
    }
}

/// Writes all of `bytes` at a place of a file.
pub(crate) fn write_all_at(file: &File, bytes: &[u8], at: u64) -> std::io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, at);
    #[cfg(windows)]
    {
        let mut done = 0;
        while done < bytes.len() {
            match std::os::windows::fs::FileExt::seek_write(file, &bytes[done..], at + done as u64)? {
                0 => return Err(std::io::ErrorKind::WriteZero.into()),
                n => done += n,
            }
        }
        Ok(())
    }
}
