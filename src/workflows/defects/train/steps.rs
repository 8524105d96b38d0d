//! The steps of an epoch, on either backend.

use super::checkpoint::Checkpoint;
use super::params::Effective;
use super::patches::{Examples, order, turned};
use crate::backend::gpu::Gpu;
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::kernels::network::train::gpu::Trainer;
use crate::kernels::network::train::{Contribution, Example, Passes, Tapes, with_parameters};
use crate::network::Network;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;

/// Batches on their way through a device.
const IN_FLIGHT: usize = 3;

/// What is the same in all epochs.
pub(super) struct Course<'a> {
    /// The architecture.
    pub start: &'a Network,
    pub examples: &'a Examples,
    /// Of the classes.
    pub weights: &'a [f64],
    pub effective: &'a Effective,
    pub seed: u64,
    pub backend: &'a Backend,
    pub control: &'a Control,
}

/// Where the weights are.
pub(super) enum Place {
    Host(Tapes),
    Device(Arc<Gpu>, Box<Trainer>),
}

impl Course<'_> {
    /// The device if it is wanted and can do it, else a reason goes to `warnings`.
    pub fn place(&self, state: &Checkpoint, warnings: &mut Vec<String>) -> Result<Place> {
        let Backend::Gpu(device) = self.backend else {
            return Ok(Place::Host(Tapes::default()));
        };
        match self.on_device(device.current(), state) {
            Err(Error::TooLargeForDevice(what) | Error::DeviceMemory(what) | Error::Kernel(what)) => {
                warnings.push(format!("training runs on the CPU: {what}"));
                Ok(Place::Host(Tapes::default()))
            }
            place => place,
        }
    }

    fn on_device(&self, gpu: Arc<Gpu>, state: &Checkpoint) -> Result<Place> {
        let network = with_parameters(self.start, &state.weights)?;
        let mut trainer = Trainer::new(&gpu, &network, &state.adam, self.weights)?;
        for e in &self.examples.train {
            trainer.prepare(&gpu, e.size, self.effective.batch.min(self.examples.train.len()))?;
        }
        for e in &self.examples.validate {
            trainer.prepare(&gpu, e.size, 1)?;
        }
        Ok(Place::Device(gpu, Box::new(trainer)))
    }

    /// All patches once, then what is held back: losses of both. A device that is lost is opened again, and the epoch begins anew.
    pub fn epoch(&self, state: &mut Checkpoint, place: &mut Place) -> Result<[Contribution; 2]> {
        if let Place::Device(gpu, trainer) = place {
            match self.device_epoch(gpu, trainer, state) {
                Err(Error::DeviceLost(what)) => {
                    log::warn!("GPU lost ({what}): opening it again");
                    if let Backend::Gpu(device) = self.backend {
                        device.reopen()?;
                        *place = self.on_device(device.current(), state)?;
                    }
                }
                done => return done,
            }
        }
        match place {
            Place::Host(tapes) => self.host_epoch(tapes, state),
            Place::Device(gpu, trainer) => self.device_epoch(gpu, trainer, state),
        }
    }

    fn batches(&self, epoch: usize) -> Vec<Vec<(usize, usize)>> {
        let order = order(self.examples.train.len(), self.seed, epoch, self.effective.augment);
        order.chunks(self.effective.batch).map(<[_]>::to_vec).collect()
    }

    fn cut(&self, chosen: &[(usize, usize)]) -> Vec<Example> {
        chosen
            .par_iter()
            .map(|&(i, how)| turned(&self.examples.train[i], how))
            .collect()
    }

    fn network(&self, state: &Checkpoint) -> Result<Network> {
        with_parameters(self.start, &state.weights).map_err(|_| {
            let epoch = state.epochs.len() + 1;
            let what = format!("weights grew beyond all bounds in epoch {epoch}: the frame or its labels are unusual");
            Error::parameter("train", what)
        })
    }

    fn host_epoch(&self, tapes: &Tapes, state: &mut Checkpoint) -> Result<[Contribution; 2]> {
        let (mut sum, mut network) = (Contribution::default(), self.network(state)?);
        for chosen in self.batches(state.epochs.len()) {
            self.control.check()?;
            let mut found = tapes.batch(&Passes::new(&network)?, &self.cut(&chosen), self.weights, true)?;
            let size = found.weight.max(f64::MIN_POSITIVE);
            found.gradient.iter_mut().for_each(|g| *g /= size);
            state.adam.step(&mut state.weights, &found.gradient);
            found.gradient.clear();
            sum.add(&found);
            network = self.network(state)?;
            self.control.progress.advance(chosen.len() as u64);
        }
        let tried = tapes.batch(&Passes::new(&network)?, &self.examples.validate, self.weights, false)?;
        Ok([sum, tried])
    }

    fn device_epoch(&self, gpu: &Gpu, trainer: &mut Trainer, state: &mut Checkpoint) -> Result<[Contribution; 2]> {
        let mut sums = [Contribution::default(), Contribution::default()];
        let mut flying = VecDeque::new();
        for chosen in self.batches(state.epochs.len()) {
            self.control.check()?;
            flying.push_back((0, trainer.step(gpu, &self.cut(&chosen))?));
            self.land(trainer, &mut flying, &mut sums, IN_FLIGHT)?;
            self.control.progress.advance(chosen.len() as u64);
        }
        for held_back in &self.examples.validate {
            self.control.check()?;
            flying.push_back((1, trainer.loss(gpu, std::slice::from_ref(held_back))?));
            self.land(trainer, &mut flying, &mut sums, IN_FLIGHT)?;
        }
        self.land(trainer, &mut flying, &mut sums, 0)?;
        (state.weights, state.adam) = trainer.state(gpu)?;
        self.network(state)?;
        Ok(sums)
    }

    /// Waits until no more than `most` batches are on their way.
    fn land(
        &self,
        trainer: &Trainer,
        flying: &mut VecDeque<(usize, crate::kernels::network::train::gpu::Flight<'_>)>,
        sums: &mut [Contribution; 2],
        most: usize,
    ) -> Result<()> {
        while flying.len() > most {
            if let Some((which, flight)) = flying.pop_front() {
                sums[which].add(&trainer.take(flight)?);
            }
        }
        Ok(())
    }
}
