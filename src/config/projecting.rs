//! What is done beside folding: how long rows of the past are kept, and how often rows are compared with the log.

use std::time::Duration;

use clap::Args;
use foldline_projector::Retention;

use super::{Problems, RetentionArgs};

/// The pause between two streams that are compared, when nothing else is said.
const PROOF_PAUSE_SECONDS: u32 = 2;

#[derive(Args, Clone)]
pub struct ProjectingArgs {
    #[command(flatten)]
    pub retention: RetentionArgs,

    /// How long to pause between two streams that are folded again and compared with their rows; 0: compare none.
    #[arg(
        long,
        env = "FOLDLINE_PROOF_PAUSE",
        value_name = "SECONDS",
        default_value_t = PROOF_PAUSE_SECONDS
    )]
    pub proof_pause: u32,
}

#[derive(Debug, Clone)]
pub struct Projecting {
    pub retention: Retention,
    /// `None` where nothing is compared.
    pub proof_pause: Option<Duration>,
}

impl ProjectingArgs {
    pub(super) fn read(&self, problems: &mut Problems) -> Option<Projecting> {
        let pause = Duration::from_secs(self.proof_pause.into());
        Some(Projecting {
            retention: self.retention.read(problems)?,
            proof_pause: Some(pause).filter(|pause| !pause.is_zero()),
        })
    }
}
