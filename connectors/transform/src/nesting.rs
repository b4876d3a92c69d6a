//! How deep the brackets of a program lie inside each other, before a parser that calls itself for each of them sees it.

use crate::limits::PROGRAM_DEPTH_MAX;

/// The bracket that lies too deep.
pub(crate) fn too_deep(program: &str) -> Option<usize> {
    let bytes = program.as_bytes();
    // What is open: a bracket, or the quote of a string.
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let in_string = open.last() == Some(&b'"');
        match byte {
            b'"' if in_string => drop(open.pop()),
            b'\\' if in_string => {
                at += 1;
                if bytes.get(at) == Some(&b'(') {
                    open.push(b'(');
                }
            }
            _ if in_string => {}
            b'#' => at += bytes[at..].iter().take_while(|byte| **byte != b'\n').count(),
            b'"' | b'(' | b'[' | b'{' => open.push(byte),
            b')' | b']' | b'}' => drop(open.pop()),
            _ => {}
        }
        if open.len() > PROGRAM_DEPTH_MAX {
            return Some(at);
        }
        at += 1;
    }
    None
}
