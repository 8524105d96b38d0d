//! Pixels, lines and text: what every figure is drawn with.

use crate::error::Result;
use ab_glyph::{Font, FontRef, PxScale, ScaleFont};
use std::sync::OnceLock;

/// DejaVu Sans, reduced to the characters that figures use; see `assets/font/LICENSE.txt`.
static FONT: &[u8] = include_bytes!("../../assets/font/DejaVuSans-subset.ttf");

/// `None` only if the embedded font were damaged; figures then have no text.
fn font() -> Option<&'static FontRef<'static>> {
    static PARSED: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    PARSED.get_or_init(|| FontRef::try_from_slice(FONT).ok()).as_ref()
}

/// An sRGB colour.
pub(crate) type Rgb = [u8; 3];

pub(super) const WHITE: Rgb = [255, 255, 255];
pub(super) const INK: Rgb = [32, 33, 36];
pub(super) const FAINT: Rgb = [224, 224, 224];
/// Text sizes in pixels per em.
pub(super) const TITLE: f32 = 25.0;
pub(super) const TEXT: f32 = 20.0;
/// Height of a capital letter as a share of the size.
const CAP: f32 = 0.73;

/// Which point of a text lies at the given position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// A drawn figure: RGB pixels, 8 bits each, rows from top to bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    /// Left, top, right, bottom: lines, circles and text stay inside.
    clip: [i64; 4],
}

impl Figure {
    /// A white figure.
    pub(super) fn new(width: usize, height: usize) -> Self {
        Figure {
            width,
            height,
            rgb: vec![255; width * height * 3],
            clip: [0, 0, width as i64, height as i64],
        }
    }
    pub fn width(&self) -> usize {
        self.width
    }
    pub fn height(&self) -> usize {
        self.height
    }
    /// The bytes r, g, b of all pixels in rows.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
    /// The colour at column `x` and row `y`, `None` outside.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let at = (y * self.width + x) * 3;
        Some([self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]])
    }

    /// Encodes the figure as a PNG file.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] if the encoder refuses, which it has no reason to.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        super::png::encode(self.width, self.height, &self.rgb)
    }

    /// Draws with everything cut off outside a rectangle.
    pub(super) fn clipped(&mut self, x: usize, y: usize, w: usize, h: usize, draw: impl FnOnce(&mut Figure)) {
        let before = self.clip;
        self.clip = [
            x as i64,
            y as i64,
            (x + w).min(self.width) as i64,
            (y + h).min(self.height) as i64,
        ];
        draw(self);
        self.clip = before;
    }

    /// Mixes `colour` into a pixel; positions outside the figure are left out.
    pub(super) fn blend(&mut self, x: i64, y: i64, colour: Rgb, alpha: f32) {
        let [left, top, right, bottom] = self.clip;
        if x < left || y < top || x >= right || y >= bottom || alpha <= 0.0 {
            return;
        }
        let at = (y as usize * self.width + x as usize) * 3;
        let alpha = alpha.min(1.0);
        for (old, new) in self.rgb[at..at + 3].iter_mut().zip(colour) {
            *old = (*old as f32 + (new as f32 - *old as f32) * alpha).round() as u8;
        }
    }

    /// Fills a rectangle of `w` × `h` pixels from column `x`, row `y`.
    pub(super) fn fill(&mut self, x: usize, y: usize, w: usize, h: usize, colour: Rgb) {
        let (x0, x1) = (x.min(self.width), (x + w).min(self.width));
        for row in y.min(self.height)..(y + h).min(self.height) {
            for pixel in self.rgb[(row * self.width + x0) * 3..(row * self.width + x1) * 3].chunks_exact_mut(3) {
                pixel.copy_from_slice(&colour);
            }
        }
    }

    /// A frame of one pixel around the rectangle, outside of it.
    pub(super) fn frame(&mut self, x: usize, y: usize, w: usize, h: usize, colour: Rgb) {
        let (left, top) = (x.saturating_sub(1), y.saturating_sub(1));
        self.fill(left, top, w + 2, 1, colour);
        self.fill(left, y + h, w + 2, 1, colour);
        self.fill(left, top, 1, h + 2, colour);
        self.fill(x + w, top, 1, h + 2, colour);
    }

    /// Blends every pixel within `reach` of the box with the coverage that `distance` (to a shape's outline) implies.
    fn shape(&mut self, bounds: [f64; 4], half: f64, colour: Rgb, alpha: f32, distance: impl Fn(f64, f64) -> f64) {
        let reach = half + 1.0;
        let clip = |v: f64, end: usize| v.clamp(0.0, end as f64) as i64;
        for y in clip((bounds[1] - reach).floor(), self.height)..clip((bounds[3] + reach).ceil() + 1.0, self.height) {
            for x in clip((bounds[0] - reach).floor(), self.width)..clip((bounds[2] + reach).ceil() + 1.0, self.width) {
                // Pixel centres lie at +0.5; coverage falls from 1 to 0 over one pixel across the edge.
                let cover = (half + 0.5 - distance(x as f64 + 0.5, y as f64 + 0.5)).clamp(0.0, 1.0);
                self.blend(x, y, colour, cover as f32 * alpha);
            }
        }
    }

    /// A straight line, antialiased.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), width: f64, colour: Rgb) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length2 = dx * dx + dy * dy;
        if !length2.is_finite() {
            return;
        }
        let bounds = [from.0.min(to.0), from.1.min(to.1), from.0.max(to.0), from.1.max(to.1)];
        self.shape(bounds, width / 2.0, colour, 1.0, |x, y| {
            let t = if length2 > 0.0 {
                (((x - from.0) * dx + (y - from.1) * dy) / length2).clamp(0.0, 1.0)
            } else {
                0.0
            };
            (x - from.0 - t * dx).hypot(y - from.1 - t * dy)
        });
    }

    /// A dashed horizontal or vertical line.
    pub(super) fn dashes(&mut self, from: (f64, f64), to: (f64, f64), width: f64, colour: Rgb) {
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        if !(length > 0.0 && length < 1e5) {
            return;
        }
        let at = |t: f64| (from.0 + (to.0 - from.0) * t / length, from.1 + (to.1 - from.1) * t / length);
        let mut t = 0.0;
        while t < length {
            self.line(at(t), at((t + 9.0).min(length)), width, colour);
            t += 16.0;
        }
    }

    /// A circle's outline, antialiased.
    pub(super) fn ring(&mut self, centre: (f64, f64), radius: f64, width: f64, colour: Rgb, alpha: f32) {
        let bounds = [centre.0 - radius, centre.1 - radius, centre.0 + radius, centre.1 + radius];
        self.shape(bounds, width / 2.0, colour, alpha, |x, y| {
            ((x - centre.0).hypot(y - centre.1) - radius).abs()
        });
    }

    /// A filled circle, antialiased.
    pub(super) fn dot(&mut self, centre: (f64, f64), radius: f64, colour: Rgb) {
        self.shape([centre.0, centre.1, centre.0, centre.1], radius, colour, 1.0, |x, y| {
            (x - centre.0).hypot(y - centre.1)
        });
    }

    /// Text with its capital letters centred on row `y`.
    pub(super) fn text(&mut self, x: f64, y: f64, size: f32, align: Align, colour: Rgb, text: &str) {
        let start = shift(align, text_width(text, size));
        glyphs(text, size, |dx, dy, cover| {
            self.blend(
                (x as f32 + start + dx).floor() as i64,
                (y as f32 + dy).floor() as i64,
                colour,
                cover,
            );
        });
    }

    /// Text that reads from bottom to top, its middle at row `y`, its capital letters centred on column `x`.
    pub(super) fn text_upwards(&mut self, x: f64, y: f64, size: f32, colour: Rgb, text: &str) {
        let start = shift(Align::Centre, text_width(text, size));
        glyphs(text, size, |dx, dy, cover| {
            self.blend(
                (x as f32 + dy).floor() as i64,
                (y as f32 - start - dx).floor() as i64,
                colour,
                cover,
            );
        });
    }
}

fn shift(align: Align, width: f32) -> f32 {
    match align {
        Align::Left => 0.0,
        Align::Centre => -(width / 2.0).round(),
        Align::Right => -width.round(),
    }
}

/// The scale that makes one em `size` pixels high (the crate measures from ascender to descender).
fn scale(font: &FontRef<'_>, size: f32) -> PxScale {
    PxScale::from(size * font.height_unscaled() / font.units_per_em().unwrap_or(2048.0))
}

/// Width of a text in pixels.
pub(super) fn text_width(text: &str, size: f32) -> f32 {
    let Some(font) = font() else { return 0.0 };
    let scaled = font.as_scaled(scale(font, size));
    text.chars().map(|c| scaled.h_advance(scaled.glyph_id(c))).sum()
}

/// Calls `draw` with position and coverage of each inked pixel; x from the start of the text, y from the middle of its capitals.
fn glyphs(text: &str, size: f32, mut draw: impl FnMut(f32, f32, f32)) {
    let Some(font) = font() else { return };
    let scaled = font.as_scaled(scale(font, size));
    let baseline = (size * CAP / 2.0).round();
    let mut x = 0.0;
    for c in text.chars() {
        let id = scaled.glyph_id(c);
        if let Some(outline) = font.outline_glyph(id.with_scale_and_position(scaled.scale(), ab_glyph::point(x, baseline))) {
            let bounds = outline.px_bounds();
            outline.draw(|gx, gy, cover| draw(bounds.min.x + gx as f32, bounds.min.y + gy as f32, cover));
        }
        x += scaled.h_advance(id);
    }
}

/// The text and the size at which it fits into `width` pixels: first smaller (to 70 %), then cut with an ellipsis.
pub(super) fn fit_text(text: &str, size: f32, width: f32) -> (String, f32) {
    let wanted = text_width(text, size);
    if wanted <= width {
        return (text.to_owned(), size);
    }
    let small = (size * width / wanted).max(size * 0.7);
    let mut kept: Vec<char> = text.chars().collect();
    let mut fitted = text.to_owned();
    while text_width(&fitted, small) > width && !kept.is_empty() {
        kept.pop();
        fitted = kept.iter().collect::<String>().trim_end().to_owned() + "…";
    }
    (fitted, small)
}
