//! Chunks of HDF5 datasets that are decoded here, in parallel: the library only finds and copies their bytes.

use super::fault;
use super::order::Order;
use super::raw::{self, Found};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::ScanInfo;
use crate::io::chunked::{Chunked, Chunks, Plan, Shape, shrink};
use crate::io::codecs::Pipeline;
use crate::io::dtype::Stored as StoredType;
use crate::io::limits::tuple;
use hdf5::dataset::Dataset;
use std::cell::RefCell;
use std::path::PathBuf;

thread_local! {
    static PACKED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A chunked dataset whose filters are known.
pub(super) struct Hdf5Chunks {
    path: PathBuf,
    name: String,
    dataset: Dataset,
    pipeline: Pipeline,
    order: Order,
    /// Value of pixels that were never written.
    fill: Vec<u8>,
}

/// `None` if the dataset is not made of chunks that can be decoded here. `cache`: bytes of decoded chunks that may stay.
///
/// # Errors
/// Those of the library.
pub(super) fn open(
    dataset: &Dataset,
    info: &ScanInfo,
    order: Order,
    dims: [u64; 4],
    stored: StoredType,
    cache: u64,
    control: &Control,
) -> hdf5::Result<Option<Chunked<Hdf5Chunks>>> {
    let chunk = dataset.create_plist()?.get_chunk()?;
    let Some(chunk) = chunk.filter(|c| !c.contains(&0)) else {
        return Ok(None);
    };
    let chunk = order.four(&chunk).map(|n| n.map_or(1, |n| n as u64));
    let (Some(chunk), Some(dims)) = (Shape::of(chunk), Shape::of(dims)) else {
        return Ok(None);
    };
    let Some(pipeline) = raw::pipeline(dataset)? else {
        return Ok(None);
    };
    if !raw::is_standard(&dataset.dtype()?, stored)? {
        return Ok(None);
    }
    let chunks = Hdf5Chunks {
        path: info.path.clone(),
        name: info.dataset.clone().unwrap_or_default(),
        fill: raw::fill_value(dataset, stored)?,
        dataset: dataset.clone(),
        pipeline,
        order,
    };
    let plan = Plan {
        path: info.path.clone(),
        dims,
        chunk,
        frames_last: order == Order::FramesLast,
        stored,
        pixel: info.frame.pixel,
    };
    Ok(Chunked::new(plan, chunks, cache, control))
}

impl Chunks for Hdf5Chunks {
    fn decode(&self, offset: [u64; 4], out: &mut [u8]) -> Result<()> {
        let offset = self.order.stored(offset);
        let place = || format!("dataset {}, chunk at {}", self.name, tuple(&offset));
        PACKED.with_borrow_mut(|packed| {
            // No filter makes data longer than this.
            let most = 2 * out.len() + (64 << 10);
            let found = raw::read(&self.dataset, &offset, most, packed).map_err(|e| fault(&self.path, place(), &e))?;
            match found {
                Found::Missing => {
                    out.chunks_exact_mut(self.fill.len())
                        .for_each(|p| p.copy_from_slice(&self.fill));
                    Ok(())
                }
                Found::TooLarge(n) => {
                    let what = format!("the file says that {n} bytes make the {} bytes of the chunk", out.len());
                    Err(Error::format(&self.path, place(), what))
                }
                Found::Stored { bytes, skipped } => {
                    let outcome = self.pipeline.decode(&packed[..bytes], skipped, out);
                    shrink(packed);
                    outcome.map_err(|what| Error::format(&self.path, place(), what))
                }
            }
        })
    }
}
