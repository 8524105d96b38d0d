use super::{Counter, FrameWriter};
use crate::error::{Error, Result};
use crate::io::output;
use crate::pixel::{FrameShape, Pixel};
use std::io::{BufWriter, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// Writes NumPy's `.npy`: (ny, nx, height, width) in C order, native-endian.
pub struct NpyWriter {
    out: BufWriter<NamedTempFile>,
    count: Counter,
    overwrite: bool,
}

impl NpyWriter {
    /// Starts the file beside `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, nav: [usize; 2], frame: FrameShape, overwrite: bool) -> Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, output::temp_file(path, overwrite)?);
        out.write_all(&header(nav, frame))
            .map_err(|e| Error::io(path, "cannot write", e))?;
        Ok(NpyWriter {
            out,
            count: Counter::new(path, nav, frame),
            overwrite,
        })
    }
}

/// The header, padded so that the pixels begin at a multiple of 64 bytes.
fn header(nav: [usize; 2], frame: FrameShape) -> Vec<u8> {
    let order = match frame.pixel.bytes() {
        1 => '|',
        _ if cfg!(target_endian = "big") => '>',
        _ => '<',
    };
    let code = match frame.pixel {
        Pixel::U8 => "u1",
        Pixel::I8 => "i1",
        Pixel::U16 => "u2",
        Pixel::I16 => "i2",
        Pixel::U32 => "u4",
        Pixel::I32 => "i4",
        Pixel::F32 => "f4",
    };
    let shape = format!("({}, {}, {}, {})", nav[0], nav[1], frame.height, frame.width);
    let mut text = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': {shape}, }}");
    let padded = (10 + text.len() + 1).next_multiple_of(64) - 10;
    text.push_str(&" ".repeat(padded - text.len() - 1));
    text.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((padded as u16).to_le_bytes());
    out.extend(text.as_bytes());
    out
}

impl FrameWriter for NpyWriter {
    fn write(&mut self, frames: &[u8]) -> Result<()> {
        self.count.add(frames.len())?;
        self.out
            .write_all(frames)
            .map_err(|e| Error::io(&self.count.path, "cannot write", e))
    }
    fn finish(self: Box<Self>) -> Result<()> {
        self.count.complete()?;
        let path = &self.count.path;
        let file = self
            .out
            .into_inner()
            .map_err(|e| Error::io(path, "cannot write", e.into_error()))?;
        output::persist(file.into_temp_path(), path, self.overwrite)
    }
}
