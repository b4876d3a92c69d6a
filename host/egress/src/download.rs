//! Downloads: a body that goes to the host's spool, and goes on where it broke off (RFC 9110 sections 13.1.5 and 14).
//!
//! A safe request whose body broke is sent again: with `Range` and `If-Range` where the answer had a strong `ETag` and
//! no coding, and what comes back has to be the same representation from the same byte on; otherwise from the start.
//! Each is a request through the whole pipeline. One that gets a good part further than any before it begins the count of
//! attempts anew, so that a long body may break more often than a short one.
use crate::{
    Call, Error, Head, Request,
    limits::{ATTEMPTS_MAX, DOWNLOAD_PROGRESS_BYTES_MIN},
    pieces::{Body, Open},
    request::Wanted,
    retry::backoff,
    service::{Again, Failure},
};
use bytes::Bytes;

/// Where the body goes.
#[async_trait::async_trait]
pub trait Keep: Send {
    /// Appends.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;
    /// Forgets all that was written.
    async fn restart(&mut self) -> Result<(), Error>;
}

/// What a part has to fit to.
struct Representation {
    etag: String,
    /// All of its bytes, where that was told.
    total: Option<u64>,
}

/// How one request's body ended.
enum Ended {
    Whole,
    Broken(Failure),
}

impl Call {
    /// The whole pipeline, with the body of the last answer in `keep`.
    pub async fn download(&self, request: Request, keep: &mut dyn Keep) -> Result<Head, Error> {
        self.state.write_rows().await;
        let timeout = self.state.connection.settings.timeout;
        let deadline = self.state.now().saturating_add(request.timeout.unwrap_or(timeout).min(timeout));
        let mut download = Download { request, kept: 0, head: None, same: None };
        let (mut number, mut furthest) = (1, 0_u64);
        loop {
            let broken = match download.ask(self, keep).await? {
                Ended::Whole => return download.head.ok_or(Error::Malformed("no answer".to_owned())),
                Ended::Broken(failure) => failure,
            };
            // What is read again from the start is no progress.
            if download.kept.saturating_sub(furthest) >= DOWNLOAD_PROGRESS_BYTES_MIN {
                number = 1;
            }
            furthest = furthest.max(download.kept);
            let egress = self.state.egress();
            let wait = backoff(&*egress.random, number);
            let remaining = deadline.saturating_sub(self.state.now());
            if number >= ATTEMPTS_MAX || wait >= remaining {
                return Err(broken.error);
            }
            tokio::select! {
                biased;
                () = self.state.cancelled() => return Err(Error::Cancelled),
                () = egress.clock.sleep(wait) => {}
            }
            download.request.timeout = Some(deadline.saturating_sub(self.state.now()));
            number += 1;
        }
    }
}

struct Download {
    request: Request,
    kept: u64,
    head: Option<Head>,
    /// Of what was kept; none = a part of it would fit to nothing.
    same: Option<Representation>,
}

impl Download {
    async fn ask(&mut self, call: &Call, keep: &mut dyn Keep) -> Result<Ended, Error> {
        let mut request = self.request.clone();
        let from = self.same.as_ref().filter(|_| self.kept > 0).map(|_| self.kept);
        if let (Some(from), Some(same)) = (from, &self.same) {
            request.headers.push(("range".to_owned(), format!("bytes={from}-").into_bytes()));
            request.headers.push(("if-range".to_owned(), same.etag.clone().into_bytes()));
        }
        // A part is smaller than the whole by what is here.
        if let Some(most) = &mut request.response_bytes_max {
            *most = most.saturating_sub(from.unwrap_or(0));
        }
        let open = Open::new(&call.state)?;
        let outcome = call.ask(request, None, Wanted::Parts).await;
        call.tell(matches!(outcome, Err(Error::Withheld)));
        let response = outcome?;
        let safe = response.safe;
        let (head, mut body) = response.opened(open);
        if from.is_some() && head.status == 206 {
            if let Some(same) = &mut self.same {
                same.total = Some(same.fits(&head, self.kept)?);
            }
        } else if from.is_some() && head.status == 416 {
            // What was there is gone; the next one begins again.
            self.forget(keep).await?;
            return Ok(Ended::Broken(Failure::sent(Error::Malformed("the body can't go on".to_owned()))));
        } else {
            self.forget(keep).await?;
            self.same = Representation::of(&self.request, &head);
            self.head = Some(head);
        }
        self.take(&mut body, keep, safe, call).await
    }

    async fn forget(&mut self, keep: &mut dyn Keep) -> Result<(), Error> {
        if self.kept > 0 {
            keep.restart().await?;
        }
        (self.kept, self.same) = (0, None);
        Ok(())
    }

    async fn take(
        &mut self,
        body: &mut Body,
        keep: &mut dyn Keep,
        safe: bool,
        call: &Call,
    ) -> Result<Ended, Error> {
        let most = call.state.connection.settings.streamed_bytes_max;
        loop {
            match body.advance().await {
                Ok(Some(piece)) => {
                    let bytes = piece.len() as u64;
                    if self.kept.saturating_add(bytes) > most {
                        return Err(Error::TooLarge(most));
                    }
                    keep.write(piece).await?;
                    self.kept += bytes;
                }
                Ok(None) => break,
                Err(failure) if safe && failure.again == Again::Passing => {
                    return Ok(Ended::Broken(failure));
                }
                Err(failure) => return Err(failure.error),
            }
        }
        let total = self.same.as_ref().and_then(|same| same.total);
        if total.is_some_and(|total| total != self.kept) {
            return Err(Error::Malformed("the body is not as long as was told".to_owned()));
        }
        Ok(Ended::Whole)
    }
}

impl Representation {
    /// Of an answer to the guest's own request: one that asks for a part or has conditions is not continued.
    fn of(request: &Request, head: &Head) -> Option<Self> {
        let own = |name: &String| {
            let name = name.to_ascii_lowercase();
            name == "range" || name.starts_with("if-")
        };
        let asks_more = request.headers.iter().any(|(name, _)| own(name));
        let coded = header(head, "content-encoding").is_some_and(|coding| coding != "identity");
        if request.method != "GET" || head.status != 200 || asks_more || coded {
            return None;
        }
        let etag = only(head, "etag").filter(|etag| is_strong(etag))?.to_owned();
        let total = header(head, "content-length").and_then(|length| length.parse().ok());
        Some(Self { etag, total })
    }

    /// The part begins where the rest ended and goes to the end of the same whole: how large that is.
    fn fits(&self, head: &Head, from: u64) -> Result<u64, Error> {
        let wrong = |what: &str| Err(Error::Malformed(format!("the part does not fit: {what}")));
        // Parts without a validator are never put together (RFC 9110 section 15.3.7.3), and a server that has one sends it.
        if only(head, "etag") != Some(&self.etag) {
            return wrong("not the one `etag` of the rest");
        }
        if header(head, "content-encoding").is_some_and(|coding| coding != "identity") {
            return wrong("it is coded");
        }
        let Some((first, last, told)) = only(head, "content-range").and_then(content_range) else {
            return wrong("not one `content-range` that can be read");
        };
        if first != from || last < first {
            return wrong("it begins elsewhere");
        }
        let total = match (told, self.total) {
            (Some(told), Some(known)) if told != known => return wrong("another size"),
            (Some(total), _) | (None, Some(total)) => total,
            // A part may be shorter than what was asked for: nobody could tell a cut body from a whole one.
            (None, None) => return wrong("nobody says how large the whole is"),
        };
        if last + 1 != total { wrong("it ends before the end") } else { Ok(total) }
    }
}

fn header<'h>(head: &'h Head, name: &str) -> Option<&'h str> {
    let (_, value) = head.headers.iter().find(|(known, _)| known == name)?;
    std::str::from_utf8(value).ok().map(str::trim)
}

/// None where there is more than one.
fn only<'h>(head: &'h Head, name: &str) -> Option<&'h str> {
    let mut named = head.headers.iter().filter(|(known, _)| known == name);
    let (Some(_), None) = (named.next(), named.next()) else { return None };
    header(head, name)
}

/// RFC 9110 section 8.8.3; a weak one begins with `W/`.
fn is_strong(etag: &str) -> bool {
    etag.len() >= 2 && etag.starts_with('"') && etag.ends_with('"')
}

/// `bytes 0-9/10`, `bytes 0-9/*`.
fn content_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    let last: u64 = last.parse().ok().filter(|last| *last < u64::MAX)?;
    Some((first.parse().ok()?, last, total))
}

#[cfg(test)]
mod tests;
