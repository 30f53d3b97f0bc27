/// A request of a player on its way.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) session: u32,
    /// The next of the session's requests, in the order in which they came; [`NONE`] for the last.
    pub(crate) next: u32,
    /// Of the event that it waits for.
    pub(crate) stamp: u32,
    /// Of its lease; 0 for none.
    pub(crate) token: u32,
    pub(crate) asked: u64,
    /// When it came to its process.
    pub(crate) first: u64,
    /// When it was sent last.
    pub(crate) sent: u64,
    /// How long MediaTailor takes for it.
    pub(crate) takes: u64,
    /// When it would have its answer in a single lane.
    pub(crate) ideal: u64,
    pub(crate) instance: u8,
    pub(crate) conflicts: u8,
    /// How often it has found the lease taken.
    pub(crate) polls: u8,
    pub(crate) phase: Phase,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not at a process yet, or no request at all.
    Away,
    /// In its lane, not the first.
    Waiting,
    /// The head of its lane, on its way to the engine or back.
    Asking,
    /// Another process has the lease.
    Polling,
    /// With MediaTailor.
    Flying,
    /// With MediaTailor; the process that sent it is dead.
    Orphaned,
    /// A 409 is on its way back.
    Refusing,
    /// Between a 409 and the next attempt.
    Pausing,
    /// Answered; its turn is kept for a moment.
    Keeping,
}

/// The requests that there are, each in a place that is used again.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    all: Vec<Request>,
    free: Vec<u32>,
}

/// No request.
pub(crate) const NONE: u32 = u32::MAX;

// === impl Requests ===

impl Requests {
    pub(crate) fn add(&mut self, mut request: Request) -> u32 {
        match self.free.pop() {
            Some(at) => {
                request.stamp = self.all[at as usize].stamp + 1;
                self.all[at as usize] = request;
                at
            }
            None => {
                self.all.push(request);
                self.all.len() as u32 - 1
            }
        }
    }

    pub(crate) fn remove(&mut self, at: u32) {
        let request = &mut self.all[at as usize];
        request.stamp += 1;
        request.phase = Phase::Away;
        request.next = NONE;
        self.free.push(at);
    }

    pub(crate) fn get(&self, at: u32) -> &Request {
        &self.all[at as usize]
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> &mut Request {
        &mut self.all[at as usize]
    }

    /// The first of a line that is at this process.
    pub(crate) fn head(&self, mut at: u32, instance: u8) -> u32 {
        while at != NONE && self.get(at).instance != instance {
            at = self.get(at).next;
        }
        at
    }

    /// Those that are at this process, in the order of their places.
    pub(crate) fn at(&self, instance: u8) -> Vec<u32> {
        let here = |request: &Request| {
            request.instance == instance && !matches!(request.phase, Phase::Away | Phase::Orphaned)
        };
        (0..self.all.len() as u32).filter(|at| here(self.get(*at))).collect()
    }
}
