//! The fewest operator rules that let refused requests pass, as long as an approved rule lets them pass too. A rule is literal;
//! where several requests differ only in segments that the approved rule itself leaves open, those stay open. Nothing is opened
//! below a `**`.
use crate::{CanonicalUrl, ManifestRule, Method, Rule, cover};

/// A rule for an operator's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The rule.
    pub rule: Rule,
    /// It lets a request pass that may change something.
    pub writes: bool,
    /// It lets more pass than what was refused.
    pub wildcard: bool,
}

/// In the order of the requests. A request that no approved rule matches, or that no rule can name, has none.
pub fn fewest(refused: &[(Method, CanonicalUrl)], approved: &[ManifestRule]) -> Vec<Proposed> {
    let mut proposed: Vec<Proposed> = Vec::new();
    for manifest in approved {
        let matching: Vec<_> =
            refused.iter().filter(|(method, url)| manifest.rule.matches(method, url)).collect();
        let rules = |opened: bool| {
            let (mut rules, mut nameless): (Vec<Rule>, usize) = (Vec::new(), 0);
            for (method, url) in &matching {
                match rule(&manifest.rule, method, url, opened) {
                    Some(rule) if !rules.contains(&rule) => rules.push(rule),
                    Some(_) => {}
                    None => nameless += 1,
                }
            }
            (rules, nameless)
        };
        let ((literal, unnamed), (opened, still_unnamed)) = (rules(false), rules(true));
        // No literal segment holds an encoded slash.
        let wildcard = opened.len() < literal.len() || still_unnamed < unnamed;
        for rule in if wildcard { opened } else { literal } {
            let writes = !manifest.attributes.safe && !rule.methods().iter().all(Method::is_safe);
            proposed.push(Proposed { rule, writes, wildcard });
        }
    }
    merged(proposed)
}

/// One request as a rule; `opened`: with the approved rule's own wildcards of one segment.
fn rule(approved: &Rule, method: &Method, url: &CanonicalUrl, opened: bool) -> Option<Rule> {
    let pattern = approved.path_text();
    let mut open = pattern.split('/').map(|segment| matches!(segment, "*" | "*+").then_some(segment));
    let path: Vec<&str> = url
        .path()
        .split('/')
        .map(|segment| open.next().flatten().filter(|_| opened).unwrap_or(segment))
        .collect();
    let origin = format!("{}://{}:{}", url.scheme(), url.host(), url.port());
    let rule: Rule = format!("{method} {origin}{}", path.join("/")).parse().ok()?;
    // A segment of the request that reads as a wildcard would be one.
    (cover::cover(approved, &rule) && rule.matches(method, url)).then_some(rule)
}

/// Those that differ in methods alone are one, and one that another covers is none.
fn merged(proposed: Vec<Proposed>) -> Vec<Proposed> {
    let mut merged: Vec<Proposed> = Vec::new();
    for one in proposed {
        let same = |other: &&mut Proposed| {
            (other.writes, other.wildcard) == (one.writes, one.wildcard)
                && other.rule.with_methods(one.rule.methods()) == one.rule
        };
        match merged.iter_mut().find(same) {
            Some(other) => {
                let methods = [other.rule.methods(), one.rule.methods()].concat();
                other.rule = one.rule.with_methods(&methods);
            }
            None => merged.push(one),
        }
    }
    let covered = |at: usize, one: &Proposed| {
        let by = |(other_at, other): (usize, &Proposed)| {
            other_at != at
                && cover::cover(&other.rule, &one.rule)
                && (other.rule != one.rule || other_at < at)
        };
        merged.iter().enumerate().any(by)
    };
    let kept = merged.iter().enumerate().filter(|(at, one)| !covered(*at, one));
    kept.map(|(_, one)| one.clone()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::Attributes;

    #[track_caller]
    fn check(approved: &[&str], refused: &[&str], expected: &[&str]) {
        let approved: Vec<ManifestRule> = approved
            .iter()
            .map(|rule| ManifestRule {
                place: String::new(),
                rule: rule.parse().unwrap(),
                attributes: Attributes { safe: rule.ends_with("search"), ..Attributes::default() },
                why: String::new(),
            })
            .collect();
        let refused: Vec<_> = refused
            .iter()
            .map(|request| request.split_once(' ').unwrap())
            .map(|(method, url)| (Method::parse(method).unwrap(), CanonicalUrl::parse(url).unwrap()))
            .collect();
        let proposed = fewest(&refused, &approved);
        let mark = |on: bool, mark: &str| if on { format!(" {mark}") } else { String::new() };
        let shown: Vec<_> = proposed
            .iter()
            .map(|one| format!("{}{}{}", one.rule, mark(one.writes, "W"), mark(one.wildcard, "*")))
            .collect();
        assert_eq!(shown, expected);
        for (method, url) in &refused {
            let allowed = |rule: &Rule| rule.matches(method, url);
            let may = approved.iter().any(|rule| allowed(&rule.rule));
            assert_eq!(proposed.iter().any(|one| allowed(&one.rule)), may, "{method} {url:?}");
        }
    }

    #[test]
    fn the_fewest_rules() {
        let read = "GET https://a.test/v1/customers/*";
        check(&[read], &["GET https://a.test/v1/customers/1?x=1"], &["GET https://a.test/v1/customers/1"]);
        check(
            &[read],
            &["GET https://a.test/v1/customers/1", "GET https://a.test/v1/customers/1?b"],
            &["GET https://a.test/v1/customers/1"],
        );
        check(
            &[read],
            &["GET https://a.test/v1/customers/1", "GET https://a.test/v1/customers/2"],
            &["GET https://a.test/v1/customers/* *"],
        );
        // Below `**` nothing is opened.
        check(
            &["GET https://a.test/v1/**"],
            &["GET https://a.test/v1/a", "GET https://a.test/v1/b"],
            &["GET https://a.test/v1/a", "GET https://a.test/v1/b"],
        );
        check(
            &["GET,POST https://a.test/**"],
            &["GET https://a.test/x", "POST https://a.test/x"],
            &["GET https://a.test/x", "POST https://a.test/x W"],
        );
        check(
            &["PUT,POST https://a.test/**"],
            &["PUT https://a.test/x", "POST https://a.test/x"],
            &["POST,PUT https://a.test/x W"],
        );
        check(
            &["POST https://a.test/search"],
            &["POST https://a.test/search"],
            &["POST https://a.test/search"],
        );
        // The host is never opened.
        check(
            &["GET https://*.a.test/x"],
            &["GET https://b.a.test/x", "GET https://c.a.test/x"],
            &["GET https://b.a.test/x", "GET https://c.a.test/x"],
        );
        // What was not requested has no rule, and what two rules allow has one.
        check(&[read], &["GET https://b.test/v1/customers/1"], &[]);
        check(
            &[read, "GET https://a.test/v1/**"],
            &["GET https://a.test/v1/customers/1"],
            &["GET https://a.test/v1/customers/1"],
        );
        check(
            &["GET https://a.test/*+"],
            &["GET https://a.test/a%2Fb", "GET https://a.test/c"],
            &["GET https://a.test/*+ *"],
        );
    }
}
