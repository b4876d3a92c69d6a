//! The service manager that began this process, where there is one: it is told how far `serve` is (`sd_notify(3)`). Without
//! `NOTIFY_SOCKET` nobody listens, and nothing is sent.
use sd_notify::NotifyState;

/// It serves, or serves again.
pub fn is_ready() {
    tell(&[NotifyState::Ready]);
}

/// It reads its config anew, and serves meanwhile.
pub fn reloads() {
    // A manager that waits for the end of a reload knows by the time which one it is.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager was not told of the reload"),
    }
}

/// It takes nothing more, and ends soon.
pub fn stops() {
    tell(&[NotifyState::Stopping]);
}

/// Whoever listens does not decide whether this process goes on.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
