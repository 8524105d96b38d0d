//! Puts shaders together: the pieces of `shaders/common` for a pixel type, then the kernel.

use crate::pixel::Pixel;

/// Threads of every workgroup: all devices have them.
pub(crate) const THREADS: u64 = 256;
/// Workgroup memory, in words, that every device has and a kernel may fill.
pub(crate) const WORKGROUP_WORDS: usize = 4096;

/// Linear numbers of workgroups and of threads.
pub(crate) fn numbering() -> String {
    let group = include_str!("../../../shaders/common/group.wgsl");
    group.to_owned() + include_str!("../../../shaders/common/thread.wgsl")
}

/// Unpacking of `pixel` and the linear group number: what every kernel begins with.
pub(crate) fn prelude(pixel: Pixel) -> String {
    let (flip, bias, body) = match pixel {
        Pixel::U8 => (0, 0, include_str!("../../../shaders/common/pixel8.wgsl")),
        Pixel::I8 => (0x8080_8080, 1 << 7, include_str!("../../../shaders/common/pixel8.wgsl")),
        Pixel::U16 => (0, 0, include_str!("../../../shaders/common/pixel16.wgsl")),
        Pixel::I16 => (0x8000_8000, 1 << 15, include_str!("../../../shaders/common/pixel16.wgsl")),
        Pixel::U32 => (0, 0, include_str!("../../../shaders/common/pixel32.wgsl")),
        Pixel::I32 => (0x8000_0000_u32, 0, include_str!("../../../shaders/common/pixel32.wgsl")),
        Pixel::F32 => (0, 0, include_str!("../../../shaders/common/pixelf.wgsl")),
    };
    let group = include_str!("../../../shaders/common/group.wgsl");
    format!("const FLIP: u32 = {flip}u;\nconst BIAS: i32 = {bias};\n{body}{group}")
}

/// [`prelude`] and a test for words that hold no finite number.
pub(crate) fn prelude_of_finite(pixel: Pixel) -> String {
    let missing = include_str!("../../../shaders/common/missing.wgsl");
    format!("{}const FLOATS = {};\n{missing}", prelude(pixel), pixel == Pixel::F32)
}

/// The kernels' logarithm on whole words of pixels.
pub(crate) fn ln_of_words() -> String {
    ln("F", "V", "I")
}

/// The kernels' logarithm on single numbers.
pub(crate) fn ln_of_numbers() -> String {
    ln("f32", "u32", "i32")
}

fn ln(float: &str, unsigned: &str, signed: &str) -> String {
    let body = include_str!("../../../shaders/common/ln.wgsl");
    format!("alias LF = {float};\nalias LV = {unsigned};\nalias LI = {signed};\n{body}")
}

/// Sums of `kind`, floats or vectors of them, over a workgroup.
pub(crate) fn total(kind: &str) -> String {
    format!("alias Sum = {kind};\n{}", include_str!("../../../shaders/common/total.wgsl"))
}

/// Access to one frame through workgroup memory if `words` fit with `other` words that the kernel needs itself.
pub(crate) fn staged_frame(words: usize, other: usize) -> String {
    let staged = words + other <= WORKGROUP_WORDS;
    let body = include_str!("../../../shaders/common/frame.wgsl");
    format!(
        "const STAGED = {staged};\nconst STAGE = {}u;\n{body}",
        if staged { words } else { 1 }
    )
}

/// Pixels that share a word.
pub(crate) const fn lanes(pixel: Pixel) -> usize {
    4 / pixel.bytes()
}
