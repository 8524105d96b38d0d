//! Where maps go: into the EBSD file itself or into a result file with the same names; pages and parameters lie beside it. And where new
//! patterns go; and what the pages have in common.

use crate::engine::{FrameSink, Selection};
use crate::error::{Error, Result};
use crate::io::ebsd::{Codec, Description, PatternWriter, Store};
use crate::io::output::Settled;
use crate::io::results::{Meta, Provenance, ResultFile, Value};
use crate::pixel::FrameShape;
use crate::report::html::Report;
use crate::report::{ColourMap, Tile};
use crate::workflows::Timings;
use ndarray::{Array1, Array2, ArrayView, ArrayView2, Dimension};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that takes maps.
pub enum Target {
    /// A new result file.
    New { file: ResultFile, overwrite: bool },
    /// The EBSD file that the patterns are in.
    InPlace(Store),
}

impl Target {
    /// A new file at `output`, or, without one, `input` itself. Open it before the patterns: HDF5 refuses writers once a file is
    /// open for reading.
    ///
    /// # Errors
    /// [`Error::Io`] if a file exists and may not be replaced, or cannot be written; [`Error::Format`] if `input` holds no EBSD map.
    pub fn open(input: &Path, output: Option<&Path>, overwrite: bool) -> Result<Target> {
        match output {
            Some(path) => Ok(Target::New {
                file: ResultFile::create(path, overwrite)?,
                overwrite,
            }),
            None => Ok(Target::InPlace(Store::open(input)?)),
        }
    }

    /// Leaves out points of an EBSD file whose pattern turned out to hold nothing; see [`Store::only`].
    pub fn only(&mut self, present: &Array2<bool>) {
        if let Target::InPlace(store) = self {
            store.only(present);
        }
    }

    /// Writes or replaces an array below the map's group, e.g. `VirtualBSE/values`.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put<T: Value, D: Dimension>(&self, name: &str, array: ArrayView<'_, T, D>, meta: Meta<'_>) -> Result<()> {
        match self {
            Target::New { file, .. } => file.put(&format!("Scan/EBSD/{name}"), array, meta),
            Target::InPlace(store) => store.put(name, array, meta),
        }
    }

    /// Says in a new file which points of the map the rows of [`Target::put_rows`] belong to: `Data/X BEAM` and `Data/Y BEAM`, named as in
    /// EBSD files. In an EBSD file the rows are those of its patterns, whose points it knows.
    ///
    /// # Errors
    /// As [`Target::put`].
    pub fn locate(&self, selection: &Selection) -> Result<()> {
        if let Target::InPlace(_) = self {
            return Ok(());
        }
        let columns = selection.nav()[1] as u64;
        let at = |of: fn(u64, u64) -> u64| Array1::from_iter(selection.iter().map(|f| of(f, columns) as i32));
        let (x, y) = (at(|f, n| f % n), at(|f, n| f / n));
        let meta = |meaning| Meta::new("", &["pattern"], meaning);
        self.put("Data/X BEAM", x.view(), meta("column of the map that each row belongs to"))?;
        self.put("Data/Y BEAM", y.view(), meta("row of the map that each row belongs to"))
    }

    /// One row for each point that has a pattern, in map order; [`Target::locate`] says which points these are.
    ///
    /// # Errors
    /// As [`Store::put_rows`].
    pub fn put_rows<T: Value, D: Dimension + ndarray::RemoveAxis>(
        &self,
        name: &str,
        array: ArrayView<'_, T, D>,
        meta: Meta<'_>,
    ) -> Result<()> {
        match self {
            Target::New { .. } => self.put(name, array, meta),
            Target::InPlace(store) => store.put_rows(name, array, meta),
        }
    }

    /// Completes the file and writes parameters and page beside it. Returns the page's place.
    ///
    /// # Errors
    /// [`Error::Io`]; then no new file is there.
    pub fn finish(self, provenance: &Provenance, page: &str) -> Result<PathBuf> {
        let (path, overwrite) = match &self {
            Target::New { file, overwrite } => (file.target().to_owned(), *overwrite),
            Target::InPlace(store) => (store.target().to_owned(), true),
        };
        let beside = Beside::new(&path, overwrite, &provenance.parameters, page)?;
        match self {
            Target::New { file, .. } => {
                file.provenance(provenance)?;
                file.finish()?;
            }
            Target::InPlace(store) => store.finish()?,
        }
        beside.appear()
    }
}

/// New patterns of a map: in a store of their own, or beside those of an existing one.
pub(super) struct Stack {
    pub store: Store,
    writer: Arc<PatternWriter>,
    overwrite: bool,
}

impl Stack {
    /// Starts the patterns `name` in `store`, or in a new one at `output` that holds `what`.
    ///
    /// # Errors
    /// [`Error::Io`] if a file exists and may not be replaced, or the disk refuses.
    pub fn begin(
        store: Option<Store>,
        output: &Path,
        overwrite: bool,
        name: &str,
        frame: FrameShape,
        what: &Description<'_>,
    ) -> Result<Stack> {
        let in_place = store.is_some();
        let store = match store {
            Some(store) => store,
            None => Store::create(output, what, overwrite)?,
        };
        let writer = Arc::new(store.pattern_writer(name, frame, Codec::None)?);
        Ok(Stack {
            store,
            writer,
            overwrite: overwrite || in_place,
        })
    }

    /// Takes the patterns of a pass in map order.
    pub fn sink(&self) -> Box<dyn FrameSink<u8>> {
        Box::new(ToStore(self.writer.clone()))
    }

    /// Writes consecutive patterns from number `first` on.
    ///
    /// # Errors
    /// As [`PatternWriter::put`].
    pub fn put(&self, first: u64, patterns: &[u8]) -> Result<()> {
        self.writer.put(first, patterns)
    }

    /// What `draw` makes, made while the disk takes the patterns.
    ///
    /// # Errors
    /// What `draw` reports; [`Error::Io`] if the disk refuses.
    pub fn page(&self, draw: impl FnOnce() -> Result<String>) -> Result<String> {
        std::thread::scope(|scope| {
            let disk = scope.spawn(|| self.writer.sync());
            let page = draw()?;
            let synced = disk.join();
            synced.map_err(|_| Error::Internal("waiting for the disk ended abruptly".into()))??;
            Ok(page)
        })
    }

    /// Names the patterns, completes the file and writes parameters and page beside it. Returns the page's place.
    ///
    /// # Errors
    /// [`Error::Io`]; then no new file is there.
    pub fn finish(self, unit: &str, meaning: &str, provenance: &Provenance, page: &str) -> Result<PathBuf> {
        let writer = Arc::into_inner(self.writer);
        let writer = writer.ok_or_else(|| Error::Internal("patterns are still being written".into()))?;
        writer.finish(unit, meaning)?;
        let path = self.store.target().to_owned();
        let beside = Beside::new(&path, self.overwrite, &provenance.parameters, page)?;
        self.store.finish()?;
        beside.appear()
    }
}

/// Patterns into a stack of a store.
struct ToStore(Arc<PatternWriter>);

impl FrameSink<u8> for ToStore {
    fn put(&mut self, first: u64, _: usize, patterns: &[u8]) -> Result<()> {
        self.0.put(first, patterns)
    }
    fn restart(&mut self) -> Result<()> {
        // Patterns have their places: writing them again is all there is to do.
        Ok(())
    }
}

/// The point with a pattern that is nearest to the middle of the map.
pub(super) fn middle(present: &Array2<bool>) -> [usize; 2] {
    let (rows, columns) = present.dim();
    let far = |y: usize, x: usize| y.abs_diff(rows / 2).pow(2) + x.abs_diff(columns / 2).pow(2);
    let points = present.indexed_iter().filter(|(_, p)| **p);
    let nearest = points.map(|((y, x), _)| [y, x]).min_by_key(|&[y, x]| far(y, x));
    nearest.unwrap_or([0, 0])
}

/// An image in grey for a panel.
pub(super) fn grey<'a>(image: ArrayView2<'a, f64>, caption: impl Into<String>) -> Tile<'a> {
    Tile {
        colours: ColourMap::Grey,
        ..Tile::new(image, caption)
    }
}

/// The seconds of each step for the table of a page.
pub(super) fn timed(report: &mut Report, timings: &Timings) {
    for t in &timings.steps {
        report.summary(&t.step, format!("{:.1} s", t.seconds));
    }
}

/// `NAME.params.toml` and `NAME.report.html`, whole on the disk, before the file that they belong to has its name.
struct Beside {
    parameters: Settled,
    page: Settled,
    place: PathBuf,
}

impl Beside {
    /// Writes both for `path`.
    fn new(path: &Path, overwrite: bool, parameters: &str, page: &str) -> Result<Beside> {
        let stem = path
            .file_stem()
            .ok_or_else(|| Error::parameter("-o", format!("{} names no file", path.display())))?;
        let named = |ending: &str| {
            let mut name = OsString::from(stem);
            name.push(ending);
            path.with_file_name(name)
        };
        let place = named(".report.html");
        Ok(Beside {
            parameters: Settled::of(named(".params.toml"), overwrite, parameters.as_bytes())?,
            page: Settled::of(&place, overwrite, page.as_bytes())?,
            place,
        })
    }

    /// Gives both their names; returns the page's place.
    fn appear(self) -> Result<PathBuf> {
        self.parameters.appear()?;
        self.page.appear()?;
        Ok(self.place)
    }
}
