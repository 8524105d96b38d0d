//! Sums over the pixels of sixteen spots, one spot in each lane.

use super::super::Shape;
use crate::backend::cpu::isa::per_isa;
use crate::backend::cpu::lanes::{LANES, Lanes, Vector, per_vector};

/// Sums of a spot that do not depend on whether the shape is fitted. Let s be the profile, 1/λ the weight of a pixel, r its residual
/// and g the derivative of λ by the position (y, x).
pub(in super::super) mod of {
    /// Σ r²/λ
    pub const CHI2: usize = 0;
    /// Σ (s, 1) r/λ
    pub const SCORE: usize = 1;
    /// Σ (s s, s, 1)/λ
    pub const OWN: usize = 3;
    /// From here, for each derivative: Σ g r/λ, Σ g s/λ, Σ g/λ
    pub const MIXED: usize = 6;
    /// Behind these, for each pair of derivatives (first with first, first with second, …): Σ g g'/λ
    pub const fn common(seen: usize) -> usize {
        MIXED + 3 * seen
    }
    /// Number of sums for `seen` derivatives.
    pub const fn count(seen: usize) -> usize {
        common(seen) + seen * (seen + 1) / 2
    }
}

/// Most sums of a spot: derivatives by y, x, radius and edge.
pub(in super::super) const MOST: usize = of::count(4);

/// A pixel of sixteen spots: values, and 1 where it counts (0: value 0).
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixel {
    pub value: Lanes,
    pub counts: Lanes,
}

impl Pixel {
    pub const NONE: Pixel = Pixel {
        value: Lanes::ZERO,
        counts: Lanes::ZERO,
    };
}

/// Sixteen spots as they are modelled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model {
    /// Centres (y, x) relative to the spots' whole positions.
    pub centre: [Lanes; 2],
    pub amplitude: Lanes,
    pub background: Lanes,
}

/// What all spots have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    pub shape: Shape,
    /// Smallest intensity of the model.
    pub floor: f32,
}

per_vector! {
    /// Sums for the position alone. Pixels lie at `offsets` (y, x) from the whole position; from `inner` on they are beyond all disks.
    pub(super) fn positions = sums_over[false](pixels: &[Pixel], offsets: &[[f32; 2]], inner: usize, model: &Model, disk: &Disk, out: &mut [Lanes; MOST])
}
per_vector! {
    /// Sums for position, radius and edge.
    pub(super) fn shapes = sums_over[true](pixels: &[Pixel], offsets: &[[f32; 2]], inner: usize, model: &Model, disk: &Disk, out: &mut [Lanes; MOST])
}

/// Adds a product to a sum.
#[inline(always)]
fn add<V: Vector>(sum: &mut V, a: V, b: V) {
    *sum = sum.plus(a.times(b));
}

#[inline(always)]
fn sums_over<V: Vector, const SHAPE: bool>(
    pixels: &[Pixel],
    offsets: &[[f32; 2]],
    inner: usize,
    model: &Model,
    disk: &Disk,
    out: &mut [Lanes; MOST],
) {
    let zero = V::all(0.0);
    let centre = model.centre.map(|c| V::load(&c));
    let (amplitude, background) = (V::load(&model.amplitude), V::load(&model.background));
    let floor = V::all(disk.floor);
    let profile = Profile::<V>::new(&disk.shape);
    let mut chi2 = zero;
    let mut score = [zero; 2];
    let mut own = [zero; 3];
    let mut mixed = [[zero; 3]; 2];
    let mut common = [zero; 3];
    // Of radius and edge: their own scores, and products with what came before.
    let mut shape_mixed = [[zero; 3]; 2];
    let mut shape_common = [zero; 7];
    let (near, far) = pixels.split_at(inner.min(pixels.len()));
    for (pixel, at) in near.iter().zip(offsets) {
        let (value, counts) = (V::load(&pixel.value), V::load(&pixel.counts));
        let dy = V::all(at[0]).minus(centre[0]);
        let dx = V::all(at[1]).minus(centre[1]);
        // In the middle of a disk nothing depends on the direction.
        let distance = dy.times(dy).plus(dx.times(dx)).larger(V::all(1e-20)).root();
        let (s, by_radius, by_edge) = profile.at(distance);
        let expected = background.plus(amplitude.times(s)).larger(floor);
        let weight = counts.over(expected);
        let rest = value.minus(expected);
        let pull = rest.times(weight);
        add(&mut chi2, rest, pull);
        add(&mut score[0], s, pull);
        score[1] = score[1].plus(pull);
        let weighted = s.times(weight);
        add(&mut own[0], s, weighted);
        own[1] = own[1].plus(weighted);
        own[2] = own[2].plus(weight);
        let by_radius = amplitude.times(by_radius);
        let slope = by_radius.over(distance);
        let g = [slope.times(dy), slope.times(dx)];
        for (sums, g) in mixed.iter_mut().zip(g) {
            add(&mut sums[0], g, pull);
            add(&mut sums[1], g, weighted);
            add(&mut sums[2], g, weight);
        }
        let heavy = [g[0].times(weight), g[1].times(weight)];
        add(&mut common[0], g[0], heavy[0]);
        add(&mut common[1], g[0], heavy[1]);
        add(&mut common[2], g[1], heavy[1]);
        if SHAPE {
            let h = [by_radius, amplitude.times(by_edge)];
            for (sums, h) in shape_mixed.iter_mut().zip(h) {
                add(&mut sums[0], h, pull);
                add(&mut sums[1], h, weighted);
                add(&mut sums[2], h, weight);
            }
            add(&mut shape_common[0], h[0], heavy[0]);
            add(&mut shape_common[1], h[1], heavy[0]);
            add(&mut shape_common[2], h[0], heavy[1]);
            add(&mut shape_common[3], h[1], heavy[1]);
            let (first, second) = (h[0].times(weight), h[1].times(weight));
            add(&mut shape_common[4], h[0], first);
            add(&mut shape_common[5], h[1], first);
            add(&mut shape_common[6], h[1], second);
        }
    }
    // Background alone.
    let (mut n, mut sum, mut squares) = (zero, zero, zero);
    for pixel in far {
        let (value, counts) = (V::load(&pixel.value), V::load(&pixel.counts));
        let rest = value.minus(background).times(counts);
        n = n.plus(counts);
        sum = sum.plus(rest);
        add(&mut squares, rest, rest);
    }
    let weight = V::all(1.0).over(background);
    add(&mut chi2, squares, weight);
    add(&mut score[1], sum, weight);
    add(&mut own[2], n, weight);

    let mut put = |at: usize, v: V| v.store(&mut out[at]);
    put(of::CHI2, chi2);
    put(of::SCORE, score[0]);
    put(of::SCORE + 1, score[1]);
    own.into_iter().enumerate().for_each(|(k, v)| put(of::OWN + k, v));
    for (p, sums) in mixed.into_iter().enumerate() {
        sums.into_iter().enumerate().for_each(|(k, v)| put(of::MIXED + 3 * p + k, v));
    }
    if SHAPE {
        for (p, sums) in shape_mixed.into_iter().enumerate() {
            sums.into_iter()
                .enumerate()
                .for_each(|(k, v)| put(of::MIXED + 6 + 3 * p + k, v));
        }
        let [yy, yx, xx] = common;
        let [yr, ye, xr, xe, rr, re, ee] = shape_common;
        let all = [yy, yx, yr, ye, xx, xr, xe, rr, re, ee];
        all.into_iter().enumerate().for_each(|(k, v)| put(of::common(4) + k, v));
    } else {
        common.into_iter().enumerate().for_each(|(k, v)| put(of::common(2) + k, v));
    }
}

/// The profile of the disks: 0 beyond the edge, 1 inside, a ramp or its mean over a pixel between.
struct Profile<V> {
    smooth: bool,
    radius: V,
    /// Half the width of the edge that pixels blur, and of what is sharp of it.
    half: V,
    inner: V,
    per_edge: V,
}

impl<V: Vector> Profile<V> {
    #[inline(always)]
    fn new(shape: &Shape) -> Self {
        Profile {
            smooth: shape.smooth,
            radius: V::all(shape.radius as f32),
            half: V::all((shape.reach() - shape.radius) as f32),
            inner: V::all(((shape.edge - 1.0) / 2.0) as f32),
            per_edge: V::all((1.0 / shape.edge) as f32),
        }
    }

    /// The profile at a distance from the centre, its derivatives by the radius and by the edge.
    #[inline(always)]
    fn at(&self, distance: V) -> (V, V, V) {
        let (zero, one, half) = (V::all(0.0), V::all(1.0), V::all(0.5));
        let u = self.radius.minus(distance);
        let (value, by_radius, by_edge) = if self.smooth {
            // The integral of the ramp from u − 1/2 to u + 1/2.
            let p = u.plus(self.half).larger(zero);
            let q = u.plus(self.inner).larger(zero);
            let r = u.minus(self.inner).larger(zero);
            let t = u.minus(self.half).larger(zero);
            let squares = p.times(p).minus(q.times(q)).minus(r.times(r)).plus(t.times(t));
            let value = squares.times(self.per_edge).times(half);
            let by_radius = p.minus(q).minus(r).plus(t).times(self.per_edge);
            let by_edge = p.minus(q).plus(r).minus(t).times(half).minus(value).times(self.per_edge);
            (value, by_radius, by_edge)
        } else {
            let across = u.times(self.per_edge);
            (across.plus(half), self.per_edge, zero.minus(across).times(self.per_edge))
        };
        // Exactly 0 and 1 beyond the edge, whatever rounding did to the squares.
        let low = zero.minus(self.half);
        let on_disk = |edge: V, inside: V| u.below(self.half, low.below(u, edge, zero), inside);
        (on_disk(value, one), on_disk(by_radius, zero), on_disk(by_edge, zero))
    }
}

per_isa! {
    /// First backgrounds and amplitudes: the mean beyond the disk, and the weighted mean above it on the disk.
    pub(super) fn guess(pixels: &[Pixel], offsets: &[[f32; 2]], disk: &Disk, model: &mut Model) {
        let (mut n, mut sum) = ([0f32; LANES], [0f32; LANES]);
        let (mut squares, mut products, mut profiles) = ([0f32; LANES], [0f32; LANES], [0f32; LANES]);
        let reach = disk.shape.reach() as f32;
        let slope = 1.0 / (2.0 * (reach - disk.shape.radius as f32));
        for (pixel, at) in pixels.iter().zip(offsets) {
            for l in 0..LANES {
                let (dy, dx) = (at[0] - model.centre[0].0[l], at[1] - model.centre[1].0[l]);
                // A ramp is near enough to either profile for a start.
                let s = (reach - (dy * dy + dx * dx).sqrt()) * slope;
                let s = if s > 0.0 { s } else { 0.0 };
                let s = pixel.counts.0[l] * if s < 1.0 { s } else { 1.0 };
                let beyond = if s > 0.0 { 0.0 } else { pixel.counts.0[l] };
                n[l] += beyond;
                sum[l] += beyond * pixel.value.0[l];
                squares[l] += s * s;
                products[l] += s * pixel.value.0[l];
                profiles[l] += s;
            }
        }
        let floor = disk.floor;
        for l in 0..LANES {
            let background = if n[l] > 0.0 { (sum[l] / n[l]).max(floor) } else { floor };
            let above = products[l] - background * profiles[l];
            model.background.0[l] = background;
            model.amplitude.0[l] = if squares[l] > 0.0 { (above / squares[l]).max(floor) } else { floor };
        }
    }
}
