//! Diagnostics of the process itself: one escaped JSON record an event, on stderr. Off below `warn` unless asked for.
use tracing::Level;

/// Starts the subscriber. Spans and events never hold a secret: they are types that cannot be printed.
pub fn start(level: Option<Level>) {
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(level.unwrap_or(Level::ERROR))
        .with_writer(std::io::stderr)
        .with_current_span(true)
        .finish();
    // A second start in one process (tests of the library) keeps the first subscriber.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
