mod fate;
mod lease;
mod upstream;

use onelane::upstream::RetryConfig;

use crate::{
    balancer::Balancer,
    dice::Dice,
    flags::{Crowd, Happening, Way},
    instance::Instance,
    queue::{Event, Queue, What},
    request::{NONE, Phase, Request, Requests},
    session::Session,
    tally::Tally,
    times::Times,
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
}
