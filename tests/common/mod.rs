//! What tests share: scans with known pixels, the software GPU.
#![allow(dead_code)]

pub mod disorder;

use emstream::backend::gpu::{Gpu, GpuChoice};
use emstream::engine::Backend;
use emstream::io::memory::MemoryScan;
use emstream::pixel::Sample;

/// A fixed sequence of well-mixed 64-bit numbers (SplitMix64).
pub struct Mix(pub u64);
impl Mix {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Counts as a detector sees them: mostly few, some many, over the whole range of the type now and then.
pub fn counts(n: usize, seed: u64) -> impl Iterator<Item = u32> {
    let mut mix = Mix(seed);
    (0..n).map(move |_| {
        let r = mix.next();
        match r & 15 {
            0 => (r >> 32) as u32,
            1..=4 => (r >> 8) as u32 & 255,
            _ => (r >> 8) as u32 & 3,
        }
    })
}

/// A scan of pixels made by `make` from [`counts`].
pub fn scan<T: Sample>(nav: [usize; 2], sig: [usize; 2], seed: u64, make: impl Fn(u32) -> T) -> MemoryScan<T> {
    let n = nav[0] * nav[1] * sig[0] * sig[1];
    MemoryScan::new(nav, sig, counts(n, seed).map(make).collect()).expect("consistent shapes")
}

/// The GPU of the tests: the one that EMSTREAM_GPU names, else software Vulkan. A test that needs it fails without.
pub fn gpu() -> Backend {
    let choice = if std::env::var_os("EMSTREAM_GPU").is_some() {
        GpuChoice::Required
    } else {
        GpuChoice::Name("llvmpipe".into())
    };
    let gpu = Gpu::open(choice).expect("these tests need a GPU; install mesa-vulkan-drivers for a software one");
    Backend::gpu(disorder::as_told(gpu))
}
