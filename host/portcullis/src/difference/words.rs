//! A difference in words and as JSON. What a connector's author wrote stands on one line, escaped.
use super::{Change, Difference, Kind};
use crate::{
    command::{named_line, rule_line},
    output::shown_line,
};
use portcullis_grants::{FromResponse, ManifestRule, Rule};
use portcullis_manifest::lock::PinnedCredential;
use serde_json::{Value, json};

/// A rule with what holds for it and the author's reason.
pub(super) fn rule(rule: &ManifestRule, flags: impl Fn(&Rule) -> Vec<String>) -> String {
    rule_line(rule, flags)
}

/// A rule over URLs that answers name.
pub(super) fn named(from: &FromResponse, flags: impl Fn(&Rule) -> Vec<String>) -> String {
    named_line(from, flags)
}

/// `live` (bearer) as header authorization
pub(super) fn pinned(pinned: &PinnedCredential) -> String {
    format!("`{}` ({}) as {}", pinned.credential, pinned.scheme, pinned.place)
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Widened => "widened",
            Self::Changed => "changed",
            Self::Narrowed => "narrowed",
            Self::Removed => "removed",
            Self::Interface => "interface",
        }
    }
}

impl Difference {
    /// `covered` or `asks-for-more`, for programs.
    pub fn verdict(&self) -> &'static str {
        if self.is_covered() { "covered" } else { "asks-for-more" }
    }

    /// What a security person reads in ten seconds: the verdict, what asks for more, what does not.
    pub fn text(&self) -> String {
        let more = self.changes.iter().filter(|change| change.kind.asks_for_more()).count();
        let former = format!("{} (approved {})", self.former.version, self.former.approved_at);
        let less = self.changes.iter().any(|change| matches!(change.kind, Kind::Narrowed | Kind::Removed));
        let verdict = match (more, less) {
            (0, false) => format!("COVERED: it asks for the same as {former}"),
            (0, true) => format!("COVERED: it asks for less than {former}"),
            (1, _) => format!("ASKS FOR MORE than {former}, in 1 point"),
            (more, _) => format!("ASKS FOR MORE than {former}, in {more} points"),
        };
        let mut lines = vec![verdict];
        for kind in Kind::ALL {
            let changes: Vec<_> = self.changes.iter().filter(|change| change.kind == kind).collect();
            if changes.is_empty() {
                continue;
            }
            let mark = match kind {
                Kind::Narrowed | Kind::Removed => ", which is less than before",
                Kind::Interface => ": what callers see, and no right",
                _ => "",
            };
            lines.push(format!("{}{mark}", kind.as_str()));
            lines.extend(changes.iter().map(|change| change.text()));
        }
        if !self.changes.is_empty() {
            lines.push("all else is the same".to_owned());
        }
        lines.join("\n")
    }

    /// The same for programs.
    pub fn as_json(&self) -> Value {
        json!({
            "verdict": self.verdict(),
            "former": { "version": self.former.version, "approved_at": self.former.approved_at },
            "changes": self.changes.iter().map(Change::as_json).collect::<Vec<_>>(),
            "same": self.same(),
        })
    }
}

impl Change {
    /// One line, or three where a rule takes the place of another.
    fn text(&self) -> String {
        let name = self.name.as_ref().map_or(String::new(), |name| format!(" `{}`", shown_line(name)));
        let what = format!("{}{name}", self.what);
        let note = self.note.map_or(String::new(), |note| format!(": {note}"));
        let shown = |text: &Option<String>| text.as_deref().map(shown_line);
        match (shown(&self.from), shown(&self.to)) {
            (Some(from), Some(to)) if from.len() + to.len() > 60 => {
                let fields: Vec<&str> = self.fields.iter().map(|field| field.as_str()).collect();
                let fields =
                    if fields.is_empty() { String::new() } else { format!(", in {}", fields.join(", ")) };
                format!("  {what}{fields}{note}\n    was  {from}\n    now  {to}")
            }
            (Some(from), Some(to)) => format!("  {what} {from} → {to}{note}"),
            (Some(one), None) | (None, Some(one)) => format!("  {what}  {one}{note}"),
            (None, None) => format!("  {what}{note}"),
        }
    }

    fn as_json(&self) -> Value {
        json!({
            "kind": self.kind.as_str(),
            "asks_for_more": self.kind.asks_for_more(),
            "what": self.what,
            "name": self.name,
            "from": self.from,
            "to": self.to,
            "fields": self.fields.iter().map(|field| field.as_str()).collect::<Vec<_>>(),
            "note": self.note,
        })
    }

    /// What follows from another number, in one line.
    pub fn follows(&self) -> Option<String> {
        let note = self.note.filter(|_| matches!(self.what, "position-version" | "config-version"))?;
        Some(format!("{} {} → {}: {note}", self.what, self.from.as_ref()?, self.to.as_ref()?))
    }
}
