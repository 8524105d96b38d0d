//! Pixel types and views of frames in memory: what kernels see of a scan.

use crate::error::{Error, Result};

/// The pixel types that kernels work on. Readers decode everything else into one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pixel {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
}

impl Pixel {
    /// Bytes of one pixel.
    pub const fn bytes(self) -> usize {
        match self {
            Pixel::U8 | Pixel::I8 => 1,
            Pixel::U16 | Pixel::I16 => 2,
            Pixel::U32 | Pixel::I32 | Pixel::F32 => 4,
        }
    }
    /// True for all types but `F32`.
    pub const fn is_integer(self) -> bool {
        !matches!(self, Pixel::F32)
    }
    /// NumPy's name without byte order: `u1`, `i2`, `f4`, …
    pub const fn name(self) -> &'static str {
        match self {
            Pixel::U8 => "u8",
            Pixel::I8 => "i8",
            Pixel::U16 => "u16",
            Pixel::I16 => "i16",
            Pixel::U32 => "u32",
            Pixel::I32 => "i32",
            Pixel::F32 => "f32",
        }
    }
}

impl std::fmt::Display for Pixel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A primitive pixel that a [`Pixel`] names.
pub trait Sample: bytemuck::Pod + PartialOrd + Send + Sync {
    /// The tag of this type.
    const PIXEL: Pixel;
    /// The value in float64, exact for every type.
    fn to_f64(self) -> f64;
    /// The value in float32, as kernels convert it (nearest for 32-bit integers).
    fn to_f32(self) -> f32;
}

macro_rules! sample {
    ($($t:ty => $p:ident),*) => {$(
        impl Sample for $t {
            const PIXEL: Pixel = Pixel::$p;
            #[inline(always)]
            fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)]
            fn to_f32(self) -> f32 { self as f32 }
        }
    )*};
}
sample!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, f32 => F32);

/// Runs `$body` with `$T` bound to the Rust type of a [`Pixel`].
#[macro_export]
macro_rules! with_pixel {
    ($pixel:expr, $T:ident => $body:expr) => {
        match $pixel {
            $crate::pixel::Pixel::U8 => {
                type $T = u8;
                $body
            }
            $crate::pixel::Pixel::I8 => {
                type $T = i8;
                $body
            }
            $crate::pixel::Pixel::U16 => {
                type $T = u16;
                $body
            }
            $crate::pixel::Pixel::I16 => {
                type $T = i16;
                $body
            }
            $crate::pixel::Pixel::U32 => {
                type $T = u32;
                $body
            }
            $crate::pixel::Pixel::I32 => {
                type $T = i32;
                $body
            }
            $crate::pixel::Pixel::F32 => {
                type $T = f32;
                $body
            }
        }
    };
}

/// Shape and pixel type of one detector frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameShape {
    pub pixel: Pixel,
    /// Rows (y).
    pub height: usize,
    /// Columns (x).
    pub width: usize,
}

impl FrameShape {
    /// Frames of `[height, width]` pixels.
    pub const fn new(pixel: Pixel, [height, width]: [usize; 2]) -> Self {
        FrameShape { pixel, height, width }
    }
    /// Pixels of one frame.
    pub const fn pixels(self) -> usize {
        self.height * self.width
    }
    /// Bytes of one frame without padding.
    pub const fn bytes(self) -> usize {
        self.pixels() * self.pixel.bytes()
    }
    /// Bytes from one frame to the next in blocks: padded to 16, so that a GPU thread owns whole words.
    pub const fn stride(self) -> usize {
        self.bytes().div_ceil(16) * 16
    }
}

/// Frames of a leaf: float reductions run in frame order inside leaves of this many selected frames,
/// numbered from the start of the selection, and leaves merge in a binary tree by leaf number.
pub const LEAF: u64 = 64;

/// A run of consecutive selected frames in host memory, each at a 16-byte padded stride.
#[derive(Debug, Clone, Copy)]
pub struct Frames<'a> {
    shape: FrameShape,
    first: u64,
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Views `bytes` as `count` frames at [`FrameShape::stride`]; `first` is the number of the first frame in the selection.
    ///
    /// # Errors
    /// [`Error::Internal`] if the bytes are too few or not aligned to 4.
    pub fn new(shape: FrameShape, first: u64, count: usize, bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() < count * shape.stride() || !(bytes.as_ptr() as usize).is_multiple_of(4) {
            return Err(Error::Internal(format!(
                "block of {} bytes for {count} frames of {shape:?}",
                bytes.len()
            )));
        }
        Ok(Frames {
            shape,
            first,
            count,
            bytes,
        })
    }
    pub fn shape(&self) -> FrameShape {
        self.shape
    }
    /// Number, in the selection, of the first frame.
    pub fn first(&self) -> u64 {
        self.first
    }
    pub fn count(&self) -> usize {
        self.count
    }
    /// The pixels of frame `i` of this run in C order. `T` must be the type that `shape().pixel` names.
    #[inline]
    pub fn frame<T: Sample>(&self, i: usize) -> &'a [T] {
        debug_assert_eq!(T::PIXEL.bytes(), self.shape.pixel.bytes());
        let start = i * self.shape.stride();
        bytemuck::cast_slice(&self.bytes[start..start + self.shape.bytes()])
    }
    /// The raw bytes of the frames with their padding.
    pub fn bytes(&self) -> &'a [u8] {
        &self.bytes[..self.count * self.shape.stride()]
    }
    /// Frames `from..to` of this run.
    pub fn slice(&self, from: usize, to: usize) -> Frames<'a> {
        let s = self.shape.stride();
        Frames {
            shape: self.shape,
            first: self.first + from as u64,
            count: to - from,
            bytes: &self.bytes[from * s..to * s],
        }
    }
}
