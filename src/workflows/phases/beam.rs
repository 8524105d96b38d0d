//! Where the direct beam is in a mean pattern, and how far it reaches.

use ndarray::Array2;

/// Share of the beam's height below which it has ended.
const FOOT: f64 = 0.05;

/// Centre (y, x) and radius of a disk that covers the direct beam of a mean pattern; `None` where the pattern has no maximum.
///
/// The centre is the centre of mass of the pixels about the maximum that are above half of its height over the median. The radius is
/// where the mean over rings of one pixel has fallen to 5 % of that height, or where it begins to rise, and one pixel more;
/// at most a quarter of the pattern.
pub(super) fn find(mean: &Array2<f64>) -> Option<[f64; 3]> {
    let (h, w) = mean.dim();
    let mut sorted: Vec<f64> = mean.iter().copied().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (median, highest) = (*sorted.get(sorted.len() / 2)?, *sorted.last()?);
    let height = highest - median;
    if !(height > 0.0 && height.is_finite()) {
        return None;
    }
    let peak = mean.indexed_iter().find(|(_, v)| **v == highest)?.0;
    // Pixels above half of the height that hang together with the maximum.
    let mut seen = Array2::from_elem((h, w), false);
    let (mut todo, mut sums) = (vec![peak], [0.0; 3]);
    seen[peak] = true;
    while let Some((y, x)) = todo.pop() {
        let weight = mean[[y, x]] - median;
        sums[0] += weight;
        sums[1] += weight * y as f64;
        sums[2] += weight * x as f64;
        let around = [(y.wrapping_sub(1), x), (y + 1, x), (y, x.wrapping_sub(1)), (y, x + 1)];
        for next in around.into_iter().filter(|&(y, x)| y < h && x < w) {
            if !seen[next] && mean[next] - median > 0.5 * height {
                seen[next] = true;
                todo.push(next);
            }
        }
    }
    let (cy, cx) = (sums[1] / sums[0], sums[2] / sums[0]);
    let most = (h.min(w) / 4).max(1);
    let mut rings = vec![(0.0, 0usize); most + 1];
    for ((y, x), v) in mean.indexed_iter() {
        let r = (y as f64 - cy).hypot(x as f64 - cx).round() as usize;
        if let Some((sum, count)) = rings.get_mut(r) {
            *sum += v - median;
            *count += 1;
        }
    }
    let profile: Vec<f64> = rings
        .iter()
        .map(|(s, n)| if *n > 0 { s / *n as f64 } else { f64::NAN })
        .collect();
    let ends = |r: usize| {
        let here = profile[r];
        here < FOOT * height || profile.get(r + 1).is_some_and(|next| *next > here && here < 0.5 * height)
    };
    let last = (1..=most).find(|&r| ends(r)).unwrap_or(most);
    Some([cy, cx, (last as f64 + 1.0).min(most as f64)])
}
