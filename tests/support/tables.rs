//! Tables of vectors: tab-separated, one header line.

use std::{collections::BTreeMap, fs, path::Path};

/// A row by column name.
pub type Row = BTreeMap<String, String>;

/// Every row of a file.
pub fn rows(file: &Path) -> Vec<Row> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a header line").split('\t').collect();
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            names.iter().map(|name| (*name).to_owned()).zip(line.split('\t').map(str::to_owned)).collect()
        })
        .collect()
}

/// Undoes `\t`, `\r`, `\n` and `\uXXXX` of a table's cell; any other backslash is itself.
pub fn unescape(cell: &str) -> String {
    let mut text = String::new();
    let mut chars = cell.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            text.push(char);
            continue;
        }
        let rest = chars.as_str();
        match rest.chars().next() {
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some('u') => {
                let code =
                    rest.get(1..5).and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
                if let Some(code) = code {
                    text.push(code);
                    chars = rest[5..].chars();
                    continue;
                }
                text.push('\\');
                continue;
            }
            _ => {
                text.push('\\');
                continue;
            }
        }
        chars.next();
    }
    text
}
