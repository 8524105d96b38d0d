//! What happens to the crystal over the movie: defects that hop, switch, appear and vanish.

use super::Ws2;
use crate::rng::{Sequence, Source, math};
use crate::simulate::purpose;

/// Kinds of defects, as the truth names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One sulphur atom of a column is missing.
    SingleVacancy,
    /// Both are missing.
    DoubleVacancy,
    /// Molybdenum on a tungsten site.
    Dopant,
    /// The same with a sulphur atom missing beside it.
    DopantWithVacancy,
    /// Molybdenum on top of a tungsten column.
    Adatom,
    /// Everything within a radius is missing.
    Hole,
}

impl Kind {
    /// All kinds in the order of their numbers in truth files.
    pub const ALL: [Kind; 6] = [
        Kind::SingleVacancy,
        Kind::DoubleVacancy,
        Kind::Dopant,
        Kind::DopantWithVacancy,
        Kind::Adatom,
        Kind::Hole,
    ];
    /// `VS`, `VS2`, `MoW`, `MoW_VS`, `AdMo`, `hole`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::SingleVacancy => "VS",
            Kind::DoubleVacancy => "VS2",
            Kind::Dopant => "MoW",
            Kind::DopantWithVacancy => "MoW_VS",
            Kind::Adatom => "AdMo",
            Kind::Hole => "hole",
        }
    }
    /// Its number in truth files.
    pub fn number(self) -> u8 {
        Kind::ALL.iter().position(|k| *k == self).unwrap_or(0) as u8
    }
    fn on_sulphur(self) -> bool {
        matches!(self, Kind::SingleVacancy | Kind::DoubleVacancy)
    }
}

/// A defect in one frame; positions in pixels of the first frame, without drift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The same for one defect in all frames.
    pub id: u32,
    pub kind: Kind,
    pub y: f64,
    pub x: f64,
    /// Of holes, in pixels; else 0.
    pub radius: f64,
}

/// Sites of the lattice, in pixels of the first frame.
pub(super) struct Sites {
    pub tungsten: Vec<[f64; 2]>,
    /// Each of two atoms.
    pub sulphur: Vec<[f64; 2]>,
    /// From a tungsten site to its six neighbours, and to its three sulphur columns.
    neighbours: [[f64; 2]; 6],
    pub beside: [[f64; 2]; 3],
}

impl Sites {
    fn new(p: &Ws2, random: &mut Sequence) -> Self {
        let a = p.lattice / p.pixel_size;
        let (s, c) = math::sin_cos_turns(p.angle.rem_euclid(360.0) / 360.0);
        let root = 3f64.sqrt() / 2.0;
        let a1 = [a * c, a * s];
        let a2 = [a * (c / 2.0 - s * root), a * (s / 2.0 + c * root)];
        let sum = |u: [f64; 2], v: [f64; 2], k: f64| [u[0] + k * v[0], u[1] + k * v[1]];
        let origin = [random.range(0.0, a), random.range(0.0, a)];
        let shift = sum([0.0; 2], sum(a1, a2, 1.0), 1.0 / 3.0);
        // Columns up to here beside the frame reach into it, also after drift.
        let pad = 40.0 + p.frames as f64 * p.drift.abs();
        let reach = ((p.sig[0] + p.sig[1]) as f64 + 4.0 * pad) / (a * root);
        let reach = reach.ceil() as i64;
        let inside = |q: [f64; 2]| (0..2).all(|k| q[k] > -pad && q[k] < p.sig[k] as f64 + pad);
        let (mut tungsten, mut sulphur) = (Vec::new(), Vec::new());
        for i in -reach..reach {
            for j in -reach..reach {
                let w = sum(sum(origin, a1, i as f64), a2, j as f64);
                let s2 = sum(w, shift, 1.0);
                if inside(w) {
                    tungsten.push(w);
                }
                if inside(s2) {
                    sulphur.push(s2);
                }
            }
        }
        let back = |v: [f64; 2]| [-v[0], -v[1]];
        let third = sum(a2, a1, -1.0);
        Sites {
            tungsten,
            sulphur,
            neighbours: [a1, a2, third, back(a1), back(a2), back(third)],
            beside: [shift, sum(shift, a1, -1.0), sum(shift, a2, -1.0)],
        }
    }

    fn list(&self, kind: Kind) -> &[[f64; 2]] {
        if kind.on_sulphur() { &self.sulphur } else { &self.tungsten }
    }
}

struct Defect {
    id: u32,
    kind: Kind,
    at: [f64; 2],
    switches: bool,
    with_vacancy: bool,
    /// Which of the three sulphur columns is the one with the vacancy.
    arm: usize,
}

/// Everything that was decided before any frame is drawn.
pub(super) struct History {
    pub sites: Sites,
    /// Defects of each frame; holes come last.
    pub points: Vec<Vec<Point>>,
    /// For each frame the sulphur columns beside dopants that miss an atom.
    pub beside: Vec<Vec<[f64; 2]>>,
    /// Displacement (y, x) of each frame.
    pub drift: Vec<[f64; 2]>,
}

fn far(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

impl History {
    /// `p` is resolved.
    pub fn new(p: &Ws2) -> Self {
        let mut random = Source::new(p.seed, purpose::HISTORY).sequence(0);
        let sites = Sites::new(p, &mut random);
        let mut defects = start(p, &sites, &mut random);
        let mut next = defects.len() as u32;
        let mut holes: Vec<(u32, [f64; 2], f64, f64)> = Vec::new();
        let first_hole = (p.hole_start * p.frames as f64) as usize;
        let mut at = [0.0; 2];
        let mut history = History {
            sites,
            points: Vec::with_capacity(p.frames),
            beside: Vec::with_capacity(p.frames),
            drift: Vec::with_capacity(p.frames),
        };
        let spacing = p.lattice / p.pixel_size;
        for f in 0..p.frames {
            if f > 0 {
                at = at.map(|d| d + p.drift + p.wander * random.normal());
                hop(p, &history.sites, spacing, &mut defects, &mut random);
                for _ in 0..poisson(p.damage.unwrap_or(0.0), &mut random) {
                    let site = history.sites.sulphur[random.below(history.sites.sulphur.len())];
                    if well_inside(p, site) {
                        defects.push(Defect {
                            id: next,
                            kind: Kind::SingleVacancy,
                            at: site,
                            switches: false,
                            with_vacancy: false,
                            arm: 0,
                        });
                        next += 1;
                    }
                }
            }
            if f >= first_hole && holes.len() < p.holes && (f - first_hole).is_multiple_of(2) {
                let place = |random: &mut Sequence, n: usize| random.range(0.12, 0.88) * n as f64;
                let centre = [place(&mut random, p.sig[0]), place(&mut random, p.sig[1])];
                holes.push((next, centre, random.range(3.0, 5.0), random.range(1.8, 3.0)));
                next += 1;
            }
            // What a hole has swallowed does not come back.
            defects.retain(|d| holes.iter().all(|h| far(d.at, h.1) >= h.2 + 1.0));
            let point = |d: &Defect| Point {
                id: d.id,
                kind: match d.kind {
                    Kind::Dopant if d.with_vacancy => Kind::DopantWithVacancy,
                    kind => kind,
                },
                y: d.at[0],
                x: d.at[1],
                radius: 0.0,
            };
            let mut points: Vec<Point> = defects.iter().map(point).collect();
            points.extend(holes.iter().map(|&(id, c, radius, _)| Point {
                id,
                kind: Kind::Hole,
                y: c[0],
                x: c[1],
                radius,
            }));
            let arms = defects.iter().filter(|d| d.with_vacancy).map(|d| {
                let arm = history.sites.beside[d.arm];
                [d.at[0] + arm[0], d.at[1] + arm[1]]
            });
            history.beside.push(arms.collect());
            history.points.push(points);
            history.drift.push(at);
            holes.iter_mut().for_each(|h| h.2 += h.3);
        }
        history
    }
}

fn well_inside(p: &Ws2, at: [f64; 2]) -> bool {
    (0..2).all(|k| at[k] > 6.0 && at[k] < p.sig[k] as f64 - 6.0)
}

/// Defects at the start, apart from each other as far as there is room.
fn start(p: &Ws2, sites: &Sites, random: &mut Sequence) -> Vec<Defect> {
    let plan = [
        (Kind::Dopant, p.dopants),
        (Kind::SingleVacancy, p.single_vacancies),
        (Kind::DoubleVacancy, p.double_vacancies),
        (Kind::Adatom, p.adatoms),
    ];
    let mut defects: Vec<Defect> = Vec::new();
    for (kind, count) in plan {
        for _ in 0..count.unwrap_or(0) {
            let list = sites.list(kind);
            let free = (0..2000).find_map(|_| {
                let at = list.get(random.below(list.len())).copied()?;
                let apart = defects.iter().all(|d| far(d.at, at) > p.separation);
                (well_inside(p, at) && apart).then_some(at)
            });
            let Some(at) = free else { break };
            defects.push(Defect {
                id: defects.len() as u32,
                kind,
                at,
                switches: kind == Kind::Dopant && random.unit() < p.switching,
                with_vacancy: false,
                arm: random.below(3),
            });
        }
    }
    defects
}

/// Dopants hop to free neighbouring sites and change their state.
fn hop(p: &Ws2, sites: &Sites, spacing: f64, defects: &mut [Defect], random: &mut Sequence) {
    for i in 0..defects.len() {
        if defects[i].kind != Kind::Dopant {
            continue;
        }
        if random.unit() < p.hop {
            let step = sites.neighbours[random.below(6)];
            let at = [defects[i].at[0] + step[0], defects[i].at[1] + step[1]];
            let free = defects
                .iter()
                .enumerate()
                .all(|(j, d)| j == i || far(d.at, at) > 2.2 * spacing);
            if free && (0..2).all(|k| at[k] > 0.0 && at[k] < p.sig[k] as f64) {
                defects[i].at = at;
            }
        }
        if defects[i].switches && random.unit() < p.switch {
            defects[i].with_vacancy = !defects[i].with_vacancy;
        }
    }
}

/// A Poisson number of a small mean, by counting exponential waiting times.
fn poisson(mean: f64, random: &mut Sequence) -> usize {
    let (mut n, mut passed) = (0, -math::ln(random.unit()));
    while passed < mean && n < 100_000 {
        passed -= math::ln(random.unit());
        n += 1;
    }
    n
}
