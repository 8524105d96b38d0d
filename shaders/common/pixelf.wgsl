// One float32 pixel in a word. As unsigned numbers, pixels are bits whose order is the order of the values.
const BITS = 32u;
const LANES = 1u;
alias V = u32;
alias F = f32;
alias I = i32;

// Bits in the order of values; NaN above everything, so that no minimum is NaN.
fn unpack(word: u32) -> V {
    if (word & 0x7fffffffu) > 0x7f800000u {
        return 0xffffffffu;
    }
    return select(word | 0x80000000u, ~word, (word & 0x80000000u) != 0u);
}
// The float of such bits.
fn ordered(u: u32) -> f32 {
    return bitcast<f32>(select(~u, u & 0x7fffffffu, (u & 0x80000000u) != 0u));
}
fn lanes() -> V {
    return 0u;
}
fn smallest(v: V) -> u32 {
    return v;
}
// Value of the pixel.
fn value(word: u32, lane: u32) -> f32 {
    return bitcast<f32>(word);
}
// x - least + 1.
fn shifted(u: V, least: u32) -> F {
    return ordered(u) - ordered(least) + 1.0;
}
// The pixel as an unsigned number.
fn ordinal(word: u32, lane: u32) -> u32 {
    return unpack(word);
}
// A pixel of value 0 as an unsigned number.
fn zero() -> u32 {
    return 0x80000000u;
}
// x - least + 1 of one pixel.
fn above(u: u32, least: u32) -> f32 {
    return shifted(u, least);
}
