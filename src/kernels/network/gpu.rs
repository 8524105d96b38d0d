//! GPU path: one dispatch a task, activations in groups of four channels in two buffers that change places.

use super::plan::{Plan, Step, Task};
use crate::backend::gpu::rounds::floats_of;
use crate::backend::gpu::shader::THREADS;
use crate::backend::gpu::{Buffer, Gpu, Pipeline, Recorder, Submission};
use crate::error::{Error, Result};
use crate::network::Activation;

/// Largest kernel: its tile and weights fit 16 KiB of workgroup memory.
const MAX_TAPS: usize = 5;
/// Rows and columns of a workgroup's tile.
const TILE: [usize; 2] = [16, 32];
/// Multiply-adds of one dispatch: 0.1 s on a slow device.
const WORK: u64 = 1 << 30;

/// A task on the device.
enum Ready {
    Convolve {
        pipeline: Pipeline,
        weights: Buffer,
        bias: Buffer,
        /// Groups of four channels.
        inputs: usize,
        outputs: usize,
        upsample: bool,
        pool: bool,
        taps: usize,
    },
    Point(u32),
}

/// A network on a device for images of one size.
pub struct Runner {
    tasks: Vec<Ready>,
    begin: Pipeline,
    point: Pipeline,
    end: Pipeline,
    size: [usize; 2],
    inputs: usize,
    classes: usize,
    ending: u32,
    image: Buffer,
    buffers: [Buffer; 2],
    result: Buffer,
    nothing: Buffer,
}

/// Bytes of the largest buffer that an image of this size needs on a device.
pub fn largest_buffer(plan: &Plan, height: usize, width: usize) -> u64 {
    let groups = plan.sizes(height, width).into_iter();
    let most = groups.map(|(h, w, c)| 16 * (h * w * c.div_ceil(4)) as u64).max();
    most.unwrap_or(0).max((4 * height * width * plan.network().classes()) as u64)
}

impl Runner {
    /// Puts weights on the device. With `logits`, what comes before the softmax is the result.
    ///
    /// # Errors
    /// [`Error::TooLargeForDevice`] for kernels above 5 × 5 pixels or images that no buffer holds, [`Error::DeviceMemory`], [`Error::Kernel`].
    pub fn new(gpu: &Gpu, plan: &Plan, size: [usize; 2], logits: bool) -> Result<Self> {
        let network = plan.network();
        let group = include_str!("../../../shaders/common/group.wgsl");
        let point = group.to_owned() + include_str!("../../../shaders/network_point.wgsl");
        let points = |entry: &str| gpu.pipeline("network point", &point, entry, &[], 2, 2);
        let sizes = plan.sizes(size[0], size[1]);
        let words = |(h, w, c): (usize, usize, usize)| 16 * (h * w * c.div_ceil(4)) as u64;
        let most = |first: usize| sizes.iter().skip(first).step_by(2).map(|&s| words(s)).max().unwrap_or(16);
        let tasks = plan.tasks.iter().map(|task| ready(gpu, task)).collect::<Result<Vec<_>>>()?;
        let pixels = (size[0] * size[1]) as u64;
        Ok(Runner {
            tasks,
            begin: points("begin")?,
            point: points("point")?,
            end: points("end")?,
            size,
            inputs: network.inputs(),
            classes: network.classes(),
            ending: match network.ending() {
                Activation::Softmax if !logits => 1,
                Activation::Sigmoid if !logits => 2,
                _ => 0,
            },
            image: gpu.buffer("network input", 4 * pixels * network.inputs() as u64)?,
            buffers: [gpu.buffer("activations", most(0))?, gpu.buffer("activations", most(1))?],
            result: gpu.buffer("probabilities", 4 * pixels * network.classes() as u64)?,
            nothing: gpu.buffer("nothing", 16)?,
        })
    }

    /// Height and width of its images.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Submits one image, rows of channels (height, channels, width). Submissions run one after the other, so several may be on their way.
    ///
    /// # Errors
    /// [`Error::Internal`] for an image of another size; what the device reports.
    pub fn submit<'g>(&self, gpu: &'g Gpu, image: &[f32]) -> Result<Submission<'g>> {
        let [height, width] = self.size;
        if image.len() != height * width * self.inputs {
            return Err(Error::Internal(format!("an image of {} numbers on the device", image.len())));
        }
        let mut rec = Recorder::new(gpu)?;
        rec.write(&self.image, 0, bytemuck::cast_slice(image))?;
        let [mut from, mut to] = [&self.buffers[0], &self.buffers[1]];
        let (mut h, mut w, mut groups) = (height, width, self.inputs.div_ceil(4));
        let threads = |n: usize| (n as u64).div_ceil(THREADS);
        let params = [h, w, self.inputs, 0].map(|v| v as u32);
        rec.dispatch(
            &self.begin,
            bytemuck::cast_slice(&params),
            &[&self.image, &self.nothing, from, &self.result],
            threads(h * w * groups),
        )?;
        for task in &self.tasks {
            match task {
                Ready::Convolve {
                    pipeline,
                    weights,
                    bias,
                    inputs,
                    outputs,
                    upsample,
                    pool,
                    taps,
                } => {
                    if *upsample {
                        (h, w) = (2 * h, 2 * w);
                    }
                    let tiles = [h.div_ceil(TILE[0]), w.div_ceil(TILE[1])];
                    let count = tiles[0] * tiles[1];
                    let all = count * outputs.div_ceil(2);
                    let work = (TILE[0] * TILE[1] * taps * taps * inputs * 4 * 8) as u64;
                    let at_once = (WORK / work.max(1)).clamp(1, all as u64) as usize;
                    for first in (0..all).step_by(at_once) {
                        let n = at_once.min(all - first);
                        let params = [h, w, *inputs, *outputs, tiles[1], count, first, n].map(|v| v as u32);
                        let buffers: [&wgpu::Buffer; 4] = [from, weights, bias, to];
                        rec.dispatch(pipeline, bytemuck::cast_slice(&params), &buffers, n as u64)?;
                    }
                    groups = *outputs;
                    if *pool {
                        (h, w) = (h / 2, w / 2);
                    }
                }
                Ready::Point(mode) => {
                    match mode {
                        0 => (h, w) = (h / 2, w / 2),
                        1 => (h, w) = (2 * h, 2 * w),
                        _ => {}
                    }
                    let params = [h, w, groups, *mode as usize].map(|v| v as u32);
                    let buffers: [&wgpu::Buffer; 4] = [&self.nothing, from, to, &self.result];
                    rec.dispatch(&self.point, bytemuck::cast_slice(&params), &buffers, threads(h * w * groups))?;
                }
            }
            std::mem::swap(&mut from, &mut to);
        }
        let params = [height, width, self.classes, self.ending as usize].map(|v| v as u32);
        let buffers: [&wgpu::Buffer; 4] = [&self.nothing, from, to, &self.result];
        rec.dispatch(&self.end, bytemuck::cast_slice(&params), &buffers, threads(height * width))?;
        rec.read(&self.result, 0, 4 * (height * width * self.classes) as u64)?;
        rec.finish()
    }

    /// The result of a submission: rows of channels (height, classes, width).
    ///
    /// # Errors
    /// What the device reports.
    pub fn take(&self, submission: &Submission<'_>) -> Result<Vec<f32>> {
        let expected = self.size[0] * self.size[1] * self.classes;
        submission.wait_with(|reads| floats_of("network", reads, expected))?
    }
}

fn ready(gpu: &Gpu, task: &Task) -> Result<Ready> {
    Ok(match task {
        Task::Pool => Ready::Point(0),
        Task::Upsample => Ready::Point(1),
        Task::Relu => Ready::Point(2),
        Task::Convolve(step) => convolution(gpu, step)?,
    })
}

fn convolution(gpu: &Gpu, step: &Step) -> Result<Ready> {
    let (taps, _, inputs, outputs) = step.source.kernel.dim();
    if taps > MAX_TAPS {
        return Err(Error::TooLargeForDevice(format!(
            "kernels of {taps} × {taps} pixels; those up to {MAX_TAPS} × {MAX_TAPS} run on GPUs"
        )));
    }
    let (inputs4, pairs) = (inputs.div_ceil(4), outputs.div_ceil(8));
    let mut weights = vec![0f32; pairs * inputs4 * taps * taps * 32];
    for ((y, x, i, o), &w) in step.source.kernel.indexed_iter() {
        let vector = (((o / 8 * inputs4 + i / 4) * taps + y) * taps + x) * 8 + o / 4 % 2 * 4 + i % 4;
        weights[4 * vector + o % 4] = w;
    }
    let mut bias = vec![0f32; pairs * 8];
    bias[..outputs].copy_from_slice(&step.bias);
    let text = format!(
        "const TAPS = {taps}u;\nconst HALF = {}u;\nconst SINGLE = {};\nconst UP = {};\nconst POOL = {};\nconst RELU = {};\n{}{}",
        taps / 2,
        inputs == 1,
        step.upsample,
        step.pool,
        step.relu,
        include_str!("../../../shaders/common/group.wgsl"),
        include_str!("../../../shaders/network.wgsl")
    );
    Ok(Ready::Convolve {
        pipeline: gpu.pipeline("network", &text, "convolve", &[], 3, 1)?,
        weights: gpu.buffer_with("network weights", bytemuck::cast_slice(&weights))?,
        bias: gpu.buffer_with("network biases", bytemuck::cast_slice(&bias))?,
        inputs: inputs4,
        outputs: outputs.div_ceil(4),
        upsample: step.upsample,
        pool: step.pool,
        taps,
    })
}
