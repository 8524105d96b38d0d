//! The network of `defects detect` and its training.

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
use crate::kernels::network::train::gpu::Trainer;
use crate::kernels::network::train::{self, Adam, Example, Passes, Rates, Tapes};
use crate::kernels::network::{self, Plan, cpu, gpu};
use crate::network::Network;
use crate::pixel::FrameShape;
use std::collections::VecDeque;
use std::sync::Arc;

/// Height and width of the images.
const SIDE: usize = 512;
/// Images of a run for each thread, and on a device.
const IMAGES: u64 = 4;
/// Submissions on their way.
const IN_FLIGHT: usize = 3;

/// Height and width of patches, and patches of a step, of training.
const PATCH: usize = 256;
const BATCH: usize = 8;

/// The published network with random weights: on images of 512 × 512 pixels, and a step of training.
pub fn cases(_: &Size, _: &Control) -> Cases {
    let network = train::published(2, 0)?;
    let values = |n: usize| (0..n).map(|i| (i * 7919 % 1009) as f32 / 1009.0).collect();
    let example = Example {
        image: values(PATCH * PATCH),
        labels: (0..PATCH * PATCH).map(|i| u8::from(i % 23 == 0)).collect(),
        size: [PATCH; 2],
    };
    // Forwards, errors of the inputs, gradients of the weights.
    let mut step = network::work(&network, PATCH, PATCH);
    step.operations *= 3;
    let images = OnImages {
        work: network::work(&network, SIDE, SIDE),
        plan: Plan::new(Arc::new(network.clone())),
        image: values(SIDE * SIDE),
    };
    let steps = Steps {
        network,
        work: step,
        examples: vec![example; BATCH],
    };
    Ok(vec![Box::new(images), Box::new(steps)])
}

/// One change of the weights after another.
struct Steps {
    network: Network,
    work: Work,
    examples: Vec<Example>,
}

impl Case for Steps {
    fn name(&self) -> &str {
        "network training"
    }
    fn note(&self) -> &str {
        "Tiles in registers forwards and backwards, gradients as sums over pixels; convolutions behind an upsampling need 4/9 of the operations that are counted, and the input has no errors."
    }
    fn frame(&self) -> Option<FrameShape> {
        None
    }
    fn unit(&self) -> &'static str {
        "patches"
    }
    fn work(&self) -> Work {
        self.work
    }
    fn items(&self, _: usize) -> (u64, u64) {
        (BATCH as u64, BATCH as u64)
    }
    fn cpu(&self, threads: usize, _: u64) -> Result<f64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))?;
        let mut weights = train::parameters(&self.network);
        let mut adam = Adam::new(weights.len(), Rates::default());
        let tapes = Tapes::default();
        time(|| {
            let found = pool.install(|| tapes.batch(&Passes::new(&self.network)?, &self.examples, &[1.0, 1.0], true))?;
            let mean: Vec<f64> = found.gradient.iter().map(|g| g / found.weight).collect();
            adam.step(&mut weights, &mean);
            train::with_parameters(&self.network, &weights).map(drop)
        })
    }
    fn gpu(&self, gpu: &Arc<Gpu>, _: &DeviceData, _: u64) -> Result<Option<(u64, f64)>> {
        let adam = Adam::new(self.network.parameters(), Rates::default());
        let mut trainer = Trainer::new(gpu, &self.network, &adam, &[1.0, 1.0])?;
        trainer.prepare(gpu, [PATCH; 2], BATCH)?;
        let seconds = time(|| {
            let flight = trainer.step(gpu, &self.examples)?;
            trainer.take(flight)?;
            trainer.state(gpu).map(drop)
        })?;
        Ok(Some((BATCH as u64, seconds)))
    }
    fn pass(&self, _: &dyn Scan, _: &Backend, _: &Control) -> Result<Option<f64>> {
        Ok(None)
    }
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
