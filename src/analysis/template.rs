//! Templates: what a diffraction disk looks like.
//!
//! The formulas are those of LiberTEM-blobfinder's match patterns (A. Clausen et al., *J. Open Source Softw.* 5 (2020) 2006),
//! written down in `docs/workflows.md`. Lengths are in detector pixels, offsets in (y, x) order.

use super::bullseye::Bullseye;
use super::probe;
use crate::error::{Error, Result};
use ndarray::Array2;
use std::path::Path;

/// Largest search range in pixels: a stamp then has 4097² pixels.
pub const MAX_SEARCH: f64 = 2048.0;

/// The shape of a template. Build one through [`Template::new`], which checks the numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// An antialiased disk: 1 inside `radius`, 0 outside.
    Disk { radius: f64 },
    /// An antialiased ring: 1 between the two radii.
    Ring { inner: f64, outer: f64 },
    /// Rises as r/R towards the edge of the disk and falls from +1 to −1 within the last pixel. Not balanced.
    Gradient { radius: f64 },
    /// A disk minus the ring around it, scaled so that the sum is zero.
    Background { radius: f64, outer: f64 },
    /// [`Pattern::Gradient`] with −1 from its edge to `outer`. Not balanced.
    GradientBackground { radius: f64, outer: f64 },
    /// A bullseye aperture, balanced; drawn as an image like a user's.
    Bullseye(Bullseye),
    /// A user's image. Its centre is at ((h−1)/2, (w−1)/2).
    User(Array2<f64>),
}

/// A pattern with the range in which it is searched.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pattern: Pattern,
    search: f64,
}

impl Template {
    /// A template with its default search range: 2R for a disk or gradient, max(2R, Ro) with a background, twice the outer
    /// radius for a ring, half the diagonal for a bullseye and a user's image.
    ///
    /// # Errors
    /// [`Error::Parameter`] for radii that are not finite and positive, an outer radius not above the inner one, an image
    /// without pixels, with NaN or infinity, or all zero, and for anything wider than [`MAX_SEARCH`].
    pub fn new(pattern: Pattern) -> Result<Self> {
        let search = match &pattern {
            Pattern::Disk { radius } | Pattern::Gradient { radius } => {
                positive("radius", *radius)?;
                2.0 * radius
            }
            Pattern::Ring { inner, outer } => {
                if !(inner.is_finite() && *inner >= 0.0) {
                    return Err(bad(format!("an inner radius of {inner} is not a length")));
                }
                above(*inner, *outer)?;
                2.0 * outer
            }
            Pattern::Background { radius, outer } | Pattern::GradientBackground { radius, outer } => {
                positive("radius", *radius)?;
                above(*radius, *outer)?;
                (2.0 * radius).max(*outer)
            }
            Pattern::Bullseye(b) => half_diagonal(b.size, b.size),
            Pattern::User(image) => {
                let (h, w) = image.dim();
                if h == 0 || w == 0 {
                    return Err(bad(format!("the image has no pixels ({h}×{w})")));
                }
                if let Some(((y, x), v)) = image.indexed_iter().find(|(_, v)| !v.is_finite()) {
                    return Err(bad(format!("the image holds {v} at (y, x) = ({y}, {x})")));
                }
                if image.iter().all(|&v| v == 0.0) {
                    return Err(bad("the image is zero everywhere".into()));
                }
                half_diagonal(h, w)
            }
        };
        Template { pattern, search: 0.0 }.with_search(search)
    }

    /// The pattern that a user names: `disk`, `gradient`, `background` or `gradient-background`. Without `outer`, a background
    /// reaches to 1.5 times the radius; patterns without a background take no notice of it.
    ///
    /// # Errors
    /// As [`Template::new`], and for an unknown name.
    pub fn named(name: &str, radius: f64, outer: Option<f64>) -> Result<Self> {
        let outer = outer.unwrap_or(1.5 * radius);
        Template::new(match name {
            "disk" => Pattern::Disk { radius },
            "gradient" => Pattern::Gradient { radius },
            "background" => Pattern::Background { radius, outer },
            "gradient-background" => Pattern::GradientBackground { radius, outer },
            _ => {
                return Err(bad(format!(
                    "unknown pattern `{name}` (known: disk, gradient, background, gradient-background)"
                )));
            }
        })
    }

    /// Reads `disk:R`, `ring:R1,R2`, `gradient:R`, `background:R[,RO]`, `gradient-background:R[,RO]`,
    /// `bullseye:RII,RI,RO,ROO[,cross=W][,size=N]`, `probe:FILE@Y,X,N` ([`probe::cut`]), or the path of an image. `load` reads the
    /// file: the image, or the mean of the frames in which the probe is.
    ///
    /// # Errors
    /// As [`Template::new`], [`Bullseye::parse`], [`probe::Spec::parse`] and [`probe::cut`], for an unknown name or a wrong count of
    /// numbers, and what `load` returns.
    pub fn parse(spec: &str, load: impl FnOnce(&Path) -> Result<Array2<f64>>) -> Result<Self> {
        let Some((name, rest)) = spec.split_once(':') else {
            return match spec {
                "disk" | "gradient" | "background" | "gradient-background" => {
                    Err(bad(format!("`{spec}` needs a radius, e.g. `{spec}:1.5`")))
                }
                "ring" | "bullseye" => Err(bad(format!(
                    "`{spec}` needs radii, e.g. `{spec}:{}`",
                    if spec == "ring" { "4,6" } else { "2.8,8,11.5,16,cross=1" }
                ))),
                "probe" => Err(bad("`probe` needs a file and a place in it: probe:FILE@Y,X,N".into())),
                "" => Err(bad("empty (want e.g. `background:1.5,2.5` or the path of an image)".into())),
                _ => Template::new(Pattern::User(load(Path::new(spec))?)),
            };
        };
        let numbers = |most: usize| -> Result<Vec<f64>> {
            let n = rest
                .split(',')
                .map(|t| t.trim().parse().map_err(|_| bad(format!("`{spec}`: `{t}` is not a number"))))
                .collect::<Result<Vec<f64>>>()?;
            if n.len() > most {
                return Err(bad(format!("`{spec}`: {} numbers, `{name}` takes at most {most}", n.len())));
            }
            Ok(n)
        };
        match name {
            "disk" | "gradient" => Template::named(name, numbers(1)?[0], None),
            "background" | "gradient-background" => {
                let n = numbers(2)?;
                Template::named(name, n[0], n.get(1).copied())
            }
            "ring" => match numbers(2)?[..] {
                [inner, outer] => Template::new(Pattern::Ring { inner, outer }),
                _ => Err(bad(format!("`{spec}`: a ring takes an inner and an outer radius"))),
            },
            "bullseye" => Template::new(Pattern::Bullseye(Bullseye::parse(rest)?)),
            "probe" => {
                let spec = probe::Spec::parse(rest)?;
                let frame = load(Path::new(spec.file))?;
                Template::new(Pattern::User(probe::cut(frame.view(), spec.at, spec.size)?))
            }
            // A colon belongs to a path when a folder, a drive letter or an extension says so.
            _ if name.len() < 2 || spec.contains(['/', '\\', '.']) => Template::new(Pattern::User(load(Path::new(spec))?)),
            _ => Err(bad(format!(
                "unknown pattern `{name}` (known: disk:R, ring:R1,R2, gradient:R, background:R,RO, gradient-background:R,RO, bullseye:RII,RI,RO,ROO, probe:FILE@Y,X,N, or a file)"
            ))),
        }
    }

    /// The same pattern with another search range in pixels.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is not positive, exceeds [`MAX_SEARCH`], or leaves nothing of the pattern.
    pub fn with_search(mut self, search: f64) -> Result<Self> {
        if !(search.is_finite() && search > 0.0) {
            return Err(Error::parameter(
                "search range",
                format!("{search} px is not a positive length"),
            ));
        }
        if search > MAX_SEARCH {
            return Err(Error::parameter(
                "search range",
                format!("{search} px is more than {MAX_SEARCH} px"),
            ));
        }
        self.search = search;
        let stamp = self.stamp();
        if !stamp.iter().all(|v| v.is_finite()) || stamp.iter().all(|&v| v == 0.0) {
            return Err(bad(format!(
                "`{self}` has no pixels other than zero within its search range of {search} px"
            )));
        }
        Ok(self)
    }

    /// The pattern.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The search range in pixels: how far from an expected position a disk is looked for.
    pub fn search(&self) -> f64 {
        self.search
    }

    /// The search range rounded up to whole pixels.
    pub fn crop(&self) -> usize {
        self.search.ceil() as usize
    }

    /// What to add to a position (y, x) found with this template to get the centre of what it shows. Zero, except for a user's
    /// image with an even number of rows or columns: its centre lies between two pixels, windows and stamps place the
    /// later one of them on the position, so the centre is half a pixel before.
    pub fn offset(&self) -> [f64; 2] {
        match &self.pattern {
            Pattern::User(image) => [image.nrows(), image.ncols()].map(|n| if n % 2 == 0 { -0.5 } else { 0.0 }),
            _ => [0.0; 2],
        }
    }

    /// The window of (2·crop+1)² pixels whose centre pixel is the position: what is multiplied with a frame around a peak.
    pub fn stamp(&self) -> Array2<f64> {
        let n = 2 * self.crop() + 1;
        self.window(n, n)
    }

    /// The template in a window of `h` × `w` pixels in which index (h/2, w/2) (integer division) means no displacement, for
    /// odd and even sizes of window and image alike. What does not fit is cut off.
    pub fn window(&self, h: usize, w: usize) -> Array2<f64> {
        let before = |window: usize, n: usize| (window / 2) as isize - (n / 2) as isize;
        self.padded(h, w, before)
    }

    /// The template in a window of `h` × `w` pixels as LiberTEM-blobfinder pads it: floor(extra/2) rows before a user's image.
    /// With an even window and an odd image the centre is then at h/2 − 1, and found positions are one pixel too small.
    pub fn window_published(&self, h: usize, w: usize) -> Array2<f64> {
        let before = |window: usize, n: usize| (window as isize - n as isize).div_euclid(2);
        self.padded(h, w, before)
    }

    /// A formula in a window, or an image with as many zeros before it as `before` says for the lengths of window and image.
    fn padded(&self, h: usize, w: usize, before: impl Fn(usize, usize) -> isize) -> Array2<f64> {
        let put = |image: &Array2<f64>| place(image, [h, w], [before(h, image.nrows()), before(w, image.ncols())]);
        match &self.pattern {
            Pattern::Bullseye(b) => put(&b.image()),
            Pattern::User(image) => put(image),
            formula => sample(formula, h, w),
        }
    }

    /// Whether it stands for plain disks, rather than a patterned probe.
    pub fn is_disk(&self) -> bool {
        match self.pattern {
            Pattern::Disk { .. } | Pattern::Gradient { .. } | Pattern::Background { .. } | Pattern::GradientBackground { .. } => {
                true
            }
            Pattern::Ring { .. } | Pattern::Bullseye(_) | Pattern::User(_) => false,
        }
    }

    /// Rows and columns of the smallest window that holds the whole pattern.
    pub fn extent(&self) -> [usize; 2] {
        // Antialiasing reaches half a pixel beyond a radius, and is zero exactly there.
        let round = |r: f64| [2 * ((r + 0.5).ceil() as usize - 1) + 1; 2];
        match &self.pattern {
            Pattern::Disk { radius } | Pattern::Gradient { radius } => round(*radius),
            Pattern::Ring { outer, .. } | Pattern::Background { outer, .. } | Pattern::GradientBackground { outer, .. } => {
                round(*outer)
            }
            Pattern::Bullseye(b) => [b.size; 2],
            Pattern::User(image) => [image.nrows(), image.ncols()],
        }
    }

    /// Checks that the pattern fits into frames of `h` × `w` pixels.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it does not.
    pub fn check_frame(&self, h: usize, w: usize) -> Result<()> {
        let [th, tw] = self.extent();
        if th > h || tw > w {
            return Err(bad(format!("`{self}` covers {th}×{tw} pixels, the frame has only {h}×{w}")));
        }
        Ok(())
    }
}

/// The template as [`Template::parse`] reads it; a user's image shows its size.
impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pattern {
            Pattern::Disk { radius } => write!(f, "disk:{radius}"),
            Pattern::Ring { inner, outer } => write!(f, "ring:{inner},{outer}"),
            Pattern::Gradient { radius } => write!(f, "gradient:{radius}"),
            Pattern::Background { radius, outer } => write!(f, "background:{radius},{outer}"),
            Pattern::GradientBackground { radius, outer } => write!(f, "gradient-background:{radius},{outer}"),
            Pattern::Bullseye(b) => b.fmt(f),
            Pattern::User(image) => write!(f, "image of {}×{} pixels", image.nrows(), image.ncols()),
        }
    }
}

/// Scales the negative pixels so that the sum is zero: by −Σpositive/Σnegative. An image with only one sign stays as it is.
pub fn balance(image: &mut Array2<f64>) {
    let positive: f64 = image.iter().filter(|&&v| v > 0.0).sum();
    let negative: f64 = image.iter().filter(|&&v| v < 0.0).sum();
    if positive > 0.0 && negative < 0.0 {
        let factor = -positive / negative;
        image.iter_mut().filter(|v| **v < 0.0).for_each(|v| *v *= factor);
    }
}

/// The antialiased ring between radii `inner` and `outer` at distance `r` from its centre:
/// clip((outer−inner)/2 + 1/2 − |r − (inner+outer)/2|, 0, 1). At r = 0 the formula sees an inner edge where there is none
/// when `inner` < 1/2; there the value is 1 − `inner`.
pub fn ring(r: f64, inner: f64, outer: f64) -> f64 {
    if r == 0.0 && inner < 0.5 {
        return 1.0 - inner;
    }
    ((outer - inner) / 2.0 + 0.5 - (r - (inner + outer) / 2.0).abs()).clamp(0.0, 1.0)
}

fn sample(pattern: &Pattern, h: usize, w: usize) -> Array2<f64> {
    let map = |f: &dyn Fn(f64) -> f64| {
        Array2::from_shape_fn((h, w), |(y, x)| {
            let (dy, dx) = (y as f64 - (h / 2) as f64, x as f64 - (w / 2) as f64);
            f((dy * dy + dx * dx).sqrt())
        })
    };
    let gradient = |r: f64, radius: f64| {
        if r < radius - 0.5 {
            r / radius
        } else if r < radius + 0.5 {
            (radius - r) / 0.5
        } else {
            0.0
        }
    };
    match *pattern {
        Pattern::Disk { radius } => map(&|r| ring(r, 0.0, radius)),
        Pattern::Ring { inner, outer } => map(&|r| ring(r, inner, outer)),
        Pattern::Gradient { radius } => map(&|r| gradient(r, radius)),
        Pattern::Background { radius, outer } => {
            let disk = map(&|r| ring(r, 0.0, radius));
            let around = map(&|r| ring(r, radius, outer));
            let factor = disk.sum() / around.sum();
            disk - around * factor
        }
        Pattern::GradientBackground { radius, outer } => map(&|r| {
            if r >= radius + 0.5 && r <= outer {
                -1.0
            } else {
                gradient(r, radius)
            }
        }),
        Pattern::Bullseye(_) | Pattern::User(_) => Array2::zeros((h, w)),
    }
}

/// `image` in a window of zeros, `before` rows and columns from its origin; what lies outside is cut off.
fn place(image: &Array2<f64>, window: [usize; 2], before: [isize; 2]) -> Array2<f64> {
    Array2::from_shape_fn((window[0], window[1]), |(y, x)| {
        let at = |i: usize, before: isize| usize::try_from(i as isize - before).ok();
        match (at(y, before[0]), at(x, before[1])) {
            (Some(y), Some(x)) => image.get((y, x)).copied().unwrap_or(0.0),
            _ => 0.0,
        }
    })
}

fn half_diagonal(h: usize, w: usize) -> f64 {
    ((h * h) as f64 + (w * w) as f64).sqrt() / 2.0
}

fn bad(what: String) -> Error {
    Error::parameter("template", what)
}

fn positive(name: &str, r: f64) -> Result<()> {
    if r.is_finite() && r > 0.0 {
        Ok(())
    } else {
        Err(bad(format!("a {name} of {r} is not a positive length")))
    }
}

fn above(inner: f64, outer: f64) -> Result<()> {
    if outer.is_finite() && outer > inner {
        Ok(())
    } else {
        Err(bad(format!(
            "the outer radius {outer} must be larger than the inner one {inner}"
        )))
    }
}
