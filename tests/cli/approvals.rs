//! A version that was approved once means one digest for ever; what another `position-version` or `config-version` means is
//! shown before anybody says yes.

use portcullis_tests::{
    Project,
    case::Case,
    guests::{self, Installed},
};
use std::{collections::BTreeSet, fs};

/// The probe under a summary of its own, so that one version has two digests.
fn probe(version: &str, bytes: u8) -> Installed {
    let mut manifest = portcullis_manifest::Component::read(&guests::probe("").bytes).unwrap().manifest;
    manifest.version = version.parse().unwrap();
    manifest.summary = format!("Variant {bytes}");
    renewed(&guests::probe(""), &manifest)
}

fn renewed(component: &Installed, manifest: &portcullis_manifest::Connector) -> Installed {
    let assets = portcullis_manifest::Component::read(&component.bytes).unwrap().assets;
    let code = portcullis_manifest::Component::code(&component.bytes).unwrap();
    Installed::of(portcullis_manifest::embed::embed(&code, manifest, &assets).unwrap())
}

/// A config whose connection asks for this version alone.
fn asking_for(project: &Project, version: &str) {
    project.config(&Case::default().config().replace("test/probe@^1", &format!("test/probe@={version}")));
}

/// 1.0.0 was approved, then 1.1.0: the lock no longer names 1.0.0.
fn upgraded(between: impl Fn(&Project)) -> (Project, Installed) {
    let project = Project::new();
    let (old, new) = (probe("1.0.0", 1), probe("1.1.0", 1));
    asking_for(&project, "1.0.0");
    project.install(&old).approve("probe", &old);
    between(&project);
    asking_for(&project, "1.1.0");
    project.install(&new).approve("probe", &new);
    asking_for(&project, "1.0.0");
    (project, old)
}

#[track_caller]
fn refuses(project: &Project, known: &Installed, other: &Installed) {
    assert_eq!((&known.version, known.digest == other.digest), (&other.version, false));
    let ran = project.install(other).run(&["approve", "probe", "--yes", "--digest", &other.digest]);
    ran.exits(3);
    for text in [&known.digest, &other.digest, "a changed connector needs a new version"] {
        assert!(ran.stderr.contains(text), "{text}\n{}", ran.stderr);
    }
}

#[test]
fn a_version_that_the_lock_forgot_keeps_its_digest() {
    let (project, old) = upgraded(|_| {});
    refuses(&project, &old, &probe("1.0.0", 2));
    // The twin: the approved bytes are taken.
    project.install(&old).approve("probe", &old).run(&["call", "probe", "echo", "{}"]).exits(0);
}

#[test]
fn what_a_lock_names_is_known() {
    // A lock of before there was a memory.
    let forget = |project: &Project| fs::remove_dir_all(project.path("data/approved")).unwrap();
    let (project, old) = upgraded(forget);
    refuses(&project, &old, &probe("1.0.0", 2));
    // A run under such a lock is enough.
    let (project, old) = upgraded(|project| {
        forget(project);
        project.run(&["call", "probe", "echo", "{}"]).exits(0);
        fs::remove_file(project.path("portcullis.lock")).unwrap();
    });
    refuses(&project, &old, &probe("1.0.0", 2));
}

#[test]
fn a_lock_that_pins_another_digest_is_refused() {
    let [(ours, first), (theirs, second)] = [1, 2].map(|bytes| {
        let (project, component) = (Project::new(), probe("1.0.0", bytes));
        asking_for(&project, "1.0.0");
        project.install(&component).approve("probe", &component);
        project.run(&["call", "probe", "echo", "{}"]).exits(0);
        (project, component)
    });
    ours.install(&second).file("portcullis.lock", &fs::read(theirs.path("portcullis.lock")).unwrap());
    let ran = ours.run(&["call", "probe", "echo", "{}"]);
    ran.exits(4);
    for text in [&first.digest, &second.digest, "approved here"] {
        assert!(ran.stderr.contains(text), "{text}\n{}", ran.stderr);
    }
}

/// What `approve` shows of `then` after `before` was approved, as text and as JSON.
fn shown(before: &Installed, then: &Installed, config: &str) -> (String, serde_json::Value) {
    let project = Project::new();
    let connection = config.split("[connections.").nth(1).unwrap().split(']').next().unwrap();
    project.config(config).secret("vendor.key", "sk_live_0123456789");
    project.install(before).approve(connection, before).install(then);
    let (text, json) =
        (project.run(&["approve", connection]), project.run(&["--json", "approve", connection]));
    text.exits(4);
    assert!(text.stdout.contains(&then.version), "{}", text.stdout);
    (text.stdout, serde_json::from_str(json.stdout.lines().next().unwrap()).unwrap())
}

fn numbered(component: &Installed, version: &str, position: u32, config: u32) -> Installed {
    let mut manifest = portcullis_manifest::Component::read(&component.bytes).unwrap().manifest;
    manifest.version = version.parse().unwrap();
    (manifest.position_version, manifest.config_version) = (position, config);
    renewed(component, &manifest)
}

const STRIPE: &str = "[credentials.live]\nscheme = \"bearer\"\nsecret = \"file:vendor.key\"\n[connections.billing]\n\
                      connector = \"portcullis/stripe\"\ncredentials = { secret-key = \"live\" }\nallow = \"requested\"\n";

#[test]
fn other_numbers_say_what_follows() {
    let stripe = guests::connector("stripe");
    let (first, second) = (numbered(&stripe, "8.0.0", 3, 1), numbered(&stripe, "9.0.0", 4, 2));
    let (text, json) = shown(&first, &second, STRIPE);
    let position =
        "position-version 3 → 4: positions and state start empty; the old ones are kept for a rollback";
    let config = "config-version 1 → 2: the meaning of `config` changed: hold yours against what the new version's schema says";
    for line in [position, config, "position-version 4, config-version 2"] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(json["follows"], serde_json::json!([position, config]));
    assert_eq!((&json["position_version"], &json["config_version"]), (&4.into(), &2.into()));

    // The probe plays the role `migration`.
    let probe = guests::probe("");
    let first = numbered(&probe, "1.0.0", 2, 1);
    for (to, position) in [
        (
            1,
            "position-version 2 → 1: what that version left is found again; what newer ones left is kept, and never read by it",
        ),
        (
            3,
            "position-version 2 → 3: the connector moves positions and state when they are first used; the old ones are kept \
             for a rollback",
        ),
    ] {
        let second = numbered(&probe, "1.1.0", to, 1);
        let (text, json) = shown(&first, &second, &Case::default().config());
        assert!(text.contains(position), "{text}");
        assert_eq!(json["follows"], serde_json::json!([position]));
        assert_eq!(json["config_proposal"], serde_json::Value::Null);
    }

    // The same numbers say nothing.
    let (text, json) = shown(&first, &numbered(&probe, "1.1.0", 2, 1), &Case::default().config());
    assert!(!text.contains("→"), "{text}");
    assert_eq!(json["follows"], serde_json::json!([]));
}

/// The probe with a config schema that wants a number `pages`.
fn wanting_pages(version: &str, config: u32) -> Installed {
    let mut manifest =
        portcullis_manifest::Component::read(&numbered(&guests::probe(""), version, 1, config).bytes)
            .unwrap()
            .manifest;
    manifest.config_schema = Some(serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["pages"],
        "properties": {"pages": {"type": "integer"}},
    }));
    renewed(&guests::probe(""), &manifest)
}

#[test]
fn a_config_of_an_older_version_is_proposed_anew_and_never_written() {
    let (first, second) = (numbered(&guests::probe(""), "1.0.0", 1, 1), wanting_pages("1.1.0", 2));
    let config = |config: &str| Case { more: format!("config = {config}"), ..Case::default() }.config();
    let project = Project::new();
    project.config(&config("{ proposed = { pages = 2, per-page = 1 } }"));
    project.install(&first).approve("probe", &first).install(&second);
    let before = project.bytes_below("");
    // Neither of these runs anything of it; both say who does.
    for command in ["review", "update"] {
        let ran = project.run(&[command, "probe"]);
        ran.exits(3);
        assert!(
            project
                .plain(&ran.stderr)
                .contains("`portcullis approve probe` shows what the connector proposes"),
            "{}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("[connections.probe]"), "{}", ran.stderr);
    }
    let asked = project.run(&["approve", "probe"]);
    asked.exits(3);
    crate::snapshot!("approve-proposes-a-config", project, asked);
    assert_eq!(project.bytes_below(""), before, "nothing is written");
    project.run(&["call", "probe", "echo", "{}"]).exits(0);

    // As it is shown there; from then on the config fits both, and the person decides.
    project.config(&config("{ pages = 2, per-page = 1 }"));
    let (ran, _) = project.run_json(&["review", "probe"]);
    ran.exits(4);
    let asked = project.run(&["--json", "approve", "probe"]);
    asked.exits(4);
    let told: serde_json::Value = serde_json::from_str(asked.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&told["config_proposal"]["from"], &told["config_proposal"]["to"]), (&1.into(), &2.into()));
    // What this one would make of it has no `pages`.
    let why = told["config_proposal"]["why"].as_str().unwrap();
    assert!(why.contains("refused by its own schema") && told["config_proposal"]["toml"].is_null(), "{told}");
    project.approve("probe", &second);
    project.run(&["read", "probe", "rows"]).exits(0);
    // Nothing more to move.
    let asked = project.run(&["approve", "probe"]);
    assert!(!asked.stdout.contains("proposes"), "{}", asked.stdout);
}

#[test]
fn a_connector_that_proposes_nothing_is_approved_by_hand() {
    let (first, second) =
        (numbered(&guests::probe(""), "1.0.0", 1, 1), numbered(&guests::probe(""), "1.1.0", 1, 2));
    for (config, said) in [
        (
            "{ fail = { kind = \"unsupported\", message = \"too old\" } }",
            "hold yours against what its new schema says: \
          the connector failed at it: ",
        ),
        ("{ proposed = 7 }", "what it gave is no table"),
        ("{ proposed = { a = [] } }", "[connections.probe]\nconfig = { a = [] }\n"),
    ] {
        let case = Case { more: format!("config = {config}"), ..Case::default() };
        let (text, json) = shown(&first, &second, &case.config());
        assert!(text.contains(said), "{said}\n{text}");
        let proposed = &json["config_proposal"];
        assert_eq!(proposed["toml"].is_string(), proposed["why"].is_null(), "{proposed}");
        assert!(
            text.contains("the meaning of `config` changed: `approve` shows what the connector proposes"),
            "{text}"
        );
    }
}

/// What a version asks for is told apart from what the operator changed or mistyped.
#[test]
fn what_is_the_configs_own_is_no_demand_of_a_version() {
    let (first, second) = (numbered(&guests::probe(""), "1.0.0", 1, 1), wanting_pages("1.1.0", 1));
    let config = Case::default().config();
    let project = Project::new();
    project.config(&config).install(&first).approve("probe", &first).install(&second);
    let review = project.run(&["review", "probe"]);
    review.exits(3);
    assert!(review.stdout.contains("COVERED: it asks for the same"), "{}", review.stdout);
    assert!(review.stdout.contains("config schema: `config` may hold"), "{}", review.stdout);
    assert!(review.stdout.contains("1.0.0 runs on while"), "{}", review.stdout);
    // Of what stands beside the place nothing is shown.
    assert!(!review.stderr.contains("connector ="), "{}", review.stderr);

    let network = "[connections.probe.network]\n";
    let changed = config.replacen(network, &format!("{network}roots = \"system\"\n"), 1);
    assert_ne!(changed, config);
    let review = project.config(&changed).run(&["review", "probe"]);
    review.exits(3);
    assert!(review.stdout.contains("COVERED") && !review.stdout.contains("roots"), "{}", review.stdout);
    assert!(review.stdout.contains("1.0.0 does not run"), "{}", review.stdout);

    // No version has that slot.
    let mistyped = Case { slots: "kye = \"live\"".to_owned(), ..Case::default().bearer() };
    let mistyped = mistyped.config().replacen("allow =", "config = { pages = 1 }\nallow =", 1);
    let call = project.config(&mistyped).run(&["call", "probe", "echo", "{}"]);
    call.exits(3);
    assert!(call.stderr.contains("the connector has no slot `kye`"), "{}", call.stderr);
    assert!(!call.stderr.contains("the config is one of"), "{}", call.stderr);

    // Back to what is older, which takes no such slot either.
    let fitting = config.replacen("allow =", "config = { pages = 1 }\nallow =", 1);
    project.config(&fitting).approve("probe", &second);
    fs::remove_file(project.path("registry/test/probe/1.1.0.wasm")).unwrap();
    let review = project.config(&mistyped).run(&["review", "probe"]);
    review.exits(3);
    assert!(review.stdout.contains("1.0.0 is older than 1.1.0"), "{}", review.stdout);
}

#[test]
fn the_numbers_are_pinned_and_inspected() {
    let component = numbered(&guests::probe(""), "1.0.0", 7, 5);
    let project = Project::new();
    project.config(&Case::default().config()).install(&component).approve("probe", &component);
    let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
    let pinned: BTreeSet<&str> = lock.lines().filter(|line| line.contains("-version = ")).collect();
    assert_eq!(pinned, BTreeSet::from(["position-version = 7", "config-version = 5"]));
    let (_, inspected) = project.run_json(&["inspect", "test/probe"]);
    assert_eq!((&inspected["position_version"], &inspected["config_version"]), (&7.into(), &5.into()));

    // A lock of before these keys counts as 1: it holds for a component that says 1, and is shown so when the next version comes.
    let older = lock.replace("position-version = 7\nconfig-version = 5\n", "");
    let ran = project.file("portcullis.lock", older.as_bytes()).run(&["call", "probe", "echo", "{}"]);
    ran.exits(4);
    assert!(ran.stderr.contains("position-version: the lock says 1, the component 7"), "{}", ran.stderr);
    let ones = Case::default().approved();
    let lock = fs::read_to_string(ones.path("portcullis.lock")).unwrap();
    let older = lock.replace("position-version = 1\nconfig-version = 1\n", "");
    assert_ne!(older, lock);
    ones.file("portcullis.lock", older.as_bytes()).run(&["call", "probe", "echo", "{}"]).exits(0);
    let asked = project.install(&numbered(&component, "1.1.0", 1, 2)).run(&["approve", "probe"]);
    assert!(asked.stdout.contains("config-version 1 → 2"), "{}", asked.stdout);
    assert!(!asked.stdout.contains("position-version 1 →"), "{}", asked.stdout);
}

#[test]
fn another_place_than_the_proposed_one_is_shown() {
    let stripe = guests::connector("stripe");
    let proposing = |version: &str, place: &str| {
        let mut manifest = portcullis_manifest::Component::read(&stripe.bytes).unwrap().manifest;
        manifest.version = version.parse().unwrap();
        manifest.slots.get_mut("secret-key").unwrap().place = Some(place.to_owned());
        renewed(&stripe, &manifest)
    };
    let note = "its author proposes `x-stripe-key`";
    let (text, _) = shown(&stripe, &proposing("9.0.0", "x-stripe-key"), STRIPE);
    assert!(text.contains("as header authorization") && text.contains(note), "{text}");
    let (text, _) = shown(&stripe, &proposing("9.0.0", "Authorization"), STRIPE);
    assert!(!text.contains("its author proposes `"), "{text}");
}

#[test]
fn a_lock_that_calls_the_approved_bytes_another_version_is_refused() {
    let project = Project::new();
    let component = probe("1.0.0", 1);
    asking_for(&project, "1");
    project.install(&component).approve("probe", &component);
    let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
    let other = lock.replace("version = \"1.0.0\"", "version = \"1.0.5\"");
    project.file("portcullis.lock", other.as_bytes());
    let ran = project.run(&["call", "probe", "echo", "{}"]);
    ran.exits(4);
    assert!(ran.stderr.contains("version: the lock says 1.0.5, the component 1.0.0"), "{}", ran.stderr);
    // Nothing was remembered of a version that never was.
    let later = probe("1.0.5", 2);
    project.file("portcullis.lock", lock.as_bytes()).install(&later).approve("probe", &later);
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
}

#[test]
fn data_that_others_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let component = Case::default().component();
    let project = Case::default().approved();
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    project.run(&["revoke", "nobody"]).exits(2);
    for folder in ["data", "data/approved", "data/components", "data/current"] {
        let path = project.path(folder);
        for mode in [0o770, 0o702] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let approve = ["approve", "probe", "--yes", "--digest", &component.digest];
            for command in [&["call", "probe", "echo", "{}"][..], &approve] {
                let ran = project.run(command);
                ran.exits(3);
                let remedy = format!("chmod go-w {}", path.display());
                assert!(ran.stderr.contains(&remedy), "{folder}\n{}", ran.stderr);
            }
        }
        // Reading is no writing; and to end something needs no trust.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        project.run(&["call", "probe", "echo", "{}"]).exits(0);
    }
    fs::set_permissions(project.path("data"), fs::Permissions::from_mode(0o777)).unwrap();
    project.run(&["revoke", "probe"]).exits(0);
    let revoked = project.path("data/revoked");
    fs::set_permissions(project.path("data"), fs::Permissions::from_mode(0o700)).unwrap();
    project.approve("probe", &component);
    fs::set_permissions(&revoked, fs::Permissions::from_mode(0o777)).unwrap();
    project.run(&["call", "probe", "echo", "{}"]).exits(3);
    fs::set_permissions(&revoked, fs::Permissions::from_mode(0o700)).unwrap();
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
}
