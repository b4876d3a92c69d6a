//! Diagnostics of the process itself: one escaped JSON record an event, on stderr. Only errors unless asked for more. And what a
//! panic says: it repeats no data.
use crate::output::{self, inert};
use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, Write},
    panic::{self, Location},
};
use tracing::Level;

/// Starts the subscriber. Spans and events never hold a secret: they are types that cannot be printed.
pub fn start(level: Option<Level>) {
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(level.unwrap_or(Level::ERROR))
        .with_writer(|| Inert(io::stderr()))
        .with_current_span(true)
        .finish();
    // A second start in one process (tests of the library) keeps the first subscriber.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// From here on a panic says where it was, and of its words those alone that stand so in the source: formatted ones repeat what was
/// at hand, and that may be a URL with its query, a header, a part of a body.
pub fn quiet_panics() {
    panic::set_hook(Box::new(|info| {
        output::note(&told(info.location(), info.payload()));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            output::note(&backtrace.to_string());
        }
    }));
}

fn told(location: Option<&Location<'_>>, payload: &(dyn Any + Send)) -> String {
    let place = location.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let words = payload.downcast_ref::<&'static str>().copied();
    format!(
        "error: a fault of portcullis at {place}: {}",
        words.unwrap_or("its words are withheld, they may hold data")
    )
}

/// JSON lets C1 controls and direction marks stand as they are; a terminal obeys them. They leave as `\u…`.
struct Inert<W>(W);

impl<W: Write> Write for Inert<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The formatter escapes C0 controls itself: a line break here is the end of a record.
        let text = inert(&String::from_utf8_lossy(bytes));
        self.0.write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, PoisonError};

    /// A text of the source is shown; one that was made is not, whatever made it.
    #[test]
    fn a_panic_repeats_no_data() {
        static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let secret = String::from("/data/sk_live_c4N/é");
        let here = std::thread::current().id();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Other tests of this process may panic meanwhile.
            if std::thread::current().id() == here {
                let said = told(info.location(), info.payload());
                SAID.lock().unwrap_or_else(PoisonError::into_inner).push(said);
            }
        }));
        let panics: [&dyn Fn(); 5] = [
            &|| panic!("a word of the source"),
            &|| panic!("cannot open {secret}"),
            &|| drop(secret[..secret.len() - 1].to_owned()),
            &|| {
                secret.parse::<u8>().map_err(|_| &secret).unwrap();
            },
            &|| assert_eq!(secret, "other"),
        ];
        for panics in panics {
            assert!(panic::catch_unwind(panic::AssertUnwindSafe(panics)).is_err());
        }
        panic::set_hook(before);
        let said = SAID.lock().unwrap().clone();
        assert_eq!(said.len(), 5);
        assert!(said[0].contains("trace.rs:") && said[0].ends_with(": a word of the source"), "{said:?}");
        for said in &said[1..] {
            assert!(said.contains("trace.rs:") && !said.contains("sk_live"), "{said}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let mut out = Inert(Vec::new());
        out.write_all("{\"m\":\"\u{9b}31m \u{202e}é\"}\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out.0).unwrap(), "{\"m\":\"\\u009b31m \\u202eé\"}\n");
    }
}
