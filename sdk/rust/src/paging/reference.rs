//! Relative references (RFC 3986, section 5.2), as vendors write next URLs.

/// A URL or reference in its five parts.
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

/// The expression of appendix B; the fragment is of no use in a request.
fn parts(text: &str) -> Parts<'_> {
    let text = text.split('#').next().unwrap_or_default();
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, text),
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        None => (None, rest),
    };
    Parts { scheme, authority, path, query }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// `reference` as an absolute URL, seen from `base`, which is one. What it may reach is for the host to say.
pub(super) fn resolve(base: &str, reference: &str) -> String {
    let (base, reference) = (parts(base), parts(reference));
    let (scheme, authority, path, query) = if reference.scheme.is_some() {
        (reference.scheme, reference.authority, without_dots(reference.path), reference.query)
    } else if reference.authority.is_some() {
        (base.scheme, reference.authority, without_dots(reference.path), reference.query)
    } else if reference.path.is_empty() {
        (base.scheme, base.authority, base.path.to_owned(), reference.query.or(base.query))
    } else if reference.path.starts_with('/') {
        (base.scheme, base.authority, without_dots(reference.path), reference.query)
    } else {
        (base.scheme, base.authority, without_dots(&merged(&base, reference.path)), reference.query)
    };
    let mut url = format!("{}:", scheme.unwrap_or_default());
    if let Some(authority) = authority {
        url.push_str("//");
        url.push_str(authority);
    }
    url.push_str(&path);
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    url
}

fn merged(base: &Parts<'_>, path: &str) -> String {
    if base.authority.is_some() && base.path.is_empty() {
        return format!("/{path}");
    }
    let end = base.path.rfind('/').map_or(0, |at| at + 1);
    format!("{}{path}", &base.path[..end])
}

/// Section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let (is_rooted, inner) = match path.strip_prefix('/') {
        Some(inner) => (true, inner),
        None => (false, path),
    };
    let mut ends_in_folder = false;
    for segment in inner.split('/') {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                out.pop();
            }
            _ => out.push(segment),
        }
    }
    let mut path = if is_rooted { "/".to_owned() } else { String::new() };
    path.push_str(&out.join("/"));
    if ends_in_folder && !out.is_empty() {
        path.push('/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard() {
        for (reference, expected) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("g;x", "http://a/b/c/g;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            (".g", "http://a/b/c/.g"),
            ("g..", "http://a/b/c/g.."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/./x", "http://a/b/c/g?y/./x"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("https://b.c/d?e=f:g", "https://b.c/d?e=f:g"),
            ("?a=http://x/", "http://a/b/c/d;p?a=http://x/"),
        ] {
            assert_eq!(resolve("http://a/b/c/d;p?q", reference), expected, "{reference}");
        }
        assert_eq!(resolve("https://a", "b?c"), "https://a/b?c");
        assert_eq!(resolve("https://a?x", "/b"), "https://a/b");
    }
}
