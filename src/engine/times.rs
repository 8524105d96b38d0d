//! What a pass took and moved.

/// Where the time of a pass went, in seconds, and what it moved. Reading, the device and the host work at the same time, so the
/// parts add up to more than the whole; the largest of them is what bounds the pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PassTimes {
    /// From the first read to the last result.
    pub wall: f64,
    /// The reader: from the file into staging memory, decoding included. GPU passes only, as all that follows.
    pub read: f64,
    /// The device copied blocks out of staging memory. 0 where the device has no timestamps.
    pub upload: f64,
    /// The device ran kernels and copied their results. 0 where the device has no timestamps.
    pub device: f64,
    /// The host waited for results, with nothing else to do.
    pub read_back: f64,
    /// The host recorded work and took results in.
    pub host: f64,
    /// Bytes of frames uploaded.
    pub uploaded: u64,
    /// Bytes of results that came back.
    pub returned: u64,
    /// Frames that were on the device already.
    pub resident: u64,
    /// Blocks, one submission each.
    pub blocks: u64,
    /// Dispatches of all blocks.
    pub dispatches: u64,
    /// Operators that ran on the CPU after the device had done the others.
    pub on_cpu: Vec<&'static str>,
}

impl std::fmt::Display for PassTimes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} s", self.wall)?;
        if self.blocks == 0 {
            return Ok(());
        }
        write!(
            f,
            " (read {:.3}, upload {:.3}, device {:.3}, read-back {:.3}, host {:.3} s; {:.1} MB up, {:.1} MB back, \
             {} frames resident, {} blocks, {} dispatches",
            self.read,
            self.upload,
            self.device,
            self.read_back,
            self.host,
            self.uploaded as f64 / 1e6,
            self.returned as f64 / 1e6,
            self.resident,
            self.blocks,
            self.dispatches
        )?;
        if !self.on_cpu.is_empty() {
            write!(f, "; on the CPU: {}", self.on_cpu.join(", "))?;
        }
        f.write_str(")")
    }
}
