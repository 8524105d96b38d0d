#![no_main]
use emstream::io::{FuzzFormat, fuzz_bytes};
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(fuzz_bytes(FuzzFormat::EbsdHdf5, bytes)));
