//! What a failed exchange means: the transport's error chain, read by type and never by text, becomes a failure
//! with one text for the guest (no addresses, no names of the inner network) and one for the operator.
use super::resolve::{GuardDenied, LookupError};
use crate::{
    Error,
    limits::RESPONSE_HEADER_BYTES_MAX,
    service::{Again, Failure},
};
use std::error::Error as StdError;

/// A refusal of the guard, with the line that would allow the address where one can.
pub(crate) fn denied(denied: &GuardDenied, connection: &str) -> Failure {
    let remedy = denied.denied.listable.then(|| {
        let address = denied.denied.address;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        format!("[connections.{connection}.network]\naddresses = [\"{address}/{bits}\"]")
    });
    Failure::denied(denied.to_string(), remedy)
}

/// Reads the error of an attempt or of its body.
pub(crate) fn classify(error: reqwest::Error, connection: &str) -> Failure {
    // The URL may hold a credential.
    let error = error.without_url();
    let causes = causes(&error);
    let detail = causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let connecting = error.is_connect();
    for cause in &causes {
        if let Some(guard) = cause.downcast_ref::<GuardDenied>() {
            return denied(guard, connection);
        }
        if let Some(lookup) = cause.downcast_ref::<LookupError>() {
            return of_lookup(lookup).detail(detail);
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return of_tls(tls, connecting).detail(detail);
        }
        if let Some(h2) = cause.downcast_ref::<h2::Error>()
            && h2.is_library()
        {
            return Failure::sent(Error::Malformed(
                "the answer breaks HTTP/2 or its header limits".to_owned(),
            ))
            .detail(detail);
        }
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
            if hyper.is_parse_too_large() {
                return Failure::sent(Error::TooLarge(RESPONSE_HEADER_BYTES_MAX as u64)).detail(detail);
            }
            if hyper.is_parse() {
                return Failure::sent(Error::Malformed("the answer is not HTTP".to_owned())).detail(detail);
            }
        }
    }
    if connecting {
        return Failure::unsent(Error::Connect("the peer is not reachable".to_owned()))
            .passing()
            .detail(detail);
    }
    if error.is_builder() {
        return Failure::unsent(Error::Malformed("the request can't be sent".to_owned())).detail(detail);
    }
    Failure::sent(Error::Connect("the connection was lost before the whole answer arrived".to_owned()))
        .passing()
        .detail(detail)
}

fn of_lookup(lookup: &LookupError) -> Failure {
    let failure = Failure::unsent(Error::Connect("the name could not be resolved".to_owned()));
    match lookup {
        LookupError::Nonexistent { .. } | LookupError::TooMany { .. } => failure,
        LookupError::Slow { .. } | LookupError::Failed { .. } => failure.passing(),
    }
}

fn of_tls(tls: &rustls::Error, connecting: bool) -> Failure {
    let (text, again) = match tls {
        rustls::Error::InvalidCertificate(_) => ("the peer's certificate was not accepted", Again::Never),
        rustls::Error::PeerIncompatible(_) => ("the peer offers no TLS that is accepted here", Again::Never),
        _ => ("the handshake failed", Again::Passing),
    };
    let error = Error::Tls(text.to_owned());
    Failure { again, unsent: connecting, ..Failure::unsent(error) }
}

/// The chain, with what I/O errors wrap: their own `source` skips the error that they hold.
fn causes<'e>(error: &'e (dyn StdError + 'static)) -> Vec<&'e (dyn StdError + 'static)> {
    const CAUSES_MAX: usize = 32;
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        if causes.len() == CAUSES_MAX {
            break;
        }
        causes.push(cause);
        next = match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(held) => {
                let held: &'e (dyn StdError + 'static) = held;
                Some(held)
            }
            None => cause.source(),
        };
    }
    causes
}
