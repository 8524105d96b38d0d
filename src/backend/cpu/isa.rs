//! Chooses the widest instruction set that the CPU has and that the kernels are compiled for.
