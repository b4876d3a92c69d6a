//! The same bounds over a body that is handed on as it arrives: caps on its bytes, members and ratio, and the
//! comparison with `Content-Length`.
//!
//! A coded body is decoded in the same pieces as a whole one, or in smaller ones where the peer pauses: an event has to
//! reach its reader before the next one is sent. So of one piece less may have been counted than a whole body would
//! have counted, and the ratio is that much more patient.
use super::{Coded, coding, content_length, malformed};
use crate::{
    Error,
    limits::{DECODE_PIECE_BYTES, DECODED_HANDED_BYTES},
};
use bytes::Bytes;
use http::HeaderMap;

/// One body.
pub(crate) struct PieceDecoder {
    coded: Option<Coded>,
    announced: Option<u64>,
    body_bytes_max: u64,
    wire_bytes: u64,
    plain_bytes: u64,
    /// Came off the wire and waits.
    waiting: Bytes,
    /// Ready to be taken.
    ready: Bytes,
    over: bool,
}

impl PieceDecoder {
    pub(crate) fn new(headers: &HeaderMap, body_bytes_max: u64) -> Result<Self, Error> {
        let coded = coding(headers)?.map(|coding| Coded::in_pieces(coding, body_bytes_max));
        let announced = content_length(headers)?;
        // Refused before a byte of it is written anywhere.
        if coded.is_none() && announced.is_some_and(|bytes| bytes > body_bytes_max) {
            return Err(Error::TooLarge(body_bytes_max));
        }
        Ok(Self {
            coded,
            announced,
            body_bytes_max,
            wire_bytes: 0,
            plain_bytes: 0,
            waiting: Bytes::new(),
            ready: Bytes::new(),
            over: false,
        })
    }

    /// Nothing more will come.
    pub(crate) fn is_over(&self) -> bool {
        self.over && self.waiting.is_empty() && self.ready.is_empty()
    }

    /// A chunk off the wire; what came before was taken.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.wire_bytes = self.wire_bytes.saturating_add(chunk.len() as u64);
        if self.announced.is_some_and(|bytes| self.wire_bytes > bytes) {
            return Err(malformed("the body is longer than its `content-length`"));
        }
        self.waiting = chunk;
        Ok(())
    }

    /// The wire has ended.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        self.over = true;
        if self.announced.is_some_and(|bytes| self.wire_bytes != bytes) {
            return Err(malformed("the body is shorter than its `content-length`"));
        }
        match &mut self.coded {
            Some(coded) if self.wire_bytes > 0 => {
                self.ready = coded.finish_pieces()?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A piece of the body; none = the wire is asked for more.
    pub(crate) fn take(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.ready.is_empty() {
            return Ok(Some(std::mem::take(&mut self.ready)));
        }
        let Some(coded) = &mut self.coded else {
            self.plain_bytes = self.plain_bytes.saturating_add(self.waiting.len() as u64);
            if self.plain_bytes > self.body_bytes_max {
                return Err(Error::TooLarge(self.body_bytes_max));
            }
            return Ok(Some(std::mem::take(&mut self.waiting)).filter(|piece| !piece.is_empty()));
        };
        while !self.waiting.is_empty() {
            let piece = self.waiting.split_to(self.waiting.len().min(DECODE_PIECE_BYTES));
            coded.push_piece(&piece, self.waiting.is_empty())?;
            if coded.decoded() >= DECODED_HANDED_BYTES {
                break;
            }
        }
        Ok(Some(coded.take()).filter(|piece| !piece.is_empty()))
    }
}
