//! The lane against a plain model, at its limits and on the clock.
#![cfg(not(onelane_shuttle))]

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use onelane::lane::{Error, ErrorKind, Lanes, Limits, Ticket, Turn};
use proptest::{prelude::*, sample::Index};
use tokio::time::{self, Instant};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};

type Key = u8;
type Id = u64;
type Asking = task::Spawn<Pin<Box<dyn Future<Output = Result<Turn<Key>, Error>> + Send>>>;

const FOREVER: Duration = Duration::MAX;

// === the model ===

/// What may happen to the lanes next. An index picks one of those who are in.
#[derive(Debug, Clone)]
enum Step {
    Join(Key),
    Ask(Index, u64),
    Poll(Index),
    Leave(Index),
    Pass(u64),
    Close,
}

/// How far one of those who joined has come.
enum Stage {
    Ticket(Ticket<Key>),
    Asking { future: Asking, until: Instant },
    Turn(#[expect(dead_code, reason = "held, never looked at")] Turn<Key>),
}

struct Member {
    key: Key,
    /// It found others in its lane.
    behind: bool,
    stage: Stage,
}

/// The lanes and what they ought to be: for each key the ids in the order in which they joined, the front one
/// being the one whose turn it is.
struct World {
    lanes: Lanes<Key>,
    limits: Limits,
    model: HashMap<Key, VecDeque<Id>>,
    members: BTreeMap<Id, Member>,
    closed: bool,
    next: Id,
}

// === impl World ===

impl World {
    fn new(limits: &Limits) -> Self {
        Self {
            lanes: Lanes::new(limits.clone()),
            limits: limits.clone(),
            model: HashMap::new(),
            members: BTreeMap::new(),
            closed: false,
            next: 0,
        }
    }

    fn join(&mut self, key: Key) {
        let line = self.model.get(&key).map_or(0, VecDeque::len);
        let joined = self.lanes.join(key);
        let refusal = if self.closed {
            Some((ErrorKind::Closed, "the lanes are closed"))
        } else if line > 0 && line >= self.limits.depth as usize {
            Some((ErrorKind::Full, "the session's lane is full"))
        } else if line > 0 && self.waiting() >= self.limits.waiting {
            Some((ErrorKind::Full, "too many requests wait in all lanes together"))
        } else {
            None
        };
        if let Some((kind, text)) = refusal {
            let error = joined.expect_err("nobody joins now");
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
            return;
        }
        let ticket = joined.expect("there is room");
        assert_eq!(ticket.ahead() as usize, line);
        self.model.entry(key).or_default().push_back(self.next);
        self.members.insert(self.next, Member { key, behind: line > 0, stage: Stage::Ticket(ticket) });
        self.next += 1;
    }

    /// Starts to wait, and looks once.
    fn ask(&mut self, id: Id, seconds: u64) {
        let mut member = self.members.remove(&id).expect("an id that is in");
        let Stage::Ticket(ticket) = member.stage else {
            self.members.insert(id, member);
            return;
        };
        let wait = Duration::from_secs(seconds);
        let future = task::spawn(Box::pin(ticket.turn_within(wait)) as Pin<Box<_>>);
        member.stage = Stage::Asking { future, until: Instant::now() + wait };
        self.members.insert(id, member);
        self.poll(id);
    }

    /// Looks whether the turn has come, and holds the answer against the model's.
    fn poll(&mut self, id: Id) {
        let expected = self.expected(id);
        let member = self.members.get_mut(&id).expect("an id that is in");
        let Stage::Asking { future, .. } = &mut member.stage else { return };
        match (future.poll(), expected) {
            (Poll::Pending, None) => {}
            (Poll::Ready(Ok(turn)), Some(Ok(()))) => member.stage = Stage::Turn(turn),
            (Poll::Ready(Err(error)), Some(Err(kind))) => {
                assert_eq!(error.kind(), kind);
                self.leave(id);
            }
            (got, expected) => panic!("{id} got {got:?} instead of {expected:?}"),
        }
    }

    /// Drops a ticket, a wait or a turn.
    fn leave(&mut self, id: Id) {
        let member = self.members.remove(&id).expect("an id that is in");
        let line = self.model.get_mut(&member.key).expect("its lane");
        line.retain(|other| *other != id);
        if line.is_empty() {
            self.model.remove(&member.key);
        }
    }

    fn close(&mut self) {
        self.lanes.close();
        self.closed = true;
    }

    /// What a look would tell this one: nothing yet, its turn, or why it gets none.
    fn expected(&self, id: Id) -> Option<Result<(), ErrorKind>> {
        let member = &self.members[&id];
        let Stage::Asking { until, .. } = &member.stage else { return None };
        if self.closed && member.behind {
            return Some(Err(ErrorKind::Closed));
        }
        if self.model[&member.key].front() == Some(&id) {
            return Some(Ok(()));
        }
        (*until <= Instant::now()).then_some(Err(ErrorKind::WaitedTooLong))
    }

    fn waiting(&self) -> usize {
        let waits = |member: &&Member| member.behind && !matches!(member.stage, Stage::Turn(_));
        self.members.values().filter(waits).count()
    }

    /// The one that an index picks, if anybody is in.
    fn pick(&self, index: &Index) -> Option<Id> {
        let ids: Vec<Id> = self.members.keys().copied().collect();
        (!ids.is_empty()).then(|| *index.get(&ids))
    }

    fn check(&self) {
        assert_eq!(self.lanes.len(), self.model.len());
        assert_eq!(self.lanes.is_empty(), self.model.is_empty());
        assert_eq!(self.lanes.waiting(), self.waiting());
        for (id, member) in &self.members {
            match &member.stage {
                // Whoever has something to learn was woken for it, and nobody else was.
                Stage::Asking { future, .. } => {
                    assert_eq!(future.is_woken(), self.expected(*id).is_some(), "{id}");
                }
                // A turn is the front's alone.
                Stage::Turn(_) => assert_eq!(self.model[&member.key].front(), Some(id)),
                Stage::Ticket(_) => {}
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => (0..3_u8).prop_map(Step::Join),
        25 => (any::<Index>(), 0..5_u64).prop_map(|(index, wait)| Step::Ask(index, wait)),
        20 => any::<Index>().prop_map(Step::Poll),
        20 => any::<Index>().prop_map(Step::Leave),
        4 => (0..3_u64).prop_map(Step::Pass),
        1 => Just(Step::Close),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_lanes_do_what_the_model_does(steps in steps(), depth in 0..5_u32, waiting in 0..8_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let _entered = runtime.enter();
        let mut world = World::new(&Limits::default().depth(depth).waiting(waiting));
        for step in steps {
            match step {
                Step::Join(key) => world.join(key),
                Step::Ask(index, wait) => _ = world.pick(&index).map(|id| world.ask(id, wait)),
                Step::Poll(index) => _ = world.pick(&index).map(|id| world.poll(id)),
                Step::Leave(index) => _ = world.pick(&index).map(|id| world.leave(id)),
                Step::Pass(seconds) => runtime.block_on(time::advance(Duration::from_secs(seconds))),
                Step::Close => world.close(),
            }
            world.check();
        }
        while let Some(id) = world.members.keys().next().copied() {
            world.leave(id);
            world.check();
        }
        assert!(world.lanes.is_empty());
        assert_eq!(world.lanes.waiting(), 0);
    }
}

// === order ===

#[tokio::test]
async fn turns_come_in_the_order_of_joining_whoever_asks_first() {
    let lanes = lanes();
    let mut tickets: Vec<_> = (0..4).map(|_| lanes.join(1).expect("a place")).collect();
    assert_eq!(tickets.iter().map(Ticket::ahead).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let first = tickets.remove(0);
    let mut asking: Vec<_> = tickets.into_iter().map(|ticket| task::spawn(ticket.turn())).collect();
    for future in asking.iter_mut().rev() {
        assert_pending!(future.poll());
    }
    let mut turn = first.turn().await.expect("the turn");
    while !asking.is_empty() {
        assert!(asking.iter().all(|future| !future.is_woken()));
        drop(turn);
        assert!(asking.iter().skip(1).all(|future| !future.is_woken()));
        turn = assert_ready_ok!(asking.remove(0).poll());
    }
    drop(turn);
    assert_idle(&lanes);
}

/// A task that has used its budget up must not lose its place: tokio before 1.54 let it.
#[tokio::test]
async fn a_busy_task_keeps_its_place() {
    let lanes = lanes();
    let first = lanes.join(1).expect("a place");
    let (busy, mut other) = tokio::spawn({
        let lanes = lanes.clone();
        async move {
            while tokio::task::coop::has_budget_remaining() {
                tokio::task::coop::consume_budget().await;
            }
            let busy = lanes.join(1).expect("a place");
            let other = lanes.join(1).expect("a place");
            (busy, other)
        }
    })
    .await
    .map(|(busy, other)| (busy, task::spawn(other.turn())))
    .expect("the task ends");
    assert_pending!(other.poll());
    drop(first);
    assert_pending!(other.poll());
    drop(busy.turn().await.expect("the turn"));
    drop(assert_ready_ok!(other.poll()));
    assert_idle(&lanes);
}

#[tokio::test]
async fn keys_do_not_wait_for_each_other() {
    let lanes = lanes();
    let one = lanes.join(1).expect("a place").turn().await.expect("the turn");
    let two = lanes.join(2).expect("a place").turn().await.expect("the turn");
    assert_eq!((lanes.len(), lanes.waiting()), (2, 0));
    drop((one, two));
    assert_idle(&lanes);
}

// === leaving ===

#[tokio::test]
async fn a_turn_that_came_to_a_ticket_nobody_looked_at_is_handed_on() {
    let lanes = lanes();
    let turn = lanes.join(1).expect("a place").turn().await.expect("the turn");
    let silent = lanes.join(1).expect("a place");
    let mut last = task::spawn(lanes.join(1).expect("a place").turn());
    assert_pending!(last.poll());
    drop(turn);
    assert!(!last.is_woken());
    drop(silent);
    assert!(last.is_woken());
    drop(assert_ready_ok!(last.poll()));
    assert_idle(&lanes);
}

#[tokio::test]
async fn a_turn_that_came_to_a_wait_that_was_dropped_is_handed_on() {
    let lanes = lanes();
    let turn = lanes.join(1).expect("a place").turn().await.expect("the turn");
    let mut leaving = task::spawn(lanes.join(1).expect("a place").turn());
    let mut last = task::spawn(lanes.join(1).expect("a place").turn_within(FOREVER));
    assert_pending!(leaving.poll());
    assert_pending!(last.poll());
    drop(turn);
    assert!(leaving.is_woken());
    drop(leaving);
    assert!(last.is_woken());
    drop(assert_ready_ok!(last.poll()));
    assert_idle(&lanes);
}

#[tokio::test]
async fn a_wait_that_was_never_polled_gives_its_place_up() {
    let lanes = lanes();
    let turn = lanes.join(1).expect("a place").turn().await.expect("the turn");
    drop(lanes.join(1).expect("a place").turn());
    drop(lanes.join(1).expect("a place").turn_within(FOREVER));
    assert_eq!((lanes.len(), lanes.waiting()), (1, 0));
    drop(turn);
    assert_idle(&lanes);
}

#[tokio::test]
async fn a_panic_in_a_turn_ends_it() {
    let lanes = lanes();
    let turn = lanes.join(1).expect("a place").turn().await.expect("the turn");
    let mut next = task::spawn(lanes.join(1).expect("a place").turn());
    assert_pending!(next.poll());
    let panicked = tokio::spawn(async move {
        let _turn = turn;
        panic!("the exchange failed");
    });
    assert!(panicked.await.expect_err("it panicked").is_panic());
    drop(assert_ready_ok!(next.poll()));
    assert_idle(&lanes);
}

// === limits ===

#[tokio::test]
async fn the_seventeenth_finds_the_lane_full() {
    let lanes = lanes();
    let mut tickets: Vec<_> = (0..16).map(|_| lanes.join(1).expect("a place")).collect();
    let error = lanes.join(1).expect_err("it is full");
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(error.to_string(), "the session's lane is full");
    assert_eq!((lanes.len(), lanes.waiting()), (1, 15));
    // Another lane is not touched by it, and one that leaves makes room.
    drop(lanes.join(2).expect("a place"));
    drop(tickets.remove(7));
    assert_eq!(lanes.join(1).expect("a place").ahead(), 15);
}

#[tokio::test]
async fn the_sum_of_all_who_wait_is_bounded_and_the_first_of_a_lane_never_counts() {
    let lanes = Lanes::new(Limits::default().waiting(2));
    let first: Vec<_> = (0..100).map(|key| lanes.join(key).expect("a place")).collect();
    let one = lanes.join(1).expect("a place");
    let two = lanes.join(2).expect("a place");
    let error = lanes.join(3).expect_err("two wait already");
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(error.to_string(), "too many requests wait in all lanes together");
    assert_eq!(lanes.waiting(), 2);
    // Whoever gets the turn waits no longer.
    drop(first);
    let turn = one.turn().await.expect("the turn");
    assert_eq!(lanes.waiting(), 1);
    let three = lanes.join(2).expect("a place");
    drop((turn, two, three));
    assert_idle(&lanes);
}

#[test]
fn a_depth_of_zero_counts_as_one() {
    let lanes = Lanes::new(Limits::default().depth(0));
    let ticket = lanes.join(1).expect("a place");
    assert_eq!(lanes.join(1).expect_err("it is full").kind(), ErrorKind::Full);
    drop(ticket);
    drop(lanes.join(1).expect("a place"));
    assert_idle(&lanes);
}

// === the clock ===

#[tokio::test(start_paused = true)]
async fn the_default_wait_is_six_seconds_to_the_millisecond() {
    let lanes = lanes();
    let turn = lanes.join(1).expect("a place").turn().await.expect("the turn");
    let started = Instant::now();
    let error = lanes.join(1).expect("a place").turn().await.expect_err("nobody left");
    assert_eq!(started.elapsed(), Duration::from_secs(6));
    assert_eq!(error.kind(), ErrorKind::WaitedTooLong);
    assert_eq!(error.to_string(), "waited too long for the turn");
    assert_eq!((lanes.len(), lanes.waiting()), (1, 0));
    drop(turn);
    assert_idle(&lanes);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_limit_and_not_before() {
    let lanes = lanes();
    let turn = lanes.join(1).expect("a place").turn().await.expect("the turn");
    let mut short = task::spawn(lanes.join(1).expect("a place").turn_within(Duration::from_millis(250)));
    let mut long = task::spawn(lanes.join(1).expect("a place").turn_within(FOREVER));
    assert_pending!(short.poll());
    assert_pending!(long.poll());
    time::advance(Duration::from_millis(249)).await;
    assert!(!short.is_woken());
    assert_pending!(short.poll());
    time::advance(Duration::from_millis(1)).await;
    assert!(short.is_woken());
    assert_eq!(assert_ready_err!(short.poll()).kind(), ErrorKind::WaitedTooLong);
    // Its place was given up at once, not with the future.
    assert_eq!(lanes.waiting(), 1);
    drop(turn);
    time::advance(Duration::from_secs(86_400)).await;
    drop(assert_ready_ok!(long.poll()));
    assert_idle(&lanes);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_comes_with_the_deadline_is_taken() {
    let lanes = lanes();
    let turn = lanes.join(1).expect("a place").turn().await.expect("the turn");
    let mut next = task::spawn(lanes.join(1).expect("a place").turn_within(Duration::from_secs(1)));
    assert_pending!(next.poll());
    time::advance(Duration::from_secs(1)).await;
    drop(turn);
    drop(assert_ready_ok!(next.poll()));
    assert_idle(&lanes);
}

#[tokio::test(start_paused = true)]
async fn no_wait_at_all_takes_a_turn_that_is_there_and_no_other() {
    let lanes = lanes();
    let turn = lanes.join(1).expect("a place").turn_within(Duration::ZERO).await.expect("the turn");
    let waits = lanes.join(1).expect("a place").turn_within(Duration::ZERO).await;
    assert_eq!(waits.expect_err("not yet").kind(), ErrorKind::WaitedTooLong);
    let ticket = lanes.join(1).expect("a place");
    drop(turn);
    drop(ticket.turn_within(Duration::ZERO).await.expect("the turn"));
    assert_idle(&lanes);
}

#[test]
fn the_first_and_whoever_waits_forever_need_no_clock() {
    let lanes = lanes();
    let turn = assert_ready_ok!(task::spawn(lanes.join(1).expect("a place").turn()).poll());
    let mut next = task::spawn(lanes.join(1).expect("a place").turn_within(FOREVER));
    assert_pending!(next.poll());
    drop(turn);
    drop(assert_ready_ok!(next.poll()));
    assert_idle(&lanes);
}

// === closing ===

#[tokio::test]
async fn closing_ends_the_waits_and_refuses_newcomers_and_lets_the_turn_run() {
    let lanes = lanes();
    let turn = lanes.join(1).expect("a place").turn().await.expect("the turn");
    let mut waiting = task::spawn(lanes.join(1).expect("a place").turn());
    let silent = lanes.join(1).expect("a place");
    let first = lanes.join(2).expect("a place");
    assert_pending!(waiting.poll());
    lanes.clone().close();
    assert!(waiting.is_woken());
    let error = assert_ready_err!(waiting.poll());
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Closed, "the lanes are closed"));
    assert_eq!(silent.turn().await.expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!(lanes.join(1).expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!(lanes.join(3).expect_err("closed").kind(), ErrorKind::Closed);
    // Who was first in its lane has its turn, asked for or not.
    assert_eq!((lanes.len(), lanes.waiting()), (2, 0));
    drop(first.turn().await.expect("the turn"));
    drop(turn);
    lanes.close();
    assert_eq!((lanes.len(), lanes.waiting()), (0, 0));
}

/// A waker runs foreign code: an executor that is gone drops its task there and then, ticket and all.
#[test]
fn a_waker_that_drops_a_ticket_does_not_lock_the_lanes_up() {
    struct Drops(Mutex<Option<Ticket<Key>>>);

    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().expect("no panic").take());
        }
    }

    fn asking(lanes: &Lanes<Key>) -> Pin<Box<dyn Future<Output = Result<Turn<Key>, Error>> + Send>> {
        let mut future = Box::pin(lanes.join(1).expect("a place").turn_within(FOREVER));
        let other = lanes.join(1).expect("a place");
        let waker = Waker::from(Arc::new(Drops(Mutex::new(Some(other)))));
        assert_pending!(future.as_mut().poll(&mut Context::from_waker(&waker)));
        future
    }

    let (done, ends) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let lanes = lanes();
        let turn = lanes.join(1).expect("a place");
        let waits = asking(&lanes);
        drop(turn);
        drop(waits);
        assert_idle(&lanes);

        let turn = lanes.join(1).expect("a place");
        let waits = asking(&lanes);
        lanes.close();
        assert_eq!(lanes.waiting(), 1, "the waker dropped its ticket");
        drop((turn, waits));
        assert!(lanes.is_empty());
        done.send(()).expect("somebody listens");
    });
    // The time is that of a failure: a locked shard stays locked.
    ends.recv_timeout(Duration::from_secs(20)).expect("the lanes are not locked up");
    thread.join().expect("no panic");
}

// === many at once ===

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn never_two_at_once_with_many_tasks_on_many_threads() {
    const KEYS: usize = 8;
    const TASKS: usize = 128;

    let lanes = Lanes::new(Limits::default());
    let flying: Arc<Vec<AtomicU32>> = Arc::new((0..KEYS).map(|_| AtomicU32::new(0)).collect());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..TASKS {
        let lanes = lanes.clone();
        let flying = Arc::clone(&flying);
        tasks.spawn(async move {
            for round in 0..200 {
                let key = (number + round) % KEYS;
                // A lane may be full, since the tasks walk over all of them.
                let Ok(ticket) = lanes.join(key) else {
                    tokio::task::yield_now().await;
                    continue;
                };
                if (number + round) % 5 == 0 {
                    // Gives up after some looks, whatever they said.
                    let mut turn = std::pin::pin!(ticket.turn_within(FOREVER));
                    let looks = std::future::poll_fn(|context| Poll::Ready(turn.as_mut().poll(context)));
                    if let Poll::Ready(turn) = looks.await {
                        drop(turn.expect("nobody closes"));
                    }
                    continue;
                }
                let turn = ticket.turn_within(FOREVER).await.expect("nobody closes");
                assert_eq!(flying[key].fetch_add(1, Ordering::SeqCst), 0, "two at once for {key}");
                tokio::task::yield_now().await;
                flying[key].fetch_sub(1, Ordering::SeqCst);
                drop(turn);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no task panics");
    }
    assert!(lanes.is_empty());
    assert_eq!(lanes.waiting(), 0);
}

// === what others rely on ===

#[test]
fn tickets_and_turns_go_where_requests_go() {
    fn send<T: Send + 'static>() {}
    fn sync<T: Sync>() {}
    send::<Lanes<String>>();
    send::<Ticket<String>>();
    send::<Turn<String>>();
    sync::<Lanes<String>>();
    sync::<Turn<String>>();
    sync::<Error>();
}

fn lanes() -> Lanes<Key> {
    Lanes::new(Limits::default())
}

/// Nothing is left, and whoever comes next has the turn at once.
fn assert_idle(lanes: &Lanes<Key>) {
    assert!(lanes.is_empty());
    assert_eq!(lanes.waiting(), 0);
    let ticket = lanes.join(1).expect("a place");
    assert_eq!(ticket.ahead(), 0);
    drop(assert_ready!(task::spawn(ticket.turn()).poll()).expect("the turn"));
    assert!(lanes.is_empty());
}
