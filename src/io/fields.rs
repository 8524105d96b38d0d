//! Numbers at fixed places of a binary header.

/// The bytes of a header that was read as a whole; what lies behind its end reads as zero.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub bytes: &'a [u8],
    pub big_endian: bool,
}

impl<'a> Fields<'a> {
    pub fn little(bytes: &'a [u8]) -> Self {
        Fields {
            bytes,
            big_endian: false,
        }
    }
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let bytes = self.bytes.get(at..).and_then(|b| b.first_chunk()).copied();
        let mut bytes = bytes.unwrap_or([0; N]);
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }
    pub fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }
    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }
    pub fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.array(at))
    }
    pub fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
    pub fn f32(&self, at: usize) -> f32 {
        f32::from_le_bytes(self.array(at))
    }
    pub fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.array(at))
    }
    /// A positive number as a size; zero for a negative one, which no limit accepts.
    pub fn size(&self, at: usize) -> u64 {
        u64::try_from(self.i32(at)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Fields;

    #[test]
    fn both_orders_and_the_end() {
        let bytes = [1, 2, 3, 4, 255, 255, 255, 255];
        let little = Fields::little(&bytes);
        let big = Fields {
            bytes: &bytes,
            big_endian: true,
        };
        assert_eq!((little.u16(0), big.u16(0)), (0x0201, 0x0102));
        assert_eq!((little.u32(0), big.u32(0)), (0x0403_0201, 0x0102_0304));
        assert_eq!((little.i32(4), little.size(4), little.size(0)), (-1, 0, 0x0403_0201));
        assert_eq!((little.u32(6), little.u64(1), big.f64(7)), (0, 0, 0.0));
        assert_eq!(little.f32(0).to_bits(), 0x0403_0201);
    }
}
