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
use crate::limits::{ECHO_HELD_BYTES_MAX, ECHO_LAYERS_MAX, ECHO_PREFIX_BYTES_MAX, SCANNED_INLINE_SIGNS_MAX};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// The scan of one body.
pub(crate) struct Running {
    needles: Arc<Needles>,
    held: BytesMut,
}

impl Running {
    pub(crate) fn new(needles: Arc<Needles>) -> Self {
        Self { needles, held: BytesMut::new() }
    }

    /// Whether there is much to undo in the piece and what is held: each sign may begin an escape, for every reader, in every layer.
    pub(crate) fn is_slow(&self, piece: &[u8]) -> bool {
        Needles::is_slow(&self.held) || Needles::is_slow(piece)
    }

    /// What may be handed on, masked, and how many places were.
    pub(crate) fn push(&mut self, piece: Bytes) -> (Bytes, u32) {
        if self.needles.is_empty() {
            return (piece, 0);
        }
        let mut all = match self.held.is_empty() {
            true => piece,
            false => {
                self.held.extend_from_slice(&piece);
                std::mem::take(&mut self.held).freeze()
            }
        };
        let found = self.needles.find(&all);
        let open = self.needles.open(&all);
        let mut end = open;
        loop {
            let crossed = found.iter().find(|(start, stop)| *start < end && end < *stop);
            let cut = boundary(&all, crossed.map_or(end, |(start, _)| *start));
            if cut == end {
                break;
            }
            end = cut;
        }
        if all.len() - end > ECHO_HELD_BYTES_MAX {
            let (mut masked, echoes) = mask(all, &found);
            masked[open..].fill(b'*');
            return (masked.freeze(), echoes.saturating_add(1));
        }
        let rest = all.split_off(end);
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

impl Needles {
    /// See `Running::is_slow`.
    pub(crate) fn is_slow(bytes: &[u8]) -> bool {
        memchr::memchr3_iter(b'%', b'\\', b'&', bytes).nth(SCANNED_INLINE_SIGNS_MAX).is_some()
    }

    /// From where on it is not known yet what stands there: the beginning of a secret, the character beside one in
    /// base64, or an escape that is not whole, in any layer, for any of the readers. The end of the text decides it: so
    /// much of it is looked at as leaves the longest of what is looked for in every layer.
    fn open(&self, bytes: &[u8]) -> usize {
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

/// The last place up to `end` at which no layer has an escape open, for any reader.
fn boundary(bytes: &[u8], mut end: usize) -> usize {
    while end > 0 && end < bytes.len() {
        let from = unescape::certain_boundary(&bytes[..end]);
        if from == end || is_boundary(&bytes[from..], end - from, Readers::ALL, 0) {
            break;
        }
        end -= 1;
    }
    end
}

fn is_boundary(bytes: &[u8], at: usize, readers: Readers, layer: usize) -> bool {
    layer == ECHO_LAYERS_MAX
        || readers.groups(Dialects::begun_in(bytes)).all(|(undone, readers)| {
            let (mut inside, mut meant, mut meant_at) = (false, Vec::new(), 0);
            unescape::unescape(bytes, undone, |start, end, meaning| {
                let is_itself = meaning.len() == end - start;
                inside |= start < at && at < end && !is_itself;
                meant_at += match end <= at {
                    true => meaning.len(),
                    false if is_itself && start < at => at - start,
                    false => 0,
                };
                meant.extend_from_slice(meaning);
            });
            !inside && (meant.len() == bytes.len() || is_boundary(&meant, meant_at, readers, layer + 1))
        })
}

#[cfg(test)]
mod tests;
