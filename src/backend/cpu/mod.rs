//! The CPU: instruction-set dispatch ([`isa`]), sixteen numbers side by side ([`lanes`]), small FFTs of such ([`fft`]), a logarithm with the
//! same bits everywhere ([`ln`]), large arrays in large pages ([`pages`]), and products of all rows of two matrices
//! ([`product`](mod@product)). Kernels write one `#[inline(always)]` body; [`isa`] chooses at start-up.
pub mod fft;
pub mod isa;
pub mod lanes;
pub mod ln;
pub mod pages;
pub mod product;
