//! Arrays of tests/data, a counter-based generator.
#![allow(dead_code)]

use ndarray::{Array2, ArrayD, IxDyn};
use std::path::Path;

/// Arrays of one .npz file.
pub struct Npz(npyz::npz::NpzArchive<std::io::BufReader<std::fs::File>>);

impl Npz {
    pub fn open(name: &str) -> Npz {
        Npz(npyz::npz::NpzArchive::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap())
    }
    fn get<T: npyz::Deserialize>(&mut self, name: &str) -> ArrayD<T> {
        let file = self.0.by_name(name).unwrap().unwrap();
        let shape: Vec<usize> = file.shape().iter().map(|&n| n as usize).collect();
        assert_eq!(file.order(), npyz::Order::C);
        ArrayD::from_shape_vec(IxDyn(&shape), file.into_vec().unwrap()).unwrap()
    }
    pub fn f64(&mut self, name: &str) -> ArrayD<f64> {
        self.get(name)
    }
    pub fn f32(&mut self, name: &str) -> ArrayD<f64> {
        self.get::<f32>(name).mapv(f64::from)
    }
    pub fn i32(&mut self, name: &str) -> ArrayD<i32> {
        self.get(name)
    }
    pub fn u8(&mut self, name: &str) -> ArrayD<u8> {
        self.get(name)
    }
    pub fn matrix(&mut self, name: &str) -> Array2<f64> {
        self.f64(name).into_dimensionality().unwrap()
    }
}

/// The 20 highest maxima of the log-sum of each of the 8 clusters, highest first.
pub fn cluster_peaks() -> Vec<Vec<[f64; 2]>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/strain/cluster_peaks.npy");
    let file = npyz::NpyFile::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).unwrap();
    assert_eq!(file.shape(), [8, 20, 2]);
    let flat: Vec<i64> = file.into_vec().unwrap();
    flat.chunks(40)
        .map(|c| c.chunks(2).map(|p| [p[0] as f64, p[1] as f64]).collect())
        .collect()
}

/// splitmix64 of a seed and a counter.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn normal(&mut self) -> f64 {
        let r = (-2.0 * (1.0 - self.uniform(0.0, 1.0)).ln()).sqrt();
        r * (std::f64::consts::TAU * self.uniform(0.0, 1.0)).cos()
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
