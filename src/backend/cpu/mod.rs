//! The CPU: instruction-set dispatch ([`isa`]), sixteen numbers side by side ([`lanes`]), and small FFTs of such ([`fft`]). Kernels
//! write one `#[inline(always)]` body; [`isa`] chooses at start-up.
pub mod fft;
pub mod isa;
pub mod lanes;
