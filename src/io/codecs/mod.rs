//! Compression of chunks, undone by whatever thread needs them: the filter pipelines of HDF5 datasets without the library and its lock, and the
//! compressors of zarr arrays.
//!
//! Numbers and client data of filters: HDF5's registry of filter plugins and the filters' own documentation.

mod bitshuffle;
mod blosc;
mod fletcher;
mod lz;
mod shuffle;

use crate::backend::cpu::isa::Isa;
use std::cell::RefCell;

/// Why bytes cannot be decoded, for people; the caller adds file and chunk.
pub(super) type Outcome<T = ()> = Result<T, String>;

/// Most bytes that a thread keeps between chunks in each of its buffers.
const KEEP: usize = 16 << 20;

thread_local! {
    static BUFFERS: RefCell<[Vec<u8>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// A filter that emstream decodes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    Deflate,
    /// Bytes of an element.
    Shuffle(usize),
    Fletcher32,
    Lzf,
    Lz4,
    Zstd,
    Blosc,
    Bitshuffle(bitshuffle::Params),
}

impl Filter {
    /// By registered number and client data; `None` for what only the library (or nobody) can decode.
    fn of(id: i32, values: &[u32]) -> Option<Filter> {
        match id {
            1 => Some(Filter::Deflate),
            2 => values.first().filter(|&&n| n > 0).map(|&n| Filter::Shuffle(n as usize)),
            3 => Some(Filter::Fletcher32),
            32000 => Some(Filter::Lzf),
            32001 => Some(Filter::Blosc),
            32004 => Some(Filter::Lz4),
            32008 => bitshuffle::Params::of(values).map(Filter::Bitshuffle),
            32015 => Some(Filter::Zstd),
            _ => None,
        }
    }
    fn name(self) -> &'static str {
        match self {
            Filter::Deflate => "gzip",
            Filter::Shuffle(_) => "shuffle",
            Filter::Fletcher32 => "fletcher32",
            Filter::Lzf => "lzf",
            Filter::Lz4 => "lz4",
            Filter::Zstd => "zstd",
            Filter::Blosc => "blosc",
            Filter::Bitshuffle(_) => "bitshuffle",
        }
    }
    /// True if the size of its output tells nothing about the size of its input.
    fn compresses(self) -> bool {
        match self {
            Filter::Shuffle(_) | Filter::Fletcher32 => false,
            Filter::Bitshuffle(p) => p.compresses(),
            _ => true,
        }
    }
    /// Decodes all of `from` to exactly `out`.
    fn decode(self, isa: Isa, from: &[u8], out: &mut [u8]) -> Outcome {
        match self {
            Filter::Deflate => lz::inflate(from, out),
            Filter::Shuffle(size) => {
                same_size(from, out)?;
                shuffle::undo(isa, size, from, out);
                Ok(())
            }
            Filter::Fletcher32 => {
                out.copy_from_slice(fletcher::check(from)?);
                Ok(())
            }
            Filter::Lzf => lz::lzf(from, out),
            Filter::Lz4 => lz::lz4_frames(from, out),
            Filter::Zstd => lz::zstd(from, out),
            Filter::Blosc => blosc::decode(isa, from, out),
            Filter::Bitshuffle(p) => bitshuffle::decode(isa, p, from, out),
        }
    }
}

/// The one compressor of a zarr array, by numcodecs' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compressor {
    None,
    Blosc,
    Zstd,
    Gzip,
    Zlib,
    /// One block behind its size as decoded (u32, little-endian).
    Lz4,
}

impl Compressor {
    /// By numcodecs' identifier.
    pub fn named(id: &str) -> Option<Compressor> {
        match id {
            "blosc" => Some(Compressor::Blosc),
            "zstd" => Some(Compressor::Zstd),
            "gzip" => Some(Compressor::Gzip),
            "zlib" => Some(Compressor::Zlib),
            "lz4" => Some(Compressor::Lz4),
            _ => None,
        }
    }
    pub fn is_none(self) -> bool {
        self == Compressor::None
    }
    /// Decodes all of `from` to exactly `out`.
    pub fn decode(self, from: &[u8], out: &mut [u8]) -> Outcome {
        let (name, outcome) = match self {
            Compressor::None => {
                same_size(from, out)?;
                out.copy_from_slice(from);
                return Ok(());
            }
            Compressor::Blosc => ("blosc", blosc::decode(Isa::active(), from, out)),
            Compressor::Zstd => ("zstd", lz::zstd(from, out)),
            Compressor::Gzip => ("gzip", lz::gunzip(from, out)),
            Compressor::Zlib => ("zlib", lz::inflate(from, out)),
            Compressor::Lz4 => ("lz4", lz::sized_lz4(from, out)),
        };
        outcome.map_err(|what| format!("{name}: {what}"))
    }
}

/// Decodes all of `from`, whose bytes were shuffled in elements of `size` bytes before they were packed, to exactly `out`.
pub(super) fn decode_shuffled(compressor: Compressor, size: usize, from: &[u8], out: &mut [u8]) -> Outcome {
    BUFFERS.with_borrow_mut(|[shuffled, _]| {
        shuffled.resize(out.len(), 0);
        let outcome = compressor.decode(from, shuffled);
        if outcome.is_ok() {
            shuffle::undo(Isa::active(), size, shuffled, out);
        }
        if shuffled.len() > KEEP {
            *shuffled = Vec::new();
        }
        outcome
    })
}

/// The filters of a dataset, in the order in which they were applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pipeline(Vec<Filter>);

impl Pipeline {
    /// `None` if the library has to decode: a filter that is not known here, or two that compress.
    pub fn of(filters: &[(i32, Vec<u32>)]) -> Option<Pipeline> {
        let filters: Vec<Filter> = filters
            .iter()
            .map(|(id, values)| Filter::of(*id, values))
            .collect::<Option<_>>()?;
        // The mask of skipped filters has 32 bits.
        let simple = filters.len() <= 32 && filters.iter().filter(|f| f.compresses()).count() <= 1;
        simple.then_some(Pipeline(filters))
    }

    /// Decodes a chunk as stored to exactly `out`. Bit i of `skipped` is set when filter i was not applied to this chunk.
    ///
    /// # Errors
    /// A sentence that names the filter that failed.
    pub fn decode(&self, raw: &[u8], skipped: u32, out: &mut [u8]) -> Outcome {
        let applied: Vec<Filter> = (self.0.iter().enumerate())
            .filter(|(i, _)| skipped >> i & 1 == 0)
            .map(|(_, &f)| f)
            .collect();
        BUFFERS.with_borrow_mut(|[a, b]| {
            let outcome = undo(&applied, raw, out, a, b);
            [a, b].into_iter().filter(|v| v.len() > KEEP).for_each(|v| *v = Vec::new());
            outcome
        })
    }
}

/// Undoes `filters` from the last to the first: the first writes to `out`, the others to two buffers in turn.
fn undo(filters: &[Filter], raw: &[u8], out: &mut [u8], from: &mut Vec<u8>, to: &mut Vec<u8>) -> Outcome {
    let Some((first, later)) = filters.split_first() else {
        same_size(raw, out)?;
        out.copy_from_slice(raw);
        return Ok(());
    };
    let isa = Isa::active();
    let named = |f: Filter| move |what: String| format!("{}: {what}", f.name());
    // A checksum lengthens what the filters after it see; nothing else does.
    let sums = |n: usize| filters[..n].iter().filter(|&&f| f == Filter::Fletcher32).count() * fletcher::BYTES;
    let mut at_raw = true;
    let mut size = raw.len();
    for (i, &filter) in later.iter().enumerate().rev() {
        let source = if at_raw { raw } else { &from[..size] };
        if filter == Filter::Fletcher32 {
            // Nothing moves: the checksum stands at the end.
            size = fletcher::check(source).map_err(named(filter))?.len();
            if at_raw {
                return undo(&filters[..=i], &raw[..size], out, from, to);
            }
            continue;
        }
        let next = out.len() + sums(i + 1);
        if to.len() < next {
            to.resize(next, 0);
        }
        filter.decode(isa, source, &mut to[..next]).map_err(named(filter))?;
        std::mem::swap(from, to);
        (at_raw, size) = (false, next);
    }
    let source = if at_raw { raw } else { &from[..size] };
    if *first == Filter::Fletcher32 && source.len() != out.len() + fletcher::BYTES {
        return Err(named(*first)(sizes(source.len(), out.len() + fletcher::BYTES)));
    }
    first.decode(isa, source, out).map_err(named(*first))
}

fn sizes(got: usize, want: usize) -> String {
    format!("{got} bytes where {want} are expected")
}

fn same_size(from: &[u8], out: &[u8]) -> Outcome {
    if from.len() == out.len() {
        Ok(())
    } else {
        Err(sizes(from.len(), out.len()))
    }
}

/// Splits `n` bytes off the front.
fn take<'a>(from: &mut &'a [u8], n: usize) -> Outcome<&'a [u8]> {
    let (head, rest) = from
        .split_at_checked(n)
        .ok_or_else(|| "the chunk ends too early".to_owned())?;
    *from = rest;
    Ok(head)
}

/// Splits a fixed number of bytes off the front.
fn take_array<const N: usize>(from: &mut &[u8]) -> Outcome<[u8; N]> {
    let (head, rest) = from
        .split_first_chunk()
        .ok_or_else(|| "the chunk ends too early".to_owned())?;
    *from = rest;
    Ok(*head)
}
