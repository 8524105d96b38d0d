//! Maxima of a filtered transform, with scikit-image's rules for which of two near ones stays.

/// A band.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// 0 … 1 between the smallest and largest response of the pattern.
    pub value: f64,
    /// Bins.
    pub theta: usize,
    pub rho: usize,
}

/// Peaks of `response` (`thetas` rows of `rhos` numbers), strongest first, at most `most`: above `threshold` in the range of all responses, the
/// largest within `distance` (ρ, θ) bins, ties one peak at their middle. A stronger peak suppresses others within this box, which goes on from
/// one end of θ to the other with ρ turned round.
pub fn find_peaks(response: &[i32], rhos: usize, distance: [usize; 2], threshold: f64, most: usize) -> Vec<Peak> {
    let thetas = response.len() / rhos;
    let (low, high) = response.iter().fold((i32::MAX, i32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    if low >= high {
        return Vec::new();
    }
    let span = f64::from(high) - f64::from(low);
    let scaled = |v: i32| (f64::from(v) - f64::from(low)) / span;
    // The smallest response above the threshold: everything else is passed over quickly.
    let above = |v: i32| scaled(v) > threshold;
    let at = |t: usize, r: usize| response[t * rhos + r];
    let largest = |t: usize, r: usize, reach: [usize; 2]| {
        let v = at(t, r);
        (t.saturating_sub(reach[1])..(t + reach[1] + 1).min(thetas)).all(|tt| {
            let row = &response[tt * rhos..(tt + 1) * rhos];
            row[r.saturating_sub(reach[0])..(r + reach[0] + 1).min(rhos)]
                .iter()
                .all(|&o| o <= v)
        })
    };
    let mut maxima = Vec::new();
    for t in 0..thetas {
        for r in 0..rhos {
            if above(at(t, r)) && largest(t, r, [1, 1]) && largest(t, r, distance) {
                maxima.push((t, r));
            }
        }
    }
    let mut peaks: Vec<Peak> = plateaus(maxima)
        .into_iter()
        .map(|group| {
            let n = group.len() as f64;
            let mean = |of: fn(&(usize, usize)) -> usize| {
                (group.iter().map(|p| of(p) as f64).sum::<f64>() / n).round_ties_even() as usize
            };
            Peak {
                value: scaled(at(group[0].0, group[0].1)),
                theta: mean(|p| p.0),
                rho: mean(|p| p.1),
            }
        })
        .collect();
    peaks.sort_by(|a, b| b.value.total_cmp(&a.value));
    let mut kept: Vec<Peak> = Vec::new();
    for peak in peaks {
        if !kept.iter().any(|k| covers(k, &peak, rhos, thetas, distance)) {
            kept.push(peak);
        }
        if kept.len() == most {
            break;
        }
    }
    kept
}

/// Whether `other` lies in the box around `peak`.
fn covers(peak: &Peak, other: &Peak, rhos: usize, thetas: usize, distance: [usize; 2]) -> bool {
    let near = |rho: usize, theta: isize| {
        (theta - peak.theta as isize).unsigned_abs() <= distance[1] && rho.abs_diff(peak.rho) <= distance[0] && rho > 0
    };
    let (rho, theta, n) = (other.rho, other.theta as isize, thetas as isize);
    // Beyond an end of θ, ρ counts from the other side.
    let turned = rhos - rho.min(rhos);
    near(rho, theta) || near(turned, theta - n) || near(turned, theta + n)
}

/// Neighbouring maxima of equal height together.
fn plateaus(maxima: Vec<(usize, usize)>) -> Vec<Vec<(usize, usize)>> {
    let mut groups: Vec<Vec<(usize, usize)>> = Vec::new();
    for p in maxima {
        let touches = |g: &Vec<(usize, usize)>| g.iter().any(|q| p.0.abs_diff(q.0) <= 1 && p.1.abs_diff(q.1) <= 1);
        let mut joined = vec![p];
        let (near, far): (Vec<_>, Vec<_>) = groups.into_iter().partition(touches);
        joined.extend(near.into_iter().flatten());
        groups = far;
        groups.push(joined);
    }
    groups
}
