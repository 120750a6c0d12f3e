//! Ctrl-C and SIGTERM, as a token that everything in the process watches.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled by the first signal. A second one ends the process at once: whoever sends it does not want to wait.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if told.is_cancelled() {
                tracing::warn!("signalled again; ending at once");
                std::process::exit(130);
            }
            tracing::info!("signalled; finishing what is under way");
            told.cancel();
        }
    });
    Ok(token)
}
