//! Multipart bodies (RFC 7578). The host writes the boundary and the parts' headers, and takes a part's bytes out of a blob
//! where it is one, so that they never enter the connector.

use super::wit;
use crate::blobs::Blob;

/// A body of parts, in order.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Multipart {
    parts: Vec<wit::Part>,
}

impl Multipart {
    /// Without parts yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A field with a text.
    pub fn text(self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.part(Part::bytes(name, text.into()))
    }

    /// A part.
    pub fn part(mut self, part: Part) -> Self {
        self.parts.push(part.0);
        self
    }

    pub(super) fn into_parts(self) -> Vec<wit::Part> {
        self.parts
    }
}

/// One part.
#[derive(Clone, Debug)]
#[must_use]
pub struct Part(wit::Part);

impl Part {
    /// Of bytes.
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(name.into(), wit::Content::Bytes(bytes.into()))
    }

    /// Of a whole blob.
    pub fn blob(name: impl Into<String>, blob: &Blob) -> Self {
        Self::new(name.into(), wit::Content::Blob(blob.id().to_owned()))
    }

    /// Of `size` bytes of a blob, from `offset`.
    pub fn slice(name: impl Into<String>, blob: &Blob, offset: u64, size: u64) -> Self {
        let slice = wit::Slice { blob: blob.id().to_owned(), offset, size };
        Self::new(name.into(), wit::Content::Slice(slice))
    }

    fn new(name: String, content: wit::Content) -> Self {
        Self(wit::Part { name, file_name: None, content_type: None, content })
    }

    /// The file's name that the vendor is told.
    pub fn file_name(mut self, file_name: impl Into<String>) -> Self {
        self.0.file_name = Some(file_name.into());
        self
    }

    /// Its type.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.0.content_type = Some(content_type.into());
        self
    }
}
