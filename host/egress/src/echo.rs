//! Echo scan: finds every live secret of the connection in an answer and masks it, so that a vendor which
//! repeats a credential hands it to nobody.
//!
//! Owns the list of encodings (`echo/encodings.rs`), the layers of escapes (`echo/unescape.rs`) and the search. Works on whole, decoded bodies, or over the borders of
//! their pieces (`echo/running.rs`), so no border can hide a secret; after decode for that reason, before the guest and the exchange log see a byte.
//! Refuses nothing: what is found becomes `*` of the same length, so lengths and offsets stay true. An answer
//! that transforms a secret in another way than those listed passes: the honest limit, told in SECURITY.md.

mod encodings;
mod running;
mod unescape;

use crate::limits;
use aho_corasick::{AhoCorasick, Input, MatchKind};
use bytes::Bytes;
use encodings::Needle;
use portcullis_secrets::Secret;
pub(crate) use running::Running;
use std::{borrow::Cow, sync::OnceLock};
use unescape::{Dialects, Readers};

/// All encodings of a set of live secrets. No `Debug`: it holds them.
pub(crate) struct Needles {
    /// Finds fragments; a hit is compared with every needle. None = no secrets.
    fragments: Option<AhoCorasick>,
    needles: Vec<Needle>,
    /// Bytes of the longest, and of what is masked beside it.
    longest: usize,
    /// The same whatever the case of letters: made where a text is met that is long enough to hold one.
    folded: OnceLock<Box<Needles>>,
}

impl Needles {
    /// Builds the search for these secrets; empty ones and repetitions are left out.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut needles = Vec::new();
        for secret in secrets {
            let bytes = secret.expose();
            let bytes = bytes.get(..limits::ECHO_SECRET_BYTES_MAX).unwrap_or(bytes);
            encodings::of(bytes, &mut needles);
        }
        let mut fragments: Vec<Vec<u8>> = needles.iter().flat_map(Needle::fragments).collect();
        fragments.sort();
        fragments.dedup();
        // Leftmost, because only leftmost automata get the SIMD prefilter; overlapping hits are found by
        // starting again one byte further on.
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(&fragments).ok();
        let longest = needles.iter().map(Needle::reach).max().unwrap_or(0);
        Self {
            fragments: automaton.filter(|_| !needles.is_empty()),
            needles,
            longest,
            folded: OnceLock::new(),
        }
    }

    /// For what is lower-cased on its way here: names of headers, hosts.
    fn folded(&self) -> &Self {
        self.folded.get_or_init(|| {
            let needles: Vec<Needle> = self.needles.iter().map(Needle::folded).collect();
            let fragments = needles.iter().map(Needle::beginning);
            let automaton = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostFirst)
                .ascii_case_insensitive(true)
                .build(fragments)
                .ok();
            let fragments = automaton.filter(|_| !needles.is_empty());
            Box::new(Self { fragments, needles, longest: self.longest, folded: OnceLock::new() })
        })
    }

    /// Too short to hold one.
    fn is_shorter(&self, text: &[u8]) -> bool {
        self.needles.iter().all(|needle| needle.is_longer_than(text.len()))
    }

    /// Nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// Masks in place with `*`, returns how many places.
    pub(crate) fn mask(&self, bytes: &mut [u8]) -> u32 {
        let found = self.find(bytes);
        for &(start, end) in &found {
            bytes[start..end].fill(b'*');
        }
        u32::try_from(found.len()).unwrap_or(u32::MAX)
    }

    /// As `mask`, without a copy when nothing is found.
    pub(crate) fn mask_bytes(&self, bytes: Bytes) -> (Bytes, u32) {
        match self.mask_cow(&bytes) {
            (Cow::Borrowed(_), _) => (bytes, 0),
            (Cow::Owned(masked), count) => (masked.into(), count),
        }
    }

    /// As `mask`, for text that a peer may have got to say something, whatever the case of its letters came to be meanwhile.
    pub(crate) fn mask_text(&self, text: &str) -> String {
        if self.is_shorter(text.as_bytes()) {
            return text.to_owned();
        }
        match self.folded().mask_cow(text.as_bytes()).0 {
            Cow::Borrowed(_) => text.to_owned(),
            Cow::Owned(masked) => String::from_utf8_lossy(&masked).into_owned(),
        }
    }

    /// As `mask`, whatever the case of letters.
    pub(crate) fn mask_any_case(&self, bytes: &mut [u8]) -> u32 {
        if self.is_shorter(bytes) { 0 } else { self.folded().mask(bytes) }
    }

    /// As `mask`, borrowed when nothing is found.
    pub(crate) fn mask_cow<'b>(&self, bytes: &'b [u8]) -> (Cow<'b, [u8]>, u32) {
        let found = self.find(bytes);
        if found.is_empty() {
            return (Cow::Borrowed(bytes), 0);
        }
        let mut masked = bytes.to_vec();
        for &(start, end) in &found {
            masked[start..end].fill(b'*');
        }
        (Cow::Owned(masked), u32::try_from(found.len()).unwrap_or(u32::MAX))
    }

    /// Places to mask, in order, those that touch joined into one: in the body as it stands, and behind each layer of
    /// escapes that it may have. What lies behind escapes has one in it, and is looked for around them alone.
    fn find(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        if self.needles.is_empty() {
            return Vec::new();
        }
        let mut all = self.search(bytes, false, &mut work_max(bytes));
        let mut work_left = work_max(bytes);
        for (start, end) in unescape::around_escapes(bytes, self.longest) {
            let behind = self.find_behind(&bytes[start..end], Readers::ALL, 0, &mut work_left);
            all.extend(behind.into_iter().map(|(from, to)| (start + from, start + to)));
        }
        joined(all)
    }

    /// Behind this layer of escapes and those below it, as these readers undo them.
    fn find_behind(
        &self,
        bytes: &[u8],
        readers: Readers,
        layer: usize,
        work_left: &mut u64,
    ) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        if layer == limits::ECHO_LAYERS_MAX {
            return all;
        }
        for (undone, readers) in readers.groups(Dialects::undone_in(bytes)) {
            let mut meant = Vec::with_capacity(bytes.len());
            unescape::unescape(bytes, undone, |_, _, meaning| meant.extend_from_slice(meaning));
            if meant.len() < bytes.len() {
                let mut below = self.search(&meant, true, work_left);
                below.extend(self.find_behind(&meant, readers, layer + 1, work_left));
                all.extend(unescape::locate(bytes, undone, &joined(below)));
            }
        }
        all
    }

    fn search(&self, bytes: &[u8], escaped: bool, work_left: &mut u64) -> Vec<(usize, usize)> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        let Some(automaton) = &self.fragments else {
            // Without a search nothing can be shown to be clean.
            return vec![(0, bytes.len())];
        };
        let mut from = 0;
        while let Some(hit) = automaton.find(Input::new(bytes).range(from..)) {
            let at = hit.start();
            for needle in self.needles.iter().filter(|needle| !(escaped && needle.is_plain_only())) {
                let (compared, place) = needle.matches_at(bytes, at);
                let Some(left) = work_left.checked_sub(compared) else {
                    return vec![(0, bytes.len())];
                };
                *work_left = left;
                if let Some((start, end)) = place {
                    join(&mut found, start, end);
                }
            }
            from = at + 1;
        }
        found
    }
}

/// Bytes that may be compared in a search of this text; more, and it is masked whole.
fn work_max(bytes: &[u8]) -> u64 {
    (bytes.len() as u64).saturating_mul(limits::ECHO_WORK_PER_BYTE_MAX) + (1 << 20)
}

/// In order, those that touch as one.
fn joined(mut places: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    places.sort_unstable();
    let mut joined = Vec::with_capacity(places.len());
    places.into_iter().for_each(|(start, end)| join(&mut joined, start, end));
    joined
}

/// `start` may lie before the end, even before the start, of the last place: base64 reaches one back.
fn join(found: &mut Vec<(usize, usize)>, mut start: usize, mut end: usize) {
    while let Some(&(last_start, last_end)) = found.last() {
        if start > last_end {
            break;
        }
        start = start.min(last_start);
        end = end.max(last_end);
        found.pop();
    }
    found.push((start, end));
}

#[cfg(test)]
mod tests;
