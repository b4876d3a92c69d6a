//! Refuses a TOML text that nests too deeply before anything recursive sees it: the parser guards brackets, not dotted
//! keys, and a value that is 20,000 tables deep overflows the stack when it is dropped.
use crate::limits::TOML_DEPTH_MAX;
use std::ops::Range;
use toml_parser::{Source, lexer::TokenKind};

/// The first token at which brackets or the dots of one key go deeper than the bound. What lies between is bounded
/// by their product, and the exact depth is checked on the parsed tree.
pub(super) fn too_deep(text: &str) -> Option<Range<usize>> {
    let mut brackets = 0usize;
    let mut dots = 0usize;
    for token in Source::new(text).lex() {
        match token.kind() {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                brackets += 1;
                dots = 0;
            }
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                brackets = brackets.saturating_sub(1);
                dots = 0;
            }
            TokenKind::Dot => dots += 1,
            TokenKind::Comma | TokenKind::Equals | TokenKind::Newline => dots = 0,
            _ => {}
        }
        // A header's own brackets do not nest, hence two more than the bound.
        if brackets > TOML_DEPTH_MAX + 2 || dots > TOML_DEPTH_MAX {
            return Some(token.span().start()..token.span().end());
        }
    }
    None
}
