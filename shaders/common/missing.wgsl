// True for a word that holds no finite number. Known by its bits: arithmetic may assume that there are none. Needs FLOATS.
fn missing(word: u32) -> bool {
    return FLOATS && (word & 0x7f800000u) == 0x7f800000u;
}
