//! The page in a real browser.

use super::browser::Browser;
use super::support::{Explore, run, scan};
use emstream::io::read_stored;
use emstream::io::results::{Meta, Provenance, ResultFile};
use ndarray::{Array2, Ix2, Ix3, s};

const NAV: [usize; 2] = [24, 30];
const SIG: [usize; 2] = [48, 52];

/// Click a point, draw a ring, switch maps, save a region and use it; a broken file is told.
#[test]
fn a_person_explores() {
    let folder = tempfile::tempdir().unwrap();
    let pixels = scan(folder.path(), "scan.npy", NAV, SIG);
    let file = ResultFile::create(folder.path().join("result.h5"), false).unwrap();
    let scan_axes = ["scan_y", "scan_x"];
    let labels = Array2::from_shape_fn((NAV[0], NAV[1]), |(y, x)| ((y / 8) * 3 + x / 10) as i32);
    file.put(
        "clusters/labels",
        labels.view(),
        Meta::new("", &scan_axes, "cluster of each position"),
    )
    .unwrap();
    let strain = Array2::from_shape_fn((NAV[0], NAV[1]), |(y, x)| (y as f32 - 12.0) * 1e-3 + x as f32 * 1e-5);
    file.put("strain/xx", strain.view(), Meta::new("", &scan_axes, "strain xx"))
        .unwrap();
    file.provenance(&Provenance {
        command: "strain".into(),
        ..Provenance::default()
    })
    .unwrap();
    file.finish().unwrap();
    std::fs::write(folder.path().join("broken.blo"), b"IMGBLO but no more").unwrap();
    let explore = Explore::start(
        folder.path(),
        &[
            "scan.npy",
            "result.h5",
            "broken.blo",
            "--map",
            "strain/xx",
            "--colours",
            "grey",
            "--scale",
            "linear",
        ],
    );

    let mut browser = Browser::start([1366, 768]);
    browser.open(&explore.address());
    browser.until("explorer.map.values && explorer.pattern.values");
    assert_eq!(
        browser.eval("location.href"),
        format!("http://127.0.0.1:{}/", explore.port),
        "the token left the address"
    );
    // The broken file.
    let told = browser.eval("document.getElementById('problems').innerText");
    assert!(told.as_str().unwrap().contains("broken.blo"), "{told}");
    // The map of the result.
    assert!(browser.values("map").iter().zip(&strain).all(|(a, b)| *a as f32 == *b));

    // A click shows the frame of that position.
    let at = browser.place("map", 5.0, 22.0);
    browser.click(at);
    browser.until("explorer.pattern.shownAt?.join() === '5,22'");
    let frame = pixels.slice(s![5, 22, .., ..]);
    assert!(
        browser.values("pattern").iter().zip(&frame).all(|(a, b)| *a == f64::from(*b)),
        "the pixels of the file"
    );
    // What is painted are those pixels in grey, from smallest to largest.
    let painted = browser.eval("Array.from(explorer.pattern.image.getContext('2d').getImageData(0, 0, 52, 48).data)");
    let (low, high) = (*frame.iter().min().unwrap(), *frame.iter().max().unwrap());
    for (i, &v) in frame.iter().enumerate() {
        let grey = 255.0 * f64::from(v - low) / f64::from(high - low);
        let shown = painted[4 * i].as_f64().unwrap();
        assert!((shown - grey).abs() <= 1.0, "pixel {i}: {shown} for {grey}");
    }
    browser.key("ArrowRight");
    browser.key("ArrowDown");
    browser.until("explorer.pattern.shownAt?.join() === '6,23'");
    assert_eq!(
        browser.eval("document.getElementById('y').value + ',' + document.getElementById('x').value"),
        "6,23"
    );

    // A ring drawn on the pattern.
    browser.eval("document.querySelector('input[name=pattern-tool][value=ring]').click()");
    let (from, to) = (browser.place("pattern", 23.5, 25.5), browser.place("pattern", 23.5, 39.5));
    browser.drag(from, to);
    browser.until("explorer.shown.map === 'detector' && explorer.map.complete && document.getElementById('map-readout').innerText.startsWith(`${explorer.shown.detector}: ${explorer.state.nav[0] * explorer.state.nav[1]} frames in `)");
    let spec = browser.eval("explorer.shown.detector").as_str().unwrap().to_owned();
    assert!(spec.starts_with("ring:"), "{spec}");
    let shown = browser.values("map");
    run(folder.path(), &["masks", "scan.npy", "--masks", &spec, "-o", "masks.h5"]);
    let masks = read_stored::<f32, Ix3>(&folder.path().join("masks.h5"), "masks/values", 1 << 20).unwrap();
    assert!(
        masks.iter().zip(&shown).all(|(a, b)| *a == *b as f32),
        "{spec}: the map of masks"
    );
    // The command that the page offers makes the same map.
    let line = browser.eval("document.getElementById('masks-command').innerText");
    assert_eq!(line, format!("emstream masks scan.npy --masks {spec} -o masks.h5"));

    // Back to a map of the result.
    browser.eval("(() => { const e = document.getElementById('map-source'); e.value = '0:/clusters/labels'; e.dispatchEvent(new Event('change')); })()");
    browser.until("explorer.map.name === 'clusters/labels' && !document.getElementById('legend').hidden");
    assert!(browser.values("map").iter().zip(&labels).all(|(a, b)| *a == f64::from(*b)));
    assert_eq!(browser.eval("document.querySelectorAll('#legend button').length"), 9);

    // A rectangle drawn on the map: its mean, and the same region on the command line.
    browser.eval("document.querySelector('input[name=map-tool][value=rect]').click()");
    let (from, to) = (browser.place("map", 3.0, 4.0), browser.place("map", 8.0, 16.0));
    browser.drag(from, to);
    browser.until("explorer.pattern.name === 'mean' && document.querySelector('[data-save=pattern]').hasAttribute('href')");
    let region = browser.eval("explorer.shown.region").as_str().unwrap().to_owned();
    assert_eq!(region, "3:9,4:17");
    let shown = browser.values("pattern");
    run(
        folder.path(),
        &["stats", "scan.npy", "--roi", &region, "-o", "stats.h5", "--ops", "mean"],
    );
    let mean = read_stored::<f64, Ix2>(&folder.path().join("stats.h5"), "stats/mean", 1 << 20).unwrap();
    assert!(mean.iter().zip(&shown).all(|(a, b)| *a as f32 == *b as f32));
    // The saved mask does the same.
    let bytes = browser.eval(
        "fetch(document.getElementById('region-npy').href).then(r => r.arrayBuffer()).then(b => Array.from(new Uint8Array(b)))",
    );
    let bytes: Vec<u8> = bytes.as_array().unwrap().iter().map(|b| b.as_u64().unwrap() as u8).collect();
    std::fs::write(folder.path().join("roi.npy"), bytes).unwrap();
    run(
        folder.path(),
        &["stats", "scan.npy", "--roi", "roi.npy", "-o", "again.h5", "--ops", "mean"],
    );
    assert_eq!(
        read_stored::<f64, Ix2>(&folder.path().join("again.h5"), "stats/mean", 1 << 20).unwrap(),
        mean
    );

    // The command line of the view shows the same view again.
    let line = browser
        .eval("document.getElementById('command').innerText")
        .as_str()
        .unwrap()
        .to_owned();
    let words: Vec<&str> = line.split_whitespace().skip(2).collect();
    let second = Explore::start(folder.path(), &words);
    browser.open(&second.address());
    browser.until("explorer.pattern.name === 'mean' && document.querySelector('[data-save=pattern]').hasAttribute('href')");
    assert_eq!(browser.values("pattern"), shown);
    assert_eq!(
        browser.eval("[explorer.shown.at.join(), explorer.shown.region, explorer.map.name].join(' ')"),
        "6,23 3:9,4:17 clusters/labels"
    );
    assert_eq!(browser.eval("document.getElementById('command').innerText"), line);

    // Light and dark.
    let back = "getComputedStyle(document.body).backgroundColor";
    browser.theme("light");
    assert_eq!(browser.eval(back), "rgb(246, 247, 249)");
    browser.theme("dark");
    assert_eq!(browser.eval(back), "rgb(20, 23, 29)");
    // Nothing is wider than a laptop's screen.
    assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth"), true);

    // When the program ends the page says so.
    drop(second);
    browser.eval("explorer.setMap('0:/strain/xx')");
    browser.until("document.getElementById('map-readout').innerText.includes('no longer answers')");
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}

/// A file that ends too early is told where its frame would be; the page without its token says what to do.
#[test]
fn a_broken_file_is_told_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    scan(folder.path(), "scan.npy", NAV, SIG);
    let explore = Explore::start(folder.path(), &["scan.npy"]);
    let mut browser = Browser::start([1366, 768]);
    browser.open(&format!("http://127.0.0.1:{}/", explore.port));
    assert!(
        browser
            .eval("document.body.innerText")
            .as_str()
            .unwrap()
            .contains("open the address that emstream printed")
    );
    browser.open(&explore.address());
    browser.until("explorer.pattern.values");
    // Another program cuts the file while it is open.
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(folder.path().join("scan.npy"))
        .unwrap();
    file.set_len(100_000).unwrap();
    browser.eval("explorer.moveTo([20, 20])");
    browser.until("document.getElementById('pattern-readout').classList.contains('bad')");
    let told = browser.eval("document.getElementById('pattern-readout').innerText");
    assert!(told.as_str().unwrap().contains("scan.npy"), "{told}");
    assert_eq!(
        browser.eval("explorer.pattern.values"),
        serde_json::Value::Null,
        "no old frame stays"
    );
    browser.eval("explorer.moveTo([0, 1])");
    browser.until("explorer.pattern.values && !document.getElementById('pattern-readout').classList.contains('bad')");
}
