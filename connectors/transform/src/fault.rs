//! What is wrong with a program, or with what became of it: data of the output.

use crate::limits::MESSAGE_BYTES_MAX;
use serde::Serialize;

/// `compile`: it never ran. `run`: it ended in an error. `too-many`: it gave more than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Compile,
    Run,
    TooMany,
}

/// The `error` of an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    pub input: Option<usize>,
    pub kind: Kind,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl Fault {
    /// Without a place.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX - '…'.len_utf8()));
            message.push('…');
        }
        Self { input: None, kind, message, line: None, column: None }
    }

    /// A fault of the program, at this byte of it where there is one.
    pub(crate) fn compile(program: &str, at: Option<usize>, message: impl Into<String>) -> Self {
        let before = at.and_then(|at| program.get(..at));
        let line = before.map(|before| before.matches('\n').count() + 1);
        let column = before.map(|before| before.rsplit('\n').next().unwrap_or_default().chars().count() + 1);
        Self { line, column, ..Self::new(Kind::Compile, message) }
    }

    /// The same, for this input.
    pub(crate) fn of_input(self, input: usize) -> Self {
        Self { input: Some(input), ..self }
    }
}
