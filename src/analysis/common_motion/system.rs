//! The equations of the common motion, and how they are solved.

use super::super::robust::median;
use super::Path;
use crate::control::Control;
use crate::error::Result;
use rayon::prelude::*;

/// Conjugate gradients end after so many iterations at last.
const ITERATIONS: usize = 300;
/// Tracks that one thread works on at a time.
pub(super) const TOGETHER: usize = 64;

/// Normal equations of the common motion, each track's own wandering eliminated: of the positions z of a track they hold (z − s)/σ², where s are the
/// positions smoothed by (1 + σ² L) s = z with the chain L of weights 1/(2 D Δt). All of it times σ². Kept as what a chain's elimination needs for each point.
pub(super) struct System {
    chains: Vec<Chain>,
    near: Near,
    /// Frames that tracks tie together have the same number.
    tied: Vec<usize>,
}

/// What the elimination needs of some tracks.
#[derive(Default)]
struct Chain {
    frame: Vec<usize>,
    /// σ² times the weight to the point before; 0 where it begins anew.
    weight: Vec<f64>,
    /// One over what is left of the diagonal when the points before are eliminated.
    pivot: Vec<f64>,
}

impl Chain {
    fn add(&mut self, path: &Path, wander: f64, noise: f64) {
        let weight = |i: usize| match path.tied.get(i) {
            Some(true) => noise / (2.0 * wander * (path.frame[i] - path.frame[i - 1]) as f64),
            _ => 0.0,
        };
        for (i, &frame) in path.frame.iter().enumerate() {
            let before = weight(i);
            let gone = if before > 0.0 {
                before * before * self.pivot.last().copied().unwrap_or_default()
            } else {
                0.0
            };
            self.frame.push(frame);
            self.weight.push(before);
            self.pivot.push(1.0 / (1.0 + before + weight(i + 1) - gone));
        }
    }

    /// z − s for the positions z of all points, σ² times their part in the equations.
    fn rough(&self, z: &[f64]) -> Vec<f64> {
        let mut s = z.to_vec();
        for i in 1..s.len() {
            s[i] += self.weight[i] * self.pivot[i - 1] * s[i - 1];
        }
        for i in (0..s.len()).rev() {
            let behind = match self.weight.get(i + 1) {
                Some(w) => w * s[i + 1],
                None => 0.0,
            };
            s[i] = (s[i] + behind) * self.pivot[i];
        }
        z.iter().zip(s).map(|(z, s)| z - s).collect()
    }
}

/// Nearly the inverse of the equations. To what changes slowly from frame to frame a track is a row of springs, as stiff as it is against an even drift; to what
/// changes fast its points are on their own. Tracks alike of n points have n k²u/(1 + k²u) at the frequency k: one over that is 1/n, the points, and
/// 1/(n k²u), the springs.
#[derive(Default)]
struct Near {
    points: Vec<f64>,
    /// From each frame to the next; 0 where no track goes on.
    springs: Vec<f64>,
}

impl Near {
    fn of(chains: &[Chain], frames: usize) -> Self {
        let mut near = Near {
            points: vec![0.0; frames],
            springs: vec![0.0; frames],
        };
        // By how much the sum of springs, and the number of tracks behind it, changes.
        let mut change = vec![(0.0, 0i64); frames];
        for chain in chains {
            let drift: Vec<f64> = chain.frame.iter().map(|&f| f as f64).collect();
            let rough = chain.rough(&drift);
            let mut begin = 0;
            for i in 0..chain.frame.len() {
                let behind = chain.weight.get(i + 1).copied().unwrap_or_default();
                let both = chain.weight[i] + behind;
                near.points[chain.frame[i]] += both / (1.0 + both);
                if behind > 0.0 {
                    continue;
                }
                let (first, last) = (chain.frame[begin], chain.frame[i]);
                if last > first {
                    let bent: f64 = (begin..=i).map(|k| (chain.frame[k] - first) as f64 * rough[k]).sum();
                    let stiff = bent / (last - first) as f64;
                    change[first] = (change[first].0 + stiff, change[first].1 + 1);
                    change[last] = (change[last].0 - stiff, change[last].1 - 1);
                }
                begin = i + 1;
            }
        }
        let (mut sum, mut tracks) = (0.0, 0);
        for (spring, (stiff, number)) in near.springs.iter_mut().zip(change) {
            (sum, tracks) = (sum + stiff, tracks + number);
            // Where no track is left, what is left of the sum is rounding.
            if tracks == 0 {
                sum = 0.0;
            }
            *spring = sum;
        }
        near
    }

    fn solve(&self, force: &[f64]) -> Vec<f64> {
        let share = |force: f64, stiff: f64| if stiff > 0.0 { force / stiff } else { 0.0 };
        let mut pull = 0.0;
        let mut moved: Vec<f64> = Vec::with_capacity(force.len());
        // A spring carries all that pulls on the frames before it.
        for (force, spring) in force.iter().zip(&self.springs) {
            pull = if *spring > 0.0 { pull + force } else { 0.0 };
            moved.push(share(pull, *spring));
        }
        let mut behind = 0.0;
        for (moved, spring) in moved.iter_mut().zip(&self.springs).rev() {
            behind = if *spring > 0.0 { behind + *moved } else { 0.0 };
            *moved = behind;
        }
        let points = force.iter().zip(&self.points).map(|(f, p)| share(*f, *p));
        moved.iter_mut().zip(points).for_each(|(m, p)| *m += p);
        moved
    }
}

impl System {
    pub fn of(paths: &[Path], noise: f64, frames: usize) -> Self {
        let typical = median(paths.iter().filter_map(Path::spread));
        let chains: Vec<Chain> = paths
            .par_chunks(TOGETHER)
            .map(|paths| {
                let mut chain = Chain::default();
                paths.iter().for_each(|p| chain.add(p, p.wander(noise, typical), noise));
                chain
            })
            .collect();
        System {
            near: Near::of(&chains, frames),
            tied: tied(&chains, frames),
            chains,
        }
    }

    /// The equations for positions of all points, those of each chain by themselves. The same bits for any number of threads.
    fn apply(&self, z: impl Fn(usize, &Chain) -> Vec<f64> + Sync) -> Vec<f64> {
        let rough: Vec<Vec<f64>> = self.chains.par_iter().enumerate().map(|(i, c)| c.rough(&z(i, c))).collect();
        let mut sums = vec![0.0; self.tied.len()];
        for (chain, rough) in self.chains.iter().zip(rough) {
            chain.frame.iter().zip(rough).for_each(|(&f, r)| sums[f] += r);
        }
        sums
    }

    /// The motion that explains the positions `z` best, by conjugate gradients, until about `end` is missing, as these equations measure it: a standard error in
    /// any direction is σ². What no track ties together keeps its place. Nothing if no more is missing at first.
    pub fn solve(&self, z: &[Vec<f64>], end: f64, control: &Control) -> Result<Option<Vec<f64>>> {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut found = vec![0.0; self.tied.len()];
        let mut residual = self.apply(|i, _| z[i].clone());
        let mut way = self.near.solve(&residual);
        let mut size = dot(&residual, &way);
        if size <= end {
            return Ok(None);
        }
        for _ in 0..ITERATIONS {
            control.check()?;
            let image = self.apply(|_, chain| chain.frame.iter().map(|&f| way[f]).collect());
            let bend = dot(&way, &image);
            if size <= end || bend <= 0.0 {
                break;
            }
            let length = size / bend;
            found.iter_mut().zip(&way).for_each(|(f, w)| *f += length * w);
            residual.iter_mut().zip(&image).for_each(|(r, i)| *r -= length * i);
            let near = self.near.solve(&residual);
            let next = dot(&residual, &near);
            way.iter_mut().zip(&near).for_each(|(w, n)| *w = n + next / size * *w);
            size = next;
        }
        let mut mean = vec![(0.0, 0usize); found.len()];
        for (f, &tied) in found.iter().zip(&self.tied) {
            mean[tied] = (mean[tied].0 + f, mean[tied].1 + 1);
        }
        for (f, &tied) in found.iter_mut().zip(&self.tied) {
            *f -= mean[tied].0 / mean[tied].1 as f64;
        }
        Ok(Some(found))
    }
}

/// The first of the frames that each frame hangs together with.
fn tied(chains: &[Chain], frames: usize) -> Vec<usize> {
    let mut first: Vec<usize> = (0..frames).collect();
    fn root(first: &mut [usize], mut i: usize) -> usize {
        while first[i] != i {
            first[i] = first[first[i]];
            i = first[i];
        }
        i
    }
    for chain in chains {
        let links = chain.frame.windows(2).zip(chain.weight.iter().skip(1));
        for (pair, _) in links.filter(|(_, w)| **w > 0.0) {
            let (a, b) = (root(&mut first, pair[0]), root(&mut first, pair[1]));
            first[a.max(b)] = a.min(b);
        }
    }
    (0..frames).map(|i| root(&mut first, i)).collect()
}
