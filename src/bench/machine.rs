//! What a measurement was made on, and when.

use crate::backend::cpu::isa::Isa;
use crate::io::results::iso_time;
use serde::Serialize;
use std::time::SystemTime;

/// The computer and its load.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Name of the processor.
    pub cpu: String,
    /// Threads that the system offers.
    pub cores: usize,
    /// Instruction set that kernels use.
    pub isa: &'static str,
    pub memory_bytes: u64,
    pub system: String,
    /// Average number of waiting processes over the last minute, when the run began; `None` where the system does not tell.
    pub load: Option<f64>,
}

impl Machine {
    /// Asks the system.
    pub fn here() -> Machine {
        let mut system = sysinfo::System::new();
        system.refresh_memory();
        system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
        let cpu = system.cpus().first().map(|c| c.brand().trim().to_owned());
        Machine {
            cpu: cpu.filter(|c| !c.is_empty()).unwrap_or_else(|| "unknown processor".into()),
            cores: std::thread::available_parallelism().map_or(1, |n| n.get()),
            isa: Isa::active().name(),
            memory_bytes: system.total_memory(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            load: cfg!(unix).then(|| sysinfo::System::load_average().one),
        }
    }
}

/// Now, as `YYYY-MM-DDThh:mm:ssZ`.
pub fn now() -> String {
    iso_time(SystemTime::now())
}
