//! What a new approval asks for beyond a former one, field by field: what `review`, `approve` and `update` decide by, and what
//! they show. Pure. What callers of a connector see is shown too, and gives it nothing. What can't be shown to be covered counts as more: a rule is covered by one former rule in every field
//! (`grants::cover`), everything else by being the same or a part of what was. Reasons and places in a manifest give nobody a
//! right and are not compared.
use portcullis_grants::{
    FromResponse, ManifestRule, Rule,
    cover::{self, Field},
};
use portcullis_manifest::{Access, Approval, Connector, Role, lock::PinnedFolder};
use std::collections::{BTreeMap, BTreeSet};

mod declared;
mod words;

/// An approval, and the manifest of its component where that can be read.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// What is pinned, or would be.
    pub approval: &'a Approval,
    /// What the component declares beside it.
    pub manifest: Option<&'a Connector>,
}

/// How one thing differs. The first three ask for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// There was nothing like it.
    Added,
    /// It reaches further than what it takes the place of.
    Widened,
    /// It is another one, and neither is a part of the other.
    Changed,
    /// A part of what was.
    Narrowed,
    /// Gone.
    Removed,
    /// Of what callers see, which gives the connector no right.
    Interface,
}

impl Kind {
    /// Every kind, in the order in which a person has to read them.
    pub const ALL: [Self; 6] =
        [Self::Added, Self::Widened, Self::Changed, Self::Narrowed, Self::Removed, Self::Interface];

    /// Whether somebody has to agree.
    pub fn asks_for_more(self) -> bool {
        matches!(self, Self::Added | Self::Widened | Self::Changed)
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How.
    pub kind: Kind,
    /// Of what: `rule`, `secret`, `credential slot`, …
    pub what: &'static str,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// As it was.
    pub from: Option<String>,
    /// As it would be.
    pub to: Option<String>,
    /// Of a rule: the fields in which it is wider, or narrower.
    pub fields: Vec<Field>,
    /// What follows.
    pub note: Option<&'static str>,
}

/// All differences between a former approval and a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    former: Former,
    changes: Vec<Change>,
}

/// What is shown of the former approval.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Former {
    version: String,
    approved_at: String,
}

/// The names of what is compared, as they are shown.
const COMPARED: [&str; 21] = [
    "connector",
    "position-version",
    "config-version",
    "rule",
    "from-response",
    "secret",
    "credential slot",
    "origin",
    "import",
    "role",
    "folder",
    "connect-to",
    "ca-file",
    "address range",
    "roots",
    "requests-per-second",
    "webhook signing",
    "operation",
    "schema",
    "config schema",
    "masked property",
];

impl Difference {
    /// Compares.
    pub fn between(former: Side<'_>, now: Side<'_>) -> Self {
        let mut found = Found::default();
        let (a, b) = (former.approval, now.approval);
        found.value("connector", a.connector.to_string(), b.connector.to_string(), None);
        if a.connector == b.connector {
            numbers(a, b, &mut found);
        }
        found.rules("rule", &a.rules, &b.rules);
        found.rules("from-response", &a.from_response, &b.from_response);
        secrets(a, b, &mut found);
        slots(a, b, &mut found);
        let first = found.changes.len();
        found.map("origin", &a.origins, &b.origins, ToString::to_string, |_, _| Kind::Changed);
        let rebound = |change: &&mut Change| change.kind == Kind::Changed;
        found.changes[first..].iter_mut().filter(rebound).for_each(|change| change.note = OF_THE_CONFIG);
        found.set("import", a.imports.iter().cloned(), b.imports.iter().cloned());
        let roles = |roles: &BTreeSet<Role>| roles.iter().map(ToString::to_string).collect::<Vec<_>>();
        found.set("role", roles(&a.roles), roles(&b.roles));
        let folder = |folder: &PinnedFolder| format!("{} ({})", folder.path, folder.access.as_str());
        found.map("folder", &a.folders, &b.folders, folder, folders);
        network(a, b, &mut found);
        declared::compare(former.manifest, now.manifest, &mut found);
        found.changes.sort_by_key(|change| change.kind);
        let former = Former { version: a.version.to_string(), approved_at: a.approved_at.clone() };
        Self { former, changes: found.changes }
    }

    /// Whether the new one asks for nothing that the former one does not give.
    pub fn is_covered(&self) -> bool {
        !self.changes.iter().any(|change| change.kind.asks_for_more())
    }

    /// What differs, what asks for more first.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What was compared and does not differ.
    pub fn same(&self) -> Vec<&'static str> {
        let differs = |what: &&str| !self.changes.iter().any(|change| change.what == *what);
        COMPARED.into_iter().filter(differs).collect()
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    changes: Vec<Change>,
}

impl Found {
    fn push(
        &mut self,
        kind: Kind,
        what: &'static str,
        name: Option<&str>,
        from: Option<String>,
        to: Option<String>,
    ) -> &mut Change {
        debug_assert!(COMPARED.contains(&what), "{what}");
        let name = name.map(str::to_owned);
        self.changes.push(Change { kind, what, name, from, to, fields: Vec::new(), note: None });
        let last = self.changes.len() - 1;
        &mut self.changes[last]
    }

    /// One value of which no other is a part.
    fn value(&mut self, what: &'static str, from: String, to: String, note: Option<&'static str>) {
        if from != to {
            self.push(Kind::Changed, what, None, Some(from), Some(to)).note = note;
        }
    }

    fn set(
        &mut self,
        what: &'static str,
        from: impl IntoIterator<Item = String>,
        to: impl IntoIterator<Item = String>,
    ) {
        let (from, to): (BTreeSet<_>, BTreeSet<_>) = (from.into_iter().collect(), to.into_iter().collect());
        for added in to.difference(&from) {
            self.push(Kind::Added, what, None, None, Some(added.clone()));
        }
        for removed in from.difference(&to) {
            self.push(Kind::Removed, what, None, Some(removed.clone()), None);
        }
    }

    /// Values by name; `judge` says of two that differ how they do.
    fn map<T: PartialEq>(
        &mut self,
        what: &'static str,
        from: &BTreeMap<String, T>,
        to: &BTreeMap<String, T>,
        show: impl Fn(&T) -> String,
        judge: impl Fn(&T, &T) -> Kind,
    ) {
        let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
        for name in names {
            let (a, b) = (from.get(name), to.get(name));
            let kind = match (a, b) {
                (None, _) => Kind::Added,
                (Some(_), None) => Kind::Removed,
                (Some(a), Some(b)) if a == b => continue,
                (Some(a), Some(b)) => judge(a, b),
            };
            self.push(kind, what, Some(name), a.map(&show), b.map(&show));
        }
    }

    /// Each new rule against the former ones.
    fn rules<R: Comparable>(&mut self, what: &'static str, former: &[R], now: &[R]) {
        let stays = |rule: &&R| now.iter().any(|other| other.gives_the_same(rule));
        for rule in now.iter().filter(|rule| !former.iter().any(|other| other.gives_the_same(rule))) {
            let exceeds = |other: &R| other.exceeded_by(rule);
            if let Some(covering) = former.iter().find(|other| exceeds(other).is_empty()) {
                // Where that one stays, nothing is given or taken by another one within it.
                if !stays(&covering) {
                    let (from, to) = (covering.shown(), rule.shown_whole());
                    let change = self.push(Kind::Narrowed, what, None, Some(from), Some(to));
                    change.fields = rule.exceeded_by(covering);
                }
                continue;
            }
            let replaced = former.iter().filter(|other| other.overlaps(rule) && !stays(other));
            let to = Some(rule.shown_whole());
            match replaced.min_by_key(|other| exceeds(other).len()) {
                Some(nearest) => {
                    let change = self.push(Kind::Widened, what, None, Some(nearest.shown()), to);
                    change.fields = exceeds(nearest);
                }
                None => {
                    self.push(Kind::Added, what, None, None, to);
                }
            }
        }
        for rule in former.iter().filter(|rule| !now.iter().any(|other| other.overlaps(rule))) {
            self.push(Kind::Removed, what, None, Some(rule.shown()), None);
        }
    }
}

/// Rules, and rules over URLs that answers name.
trait Comparable {
    /// The fields in which the other asks for more.
    fn exceeded_by(&self, other: &Self) -> Vec<Field>;
    fn overlaps(&self, other: &Self) -> bool;
    /// With what holds for it.
    fn shown(&self) -> String;
    /// With what a security person should know, and the author's reason.
    fn shown_whole(&self) -> String;

    fn gives_the_same(&self, other: &Self) -> bool {
        self.exceeded_by(other).is_empty() && other.exceeded_by(self).is_empty()
    }
}

impl Comparable for ManifestRule {
    fn exceeded_by(&self, other: &Self) -> Vec<Field> {
        cover::exceeds(self, other)
    }
    fn overlaps(&self, other: &Self) -> bool {
        cover::overlap(&self.rule, &other.rule)
    }
    fn shown(&self) -> String {
        words::rule(self, |_| Vec::new())
    }
    fn shown_whole(&self) -> String {
        words::rule(self, Rule::flags)
    }
}

impl Comparable for FromResponse {
    fn exceeded_by(&self, other: &Self) -> Vec<Field> {
        cover::exceeds_named(self, other)
    }
    fn overlaps(&self, other: &Self) -> bool {
        cover::overlap(&self.rule.rule, &other.rule.rule)
    }
    fn shown(&self) -> String {
        words::named(self, |_| Vec::new())
    }
    fn shown_whole(&self) -> String {
        words::named(self, Rule::flags)
    }
}

/// Another number is another meaning of what is stored, whatever the rules say.
fn numbers(a: &Approval, b: &Approval, found: &mut Found) {
    let migrates = b.roles.contains(&Role::Migration);
    let positions = match (migrates, b.position_version > a.position_version) {
        (_, false) => {
            "what that version left is found again; what newer ones left is kept, and never read by it"
        }
        (true, true) => {
            "the connector moves positions and state when they are first used; the old ones are kept for a rollback"
        }
        (false, true) => "positions and state start empty; the old ones are kept for a rollback",
    };
    let number = |number: u32| number.to_string();
    found.value("position-version", number(a.position_version), number(b.position_version), Some(positions));
    let config = match migrates && b.config_version > a.config_version {
        true => "the meaning of `config` changed: `approve` shows what the connector proposes instead",
        false => "the meaning of `config` changed: hold yours against what the new version's schema says",
    };
    found.value("config-version", number(a.config_version), number(b.config_version), Some(config));
}

/// Who would see which secret: what the rules say, asked from the other end.
fn secrets(a: &Approval, b: &Approval, found: &mut Found) {
    let sent = |sent: &[Sent<'_>], other: &Sent<'_>| sent.iter().any(|sent| sent.covers(other));
    let (before, after) = (Sent::all(a), Sent::all(b));
    let new: BTreeSet<String> = after.iter().filter(|other| !sent(&before, other)).map(Sent::shown).collect();
    for shown in new {
        found.push(Kind::Added, "secret", None, None, Some(shown));
    }
    let gone: BTreeSet<String> =
        before.iter().filter(|other| !sent(&after, other)).map(Sent::shown).collect();
    for shown in gone {
        found.push(Kind::Removed, "secret", None, Some(shown), None);
    }
}

/// A credential that one rule sends somewhere.
struct Sent<'a> {
    pinned: &'a portcullis_manifest::lock::PinnedCredential,
    rule: &'a Rule,
}

impl<'a> Sent<'a> {
    fn all(approval: &'a Approval) -> Vec<Self> {
        let rules = approval.rules.iter().chain(approval.from_response.iter().map(|from| &from.rule));
        let of = |rule: &'a ManifestRule| {
            let slots = rule.attributes.credentials.iter();
            slots.filter_map(|slot| Some(Self { pinned: approval.credentials.get(slot)?, rule: &rule.rule }))
        };
        rules.flat_map(of).collect()
    }

    fn covers(&self, other: &Self) -> bool {
        self.pinned == other.pinned && cover::covers_origin(self.rule, other.rule)
    }

    fn shown(&self) -> String {
        let origin = format!("{}://{}:{}", self.rule.scheme(), self.rule.host_pattern(), self.rule.port());
        format!("{} to {origin}", words::pinned(self.pinned))
    }
}

fn slots(a: &Approval, b: &Approval, found: &mut Found) {
    let first = found.changes.len();
    found.map("credential slot", &a.credentials, &b.credentials, words::pinned, |_, _| Kind::Changed);
    // A name that no slot uses any more is the guest's to set: with its author's own key, for one.
    let reserved = |place: &str| b.credentials.values().any(|pinned| pinned.place == place);
    for change in &mut found.changes[first..] {
        let removed = change.kind == Kind::Removed;
        let pinned = change.name.as_ref().and_then(|slot| a.credentials.get(slot)).filter(|_| removed);
        let freed = |place: &str| !NEVER_A_GUESTS.contains(&place) && !reserved(place);
        if pinned.is_some_and(|pinned| freed(&pinned.place)) {
            change.kind = Kind::Changed;
            change.note = Some("from now on the connector may set that name itself");
        }
    }
}

/// Headers that egress refuses of every guest, whatever the slots are.
const NEVER_A_GUESTS: [&str; 2] = ["header authorization", "header cookie"];

fn folders(a: &PinnedFolder, b: &PinnedFolder) -> Kind {
    let within = |a: Access, b: Access| (a.reads() || !b.reads()) && (a.writes() || !b.writes());
    match a.path == b.path {
        false => Kind::Changed,
        true if within(a.access, b.access) => Kind::Narrowed,
        true => Kind::Widened,
    }
}

/// Of what no version of a connector asks for.
const OF_THE_CONFIG: Option<&str> = Some("by the config, whatever the version");

/// Where names are dialled and what is trusted there: only a list of ranges has parts.
fn network(a: &Approval, b: &Approval, found: &mut Found) {
    let (a, b) = (&a.network, &b.network);
    let first = found.changes.len();
    found.map("connect-to", &a.connect_to, &b.connect_to, Clone::clone, |_, _| Kind::Changed);
    found.changes[first..].iter_mut().for_each(|change| change.note = OF_THE_CONFIG);
    for change in found.changes[first..].iter_mut().filter(|change| change.kind == Kind::Removed) {
        change.kind = Kind::Changed;
        change.note = Some("the name is dialled where DNS says");
    }
    let file = |file: &Option<String>| file.clone().unwrap_or("none".to_owned());
    found.value("ca-file", file(&a.ca_file), file(&b.ca_file), OF_THE_CONFIG);
    found.value("roots", a.roots.clone(), b.roots.clone(), OF_THE_CONFIG);
    let read = |range: &String| range.parse::<ipnet::IpNet>().ok();
    let within = |outer: &String, inner: &String| match (read(outer), read(inner)) {
        (Some(outer), Some(inner)) => outer.contains(&inner),
        _ => outer == inner,
    };
    for range in b.addresses.iter().filter(|range| !a.addresses.contains(range)) {
        match a.addresses.iter().find(|outer| within(outer, range)) {
            Some(outer) if b.addresses.contains(outer) => {}
            Some(outer) => {
                found.push(Kind::Narrowed, "address range", None, Some(outer.clone()), Some(range.clone()));
            }
            None => {
                let change = found.push(Kind::Added, "address range", None, None, Some(range.clone()));
                change.note = OF_THE_CONFIG;
            }
        }
    }
    let gone =
        |range: &&String| !b.addresses.iter().any(|other| within(other, range) || within(range, other));
    for range in a.addresses.iter().filter(gone) {
        found.push(Kind::Removed, "address range", None, Some(range.clone()), None);
    }
}

#[cfg(test)]
mod tests;
