//! Patterns on their way into a store, from any thread.

use crate::error::{Error, Result};
use crate::io::dtype::Stored;
use crate::io::h5::native_type;
use crate::io::results::{hdf5_error, put_text, put_texts};
use crate::io::write::{deflate, shuffle, write_all_at, write_chunk};
use crate::pixel::{FrameShape, Pixel};
use hdf5::Group;
use hdf5::dataset::{Dataset, Layout};
use hdf5::plist::dataset_create::{AllocTime, FillTime};
use rayon::prelude::*;
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// How patterns are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// As they are: read and written at the speed of the disk by any program.
    #[default]
    None,
    /// Shuffled and compressed, one pattern a chunk; level 1 to 9.
    Gzip(u8),
}

/// Writes one stack of patterns (N, h, w) of a [`super::Store`]. Patterns are numbered by the present points in map order, whatever the
/// file's own order. Until [`PatternWriter::finish`] the stack has the name `.NAME.part`.
pub struct PatternWriter {
    group: Group,
    name: String,
    dataset: Dataset,
    path: PathBuf,
    frame: FrameShape,
    count: u64,
    /// Place in the file of each pattern, where the file has an order of its own.
    order: Option<Vec<u32>>,
    /// Uncompressed: the file itself and the byte of the first pattern.
    plain: Option<(File, u64)>,
    level: u8,
}

/// Where a stack goes.
pub(super) struct Place<'a> {
    /// The group that will hold it.
    pub group: Group,
    /// The file under its present name, and the name for messages.
    pub file: &'a Path,
    pub path: &'a Path,
    /// Number of patterns, of places for them in the file, and the place of each.
    pub count: u64,
    pub places: u64,
    pub order: Option<Vec<u32>>,
    /// Places without a pattern are told by NaN where pixels are floats; they are zeros otherwise.
    pub marked: bool,
}

/// The name of a stack that is not complete.
pub(super) fn part_name(name: &str) -> String {
    format!(".{name}.part")
}

impl PatternWriter {
    /// Starts the stack `name` at `place`.
    pub(super) fn new(place: Place<'_>, name: &str, frame: FrameShape, codec: Codec) -> Result<PatternWriter> {
        let Place {
            group,
            file,
            path,
            count,
            places,
            order,
            marked,
        } = place;
        let failed = |e: hdf5::Error| hdf5_error(path, "cannot write", &e);
        let part = part_name(name);
        if group.link_exists(&part) {
            group.unlink(&part).map_err(failed)?;
        }
        let kind = Stored::parse(frame.pixel.name()).map(|s| s.kind);
        let kind = kind.ok_or_else(|| Error::Internal(format!("no stored type for {}", frame.pixel)))?;
        let dtype = native_type(kind).map_err(failed)?;
        let shape = (places as usize, frame.height, frame.width);
        let mut builder = group.new_dataset_builder().obj_track_times(false);
        builder = match codec {
            // All space is taken now and nothing of it is written by the library, so that patterns can go past it.
            Codec::None => builder
                .layout(Layout::Contiguous)
                .alloc_time(Some(AllocTime::Early))
                .fill_time(FillTime::Never),
            Codec::Gzip(level) => builder
                .chunk((1, frame.height, frame.width))
                .shuffle()
                .deflate(level.clamp(1, 9)),
        };
        let dataset = builder.empty_as(&dtype).shape(shape).create(part.as_str()).map_err(failed)?;
        group.file().and_then(|f| f.flush()).map_err(failed)?;
        let plain = match codec {
            Codec::None => Some(plain(&dataset, file, path)?),
            Codec::Gzip(_) => None,
        };
        let writer = PatternWriter {
            group,
            name: name.to_owned(),
            dataset,
            path: path.to_owned(),
            frame,
            count,
            order,
            plain,
            level: match codec {
                Codec::None => 0,
                Codec::Gzip(level) => level.clamp(1, 9),
            },
        };
        if marked && places > count {
            writer.clear(places)?;
        }
        Ok(writer)
    }

    /// Fills the places that no pattern will take, of which an older file may have kept anything.
    fn clear(&self, places: u64) -> Result<()> {
        let (Some(plain), Some(order)) = (&self.plain, &self.order) else {
            return Ok(());
        };
        let nothing = match self.frame.pixel {
            Pixel::F32 => bytemuck::cast_slice(&vec![f32::NAN; self.frame.pixels()]).to_vec(),
            _ => vec![0; self.frame.bytes()],
        };
        let taken: HashSet<u64> = order.iter().map(|&place| u64::from(place)).collect();
        let mut free = (0..places).filter(|place| !taken.contains(place));
        free.try_for_each(|place| self.write_plain(plain, place, &nothing))
    }

    /// Goes on with an uncompressed stack; `None` if there is none of this shape and type.
    pub(super) fn resume(place: Place<'_>, name: &str, frame: FrameShape) -> Result<Option<PatternWriter>> {
        let part = part_name(name);
        if !place.group.link_exists(&part) {
            return Ok(None);
        }
        let failed = |e: hdf5::Error| hdf5_error(place.path, "cannot read", &e);
        let dataset = place.group.dataset(&part).map_err(failed)?;
        let kind = crate::io::h5::kind_of(&dataset.dtype().map_err(failed)?).map(|s| s.kind.default_pixel());
        let same = dataset.shape() == [place.places as usize, frame.height, frame.width] && kind == Some(frame.pixel);
        if !same || dataset.layout() != Layout::Contiguous {
            return Ok(None);
        }
        let plain = plain(&dataset, place.file, place.path)?;
        Ok(Some(PatternWriter {
            group: place.group,
            name: name.to_owned(),
            dataset,
            path: place.path.to_owned(),
            frame,
            count: place.count,
            order: place.order,
            plain: Some(plain),
            level: 0,
        }))
    }

    /// Shape and pixel type of the patterns.
    pub fn frame(&self) -> FrameShape {
        self.frame
    }
    /// Number of patterns.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Writes consecutive patterns from number `first` on, tightly packed, native-endian. May be called from several threads.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses, [`Error::Internal`] for parts of patterns or more than there are.
    pub fn put(&self, first: u64, patterns: &[u8]) -> Result<()> {
        let size = self.frame.bytes();
        let n = (patterns.len() / size) as u64;
        if !patterns.len().is_multiple_of(size) || first + n > self.count {
            let what = format!(
                "{} bytes at pattern {first} of {} of {size} bytes",
                patterns.len(),
                self.count
            );
            return Err(Error::Internal(what));
        }
        let place = |number: u64| match &self.order {
            None => number,
            Some(order) => u64::from(order[number as usize]),
        };
        match (&self.plain, &self.order) {
            (Some(plain), None) => self.write_plain(plain, first, patterns),
            (Some(plain), Some(_)) => patterns
                .chunks_exact(size)
                .zip(first..)
                .try_for_each(|(pattern, number)| self.write_plain(plain, place(number), pattern)),
            (None, _) => {
                let encoded = patterns.par_chunks_exact(size).map(|p| self.encode(p));
                let encoded = encoded.collect::<Result<Vec<Vec<u8>>>>()?;
                encoded
                    .iter()
                    .zip(first..)
                    .try_for_each(|(chunk, number)| write_chunk(&self.dataset, &self.path, &[place(number), 0, 0], chunk))
            }
        }
    }

    fn write_plain(&self, (file, start): &(File, u64), place: u64, bytes: &[u8]) -> Result<()> {
        let at = start + place * self.frame.bytes() as u64;
        write_all_at(file, bytes, at).map_err(|e| Error::io(&self.path, "cannot write", e))
    }

    /// A pattern as HDF5's filters shuffle and deflate make it.
    fn encode(&self, pattern: &[u8]) -> Result<Vec<u8>> {
        deflate(&shuffle(pattern, self.frame.pixel.bytes()), self.level)
    }

    /// Waits until what was put so far is on the disk; nothing to do for compressed stacks, which the library writes.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses.
    pub fn sync(&self) -> Result<()> {
        match &self.plain {
            Some((file, _)) => file.sync_data().map_err(|e| Error::io(&self.path, "cannot write", e)),
            None => Ok(()),
        }
    }

    /// Gives the stack its name, in place of an older one. `meaning` is one sentence for its description.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses.
    pub fn finish(self, unit: &str, meaning: &str) -> Result<()> {
        let failed = |e: hdf5::Error| hdf5_error(&self.path, "cannot write", &e);
        put_text(&self.dataset, "unit", unit).map_err(failed)?;
        put_texts(&self.dataset, "axes", &["pattern", "y", "x"]).map_err(failed)?;
        put_text(&self.dataset, "description", meaning).map_err(failed)?;
        // Pixels must be on the disk before a name says that they are.
        self.sync()?;
        super::store::replace(&self.group, &part_name(&self.name), &self.name).map_err(failed)?;
        self.group.file().and_then(|f| f.flush()).map_err(failed)
    }
}

/// The file of an uncompressed stack and the byte of its first pattern.
fn plain(dataset: &Dataset, file: &Path, path: &Path) -> Result<(File, u64)> {
    let start = dataset
        .offset()
        .ok_or_else(|| Error::Internal("no space was taken for patterns".into()))?;
    let file = File::options().write(true).open(file);
    Ok((file.map_err(|e| Error::io(path, "cannot write", e))?, start))
}
