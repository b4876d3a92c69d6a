//! What the exchange log may show: values of sensitive names masked, everything inert, then shortened.
//!
//! Owns the names (`sensitive` properties, credential headers and query names), URLs and headers; bodies are
//! tokenized in `mask/json.rs` and `mask/form.rs`, text is made inert in `mask/text.rs`. Refuses to show a body
//! that does not tokenize unless the operator captures all. Masks first and shortens last, because a value that
//! was cut in two is found by neither of its halves.

mod form;
mod json;
mod text;

use crate::{Capture, echo::Needles, limits};
use portcullis_grants::UrlPlace;
use std::{borrow::Cow, collections::HashSet};

/// What stands in the place of a value, whatever its length.
const MASK: &str = "***";

/// Names of one connection whose values are never stored.
pub(crate) struct Masker {
    /// ASCII lower case.
    names: HashSet<String>,
    /// `names` with `-` for `_`, as a vendor may write a header.
    headers: HashSet<String>,
    /// Answers name URLs that a run may ask for: a query may be what proves the right to.
    named: bool,
}

impl Masker {
    /// Names match whatever their ASCII case.
    pub(crate) fn new(sensitive: &[String], credential_names: &[String]) -> Self {
        let names: HashSet<String> =
            sensitive.iter().chain(credential_names).map(|name| name.to_ascii_lowercase()).collect();
        let headers = names.iter().map(|name| name.replace('_', "-")).collect();
        Self { names, headers, named: false }
    }

    /// The same, and what stands where answers name URLs.
    pub(crate) fn naming<'a>(mut self, places: impl Iterator<Item = &'a UrlPlace>) -> Self {
        for place in places {
            self.named = true;
            let name = place.name().to_ascii_lowercase();
            match place {
                UrlPlace::Header(_) => self.headers.insert(name.replace('_', "-")),
                UrlPlace::Pointer(_) => self.names.insert(name),
            };
        }
        self
    }

    /// The URL of a request that was let through; `named` = by a `from-response`: its query is masked whole.
    pub(crate) fn sent_url(&self, url: &str, named: bool, needles: &Needles, bytes_max: usize) -> String {
        if named {
            self.without_query(url, needles, bytes_max)
        } else {
            self.url_within(url, needles, bytes_max)
        }
    }

    /// The URL of a refused one. Where answers name URLs it may be one of theirs, asked for in the wrong way.
    pub(crate) fn refused_url(&self, url: &str, needles: &Needles, bytes_max: usize) -> String {
        self.sent_url(url, self.named, needles, bytes_max)
    }

    /// What stands before the query, and that there is one.
    fn without_query(&self, url: &str, needles: &Needles, bytes_max: usize) -> String {
        let cut = url.find(['?', '#']);
        let mut shown = self.url_within(&url[..cut.unwrap_or(url.len())], needles, bytes_max);
        if let Some(cut) = cut {
            shown.push_str(&url[cut..=cut]);
            shown.push_str(MASK);
        }
        shown
    }

    /// A URL with the values of sensitive and credential query names masked, user info and fragment too, then shortened.
    pub(crate) fn url_within(&self, url: &str, needles: &Needles, bytes_max: usize) -> String {
        let url = needles.mask_text(url);
        let (rest, fragment) =
            url.split_once('#').map_or((&*url, None), |(rest, fragment)| (rest, Some(fragment)));
        let (base, query) = rest.split_once('?').map_or((rest, None), |(base, query)| (base, Some(query)));
        let mut shown = String::with_capacity(url.len());
        text::push_inert(&mut shown, &without_user_info(base));
        if let Some(query) = query {
            shown.push('?');
            for (at, pair) in query.split('&').enumerate() {
                if at > 0 {
                    shown.push('&');
                }
                match pair.split_once('=') {
                    Some((name, _)) if form::is_sensitive(name, &self.names) => {
                        text::push_inert(&mut shown, name);
                        shown.push('=');
                        shown.push_str(MASK);
                    }
                    _ => text::push_inert(&mut shown, pair),
                }
            }
        }
        if fragment.is_some() {
            shown.push('#');
            shown.push_str(MASK);
        }
        text::shorten(shown, bytes_max)
    }

    /// The host's own words, in which something of the guest's may stand, on one line.
    pub(crate) fn line(&self, words: &str, needles: &Needles, bytes_max: usize) -> String {
        let mut shown = String::with_capacity(words.len());
        text::push_inert(&mut shown, &needles.mask_text(words));
        text::shorten(shown, bytes_max)
    }

    /// The same with the ends of its lines kept: something to paste.
    pub(crate) fn lines(&self, words: &str, needles: &Needles, bytes_max: usize) -> String {
        let mut shown = String::with_capacity(words.len());
        for (at, line) in needles.mask_text(words).split('\n').enumerate() {
            if at > 0 {
                shown.push('\n');
            }
            text::push_inert(&mut shown, line);
        }
        text::shorten(shown, bytes_max)
    }

    /// Headers as the log keeps them: secrets are masked in names too, and values that may hold one are not kept. Nobody has
    /// searched them before where the rest of the answer could not be taken.
    pub(crate) fn headers(&self, headers: &[(String, Vec<u8>)], needles: &Needles) -> Vec<(String, String)> {
        let is_hidden = |lower: &str| is_never_stored(lower) || self.headers.contains(lower);
        // Many texts in which little is to be undone are as slow as one in which much is.
        let signs = |(name, value): &(String, Vec<u8>)| {
            let value = if is_hidden(&comparable(name)) { 0 } else { Needles::signs(value) };
            Needles::signs(name.as_bytes()) + value
        };
        let slow = Needles::are_slow(headers.iter().map(signs).sum());
        let mut slow_bytes = 0_usize;
        // This is a thread that serves: it searches no more of them than of a body.
        let mut is_too_slow = |text: &[u8]| {
            let slow = slow && Needles::signs(text) > 0;
            slow_bytes += if slow { text.len() } else { 0 };
            slow && slow_bytes > limits::CAPTURE_SLOW_BYTES_MAX
        };
        let mut shown = |(name, value): &(String, Vec<u8>)| {
            let lower = comparable(name);
            let shown_name = if is_too_slow(name.as_bytes()) {
                format!("({} bytes)", name.len())
            } else {
                self.line(name, needles, limits::CAPTURE_LINE_BYTES_MAX)
            };
            let shown = if is_hidden(&lower) {
                MASK.to_owned()
            } else if is_too_slow(value) {
                format!("({} bytes)", value.len())
            } else {
                self.header_value(&lower, value, needles, limits::CAPTURE_LINE_BYTES_MAX)
            };
            (shown_name, shown)
        };
        headers.iter().map(&mut shown).collect()
    }

    /// The same, never shortened: one run at a time asks for it.
    pub(crate) fn whole_headers(
        &self,
        headers: &[(String, Vec<u8>)],
        needles: &Needles,
    ) -> Vec<(String, String)> {
        let shown = headers.iter().map(|(name, value)| {
            let lower = comparable(name);
            let shown = match is_never_stored(&lower) || self.headers.contains(&*lower) {
                true => MASK.to_owned(),
                false => self.header_value(&lower, value, needles, usize::MAX),
            };
            (needles.mask_text(name), shown)
        });
        shown.collect()
    }

    fn header_value(&self, name: &str, value: &[u8], needles: &Needles, bytes_max: usize) -> String {
        let (masked, _) = needles.mask_cow(value);
        let value = String::from_utf8_lossy(&masked);
        if matches!(name, "location" | "content-location" | "referer") {
            // The query of a redirect is whatever the vendor minted: masked whole.
            return self.without_query(&value, needles, bytes_max);
        }
        let mut shown = String::with_capacity(value.len());
        text::push_inert(&mut shown, &value);
        text::shorten(shown, bytes_max)
    }

    /// The body as the log keeps it, or None where it keeps none. Masked whole, then shortened to the cap.
    pub(crate) fn body(
        &self,
        content_type: Option<&str>,
        body: &[u8],
        capture: Capture,
        failed: bool,
        needles: &Needles,
    ) -> Option<String> {
        let wanted = match capture {
            Capture::None => false,
            Capture::Errors => failed,
            Capture::All => true,
        };
        if !wanted || body.is_empty() {
            return None;
        }
        // Answers were searched whole already; here the search ends where nothing that is shown can reach, or, since this is a
        // thread that serves, earlier where it is slow: without the end, in which a secret may have begun.
        let slow = Needles::is_slow(body);
        let most = if slow { limits::CAPTURE_SLOW_BYTES_MAX } else { limits::CAPTURE_SEARCHED_BYTES_MAX };
        let searched = body.get(..most).unwrap_or(body);
        let known = if searched.len() < body.len() { needles.open(searched) } else { searched.len() };
        let (clean, _) = needles.mask_cow(searched);
        let clean = &clean[..known];
        let kind = Kind::of(content_type, clean);
        // Its URLs could be masked by their names alone.
        let hidden = self.named && matches!(kind, Kind::Json);
        let tokenized = match kind {
            Kind::Json => json::mask(clean, &self.names, limits::CAPTURE_BYTES_MAX),
            Kind::Form => form::mask(clean, &self.names),
            Kind::Neither => None,
        };
        let shown = match tokenized {
            Some(shown) => shown,
            None if capture == Capture::All && !hidden => {
                let mut shown = String::new();
                text::push_inert(&mut shown, &text::prefix(clean, limits::CAPTURE_BYTES_MAX));
                shown
            }
            None => return None,
        };
        Some(text::shorten(shown, limits::CAPTURE_BYTES_MAX))
    }
}

impl Masker {
    /// All of a body as a guest saw it, masked as `body` masks it; none where its URLs could be masked by their names alone, and
    /// it does not tokenize. Where nothing is masked, it is what it was to the byte.
    pub(crate) fn whole_body(
        &self,
        content_type: Option<&str>,
        body: &[u8],
        needles: &Needles,
    ) -> Option<WholeBody> {
        let (clean, _) = needles.mask_cow(body);
        let kind = Kind::of(content_type, &clean);
        let hidden = self.named && matches!(kind, Kind::Json);
        let masked = match kind {
            Kind::Json => json::mask_whole(&clean, &self.names),
            Kind::Form => form::mask(&clean, &self.names).map(|shown| {
                let values = u32::from(shown.as_bytes() != &*clean);
                (shown, values)
            }),
            Kind::Neither => None,
        };
        match masked {
            Some((_, 0)) => Some(WholeBody { bytes: clean.into_owned(), unnamed: false }),
            Some((shown, _)) => Some(WholeBody { bytes: shown.into_bytes(), unnamed: false }),
            None if hidden => None,
            None => Some(WholeBody { unnamed: !body.is_empty(), bytes: clean.into_owned() }),
        }
    }
}

/// A body that was masked and not shortened.
pub(crate) struct WholeBody {
    pub bytes: Vec<u8>,
    /// It is neither JSON nor a form.
    pub unnamed: bool,
}

/// The declared type decides; where it says nothing useful, a bracket means JSON.
enum Kind {
    Json,
    Form,
    Neither,
}

impl Kind {
    fn of(content_type: Option<&str>, body: &[u8]) -> Self {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        if essence == "application/x-www-form-urlencoded" {
            Kind::Form
        } else if essence.ends_with("json") {
            Kind::Json
        } else {
            match body.trim_ascii_start().first() {
                Some(b'{' | b'[') => Kind::Json,
                _ => Kind::Neither,
            }
        }
    }
}

/// ASCII lower case with `-` for `_`: nearly every name is written so already.
fn comparable(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte == b'_' || byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase().replace('_', "-"))
    } else {
        Cow::Borrowed(name)
    }
}

fn is_never_stored(lower: &str) -> bool {
    matches!(lower, "authorization" | "cookie" | "set-cookie" | "set-cookie2") || lower.starts_with("proxy-")
}

/// `https://user:password@host/` loses what stands before the `@`.
fn without_user_info(base: &str) -> String {
    let Some(start) = base.find("//").map(|at| at + 2) else { return base.to_owned() };
    let end = base[start..].find(['/', '\\']).map_or(base.len(), |at| start + at);
    match base[start..end].rfind('@') {
        Some(at) => format!("{}{MASK}{}", &base[..start], &base[start + at..]),
        None => base.to_owned(),
    }
}

#[cfg(test)]
mod tests;
