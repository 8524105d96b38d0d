//! Nothing is allocated inside a pass: what a stage needs for frame after frame, it has after the first ones.

use emstream::analysis::lattice::{Lattice, Matcher, Scratch};
use emstream::backend::stage::CpuStage;
use emstream::kernels::correlate::joint::{self, Settings, Shape};
use emstream::kernels::correlate::{self, Method, Plan, Recipe};
use emstream::kernels::masks::MaskStack;
use emstream::kernels::{logsum, masks, statistics};
use emstream::pixel::{FrameShape, Frames, LEAF, Pixel};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

/// The system's allocator, which counts the allocations of each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn one_more() {
    // A thread that ends has no counter any more.
    let _ = COUNT.try_with(|c| c.set(c.get() + 1));
}

// SAFETY: everything is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        one_more();
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        one_more();
        unsafe { System.realloc(p, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

const SHAPE: FrameShape = FrameShape {
    pixel: Pixel::U8,
    height: 96,
    width: 112,
};
const LATTICE: Lattice = Lattice {
    zero: [47.3, 55.8],
    a: [1.2, 17.5],
    b: [16.4, -2.1],
};

/// A leaf of frames with disks on a lattice.
fn frames() -> Vec<u8> {
    let stride = SHAPE.stride();
    let mut out = vec![0; stride * LEAF as usize];
    let mut state = 5u64;
    for frame in out.chunks_exact_mut(stride) {
        for (i, v) in frame.iter_mut().enumerate().take(SHAPE.pixels()) {
            let (y, x) = ((i / SHAPE.width) as f64, (i % SHAPE.width) as f64);
            let [u, v0] = LATTICE.coordinates([y, x]);
            let site = LATTICE.position(u.round(), v0.round());
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let noise = (state >> 62) as u8;
            *v = noise + if (y - site[0]).hypot(x - site[1]) < 2.2 { 30 } else { 0 };
        }
    }
    out
}

/// The first piece of a leaf and the end of a leaf may allocate, what lies between may not.
fn quiet<P>(name: &str, mut stage: Box<dyn CpuStage<Part = P>>) {
    let bytes = frames();
    let all = Frames::new(SHAPE, 0, LEAF as usize, &bytes).unwrap();
    for leaf in 0..2 {
        stage.frames(all.slice(0, 16)).unwrap();
        let count = allocations(|| {
            for from in (16..LEAF as usize).step_by(16) {
                stage.frames(all.slice(from, from + 16)).unwrap();
            }
        });
        assert_eq!(count, 0, "{name}, leaf {leaf}");
        stage.end_leaf().unwrap();
    }
}

#[test]
fn stages_allocate_nothing_between_the_ends_of_a_leaf() {
    let squares = statistics::Params {
        squares: true,
        extrema: true,
    };
    quiet("statistics", statistics::cpu::stage(SHAPE, &squares).unwrap());
    let labels: Arc<[i32]> = (0..LEAF as i32).map(|n| n % 3).collect();
    quiet(
        "log-sums",
        logsum::cpu::stage(SHAPE, &logsum::Params { labels: Some(labels) }).unwrap(),
    );
    let stamp = ndarray::Array2::from_elem((7, 7), 0.5);
    let positions = (0..40).map(|n| [n * 37 % 96, n * 53 % 112]).collect();
    quiet(
        "masks",
        masks::cpu::stage(SHAPE, &MaskStack::Stamps { stamp, positions }).unwrap(),
    );
}

#[test]
fn correlations_allocate_nothing_between_the_ends_of_a_leaf() {
    let positions: Vec<[f64; 2]> = (-2..=2)
        .flat_map(|h| (-2..=2).map(move |k| LATTICE.position(h.into(), k.into())))
        .filter(|p| p[0] > 8.0 && p[0] < 88.0 && p[1] > 8.0 && p[1] < 104.0)
        .collect();
    for (name, method, edge, upsample) in [
        ("fast", Method::Fast, [8, 8], None),
        ("upsampled", Method::Fast, [8, 8], Some(20)),
        ("full", Method::Full, [96, 112], None),
        ("sparse", Method::Sparse { steps: 2 }, [9, 9], None),
    ] {
        let params = correlate::Params {
            method,
            recipe: Recipe::Default,
            template: ndarray::Array2::from_shape_fn(edge, |(y, x)| {
                let d = (y as f64 - (edge[0] / 2) as f64).hypot(x as f64 - (edge[1] / 2) as f64);
                if d < 2.5 {
                    1.0
                } else if d < 4.0 {
                    -0.5
                } else {
                    0.0
                }
            }),
            crop: 4,
            labels: vec![0; LEAF as usize].into(),
            positions: vec![positions.clone()].into(),
            upsample,
        };
        let plan = Arc::new(Plan::new(SHAPE, params).unwrap());
        quiet(name, correlate::cpu::stage(&plan).unwrap());
    }
    let start = joint::Lattice {
        zero: LATTICE.zero,
        a: LATTICE.a,
        b: LATTICE.b,
    };
    let params = joint::Params {
        settings: Settings {
            shape: Shape::disk(2.2),
            free_shape: false,
        },
        starts: vec![Some(start); LEAF as usize].into(),
        indices: joint::Range::symmetric(4),
        masked: Arc::default(),
        pedestal: 0.0,
    };
    quiet("joint fit", joint::cpu::stage(SHAPE, &params).unwrap());
}

#[test]
fn lattices_are_matched_and_fitted_without_allocation() {
    let points: Vec<[f64; 2]> = (-2..=2)
        .flat_map(|h| (-2..=2).map(move |k| LATTICE.position(h.into(), k.into())))
        .map(|p| [p[0] + 0.1 * (p[1] % 1.0), p[1] - 0.1 * (p[0] % 1.0)])
        .collect();
    let weights = vec![1.0; points.len()];
    let (matcher, mut scratch) = (Matcher::default(), Scratch::default());
    matcher.fast(&points, &weights, &LATTICE, &mut scratch).unwrap();
    let count = allocations(|| {
        for n in 0..100 {
            let start = Lattice {
                zero: [LATTICE.zero[0] + 0.01 * f64::from(n), LATTICE.zero[1]],
                ..LATTICE
            };
            assert!(matcher.fast(&points, &weights, &start, &mut scratch).is_some());
        }
    });
    assert_eq!(count, 0);
}
