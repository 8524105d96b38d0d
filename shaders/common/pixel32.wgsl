// One 32-bit integer pixel in a word. FLIP comes from the host: signed pixels are biased to unsigned ones.
const BITS = 32u;
const LANES = 1u;
alias V = u32;
alias F = f32;
alias I = i32;

// The pixel as an unsigned number.
fn unpack(word: u32) -> V {
    return word ^ FLIP;
}
fn lanes() -> V {
    return 0u;
}
// The only lane of an unpacked pixel.
fn lane_of(v: V, lane: u32) -> u32 {
    return v;
}
fn smallest(v: V) -> u32 {
    return v;
}
// Value of the pixel.
fn value(word: u32, lane: u32) -> f32 {
    return select(f32(word), f32(bitcast<i32>(word)), FLIP != 0u);
}
// u - least + 1; the difference is exact, its float32 is the nearest.
fn shifted(u: V, least: u32) -> F {
    return f32(u - least) + 1.0;
}
// The pixel as an unsigned number.
fn ordinal(word: u32, lane: u32) -> u32 {
    return unpack(word);
}
// A pixel of value 0 as an unsigned number.
fn zero() -> u32 {
    return FLIP;
}
// u - least + 1 of one pixel.
fn above(u: u32, least: u32) -> f32 {
    return shifted(u, least);
}
