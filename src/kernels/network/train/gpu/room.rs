//! Memory on the device for batches of images of one size.

use super::super::Example;
use super::super::chain::Chain;
use super::Layer;
use crate::backend::gpu::shader::THREADS;
use crate::backend::gpu::{Buffer, Gpu, Pipeline, Recorder};
use crate::error::Result;

/// Largest buffer of activations, unless one image needs more.
const LARGEST: u64 = 64 << 20;

/// Activations, errors and sums.
pub struct Room {
    pub size: [usize; 2],
    /// Images done at once, and how many there are at most.
    pub images: usize,
    pub most: usize,
    /// Height, width and channels of the input and of every layer's output.
    pub sizes: Vec<(usize, usize, usize)>,
    /// The input and every layer's output.
    pub planes: Vec<Buffer>,
    pub errors: [Buffer; 2],
    labels: Buffer,
    /// Loss and right pixels of each workgroup.
    pub losses: Buffer,
    /// Parts of gradients: weights, biases.
    pub parts: [Buffer; 2],
}

impl Room {
    pub fn new(gpu: &Gpu, chain: &Chain, layers: &[Layer], size: [usize; 2], images: usize) -> Result<Self> {
        let sizes = chain.sizes(size[0], size[1]);
        let bytes = |&(h, w, c): &(usize, usize, usize)| 16 * (h * w * c.div_ceil(4)) as u64;
        let largest = sizes.iter().map(bytes).max().unwrap_or(16);
        let most = (LARGEST / largest).max(1) as usize;
        let images = images.clamp(1, most);
        let n = images as u64;
        let planes = sizes.iter().map(|s| gpu.buffer("activations", n * bytes(s)));
        let (mut weights, mut biases) = (16, 16);
        for layer in layers {
            if let Layer::Convolve(c) = layer {
                let [w, b] = c.parts();
                (weights, biases) = (weights.max(w), biases.max(b));
            }
        }
        let pixels = n * (size[0] * size[1]) as u64;
        Ok(Room {
            size,
            images,
            most,
            planes: planes.collect::<Result<_>>()?,
            errors: [gpu.buffer("errors", n * largest)?, gpu.buffer("errors", n * largest)?],
            labels: gpu.buffer("labels", pixels.next_multiple_of(4))?,
            losses: gpu.buffer("losses", 8 * pixels.div_ceil(THREADS))?,
            parts: [
                gpu.buffer("parts of gradients", weights)?,
                gpu.buffer("parts of gradients", biases)?,
            ],
            sizes,
        })
    }

    /// Images (h, channels, w) become groups of four channels, labels words.
    pub fn fill(&self, rec: &mut Recorder<'_>, examples: &[&Example], inputs: usize) -> Result<()> {
        let [h, w] = self.size;
        let groups = inputs.div_ceil(4);
        let mut pixels = vec![0f32; 4 * examples.len() * groups * h * w];
        for (e, to) in examples.iter().zip(pixels.chunks_exact_mut(4 * groups * h * w)) {
            for (n, row) in e.image.chunks_exact(w).enumerate() {
                let (y, c) = (n / inputs, n % inputs);
                let first = ((c / 4 * h + y) * w) * 4 + c % 4;
                for (x, v) in row.iter().enumerate() {
                    to[first + 4 * x] = *v;
                }
            }
        }
        rec.write(&self.planes[0], 0, bytemuck::cast_slice(&pixels))?;
        let mut labels: Vec<u8> = examples.iter().flat_map(|e| &e.labels).copied().collect();
        labels.resize(labels.len().next_multiple_of(4), super::IGNORED);
        rec.write(&self.labels, 0, &labels)
    }

    /// Losses of all pixels and the errors of what enters the softmax, in `errors[0]`; the number of workgroups.
    pub fn cross_entropy(&self, rec: &mut Recorder<'_>, pipeline: &Pipeline, weights: &Buffer, images: usize) -> Result<u64> {
        let Some((&(h, w, classes), logits)) = self.sizes.last().zip(self.planes.last()) else {
            return Ok(0);
        };
        let params = [h, w, images, classes].map(|v| v as u32);
        let buffers: [&wgpu::Buffer; 6] = [logits, logits, weights, &self.labels, &self.errors[0], &self.losses];
        let groups = ((h * w * images) as u64).div_ceil(THREADS);
        rec.dispatch(pipeline, bytemuck::cast_slice(&params), &buffers, groups)?;
        Ok(groups)
    }

    /// Layer `i` back, one without weights: from `error` of its output to that of its input. Upsampling has a thread for each pixel of its input, the others
    /// for each of their output.
    pub fn point(
        &self,
        rec: &mut Recorder<'_>,
        pipeline: &Pipeline,
        i: usize,
        images: usize,
        (error, made): (&Buffer, &Buffer),
    ) -> Result<()> {
        let (before, after) = (self.sizes[i], self.sizes[i + 1]);
        let (h, w, channels) = if after.0 > before.0 { before } else { after };
        let planes = images * channels.div_ceil(4);
        let params = [h, w, planes, 0].map(|v| v as u32);
        let buffers: [&wgpu::Buffer; 6] = [&self.planes[i], &self.planes[i + 1], error, &self.labels, made, &self.losses];
        let threads = (h * w * planes) as u64;
        rec.dispatch(pipeline, bytemuck::cast_slice(&params), &buffers, threads.div_ceil(THREADS))
    }
}
