//! The lock as it is printed, and each text that is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::connector::tests::stripe;

fn lock() -> Lock {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let approval = Approval {
        approval_id: "apr_01JABCDEFGHJKMNPQRSTVWXYZ0".into(),
        revoked: false,
        approved_at: "2026-01-31T12:00:00.000Z".into(),
        connector: "acme/stripe".parse().unwrap(),
        version: "1.2.0".parse().unwrap(),
        digest: digest.clone(),
        position_version: 2,
        config_version: 1,
        imports: vec![
            "portcullis:connector/http@0.1.0".into(),
            "portcullis:connector/types@0.1.0".into(),
            "wasi:io/streams@0.2.6".into(),
        ],
        roles: BTreeSet::from([Role::Actions, Role::Source]),
        origins: BTreeMap::from([("instance".to_owned(), "https://acme.test/t".parse().unwrap())]),
        rules: stripe().rules.iter().map(|rule| rule.expand(&BTreeMap::new()).unwrap()).collect(),
        from_response: Vec::new(),
        credentials: BTreeMap::from([(
            "secret-key".to_owned(),
            PinnedCredential {
                credential: "stripe-live".into(),
                scheme: "bearer".into(),
                place: "header authorization".into(),
            },
        )]),
        folders: BTreeMap::from([(
            "out".to_owned(),
            PinnedFolder { path: "./out".into(), access: Access::Write },
        )]),
        network: PinnedNetwork {
            connect_to: BTreeMap::from([("api.stripe.com:443".to_owned(), "127.0.0.1:8443".to_owned())]),
            ca_file: Some(digest),
            addresses: vec!["127.0.0.1/32".into()],
            roots: "bundled".into(),
        },
    };
    let mut revoked = approval.clone();
    revoked.revoked = true;
    revoked.rules.clear();
    revoked.origins.clear();
    revoked.folders.clear();
    revoked.credentials.clear();
    revoked.network = PinnedNetwork { roots: "system".into(), ..Default::default() };
    Lock {
        approvals: BTreeMap::from([("billing".to_owned(), approval), ("old \"one\"".to_owned(), revoked)]),
    }
}

#[test]
fn prints_what_it_reads() {
    let text = lock().print();
    assert_eq!(Lock::parse(Path::new("portcullis.lock"), &text).unwrap(), lock());
    let expected = r#"# Written by `portcullis approve` and `portcullis revoke`. Review it, commit it, do not edit it.
format = 1

[approvals.billing]
approval-id = "apr_01JABCDEFGHJKMNPQRSTVWXYZ0"
approved-at = "2026-01-31T12:00:00.000Z"
connector = "acme/stripe"
version = "1.2.0"
digest = "sha256:abababababababababababababababababababababababababababababababab"
position-version = 2
config-version = 1
roles = ["actions", "source"]
imports = [
    "portcullis:connector/http@0.1.0",
    "portcullis:connector/types@0.1.0",
    "wasi:io/streams@0.2.6",
]

[approvals.billing.origins]
instance = "https://acme.test/t"

[[approvals.billing.http]]
place = "http[0].allow[0]"
allow = "GET https://api.stripe.com/v1/customers/**"
credential = ["secret-key"]
idempotency = { header = "Idempotency-Key", window = "24h" }
why = "read and create customers"

[[approvals.billing.http]]
place = "http[0].allow[1]"
allow = "POST https://api.stripe.com/v1/customers"
credential = ["secret-key"]
idempotency = { header = "Idempotency-Key", window = "24h" }
why = "read and create customers"

[approvals.billing.credentials.secret-key]
credential = "stripe-live"
scheme = "bearer"
place = "header authorization"

[approvals.billing.folders.out]
path = "./out"
access = "write"

[approvals.billing.network]
roots = "bundled"
ca-file = "sha256:abababababababababababababababababababababababababababababababab"
addresses = ["127.0.0.1/32"]

[approvals.billing.network.connect-to]
"api.stripe.com:443" = "127.0.0.1:8443"

[approvals."old \"one\""]
approval-id = "apr_01JABCDEFGHJKMNPQRSTVWXYZ0"
revoked = true
"#;
    assert!(text.starts_with(expected), "{text}");
}

/// The fault of the printed lock with one text replaced.
fn fault(from: &str, to: &str) -> String {
    let text = lock().print();
    assert!(text.contains(from), "{from}");
    let result = Lock::parse(Path::new("portcullis.lock"), &text.replacen(from, to, 1));
    result.err().map(|fault| fault.to_string()).unwrap_or_default()
}

#[test]
fn refused() {
    let cases = [
        (
            "format = 1",
            "format = 2\nunheard = true",
            "portcullis.lock:2:10: written by a newer portcullis: format 2, and this one reads 1",
        ),
        (
            "format = 1",
            "format = 0",
            "portcullis.lock:2:10: `format` is `0`: expected 1 to 9223372036854775807",
        ),
        ("format = 1", "", "portcullis.lock:1:1: `format` is missing"),
        (
            "approved-at",
            "aproved-at",
            "portcullis.lock:4:12: `approved-at` is missing in `approvals.billing`",
        ),
        (
            "apr_01JABCDEFGHJKMNPQRSTVWXYZ0",
            "apr_../../x",
            "portcullis.lock:5:15: `approval-id` is `apr_../../x`: expected `apr_` and letters and digits",
        ),
        (
            "sha256:abab",
            "sha256:ABab",
            "portcullis.lock:9:10: `digest` is `sha256:ABababababababababababababababababababababababababababababababab`: expected `sha256:` and 64 hexadecimal digits in lower case",
        ),
        (
            "GET https://api.stripe.com/v1/customers/**",
            "GET https://*/**",
            "portcullis.lock:24:9: `allow` is `GET https://*/**`: `*` as any host belongs to `[boundary]` alone",
        ),
        (
            "access = \"write\"",
            "access = \"all\"",
            "portcullis.lock:43:10: `access` is `all`: expected `read`, `write` or `read-write`",
        ),
        (
            "position-version = 2",
            "position-version = 0",
            "portcullis.lock:10:20: `position-version` is `0`: expected 1 to 4294967295",
        ),
        (
            "\"127.0.0.1/32\"",
            "\"127.0.0.1/8\"",
            "portcullis.lock:48:14: `addresses[0]` is `127.0.0.1/8`: expected an address range such as `10.0.0.0/8`, without bits below its prefix",
        ),
        (
            "roots = \"bundled\"",
            "roots = \"none\"",
            "portcullis.lock:46:9: `roots` is `none`: expected `bundled` or `system`",
        ),
        ("\"127.0.0.1:8443\"", "\"127.0.0.1\"", "portcullis.lock:51:24: `127.0.0.1`: expected `HOST:PORT`"),
        (
            "why = \"read and create customers\"",
            "why = \"x\"\ngraphql = []",
            "portcullis.lock:28:1: `graphql` is not supported yet",
        ),
        (
            "roles = [\"actions\", \"source\"]",
            "roles = []\nproxy = { url = \"http://x\" }",
            "portcullis.lock:13:1: `proxy` is not supported yet",
        ),
        (
            "\"https://acme.test/t\"",
            "\"https://acme.test/\"",
            "portcullis.lock:20:12: origin `instance`: it would be read as `https://acme.test`; if it is meant, write that",
        ),
        (
            "instance = \"https",
            "In_stance = \"https",
            "portcullis.lock:20:1: `In_stance`: expected the name of an origin: lower-case letters, digits and `-`",
        ),
        // What is pinned is what is matched: a lock holds no template.
        (
            "GET https://api.stripe.com/v1/customers/**",
            "GET {origin.instance}/**",
            "portcullis.lock:24:9: `allow` is `GET {origin.instance}/**`: `{origin.NAME}` stands in a manifest's rules alone, in place of `scheme://host[:port]`; write the origin itself",
        ),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .map(|(from, to, expected)| (fault(from, to), *expected))
        .filter(|(found, expected)| found != expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Locks of before these keys pinned components whose numbers were never used.
#[test]
fn a_lock_without_the_numbers_counts_as_one() {
    let text = lock().print().replace("position-version = 2\nconfig-version = 1\n", "");
    let read = Lock::parse(Path::new("portcullis.lock"), &text).unwrap();
    let numbers = |approval: &Approval| (approval.position_version, approval.config_version);
    assert_eq!(numbers(&read.approvals["billing"]), (1, 1));
    let read = Lock::parse(Path::new("portcullis.lock"), &lock().print()).unwrap();
    assert_eq!(numbers(&read.approvals["billing"]), (2, 1));
}

#[test]
fn an_empty_lock_and_one_merged_by_hand() {
    assert_eq!(Lock::parse(Path::new("l"), "format = 1\n").unwrap(), Lock::default());
    assert_eq!(Lock::default().print().lines().last(), Some("format = 1"));
    let conflict = format!("<<<<<<< HEAD\n{}", lock().print());
    assert!(Lock::parse(Path::new("l"), &conflict).is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_survives(why in "\\PC{0,40}", name in "\\PC{1,20}", control in "[\u{0}-\u{20}\u{7f}-\u{a0}\u{202e}\"\\\\]{0,8}") {
        let mut lock = lock();
        let mut approval = lock.approvals.remove("billing").unwrap();
        approval.rules[0].why = format!("{why}{control}");
        let pairs = [("expand[]", "*"), ("limit", &why)].map(|(name, value)| (name.to_owned(), value.parse()));
        let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value.ok()?)));
        approval.rules[0].attributes.query = portcullis_grants::QueryRule::new(pairs).ok();
        approval.rules[0].attributes.redirect = portcullis_grants::Redirect::Follow;
        lock.approvals.insert(name, approval);
        proptest::prop_assert_eq!(Lock::parse(Path::new("l"), &lock.print()).unwrap(), lock);
    }
}

#[test]
fn urls_that_answers_name_are_pinned() {
    let mut lock = lock();
    let named = FromResponse {
        rule: ManifestRule {
            place: "http[3].from-response".into(),
            rule: "GET https://*.acme.test/**".parse().unwrap(),
            attributes: Default::default(),
            why: "fetch exports".into(),
        },
        of: "POST https://acme.test/t/exports".parse().unwrap(),
        at: vec!["/files/*/url".parse().unwrap(), "header:location".parse().unwrap()],
    };
    lock.approvals.values_mut().next().unwrap().from_response.push(named);
    let text = lock.print();
    assert_eq!(Lock::parse(Path::new("portcullis.lock"), &text).unwrap(), lock);
    let written = "[[approvals.billing.from-response]]\nof = \"POST https://acme.test/t/exports\"\nat = [\"/files/*/url\", \"header:location\"]\nplace = \"http[3].from-response\"\nallow = \"GET https://*.acme.test/**\"\nwhy = \"fetch exports\"\n";
    assert!(text.contains(written), "{text}");
    for (from, to, why) in [
        ("/files/*/url", "url", "JSON pointer"),
        ("of = \"POST", "of = \"TRACE", "never sent"),
        ("at = [", "at-all = [", "`at` is missing"),
    ] {
        let faults = Lock::parse_all(Path::new("portcullis.lock"), &text.replace(from, to)).unwrap_err();
        assert!(faults.iter().any(|fault| fault.to_string().contains(why)), "{from}: {faults:?}");
    }
}
