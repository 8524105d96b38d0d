//! Patterns as single images, `ROW_COL.tiff` and the like, in a folder or a zip archive.

mod decode;
mod names;
pub(crate) mod source;

use super::PatternMap;
use super::data::{Geometry, MapData};
use super::mapped::{Mapped, Places};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::open::OpenOptions;
use crate::io::readat::ReadAt;
use crate::io::stack::check_request;
use crate::io::{Axis, Scan, ScanInfo};
use crate::io::{folder, limits};
use crate::pixel::{FrameShape, Pixel};
use names::{Names, is_background};
use ndarray::Array2;
use source::{Listed, Source};
use std::path::Path;

/// First bytes of a zip archive.
pub(crate) const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// A file's name without folders and ending.
fn stem(name: &str) -> &str {
    let last = name.rsplit_once('/').map_or(name, |(_, n)| n);
    last.rsplit_once('.').map_or(last, |(s, _)| s)
}

/// Positions of `images` and `others`, one after another, if their names do not tell any inside a map of shape `nav`, but are numbered.
fn in_a_row(images: &[([usize; 2], Listed)], others: &[Listed], nav: [usize; 2]) -> Option<Vec<[usize; 2]>> {
    // The largest row may be nav[0], where positions count from 1.
    let inside = |at: &[usize; 2]| at[0] <= nav[0] && at[1] <= nav[1];
    if others.is_empty() && images.iter().all(|(at, _)| inside(at)) {
        return None;
    }
    let all = images.iter().map(|(_, f)| f).chain(others);
    names::sequence(all.map(|f| stem(&f.name)), nav)
}

/// Opens a folder or archive of images.
///
/// # Errors
/// [`Error::Unsupported`] if no name tells a position, [`Error::Format`] for two images of one point; every image must have the shape of the
/// first, which is checked when it is read.
pub(super) fn open_map(path: &Path, options: &OpenOptions) -> Result<PatternMap> {
    if options.sync_offset != 0 {
        return Err(Error::parameter("--sync-offset", "the images of a map know their positions"));
    }
    let names = Names::new(options.names.as_deref())?;
    let (source, listed) = if path.is_dir() {
        Source::folder(path)?
    } else {
        Source::zip(ReadAt::open(path)?)?
    };
    let mut images = Vec::new();
    let (mut background, mut doubtful, mut others) = (None, Vec::new(), Vec::new());
    for file in listed {
        let last = file.name.rsplit_once('/').map_or(file.name.as_str(), |(_, n)| n);
        // What a Mac leaves in archives.
        if !decode::is_image(last) || last.starts_with("._") {
            continue;
        }
        let stem = stem(&file.name);
        match (names.position(stem), is_background(stem)) {
            (Some(at), false) => images.push((at, file)),
            (Some(at), true) => doubtful.push((at, file)),
            (None, true) => background = background.or(Some(file)),
            (None, false) => others.push(file),
        }
    }
    // A name with a position is that of a pattern, whatever words are in it, unless the other images are left without a background.
    if images.is_empty() || background.is_some() {
        images.append(&mut doubtful);
    } else {
        background = doubtful.into_iter().next().map(|(_, file)| file);
    }
    let mut notes = Vec::new();
    if let Some(nav) = options.nav_shape
        && options.names.is_none()
        && let Some(at) = in_a_row(&images, &others, nav)
    {
        let all = images.drain(..).map(|(_, file)| file).chain(others.drain(..));
        images = at.into_iter().zip(all.collect::<Vec<_>>()).collect();
        notes.push("images are numbered row by row, in the map of --nav-shape".to_owned());
    }
    if images.is_empty() {
        let what = match others.first() {
            Some(file) => format!(
                "no image is named ROW_COL (there is {}, for example); --names tells how names are made, --nav-shape the map of images that are numbered row by row",
                file.name
            ),
            None => "there are no images (.tif .png .bmp .txt) in it".into(),
        };
        return Err(Error::unsupported(path, what));
    }
    // Row by row, as they will be read.
    images.sort_by_key(|(at, _)| *at);
    let positive = images.iter().all(|(at, _)| at[0] > 0 && at[1] > 0);
    // Of a map whose shape is known the images may be a part without row 0 and column 0.
    let beyond = |nav: [usize; 2]| images.iter().any(|(at, _)| at[0] == nav[0] || at[1] == nav[1]);
    let one_based = positive && options.nav_shape.is_none_or(beyond);
    let from = usize::from(one_based);
    let last = |k: usize| images.iter().map(|(at, _)| at[k]).max().unwrap_or(0);
    let found = [last(0).saturating_add(1 - from), last(1).saturating_add(1 - from)];
    let nav = options.nav_shape.unwrap_or(found);
    let first = images.first().ok_or_else(|| Error::Internal("no image".into()))?;
    let content = source.read(&first.1)?;
    let stored = decode::probe(&source.shown(&first.1.name), &content)?;
    let pixel = options.wanted_pixel()?.unwrap_or(stored.pixel);
    let frame = FrameShape { pixel, ..stored };
    let edges = [nav[0], nav[1], frame.height, frame.width].map(|n| n as u64);
    let sizes = limits::check(path, [edges[0], edges[1]], [edges[2], edges[3]], pixel.bytes())?;
    limits::check_points(path, nav, images.len())?;
    limits::check_sig(options.sig_shape, &sizes)?;

    let at = images.iter().map(|(at, _)| [at[0] - from, at[1] - from]);
    let places = Places::new(path, "names of images", nav, at)?;
    if positive && options.nav_shape.is_some() && notes.is_empty() {
        let [rows, columns] = nav;
        notes.push(format!(
            "no image is of row 0 or column 0: positions in the names are taken to count from {from}, in a map of {rows} × {columns}"
        ));
    }
    if let Some(Listed { name, .. }) = others.first() {
        notes.push(format!(
            "{} images have no position in their names and are left out, e.g. {name}",
            others.len()
        ));
    }
    if let Some((y, x)) = places.present().indexed_iter().find(|(_, p)| !**p).map(|(at, _)| at) {
        notes.push(format!("the first point without an image is row {y}, column {x}"));
    }
    let files: Vec<Listed> = images.into_iter().map(|(_, f)| f).collect();
    let static_background = match &background {
        Some(file) => Some(decode::decode::<f64>(&source.shown(&file.name), &source.read(file)?)?),
        None => None,
    };
    let info = ScanInfo {
        path: path.to_owned(),
        format: "images",
        dataset: None,
        nav: [1, files.len()],
        frame,
        stored: format!("{} in files", stored.pixel),
        nav_axes: [Axis::default(), Axis::default()],
        sig_axes: [Axis::default(), Axis::default()],
        together: 1,
        costly: true,
        file_bytes: folder::bytes_of_file(path),
        notes,
        reading: Default::default(),
    };
    let present = places.present();
    let images = Images { info, source, files };
    Ok(PatternMap {
        scan: Box::new(Mapped::new(Box::new(images), places, [None, None])?),
        present,
        static_background,
        data: MapData::new(nav),
        geometry: Geometry::default(),
        dialect: "images".into(),
        group: None,
    })
}

/// One image by itself, e.g. a static background.
///
/// # Errors
/// [`Error::Format`] if it is damaged.
pub fn read_image(path: &Path) -> Result<Array2<f64>> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|n| n.to_str());
    let name = name.ok_or_else(|| Error::parameter(path.display().to_string(), "is no name of a file"))?;
    let source = Source::Folder(folder.to_owned());
    let file = Listed {
        number: 0,
        name: name.to_owned(),
    };
    decode::decode(path, &source.read(&file)?)
}

/// A stack of image files.
struct Images {
    info: ScanInfo,
    source: Source,
    files: Vec<Listed>,
}

impl Images {
    /// Decodes one image to its place.
    fn image(&self, number: u64, out: &mut [u8]) -> Result<()> {
        let file = &self.files[number as usize];
        let shown = self.source.shown(&file.name);
        let bytes = self.source.read(file)?;
        macro_rules! put {
            ($t:ty) => {{
                let image = decode::decode::<$t>(&shown, &bytes)?;
                let frame = self.info.frame;
                if image.dim() != (frame.height, frame.width) {
                    let (h, w) = image.dim();
                    let what = format!(
                        "{h} × {w} pixels, the first image has {} × {}",
                        frame.height, frame.width
                    );
                    return Err(Error::format(&shown, "size of the image", what));
                }
                for (place, value) in out.chunks_exact_mut(size_of::<$t>()).zip(&image) {
                    place.copy_from_slice(&value.to_ne_bytes());
                }
                Ok(())
            }};
        }
        match self.info.frame.pixel {
            Pixel::U8 => put!(u8),
            Pixel::U16 => put!(u16),
            Pixel::U32 => put!(u32),
            Pixel::I32 => put!(i32),
            Pixel::F32 => put!(f32),
            Pixel::I8 | Pixel::I16 => Err(Error::unsupported(
                &shown,
                "signed pixels of 8 or 16 bits; --dtype i32 reads them",
            )),
        }
    }
}

impl Scan for Images {
    fn info(&self) -> &ScanInfo {
        &self.info
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        check_request(&self.info, frames, stride, out.len())?;
        let bytes = self.info.frame.bytes();
        for (&number, place) in frames.iter().zip(out.chunks_mut(stride)) {
            control.check()?;
            self.image(number, &mut place[..bytes])?;
        }
        Ok(())
    }
}
