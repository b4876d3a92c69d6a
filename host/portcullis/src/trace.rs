//! Diagnostics of the process itself: one escaped JSON record an event, on stderr. Only errors unless asked for more.
use crate::output::inert;
use std::io::{self, Write};
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

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let mut out = Inert(Vec::new());
        out.write_all("{\"m\":\"\u{9b}31m \u{202e}é\"}\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out.0).unwrap(), "{\"m\":\"\\u009b31m \\u202eé\"}\n");
    }
}
