//! A rule and a URL, each as hostile as it likes: what is read is read by a second reader alike, goes out as it was written, and
//! is matched the same after a rule was printed and read again.
#![no_main]
use libfuzzer_sys::fuzz_target;
use portcullis_grants::{CanonicalUrl, Method, Rule, cover};

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let (first, second, third) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    let url = CanonicalUrl::parse(first).ok();
    if let Some(url) = &url {
        let again = CanonicalUrl::parse(url.as_str()).expect("what goes out can be read");
        assert_eq!(again.as_str(), url.as_str());
        let other: http::Uri = url.as_str().parse().expect("a second reader takes it");
        assert_eq!(other.host().map(str::to_owned), Some(url.host().to_string()));
        assert_eq!(other.scheme_str(), Some(url.scheme()));
        assert_eq!((other.path(), other.query()), (url.path(), url.query()));
        let default = if url.scheme() == "https" { 443 } else { 80 };
        assert_eq!(other.port_u16().unwrap_or(default), url.port());
        // As written, but for the case of scheme and host, the default port, the root's slash and the fragment.
        let written = first.split('#').next().unwrap_or_default();
        let tail =
            format!("{}{}", url.path(), url.query().map(|query| format!("?{query}")).unwrap_or_default());
        assert!(written.ends_with(&tail) || url.path() == "/", "{written} {tail}");
        // A `Location` leads nowhere that would not have been read by itself.
        if let Ok(next) = url.resolve(third) {
            assert!(CanonicalUrl::parse(next.as_str()).is_ok());
        }
    }
    let Ok(rule) = second.parse::<Rule>() else { return };
    let again: Rule = rule.to_string().parse().expect("a printed rule can be read");
    assert_eq!(again, rule);
    assert!(cover::cover(&rule, &again) && cover::overlap(&rule, &again));
    let Some(url) = url else { return };
    for method in rule.methods() {
        let matches = rule.matches(method, &url);
        assert_eq!(again.matches(method, &url), matches);
        if matches {
            assert_eq!((url.scheme(), url.port()), (rule.scheme(), rule.port()));
            let host = url.host().to_string();
            let pattern = rule.host_pattern().to_string();
            let one_label = pattern.strip_prefix("*.").is_some_and(|suffix| {
                host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix)
            });
            assert!(host == pattern || one_label, "{rule} let {host} pass");
        }
    }
    if let Ok(method) = Method::parse(third) {
        assert!(!rule.matches(&method, &url) || rule.methods().contains(&method));
    }
});
