//! The network of `defects detect`.

use super::super::case::Case;
use super::super::data::DeviceData;
use super::super::timing::time;
use super::{Cases, Size};
use crate::backend::cpu::isa::Isa;
use crate::backend::gpu::Gpu;
use crate::backend::stage::Work;
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::kernels::network::{self, Plan, cpu, gpu};
use crate::network::{Activation, Convolution, Layer, Named, Network};
use crate::pixel::FrameShape;
use ndarray::Array4;
use std::collections::VecDeque;
use std::sync::Arc;

/// Height and width of the images.
const SIDE: usize = 512;
/// Images of a run for each thread, and on a device.
const IMAGES: u64 = 4;
/// Submissions on their way.
const IN_FLIGHT: usize = 3;

/// The published network with other weights, on images of 512 × 512 pixels.
pub fn cases(_: &Size, _: &Control) -> Cases {
    let network = Arc::new(published()?);
    let work = network::work(&network, SIDE, SIDE);
    Ok(vec![Box::new(OnImages {
        plan: Plan::new(network),
        work,
        image: (0..SIDE * SIDE).map(|i| (i * 7919 % 1009) as f32 / 1009.0).collect(),
    })])
}

fn published() -> Result<Network> {
    let mut layers = Vec::new();
    let mut add = |layer: Layer| {
        layers.push(Named {
            name: format!("layer {}", layers.len()),
            layer,
        });
    };
    let convolution = |k: usize, from: usize, to: usize| {
        let weight = |(y, x, i, o): (usize, usize, usize, usize)| ((7 * y + 13 * x + 5 * i + 3 * o) % 17) as f32 / 170.0 - 0.05;
        Layer::Convolution(Convolution {
            kernel: Array4::from_shape_fn((k, k, from, to), weight),
            bias: vec![0.01; to],
        })
    };
    let relu = || Layer::Activation(Activation::Relu);
    for (from, to, before, after) in [
        (1, 20, None, Some(Layer::MaxPool)),
        (20, 40, None, Some(Layer::MaxPool)),
        (40, 40, None, None),
        (40, 20, Some(Layer::Upsample), None),
    ] {
        before.into_iter().for_each(&mut add);
        add(convolution(3, from, to));
        add(relu());
        after.into_iter().for_each(&mut add);
    }
    add(Layer::Upsample);
    add(convolution(3, 20, 2));
    add(convolution(1, 2, 2));
    add(Layer::Activation(Activation::Softmax));
    Network::new(layers)
}

struct OnImages {
    plan: Plan,
    work: Work,
    image: Vec<f32>,
}

impl Case for OnImages {
    fn name(&self) -> &str {
        "network"
    }
    fn note(&self) -> &str {
        "Fused multiply-adds on tiles in registers; operations are counted as the layers are written, and convolutions behind an upsampling need 4/9 of them."
    }
    fn frame(&self) -> Option<FrameShape> {
        None
    }
    fn unit(&self) -> &'static str {
        "frames"
    }
    fn work(&self) -> Work {
        self.work
    }
    fn items(&self, threads: usize) -> (u64, u64) {
        let n = IMAGES * threads as u64;
        (n, n)
    }
    fn cpu(&self, threads: usize, items: u64) -> Result<f64> {
        let each = items.div_ceil(threads.max(1) as u64);
        time(|| {
            std::thread::scope(|s| {
                let run = || {
                    let mut runner = cpu::Runner::new(Isa::active());
                    let mut out = vec![0.0; self.image.len() * self.plan.network().classes()];
                    (0..each).try_for_each(|_| runner.run(&self.plan, &self.image, [SIDE, SIDE], &mut out, false))
                };
                let workers: Vec<_> = (0..threads).map(|_| s.spawn(run)).collect();
                let failed = |_| Err(Error::Internal("a worker failed".into()));
                workers.into_iter().try_for_each(|t| t.join().unwrap_or_else(failed))
            })
        })
    }
    fn gpu(&self, gpu: &Arc<Gpu>, _: &DeviceData, _: u64) -> Result<Option<(u64, f64)>> {
        let runner = gpu::Runner::new(gpu, &self.plan, [SIDE, SIDE], false)?;
        let seconds = time(|| {
            let mut flying = VecDeque::new();
            for _ in 0..IMAGES {
                flying.push_back(runner.submit(gpu, &self.image)?);
                if flying.len() == IN_FLIGHT
                    && let Some(submission) = flying.pop_front()
                {
                    runner.take(&submission)?;
                }
            }
            flying.iter().try_for_each(|s| runner.take(s).map(drop))
        })?;
        Ok(Some((IMAGES, seconds)))
    }
    fn pass(&self, _: &dyn Scan, _: &Backend, _: &Control) -> Result<Option<f64>> {
        Ok(None)
    }
}
