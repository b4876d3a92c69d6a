//! The one module that prints. stdout is data, stderr the rest; meaning survives without colour.
use crate::{
    exit::{Exit, Failure, Result},
    remedy,
};
use portcullis_manifest::{
    Diagnostic,
    diagnose::{escaped, is_hidden},
};
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

/// What stdout refused first. From then on nothing more goes there: what follows a gap is not what was said.
static REFUSED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Lines of data for a person.
pub fn line(text: &str) {
    data_line(&shown_lines(&remedy::here(text)));
}

/// One JSON value on one line of data.
pub fn json_line(value: &Value) {
    json_text(&value.to_string());
}

/// A JSON text of a connector, as it came but for what moves a terminal.
pub fn json_text(text: &str) {
    data_line(&inert(text));
}

/// One JSON value for the program that reads stderr.
pub fn json_note(value: &Value) {
    note_line(&inert(&value.to_string()));
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
    note_line(&shown_lines(&remedy::here(text)));
}

/// Bytes of data, flushed: records of a read.
pub fn bytes(data: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(data)?;
    out.flush()
}

fn data_line(text: &str) {
    let mut refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    if refused.is_none() {
        *refused = writeln!(io::stdout().lock(), "{text}").err();
    }
}

fn note_line(text: &str) {
    // There is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether stdout took all that was printed so far. A closed pipe is its reader's decision, and no fault.
pub fn delivered() -> Result<()> {
    let mut refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    if refused.is_none() {
        *refused = io::stdout().flush().err();
    }
    refused.as_ref().map_or(Ok(()), complaint)
}

/// Whether stdout takes no more: whoever goes on for long ends.
pub fn is_closed() -> bool {
    REFUSED.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

fn complaint(refused: &io::Error) -> Result<()> {
    match refused.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::fault("stdout can't be written").because(refused)),
    }
}

/// The end of a command that says that all is well: it is, where its words arrived.
pub fn end(exit: Exit, as_json: bool) -> ExitCode {
    match delivered() {
        Ok(()) => exit.into(),
        Err(lost) if exit == Exit::Success => failure(&lost, as_json),
        Err(lost) => failure(&Failure { exit, ..lost }, as_json),
    }
}

/// Whether a person looks at stderr.
pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// What clap has to say: help goes to stdout, faults to stderr, or as every other failure where JSON was asked for.
pub fn usage(error: &clap::Error, as_json: bool) -> ExitCode {
    if error.use_stderr() {
        // What it repeats of the arguments may be a pasted secret.
        let text = error.render().to_string();
        if !as_json {
            note(remedy::unsecret(&text).trim_end());
            return Exit::Usage.into();
        }
        let (message, help) = text.split_once('\n').unwrap_or((&text, ""));
        let message = message.strip_prefix("error: ").unwrap_or(message);
        let help = Some(help.trim().to_owned()).filter(|help| !help.is_empty());
        return failure(&Failure { help, ..Failure::new(Exit::Usage, message) }, true);
    }
    let printed = error.print().and_then(|()| io::stdout().flush());
    match printed.as_ref().map_or_else(complaint, |()| Ok(())) {
        Ok(()) => Exit::Success.into(),
        Err(lost) => failure(&lost, as_json),
    }
}

/// `error:` what, causes, an excerpt of each document, `hint:` what to paste.
pub fn failure(failure: &Failure, as_json: bool) -> ExitCode {
    if as_json {
        json_line(&failure_json(failure));
        if delivered().is_err() {
            json_note(&failure_json(failure));
        }
    } else {
        for diagnostic in &failure.diagnostics {
            note(&crate::config::diagnose::render(diagnostic));
        }
        if failure.diagnostics.is_empty() || failure.diagnostics.len() > 1 {
            note(&format!("error: {}", shown_line(&remedy::unsecret(&failure.message))));
        }
        for cause in &failure.causes {
            note(&format!("  caused by: {}", shown_line(&remedy::unsecret(cause))));
        }
        if let Some(help) = &failure.help {
            note("");
            note(&format!("hint: {}", remedy::pasteable(help)));
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
            "message": remedy::unsecret(&d.message),
            "help": d.help.as_deref().map(remedy::pasteable),
        })
    };
    json!({ "error": {
        "message": remedy::unsecret(&failure.message),
        "run_id": failure.run_id,
        "causes": failure.causes.iter().map(|cause| remedy::unsecret(cause)).collect::<Vec<_>>(),
        "help": failure.help.as_deref().map(remedy::pasteable),
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

/// `1 connection`, `2 connections`.
pub fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// The same with a word for one and another for more.
pub fn several(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
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
