//! The `Secret` type: bytes that no sink can print. Comparison takes the same time wherever two values differ.
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Bytes that never reach a log: no `Debug`, no `Display`, no `Serialize`, no `PartialEq`, zeroized on drop.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Copies the bytes; whoever owns the others wipes them.
    pub(crate) fn copy(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }

    /// The bytes: only `egress` (credential, echo scan) may call this, which a test of the tree holds.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The private key that these bytes are in PEM (RFC 7468), for a server of TLS.
    pub fn private_key(&self) -> Option<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(&self.0).ok()
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the bytes are the same; the time taken tells nothing but whether the lengths are.
    pub fn same_bytes(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares() {
        let secret = Secret::new(b"correct horse".to_vec());
        assert!(secret.same_bytes(b"correct horse"));
        assert!(!secret.same_bytes(b"correct hors"));
        assert!(!secret.same_bytes(b"correct horsf"));
        assert_eq!((secret.len(), secret.is_empty()), (13, false));
    }
}
