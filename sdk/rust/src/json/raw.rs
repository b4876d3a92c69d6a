//! Values cut out of a text at a JSON pointer (RFC 6901) without a tree of the rest: what lies beside the way is skipped, what
//! lies at its end is a slice of the text.

use crate::{Error, ErrorKind, Result};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// See [`super::at`].
pub(crate) fn at<'a>(text: &'a str, pointer: &str) -> Result<Option<&'a RawValue>> {
    let tokens = tokens(pointer)?;
    walk(text, Seek { tokens: &tokens, end: Whole })
}

/// Hands over each element of the array at `pointer`; each must be an object.
pub(crate) fn each<'a>(text: &'a str, pointer: &str, mut take: impl FnMut(&'a RawValue)) -> Result<()> {
    let tokens = tokens(pointer)?;
    match walk(text, Seek { tokens: &tokens, end: Elements(&mut take) })? {
        Some(()) => Ok(()),
        None => {
            Err(drift(format!("the vendor's answer has nothing at `{pointer}`, where its records should be")))
        }
    }
}

fn drift(why: String) -> Error {
    Error::new(ErrorKind::ContractDrift, why)
}

fn walk<'a, E: End<'a>>(text: &'a str, seek: Seek<'_, E>) -> Result<Option<E::Value>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = seek.deserialize(&mut reader).and_then(|found| reader.end().map(|()| found));
    found.map_err(|error| drift(format!("the vendor's answer is not as expected: {error}")))
}

/// The unescaped steps of a pointer; the empty one has none and is the whole text.
fn tokens(pointer: &str) -> Result<Vec<String>> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let Some(steps) = pointer.strip_prefix('/') else {
        return Err(Error::internal(format!(
            "`{pointer}` is no JSON pointer: it begins with `/` or is empty"
        )));
    };
    Ok(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

/// What happens to the value at the end of the way.
trait End<'de> {
    type Value;

    fn read<D: Deserializer<'de>>(self, value: D) -> std::result::Result<Self::Value, D::Error>;
}

/// It is taken as it is.
struct Whole;

impl<'de> End<'de> for Whole {
    type Value = &'de RawValue;

    fn read<D: Deserializer<'de>>(self, value: D) -> std::result::Result<&'de RawValue, D::Error> {
        serde::Deserialize::deserialize(value)
    }
}

/// Each of its elements is handed over.
struct Elements<'t, F>(&'t mut F);

impl<'de, F: FnMut(&'de RawValue)> End<'de> for Elements<'_, F> {
    type Value = ();

    fn read<D: Deserializer<'de>>(self, value: D) -> std::result::Result<(), D::Error> {
        value.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<(), A::Error> {
        let mut count = 0_usize;
        while let Some(record) = list.next_element::<&RawValue>()? {
            if !record.get().starts_with('{') {
                return Err(serde::de::Error::custom(format_args!("record {count} is no object")));
            }
            (self.0)(record);
            count += 1;
        }
        Ok(())
    }
}

/// One way down.
struct Seek<'t, E> {
    tokens: &'t [String],
    end: E,
}

impl<'de, E: End<'de>> DeserializeSeed<'de> for Seek<'_, E> {
    type Value = Option<E::Value>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> std::result::Result<Self::Value, D::Error> {
        if self.tokens.is_empty() { self.end.read(value).map(Some) } else { value.deserialize_any(self) }
    }
}

impl<'de, E: End<'de>> Visitor<'de> for Seek<'_, E> {
    type Value = Option<E::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let Some((token, tokens)) = self.tokens.split_first() else { return Ok(None) };
        let (mut end, mut found) = (Some(self.end), None);
        while let Some(Key(key)) = map.next_key()? {
            match (key == token.as_str()).then(|| end.take()).flatten() {
                Some(end) => found = map.next_value_seed(Seek { tokens, end })?,
                None if key == token.as_str() => {
                    // Which one is meant nobody can say, and readers differ.
                    return Err(serde::de::Error::custom(format_args!("the key `{token}` stands twice")));
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Self::Value, A::Error> {
        let Some((token, tokens)) = self.tokens.split_first() else { return Ok(None) };
        let is_index =
            token == "0" || !token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit());
        let (index, mut end, mut found) =
            (token.parse::<usize>().ok().filter(|_| is_index), Some(self.end), None);
        for at in 0_usize.. {
            match (Some(at) == index).then(|| end.take()).flatten() {
                Some(end) => match list.next_element_seed(Seek { tokens, end })? {
                    Some(value) => found = value,
                    None => break,
                },
                None => {
                    if list.next_element::<IgnoredAny>()?.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(found)
    }

    // A value that has no inside: the way ends before its end.
    fn visit_unit<R>(self) -> std::result::Result<Self::Value, R> {
        Ok(None)
    }

    fn visit_bool<R>(self, _: bool) -> std::result::Result<Self::Value, R> {
        Ok(None)
    }

    fn visit_i64<R>(self, _: i64) -> std::result::Result<Self::Value, R> {
        Ok(None)
    }

    fn visit_u64<R>(self, _: u64) -> std::result::Result<Self::Value, R> {
        Ok(None)
    }

    fn visit_f64<R>(self, _: f64) -> std::result::Result<Self::Value, R> {
        Ok(None)
    }

    fn visit_str<R>(self, _: &str) -> std::result::Result<Self::Value, R> {
        Ok(None)
    }
}

/// A key, borrowed where it holds no escape.
struct Key<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> std::result::Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<R>(self, key: &'de str) -> std::result::Result<Key<'de>, R> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<R>(self, key: &str) -> std::result::Result<Key<'de>, R> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        value.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests;
