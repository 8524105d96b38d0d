//! PNG files of figures, compressed by libdeflate: half the time of the figures was spent in the compressor of the `png` crate.

use crate::error::{Error, Result};
use libdeflater::{CompressionLvl, Compressor, crc32};

/// Bytes of a pixel.
const BPP: usize = 3;
/// Sizes stay within some percent of the best; higher levels take twice as long.
const LEVEL: i32 = 5;

/// First bytes of every PNG file.
pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// An image of RGB pixels (8 bits each, rows from top to bottom) as a PNG file (W3C, Portable Network Graphics, third edition).
///
/// # Errors
/// [`Error::Internal`] if the sizes disagree or the compressor refuses.
pub(crate) fn encode(width: usize, height: usize, rgb: &[u8]) -> Result<Vec<u8>> {
    let data = compress(width, height, rgb)?;
    let mut out = Vec::with_capacity(data.len() + 64);
    out.extend_from_slice(SIGNATURE);
    chunk(&mut out, b"IHDR", &header(width, height));
    chunk(&mut out, b"IDAT", &data);
    chunk(&mut out, b"IEND", &[]);
    Ok(out)
}

/// The content of IDAT: rows filtered and compressed.
pub(super) fn compress(width: usize, height: usize, rgb: &[u8]) -> Result<Vec<u8>> {
    let failed = |e: String| Error::Internal(format!("figure as PNG: {e}"));
    if width == 0 || rgb.len() != width * height * BPP {
        return Err(failed(format!("{} bytes for {width}×{height} pixels", rgb.len())));
    }
    let filtered = filter(width * BPP, rgb);
    let level = CompressionLvl::new(LEVEL).map_err(|e| failed(format!("{e:?}")))?;
    let mut compressor = Compressor::new(level);
    let mut data = vec![0; compressor.zlib_compress_bound(filtered.len())];
    let length = compressor
        .zlib_compress(&filtered, &mut data)
        .map_err(|e| failed(e.to_string()))?;
    data.truncate(length);
    Ok(data)
}

/// The content of IHDR: 8 bits, RGB, deflate, adaptive filters, not interlaced.
pub(super) fn header(width: usize, height: usize) -> [u8; 13] {
    let mut header = [0; 13];
    header[..4].copy_from_slice(&(width as u32).to_be_bytes());
    header[4..8].copy_from_slice(&(height as u32).to_be_bytes());
    header[8..].copy_from_slice(&[8, 2, 0, 0, 0]);
    header
}

/// Appends a chunk: length, kind, content, checksum of the last two.
pub(super) fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    let from = out.len();
    out.extend_from_slice(kind);
    out.extend_from_slice(content);
    let checksum = crc32(&out[from..]);
    out.extend_from_slice(&checksum.to_be_bytes());
}

/// Each row as it is, as differences from the pixel before, or from the row above: whichever has the smallest absolute sum.
fn filter(pitch: usize, rgb: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rgb.len() + rgb.len() / pitch);
    let mut tries = [vec![0u8; pitch], vec![0u8; pitch]];
    let size = |row: &[u8]| row.iter().map(|&v| u32::from((v as i8).unsigned_abs())).sum::<u32>();
    let mut above: &[u8] = &[];
    for row in rgb.chunks_exact(pitch) {
        // Most rows of a magnified picture: no other filter leaves less.
        if row == above {
            out.push(2);
            out.resize(out.len() + pitch, 0);
            continue;
        }
        let [sub, up] = &mut tries;
        sub[..BPP].copy_from_slice(&row[..BPP]);
        for ((d, v), before) in sub[BPP..].iter_mut().zip(&row[BPP..]).zip(row) {
            *d = v.wrapping_sub(*before);
        }
        if above.is_empty() {
            up.copy_from_slice(row);
        } else {
            for ((d, v), above) in up.iter_mut().zip(row).zip(above) {
                *d = v.wrapping_sub(*above);
            }
        }
        let candidates: [(u8, &[u8]); 3] = [(2, up), (1, sub), (0, row)];
        let best = candidates.into_iter().min_by_key(|(_, row)| size(row));
        if let Some((kind, filtered)) = best {
            out.push(kind);
            out.extend_from_slice(filtered);
        }
        above = row;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_png_crate_reads_what_was_written() {
        let (w, h) = (37, 23);
        let rgb: Vec<u8> = (0..w * h * 3)
            .map(|i| match i / (w * 3) {
                y if y < 8 => (i * 7 + i * i / 5) as u8,
                y if y < 15 => (i % (w * 3)) as u8,
                _ => 200,
            })
            .collect();
        let bytes = encode(w, h, &rgb).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(
            (info.width as usize, info.height as usize, info.color_type),
            (w, h, png::ColorType::Rgb)
        );
        assert!(pixels == rgb);
        assert!(encode(w, h, &rgb[1..]).is_err() && encode(0, 0, &[]).is_err());
    }
}
