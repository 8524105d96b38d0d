//! How many principal components data have, by the likelihood of each number.

/// The number of components, 1 … D−1, of largest probability for the `variances` (eigenvalues of the covariance of n − 1, all D of them, largest first) of `n` samples:
/// Laplace's approximation of the evidence of probabilistic PCA (T. Minka, *NIPS* 13 (2001) 598, eq. 30 of the technical report MIT 514; scikit-learn's `mle`). `None` for fewer samples than dimensions, or fewer than two of these.
pub fn likeliest(variances: &[f64], n: usize) -> Option<usize> {
    let d = variances.len();
    if d < 2 || n < d {
        return None;
    }
    let samples = n as f64;
    let ln = |v: f64| if v > 0.0 { v.ln() } else { f64::NEG_INFINITY };
    // ln Γ(m/2) for m = 1 … d.
    let mut gamma = vec![0.0; d + 1];
    for m in 1..=d {
        gamma[m] = match m {
            1 => 0.5 * std::f64::consts::PI.ln(),
            2 => 0.0,
            m => gamma[m - 2] + (m as f64 / 2.0 - 1.0).ln(),
        };
    }
    // rest[i]: sum over j ≥ k of ln(λi − λj), k the number of components; every round takes one term away.
    let mut rest: Vec<f64> = (0..d)
        .map(|i| variances[i + 1..].iter().map(|v| ln(variances[i] - v)).sum())
        .collect();
    let mut tail: f64 = variances.iter().sum();
    let (mut inside, mut prior, mut logs) = (0.0, 0.0, 0.0);
    let mut best: Option<(f64, usize)> = None;
    for k in 1..d {
        let own = variances[k - 1];
        tail -= own;
        // Pairs of component k with those before.
        for (i, rest) in rest.iter_mut().enumerate().take(k - 1) {
            let apart = ln(variances[i] - own);
            *rest -= apart;
            inside += apart + ln(1.0 / own - 1.0 / variances[i]) + samples.ln();
        }
        let m = d - k + 1;
        prior += gamma[m] - 0.5 * m as f64 * std::f64::consts::PI.ln();
        logs += own.ln();
        if own < 1e-15 {
            continue;
        }
        let left = (d - k) as f64;
        let noise = (tail / left).max(1e-15);
        let outside: f64 = (0..k)
            .map(|i| rest[i] + left * (ln(1.0 / noise - 1.0 / variances[i]) + samples.ln()))
            .sum();
        let (kf, df) = (k as f64, d as f64);
        let free = df * kf - kf * (kf + 1.0) / 2.0;
        let evidence = prior - kf * std::f64::consts::LN_2 - 0.5 * samples * logs - 0.5 * samples * left * noise.ln()
            + 0.5 * (free + kf) * std::f64::consts::TAU.ln()
            - 0.5 * (inside + outside)
            - 0.5 * kf * samples.ln();
        if evidence.is_finite() && best.is_none_or(|b| evidence > b.0) {
            best = Some((evidence, k));
        }
    }
    best.map(|b| b.1)
}
