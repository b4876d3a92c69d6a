//! Request paths and path patterns. Compared byte by byte as they go over the wire: nothing is normalised (but where a boundary
//! denies, which asks how a server may read it), and what
//! some server might normalise (dot segments, `\\`, `;`, empty segments, controls, hidden slashes, in any number of
//! percent-encodings; RFC 3986 sections 3.3 and 5.2.4) is refused.

use crate::limits::DECODE_LEVELS_MAX;
use std::fmt;

/// A path without anything that two servers could read differently.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestPath<'a> {
    pub(crate) segments: Vec<Segment<'a>>,
    /// Ends in `/`. The path `/` has no segments and ends in it.
    pub(crate) trailing_slash: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    pub(crate) text: &'a str,
    /// Holds `%2F`.
    pub(crate) holds_slash: bool,
}

impl<'a> RequestPath<'a> {
    /// Reads the path of a URL.
    pub fn read(path: &'a str) -> Result<Self, PathError> {
        let mut texts: Vec<&str> = path.strip_prefix('/').ok_or(PathError::Relative)?.split('/').collect();
        let trailing_slash = texts.last() == Some(&"");
        if trailing_slash {
            texts.pop();
        }
        let segments = texts
            .into_iter()
            .map(|text| Ok(Segment { text, holds_slash: inspect(text)? }))
            .collect::<Result<_, PathError>>()?;
        Ok(Self { segments, trailing_slash })
    }
}

/// Looks for what is refused, plain and in every level of percent-encoding. Tells whether it holds `%2F`.
fn inspect(segment: &str) -> Result<bool, PathError> {
    if !is_percent_encoding(segment.as_bytes()) {
        return Err(PathError::Percent);
    }
    let mut bytes = segment.as_bytes().to_vec();
    let mut slashes = 0;
    for level in 0..=DECODE_LEVELS_MAX {
        inspect_level(&bytes)?;
        let found = bytes.iter().filter(|b| **b == b'/').count();
        // `%2F` is a slash after one decoding, and a matter of the rule. `%252F` is one only for a server that
        // decodes twice: no rule can mean it.
        if level > 1 && found != slashes {
            return Err(PathError::NestedSlash);
        }
        slashes = found;
        let decoded: Vec<u8> = percent_encoding::percent_decode(&bytes).collect();
        if decoded == bytes {
            return Ok(slashes > 0);
        }
        bytes = decoded;
    }
    Err(PathError::Nested)
}

fn inspect_level(bytes: &[u8]) -> Result<(), PathError> {
    // Also catches overlong forms such as `%c0%af`, which old decoders read as `/`.
    let text = std::str::from_utf8(bytes).map_err(|_| PathError::NotUtf8)?;
    if text.contains('\\') {
        return Err(PathError::Backslash);
    }
    if text.contains(';') {
        return Err(PathError::Semicolon);
    }
    if text.contains(char::is_control) {
        return Err(PathError::Control);
    }
    for piece in text.split('/') {
        if piece.is_empty() {
            return Err(PathError::EmptySegment);
        }
        if matches!(piece.trim_matches(' '), "." | "..") {
            return Err(PathError::DotSegment);
        }
    }
    Ok(())
}

fn is_percent_encoding(bytes: &[u8]) -> bool {
    let is_hex = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().all(|(index, byte)| *byte != b'%' || (is_hex(index + 1) && is_hex(index + 2)))
}

/// What no path may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No `/` at the start.
    #[error("it does not start with `/`")]
    Relative,
    /// `//`.
    #[error("it holds an empty segment, plain or encoded")]
    EmptySegment,
    /// `.` or `..`.
    #[error("it holds a dot segment, plain or encoded")]
    DotSegment,
    /// Some servers read `/`.
    #[error("it holds a backslash, plain or encoded")]
    Backslash,
    /// Some servers cut the segment there.
    #[error("it holds `;`, plain or encoded")]
    Semicolon,
    /// Below U+0020, and U+007F to U+009F.
    #[error("it holds a control character, plain or encoded")]
    Control,
    /// `%zz`, `%u002e`.
    #[error("it holds a `%` without two hexadecimal digits")]
    Percent,
    /// Overlong forms among them.
    #[error("it encodes bytes that are not UTF-8")]
    NotUtf8,
    /// `%252F`.
    #[error("it holds a slash that was encoded more than once")]
    NestedSlash,
    /// Too many levels.
    #[error("it was percent-encoded more than {DECODE_LEVELS_MAX} times over")]
    Nested,
}

/// The path part of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PathPattern {
    segments: Vec<SegmentPattern>,
    tail: Tail,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum SegmentPattern {
    /// These bytes.
    Literal(String),
    /// `*`: any segment without `%2F`.
    One,
    /// `*+`: any segment, also with `%2F`.
    OneWithSlashes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tail {
    /// Ends with the last segment.
    End,
    /// Ends in `/`.
    Slash,
    /// `**`: zero or more segments as `*` takes them, with or without a slash at the end.
    Any,
}

/// Why the path of a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `https://host`.
    #[error("the path is missing; write `/` for the root alone, or `/**` for every path")]
    Missing,
    /// `/a/**/b`.
    #[error("`**` may stand only at the end")]
    OpenMiddle,
    /// `a*`.
    #[error("in `{0}`, `*` does not stand for a whole segment")]
    PartialWildcard(String),
    /// `{id}`.
    #[error("`{0}` is no placeholder: `*` stands for any one whole segment")]
    Placeholder(String),
    /// No request with such a path is ever let through.
    #[error("`{segment}` can match nothing: {why}")]
    Nothing {
        /// The segment.
        segment: String,
        /// What is wrong with it.
        why: PathError,
    },
    /// A literal never matches it.
    #[error("`{0}` can match nothing: `%2F` is let through only where the rule has `*+`")]
    Slash(String),
    /// A request never holds these bytes as they stand.
    #[error("`{written}` can match nothing: a URL holds it as `{wire}`")]
    Wire {
        /// As written.
        written: String,
        /// As it goes out.
        wire: String,
    },
}

impl PathPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let mut texts: Vec<&str> = text.strip_prefix('/').ok_or(PatternError::Missing)?.split('/').collect();
        let tail = match texts.last() {
            Some(&"") => Tail::Slash,
            Some(&"**") => Tail::Any,
            _ => Tail::End,
        };
        if tail != Tail::End {
            texts.pop();
        }
        let segments = texts.into_iter().map(SegmentPattern::parse).collect::<Result<_, _>>()?;
        Ok(Self { segments, tail })
    }

    /// The narrowest pattern for this path, with a wildcard where no literal can stand.
    pub(crate) fn of(path: &RequestPath<'_>) -> Self {
        let segments = path
            .segments
            .iter()
            .map(|segment| match SegmentPattern::parse(segment.text) {
                Ok(literal @ SegmentPattern::Literal(_)) => literal,
                _ if segment.holds_slash => SegmentPattern::OneWithSlashes,
                _ => SegmentPattern::One,
            })
            .collect();
        Self { segments, tail: if path.trailing_slash { Tail::Slash } else { Tail::End } }
    }

    pub(crate) fn matches(&self, path: &RequestPath<'_>) -> bool {
        let Some((first, rest)) = path.segments.split_at_checked(self.segments.len()) else { return false };
        let tail = match self.tail {
            Tail::End => rest.is_empty() && !path.trailing_slash,
            Tail::Slash => rest.is_empty() && path.trailing_slash,
            Tail::Any => rest.iter().all(|segment| !segment.holds_slash),
        };
        tail && self.segments.iter().zip(first).all(|(pattern, segment)| pattern.matches(*segment))
    }

    /// Whether some path matches both. Exact: a pattern is a row of segment sets that nest or are disjoint, so two
    /// rows meet where each pair does.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let lengths = match (self.tail, other.tail) {
            (Tail::Any, Tail::Any) => true,
            (Tail::Any, _) => other.segments.len() >= self.segments.len(),
            (_, Tail::Any) => self.segments.len() >= other.segments.len(),
            (a, b) => a == b && self.segments.len() == other.segments.len(),
        };
        // What lies beyond the shorter row meets `**`: each segment pattern lets a segment without `%2F` pass.
        lengths && self.segments.iter().zip(&other.segments).all(|(a, b)| a.overlaps(b))
    }

    /// Whether every path that `inner` matches matches this. Exact, for the same reason.
    pub(crate) fn covers(&self, inner: &Self) -> bool {
        let Some((first, rest)) = inner.segments.split_at_checked(self.segments.len()) else { return false };
        let tail = match self.tail {
            Tail::Any => rest.iter().all(|pattern| SegmentPattern::One.covers(pattern)),
            fixed => inner.tail == fixed && rest.is_empty(),
        };
        tail && self.segments.iter().zip(first).all(|(outer, inner)| outer.covers(inner))
    }

    /// How many segments at the start match, and what is in the way, for people; `None` where the path matches.
    pub(crate) fn miss(&self, path: &RequestPath<'_>) -> (usize, Option<String>) {
        if self.matches(path) {
            return (path.segments.len(), None);
        }
        let pairs = self.segments.iter().zip(&path.segments);
        let good = pairs.clone().take_while(|(pattern, segment)| pattern.matches(**segment)).count();
        let words = if let Some((pattern, segment)) = pairs.clone().nth(good) {
            let hint = if segment.holds_slash { " (`%2F` passes only where the rule has `*+`)" } else { "" };
            format!(
                "segment {} is `{pattern}` in the rule, `{}` in the request{hint}",
                good + 1,
                segment.text
            )
        } else if path.segments.len() < self.segments.len() {
            format!("the request ends before segment {} of the rule, `{}`", good + 1, self.segments[good])
        } else if self.tail == Tail::Any {
            "a segment below `**` holds `%2F`".to_owned()
        } else if path.segments.len() > self.segments.len() {
            format!(
                "the rule ends before segment {} of the request, `{}`",
                good + 1,
                path.segments[good].text
            )
        } else if path.trailing_slash {
            "the request ends in `/`, the rule does not".to_owned()
        } else {
            "the rule ends in `/`, the request does not".to_owned()
        };
        (good, Some(words))
    }

    /// Whether it is literal segments and nothing else.
    pub(crate) fn is_literal(&self) -> bool {
        let literal = |segment: &SegmentPattern| matches!(segment, SegmentPattern::Literal(_));
        self.tail == Tail::End && self.segments.iter().all(literal)
    }

    /// This pattern after the segments of another one.
    pub(crate) fn below(&self, prefix: &Self) -> Self {
        let segments = prefix.segments.iter().chain(&self.segments).cloned().collect();
        Self { segments, tail: self.tail }
    }

    /// Whether it matches every path that has no `%2F`.
    pub(crate) fn is_everything(&self) -> bool {
        self.segments.is_empty() && self.tail == Tail::Any
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            write!(f, "/{segment}")?;
        }
        f.write_str(match self.tail {
            Tail::End => "",
            Tail::Slash => "/",
            Tail::Any => "/**",
        })
    }
}

impl SegmentPattern {
    fn parse(text: &str) -> Result<Self, PatternError> {
        match text {
            "*" => return Ok(Self::One),
            "*+" => return Ok(Self::OneWithSlashes),
            "**" => return Err(PatternError::OpenMiddle),
            _ if text.contains('*') => return Err(PatternError::PartialWildcard(text.to_owned())),
            _ if text.contains('{') && text.contains('}') => {
                return Err(PatternError::Placeholder(text.to_owned()));
            }
            _ => {}
        }
        let wire = wire(text);
        match inspect(text) {
            Err(why) => Err(PatternError::Nothing { segment: text.to_owned(), why }),
            Ok(true) => Err(PatternError::Slash(text.to_owned())),
            Ok(false) if wire != text => Err(PatternError::Wire { written: text.to_owned(), wire }),
            Ok(false) => Ok(Self::Literal(wire)),
        }
    }

    fn matches(&self, segment: Segment<'_>) -> bool {
        match self {
            Self::Literal(text) => text == segment.text,
            Self::One => !segment.holds_slash,
            Self::OneWithSlashes => true,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(a), Self::Literal(b)) => a == b,
            // A literal never holds `%2F`, so that it meets both wildcards.
            _ => true,
        }
    }

    fn covers(&self, inner: &Self) -> bool {
        match (self, inner) {
            (Self::OneWithSlashes, _) | (Self::One, Self::One | Self::Literal(_)) => true,
            (Self::Literal(a), Self::Literal(b)) => a == b,
            (Self::One, Self::OneWithSlashes) | (Self::Literal(_), _) => false,
        }
    }
}

impl fmt::Display for SegmentPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Literal(text) => text,
            Self::One => "*",
            Self::OneWithSlashes => "*+",
        })
    }
}

/// A path as the most generous server may read it: percent-encodings undone, `%2F` as a slash, letters of either case as one,
/// a slash at the end as none. What a boundary denies is denied in this reading.
pub(crate) struct Reading(Vec<Piece>);

#[derive(PartialEq)]
enum Piece {
    Is(String),
    One,
    /// None or more.
    Any,
}

impl Reading {
    pub(crate) fn of_request(path: &RequestPath<'_>) -> Self {
        Self(path.segments.iter().flat_map(|segment| read(segment.text)).collect())
    }

    pub(crate) fn of_pattern(pattern: &PathPattern) -> Self {
        let mut pieces = Vec::with_capacity(pattern.segments.len() + 1);
        for segment in &pattern.segments {
            match segment {
                SegmentPattern::Literal(text) => pieces.extend(read(text)),
                SegmentPattern::One => pieces.push(Piece::One),
                SegmentPattern::OneWithSlashes => pieces.extend([Piece::One, Piece::Any]),
            }
        }
        if pattern.tail == Tail::Any {
            pieces.push(Piece::Any);
        }
        Self(pieces)
    }

    /// Whether some path reads as both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.0, &other.0);
        // Whether what is left of ours meets what is left of theirs, from the ends on.
        let mut below: Vec<bool> = Vec::new();
        for at in (0..=ours.len()).rev() {
            let mut row = vec![false; theirs.len() + 1];
            for other in (0..=theirs.len()).rev() {
                row[other] = match (ours.get(at), theirs.get(other)) {
                    (None, None) => true,
                    (Some(Piece::Any), _) => below[other] || (other < theirs.len() && row[other + 1]),
                    (_, Some(Piece::Any)) => row[other + 1] || (at < ours.len() && below[other]),
                    (Some(Piece::Is(a)), Some(Piece::Is(b))) => a == b && below[other + 1],
                    (Some(_), Some(_)) => below[other + 1],
                    (None, _) | (_, None) => false,
                };
            }
            below = row;
        }
        below[0]
    }
}

/// Undone as often as `inspect` lets it be written.
fn read(segment: &str) -> Vec<Piece> {
    let mut bytes = segment.as_bytes().to_vec();
    for _ in 0..=DECODE_LEVELS_MAX {
        bytes = percent_encoding::percent_decode(&bytes).collect();
    }
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    text.split('/').map(|piece| Piece::Is(piece.to_owned())).collect()
}

/// The segment as `url` would send it.
fn wire(segment: &str) -> String {
    // `?`, `#` and what ends or splits a segment never get here: the caller split at them or `inspect` refused them.
    #[expect(clippy::disallowed_methods, reason = "how `url` writes a segment, asked of `url` itself")]
    let mut url = match ::url::Url::parse("https://a.test/") {
        Ok(url) => url,
        Err(_) => return String::new(),
    };
    url.set_path(segment);
    url.path().strip_prefix('/').unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
