//! What training needs to go on after it was stopped: a file beside the output that is replaced after every epoch.

use super::Epoch;
use crate::error::{Error, Result};
use crate::io::output::write_file;
use crate::kernels::network::train::Adam;
use std::path::Path;

/// First bytes of the file.
const MAGIC: &[u8; 8] = b"emtrain1";

/// A training under way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    pub weights: Vec<f32>,
    pub adam: Adam,
    pub best: Vec<f32>,
    pub best_epoch: usize,
    pub epochs: Vec<Epoch>,
}

/// Identity of the run, numbers of steps, epochs and weights, then weights, best weights, both means of Adam, epochs.
pub(super) fn write(path: &Path, identity: &str, state: &Checkpoint) -> Result<()> {
    let mut bytes = MAGIC.to_vec();
    let numbers = [
        identity_of(identity),
        state.adam.steps,
        state.best_epoch as u64,
        state.epochs.len() as u64,
        state.weights.len() as u64,
    ];
    bytes.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend(state.weights.iter().chain(&state.best).flat_map(|v| v.to_le_bytes()));
    bytes.extend(state.adam.mean.iter().chain(&state.adam.square).flat_map(|v| v.to_le_bytes()));
    let of = |e: &Epoch| [e.loss, e.accuracy, e.val_loss, e.val_accuracy];
    bytes.extend(state.epochs.iter().flat_map(of).flat_map(f64::to_le_bytes));
    bytes.extend(xxhash_rust::xxh3::xxh3_64(&bytes).to_le_bytes());
    write_file(path, true, &bytes)
}

fn identity_of(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

/// The state of the same run, which began with `fresh`, if there is one; of another run or damaged: `None`, and a warning.
pub(super) fn read(path: &Path, identity: &str, fresh: &Adam) -> Result<Option<Checkpoint>> {
    let bytes = match std::fs::read(path) {
        Ok(b) => b,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, "cannot read", e)),
    };
    let found = parse(&bytes, identity_of(identity), fresh);
    if found.is_none() {
        log::warn!(
            "{}: belongs to another run or is damaged: training begins anew",
            path.display()
        );
    }
    Ok(found)
}

fn parse(bytes: &[u8], identity: u64, fresh: &Adam) -> Option<Checkpoint> {
    let parameters = fresh.mean.len();
    let (content, hash) = bytes.split_last_chunk::<8>()?;
    if xxhash_rust::xxh3::xxh3_64(content) != u64::from_le_bytes(*hash) {
        return None;
    }
    let mut rest = content.strip_prefix(MAGIC)?;
    let mut numbers = [0u64; 5];
    for n in &mut numbers {
        let (first, after) = rest.split_first_chunk::<8>()?;
        (*n, rest) = (u64::from_le_bytes(*first), after);
    }
    let [id, steps, best_epoch, epochs, weights] = numbers;
    let size = parameters
        .checked_mul(24)?
        .checked_add(usize::try_from(epochs).ok()?.checked_mul(32)?)?;
    if id != identity || weights != parameters as u64 || rest.len() != size || best_epoch > epochs {
        return None;
    }
    let (floats, doubles) = rest.split_at(8 * parameters);
    let floats: Vec<f32> = floats.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let doubles: Vec<f64> = doubles.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
    let (means, epochs) = doubles.split_at(2 * parameters);
    let adam = Adam {
        rates: fresh.rates,
        mean: means[..parameters].to_vec(),
        square: means[parameters..].to_vec(),
        steps,
    };
    let epoch = |e: &[f64; 4]| Epoch {
        loss: e[0],
        accuracy: e[1],
        val_loss: e[2],
        val_accuracy: e[3],
    };
    Some(Checkpoint {
        weights: floats[..parameters].to_vec(),
        best: floats[parameters..].to_vec(),
        adam,
        best_epoch: best_epoch as usize,
        epochs: epochs.as_chunks().0.iter().map(epoch).collect(),
    })
}
