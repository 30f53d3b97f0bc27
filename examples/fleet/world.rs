use onelane::upstream::RetryConfig;

use crate::{
    balancer::Balancer,
    dice::{Between, Dice},
    flags::{Crowd, Happening, Way},
    instance::Instance,
    queue::{Event, Queue, What},
    request::{NONE, Phase, Request, Requests},
    session::Session,
    tally::Tally,
};

/// One run: so many sessions on so many processes, one way and one thing that happens.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) way: Way,
    pub(crate) happening: Happening,
    pub(crate) instances: u32,
    pub(crate) sessions: u32,
    pub(crate) seed: u64,
    pub(crate) crowd: Crowd,
    pub(crate) retry: RetryConfig,
}

/// A run under way.
struct World<'a> {
    run: &'a Run,
    times: Times,
    now: u64,
    ends: u64,
    dice: Dice,
    queue: Queue,
    sessions: Vec<Session>,
    requests: Requests,
    instances: Vec<Instance>,
    balancers: Vec<Balancer>,
    tokens: u32,
    tally: Tally,
}

/// The run's times in microseconds.
struct Times {
    refresh: u64,
    burst: u64,
    takes: Between,
    slow: Between,
    busy: Between,
    refused: Between,
    notices: Between,
    away: u64,
    lease: Between,
    lease_within: u64,
    lease_ttl: u64,
    reserved: u64,
    /// At first, and at most.
    poll: (u64, u64),
    answer_within: u64,
}

/// A player whose connection broke asks again after this.
const RECONNECT: u64 = 1_000;

// === impl Run ===

impl Run {
    /// Refreshes that are counted; one before them is not.
    pub(crate) fn refreshes(&self) -> u64 {
        match self.happening {
            Happening::Steady => 3,
            Happening::Lost | Happening::Added => 6,
            Happening::Deploy => {
                let refresh = self.crowd.refresh.as_secs_f64();
                2 + (self.deploy_steps() as f64 * self.deploy_step() / refresh).ceil() as u64
            }
        }
    }

    fn deploy_batch(&self) -> u32 {
        ((f64::from(self.instances) * self.crowd.deploy_part) as u32).clamp(1, self.instances)
    }

    fn deploy_steps(&self) -> u32 {
        self.instances.div_ceil(self.deploy_batch())
    }

    /// From one batch to the next, in seconds: until every balancer knows that the last is back.
    fn deploy_step(&self) -> f64 {
        (self.crowd.away + self.crowd.notices.bounds().1).as_secs_f64() + 1.0
    }

    pub(crate) fn simulate(&self) -> Tally {
        let mut world = World::new(self);
        world.prepare();
        while let Some(event) = world.queue.pop() {
            world.now = event.at;
            world.happen(event);
        }
        world.tally
    }
}

// === impl World ===

impl<'a> World<'a> {
    fn new(run: &'a Run) -> Self {
        let times = Times::of(&run.crowd);
        let ends = times.refresh * (1 + run.refreshes());
        Self {
            now: 0,
            ends,
            dice: Dice::new(run.seed),
            queue: Queue::new(),
            sessions: vec![Session::new(); run.sessions as usize],
            requests: Requests::default(),
            instances: (0..run.instances).map(|_| Instance::new(&run.retry)).collect(),
            balancers: (0..run.crowd.balancers).map(|_| Balancer::new(run.instances)).collect(),
            tokens: 0,
            tally: Tally::new(ends / 1_000_000),
            run,
            times,
        }
    }

    /// Every player has its own beat; and what happens is known beforehand.
    fn prepare(&mut self) {
        for session in 0..self.run.sessions {
            let at = Dice::of(self.run.seed, session, u64::MAX).below(self.times.refresh.max(1));
            self.queue.push(at, What::Refresh, session, 0);
        }
        let at = self.times.refresh * 5 / 2;
        match self.run.happening {
            Happening::Steady => {}
            Happening::Lost => self.queue.push(at, What::Die, 0, 0),
            Happening::Added => {
                self.instances.push(Instance::new(&self.run.retry));
                self.tell(What::Welcome, self.run.instances, at);
            }
            Happening::Deploy => {
                let (batch, step) = (self.run.deploy_batch(), (self.run.deploy_step() * 1e6) as u64);
                for instance in 0..self.run.instances {
                    let at = self.times.refresh * 3 / 2 + u64::from(instance / batch) * step;
                    self.tell(What::Shun, instance, at);
                    self.queue.push(at + self.times.away, What::Begin, instance, 0);
                    self.tell(What::Welcome, instance, at + self.times.away);
                }
            }
        }
    }

    /// Each balancer hears of it in its own time.
    fn tell(&mut self, what: What, instance: u32, at: u64) {
        for balancer in 0..self.balancers.len() as u32 {
            let heard = at + self.dice.between(self.times.notices);
            self.queue.push(heard, what, balancer, instance);
        }
    }

    fn happen(&mut self, event: Event) {
        let Event { whom, stamp, what, .. } = event;
        match what {
            What::Refresh => return self.refresh(whom),
            What::Free => return self.free(whom, stamp),
            What::Die => return self.die(whom as u8),
            What::Begin => return self.begin(whom as u8),
            What::Shun => return self.balancers[whom as usize].shun(stamp as u8),
            What::Welcome => return self.balancers[whom as usize].welcome(stamp as u8),
            _ => {}
        }
        if self.requests.get(whom).stamp != stamp {
            return;
        }
        match what {
            What::Arrive => self.arrive(whom),
            What::Ask => self.ask(whom),
            What::Granted | What::Send => self.send(whom),
            What::Poll => self.poll(whom),
            What::Answer => self.answer(whom),
            What::Refused => self.refused(whom),
            _ => self.hand_on(whom),
        }
    }

    /// Says what is next for a request, and nothing that was said before.
    fn next(&mut self, at: u32, phase: Phase, what: What, when: u64) {
        let request = self.requests.get_mut(at);
        request.phase = phase;
        request.stamp += 1;
        self.queue.push(when, what, at, request.stamp);
    }

    fn refresh(&mut self, whom: u32) {
        let session = &mut self.sessions[whom as usize];
        session.refreshed += 1;
        let refreshed = u64::from(session.refreshed);
        for nth in 0..self.run.crowd.playlists {
            let mut own = Dice::of(self.run.seed, whom, refreshed << 4 | u64::from(nth));
            let slow = self.run.crowd.slow_every;
            let takes = match slow > 0 && own.below(slow) == 0 {
                true => own.between(self.times.slow),
                false => own.between(self.times.takes),
            };
            let later = if nth == 0 || self.times.burst == 0 { 0 } else { own.below(self.times.burst) };
            let asked = self.now + later;
            let request = Request {
                session: whom,
                next: NONE,
                stamp: 0,
                token: 0,
                asked,
                first: asked,
                sent: 0,
                takes,
                ideal: 0,
                instance: 0,
                conflicts: 0,
                polls: 0,
                phase: Phase::Away,
            };
            let at = self.requests.add(request);
            self.next(at, Phase::Away, What::Arrive, asked);
        }
        if self.now + self.times.refresh < self.ends {
            self.queue.push(self.now + self.times.refresh, What::Refresh, whom, 0);
        }
    }

    fn arrive(&mut self, at: u32) {
        let request = self.requests.get_mut(at);
        let session = &mut self.sessions[request.session as usize];
        if request.ideal == 0 {
            request.ideal = request.asked.max(session.ideal_free) + request.takes;
            session.ideal_free = request.ideal;
            if !self.times.busy.is_zero() {
                session.ideal_free += self.dice.between(self.times.busy);
            }
            if request.asked >= self.times.refresh {
                self.tally.requests += 1;
                self.tally.seconds[(self.now.min(self.ends) / 1_000_000) as usize].0 += 1;
            }
        }
        let whom = request.session;
        let Some(instance) = self.route(whom) else { return self.end(at) };
        let now = self.now;
        let request = self.requests.get_mut(at);
        (request.instance, request.first, request.phase) = (instance, now, Phase::Waiting);
        // The last of the session's requests, and whether one of them is in the same lane.
        let (mut last, mut one, mut alone) = (NONE, self.sessions[whom as usize].first, true);
        while one != NONE {
            let other = self.requests.get(one);
            alone &= other.instance != instance;
            (last, one) = (one, other.next);
        }
        match last {
            NONE => self.sessions[whom as usize].first = at,
            _ => self.requests.get_mut(last).next = at,
        }
        if alone {
            self.head(at, None);
        }
    }

    /// A process that is dead refuses the connection, and the balancer takes another at once.
    fn route(&mut self, session: u32) -> Option<u8> {
        let count = self.balancers.len() as u64;
        let which = if count > 1 { self.dice.below(count) as usize } else { 0 };
        loop {
            let balancer = &mut self.balancers[which];
            let instance = match self.run.way.routed() {
                true => balancer.home(session),
                false => balancer.next(self.run.crowd.spread, &mut self.dice),
            }?;
            if self.instances[instance as usize].alive {
                return Some(instance);
            }
            balancer.shun(instance);
        }
    }

    /// A request is the first of its lane. `way` is how long an operation takes to the engine that was sent just before.
    fn head(&mut self, at: u32, way: Option<u64>) {
        if self.now >= self.requests.get(at).asked + self.times.answer_within {
            return self.end(at);
        }
        if !self.run.way.leased() {
            return self.send(at);
        }
        let there = way.unwrap_or_else(|| self.dice.between(self.times.lease) / 2);
        if there * 2 > self.times.lease_within {
            self.tally.bypassed += 1;
            return self.next(at, Phase::Asking, What::Granted, self.now + self.times.lease_within);
        }
        self.next(at, Phase::Asking, What::Ask, self.now + there);
    }

    /// At the engine: granted if it is free, kept for this process, or of an earlier turn of it with nobody in line. Otherwise the
    /// process gets in line.
    fn ask(&mut self, at: u32) {
        self.tally.commands += u64::from(self.now >= self.times.refresh);
        let back = self.dice.between(self.times.lease) / 2;
        let request = self.requests.get_mut(at);
        let session = &mut self.sessions[request.session as usize];
        let own = session.holds == request.instance && (session.holder == 0 || session.line.is_empty());
        if self.now < session.lease_ends && !own {
            if !session.line.contains(&request.instance) {
                session.line.push(request.instance);
            }
            let (first, most) = self.times.poll;
            let pause = (first << request.polls.min(20)).min(most);
            request.polls = request.polls.saturating_add(1);
            let again = self.now + back + (pause as f64 * (0.75 + self.dice.part() / 4.0)) as u64;
            let gives_up = request.asked + self.times.answer_within;
            return self.next(at, Phase::Polling, What::Poll, again.min(gives_up).max(self.now));
        }
        self.tokens += 1;
        request.token = self.tokens;
        session.line.retain(|instance| *instance != request.instance);
        // Renewed in time, as long as its process lives.
        (session.holder, session.lease_since, session.lease_ends) = (self.tokens, self.now, u64::MAX);
        session.holds = request.instance;
        self.next(at, Phase::Asking, What::Granted, self.now + back);
    }

    /// Asks again, or gives up.
    fn poll(&mut self, at: u32) {
        self.head(at, None);
    }

    /// The lease is given up, if it is still this turn's, and kept for a moment for the process that is next, which is told.
    fn free(&mut self, whom: u32, token: u32) {
        self.tally.commands += u64::from(self.now >= self.times.refresh);
        let session = &mut self.sessions[whom as usize];
        if session.holder != token {
            return;
        }
        (session.holder, session.lease_ends) = (0, self.now);
        while !session.line.is_empty() {
            let next = session.line.remove(0);
            let head = self.requests.head(session.first, next);
            if self.instances[next as usize].alive && head == NONE {
                // Nobody there wants it any more: it says so.
                continue;
            }
            (session.holds, session.lease_ends) = (next, self.now + self.times.reserved);
            if head != NONE && self.requests.get(head).phase == Phase::Polling {
                let [told, asks] = [(); 2].map(|()| self.dice.between(self.times.lease) / 2);
                self.next(head, Phase::Asking, What::Ask, self.now + told + asks);
            }
            return;
        }
    }

    /// MediaTailor refuses whoever comes while it works for the session.
    fn send(&mut self, at: u32) {
        let request = self.requests.get_mut(at);
        request.sent = self.now;
        let session = &mut self.sessions[request.session as usize];
        if session.flying > 0 || self.now < session.busy_until {
            if request.asked >= self.times.refresh {
                self.tally.conflicts += 1;
                self.tally.seconds[(self.now.min(self.ends) / 1_000_000) as usize].1 += 1;
            }
            let back = self.now + self.dice.between(self.times.refused);
            return self.next(at, Phase::Refusing, What::Refused, back);
        }
        session.flying += 1;
        let done = self.now + request.takes;
        self.next(at, Phase::Flying, What::Answer, done);
    }

    fn answer(&mut self, at: u32) {
        let request = self.requests.get(at);
        let (instance, orphaned) = (request.instance, request.phase == Phase::Orphaned);
        let session = &mut self.sessions[request.session as usize];
        session.flying -= 1;
        if !self.times.busy.is_zero() {
            session.busy_until = self.now + self.dice.between(self.times.busy);
        }
        if orphaned {
            return self.requests.remove(at);
        }
        session.got_playlist(instance, self.now);
        self.instances[instance as usize].budget.deposit(self.now);
        if self.counts(at) {
            match self.now > request.asked + self.times.answer_within {
                true => self.tally.late += 1,
                false => {
                    self.tally.added += self.now.saturating_sub(request.ideal);
                    self.tally.took += self.now - request.asked;
                }
            }
        }
        self.keep(at);
    }

    fn refused(&mut self, at: u32) {
        let counts = self.counts(at);
        let request = self.requests.get_mut(at);
        let last = self.sessions[request.session as usize].last_playlist(request.instance);
        let instance = &mut self.instances[request.instance as usize];
        instance.conflict(request.sent, last, self.now);
        let retry = &self.run.retry;
        let (least, longest) = (retry.least_pause.as_micros() as u64, retry.longest_pause.as_micros() as u64);
        let pause = (least << request.conflicts.min(20)).min(longest);
        let jitter = (pause as f64 * 0.5 * self.dice.part()) as u64;
        let pause = pause + jitter.min(longest - pause);
        let again = u32::from(request.conflicts) < retry.conflict
            && self.now + pause - request.first <= retry.within.as_micros() as u64
            && instance.budget.withdraw(self.now);
        if again {
            request.conflicts += 1;
            return self.next(at, Phase::Pausing, What::Send, self.now + pause);
        }
        if counts {
            self.tally.lost += 1;
        }
        self.keep(at);
    }

    /// Whether a request is of the time that is counted.
    fn counts(&self, at: u32) -> bool {
        self.requests.get(at).asked >= self.times.refresh
    }

    /// The turn is kept for as long as the process has learned to.
    fn keep(&mut self, at: u32) {
        let gap = self.instances[self.requests.get(at).instance as usize].gap(self.now);
        match gap {
            0 => self.hand_on(at),
            _ => self.next(at, Phase::Keeping, What::HandOn, self.now + gap),
        }
    }

    /// A request that gets no answer in time, or for which there is no process.
    fn end(&mut self, at: u32) {
        if self.counts(at) {
            self.tally.late += 1;
        }
        match self.requests.get(at).phase {
            Phase::Away => self.requests.remove(at),
            _ => self.hand_on(at),
        }
    }

    fn hand_on(&mut self, at: u32) {
        let (session, instance, token) = {
            let request = self.requests.get(at);
            (request.session, request.instance, request.token)
        };
        let next = self.leave(at);
        self.requests.remove(at);
        let mut way = None;
        if token != 0 {
            let there = self.dice.between(self.times.lease) / 2;
            self.queue.push(self.now + there, What::Free, session, token);
            // On the same connection: the next is just behind.
            way = Some(there);
        }
        debug_assert!(next == NONE || self.requests.get(next).instance == instance);
        if next != NONE {
            self.head(next, way);
        }
    }

    /// Takes a request out of its session's line; gives the next of its lane.
    fn leave(&mut self, at: u32) -> u32 {
        let (whom, instance, after) = {
            let request = self.requests.get(at);
            (request.session as usize, request.instance, request.next)
        };
        let (mut before, mut one) = (NONE, self.sessions[whom].first);
        while one != at {
            (before, one) = (one, self.requests.get(one).next);
        }
        match before {
            NONE => self.sessions[whom].first = after,
            _ => self.requests.get_mut(before).next = after,
        }
        self.requests.head(after, instance)
    }

    /// Killed: what it had sent goes on at MediaTailor, its leases last to their end, and its players ask again.
    fn die(&mut self, instance: u8) {
        self.instances[instance as usize].alive = false;
        for at in self.requests.at(instance) {
            self.leave(at);
            let request = self.requests.get_mut(at);
            let again = Request {
                next: NONE,
                stamp: 0,
                token: 0,
                conflicts: 0,
                polls: 0,
                phase: Phase::Away,
                ..request.clone()
            };
            let session = &mut self.sessions[request.session as usize];
            if request.token != 0 && session.holder == request.token {
                // A killed process renews no more; it did so every third of the time.
                let renewed = (self.now - session.lease_since) % (self.times.lease_ttl / 3).max(1);
                session.lease_ends = self.now - renewed + self.times.lease_ttl;
            }
            let flies = request.phase == Phase::Flying;
            let answered = request.phase == Phase::Keeping;
            match flies {
                true => request.phase = Phase::Orphaned,
                false => self.requests.remove(at),
            }
            if !answered {
                let again = self.requests.add(again);
                self.next(again, Phase::Away, What::Arrive, self.now + RECONNECT);
            }
        }
    }

    /// The new process knows nothing of what the old one learned. The old one has drained by then.
    fn begin(&mut self, instance: u8) {
        self.instances[instance as usize] = Instance::new(&self.run.retry);
    }
}

// === impl Times ===

impl Times {
    fn of(crowd: &Crowd) -> Self {
        let us = |time: std::time::Duration| time.as_micros() as u64;
        Self {
            refresh: us(crowd.refresh),
            burst: us(crowd.burst),
            takes: crowd.latency.into(),
            slow: crowd.slow_for.into(),
            busy: crowd.busy_after.into(),
            refused: crowd.refused_in.into(),
            notices: crowd.notices.into(),
            away: us(crowd.away),
            lease: crowd.lease_takes.into(),
            lease_within: us(crowd.lease_within),
            lease_ttl: us(crowd.lease_ttl),
            reserved: us(crowd.reserved),
            poll: (us(crowd.poll.bounds().0), us(crowd.poll.bounds().1)),
            answer_within: us(crowd.answer_within),
        }
    }
}
