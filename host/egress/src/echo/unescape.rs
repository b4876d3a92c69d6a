//! A body as its readers will see it: escapes undone, whichever of them an encoder chose to write. Percent (RFC 3986
//! section 2.1, and `%uXXXX`), JSON and its kin (RFC 8259 section 7, `\xXX`, `\UXXXXXXXX`, octal), character references of HTML
//! (with or without their semicolon, the names of ASCII punctuation). One pass takes one layer
//! off; what is no whole escape stays as it is.

use crate::limits;
use memchr::memchr3;

/// The dialects that a reader undoes: who reads JSON does not undo the percent sign before a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Dialects(u8);

impl Dialects {
    const ALL: Self = Self(0b111);

    const fn of(mark: u8) -> u8 {
        match mark {
            b'%' => 0b001,
            b'\\' => 0b010,
            _ => 0b100,
        }
    }

    fn has(self, mark: u8) -> bool {
        self.0 & Self::of(mark) != 0
    }

    /// Those of which an escape may begin in this text, or at its end.
    pub(super) fn begun_in(bytes: &[u8]) -> Self {
        let occurs = |mark: &&u8| memchr::memchr(**mark, bytes).is_some();
        Self(b"%\\&".iter().filter(occurs).map(|mark| Self::of(*mark)).sum())
    }

    /// Those of which a whole escape stands in this text, wherever one begins to read.
    pub(super) fn undone_in(bytes: &[u8]) -> Self {
        let mut found = Self(0);
        for (start, _) in escapes(bytes) {
            found.0 |= Self::of(bytes[start]);
            if found == Self::ALL {
                break;
            }
        }
        found
    }
}

/// Readers, each of whom undoes other dialects: a bit for each set of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Readers(u8);

impl Readers {
    /// Everybody who undoes anything.
    pub(super) const ALL: Self = Self(0b1111_1110);

    /// What a text means to them in which these dialects are in use: those that make a difference, and those readers to whom
    /// it is the same text. To whom none of them means anything is left out.
    pub(super) fn groups(self, in_use: Dialects) -> impl Iterator<Item = (Dialects, Self)> + use<> {
        let in_use = in_use.0;
        (1..=Dialects::ALL.0).rev().filter(move |undone| undone & !in_use == 0).filter_map(move |undone| {
            let same = |set: &u8| self.0 & (1 << set) != 0 && set & in_use == undone;
            let group = (1..=Dialects::ALL.0).filter(same).fold(0, |group, set| group | 1 << set);
            (group != 0).then_some((Dialects(undone), Self(group)))
        })
    }
}

/// Hands over pieces in order: their place in `bytes`, and what they mean. A piece that means itself may be long; an escape is
/// a piece of its own.
pub(super) fn unescape(bytes: &[u8], dialects: Dialects, mut piece: impl FnMut(usize, usize, &[u8])) {
    let (mut from, mut at) = (0, 0);
    while let Some(found) = memchr3(b'%', b'\\', b'&', &bytes[at..]) {
        at += found;
        let mut meaning = [0; 4];
        let escape = if dialects.has(bytes[at]) { escape(&bytes[at..], &mut meaning) } else { None };
        match escape {
            Some((taken, length)) => {
                if from < at {
                    piece(from, at, &bytes[from..at]);
                }
                piece(at, at + taken, &meaning[..length]);
                at += taken;
                from = at;
            }
            None => at += 1,
        }
    }
    if from < bytes.len() {
        piece(from, bytes.len(), &bytes[from..]);
    }
}

/// Where these places of the unescaped text lie in `bytes`: whole escapes. In order, and so is the result.
pub(super) fn locate(bytes: &[u8], dialects: Dialects, places: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut located: Vec<(usize, usize)> = Vec::with_capacity(places.len());
    // Of `places`: how many starts and ends were passed; of the unescaped text: how far it is read.
    let (mut starts, mut ends, mut read) = (0, 0, 0);
    unescape(bytes, dialects, |start, end, meaning| {
        let is_itself = meaning.len() == end - start;
        let until = read + meaning.len();
        while let Some((from, _)) = places.get(starts).filter(|(from, _)| *from < until) {
            located.push((if is_itself { start + (from - read) } else { start }, bytes.len()));
            starts += 1;
        }
        while let Some((_, to)) = places.get(ends).filter(|(_, to)| *to <= until && ends < starts) {
            located[ends].1 = if is_itself { start + (to - read) } else { end };
            ends += 1;
        }
        read = until;
    });
    located
}

/// The longest escape that is undone: a reference with leading zeros.
const ESCAPE_BYTES_MAX: usize = 16;
/// Bytes that may follow the last beginning of an escape and belong to one in some layer: `\\u005cu005cu0041`.
const NESTED_BYTES_MAX: usize = ESCAPE_BYTES_MAX * limits::ECHO_LAYERS_MAX;

/// Whole escapes of any dialect, in order: where one begins and ends, also within another.
fn escapes(bytes: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    memchr::memchr3_iter(b'%', b'\\', b'&', bytes).filter_map(|at| {
        let (taken, _) = escape(&bytes[at..], &mut [0; 4])?;
        Some((at, at + taken))
    })
}

/// The parts of a text outside of which no escape has any bearing on what is up to `longest` bytes long behind them, in order
/// and apart. Each reads as it does within the whole: between two escapes of one word, in whatever layer, lie at most that
/// many bytes that mean themselves, and those that become part of a nested one.
pub(super) fn around_escapes(bytes: &[u8], longest: usize) -> Vec<(usize, usize)> {
    let reach = longest + 2 * NESTED_BYTES_MAX;
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for (start, end) in escapes(bytes) {
        let (start, end) = (start.saturating_sub(reach), bytes.len().min(end + reach));
        match parts.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => parts.push((start, end)),
        }
    }
    parts
}

/// Up to where every escape is whole: what follows may become one.
pub(super) fn whole_until(bytes: &[u8], dialects: Dialects) -> usize {
    let from = certain_boundary(bytes);
    let mut whole = bytes.len();
    unescape(&bytes[from..], dialects, |start, end, meaning| {
        // A literal may hold the beginning of an escape near its end.
        if meaning.len() == end - start {
            let near = (from + start).max((from + end).saturating_sub(ESCAPE_BYTES_MAX - 1));
            let may_begin = |at: &usize| {
                matches!(bytes[*at], b'%' | b'\\' | b'&')
                    && dialects.has(bytes[*at])
                    && bytes[*at..].iter().all(|byte| is_of_escape(*byte))
            };
            if from + end == bytes.len()
                && let Some(at) = (near..from + end).find(may_begin)
            {
                whole = at;
            }
        } else if from + end == bytes.len() && bytes[from + start] == b'&' && !bytes.ends_with(b";") {
            // Without its semicolon: a digit, or the semicolon itself, may follow.
            whole = from + start;
        }
    });
    whole
}

/// The last place at the end of which, or before, certainly no escape is open in any layer: a byte that occurs in none,
/// or more bytes without the beginning of one than one has.
pub(super) fn certain_boundary(bytes: &[u8]) -> usize {
    let mut plain = 0;
    for at in (0..bytes.len()).rev() {
        let byte = bytes[at];
        if !is_of_escape(byte) {
            return at + 1;
        }
        plain = if matches!(byte, b'%' | b'\\' | b'&') { 0 } else { plain + 1 };
        if plain == NESTED_BYTES_MAX {
            return at + NESTED_BYTES_MAX;
        }
    }
    0
}

pub(super) fn is_of_escape(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'\\' | b'&' | b'#' | b';' | b'"' | b'/' | b'\'')
}

/// How many bytes the escape at the start takes, and how many it means.
fn escape(bytes: &[u8], meaning: &mut [u8; 4]) -> Option<(usize, usize)> {
    match bytes {
        [b'%', b'u' | b'U', digits @ ..] => wide(2, digits, 4, meaning),
        [b'%', high, low, ..] => one(3, digit(*high)? << 4 | digit(*low)?, meaning),
        [b'\\', b'x', high, low, ..] => one(4, digit(*high)? << 4 | digit(*low)?, meaning),
        [b'\\', b'u', ..] => unicode(bytes, meaning),
        [b'\\', b'U', digits @ ..] => wide(2, digits, 8, meaning),
        [b'\\', first @ b'0'..=b'3', second @ b'0'..=b'7', third @ b'0'..=b'7', ..] => {
            one(4, (first - b'0') << 6 | (second - b'0') << 3 | (third - b'0'), meaning)
        }
        [b'\\', letter, ..] => {
            let byte = match letter {
                b'"' | b'\\' | b'/' | b'\'' => *letter,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                _ => return None,
            };
            one(2, byte, meaning)
        }
        [b'&', ..] => reference(bytes, meaning),
        _ => None,
    }
}

fn one(taken: usize, byte: u8, meaning: &mut [u8; 4]) -> Option<(usize, usize)> {
    meaning[0] = byte;
    Some((taken, 1))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn character(taken: usize, character: char, meaning: &mut [u8; 4]) -> Option<(usize, usize)> {
    Some((taken, character.encode_utf8(meaning).len()))
}

/// `\u00e9`, or two of them for one character beyond the first plane.
fn unicode(bytes: &[u8], meaning: &mut [u8; 4]) -> Option<(usize, usize)> {
    let unit = |bytes: &[u8]| {
        let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
        digits.iter().try_fold(0u16, |unit, byte| Some(unit << 4 | u16::from(digit(*byte)?)))
    };
    let first = unit(bytes)?;
    if let Some(single) = char::from_u32(first.into()) {
        return character(6, single, meaning);
    }
    let second = bytes.get(6..).and_then(unit)?;
    let pair = char::decode_utf16([first, second]).next()?.ok()?;
    character(12, pair, meaning)
}

/// So many hexadecimal digits after `before` bytes.
fn wide(before: usize, digits: &[u8], count: usize, meaning: &mut [u8; 4]) -> Option<(usize, usize)> {
    let digits = digits.get(..count)?;
    let value = digits.iter().try_fold(0u32, |value, byte| Some(value << 4 | u32::from(digit(*byte)?)))?;
    character(before + count, char::from_u32(value)?, meaning)
}

/// `&amp;`, `&#43;`, `&#x2F;`, `&#0000043`: HTML reads a number without its semicolon too.
fn reference(bytes: &[u8], meaning: &mut [u8; 4]) -> Option<(usize, usize)> {
    let bytes = bytes.get(..ESCAPE_BYTES_MAX).unwrap_or(bytes);
    let (start, radix) = match bytes {
        [_, b'#', b'x' | b'X', ..] => (3, 16),
        [_, b'#', ..] => (2, 10),
        _ => return named(bytes, meaning),
    };
    let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
    let zeros = bytes[start..].iter().take_while(|byte| **byte == b'0').count();
    let digits = bytes[start + zeros..].iter().take_while(|byte| is_digit(byte)).count();
    let end = start + zeros + digits;
    let found = number(&bytes[start..end], radix)?;
    character(end + usize::from(bytes.get(end) == Some(&b';')), found, meaning)
}

fn named(bytes: &[u8], meaning: &mut [u8; 4]) -> Option<(usize, usize)> {
    let end = bytes.iter().position(|byte| *byte == b';');
    let Some((end, found)) = end.and_then(|end| Some((end, name(&bytes[1..end])?))) else {
        return without_semicolon(bytes, meaning);
    };
    character(end + 1, found, meaning)
}

/// The names that HTML reads without their semicolon too, whatever follows.
fn without_semicolon(bytes: &[u8], meaning: &mut [u8; 4]) -> Option<(usize, usize)> {
    const NAMES: [&[u8]; 8] = [b"amp", b"AMP", b"lt", b"LT", b"gt", b"GT", b"quot", b"QUOT"];
    let found = NAMES.into_iter().find(|name| bytes[1..].starts_with(name))?;
    character(1 + found.len(), name(found)?, meaning)
}

fn name(name: &[u8]) -> Option<char> {
    let found = match name {
        b"amp" | b"AMP" => '&',
        b"lt" | b"LT" => '<',
        b"gt" | b"GT" => '>',
        b"quot" | b"QUOT" => '"',
        b"apos" => '\'',
        b"lowbar" | b"UnderBar" => '_',
        b"plus" => '+',
        b"sol" => '/',
        b"equals" => '=',
        b"hyphen" | b"dash" => '-',
        b"period" => '.',
        b"colon" => ':',
        b"comma" => ',',
        b"semi" => ';',
        b"excl" => '!',
        b"quest" => '?',
        b"num" => '#',
        b"dollar" => '$',
        b"percnt" => '%',
        b"lpar" => '(',
        b"rpar" => ')',
        b"ast" | b"midast" => '*',
        b"commat" => '@',
        b"lsqb" | b"lbrack" => '[',
        b"rsqb" | b"rbrack" => ']',
        b"lcub" | b"lbrace" => '{',
        b"rcub" | b"rbrace" => '}',
        b"bsol" => '\\',
        b"Hat" => '^',
        b"grave" => '`',
        b"verbar" | b"vert" => '|',
        _ => return None,
    };
    Some(found)
}

fn number(digits: &[u8], radix: u32) -> Option<char> {
    let value = digits.iter().try_fold(0u32, |value, byte| {
        value.checked_mul(radix)?.checked_add(char::from(*byte).to_digit(radix)?)
    });
    value.filter(|_| !digits.is_empty()).and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const ALL: Dialects = Dialects::ALL;

    fn plain(text: &[u8]) -> Vec<u8> {
        let mut meant = Vec::new();
        unescape(text, ALL, |_, _, meaning| meant.extend_from_slice(meaning));
        meant
    }

    #[test]
    fn one_layer_comes_off() {
        for (text, meant) in [
            ("", ""),
            ("plain", "plain"),
            ("%41%2b%2B", "A++"),
            (r#"\"\\\/\n\'\x41"#, "\"\\/\n'A"),
            (r"\b\f\r\t", "\u{8}\u{c}\r\t"),
            (r"\u00e9\u0041\uD83D\uDD11", "éA\u{1F511}"),
            ("&amp;&lt;&gt;&quot;&apos;&#39;&#x2F;&#X2f;", "&<>\"''//"),
            ("%2541", "%41"),
            (r"\\u0041", r"\u0041"),
            ("&amp;#43;", "&#43;"),
            ("&#0000000000115;&#115x&#x0000073g&lowbar;&sol;&equals;&plus;", "ssxsg_/=+"),
            ("a&ampb&ltc&amplt;&AMP", "a&b<c&lt;&"),
            (r"\101\U0000006b%u0073%U0073", "Akss"),
            (r"\060\175\303\251", "0}é"),
            // No escapes.
            ("%4", "%4"),
            ("%zz&b=c&", "%zz&b=c&"),
            (r"\u00", r"\u00"),
            (r"\uD83D!", r"\uD83D!"),
            (r"\q\", r"\q\"),
            ("&#;&#x;&#99999999;&#xD800;&nbsp;&lowbar", "&#;&#x;&#99999999;&#xD800;&nbsp;&lowbar"),
            ("%%41", "%A"),
        ] {
            assert_eq!(plain(text.as_bytes()), meant.as_bytes(), "{text}");
        }
    }

    #[test]
    fn the_names_of_ascii_punctuation_are_undone() {
        for (names, meant) in [
            ("&amp;&AMP;&lt;&LT;&gt;&GT;&quot;&QUOT;&apos;&lowbar;&UnderBar;", "&&<<>>\"\"'__"),
            ("&plus;&sol;&equals;&hyphen;&dash;&period;&colon;&comma;&semi;&excl;&quest;", "+/=--.:,;!?"),
            ("&num;&dollar;&percnt;&lpar;&rpar;&ast;&midast;&commat;&bsol;&Hat;&grave;", "#$%()**@\\^`"),
            ("&lsqb;&lbrack;&rsqb;&rbrack;&lcub;&lbrace;&rcub;&rbrace;&verbar;&vert;", "[[]]{{}}||"),
        ] {
            assert_eq!(plain(names.as_bytes()), meant.as_bytes(), "{names}");
        }
    }

    #[test]
    fn readers_to_whom_a_text_is_the_same_are_one() {
        let groups = |text: &str| {
            let groups = Readers::ALL.groups(Dialects::begun_in(text.as_bytes()));
            groups.map(|(undone, group)| (undone.0, group.0.count_ones())).collect::<Vec<_>>()
        };
        assert_eq!(groups("plain"), []);
        assert_eq!(groups("100%"), [(0b001, 4)]);
        assert_eq!(groups(r"100%\"), [(0b011, 2), (0b010, 2), (0b001, 2)]);
        assert_eq!(groups(r"%\&").len(), 7);
        // Behind a layer that some of them undid, only those are asked.
        let begun = |text: &[u8]| Dialects::begun_in(text);
        let (undone, some) = Readers::ALL.groups(begun(br"100%\")).next().unwrap();
        assert_eq!((undone.0, some), (0b011, Readers(1 << 0b011 | 1 << 0b111)));
        assert_eq!(some.groups(begun(b"&")).collect::<Vec<_>>(), [(Dialects(0b100), Readers(1 << 0b111))]);
        assert_eq!(Dialects::undone_in(br"%\&4 100%").0, 0);
        assert_eq!(Dialects::undone_in(br"%\&#4 %2%20").0, 0b101);
    }

    #[test]
    fn far_from_escapes_there_is_nothing_to_undo() {
        let reach = 8 + 2 * NESTED_BYTES_MAX;
        let text = [&b"%".repeat(1_000)[..], b"%41", &b"-".repeat(1_000)].concat();
        assert_eq!(around_escapes(&text, 8), [(1_000 - reach, 1_003 + reach)]);
        assert_eq!(around_escapes(&b"%\\&".repeat(2)[..2], 8), []);
        assert_eq!(around_escapes(b"%41-%41", 8), [(0, 7)]);
        // Two that are far from each other are looked at apart.
        let text = [&b"%41"[..], &b"-".repeat(1_000), b"%41"].concat();
        assert_eq!(around_escapes(&text, 8), [(0, 3 + reach), (1_003 - reach, 1_006)]);
    }

    /// What is at the end may become an escape, of these dialects, as long as one is.
    #[test]
    fn what_may_become_an_escape_is_not_whole() {
        for (text, dialects, whole) in [
            ("", ALL, 0),
            ("abc", ALL, 3),
            ("ab%4", ALL, 2),
            ("ab%4 ", ALL, 5),
            ("ab%4", Dialects(0b110), 4),
            ("%41", ALL, 3),
            ("-%41%4", ALL, 4),
            ("-%41ab\\u00", ALL, 6),
            ("-%41ab-", ALL, 7),
            // Without its semicolon another digit, or the semicolon, may follow.
            ("-a&#65", ALL, 2),
            ("-%41&lt", ALL, 4),
            ("-a&#65;", ALL, 7),
            ("-a&#65;%41", ALL, 10),
            ("-a&#65&#66;", ALL, 11),
            ("&abcdefghijklmn", ALL, 0),
            ("&abcdefghijklmno", ALL, 16),
        ] {
            assert_eq!(whole_until(text.as_bytes(), dialects), whole, "{text}");
        }
    }

    /// The longest escape that is one in the last layer alone: an `&` written with zeros, twice.
    #[test]
    fn nothing_is_certain_within_a_nested_escape() {
        let nested = b"&#x00000000026;#x00000000026;#x00000000041;";
        for end in 1..nested.len() {
            assert_eq!(certain_boundary(&nested[..end]), 0, "{end}");
        }
        let plain = [&nested[..1], &b"a".repeat(NESTED_BYTES_MAX)].concat();
        assert_eq!(certain_boundary(&plain[..NESTED_BYTES_MAX]), 0);
        assert_eq!(certain_boundary(&plain), 1 + NESTED_BYTES_MAX);
        assert_eq!(certain_boundary(b"&-a&"), 2);
    }

    #[test]
    fn a_place_is_of_whole_escapes() {
        for (place, located) in [((0, 1), (0, 3)), ((1, 3), (3, 7)), ((2, 4), (6, 10)), ((3, 5), (7, 11))] {
            assert_eq!(locate(b"%41%42c%64e", ALL, &[place]), [located], "{place:?}");
        }
    }

    proptest::proptest! {
        /// Every piece means what stands in its place, whatever the places are.
        #[test]
        fn places_are_found_again(text in "([a-c%&;#x0-9\\\\u]|%41|\\\\u0041|&#65;|&lt;){1,40}", from in 0usize..40, length in 1usize..9) {
            let (text, meant) = (text.as_bytes(), plain(text.as_bytes()));
            let from = from % meant.len();
            let to = (from + length).min(meant.len());
            let [(start, end)] = locate(text, ALL, &[(from, to)])[..] else { panic!("one place") };
            // Whole escapes: what stands in the place means what was looked for, and of a character that it cuts the rest.
            let found = plain(&text[start..end]);
            let ahead = from - plain(&text[..start]).len();
            proptest::prop_assert!(ahead < 4 && found.len() - ahead - (to - from) < 4);
            proptest::prop_assert_eq!(&found[ahead..][..to - from], &meant[from..to]);
        }
    }
}
