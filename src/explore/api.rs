//! What a page may ask: each address and its parameters, and the answer.

use super::frame::{self, MAX_RADIUS, Wanted};
use super::maps::{self, Shown};
use super::region::Region;
use super::save::{self, Look, Plane};
use super::server::{Request, Response};
use super::{Inner, detector, overlay, page, summary};
use crate::analysis::maskspec::Detector;
use crate::engine::Selection;
use crate::error::{Error, Result};
use crate::io::Axis;
use crate::mask::MaskStack;
use crate::pixel::Pixel;
use crate::report::colour::{LABELS, label_colour};
use serde_json::{Value, json};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

/// Answers one request.
pub fn answer(inner: &Arc<Inner>, request: &Request) -> Response {
    if let Some(file) = page::file(&request.path) {
        return file;
    }
    let result = match request.path.as_str() {
        "/api/state" => Ok(Response::json(&state(inner))),
        "/api/frame" => picture(inner, request),
        "/api/values" => values(inner, request),
        "/api/detector" => detector_map(inner, request),
        "/api/region" => region_frames(inner, request),
        "/api/overlay" => overlays(inner, request),
        "/api/save" => file(inner, request),
        _ => return Response::error(404, "there is nothing at this address"),
    };
    result.unwrap_or_else(|e| {
        let status = match e {
            Error::Parameter { .. } => 422,
            Error::Memory { .. } | Error::Cancelled | Error::Limit { .. } => 503,
            _ => 500,
        };
        Response::error(status, &e.to_string())
    })
}

fn number<T: FromStr>(request: &Request, name: &str, default: Option<T>) -> Result<T> {
    match request.get(name) {
        Some(text) => text
            .parse()
            .map_err(|_| Error::parameter(name, format!("'{text}' is no number that fits"))),
        None => default.ok_or_else(|| Error::parameter(name, "is missing")),
    }
}

fn text<'a>(request: &'a Request, name: &str) -> Result<&'a str> {
    request.get(name).ok_or_else(|| Error::parameter(name, "is missing"))
}

fn position(request: &Request) -> Result<[usize; 2]> {
    Ok([number(request, "y", None)?, number(request, "x", None)?])
}

fn state(inner: &Inner) -> Value {
    let sources = &inner.sources;
    let axis = |a: &Axis| json!({ "scale": a.scale, "unit": a.unit });
    let axes = |a: &[Axis; 2]| a.iter().map(axis).collect::<Vec<_>>();
    let scan = |s: &super::sources::Source| {
        let info = s.scan().info();
        json!({
            "name": info.name(),
            "format": info.format, "dataset": info.dataset, "stored": info.stored, "notes": info.notes,
            "height": info.frame.height, "width": info.frame.width, "pixel": info.frame.pixel.name(),
            "axes": axes(&info.sig_axes), "nav_axes": axes(&info.nav_axes), "spectrum": s.is_spectrum(),
            "energy": s.energy.as_ref().map(|e| json!({ "offset": e.offset, "step": e.step, "unit": e.unit })),
            "lines": s.lines, "background": s.map.static_background.is_some(),
        })
    };
    let colours: serde_json::Map<String, Value> = save::colour_maps()
        .iter()
        .map(|(name, map)| {
            let table: Vec<[u8; 3]> = (0..256).map(|i| map.rgb(f64::from(i) / 255.0)).collect();
            ((*name).to_owned(), json!(table))
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "nav": sources.nav,
        "scans": sources.scans.iter().map(scan).collect::<Vec<_>>(),
        "shown": inner.shown.iter().map(maps::describe).collect::<Vec<_>>(),
        "overlays": overlay::available(sources),
        "problems": sources.problems,
        "planes": summary::PLANES,
        "colours": colours,
        "labels": (0..LABELS as i32).map(label_colour).collect::<Vec<_>>(),
        "backend": inner.backend.name(),
        "adapter": inner.backend.adapter(),
        "command": inner.command,
        "view": inner.view,
        "roi": inner.roi.is_some(),
    })
}

fn wanted(request: &Request) -> Result<Wanted> {
    let radius = number(request, "neighbours", Some(0))?;
    if radius > MAX_RADIUS {
        return Err(Error::parameter("neighbours", format!("{radius} is more than {MAX_RADIUS}")));
    }
    let process = match request.get("process") {
        Some("1") => Some(frame::parameters(
            request.get("sigma"),
            request.get("static"),
            request.get("dynamic"),
        )?),
        _ => None,
    };
    Ok(Wanted {
        at: position(request)?,
        radius,
        process,
    })
}

/// `scan y x neighbours process sigma static dynamic`
fn picture(inner: &Inner, request: &Request) -> Result<Response> {
    let begun = Instant::now();
    let wanted = wanted(request)?;
    let source = inner.sources.scan(number(request, "scan", Some(0))?)?;
    let _room = inner.gate.pass(wanted.cost(source))?;
    let picture = frame::read(source, &wanted, &inner.control)?;
    let head = json!({
        "dtype": save::npy_name(picture.shape.pixel),
        "shape": [picture.shape.height, picture.shape.width],
        "at": wanted.at,
        "frames": picture.frames,
        "seconds": begun.elapsed().as_secs_f64(),
        "warnings": source.scan().warnings(),
    });
    Ok(Response::numbers(&head, &picture.bytes))
}

fn find<'a>(inner: &'a Inner, id: &str) -> Result<&'a Shown> {
    let unknown = || Error::parameter("id", format!("'{id}' is nothing that is shown here"));
    inner.shown.iter().find(|s| s.id == id).ok_or_else(unknown)
}

fn named_values(inner: &Inner, request: &Request) -> Result<maps::Values> {
    let shown = find(inner, text(request, "id")?)?;
    maps::read(&inner.sources, shown, number(request, "index", Some(0))?, inner.room / 4)
}

/// `id index`
fn values(inner: &Inner, request: &Request) -> Result<Response> {
    let _room = inner.gate.pass(inner.positions() * 12)?;
    let values = named_values(inner, request)?;
    let head = json!({ "dtype": "f4", "shape": [values.values.nrows(), values.values.ncols()], "name": values.name });
    let floats: Vec<f32> = values.values.iter().map(|&v| v as f32).collect();
    Ok(Response::numbers(&head, bytemuck::cast_slice(&floats)))
}

fn detector_key(inner: &Inner, request: &Request) -> Result<(usize, Detector, String)> {
    let scan = number(request, "scan", Some(0))?;
    let detector = Detector::parse(text(request, "spec")?)?;
    inner.sources.scan(scan)?;
    Ok((scan, detector, format!("detector {scan} {detector}")))
}

/// `client scan spec after`: waits for news.
fn detector_map(inner: &Arc<Inner>, request: &Request) -> Result<Response> {
    let (scan, detector, key) = detector_key(inner, request)?;
    let frame = inner.sources.scan(scan)?.scan().info().frame;
    // Said at once, not by the thread that works.
    let mask = detector.mask(frame.height, frame.width)?;
    let stack = MaskStack::Dense {
        rows: mask
            .mapv(|v| v as f32)
            .into_shape_with_order((1, frame.pixels()))
            .map_err(|e| Error::Internal(e.to_string()))?,
    };
    let who = format!("{} detector", client(request)?);
    let work = Arc::clone(inner);
    let state = inner.live.ask(
        &who,
        &key,
        number(request, "after", Some(0))?,
        inner.positions() * 16,
        &inner.control,
        move |task| {
            let source = work.sources.scan(scan)?;
            detector::map(source.scan(), &source.map.present, &stack, &work.backend, &work.live, task)
        },
    )?;
    let [ny, nx] = inner.sources.nav;
    Ok(news(&state, &[ny, nx], json!({ "spec": detector.to_string() })))
}

fn client(request: &Request) -> Result<&str> {
    let who = text(request, "client")?;
    let plain = (1..=40).contains(&who.len()) && who.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain {
        Ok(who)
    } else {
        Err(Error::parameter("client", "1 to 40 letters and digits"))
    }
}

fn news(state: &super::live::State, shape: &[usize], more: Value) -> Response {
    let mut head = json!({
        "dtype": "f4", "shape": if state.values.is_empty() { &[] } else { shape },
        "version": state.version, "frames": state.frames, "coarse": state.coarse, "done": state.done, "error": state.error,
        "seconds": state.seconds,
    });
    if let (Some(head), Value::Object(more)) = (head.as_object_mut(), more) {
        head.extend(more);
    }
    Response::numbers(&head, bytemuck::cast_slice(&state.values))
}

impl Inner {
    /// Scan positions that a region names.
    pub(super) fn select(&self, region: &str) -> Result<Selection> {
        if region == "roi" {
            return self.roi.clone().ok_or_else(|| Error::parameter("--roi", "none was given"));
        }
        let labels = |id: &str| Ok(maps::read(&self.sources, find(self, id)?, 0, self.room / 4)?.values);
        Region::parse(region)?.select(self.sources.nav, labels)
    }
}

/// `client scan region after`: waits for news.
fn region_frames(inner: &Arc<Inner>, request: &Request) -> Result<Response> {
    let scan = number(request, "scan", Some(0))?;
    let region = text(request, "region")?;
    let source = inner.sources.scan(scan)?;
    let frame = source.scan().info().frame;
    let mut selection = inner.select(region)?;
    if !source.map.present.iter().all(|p| *p) {
        let mask = selection.mask() & &source.map.present;
        selection = Selection::from_mask(inner.sources.nav, mask.view())?;
    }
    let who = format!("{} region {scan}", client(request)?);
    let key = format!("region {scan} {region}");
    let bytes = frame.pixels() as u64 * 12 + inner.positions();
    let work = Arc::clone(inner);
    let state = inner.live.ask(
        &who,
        &key,
        number(request, "after", Some(0))?,
        bytes,
        &inner.control,
        move |task| summary::frames(work.sources.scan(scan)?.scan(), &selection, &work.backend, &work.live, task),
    )?;
    Ok(news(
        &state,
        &[summary::PLANES.len(), frame.height, frame.width],
        json!({ "region": region }),
    ))
}

/// `names y x`, names separated by commas.
fn overlays(inner: &Inner, request: &Request) -> Result<Response> {
    let at = position(request)?;
    let [ny, nx] = inner.sources.nav;
    if at[0] >= ny || at[1] >= nx {
        return Err(Error::parameter(
            "y, x",
            format!("({}, {}) lies outside the scan of {ny}×{nx}", at[0], at[1]),
        ));
    }
    let known = overlay::available(&inner.sources);
    let mut all = serde_json::Map::new();
    for name in text(request, "names")?.split(',').filter(|n| known.contains(n)) {
        all.insert(
            name.to_owned(),
            Value::Array(overlay::draw(&inner.sources, name, at, &inner.control)?),
        );
    }
    Ok(Response::json(&Value::Object(all)))
}

/// `what` (frame, values, detector, region, roi), its parameters, `format` (npy, tif, png) and for `png` how it looks.
fn file(inner: &Inner, request: &Request) -> Result<Response> {
    let format = text(request, "format")?;
    let what = text(request, "what")?;
    if what == "roi" {
        let mask = inner.select(text(request, "region")?)?.mask();
        return match format {
            "npy" => Ok(Response::new("application/octet-stream", save::mask_npy(&mask)).saved_as("roi.npy")),
            "png" => {
                let plane = Plane {
                    name: "roi".into(),
                    shape: [mask.nrows(), mask.ncols()],
                    pixel: Pixel::U8,
                    bytes: mask.iter().map(|&m| u8::from(m)).collect(),
                };
                let look = Look::parse(|_| None)?;
                Ok(Response::new("image/png", save::png(&plane, &look)?).saved_as("roi.png"))
            }
            _ => Err(Error::parameter("format", "a region is saved as npy or png")),
        };
    }
    let plane = plane(inner, request, what)?;
    let _room = inner.gate.pass(plane.bytes.len() as u64 * 16)?;
    let name = format!("{}.{format}", plane.name.trim_matches('/').replace('/', "_"));
    let (kind, bytes) = match format {
        "npy" => ("application/octet-stream", save::npy(&plane)),
        "tif" => ("image/tiff", save::tiff(&plane)?),
        "png" => {
            let look = Look::parse(|n| request.get(n).map(str::to_owned))?;
            ("image/png", save::png(&plane, &look)?)
        }
        _ => return Err(Error::parameter("format", format!("'{format}' is none of npy, tif, png"))),
    };
    Ok(Response::new(kind, bytes).saved_as(&name))
}

fn plane(inner: &Inner, request: &Request, what: &str) -> Result<Plane> {
    let finished = |key: &str| {
        let unfinished = || Error::parameter(what, "is not there yet: wait until it is complete");
        inner.live.finished(key).ok_or_else(unfinished)
    };
    match what {
        "frame" => {
            let wanted = wanted(request)?;
            let source = inner.sources.scan(number(request, "scan", Some(0))?)?;
            let _room = inner.gate.pass(wanted.cost(source))?;
            let picture = frame::read(source, &wanted, &inner.control)?;
            Ok(Plane {
                name: format!("frame_{}_{}", wanted.at[0], wanted.at[1]),
                shape: [picture.shape.height, picture.shape.width],
                pixel: picture.shape.pixel,
                bytes: picture.bytes,
            })
        }
        "values" => {
            let values = named_values(inner, request)?;
            let floats: Vec<f32> = values.values.iter().map(|&v| v as f32).collect();
            Ok(Plane::of(
                values.name,
                [values.values.nrows(), values.values.ncols()],
                &floats,
            ))
        }
        "detector" => {
            let (_, detector, key) = detector_key(inner, request)?;
            Ok(Plane::of(detector.to_string(), inner.sources.nav, &finished(&key)?.values))
        }
        "region" => {
            let (scan, region) = (number(request, "scan", Some(0))?, text(request, "region")?);
            let name = text(request, "plane")?;
            let frame = inner.sources.scan(scan)?.scan().info().frame;
            let number = summary::PLANES.iter().position(|p| *p == name);
            let number = number.ok_or_else(|| Error::parameter("plane", format!("'{name}' is not known")))?;
            let state = finished(&format!("region {scan} {region}"))?;
            let values = state.values.chunks(frame.pixels()).nth(number).unwrap_or_default();
            Ok(Plane::of(format!("region_{name}"), [frame.height, frame.width], values))
        }
        _ => Err(Error::parameter(
            "what",
            format!("'{what}' is none of frame, values, detector, region, roi"),
        )),
    }
}
