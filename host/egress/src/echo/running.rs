//! The echo scan over a body in pieces: what may be the beginning of a secret, or of an escape, is held back until it is
//! known what it is, so that the result is that of the whole body, wherever it was cut.
//!
//! A body is cut only where no layer of escapes has one open: from there on it reads as if it began there. Where
//! nothing is in doubt nothing is held back, so that an event reaches its reader at once. What would have to be held
//! beyond a bound is masked.
use super::{
    Needles,
    unescape::{self, Dialects, Readers},
};
use crate::limits::{
    ECHO_HELD_BYTES_MAX, ECHO_LAYERS_MAX, ECHO_LOOKED_AGAIN_BYTES, ECHO_PREFIX_BYTES_MAX,
    ECHO_WAITED_FOR_BYTES, SCANNED_INLINE_BYTES_MAX, SCANNED_INLINE_SIGNS_MAX,
};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// The scan of one body.
pub(crate) struct Running {
    needles: Arc<Needles>,
    held: BytesMut,
    /// How much of what is held was in doubt when it was searched last.
    in_doubt: usize,
    /// Of all pieces so far.
    signs: usize,
    /// Bytes that were searched once more, because they were held back.
    again: usize,
}

impl Running {
    pub(crate) fn new(needles: Arc<Needles>) -> Self {
        Self { needles, held: BytesMut::new(), in_doubt: 0, signs: 0, again: 0 }
    }

    /// Whether the next step belongs beside the threads that serve: there was much to undo in this body, since each sign may
    /// begin an escape, for every reader, in every layer; or much was searched again and again, which a long beginning of a
    /// secret in small pieces is. Many small steps are as long as a large one, and a long piece is one. No piece: the end.
    pub(crate) fn is_slow(&self, piece: Option<&[u8]>) -> bool {
        let signs = piece.map_or(0, signs_in);
        let is_due = piece.is_none_or(|piece| self.is_due(piece));
        let much = self.signs + signs > SCANNED_INLINE_SIGNS_MAX || self.again > SCANNED_INLINE_BYTES_MAX;
        let long = self.held.len() + piece.map_or(0, <[u8]>::len) >= SCANNED_INLINE_BYTES_MAX;
        !self.needles.is_empty() && is_due && (long || (signs > 0 || !self.held.is_empty()) && much)
    }

    /// Whether to search with this piece. What is in doubt waits for more, as long as that may be of an escape too: for some
    /// bytes where it is little, for a quarter as much where it is much. Otherwise pieces of a byte would have all of it searched
    /// for each of them.
    fn is_due(&self, piece: &[u8]) -> bool {
        let more = self.held.len() + piece.len() - self.in_doubt;
        let little = if piece.last().is_some_and(|last| unescape::is_of_escape(*last)) {
            ECHO_WAITED_FOR_BYTES
        } else {
            0
        };
        let much = if self.in_doubt > ECHO_LOOKED_AGAIN_BYTES { self.in_doubt / 4 } else { 0 };
        self.in_doubt == 0 || more >= little.max(much)
    }

    /// What may be handed on, masked, and how many places were.
    pub(crate) fn push(&mut self, piece: Bytes) -> (Bytes, u32) {
        if self.needles.is_empty() {
            return (piece, 0);
        }
        let is_due = self.is_due(&piece);
        self.signs = self.signs.saturating_add(signs_in(&piece));
        if !self.held.is_empty() {
            self.held.extend_from_slice(&piece);
        }
        if !is_due {
            return (Bytes::new(), 0);
        }
        self.again = self.again.saturating_add(self.in_doubt);
        let mut all = match self.held.is_empty() {
            true => piece,
            false => std::mem::take(&mut self.held).freeze(),
        };
        self.in_doubt = 0;
        let found = self.needles.find(&all);
        let open = self.needles.open(&all);
        let end = cut(&all, open, &found);
        if all.len() - end > ECHO_HELD_BYTES_MAX {
            let (mut masked, echoes) = mask(all, &found);
            masked[open..].fill(b'*');
            return (masked.freeze(), echoes.saturating_add(1));
        }
        let rest = all.split_off(end);
        self.in_doubt = rest.len();
        self.held.extend_from_slice(&rest);
        let found: Vec<_> = found.into_iter().filter(|(start, _)| *start < end).collect();
        if found.is_empty() {
            return (all, 0);
        }
        let (masked, echoes) = mask(all, &found);
        (masked.freeze(), echoes)
    }

    /// The rest: nothing follows it.
    pub(crate) fn finish(&mut self) -> (Bytes, u32) {
        self.needles.mask_bytes(std::mem::take(&mut self.held).freeze())
    }
}

fn mask(bytes: Bytes, found: &[(usize, usize)]) -> (BytesMut, u32) {
    let mut masked = BytesMut::from(bytes);
    for &(start, end) in found {
        masked[start..end].fill(b'*');
    }
    (masked, u32::try_from(found.len()).unwrap_or(u32::MAX))
}

/// With which an escape may begin; no further than where it is slow.
fn signs_in(bytes: &[u8]) -> usize {
    memchr::memchr3_iter(b'%', b'\\', b'&', bytes).take(SCANNED_INLINE_SIGNS_MAX + 1).count()
}

impl Needles {
    /// See `Running::is_slow`.
    pub(crate) fn is_slow(bytes: &[u8]) -> bool {
        Self::are_slow(signs_in(bytes))
    }

    /// With which an escape may begin; no further than where it is slow.
    pub(crate) fn signs(bytes: &[u8]) -> usize {
        signs_in(bytes)
    }

    /// Whether so many signs are.
    pub(crate) fn are_slow(signs: usize) -> bool {
        signs > SCANNED_INLINE_SIGNS_MAX
    }

    /// From where on it is not known yet what stands there: the beginning of a secret, the character beside one in
    /// base64, or an escape that is not whole, in any layer, for any of the readers. The end of the text decides it: so
    /// much of it is looked at as leaves the longest of what is looked for in every layer.
    pub(crate) fn open(&self, bytes: &[u8]) -> usize {
        if self.is_empty() {
            return bytes.len();
        }
        let mut looked_at = self.longest;
        loop {
            looked_at = looked_at.saturating_mul(2);
            let from = unescape::certain_boundary(&bytes[..bytes.len().saturating_sub(looked_at)]);
            if let Some(open) = self.open_in(&bytes[from..], from > 0, Readers::ALL, 0) {
                return from + open;
            }
        }
    }

    /// None where the text was cut off before what has to be seen of it.
    fn open_in(&self, bytes: &[u8], cut_off: bool, readers: Readers, layer: usize) -> Option<usize> {
        if cut_off && bytes.len() < self.longest {
            return None;
        }
        let mut open = bytes.len();
        for needle in self.needles.iter().filter(|needle| !(layer > 0 && needle.is_plain_only())) {
            open = open.min(needle.may_begin_at(bytes, ECHO_PREFIX_BYTES_MAX));
        }
        if layer == ECHO_LAYERS_MAX {
            return Some(open);
        }
        for (undone, readers) in readers.groups(Dialects::begun_in(bytes)) {
            let whole = unescape::whole_until(bytes, undone);
            let mut meant = Vec::with_capacity(whole);
            unescape::unescape(&bytes[..whole], undone, |_, _, meaning| meant.extend_from_slice(meaning));
            open = open.min(whole);
            let below = self.open_in(&meant, cut_off, readers, layer + 1)?;
            if below < meant.len() {
                let place = unescape::locate(&bytes[..whole], undone, &[(below, meant.len())]);
                open = place.first().map_or(open, |(start, _)| open.min(*start));
            }
        }
        Some(open)
    }
}

/// The last place up to `end` at which no layer has an escape open, for any reader, and that is within no place to mask.
fn cut(bytes: &[u8], mut end: usize, found: &[(usize, usize)]) -> usize {
    let mut boundaries = Boundaries::new(bytes);
    loop {
        let crossed = found.iter().find(|(start, stop)| *start < end && end < *stop);
        let boundary = boundaries.last_until(crossed.map_or(end, |(start, _)| *start));
        if boundary == end {
            return end;
        }
        end = boundary;
    }
}

/// Where no layer has an escape open, for any reader. Looks at each byte once, from the end to the front, as far as it is asked.
struct Boundaries<'b> {
    bytes: &'b [u8],
    /// From here on it is known, up to where it was known before.
    from: usize,
    /// Whether the place so far behind `from` is within an escape.
    within: Vec<bool>,
}

impl<'b> Boundaries<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, from: bytes.len(), within: Vec::new() }
    }

    /// The last one up to `end`, which never grows from call to call.
    fn last_until(&mut self, mut end: usize) -> usize {
        if end < self.from {
            let from = unescape::certain_boundary(&self.bytes[..end]);
            let part = &self.bytes[from..self.from];
            self.within.clear();
            if from < end {
                self.within.resize(part.len() + 1, false);
                let places: Vec<usize> = (0..=part.len()).collect();
                note_escapes(part, &places, Readers::ALL, 0, &mut self.within);
            }
            self.from = from;
        }
        while self.within.get(end - self.from) == Some(&true) {
            end -= 1;
        }
        end
    }
}

/// Notes each place within an escape of this layer, or of one below it. `places`: where each byte of this layer begins in the
/// body, and its end.
fn note_escapes(bytes: &[u8], places: &[usize], readers: Readers, layer: usize, within: &mut [bool]) {
    if layer == ECHO_LAYERS_MAX {
        return;
    }
    for (undone, readers) in readers.groups(Dialects::begun_in(bytes)) {
        let (mut meant, mut meant_places) = (Vec::new(), Vec::new());
        unescape::unescape(bytes, undone, |start, end, meaning| {
            if meaning.len() == end - start {
                meant_places.extend_from_slice(&places[start..end]);
            } else {
                within[places[start] + 1..places[end]].fill(true);
                meant_places.extend(meaning.iter().map(|_| places[start]));
            }
            meant.extend_from_slice(meaning);
        });
        if meant.len() < bytes.len() {
            meant_places.push(places[bytes.len()]);
            note_escapes(&meant, &meant_places, readers, layer + 1, within);
        }
    }
}

#[cfg(test)]
mod tests;
