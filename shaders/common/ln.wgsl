// Natural logarithm of x ≥ 1, the CPU's polynomial (src/kernels/ln.rs) for scalars or vectors: LF, LV, LI are their
// float, unsigned and signed types.
fn ln(x: LF) -> LF {
    let bits = bitcast<LV>(x);
    // x = 2^exponent · (f + 1), f + 1 in [√½, √2).
    let exponent = bitcast<LI>(bits - LV(0x3f3504f3u)) >> LV(23u);
    let f = bitcast<LF>(bits - (bitcast<LV>(exponent) << LV(23u))) - LF(1.0);
    let e = LF(exponent);
    let z = f * f;
    var q = LF(bitcast<f32>(0xbd9c65c7u));
    q = q * f + LF(bitcast<f32>(0x3e02b298u));
    q = q * f + LF(bitcast<f32>(0xbe06c296u));
    q = q * f + LF(bitcast<f32>(0x3e116c30u));
    q = q * f + LF(bitcast<f32>(0xbe2a390du));
    q = q * f + LF(bitcast<f32>(0x3e4cd011u));
    q = q * f + LF(bitcast<f32>(0xbe800114u));
    q = q * f + LF(bitcast<f32>(0x3eaaaaaau));
    let small = f * z * q + e * LF(-0.00021219444) - LF(0.5) * z;
    let y = e * LF(0.693359375) + (f + small);
    return select(y, x, bits >= LV(0x7f800000u));
}
