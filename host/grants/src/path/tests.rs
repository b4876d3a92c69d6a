//! Paths and path patterns row by row.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

#[test]
fn what_no_path_may_hold() {
    fn check(path: &str, error: Option<PathError>) {
        assert_eq!(RequestPath::read(path).err(), error, "{path}");
    }
    for good in
        ["/", "/a", "/a/", "/a/b", "/%20", "/100%25", "/%2541", "/a%2Fb", "/a%2fb/c", "/...", "/.a", "/a."]
    {
        check(good, None);
    }
    for good in ["/%e4%bd%a0", "/@me/$batch/x:go", "/a=b,c", "/%76%31/admin"] {
        check(good, None);
    }
    check("", Some(PathError::Relative));
    check("*", Some(PathError::Relative));
    for path in ["//", "/a//b", "/a//", "//a", "/a%2F%2Fb", "/%2Fa", "/a%2f/b", "/%2f"] {
        check(path, Some(PathError::EmptySegment));
    }
    for path in
        ["/..", "/a/../b", "/a/%2e%2e/b", "/a/.%2E", "/a/%252e%252e", "/a/..%2fb", "/x%2F.%2Fy", "/a/..%20/b"]
    {
        check(path, Some(PathError::DotSegment));
    }
    for path in ["/a\\b", "/a%5cb", "/a%5Cb", "/a%255cb", "/..%5cadmin", "/a%25255Cb"] {
        check(path, Some(PathError::Backslash));
    }
    for path in ["/a;b", "/a%3bb", "/a%253Bb", "/..;/b"] {
        check(path, Some(PathError::Semicolon));
    }
    for path in ["/a%00", "/a%2500", "/a%0d%0ab", "/a%09", "/a%7f", "/a%c2%85"] {
        check(path, Some(PathError::Control));
    }
    for path in ["/%", "/a%2", "/%zz", "/%u002e%u002e/a"] {
        check(path, Some(PathError::Percent));
    }
    for path in ["/%c0%af", "/%c0%ae%c0%ae", "/%ff", "/%25c0%25af"] {
        check(path, Some(PathError::NotUtf8));
    }
    for path in ["/a%252Fb", "/a%25252fb", "/a%2Fb%252Fc"] {
        check(path, Some(PathError::NestedSlash));
    }
    check(&format!("/%{}41", "25".repeat(DECODE_LEVELS_MAX + 1)), Some(PathError::Nested));
}

#[test]
fn matching() {
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let pattern = PathPattern::parse(pattern).unwrap();
        for (paths, expected) in [(yes, true), (no, false)] {
            for path in paths {
                let read = RequestPath::read(path).unwrap();
                assert_eq!(pattern.matches(&read), expected, "{pattern} {path}");
                assert_eq!(pattern.miss(&read).1.is_none(), expected, "{pattern} {path}");
            }
        }
    }
    check("/", &["/"], &["/a", "/a/"]);
    check("/v1", &["/v1"], &["/", "/v1/", "/V1", "/v1/a", "/%76%31", "/v1."]);
    check("/v1/", &["/v1/"], &["/v1", "/v1/a", "/"]);
    check("/v1/*", &["/v1/a", "/v1/a%20b"], &["/v1", "/v1/", "/v1/a/", "/v1/a/b", "/v1/a%2Fb", "/v2/a"]);
    check("/v1/*/", &["/v1/a/"], &["/v1/a", "/v1/"]);
    check("/v1/*+", &["/v1/a", "/v1/a%2Fb", "/v1/a%2fb"], &["/v1/a/b", "/v1/a%2Fb/", "/v1"]);
    check("/v1/*+/x", &["/v1/a%2Fb/x"], &["/v1/a%2Fb", "/v1/a/y"]);
    check("/v1/**", &["/v1", "/v1/", "/v1/a", "/v1/a/b/"], &["/", "/v10", "/v1/a%2Fb", "/v2/a"]);
    check("/**", &["/", "/a", "/a/b/"], &["/a%2Fb"]);
    check("/a%20b", &["/a%20b"], &["/a+b", "/a"]);
}

#[test]
fn patterns_that_are_refused() {
    fn check(pattern: &str, error: &str) {
        let found = PathPattern::parse(pattern).unwrap_err().to_string();
        assert!(found.contains(error), "{pattern}: {found}");
    }
    check("", "missing");
    check("/**/a", "only at the end");
    check("/**/", "only at the end");
    check("/a*", "`a*`");
    check("/***", "`***`");
    check("/a//b", "empty segment");
    check("/a/../b", "`..` can match nothing");
    check("/a/%2e", "`%2e` can match nothing");
    check("/a;b", "`;`");
    check("/a%2Fb", "`*+`");
    check("/a%252Fb", "more than once");
    check("/a%zz", "`%`");
    check("/{id}", "`{id}` is no placeholder: `*`");
    check("/a{id}", "`a{id}` is no placeholder");
    check("/a{id", "`a%7Bid`");
    check("/a\"b", "`a%22b`");
}

#[test]
fn the_narrowest_pattern_of_a_path() {
    fn check(path: &str, pattern: &str) {
        let read = RequestPath::read(path).unwrap();
        let found = PathPattern::of(&read);
        assert_eq!(found.to_string(), pattern);
        assert!(found.matches(&read));
        assert_eq!(PathPattern::parse(pattern).unwrap(), found);
    }
    check("/", "/");
    check("/a/b%20c/", "/a/b%20c/");
    check("/a%2Fb", "/*+");
    check("/**/a*b", "/*/*");
    check("/*+", "/*");
}

#[test]
fn says_what_is_in_the_way() {
    fn check(pattern: &str, path: &str, good: usize, words: &str) {
        let pattern = PathPattern::parse(pattern).unwrap();
        let (found, miss) = pattern.miss(&RequestPath::read(path).unwrap());
        let miss = miss.unwrap();
        assert_eq!(found, good, "{pattern} {path}");
        assert!(miss.contains(words), "{pattern} {path}: {miss}");
    }
    check(
        "/v1/customers",
        "/v1/charges",
        1,
        "segment 2 is `customers` in the rule, `charges` in the request",
    );
    check("/v1/customers/*", "/v1/customers", 2, "ends before segment 3 of the rule, `*`");
    check("/v1", "/v1/a", 1, "ends before segment 2 of the request, `a`");
    check("/v1", "/v1/", 1, "request ends in `/`");
    check("/v1/", "/v1", 1, "rule ends in `/`");
    check("/v1/*", "/v1/a%2Fb", 1, "`*+`");
    check("/v1/**", "/v1/a%2Fb", 1, "below `**`");
}
