//! The verdict against what was written down by hand, in both directions, and against `Grants::authorize`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::config::{Config, authored, pinned};
use portcullis_clock::{Random, SeededRandom};
use portcullis_grants::{Attributes, Grants, Idempotency, OperatorRules, QueryRule, Redirect};
use portcullis_manifest::{Component, Diagnostic};
use std::{fs, time::Duration};

mod table;
use table::{BASE, CONFIG, Edit, IMPORTS, In, ROWS, Row, SCHEMA};

/// Everything that an approval follows from, as text.
#[derive(Clone)]
struct Documents {
    manifest: String,
    config: String,
    schema: String,
    imports: String,
    roles: String,
}

impl Documents {
    fn base() -> Self {
        let [manifest, config, schema, imports, roles] =
            [BASE, CONFIG, SCHEMA, IMPORTS, "source actions"].map(str::to_owned);
        Self { manifest, config, schema, imports, roles }
    }

    fn edited(&self, edits: &[Edit]) -> Self {
        let mut edited = self.clone();
        for (place, from, to) in edits {
            let text = match place {
                In::Manifest => &mut edited.manifest,
                In::Config => &mut edited.config,
                In::Schema => &mut edited.schema,
                In::Imports => &mut edited.imports,
                In::Roles => &mut edited.roles,
            };
            assert!(text.contains(from), "`{from}` stands in the {place:?}");
            *text = text.replace(from, to);
        }
        edited
    }

    /// What would be pinned, or the faults as a person is told them.
    fn approval(&self) -> Result<(Approval, Connector), Vec<String>> {
        let shown = |faults: Vec<Diagnostic>| faults.into_iter().map(|fault| fault.message).collect();
        self.pinned().map_err(shown)
    }

    fn pinned(&self) -> Result<(Approval, Connector), Vec<Diagnostic>> {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        for name in ["out", "other"] {
            fs::create_dir(file(name)).unwrap();
        }
        fs::write(file("connector.toml"), &self.manifest).unwrap();
        let schemas = [("customer.json", &*self.schema), ("any.json", &*self.schema), ("config.json", "{}")];
        for (name, schema) in schemas {
            let schema =
                schema.replacen('{', "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",", 1);
            fs::write(file(name), schema.replace(",}", "}")).unwrap();
        }
        for (name, pem) in [("ca.pem", &certificates()[0]), ("other.pem", &certificates()[1])] {
            fs::write(file(name), pem).unwrap();
        }
        let manifest = Connector::read_folder(folder.path())?;
        let config: Config = authored::parse(&file("portcullis.toml"), &self.config)?;
        let component = Component {
            manifest: manifest.clone(),
            assets: BTreeMap::new(),
            digest: format!("sha256:{}", "0".repeat(64)),
            code_digest: String::new(),
            size: 0,
            imports: self.imports.split_whitespace().map(str::to_owned).collect(),
            exports: Vec::new(),
            roles: self.roles.split_whitespace().map(|role| role.parse().unwrap()).collect(),
        };
        let connection = &config.connections["crm"];
        let (id, at) = ("apr_1".to_owned(), "2026-01-31T12:00:00.000Z".to_owned());
        pinned::approval(&config, connection, &component, id, at).map(|approval| (approval, manifest))
    }
}

/// Two, made once.
fn certificates() -> &'static [String; 2] {
    static MADE: std::sync::OnceLock<[String; 2]> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        ["a.test", "b.test"]
            .map(|name| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap().cert.pem())
    })
}

fn between(former: &(Approval, Connector), now: &(Approval, Connector)) -> Difference {
    let side = |(approval, manifest): &'_ (Approval, Connector)| -> (Approval, Connector) {
        (approval.clone(), manifest.clone())
    };
    let (former, now) = (side(former), side(now));
    Difference::between(
        Side { approval: &former.0, manifest: Some(&former.1) },
        Side { approval: &now.0, manifest: Some(&now.1) },
    )
}

fn made(row: &Row) -> (Approval, Connector) {
    let edited = Documents::base().edited(row.edits).approval();
    edited.unwrap_or_else(|faults| panic!("{}: {faults:#?}", row.name))
}

#[test]
fn every_pair_gets_the_verdict_that_was_written_down() {
    assert!(ROWS.len() >= 40, "{}", ROWS.len());
    let base = Documents::base().approval().unwrap();
    let mut wrong = Vec::new();
    for row in ROWS {
        let other = made(row);
        let (there, back) = (between(&base, &other), between(&other, &base));
        if (there.is_covered(), back.is_covered()) != (row.there == Same, row.back == Same) {
            wrong.push(format!("{}: there\n{}\nback\n{}", row.name, there.text(), back.text()));
        }
        let text = format!("{}\n{}", there.text(), back.text());
        assert!(text.contains(row.says), "{}: `{}`\n{text}", row.name, row.says);
        assert_eq!(there.as_json()["verdict"], if row.there == Same { "covered" } else { "asks-for-more" });
        // What asks for more comes first, and a pair that differs in nothing says so.
        assert!(there.changes().is_sorted_by_key(|change| change.kind), "{}", row.name);
        let itself = between(&other, &other);
        assert_eq!((itself.changes(), itself.same().len()), (&[][..], COMPARED.len()), "{}", row.name);
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), ROWS.len(), wrong.join("\n\n"));
}

use table::Verdict::Same;

/// The log ignores the case of ASCII letters alone.
#[test]
fn a_property_in_a_case_that_the_log_tells_apart_is_another() {
    const NAMES: &str = "sensitive = [\"email\", \"phone\"]";
    let of = |names| Documents::base().edited(&[(In::Manifest, NAMES, names)]).approval().unwrap();
    let (small, capital) = (of("sensitive = [\"\u{e9}tat\"]"), of("sensitive = [\"\u{c9}tat\"]"));
    assert!(!between(&small, &capital).is_covered());
    assert!(!between(&capital, &small).is_covered());
}

/// Another number waits, and says what becomes of what is stored: the connector moves it, or it is left alone. The engine's tests
/// hold that no version is handed what it does not know.
#[test]
fn five_pairs_of_other_numbers_wait_and_say_what_follows() {
    let numbered = |position: u32, config: u32, migrates: bool| {
        let mut documents = Documents::base();
        let numbers = format!("position-version = {position}\nconfig-version = {config}");
        documents.manifest = documents.manifest.replace("position-version = 1\nconfig-version = 1", &numbers);
        if migrates {
            documents.roles.push_str(" migration");
            documents.manifest = documents.manifest.replace(r#""actions"]"#, r#""actions", "migration"]"#);
        }
        documents.approval().unwrap()
    };
    for (former, now, migrates, follows) in [
        ((1, 1), (2, 1), true, "position-version 1 → 2: the connector moves positions and state when"),
        (
            (1, 1),
            (2, 1),
            false,
            "position-version 1 → 2: positions and state start empty; the old ones are kept",
        ),
        (
            (2, 1),
            (1, 1),
            true,
            "position-version 2 → 1: what that version left is found again; what newer ones left",
        ),
        (
            (1, 1),
            (1, 2),
            true,
            "config-version 1 → 2: the meaning of `config` changed: `approve` shows what the",
        ),
        ((1, 1), (1, 2), false, "config-version 1 → 2: the meaning of `config` changed: hold yours against"),
    ] {
        let difference = between(&numbered(former.0, former.1, migrates), &numbered(now.0, now.1, migrates));
        assert!(!difference.is_covered(), "{follows}: it waits");
        let said: Vec<String> = difference.changes().iter().filter_map(Change::follows).collect();
        assert!(said.len() == 1 && said[0].starts_with(follows), "{said:?}");
    }
}

#[test]
fn none_of_them_crosses_a_boundary() {
    let base = Documents::base();
    let (approval, _) = base.approval().unwrap();
    let rules = approval.rules.iter().chain(approval.from_response.iter().map(|from| &from.rule));
    let allowed: Vec<String> = rules.map(|rule| format!("\"{}\"", rule.rule)).collect();
    let within = |documents: &Documents, boundary: &str| {
        let config = format!("[boundary]\n{boundary}\n{}", documents.config);
        Documents { config, ..documents.clone() }.approval()
    };
    let allow = format!("allow = [{}]", allowed.join(", "));
    within(&base, &allow).unwrap();
    let mut denied = 0;
    for row in ROWS {
        let edited = base.edited(row.edits);
        let refused = within(&edited, &allow).map(drop);
        let Some(deny) = row.deny else {
            assert!(refused.is_ok(), "{}: {refused:?}", row.name);
            continue;
        };
        says(row, refused, "no single rule of boundary.allow covers it", allowed[0].trim_matches('"'));
        if deny.is_empty() {
            continue;
        }
        denied += 1;
        let boundary = format!("deny = [\"{deny}\"]");
        within(&base, &boundary).unwrap_or_else(|faults| panic!("{}: {faults:#?}", row.name));
        says(row, within(&edited, &boundary).map(drop), "it overlaps boundary.deny[0]", deny);
    }
    assert!(denied >= 10, "{denied}");
}

/// The refusal shows the rule, why, and the rule of the boundary.
#[track_caller]
fn says(row: &Row, refused: Result<(), Vec<String>>, why: &str, boundary: &str) {
    let shown = refused.expect_err(row.name);
    let (rules, _) = made(row);
    let rules = rules.rules.iter().map(|rule| &rule.rule);
    let rules: Vec<String> = rules
        .chain(made(row).0.from_response.iter().map(|from| &from.rule.rule))
        .map(|rule| format!("`{rule}`"))
        .collect();
    let all = |message: &&String| {
        message.contains(why)
            && message.contains(boundary)
            && rules.iter().any(|rule| message.starts_with(rule))
    };
    assert!(shown.iter().any(|message| all(&message)), "{}: {shown:#?}", row.name);
}

/// OAuth scopes are not built: a manifest that asks for one is refused before anything could compare it.
#[test]
fn scopes_reach_no_comparison() {
    let edits: &[Edit] = &[(In::Manifest, "[actions.search]\n", "[actions.search]\nscopes = [\"write\"]\n")];
    let faults = Documents::base().edited(edits).approval().unwrap_err();
    assert!(faults[0].contains("`scopes` is not supported yet"), "{faults:#?}");
}

#[test]
fn a_slot_that_goes_frees_its_name() {
    let gone: &[Edit] = &[
        (In::Manifest, "credential = [\"key\", \"admin\"]", "credential = \"key\""),
        (In::Manifest, table::ADMIN, ""),
        (In::Config, ", admin = \"root\"", ""),
    ];
    let bearer: Edit = (In::Config, "scheme = \"api-key\"\nheader = \"X-Admin\"", "scheme = \"bearer\"");
    let base = Documents::base();
    let verdict = |base: &Documents| {
        let (former, now) = (base.approval().unwrap(), base.edited(gone).approval().unwrap());
        between(&former, &now)
    };
    assert!(!verdict(&base).is_covered());
    // No guest may ever set `Authorization`.
    let never = verdict(&Documents { config: base.config.replace(bearer.1, bearer.2), ..base.clone() });
    assert!(never.is_covered(), "{}", never.text());
}

#[test]
fn an_approved_manifest_that_is_gone_is_not_shown_to_be_covered() {
    let (approval, manifest) = Documents::base().approval().unwrap();
    let now = Side { approval: &approval, manifest: Some(&manifest) };
    let lost = Difference::between(Side { approval: &approval, manifest: None }, now);
    assert!(!lost.is_covered() && lost.text().contains("it is not there any more"), "{}", lost.text());
    assert!(Difference::between(now, now).is_covered());
}

/// Few words, so that rules often cover each other.
struct Drawn(SeededRandom);

impl Drawn {
    fn below(&self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % bound as u64).unwrap()
    }

    fn of<'a, T: ?Sized>(&self, among: &[&'a T]) -> &'a T {
        among[self.below(among.len())]
    }

    fn rule(&self) -> ManifestRule {
        let methods = self.of(&["GET", "POST", "GET,POST"]);
        let origin = self.of(&["https://a.v.test", "https://*.v.test", "https://a.v.test:444"]);
        let path = self.of(&["/a", "/*", "/*+", "/a/b", "/a/*", "/*/b", "/a/**", "/**"]);
        let rule = format!("{methods} {origin}{path}").parse().unwrap();
        let mut rule = ManifestRule {
            place: String::new(),
            rule,
            attributes: Attributes::default(),
            why: String::new(),
        };
        for _ in 0..self.below(3) {
            self.change(&mut rule.attributes);
        }
        rule
    }

    fn change(&self, attributes: &mut Attributes) {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match self.below(6) {
            0 => {
                let slots: [&[&str]; 4] = [&[], &["x"], &["y"], &["x", "y"]];
                attributes.credentials = names(self.of(&slots));
            }
            1 => {
                let pairs: [&[(&str, &str)]; 4] =
                    [&[], &[("p", "*")], &[("p", "d*"), ("q", "1")], &[("p", "data")]];
                let pairs = self.of(&pairs).iter();
                let pairs = pairs.map(|(name, value)| ((*name).to_owned(), value.parse().unwrap()));
                attributes.query = (self.below(3) > 0).then(|| QueryRule::new(pairs).unwrap());
            }
            2 => {
                let window = hours(1 + self.below(2) as u64);
                let key = Idempotency { header: "Idempotency-Key".to_owned(), window };
                attributes.idempotency = (self.below(2) > 0).then_some(key);
            }
            3 => attributes.safe = !attributes.safe,
            4 => {
                attributes.redirect = if self.below(2) > 0 { Redirect::Follow } else { Redirect::Guest };
            }
            _ => attributes.guest_headers = names(&["cookie", "via"][self.below(3).min(2)..]),
        }
    }

    /// Another set that is often a part of the first.
    fn near(&self, rules: &[ManifestRule]) -> Vec<ManifestRule> {
        let mut near = rules.to_vec();
        for rule in &mut near {
            match self.below(4) {
                0 => self.change(&mut rule.attributes),
                1 => {
                    let drawn = self.rule();
                    if self.below(2) > 0 || cover::cover(&rule.rule, &drawn.rule) {
                        rule.rule = drawn.rule;
                    }
                }
                _ => {}
            }
        }
        if self.below(4) == 0 {
            near.push(self.rule());
        }
        if near.len() > 1 && self.below(3) == 0 {
            near.remove(self.below(near.len()));
        }
        near
    }

    /// Mostly one that a rule lets pass, where its query and credential do.
    fn request(&self, rules: &[ManifestRule]) -> (String, String, Option<String>) {
        let ManifestRule { rule, attributes, .. } = &rules[self.below(rules.len())];
        let method = rule.methods()[self.below(rule.methods().len())].to_string();
        let host = rule.host_pattern().to_string().replace('*', self.of(&["a", "b"]));
        let path = rule.path_text().replace("/**", self.of(&["", "/", "/a", "/b/c", "/a/"]));
        let path = path.replace("*+", self.of(&["a%2Fb", "c"])).replace('*', self.of(&["a", "b", "c"]));
        let query = self.of(&["", "", "", "?p=1", "?p=data", "?p=dat&q=1", "?q=1", "?z=1"]);
        let slots = &attributes.credentials;
        let named =
            (slots.len() > 1 || self.below(4) == 0).then(|| slots.get(self.below(2)).cloned()).flatten();
        (method, format!("{}://{host}:{}{path}{query}", rule.scheme(), rule.port()), named)
    }
}

/// What the verdict calls covered, `Grants::authorize` never contradicts: 10,000 pairs that are called so, and of each the
/// requests that the new one lets pass.
#[test]
fn what_is_covered_lets_nothing_new_pass() {
    let drawn = Drawn(SeededRandom::new(7));
    let (mut base, _) = Documents::base().approval().unwrap();
    (base.from_response, base.credentials) = (Vec::new(), BTreeMap::new());
    let with = |rules: &[ManifestRule]| Approval { rules: rules.to_vec(), ..base.clone() };
    let (mut covered, mut passed, mut differing) = (0, 0, 0);
    for _ in 0..400_000 {
        let former: Vec<_> = (0..1 + drawn.below(3)).map(|_| drawn.rule()).collect();
        let now = drawn.near(&former);
        let grants = |rules: &[ManifestRule]| Grants::new(rules.to_vec(), OperatorRules::Requested).ok();
        let (Some(outer), Some(inner)) = (grants(&former), grants(&now)) else { continue };
        let (a, b) = (with(&former), with(&now));
        let side = |approval| Side { approval, manifest: None };
        let difference = Difference::between(side(&a), side(&b));
        if !difference.is_covered() {
            continue;
        }
        covered += 1;
        differing += usize::from(!difference.changes().is_empty());
        for _ in 0..16 {
            let (method, url, named) = drawn.request(&now);
            let Ok(new) = inner.authorize_tersely(&method, &url, None, named.as_deref()) else { continue };
            passed += 1;
            let old = outer.authorize_tersely(&method, &url, None, new.credential());
            let old = old.unwrap_or_else(|denial| panic!("{method} {url}: {denial}\n{former:#?}\n{now:#?}"));
            let (old_holds, holds) = (old.attributes(), new.attributes());
            assert_eq!((old.credential(), old.is_safe()), (new.credential(), new.is_safe()));
            assert_eq!(old_holds.redirect, holds.redirect);
            assert!(holds.guest_headers.iter().all(|name| old_holds.guest_headers.contains(name)));
            assert!(holds.idempotency.is_none() || old_holds.idempotency.is_some());
        }
        if covered == 10_000 {
            break;
        }
    }
    // Most are no copies, and most requests of a pair mean something.
    assert_eq!(covered, 10_000);
    assert!(differing > 2_000 && passed > 50_000, "{differing} differ, {passed} requests passed");
}
