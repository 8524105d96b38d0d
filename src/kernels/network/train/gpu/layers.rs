//! Kernels of training, and one convolution with its weights in the orders in which kernels read them.

use super::super::chain::Linked;
use super::WORK;
use crate::backend::gpu::{Buffer, Gpu, Pipeline, Recorder};
use crate::error::{Error, Result};

/// Largest kernel: tiles fit 16 KiB of workgroup memory.
const MAX_TAPS: usize = 5;
/// Rows and columns of a workgroup's tile of network.wgsl, and of network_gradient.wgsl.
const TILE: [usize; 2] = [16, 32];
const PRODUCT_TILE: [usize; 2] = [8, 32];
/// Threads of a workgroup of network_gradient.wgsl.
const THREADS: usize = 128;
/// Most parts in which a gradient is summed.
pub const CHUNKS: usize = 32;

/// Parameters of network_step.wgsl.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    pub at: u32,
    pub taps: u32,
    pub inputs: u32,
    pub outputs: u32,
    pub chunks: u32,
    pub add: u32,
    pub count: u32,
    pub rate: f32,
    pub size: f32,
    pub first: f32,
    pub second: f32,
    pub epsilon: f32,
}

/// Kernels that are the same for all layers.
pub struct Kernels {
    pub point: Pipeline,
    pub cross_entropy: Pipeline,
    pub stop: Pipeline,
    pub unpool: Pipeline,
    pub unrepeat: Pipeline,
    pub gather: Pipeline,
    pub gather_biases: Pipeline,
    pub adam: Pipeline,
    pub pack: Pipeline,
}

impl Kernels {
    pub fn new(gpu: &Gpu) -> Result<Self> {
        let group = include_str!("../../../../../shaders/common/group.wgsl");
        let thread = include_str!("../../../../../shaders/common/thread.wgsl");
        let point = group.to_owned() + include_str!("../../../../../shaders/network_point.wgsl");
        let back = group.to_owned() + include_str!("../../../../../shaders/network_backward.wgsl");
        let step = group.to_owned() + thread + include_str!("../../../../../shaders/network_step.wgsl");
        let backward = |entry: &str| gpu.pipeline("network backward", &back, entry, &[], 4, 2);
        let number = |entry: &str| gpu.pipeline("network step", &step, entry, &[], 1, 7);
        Ok(Kernels {
            point: gpu.pipeline("network point", &point, "point", &[], 2, 2)?,
            cross_entropy: backward("cross_entropy")?,
            stop: backward("stop")?,
            unpool: backward("unpool")?,
            unrepeat: backward("unrepeat")?,
            gather: number("gather")?,
            gather_biases: number("gather_biases")?,
            adam: number("adam")?,
            pack: number("pack")?,
        })
    }
}

/// Parts in which the gradient of a layer is summed: no more than there are tiles.
pub fn chunks([h, w]: [usize; 2], images: usize) -> usize {
    (h.div_ceil(PRODUCT_TILE[0]) * w.div_ceil(PRODUCT_TILE[1]) * images).min(CHUNKS)
}

/// A convolution, both ways.
pub struct Convolution {
    pub forward_weights: Buffer,
    pub bias: Buffer,
    pub backward_weights: Buffer,
    no_bias: Buffer,
    forward: Pipeline,
    backward: Pipeline,
    products: Pipeline,
    totals: Pipeline,
    taps: usize,
    pub inputs: usize,
    pub outputs: usize,
    at: usize,
    pub relu: bool,
}

impl Convolution {
    pub fn new(gpu: &Gpu, linked: &Linked) -> Result<Self> {
        let (taps, _, inputs, outputs) = linked.source.kernel.dim();
        if taps > MAX_TAPS {
            return Err(Error::TooLargeForDevice(format!(
                "kernels of {taps} × {taps} pixels; those up to {MAX_TAPS} × {MAX_TAPS} are trained on GPUs"
            )));
        }
        let group = include_str!("../../../../../shaders/common/group.wgsl");
        let half = taps / 2;
        let convolve = |inputs: usize, relu: bool| {
            let text = format!(
                "const TAPS = {taps}u;\nconst HALF = {half}u;\nconst SINGLE = {};\nconst UP = false;\nconst POOL = false;\nconst RELU = {relu};\n{group}{}",
                inputs == 1,
                include_str!("../../../../../shaders/network.wgsl")
            );
            gpu.pipeline("network", &text, "convolve", &[], 3, 1)
        };
        let tiles = (PRODUCT_TILE[0] + taps - 1) * (PRODUCT_TILE[1] + taps - 1) + PRODUCT_TILE[0] * PRODUCT_TILE[1];
        let text = format!(
            "const TAPS = {taps}u;\nconst HALF = {half}u;\nconst ROOM = {}u;\n{group}{}",
            tiles.max(4 * THREADS),
            include_str!("../../../../../shaders/network_gradient.wgsl")
        );
        let sums = |entry: &str| gpu.pipeline("network gradient", &text, entry, &[], 2, 1);
        // 32 numbers for each pair of output groups, input group and tap.
        let packed = |inputs: usize, outputs: usize| (128 * outputs.div_ceil(8) * inputs.div_ceil(4) * taps * taps) as u64;
        let biases = |channels: usize| (32 * channels.div_ceil(8)) as u64;
        Ok(Convolution {
            forward_weights: gpu.buffer("weights forwards", packed(inputs, outputs))?,
            bias: gpu.buffer("biases", biases(outputs))?,
            backward_weights: gpu.buffer("weights backwards", packed(outputs, inputs))?,
            no_bias: gpu.buffer("no biases", biases(inputs))?,
            forward: convolve(inputs, linked.relu)?,
            backward: convolve(outputs, false)?,
            products: sums("products")?,
            totals: sums("totals")?,
            taps,
            inputs,
            outputs,
            at: linked.at,
            relu: linked.relu,
        })
    }

    /// Weights without biases.
    pub fn kernel(&self) -> usize {
        self.taps * self.taps * self.inputs * self.outputs
    }

    /// Where its numbers are.
    pub fn step(&self) -> Step {
        Step {
            at: self.at as u32,
            taps: self.taps as u32,
            inputs: self.inputs as u32,
            outputs: self.outputs as u32,
            ..Step::default()
        }
    }

    /// Bytes of the parts of its gradients: weights, biases.
    pub fn parts(&self) -> [u64; 2] {
        let (i, o) = (self.inputs.div_ceil(4), self.outputs.div_ceil(4));
        [64 * CHUNKS * i * o * self.taps * self.taps, 16 * CHUNKS * o].map(|n| n as u64)
    }

    pub fn forwards(&self, rec: &mut Recorder<'_>, size: [usize; 2], images: usize, from: &Buffer, to: &Buffer) -> Result<()> {
        let buffers: [&wgpu::Buffer; 4] = [from, &self.forward_weights, &self.bias, to];
        self.convolve(rec, &self.forward, [self.inputs, self.outputs], size, images, &buffers)
    }

    /// From errors of the output to errors of the input.
    pub fn backwards(
        &self,
        rec: &mut Recorder<'_>,
        size: [usize; 2],
        images: usize,
        error: &Buffer,
        made: &Buffer,
    ) -> Result<()> {
        let buffers: [&wgpu::Buffer; 4] = [error, &self.backward_weights, &self.no_bias, made];
        self.convolve(rec, &self.backward, [self.outputs, self.inputs], size, images, &buffers)
    }

    fn convolve(
        &self,
        rec: &mut Recorder<'_>,
        pipeline: &Pipeline,
        channels: [usize; 2],
        [h, w]: [usize; 2],
        images: usize,
        buffers: &[&wgpu::Buffer],
    ) -> Result<()> {
        let [inputs, outputs] = channels.map(|c| c.div_ceil(4));
        let tiles = [h.div_ceil(TILE[0]), w.div_ceil(TILE[1])];
        let count = tiles[0] * tiles[1];
        let all = images * count * outputs.div_ceil(2);
        let work = TILE[0] * TILE[1] * self.taps * self.taps * inputs * 4 * 8;
        for (first, n) in rounds(all, work) {
            let params = [h, w, inputs, outputs, tiles[1], count, first, n].map(|v| v as u32);
            rec.dispatch(pipeline, bytemuck::cast_slice(&params), buffers, n as u64)?;
        }
        Ok(())
    }

    /// Parts of the gradients of weights and biases from what came in and the errors of what went out.
    pub fn gradients(
        &self,
        rec: &mut Recorder<'_>,
        [h, w]: [usize; 2],
        images: usize,
        (input, error): (&Buffer, &Buffer),
        parts: &[Buffer; 2],
    ) -> Result<()> {
        let (inputs, outputs) = (self.inputs.div_ceil(4), self.outputs.div_ceil(4));
        let tiles = [h.div_ceil(PRODUCT_TILE[0]), w.div_ceil(PRODUCT_TILE[1])];
        let count = tiles[0] * tiles[1];
        let chunks = chunks([h, w], images);
        let pixels = (count * images).div_ceil(chunks) * PRODUCT_TILE[0] * PRODUCT_TILE[1];
        let kinds = [
            (
                &self.products,
                chunks * inputs * outputs,
                pixels * self.taps * self.taps * 16,
                &parts[0],
            ),
            (&self.totals, chunks * outputs, pixels * 4, &parts[1]),
        ];
        for (pipeline, all, work, parts) in kinds {
            for (first, n) in rounds(all, work) {
                let params = [h, w, inputs, outputs, tiles[1], count, images, chunks, first, n].map(|v| v as u32);
                let buffers: [&wgpu::Buffer; 3] = [input, error, parts];
                rec.dispatch(pipeline, bytemuck::cast_slice(&params), &buffers, n as u64)?;
            }
        }
        Ok(())
    }
}

/// First workgroup and number of workgroups of each dispatch.
fn rounds(all: usize, work: usize) -> impl Iterator<Item = (usize, usize)> {
    let at_once = (WORK / work.max(1) as u64).clamp(1, all.max(1) as u64) as usize;
    (0..all).step_by(at_once).map(move |first| (first, at_once.min(all - first)))
}
