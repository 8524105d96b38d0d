//! Mixtures, dendrograms, tracks and diffusion: against scikit-learn, scipy and the known truth of a simulated movie
//! (tests/data/README.md).

mod lattice_data;

use emstream::analysis::diffusion::{self, covariance, diffusion, ellipse, mean_square_displacement};
use emstream::analysis::linkage;
use emstream::analysis::mixture::{Mixture, Options, Start, best_of, fit, kmeans};
use emstream::analysis::silhouette::silhouettes;
use emstream::analysis::tracks::{EventKind, Gate, Linked, Point, link};
use emstream::io::Axis;
use emstream::rng::Source;
use emstream::workflows::defects::{Detected, track};
use emstream::{Control, Error};
use lattice_data::Npz;
use ndarray::Array2;

fn list(file: &mut Npz, name: &str) -> Vec<f64> {
    file.f64(name).into_iter().collect()
}

fn labels(file: &mut Npz, name: &str) -> Vec<usize> {
    file.i32(name).into_iter().map(|l| l as usize).collect()
}

fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * b.abs()
}

#[test]
fn mixture_follows_scikit_learn_from_hard_labels() {
    let mut file = Npz::open("classes/mixtures.npz");
    let scores = file.matrix("scores");
    let init = labels(&mut file, "init");
    let found = fit(scores.view(), Start::Labels(&init, 5), Options::default()).unwrap();
    let trace = list(&mut file, "trace");
    assert_eq!(found.trace.len(), trace.len());
    for (ours, theirs) in found.trace.iter().zip(&trace) {
        assert!((ours - theirs).abs() < 1e-8, "{ours} and {theirs}");
    }
    assert!(found.converged);
    assert_eq!(found.labels, labels(&mut file, "labels"));
    let means = file.matrix("means");
    let off = (&found.mixture.means - &means)
        .mapv(f64::abs)
        .fold(0.0, |a: f64, &b| a.max(b));
    assert!(off < 1e-6, "means differ by {off}");
    let [bic, fixed_bic, likelihood] = list(&mut file, "bic")[..] else {
        panic!()
    };
    assert!(close(found.bic(), bic, 1e-6) && close(found.mean_log_likelihood, likelihood, 1e-8));
    let sum: f64 = found.responsibilities.row(17).sum();
    assert!((sum - 1.0).abs() < 1e-12);

    // The fixed start: means, equal weights, one covariance.
    let (n, d) = scores.dim();
    let mean = scores.mean_axis(ndarray::Axis(0)).unwrap();
    let away = &scores - &mean;
    let shared = away.t().dot(&away) / (n - 1) as f64 + Array2::<f64>::eye(d) * 1e-6;
    let start = Mixture {
        weights: vec![0.2; 5],
        means: file.matrix("fixed_start"),
        covariances: vec![shared; 5],
    };
    let found = fit(scores.view(), Start::Mixture(&start), Options::default()).unwrap();
    let off = (&found.mixture.means - &file.matrix("fixed_means"))
        .mapv(f64::abs)
        .fold(0.0, |a: f64, &b| a.max(b));
    assert!(off < 1e-6, "means differ by {off}");
    assert_eq!(found.labels, labels(&mut file, "fixed_labels"));
    assert!(close(found.bic(), fixed_bic, 1e-6), "{} and {fixed_bic}", found.bic());
}

/// Three round clouds of 60 points in the plane, the true class of each.
fn clouds() -> (Array2<f64>, Vec<usize>) {
    let source = Source::new(3, 99);
    let centres = [[0.0, 0.0], [10.0, 0.0], [0.0, 12.0]];
    let points = Array2::from_shape_fn((180, 2), |(i, k)| centres[i / 60][k] + source.normal2(i as u64, 0)[k]);
    (points, (0..180).map(|i| i / 60).collect())
}

#[test]
fn several_starts_find_clouds_and_do_not_depend_on_threads() {
    let (points, truth) = clouds();
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let run = |threads| pool(threads).install(|| best_of(points.view(), 3, 4, 1, Options::default()).unwrap());
    let found = run(1);
    assert_eq!(found, run(2));
    assert_eq!(found, run(3));
    let of = |l: &[usize]| l.iter().map(|&l| l as i32).collect::<Vec<_>>();
    let ari = emstream::analysis::compare::adjusted_rand_index(&of(&found.labels), &of(&truth)).unwrap();
    assert_eq!(ari, 1.0);
    let values = silhouettes(points.view(), &of(&found.labels));
    let mean = values.iter().sum::<f64>() / 180.0;
    assert!((0.7..0.95).contains(&mean), "silhouette {mean}");
    let bic: Vec<f64> = (1..=5)
        .map(|k| best_of(points.view(), k, 3, 1, Options::default()).unwrap().bic())
        .collect();
    let best = (0..5).min_by(|&a, &b| bic[a].total_cmp(&bic[b])).unwrap() + 1;
    assert_eq!(best, 3, "{bic:?}");
}

#[test]
fn mixtures_of_little_or_odd_data() {
    let same = Array2::from_elem((20, 4), 1.5);
    let found = best_of(same.view(), 3, 2, 0, Options::default()).unwrap();
    assert!(found.responsibilities.iter().all(|r| r.is_finite()));
    assert!(matches!(kmeans(same.view(), 21, 1, 0), Err(Error::Parameter { .. })));
    let mut odd = same;
    odd[[3, 1]] = f64::NAN;
    assert!(matches!(kmeans(odd.view(), 2, 1, 0), Err(Error::Parameter { .. })));
    assert!(matches!(
        fit(odd.view(), Start::Labels(&[0; 20], 1), Options::default()),
        Err(Error::Parameter { .. })
    ));
}

#[test]
fn dendrogram_is_scipys() {
    let mut file = Npz::open("classes/mixtures.npz");
    let scores = file.matrix("scores");
    let some = scores.slice(ndarray::s![..300, ..]);
    let tree = linkage::ward(some, &Control::new()).unwrap();
    let ours = linkage::rows(&tree);
    let theirs = Npz::open("classes/linkage.npz").matrix("tree");
    assert_eq!(ours.dim(), theirs.dim());
    for (a, b) in ours.rows().into_iter().zip(theirs.rows()) {
        assert_eq!((a[0], a[1], a[3]), (b[0], b[1], b[3]));
        assert!(close(a[2], b[2], 1e-10));
    }
    let tight = Control {
        memory: 1 << 10,
        ..Control::new()
    };
    assert!(matches!(linkage::ward(some, &tight), Err(Error::Memory { .. })));
}

#[test]
fn published_diffusion_and_ellipse() {
    let mut file = Npz::open("classes/mixtures.npz");
    for name in ["track0", "track1"] {
        let rows = file.matrix(name);
        let at: Vec<[f64; 2]> = rows.rows().into_iter().map(|r| [r[1] * 0.03, r[2] * 0.03]).collect();
        let known = list(&mut file, &format!("{name}_values"));
        let c = covariance(&at);
        let e = ellipse(c, 2.0);
        let ours = [
            c[0][0],
            c[0][1],
            c[1][1],
            e.variances[0],
            e.variances[1],
            e.angle.to_degrees(),
            e.axes[0],
            e.axes[1],
            diffusion::published(&at, 2.25),
        ];
        for (a, b) in ours.iter().zip(&known) {
            assert!(close(*a, *b, 1e-6), "{name}: {a} and {b}");
        }
        // The estimator in the reference takes the first point of a frame.
        let mut track: Vec<(u32, [f64; 2])> = Vec::new();
        for (row, at) in rows.rows().into_iter().zip(&at) {
            if track.last().is_none_or(|t| t.0 != row[0] as u32) {
                track.push((row[0] as u32, *at));
            }
        }
        let found = diffusion(&[&track], 2.25, 0, &Control::new()).unwrap();
        assert!(close(found.value, known[9], 1e-6), "{name}: {} and {}", found.value, known[9]);
        assert!(found.low < found.value && found.value < found.high);
    }
}

#[test]
fn diffusion_lies_within_its_interval() {
    // Hops on a square lattice of 1, p = 0.22 a frame, seen with an error of 0.05: D = p / 4.
    let true_d = 0.22 / 4.0;
    let mut inside = 0;
    for seed in 0..40 {
        let source = Source::new(seed, 98);
        let tracks: Vec<Vec<(u32, [f64; 2])>> = (0..12)
            .map(|t| {
                let mut random = source.sequence(t);
                let mut at = [0.0, 0.0];
                let mut seen = Vec::new();
                for frame in 0..25 {
                    if frame > 0 && random.unit() < 0.22 {
                        let way = random.below(4);
                        at[way / 2] += if way.is_multiple_of(2) { 1.0 } else { -1.0 };
                    }
                    // Not seen in every tenth frame.
                    if random.unit() > 0.1 {
                        seen.push((frame, [at[0] + 0.05 * random.normal(), at[1] + 0.05 * random.normal()]));
                    }
                }
                seen
            })
            .collect();
        let tracks: Vec<&[(u32, [f64; 2])]> = tracks.iter().map(Vec::as_slice).collect();
        let found = diffusion(&tracks, 1.0, 0, &Control::new()).unwrap();
        inside += usize::from((found.low..=found.high).contains(&true_d));
        assert!(
            (found.value / true_d - 1.0).abs() < 0.6 && (found.from_msd / true_d - 1.0).abs() < 0.8,
            "{found:?}"
        );
        let msd = mean_square_displacement(&tracks, 3);
        assert!(msd[0].1 > msd[1].1 / 2 && msd[2].0 > msd[0].0);
    }
    // 95 % of 40, less two standard deviations of that number.
    assert!(inside >= 35, "{inside} of 40 intervals hold the true value");
}

/// Tracks of `points` positions that wander with D = 1 a frame, seen with an error of `error`.
fn wanderers(source: &Source, tracks: u64, points: u32, error: f64) -> Vec<Vec<(u32, [f64; 2])>> {
    let one = |t| {
        let mut random = source.sequence(t);
        let mut at = [0.0, 0.0];
        let see = |frame| {
            at = at.map(|v| v + 2.0f64.sqrt() * random.normal());
            (frame, at.map(|v| v + error * random.normal()))
        };
        (0..points).map(see).collect()
    };
    (0..tracks).map(one).collect()
}

#[test]
fn intervals_of_few_steps_are_wide_enough() {
    for (tracks, points, error) in [(1, 8, 0.0), (1, 8, 0.3), (3, 8, 0.3), (1, 31, 0.3), (1, 31, 1.0), (5, 8, 2.0)] {
        let (cases, mut inside) = (400, 0);
        for seed in 0..cases {
            let seen = wanderers(&Source::new(seed, 97), tracks, points, error);
            let seen: Vec<&[(u32, [f64; 2])]> = seen.iter().map(Vec::as_slice).collect();
            let found = diffusion(&seen, 1.0, 0, &Control::new()).unwrap();
            assert!(found.low >= 0.0 && found.high > found.low, "{found:?}");
            inside += usize::from((found.low..=found.high).contains(&1.0));
        }
        let share = inside as f64 / cases as f64;
        println!("{tracks} tracks of {points} points, error {error}: {share} of the intervals hold the true value");
        assert!((0.85..=1.0).contains(&share), "{tracks} × {points}, error {error}: {share}");
    }
    // Times and lengths are scaled, steps across gaps do not count, and too few steps tell nothing.
    let seen = wanderers(&Source::new(1, 97), 1, 12, 0.1).remove(0);
    let one = diffusion(&[&seen], 1.0, 0, &Control::new()).unwrap();
    let large: Vec<_> = seen.iter().map(|&(f, at)| (f, at.map(|v| 3.0 * v))).collect();
    let other = diffusion(&[&large], 2.0, 0, &Control::new()).unwrap();
    assert!(close(other.low, one.low * 4.5, 1e-12) && close(other.high, one.high * 4.5, 1e-12));
    let apart: Vec<_> = seen.iter().map(|&(f, at)| (2 * f, at)).collect();
    assert!(diffusion(&[&apart], 1.0, 0, &Control::new()).unwrap().high.is_nan());
    assert!(diffusion(&[&seen[..3]], 1.0, 0, &Control::new()).unwrap().low.is_nan());
    assert!(diffusion(&[&seen[..4]], 1.0, 0, &Control::new()).unwrap().high > 0.0);
}

#[test]
fn resting_points_do_not_drift() {
    let (seeds, mut sum, mut squares) = (10, [0.0; 2], 0.0);
    for seed in 0..seeds {
        let mut random = Source::new(seed, 96).sequence(0);
        let mut found = Detected {
            frames: 200,
            size: [100, 200],
            ..Detected::default()
        };
        for frame in 0..200 {
            for point in 0..8 {
                found.frame.push(frame);
                found.y.push(f64::from(25 + 50 * (point / 4)) + 0.3 * random.normal());
                found.x.push(f64::from(25 + 50 * (point % 4)) + 0.3 * random.normal());
                found.kept.push(false);
            }
        }
        let t = track::run(&found, &track::Params::default(), &Control::new()).unwrap();
        assert_eq!(t.linked.members.len(), 8);
        let last = *t.residual.last().unwrap();
        for k in 0..2 {
            sum[k] += last[k] / seeds as f64;
            squares += last[k] * last[k] / (2 * seeds) as f64;
        }
    }
    println!("drift of resting points after 200 frames: {sum:?}, rms {}", squares.sqrt());
    assert!(
        squares.sqrt() < 2.0 && sum.iter().all(|s| s.abs() < 1.0),
        "{sum:?}, {squares}"
    );
}

/// Twenty resting points in eight frames that drift by (2.5, 1.5) px each; without those in frames `lost`.
fn drifting(lost: &[u32]) -> Detected {
    let mut random = Source::new(3, 97).sequence(0);
    let mut found = Detected {
        frames: 8,
        size: [300, 300],
        ..Detected::default()
    };
    for frame in (0..8).filter(|f| !lost.contains(f)) {
        for point in 0..20 {
            found.frame.push(frame);
            let t = f64::from(frame);
            found
                .y
                .push(f64::from(40 + 50 * (point / 5)) + 2.5 * t + 0.2 * random.normal());
            found
                .x
                .push(f64::from(40 + 50 * (point % 5)) + 1.5 * t + 0.2 * random.normal());
            found.kept.push(false);
        }
    }
    found
}

#[test]
fn common_drift_is_followed_over_frames_without_detections() {
    for lost in [&[][..], &[3], &[3, 4]] {
        let t = track::run(&drifting(lost), &track::Params::default(), &Control::new()).unwrap();
        assert_eq!(t.linked.members.len(), 20, "{lost:?}");
        for (frame, moved) in t.residual.iter().enumerate().filter(|(f, _)| !lost.contains(&(*f as u32))) {
            let away = [moved[0] - 2.5 * frame as f64, moved[1] - 1.5 * frame as f64];
            assert!(away[0].hypot(away[1]) < 0.8, "frame {frame} of {lost:?}: {moved:?}");
        }
        // Points that rest.
        assert!(t.groups[0].diffusion.value.abs() < 0.02, "{:?}", t.groups[0].diffusion);
        assert!(!t.warnings.iter().any(|w| w.contains("links lead to")), "{:?}", t.warnings);
    }
    // A gap longer than what is followed.
    let t = track::run(&drifting(&[2, 3, 4]), &track::Params::default(), &Control::new()).unwrap();
    assert!(
        t.warnings
            .iter()
            .any(|w| w.starts_with("fewer than 8 links lead to frame 5:")),
        "{:?}",
        t.warnings
    );
    assert_eq!(t.linked.members.len(), 40);
}

/// Ten resting points that are missed in one frame of ten drift by 0.1 px a frame: few links lead from any one frame to the next.
#[test]
fn common_drift_is_followed_where_few_points_are_missed_now_and_then() {
    for seed in 0..5 {
        let mut random = Source::new(seed, 93).sequence(0);
        let mut found = Detected {
            frames: 200,
            size: [300, 600],
            ..Detected::default()
        };
        for frame in 0..200 {
            for point in (0..10).filter(|_| random.below(10) > 0).collect::<Vec<_>>() {
                found.frame.push(frame);
                let t = f64::from(frame);
                found
                    .y
                    .push(f64::from(50 + 100 * (point / 5)) + 0.1 * t + 0.2 * random.normal());
                found.x.push(f64::from(50 + 100 * (point % 5)) + 0.2 * random.normal());
                found.kept.push(true);
            }
        }
        let t = track::run(&found, &track::Params::default(), &Control::new()).unwrap();
        for (frame, moved) in t.residual.iter().enumerate() {
            // Means of about nine positions, less that of the first frame: 0.09 a coordinate.
            let away = (moved[0] - 0.1 * frame as f64).hypot(moved[1]);
            assert!(away < 0.5, "seed {seed}, frame {frame}: {moved:?}");
        }
        assert!(t.groups[0].diffusion.value < 0.002, "{:?}", t.groups[0].diffusion);
    }
}

/// Detections of tracks over 40 frames: `resting` and then `wandering` ones (D = 1 px² a frame, class 1), seen with errors of 0.2 px, that drift by 1 px in all; and
/// `edges` at the edge of the frame, without a window, that stay where they are although the measured drift is (3, −2) px.
fn company(seed: u64, resting: usize, wandering: usize, edges: usize) -> Detected {
    let source = Source::new(seed, 94);
    let mut found = Detected {
        frames: 40,
        size: [400, 500],
        drift: (0..40).map(|t| [3.0, -2.0].map(|d| d * f64::from(t) / 39.0)).collect(),
        ..Detected::default()
    };
    let mut random = source.sequence(0);
    let mut wandered = vec![[0.0; 2]; resting + wandering];
    for frame in 0..40 {
        let share = f64::from(frame) / 39.0;
        for (k, at) in wandered.iter_mut().enumerate() {
            if k >= resting && frame > 0 {
                *at = at.map(|v| v + 2f64.sqrt() * random.normal());
            }
            found.frame.push(frame);
            found
                .y
                .push((40 + 70 * (k % 5)) as f64 + at[0] + 3.8 * share + 0.2 * random.normal());
            found
                .x
                .push((40 + 80 * (k / 5)) as f64 + at[1] - 1.4 * share + 0.2 * random.normal());
            found.kept.push(true);
            found.class.push(i32::from(k >= resting));
        }
        for k in 0..edges {
            found.frame.push(frame);
            found.y.push(397.0 + 0.2 * random.normal());
            found.x.push((30 + 38 * k) as f64 + 0.2 * random.normal());
            found.kept.push(false);
            found.class.push(-1);
        }
    }
    found
}

#[test]
fn tracks_that_rest_are_told_from_those_that_wander() {
    let params = track::Params {
        gate: Some(10.0),
        ..track::Params::default()
    };
    for (resting, wandering, edges) in [(5, 12, 0), (12, 12, 0), (12, 0, 0), (10, 0, 12)] {
        let (cases, mut apart, mut inside) = (100, 0, 0);
        for seed in 0..cases {
            let found = company(seed, resting, wandering, edges);
            let t = track::run(&found, &params, &Control::new()).unwrap();
            let last = t.residual[39];
            assert!(
                (last[0] - 0.8).abs() < 0.5 && (last[1] - 0.6).abs() < 0.5,
                "seed {seed}: {last:?}"
            );
            apart += usize::from(t.groups[1].diffusion.low > 0.0);
            if wandering > 0 {
                let d = t.groups[2].diffusion;
                assert!((d.value - 1.0).abs() < 0.5, "seed {seed}: {d:?}");
                inside += usize::from((d.low..=d.high).contains(&1.0));
            }
        }
        println!(
            "{resting} + {wandering} + {edges}: {apart} of {cases} intervals of resting tracks exclude 0; {inside} of wandering ones hold 1"
        );
        // Of 300 cases 22, 16, 13 and 12 exclude it.
        assert!(apart <= 10, "{resting} + {wandering} + {edges}: {apart}");
        assert!(wandering == 0 || inside >= 90, "{resting} + {wandering}: {inside}");
    }
}

#[test]
fn pixels_that_are_not_square_are_reported() {
    let axis = |scale| Axis {
        scale: Some(scale),
        unit: "nm".into(),
    };
    let warned = |y: Axis, pixel_size| {
        let found = Detected {
            frames: 3,
            size: [10, 10],
            pixel: axis(0.03),
            pixel_y: y,
            ..Detected::default()
        };
        let params = track::Params {
            pixel_size,
            ..track::Params::default()
        };
        let t = track::run(&found, &params, &Control::new()).unwrap();
        t.warnings.iter().any(|w| w.contains("0.03 nm wide and 0.06 nm high"))
    };
    assert!(warned(axis(0.06), None));
    assert!(!warned(axis(0.06), Some(0.05)) && !warned(axis(0.03), None) && !warned(Axis::default(), None));
}

/// Shares of true links that were found, and of found links that are false.
fn quality(linked: &Linked, frames: &[u32], id: &[i64]) -> (f64, f64) {
    let mut last = std::collections::HashMap::new();
    let mut truth = std::collections::HashSet::new();
    for (i, &id) in id.iter().enumerate().filter(|(_, id)| **id >= 0) {
        if let Some(before) = last.insert(id, i) {
            truth.insert((before, i));
        }
    }
    // Links across gaps longer than the gate allows cannot be found and do not count.
    truth.retain(|&(a, b)| frames[b] - frames[a] <= 3);
    let found: Vec<(usize, usize)> = linked
        .members
        .iter()
        .flat_map(|m| m.windows(2).map(|w| (w[0], w[1])))
        .collect();
    let right = found.iter().filter(|l| truth.contains(l)).count();
    let wrong = found
        .iter()
        .filter(|(a, b)| !truth.contains(&(*a, *b)) && id[*a] >= 0 && id[*b] >= 0)
        .count();
    (right as f64 / truth.len() as f64, wrong as f64 / found.len() as f64)
}

#[test]
fn links_of_a_movie_with_hopping_dopants() {
    let mut file = Npz::open("classes/tracks.npz");
    let drift = file.matrix("drift");
    let gate = Gate {
        distance: 14.0,
        gap: 2,
        class_change: 0.0,
    };
    for name in ["truth", "detections"] {
        let rows = file.matrix(name);
        let points: Vec<Point> = rows
            .rows()
            .into_iter()
            .map(|r| Point {
                frame: r[0] as u32,
                at: [r[2] - drift[[r[0] as usize, 0]], r[3] - drift[[r[0] as usize, 1]]],
            })
            .collect();
        let frames: Vec<u32> = points.iter().map(|p| p.frame).collect();
        let id: Vec<i64> = rows.column(1).iter().map(|&v| v as i64).collect();
        let linked = link(&points, &[], gate).unwrap();
        let (found, wrong) = quality(&linked, &frames, &id);
        println!(
            "{name}: {found:.4} of the true links, {wrong:.4} false, {} tracks",
            linked.members.len()
        );
        assert!(
            found >= 0.95 && wrong <= 0.02,
            "{name}: {found} of the true links, {wrong} of the links false"
        );
        assert!(
            linked
                .members
                .iter()
                .all(|m| m.windows(2).all(|w| frames[w[0]] < frames[w[1]]))
        );
    }
}

#[test]
fn links_of_plain_cases() {
    let at = |frame, y, x| Point { frame, at: [y, x] };
    let gate = Gate {
        distance: 3.0,
        gap: 1,
        class_change: 0.0,
    };
    // Two that pass each other, one that is missed once, one that ends.
    let points = [
        at(0, 0.0, 0.0),
        at(0, 0.0, 2.0),
        at(0, 20.0, 0.0),
        at(1, 0.0, 0.8),
        at(1, 0.0, 2.9),
        at(3, 0.0, 1.5),
        at(3, 0.0, 3.5),
    ];
    let linked = link(&points, &[], gate).unwrap();
    assert_eq!(linked.members, [vec![0, 3, 5], vec![1, 4, 6], vec![2]]);
    assert!(link(&[], &[], gate).unwrap().members.is_empty());
    assert!(link(&[at(0, f64::NAN, 0.0)], &[], gate).is_err());
    assert!(link(&points, &[], Gate { distance: -1.0, ..gate }).is_err());
    // Two merge into one, which becomes two again.
    let points = [
        at(0, 0.0, 0.0),
        at(0, 0.0, 2.0),
        at(1, 0.0, 0.9),
        at(2, 0.0, 0.8),
        at(3, 0.0, 0.0),
        at(3, 0.0, 2.0),
    ];
    let linked = link(&points, &[], Gate { gap: 0, ..gate }).unwrap();
    let kinds: Vec<_> = linked.events.iter().map(|e| (e.frame, e.kind)).collect();
    assert_eq!(kinds, [(1, EventKind::Merge), (3, EventKind::Split)]);
    // One that is not seen for two frames beside another has not ended in it.
    let points = [
        at(0, 0.0, 0.0),
        at(0, 0.0, 2.0),
        at(1, 0.0, 0.1),
        at(2, 0.0, 0.0),
        at(3, 0.0, 0.0),
        at(3, 0.0, 2.2),
    ];
    let linked = link(&points, &[], Gate { gap: 2, ..gate }).unwrap();
    assert_eq!(linked.members, [vec![0, 2, 3, 4], vec![1, 5]]);
    assert_eq!(linked.events, []);
}
