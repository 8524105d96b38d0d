use super::{Counter, FrameWriter};
use crate::error::{Error, Result};
use crate::io::blo::{HEADER, MAGIC};
use crate::io::output;
use crate::pixel::{FrameShape, Pixel};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// Byte of the bright-field image in every file seen so far.
const BRIGHT_FIELD_AT: u32 = 0x1000;

/// Writes NanoMEGAS block files. The bright-field image holds the mean of every frame, one byte a scan position in memory.
pub struct BloWriter {
    out: BufWriter<NamedTempFile>,
    count: Counter,
    overwrite: bool,
    means: Vec<u8>,
}

impl BloWriter {
    /// Starts the file beside `path`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless frames are square and `u8` and the shapes fit 16 bits, [`Error::Io`].
    pub fn create(path: &Path, nav: [usize; 2], frame: FrameShape, overwrite: bool) -> Result<Self> {
        let wrong = |what: String| Err(Error::parameter("-o", format!("{}: a block file {what}", path.display())));
        if frame.pixel != Pixel::U8 || frame.height != frame.width {
            return wrong(format!(
                "holds square u8 frames, not {}x{} {}",
                frame.height, frame.width, frame.pixel
            ));
        }
        let [Ok(ny), Ok(nx), Ok(edge)] = [nav[0], nav[1], frame.height].map(u16::try_from) else {
            return wrong("has at most 65535 rows and columns".into());
        };
        let frames_at = u64::from(ny) * u64::from(nx) + u64::from(BRIGHT_FIELD_AT);
        let Ok(frames_at) = u32::try_from(frames_at.next_multiple_of(16)) else {
            return wrong("has at most 4 billion scan positions".into());
        };
        let mut out = BufWriter::with_capacity(1 << 20, output::temp_file(path, overwrite)?);
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
        // Programs divide by these: 1 nm steps and 1 pixel per centimetre stand for "not calibrated".
        put(30, &1f64.to_le_bytes());
        put(38, &1f64.to_le_bytes());
        put(50, &100u16.to_le_bytes());
        head.resize(frames_at as usize, 0);
        out.write_all(&head).map_err(|e| Error::io(path, "cannot write", e))?;
        Ok(BloWriter {
            out,
            count: Counter::new(path, nav, frame),
            overwrite,
            means: Vec::new(),
        })
    }
}

impl FrameWriter for BloWriter {
    fn write(&mut self, frames: &[u8]) -> Result<()> {
        let first = self.count.done;
        self.count.add(frames.len())?;
        for (frame, i) in frames.chunks_exact(self.count.frame_bytes).zip(first..) {
            let sum: u64 = frame.iter().map(|&v| u64::from(v)).sum();
            self.means.push((sum / frame.len() as u64) as u8);
            // At most 65535² frames: the number fits.
            let number = (i as u32).to_le_bytes();
            let marker = [0xAA, 0x55, number[0], number[1], number[2], number[3]];
            let written = self.out.write_all(&marker).and_then(|()| self.out.write_all(frame));
            written.map_err(|e| Error::io(&self.count.path, "cannot write", e))?;
        }
        Ok(())
    }
    fn finish(mut self: Box<Self>) -> Result<()> {
        self.count.complete()?;
        let path = &self.count.path;
        let at = SeekFrom::Start(u64::from(BRIGHT_FIELD_AT));
        let written = self.out.seek(at).and_then(|_| self.out.write_all(&self.means));
        written.map_err(|e| Error::io(path, "cannot write", e))?;
        let file = self
            .out
            .into_inner()
            .map_err(|e| Error::io(path, "cannot write", e.into_error()))?;
        output::persist(file.into_temp_path(), path, self.overwrite)
    }
}
