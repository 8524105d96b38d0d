//! Stacks of TIFF pages, BigTIFF included: uncompressed pages are read in place, compressed ones are decoded one at a time.

mod description;
mod directory;
mod ome;

use self::description::Claim;
use self::directory::{Directories, Page};
use super::array::raw_counts::RawCounts;
use super::array::tiff_claims;
use super::dtype::{Kind, Stored as StoredType};
use super::flat::overflow;
use super::limits;
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::stack::{Stack, Stored};
use super::{Reading, Scan, ScanInfo, ShapeFrom};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::pixel::Pixel;
use ::tiff::decoder::{Decoder, DecodingResult, Limits};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// True for TIFF and BigTIFF of either byte order.
pub(crate) fn has_signature(head: &[u8; 8]) -> bool {
    matches!(head[..4], [b'I', b'I', 42 | 43, 0] | [b'M', b'M', 0, 42 | 43])
}

/// Where pages are.
enum Source {
    /// First bytes of the pages.
    InPlace(Vec<u64>),
    /// Numbers of the pages, and the decoder that goes from one to the next.
    Decoded {
        numbers: Vec<usize>,
        decoder: Box<Mutex<Decoder<RawCounts<BufReader<File>>>>>,
    },
}

struct Pages {
    file: ReadAt,
    source: Source,
    stored: StoredType,
    pixel: Pixel,
    pixels: usize,
    width: usize,
    path: PathBuf,
}

/// Opens a stack; only its directories are read. Pages that have not the size and type of the first (previews) are left out and noted.
///
/// # Errors
/// [`Error::Format`] with the byte of the directory, [`Error::Unsupported`] for colour and types that are none, [`Error::Limit`].
pub(crate) fn open(file: ReadAt, options: &OpenOptions) -> Result<Box<dyn Scan>> {
    let path = file.path().to_owned();
    let mut walk = Directories::new(&file)?;
    let big_endian = walk.is_big_endian();
    let Some(first) = walk.next()? else {
        return Err(Error::format(&path, "byte 4", "there is no page"));
    };
    let stored = type_of(&path, &first, big_endian)?;
    let one = limits::check(&path, [1, 1], [first.height, first.width], stored.bytes())?;
    let alike = |p: &Page| {
        let shape = |p: &Page| (p.width, p.height, p.bits, p.format, p.samples);
        shape(p) == shape(&first)
    };
    let (mut numbers, mut places, mut plain, mut others, mut number) =
        (vec![0usize], vec![first.pixels], first.compression == 1, 0, 0);
    let pixels = first.width * first.height;
    let mut claims: Vec<(usize, Claim)> = description::claim(&first.description, pixels)
        .map(|c| (0, c))
        .into_iter()
        .collect();
    while let Some(page) = walk.next()? {
        number += 1;
        if !alike(&page) {
            others += 1;
            continue;
        }
        if numbers.len() as u64 >= limits::MAX_FRAMES {
            return Err(Error::limit(&path, format!("more than {} pages", limits::MAX_FRAMES)));
        }
        claims.extend(description::claim(&page.description, pixels).map(|c| (numbers.len(), c)));
        numbers.push(number);
        plain &= page.compression == 1;
        places.push(page.pixels);
    }
    claims.retain(|(_, claim)| claim.of_page || numbers.len() == 1);
    let mut notes: Vec<String> = Vec::new();
    if others > 0 {
        notes.push(format!("{others} pages of another size or type are left out"));
    }
    let mut in_place: Option<Vec<u64>> = places.into_iter().collect::<Option<_>>().filter(|_| plain);
    match &mut in_place {
        Some(places) if !claims.is_empty() => *places = behind_each_other(&file, places, &claims, one.frame_bytes)?,
        Some(_) => {}
        // Written by a program that has kept the description, but not the images.
        None => notes.extend(claims.iter().map(|(i, c)| {
            let (page, images, place) = (numbers.get(*i).unwrap_or(&0), c.images, c.place);
            format!(
                "{place}: {images} images are claimed, but page {page} has one, compressed or in pieces; the others are not read"
            )
        })),
    }
    let frames = in_place.as_ref().map_or(numbers.len(), Vec::len) as u64;
    let said = description::read(&path, &first.description, frames, first.steps)?;
    let (nav, from) = said.nav.clone().unwrap_or(([1, frames], ShapeFrom::Unknown));
    let mut sizes = limits::check(&path, nav, [first.height, first.width], stored.bytes())?;
    if let Some(places) = &in_place
        && let Some(at) = places
            .iter()
            .find(|at| at.checked_add(one.frame_bytes).is_none_or(|end| end > file.len()))
    {
        let what = format!(
            "a page of {} bytes at byte {at}, but the file has {}",
            one.frame_bytes,
            file.len()
        );
        return Err(Error::format(&path, "end of file (truncated)", what));
    }
    limits::check_sig(options.sig_shape, &sizes)?;
    if let Some(nav) = options.nav_shape {
        sizes = limits::with_nav(&path, &sizes, nav, stored.bytes())?;
    }
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    notes.extend(stored.note(pixel));
    let costly = in_place.is_none();
    let source = match in_place {
        Some(places) => Source::InPlace(places),
        None => {
            let mut reader = BufReader::new(File::open(&path).map_err(|e| Error::io(&path, "cannot open", e))?);
            let white = tiff_claims::check(&path, &mut reader)?;
            let decoder = Decoder::new(RawCounts::new(reader, white)).map_err(|e| fault(&path, 0, e))?;
            let mut bounds = Limits::default();
            bounds.decoding_buffer_size = limits::MAX_FRAME_BYTES as usize;
            bounds.intermediate_buffer_size = limits::MAX_FRAME_BYTES as usize;
            Source::Decoded {
                numbers,
                decoder: Box::new(Mutex::new(decoder.with_limits(bounds))),
            }
        }
    };
    // Steps of another shape than the user's are not those of its axes.
    let same = sizes.nav.map(|n| n as u64) == nav;
    let info = ScanInfo {
        path: path.clone(),
        format: "tiff",
        dataset: None,
        nav: sizes.nav,
        frame: sizes.frame(pixel),
        stored: stored.to_string(),
        nav_axes: if same { said.nav_axes } else { Default::default() },
        sig_axes: said.sig_axes,
        together: 1,
        costly,
        file_bytes: file.len(),
        notes,
        reading: Reading {
            ignored: said.ignored,
            ..Reading::shape(options, from)
        },
    };
    let pages = Pages {
        pixels: sizes.sig[0] * sizes.sig[1],
        width: sizes.sig[1],
        file,
        source,
        stored,
        pixel,
        path,
    };
    Ok(Box::new(Stack::new(info, pages, options.sync_offset)?))
}

/// First bytes of all images, where directories are those of the first of several that lie together.
fn behind_each_other(file: &ReadAt, places: &[u64], claims: &[(usize, Claim)], frame_bytes: u64) -> Result<Vec<u64>> {
    let mut all = Vec::new();
    let mut claims = claims.iter().peekable();
    for (page, &at) in places.iter().enumerate() {
        let Some((_, claim)) = claims.next_if(|(p, _)| *p == page) else {
            all.push(at);
            continue;
        };
        let end = claim.images.checked_mul(frame_bytes).and_then(|n| n.checked_add(at));
        // No two images share bytes: many pages may not claim the whole file each.
        let room = (file.len() / frame_bytes.max(1)).saturating_sub(all.len() as u64);
        if end.is_none_or(|end| end > file.len()) || claim.images > room {
            let what = format!(
                "{} images of {frame_bytes} bytes do not fit the file, which has {} from byte {at} on",
                claim.images,
                file.len().saturating_sub(at)
            );
            return Err(Error::format(file.path(), claim.place, what));
        }
        all.extend((0..claim.images).map(|i| at + i * frame_bytes));
    }
    Ok(all)
}

fn type_of(path: &Path, page: &Page, big_endian: bool) -> Result<StoredType> {
    let kind = match (page.format, page.bits, page.samples) {
        (1, 8, 1) => Kind::U8,
        (1, 16, 1) => Kind::U16,
        (1, 32, 1) => Kind::U32,
        (2, 8, 1) => Kind::I8,
        (2, 16, 1) => Kind::I16,
        (2, 32, 1) => Kind::I32,
        (3, 32, 1) => Kind::F32,
        (3, 64, 1) => Kind::F64,
        (format, bits, samples) => {
            let what =
                format!("TIFF pages of {samples} samples of {bits} bits, format {format}; one sample of 8 to 64 bits is read");
            return Err(Error::unsupported(path, what));
        }
    };
    Ok(StoredType {
        kind,
        big_endian: big_endian && kind.bytes() > 1,
    })
}

fn fault(path: &Path, page: usize, e: ::tiff::TiffError) -> Error {
    match e {
        ::tiff::TiffError::UnsupportedError(e) => Error::unsupported(path, format!("TIFF page {page}: {e}")),
        ::tiff::TiffError::LimitsExceeded => Error::limit(path, format!("TIFF page {page}: too large")),
        e => Error::format(path, format!("TIFF page {page}"), e.to_string()),
    }
}

impl Pages {
    fn decode(&self, stored: StoredType, frame: u64, source: &[u8], target: &mut [u8]) -> Result<()> {
        stored.decode(self.pixel, source, target).map_err(|o| {
            let hint = "--dtype f32 reads such values rounded";
            overflow(&self.path, frame, o.index, self.width, &o.value, self.pixel, hint)
        })
    }
}

impl Stored for Pages {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        let target = self.pixels * self.pixel.bytes();
        let mut raw = Vec::new();
        for (frame, out) in (first..).zip(out.chunks_mut(stride)).take(count) {
            control.check()?;
            let out = &mut out[..target];
            let missing = || Error::Internal(format!("page {frame} of a stack"));
            match &self.source {
                Source::InPlace(places) => {
                    let at = *places.get(frame as usize).ok_or_else(missing)?;
                    if self.stored.is_plain(self.pixel) {
                        self.file.read(at, out)?;
                    } else {
                        raw.resize(self.pixels * self.stored.bytes(), 0);
                        self.file.read(at, &mut raw)?;
                        self.decode(self.stored, frame, &raw, out)?;
                    }
                }
                Source::Decoded { numbers, decoder } => {
                    let page = *numbers.get(frame as usize).ok_or_else(missing)?;
                    let mut decoder = decoder.lock().unwrap_or_else(PoisonError::into_inner);
                    decoder.seek_to_image(page).map_err(|e| fault(&self.path, page, e))?;
                    let image = decoder.read_image().map_err(|e| fault(&self.path, page, e))?;
                    drop(decoder);
                    let bytes: &[u8] = match &image {
                        DecodingResult::U8(v) => v,
                        DecodingResult::I8(v) => bytemuck::cast_slice(v),
                        DecodingResult::U16(v) => bytemuck::cast_slice(v),
                        DecodingResult::I16(v) => bytemuck::cast_slice(v),
                        DecodingResult::U32(v) => bytemuck::cast_slice(v),
                        DecodingResult::I32(v) => bytemuck::cast_slice(v),
                        DecodingResult::F32(v) => bytemuck::cast_slice(v),
                        DecodingResult::F64(v) => bytemuck::cast_slice(v),
                        _ => &[],
                    };
                    if bytes.len() != self.pixels * self.stored.bytes() {
                        let what = format!("{} bytes instead of {}", bytes.len(), self.pixels * self.stored.bytes());
                        return Err(Error::format(&self.path, format!("TIFF page {page}"), what));
                    }
                    // The decoder delivers native numbers.
                    self.decode(StoredType::native(self.stored.kind), frame, bytes, out)?;
                }
            }
        }
        Ok(())
    }
}
