// Pixels around positions (y, x) that may reach beyond the frame. The host gives FRAME_HEIGHT, FRAME_WIDTH and ZERO_OUTSIDE:
// pixels outside have the value 0 and count for the minimum, or else are no signal.
fn inside(at: vec2<i32>) -> bool {
    return at.x >= 0 && at.y >= 0 && at.x < i32(FRAME_HEIGHT) && at.y < i32(FRAME_WIDTH);
}
fn ordinal_at(start: u32, at: vec2<i32>) -> u32 {
    let i = u32(at.x) * FRAME_WIDTH + u32(at.y);
    return ordinal(frames[start + i / LANES], i % LANES);
}
// What the pixel offers as a minimum of the frame that begins at word `start`.
fn least_at(start: u32, at: vec2<i32>) -> u32 {
    if inside(at) {
        return ordinal_at(start, at);
    }
    return select(0xffffffffu, zero(), ZERO_OUTSIDE);
}
// ln(f - least + 1), 0 without signal.
fn log_at(start: u32, at: vec2<i32>, least: u32) -> f32 {
    if inside(at) {
        return ln(above(ordinal_at(start, at), least));
    }
    if ZERO_OUTSIDE {
        return ln(above(zero(), least));
    }
    return 0.0;
}
