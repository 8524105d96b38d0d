//! The CPU: instruction-set dispatch ([`isa`]), sixteen numbers side by side ([`lanes`]), small FFTs of such ([`fft`]), and a logarithm with the same bits everywhere ([`ln`]). Kernels
//! write one `#[inline(always)]` body; [`isa`] chooses at start-up.
pub mod fft;
pub mod isa;
pub mod lanes;
pub mod ln;
