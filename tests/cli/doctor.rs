//! `doctor` finds what is wrong with a setup and says what to type; it changes nothing, waits for nobody and shows no secret.

use crate::snapshot;
use portcullis_tests::{
    Project, Ran, Vendor,
    case::{Case, SLOT, http},
    vendor::reply,
};
use serde_json::Value;
use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, time::Duration};

const CANARY: &str = "sk_live_canary_0123456789";
const RULE: &str = "GET https://api.vendor.test/v1/**";

fn case() -> Case {
    Case { manifest: format!("{SLOT}{}", http(&[RULE], "credential = \"key\"")), ..Case::default() }.bearer()
}

/// What `doctor` says, as text and as JSON; no secret in either, and `data` is as it was.
#[track_caller]
fn doctor(project: &Project, args: &[&str], code: i32) -> (Ran, Vec<Value>) {
    let before = project.bytes_below("data");
    let text = project.run(&[&["--log-level", "trace", "doctor"], args].concat());
    let json = project.run(&[&["--json", "doctor"], args].concat());
    for ran in [&text, &json] {
        ran.exits(code);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("canary"), "{}{}", ran.stdout, ran.stderr);
    }
    assert_eq!(project.bytes_below("data"), before);
    (text, json.lines())
}

/// Without what the machine of the test brings along.
fn without_kernel(mut ran: Ran) -> Ran {
    let mut skipped = false;
    let mut kept = String::new();
    for line in ran.stdout.lines() {
        skipped = line.contains("  kernel: ") || (skipped && line.starts_with("         →"));
        if !skipped && !line.ends_with(" ok") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    ran.stdout = kept;
    ran.stderr.clear();
    ran
}

#[test]
fn a_good_setup_is_left_as_it_is() {
    let project = case().approved_with(CANARY);
    project.run(&["check", "probe"]).exits(0);
    // Somebody works here meanwhile.
    let lock = fs::File::options().write(true).open(project.path("data/lock")).unwrap();
    lock.lock().unwrap();
    project.run(&["--wait", "0", "check", "probe"]).exits(6);
    let (text, findings) = doctor(&project, &[], 0);
    assert!(
        findings.iter().all(|finding| finding["severity"] == "ok" || finding["about"] == "kernel"),
        "{findings:#?}"
    );
    let about: Vec<_> = findings.iter().map(|finding| finding["about"].as_str().unwrap()).collect();
    for wanted in ["kernel", "config", "data", "files", "credentials.live", "connections.probe", "clock"] {
        assert!(about.contains(&wanted), "{wanted}: {about:?}");
    }
    drop(lock);
    snapshot!("doctor-ok", project, without_kernel(text));
}

/// Breaks a good setup; the finding that has to follow: severity, about, words, remedy.
struct Broken(&'static str, fn(&Project), [&'static str; 4]);

fn mode(project: &Project, name: &str, mode: u32) {
    fs::set_permissions(project.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

fn edit(project: &Project, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(project.path(name)).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    project.file(name, text.replacen(from, to, 1).as_bytes());
}

fn kept(project: &Project) -> std::path::PathBuf {
    fs::read_dir(project.path("data/components")).unwrap().next().unwrap().unwrap().path()
}

const BROKEN: [Broken; 28] = [
    Broken(
        "config",
        |project| edit(project, "portcullis.toml", "allow =", "alow ="),
        ["error", "config", "unknown key `alow`", "did you mean `allow`?"],
    ),
    Broken(
        "colon",
        |project| {
            let basic =
                "[credentials.other]\nscheme = \"basic\"\nusername = \"a:sk_canary\"\n\n[connections.probe]";
            edit(project, "portcullis.toml", "[connections.probe]", basic);
        },
        ["error", "config", "the user name of credential `other` has a colon", "goes into `password`"],
    ),
    Broken(
        "not approved",
        |project| fs::remove_file(project.path("portcullis.lock")).unwrap(),
        ["error", "connections.probe", "it is not approved", "portcullis approve probe"],
    ),
    Broken(
        "not approved, and nothing that could be",
        |project| {
            fs::remove_file(project.path("portcullis.lock")).unwrap();
            project.file("registry/test/probe/1.9.0.wasm", b"no component");
        },
        ["error", "connections.probe", "is not a connector", "remove it from the registry"],
    ),
    Broken(
        "another connector's file",
        |project| {
            let folder = project.path("registry/test/other");
            fs::create_dir(&folder).unwrap();
            fs::copy(project.path("registry/test/probe/1.0.0.wasm"), folder.join("1.0.0.wasm")).unwrap();
        },
        ["warning", "registry", "holds `test/probe` 1.0.0", "remove it from the registry"],
    ),
    Broken(
        "a version with a letter",
        |project| {
            let folder = project.path("registry/test/probe");
            fs::copy(folder.join("1.0.0.wasm"), folder.join("v1.0.1.wasm")).unwrap();
        },
        ["warning", "registry", "v1.0.1.wasm` is at no place of a version", "PUBLISHER/NAME/VERSION.wasm"],
    ),
    Broken(
        "a component beside the publishers",
        |project| {
            fs::copy(project.path("registry/test/probe/1.0.0.wasm"), project.path("registry/probe.wasm"))
                .unwrap();
        },
        ["warning", "registry", "probe.wasm` is at no place of a version", "PUBLISHER/NAME/VERSION.wasm"],
    ),
    Broken(
        "folder in a file's place",
        |project| fs::create_dir(project.path("registry/test/probe/1.9.0.wasm")).unwrap(),
        ["warning", "registry", "is not a regular file", "remove it from the registry"],
    ),
    Broken(
        "lock",
        |project| edit(project, "portcullis.lock", "format = 1", "format = 9"),
        ["error", "lock", "written by a newer portcullis", "update portcullis"],
    ),
    Broken(
        "differs",
        |project| edit(project, "portcullis.toml", "addresses = []", "addresses = [\"10.0.0.0/8\"]"),
        [
            "error",
            "connections.probe",
            "differs from what is approved: addresses",
            "portcullis approve probe",
        ],
    ),
    Broken(
        "slot",
        |project| edit(project, "portcullis.toml", "credentials = { key = \"live\" }", ""),
        ["error", "connections.probe", "no credential is bound to the slot `key`", "credentials = { key = "],
    ),
    Broken(
        "revoked",
        |project| drop(project.run(&["revoke", "probe"])),
        ["warning", "connections.probe", "was revoked", "portcullis approve probe"],
    ),
    Broken(
        "marked in the lock",
        |project| {
            edit(project, "portcullis.lock", "[approvals.probe]\n", "[approvals.probe]\nrevoked = true\n")
        },
        ["warning", "connections.probe", "was revoked", "portcullis approve probe"],
    ),
    Broken(
        "damaged",
        |project| fs::write(kept(project), "damaged").unwrap(),
        ["error", "connections.probe", "is damaged", "delete that file"],
    ),
    Broken(
        "gone",
        |project| {
            fs::remove_file(kept(project)).unwrap();
            fs::remove_file(project.path("registry/test/probe/1.0.0.wasm")).unwrap();
        },
        ["error", "connections.probe", "cannot read", "put the approved file back there"],
    ),
    Broken(
        "not kept yet",
        |project| fs::remove_file(kept(project)).unwrap(),
        ["ok", "connections.probe", "its bytes are in the registry", ""],
    ),
    Broken(
        "open secret",
        |project| mode(project, "vendor.key", 0o644),
        ["error", "credentials.live", "is open to others (mode 0644)", "chmod 600 /"],
    ),
    Broken(
        "no secret",
        |project| fs::remove_file(project.path("vendor.key")).unwrap(),
        ["error", "credentials.live", "secret `file:vendor.key` not found", "(umask 077; cat > vendor.key)"],
    ),
    Broken(
        "unfit secret",
        |project| {
            project.secret("vendor.key", "sk_canary\nsecond line");
        },
        ["error", "credentials.live", "control characters, line ends or spaces", "put the secret where"],
    ),
    Broken(
        "readable data",
        |project| mode(project, "data", 0o755),
        ["warning", "data", "others may look into", "chmod 700 /"],
    ),
    Broken(
        "shared data",
        |project| mode(project, "data/approved", 0o777),
        ["error", "data", "others may write to `", "chmod go-w "],
    ),
    Broken(
        "shared config",
        |project| mode(project, "portcullis.toml", 0o666),
        ["error", "files", "everybody may write to the config", "chmod go-w /"],
    ),
    Broken(
        "a group's lock",
        |project| mode(project, "portcullis.lock", 0o664),
        ["warning", "files", "its group may write to the lock", "chmod g-w /"],
    ),
    Broken(
        "unused credential",
        |project| {
            let more = "[secrets.spare]\ntype = \"env\"\n[credentials.other]\nscheme = \"bearer\"\nsecret = \"file:none.key\"\n\n[connections.probe]";
            edit(project, "portcullis.toml", "[connections.probe]", more);
        },
        [
            "warning",
            "credentials.other",
            "10:14: no connection binds it",
            "bind it, `credentials = { SLOT = \"other\" }`",
        ],
    ),
    Broken(
        "unused provider",
        |project| {
            edit(
                project,
                "portcullis.toml",
                "[connections.probe]",
                "[secrets.spare]\ntype = \"env\"\n\n[connections.probe]",
            )
        },
        ["warning", "secrets.spare", "nothing refers to it", "remove it"],
    ),
    Broken(
        "a rule for nothing",
        |project| {
            let allow =
                "allow = [\"GET https://api.vendor.test/v1/a\", \"GET https://api.vendor.test/v1/**\"]";
            edit(project, "portcullis.toml", "allow = \"requested\"", allow);
        },
        [
            "warning",
            "connections.probe",
            "allows nothing that connections.probe.allow[1] does not",
            "remove one",
        ],
    ),
    Broken(
        "another's approval",
        |project| {
            let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
            let second = lock
                .split_once("[approvals.")
                .unwrap()
                .1
                .replace("probe.", "gone.")
                .replacen("probe]", "gone]", 1);
            let second = second.replace("[approvals.probe", "[approvals.gone");
            project.file("portcullis.lock", format!("{lock}\n[approvals.{second}").as_bytes());
        },
        ["warning", "lock", "a connection `gone` that the config does not have", "portcullis revoke gone"],
    ),
    Broken(
        "clock",
        |project| {
            let file = fs::File::options().append(true).open(project.path("portcullis.toml")).unwrap();
            file.set_modified(file.metadata().unwrap().modified().unwrap() + Duration::from_secs(3600))
                .unwrap();
        },
        ["warning", "clock", "it went back, or that was written elsewhere", "timedatectl set-ntp true"],
    ),
];

#[test]
fn each_fault_is_found_with_its_remedy() {
    let mut missed = Vec::new();
    for Broken(name, breaks, [severity, about, what, remedy]) in BROKEN {
        let project = case().approved_with(CANARY);
        breaks(&project);
        let before = project.bytes_below("data");
        let code = project.run(&["doctor"]).status.unwrap();
        assert_eq!(project.bytes_below("data"), before, "{name}");
        let (_, findings) = doctor(&project, &[], code);
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let found = findings.iter().any(|finding| {
            finding["severity"] == severity
                && finding["about"] == about
                && text(finding, "what").contains(what)
                && project.plain(&text(finding, "remedy")).contains(remedy)
        });
        // Whatever is wrong has a remedy, and nothing else is wrong.
        let rest = findings.iter().filter(|finding| finding["severity"] != "ok").all(|finding| {
            !text(finding, "remedy").is_empty()
                && (finding["severity"] != "error" || finding["about"] == about)
        });
        if !found || !rest || code != if severity == "error" { 3 } else { 0 } {
            missed.push(format!("{name}: exit {code}, {findings:#?}"));
        }
    }
    assert!(missed.is_empty(), "{} missed\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn what_a_person_reads() {
    let project = case().approved_with(CANARY);
    mode(&project, "vendor.key", 0o644);
    mode(&project, "data", 0o755);
    edit(&project, "portcullis.toml", "addresses = []", "addresses = [\"10.0.0.0/8\"]");
    let (text, _) = doctor(&project, &[], 3);
    assert!(text.stdout.contains("\n2 errors, "), "{}", text.stdout);
    snapshot!("doctor-faults", project, without_kernel(text));
    project
        .config("[credentials.a]\nscheme = \"bearer\"\nsecret = \"sk_live_canary_0123456789\"\nextra = 1\n");
    let (text, _) = doctor(&project, &[], 3);
    snapshot!("doctor-config", project, without_kernel(text));
}

#[test]
fn a_credential_that_is_never_sent() {
    let other = "GET https://files.vendor.test/**";
    let manifest = [http(&[RULE], "credential = \"key\""), http(&[other], "")].concat();
    let case = Case {
        manifest: format!("{SLOT}{manifest}"),
        allow: Some(vec![other.to_owned()]),
        ..Case::default()
    };
    let never = |findings: &[Value]| -> Vec<Value> {
        let what = |finding: &&Value| finding["what"].as_str().unwrap().contains("slot `key` is never sent");
        findings.iter().filter(what).map(|finding| finding["severity"].clone()).collect()
    };
    let project = case.clone().bearer().approved_with(CANARY);
    assert_eq!(never(&doctor(&project, &[], 0).1), ["warning"]);
    let project = Case { allow: Some(vec![RULE.to_owned()]), ..case }.bearer().approved_with(CANARY);
    assert!(never(&doctor(&project, &[], 0).1).is_empty());
}

#[test]
fn online_each_host_is_looked_up_and_shaken_hands_with() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b"{}"));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let to = |port: u16| vec![("api.vendor.test:443".to_owned(), format!("127.0.0.1:{port}"))];
    let manifest =
        [RULE, "GET https://*.vendor.test/x"].map(|rule| http(&[rule], "credential = \"key\"")).concat();
    let reached = Case {
        manifest: format!("{SLOT}{manifest}"),
        connect_to: to(vendor.port()),
        addresses: vec!["127.0.0.1/32".to_owned()],
        ..Case::default()
    }
    .bearer();
    let project = reached.approved_with(CANARY);
    let about = |findings: &[Value]| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let host = |finding: &&Value| finding["what"].as_str().unwrap().contains("vendor.test:443");
        findings
            .iter()
            .filter(host)
            .map(|finding| (text(&finding["severity"]), text(&finding["what"])))
            .collect()
    };
    assert!(about(&doctor(&project, &[], 0).1).is_empty(), "no name is looked up offline");
    let (text, findings) = doctor(&project, &["--online"], 0);
    let found = about(&findings);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|(severity, _)| severity == "ok"), "{found:?}");
    assert!(
        found.iter().any(|(_, what)| {
            what.starts_with("`api.vendor.test:443` is reached by `connect-to`")
                && what.ends_with(", TLS 1.3: 127.0.0.1")
        }),
        "{found:?}"
    );
    assert!(
        found.iter().any(|(_, what)| what.contains("`*.vendor.test:443` stands for many hosts")),
        "{found:?}"
    );
    assert!(text.stdout.contains("no request was sent"), "{}", text.stdout);
    assert_eq!(vendor.count(), 0);

    // What stands in the way is said: the guard, which judges here as before a request; a certificate; nobody there.
    let stranger = Vendor::tls(&["other.vendor.test"], |_, wire| reply(wire, 200, &[], b"{}"));
    for (case, says) in [
        (Case { addresses: Vec::new(), ..reached.clone() }, "127.0.0.1"),
        (Case { connect_to: to(stranger.port()), ..reached.clone() }, "invalid peer certificate"),
        (Case { connect_to: to(closed), ..reached }, "refused"),
    ] {
        let project = case.approved_with(CANARY);
        let (text, findings) = doctor(&project, &["--online"], 3);
        let found = about(&findings);
        assert!(
            found.iter().any(|(severity, what)| severity == "error" && what.contains(says)),
            "{says}: {found:?}"
        );
        assert!(!text.stdout.contains("no request was sent"), "{}", text.stdout);
    }
    // What does not run has no host.
    project.run(&["revoke", "probe"]).exits(0);
    let (text, _) = doctor(&project, &["--online"], 0);
    assert!(text.stdout.contains("nothing was connected to"), "{}", text.stdout);
}

/// A shell does what a remedy says, whatever the folder is called.
#[test]
fn remedies_can_be_pasted_from_any_folder() {
    let above = Project::new();
    for name in ["my conf", "it's $HOME;x", "0123456789abcdef0123456789abcdef01234567"] {
        let folder = above.path(name);
        let config = folder.join("portcullis.toml").display().to_string();

        std::fs::create_dir_all(folder.join("data")).unwrap();
        std::fs::create_dir_all(folder.join("registry")).unwrap();
        std::fs::write(&config, "").unwrap();
        std::fs::set_permissions(folder.join("data"), std::fs::Permissions::from_mode(0o777)).unwrap();
        let doctor = || -> Vec<Value> {
            let mut command = std::process::Command::new(portcullis_tests::binary());
            let ran = command.args(["--config", &config, "--json", "doctor"]).output().unwrap();
            let text = String::from_utf8(ran.stdout).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let found = doctor();
        let error = found.iter().find(|finding| finding["severity"] == "error").expect("it is found");
        let remedy = error["remedy"].as_str().unwrap();
        assert!(
            std::process::Command::new("sh").args(["-c", remedy]).status().unwrap().success(),
            "{remedy}"
        );
        let mode = std::fs::metadata(folder.join("data")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o755, "{remedy}");
        let left = doctor();
        assert!(left.iter().all(|finding| finding["severity"] != "error"), "{left:#?}");
    }
}
