//! Templates, peaks, features, virtual detectors and comparisons by known values; bad input.

use emstream::Error;
use emstream::analysis::Recipe;
use emstream::analysis::compare::{adjusted_rand_index, contingency, normalised_mutual_information};
use emstream::analysis::correlate::correlation_map;
use emstream::analysis::features::{column_scale, feature_matrix};
use emstream::analysis::grid::Grid;
use emstream::analysis::maskspec::{Detector, parse_detectors};
use emstream::analysis::peaks::{Peak, find_peaks};
use emstream::analysis::template::{MAX_SEARCH, Pattern, Template, balance};
use ndarray::{Array2, array};

/// The text of a parameter error.
fn refused<T: std::fmt::Debug>(r: Result<T, Error>) -> String {
    match r {
        Err(e @ Error::Parameter { .. }) => e.to_string(),
        other => panic!("{other:?}"),
    }
}
fn parse(spec: &str) -> Result<Template, Error> {
    Template::parse(spec, |p| Err(Error::parameter("loaded", p.display().to_string())))
}
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

#[test]
fn specs_of_templates() {
    for (spec, pattern, search, crop) in [
        ("disk:1.5", Pattern::Disk { radius: 1.5 }, 3.0, 3),
        ("gradient:3.2", Pattern::Gradient { radius: 3.2 }, 6.4, 7),
        ("background:1.5,2.5", Pattern::Background { radius: 1.5, outer: 2.5 }, 3.0, 3),
        ("background:2", Pattern::Background { radius: 2.0, outer: 3.0 }, 4.0, 4),
        (
            "gradient-background: 3, 7.5",
            Pattern::GradientBackground { radius: 3.0, outer: 7.5 },
            7.5,
            8,
        ),
        ("ring:2,4", Pattern::Ring { inner: 2.0, outer: 4.0 }, 8.0, 8),
    ] {
        let t = parse(spec).unwrap();
        assert_eq!(
            (t.pattern(), t.search(), t.crop(), t.offset()),
            (&pattern, search, crop, [0.0, 0.0]),
            "{spec}"
        );
        assert_eq!(t.stamp().dim(), (2 * crop + 1, 2 * crop + 1));
        // What is written can be read again.
        assert_eq!(parse(&t.to_string()).unwrap(), t);
    }
    assert_eq!(parse("disk:1.5").unwrap().with_search(7.2).unwrap().crop(), 8);
    for path in ["t.npy", "folder/t.npy", "C:\\data\\t.npy", "scan:1.npy", "./a:b"] {
        assert_eq!(refused(parse(path)), format!("loaded: {path}"));
    }
    for (spec, says) in [
        ("", "empty"),
        ("disk", "needs a radius"),
        ("disc:2", "unknown pattern `disc`"),
        ("disk:", "`` is not a number"),
        ("disk:x", "`x` is not a number"),
        ("disk:1,2", "at most 1"),
        ("background:1,2,3", "at most 2"),
        ("ring:4", "inner and an outer"),
        ("disk:0", "not a positive length"),
        ("disk:-1", "not a positive length"),
        ("disk:nan", "not a positive length"),
        ("disk:inf", "not a positive length"),
        ("disk:1e9", "more than 2048 px"),
        ("background:2,2", "must be larger"),
        ("background:2,1", "must be larger"),
        ("background:2,nan", "must be larger"),
        ("ring:-1,4", "not a length"),
        ("background:0.1,0.2", "no pixels other than zero"),
    ] {
        let text = refused(parse(spec));
        assert!(text.contains(says), "{spec}: {text}");
    }
    assert!(refused(Template::named("blob", 1.0, None)).contains("unknown pattern"));
    assert!(refused(parse("disk:2").unwrap().with_search(0.0)).contains("not a positive"));
    assert!(refused(parse("disk:2").unwrap().with_search(MAX_SEARCH + 1.0)).contains("more than"));
    // Nothing of a ring is left within one pixel.
    assert!(refused(parse("ring:5,7").unwrap().with_search(1.0)).contains("search range of 1 px"));
}

#[test]
fn users_images() {
    for (image, says) in [
        (Array2::zeros((0, 0)), "no pixels"),
        (Array2::zeros((3, 0)), "no pixels"),
        (Array2::zeros((3, 3)), "zero everywhere"),
        (array![[1.0, f64::NAN]], "NaN at (y, x) = (0, 1)"),
        (array![[1.0], [f64::INFINITY]], "inf at (y, x) = (1, 0)"),
    ] {
        let text = refused(Template::new(Pattern::User(image)));
        assert!(text.contains(says), "{text}");
    }
    let ramp = |h: usize, w: usize| Array2::from_shape_fn((h, w), |(y, x)| (10 * y + x + 1) as f64);
    for (h, w) in [(3, 3), (4, 4), (3, 4), (1, 6), (2, 1), (1, 1)] {
        let t = Template::new(Pattern::User(ramp(h, w))).unwrap();
        assert_eq!(t.offset(), [h, w].map(|n| if n % 2 == 0 { -0.5 } else { 0.0 }));
        assert_eq!(t.extent(), [h, w]);
        // The whole image, with its centre plus the offset at the centre, in the stamp and in windows of any parity.
        let c = t.crop();
        for (wh, ww) in [(2 * c + 1, 2 * c + 1), (2 * c, 2 * c), (2 * c + 4, 2 * c + 7)] {
            let window = t.window(wh, ww);
            assert_eq!(window.sum(), ramp(h, w).sum(), "{h}×{w} in {wh}×{ww}");
            for ((y, x), v) in ramp(h, w).indexed_iter() {
                assert_eq!(window[[wh / 2 + y - h / 2, ww / 2 + x - w / 2]], *v);
            }
        }
        assert_eq!(t.stamp(), t.window(2 * c + 1, 2 * c + 1));
    }
    // Cut where the window is smaller.
    let t = Template::new(Pattern::User(ramp(5, 5))).unwrap();
    assert_eq!(t.window(3, 3), ramp(5, 5).slice(ndarray::s![1..4, 1..4]));
    assert_eq!(t.window(2, 3), ramp(5, 5).slice(ndarray::s![1..3, 1..4]));
    assert_eq!(t.window(0, 0).len(), 0);
    assert_eq!(t.window_published(3, 3), ramp(5, 5).slice(ndarray::s![1..4, 1..4]));
    assert_eq!(t.window_published(8, 8)[[3, 3]], ramp(5, 5)[[2, 2]]);
    assert_eq!(t.window_published(9, 9)[[4, 4]], ramp(5, 5)[[2, 2]]);
}

#[test]
fn values_of_patterns() {
    let row = |spec: &str| {
        let stamp = parse(spec).unwrap().stamp();
        let c = stamp.nrows() / 2;
        stamp.row(c).slice(ndarray::s![c..]).to_vec()
    };
    assert_eq!(row("disk:2")[..4], [1.0, 1.0, 0.5, 0.0]);
    assert_eq!(row("disk:0.3")[..2], [1.0, 0.0]);
    assert_eq!(row("ring:2,4")[..6], [0.0, 0.0, 0.5, 1.0, 0.5, 0.0]);
    assert_eq!(row("ring:0.2,2")[0], 0.8);
    // r/R up to R − 1/2, then from +1 to −1.
    let g = row("gradient:3");
    assert!(near(g[0], 0.0) && near(g[1], 1.0 / 3.0) && near(g[2], 2.0 / 3.0) && near(g[3], 0.0) && near(g[4], 0.0));
    let g = row("gradient:2.75");
    assert!(near(g[2], 2.0 / 2.75) && near(g[3], -0.5));
    let g = row("gradient-background:3,5");
    assert!(near(g[3], 0.0) && g[4..6] == [-1.0, -1.0] && g[6] == 0.0);
    let b = parse("background:2.3,4.1").unwrap();
    assert!(b.stamp().sum().abs() < 1e-12);
    assert_eq!(b.stamp()[[b.crop(), b.crop()]], 1.0);
    // Every pattern is point-symmetric in its stamp.
    for spec in [
        "disk:2.2",
        "gradient:3.1",
        "background:2.3,4.1",
        "gradient-background:2.2,6",
        "ring:1.5,4",
    ] {
        let s = parse(spec).unwrap().stamp();
        assert_eq!(s, s.slice(ndarray::s![..;-1, ..;-1]));
        assert_eq!(s, s.t());
    }
}

#[test]
fn extents_hold_all_pixels() {
    for spec in [
        "disk:0.3",
        "disk:1.5",
        "disk:2",
        "disk:2.6",
        "background:1.5,2.5",
        "background:1.4,3",
        "ring:2,5.2",
        "gradient:4",
    ] {
        let t = parse(spec).unwrap();
        let window = t.window(41, 41);
        let reach = window
            .indexed_iter()
            .filter(|(_, v)| **v != 0.0)
            .map(|((y, _), _)| y.abs_diff(20))
            .max()
            .unwrap();
        assert!(
            t.extent()[0] / 2 >= reach && t.extent()[0] / 2 <= reach + 1,
            "{spec}: {:?} {reach}",
            t.extent()
        );
    }
    assert!(parse("disk:1.5").unwrap().check_frame(3, 3).is_ok());
    assert!(refused(parse("disk:9").unwrap().check_frame(32, 16)).contains("the frame has only 32×16"));
}

#[test]
fn balancing() {
    let mut t = array![[3.0, -1.0], [1.0, -1.0]];
    balance(&mut t);
    assert_eq!(t, array![[3.0, -2.0], [1.0, -2.0]]);
    for mut same in [array![[1.0, 0.0]], array![[-1.0, 0.0]], Array2::zeros((2, 2))] {
        let was = same.clone();
        balance(&mut same);
        assert_eq!(same, was);
    }
}

#[test]
fn recipes() {
    assert_eq!("default".parse::<Recipe>().unwrap(), Recipe::default());
    assert_eq!("published".parse::<Recipe>().unwrap().to_string(), "published");
    assert!(refused("Published".parse::<Recipe>()).contains("neither"));
}

#[test]
fn maps_that_cannot_be_correlated() {
    let disk = parse("disk:1.5").unwrap();
    for recipe in [Recipe::Default, Recipe::Published] {
        let map = |h, w| Array2::<f64>::ones((h, w));
        assert!(refused(correlation_map(map(0, 8).view(), &disk, recipe)).contains("too few"));
        assert!(refused(correlation_map(map(2, 8).view(), &disk, recipe)).contains("covers 3×3"));
        let mut nan = map(8, 8);
        nan[[3, 4]] = f64::NAN;
        assert!(refused(correlation_map(nan.view(), &disk, recipe)).contains("NaN at (y, x) = (3, 4)"));
        let big = Template::new(Pattern::User(map(9, 3))).unwrap();
        assert!(refused(correlation_map(map(8, 8).view(), &big, recipe)).contains("covers 9×3"));
    }
    // As small as it gets.
    let one = Template::new(Pattern::User(array![[2.0]])).unwrap();
    assert_eq!(
        correlation_map(array![[3.0]].view(), &one, Recipe::Default).unwrap(),
        array![[6.0]]
    );
    assert!(refused(correlation_map(array![[3.0]].view(), &one, Recipe::Published)).contains("too few"));
}

#[test]
fn peaks() {
    let map = array![
        [9.0, 0.0, 0.0, 0.0, 0.0, 8.0],
        [0.0, 3.0, 0.0, 2.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 5.0, 0.0],
        [0.0, 3.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 5.0, 5.0, 0.0],
        [0.0, 7.0, 0.0, 0.0, 0.0, 0.0],
    ];
    // The 3 at (1, 1) is hidden by the 9 in the corner, the 2 by the 5; plateaus count twice; ties in C order.
    let p = |y, x, value| Peak { y, x, value };
    let all = [p(2, 4, 5.0), p(4, 3, 5.0), p(4, 4, 5.0), p(3, 1, 3.0)];
    assert_eq!(find_peaks(map.view(), 10), all);
    assert_eq!(find_peaks(map.view(), 2), all[..2]);
    assert_eq!(find_peaks(map.view(), 0), []);
    assert_eq!(find_peaks(Array2::from_elem((9, 9), 4.0).view(), 5), []);
    assert_eq!(find_peaks(Array2::from_elem((9, 9), f64::NAN).view(), 5), []);
    for (h, w) in [(0, 0), (1, 5), (2, 2), (5, 2)] {
        assert_eq!(find_peaks(Array2::ones((h, w)).view(), 5), []);
    }
    // NaN neither is a maximum nor hides one.
    let mut map = Array2::zeros((5, 5));
    map[[2, 2]] = 1.0;
    map[[2, 3]] = f64::NAN;
    map[[1, 1]] = f64::NAN;
    assert_eq!(find_peaks(map.view(), 5), [p(2, 2, 1.0)]);
}

#[test]
fn scales_of_features() {
    let values = array![[1.0f32, 0.0, -2.0], [3.0, 0.0, 4.0]];
    let grid = Grid::selected([3, 4], &[5, 11]).unwrap();
    let scale = column_scale(values.view()).unwrap();
    assert_eq!(scale, [2.0, 1.0, 3.0]);
    let matrix = feature_matrix(values.view(), &scale, &grid, 0.5).unwrap();
    // Positions are those in the scan: (1, 1) and (2, 3).
    assert_eq!(
        matrix,
        array![[0.5, 0.0, -2.0 / 3.0, 0.5, 0.5], [1.5, 0.0, 4.0 / 3.0, 1.0, 1.5]]
    );
    assert_eq!(feature_matrix(values.view(), &scale, &grid, 0.0).unwrap().dim(), (2, 3));
    assert!(refused(column_scale(Array2::zeros((0, 3)).view())).contains("no frames"));
    assert!(refused(column_scale(array![[1.0, 1.0], [1.0, f32::NAN]].view())).contains("feature 1 of selected frame 1"));
    assert!(refused(column_scale(array![[f32::NEG_INFINITY]].view())).contains("feature 0 of selected frame 0"));
    assert!(refused(feature_matrix(values.view(), &scale[..2], &grid, 0.0)).contains("2×3 values"));
    assert!(refused(feature_matrix(values.view(), &scale, &Grid::full([3, 1]).unwrap(), 0.0)).contains("3 positions"));
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(refused(feature_matrix(values.view(), &scale, &grid, weight)).contains("--position-weight"));
    }
}

#[test]
fn neighbours_and_maps_of_a_selection() {
    let mask = array![[true, false, true], [true, true, false]];
    let grid = Grid::masked(mask.view()).unwrap();
    assert_eq!(grid.positions().collect::<Vec<_>>(), [[0, 0], [0, 2], [1, 0], [1, 1]]);
    assert_eq!((grid.len(), grid.is_empty(), grid.shape()), (4, false, [2, 3]));
    assert_eq!(grid.map(&[5, 6, 7, 8], -1).unwrap(), array![[5, -1, 6], [7, 8, -1]]);
    assert!(refused(Grid::masked(Array2::from_elem((2, 2), false).view())).contains("selects no position"));
}

#[test]
fn detectors() {
    let mask = |spec: &str, h, w| Detector::parse(spec).unwrap().mask(h, w).unwrap();
    let disk = mask("disk:3,4,2", 8, 9);
    assert_eq!(disk.row(3).to_vec(), [0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]);
    assert!(near(disk[[2, 3]], 1.0) && near(disk[[1, 3]], 2.5 - 5f64.sqrt()));
    // Antialiasing keeps the area, also between pixels.
    for spec in ["disk:20,20,9", "disk:20.3,19.6,9"] {
        assert!((mask(spec, 41, 41).sum() / (std::f64::consts::PI * 81.0) - 1.0).abs() < 5e-3);
    }
    let ring = mask("ring:20,20,4,9", 41, 41);
    assert!((ring.sum() / (std::f64::consts::PI * 65.0) - 1.0).abs() < 5e-3);
    assert_eq!(
        ring.row(20).slice(ndarray::s![20..32]).to_vec(),
        [0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    );
    assert_eq!(mask("ring:20,20,0,9", 41, 41), mask("disk:20,20,9", 41, 41));
    assert_eq!(mask("rect:1,2,2,3", 4, 6).sum(), 6.0);
    assert_eq!(mask("rect:1,2,2,3", 4, 6).slice(ndarray::s![1..3, 2..5]).sum(), 6.0);
    assert_eq!(
        mask("rect:0.5,0,1,0.25", 3, 3),
        array![[0.125, 0.0, 0.0], [0.125, 0.0, 0.0], [0.0, 0.0, 0.0]]
    );
    assert_eq!(mask("rect:0,0,4,6", 4, 6), Array2::<f64>::ones((4, 6)));
    // Partly outside is fine, wholly outside is not.
    assert!(mask("disk:-1,-1,3", 8, 8).sum() > 0.0);
    assert!(refused(Detector::parse("disk:50,4,3").unwrap().mask(8, 8)).contains("covers no pixel of frames of 8×8"));
    for spec in ["disk:3,4,2", "ring:3.5,4,0,2", "rect:-1,2,3.25,4"] {
        assert_eq!(Detector::parse(spec).unwrap().to_string(), spec);
    }
    assert_eq!(parse_detectors(" disk:3,4,2\n rect:0,0,1,1 ").unwrap().len(), 2);
    assert!(refused(parse_detectors("  ")).contains("names no detector"));
    for (spec, says) in [
        ("", "want disk"),
        ("disk", "want disk"),
        ("square:1,2,3", "want disk"),
        ("disk:1,2", "has 2 numbers"),
        ("disk:1,2,3,4", "has 4 numbers"),
        ("ring:1,2,3", "has 3 numbers"),
        ("disk:1,x,3", "`x` is not a number"),
        ("disk:1,nan,3", "`nan` is not a number"),
        ("disk:1,1,inf", "`inf` is not a number"),
        ("disk:1,2,0", "not positive"),
        ("disk:1,2,-3", "not positive"),
        ("ring:1,2,5,3", "not between"),
        ("ring:1,2,3,3", "not between"),
        ("ring:1,2,-1,3", "not between"),
        ("rect:1,2,0,3", "not positive"),
        ("rect:1,2,3,", "`` is not a number"),
    ] {
        let text = refused(Detector::parse(spec));
        assert!(text.contains(says), "{spec}: {text}");
    }
}

#[test]
fn comparisons() {
    let ari = |a: &[i32], b: &[i32]| adjusted_rand_index(a, b).unwrap();
    assert_eq!(ari(&[0, 0, 1, 1], &[5, 5, 2, 2]), 1.0);
    // Values of scikit-learn's adjusted_rand_score.
    assert!(near(ari(&[0, 0, 1, 2], &[0, 0, 1, 1]), 0.5714285714285714));
    assert!(near(ari(&[0, 0, 1, 1], &[0, 1, 0, 1]), -0.5));
    assert!(near(ari(&[0, 0, 0, 0], &[0, 1, 2, 3]), 0.0));
    assert_eq!(ari(&[0, 0, 0], &[3, 3, 3]), 1.0);
    assert_eq!(ari(&[0, 1, 2], &[2, 1, 0]), 1.0);
    assert_eq!(ari(&[], &[]), 1.0);
    assert_eq!(ari(&[4], &[2]), 1.0);
    // Unlabelled positions are left out.
    assert_eq!(ari(&[0, 0, 1, 1, -1, 0], &[1, 1, 0, 0, 1, -1]), 1.0);
    // A labelling without labels is like another one without, and unlike all others.
    let nmi = |a: &[i32], b: &[i32]| normalised_mutual_information(a, b).unwrap();
    for (a, b, like) in [
        ([-1, -1, -1, -1], [-1, -1, -1, -1], 1.0),
        ([-1, -1, -1, -1], [0, 0, 1, 1], 0.0),
        ([-1, -1, -1, -1], [-1, -1, 2, -1], 0.0),
        ([0, 1, -1, -1], [-1, -1, 0, 1], 0.0),
        ([3, -1, -1, -1], [1, 0, 0, -1], 1.0),
    ] {
        let found = [ari(&a, &b), ari(&b, &a), nmi(&a, &b), nmi(&b, &a)];
        assert_eq!(found, [like; 4], "{a:?} {b:?}");
    }
    assert_eq!(nmi(&[], &[]), 1.0);
    let t = contingency(&[0, 0, 3, 3, -1], &[7, 2, 2, 2, 2]).unwrap();
    assert_eq!(
        (t.rows, t.columns, t.counts),
        (vec![0, 3], vec![2, 7], array![[1, 1], [2, 0]])
    );
    assert!(refused(adjusted_rand_index(&[0], &[0, 1])).contains("cannot be compared"));
}
