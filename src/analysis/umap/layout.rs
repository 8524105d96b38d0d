//! The optimisation of positions: attraction along edges, repulsion from random vertices, and the density term.
//!
//! As published (McInnes et al., arXiv:1802.03426, algorithm 5) every stored direction of an edge is drawn in proportion to its
//! strength; each time both ends move towards each other, and the first end away from five random vertices. There, updates are
//! immediate, so the result depends on their order and on threads. Here the same moves are arranged so that it does not:
//!
//! * The vertices fall into [`GROUPS`] fixed groups that take turns within an epoch. The vertices of a group move at the same time, each
//!   through all its items; they see each other where they were before, all others where they are now.
//! * What their moves ask of the tails is added when all of the group have moved, in the order of heads and items. (A head that goes
//!   through both draws of an edge alone, the tail likewise later, needs no such sum, but attraction then overshoots differently: groups
//!   that belong together were torn apart.)
//! * Random numbers belong to (vertex, epoch, draw).
//!
//! So threads only share out the vertices of a group. Moves of one vertex follow each other at once, since each limits the next; the
//! random vertices of an item are taken together.

use super::curve::Curve;
use super::density::{Density, State, data_radii, standardised};
use super::graph::Graph;
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::ln::ln;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::rng::Source;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Groups of vertices that take turns. More make the updates more like sequential ones, fewer leave threads more to do.
pub const GROUPS: usize = 8;
/// Random vertices to each drawn edge.
const NEGATIVE_RATE: f64 = 5.0;
/// Largest move of a coordinate by one force.
const CLIP: f32 = 4.0;
/// Random vertices looked at together.
const LANES: usize = 8;
/// Most components an embedding may have.
pub const MOST_COMPONENTS: usize = 64;

/// One stored direction of an edge, seen from its head.
struct Item {
    tail: u32,
    mu: f64,
    /// Epochs from one draw to the next.
    period: f64,
    next: f64,
    next_negative: f64,
}

/// A vertex that moves, with its items.
struct Head {
    vertex: u32,
    items: Vec<Item>,
}

/// The density term within one epoch.
struct Push<'a> {
    state: &'a State,
    curve: Curve,
    /// λ μ_tot/(s n).
    scale: f64,
}

/// What all heads of an epoch share.
struct Epoch<'a> {
    number: u32,
    rate: f32,
    /// Vertices that repel: the first ones.
    vertices: u32,
    a: f32,
    b: f32,
    source: Source,
    push: Option<Push<'a>>,
}

/// Where positions are optimised.
pub(super) struct Layout {
    /// Heads of each group.
    groups: Vec<Vec<Head>>,
    curve: Curve,
    epochs: usize,
    source: Source,
    /// First vertex that moves; those before it stay.
    first: usize,
}

/// What a move asks of a tail.
type Answer<const D: usize> = (u32, [f32; D]);

impl Layout {
    /// Items of `graph`, whose rows are the vertices `first ..`; columns number all vertices. The graph is pruned already. With
    /// `first` = 0 it is symmetric; else its edges lead from vertices that move to ones that stay.
    pub fn new(graph: &Graph, first: usize, curve: Curve, epochs: usize, source: Source) -> Layout {
        let strongest = graph.value.iter().copied().fold(0.0, f64::max);
        let mut groups: Vec<Vec<Head>> = (0..GROUPS).map(|_| Vec::new()).collect();
        for i in 0..graph.len() {
            let item = |(tail, mu): (usize, f64)| {
                let period = strongest / mu;
                Item {
                    tail: tail as u32,
                    mu,
                    period,
                    next: period,
                    next_negative: period / NEGATIVE_RATE,
                }
            };
            groups[i % GROUPS].push(Head {
                vertex: (first + i) as u32,
                items: graph.row(i).map(item).collect(),
            });
        }
        Layout {
            groups,
            curve,
            epochs,
            source,
            first,
        }
    }

    /// Moves `positions` (all vertices, components), with the density term for the `graph` and the distances of its entries if asked.
    pub fn optimise(
        mut self,
        positions: Array2<f32>,
        density: Option<(&Density, &Graph, &[f64])>,
        control: &Control,
    ) -> Result<Array2<f32>> {
        match positions.ncols() {
            0..=2 => self.run::<2>(positions, density, control),
            3 => self.run::<3>(positions, density, control),
            4 => self.run::<4>(positions, density, control),
            5..=8 => self.run::<8>(positions, density, control),
            9..=16 => self.run::<16>(positions, density, control),
            17..=32 => self.run::<32>(positions, density, control),
            33..=MOST_COMPONENTS => self.run::<MOST_COMPONENTS>(positions, density, control),
            n => Err(Error::parameter(
                "--components",
                format!("{n} is more than {MOST_COMPONENTS}"),
            )),
        }
    }

    /// [`Layout::optimise`] with positions padded to `D` coordinates; the padding is zero and stays so.
    fn run<const D: usize>(
        &mut self,
        mut positions: Array2<f32>,
        density: Option<(&Density, &Graph, &[f64])>,
        control: &Control,
    ) -> Result<Array2<f32>> {
        let components = positions.ncols();
        let mut places: Vec<[f32; D]> = positions
            .rows()
            .into_iter()
            .map(|row| std::array::from_fn(|d| row.get(d).copied().unwrap_or(0.0)))
            .collect();
        let data = density.map(|(_, graph, distances)| standardised(&data_radii(graph, distances)));
        let total: f64 = density.map_or(0.0, |(_, graph, _)| graph.value.iter().sum());
        let isa = Isa::active();
        let most = self.groups.iter().map(Vec::len).max().unwrap_or(0);
        // Where each head of a group ends, and what it asks of its tails.
        let mut moved: Vec<([f32; D], Vec<Answer<D>>)> = vec![([0.0; D], Vec::new()); most];
        for number in 0..self.epochs {
            control.check()?;
            let share = (number + 1) as f64 / self.epochs as f64;
            let state = match (&density, &data) {
                (Some((density, graph, _)), Some(data)) if share > 1.0 - density.fraction => {
                    let flat: Vec<f32> = places.iter().flatten().copied().collect();
                    let embedding =
                        ArrayView2::from_shape((places.len(), D), &flat).map_err(|e| Error::Internal(e.to_string()))?;
                    Some((State::of(graph, embedding, data, self.curve, density), density.lambda))
                }
                _ => None,
            };
            let push = state.as_ref().map(|(state, lambda)| Push {
                state,
                curve: self.curve,
                scale: lambda * total / (state.deviation * places.len() as f64),
            });
            let epoch = Epoch {
                number: number as u32,
                rate: (1.0 - number.saturating_sub(1) as f64 / self.epochs as f64) as f32,
                vertices: if self.first == 0 { places.len() } else { self.first } as u32,
                a: self.curve.a as f32,
                b: self.curve.b as f32,
                source: self.source,
                push,
            };
            for heads in &mut self.groups {
                let seen = &places;
                heads
                    .par_iter_mut()
                    .zip(&mut moved)
                    .with_min_len(64)
                    .for_each(|(head, (to, answers))| {
                        answers.clear();
                        *to = walk(isa, head, &epoch, seen, answers);
                    });
                for (head, (to, _)) in heads.iter().zip(&moved) {
                    places[head.vertex as usize] = *to;
                }
                let answers = moved.iter().take(heads.len()).flat_map(|(_, answers)| answers);
                for (tail, by) in answers.filter(|(tail, _)| *tail as usize >= self.first) {
                    let place = &mut places[*tail as usize];
                    (0..D).for_each(|d| place[d] -= by[d]);
                }
            }
        }
        for (mut row, place) in positions.rows_mut().into_iter().zip(&places).skip(self.first) {
            for (d, v) in row.iter_mut().enumerate().take(components) {
                *v = place[d];
            }
        }
        Ok(positions)
    }
}

/// Random vertices for one head in one epoch.
struct Draws {
    source: Source,
    vertex: u32,
    epoch: u32,
    drawn: u32,
    words: [u32; 4],
}

impl Draws {
    #[inline(always)]
    fn below(&mut self, n: u32) -> u32 {
        let at = self.drawn % 4;
        if at == 0 {
            self.words = self.source.words(u64::from(self.vertex), self.epoch, self.drawn / 4);
        }
        self.drawn += 1;
        ((u64::from(self.words[at as usize]) * u64::from(n)) >> 32) as u32
    }
}

/// e^x in float32 for x of −80 to 80 (clamped), relative error below 3e-7.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = x.clamp(-80.0, 80.0);
    let n = (x * std::f32::consts::LOG2_E + 0.5).floor();
    let r = (x - n * crate::backend::cpu::ln::LN2_HI) - n * crate::backend::cpu::ln::LN2_LO;
    let mut sum = 1.0 / 720.0;
    for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + c;
    }
    sum * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// D^b.
#[inline(always)]
fn power(square: f32, b: f32) -> f32 {
    exp(b * ln(square.max(1e-30)))
}

#[inline(always)]
fn square_of<const D: usize>(difference: &[f32; D]) -> f32 {
    let mut sum = 0.0;
    for d in difference {
        sum += d * d;
    }
    sum
}

#[inline(always)]
fn difference<const D: usize>(a: &[f32; D], b: &[f32; D]) -> [f32; D] {
    std::array::from_fn(|d| a[d] - b[d])
}

/// The move of `at` towards `tail`, with the density term.
#[inline(always)]
fn attraction<const D: usize>(at: &[f32; D], tail: &[f32; D], head: u32, item: &Item, epoch: &Epoch) -> [f32; D] {
    let apart = difference(at, tail);
    let square = square_of(&apart);
    let coefficient = if square > 0.0 {
        let p = power(square, epoch.b);
        -2.0 * epoch.a * epoch.b * (p / square) / (1.0 + epoch.a * p)
    } else {
        0.0
    };
    let push = epoch.push.as_ref().map_or(0.0, |push| {
        let edge = (head as usize, item.tail as usize);
        2.0 * push
            .state
            .coefficient(edge, item.mu, f64::from(square), push.curve, push.scale) as f32
    });
    apart.map(|d| epoch.rate * ((coefficient * d).clamp(-CLIP, CLIP) + (push * d).clamp(-CLIP, CLIP)))
}

/// Moves of `at` away from `count` random vertices, all seen from where it is now.
#[inline(always)]
fn repel<const D: usize>(at: &mut [f32; D], count: u32, epoch: &Epoch, draws: &mut Draws, places: &[[f32; D]]) {
    let mut left = count;
    while left > 0 {
        let now = left.min(LANES as u32);
        left -= now;
        let mut apart = [[0.0; D]; LANES];
        let mut squares = [1.0; LANES];
        let mut counts = [0.0; LANES];
        for lane in 0..now as usize {
            let v = draws.below(epoch.vertices);
            apart[lane] = difference(at, &places[v as usize]);
            squares[lane] = square_of(&apart[lane]);
            counts[lane] = if v == draws.vertex { 0.0 } else { 1.0 };
        }
        let mut coefficients = [0.0; LANES];
        for ((c, &square), &count) in coefficients.iter_mut().zip(&squares).zip(&counts) {
            *c = count * 2.0 * epoch.b / ((0.001 + square) * (1.0 + epoch.a * power(square, epoch.b)));
        }
        for (apart, c) in apart.iter().zip(coefficients) {
            for (a, d) in at.iter_mut().zip(apart) {
                *a += epoch.rate * (c * d).clamp(-CLIP, CLIP);
            }
        }
    }
}

per_isa! {
    /// All moves of one head in one epoch; gives back where it ends.
    fn walk[const D: usize][D](head: &mut Head, epoch: &Epoch, places: &[[f32; D]], answers: &mut Vec<Answer<D>>) -> [f32; D] {
        let mut at = places[head.vertex as usize];
        let mut draws = Draws {
            source: epoch.source,
            vertex: head.vertex,
            epoch: epoch.number,
            drawn: 0,
            words: [0; 4],
        };
        let now = f64::from(epoch.number);
        let vertex = head.vertex;
        for item in head.items.iter_mut().filter(|item| item.next <= now) {
            let moved = attraction(&at, &places[item.tail as usize], vertex, item, epoch);
            for d in 0..D {
                at[d] += moved[d];
            }
            answers.push((item.tail, moved));
            item.next += item.period;
            let period = item.period / NEGATIVE_RATE;
            let count = ((now - item.next_negative) / period).floor().max(0.0);
            repel(&mut at, count as u32, epoch, &mut draws, places);
            item.next_negative += count * period;
        }
        at
    }
}
