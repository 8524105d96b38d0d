//! `defects classify` and `defects track` on the windows of a simulated movie: the published notebook's values, purity against the truth, small and odd inputs.

mod lattice_data;

use emstream::analysis::Recipe;
use emstream::analysis::compare::adjusted_rand_index;
use emstream::io::Axis;
use emstream::workflows::defects::Detected;
use emstream::workflows::defects::classify::{self, Align, Classified, Params, Pca, Range};
use emstream::workflows::defects::track::{self, Square};
use emstream::{Control, Error};
use lattice_data::Npz;
use ndarray::{Array2, Array3};

/// True types: VS, VS2, MoW, MoW_VS, AdMo, at a hole, nothing.
struct Reference {
    found: Detected,
    kind: Vec<i32>,
}

fn reference() -> Reference {
    let mut file = Npz::open("classes/windows.npz");
    let (low, high) = (file.u8("low"), file.u8("high"));
    let scaled = |(l, h): (&u8, &u8)| ((f64::from(u16::from(*h) << 8 | u16::from(*l)) - 1000.0 + 379.0) / 19707.0) as f32;
    let values: Vec<f32> = low.iter().zip(&high).map(scaled).collect();
    let windows = Array3::from_shape_vec((low.shape()[0], 32, 32), values).unwrap();
    let table = file.i32("detections");
    let positions = file.matrix("positions");
    let corner = file.i32("corner");
    let column = |k: usize| -> Vec<i32> { table.axis_iter(ndarray::Axis(0)).map(|r| r[k]).collect() };
    let drift = Npz::open("classes/tracks.npz").matrix("drift");
    Reference {
        kind: file.i32("kind").into_iter().collect(),
        found: Detected {
            path: "windows.npz".into(),
            frame: column(0).into_iter().map(|f| f as u32).collect(),
            y: positions.column(0).to_vec(),
            x: positions.column(1).to_vec(),
            area: column(1),
            kept: column(2).into_iter().map(|k| k == 1).collect(),
            corner: corner
                .axis_iter(ndarray::Axis(0))
                .map(|c| [c[0] as usize, c[1] as usize])
                .collect(),
            windows,
            drift: drift.rows().into_iter().map(|d| [d[0], d[1]]).collect(),
            first: 0,
            frames: 20,
            size: [512, 512],
            scale: [1.0, -379.0, 19328.0],
            pixel: Axis {
                scale: Some(f64::from(0.03f32)),
                unit: "nm".into(),
            },
            time: Axis {
                scale: Some(2.25),
                unit: "s".into(),
            },
            ..Detected::default()
        },
    }
}

fn list(file: &mut Npz, name: &str) -> Vec<f64> {
    file.f64(name).into_iter().collect()
}

fn start(file: &mut Npz, name: &str) -> Vec<usize> {
    file.i32(name).into_iter().map(|l| l as usize).collect()
}

fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * b.abs()
}

fn alike(a: &[i32], b: &[i32]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

fn published() -> Params {
    Params {
        recipe: Recipe::Published,
        bic: Some(Range(0, 0)),
        ..Params::default()
    }
}

/// Share of windows that lie in a class of their own majority.
fn purity(labels: &[i32], kind: &[i32]) -> f64 {
    let classes = labels.iter().max().unwrap() + 1;
    let largest = |class: i32| {
        let of = |k: i32| labels.iter().zip(kind).filter(|(l, t)| **l == class && **t == k).count();
        (0..7).map(of).max().unwrap()
    };
    (0..classes).map(largest).sum::<usize>() as f64 / labels.len() as f64
}

#[test]
fn the_published_classes_of_whole_windows() {
    let reference = reference();
    let mut file = Npz::open("classes/workflow.npz");
    let init = start(&mut file, "raw_init");
    let c = classify::run(&reference.found, &published(), Some(&init), &Control::new()).unwrap();
    assert_eq!(c.features.dim(), (1331, 1024));

    // Principal components and their number.
    for (k, (ours, theirs)) in c.ratios.iter().zip(list(&mut file, "pca_ratio")).enumerate() {
        assert!(close(*ours, theirs, 1e-5), "component {k}: {ours} and {theirs}");
    }
    let components: Array2<f64> = file.f32("pca_components").into_dimensionality().unwrap();
    for (k, theirs) in components.rows().into_iter().enumerate() {
        let ours: Vec<f64> = c.components.row(k).iter().step_by(7).copied().collect();
        let sign = ours.iter().zip(theirs).map(|(a, b)| a * b).sum::<f64>().signum();
        let off = ours.iter().zip(theirs).map(|(a, b)| (a * sign - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-5, "component {k} differs by {off}");
    }
    let [mle, class, most, sum] = list(&mut file, "scalars")[..] else {
        panic!()
    };
    assert_eq!(c.likeliest, Some(mle as usize));

    // Ward's tree.
    let tail = list(&mut file, "ward_tail");
    let ours = &c.tree.distances()[c.tree.distances().len() - tail.len()..];
    assert!(ours.iter().zip(&tail).all(|(a, b)| close(*a, *b, 1e-4)));
    let cut: Vec<i32> = file.i32("ward_cut5").into_iter().collect();
    assert_eq!(adjusted_rand_index(&c.tree.cut_number(5).unwrap(), &cut).unwrap(), 1.0);

    // The mixture: nothing moves after k-means, as in the reference.
    let labels: Vec<i32> = file.i32("raw_labels").into_iter().collect();
    assert!(alike(&c.labels, &labels) >= 0.99, "{}", alike(&c.labels, &labels));
    let fit = c.fit.as_ref().unwrap();
    let [bic, likelihood] = list(&mut file, "raw_values")[..] else {
        panic!()
    };
    assert!(close(fit.bic(), bic, 1e-6), "{} and {bic}", fit.bic());
    assert!(close(fit.mean_log_likelihood, likelihood, 1e-5));
    let means = file.f32("class_mean_raw");
    let off = c.means.iter().zip(&means).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off < 1e-6, "class means differ by {off}");

    // Counts, moving average, density with its exchanged axes.
    assert_eq!(
        c.counts.iter().copied().collect::<Vec<i32>>(),
        file.i32("counts").into_iter().collect::<Vec<i32>>()
    );
    let average = list(&mut file, "average");
    assert_eq!(c.averages.ncols(), average.len());
    assert!(c.averages.row(5).iter().zip(&average).all(|(a, b)| close(*a, *b, 1e-12)));
    let density = c.density.index_axis(ndarray::Axis(0), class as usize);
    let counts: Vec<i32> = density.iter().map(|v| (v * 20.0).round() as i32).collect();
    assert_eq!(counts, file.i32("density").into_iter().collect::<Vec<i32>>());
    assert!(close(density.iter().copied().fold(0.0, f32::max).into(), most, 1e-6));
    assert!(close(density.iter().map(|v| f64::from(*v)).sum(), sum, 1e-5));
}

#[test]
fn the_published_classes_of_sixteen_components() {
    let reference = reference();
    let mut file = Npz::open("classes/workflow.npz");
    let init = start(&mut file, "pca16_init");
    let params = Params {
        pca: Some(Pca::Components(16)),
        ..published()
    };
    let c = classify::run(&reference.found, &params, Some(&init), &Control::new()).unwrap();
    let labels: Vec<i32> = file.i32("pca16_labels").into_iter().collect();
    assert!(alike(&c.labels, &labels) >= 0.999, "{}", alike(&c.labels, &labels));
    let [bic, _] = list(&mut file, "pca16_values")[..] else {
        panic!()
    };
    let fit = c.fit.unwrap();
    assert!(close(fit.bic(), bic, 1e-6), "{} and {bic}", fit.bic());
    assert_eq!(fit.trace.len(), 18);
    assert!((purity(&c.labels, &reference.kind) - 0.6379).abs() < 1e-3);
}

#[test]
fn the_default_classes_are_the_true_types() {
    let reference = reference();
    let run = |params: Params, threads: usize| -> Classified {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| classify::run(&reference.found, &params, None, &Control::new()).unwrap())
    };
    let c = run(Params::default(), 2);
    println!("purity {:.4}, BIC {:?}", purity(&c.labels, &reference.kind), c.bic);
    assert!(c.warnings.is_empty(), "{:?}", c.warnings);
    // Five classes: the dopant with and without a vacancy beside it share one, holes have one of their own.
    assert!(purity(&c.labels, &reference.kind) > 0.9);
    assert!(c.sizes.windows(2).all(|w| w[0] >= w[1]) && c.sizes.iter().sum::<usize>() == 1331);
    let lattice = c.placement.lattice.unwrap();
    assert!((lattice.spacing() - 0.3153 / 0.03).abs() < 0.05, "{}", lattice.spacing());
    assert_eq!((lattice.fold(), c.placement.sites.len()), (6, 2));
    // The same bits with any number of threads.
    let few = Params {
        bic: Some(Range(0, 0)),
        starts: Some(2),
        ..Params::default()
    };
    let (one, three) = (run(few.clone(), 1), run(few.clone(), 3));
    assert_eq!(one.labels, three.labels);
    assert_eq!(one.features, three.features);
    assert_eq!(one.fit, three.fit);
    assert_eq!((one.means, one.silhouette), (three.means, three.silhouette));
    // Other seeds and numbers of classes: never as mixed as the notebook's.
    for (seed, classes) in [(1, 5), (2, 6), (3, 7), (4, 8)] {
        let params = Params {
            seed,
            classes: Some(classes),
            bic: Some(Range(0, 0)),
            ..Params::default()
        };
        let c = run(params, 2);
        println!(
            "seed {seed}, {classes} classes: purity {:.4}, sizes {:?}",
            purity(&c.labels, &reference.kind),
            c.sizes
        );
        assert!(purity(&c.labels, &reference.kind) > 0.9);
    }
}

/// A mark with three arms, one of them long, turned by thirds, in windows of 24 pixels.
fn arms() -> (Detected, Vec<usize>) {
    let turned: Vec<usize> = (0..60).map(|i| i % 4).collect();
    let source = emstream::rng::Source::new(2, 95);
    let windows = Array3::from_shape_fn((60, 24, 24), |(i, y, x)| {
        let (dy, dx) = (y as f64 - 12.0, x as f64 - 12.0);
        let angle = std::f64::consts::FRAC_PI_2 * turned[i] as f64;
        let (a, b) = (5.0 * angle.cos(), 5.0 * angle.sin());
        let spot = |cy: f64, cx: f64, h: f64| h * (-((dy - cy).powi(2) + (dx - cx).powi(2)) / 6.0).exp();
        let noise = 0.02 * source.normal2(i as u64, (y * 24 + x) as u32)[0];
        (spot(0.0, 0.0, 1.0) + spot(a, b, 0.6) + noise) as f32
    });
    let found = Detected {
        frame: vec![0; 60],
        y: vec![20.0; 60],
        x: vec![30.0; 60],
        area: vec![9; 60],
        kept: vec![true; 60],
        corner: vec![[8, 18]; 60],
        windows,
        frames: 1,
        size: [64, 64],
        scale: [1.0, 0.0, 1.0],
        ..Detected::default()
    };
    (found, turned)
}

#[test]
fn rotated_windows_are_turned_alike() {
    let (found, turned) = arms();
    let params = Params {
        classes: Some(1),
        bic: Some(Range(0, 0)),
        align: Align::Rotate,
        ..Params::default()
    };
    let c = classify::run(&found, &params, None, &Control::new()).unwrap();
    // All relative turns are right: the sum of the window's own turn and the one taken is the same.
    let sum: Vec<usize> = turned.iter().zip(&c.placement.turn).map(|(a, b)| (a + 4 - b) % 4).collect();
    let other: Vec<usize> = turned.iter().zip(&c.placement.turn).map(|(a, b)| (a + b) % 4).collect();
    let same = |v: &[usize]| v.iter().all(|t| *t == v[0]);
    assert!(same(&sum) || same(&other), "{sum:?}");
    // The mean keeps its arm.
    let mean = c.means.index_axis(ndarray::Axis(0), 0);
    let arm = [[17, 12], [12, 17], [7, 12], [12, 7]].map(|[y, x]| mean[[y, x]]);
    assert!(arm.iter().copied().fold(0.0, f64::max) > 0.55, "{arm:?}");
    assert!(c.warnings.iter().any(|w| w.contains("no common lattice")));
}

/// Windows of 32 pixels about atoms of a honeycomb of 14 px that are missing, half or more than whole, both atoms of the cell in turn; and where these are. What was found lies up to a pixel beside them.
fn honeycomb() -> (Detected, Vec<[f64; 2]>) {
    const SIDE: usize = 32;
    let source = emstream::rng::Source::new(5, 98);
    let (turn, a) = (0.12f64, 14.0);
    let [p, q] = [
        [a * turn.cos(), a * turn.sin()],
        [
            a * (turn + std::f64::consts::FRAC_PI_3).cos(),
            a * (turn + std::f64::consts::FRAC_PI_3).sin(),
        ],
    ];
    let atom = |i: i32, j: i32, b: usize| {
        let [u, v] = [f64::from(i) + b as f64 / 3.0, f64::from(j) + b as f64 / 3.0];
        [0, 1].map(|k| 200.0 + u * p[k] + v * q[k])
    };
    let mut found = Detected {
        frames: 6,
        size: [400, 400],
        scale: [1.0, 0.0, 1.0],
        ..Detected::default()
    };
    let (mut truth, mut values) = (Vec::new(), Vec::new());
    for n in 0..96u32 {
        let frame = n / 16;
        // Cells apart from each other; the lattice drifts a little.
        let (i, j, b) = ((n % 4) as i32 * 3 - 5, (n / 4 % 4) as i32 * 3 - 5, (n % 2) as usize);
        let height = [0.0, 1.6, 0.5][n as usize % 3];
        let drift = [0.1, 0.05].map(|d| d * f64::from(frame));
        let at = |i: i32, j: i32, b: usize| {
            let [y, x] = atom(i, j, b);
            [y + drift[0], x + drift[1]]
        };
        let site = at(i, j, b);
        let off = source.normal2(u64::from(n), 1_000_000);
        let centre = [0, 1].map(|k| site[k] + 0.5 * off[k]);
        let corner = centre.map(|c| (c - SIDE as f64 / 2.0).round_ties_even() as usize);
        let mut atoms = Vec::new();
        for (di, dj, of) in (-4..=4).flat_map(|di| (-4..=4).flat_map(move |dj| [(di, dj, 0), (di, dj, 1)])) {
            let height = if (di, dj, of) == (0, 0, b) { height } else { 1.0 };
            atoms.push((at(i + di, j + dj, of), height));
        }
        for k in 0..SIDE * SIDE {
            let (y, x) = ((corner[0] + k / SIDE) as f64, (corner[1] + k % SIDE) as f64);
            let bright = |(at, h): &([f64; 2], f64)| h * (-((y - at[0]).powi(2) + (x - at[1]).powi(2)) / 6.48).exp();
            let noise = 0.03 * source.normal2(u64::from(n), k as u32)[0];
            values.push((atoms.iter().map(bright).sum::<f64>() + noise) as f32);
        }
        found.frame.push(frame);
        found.y.push(centre[0]);
        found.x.push(centre[1]);
        found.area.push(20);
        found.kept.push(true);
        found.corner.push(corner);
        truth.push(site);
    }
    found.windows = Array3::from_shape_vec((96, SIDE, SIDE), values).unwrap();
    (found, truth)
}

#[test]
fn two_atoms_in_a_cell_are_told_apart() {
    let (found, truth) = honeycomb();
    let params = Params {
        classes: Some(3),
        bic: Some(Range(0, 0)),
        ..Params::default()
    };
    let c = classify::run(&found, &params, None, &Control::new()).unwrap();
    let away = |at: [f64; 2], to: [f64; 2]| (at[0] - to[0]).hypot(at[1] - to[1]);
    let rms = |d: &mut dyn Iterator<Item = f64>| (d.map(|d| d * d).sum::<f64>() / 96.0).sqrt();
    let before = rms(&mut (0..96).map(|i| away([found.y[i], found.x[i]], truth[i])));
    let after = rms(&mut (0..96).map(|i| away(c.placement.centre[i], truth[i])));
    println!("positions {before:.2} px from their sites, {after:.2} px after registration");
    assert_eq!(c.placement.sites.len(), 2);
    let spacing = c.placement.lattice.unwrap().spacing();
    assert!((spacing - 14.0).abs() < 0.5, "{spacing}");
    assert!(before > 0.6 && after < 0.5, "{before}, {after}");
    assert!((0..96).all(|i| c.placement.site[i] == c.placement.site[i % 2]));
}

#[test]
fn little_and_odd_windows() {
    let mut found = reference().found;
    let few = |found: &Detected, n: usize| {
        let mut part = found.clone();
        let last = part.with_window()[n - 1] + 1;
        part.frame.truncate(last);
        part.y.truncate(last);
        part.x.truncate(last);
        part.area.truncate(last);
        part.kept.truncate(last);
        part.corner.truncate(n);
        part.windows = part.windows.slice(ndarray::s![..n, .., ..]).to_owned();
        part.frames = 1;
        part.drift.truncate(1);
        part
    };
    let run = |found: &Detected, params: &Params| classify::run(found, params, None, &Control::new());
    // Fewer windows than classes.
    let Err(Error::Parameter { name, what }) = run(&few(&found, 3), &Params::default()) else {
        panic!()
    };
    assert_eq!(name, "--classes");
    assert!(what.contains("5 classes of 3 windows"), "{what}");
    // As many, and few more; one frame alone.
    for n in [5, 12, 40] {
        let c = run(&few(&found, n), &Params::default()).unwrap();
        assert_eq!(c.labels.len(), n);
        assert!(c.probability.iter().all(|p| (0.0..=1.0 + 1e-12).contains(p)));
        assert!(c.features.ncols() <= n && c.bic.iter().all(|b| b.0 <= n && b.1.is_finite()));
    }
    // More pixels than windows: components instead, by the published recipe, too.
    let c = run(&few(&found, 60), &published()).unwrap();
    assert!(
        c.features.ncols() <= 16 && c.warnings.iter().any(|w| w.contains("only 60 of them")),
        "{:?}",
        c.warnings
    );
    assert_eq!(c.likeliest, None);
    // All windows are alike.
    let mut same = few(&found, 30);
    same.windows.fill(0.25);
    let c = run(&same, &Params::default()).unwrap();
    assert_eq!(c.labels, [0; 30]);
    assert!(
        c.warnings.iter().any(|w| w.contains("all 30 windows are alike")),
        "{:?}",
        c.warnings
    );
    // Windows that are not finite, nonsense of parameters.
    found.windows[[7, 3, 3]] = f32::NAN;
    assert!(matches!(run(&found, &Params::default()), Err(Error::Format { .. })));
    for bad in [
        Params {
            classes: Some(0),
            ..Params::default()
        },
        Params {
            starts: Some(0),
            ..Params::default()
        },
        Params {
            average: Some(0),
            ..Params::default()
        },
        Params {
            radius: Some(f64::NAN),
            ..Params::default()
        },
        Params {
            regularisation: Some(0.0),
            ..Params::default()
        },
    ] {
        assert!(matches!(bad.effective(), Err(Error::Parameter { .. })), "{bad:?}");
    }
    assert!("8..2".parse::<Range>().is_err() && "none".parse::<Range>().is_ok() && "x".parse::<Pca>().is_err());
}

#[test]
fn the_published_regions() {
    let mut reference = reference().found;
    let mut file = Npz::open("classes/workflow.npz");
    let labels: Vec<i32> = file.i32("raw_labels").into_iter().collect();
    reference.class = reference.spread(&labels);
    for region in ["region0", "region1"] {
        let [y, x, half, class, points] = list(&mut file, region)[..] else {
            panic!()
        };
        let params = track::Params {
            region: vec![Square([y, x, half])],
            class: Some(class as i32),
            pixel_size: Some(0.03),
            recipe: Recipe::Published,
            ..track::Params::default()
        };
        let t = track::run(&reference, &params, &Control::new()).unwrap();
        let r = &t.regions[0];
        assert_eq!(r.points.len(), points as usize);
        let c = r.covariance;
        let e = r.ellipse;
        let ours = [
            c[0][0],
            c[0][1],
            c[1][0],
            c[1][1],
            e.variances[0],
            e.variances[1],
            e.angle.to_degrees(),
            e.axes[0],
            e.axes[1],
            r.published,
            r.estimate.value,
        ];
        for (k, (ours, theirs)) in ours.iter().zip(list(&mut file, &format!("{region}_values"))).enumerate() {
            // An angle is defined modulo a half turn.
            let ours = if k == 6 && theirs < 0.0 { ours - 180.0 } else { *ours };
            assert!(close(ours, theirs, 1e-6), "{region}, value {k}: {ours} and {theirs}");
        }
        assert_eq!((t.units.length.as_str(), t.units.time.as_str()), ("nm", "s"));
    }
}

#[test]
fn tracks_follow_the_truth_through_the_workflow() {
    let mut file = Npz::open("classes/tracks.npz");
    let drift = file.matrix("drift");
    for (name, measured) in [("truth", true), ("detections", true), ("detections", false)] {
        let rows = file.matrix(name);
        let n = rows.nrows();
        let id: Vec<i64> = rows.column(1).iter().map(|&v| v as i64).collect();
        let found = Detected {
            frame: rows.column(0).iter().map(|&f| f as u32).collect(),
            y: rows.column(2).to_vec(),
            x: rows.column(3).to_vec(),
            area: vec![20; n],
            kept: vec![true; n],
            drift: match measured {
                true => drift.rows().into_iter().map(|d| [d[0], d[1]]).collect(),
                false => Vec::new(),
            },
            frames: 20,
            size: [512, 512],
            spacing: Some(10.51),
            ..Detected::default()
        };
        let params = track::Params {
            pixel_size: Some(0.03),
            frame_time: Some(2.25),
            ..track::Params::default()
        };
        let t = track::run(&found, &params, &Control::new()).unwrap();
        let mut last = std::collections::HashMap::new();
        let mut truth = std::collections::HashSet::new();
        for (i, &id) in id.iter().enumerate().filter(|(_, id)| **id >= 0) {
            if let Some(before) = last.insert(id, i) {
                truth.insert((before, i));
            }
        }
        truth.retain(|&(a, b)| found.frame[b] - found.frame[a] <= 3);
        let links: Vec<(usize, usize)> = t
            .linked
            .members
            .iter()
            .flat_map(|m| m.windows(2).map(|w| (w[0], w[1])))
            .collect();
        let right = links.iter().filter(|l| truth.contains(l)).count() as f64 / truth.len() as f64;
        let wrong = links
            .iter()
            .filter(|(a, b)| !truth.contains(&(*a, *b)) && id[*a] >= 0 && id[*b] >= 0)
            .count();
        let wrong = wrong as f64 / links.len() as f64;
        println!("{name}, drift measured {measured}: {right:.4} of the true links, {wrong:.4} false");
        assert!(right >= 0.95 && wrong <= 0.02, "{name}: {right} and {wrong}");
        if name == "truth" {
            // Hops of the dopants alone: their mean over all that stay for some frames.
            let d = t.groups[0].diffusion;
            assert!(d.low <= d.value && d.value <= d.high && d.steps > 1000, "{d:?}");
        }
    }
    // Without units, without detections, with one frame.
    let nothing = Detected {
        frames: 3,
        size: [10, 10],
        ..Detected::default()
    };
    let t = track::run(&nothing, &track::Params::default(), &Control::new()).unwrap();
    assert!(t.linked.members.is_empty() && t.warnings.iter().any(|w| w.contains("no detections")));
    assert_eq!(t.units.diffusion(), "px^2/frame");
    let bad = track::Params {
        class: Some(1),
        ..track::Params::default()
    };
    assert!(
        track::run(&nothing, &bad, &Control::new())
            .err()
            .unwrap()
            .to_string()
            .contains("classify")
    );
    let bad = track::Params {
        gate: Some(-1.0),
        ..track::Params::default()
    };
    assert!(matches!(
        track::run(&nothing, &bad, &Control::new()),
        Err(Error::Parameter { .. })
    ));
}

fn emstream(args: &[&str]) -> (bool, String, String) {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_emstream"))
        .args(["--backend", "cpu", "--threads", "2"])
        .args(args)
        .output()
        .unwrap();
    let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
    (out.status.success(), text(out.stdout), text(out.stderr))
}

/// Values of a dataset, −1 million for NaN, so that they can be compared.
fn stored(path: &std::path::Path, name: &str) -> Vec<f64> {
    let array: ndarray::ArrayD<f64> = emstream::io::read_stored(path, name, 1 << 30).unwrap();
    array.into_iter().map(|v| if v.is_nan() { -1e6 } else { v }).collect()
}

#[test]
fn the_program_classifies_and_follows() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/defects/defect_model.h5");
    let (movie, detections, classes, tracks, all) = (at("movie.h5"), at("detections"), at("classes"), at("tracks"), at("all"));
    let good = |args: &[&str]| {
        let (ok, said, err) = emstream(args);
        assert!(ok, "{args:?}: {err}");
        said
    };
    good(&["simulate", "ws2", "--frames", "5", "-o", &movie]);
    good(&["defects", "detect", &movie, "--model", model, "-o", &detections]);
    let common = ["--classes", "4", "--bic", "2..4", "--starts", "3"];
    let said = good(
        &[
            &["defects", "classify", &detections, "--movie", &movie, "-o", &classes],
            &common[..],
        ]
        .concat(),
    );
    assert!(said.contains("windows in 4 classes"), "{said}");
    let result = dir.path().join("classes/result.h5");
    let counts = stored(&result, "classes/counts");
    let labels = stored(&result, "classes/labels");
    assert_eq!(counts.iter().sum::<f64>(), labels.len() as f64);
    for figure in [
        "means",
        "overlay",
        "frames",
        "counts",
        "counts_average",
        "density",
        "scree",
        "scores",
        "bic",
        "dendrogram",
        "silhouette",
        "movie",
    ] {
        assert!(dir.path().join(format!("classes/figures/{figure}.png")).is_file(), "{figure}");
    }
    // The same again from its parameters.
    let (again, params) = (at("again"), at("classes/params.toml"));
    good(&["defects", "classify", &detections, "--params", &params, "-o", &again]);
    let repeated = dir.path().join("again");
    assert_eq!(stored(&repeated.join("result.h5"), "classes/labels"), labels);
    assert_eq!(
        std::fs::read(repeated.join("params.toml")).unwrap(),
        std::fs::read(&params).unwrap()
    );
    // On other numbers of threads.
    let one = at("one");
    let mut args = vec![
        "--backend",
        "cpu",
        "--threads",
        "1",
        "defects",
        "classify",
        &detections,
        "-o",
        &one,
    ];
    args.extend(common);
    assert!(
        std::process::Command::new(env!("CARGO_BIN_EXE_emstream"))
            .args(&args)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(
        stored(&dir.path().join("one/result.h5"), "pca/scores"),
        stored(&result, "pca/scores")
    );

    let region = [
        "--region",
        "250,250,100",
        "--class",
        "0",
        "--pixel-size",
        "0.03",
        "--frame-time",
        "2.25",
    ];
    let said = good(&[&["defects", "track", &classes, "-o", &tracks], &region[..]].concat());
    assert!(said.contains("tracks of"), "{said}");
    let of_tracks = dir.path().join("tracks/result.h5");
    let table = stored(&of_tracks, "tracks/diffusion");
    assert_eq!(table.len(), 5 * 6);
    assert!(table[5] > 50.0, "{table:?}");
    assert_eq!(stored(&of_tracks, "tracks/ellipse").len(), 5);
    let report = std::fs::read_to_string(dir.path().join("tracks/report.html")).unwrap();
    assert!(report.contains("6 to 11 times too small") && report.contains("nm^2/s"));
    for figure in ["broom", "paths", "distance", "msd", "switching", "regions", "lengths"] {
        assert!(dir.path().join(format!("tracks/figures/{figure}.png")).is_file(), "{figure}");
    }
    good(&[
        "defects",
        "track",
        &classes,
        "--params",
        &at("tracks/params.toml"),
        "-o",
        &at("tracks2"),
    ]);
    assert_eq!(stored(&dir.path().join("tracks2/result.h5"), "tracks/diffusion"), table);

    // Everything at once gives the same.
    let said = good(
        &[
            &["defects", "run", &movie, "--model", model, "-o", &all],
            &common[..],
            &region[..],
        ]
        .concat(),
    );
    assert!(said.contains("4 classes"), "{said}");
    let whole = dir.path().join("all/result.h5");
    assert_eq!(stored(&whole, "classes/labels"), labels);
    assert_eq!(stored(&whole, "tracks/diffusion"), table);
    assert_eq!(
        stored(&whole, "detections/y"),
        stored(&dir.path().join("detections/result.h5"), "detections/y")
    );
    good(&[
        "defects",
        "run",
        &movie,
        "--params",
        &at("all/params.toml"),
        "-o",
        &at("all2"),
    ]);
    assert_eq!(stored(&dir.path().join("all2/result.h5"), "classes/labels"), labels);
    // Too few windows: no classes, but tracks. One frame: said.
    let (ok, said, err) = emstream(&[
        "defects",
        "run",
        &movie,
        "--model",
        model,
        "--frames",
        "1..2",
        "--classes",
        "60",
        "--bic",
        "none",
        "-o",
        &at("few"),
    ]);
    assert!(
        ok && said.contains("in 1 frames") && err.contains("movie of one frame"),
        "{said} {err}"
    );

    // What users do wrong: one line each.
    for (args, expected) in [
        (vec!["defects", "classify", &movie, "-o", &at("x")], "detections/frame"),
        (
            vec!["defects", "classify", &detections, "--classes", "0", "-o", &at("x")],
            "--classes",
        ),
        (
            vec!["defects", "classify", &detections, "--start", model, "-o", &at("x")],
            "defect_model.h5",
        ),
        (
            vec!["defects", "classify", &detections, "--movie", model, "-o", &at("x")],
            "defect_model.h5",
        ),
        (
            vec!["defects", "track", &detections, "--class", "1", "-o", &at("x")],
            "emstream defects classify",
        ),
        (vec!["defects", "track", &classes, "--gate", "0", "-o", &at("x")], "--gate"),
    ] {
        let (ok, _, err) = emstream(&args);
        let lines: Vec<&str> = err.lines().filter(|l| l.starts_with("error:")).collect();
        assert!(!ok && lines.len() == 1 && lines[0].contains(expected), "{args:?}: {err}");
        assert!(!dir.path().join("x").exists());
    }
}
