//! The content codings: each turns the wire's bytes into a body in one `Sink`, which holds the caps.
//!
//! The wire is decoded in pieces of one size, each counted before it is decoded, so that neither the body nor the verdict
//! depends on how the bytes arrived. zstd is decoded when it is whole, so that all of its wire counts.
//!
//! gzip (RFC 1952), deflate (RFC 9110 §8.4.1.2: the zlib format of RFC 1950; raw RFC 1951 is refused), br (RFC
//! 7932), zstd (RFC 8878, window at most 8 MiB as RFC 9659 says). What follows the end of a body is refused.
//! All decoders are safe Rust.

use super::malformed;
use crate::{
    Error,
    limits::{
        BROTLI_BUFFER_BYTES, DECODE_PIECE_BYTES, DECODED_PIECE_BYTES_MAX, GZIP_MEMBERS_MAX, RATIO_FREE_BYTES,
        RATIO_MAX, ZSTD_FRAMES_MAX, ZSTD_WHOLE_BYTES_MAX, ZSTD_WINDOW_BYTES_MAX,
    },
};
use brotli_decompressor::DecompressorWriter;
use bytes::Bytes;
use flate2::write::{GzDecoder, ZlibDecoder};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use std::io::{self, Read, Write};

/// What a body is coded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// By its registered name, in lower case.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn corrupt(self) -> Error {
        let name = match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        };
        malformed(format!("the {name} body is cut short or corrupt"))
    }
}

/// A coded body on its way.
pub(super) struct Coded {
    coding: Coding,
    /// Less than a piece.
    held: Vec<u8>,
    /// None only after an error.
    state: Option<State>,
    members: u32,
}

enum State {
    /// Nothing of the next member has come.
    Between(Sink),
    Gzip(Box<GzDecoder<Sink>>),
    Deflate(Box<ZlibDecoder<Sink>>),
    Brotli(Box<DecompressorWriter<Sink>>),
    /// Decoded when it is whole: its decoder works through blocks, and a block of four bytes may stand for 128 KiB.
    Zstd {
        wire: Vec<u8>,
        sink: Sink,
    },
}

impl Coded {
    pub(super) fn new(coding: Coding, body_bytes_max: u64) -> Self {
        let sink = Sink {
            body_bytes_max,
            wire_bytes: 0,
            handed_bytes: 0,
            piece_bytes_max: usize::MAX,
            body: Vec::new(),
            stopped: None,
        };
        Self { coding, held: Vec::new(), state: Some(State::Between(sink)), members: 0 }
    }

    /// For a body that is handed on piece by piece.
    pub(super) fn in_pieces(coding: Coding, body_bytes_max: u64) -> Self {
        let body_bytes_max = match coding {
            Coding::Zstd => body_bytes_max.min(ZSTD_WHOLE_BYTES_MAX),
            _ => body_bytes_max,
        };
        let mut coded = Self::new(coding, body_bytes_max);
        if let Some(state) = &mut coded.state {
            let sink = state.sink();
            // What is handed on early was counted early: see `piecewise`.
            sink.wire_bytes = DECODE_PIECE_BYTES as u64;
            sink.piece_bytes_max = match coding {
                Coding::Zstd => usize::MAX,
                _ => DECODED_PIECE_BYTES_MAX,
            };
        }
        coded
    }

    /// At most `DECODE_PIECE_BYTES` of the wire; `last`: nothing more has come yet, so all that it means is wanted.
    pub(super) fn push_piece(&mut self, wire: &[u8], last: bool) -> Result<(), Error> {
        self.decode(wire)?;
        let Some(mut state) = self.state.take() else { return Err(self.coding.corrupt()) };
        if last && state.flush().is_err() {
            return Err(self.stopped(&mut state));
        }
        self.state = Some(state);
        Ok(())
    }

    /// Bytes that can be taken.
    pub(super) fn decoded(&mut self) -> usize {
        self.state.as_mut().map_or(0, |state| state.sink().body.len())
    }

    pub(super) fn take(&mut self) -> Bytes {
        let Some(state) = &mut self.state else { return Bytes::new() };
        let sink = state.sink();
        sink.handed_bytes = sink.handed_bytes.saturating_add(sink.body.len() as u64);
        std::mem::take(&mut sink.body).into()
    }

    pub(super) fn push(&mut self, mut wire: &[u8]) -> Result<(), Error> {
        while self.held.len() + wire.len() >= DECODE_PIECE_BYTES {
            let (piece, rest) = wire.split_at(DECODE_PIECE_BYTES - self.held.len());
            wire = rest;
            if self.held.is_empty() {
                self.decode(piece)?;
            } else {
                let mut held = std::mem::take(&mut self.held);
                held.extend_from_slice(piece);
                self.decode(&held)?;
                held.clear();
                self.held = held;
            }
        }
        self.held.extend_from_slice(wire);
        Ok(())
    }

    /// One piece, or what is left of the last one.
    fn decode(&mut self, mut wire: &[u8]) -> Result<(), Error> {
        if let Some(state) = &mut self.state {
            let sink = state.sink();
            sink.wire_bytes = sink.wire_bytes.saturating_add(wire.len() as u64);
        }
        while !wire.is_empty() {
            let mut state = match self.state.take() {
                Some(State::Between(sink)) => self.begin(sink)?,
                Some(state) => state,
                None => return Err(self.coding.corrupt()),
            };
            match state.write(wire) {
                // The member has ended and something follows it.
                Ok(0) => self.state = Some(self.ended(state)?),
                Ok(read) => {
                    wire = &wire[read..];
                    self.state = Some(state);
                }
                Err(_) => return Err(self.stopped(&mut state)),
            }
        }
        Ok(())
    }

    fn begin(&mut self, sink: Sink) -> Result<State, Error> {
        self.members += 1;
        if self.members > GZIP_MEMBERS_MAX {
            return Err(malformed(format!("more than {GZIP_MEMBERS_MAX} gzip members")));
        }
        Ok(match self.coding {
            Coding::Gzip => State::Gzip(Box::new(GzDecoder::new(sink))),
            Coding::Deflate => State::Deflate(Box::new(ZlibDecoder::new(sink))),
            Coding::Brotli => State::Brotli(Box::new(DecompressorWriter::new(sink, BROTLI_BUFFER_BYTES))),
            Coding::Zstd => State::Zstd { wire: Vec::new(), sink },
        })
    }

    /// Of a gzip body another member may follow; of the others nothing may.
    fn ended(&self, state: State) -> Result<State, Error> {
        match state {
            State::Gzip(member) => member.finish().map(State::Between).map_err(|_| self.coding.corrupt()),
            _ => Err(self.coding.corrupt()),
        }
    }

    pub(super) fn finish(mut self) -> Result<Bytes, Error> {
        self.finish_pieces()
    }

    /// What is left.
    pub(super) fn finish_pieces(&mut self) -> Result<Bytes, Error> {
        let held = std::mem::take(&mut self.held);
        self.decode(&held)?;
        let Some(mut state) = self.state.take() else { return Err(self.coding.corrupt()) };
        let whole = match &mut state {
            State::Between(_) => return Err(self.coding.corrupt()),
            State::Gzip(member) => member.try_finish(),
            State::Deflate(member) => member.try_finish(),
            State::Brotli(decoder) => decoder.close(),
            State::Zstd { wire, sink } => unzstd(wire, sink),
        };
        match whole {
            Ok(()) => Ok(std::mem::take(&mut state.sink().body).into()),
            Err(_) => Err(self.stopped(&mut state)),
        }
    }

    /// Why it went no further: a cap, or bytes that are no such body.
    fn stopped(&self, state: &mut State) -> Error {
        state.sink().stopped.take().unwrap_or_else(|| self.coding.corrupt())
    }
}

impl State {
    fn sink(&mut self) -> &mut Sink {
        match self {
            Self::Between(sink) | Self::Zstd { sink, .. } => sink,
            Self::Gzip(member) => member.get_mut(),
            Self::Deflate(member) => member.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
        }
    }

    /// What was decoded leaves the decoder's own buffer.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Between(_) | Self::Zstd { .. } => Ok(()),
            Self::Gzip(member) => member.flush(),
            Self::Deflate(member) => member.flush(),
            Self::Brotli(decoder) => decoder.flush(),
        }
    }

    /// How much was taken; 0 = the body has ended.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Between(_) => Ok(0),
            Self::Gzip(member) => member.write(bytes),
            Self::Deflate(member) => member.write(bytes),
            Self::Brotli(decoder) => decoder.write(bytes),
            Self::Zstd { wire, sink } => {
                if (wire.len() + bytes.len()) as u64 > sink.body_bytes_max {
                    sink.stopped = Some(Error::TooLarge(sink.body_bytes_max));
                    return Err(io::Error::other("stopped"));
                }
                wire.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }
}

/// Frames one after the other (RFC 8878 §3.1), all under one cap.
fn unzstd(mut wire: &[u8], sink: &mut Sink) -> io::Result<()> {
    let mut piece = vec![0; 32 << 10];
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW_BYTES_MAX);
    for _ in 0..ZSTD_FRAMES_MAX {
        let mut frame = StreamingDecoder::new_with_decoder(&mut wire, decoder).map_err(io::Error::other)?;
        loop {
            match frame.read(&mut piece)? {
                0 => break,
                read => sink.write_all(&piece[..read])?,
            }
        }
        decoder = frame.into_frame_decoder();
        if let Some(expected) = decoder.get_checksum_from_data()
            && decoder.get_calculated_checksum() != Some(expected)
        {
            return Err(io::Error::other("the checksum differs"));
        }
        if wire.is_empty() {
            return Ok(());
        }
    }
    Err(io::Error::other("too many frames"))
}

/// Takes decoded bytes, at most 64 KiB at a time, and refuses the first that is too much.
struct Sink {
    body_bytes_max: u64,
    wire_bytes: u64,
    /// Decoded, and no longer here.
    handed_bytes: u64,
    /// What may lie here.
    piece_bytes_max: usize,
    body: Vec<u8>,
    stopped: Option<Error>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let here = self.body.len().saturating_add(bytes.len());
        let decoded = self.handed_bytes.saturating_add(here as u64);
        if decoded > self.body_bytes_max {
            self.stopped = Some(Error::TooLarge(self.body_bytes_max));
        } else if here > self.piece_bytes_max
            || decoded > RATIO_FREE_BYTES && decoded / RATIO_MAX > self.wire_bytes
        {
            self.stopped = Some(malformed(format!("compressed more than {RATIO_MAX} to 1")));
        } else {
            self.body.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        Err(io::Error::other("stopped"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
