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

/// A response that is the largest of those around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Maximum {
    pub theta: usize,
    pub rho: usize,
    pub value: i32,
}

/// The field that maxima are looked for in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub thetas: usize,
    pub rhos: usize,
    /// Half widths of the box (ρ, θ).
    pub distance: [usize; 2],
    /// Most peaks.
    pub most: usize,
}

impl Field {
    /// Whether no response in the box around is larger. A slope is left after a few looks: these begin nearby.
    #[inline]
    pub(super) fn is_largest(&self, m: &Maximum, at: impl Fn(usize, usize) -> i32) -> bool {
        let [reach_rho, reach_theta] = self.distance;
        let columns = m.rho.saturating_sub(reach_rho)..(m.rho + reach_rho + 1).min(self.rhos);
        let whole = |t: usize| columns.clone().all(|r| at(t, r) <= m.value);
        (0..=reach_theta).all(|d| (m.theta < d || whole(m.theta - d)) && (m.theta + d >= self.thetas || whole(m.theta + d)))
    }
}

/// Peaks of `response` (`thetas` rows of `rhos` numbers), strongest first, at most `most`: above `threshold` in the range of all responses, the
/// largest within `distance` (ρ, θ) bins, ties one peak at their middle. A stronger peak suppresses others within this box, which goes on from
/// one end of θ to the other with ρ turned round. The plain form of what both backends do.
pub fn find_peaks(response: &[i32], rhos: usize, distance: [usize; 2], threshold: f64, most: usize) -> Vec<Peak> {
    let thetas = response.len() / rhos;
    let field = Field {
        thetas,
        rhos,
        distance,
        most,
    };
    let range = Range {
        low: response.iter().copied().min().unwrap_or(0),
        high: response.iter().copied().max().unwrap_or(0),
        ..Range::default()
    };
    if range.low >= range.high {
        return Vec::new();
    }
    let limit = range.above(threshold);
    let all = response.iter().enumerate().filter(|(_, v)| **v >= limit);
    let maxima = all.map(|(i, &value)| Maximum {
        theta: i / rhos,
        rho: i % rhos,
        value,
    });
    let maxima = maxima.filter(|m| field.is_largest(m, |t, r| response[t * rhos + r]));
    choose(maxima.collect(), &range, &field)
}

/// What the responses of a pattern are like.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Range {
    pub low: i32,
    pub high: i32,
    pub sum: i64,
    pub squares: f64,
}

impl Range {
    /// 0 … 1 within the range.
    fn scaled(&self, v: i32) -> f64 {
        (f64::from(v) - f64::from(self.low)) / (f64::from(self.high) - f64::from(self.low))
    }

    /// The smallest response above `threshold` in parts of the range.
    pub(super) fn above(&self, threshold: f64) -> i32 {
        if self.low >= self.high {
            return i32::MAX;
        }
        let span = f64::from(self.high) - f64::from(self.low);
        let mut v = (f64::from(self.low) + threshold * span) as i64 - 2;
        while v < i64::from(self.high) && self.scaled(v as i32) <= threshold {
            v += 1;
        }
        v as i32
    }

    /// Mean distance of the responses of `peaks` from that of all `n`, in standard deviations; 0 without peaks.
    pub(super) fn quality(&self, peaks: &[Peak], n: usize) -> f64 {
        if peaks.is_empty() {
            return 0.0;
        }
        let n = n as f64;
        let mean = self.sum as f64 / n;
        let deviation = (self.squares / n - mean * mean).max(0.0).sqrt();
        let heights = peaks.iter().map(|p| p.value).sum::<f64>() / peaks.len() as f64;
        let span = f64::from(self.high) - f64::from(self.low);
        (f64::from(self.low) + heights * span - mean) / deviation
    }
}

/// Peaks among `maxima`, strongest first: ties become one peak at their middle, and a stronger peak suppresses others within the box, which goes on from
/// one end of θ to the other with ρ turned round.
pub(super) fn choose(maxima: Vec<Maximum>, range: &Range, field: &Field) -> Vec<Peak> {
    let mut peaks: Vec<Peak> = plateaus(maxima)
        .into_iter()
        .map(|group| {
            let n = group.len() as f64;
            let mean =
                |of: fn(&Maximum) -> usize| (group.iter().map(|p| of(p) as f64).sum::<f64>() / n).round_ties_even() as usize;
            Peak {
                value: range.scaled(group[0].value),
                theta: mean(|p| p.theta),
                rho: mean(|p| p.rho),
            }
        })
        .collect();
    peaks.sort_by(|a, b| b.value.total_cmp(&a.value));
    let mut kept: Vec<Peak> = Vec::new();
    for peak in peaks {
        if !kept.iter().any(|k| covers(k, &peak, field)) {
            kept.push(peak);
        }
        if kept.len() == field.most {
            break;
        }
    }
    kept
}

/// Whether `other` lies in the box around `peak`.
fn covers(peak: &Peak, other: &Peak, field: &Field) -> bool {
    let distance = field.distance;
    let near = |rho: usize, theta: isize| {
        (theta - peak.theta as isize).unsigned_abs() <= distance[1] && rho.abs_diff(peak.rho) <= distance[0] && rho > 0
    };
    let (rho, theta, n) = (other.rho, other.theta as isize, field.thetas as isize);
    // Beyond an end of θ, ρ counts from the other side.
    let turned = field.rhos - rho.min(field.rhos);
    near(rho, theta) || near(turned, theta - n) || near(turned, theta + n)
}

/// Neighbouring maxima of equal height together.
fn plateaus(maxima: Vec<Maximum>) -> Vec<Vec<Maximum>> {
    let mut groups: Vec<Vec<Maximum>> = Vec::new();
    for p in maxima {
        let touches = |g: &Vec<Maximum>| g.iter().any(|q| p.theta.abs_diff(q.theta) <= 1 && p.rho.abs_diff(q.rho) <= 1);
        let mut joined = vec![p];
        let (near, far): (Vec<_>, Vec<_>) = groups.into_iter().partition(touches);
        joined.extend(near.into_iter().flatten());
        groups = far;
        groups.push(joined);
    }
    groups
}
