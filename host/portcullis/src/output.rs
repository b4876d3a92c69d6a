//! The one module that prints. stdout is data, stderr the rest; meaning survives without colour.
use crate::exit::{Exit, Failure};
use portcullis_manifest::{
    Diagnostic,
    diagnose::{escaped, is_hidden},
};
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// Lines of data for a person.
pub fn line(text: &str) {
    write_line(&mut io::stdout().lock(), &shown_lines(text));
}

/// One JSON value on one line of data.
pub fn json_line(value: &Value) {
    json_text(&value.to_string());
}

/// A JSON text of a connector, as it came but for what moves a terminal.
pub fn json_text(text: &str) {
    write_line(&mut io::stdout().lock(), &inert(text));
}

/// One JSON value for the program that reads stderr.
pub fn json_note(value: &Value) {
    write_line(&mut io::stderr().lock(), &inert(&value.to_string()));
}

/// JSON in which no character moves a terminal. What JSON leaves as it is (C1 controls, direction marks, line separators) can
/// stand in its strings alone, where an escape means the same.
pub fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        let hidden = if character.is_ascii() { character == '\u{7f}' } else { is_hidden(character) };
        if hidden {
            let mut units = [0; 2];
            character
                .encode_utf16(&mut units)
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(character);
        }
    }
    out
}

/// Lines for the person who waits.
pub fn note(text: &str) {
    write_line(&mut io::stderr().lock(), &shown_lines(text));
}

/// Bytes of data, flushed: records of a read.
pub fn bytes(data: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(data)?;
    out.flush()
}

fn write_line(to: &mut impl Write, text: &str) {
    // A closed pipe is the reader's decision: there is nobody left to tell.
    let _ = writeln!(to, "{text}");
}

/// Whether a person looks at stderr.
pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// What clap has to say: help goes to stdout, faults to stderr.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() }
}

/// `error:` what, causes, an excerpt of each document, `hint:` what to paste.
pub fn failure(failure: &Failure, as_json: bool) -> ExitCode {
    if as_json {
        json_line(&failure_json(failure));
    } else {
        for diagnostic in &failure.diagnostics {
            note(&crate::config::diagnose::render(diagnostic));
        }
        if failure.diagnostics.is_empty() || failure.diagnostics.len() > 1 {
            note(&format!("error: {}", shown_line(&failure.message)));
        }
        for cause in &failure.causes {
            note(&format!("  caused by: {}", shown_line(cause)));
        }
        if let Some(help) = &failure.help {
            note("");
            note(&format!("hint: {help}"));
        }
    }
    failure.exit.into()
}

fn failure_json(failure: &Failure) -> Value {
    let place = |d: &Diagnostic| {
        json!({
            "file": d.file.display().to_string(),
            "line": d.location.as_ref().map(|l| l.line),
            "column": d.location.as_ref().map(|l| l.column),
            "message": d.message,
            "help": d.help,
        })
    };
    json!({ "error": {
        "message": failure.message,
        "causes": failure.causes,
        "help": failure.help,
        "diagnostics": failure.diagnostics.iter().map(place).collect::<Vec<_>>(),
        "exit_code": failure.exit as u8,
    }})
}

/// The last guard before a terminal, whoever wrote the text: nothing in it moves the cursor but the ends of its lines.
fn shown_lines(text: &str) -> String {
    text.split('\n').map(shown_line).collect::<Vec<_>>().join("\n")
}

/// A text of a guest or a peer on one line, controls escaped. Whoever stored it has bounded it.
pub fn shown_line(text: &str) -> String {
    escaped(text)
}

/// Rows as aligned columns.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|title| title.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| {
            let missing = width.saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(missing))
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![print(header.to_vec())];
    lines.extend(rows.iter().map(|row| print(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}
