//! The loss of one image, and what the output has to do with it.

use super::super::exp::exp;
use super::super::planes::{Planes, SIDE};
use super::{Contribution, IGNORED};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::lanes::LANES;
use crate::backend::cpu::ln::ln;

/// Pixels of each class, and a label that is neither a class nor [`IGNORED`] if there is one.
pub(super) fn counts(labels: &[u8], classes: usize) -> (Vec<u64>, Option<u8>) {
    // Equal neighbours would wait for each other.
    let mut each = [[0u64; 256]; 4];
    for (i, label) in labels.iter().enumerate() {
        each[i % 4][usize::from(*label)] += 1;
    }
    let all: Vec<u64> = (0..256).map(|l| each.iter().map(|e| e[l]).sum()).collect();
    let wrong = (classes..usize::from(IGNORED)).find(|l| all[*l] > 0);
    (all[..classes].to_vec(), wrong.map(|l| l as u8))
}

/// Cross entropy of `logits` and, in `error`, its derivatives by them. `weights` and `counts` of the pixels hold one number for each class.
pub(super) fn loss(
    isa: Isa,
    logits: &Planes,
    labels: &[u8],
    (weights, counts): (&[f64], &[u64]),
    error: &mut Planes,
) -> Contribution {
    let (pitch, row, width) = (error.pitch, error.row(), logits.width);
    let mut found = Contribution {
        weight: counts.iter().zip(weights).map(|(n, w)| *n as f64 * w).sum(),
        pixels: counts.iter().sum(),
        ..Contribution::default()
    };
    let narrow: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
    let lines = error.rows_mut().chunks_exact_mut(row).zip(labels.chunks_exact(width));
    for (y, (error, labels)) in lines.enumerate() {
        let at = (y + logits.margin) * row;
        let logits = &logits.data()[at..at + row];
        let line = Line {
            logits,
            labels,
            weights: &narrow,
            pitch,
        };
        let (loss, right) = of_row(isa, line, error);
        found.loss += loss.iter().map(|l| f64::from(*l)).sum::<f64>();
        found.right += u64::from(right.iter().sum::<u32>());
    }
    found
}

/// A row of logits, (classes, pitch), and the labels of its pixels.
#[derive(Clone, Copy)]
struct Line<'a> {
    logits: &'a [f32],
    labels: &'a [u8],
    weights: &'a [f32],
    pitch: usize,
}

per_isa! {
    /// Sum of the loss, and how many pixels are right, for each of sixteen columns in turn. Errors beside the pixels become zero.
    fn of_row(line: Line<'_>, error: &mut [f32]) -> ([f32; LANES], [u32; LANES]) {
        let (mut loss, mut right) = ([0f32; LANES], [0u32; LANES]);
        let labels = line.labels.chunks(LANES);
        for (at, given) in labels.enumerate().map(|(n, l)| (SIDE + n * LANES, l)) {
            let mut label = [u32::from(IGNORED); LANES];
            for (label, given) in label.iter_mut().zip(given) {
                *label = u32::from(*given);
            }
            let of = |c: usize| -> [f32; LANES] {
                let mut values = [0f32; LANES];
                values.copy_from_slice(&line.logits[c * line.pitch + at..][..LANES]);
                values
            };
            let (mut high, mut top) = (of(0), [0u32; LANES]);
            for c in 1..line.weights.len() {
                let values = of(c);
                for l in 0..LANES {
                    let above = values[l] > high[l];
                    top[l] = if above { c as u32 } else { top[l] };
                    high[l] = if above { values[l] } else { high[l] };
                }
            }
            let (mut sum, mut own, mut weight) = ([0f32; LANES], [0f32; LANES], [0f32; LANES]);
            for (c, w) in line.weights.iter().enumerate() {
                let mut values = of(c);
                for l in 0..LANES {
                    let mine = label[l] == c as u32;
                    values[l] -= high[l];
                    own[l] = if mine { values[l] } else { own[l] };
                    weight[l] = if mine { *w } else { weight[l] };
                    values[l] = exp(values[l]);
                    sum[l] += values[l];
                }
                error[c * line.pitch + at..][..LANES].copy_from_slice(&values);
            }
            for l in 0..LANES {
                loss[l] += weight[l] * (ln(sum[l]) - own[l]);
                right[l] += u32::from(top[l] == label[l]);
            }
            for c in 0..line.weights.len() {
                let error = &mut error[c * line.pitch + at..][..LANES];
                for l in 0..LANES {
                    let wanted = if label[l] == c as u32 { 1.0 } else { 0.0 };
                    error[l] = weight[l] * (error[l] / sum[l] - wanted);
                }
            }
        }
        for error in error.chunks_exact_mut(line.pitch) {
            error[..SIDE].fill(0.0);
            error[SIDE + line.labels.len()..].fill(0.0);
        }
        (loss, right)
    }
}
