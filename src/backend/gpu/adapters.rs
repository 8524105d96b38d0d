//! Adapters of this machine: what there is, what can be used, and which one to take.

use crate::error::{Error, Result};

/// What kind of device an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    Discrete,
    Integrated,
    Virtual,
    /// A Vulkan or DirectX implementation that runs on the CPU (lavapipe, SwiftShader, WARP).
    Software,
    Other,
}

impl std::fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AdapterKind::Discrete => "discrete",
            AdapterKind::Integrated => "integrated",
            AdapterKind::Virtual => "virtual",
            AdapterKind::Software => "software",
            AdapterKind::Other => "other",
        })
    }
}

/// One adapter, for people and for choosing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AdapterSummary {
    /// Number to give to `--gpu`.
    pub index: usize,
    pub name: String,
    pub kind: AdapterKind,
    /// `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// Driver name and version as the API reports them.
    pub driver: String,
    /// Largest storage buffer that a shader can see, in bytes.
    pub max_binding: u64,
    /// Largest buffer, in bytes.
    pub max_buffer: u64,
    /// Memory that the threads of one workgroup share, in bytes.
    pub workgroup_storage: u32,
    /// Threads of one workgroup.
    pub invocations: u32,
    /// GPU timestamps at pass boundaries.
    pub timestamps: bool,
    /// Why emstream cannot use it; `None` when it can.
    pub unusable: Option<String>,
}

impl AdapterSummary {
    pub fn is_usable(&self) -> bool {
        self.unusable.is_none()
    }
}

impl std::fmt::Display for AdapterSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({}, {})", self.index, self.name, self.kind, self.backend)?;
        match &self.unusable {
            Some(why) => write!(f, ", not usable: {why}"),
            None => Ok(()),
        }
    }
}

/// Which adapter to open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum GpuChoice {
    /// A real GPU, discrete before integrated before virtual; never a software adapter.
    #[default]
    Auto,
    /// As `Auto`, for `--backend gpu`: the error lists what was found.
    Required,
    /// The adapter of this number in [`Adapters::list`].
    Index(usize),
    /// The first usable adapter whose name contains this text, whatever the case; software adapters too.
    Name(String),
}

impl GpuChoice {
    /// What `--gpu TEXT` means: a number is an index, anything else part of a name.
    pub fn parse(text: &str) -> GpuChoice {
        match text.parse() {
            Ok(index) => GpuChoice::Index(index),
            Err(_) => GpuChoice::Name(text.to_owned()),
        }
    }
}

/// Names an adapter like `--gpu` where nothing else does; `none` hides all adapters.
pub const GPU_VARIABLE: &str = "EMSTREAM_GPU";

/// The adapters of this machine.
pub struct Adapters {
    pub(super) found: Vec<(AdapterSummary, wgpu::Adapter)>,
}

impl Adapters {
    /// Asks the drivers. A machine without any has an empty list.
    pub fn find() -> Adapters {
        if std::env::var(GPU_VARIABLE).is_ok_and(|v| v == "none") {
            return Adapters { found: Vec::new() };
        }
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
        let instance = wgpu::Instance::new(descriptor);
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        let infos: Vec<wgpu::AdapterInfo> = adapters.iter().map(|a| a.get_info()).collect();
        let ids: Vec<Identity<'_>> = infos.iter().map(Identity::of).collect();
        let keep = one_per_gpu(&ids);
        let found = adapters
            .into_iter()
            .zip(&infos)
            .enumerate()
            .filter(|(i, _)| keep.contains(i))
            .map(|(_, pair)| pair);
        Adapters {
            found: found
                .enumerate()
                .map(|(index, (adapter, info))| (summary(index, &adapter, info), adapter))
                .collect(),
        }
    }

    /// Everything found, usable or not, each physical GPU once.
    pub fn list() -> Vec<AdapterSummary> {
        Adapters::find().found.into_iter().map(|(s, _)| s).collect()
    }

    /// Position in `list` of the adapter that `choice` means.
    ///
    /// # Errors
    /// [`Error::Device`] that says what was found, when nothing fits.
    pub fn choose(list: &[AdapterSummary], choice: &GpuChoice) -> Result<usize> {
        let found = || match list {
            [] => "no Vulkan, Metal or DirectX 12 adapter found".to_owned(),
            _ => format!("found {}", list.iter().map(|a| a.to_string()).collect::<Vec<_>>().join("; ")),
        };
        let usable = |position: usize| match &list[position].unusable {
            None => Ok(position),
            Some(why) => Err(Error::Device(format!("{} cannot be used: {why}", list[position].name))),
        };
        match choice {
            GpuChoice::Auto | GpuChoice::Required => {
                let wanted = [AdapterKind::Discrete, AdapterKind::Integrated, AdapterKind::Virtual];
                let best = wanted
                    .iter()
                    .find_map(|k| list.iter().position(|a| a.kind == *k && a.is_usable()));
                best.ok_or_else(|| {
                    let hint = if list.iter().any(|a| a.kind == AdapterKind::Software && a.is_usable()) {
                        " (a software adapter is used only when --gpu names it)"
                    } else {
                        ""
                    };
                    Error::Device(format!("no usable GPU: {}{hint}", found()))
                })
            }
            GpuChoice::Index(index) => match list.iter().position(|a| a.index == *index) {
                Some(position) => usable(position),
                None => Err(Error::Device(format!("no adapter {index}: {}", found()))),
            },
            GpuChoice::Name(name) => {
                let lower = name.to_lowercase();
                let named = |a: &AdapterSummary| a.name.to_lowercase().contains(&lower);
                let best = list
                    .iter()
                    .position(|a| named(a) && a.is_usable())
                    .or_else(|| list.iter().position(named));
                match best {
                    Some(position) => usable(position),
                    None => Err(Error::Device(format!("no adapter named \"{name}\": {}", found()))),
                }
            }
        }
    }
}

/// What tells physical GPUs apart.
#[derive(Debug, Clone, Copy)]
struct Identity<'a> {
    vendor: u32,
    device: u32,
    name: &'a str,
    backend: wgpu::Backend,
}

impl<'a> Identity<'a> {
    fn of(info: &'a wgpu::AdapterInfo) -> Self {
        Identity {
            vendor: info.vendor,
            device: info.device,
            name: &info.name,
            backend: info.backend,
        }
    }
    /// The same model seen through another API. Drivers add text in brackets to names, PCI ids stay.
    fn same_model(&self, other: &Identity<'_>) -> bool {
        let base = |name: &str| name.split('(').next().unwrap_or_default().trim().to_lowercase();
        self.vendor == other.vendor && self.device == other.device && base(self.name) == base(other.name)
    }
}

/// Lower is better.
fn preference(backend: wgpu::Backend) -> u32 {
    match backend {
        wgpu::Backend::Vulkan => 0,
        wgpu::Backend::Dx12 => 1,
        wgpu::Backend::Metal => 2,
        _ => 3,
    }
}

/// Indices to keep: of every model only what the best API lists. Two equal cards stay two.
fn one_per_gpu(all: &[Identity<'_>]) -> Vec<usize> {
    let better = |a: &Identity<'_>, b: &Identity<'_>| b.same_model(a) && preference(b.backend) < preference(a.backend);
    (0..all.len()).filter(|&i| !all.iter().any(|b| better(&all[i], b))).collect()
}

fn summary(index: usize, adapter: &wgpu::Adapter, info: &wgpu::AdapterInfo) -> AdapterSummary {
    let limits = adapter.limits();
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
        wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
        wgpu::DeviceType::Cpu => AdapterKind::Software,
        wgpu::DeviceType::Other => AdapterKind::Other,
    };
    AdapterSummary {
        index,
        name: info.name.clone(),
        kind,
        backend: info.backend.to_string().to_lowercase(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        max_binding: limits.max_storage_buffer_binding_size,
        max_buffer: limits.max_buffer_size,
        workgroup_storage: limits.max_compute_workgroup_storage_size,
        invocations: limits.max_compute_invocations_per_workgroup,
        timestamps: adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY),
        unusable: shortfall(&limits, adapter.get_downlevel_capabilities().flags),
    }
}

/// What an adapter lacks that every kernel needs.
fn shortfall(limits: &wgpu::Limits, flags: wgpu::DownlevelFlags) -> Option<String> {
    let need = |what: &str, has: u64, wants: u64| (has < wants).then(|| format!("{what} {has}, needs {wants}"));
    if !flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        return Some("no compute shaders".into());
    }
    need("workgroup memory", limits.max_compute_workgroup_storage_size.into(), 16 << 10)
        .or_else(|| {
            need(
                "threads in a workgroup",
                limits.max_compute_invocations_per_workgroup.into(),
                256,
            )
        })
        .or_else(|| need("workgroup size", limits.max_compute_workgroup_size_x.into(), 256))
        .or_else(|| need("storage buffers", limits.max_storage_buffers_per_shader_stage.into(), 8))
        .or_else(|| need("buffer binding", limits.max_storage_buffer_binding_size, 128 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(index: usize, name: &str, kind: AdapterKind) -> AdapterSummary {
        AdapterSummary {
            index,
            name: name.into(),
            kind,
            backend: "vulkan".into(),
            driver: String::new(),
            max_binding: 1 << 30,
            max_buffer: 1 << 30,
            workgroup_storage: 32 << 10,
            invocations: 1024,
            timestamps: true,
            unusable: None,
        }
    }

    #[test]
    fn auto_prefers_discrete_and_refuses_software() {
        let list = [
            adapter(0, "llvmpipe (LLVM 15)", AdapterKind::Software),
            adapter(1, "Intel UHD", AdapterKind::Integrated),
            adapter(2, "NVIDIA RTX A4000", AdapterKind::Discrete),
        ];
        assert_eq!(Adapters::choose(&list, &GpuChoice::Auto).unwrap(), 2);
        assert_eq!(Adapters::choose(&list[..2], &GpuChoice::Required).unwrap(), 1);
        assert_eq!(Adapters::choose(&list, &GpuChoice::Name("LLVMPIPE".into())).unwrap(), 0);
        assert_eq!(Adapters::choose(&list, &GpuChoice::Index(1)).unwrap(), 1);
        let text = Adapters::choose(&list[..1], &GpuChoice::Auto).unwrap_err().to_string();
        assert!(
            text.contains("no usable GPU") && text.contains("llvmpipe") && text.contains("--gpu"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_machine_says_so() {
        for choice in [
            GpuChoice::Auto,
            GpuChoice::Required,
            GpuChoice::Index(0),
            GpuChoice::Name("x".into()),
        ] {
            let text = Adapters::choose(&[], &choice).unwrap_err().to_string();
            assert!(text.contains("no Vulkan, Metal or DirectX 12 adapter found"), "{text}");
        }
    }

    #[test]
    fn unusable_adapters_say_why() {
        let mut small = adapter(0, "Tiny", AdapterKind::Integrated);
        small.unusable = Some("workgroup memory 8192, needs 16384".into());
        let text = Adapters::choose(std::slice::from_ref(&small), &GpuChoice::Name("tiny".into()))
            .unwrap_err()
            .to_string();
        assert!(text.contains("8192"), "{text}");
        assert!(Adapters::choose(&[small], &GpuChoice::Auto).is_err());
    }

    #[test]
    fn one_gpu_listed_by_two_apis_counts_once() {
        let id = |name, device, backend| Identity {
            vendor: 0x10de,
            device,
            name,
            backend,
        };
        let all = [
            id("NVIDIA RTX A4000", 1, wgpu::Backend::Dx12),
            id("NVIDIA RTX A4000", 1, wgpu::Backend::Vulkan),
            id("NVIDIA RTX A4000", 1, wgpu::Backend::Vulkan),
            id("NVIDIA T400", 2, wgpu::Backend::Dx12),
        ];
        assert_eq!(one_per_gpu(&all), [1, 2, 3]);
    }

    #[test]
    fn parses_like_the_flag() {
        assert_eq!(GpuChoice::parse("1"), GpuChoice::Index(1));
        assert_eq!(GpuChoice::parse("RTX"), GpuChoice::Name("RTX".into()));
    }
}
