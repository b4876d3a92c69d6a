//! Paging, one page a call. [`Paging`] says how a vendor's list goes on: by cursor, by the last record, by next URL, by
//! `Link`, by page number, by offset. All of them give a token, and [`Read`] keeps it with everything else that a read has to
//! remember between two pages.
//!
//! ```no_run
//! # use portcullis_sdk::{Page, ReadRequest, Result, http, paging::{Paging, Read}};
//! fn read(request: &ReadRequest) -> Result<Page> {
//!     let paging = Paging::Cursor { parameter: "after".into(), at: "/paging/next".into() };
//!     let read = Read::<String>::of(request)?;
//!     let asked = paging.ask(http::get("https://api.example.com/v1/things"), read.token());
//!     let url = asked.url();
//!     let answer = asked.send()?.error_for_status()?;
//!     let mut page = Page::new();
//!     page.push_records(answer.text()?, "/data")?;
//!     let token = paging.next(&url, read.token(), &answer, &page)?;
//!     read.finish(page, token)
//! }
//! ```

mod link;
mod reference;
mod scheme;

pub use scheme::Paging;

use crate::{Page, Position, ReadRequest, Result, http::Response};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A read of one stream. `C` is what the stream is ordered by: a second, a time as text, a number.
///
/// It lives in the page's `next` as `{"since": …, "token": …, "high": …}`: where the read began, where it stands (a cursor,
/// an id or a next URL), and the highest value that it saw. A new read begins at the checkpoint, an old one at its token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Read<C> {
    since: Option<C>,
    token: Option<String>,
    high: Option<C>,
}

impl<C: Serialize + DeserializeOwned + PartialOrd + Clone> Read<C> {
    /// The read that `request` begins or goes on with. A position that can't be read is `PositionExpired`.
    pub fn of(request: &ReadRequest) -> Result<Self> {
        match &request.position {
            Position::Start => Ok(Self { since: None, token: None, high: None }),
            Position::Checkpoint(value) => Ok(Self { since: Some(value.parse()?), token: None, high: None }),
            Position::Next(value) => value.parse(),
        }
    }

    /// The checkpoint that this read began from; none = it reads everything.
    pub fn since(&self) -> Option<&C> {
        self.since.as_ref()
    }

    /// Where this read stands; none = this is its first page.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The highest value seen so far.
    pub fn high(&self) -> Option<&C> {
        self.high.as_ref()
    }

    /// Notes a value that a record really had.
    pub fn see(&mut self, value: C) {
        if self.high.as_ref().is_none_or(|high| value > *high) {
            self.high = Some(value);
        }
    }

    /// Ends a page of a list in any order. With a token the read goes on there and has no checkpoint yet: what is unread
    /// may lie below the highest value. Without one it is complete, and its checkpoint is the highest value, or where it
    /// began if it saw none.
    pub fn finish(self, mut page: Page, token: Option<String>) -> Result<Page> {
        if let Some(token) = token {
            page.next(&Self { token: Some(token), ..self })?;
        } else {
            self.checkpoint(&mut page)?;
        }
        Ok(page)
    }

    /// Ends a page of a list that comes oldest first: every page has a checkpoint. Records may share the highest value
    /// across two pages, so ask the vendor for what is equal to the checkpoint, too.
    pub fn finish_ascending(self, mut page: Page, token: Option<String>) -> Result<Page> {
        self.checkpoint(&mut page)?;
        if let Some(token) = token {
            page.next(&Self { token: Some(token), ..self })?;
        }
        Ok(page)
    }

    fn checkpoint(&self, page: &mut Page) -> Result<()> {
        // A vendor may answer with less than was asked for: a checkpoint never goes back.
        let highest = match (&self.since, &self.high) {
            (Some(since), Some(high)) if since > high => Some(since),
            (since, high) => high.as_ref().or(since.as_ref()),
        };
        if let Some(value) = highest {
            page.checkpoint(value)?;
        }
        Ok(())
    }
}

/// The target of `Link: <…>; rel="next"` (RFC 8288), as the vendor wrote it; see [`absolute`].
pub fn next_link(response: &Response) -> Option<String> {
    response
        .headers()
        .filter(|(name, _)| name.eq_ignore_ascii_case("link"))
        .filter_map(|(_, value)| str::from_utf8(value).ok())
        .find_map(link::next_of)
        .map(str::to_owned)
}

/// A URL that a vendor wrote, maybe relative (RFC 3986, section 5.2), seen from the URL that was asked.
///
/// ```
/// # use portcullis_sdk::paging::absolute;
/// assert_eq!(absolute("https://a.example/v1/things?page=1", "?page=2"), "https://a.example/v1/things?page=2");
/// ```
pub fn absolute(asked: &str, written: &str) -> String {
    reference::resolve(asked, written)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{ErrorKind, json::Json};

    fn read(position: Position) -> Result<Read<i64>> {
        Read::of(&ReadRequest { stream_name: "s".into(), position, max_records: None })
    }

    #[test]
    fn a_read_remembers_where_it_began_and_what_it_saw() {
        let mut first = read(Position::Checkpoint(Json::new("5"))).unwrap();
        assert_eq!((first.since(), first.token()), (Some(&5), None));
        first.see(9);
        first.see(7);
        let page = first.finish(Page::new(), Some("t1".into())).unwrap();
        assert_eq!(page.checkpoint_position(), None);
        let second = read(Position::Next(page.next_position().unwrap().clone())).unwrap();
        assert_eq!((second.since(), second.token(), second.high()), (Some(&5), Some("t1"), Some(&9)));
        let page = second.finish(Page::new(), None).unwrap();
        assert_eq!((page.next_position(), page.checkpoint_position()), (None, Some(&Json::new("9"))));
    }

    #[test]
    fn a_checkpoint_never_goes_back_and_is_never_made_up() {
        let page = read(Position::Start).unwrap().finish(Page::new(), None).unwrap();
        assert_eq!(page.checkpoint_position(), None);
        let mut again = read(Position::Checkpoint(Json::new("5"))).unwrap();
        again.see(3);
        let page = again.finish_ascending(Page::new(), Some("t".into())).unwrap();
        assert_eq!(page.checkpoint_position(), Some(&Json::new("5")));
        assert!(page.next_position().is_some());
        let fault = read(Position::Next(Json::new("\"older version\""))).unwrap_err();
        assert_eq!(fault.kind(), ErrorKind::PositionExpired);
    }
}
