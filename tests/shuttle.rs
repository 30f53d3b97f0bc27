//! The lane's own code under 220,000 schedules that shuttle makes up, half of them at random, half by PCT:
//!
//! ```text
//! RUSTFLAGS="--cfg onelane_shuttle" cargo test --release --no-default-features --test shuttle
//! ```
//!
//! A schedule that fails is printed; `shuttle::replay` runs it again. Shuttle itself finds lost wake-ups: a task
//! that waits for a turn that never comes is a deadlock.
#![cfg(onelane_shuttle)]

use std::{
    cell::Cell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use onelane::lane::{ErrorKind, Lanes, Limits, Ticket};
use shuttle::{
    current::{me, set_label_for_task},
    future::{JoinHandle, block_on, spawn, yield_now},
};
use shuttle_dashmap::{DashMap, Entry};
use shuttle_tokio::{
    sync::Semaphore,
    time::{clear_triggers, trigger_timeouts},
};

/// For each of the eleven scenarios.
const SCHEDULES: usize = 20_000;

/// Schedules in which a flaw must be found.
const ENOUGH: usize = 2_000;

/// Preemptions at the points that PCT chooses.
const DEPTH: usize = 3;

const FOREVER: Duration = Duration::MAX;

thread_local! {
    /// Whether two were seen in flight. All tasks of a search are on the thread of its test, and after the first that panics others
    /// run on while it unwinds: what they panic with may be told in its place.
    static CLASHED: Cell<bool> = const { Cell::new(false) };
}

/// Marks a task whose wait may be ended by [`trigger_timeouts`].
#[derive(Clone, Debug)]
struct Impatient;

/// Who is in flight, for each of two keys, and who was, in order.
#[derive(Clone, Default)]
struct Upstream(Arc<[AtomicU32; 2]>, Arc<Mutex<Vec<u32>>>);

// === impl Upstream ===

impl Upstream {
    /// One exchange. It stands still in the middle, so that another would be seen.
    async fn exchange(&self, key: usize, who: u32) {
        Self::is_alone(key, self.0[key].fetch_add(1, Ordering::SeqCst), 0);
        self.1.lock().expect("no panic").push(who);
        yield_now().await;
        // Either may be the first to see it: a task that panics lets others run while it unwinds.
        Self::is_alone(key, self.0[key].fetch_sub(1, Ordering::SeqCst), 1);
    }

    #[track_caller]
    fn is_alone(key: usize, were: u32, expected: u32) {
        if were != expected {
            CLASHED.set(true);
            panic!("two in flight for key {key}");
        }
    }

    fn order(&self) -> Vec<u32> {
        self.1.lock().expect("no panic").clone()
    }
}

// === scenarios ===

#[test]
fn workers_on_one_key() {
    explore(|lanes, upstream| async move {
        all((0..4).map(|who| spawn(stays(lanes.clone(), upstream.clone(), 0, who, 2))).collect()).await;
        assert_eq!(upstream.order().len(), 8);
    });
}

#[test]
fn workers_on_two_keys() {
    explore(|lanes, upstream| async move {
        let both = {
            let (lanes, upstream) = (lanes.clone(), upstream.clone());
            spawn(async move {
                for key in [0, 1] {
                    stays(lanes.clone(), upstream.clone(), key, 9, 1).await;
                }
            })
        };
        let worker = |who: u32| spawn(stays(lanes.clone(), upstream.clone(), (who % 2) as usize, who, 2));
        all((0..4).map(worker).chain([both]).collect()).await;
        assert_eq!(upstream.order().len(), 10);
    });
}

#[test]
fn tickets_that_never_ask() {
    explore(|lanes, upstream| async move {
        let silent = || {
            let lanes = lanes.clone();
            spawn(async move {
                for _ in 0..2 {
                    let ticket = join(&lanes, 0);
                    yield_now().await;
                    drop(ticket);
                }
            })
        };
        let mut tasks = vec![silent(), silent()];
        tasks.extend((0..3).map(|who| spawn(stays(lanes.clone(), upstream.clone(), 0, who, 1))));
        all(tasks).await;
        assert_eq!(upstream.order().len(), 3);
    });
}

#[test]
fn waits_that_are_dropped_half_way() {
    explore(|lanes, upstream| async move {
        let leaves = |looks| {
            let (lanes, upstream) = (lanes.clone(), upstream.clone());
            spawn(async move {
                let mut turn = Box::pin(join(&lanes, 0).turn_within(FOREVER));
                for _ in 0..looks {
                    if let Poll::Ready(turn) = look(turn.as_mut()) {
                        let _turn = turn.expect("nobody closes");
                        return upstream.exchange(0, 9).await;
                    }
                    yield_now().await;
                }
            })
        };
        let mut tasks = vec![leaves(0), leaves(1), leaves(2)];
        tasks.extend((0..3).map(|who| spawn(stays(lanes.clone(), upstream.clone(), 0, who, 1))));
        all(tasks).await;
        assert_eq!(upstream.order().iter().filter(|who| **who < 3).count(), 3);
    });
}

#[test]
fn waits_that_time_out() {
    explore(|lanes, upstream| async move {
        let impatient = || {
            let (lanes, upstream) = (lanes.clone(), upstream.clone());
            spawn(async move {
                set_label_for_task(me(), Impatient);
                match join(&lanes, 0).turn().await {
                    Ok(_turn) => upstream.exchange(0, 9).await,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WaitedTooLong),
                }
            })
        };
        let mut tasks = vec![impatient(), impatient()];
        tasks.extend((0..3).map(|who| spawn(stays(lanes.clone(), upstream.clone(), 0, who, 1))));
        tasks.push(spawn(async { trigger_timeouts(|labels| labels.get::<Impatient>().is_some()) }));
        all(tasks).await;
        assert_eq!(upstream.order().iter().filter(|who| **who < 3).count(), 3);
    });
}

#[test]
fn the_first_leaves_while_a_second_joins() {
    explore(|lanes, upstream| async move {
        let first = join(&lanes, 0);
        let second = spawn(stays(lanes.clone(), upstream.clone(), 0, 2, 1));
        let third = {
            let lanes = lanes.clone();
            spawn(async move { drop(join(&lanes, 0)) })
        };
        drop(first);
        let newcomer = spawn(stays(lanes.clone(), upstream.clone(), 0, 4, 1));
        all(vec![second, third, newcomer]).await;
        assert_eq!(upstream.order().len(), 2);
    });
}

#[test]
fn turns_come_in_the_order_of_joining() {
    explore(|lanes, upstream| async move {
        let tickets: Vec<_> = (0..4).map(|_| join(&lanes, 0)).collect();
        let ask = |(who, ticket): (usize, Ticket<usize>)| {
            let upstream = upstream.clone();
            spawn(async move {
                let _turn = ticket.turn_within(FOREVER).await.expect("nobody closes");
                upstream.exchange(0, who as u32).await;
            })
        };
        all(tickets.into_iter().enumerate().rev().map(ask).collect()).await;
        assert_eq!(upstream.order(), [0, 1, 2, 3]);
    });
}

#[test]
fn leaving_changes_nobody_elses_order() {
    explore(|lanes, upstream| async move {
        let tickets: Vec<_> = (0..5).map(|_| join(&lanes, 0)).collect();
        let ask = |(who, ticket): (usize, Ticket<usize>)| {
            let upstream = upstream.clone();
            spawn(async move {
                let mut turn = Box::pin(ticket.turn_within(FOREVER));
                if who % 2 == 1 {
                    // Those who leave look once: some have been granted the turn by then, some not.
                    return drop(look(turn.as_mut()));
                }
                let _turn = turn.await.expect("nobody closes");
                upstream.exchange(0, who as u32).await;
            })
        };
        all(tickets.into_iter().enumerate().map(ask).collect()).await;
        assert_eq!(upstream.order(), [0, 2, 4]);
    });
}

#[test]
fn closing_while_some_wait() {
    explore_with(
        &Limits::default(),
        |lanes, upstream| async move {
            let worker = |who| {
                let (lanes, upstream) = (lanes.clone(), upstream.clone());
                spawn(async move {
                    let turn = match lanes.join(0) {
                        Ok(ticket) => ticket.turn_within(FOREVER).await,
                        Err(error) => Err(error),
                    };
                    match turn {
                        Ok(_turn) => upstream.exchange(0, who).await,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
                    }
                })
            };
            let mut tasks: Vec<_> = (0..4).map(worker).collect();
            let closes = lanes.clone();
            tasks.push(spawn(async move { closes.close() }));
            all(tasks).await;
        },
        assert_closed,
    );
}

#[test]
fn closing_ends_every_wait_while_the_turn_is_out() {
    explore_with(
        &Limits::default(),
        |lanes, _| async move {
            let turn = join(&lanes, 0).turn().await.expect("it is the first");
            let waits = || {
                let lanes = lanes.clone();
                spawn(async move {
                    let Ok(ticket) = lanes.join(0) else { return };
                    let error = ticket.turn_within(FOREVER).await.expect_err("the turn is out");
                    assert_eq!(error.kind(), ErrorKind::Closed);
                })
            };
            let closes = lanes.clone();
            let tasks = vec![waits(), spawn(async move { closes.close() }), waits()];
            // Whoever slips past the closing waits for a turn that ends only after it: a deadlock.
            all(tasks).await;
            drop(turn);
        },
        assert_closed,
    );
}

#[test]
fn limits_hold_and_refuse_nobody_for_nothing() {
    explore_with(
        &Limits::default().depth(2).waiting(1),
        |lanes, upstream| async move {
            let refused = Arc::new(AtomicU32::new(0));
            let worker = |who: u32| {
                let (lanes, upstream, refused) = (lanes.clone(), upstream.clone(), Arc::clone(&refused));
                spawn(async move {
                    let key = (who % 2) as usize;
                    let Ok(ticket) = lanes.join(key) else {
                        refused.fetch_add(1, Ordering::SeqCst);
                        return;
                    };
                    assert!(ticket.ahead() < 2);
                    assert!(lanes.waiting() <= 1, "more wait than may");
                    let _turn = ticket.turn_within(FOREVER).await.expect("nobody closes");
                    upstream.exchange(key, who).await;
                })
            };
            all((0..5).map(worker).collect()).await;
            let served = upstream.order().len();
            assert_eq!(served + refused.load(Ordering::SeqCst) as usize, 5);
            // The first of each key is never refused.
            assert!(served >= 2);
        },
        assert_idle,
    );
}

// === flaws that must be found ===

/// What is wrong with a [`Model`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    /// Nothing: the model is a lane, so what is found below is the flaw's.
    None,
    /// The lane goes with the first that is done, whoever waits in it.
    LaneGoesWithItsFirst,
    /// The place ends when the turn comes, instead of with the turn.
    PlaceEndsWithTheWait,
    /// The count is looked at and the lane removed in two steps.
    CountedThenRemoved,
    /// Whoever leaves takes the turn along that had come to it.
    TurnLeavesWithItsTicket,
}

/// A lane of the same parts in a few lines, with a flaw.
#[derive(Clone)]
struct Model {
    slots: Arc<DashMap<usize, (u32, Arc<Semaphore>)>>,
    flaw: Flaw,
}

// === impl Model ===

impl Model {
    fn join(&self, key: usize) -> Arc<Semaphore> {
        match self.slots.entry(key) {
            Entry::Vacant(vacant) => {
                let line = Arc::new(Semaphore::new(1));
                vacant.insert((1, Arc::clone(&line)));
                line
            }
            Entry::Occupied(mut occupied) => {
                let (users, line) = occupied.get_mut();
                *users += 1;
                Arc::clone(line)
            }
        }
    }

    fn leave(&self, key: usize) {
        let mut last = false;
        self.slots.remove_if_mut(&key, |_, (users, _)| {
            *users = users.saturating_sub(1);
            last = *users == 0 || self.flaw == Flaw::LaneGoesWithItsFirst;
            last && self.flaw != Flaw::CountedThenRemoved
        });
        if last && self.flaw == Flaw::CountedThenRemoved {
            self.slots.remove(&key);
        }
    }

    async fn stays(self, upstream: Upstream, who: u32) {
        for _ in 0..2 {
            let permit = self.join(0).acquire_owned().await.expect("nobody closes");
            if self.flaw == Flaw::PlaceEndsWithTheWait {
                self.leave(0);
            }
            upstream.exchange(0, who).await;
            drop(permit);
            if self.flaw != Flaw::PlaceEndsWithTheWait {
                self.leave(0);
            }
        }
    }

    async fn leaves(self) {
        let mut acquire = Box::pin(self.join(0).acquire_owned());
        for _ in 0..2 {
            if let Poll::Ready(permit) = look(acquire.as_mut()) {
                let permit = permit.expect("nobody closes");
                if self.flaw == Flaw::TurnLeavesWithItsTicket {
                    permit.forget();
                }
                break;
            }
            yield_now().await;
        }
        drop(acquire);
        self.leave(0);
    }

    async fn scenario(self) {
        let upstream = Upstream::default();
        let mut tasks: Vec<_> = (0..3).map(|who| spawn(self.clone().stays(upstream.clone(), who))).collect();
        tasks.push(spawn(self.clone().leaves()));
        all(tasks).await;
        assert!(self.slots.is_empty(), "a lane is left");
    }
}

#[test]
fn a_model_without_a_flaw_passes() {
    assert_eq!(found(Flaw::None), None);
}

#[test]
fn a_lane_that_goes_with_its_first_is_caught() {
    assert_found(Flaw::LaneGoesWithItsFirst, "two in flight");
}

#[test]
fn a_place_that_ends_with_the_wait_is_caught() {
    assert_found(Flaw::PlaceEndsWithTheWait, "two in flight");
}

#[test]
fn a_count_and_a_removal_in_two_steps_are_caught() {
    assert_found(Flaw::CountedThenRemoved, "two in flight");
}

#[test]
fn a_turn_that_leaves_with_its_ticket_is_caught() {
    assert_found(Flaw::TurnLeavesWithItsTicket, "deadlock");
}

#[track_caller]
fn assert_found(flaw: Flaw, how: &str) {
    let text = found(flaw).unwrap_or_else(|| panic!("{flaw:?} went unseen in {ENOUGH} schedules"));
    assert!(text.contains(how), "{flaw:?} was seen otherwise: {text}");
}

/// What a search finds, if anything.
fn found(flaw: Flaw) -> Option<String> {
    let search = move || {
        let model = Model { slots: Arc::default(), flaw };
        block_on(model.scenario());
    };
    let panic = catch_unwind(AssertUnwindSafe(|| shuttle::check_random(search, ENOUGH))).err()?;
    if CLASHED.take() {
        return Some("two in flight".to_owned());
    }
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
}

// === pieces ===

fn explore<F, S>(scenario: F)
where
    F: Fn(Lanes<usize>, Upstream) -> S + Clone + Send + Sync + 'static,
    S: Future<Output = ()>,
{
    explore_with(&Limits::default(), scenario, assert_idle);
}

/// Runs the scenario under every schedule, and then looks what it left.
fn explore_with<F, S>(limits: &Limits, scenario: F, after: fn(&Lanes<usize>))
where
    F: Fn(Lanes<usize>, Upstream) -> S + Clone + Send + Sync + 'static,
    S: Future<Output = ()>,
{
    let limits = limits.clone();
    let run = move || {
        clear_triggers();
        let lanes = Lanes::new(limits.clone());
        block_on(scenario(lanes.clone(), Upstream::default()));
        assert!(lanes.is_empty(), "a lane is left");
        assert_eq!(lanes.waiting(), 0, "somebody is counted who waits no more");
        after(&lanes);
    };
    shuttle::check_random(run.clone(), SCHEDULES / 2);
    shuttle::check_pct(run, SCHEDULES / 2, DEPTH);
}

/// Whoever comes next has the turn at once.
fn assert_idle(lanes: &Lanes<usize>) {
    for key in [0, 1] {
        let ticket = join(lanes, key);
        assert_eq!(ticket.ahead(), 0);
        assert!(matches!(look(pin!(ticket.turn())), Poll::Ready(Ok(_))), "the newcomer has to wait");
    }
    assert!(lanes.is_empty());
}

fn assert_closed(lanes: &Lanes<usize>) {
    assert_eq!(lanes.join(0).expect_err("closed").kind(), ErrorKind::Closed);
}

/// Takes so many turns one after the other, however long it has to wait.
async fn stays(lanes: Lanes<usize>, upstream: Upstream, key: usize, who: u32, turns: u32) {
    for _ in 0..turns {
        let _turn = join(&lanes, key).turn().await.expect("nobody closes, and its clock stands still");
        upstream.exchange(key, who).await;
    }
}

fn join(lanes: &Lanes<usize>, key: usize) -> Ticket<usize> {
    lanes.join(key).expect("there is room")
}

/// Polls once, and will not be woken.
fn look<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

async fn all(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.await.expect("no task is aborted");
    }
}
