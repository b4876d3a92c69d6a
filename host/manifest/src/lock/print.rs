//! Prints a lock: one value a line in a fixed order, so that a review reads as a diff.
use super::{Approval, FORMAT, Lock};
use crate::diagnose::print_duration;
use portcullis_grants::{FromResponse, ManifestRule, Redirect};
use std::fmt::Write as _;

const HEADER: &str =
    "# Written by `portcullis approve` and `portcullis revoke`. Review it, commit it, do not edit it.\n";

pub(super) fn lock(lock: &Lock) -> String {
    let mut out = format!("{HEADER}format = {FORMAT}\n");
    for (name, approval) in &lock.approvals {
        self::approval(&mut out, &format!("approvals.{}", key(name)), approval);
    }
    out
}

fn approval(out: &mut String, name: &str, approval: &Approval) {
    let _ = writeln!(out, "\n[{name}]");
    pair(out, "approval-id", &approval.approval_id);
    if approval.revoked {
        out.push_str("revoked = true\n");
    }
    pair(out, "approved-at", &approval.approved_at);
    pair(out, "connector", &approval.connector.to_string());
    pair(out, "version", &approval.version.to_string());
    pair(out, "digest", &approval.digest);
    let _ = writeln!(out, "position-version = {}", approval.position_version);
    let _ = writeln!(out, "config-version = {}", approval.config_version);
    list(out, "roles", approval.roles.iter().map(|role| role.as_str()));
    list(out, "imports", approval.imports.iter().map(String::as_str));
    if !approval.origins.is_empty() {
        let _ = writeln!(out, "\n[{name}.origins]");
        for (origin, value) in &approval.origins {
            pair(out, origin, &value.to_string());
        }
    }
    for rule in &approval.rules {
        let _ = writeln!(out, "\n[[{name}.http]]");
        self::rule(out, rule);
    }
    for FromResponse { rule, of, at } in &approval.from_response {
        let _ = writeln!(out, "\n[[{name}.from-response]]");
        pair(out, "of", &of.to_string());
        let at: Vec<String> = at.iter().map(ToString::to_string).collect();
        list(out, "at", at.iter().map(String::as_str));
        self::rule(out, rule);
    }
    for (slot, pinned) in &approval.credentials {
        let _ = writeln!(out, "\n[{name}.credentials.{}]", key(slot));
        pair(out, "credential", &pinned.credential);
        pair(out, "scheme", &pinned.scheme);
        pair(out, "place", &pinned.place);
    }
    for (folder, pinned) in &approval.folders {
        let _ = writeln!(out, "\n[{name}.folders.{}]", key(folder));
        pair(out, "path", &pinned.path);
        pair(out, "access", pinned.access.as_str());
    }
    let _ = writeln!(out, "\n[{name}.network]");
    pair(out, "roots", &approval.network.roots);
    if let Some(digest) = &approval.network.ca_file {
        pair(out, "ca-file", digest);
    }
    list(out, "addresses", approval.network.addresses.iter().map(String::as_str));
    if !approval.network.connect_to.is_empty() {
        let _ = writeln!(out, "\n[{name}.network.connect-to]");
        for (from, to) in &approval.network.connect_to {
            pair(out, from, to);
        }
    }
}

fn rule(out: &mut String, rule: &ManifestRule) {
    pair(out, "place", &rule.place);
    pair(out, "allow", &rule.rule.to_string());
    let attributes = &rule.attributes;
    if !attributes.credentials.is_empty() {
        list(out, "credential", attributes.credentials.iter().map(String::as_str));
    }
    if let Some(idempotency) = &attributes.idempotency {
        let (header, window) = (quoted(&idempotency.header), quoted(&print_duration(idempotency.window)));
        let _ = writeln!(out, "idempotency = {{ header = {header}, window = {window} }}");
    }
    if attributes.safe {
        out.push_str("safe = true\n");
    }
    match attributes.redirect {
        Redirect::Guest => {}
        Redirect::Follow => pair(out, "redirect", "follow"),
    }
    if !attributes.guest_headers.is_empty() {
        list(out, "guest-headers", attributes.guest_headers.iter().map(String::as_str));
    }
    if let Some(query) = &attributes.query {
        let pairs: Vec<_> = query
            .pairs()
            .map(|(name, value)| format!("{} = {}", key(name), quoted(&value.to_string())))
            .collect();
        let _ = writeln!(out, "query = {{ {} }}", pairs.join(", "));
    }
    pair(out, "why", &rule.why);
}

fn pair(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "{} = {}", key(name), quoted(value));
}

/// A short list on its line, a long one with an item a line.
fn list<'a>(out: &mut String, name: &str, items: impl Iterator<Item = &'a str>) {
    let items: Vec<String> = items.map(quoted).collect();
    if items.iter().map(String::len).sum::<usize>() <= 80 {
        let _ = writeln!(out, "{} = [{}]", key(name), items.join(", "));
        return;
    }
    let _ = writeln!(out, "{} = [", key(name));
    for item in items {
        let _ = writeln!(out, "    {item},");
    }
    out.push_str("]\n");
}

fn key(text: &str) -> String {
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if bare { text.to_owned() } else { quoted(text) }
}

/// A basic string of TOML 1.0.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if crate::diagnose::is_hidden(c) => {
                let _ = match u32::from(c) {
                    code @ 0..=0xffff => write!(out, "\\u{code:04X}"),
                    code => write!(out, "\\U{code:08X}"),
                };
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
