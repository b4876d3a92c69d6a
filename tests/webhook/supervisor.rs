//! What a service manager is told, by its socket: when deliveries are taken, when the config is read anew, and the end.

use crate::served::{Serving, project};
use std::{os::unix::net::UnixDatagram, time::Duration};

/// The next message, by its lines; a time in it is a number.
fn next(listener: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 4096];
    let length = listener.recv(&mut bytes).expect("the manager is told");
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let line = |line: &str| match line.split_once('=') {
        Some(("MONOTONIC_USEC", number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            "MONOTONIC_USEC".to_owned()
        }
        _ => line.to_owned(),
    };
    text.lines().map(line).collect()
}

#[test]
fn a_service_manager_is_told_how_far_it_is() {
    let project = project("", "");
    let listener = UnixDatagram::bind(project.path("notify")).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = project.command(&["--json", "serve"]);
    let serving = Serving::of(command.env("NOTIFY_SOCKET", project.path("notify")));
    assert_eq!(next(&listener), ["READY=1"]);
    assert_eq!(serving.deliver(b"{}"), Some(200));
    project.run(&["reload"]).exits(0);
    assert_eq!(next(&listener), ["RELOADING=1", "MONOTONIC_USEC"]);
    assert_eq!(next(&listener), ["READY=1"]);
    // It serves on where nothing was changed, and says so.
    project.file("portcullis.toml", b"nonsense");
    assert_eq!(next(&listener), ["RELOADING=1", "MONOTONIC_USEC"]);
    assert_eq!(next(&listener), ["READY=1"]);
    serving.running.terminate();
    assert_eq!(next(&listener), ["STOPPING=1"]);
}
