//! Walks the sections at the top of a component (Component Model binary format) without entering what is nested in them, so
//! the work is bounded by their number, and a section inside a nested module is never mistaken for the component's own.
use crate::{
    EmbeddedError,
    limits::{COMPONENT_BYTES_MAX, SECTIONS_MAX},
};
use std::ops::Range;
use wasmparser::{BinaryReader, BinaryReaderError};

pub(crate) const CUSTOM: u8 = 0;
pub(crate) const IMPORT: u8 = 10;
pub(crate) const EXPORT: u8 = 11;
const ID_MAX: u8 = 11;

const MAGIC: &[u8] = b"\0asm";
const CORE: [u8; 4] = [1, 0, 0, 0];
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// One section.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) id: u8,
    /// With its id and size.
    pub(crate) whole: Range<usize>,
    /// Without them.
    pub(crate) body: Range<usize>,
}

/// Checks the header; then yields each section.
pub(crate) fn sections(
    bytes: &[u8],
) -> Result<impl Iterator<Item = Result<Section, EmbeddedError>>, EmbeddedError> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(EmbeddedError::TooLarge);
    }
    let Some(version) = bytes.strip_prefix(MAGIC) else {
        return Err(if MAGIC.starts_with(bytes) {
            EmbeddedError::Truncated
        } else {
            EmbeddedError::NotAComponent
        });
    };
    let Some(version) = version.first_chunk::<4>() else { return Err(EmbeddedError::Truncated) };
    match *version {
        COMPONENT => {}
        CORE => return Err(EmbeddedError::CoreModule),
        [a, b, c, d] => {
            return Err(EmbeddedError::OtherFormat {
                version: u16::from_le_bytes([a, b]),
                layer: u16::from_le_bytes([c, d]),
            });
        }
    }
    let mut at = MAGIC.len() + version.len();
    let mut count = 0usize;
    let mut failed = false;
    Ok(std::iter::from_fn(move || {
        if failed || at == bytes.len() {
            return None;
        }
        count += 1;
        let section =
            if count > SECTIONS_MAX { Err(EmbeddedError::TooManySections) } else { section(bytes, at) };
        match &section {
            Ok(section) => at = section.whole.end,
            Err(_) => failed = true,
        }
        Some(section)
    }))
}

fn section(bytes: &[u8], at: usize) -> Result<Section, EmbeddedError> {
    let mut reader = BinaryReader::new(bytes.get(at..).unwrap_or_default(), at);
    let id = reader.read_u8().map_err(malformed)?;
    if id > ID_MAX {
        return Err(EmbeddedError::Malformed { offset: at, problem: format!("unknown section {id}") });
    }
    let size = reader.read_var_u32().map_err(malformed)? as usize;
    let start = reader.original_position();
    let end = start.checked_add(size).filter(|end| *end <= bytes.len()).ok_or(EmbeddedError::Truncated)?;
    Ok(Section { id, whole: at..end, body: start..end })
}

/// A read past the end is a truncated file; anything else is named.
pub(crate) fn malformed(error: BinaryReaderError) -> EmbeddedError {
    if error.message().starts_with("unexpected end") {
        return EmbeddedError::Truncated;
    }
    EmbeddedError::Malformed { offset: error.offset(), problem: crate::diagnose::shown(error.message()) }
}

impl Section {
    pub(crate) fn reader<'a>(&self, bytes: &'a [u8]) -> BinaryReader<'a> {
        BinaryReader::new(bytes.get(self.body.clone()).unwrap_or_default(), self.body.start)
    }

    /// The name of a custom section.
    pub(crate) fn custom_name<'a>(&self, bytes: &'a [u8]) -> Result<Option<&'a str>, EmbeddedError> {
        Ok(self.custom(bytes)?.map(|(name, _)| name))
    }

    /// Name and data of a custom section.
    pub(crate) fn custom<'a>(&self, bytes: &'a [u8]) -> Result<Option<(&'a str, &'a [u8])>, EmbeddedError> {
        if self.id != CUSTOM {
            return Ok(None);
        }
        let mut reader = self.reader(bytes);
        let name = reader.read_string().map_err(malformed)?;
        Ok(Some((name, bytes.get(reader.original_position()..self.body.end).unwrap_or_default())))
    }
}
