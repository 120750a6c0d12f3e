//! Given what happened, when this is asked, then that happens.

use std::fmt::Debug;

use foldline_domain::Decider;

pub struct Given<D: Decider> {
    state: Option<D>,
    facts: D::Facts,
}

pub struct Outcome<D: Decider>(pub Result<Vec<D::Event>, D::Rejection>);

pub fn given<D>(events: impl IntoIterator<Item = D::Event>) -> Given<D>
where
    D: Decider<Facts: Default>,
{
    let state = events
        .into_iter()
        .fold(None, |state, event| D::evolve(state, &event));
    Given {
        state,
        facts: D::Facts::default(),
    }
}

impl<D: Decider> Given<D> {
    pub fn knowing(self, facts: D::Facts) -> Self {
        Self { facts, ..self }
    }

    pub fn when(&self, command: D::Command) -> Outcome<D> {
        Outcome(D::decide(self.state.as_ref(), &self.facts, command))
    }
}

impl<D> Outcome<D>
where
    D: Decider<Event: PartialEq + Debug, Rejection: PartialEq + Debug>,
{
    #[track_caller]
    pub fn then(self, event: D::Event) {
        assert_eq!(self.0, Ok(vec![event]));
    }

    #[track_caller]
    pub fn then_nothing(self) {
        assert_eq!(self.0, Ok(vec![]));
    }

    #[track_caller]
    pub fn then_rejected(self, rejection: D::Rejection) {
        assert_eq!(self.0, Err(rejection));
    }
}
