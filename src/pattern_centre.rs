//! Conventions for the pattern centre of EBSD: where the shortest line from the source point meets the detector, and how long it is.
//!
//! Formulas as in the documentation of kikuchipy's `EBSDDetector` and Jackson et al., *Integrating Materials and Manufacturing Innovation*
//! 8 (2019) 226 (EMsoft); they refer to the edges of the detector, so binning that divides its size changes nothing.

/// How a program counts a pattern centre (x, y, z). h and w are the height and width of the detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Convention {
    /// x from the left in w, y from the top in h, distance in h. Used inside emstream and by kikuchipy.
    #[default]
    Bruker,
    /// x from the left in w, y from the bottom in h, distance in the smaller of h and w (EDAX, TSL).
    Edax,
    /// x from the left, y from the bottom and distance, all in w (Oxford Instruments).
    Oxford,
    /// From the detector's centre, x to the left (EMsoft 5) and y up, in unbinned pixels; distance in pixels times their size.
    /// Here for a pixel size of 1, and in units of w.
    Emsoft,
}

impl Convention {
    /// The convention by its name: `bruker`, `edax` or `tsl`, `oxford`, `emsoft`.
    pub fn named(name: &str) -> Option<Convention> {
        match name.to_ascii_lowercase().as_str() {
            "bruker" => Some(Convention::Bruker),
            "edax" | "tsl" => Some(Convention::Edax),
            "oxford" => Some(Convention::Oxford),
            "emsoft" => Some(Convention::Emsoft),
            _ => None,
        }
    }

    /// A pattern centre of this convention in Bruker's; `aspect` = h / w.
    pub fn to_bruker(self, [x, y, z]: [f64; 3], aspect: f64) -> [f64; 3] {
        match self {
            Convention::Bruker => [x, y, z],
            Convention::Edax => [x, 1.0 - y, z * (1.0 / aspect).min(1.0)],
            Convention::Oxford => [x, 1.0 - y / aspect, z / aspect],
            Convention::Emsoft => [0.5 - x, 0.5 - y / aspect, z / aspect],
        }
    }

    /// A pattern centre in Bruker's convention in this one; `aspect` = h / w.
    pub fn from_bruker(self, [x, y, z]: [f64; 3], aspect: f64) -> [f64; 3] {
        match self {
            Convention::Bruker => [x, y, z],
            Convention::Edax => [x, 1.0 - y, z / (1.0 / aspect).min(1.0)],
            Convention::Oxford => [x, (1.0 - y) * aspect, z * aspect],
            Convention::Emsoft => [0.5 - x, (0.5 - y) * aspect, z * aspect],
        }
    }
}

/// Limits of the detector in gnomonic coordinates, seen from the source: left, right, bottom, top (x to the right, y up, unit = distance).
/// `centre` in Bruker's convention, `aspect` = h / w.
pub fn gnomonic_limits([x, y, z]: [f64; 3], aspect: f64) -> [f64; 4] {
    [-x / (aspect * z), (1.0 - x) / (aspect * z), -(1.0 - y) / z, y / z]
}

/// A pattern centre (Bruker) after binning `f` with the remainder of the detector (height, width) cropped at the bottom and the right.
pub fn after_binning([x, y, z]: [f64; 3], [height, width]: [usize; 2], f: usize) -> [f64; 3] {
    let kept = |n: usize| (n / f * f) as f64 / n as f64;
    let (h, w) = (kept(height), kept(width));
    [x / w, y / h, z / h]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: [f64; 3], b: [f64; 3]) {
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-14), "{a:?} {b:?}");
    }

    #[test]
    fn round_trips() {
        let pc = [0.421, 0.2206, 0.6049];
        for aspect in [0.75, 1.0, 4.0 / 3.0] {
            for c in [Convention::Bruker, Convention::Edax, Convention::Oxford, Convention::Emsoft] {
                close(c.to_bruker(c.from_bruker(pc, aspect), aspect), pc);
            }
        }
    }

    #[test]
    fn known_values() {
        // kikuchipy 0.13.1 for a detector of 60 × 80.
        let pc = [0.421, 0.2206, 0.6049];
        close(Convention::Edax.from_bruker(pc, 0.75), [0.421, 0.7794, 0.6049]);
        close(Convention::Oxford.from_bruker(pc, 0.75), [0.421, 0.58455, 0.453675]);
        // 80 × 60: z in the smaller edge, the width.
        close(
            Convention::Edax.from_bruker(pc, 80.0 / 60.0),
            [0.421, 0.7794, 0.6049 * 80.0 / 60.0],
        );
        let g = gnomonic_limits([0.5, 0.25, 0.5], 0.75);
        close([g[0], g[1], g[2]], [-4.0 / 3.0, 4.0 / 3.0, -1.5]);
        assert_eq!(g[3], 0.5);
        close(after_binning(pc, [120, 160], 4), pc);
        close(after_binning([0.5, 0.5, 0.5], [11, 10], 5), [0.5, 0.55, 0.55]);
        assert_eq!(Convention::named("TSL"), Some(Convention::Edax));
    }
}
