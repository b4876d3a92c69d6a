//! The boundary: what no approval may exceed, whoever gave it. Judged when a connection is approved and loaded, rule by rule,
//! and once more for each request.

use crate::{
    Rule, cover,
    rule::{self, RuleError},
};
use std::{fmt, str::FromStr};

/// A rule of the boundary: the one place where `*` is any host, addresses included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundaryRule(Rule);

impl FromStr for BoundaryRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        rule::parse(text, true).map(Self)
    }
}

impl fmt::Display for BoundaryRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `[boundary]` of a config. Without a rule it bounds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boundary {
    /// Where there are any, a rule has to be covered by one of them.
    pub allow: Vec<BoundaryRule>,
    /// None may overlap one of them, however a server reads it: percent-encodings undone, `%2F` as a slash, letters of either case
    /// as one, a slash at the end as none. Where no port is written, or the scheme's own, it is any port.
    pub deny: Vec<BoundaryRule>,
}

impl Boundary {
    /// Why a rule is outside; none where it is within.
    pub fn excludes(&self, rule: &Rule) -> Option<String> {
        for (at, BoundaryRule(denied)) in self.deny.iter().enumerate() {
            if cover::denies(denied, rule) {
                return Some(format!("it overlaps boundary.deny[{at}] (`{denied}`)"));
            }
        }
        if self.allow.is_empty() || self.allow.iter().any(|BoundaryRule(allowed)| cover::cover(allowed, rule))
        {
            return None;
        }
        let allowed: Vec<_> = self.allow.iter().map(|BoundaryRule(allowed)| format!("`{allowed}`")).collect();
        Some(format!("no single rule of boundary.allow covers it: {}", allowed.join(", ")))
    }

    /// The same for one request: what passes a rule, and what may be taken for one.
    pub(crate) fn excludes_request(
        &self,
        passes: impl Fn(&Rule) -> bool,
        may_be: impl Fn(&Rule) -> bool,
    ) -> Option<String> {
        let denied = self.deny.iter().position(|BoundaryRule(denied)| may_be(denied));
        if let Some(at) = denied {
            return Some(format!("boundary.deny[{at}]"));
        }
        let within = self.allow.is_empty() || self.allow.iter().any(|BoundaryRule(allowed)| passes(allowed));
        (!within).then(|| "boundary.allow".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn boundary(allow: &[&str], deny: &[&str]) -> Boundary {
        let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Boundary { allow: rules(allow), deny: rules(deny) }
    }

    #[test]
    fn what_is_within() {
        fn check(allow: &[&str], deny: &[&str], rule: &str, within: bool) {
            let excluded = boundary(allow, deny).excludes(&rule.parse().unwrap());
            assert_eq!(excluded.is_none(), within, "{rule}: {excluded:?}");
        }
        let stripe = "GET,POST https://api.stripe.com/**";
        check(&[], &[], "DELETE https://a.test/**", true);
        check(&[], &["DELETE https://*/**"], "DELETE https://a.test/v1/x", false);
        check(&[], &["DELETE https://*/**"], "DELETE https://10.0.0.1/v1/x", false);
        check(&[], &["DELETE https://*/**"], "DELETE https://*.a.test/v1/x", false);
        check(&[], &["DELETE https://*/**"], "DELETE,GET https://a.test/v1/x", false);
        check(&[], &["DELETE https://*/**"], "GET https://a.test/v1/x", true);
        // Whoever denies a host denies it on every port, but where one is written.
        check(&[], &["DELETE https://*/**"], "DELETE https://a.test:8443/v1/x", false);
        check(&[], &["DELETE https://*:8443/**"], "DELETE https://a.test/v1/x", true);
        check(&[], &["DELETE https://a.test/**"], "DELETE https://a.test:8443/v1/x", false);
        check(&[], &["DELETE https://*.a.test/**"], "DELETE https://b.a.test:8443/v1/x", false);
        check(&[], &["DELETE https://a.test:8443/**"], "DELETE https://a.test:9443/v1/x", true);
        check(&["GET https://*/**"], &[], "GET https://a.test:8443/v1/x", false);
        check(&[stripe], &[], "GET https://api.stripe.com/v1/customers/**", true);
        check(&[stripe], &[], "GET https://api.stripe.com/v1/*", true);
        check(&[stripe], &[], "DELETE https://api.stripe.com/v1/*", false);
        check(&[stripe], &[], "GET https://files.stripe.com/v1/*", false);
        check(&["GET https://*/v1/**"], &[], "GET https://*.a.test/v1/x", true);
        check(&["GET https://*/v1/**"], &[], "GET https://a.test/**", false);
        // Two rules together are not one.
        check(&["GET https://a.test/**", "POST https://a.test/**"], &[], "GET,POST https://a.test/x", false);
        check(
            &[stripe],
            &["POST https://api.stripe.com/v1/refunds"],
            "POST https://api.stripe.com/v1/*",
            false,
        );
    }

    #[test]
    fn what_is_denied_is_denied_however_it_is_written() {
        let denied =
            |deny: &str, rule: &str| boundary(&[], &[deny]).excludes(&rule.parse().unwrap()).is_some();
        for (deny, rule) in [
            ("/admin", "/%61dmin"),
            ("/%61dmin", "/admin"),
            ("/admin", "/%2561dmin"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/caf%C3%A9", "/caf%c3%a9"),
            ("/admin", "/Admin"),
            ("/admin", "/admin/"),
            ("/admin/", "/admin"),
            ("/admin", "/**"),
            ("/admin/users", "/*+"),
            ("/v1/admin/users", "/v1/*+"),
            ("/v1/admin/users/**", "/v1/*+"),
            ("/v1/*/users/**", "/v1/*+/x"),
            ("/v1/*+/x", "/v1/a/b/x"),
            ("/*/users", "/admin/*"),
        ] {
            let at = |path: &str| format!("POST https://a.test{path}");
            assert!(denied(&at(deny), &at(rule)), "{deny} {rule}");
        }
        for (deny, rule) in [
            ("/admin", "/administrators"),
            ("/admin", "/admin/users"),
            ("/admin", "/"),
            ("/admin/**", "/adm"),
            ("/admin/users", "/*"),
            ("/admin/users", "/users/*+"),
            ("/v1/admin/users", "/v1/*+/keys"),
            ("/a/b/c/d", "/*/*"),
        ] {
            let at = |path: &str| format!("POST https://a.test{path}");
            assert!(!denied(&at(deny), &at(rule)), "{deny} {rule}");
        }
    }

    #[test]
    fn any_host_is_said_here_alone() {
        assert!("GET https://*/**".parse::<Rule>().is_err());
        let any: BoundaryRule = "GET https://*:8443/**".parse().unwrap();
        assert_eq!(any.0.to_string(), "GET https://*:8443/**");
        for bad in [
            "* https://*/**",
            "GET *://*/**",
            "GET https://a*/**",
            "GET https://*.co.uk/**",
            "GET https://**/x",
        ] {
            assert!(bad.parse::<BoundaryRule>().is_err(), "{bad}");
        }
    }
}
