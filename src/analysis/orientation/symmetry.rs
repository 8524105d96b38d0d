//! Laue groups: what diffraction sees of a crystal's symmetry.

use super::{Matrix, product, rotation};
use std::f64::consts::TAU;

/// The eleven Laue groups in the order of Oxford's numbers, 1 to 11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Laue {
    /// -1
    Triclinic,
    /// 2/m, the axis along b (y)
    Monoclinic,
    /// mmm
    Orthorhombic,
    /// 4/m
    TetragonalLow,
    /// 4/mmm
    Tetragonal,
    /// -3
    TrigonalLow,
    /// -3m
    Trigonal,
    /// 6/m
    HexagonalLow,
    /// 6/mmm
    Hexagonal,
    /// m-3
    CubicLow,
    /// m-3m
    Cubic,
}

const ALL: [(Laue, &str); 11] = [
    (Laue::Triclinic, "-1"),
    (Laue::Monoclinic, "2/m"),
    (Laue::Orthorhombic, "mmm"),
    (Laue::TetragonalLow, "4/m"),
    (Laue::Tetragonal, "4/mmm"),
    (Laue::TrigonalLow, "-3"),
    (Laue::Trigonal, "-3m"),
    (Laue::HexagonalLow, "6/m"),
    (Laue::Hexagonal, "6/mmm"),
    (Laue::CubicLow, "m-3"),
    (Laue::Cubic, "m-3m"),
];

/// Where the Cartesian axes of trigonal and hexagonal crystals lie; the others do not care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// x along a (EDAX).
    AlongA,
    /// y along b, x along a* (Oxford, Channel 5).
    AlongB,
}

impl Laue {
    /// By Oxford's number, 1 to 11.
    pub fn numbered(number: u8) -> Option<Laue> {
        usize::from(number).checked_sub(1).and_then(|i| ALL.get(i)).map(|(l, _)| *l)
    }
    /// By its symbol: `m-3m`, `6/mmm`, …
    pub fn named(symbol: &str) -> Option<Laue> {
        ALL.iter().find(|(_, s)| *s == symbol).map(|(l, _)| *l)
    }
    /// Its symbol.
    pub fn symbol(self) -> &'static str {
        ALL.iter().find(|(l, _)| *l == self).map_or("", |(_, s)| s)
    }
    /// Of a space group, 1 to 230 (*International Tables for Crystallography* A).
    pub fn of_space_group(number: u16) -> Option<Laue> {
        let last = [2, 15, 74, 88, 142, 148, 167, 176, 194, 206, 230];
        if number == 0 {
            return None;
        }
        let at = last.iter().position(|&l| number <= l)?;
        ALL.get(at).map(|(l, _)| *l)
    }

    /// All proper rotations of the group; with the inversion they make the whole of it.
    pub fn rotations(self, setting: Setting) -> Vec<Matrix> {
        let z = |n: f64| rotation([0.0, 0.0, 1.0], TAU / n);
        let half = |axis: [f64; 3]| rotation(axis, TAU / 2.0);
        // Two-fold axes of -3m1 lie along a.
        let a = match setting {
            Setting::AlongA => half([1.0, 0.0, 0.0]),
            Setting::AlongB => half([0.0, 1.0, 0.0]),
        };
        let (x, diagonal) = (half([1.0, 0.0, 0.0]), rotation([1.0, 1.0, 1.0], TAU / 3.0));
        let generators = match self {
            Laue::Triclinic => vec![],
            Laue::Monoclinic => vec![half([0.0, 1.0, 0.0])],
            Laue::Orthorhombic => vec![z(2.0), x],
            Laue::TetragonalLow => vec![z(4.0)],
            Laue::Tetragonal => vec![z(4.0), x],
            Laue::TrigonalLow => vec![z(3.0)],
            Laue::Trigonal => vec![z(3.0), a],
            Laue::HexagonalLow => vec![z(6.0)],
            Laue::Hexagonal => vec![z(6.0), a],
            Laue::CubicLow => vec![z(2.0), diagonal],
            Laue::Cubic => vec![z(4.0), diagonal],
        };
        closure(&generators)
    }
}

/// The group that rotations generate.
fn closure(generators: &[Matrix]) -> Vec<Matrix> {
    let same = |a: &Matrix, b: &Matrix| a.iter().flatten().zip(b.iter().flatten()).all(|(x, y)| (x - y).abs() < 1e-6);
    let mut group = vec![[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]];
    let mut at = 0;
    while at < group.len() {
        for g in generators {
            let next = product(g, &group[at]);
            if !group.iter().any(|m| same(m, &next)) {
                group.push(next);
            }
        }
        at += 1;
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_the_groups() {
        let orders = [1, 2, 4, 4, 8, 3, 6, 6, 12, 12, 24];
        for (number, order) in (1..=11).zip(orders) {
            let laue = Laue::numbered(number).unwrap();
            for setting in [Setting::AlongA, Setting::AlongB] {
                assert_eq!(laue.rotations(setting).len(), order, "{}", laue.symbol());
            }
            assert_eq!(Laue::named(laue.symbol()), Some(laue));
        }
        assert_eq!(Laue::numbered(0), None);
        assert_eq!(Laue::numbered(12), None);
    }

    #[test]
    fn space_groups() {
        for (number, symbol) in [
            (1, "-1"),
            (14, "2/m"),
            (62, "mmm"),
            (139, "4/mmm"),
            (166, "-3m"),
            (194, "6/mmm"),
            (205, "m-3"),
            (225, "m-3m"),
        ] {
            assert_eq!(Laue::of_space_group(number).unwrap().symbol(), symbol);
        }
        assert_eq!(Laue::of_space_group(0), None);
        assert_eq!(Laue::of_space_group(231), None);
    }
}
