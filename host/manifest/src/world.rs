//! The connector world by name: what a component may import and which exports are roles. Read before anything is compiled, so
//! that an import outside the world is refused by its name and not by the engine.
use crate::{EmbeddedError, Role, diagnose::shown};
use std::collections::BTreeSet;

/// The version of the connector package that this host has: no other links, not even one that semver would accept.
pub const PACKAGE_VERSION: &str = "0.1.0";
/// WASI 0.2.x up to this x, which is wasmtime-wasi's.
pub const WASI_PATCH_MAX: u64 = 12;

const IMPORTS: [&str; 6] = ["types", "http", "blobs", "state", "assets", "log"];
/// Interfaces that a manifest has to ask for.
const IMPORTS_REQUESTED: [&str; 1] = ["files"];

/// WASI that a manifest has to ask for: package and capability.
const WASI_REQUESTED: [(&str, &str); 1] = [("wasi:http", "wasi-http")];

const WASI: [(&str, &[&str]); 7] = [
    ("http", &["types", "outgoing-handler"]),
    ("io", &["error", "poll", "streams"]),
    (
        "cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("clocks", &["monotonic-clock", "wall-clock"]),
    ("random", &["random", "insecure", "insecure-seed"]),
    ("filesystem", &["types", "preopens"]),
    (
        "sockets",
        &[
            "network",
            "instance-network",
            "ip-name-lookup",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
    ),
];

/// The capabilities that this version has.
pub fn capabilities() -> BTreeSet<String> {
    let wasi = WASI_REQUESTED.iter().map(|(_, capability)| *capability);
    IMPORTS_REQUESTED.into_iter().chain(wasi).map(str::to_owned).collect()
}

/// Refuses an import that is outside the world, or that the manifest's capabilities do not ask for.
pub fn check_import(name: &str, capabilities: &BTreeSet<String>) -> Result<(), EmbeddedError> {
    let refused = |problem: String| Err(EmbeddedError::Import { name: shown(name), problem });
    let Some((package, interface, version)) = split(name) else {
        return refused("not part of the connector world".to_owned());
    };
    match package {
        "portcullis:connector" => {
            let known = IMPORTS.contains(&interface);
            let requested = IMPORTS_REQUESTED.contains(&interface);
            if (known || requested) && version != PACKAGE_VERSION {
                return refused(format!("this portcullis has version {PACKAGE_VERSION} alone"));
            }
            if requested && !capabilities.contains(interface) {
                return refused(format!("the manifest does not list the capability `{interface}`"));
            }
            if known || requested { Ok(()) } else { refused("not part of the connector world".to_owned()) }
        }
        _ => {
            let interfaces = WASI
                .iter()
                .find(|(wasi, _)| package.strip_prefix("wasi:") == Some(*wasi))
                .map(|(_, list)| *list);
            if !interfaces.is_some_and(|list| list.contains(&interface)) {
                return refused("not part of the connector world".to_owned());
            }
            let requested = WASI_REQUESTED.iter().find(|(wasi, _)| package == *wasi);
            match semver::Version::parse(version) {
                Ok(v)
                    if v.major == 0
                        && v.minor == 2
                        && v.patch <= WASI_PATCH_MAX
                        && v.pre.is_empty()
                        && v.build.is_empty() =>
                {
                    match requested.filter(|(_, capability)| !capabilities.contains(*capability)) {
                        Some((_, missing)) => {
                            refused(format!("the manifest does not list the capability `{missing}`"))
                        }
                        None => Ok(()),
                    }
                }
                _ => refused(format!("this portcullis has 0.2.0 to 0.2.{WASI_PATCH_MAX}")),
            }
        }
    }
}

/// `namespace:package/interface@version`
pub(crate) fn split(name: &str) -> Option<(&str, &str, &str)> {
    let (package, rest) = name.split_once('/')?;
    let (interface, version) = rest.split_once('@')?;
    Some((package, interface, version))
}

/// The roles among the exported instances; refuses what belongs to the package and is no role, and a component without
/// `lifecycle`.
pub fn roles(exports: &[String]) -> Result<BTreeSet<Role>, EmbeddedError> {
    let mut roles = BTreeSet::new();
    let mut lifecycle = false;
    for name in exports {
        let Some(rest) = name.strip_prefix("portcullis:") else { continue };
        let refused = |problem: String| EmbeddedError::Export { name: shown(name), problem };
        let (interface, version) = rest
            .strip_prefix("connector/")
            .and_then(|rest| rest.split_once('@'))
            .ok_or_else(|| refused("not part of the connector world".to_owned()))?;
        if version != PACKAGE_VERSION {
            return Err(refused(format!("this portcullis has version {PACKAGE_VERSION} alone")));
        }
        match interface.parse::<Role>() {
            Ok(role) => drop(roles.insert(role)),
            Err(_) if interface == "lifecycle" => lifecycle = true,
            Err(_) => return Err(refused("not part of the connector world".to_owned())),
        }
    }
    if lifecycle { Ok(roles) } else { Err(EmbeddedError::NoLifecycle) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn imports_and_their_look_alikes() {
        for name in [
            "portcullis:connector/http@0.1.0",
            "portcullis:connector/types@0.1.0",
            "wasi:io/streams@0.2.0",
            "wasi:cli/environment@0.2.6",
            "wasi:sockets/tcp@0.2.12",
        ] {
            check_import(name, &BTreeSet::new()).unwrap();
        }
        let cases = [
            ("portcullis:connector/http@0.1.1", "this portcullis has version 0.1.0 alone"),
            ("portcullis:connector/http@0.1.0-rc1", "this portcullis has version 0.1.0 alone"),
            ("portcullis:connector/htttp@0.1.0", "not part of the connector world"),
            ("portcullis:connector/http", "not part of the connector world"),
            ("portcullis-connector:connector/http@0.1.0", "not part of the connector world"),
            ("portcullis:connector/files@0.1.0", "the manifest does not list the capability `files`"),
            ("portcullis:connector/files@0.1.1", "this portcullis has version 0.1.0 alone"),
            ("wasi:http/outgoing-handler@0.2.6", "the manifest does not list the capability `wasi-http`"),
            ("wasi:http/types@0.2.0", "the manifest does not list the capability `wasi-http`"),
            ("wasi:http/incoming-handler@0.2.6", "not part of the connector world"),
            ("wasi:http/outgoing-handler@0.2.13", "this portcullis has 0.2.0 to 0.2.12"),
            ("wasi:cli/environment@0.2.13", "this portcullis has 0.2.0 to 0.2.12"),
            ("wasi:cli/environment@0.3.0", "this portcullis has 0.2.0 to 0.2.12"),
            ("wasi:cli/environment@0.2.0-rc-2023-11-10", "this portcullis has 0.2.0 to 0.2.12"),
            ("wasi:cli/run@0.2.6", "not part of the connector world"),
            ("wasi:nn/graph@0.2.0", "not part of the connector world"),
            ("evil:cli/environment@0.2.6", "not part of the connector world"),
            ("env", "not part of the connector world"),
            ("url=<https://evil.test/x>", "not part of the connector world"),
        ];
        for (name, problem) in cases {
            let none = BTreeSet::new();
            assert_eq!(
                check_import(name, &none).unwrap_err().to_string(),
                format!("imports `{name}`: {problem}")
            );
        }
    }

    #[test]
    fn a_capability_is_an_import_that_was_asked_for() {
        let files = BTreeSet::from(["files".to_owned()]);
        check_import("portcullis:connector/files@0.1.0", &files).unwrap();
        check_import("portcullis:connector/files@0.1.0", &capabilities()).unwrap();
        assert!(check_import("portcullis:connector/files@0.1.1", &files).is_err());
        assert!(check_import("wasi:http/outgoing-handler@0.2.6", &files).is_err());
        let http = BTreeSet::from(["wasi-http".to_owned()]);
        check_import("wasi:http/outgoing-handler@0.2.6", &http).unwrap();
        check_import("wasi:http/types@0.2.12", &capabilities()).unwrap();
    }

    #[test]
    fn roles_are_exact_names() {
        let of = |names: &[&str]| roles(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        let lifecycle = "portcullis:connector/lifecycle@0.1.0";
        let found = of(&[lifecycle, "portcullis:connector/actions@0.1.0", "wasi:cli/run@0.2.6"]).unwrap();
        assert_eq!(found, BTreeSet::from([Role::Actions]));
        assert_eq!(
            of(&["portcullis:connector/actions@0.1.0"]).unwrap_err().to_string(),
            "exports no `portcullis:connector/lifecycle@0.1.0`"
        );
        assert!(of(&[lifecycle, "portcullis:connector/actions@0.2.0"]).is_err());
        assert!(of(&[lifecycle, "portcullis:connector/acts@0.1.0"]).is_err());
    }
}
