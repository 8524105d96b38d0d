//! What a stage keeps on the device from its start: pipelines, and the tables of each step.

use crate::backend::gpu::shader::{lanes, numbering, prelude_of_finite, total};
use crate::backend::gpu::{Buffer, Gpu, Pipeline};
use crate::error::Result;
use crate::kernels::pattern::plan::{Axis, Plan, Ready};
use crate::pixel::Pixel;

/// All pipelines, built at start-up.
pub(super) struct Pipelines {
    pub(super) begin: Pipeline,
    pub(super) scaled: Pipeline,
    pub(super) flatten: Pipeline,
    pub(super) circle: Pipeline,
    pub(super) fill: Pipeline,
    pub(super) square: Pipeline,
    pub(super) normalise: Pipeline,
    pub(super) centre: Pipeline,
    pub(super) rows: Pipeline,
    pub(super) columns: Pipeline,
    pub(super) percentiles: Pipeline,
    pub(super) stretch: Pipeline,
    pub(super) pack: Pipeline,
    pub(super) hot: Pipeline,
    pub(super) maps: Pipeline,
    pub(super) equalise: Pipeline,
}

impl Pipelines {
    pub(super) fn new(gpu: &Gpu, plan: &Plan) -> Result<Self> {
        let pixel = plan.frame.pixel;
        let group = numbering();
        let thread = include_str!("../../../../shaders/common/thread.wgsl");
        let begin = prelude_of_finite(pixel) + thread + include_str!("../../../../shaders/pattern_begin.wgsl");
        let point = group.clone() + &total("f32") + include_str!("../../../../shaders/pattern_point.wgsl");
        let lowpass = group.clone() + include_str!("../../../../shaders/pattern_lowpass.wgsl");
        let range = group.clone()
            + include_str!("../../../../shaders/common/order.wgsl")
            + include_str!("../../../../shaders/pattern_range.wgsl");
        let top = if plan.output == Pixel::U8 { "255.0" } else { "65535.0" };
        let pack = format!("const PACK = {}u;\nconst TOP = {top};\n{group}", lanes(plan.output));
        let pack = pack + include_str!("../../../../shaders/pattern_stretch.wgsl");
        let hot = group.clone() + include_str!("../../../../shaders/pattern_hot.wgsl");
        let clahe = group.clone() + include_str!("../../../../shaders/pattern_clahe.wgsl");
        let point = |entry: &str| gpu.pipeline("pattern point", &point, entry, &[], 3, 2);
        let low = |entry: &str| gpu.pipeline("pattern lowpass", &lowpass, entry, &[], 2, 3);
        let packing = format!("pattern stretch {}", plan.output);
        Ok(Pipelines {
            begin: gpu.pipeline(&format!("pattern {pixel}"), &begin, "begin", &[], 2, 2)?,
            scaled: point("subtract_scaled")?,
            flatten: point("flatten")?,
            circle: point("circle")?,
            fill: point("fill")?,
            square: point("square")?,
            normalise: point("normalise")?,
            centre: point("centre")?,
            rows: low("rows")?,
            columns: low("columns")?,
            percentiles: gpu.pipeline("pattern range", &range, "percentiles", &[], 1, 1)?,
            stretch: gpu.pipeline(&packing, &pack, "stretch", &[], 1, 2)?,
            pack: gpu.pipeline(&packing, &pack, "pack", &[], 1, 2)?,
            hot: gpu.pipeline("pattern hot", &hot, "remove_hot", &[], 1, 1)?,
            maps: gpu.pipeline("pattern clahe", &clahe, "maps", &[], 1, 2)?,
            equalise: gpu.pipeline("pattern clahe", &clahe, "equalise", &[], 1, 2)?,
        })
    }
}

/// Tables of one step on the device.
pub(super) enum Tables {
    None,
    /// Background and pixels to fill.
    Static {
        image: Buffer,
        fill: Option<Buffer>,
    },
    /// Weights and sources of both axes.
    Window([[Buffer; 2]; 2]),
    Circle(Buffer),
}

/// A buffer with these words.
fn table(gpu: &Gpu, label: &str, words: &[u32]) -> Result<Buffer> {
    let buffer = gpu.buffer(label, 4 * words.len().max(1) as u64)?;
    gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
    Ok(buffer)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

pub(super) fn tables(gpu: &Gpu, step: &Ready) -> Result<Tables> {
    let axis = |a: &Axis| -> Result<[Buffer; 2]> {
        Ok([
            table(gpu, "window", &bits(&a.weights))?,
            table(gpu, "window sources", &a.sources)?,
        ])
    };
    Ok(match step {
        Ready::Static { image, fill, .. } => {
            let list: Vec<u32> = [&fill.pixels, &fill.starts, &fill.sources]
                .into_iter()
                .flatten()
                .copied()
                .collect();
            Tables::Static {
                image: table(gpu, "static background", &bits(image))?,
                fill: match fill.pixels.is_empty() {
                    true => None,
                    false => Some(table(gpu, "pixels to fill", &list)?),
                },
            }
        }
        Ready::Lowpass { axes, .. } | Ready::LocalNorm { axes } => Tables::Window([axis(&axes[0])?, axis(&axes[1])?]),
        Ready::Circle(inside) => {
            let inside: Vec<u32> = inside.iter().map(|&i| u32::from(i)).collect();
            Tables::Circle(table(gpu, "circle", &inside)?)
        }
        _ => Tables::None,
    })
}
