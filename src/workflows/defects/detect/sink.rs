//! Where frames go when they are done: windows and probabilities to the result file, pictures to the movie, the rest to memory.

use super::super::output::named;
use super::drifting::Drifting;
use super::{Analysed, Detection, Found, Params, Shown};
use crate::error::Result;
use crate::io::results::{Meta, ResultFile, Stream};
use crate::network::Network;
use crate::report;
use crate::workflows::Timings;
use ndarray::s;
use std::ops::Range;

/// Frames shown unless others are asked for.
const SHOWN: u64 = 4;

/// Takes frames in order and puts away what is large.
pub(super) struct Sink<'a> {
    params: &'a Params,
    windows: Stream<f32>,
    probability: Option<Stream<f32>>,
    detections: Vec<Detection>,
    counts: Vec<(u64, usize, usize)>,
    drift: Drifting,
    constant: Vec<u64>,
    shown: Vec<Shown>,
    show: Vec<u64>,
    movie: report::Movie,
    pub warnings: Vec<String>,
}

impl<'a> Sink<'a> {
    pub fn new(
        params: &'a Params,
        range: &Range<u64>,
        network: &Network,
        size: [usize; 2],
        movie: report::Movie,
        file: &ResultFile,
    ) -> Result<Self> {
        let total = range.end - range.start;
        let window = [params.window; 2];
        let meaning = "scaled frames around the detections with `kept`, in their order; the centre lies in pixel window / 2";
        let windows = file.stream("detections/windows", &window, Meta::new("", &["kept", "y", "x"], meaning))?;
        let probability = if params.save_probability {
            let tail = [network.classes(), size[0], size[1]];
            let meaning = "probability of each class, class 0 is background";
            let meta = Meta::new("", &["frame", "class", "y", "x"], meaning);
            Some(file.stream("detections/probability", &tail, meta)?)
        } else {
            None
        };
        let show = match params.show_frames.is_empty() {
            false => params.show_frames.clone(),
            true => (0..SHOWN.min(total))
                .map(|i| range.start + i * (total - 1) / (SHOWN.min(total) - 1).max(1))
                .collect(),
        };
        Ok(Sink {
            params,
            windows,
            probability,
            detections: Vec::new(),
            counts: Vec::new(),
            drift: Drifting::default(),
            constant: Vec::new(),
            shown: Vec::new(),
            show,
            movie,
            warnings: Vec::new(),
        })
    }

    pub fn take(&mut self, a: Analysed) -> Result<()> {
        let side = self.params.window;
        for d in a.found.iter().filter(|d| d.kept) {
            let [y, x] = d.corner;
            self.windows
                .append(a.image.slice(s![y..y + side, x..x + side]).iter().copied())?;
        }
        if let Some(stream) = &mut self.probability {
            stream.append(a.probabilities.permuted_axes([1, 0, 2]).iter().copied())?;
        }
        let kept = a.found.iter().filter(|d| d.kept).count();
        self.counts.push((a.frame, a.found.len(), kept));
        if a.constant {
            self.constant.push(a.frame);
        }
        if let Some(spectrum) = a.spectrum {
            self.drift.take(a.frame, spectrum);
        }
        if let Some(picture) = &a.picture {
            self.movie.add(picture)?;
        }
        self.detections.extend_from_slice(&a.found);
        if self.show.contains(&a.frame) {
            self.shown.push(Shown {
                frame: a.frame,
                image: a.image,
                probability: a.defect,
                found: a.found,
            });
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<Found> {
        self.windows.flush()?;
        if let Some(stream) = &mut self.probability {
            stream.flush()?;
        }
        self.movie.finish()?;
        let (drift, uncertain) = self.drift.finish();
        self.warnings.extend(uncertain);
        if !self.constant.is_empty() {
            let what = format!(
                "{}: all pixels are alike, and no defects are looked for",
                named(&self.constant)
            );
            self.warnings.push(what);
        }
        Ok(Found {
            detections: self.detections,
            counts: self.counts,
            drift,
            shown: self.shown,
            scale: [1.0, 0.0, 1.0],
            warnings: self.warnings,
            timings: Timings::default(),
        })
    }
}
