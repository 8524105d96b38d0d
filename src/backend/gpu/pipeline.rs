//! Compute pipelines, built once for each device.

use super::device::Gpu;
use super::memory::FaultPoint;
use crate::error::{Error, Result};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::PoisonError;

/// A compute pipeline with its bind group layout (binding 0 uniform, then storage buffers). Cheap to clone.
#[derive(Clone)]
pub struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
    pub(crate) label: String,
}

/// What becomes of a shader before it is compiled.
pub(super) type Rewrite = Box<dyn Fn(&str) -> String + Send + Sync>;

impl Gpu {
    /// Shaders of pipelines that are asked for from now on go through `rewrite` (for tests, which disturb the order of threads).
    pub fn rewrite_shaders(&self, rewrite: impl Fn(&str) -> String + Send + Sync + 'static) {
        *self.rewrite.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(rewrite));
    }

    /// Compiles `wgsl` and builds the pipeline of `entry`, or takes it from the cache. `read_only` gives the number of storage
    /// bindings 1..=n that are `read`, `read_write` the number that follow.
    ///
    /// # Errors
    /// [`Error::Kernel`] with the compiler's message.
    pub fn pipeline(
        &self,
        label: &str,
        wgsl: &str,
        entry: &str,
        constants: &[(&str, f64)],
        read_only: u32,
        read_write: u32,
    ) -> Result<Pipeline> {
        self.pass(FaultPoint::Pipeline)?;
        let rewritten = self
            .rewrite
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|r| r(wgsl));
        let wgsl = rewritten.as_deref().unwrap_or(wgsl);
        let mut hasher = DefaultHasher::new();
        wgsl.hash(&mut hasher);
        let key = format!("{label}/{entry}/{constants:?}/{read_only}/{read_write}/{:x}", hasher.finish());
        if let Some(p) = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(p.clone());
        }
        if read_only + read_write > self.limits.max_storage_buffers_per_shader_stage {
            return Err(Error::Kernel(format!(
                "{label}: {} storage buffers are too many here",
                read_only + read_write
            )));
        }
        let name = format!("{label}:{entry}");
        let pipeline = self
            .scoped(&format!("shader {name}"), || {
                let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                    label: Some(&name),
                    source: wgpu::ShaderSource::Wgsl(wgsl.into()),
                });
                let entries: Vec<_> = (0..=read_only + read_write)
                    .map(|binding| wgpu::BindGroupLayoutEntry {
                        binding,
                        visibility: wgpu::ShaderStages::COMPUTE,
                        ty: wgpu::BindingType::Buffer {
                            ty: match binding {
                                0 => wgpu::BufferBindingType::Uniform,
                                b => wgpu::BufferBindingType::Storage {
                                    read_only: b <= read_only,
                                },
                            },
                            has_dynamic_offset: false,
                            min_binding_size: None,
                        },
                        count: None,
                    })
                    .collect();
                let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                    label: Some(&name),
                    entries: &entries,
                });
                let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                    label: Some(&name),
                    bind_group_layouts: &[Some(&layout)],
                    immediate_size: 0,
                });
                let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(&name),
                    layout: Some(&pipeline_layout),
                    module: &module,
                    entry_point: Some(entry),
                    // Shaders write workgroup memory before they read it.
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants,
                        zero_initialize_workgroup_memory: false,
                    },
                    cache: None,
                });
                Pipeline {
                    pipeline,
                    layout,
                    label: name.clone(),
                }
            })
            .map_err(|e| match e {
                Error::Device(what) => Error::Kernel(what),
                other => other,
            })?;
        self.pipelines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, pipeline.clone());
        Ok(pipeline)
    }
}
