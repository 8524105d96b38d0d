//! The GPU device layer: recording, read-back, uploads, limits forced down, and what happens when things go wrong.
//! Needs an adapter; a software one will do. Without any, these tests fail.

#[path = "common/disorder.rs"]
mod disorder;

use emstream::Error;
use emstream::backend::gpu::{AdapterKind, Adapters, Fault, FaultPoint, Gpu, GpuBlock, GpuChoice, Recorder, UploadRing};
use emstream::pixel::{FrameShape, Pixel};

/// A real GPU, or the software adapter.
fn choice() -> GpuChoice {
    match Adapters::choose(&Adapters::list(), &GpuChoice::Auto) {
        Ok(_) => GpuChoice::Auto,
        Err(_) if std::env::var_os("EMSTREAM_GPU").is_some() => GpuChoice::Auto,
        Err(_) => GpuChoice::Name("llvmpipe".into()),
    }
}

fn open() -> Gpu {
    Gpu::open(choice()).expect("these tests need a GPU or a software Vulkan driver")
}

const ADD: &str = "
struct Params { n: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read_write> b: array<u32>;
@compute @workgroup_size(64)
fn add(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) l: u32) {
    let i = (id.x + id.y * groups.x) * 64u + l;
    if i < p.n { b[i] = b[i] + a[i] + p.add; }
}";

fn words(bytes: &[u8]) -> Vec<u32> {
    bytemuck::pod_collect_to_vec(bytes)
}

#[test]
fn lists_adapters_once_with_their_limits() {
    let list = Adapters::list();
    assert!(!list.is_empty(), "these tests need a GPU or a software Vulkan driver");
    for (i, a) in list.iter().enumerate() {
        assert_eq!(a.index, i);
        assert!(a.max_binding >= 128 << 20 && a.workgroup_storage >= 16 << 10, "{a:?}");
    }
    if list.iter().all(|a| a.kind == AdapterKind::Software) {
        let text = Adapters::choose(&list, &GpuChoice::Required).unwrap_err().to_string();
        assert!(text.starts_with("GPU: no usable GPU: found 0: "), "{text}");
    }
}

#[test]
fn commands_take_effect_in_order() {
    let gpu = open();
    let pipeline = gpu.pipeline("test", ADD, "add", &[], 1, 1).unwrap();
    let n = 1000u32;
    let a: Vec<u32> = (0..n).collect();
    let a = gpu.buffer_with("a", bytemuck::cast_slice(&a)).unwrap();
    let b = gpu.buffer("b", 4 * u64::from(n)).unwrap();
    let mut rec = Recorder::new(&gpu).unwrap();
    rec.dispatch(&pipeline, bytemuck::cast_slice(&[n, 1]), &[&a, &b], 16).unwrap();
    rec.read(&b, 40, 8).unwrap();
    rec.write(&b, 40, bytemuck::cast_slice(&[7u32])).unwrap();
    rec.dispatch(&pipeline, bytemuck::cast_slice(&[n, 5]), &[&a, &b], 16).unwrap();
    rec.read(&b, 40, 8).unwrap();
    rec.read(&b, 0, 0).unwrap();
    rec.clear(&b).unwrap();
    rec.copy(&a, 8, &b, 0, 4).unwrap();
    rec.read(&b, 0, 12).unwrap();
    assert_eq!(rec.reads(), 4);
    let reads = rec.finish().unwrap().wait().unwrap();
    assert_eq!(words(&reads[0]), [11, 12]);
    assert_eq!(words(&reads[1]), [7 + 10 + 5, 12 + 11 + 5]);
    assert!(reads[2].is_empty());
    assert_eq!(words(&reads[3]), [2, 0, 0]);
}

#[test]
fn submissions_overlap_and_buffers_are_reused() {
    let gpu = open();
    let pipeline = gpu.pipeline("test", ADD, "add", &[], 1, 1).unwrap();
    let ones = gpu.buffer_with("ones", bytemuck::cast_slice(&[1u32; 64])).unwrap();
    let b = gpu.buffer("b", 256).unwrap();
    let mut flying = std::collections::VecDeque::new();
    let mut seen = Vec::new();
    for add in 0..12u32 {
        let mut rec = Recorder::new(&gpu).unwrap();
        rec.dispatch(&pipeline, bytemuck::cast_slice(&[64, add]), &[&ones, &b], 1)
            .unwrap();
        rec.read(&b, 252, 4).unwrap();
        flying.push_back(rec.finish().unwrap());
        if flying.len() == 3 {
            seen.push(words(&flying.pop_front().unwrap().wait().unwrap()[0])[0]);
        }
    }
    for s in flying {
        while !s.ready().unwrap() {
            std::thread::yield_now();
        }
        seen.push(s.wait_with(|r| words(r[0])[0]).unwrap());
    }
    let expected: Vec<u32> = (0..12).map(|n| (0..=n).map(|a| a + 1).sum()).collect();
    assert_eq!(seen, expected);
    // Three recordings in flight: three read-back buffers and a parameter buffer or two, however many blocks there are.
    assert!(gpu.staging() <= 4 * (1 << 20) + 4 * (256 << 10), "{}", gpu.staging());
}

#[test]
fn groups_beyond_one_dimension() {
    let small = wgpu::Limits {
        max_compute_workgroups_per_dimension: 8,
        ..wgpu::Limits::default()
    };
    let gpu = Gpu::open_with_limits(choice(), Some(&small)).unwrap();
    let pipeline = gpu.pipeline("test", ADD, "add", &[], 1, 1).unwrap();
    let n = 61 * 64u32;
    let a = gpu.buffer_with("a", bytemuck::cast_slice(&vec![3u32; n as usize])).unwrap();
    let b = gpu.buffer("b", u64::from(n) * 4).unwrap();
    let mut rec = Recorder::new(&gpu).unwrap();
    rec.dispatch(&pipeline, bytemuck::cast_slice(&[n, 0]), &[&a, &b], 61).unwrap();
    rec.read(&b, 0, u64::from(n) * 4).unwrap();
    assert!(rec.dispatch(&pipeline, bytemuck::cast_slice(&[n, 0]), &[&a, &b], 65).is_err());
    let reads = rec.finish().unwrap().wait().unwrap();
    assert!(words(&reads[0]).iter().all(|&v| v == 3));
}

#[test]
fn uploads_from_another_thread_through_two_slots() {
    let gpu = open();
    let ring = UploadRing::new(&gpu, 2, 4096).unwrap();
    let block = gpu.buffer("block", 4096).unwrap();
    let (send, receive) = std::sync::mpsc::sync_channel(2);
    std::thread::scope(|s| {
        let (gpu, ring) = (&gpu, &ring);
        s.spawn(move || {
            for n in 0..9u32 {
                send.send(ring.stage(gpu, bytemuck::cast_slice(&vec![n; 1024])).unwrap())
                    .unwrap();
            }
        });
        let mut before = None;
        for (n, staged) in receive.iter().enumerate() {
            let mut rec = Recorder::new(gpu).unwrap();
            rec.upload(staged, &block, 0).unwrap();
            rec.read(&block, 0, 4096).unwrap();
            let now = rec.finish().unwrap();
            let previous = before.replace((n, now));
            if let Some((n, submission)) = previous {
                let reads: Vec<Vec<u8>> = submission.wait().unwrap();
                assert_eq!(words(&reads[0]), vec![n as u32; 1024]);
            }
        }
        let (n, last) = before.unwrap();
        assert_eq!((n, words(&last.wait().unwrap()[0])), (8, vec![8; 1024]));
    });
    assert!(matches!(ring.stage(&gpu, &[0; 8192]), Err(Error::Internal(_))));
    // A staged block that is never submitted gives its slot back.
    for _ in 0..5 {
        drop(ring.stage(&gpu, &[1; 64]).unwrap());
        drop(Recorder::new(&gpu).unwrap());
    }
}

#[test]
fn memory_is_counted_and_bounded() {
    let gpu = open();
    assert_eq!(gpu.allocated(), 0);
    let a = gpu.buffer("a", 1001).unwrap();
    assert_eq!((a.size(), gpu.allocated()), (1004, 1004));
    gpu.set_budget(4096);
    let text = match gpu.buffer("too much", 4096) {
        Err(Error::DeviceMemory(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(text.contains("too much") && text.contains("4096"), "{text}");
    drop(a);
    assert_eq!(gpu.allocated(), 0);
    gpu.buffer("fits now", 4096).unwrap();
    assert!(matches!(
        gpu.buffer("beyond bindings", gpu.max_binding() + 4),
        Err(Error::TooLargeForDevice(_))
    ));
}

#[test]
fn broken_shaders_name_themselves() {
    let gpu = open();
    let text = match gpu.pipeline("statistics", "fn oops( {", "main", &[], 1, 1) {
        Err(Error::Kernel(text)) => text,
        _ => panic!("a broken shader compiled"),
    };
    assert!(text.contains("statistics:main") && !text.contains('\n'), "{text}");
    assert!(matches!(
        gpu.pipeline("test", ADD, "no_such_entry", &[], 1, 1),
        Err(Error::Kernel(_))
    ));
    // The device works on.
    gpu.pipeline("test", ADD, "add", &[], 1, 1).unwrap();
    gpu.check().unwrap();
}

#[test]
fn wrong_recordings_are_errors() {
    let gpu = open();
    let pipeline = gpu.pipeline("test", ADD, "add", &[], 1, 1).unwrap();
    let a = gpu.buffer("a", 64).unwrap();
    let mut rec = Recorder::new(&gpu).unwrap();
    assert!(matches!(rec.dispatch(&pipeline, &[0; 8], &[&a], 1), Err(Error::Device(_))));
    assert!(matches!(rec.read(&a, 2, 4), Err(Error::Internal(_))));
    assert!(matches!(rec.write(&a, 0, &[1, 2, 3]), Err(Error::Internal(_))));
    rec.copy(&a, 0, &a, 60, 64).unwrap();
    assert!(matches!(rec.finish(), Err(Error::Device(_))));
    let shape = FrameShape {
        pixel: Pixel::U8,
        height: 4,
        width: 4,
    };
    assert!(matches!(GpuBlock::new(shape, 0, 5, &a), Err(Error::Internal(_))));
    gpu.check().unwrap();
}

#[test]
fn memory_faults_strike_once() {
    let gpu = open();
    gpu.faults.inject(FaultPoint::Buffer, 1, Fault::OutOfMemory);
    gpu.faults.inject(FaultPoint::Submit, 0, Fault::OutOfMemory);
    let a = gpu.buffer("first", 64).unwrap();
    assert!(matches!(gpu.buffer("second", 64), Err(Error::DeviceMemory(_))));
    gpu.buffer("third", 64).unwrap();
    let submit = || {
        let mut rec = Recorder::new(&gpu)?;
        rec.read(&a, 0, 4)?;
        rec.finish()?.wait()
    };
    assert!(matches!(submit(), Err(Error::DeviceMemory(_))));
    assert_eq!(submit().unwrap(), [vec![0; 4]]);
}

#[test]
fn a_lost_device_says_so_everywhere() {
    let gpu = open();
    let a = gpu.buffer("a", 64).unwrap();
    let ring = UploadRing::new(&gpu, 1, 64).unwrap();
    let mut rec = Recorder::new(&gpu).unwrap();
    rec.read(&a, 0, 4).unwrap();
    let flying = rec.finish().unwrap();
    gpu.faults.inject(FaultPoint::Submit, 0, Fault::Lost);
    let mut rec = Recorder::new(&gpu).unwrap();
    rec.read(&a, 0, 4).unwrap();
    let lost = |r: Result<(), Error>| assert!(matches!(r, Err(Error::DeviceLost(_))), "{r:?}");
    lost(rec.finish().map(|_| ()));
    lost(flying.wait().map(|_| ()));
    lost(flying.ready().map(|_| ()));
    lost(gpu.check());
    lost(gpu.buffer("b", 64).map(|_| ()));
    lost(gpu.pipeline("test", ADD, "add", &[], 1, 1).map(|_| ()));
    lost(Recorder::new(&gpu).map(|_| ()));
    lost(ring.stage(&gpu, &[0; 64]).map(|_| ()));
    drop(flying);
    // A new device works.
    open().buffer("a", 64).unwrap();
}

#[test]
fn limits_can_be_forced_down() {
    let gpu = Gpu::open_with_limits(choice(), Some(&wgpu::Limits::default())).unwrap();
    let l = &gpu.limits;
    assert_eq!(
        (l.max_compute_workgroup_storage_size, l.max_compute_invocations_per_workgroup),
        (16 << 10, 256)
    );
    assert_eq!((l.max_storage_buffers_per_shader_stage, gpu.max_binding()), (8, 128 << 20));
    assert!(matches!(
        gpu.buffer("large", (128 << 20) + 4),
        Err(Error::TooLargeForDevice(_))
    ));
}

#[test]
fn dispatches_are_timed_where_supported() {
    let gpu = open();
    gpu.set_timing(true);
    let pipeline = gpu.pipeline("test", ADD, "add", &[], 1, 1).unwrap();
    let a = gpu.buffer("a", 64).unwrap();
    let b = gpu.buffer("b", 64).unwrap();
    let mut rec = Recorder::new(&gpu).unwrap();
    for _ in 0..70 {
        rec.dispatch(&pipeline, bytemuck::cast_slice(&[16u32, 1]), &[&a, &b], 1)
            .unwrap();
    }
    rec.read(&b, 0, 64).unwrap();
    let submission = rec.finish().unwrap();
    assert_eq!(words(&submission.wait().unwrap()[0]), [70; 16]);
    let times = submission.times().unwrap();
    assert_eq!(times.len(), if gpu.has_timestamps() { 64 } else { 0 });
    assert!(times.iter().all(|(label, ns)| label == "test:add" && *ns >= 0.0));
}

#[test]
fn without_an_adapter_the_error_is_clear() {
    if std::env::var("EMSTREAM_GPU").is_ok_and(|v| v == "none") {
        assert_eq!(Adapters::list(), []);
        for choice in [
            GpuChoice::Auto,
            GpuChoice::Required,
            GpuChoice::Index(0),
            GpuChoice::Name("llvmpipe".into()),
        ] {
            let text = Gpu::open(choice).err().expect("there is no adapter").to_string();
            assert!(text.contains("no Vulkan, Metal or DirectX 12 adapter found"), "{text}");
        }
    } else {
        // The same test in a process whose adapters are hidden.
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "without_an_adapter_the_error_is_clear"])
            .env("EMSTREAM_GPU", "none");
        let out = child.output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && text.contains("1 passed"), "{text}");
    }
}

#[test]
fn one_device_serves_several_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let gpu = open();
    shared(&gpu);
    let results: Vec<u32> = std::thread::scope(|s| {
        let threads: Vec<_> = (0..4u32)
            .map(|t| {
                let gpu = &gpu;
                s.spawn(move || {
                    let pipeline = gpu.pipeline("test", ADD, "add", &[], 1, 1).unwrap();
                    // Errors of one thread do not reach another.
                    assert!(gpu.pipeline("broken", "fn oops(", "main", &[], 1, 1).is_err());
                    let a = gpu.buffer_with("a", bytemuck::cast_slice(&[t; 64])).unwrap();
                    let b = gpu.buffer("b", 256).unwrap();
                    for _ in 0..5 {
                        let mut rec = Recorder::new(gpu).unwrap();
                        rec.dispatch(&pipeline, bytemuck::cast_slice(&[64, t]), &[&a, &b], 1).unwrap();
                        rec.finish().unwrap();
                    }
                    let mut rec = Recorder::new(gpu).unwrap();
                    rec.read(&b, 0, 4).unwrap();
                    words(&rec.finish().unwrap().wait().unwrap()[0])[0]
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(results, [0, 10, 20, 30]);
}

/// Every thread wants its left half's number: right by luck where lower threads come first, as on a software adapter.
fn halves(barrier: &str) -> String {
    format!(
        "
struct Params {{ n: u32 }}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> b: array<u32>;
var<workgroup> sh: array<u32, 256>;
@compute @workgroup_size(256)
fn halves(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {{
    sh[local] = local + p.n;
    {barrier}
    b[(id.x + id.y * groups.x) * 256u + local] = sh[local / 2u];
}}"
    )
}

#[test]
fn disorder_shows_a_missing_barrier() {
    let run = |barrier: &str, in_disorder: bool| {
        let gpu = open();
        if in_disorder {
            disorder::disturb(&gpu);
        }
        let pipeline = gpu.pipeline("halves", &halves(barrier), "halves", &[], 0, 1).unwrap();
        let b = gpu.buffer("b", 4 * 2048).unwrap();
        let mut rec = Recorder::new(&gpu).unwrap();
        rec.dispatch(&pipeline, bytemuck::cast_slice(&[1000u32]), &[&b], 8).unwrap();
        rec.read(&b, 0, 4 * 2048).unwrap();
        let found = rec.finish().unwrap().wait_with(|reads| words(reads[0])).unwrap();
        (0..2048).map(|i| 1000 + i % 256 / 2).eq(found)
    };
    assert!(run("workgroupBarrier();", false) && run("workgroupBarrier();", true));
    // A GPU may be lucky.
    if open().summary.kind == AdapterKind::Software {
        assert!(run("", false) && !run("", true));
    }
}
