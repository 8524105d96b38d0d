//! Colour maps for values and colours for labels.

mod tables;

use ndarray::ArrayView2;
use std::collections::{BTreeMap, BTreeSet};

/// Pixels without a value: NaN, or outside the region of interest.
pub const MISSING: [u8; 3] = [176, 176, 176];
/// Labels below 0.
pub const UNCLASSIFIED: [u8; 3] = [176, 176, 176];
/// Number of label colours before they repeat.
pub const LABELS: usize = tables::LABELS.len();

/// A continuous colour map over 0 … 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColourMap {
    /// Dark blue to yellow, perceptually uniform: the default for scalars.
    #[default]
    Viridis,
    /// Black through red to light yellow, perceptually uniform: for frames and images of counts.
    Inferno,
    /// Blue, near-white at the middle, red: for signed values with limits symmetric about 0.
    Diverging,
    /// A turn of hue that ends where it begins: for angles.
    Cyclic,
    /// Black to white: for masks.
    Grey,
}

impl ColourMap {
    /// The colour at `t`, limited to 0 … 1; NaN gives [`MISSING`].
    pub fn rgb(self, t: f64) -> [u8; 3] {
        if t.is_nan() {
            return MISSING;
        }
        let t = t.clamp(0.0, 1.0);
        let table: &[[u8; 3]] = match self {
            ColourMap::Viridis => &tables::VIRIDIS,
            ColourMap::Inferno => &tables::INFERNO,
            ColourMap::Diverging => &tables::DIVERGING,
            ColourMap::Cyclic => &tables::CYCLIC,
            ColourMap::Grey => &[[0; 3], [255; 3]],
        };
        let at = t * (table.len() - 1) as f64;
        let low = (at as usize).min(table.len() - 2);
        let share = at - low as f64;
        std::array::from_fn(|i| (table[low][i] as f64 * (1.0 - share) + table[low + 1][i] as f64 * share).round() as u8)
    }
}

/// The colour of label `label` where no neighbourhood has to be minded: grey below 0, then [`LABELS`] colours in turn.
pub fn label_colour(label: i32) -> [u8; 3] {
    match usize::try_from(label) {
        Ok(label) => tables::LABELS[label % LABELS],
        Err(_) => UNCLASSIFIED,
    }
}

/// A colour for every label of a map. Up to [`LABELS`] labels get their own colour, in order of the labels when they count from 0.
/// With more, colours repeat, but never for labels that touch (corners included) while the label has fewer than [`LABELS`] differently
/// coloured neighbours before it.
pub fn label_colours(labels: ArrayView2<'_, i32>) -> BTreeMap<i32, [u8; 3]> {
    let present: BTreeSet<i32> = labels.iter().copied().collect();
    let mut colours: BTreeMap<i32, [u8; 3]> = present.iter().filter(|&&l| l < 0).map(|&l| (l, UNCLASSIFIED)).collect();
    let classes: Vec<i32> = present.into_iter().filter(|&l| l >= 0).collect();
    if classes.last().is_none_or(|&last| (last as usize) < LABELS) {
        colours.extend(classes.into_iter().map(|l| (l, label_colour(l))));
        return colours;
    }
    if classes.len() <= LABELS {
        colours.extend(classes.into_iter().zip(tables::LABELS));
        return colours;
    }
    let touching = touching_labels(labels);
    let mut chosen: BTreeMap<i32, usize> = BTreeMap::new();
    for (number, &label) in classes.iter().enumerate() {
        let taken: BTreeSet<usize> = touching
            .get(&label)
            .into_iter()
            .flatten()
            .filter_map(|n| chosen.get(n).copied())
            .collect();
        // Starting at the label's own number spreads the colours over the map.
        let free = (0..LABELS).map(|i| (number + i) % LABELS).find(|c| !taken.contains(c));
        chosen.insert(label, free.unwrap_or(number % LABELS));
    }
    colours.extend(chosen.into_iter().map(|(l, c)| (l, tables::LABELS[c])));
    colours
}

/// For every label ≥ 0 the other such labels that touch it.
fn touching_labels(labels: ArrayView2<'_, i32>) -> BTreeMap<i32, BTreeSet<i32>> {
    let mut touching: BTreeMap<i32, BTreeSet<i32>> = BTreeMap::new();
    let (rows, cols) = labels.dim();
    for ((y, x), &a) in labels.indexed_iter() {
        let right_and_below = [(y, x + 1), (y + 1, x), (y + 1, x + 1), (y + 1, x.wrapping_sub(1))];
        for &b in right_and_below
            .iter()
            .filter(|p| p.0 < rows && p.1 < cols)
            .filter_map(|&p| labels.get(p))
        {
            if a != b && a >= 0 && b >= 0 {
                touching.entry(a).or_default().insert(b);
                touching.entry(b).or_default().insert(a);
            }
        }
    }
    touching
}
