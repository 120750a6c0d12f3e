//! How payloads of past versions are read: an event type has a step from each of its versions to the next, and what
//! lies in the log is brought along them when it is read. The recorded bytes stay as they are.
//!
//! A step is total: it changes the fields, or says by a [`Misfit`] what they lack. [`check`] says at start-up whether
//! every past version reaches the present one.

use std::fmt;

use serde_json::{Map, Value};

use crate::{Payload, examples};

/// The fields of a payload.
pub type Fields = Map<String, Value>;

/// The step from one version of an event type to the next.
#[derive(Debug, Clone, Copy)]
pub struct Upcaster {
    /// The version that it reads; what it leaves is of the next.
    pub from: i16,
    pub step: fn(&mut Fields) -> Result<(), Misfit>,
}

/// What an upcaster finds other than the version that it reads says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at} {what}")]
pub struct Misfit {
    /// JSON pointer into the payload.
    pub at: String,
    /// Such as `is not a number`.
    pub what: &'static str,
}

/// An event type with its present version, and how past ones come to it.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    pub event_type: &'static str,
    /// The version that this build writes.
    pub present: i16,
    pub upcasters: &'static [Upcaster],
}

/// Why a version of an event type could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenChain {
    #[error("{event_type}: its version is {present}, and versions begin at 1")]
    Unversioned {
        event_type: &'static str,
        present: i16,
    },
    #[error(
        "{event_type}: nothing leads from version {from} to {}, and this build writes version {present}",
        from + 1
    )]
    Missing {
        event_type: &'static str,
        from: i16,
        present: i16,
    },
    #[error("{event_type}: {steps} upcasters read version {from}, and only one can")]
    Ambiguous {
        event_type: &'static str,
        from: i16,
        steps: usize,
    },
    #[error("{event_type}: an upcaster reads version {from}, which is none before {present}")]
    Stray {
        event_type: &'static str,
        from: i16,
        present: i16,
    },
}

/// All of them, because they are mended together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenChains(pub Vec<BrokenChain>);

impl fmt::Display for BrokenChains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this build cannot read every version of its events")?;
        for broken in &self.0 {
            write!(f, "; {broken}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BrokenChains {}

impl Chain {
    pub const fn of<P: Payload>() -> Self {
        Self {
            event_type: P::EVENT_TYPE,
            present: P::SCHEMA_VERSION,
            upcasters: P::UPCASTERS,
        }
    }

    /// What keeps a past version from reaching the present one; nothing, mostly.
    pub fn broken(&self) -> Vec<BrokenChain> {
        let Self {
            event_type,
            present,
            upcasters,
        } = *self;
        if present < 1 {
            return vec![BrokenChain::Unversioned {
                event_type,
                present,
            }];
        }
        let past = 1..present;
        let strays = upcasters
            .iter()
            .map(|upcaster| upcaster.from)
            .filter(|from| !past.contains(from))
            .map(|from| BrokenChain::Stray {
                event_type,
                from,
                present,
            });
        let gaps = past.clone().filter_map(|from| {
            match upcasters.iter().filter(|it| it.from == from).count() {
                1 => None,
                0 => Some(BrokenChain::Missing {
                    event_type,
                    from,
                    present,
                }),
                steps => Some(BrokenChain::Ambiguous {
                    event_type,
                    from,
                    steps,
                }),
            }
        });
        gaps.chain(strays).collect()
    }

    /// The step that reads a version.
    pub(crate) fn step(&self, from: i16) -> Option<&'static Upcaster> {
        self.upcasters.iter().find(|upcaster| upcaster.from == from)
    }
}

/// Whether every version that any event ever had reaches the present one. Asked once, before anything is read.
///
/// # Errors
/// [`BrokenChains`] names each version that does not, and why.
pub fn check() -> Result<(), BrokenChains> {
    check_these(examples().iter().map(|example| example.chain))
}

fn check_these(chains: impl Iterator<Item = Chain>) -> Result<(), BrokenChains> {
    let broken: Vec<BrokenChain> = chains.flat_map(|chain| chain.broken()).collect();
    if broken.is_empty() {
        Ok(())
    } else {
        Err(BrokenChains(broken))
    }
}

#[cfg(test)]
mod tests;
