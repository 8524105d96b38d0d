//! The published recipe against what LiberTEM found in 48 frames of the polycrystal scan (six of each cluster), for every form.

mod correlate_support;

use correlate_support::run;
use emstream::kernels::correlate::{Method, Params, Peak, Recipe};
use emstream::ops::Correlations;
use ndarray::{Array2, ArrayD, IxDyn, s};
use npyz::NpyFile;
use npyz::npz::NpzArchive;
use std::sync::Arc;

const CLUSTERS: usize = 8;

struct Reference(std::cell::RefCell<NpzArchive<std::io::BufReader<std::fs::File>>>);

impl Reference {
    fn open() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/strain/correlate_reference.npz");
        Reference(std::cell::RefCell::new(NpzArchive::open(path).unwrap()))
    }
    fn get<T: npyz::Deserialize>(&self, name: &str) -> ArrayD<T> {
        let mut archive = self.0.borrow_mut();
        let file: NpyFile<_> = archive.by_name(name).unwrap().unwrap_or_else(|| panic!("{name}"));
        let shape: Vec<usize> = file.shape().iter().map(|&n| n as usize).collect();
        ArrayD::from_shape_vec(IxDyn(&shape), file.into_vec().unwrap()).unwrap()
    }
    fn matrix(&self, name: &str) -> Array2<f64> {
        self.get(name).into_dimensionality().unwrap()
    }
    fn positions(&self) -> Arc<[Vec<[f64; 2]>]> {
        (0..CLUSTERS)
            .map(|c| {
                self.matrix(&format!("positions_{c}"))
                    .rows()
                    .into_iter()
                    .map(|r| [r[0], r[1]])
                    .collect()
            })
            .collect()
    }
    fn run(&self, method: Method, template: Array2<f64>, upsample: Option<u32>) -> (Vec<i32>, Correlations) {
        let labels = self.get::<i32>("labels").into_raw_vec_and_offset().0;
        let params = Params {
            method,
            recipe: Recipe::Published,
            template,
            crop: 4,
            labels: labels.clone().into(),
            positions: self.positions(),
            upsample,
        };
        let frames = self.get::<u8>("frames").into_raw_vec_and_offset().0;
        (labels, run(&frames, [144, 144], &params, 2, None).unwrap())
    }
    /// Peaks of all frames beside the saved arrays of variant `name`: calls `f(peak, frame, peak number, cluster)`.
    fn each(&self, labels: &[i32], found: &Correlations, mut f: impl FnMut(&Peak, usize, usize, usize)) {
        let mut seen = [0; CLUSTERS];
        for (n, &label) in labels.iter().enumerate() {
            let c = label as usize;
            for (p, peak) in found.frame(n as u64).iter().enumerate() {
                f(peak, seen[c], p, c);
            }
            seen[c] += 1;
        }
    }
}

fn check(name: &str, method: Method, template: impl Fn(&Reference) -> Array2<f64>) {
    let r = Reference::open();
    let (labels, found) = r.run(method, template(&r), None);
    let of = |what: &str| -> Vec<ArrayD<f32>> { (0..CLUSTERS).map(|c| r.get(&format!("{name}_{what}_{c}"))).collect() };
    let centers: Vec<ArrayD<i16>> = (0..CLUSTERS).map(|c| r.get(&format!("{name}_centers_{c}"))).collect();
    let (refined, heights, elevations) = (of("refineds"), of("peak_values"), of("peak_elevations"));
    let (mut peaks, mut moved, mut worst) = (0, 0, [0f32; 3]);
    r.each(&labels, &found, |peak, n, p, c| {
        peaks += 1;
        if [centers[c][[n, p, 0]], centers[c][[n, p, 1]]] != peak.center {
            moved += 1;
            return;
        }
        for k in 0..2 {
            worst[0] = worst[0].max((refined[c][[n, p, k]] - peak.refined[k]).abs());
        }
        let (h, e) = (heights[c][[n, p]], elevations[c][[n, p]]);
        worst[1] = worst[1].max((h - peak.height).abs() / h.abs().max(1.0));
        worst[2] = worst[2].max((e - peak.elevation).abs() / e.abs().max(1.0));
    });
    eprintln!(
        "{name}: {peaks} peaks, {moved} centres differ, position {:.1e} px, height {:.1e}, elevation {:.1e}",
        worst[0], worst[1], worst[2]
    );
    assert!(peaks > 700, "{name}: {peaks} peaks");
    assert!(moved * 1000 <= peaks, "{name}: {moved} of {peaks} centres differ");
    assert!(worst[0] < 1e-3 && worst[1] < 1e-4 && worst[2] < 1e-4, "{name}: {worst:?}");
}

#[test]
fn fast() {
    check("fast", Method::Fast, |r| r.matrix("template_fast"));
}

#[test]
fn sparse() {
    check("sparse", Method::Sparse { steps: 3 }, |r| r.matrix("template_sparse"));
}

#[test]
fn full_frame() {
    check("fullframe", Method::Full, |r| {
        let mut whole = Array2::zeros((144, 144));
        whole.slice_mut(s![68..77, 68..77]).assign(&r.matrix("template_sparse"));
        whole
    });
}

#[test]
fn upsampling() {
    let r = Reference::open();
    let (labels, found) = r.run(Method::Fast, r.matrix("template_fast"), Some(20));
    let refined: Vec<ArrayD<f32>> = (0..CLUSTERS).map(|c| r.get(&format!("fast_upsample_refineds_{c}"))).collect();
    let (mut peaks, mut other, mut worst) = (0, 0, 0f32);
    r.each(&labels, &found, |peak, n, p, c| {
        peaks += 1;
        let d = (0..2)
            .map(|k| (refined[c][[n, p, k]] - peak.refined[k]).abs())
            .fold(0.0, f32::max);
        // One step of the grid: two points of nearly the same height.
        if d > 1e-3 { other += 1 } else { worst = worst.max(d) }
    });
    eprintln!("upsampling: {peaks} peaks, {other} at other grid points, else {worst:.1e} px");
    assert!(other * 200 <= peaks, "{other} of {peaks} peaks at other grid points");
}
