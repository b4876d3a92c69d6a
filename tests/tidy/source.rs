//! Rust files as the rules see them: code without comments, texts and tests. A scanner and no parser: it knows what a brace
//! inside a string is, and nothing of grammar.
use crate::{files, host, none, read};

const LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, each with its reason: tables of data.
const LONG_FILES: [(&str, &str); 0] = [];
/// Functions that may be longer, each with its reason.
const LONG_FUNCTIONS: [(&str, &str, &str); 0] = [];

pub struct Source {
    pub path: String,
    pub text: String,
    /// The same lines with comments, and the insides of strings, blanked; tests too.
    pub code: String,
    /// Whether the whole file is tests.
    pub is_test: bool,
    /// Lines of tests in a file that is not.
    test_lines: usize,
}

impl Source {
    /// Lines of code that hold `word`.
    pub fn find(&self, word: &str) -> Vec<String> {
        let lines = self.code.lines().enumerate().filter(|(_, line)| line.contains(word));
        lines.map(|(at, line)| format!("{}:{}: {}", self.path, at + 1, line.trim())).collect()
    }

    fn is_build_script(&self) -> bool {
        self.path.ends_with("/build.rs")
    }

    /// Where a rule for shipped code looks.
    pub fn ships(&self) -> bool {
        !self.is_test && !self.is_build_script()
    }
}

/// The given files. Which of them are tests alone is said by the files that declare them.
pub fn all(paths: Vec<String>) -> Vec<Source> {
    let mut sources: Vec<Source> = paths
        .into_iter()
        .map(|path| {
            let text = read(&path);
            let code = blank(&text);
            Source {
                is_test: path.contains("/tests/") || path.ends_with("/tests.rs"),
                path,
                text,
                code,
                test_lines: 0,
            }
        })
        .collect();
    let mut only_tests = Vec::new();
    for source in &mut sources {
        let (code, modules, test_lines) = without_tests(&source.code);
        (source.code, source.test_lines) = (code, test_lines);
        let folder = source.path.trim_end_matches(".rs");
        let folder = folder.strip_suffix("/lib").or(folder.strip_suffix("/main")).unwrap_or(folder);
        only_tests.extend(modules.iter().map(|module| format!("{folder}/{module}")));
    }
    for source in &mut sources {
        let stem = source.path.trim_end_matches(".rs");
        source.is_test |= only_tests.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/")));
    }
    sources
}

/// Blanks comments and the insides of strings and characters; every line keeps its number.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            at + rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            at + rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(end) = string_end(rest, at.checked_sub(1).map(|before| bytes[before])) {
            at += 1;
            at + end - 2
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end + usize::from(!rest.starts_with('/'));
    }
    String::from_utf8(out).expect("blanked by whole literals")
}

/// How long the literal at the start is: `"…"`, `r#"…"#`, `'x'`. None where there is none, as in a lifetime.
fn string_end(rest: &str, before: Option<u8>) -> Option<usize> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if rest.starts_with('r') && !before.is_some_and(|byte| is_word(byte) && byte != b'b') {
        let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
        if rest[1 + hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = 2 + hashes;
            return Some(rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len()));
        }
    }
    if rest.starts_with('"') {
        let mut escaped = false;
        for (at, byte) in rest.bytes().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return Some(at + 1),
                _ => {}
            }
        }
        return Some(rest.len());
    }
    let inside = rest.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        return inside[2..].find('\'').map(|end| end + 4);
    }
    let first = inside.chars().next()?;
    inside[first.len_utf8()..].starts_with('\'').then_some(first.len_utf8() + 2)
}

/// Blanks each item under `#[cfg(test)]`; names the modules among them that lie in files of their own; counts the lines.
fn without_tests(code: &str) -> (String, Vec<String>, usize) {
    let (mut out, mut modules, mut from, mut lines) = (code.as_bytes().to_vec(), Vec::new(), 0, 0);
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = start + item_end(&code[start + 12..]) + 12;
        let item = code[start + 12..end].trim();
        if let Some(module) = item.split("mod ").nth(1).and_then(|module| module.strip_suffix(';')) {
            modules.push(module.trim().to_owned());
        }
        lines += code[start..end].matches('\n').count() + 1;
        for byte in &mut out[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        from = end;
    }
    (String::from_utf8(out).expect("blanked by whole items"), modules, lines)
}

/// Where the item at the start ends: after its `;`, or after the brace that closes its body.
fn item_end(code: &str) -> usize {
    let (mut round, mut braces) = (0i32, 0i32);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round -= 1,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces <= 0 && round == 0 {
                    return at + 1;
                }
            }
            b';' if round == 0 && braces == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Every function with its line and how many lines it has.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].bytes().next_back();
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() || before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let lines = code[at..at + item_end(&code[at..])].matches('\n').count() + 1;
        found.push((name, line, lines));
    }
    found
}

#[test]
fn files_stay_short() {
    let mut faults = Vec::new();
    for source in host().iter().filter(|source| !source.is_test) {
        let lines = source.text.lines().count() - source.test_lines;
        if lines > LINES_MAX && !LONG_FILES.iter().any(|(path, _)| *path == source.path) {
            faults.push(format!("{}: {lines} lines without tests", source.path));
        }
    }
    none("files over 600 lines", faults);
}

#[test]
fn functions_stay_short() {
    let mut faults = Vec::new();
    for source in host().iter().filter(|source| source.ships()) {
        for (name, line, lines) in functions(&source.code) {
            let excepted =
                LONG_FUNCTIONS.iter().any(|(path, function, _)| *path == source.path && *function == name);
            if lines > FUNCTION_LINES_MAX && !excepted {
                faults.push(format!("{}:{line}: `{name}` has {lines} lines", source.path));
            }
        }
    }
    none("functions over 70 lines", faults);
}

#[test]
fn exceptions_are_still_needed() {
    let gone = LONG_FILES
        .iter()
        .map(|(path, reason)| (*path, *reason))
        .chain(LONG_FUNCTIONS.iter().map(|(path, _, reason)| (*path, *reason)));
    let root = crate::workspace_root();
    none(
        "exceptions without a file or a reason",
        gone.filter(|(path, reason)| reason.is_empty() || !root.join(path).is_file())
            .map(|(path, _)| path.to_owned())
            .collect(),
    );
}

#[test]
fn files_open_with_what_they_own() {
    let silent = host().into_iter().filter(|source| !source.text.starts_with("//! "));
    none("files that do not open with `//! `", silent.map(|source| source.path).collect());
}

#[test]
fn modules_lie_beside_their_folders() {
    let rust: Vec<String> = ["host", "tests", "sdk", "connectors"]
        .iter()
        .flat_map(|folder| files(folder, &["/mod.rs", "mod.rs"]))
        .collect();
    none("`mod.rs`", rust.into_iter().filter(|path| path.ends_with("/mod.rs")).collect());
}

/// The scanner itself: what it must not be fooled by.
#[test]
fn scanner_reads_rust() {
    let code = blank(
        "let a = \"fn x() { // no\"; // fn y() {\nlet b = 'x'; let c: &'static str = r#\"\"}\"#;\nlet d = '\\''; /* { */ fn z() {}",
    );
    assert!(!code.contains("fn x") && !code.contains("fn y"), "{code}");
    assert_eq!((code.matches('{').count(), code.matches('}').count()), (1, 1), "{code}");
    assert!(code.contains("&'static str"), "{code}");
    let text = "fn a() {}\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod more {\n fn b() {}\n}\nfn c(_: [u8; 2]) {\n}\n";
    let (code, modules, lines) = without_tests(text);
    assert_eq!((modules, lines), (vec!["tests".to_owned()], 6));
    assert_eq!(functions(&code), [("a".to_owned(), 1, 1), ("c".to_owned(), 8, 2)]);
}
