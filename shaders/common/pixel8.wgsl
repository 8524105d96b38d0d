// Four 8-bit pixels in a word. FLIP and BIAS come from the host: signed pixels are biased to unsigned ones.
const BITS = 8u;
const LANES = 4u;
alias V = vec4<u32>;
alias F = vec4<f32>;
alias I = vec4<i32>;

// Pixels of a word as unsigned numbers.
fn unpack(word: u32) -> V {
    let w = word ^ FLIP;
    return vec4<u32>(w, w >> 8u, w >> 16u, w >> 24u) & vec4<u32>(0xffu);
}
// Number of each lane.
fn lanes() -> V {
    return vec4<u32>(0u, 1u, 2u, 3u);
}
// Lane `lane` of unpacked pixels.
fn lane_of(v: V, lane: u32) -> u32 {
    return v[lane];
}
fn smallest(v: V) -> u32 {
    return min(min(v.x, v.y), min(v.z, v.w));
}
// Value of pixel `lane` of a word.
fn value(word: u32, lane: u32) -> f32 {
    return f32(i32(((word ^ FLIP) >> (8u * lane)) & 0xffu) - BIAS);
}
// u - least + 1, exact.
fn shifted(u: V, least: u32) -> F {
    return F(u - V(least) + V(1u));
}
// Pixel `lane` of a word as an unsigned number.
fn ordinal(word: u32, lane: u32) -> u32 {
    return ((word ^ FLIP) >> (8u * lane)) & 0xffu;
}
// A pixel of value 0 as an unsigned number.
fn zero() -> u32 {
    return u32(BIAS);
}
// u - least + 1 of one pixel, exact.
fn above(u: u32, least: u32) -> f32 {
    return f32(u - least) + 1.0;
}
