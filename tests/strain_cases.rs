//! Scans that once went wrong: closely spaced disks, a common reference along a, few counts, part of the indices, a beam stop, normalised
//! frames, a pedestal.

mod strain_support;

use emstream::io::memory::MemoryScan;
use emstream::io::{self, BadPixels, OpenOptions, Scan, write};
use emstream::pixel::{FrameShape, Pixel};
use emstream::simulate::{Parameters, Polycrystal, Simulated};
use emstream::workflows::cluster;
use emstream::workflows::strain::{Correlation, Indices, Params, Pedestal, Reference, Strain, StrainAxes};
use ndarray::Array2;
use strain_support::*;

fn simulated(toml: &str) -> (Simulated, Truth, Array2<i32>) {
    let scan = Simulated::new(&Polycrystal::from_toml(toml).unwrap()).unwrap();
    let truth = Truth::of(&scan);
    let grains = Array2::from_shape_vec(scan.info().nav, truth.grains.clone()).unwrap();
    (scan, truth, grains)
}

fn strain(scan: &dyn Scan, grains: Array2<i32>, params: &Params) -> Strain {
    run(scan, given(grains), &cluster::Params::default(), params, &control(2)).unwrap()
}

/// Most maxima of such frames are spots, and none stands out of the others.
#[test]
fn disks_three_radii_apart() {
    for spacing in [12, 14] {
        let (scan, truth, grains) = simulated(&format!(
            "nav=[6,8]\nsig=[128,128]\npixel=\"u16\"\ndisk_radius=4\ndose=2\nseed=21\n\
             grains=[{{at=[0.5,0.2],a={spacing},b={spacing},rotation=10,gamma=90}},\
             {{at=[0.5,0.8],a={spacing},b={spacing},rotation=40,gamma=75}}]"
        ));
        let params = Params {
            lattice_radius: 4.0,
            lattice_radius_outer: 6.0,
            ..Params::default()
        };
        let result = strain(&scan, grains, &params);
        for grain in 0..2 {
            let of = (0..48).filter(|&n| truth.grains[n] == grain);
            let differences = |n: usize| {
                let t = &truth.lattices[n];
                let found = in_basis(&fit(&result, n).lattice, t);
                (off(found.a, t.a), off(found.b, t.b))
            };
            let (a, b): (Vec<f64>, Vec<f64>) = of.map(differences).unzip();
            let (a, b) = (spread(a), spread(b));
            eprintln!("spacing {spacing}, grain {grain}: a off by {a:?}, b by {b:?} px");
            assert!(a[0] < 0.1 && b[0] < 0.1);
        }
    }
}

/// Clusters have bases of their own; x' lies along the a of the reference in all of them.
#[test]
fn one_reference_has_one_a() {
    let (scan, truth, grains) = simulated(
        "nav=[8,10]\npixel=\"u16\"\nseed=5\ndose=3\nstrain_max=0.0\n\
         grains=[{at=[0.5,0.2],a=18,b=18.6,rotation=10},{at=[0.5,0.8],a=18,b=18.6,rotation=60}]",
    );
    let params = Params {
        reference: Reference::Vectors {
            a: [0.0, 17.82],
            b: [18.6, 0.0],
        },
        strain_axes: StrainAxes::AlongA,
        ..Params::default()
    };
    let result = strain(&scan, grains, &params);
    for grain in 0..2 {
        let of = || (0..80).filter(|&n| truth.grains[n] == grain);
        let xx = spread(of().map(|n| result.maps.strain[n].xx).collect())[0];
        let yy = spread(of().map(|n| result.maps.strain[n].yy).collect())[0];
        assert!((xx - 0.0101).abs() < 1e-3 && yy.abs() < 1e-3, "grain {grain}: {xx} {yy}");
    }
}

/// A handful of electrons in each disk: the profile is that of pixels with an area, as simulated.
#[test]
fn few_counts_do_not_toss_a_coin() {
    for seed in [21, 22] {
        let (scan, truth, grains) = simulated(&format!("nav=[12,14]\npixel=\"u16\"\ngrains=3\ndose=0.25\nseed={seed}"));
        let params = Params {
            correlation: Correlation::Joint,
            ..Params::default()
        };
        let result = strain(&scan, grains, &params);
        let why = result.why.clone().unwrap();
        let share = coverage(&result, &truth.lattices);
        eprintln!("seed {seed}: {why}; standard errors cover the truth in {share:.3}");
        assert!(why.contains("over the area of a pixel"), "{why}");
    }
}

/// A few electrons in each disk, and the profile that made them.
#[test]
fn errors_hold_at_few_counts() {
    for (seed, dose) in [(31, 0.25), (32, 0.12), (33, 0.06)] {
        let (scan, truth, grains) = simulated(&format!("nav=[16,18]\npixel=\"u16\"\ngrains=2\ndose={dose}\nseed={seed}"));
        let params = Params {
            correlation: Correlation::Joint,
            min_weight: 0.02,
            ..Params::default()
        };
        let result = strain(&scan, grains, &params);
        let (mut covered, mut claims) = (0usize, 0usize);
        for (found, truth) in result.refined.fits.iter().zip(&truth.lattices) {
            let Some((found, errors)) = found.as_ref().and_then(|f| Some((f.lattice, f.errors?))) else {
                continue;
            };
            let truth = in_basis(truth, &found);
            let pairs = [(found.a, truth.a, errors.a), (found.b, truth.b, errors.b)];
            for (found, truth, error) in pairs.into_iter().filter(|(f, t, _)| off(*f, *t) < 1.0) {
                claims += 2;
                covered += (0..2).filter(|&k| (found[k] - truth[k]).abs() <= error[k]).count();
            }
        }
        let share = covered as f64 / claims as f64;
        let why = result.why.clone().unwrap_or_default();
        eprintln!("dose {dose}: {share:.3} of {claims} are covered; {why}");
        assert!(claims > 800 && (0.60..0.76).contains(&share), "{share} of {claims}");
    }
}

/// With a quarter of the spots the joint fit knows less.
#[test]
fn the_joint_fit_keeps_to_the_indices() {
    let (scan, _, grains) = simulated("nav=[4,6]\npixel=\"u16\"\ngrains=1\ndose=3\nseed=4");
    let error = |first, last| {
        let params = Params {
            correlation: Correlation::Joint,
            indices: Indices { first, last },
            ..Params::default()
        };
        let result = strain(&scan, grains.clone(), &params);
        let of = |n| fit(&result, n).errors.unwrap().a[0];
        spread((0..24).map(of).collect())[0]
    };
    let (all, part) = (error(-2, 2), error(0, 2));
    assert!(part > 1.5 * all, "{part} {all}");
}

/// All pixels of a scan, as stored.
fn pixels(scan: &Simulated) -> Vec<u16> {
    let (frames, size) = (scan.info().frames(), scan.info().frame);
    let mut pixels = vec![0u16; frames as usize * size.pixels()];
    let numbers: Vec<u64> = (0..frames).collect();
    scan.read(&numbers, size.bytes(), bytemuck::cast_slice_mut(&mut pixels), &control(2))
        .unwrap();
    pixels
}

/// A beam stop costs the disks that it hides and no more, whether a mask tells of it or pixels that are not numbers.
#[test]
fn pixels_without_data_are_not_fitted() {
    let (scan, truth, grains) = simulated("nav=[8,10]\npixel=\"u16\"\ngrains=2\ndose=1\nseed=6");
    let (nav, frame) = (scan.info().nav, scan.info().frame);
    let zero = truth.lattices[0].zero.map(|v| v.round() as usize);
    let stop = |p: usize| (zero[0] - 2..zero[0] + 3).contains(&(p / frame.width)) && p % frame.width < zero[1] + 2;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, nav: [usize; 2], pixel, bytes: &[u8]| {
        let path = dir.path().join(name);
        let mut file = write::create(&path, nav, FrameShape { pixel, ..frame }, true).unwrap();
        file.write(bytes).unwrap();
        file.finish().unwrap();
        path
    };
    let whole = pixels(&scan);
    let hidden = |(n, &v): (usize, &u16)| (!stop(n % frame.pixels())).then_some(v);
    let zeros: Vec<u16> = whole.iter().enumerate().map(|p| hidden(p).unwrap_or(0)).collect();
    let nan: Vec<f32> = whole
        .iter()
        .enumerate()
        .map(|p| hidden(p).map_or(f32::NAN, f32::from))
        .collect();
    let mask: Vec<u8> = (0..frame.pixels()).map(|p| u8::from(stop(p))).collect();
    let mask_path = dir.path().join("mask.png");
    let mut image = png::Encoder::new(
        std::fs::File::create(&mask_path).unwrap(),
        frame.width as u32,
        frame.height as u32,
    );
    image.set_color(png::ColorType::Grayscale);
    image.write_header().unwrap().write_image_data(&mask).unwrap();
    let error = |name: &str, scan: &dyn Scan| {
        let result = strain(scan, grains.clone(), &Params::default());
        assert!(
            result.why.as_deref().unwrap().contains("smaller than those of fast"),
            "{:?}",
            result.why
        );
        let zeros = (0..80).map(|n| off(fit(&result, n).lattice.zero, truth.lattices[n].zero));
        let (median, covered) = (spread(zeros.collect())[0], coverage(&result, &truth.lattices));
        eprintln!("{name}: zero off by {median:.4} px, errors cover {covered:.3}");
        assert!((covered - 0.683).abs() < 0.06, "{name}: {covered}");
        median
    };
    let seen = error("no stop", &scan);
    let masked = OpenOptions {
        bad_pixels: BadPixels::File(mask_path),
        ..OpenOptions::default()
    };
    let zeros = file("zeros.npy", nav, Pixel::U16, bytemuck::cast_slice(&zeros));
    let behind = error("mask", &*io::open(&zeros, &masked, &control(2)).unwrap());
    let nan = open(&file("nan.npy", nav, Pixel::F32, bytemuck::cast_slice(&nan)));
    let numberless = error("not a number", &*nan);
    assert!(
        behind < 1.15 * seen && numberless < 1.15 * seen,
        "{behind} {numberless} {seen}"
    );
}

/// Frames divided by their sum: nothing is fitted, and it is said why.
#[test]
fn normalised_frames_and_large_disks_are_told_of() {
    let (scan, _, grains) = simulated("nav=[4,6]\npixel=\"u16\"\ngrains=1\ndose=3\nseed=4");
    let frame = scan.info().frame;
    let pixels = pixels(&scan);
    let mut shares = Vec::with_capacity(pixels.len());
    for frame in pixels.chunks(frame.pixels()) {
        let sum: f32 = frame.iter().map(|&v| f32::from(v)).sum();
        shares.extend(frame.iter().map(|&v| f32::from(v) / sum));
    }
    let normalised = MemoryScan::new([4, 6], [frame.height, frame.width], shares).unwrap();
    let result = strain(&normalised, grains.clone(), &Params::default());
    let told = |result: &Strain, what: &str| result.clustering.warnings.iter().any(|w| w.contains(what));
    let warnings = &result.clustering.warnings;
    assert!(
        told(&result, "--min-weight 0.1") && told(&result, "pixels are at most"),
        "{warnings:?}"
    );
    let counts = strain(&scan, grains.clone(), &Params::default());
    assert!(
        !told(&counts, "--min-weight") && !told(&counts, "--zero"),
        "{:?}",
        counts.clustering.warnings
    );
    // A template that is far too small for the disks.
    let small = Params {
        lattice_radius: 1.0,
        lattice_radius_outer: 2.5,
        ..Params::default()
    };
    let small = strain(&scan, grains, &small);
    assert!(told(&small, "--lattice-radius"), "{:?}", small.clustering.warnings);
}

#[test]
fn labels_with_large_gaps_are_refused() {
    let (scan, _, grains) = simulated("nav=[4,6]\npixel=\"u16\"\ngrains=1\ndose=3\nseed=4");
    let with = |number: i32| {
        let mut map = grains.clone();
        map[[3, 5]] = number;
        run(
            &scan,
            given(map),
            &cluster::Params::default(),
            &Params::default(),
            &control(2),
        )
    };
    let text = with(3000).err().unwrap().to_string();
    assert!(text.contains("--labels") && text.contains("up to 3000"), "{text}");
    let warnings = with(9).unwrap().clustering.warnings;
    assert!(warnings.iter().any(|w| w.contains("labels go up to 9")), "{warnings:?}");
}

/// An offset of all pixels, a gain and an offset, and read noise leave the joint fit as accurate as counts do, and its errors as right.
#[test]
fn a_pedestal_is_taken_off() {
    let (scan, truth, grains) = simulated("nav=[16,18]\npixel=\"u16\"\ngrains=2\ndose=0.5\nseed=41");
    let (nav, frame) = (scan.info().nav, scan.info().frame);
    let counts = pixels(&scan);
    let run = |value: &dyn Fn(f64) -> f64| {
        let values = counts.iter().map(|&v| value(f64::from(v)) as f32).collect();
        let scan = MemoryScan::new(nav, [frame.height, frame.width], values).unwrap();
        let result = strain(&scan, grains.clone(), &Params::default());
        assert_eq!(result.correlation, Correlation::Joint, "{:?}", result.why);
        let offs = result.refined.fits.iter().zip(&truth.lattices).filter_map(|(found, truth)| {
            let (found, errors) = found.as_ref().and_then(|f| Some((f.lattice, f.errors?)))?;
            Some([0, 1].map(|k| ((found.zero[k] - truth.zero[k]).abs(), errors.zero[k])))
        });
        let offs: Vec<(f64, f64)> = offs.flatten().filter(|(off, _)| *off < 1.0).collect();
        assert!(offs.len() > 500, "{}", offs.len());
        let covered = offs.iter().filter(|(off, error)| off <= error).count() as f64 / offs.len() as f64;
        (spread(offs.iter().map(|o| o.0).collect())[0], covered, result.pedestal)
    };
    let (median, share, none) = run(&|v| v);
    assert_eq!(none, Pedestal::None);
    for [gain, offset] in [[1.0, 20.0], [1.0, 500.0], [20.0, 1000.0]] {
        let (off, covered, found) = run(&|v| gain * v + offset);
        eprintln!("gain {gain} offset {offset}: {off:.4} px ({median:.4}), {covered:.3} ({share:.3}), {found:?}");
        let Pedestal::At { value, error } = found else {
            panic!("no pedestal with gain {gain} and offset {offset}");
        };
        // The pattern of neighbours is not quite the same.
        let off_by = (f64::from(value) - offset).abs() / gain;
        assert!(off_by < 0.03 && error < 0.01 * gain, "{value} {error}");
        assert!(
            off < 1.1 * median && (covered - share).abs() < 0.05,
            "{off} {median} {covered} {share}"
        );
    }
}

/// A blank frame among those above an offset does not change what is taken off.
#[test]
fn a_blank_frame_does_not_spoil_the_pedestal() {
    let (scan, _, grains) = simulated("nav=[10,12]\npixel=\"u16\"\ngrains=1\ndose=0.5\nseed=43");
    let (nav, frame) = (scan.info().nav, scan.info().frame);
    let counts = pixels(&scan);
    let run = |blank: Option<usize>| {
        let pixels = frame.height * frame.width;
        let value = |(i, v): (usize, &u16)| {
            if Some(i / pixels) == blank {
                0.0
            } else {
                f32::from(*v) + 100.0
            }
        };
        let values = counts.iter().enumerate().map(value).collect();
        let scan = MemoryScan::new(nav, [frame.height, frame.width], values).unwrap();
        strain(&scan, grains.clone(), &Params::default()).pedestal
    };
    for blank in [None, Some(0), Some(50)] {
        let Pedestal::At { value, error } = run(blank) else {
            panic!("no pedestal with {blank:?}");
        };
        assert!((value - 100.0).abs() < 0.03 && error < 0.02, "{blank:?}: {value} {error}");
    }
}
