//! Chunks as they lie in the file: looked up and copied under the library's lock, decoded by nobody.
//!
//! Chunks are found by their coordinates in the dataset's index, so none is listed: `H5Dget_chunk_info` walks all chunks for each call, and
//! `H5Dchunk_iter` came with HDF5 1.14 only.

use super::refused::Told;
use crate::io::codecs::Pipeline;
use crate::io::dtype::Stored;
use hdf5::Datatype;
use hdf5::dataset::Dataset;
use hdf5_sys::h5::{herr_t, hsize_t};
use hdf5_sys::h5i::hid_t;
use std::ffi::{c_char, c_uint};

unsafe extern "C" {
    /// Since HDF5 1.10.2; hdf5-metno-sys does not bind it.
    fn H5Dget_chunk_storage_size(dataset: hid_t, offset: *const hsize_t, bytes: *mut hsize_t) -> herr_t;
}

/// Most values of client data that a filter may have; the filters that are decoded here have far fewer.
const MAX_VALUES: usize = 64;

/// What became of a chunk's bytes.
pub(super) enum Found {
    /// They are in the buffer; bit i is set where filter i was skipped.
    Stored { bytes: usize, skipped: u32 },
    /// Never written.
    Missing,
    /// More bytes than it can have.
    TooLarge(u64),
}

/// Copies the chunk at `offset` (in elements, whole chunks) to the front of `buffer`, which grows to at most `most` bytes.
pub(super) fn read(dataset: &Dataset, offset: &[hsize_t], most: usize, buffer: &mut Vec<u8>) -> hdf5::Result<Found> {
    hdf5::sync::sync(|| {
        let mut bytes: hsize_t = 0;
        // SAFETY: the dataset is open and chunked, `offset` has one number for each of its dimensions (checked by the caller when it was
        // opened), and the library's lock is held.
        let known = hdf5::h5check(unsafe { H5Dget_chunk_storage_size(dataset.id(), offset.as_ptr(), &raw mut bytes) });
        match known {
            Err(e) if is_missing(dataset, offset, &e) => return Ok(Found::Missing),
            Err(e) => return Err(e),
            Ok(_) if bytes == 0 => return Ok(Found::Missing),
            Ok(_) => {}
        }
        let Some(size) = usize::try_from(bytes).ok().filter(|&n| n <= most) else {
            return Ok(Found::TooLarge(bytes));
        };
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let mut skipped: u32 = 0;
        // SAFETY: as above; the buffer has the bytes that the library says it will write, under the same lock.
        hdf5::h5check(unsafe { copy_chunk(dataset.id(), offset.as_ptr(), &raw mut skipped, buffer) })?;
        Ok(Found::Stored { bytes: size, skipped })
    })
}

/// Copies a chunk that the buffer has room for.
///
/// # Safety
/// `offset` has a number for each dimension of the open dataset, the chunk is no longer than `buffer`, and the library's lock is held.
unsafe fn copy_chunk(dataset: hid_t, offset: *const hsize_t, skipped: *mut u32, buffer: &mut [u8]) -> herr_t {
    let (default, out) = (hdf5_sys::h5p::H5P_DEFAULT, buffer.as_mut_ptr().cast());
    // SAFETY: passed on.
    #[cfg(not(feature = "static-hdf5"))]
    return unsafe { hdf5_sys::h5d::H5Dread_chunk1(dataset, default, offset, skipped, out) };
    // The HDF5 that is built in (2.x) leaves out what it calls deprecated.
    #[cfg(feature = "static-hdf5")]
    {
        let mut room = buffer.len();
        // SAFETY: passed on.
        unsafe { hdf5_sys::h5d::H5Dread_chunk2(dataset, default, offset, skipped, out, &raw mut room) }
    }
}

/// True if the size of a chunk is not known because it was never written: HDF5 1.10 reports that as an error.
fn is_missing(dataset: &Dataset, offset: &[hsize_t], e: &hdf5::Error) -> bool {
    if e.to_string().contains("chunk storage is not allocated") {
        return true;
    }
    // Slow, but certain whatever a version of the library says.
    let (mut skipped, mut address, mut bytes) = (0, 0, 0);
    // SAFETY: as in `read`; the caller holds the library's lock.
    let status = unsafe {
        let (skipped, address, bytes) = (&raw mut skipped, &raw mut address, &raw mut bytes);
        hdf5_sys::h5d::H5Dget_chunk_info_by_coord(dataset.id(), offset.as_ptr(), skipped, address, bytes)
    };
    status >= 0 && address == hdf5_sys::h5::HADDR_UNDEF && bytes == 0
}

/// Bytes that a dataset takes in its file; 0 where nothing was ever written, or where the disk refused to say (which is [noted](Told::told)).
pub(crate) fn storage_size(dataset: &Dataset) -> u64 {
    hdf5::sync::sync(|| {
        // SAFETY: the dataset is open and the library's lock is held.
        let bytes: hsize_t = unsafe { hdf5_sys::h5d::H5Dget_storage_size(dataset.id()) };
        // The library has no other sign of an error than 0 and the causes that it keeps.
        hdf5::h5check(bytes).told().unwrap_or(0)
    })
}

/// A dataset's filters, if emstream can decode them all.
pub(super) fn pipeline(dataset: &Dataset) -> hdf5::Result<Option<Pipeline>> {
    let plist = dataset.create_plist()?;
    hdf5::sync::sync(|| {
        // SAFETY: the property list is open, every buffer has the length that is passed, and the library's lock is held.
        let count = hdf5::h5check(unsafe { hdf5_sys::h5p::H5Pget_nfilters(plist.id()) })?;
        let mut filters = Vec::new();
        for i in 0..count as c_uint {
            let mut values = [0; MAX_VALUES];
            let (mut flags, mut used, mut config) = (0, values.len(), 0);
            let mut name: [c_char; 1] = [0];
            let id = hdf5::h5check(unsafe {
                hdf5_sys::h5p::H5Pget_filter2(
                    plist.id(),
                    i,
                    &raw mut flags,
                    &raw mut used,
                    values.as_mut_ptr(),
                    name.len(),
                    name.as_mut_ptr(),
                    &raw mut config,
                )
            })?;
            filters.push((id, values[..used.min(MAX_VALUES)].to_vec()));
        }
        Ok(Pipeline::of(&filters))
    })
}

/// The value of pixels that were never written, in the type and byte order of the dataset; zero where none is defined.
pub(super) fn fill_value(dataset: &Dataset, stored: Stored) -> hdf5::Result<Vec<u8>> {
    let (plist, dtype) = (dataset.create_plist()?, dataset.dtype()?);
    let mut value = vec![0; stored.bytes().max(dtype.size())];
    hdf5::sync::sync(|| -> hdf5::Result<()> {
        let mut status = hdf5_sys::h5d::H5D_fill_value_t::H5D_FILL_VALUE_UNDEFINED;
        // SAFETY: both identifiers are open, the value has the type's size, and the library's lock is held.
        unsafe {
            hdf5::h5check(hdf5_sys::h5p::H5Pfill_value_defined(plist.id(), &raw mut status))?;
            if status != hdf5_sys::h5d::H5D_fill_value_t::H5D_FILL_VALUE_UNDEFINED {
                let out = value.as_mut_ptr().cast();
                hdf5::h5check(hdf5_sys::h5p::H5Pget_fill_value(plist.id(), dtype.id(), out))?;
            }
        }
        Ok(())
    })?;
    value.truncate(stored.bytes());
    Ok(value)
}

/// True if `dtype` is exactly a machine's number: no unused bits, no unusual float.
pub(super) fn is_standard(dtype: &Datatype, stored: Stored) -> hdf5::Result<bool> {
    let native = super::native_type(stored.kind)?;
    hdf5::sync::sync(|| {
        // SAFETY: both types are open and the copy is closed again; the library's lock is held.
        unsafe {
            let copy = hdf5::h5check(hdf5_sys::h5t::H5Tcopy(native.id()))?;
            let order = if stored.big_endian {
                hdf5_sys::h5t::H5T_order_t::H5T_ORDER_BE
            } else {
                hdf5_sys::h5t::H5T_order_t::H5T_ORDER_LE
            };
            let set = if stored.bytes() > 1 {
                hdf5_sys::h5t::H5Tset_order(copy, order)
            } else {
                0
            };
            let equal = hdf5_sys::h5t::H5Tequal(copy, dtype.id());
            hdf5_sys::h5t::H5Tclose(copy);
            hdf5::h5check(set)?;
            Ok(hdf5::h5check(equal)? > 0)
        }
    })
}
