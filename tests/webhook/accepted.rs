//! Promise: what a vendor signed is stored before it is acknowledged and handed over once; what it did not sign is nowhere.

use crate::served::{
    SECRET, Serving, deliver, deliveries, delivery, drained, exchange, project, request, signature,
};
use portcullis_tests::wait_for;
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
};

#[test]
fn a_delivery_is_accepted_handed_over_and_shown() {
    let project = project("", "");
    let serving = Serving::start(&project);
    assert_eq!(serving.deliver(b"{\"n\": 1.10}"), Some(200));
    let rows = drained(&project);
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (&rows[0]["state"], &rows[0]["runs"], &rows[0]["route"]),
        (&json!("done"), &json!(1), &json!("things"))
    );
    let shown = delivery(&project, &rows[0]["delivery_id"]);
    assert_eq!((&shown["body"], &shown["path"]), (&json!("{\"n\": 1.10}"), &json!("/hooks/things")));
    let event = &shown["events"][0];
    assert_eq!((&event["name"], &event["id"]), (&json!("delivered"), &rows[0]["delivery_id"]));
    assert_eq!(event["payload"]["body"], "{\"n\": 1.10}");
    let run = project.run(&["--json", "runs", "show", rows[0]["run_id"].as_str().unwrap()]).json();
    assert_eq!((&run["outcome"], &run["subject"]), (&json!("succeeded"), &rows[0]["delivery_id"]));
    let ended = serving.running.terminate();
    assert_eq!(ended.status, Some(0));
}

#[test]
fn what_is_not_signed_is_nowhere() {
    let project = project("", "");
    let serving = Serving::start(&project);
    let body = b"{\"canary\":\"c4n4ry-0123456789\"}";
    let send = |headers: &[(&str, &str)]| {
        exchange(serving.ingress, &request("/hooks/things", headers, body)).unwrap().0
    };
    let good = signature(SECRET, body);
    assert_eq!(send(&[]), 401);
    assert_eq!(send(&[("X-Hub-Signature-256", &signature("another secret", body))]), 401);
    assert_eq!(send(&[("X-Hub-Signature-256", &good.to_uppercase())]), 401);
    assert_eq!(send(&[("X-Hub-Signature-256", &good), ("X-Hub-Signature-256", &good)]), 401);
    assert_eq!(send(&[("X-Hub-Signature", &good)]), 401);
    for target in [
        "/hooks/thing",
        "/hooks/things/",
        "/hooks//things",
        "/hooks/%74hings",
        "http://hooks.vendor.test/hooks/things",
    ] {
        let asked = request(target, &[("X-Hub-Signature-256", &good)], body);
        assert_eq!(exchange(serving.ingress, &asked).unwrap().0, 404, "{target}");
    }
    assert!(deliveries(&project).is_empty());
    assert_eq!(serving.running.terminate().status, Some(0));
    for (path, bytes) in project.bytes_below("data") {
        assert!(!bytes.windows(17).any(|window| window == b"c4n4ry-0123456789"), "{}", path.display());
    }
}

#[test]
fn the_operators_door_is_another_one() {
    let project = project("", "");
    let serving = Serving::start(&project);
    let get = |to, path: &str| {
        exchange(to, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap()
    };
    assert_eq!(get(serving.operator, "/health").0, 200);
    assert_eq!(get(serving.operator, "/ready").0, 200);
    assert_eq!(get(serving.operator, "/hooks/things").0, 404);
    assert_eq!(get(serving.ingress, "/health").0, 404);
    assert_eq!(get(serving.ingress, "/ready").0, 404);
    // Nobody else may write meanwhile, and who tries is told whom it waits for.
    let refused = project.run(&["--wait", "0", "check", "probe"]);
    let said = refused.exits(6).stderr.clone();
    assert!(said.contains(&format!("is in use by process {}", serving.running.id())), "{said}");
    assert_eq!(serving.running.terminate().status, Some(0));
}

#[test]
fn a_route_that_cannot_verify_yet_tells_its_vendor_to_come_again() {
    let project = project("", "");
    project.run(&["revoke", "probe"]).exits(0);
    let serving = Serving::start(&project);
    let body = b"{}";
    let signed = signature(SECRET, body);
    let asked = request("/hooks/things", &[("X-Hub-Signature-256", &signed)], body);
    let (status, answer) = exchange(serving.ingress, &asked).unwrap();
    assert_eq!(status, 503);
    assert!(answer.to_lowercase().contains("retry-after: 30"), "{answer}");
    assert!(deliveries(&project).is_empty());
}

#[test]
fn a_saved_config_counts_whole_or_not_at_all() {
    let project = project("", "");
    let serving = Serving::start(&project);
    assert_eq!(serving.deliver(b"1"), Some(200));
    let config = std::fs::read_to_string(project.path("portcullis.toml")).unwrap();
    // Another secret, and the former one still signs.
    project.secret("next.key", "whsec_another_0123456789abcdef0123");
    let rotated = config.replace(
        "secret = \"file:hook.key\"",
        "secret = \"file:next.key\"\nprevious-secret = \"file:hook.key\"",
    );
    project.file("portcullis.toml", rotated.as_bytes());
    serving.running.signal(libc::SIGHUP);
    serving.says("read anew");
    let signed = signature("whsec_another_0123456789abcdef0123", b"2");
    let asked = request("/hooks/things", &[("X-Hub-Signature-256", &signed)], b"2");
    assert_eq!(exchange(serving.ingress, &asked).unwrap().0, 200);
    assert_eq!(serving.deliver(b"3"), Some(200));
    // What is wrong changes nothing.
    project.file(
        "portcullis.toml",
        rotated.replace("path = \"/hooks/things\"", "pth = \"/hooks/other\"").as_bytes(),
    );
    serving.running.signal(libc::SIGHUP);
    serving.says("nothing was changed");
    assert_eq!(serving.deliver(b"4"), Some(200));
    project.file("portcullis.toml", config.as_bytes());
    assert_eq!(drained(&project).len(), 4);
    assert_eq!(serving.running.terminate().status, Some(0));
}

/// Its file is gone for a moment: that is no reason to turn its vendor away.
#[test]
fn a_route_keeps_the_secret_that_it_has() {
    let project = project("", "");
    let serving = Serving::start(&project);
    std::fs::rename(project.path("hook.key"), project.path("away.key")).unwrap();
    // Whoever saves what is read has it read, and so does who removes it.
    serving.says("nothing was changed");
    assert_eq!(serving.deliver(b"1"), Some(200));
    let doctor = project.run(&["doctor"]);
    doctor.exits(3);
    assert!(
        doctor.stdout.contains("webhooks.things: it would take nothing: its secret can't be read"),
        "{}",
        doctor.stdout
    );
    let ran = project.run(&["reload"]);
    assert_ne!(ran.status, Some(0));
    for words in [
        "the route `things` would take nothing: its secret can't be read",
        "mend that, or take the route out",
    ] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    assert_eq!(serving.deliver(b"2"), Some(200));
    std::fs::rename(project.path("away.key"), project.path("hook.key")).unwrap();
    serving.says("read anew");
    assert_eq!(serving.deliver(b"3"), Some(200));
    assert_eq!(drained(&project).len(), 3);
}

#[test]
fn who_says_no_more_still_hears() {
    let project = project("", "");
    let serving = Serving::start(&project);
    for number in 0..10 {
        let body = format!("{{\"number\":{number}}}");
        let signed = signature(SECRET, body.as_bytes());
        let mut stream = TcpStream::connect(serving.ingress).unwrap();
        stream
            .write_all(&request("/hooks/things", &[("X-Hub-Signature-256", &signed)], body.as_bytes()))
            .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(drained(&project).len(), 10);
}

/// What is announced, and what only waits, takes nothing of what is there for all.
#[test]
fn who_proves_nothing_takes_no_room() {
    let project = project("", "body = \"8MiB\"");
    let serving = Serving::start(&project);
    let announced = b"POST /hooks/things HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n";
    let open = || TcpStream::connect(serving.ingress).unwrap();
    let announcing: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = open();
            stream.write_all(announced).unwrap();
            stream
        })
        .collect();
    assert_eq!(serving.deliver(b"1"), Some(200));
    let announced_too: Vec<_> = (0..1100)
        .map(|_| {
            let mut stream = open();
            // Who is closed already can't write.
            drop(stream.write_all(announced));
            stream
        })
        .collect();
    assert_eq!(serving.deliver(b"1"), Some(200));
    // More connections than there may be at a time: those that wait for longest make room.
    let waiting: Vec<_> = (0..1100).map(|_| open()).collect();
    assert_eq!(serving.deliver(b"2"), Some(200));
    assert_eq!(drained(&project).len(), 3);
    drop((announcing, announced_too, waiting));
}

#[test]
fn one_sender_that_is_slow_or_large_holds_up_no_other() {
    let project = project("", "body = \"1KiB\"");
    let serving = Serving::start(&project);
    // Headers that do not end, and a body that does not.
    let mut slow = TcpStream::connect(serving.ingress).unwrap();
    slow.write_all(b"POST /hooks/things HTTP/1.1\r\nHost: x\r\n").unwrap();
    let mut waiting = TcpStream::connect(serving.ingress).unwrap();
    waiting.write_all(b"POST /hooks/things HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc").unwrap();
    assert_eq!(serving.deliver(&[b'1'; 1024]), Some(200));
    assert_eq!(serving.deliver(&[b'1'; 1025]), Some(413));
    // Announced, and not even read.
    let head = b"POST /hooks/things HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n";
    assert_eq!(exchange(serving.ingress, head).unwrap().0, 413);
    // In pieces without an end in sight.
    let mut endless = TcpStream::connect(serving.ingress).unwrap();
    let head = b"POST /hooks/things HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let piece = [b"100\r\n".as_slice(), &[b'a'; 256], b"\r\n"].concat();
    endless.write_all(&[head.as_slice(), &piece.repeat(5)].concat()).unwrap();
    let mut answer = [0; 12];
    endless.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(drained(&project).len(), 1);
}

#[test]
fn what_comes_while_it_stops_is_accepted_or_not_acknowledged() {
    let project = project("", "");
    let serving = Serving::start(&project);
    let to = serving.ingress;
    let sender = std::thread::spawn(move || {
        let (mut sent, mut accepted) = (0_u32, 0_u32);
        // Until nobody listens any more.
        while let Some(status) = deliver(to, sent.to_string().as_bytes()) {
            sent += 1;
            accepted += u32::from(status == 200);
        }
        accepted
    });
    wait_for("some of them", || (deliveries(&project).len() > 20).then_some(()));
    assert_eq!(serving.running.terminate().status, Some(0));
    let accepted = sender.join().unwrap();
    let rows = deliveries(&project);
    assert!(rows.len() as u32 >= accepted, "{accepted} acknowledged, {} stored", rows.len());
    assert!(rows.iter().all(|row| row["state"] == "done" || row["state"] == "queued"));
    // The next one finishes them.
    let serving = Serving::start(&project);
    assert!(drained(&project).iter().all(|row| row["state"] == "done"));
    assert_eq!(serving.running.terminate().status, Some(0));
}
