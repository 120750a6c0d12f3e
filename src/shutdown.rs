//! Ctrl-C, SIGTERM and the end of whoever started us, as a token that everything in the process watches.

use std::io::Read;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Also cancelled when standard input ends: a parent that holds its other end cannot leave us behind, however it ends.
pub fn on_signal_or_end_of_input() -> std::io::Result<CancellationToken> {
    let token = on_signal()?;
    let told = token.clone();
    // A thread of its own, because a read that never returns would keep the runtime from ending.
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut unread = [0; 64];
        while input.read(&mut unread).is_ok_and(|bytes| bytes > 0) {}
        tracing::info!("whoever started this is gone; finishing what is under way");
        told.cancel();
    });
    Ok(token)
}

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
