//! Where kernels run. `stage` is the contract between a pass and a kernel on either backend.

pub mod cpu;
pub mod gpu;
pub mod stage;
