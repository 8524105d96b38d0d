//! Timestamps of one submission: when it began, when its uploads were done, when it ended, and, on request, each dispatch.
//!
//! Stamps are written at the boundaries of compute passes alone, which every device with timestamps can; marks between
//! copies are empty passes.

use super::Gpu;
use super::memory::Buffer;
use crate::error::Result;
use std::sync::PoisonError;

/// Timed dispatches of a submission; later ones go untimed.
const TIMED: u32 = 64;
/// Marks before the stamps of dispatches: begun, uploaded, ended.
pub(super) const MARKS: u32 = 3;

pub(super) struct Timer {
    queries: wgpu::QuerySet,
    resolved: Buffer,
    labels: Vec<String>,
    /// Dispatches are timed, too.
    each: bool,
    uploaded: bool,
}

impl Timer {
    /// Takes a timer of the pool, or makes one, and sets the first mark.
    pub fn begin(gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) -> Result<Timer> {
        let pooled = gpu.pools.timers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut timer = match pooled {
            Some(timer) => timer,
            None => Timer::new(gpu)?,
        };
        timer.labels.clear();
        timer.each = gpu.timing();
        timer.uploaded = false;
        timer.mark(encoder, 0);
        Ok(timer)
    }

    fn new(gpu: &Gpu) -> Result<Timer> {
        let count = MARKS + 2 * TIMED;
        let queries = gpu.scoped("timestamps", || {
            gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            })
        })?;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        Ok(Timer {
            queries,
            resolved: gpu.staging_buffer("timestamps", u64::from(count) * 8, usage)?,
            labels: Vec::new(),
            each: false,
            uploaded: false,
        })
    }

    fn mark(&self, encoder: &mut wgpu::CommandEncoder, n: u32) {
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("mark"),
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &self.queries,
                beginning_of_pass_write_index: Some(n),
                end_of_pass_write_index: None,
            }),
        });
    }

    /// What was recorded so far are uploads. Only the first call counts.
    pub fn uploaded(&mut self, encoder: &mut wgpu::CommandEncoder) {
        if !std::mem::replace(&mut self.uploaded, true) {
            self.mark(encoder, 1);
        }
    }

    /// Stamps of the next dispatch, if dispatches are timed and there is room.
    pub fn next(&mut self, label: &str) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let n = self.labels.len() as u32;
        (self.each && n < TIMED).then(|| {
            self.labels.push(label.to_owned());
            wgpu::ComputePassTimestampWrites {
                query_set: &self.queries,
                beginning_of_pass_write_index: Some(MARKS + 2 * n),
                end_of_pass_write_index: Some(MARKS + 2 * n + 1),
            }
        })
    }

    /// Sets the last mark and resolves all stamps: where they are, and how many bytes.
    pub fn end(&mut self, encoder: &mut wgpu::CommandEncoder) -> (&wgpu::Buffer, u64) {
        self.uploaded(encoder);
        self.mark(encoder, 2);
        let n = MARKS + 2 * self.labels.len() as u32;
        encoder.resolve_query_set(&self.queries, 0..n, &self.resolved, 0);
        (&self.resolved, u64::from(n) * 8)
    }

    /// Labels of the timed dispatches.
    pub fn labels(&mut self) -> Vec<String> {
        std::mem::take(&mut self.labels)
    }
}
