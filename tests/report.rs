//! Figures and the report page: colours and lengths at known places. With `EMSTREAM_GALLERY=DIR` the figures are also
//! written to that folder, to be looked at.

use emstream::io::Axis;
use emstream::io::array::{MAX_BYTES, read_array};
use emstream::report::colour::{self, ColourMap};
use emstream::report::{
    Figure, HeatMap, LabelMap, Limits, LinePlot, Mark, Marker, MergeDistances, Panel, Series, Tile, Vector, html, scale_bar,
    ticks,
};
use ndarray::{Array2, Array3, ArrayD, Ix2, s};
use std::path::Path;

fn data<T: emstream::io::array::Element>(name: &str) -> ArrayD<T> {
    read_array(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/report").join(name),
        MAX_BYTES,
    )
    .unwrap()
}
fn data2<T: emstream::io::array::Element>(name: &str) -> Array2<T> {
    data(name).into_dimensionality::<Ix2>().unwrap()
}

/// Keeps a figure for people's eyes, if they asked.
fn gallery(name: &str, figure: &Figure) {
    if let Ok(folder) = std::env::var("EMSTREAM_GALLERY") {
        std::fs::write(Path::new(&folder).join(name), figure.to_png().unwrap()).unwrap();
    }
}

fn nm(scale: f64) -> Axis {
    Axis {
        scale: Some(scale),
        unit: "nm".into(),
    }
}

/// Columns of the widest run of ink in row `y`, as a length.
fn ink_run(figure: &Figure, y: usize) -> usize {
    let dark = |x| figure.pixel(x, y).unwrap().iter().all(|&c| c < 60);
    let (mut best, mut run) = (0, 0);
    for x in 0..figure.width() {
        run = if dark(x) { run + 1 } else { 0 };
        best = best.max(run);
    }
    best
}

fn count(figure: &Figure, colour: [u8; 3]) -> usize {
    figure.rgb().chunks_exact(3).filter(|p| *p == colour).count()
}

const LEFT: usize = 22;
const TOP: usize = 62;

#[test]
fn heat_map_has_the_right_colours_in_the_right_places() {
    let map = Array2::from_shape_fn(
        (40, 50),
        |(y, x)| if (y, x) == (39, 0) { f64::NAN } else { (y * 50 + x) as f64 },
    );
    let mut heat = HeatMap::new(map.view(), "Ramp");
    heat.limits = Limits::Fixed(0.0, 1999.0);
    let figure = heat.draw();
    gallery("ramp.png", &figure);
    // 50 columns in 800 pixels: 16 for each, square pixels.
    assert_eq!(figure.pixel(LEFT, TOP), Some(ColourMap::Viridis.rgb(0.0)));
    assert_eq!(figure.pixel(LEFT + 15, TOP + 15), Some(ColourMap::Viridis.rgb(0.0)));
    assert_eq!(
        figure.pixel(LEFT + 49 * 16 + 15, TOP + 39 * 16 + 15),
        Some(ColourMap::Viridis.rgb(1.0))
    );
    assert_eq!(
        figure.pixel(LEFT + 25 * 16 + 8, TOP + 20 * 16 + 8),
        Some(ColourMap::Viridis.rgb(1025.0 / 1999.0))
    );
    assert_eq!(figure.pixel(LEFT + 8, TOP + 39 * 16 + 8), Some(colour::MISSING));
    assert!((850..1100).contains(&figure.width()), "{}", figure.width());
    // The colour bar runs from high at the top to low at the bottom.
    let bar = LEFT + 800 + 20 + 12;
    assert_eq!(figure.pixel(bar, TOP), Some(ColourMap::Viridis.rgb(1.0 - 0.5 / 640.0)));
    assert_eq!(figure.pixel(bar, TOP + 639), Some(ColourMap::Viridis.rgb(0.5 / 640.0)));
}

#[test]
fn scale_bar_is_as_long_as_it_says() {
    let bar = scale_bar(&nm(2.5), 50).unwrap();
    assert_eq!((bar.pixels, bar.label.as_str()), (8.0, "20 nm"));
    let bar = scale_bar(&nm(100.0), 50).unwrap();
    assert_eq!((bar.pixels, bar.label.as_str()), (10.0, "1 µm"));
    let bar = scale_bar(&Axis::default(), 50).unwrap();
    assert_eq!((bar.pixels, bar.label.as_str()), (10.0, "10 px"));
    let bar = scale_bar(
        &Axis {
            scale: Some(0.02),
            unit: "1/nm".into(),
        },
        256,
    )
    .unwrap();
    assert_eq!((bar.pixels, bar.label.as_str()), (50.0, "1 nm⁻¹"));
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(scale_bar(&nm(scale), 50).unwrap().label, "10 px");
    }
    assert_eq!(scale_bar(&nm(0.5), 1).unwrap().label, "100 pm");
    let map = Array2::zeros((40, 50));
    let mut heat = HeatMap::new(map.view(), "");
    heat.axis = nm(2.5);
    // Without title the map begins at 22; the bar is 8 columns of 16 pixels long, 20 pixels below.
    assert_eq!(ink_run(&heat.draw(), 22 + 640 + 20 + 3), 8 * 16);
}

#[test]
fn limits_are_robust_and_never_empty() {
    let mut map = Array2::from_shape_fn((100, 100), |(y, x)| (y * 100 + x) as f64);
    map[[0, 0]] = 1e12;
    map[[5, 5]] = f64::NAN;
    map[[6, 6]] = f64::INFINITY;
    let (low, high) = Limits::Auto.resolve(map.view(), false);
    assert_eq!((low, high), (51.0, 9950.0));
    assert_eq!(Limits::Full.resolve(map.view(), false).1, 1e12);
    let signed = Array2::from_shape_fn((10, 10), |(y, x)| if x == 0 { -3.0 } else { y as f64 / 10.0 });
    assert_eq!(Limits::SymmetricAboutZero.resolve(signed.view(), false), (-3.0, 3.0));
    for constant in [0.0, 5.0, -7.5, 1e-30, 1e30] {
        for limits in [
            Limits::Auto,
            Limits::Full,
            Limits::SymmetricAboutZero,
            Limits::Fixed(constant, constant),
        ] {
            for log in [false, true] {
                let (low, high) = limits.resolve(Array2::from_elem((3, 3), constant).view(), log);
                assert!(
                    low < high && low.is_finite() && high.is_finite(),
                    "{constant} {limits:?} {log}: {low} {high}"
                );
            }
        }
    }
    let nothing = Array2::from_elem((3, 3), f64::NAN);
    assert_eq!(Limits::Auto.resolve(nothing.view(), false), (0.0, 1.0));
}

#[test]
fn odd_maps_still_give_figures() {
    for shape in [(1, 1), (1, 2000), (2000, 1), (3000, 10), (0, 0), (0, 5), (1700, 1700)] {
        let map = Array2::from_elem(shape, 1.5);
        for log in [false, true] {
            let mut heat = HeatMap::new(
                map.view(),
                "A title that is far too long for such a small figure, so that it must be cut somewhere",
            );
            heat.log = log;
            let figure = heat.draw();
            assert!(figure.width() <= 1900 && figure.height() <= 1800, "{shape:?}");
        }
        let figure = LabelMap::new(Array2::from_elem(shape, 3).view(), "Labels").draw();
        assert!(figure.width() <= 1900, "{shape:?}");
        Panel::new("p", vec![Tile::new(map.view(), "t")]).draw();
    }
    let wild = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN,
        5e-324,
        0.0,
        -0.0,
        1.0,
    ];
    let map = Array2::from_shape_fn((3, 3), |(y, x)| wild[y * 3 + x]);
    for limits in [
        Limits::Auto,
        Limits::Full,
        Limits::SymmetricAboutZero,
        Limits::Fixed(f64::NAN, 1.0),
        Limits::Fixed(2.0, 1.0),
    ] {
        for log in [false, true] {
            let mut heat = HeatMap::new(map.view(), "wild");
            (heat.limits, heat.log) = (limits, log);
            let markers = [
                Marker::circle(f64::NAN, 0.0, 1.0),
                Marker::circle(1e300, 0.0, 1e300),
                Marker::circle(1.0, 1.0, f64::INFINITY),
            ];
            heat.markers = &markers;
            heat.draw();
        }
    }
    Panel::new("empty", Vec::new()).draw();
    LinePlot::new("empty", "x", "y").draw();
    MergeDistances {
        distances: &[],
        clusters: 1,
        runner_up: None,
        last: 50,
        log: true,
    }
    .draw();
}

#[test]
fn markers_lie_on_their_positions() {
    let map = Array2::zeros((40, 50));
    let mut heat = HeatMap::new(map.view(), "Marker");
    heat.limits = Limits::Fixed(0.0, 1.0);
    let markers = [Marker::circle(20.0, 30.0, 3.0)];
    heat.markers = &markers;
    heat.ink = [255, 0, 0];
    let figure = heat.draw();
    // Centre of pixel (20, 30) at 16 pixels each; radius 48.
    let (cx, cy) = (LEFT as f64 + 30.5 * 16.0, TOP as f64 + 20.5 * 16.0);
    for (dx, dy) in [(47.6, 0.0), (-48.4, 0.0), (0.0, 47.6), (0.0, -48.4)] {
        let pixel = figure.pixel((cx + dx) as usize, (cy + dy) as usize).unwrap();
        assert!(pixel[0] > 200 && pixel[1] < 60, "{pixel:?} at {dx},{dy}");
    }
    assert_eq!(figure.pixel(cx as usize, cy as usize), Some(ColourMap::Viridis.rgb(0.0)));
}

#[test]
fn label_map_colours() {
    let grains: Array2<i32> = data2("true_grain_id.npy");
    let mut labels = grains.clone();
    labels.slice_mut(s![..3, ..]).fill(-1);
    let mut map = LabelMap::new(labels.view(), "Crystallites");
    map.axis = nm(2.0);
    let figure = map.draw();
    gallery("labels.png", &figure);
    assert_eq!(figure.pixel(LEFT + 8, TOP + 8), Some(colour::UNCLASSIFIED));
    for (y, x) in [(5, 5), (20, 25), (39, 49)] {
        let wanted = colour::label_colour(grains[[y, x]]);
        assert_eq!(figure.pixel(LEFT + x * 16 + 8, TOP + y * 16 + 8), Some(wanted));
    }
    assert_eq!(colour::label_colour(0), [31, 119, 180]);
    assert_eq!(colour::label_colour(1), [255, 127, 14]);
    // Legend: the swatch of label 0 stands beside the map.
    assert_eq!(figure.pixel(LEFT + 800 + 20 + 5, TOP + 10), Some(colour::label_colour(0)));
    // All label colours differ from each other and from the grey.
    let mut all: Vec<_> = (-1..colour::LABELS as i32).map(colour::label_colour).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), colour::LABELS + 1);
}

#[test]
fn touching_labels_differ_however_many_there_are() {
    let labels = Array2::from_shape_fn((60, 80), |(y, x)| ((y / 6) * 8 + (x + y / 6 * 3) / 11) as i32 * 20);
    let colours = colour::label_colours(labels.view());
    assert!(colours.len() > 60);
    for ((y, x), a) in labels.indexed_iter() {
        for (dy, dx) in [(0, 1), (1, 0), (1, 1)] {
            if let Some(b) = labels.get((y + dy, x + dx))
                && a != b
            {
                assert_ne!(colours[a], colours[b], "{a} {b}");
            }
        }
    }
    gallery("many_labels.png", &LabelMap::new(labels.view(), "Many labels").draw());
    // A few labels with large numbers get different colours, too.
    let few = Array2::from_shape_fn((1, 3), |(_, x)| x as i32 * 20);
    let colours = colour::label_colours(few.view());
    assert_ne!(colours[&0], colours[&20]);
    assert_ne!(colours[&20], colours[&40]);
}

#[test]
fn colour_maps_meet_their_ends() {
    assert_eq!(ColourMap::Viridis.rgb(0.0), [68, 1, 84]);
    assert_eq!(ColourMap::Viridis.rgb(1.0), [253, 231, 37]);
    assert_eq!(ColourMap::Viridis.rgb(0.5), [33, 145, 140]);
    assert_eq!(ColourMap::Inferno.rgb(0.0), [0, 0, 4]);
    assert_eq!(ColourMap::Cyclic.rgb(0.0), ColourMap::Cyclic.rgb(1.0));
    assert_eq!(ColourMap::Diverging.rgb(0.5), [242, 242, 242]);
    let (low, high) = (ColourMap::Diverging.rgb(0.0), ColourMap::Diverging.rgb(1.0));
    assert!(low[2] > 100 && low[0] < 50 && high[0] > 100 && high[2] < 50);
    for map in [
        ColourMap::Viridis,
        ColourMap::Inferno,
        ColourMap::Diverging,
        ColourMap::Cyclic,
        ColourMap::Grey,
    ] {
        assert_eq!(map.rgb(f64::NAN), colour::MISSING);
        assert_eq!(map.rgb(-5.0), map.rgb(0.0));
        assert_eq!(map.rgb(f64::INFINITY), map.rgb(1.0));
    }
}

#[test]
fn ticks_are_round() {
    let labels = |t: ticks::Ticks| t.marks.into_iter().map(|m| m.1).collect::<Vec<_>>();
    assert_eq!(labels(ticks::linear(0.0, 10.0, 6)), ["0", "2", "4", "6", "8", "10"]);
    assert_eq!(
        labels(ticks::linear(-0.015, 0.015, 7)),
        ["−0.015", "−0.010", "−0.005", "0.000", "0.005", "0.010", "0.015"]
    );
    let large = ticks::linear(0.0, 3.2e6, 4);
    assert_eq!(
        (large.exponent, labels(large)),
        (6, vec!["0".to_string(), "1".into(), "2".into(), "3".into()])
    );
    assert_eq!(labels(ticks::logarithmic(0.5, 2000.0, 7)), ["1", "10", "100", "1000"]);
    assert_eq!(labels(ticks::logarithmic(3.0, 60.0, 7)), ["5", "10", "20", "50"]);
    assert_eq!(ticks::number(1234567.0), "1.235×10⁶");
    assert_eq!(ticks::number(-0.00001), "−10⁻⁵");
    assert_eq!(ticks::number(12.5), "12.5");
    assert_eq!(ticks::round_down(0.3), 0.2);
    assert_eq!(ticks::round_down(1000.0), 1000.0);
}

#[test]
fn real_maps_for_the_eye() {
    let std: Array2<f64> = data2("stddev_std.npy");
    let peaks: Array2<f64> = data2("std_peaks.npy");
    let markers: Vec<Marker> = peaks.outer_iter().map(|p| Marker::circle(p[0], p[1], 2.5)).collect();
    let mut heat = HeatMap::new(std.view(), "Standard deviation and the 300 peaks found");
    (heat.unit, heat.colours, heat.log, heat.markers) = ("standard deviation (counts)", ColourMap::Inferno, true, &markers);
    heat.axis = Axis {
        scale: Some(0.11),
        unit: "1/nm".into(),
    };
    let figure = heat.draw();
    gallery("std_peaks.png", &figure);
    assert_eq!(figure.pixel(0, 0), Some([255, 255, 255]));
    heat.log = false;
    let vectors = [
        Vector {
            from: [72.0, 72.0],
            step: [0.0, 20.0],
            label: Some("a".into()),
            colour: None,
        },
        Vector {
            from: [72.0, 72.0],
            step: [-18.0, -4.0],
            label: Some("b".into()),
            colour: None,
        },
    ];
    (heat.vectors, heat.markers) = (&vectors, &markers[..12]);
    gallery("std_vectors.png", &heat.draw());
    heat.markers = &[];
    heat.vectors = &[];
    heat.title = "Standard deviation";

    let strain: Array3<f64> = {
        let s = data::<f64>("true_strain.npy");
        s.to_shape((40, 50, 4)).unwrap().to_owned()
    };
    let xx = strain.slice(s![.., .., 3]);
    let mut map = HeatMap::new(xx, "Strain ε_xx");
    (map.unit, map.colours, map.limits, map.axis) = ("strain", ColourMap::Diverging, Limits::SymmetricAboutZero, nm(2.5));
    gallery("strain.png", &map.draw());

    let angle = Array2::from_shape_fn((60, 60), |(y, x)| (y as f64 - 29.5).atan2(x as f64 - 29.5).to_degrees());
    let mut map = HeatMap::new(angle.view(), "Rotation");
    (map.unit, map.colours, map.limits) = ("degrees", ColourMap::Cyclic, Limits::Fixed(-180.0, 180.0));
    gallery("rotation.png", &map.draw());

    let big = Array2::from_shape_fn((300, 200), |(y, x)| 3e6 * ((y as f64 / 20.0).sin() + (x as f64 / 30.0).cos()));
    let mut map = HeatMap::new(big.view(), "Large values");
    (map.unit, map.axis) = ("counts", nm(1.25));
    gallery("large.png", &map.draw());
    let mut row = HeatMap::new(big.slice(s![0..1, ..]), "A line scan");
    row.unit = "counts";
    gallery("line_scan.png", &row.draw());

    let distances: Vec<f64> = data::<f64>("ward_distances.npy").into_iter().collect();
    let merges = MergeDistances {
        distances: &distances,
        clusters: 6,
        runner_up: Some(8),
        last: 30,
        log: false,
    };
    let figure = merges.draw();
    gallery("merges.png", &figure);
    assert!(count(&figure, [200, 60, 40]) > 300);
    gallery(
        "merges_log.png",
        &MergeDistances {
            log: true,
            last: 200,
            ..merges
        }
        .draw(),
    );

    let x: Vec<f64> = (0..100).map(|i| i as f64 / 5.0).collect();
    let (a, b): (Vec<f64>, Vec<f64>) = x.iter().map(|v| (0.01 + (-v / 3.0).exp(), 0.02 + (-v / 6.0).exp())).unzip();
    let mut plot = LinePlot::new("Loss", "epoch", "cross-entropy");
    plot.series.push(Series {
        name: "training",
        x: &x,
        y: &a,
        dots: false,
    });
    plot.series.push(Series {
        name: "validation",
        x: &x,
        y: &b,
        dots: false,
    });
    plot.marks.push(Mark::Horizontal(0.5, "half".into()));
    gallery("loss.png", &plot.draw());

    let grains: Array2<i32> = data2("true_grain_id.npy");
    let maps: Vec<Array2<f64>> = (0..6).map(|g| grains.mapv(|l| if l == g { 800.0 } else { 20.0 })).collect();
    let tiles = maps
        .iter()
        .enumerate()
        .map(|(i, m)| Tile::new(m.view(), format!("peak {i} at ({}, {})", 40 + i, 71 - i)))
        .collect();
    let figure = Panel::new("Virtual dark-field images of six peaks", tiles).draw();
    gallery("panel_vdf.png", &figure);
    // The first tile begins where a map begins; its colour follows its own limits.
    let wanted = ColourMap::Viridis.rgb(if grains[[0, 0]] == 0 { 1.0 } else { 0.0 });
    assert_eq!(figure.pixel(LEFT + 2, TOP + 2), Some(wanted));
    let mut tiles: Vec<Tile> = Vec::new();
    for (cluster, mask) in maps.iter().take(4).enumerate() {
        let mut tile = Tile::new(std.view(), format!("cluster {cluster}: 312 frames"));
        (tile.colours, tile.log, tile.markers) = (ColourMap::Inferno, true, markers[..20].to_vec());
        tiles.push(tile);
        let mut tile = Tile::new(mask.view(), format!("mask of cluster {cluster}"));
        tile.colours = ColourMap::Grey;
        tiles.push(tile);
    }
    let mut panel = Panel::new("Log-sum and mask of each cluster", tiles);
    panel.columns = 4;
    gallery("panel_logsum.png", &panel.draw());
}

#[test]
fn report_is_one_file_and_escapes() {
    let map: Array2<f64> = data2("stddev_std.npy");
    let mut heat = HeatMap::new(map.view(), "Standard deviation");
    (heat.unit, heat.colours, heat.log) = ("counts", ColourMap::Inferno, true);
    let png = heat.draw().to_png().unwrap();
    let labels: Array2<i32> = data2("true_grain_id.npy");
    let mut report = html::Report::new("Crystallites of <scan> & \"more\".blo");
    report
        .summary("Scan", "40 × 50 positions, frames 144 × 144 u8")
        .summary("Backend", "cpu (x86-64-v4)")
        .summary("Input", "polycrystal.blo, 41 490 096 bytes")
        .summary("Clusters", 6);
    report
        .section("Result")
        .paragraph("6 crystallites; the runner-up is 8 <b>not bold</b>.");
    report.warning("12 non-finite pixels were replaced.");
    report.figure(
        &LabelMap::new(labels.view(), "Crystallites").draw().to_png().unwrap(),
        "Label of each scan position.",
    );
    report
        .section("Standard deviation")
        .figure(&png, "Standard deviation over the scan & the \"peaks\".");
    report.section("Timings").table(
        &["step", "seconds", "frames/s"],
        &[
            vec!["statistics".into(), "0.12".into(), "16 700".into()],
            vec!["<script>alert(1)</script>".into(), "'".into()],
        ],
    );
    report.section("Parameters").code("radius = 1.5\nname = \"<x>\"\n");
    let page = report.render();
    if let Ok(folder) = std::env::var("EMSTREAM_GALLERY") {
        std::fs::write(Path::new(&folder).join("report.html"), &page).unwrap();
    }
    assert!(page.contains("<title>Crystallites of &lt;scan&gt; &amp; &quot;more&quot;.blo</title>"));
    assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("<x>"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("<td>&#39;</td>"));
    // Self-contained: nothing is fetched.
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("src=\"figures"));
    let at = page.find("data:image/png;base64,").unwrap() + 22;
    let end = at + page[at..].find('"').unwrap();
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(&page[at..end]).unwrap();
    assert_eq!(&bytes[..4], b"\x89PNG");
    assert_eq!(html::escape("a\u{0}b\u{1b}[31m"), "a\u{fffd}b\u{fffd}[31m");
}

/// The legend goes where no curve is, even if curves pass through all corners.
#[test]
fn legends_hide_no_curve() {
    let x: Vec<f64> = (0..40).map(f64::from).collect();
    let (top, bottom): (Vec<f64>, Vec<f64>) = x.iter().map(|v| (1.0 + 1e-3 * v, 1e-3 * v)).unzip();
    let mut plot = LinePlot::new("Two lines", "x", "y");
    for (name, y) in [("upper", &top), ("lower", &bottom)] {
        let (x, dots) = (&x[..], false);
        plot.series.push(Series { name, x, y, dots });
    }
    let figure = plot.draw();
    for n in 0..2 {
        let colour = colour::label_colour(n);
        let shows = |x: usize| (0..figure.height()).any(|y| figure.pixel(x, y) == Some(colour));
        let columns: Vec<usize> = (0..figure.width()).filter(|&x| shows(x)).collect();
        let (first, last) = (columns[0], columns[columns.len() - 1]);
        assert!(
            last - first > 700 && columns.len() == last - first + 1,
            "curve {n} is interrupted"
        );
    }
}
