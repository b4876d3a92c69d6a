//! URLs row by row, the hostile vectors and the web platform tests.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_macros, reason = "a test that is skipped says so")]
use super::*;
use std::path::PathBuf;

#[test]
fn goes_out_as_it_was_written() {
    fn check(text: &str) {
        assert_eq!(CanonicalUrl::parse(text).unwrap().as_str(), text);
    }
    check("https://api.example.com/v1");
    check("https://api.example.com:8443/v1/");
    check("http://127.0.0.1:8080/");
    check("https://[fd20:ce::254]/a");
    check("https://a.test/?");
    check("https://a.test/v1/a%20b?x=%27&y=[1]&z={}|^`");
    check("https://a.test/v1/..%2fadmin");
    check("https://a.test/a;b/$batch/(x='y')/@me:go!*+,~");
    check("http://localhost/");
}

#[test]
fn spellings_that_mean_the_same() {
    fn check(text: &str, url: &str) {
        assert_eq!(CanonicalUrl::parse(text).unwrap().as_str(), url, "{text}");
    }
    check("HTTPS://API.example.COM/V1", "https://api.example.com/V1");
    check("https://a.test", "https://a.test/");
    check("https://a.test:443/x", "https://a.test/x");
    check("http://a.test:80/x", "http://a.test/x");
    check("https://a.test?x=1", "https://a.test/?x=1");
    check("https://a.test/x?y#z", "https://a.test/x?y");
    check("https://evil.test:80#@api.example.com/", "https://evil.test:80/");
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    fn check(text: &str, error: &str) {
        let found = CanonicalUrl::parse(text).unwrap_err().to_string();
        assert!(found.contains(error), "{text}: {found}");
    }
    check("", "no scheme");
    check("//evil.test/x", "no scheme");
    check("ftp://a.test/", "`ftp`");
    check("ht\ttps://a.test/", "`ht\\ttps`");
    check(" https://a.test/", "` https`");
    check("https:evil.test/", "`//`");
    check("https:\\\\evil.test/", "`//`");
    check("https:///evil.test/", "host is missing");
    check("https://u:secret@a.test/", "user name");
    check("https://@a.test/", "user name");
    check("https://a.test:0443/", "port `0443`");
    check("https://a.test:/", "port ``");
    check("https://a.test\\@evil.test/", "`\\\\`");
    check("https://a.test/a\\b", "`\\\\`");
    check("https://a.test/a b", "` `");
    check("https://a.test/a\r\nHost: b", "`\\r`");
    check("https://a.test/ä", "`\\u{e4}`");
    check("https://a.test/x#ä", "`\\u{e4}`");
    check("https://a.test/a/../b", "changed to `/b`");
    check("https://a.test/a/%2E%2e/b", "changed to `/b`");
    check("https://a.test/a/./b", "changed to `/a/b`");
    check("https://a.test/{id}", "changed to `/%7Bid%7D`");
    check("https://a.test/?q='x'", "query");
    check("https://a.test/?q=<x>", "query");
    check("https://127.1/", "127.0.0.1");
    check(&format!("https://a.test/{}", "a".repeat(URL_BYTES_MAX)), "longer");
}

#[test]
fn how_long_a_url_may_be() {
    let filled = |start: &str, length: usize| format!("{start}{}", "a".repeat(length - start.len()));
    let url = CanonicalUrl::parse(&filled("https://a.test/", URL_BYTES_MAX)).unwrap();
    assert_eq!(url.as_str().len(), URL_BYTES_MAX);
    assert_eq!(CanonicalUrl::parse(&filled("https://a.test/", URL_BYTES_MAX + 1)), Err(UrlError::TooLong));
    // A fragment is dropped, and counts.
    assert_eq!(url.resolve(&filled("#", URL_BYTES_MAX)), Ok(url.clone()));
    assert_eq!(url.resolve(&filled("#", URL_BYTES_MAX + 1)), Err(UrlError::TooLong));
}

#[test]
fn no_error_shows_userinfo_or_query() {
    for url in ["https://u:hunter2@a.test/", "https://a.test/?k='hunter2", "https://a.test/a/../b?k=hunter2"]
    {
        let error = CanonicalUrl::parse(url).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

/// Every hostile URL of the vectors: where `url` and an RFC 3986 reader differ, or the URL has no business here, it
/// is refused; where they agree, what is read is what they read.
#[test]
fn ssrf_url_vectors() {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/ssrf-url-vectors/urls.tsv");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("SKIPPED: {} is missing", file.display());
        return;
    };
    let (mut accepted, mut refused) = (0, 0);
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [input, scheme, host, port, userinfo, path, _class, _uri_host, _uri_path, differential] =
            columns[..]
        else {
            panic!("{line}");
        };
        let input = unescape(input);
        match CanonicalUrl::parse(&input) {
            Ok(url) => {
                accepted += 1;
                assert_eq!(differential, "same", "{input}");
                assert_eq!((url.scheme(), url.path(), userinfo), (scheme, path, "-"), "{input}");
                assert_eq!(
                    (url.host().to_string().as_str(), url.port().to_string().as_str()),
                    (host, port),
                    "{input}"
                );
            }
            Err(error) => {
                refused += 1;
                let same = differential == "same";
                assert!(!same || refused_alike(&input, scheme, userinfo), "{input}: {error}");
            }
        }
    }
    assert!(accepted >= 30 && refused >= 50, "{accepted} accepted, {refused} refused");
}

/// Rows that both parsers read alike and that are refused all the same.
fn refused_alike(input: &str, scheme: &str, userinfo: &str) -> bool {
    let authority = input.split("//").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
    !matches!(scheme, "http" | "https")
        || userinfo != "-"
        || authority.contains('@')
        || authority.contains("..")
        || authority.ends_with('.')
        || authority.ends_with(':')
        || authority.contains(":0")
        || authority.contains('*')
}

fn unescape(input: &str) -> String {
    let plain = input.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t");
    plain.replace("\\u200d", "\u{200d}")
}

/// Each URL of the web platform tests that a browser and we accept goes out as the browser would send it, and as it
/// was written but for what `parse` takes as the same.
#[test]
fn web_platform_tests() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/corpora/wpt-url/url/tests/urltestdata.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("SKIPPED: {} is missing", file.display());
        return;
    };
    let (mut accepted, mut refused) = (0, 0);
    // Some rows hold lone surrogates, which no Rust string holds; row by row, the others are read all the same.
    let rows: Vec<&serde_json::value::RawValue> = serde_json::from_str(&text).unwrap();
    for row in rows {
        let Ok(serde_json::Value::Object(row)) = serde_json::from_str(row.get()) else { continue };
        let (input, href) = (row["input"].as_str().unwrap(), row.get("href").and_then(|href| href.as_str()));
        let Ok(url) = CanonicalUrl::parse(input) else {
            refused += 1;
            continue;
        };
        accepted += 1;
        let without_fragment = |text: &str| text.split('#').next().unwrap().to_owned();
        assert_eq!(Some(url.as_str()), href.map(without_fragment).as_deref(), "{input}");
        let written = without_fragment(input).to_ascii_lowercase();
        let default = if written.starts_with("https") { ":443" } else { ":80" };
        let written = written.strip_suffix(default).unwrap_or(&written).replace(&format!("{default}/"), "/");
        let sent = url.as_str().to_ascii_lowercase();
        assert!(sent == written || sent.strip_suffix('/') == Some(&written), "{input} {sent}");
    }
    assert!(accepted >= 36 && refused >= 500, "{accepted} accepted, {refused} refused");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what a browser makes of it")]
fn locations() {
    fn check(location: &str, expected: Option<&str>) {
        let base = CanonicalUrl::parse("https://a.test:8443/v1/items/7?x=/y:z").unwrap();
        let found = base.resolve(location).ok();
        assert_eq!(found.as_ref().map(CanonicalUrl::as_str), expected, "{location}");
        // What a browser makes of it, where we take it at all.
        if let Some(found) = found {
            assert_eq!(
                found.as_str(),
                base.as_url().join(location).unwrap().as_str().split('#').next().unwrap()
            );
        }
    }
    check("https://b.test/x?y#z", Some("https://b.test/x?y"));
    check("HTTPS://B.test", Some("https://b.test/"));
    check("//b.test/x", Some("https://b.test/x"));
    check("/x/y?z=1", Some("https://a.test:8443/x/y?z=1"));
    check("?page=2", Some("https://a.test:8443/v1/items/7?page=2"));
    check("8", Some("https://a.test:8443/v1/items/8"));
    check("8/parts?x:y", Some("https://a.test:8443/v1/items/8/parts?x:y"));
    check("", Some("https://a.test:8443/v1/items/7?x=/y:z"));
    check("#part", Some("https://a.test:8443/v1/items/7?x=/y:z"));
    for refused in [
        "../8",
        "./8",
        "/a/../b",
        "/a/%2e%2e/b",
        "javascript:alert(1)",
        "https:b.test",
        "https:/b.test",
        "https:///b.test",
        "http:8",
        "8:x",
        "\\\\b.test/",
        "/\\b.test/",
        " https://b.test/",
        "https://b.test/ x",
        "https://a@b.test/",
        "https://b.test\t/",
        "https://\u{ff42}.test/",
        "https://0x7f.1/",
        "https://[::1/",
        "ftp://b.test/",
        "//",
        "///b.test",
    ] {
        check(refused, None);
    }
    // Before any part of it is looked at.
    let base = CanonicalUrl::parse("https://a.test/").unwrap();
    assert_eq!(base.resolve("ht\ttps://b.test/"), Err(UrlError::Character('\t')));
    assert_eq!(base.resolve("https:\\\\b.test/"), Err(UrlError::Character('\\')));
}
