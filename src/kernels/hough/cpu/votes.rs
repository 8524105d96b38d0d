//! The transform: many patterns side by side in lanes, so that one look into the table of bins serves them all. Lanes are as narrow as the largest
//! count allows: 64 patterns of 8 bits, 32 of 16 or 16 of 32 fill a cache line.

use super::super::{Order, Plan};
use super::{Numbers, PART};
use crate::backend::cpu::isa::{Isa, per_isa};

/// A count.
pub(super) trait Count: Copy + Default + Send {
    fn from_vote(v: u8) -> Self;
    fn plus(self, o: Self) -> Self;
    fn to_i32(self) -> i32;
}

macro_rules! count {
    ($($t:ty)*) => {$(
        impl Count for $t {
            #[inline(always)]
            fn from_vote(v: u8) -> Self {
                v as $t
            }
            #[inline(always)]
            fn plus(self, o: Self) -> Self {
                self.wrapping_add(o)
            }
            #[inline(always)]
            fn to_i32(self) -> i32 {
                self as i32
            }
        }
    )*};
}
count! { u8 u16 i32 }

/// One count of each pattern: a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line<C, const N: usize>([C; N]);

/// `N` patterns with counts of one width.
struct Group<C, const N: usize> {
    votes: Vec<Line<C, N>>,
    counts: Vec<Line<C, N>>,
}

impl<C: Count, const N: usize> Group<C, N> {
    fn new(plan: &Plan) -> Self {
        Group {
            votes: vec![Line([C::default(); N]); plan.frame.pixels()],
            counts: vec![Line([C::default(); N]); plan.theta.len() * plan.rhos],
        }
    }

    /// All patterns' transforms; `flat` holds their votes one after another.
    fn transform(&mut self, isa: Isa, plan: &Plan, flat: &[u8]) {
        let pixels = plan.frame.pixels();
        sort_into_lanes(isa, flat, pixels, &mut self.votes);
        let counts = self.counts.chunks_exact_mut(plan.rhos);
        for ((counts, bins), order) in counts.zip(plan.bins.chunks_exact(pixels)).zip(&plan.orders) {
            counts.fill(Line([C::default(); N]));
            match order {
                Order::Rows => add_rows(isa, &self.votes, bins, counts),
                Order::Bands => add_bands(isa, &self.votes, bins, plan.frame.width, counts),
            }
        }
    }
}

/// A group of the width that a plan needs.
pub(super) enum Votes {
    Narrow(NarrowGroup),
    Middle(MiddleGroup),
    Wide(WideGroup),
}
pub(super) struct NarrowGroup(Group<u8, 64>);
pub(super) struct MiddleGroup(Group<u16, 32>);
pub(super) struct WideGroup(Group<i32, 16>);

impl Votes {
    pub(super) fn new(plan: &Plan) -> Self {
        match plan.group() {
            64 => Votes::Narrow(NarrowGroup(Group::new(plan))),
            32 => Votes::Middle(MiddleGroup(Group::new(plan))),
            _ => Votes::Wide(WideGroup(Group::new(plan))),
        }
    }

    pub(super) fn transform(&mut self, isa: Isa, plan: &Plan, flat: &[u8]) {
        match self {
            Votes::Narrow(g) => g.0.transform(isa, plan, flat),
            Votes::Middle(g) => g.0.transform(isa, plan, flat),
            Votes::Wide(g) => g.0.transform(isa, plan, flat),
        }
    }

    /// Number `bin` of all counts (θ, ρ) of pattern `lane`.
    pub(super) fn count(&self, bin: usize, lane: usize) -> i32 {
        match self {
            Votes::Narrow(g) => i32::from(g.0.counts[bin].0[lane]),
            Votes::Middle(g) => i32::from(g.0.counts[bin].0[lane]),
            Votes::Wide(g) => g.0.counts[bin].0[lane],
        }
    }

    /// Sums of the counts of two angles, of sixteen patterns from lane `16 · part` on; see [`fold`].
    pub(super) fn fold(&self, isa: Isa, rows: [Row; 2], rhos: usize, part: usize, out: &mut [Numbers]) {
        match self {
            Votes::Narrow(g) => fold(isa, &g.0.counts, rows, rhos, part, out),
            Votes::Middle(g) => fold(isa, &g.0.counts, rows, rhos, part, out),
            Votes::Wide(g) => fold(isa, &g.0.counts, rows, rhos, part, out),
        }
    }
}

/// An angle, and whether its ρ runs the other way.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub theta: usize,
    pub turned: bool,
}

per_isa! {
    /// Pixel `i` of pattern `lane`, at `lane * pixels + i`, goes to lane `lane` of `votes[i]`: by squares that stay in the cache.
    fn sort_into_lanes[C: Count, const N: usize][C, N](flat: &[u8], pixels: usize, votes: &mut [Line<C, N>]) {
        for (number, votes) in votes.chunks_mut(64).enumerate() {
            for (lane, pattern) in flat.chunks_exact(pixels).enumerate().take(N) {
                for (to, &v) in votes.iter_mut().zip(&pattern[number * 64..]) {
                    to.0[lane] = C::from_vote(v);
                }
            }
        }
    }
}

per_isa! {
    /// Neighbours along x have different bins, so that no sum waits for the one before.
    fn add_rows[C: Count, const N: usize][C, N](votes: &[Line<C, N>], bins: &[u16], counts: &mut [Line<C, N>]) {
        for (vote, &bin) in votes.iter().zip(bins) {
            let count = &mut counts[usize::from(bin)];
            for l in 0..N {
                count.0[l] = count.0[l].plus(vote.0[l]);
            }
        }
    }
}

per_isa! {
    /// Eight rows at a time, down their columns: neighbours along y have different bins.
    fn add_bands[C: Count, const N: usize][C, N](votes: &[Line<C, N>], bins: &[u16], width: usize, counts: &mut [Line<C, N>]) {
        const ROWS: usize = crate::kernels::hough::BAND_ROWS;
        for (votes, bins) in votes.chunks(ROWS * width).zip(bins.chunks(ROWS * width)) {
            let rows = votes.len() / width;
            for (x, bins) in bins.chunks_exact(rows).enumerate() {
                for (y, &bin) in bins.iter().enumerate() {
                    let vote = &votes[y * width + x];
                    let count = &mut counts[usize::from(bin)];
                    for l in 0..N {
                        count.0[l] = count.0[l].plus(vote.0[l]);
                    }
                }
            }
        }
    }
}

per_isa! {
    /// The counts of two angles added (of one angle alone if they are the same), with as many more at either end, of the first and last ρ, as fill `out`.
    fn fold[C: Count, const N: usize][C, N](counts: &[Line<C, N>], rows: [Row; 2], rhos: usize, part: usize, out: &mut [Numbers]) {
        let [a, b] = rows.map(|r| &counts[r.theta * rhos..(r.theta + 1) * rhos]);
        let more = (out.len() - rhos) / 2;
        let single = rows[0].theta == rows[1].theta && rows[0].turned == rows[1].turned;
        for (i, out) in out.iter_mut().enumerate() {
            let r = i.saturating_sub(more).min(rhos - 1);
            let at = |turned: bool| if turned { rhos - 1 - r } else { r };
            let (a, b) = (&a[at(rows[0].turned)].0[part * PART..][..PART], &b[at(rows[1].turned)].0[part * PART..][..PART]);
            for l in 0..PART {
                out.0[l] = if single { a[l].to_i32() } else { a[l].to_i32() + b[l].to_i32() };
            }
        }
    }
}
