//! Who gets an answer, and what is refused.

use super::support::{Explore, scan};
use std::io::{Read, Write};
use std::net::Shutdown;

#[test]
fn without_the_token_there_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    scan(folder.path(), "scan.npy", [4, 5], [16, 16]);
    let explore = Explore::start(folder.path(), &["scan.npy"]);
    for target in [
        "/",
        "/main.js",
        "/style.css",
        "/api/state",
        "/api/frame?y=0&x=0",
        "/nothing",
        "/?token=",
        "/?token=0123456789abcdef0123456789abcdef",
    ] {
        assert_eq!(explore.with(target, "").status, 403, "{target}");
    }
    assert_eq!(explore.with("/api/state", "X-Emstream-Token: 1\r\n").status, 403);
    assert_eq!(explore.get("/api/state").status, 200);
    // The token in the address becomes a cookie and leaves the address.
    let welcome = explore.with(&format!("/?token={}", explore.token), "");
    assert_eq!(welcome.status, 303);
    assert!(
        welcome.head.contains("Location: /\r\n") && welcome.head.contains("HttpOnly; SameSite=Strict"),
        "{}",
        welcome.head
    );
    let cookie = welcome
        .head
        .split("Set-Cookie: ")
        .nth(1)
        .and_then(|c| c.split(';').next())
        .unwrap();
    let page = explore.with("/", &format!("Cookie: {cookie}\r\n"));
    assert_eq!(page.status, 200);
    assert!(page.head.contains("Content-Security-Policy: default-src 'none'") && page.text().contains("emstream"));
    assert_eq!(explore.with("/main.js", &format!("Cookie: {cookie}\r\n")).status, 200);
    // A page of another server on this machine, and a name that was bent to point here.
    assert_eq!(
        explore
            .with("/api/state", &format!("Cookie: {cookie}\r\nOrigin: http://127.0.0.1:1\r\n"))
            .status,
        403
    );
    assert_eq!(
        explore
            .with("/api/state", &format!("Cookie: {cookie}\r\nSec-Fetch-Site: same-site\r\n"))
            .status,
        403
    );
    let bent = format!(
        "GET /api/state HTTP/1.1\r\nHost: evil.example:{}\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n",
        explore.port
    );
    assert_eq!(explore.raw(bent.as_bytes()).status, 403);
}

#[test]
fn nonsense_is_refused_and_the_server_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    scan(folder.path(), "scan.npy", [4, 5], [16, 16]);
    std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    let mut explore = Explore::start(folder.path(), &["scan.npy"]);
    // No address leads out of the files that were opened.
    for target in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/secret.txt",
        "//etc/passwd",
        "/api/../secret.txt",
        "/assets/main.js",
    ] {
        let answer = explore.get(target);
        assert!(
            answer.status == 404 && !answer.text().contains("secret\""),
            "{target}: {}",
            answer.status
        );
    }
    let refused = [
        "/api/values?id=../secret.txt",
        "/api/values?id=0:/../../secret",
        "/api/values",
        "/api/frame?y=4&x=0",
        "/api/frame?y=0&x=-1",
        "/api/frame?y=0&x=99999999999999999999999",
        "/api/frame?y=0&x=0&scan=1",
        "/api/frame?y=0&x=0&neighbours=11",
        "/api/frame?y=0&x=0&process=1&sigma=-3",
        "/api/frame?y=0",
        "/api/detector?client=a&spec=ring:1,2,3",
        "/api/detector?client=a&spec=disk:900,900,2",
        "/api/detector?client=a&spec=disk:nan,0,2",
        "/api/detector?spec=disk:1,1,2",
        "/api/detector?client=a%2Fb&spec=disk:1,1,2",
        "/api/region?client=a&region=0:9,0:1",
        "/api/region?client=a&region=../x",
        "/api/region?client=a&region=roi",
        "/api/overlay?names=peaks&y=9&x=0",
        "/api/save?what=frame&y=0&x=0&format=exe",
        "/api/save?what=secret.txt&format=npy",
        "/api/save?what=detector&spec=disk:1,1,2&format=npy",
    ];
    for target in refused {
        let answer = explore.get(target);
        assert_eq!(answer.status, 422, "{target}: {}", answer.text());
        assert!(answer.text().starts_with("{\"error\":"), "{target}: {}", answer.text());
    }
    let big = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20));
    assert_eq!(explore.raw(big.as_bytes()).status, 431);
    assert_eq!(
        explore
            .raw(b"POST /api/state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
            .status,
        405
    );
    assert_eq!(
        explore
            .raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
            .status,
        413
    );
    assert_eq!(explore.raw(b"\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n").status, 400);
    assert_eq!(explore.raw(&[b'\n'; 40_000]).status, 431);
    // Clients that say nothing, half of something, or go away while they are answered.
    for part in ["", "GET /api/sta", "GET / HTTP/1.1\r\nHost:"] {
        let mut stream = explore.connect();
        stream.write_all(part.as_bytes()).unwrap();
    }
    for target in [
        "/api/detector?client=gone&spec=disk:8,8,5",
        "/api/region?client=gone&region=0:4,0:5",
        "/main.js",
        "/api/frame?y=1&x=1",
    ] {
        let mut stream = explore.connect();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Emstream-Token: {}\r\n\r\n",
            explore.token
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut some = [0; 10];
        stream.read_exact(&mut some).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    }
    assert!(explore.is_running());
    assert_eq!(explore.json("/api/state")["nav"], serde_json::json!([4, 5]));
}

#[test]
fn ten_clients_share_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    // 36 MB of frames.
    scan(folder.path(), "scan.npy", [48, 48], [88, 90]);
    let explore = Explore::start(folder.path(), &["scan.npy", "--memory", "256M", "--threads", "2"]);
    explore.follow("/api/detector?client=first&spec=disk:40,40,9");
    explore.numbers("/api/frame?y=1&x=1&neighbours=10");
    let before = explore.memory()[0];
    let explore = &explore;
    std::thread::scope(|scope| {
        for client in 0..10 {
            scope.spawn(move || {
                for round in 0..2 {
                    // Asked and left for the next one, as a mouse that moves does.
                    for r in 3..7 {
                        explore.numbers(&format!("/api/detector?client=c{client}&spec=disk:40,40,{}", r + 10 * round));
                    }
                    explore.numbers(&format!("/api/frame?y={client}&x={round}&neighbours=10"));
                    explore.numbers(&format!("/api/frame?y={client}&x={round}&neighbours=1&process=1"));
                    explore.follow(&format!("/api/region?client=c{client}&region=0:48,{client}:48"));
                }
            });
        }
        // Connections that hold on and say nothing.
        let silent: Vec<_> = (0..40).map(|_| explore.connect()).collect();
        drop(silent);
    });
    let most = explore.memory()[1];
    assert!(
        most < before + (160 << 20),
        "{} MB before, {} MB at most",
        before >> 20,
        most >> 20
    );
}

#[test]
fn bad_command_lines_end_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    scan(folder.path(), "scan.npy", [4, 5], [16, 16]);
    std::fs::write(folder.path().join("broken.blo"), b"IMGBLO but no more").unwrap();
    super::support::run(folder.path(), &["stats", "scan.npy", "-o", "stats.h5"]);
    let detectors = ["masks", "scan.npy", "-o", "masks.h5", "--masks", "disk:8,8,3", "rect:2,2,4,4"];
    super::support::run(folder.path(), &detectors);
    for (args, word) in [
        (vec!["broken.blo"], "broken.blo"),
        (vec!["missing.npy"], "missing.npy"),
        (vec!["scan.npy", "--at", "4,0"], "outside the scan"),
        (vec!["scan.npy", "--roi", "0:9,0:1"], "leaves the scan"),
        (vec!["scan.npy", "--neighbours", "11"], "--neighbours: 11 is more than 10"),
        (
            vec!["scan.npy", "--map", "strain/xx"],
            "'strain/xx' is not there: the open files have none",
        ),
        (
            vec!["scan.npy", "masks.h5", "--map", "masks/vlaues"],
            "there are masks/values",
        ),
        (
            vec!["scan.npy", "masks.h5", "--map", "masks/values[2]"],
            "masks/values has 2 maps, from 0 on; there is no 2",
        ),
        (vec!["scan.npy", "--detector", "disk:1,2"], "--detector: `disk:1,2`"),
        (vec!["scan.npy", "--detector", "disk:90,90,3"], "--detector: "),
        (vec!["scan.npy", "--region", "0:9,0:2"], "--region: "),
        (vec!["scan.npy", "--region", "label:0:/clusters/labels=1"], "--region: "),
        (
            vec!["scan.npy", "stats.h5", "--pattern", "maen"],
            "there are frame, mean, std, logsum, stats/logsum, stats/max, ",
        ),
        (vec!["scan.npy", "--pattern", "mean"], "--pattern: mean is that of a --region"),
        (vec!["scan.npy", "--scale", "99..1"], "--scale: '99..1' is none of"),
        (vec!["scan.npy", "--map-scale", "cubic"], "--map-scale: 'cubic' is none of"),
        (vec!["scan.npy", "--colours", "jet"], "there are grey, viridis"),
        (
            vec!["scan.npy", "--map-colours", "--grey"],
            "--map-colours: '--grey' is not there",
        ),
        (
            vec!["scan.npy", "--overlay", "bands,lattice"],
            "--overlay: 'lattice' is not there; there are bands",
        ),
        (vec!["masks.h5", "--detector", "disk:8,8,3"], "--detector: no scan is open"),
    ] {
        let output = super::support::emstream()
            .current_dir(folder.path())
            .arg("explore")
            .arg("--no-open")
            .args(&args)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(
            words.lines().count() == 1 && words.starts_with("error: ") && words.contains(word),
            "{args:?}: {words}"
        );
    }
    // What the files have is shown.
    let view = "--map=masks/values[1] --detector=disk:8,8,3 --region=0:2,0:2 --pattern=std --scale=0.5..99.5 --map-scale=log --colours=-grey --map-colours=labels";
    let args: Vec<&str> = ["scan.npy", "masks.h5", "--overlay", "bands"]
        .into_iter()
        .chain(view.split(' '))
        .collect();
    let state = Explore::start(folder.path(), &args).json("/api/state");
    assert_eq!(state["view"]["map"], "masks/values[1]");
    // A file that is broken beside one that is not is told on the page.
    let explore = Explore::start(folder.path(), &["scan.npy", "broken.blo"]);
    let state = explore.json("/api/state");
    assert!(
        state["problems"][0].as_str().unwrap().contains("broken.blo"),
        "{}",
        state["problems"]
    );
}
