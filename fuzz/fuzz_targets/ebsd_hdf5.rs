#![no_main]
use emstream::io::{FuzzFormat, fuzz_bytes};
use libfuzzer_sys::{Corpus, fuzz_target};
mod heaps;
fuzz_target!(|bytes: &[u8]| -> Corpus {
    if !heaps::are_whole(bytes) {
        return Corpus::Reject;
    }
    drop(fuzz_bytes(FuzzFormat::EbsdHdf5, bytes));
    Corpus::Keep
});
