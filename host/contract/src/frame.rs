//! What this process and a schema child say to each other, each with its length before it.

use crate::{
    Fault,
    limits::{ANSWER_BYTES_MAX, QUESTION_BYTES_MAX},
};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// What follows the question's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A schema: everything after it is about this one.
    Schema,
    /// A document: all its faults.
    All,
    /// A document: the first of its faults.
    First,
    /// Documents, one a line: the first line that has faults.
    Lines,
}

/// What it says to that.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is a schema.
    Schema,
    /// It is none.
    NoSchema(String),
    /// The document fits.
    Fits,
    /// It does not: its faults come next.
    Misfit,
    /// They.
    Faults(Vec<Told>),
    /// All lines fit, or this is the first that does not.
    Lines(Option<(u64, Vec<Told>)>),
}

/// A fault on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    pointer: String,
    message: String,
    known: Vec<String>,
}

impl From<Fault> for Told {
    fn from(fault: Fault) -> Self {
        Self { pointer: fault.pointer, message: fault.message, known: fault.known.to_vec() }
    }
}

impl From<Told> for Fault {
    fn from(told: Told) -> Self {
        Self { pointer: told.pointer, message: told.message, known: told.known.into() }
    }
}

const QUESTIONS: [(u8, Question); 4] =
    [(b'S', Question::Schema), (b'A', Question::All), (b'F', Question::First), (b'L', Question::Lines)];

pub(crate) fn ask(to: &mut impl Write, question: Question, text: &[u8]) -> io::Result<()> {
    let byte = QUESTIONS.iter().find(|(_, known)| *known == question).map_or(0, |(byte, _)| *byte);
    to.write_all(&[byte])?;
    to.write_all(&(text.len() as u64).to_le_bytes())?;
    to.write_all(text)?;
    to.flush()
}

/// The next question; none at the end.
pub(crate) fn asked(from: &mut impl Read) -> io::Result<Option<(Question, Vec<u8>)>> {
    let mut byte = [0];
    if from.read(&mut byte)? == 0 {
        return Ok(None);
    }
    let question = QUESTIONS.iter().find(|(known, _)| *known == byte[0]).map(|(_, question)| *question);
    let question = question.ok_or_else(|| io::Error::other("no question"))?;
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > QUESTION_BYTES_MAX {
        return Err(io::Error::other("the question is too long"));
    }
    let mut text = Vec::new();
    from.take(length).read_to_end(&mut text)?;
    if text.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((question, text)))
}

pub(crate) fn answer(to: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let text = serde_json::to_vec(answer)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&text)?;
    to.flush()
}

pub(crate) fn answered(from: &mut impl Read) -> io::Result<Answer> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > ANSWER_BYTES_MAX {
        return Err(io::Error::other("the answer is too long"));
    }
    let mut text = vec![0; length as usize];
    from.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
