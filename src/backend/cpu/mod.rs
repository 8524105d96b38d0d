//! The CPU: instruction-set dispatch. Kernels write one `#[inline(always)]` body; [`isa`] chooses at start-up.
pub mod isa;
