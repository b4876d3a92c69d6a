//! TOML that would allow a refused request, with where it goes. A suggested rule is the narrowest one, and was read
//! back and matched before it gets here.

use crate::{
    FromResponse, Rule,
    host::{Host, HostPattern},
    limits::REMEDY_RULES_MAX,
};

/// For the author: the manifest asks for too little.
pub(crate) fn for_manifest(rule: &Rule) -> String {
    format!(
        "# connector.toml, for the connector's author; then `portcullis build` and `portcullis approve`\n\
         {}[[http]]\nallow = [{}]\nwhy = \"…\"\n",
        of_plain(rule),
        quoted(&rule.to_string())
    )
}

/// For the author: no answer named the URL where the rule looks for it.
pub(crate) fn for_place(from: &FromResponse) -> String {
    let at: Vec<_> = from.at.iter().map(|at| quoted(&at.to_string())).collect();
    format!(
        "# connector.toml, for the connector's author: `of` and `at` have to say which answer names the URL, and where\n\
         [[http]]\nfrom-response = {{ allow = {}, of = {}, at = [{}] }}\nwhy = \"…\"\n",
        quoted(&from.rule.rule.to_string()),
        quoted(&from.of.to_string()),
        at.join(", ")
    )
}

/// For the author: the operation narrowed too much.
pub(crate) fn for_operation(rule: &Rule) -> String {
    format!(
        "# connector.toml, for the connector's author: add to the `http` list of this action or stream\n\
         {}http = [{}]\n",
        of_plain(rule),
        quoted(&rule.to_string())
    )
}

/// For the operator: the connection's own list, with the line added.
pub(crate) fn for_operator(connection: &str, listed: &[(String, Rule)], rule: &Rule) -> String {
    let mut text = String::from("# portcullis.toml\n");
    text.push_str(of_plain(rule));
    text.push_str(&format!("[connections.{}]\nallow = [\n", key(connection)));
    if listed.len() <= REMEDY_RULES_MAX {
        for (_, rule) in listed {
            text.push_str(&format!("  {},\n", quoted(&rule.to_string())));
        }
    } else {
        text.push_str("  # … the rules that stand here already\n");
    }
    text.push_str(&format!("  {},\n]\n", quoted(&rule.to_string())));
    text
}

/// A name that is asked for without TLS: the rule would let it pass, and the address guard would not.
fn of_plain(rule: &Rule) -> &'static str {
    let is_elsewhere = match rule.host_pattern() {
        HostPattern::Exact(Host::Name(name)) => name != "localhost" && !name.ends_with(".localhost"),
        _ => false,
    };
    if rule.scheme() == "http" && is_elsewhere {
        "# plain `http` reaches loopback alone, whatever is allowed: have the connector ask for `https://`\n"
    } else {
        ""
    }
}

/// A bare key where TOML allows one.
fn key(name: &str) -> String {
    let is_bare =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_toml() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000A\"");
        assert_eq!(key("billing-1"), "billing-1");
        assert_eq!(key("a.b"), "\"a.b\"");
        assert_eq!(key(""), "\"\"");
    }
}
