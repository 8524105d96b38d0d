//! The roofline of a report: what was reached, under what the machine allows.

use super::report::{Group, Report};
use crate::report::{Figure, Roof, RoofPoint, Roofline};

/// Kernels on one kind of frames, under the limits of the CPU (all threads) and of the GPU: `None` if no kernel was measured. `frame` names the frames
/// ([`super::report::frame_name`]); by default those of 256² u16, or else the first of the report.
pub fn roofline(report: &Report, frame: Option<&str>) -> Option<Figure> {
    let kernels = || report.rows.iter().filter(|r| r.group == Group::Kernel && r.frame.is_some());
    let named = |name: &str| kernels().any(|r| r.frame.as_deref() == Some(name)).then(|| name.to_owned());
    let frame = match frame {
        Some(name) => named(name)?,
        None => named("256x256 u16").or_else(|| kernels().next().and_then(|r| r.frame.clone()))?,
    };
    let mut roofs = Vec::new();
    let cpu = report.limits.cpu.last()?;
    roofs.push(Roof {
        name: format!("CPU, {} threads", cpu.threads),
        bytes_per_s: cpu.read_sweep.per_second(),
        operations_per_s: cpu.multiply_add.per_second(),
    });
    if let Some(gpu) = &report.limits.gpu {
        roofs.push(Roof {
            name: report.adapter.as_ref().map_or("GPU".into(), |a| a.name.clone()),
            bytes_per_s: 2.0 * gpu.copy.per_second(),
            operations_per_s: gpu.multiply_add.per_second(),
        });
    }
    let mut points = Vec::new();
    for row in kernels().filter(|r| r.frame.as_deref() == Some(frame.as_str())) {
        let roof = match row.threads {
            Some(n) if n == cpu.threads => 0,
            None if roofs.len() > 1 => 1,
            _ => continue,
        };
        if let (Some(work), Some(rate)) = (row.work, row.gop_per_s) {
            points.push(RoofPoint {
                name: row.name.clone(),
                roof,
                intensity: work.operations as f64 / (work.bytes_read + work.bytes_written).max(1) as f64,
                operations_per_s: rate * 1e9,
            });
        }
    }
    let shape = frame.replace('x', "×");
    let title = format!("Kernels on frames of {shape}");
    (!points.is_empty()).then(|| {
        Roofline {
            title: &title,
            roofs: &roofs,
            points: &points,
        }
        .draw()
    })
}
