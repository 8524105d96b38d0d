//! Training on a device: weights, gradients and Adam's means stay there from step to step.
//!
//! Activations are groups of four channels, the images of a batch one after another. Everything the sums depend on (tiles, parts, images done at once) is
//! fixed here and not by the device, so that a device repeats its own bits. Gradients and Adam's means are float32, where the CPU adds in float64.

mod layers;
mod room;

use self::layers::{Convolution, Kernels};
use self::room::Room;
use super::chain::{Chain, Link};
use super::{Adam, Contribution, Example, IGNORED, Rates, parameters};
use crate::backend::gpu::rounds::{floats_of, words_of};
use crate::backend::gpu::shader::THREADS;
use crate::backend::gpu::{Buffer, Gpu, Pipeline, Recorder, Submission};
use crate::error::{Error, Result};
use crate::network::Network;

/// Multiply-adds of one dispatch: 0.1 s on a slow device.
const WORK: u64 = 1 << 30;

/// One layer on the device.
enum Layer {
    Convolve(Box<Convolution>),
    Relu,
    Pool,
    Upsample,
}

/// A network that is trained on a device.
pub struct Trainer {
    chain: Chain,
    layers: Vec<Layer>,
    kernels: Kernels,
    weights: Buffer,
    gradient: Buffer,
    mean: Buffer,
    square: Buffer,
    class_weights: Buffer,
    /// Bound where a kernel reads nothing.
    nothing: Buffer,
    host_weights: Vec<f64>,
    rooms: Vec<Room>,
    rates: Rates,
    steps: u64,
}

/// A batch on its way through the device.
pub struct Flight<'g> {
    parts: Vec<Submission<'g>>,
    /// What the host knows already: sum of weights, pixels.
    weight: f64,
    pixels: u64,
}

impl Trainer {
    /// Puts the weights of `network` and the state of `adam` on the device. `weights` holds one weight for each class, as in [`super::Tape::run`].
    ///
    /// # Errors
    /// [`Error::Parameter`] as [`super::Passes::new`]; [`Error::TooLargeForDevice`] for kernels above 5 × 5 pixels, [`Error::DeviceMemory`], [`Error::Kernel`].
    pub fn new(gpu: &Gpu, network: &Network, adam: &Adam, weights: &[f64]) -> Result<Self> {
        let chain = Chain::new(network)?;
        if weights.len() != chain.classes || adam.mean.len() != chain.parameters {
            return Err(Error::Internal(format!(
                "{} weights of classes, {} of Adam",
                weights.len(),
                adam.mean.len()
            )));
        }
        let mut layers = Vec::new();
        for link in &chain.links {
            layers.push(match link {
                Link::Convolve(linked) => Layer::Convolve(Box::new(Convolution::new(gpu, linked)?)),
                Link::Relu => Layer::Relu,
                Link::Pool => Layer::Pool,
                Link::Upsample => Layer::Upsample,
            });
        }
        let mut by_class: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
        by_class.resize(by_class.len().next_multiple_of(4), 0.0);
        let floats = |values: &[f64]| -> Vec<f32> { values.iter().map(|v| *v as f32).collect() };
        let put = |label: &str, values: &[f32]| gpu.buffer_with(label, bytemuck::cast_slice(values));
        let trainer = Trainer {
            layers,
            kernels: Kernels::new(gpu)?,
            weights: put("weights", &parameters(network))?,
            gradient: gpu.buffer("gradient", 4 * chain.parameters as u64)?,
            mean: put("mean gradient", &floats(&adam.mean))?,
            square: put("mean square", &floats(&adam.square))?,
            class_weights: put("weights of classes", &by_class)?,
            nothing: gpu.buffer("nothing", 16)?,
            host_weights: weights.to_vec(),
            rooms: Vec::new(),
            rates: adam.rates,
            steps: adam.steps,
            chain,
        };
        let mut rec = Recorder::new(gpu)?;
        trainer.pack(&mut rec)?;
        rec.finish()?;
        Ok(trainer)
    }

    /// Makes room for batches of `images` images of `size` (h, w), so that no step fails for want of it.
    ///
    /// # Errors
    /// [`Error::Internal`] for sizes that do not fit the network, [`Error::TooLargeForDevice`], [`Error::DeviceMemory`].
    pub fn prepare(&mut self, gpu: &Gpu, size: [usize; 2], images: usize) -> Result<()> {
        let multiple = self.chain.multiple;
        if size.iter().any(|n| *n == 0 || !n.is_multiple_of(multiple)) {
            return Err(Error::Internal(format!("training on {} × {} pixels", size[0], size[1])));
        }
        let enough = |r: &Room| r.size == size && (r.images >= images || r.images == r.most);
        if !self.rooms.iter().any(enough) {
            self.rooms.retain(|r| r.size != size);
            self.rooms.push(Room::new(gpu, &self.chain, &self.layers, size, images)?);
        }
        Ok(())
    }

    /// One step of Adam against the gradient of the weighted mean loss of `examples`.
    ///
    /// # Errors
    /// As [`Trainer::gradient`].
    pub fn step<'g>(&mut self, gpu: &'g Gpu, examples: &[Example]) -> Result<Flight<'g>> {
        let mut flight = self.submit(gpu, examples, true)?;
        self.steps += 1;
        let Rates {
            rate,
            first,
            second,
            epsilon,
        } = self.rates;
        let power = |b: f64| b.powi(self.steps.min(1 << 30) as i32);
        let params = layers::Step {
            count: self.chain.parameters as u32,
            rate: (rate * (1.0 - power(second)).sqrt() / (1.0 - power(first))) as f32,
            size: (flight.weight as f32).max(f32::MIN_POSITIVE),
            first: first as f32,
            second: second as f32,
            epsilon: epsilon as f32,
            ..layers::Step::default()
        };
        let mut rec = Recorder::new(gpu)?;
        self.numbers(&mut rec, &self.kernels.adam, &params, &self.nothing, None)?;
        self.pack(&mut rec)?;
        flight.parts.push(rec.finish()?);
        Ok(flight)
    }

    /// Loss alone.
    ///
    /// # Errors
    /// As [`Trainer::gradient`].
    pub fn loss<'g>(&mut self, gpu: &'g Gpu, examples: &[Example]) -> Result<Flight<'g>> {
        self.submit(gpu, examples, false)
    }

    /// What `examples` contribute, with the gradient; weights stay as they are.
    ///
    /// # Errors
    /// [`Error::Internal`] for sizes that do not fit, [`Error::Parameter`] for labels that are no class; what the device reports.
    pub fn gradient(&mut self, gpu: &Gpu, examples: &[Example]) -> Result<Contribution> {
        let flight = self.submit(gpu, examples, true)?;
        let mut found = self.take(flight)?;
        found.gradient = self.read(gpu, &self.gradient)?.into_iter().map(f64::from).collect();
        Ok(found)
    }

    /// Weights and Adam's state as they are now.
    ///
    /// # Errors
    /// What the device reports.
    pub fn state(&self, gpu: &Gpu) -> Result<(Vec<f32>, Adam)> {
        let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect();
        let adam = Adam {
            rates: self.rates,
            mean: wide(self.read(gpu, &self.mean)?),
            square: wide(self.read(gpu, &self.square)?),
            steps: self.steps,
        };
        Ok((self.read(gpu, &self.weights)?, adam))
    }

    /// Waits for a batch.
    ///
    /// # Errors
    /// What the device reports.
    pub fn take(&self, flight: Flight<'_>) -> Result<Contribution> {
        let mut found = Contribution {
            weight: flight.weight,
            pixels: flight.pixels,
            ..Contribution::default()
        };
        for part in &flight.parts {
            part.wait_with(|reads| {
                for read in reads {
                    for pair in words_of(read).as_chunks::<2>().0 {
                        let [loss, right] = pair.map(f32::from_bits);
                        found.loss += f64::from(loss);
                        found.right += right as u64;
                    }
                }
            })?;
        }
        Ok(found)
    }

    fn read(&self, gpu: &Gpu, buffer: &Buffer) -> Result<Vec<f32>> {
        let mut rec = Recorder::new(gpu)?;
        rec.read(buffer, 0, 4 * self.chain.parameters as u64)?;
        let submission = rec.finish()?;
        submission.wait_with(|reads| floats_of("training", reads, self.chain.parameters))?
    }

    /// Weights in the orders in which convolutions read them.
    fn pack(&self, rec: &mut Recorder<'_>) -> Result<()> {
        for layer in &self.layers {
            if let Layer::Convolve(c) = layer {
                let params = layers::Step {
                    count: (c.kernel() + c.outputs) as u32,
                    ..c.step()
                };
                self.numbers(rec, &self.kernels.pack, &params, &self.nothing, Some(c))?;
            }
        }
        Ok(())
    }

    /// A kernel of network_step.wgsl.
    fn numbers(
        &self,
        rec: &mut Recorder<'_>,
        pipeline: &Pipeline,
        params: &layers::Step,
        parts: &Buffer,
        layer: Option<&Convolution>,
    ) -> Result<()> {
        let any = self.layers.iter().find_map(|l| match l {
            Layer::Convolve(c) => Some(&**c),
            _ => None,
        });
        let Some(c) = layer.or(any) else { return Ok(()) };
        let buffers: [&wgpu::Buffer; 8] = [
            parts,
            &self.gradient,
            &self.weights,
            &self.mean,
            &self.square,
            &c.forward_weights,
            &c.bias,
            &c.backward_weights,
        ];
        rec.dispatch(
            pipeline,
            bytemuck::bytes_of(params),
            &buffers,
            u64::from(params.count).div_ceil(THREADS),
        )
    }

    fn submit<'g>(&mut self, gpu: &'g Gpu, examples: &[Example], gradient: bool) -> Result<Flight<'g>> {
        let mut flight = Flight {
            parts: Vec::new(),
            weight: 0.0,
            pixels: 0,
        };
        let mut sizes: Vec<[usize; 2]> = Vec::new();
        for e in examples {
            let pixels = e.size[0] * e.size[1];
            if e.image.len() != pixels * self.chain.inputs || e.labels.len() != pixels {
                return Err(Error::Internal(format!("training on {} × {} pixels", e.size[0], e.size[1])));
            }
            for &label in e.labels.iter().filter(|l| **l != IGNORED) {
                let weight = self.host_weights.get(usize::from(label)).ok_or_else(|| {
                    let what = format!("label {label} of a network with {} classes", self.chain.classes);
                    Error::parameter("--labels", what)
                })?;
                flight.weight += weight;
                flight.pixels += 1;
            }
            if !sizes.contains(&e.size) {
                sizes.push(e.size);
            }
        }
        let mut add = false;
        for size in sizes {
            let alike: Vec<&Example> = examples.iter().filter(|e| e.size == size).collect();
            self.prepare(gpu, size, alike.len())?;
            let Some(room) = self.rooms.iter().find(|r| r.size == size) else {
                return Err(Error::Internal("no room for images on the device".into()));
            };
            for some in alike.chunks(room.images) {
                let mut rec = Recorder::new(gpu)?;
                room.fill(&mut rec, some, self.chain.inputs)?;
                self.forwards(&mut rec, room, some.len())?;
                let groups = room.cross_entropy(&mut rec, &self.kernels.cross_entropy, &self.class_weights, some.len())?;
                rec.read(&room.losses, 0, 8 * groups)?;
                if gradient {
                    self.backwards(&mut rec, room, some.len(), add)?;
                    add = true;
                }
                flight.parts.push(rec.finish()?);
            }
        }
        Ok(flight)
    }

    fn forwards(&self, rec: &mut Recorder<'_>, room: &Room, images: usize) -> Result<()> {
        for (i, layer) in self.layers.iter().enumerate() {
            let (from, to) = (&room.planes[i], &room.planes[i + 1]);
            let (h, w, channels) = room.sizes[i + 1];
            match layer {
                Layer::Convolve(c) => c.forwards(rec, [h, w], images, from, to)?,
                other => {
                    let mode = match other {
                        Layer::Pool => 0,
                        Layer::Upsample => 1,
                        _ => 2,
                    };
                    let planes = images * channels.div_ceil(4);
                    let params = [h, w, planes, mode].map(|v| v as u32);
                    let buffers: [&wgpu::Buffer; 4] = [&self.nothing, from, to, &room.losses];
                    let threads = (h * w * planes) as u64;
                    rec.dispatch(
                        &self.kernels.point,
                        bytemuck::cast_slice(&params),
                        &buffers,
                        threads.div_ceil(THREADS),
                    )?;
                }
            }
        }
        Ok(())
    }

    /// From the errors of the output, in `room.errors[0]`, to the gradients of all weights.
    fn backwards(&self, rec: &mut Recorder<'_>, room: &Room, images: usize, add: bool) -> Result<()> {
        let [mut error, mut other] = [&room.errors[0], &room.errors[1]];
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (size, planes) = (room.sizes[i + 1], &room.planes);
            match layer {
                Layer::Convolve(c) => {
                    if c.relu {
                        room.point(rec, &self.kernels.stop, i, images, (error, other))?;
                        std::mem::swap(&mut error, &mut other);
                    }
                    let extent = [size.0, size.1];
                    c.gradients(rec, extent, images, (&planes[i], error), &room.parts)?;
                    let params = layers::Step {
                        count: c.kernel() as u32,
                        add: u32::from(add),
                        chunks: layers::chunks(extent, images) as u32,
                        ..c.step()
                    };
                    self.numbers(rec, &self.kernels.gather, &params, &room.parts[0], Some(c))?;
                    let params = layers::Step {
                        count: c.outputs as u32,
                        at: params.at + params.count,
                        ..params
                    };
                    self.numbers(rec, &self.kernels.gather_biases, &params, &room.parts[1], Some(c))?;
                    // Nothing is learnt from the input's own error.
                    if i > 0 {
                        c.backwards(rec, extent, images, error, other)?;
                    }
                }
                Layer::Relu => room.point(rec, &self.kernels.stop, i, images, (error, other))?,
                Layer::Pool => room.point(rec, &self.kernels.unpool, i, images, (error, other))?,
                Layer::Upsample => room.point(rec, &self.kernels.unrepeat, i, images, (error, other))?,
            }
            std::mem::swap(&mut error, &mut other);
        }
        Ok(())
    }
}
