//! Cubic convolution: values between samples.

/// The weights of the samples at −1, 0, 1 and 2 for a value at 0 ≤ `t` < 1: R. G. Keys, *IEEE Trans. Acoust. Speech Signal
/// Process.* 29 (1981) 1153, with a = −1/2. Their sum is 1, and they keep centre and width of what is sampled.
pub(crate) fn weights(t: f64) -> [f64; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        -t + 2.0 * t2 - t3,
        2.0 - 5.0 * t2 + 3.0 * t3,
        t + 4.0 * t2 - 3.0 * t3,
        t3 - t2,
    ]
    .map(|w| w / 2.0)
}
