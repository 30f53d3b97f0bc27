use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use super::{LeaseId, Token};

/// The most that are kept; the oldest of more are the first to end by themselves.
const MOST: usize = 10_000;

/// Leases that were given up while the engine could not be told. It may have them still, and what it was asked for
/// before it stood still it may grant when it goes on: whoever waits for one of those would wait until it ends.
#[derive(Debug, Default)]
pub(super) struct Owed {
    given_up: Mutex<VecDeque<(LeaseId, Token)>>,
}

// === impl Owed ===

impl Owed {
    pub(super) fn note(&self, id: LeaseId, token: Token) {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        if given_up.len() >= MOST {
            given_up.pop_front();
        }
        given_up.push_back((id, token));
    }

    pub(super) fn take(&self) -> VecDeque<(LeaseId, Token)> {
        std::mem::take(&mut *self.given_up.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
