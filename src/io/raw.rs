//! Raw binary: frames without any header, described by the user.

use super::flat::{Flat, Marker};
use super::limits;
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::stack::Stack;
use super::{Reading, Scan, ScanInfo, ShapeFrom};
use crate::error::{Error, Result};
use crate::pixel::Pixel;

/// Opens raw frames; `--sig-shape` and `--dtype` are needed, without `--nav-shape` all frames make the scan (1, n).
///
/// # Errors
/// [`Error::Parameter`] for missing or unknown values, [`Error::Format`] when the file's size is not exactly what they make.
pub(crate) fn open(file: ReadAt, options: &OpenOptions) -> Result<Box<dyn Scan>> {
    let path = file.path().to_owned();
    let path = path.as_path();
    let missing = |flag: &str| {
        Error::parameter(
            flag,
            format!(
                "{} is raw binary: tell its shape and type, e.g. --nav-shape 256,256 --sig-shape 128,128 --dtype u16",
                path.display()
            ),
        )
    };
    let sig = options.sig_shape.ok_or_else(|| missing("--sig-shape"))?.map(|n| n as u64);
    let name = options.dtype.as_deref().ok_or_else(|| missing("--dtype"))?;
    let (stored, wanted) = options.raw_type(name)?;
    let pixel = stored.deliver(wanted)?;
    let offset = options.offset.unwrap_or(0);
    let bytes = file.len().checked_sub(offset).filter(|&n| n > 0).ok_or_else(|| {
        Error::parameter(
            "--offset",
            format!("{offset} lies behind the end of {} ({} bytes)", path.display(), file.len()),
        )
    })?;
    let one = limits::check(path, [1, 1], sig, stored.bytes())?;
    let nav = match options.nav_shape {
        Some(nav) => nav.map(|n| n as u64),
        None => [1, (bytes / one.frame_bytes).max(1)],
    };
    let sizes = limits::check(path, nav, sig, stored.bytes())?;
    if sizes.total != bytes {
        let what = format!(
            "scan {} of frames {} of {stored} makes {} bytes, but the file has {bytes} from byte {offset} on{}",
            limits::tuple(&nav),
            limits::tuple(&sig),
            sizes.total,
            whole(bytes, one.frame_bytes)
        );
        return Err(Error::format(path, "size of the file", what));
    }
    let mut reading = Reading::shape(options, ShapeFrom::Unknown);
    if pixel != Pixel::F32 {
        let plain = name.split(':').next().unwrap_or(name);
        reading.otherwise.push((format!("--dtype {plain}:f32"), "floats".to_owned()));
    }
    let info = ScanInfo {
        reading,
        ..ScanInfo::new(&file, "raw", &sizes, stored, pixel)
    };
    let mut flat = Flat::new(file, offset, Marker::None, &sizes, stored, pixel);
    flat.hint = "--dtype STORED:f32, e.g. u64:f32, reads such values rounded";
    Ok(Box::new(Stack::new(info, flat, options.sync_offset)?))
}

/// How many frames the bytes would make, to help find the right shape.
fn whole(bytes: u64, frame: u64) -> String {
    match bytes % frame {
        0 => format!(" ({} whole frames)", bytes / frame),
        rest => format!(" ({} whole frames and {rest} bytes)", bytes / frame),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn leftover_bytes_are_told() {
        assert_eq!(super::whole(100, 25), " (4 whole frames)");
        assert_eq!(super::whole(101, 25), " (4 whole frames and 1 bytes)");
    }

    #[test]
    fn stored_and_delivered_types() {
        let o = super::OpenOptions::default();
        assert_eq!(o.raw_type(">u8:f32").unwrap().1, Some(crate::pixel::Pixel::F32));
        assert_eq!(o.raw_type(">u8").unwrap().0, crate::io::dtype::Stored::parse(">u8").unwrap());
        assert!(o.raw_type("u16:u64").is_err());
    }
}
