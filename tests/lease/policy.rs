//! When the engine is asked, and when it is not, by a clock that the test moves.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use onelane::{
    lease::{Answer, BUDGET, Grant, LeaseId, LeaseStore, Leases, StoreError, Token, Wakes},
    serialize::{KeepTurn, SerializeLayer},
    session::{SessionId, SessionKey},
    shield::{Allowance, Config, Quota, Scope},
};
use tokio::time::{Instant, sleep, timeout};
use tower::{BoxError, Layer as _, Service as _, service_fn};

const HOLD: Duration = Duration::from_secs(10);

/// An engine in this process, which several instances share.
#[derive(Debug, Clone, Default)]
struct Engine(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    held: Mutex<HashMap<LeaseId, String>>,
    /// 4xx of all instances, by configuration; nobody here waits for a minute to be over.
    spent: Mutex<HashMap<u64, u32>>,
    /// How long each call takes, and whether it fails then.
    slow: Mutex<Duration>,
    fails: Mutex<bool>,
    /// Whoever calls it panics.
    panics: AtomicBool,
    /// It is full: it grants nothing, and does all else.
    full: AtomicBool,
    /// How many calls at once are more than it can answer in time; 0 for no such number.
    crowd: AtomicUsize,
    calls: AtomicUsize,
    asked: AtomicUsize,
    renewed: AtomicUsize,
    revived: AtomicUsize,
    wakes: Mutex<Vec<Wakes>>,
}

impl Engine {
    fn call<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Answer<'static, T> {
        let shared = Arc::clone(&self.0);
        // What was asked is done, whether or not anybody hears of it.
        let done = tokio::spawn(async move {
            let slow = *shared.slow.lock().expect("no panic");
            let (calls, crowd) =
                (shared.calls.fetch_add(1, Ordering::Relaxed) + 1, shared.crowd.load(Ordering::Relaxed));
            sleep(if crowd > 0 && calls > crowd { HOLD } else { slow }).await;
            shared.calls.fetch_sub(1, Ordering::Relaxed);
            match *shared.fails.lock().expect("no panic") {
                true => Err(StoreError::new("it fails")),
                false => Ok(what(&shared)),
            }
        });
        Box::pin(async move { done.await.expect("no panic") })
    }

    fn may_panic(&self) {
        assert!(!self.0.panics.load(Ordering::Relaxed), "it panics, as it is meant to");
    }

    fn is(&self, slow: Duration, fails: bool) {
        *self.0.slow.lock().expect("no panic") = slow;
        *self.0.fails.lock().expect("no panic") = fails;
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    fn renewed(&self) -> usize {
        self.0.renewed.load(Ordering::Relaxed)
    }

    fn held(&self) -> usize {
        self.0.held.lock().expect("no panic").len()
    }
}

impl LeaseStore for Engine {
    fn revive(&self, wakes: Wakes) -> Answer<'_, ()> {
        self.may_panic();
        self.0.revived.fetch_add(1, Ordering::Relaxed);
        self.0.wakes.lock().expect("no panic").push(wakes);
        self.call(|_| ())
    }

    fn acquire(&self, lease: &LeaseId, token: &Token, _: Duration) -> Answer<'_, Grant> {
        self.may_panic();
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        if self.0.full.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(StoreError::new("it is full"))));
        }
        let (lease, token) = (*lease, token.as_str().to_owned());
        self.call(move |shared| {
            let mut held = shared.held.lock().expect("no panic");
            match held.get(&lease) {
                Some(_) => Grant::Taken,
                None => {
                    held.insert(lease, token);
                    Grant::Granted
                }
            }
        })
    }

    fn renew(&self, lease: &LeaseId, token: &Token, _: Duration) -> Answer<'_, bool> {
        self.0.renewed.fetch_add(1, Ordering::Relaxed);
        let (lease, token) = (*lease, token.as_str().to_owned());
        self.call(move |shared| shared.held.lock().expect("no panic").get(&lease) == Some(&token))
    }

    fn release(&self, lease: &LeaseId, token: &Token) -> Answer<'_, ()> {
        self.may_panic();
        let (lease, token) = (*lease, token.as_str().to_owned());
        self.call(move |shared| {
            let mut held = shared.held.lock().expect("no panic");
            if held.get(&lease) == Some(&token) {
                held.remove(&lease);
                drop(held);
                shared.wakes.lock().expect("no panic").iter().for_each(|wakes| wakes.next(&lease));
            }
        })
    }

    fn spend(&self, scope: u64, more: u32) -> Answer<'_, u32> {
        self.call(move |shared| {
            let mut spent = shared.spent.lock().expect("no panic");
            let all = spent.entry(scope).or_default();
            *all += more;
            *all
        })
    }
}

fn key() -> SessionKey {
    SessionKey::new(None, None, SessionId::parse("a-session").expect("an id"))
}

async fn start(engine: &Engine) -> Leases {
    let leases = Leases::start(engine.clone());
    leases.tried().await.expect("it is of use");
    leases
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_had_by_one_instance_and_then_by_the_next() {
    let engine = Engine::default();
    let (a, b) = (start(&engine).await, start(&engine).await);
    let first = a.acquire(&key(), HOLD).await;
    assert!(first.is_held());
    let second = tokio::spawn(async move { b.acquire(&key(), HOLD).await });
    sleep(Duration::from_secs(1)).await;
    assert!(!second.is_finished());
    // Told, it asks at once.
    let (told, asked) = (Instant::now(), engine.asked());
    drop(first);
    assert!(second.await.expect("no panic").is_held());
    assert_eq!(told.elapsed(), Duration::ZERO);
    // A poll of its own may fall on the very instant.
    assert!((1..=2).contains(&(engine.asked() - asked)), "{asked}, {}", engine.asked());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_slow_costs_little_and_soon_nothing() {
    let engine = Engine::default();
    let leases = start(&engine).await;
    engine.is(HOLD, false);
    let began = Instant::now();
    for _ in 0..3 {
        assert!(!leases.acquire(&key(), HOLD).await.is_held());
    }
    // The release of a lease that may have been granted counts as well.
    assert!(began.elapsed() <= BUDGET * 3, "{:?}", began.elapsed());
    assert!(leases.trouble().expect("it is of no use").to_string().contains("no answer within 50 ms"));
    let (began, asked) = (Instant::now(), engine.asked());
    for _ in 0..1000 {
        assert!(!leases.acquire(&key(), HOLD).await.is_held());
    }
    assert_eq!((began.elapsed(), engine.asked()), (Duration::ZERO, asked));
    // Well again, it is asked again.
    engine.is(Duration::ZERO, false);
    let well = Instant::now();
    while leases.trouble().is_some() {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(well.elapsed() < Duration::from_secs(3), "{:?}", well.elapsed());
    assert!(leases.acquire(&key(), HOLD).await.is_held());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_panics_is_one_that_fails() {
    let engine = Engine::default();
    let leases = start(&engine).await;
    let held = leases.acquire(&key(), HOLD).await;
    engine.0.panics.store(true, Ordering::Relaxed);
    drop(held);
    for _ in 0..3 {
        assert!(!leases.acquire(&key(), HOLD).await.is_held());
    }
    let trouble = leases.trouble().expect("it is of no use").to_string();
    assert!(trouble.contains("panicked"), "{trouble}");
    // Who keeps it up has met it as well, several times.
    sleep(Duration::from_secs(5)).await;
    engine.0.panics.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(2)).await;
    assert!(leases.acquire(&key(), HOLD).await.is_held());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_grants_nothing_is_of_no_use_whatever_else_it_does() {
    let engine = Engine::default();
    let leases = start(&engine).await;
    engine.0.full.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(leases.trouble(), None);
        assert!(!leases.acquire(&key(), HOLD).await.is_held());
        // It may have been granted, and is given up: with success.
        leases.released().await;
    }
    assert_eq!(leases.trouble().expect("it is of no use").to_string(), "it is full");
}

#[tokio::test(start_paused = true)]
async fn who_waits_does_not_wait_for_an_engine_that_went_away() {
    let engine = Engine::default();
    let (a, b) = (start(&engine).await, start(&engine).await);
    let _first = a.acquire(&key(), HOLD).await;
    let second = tokio::spawn({
        let b = b.clone();
        async move { (b.acquire(&key(), HOLD).await.is_held(), Instant::now()) }
    });
    sleep(Duration::from_secs(1)).await;
    engine.is(Duration::ZERO, true);
    let gone = Instant::now();
    for wakes in engine.0.wakes.lock().expect("no panic").iter() {
        wakes.lost(&StoreError::new("it went away"));
    }
    let (held, at) = second.await.expect("no panic");
    assert!(!held && at - gone < Duration::from_millis(1), "{:?}", at - gone);
    assert_eq!(b.trouble().expect("it went").to_string(), "it went away");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_to_the_end_of_its_turn_and_no_further() {
    let engine = Engine::default();
    let leases = start(&engine).await;
    let lease = leases.acquire(&key(), HOLD).await;
    let renewing = tokio::spawn(lease.renewal(HOLD).expect("it is held"));
    sleep(HOLD + Duration::from_millis(500)).await;
    assert_eq!(engine.renewed(), 10);
    sleep(HOLD * 10).await;
    assert!(!renewing.is_finished());
    assert_eq!(engine.renewed(), 10, "a turn is over by then");
    renewing.abort();
    drop(lease);
    leases.released().await;
    assert_eq!(engine.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_kept_after_its_answer_keeps_its_lease() {
    let engine = Engine::default();
    let leases = start(&engine).await;
    let layer = SerializeLayer::with(Default::default()).leased(Some(leases.clone()));
    let mut player = layer.layer(service_fn(async |_: Request<Empty<Bytes>>| {
        let mut answer = Response::new(Empty::<Bytes>::new());
        answer.extensions_mut().insert(KeepTurn(Duration::from_secs(5)));
        Ok::<_, BoxError>(answer)
    }));
    let uri = "/v1/manifest/acct/Demo/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8";
    let _answer = player.call(Request::get(uri).body(Empty::new()).expect("a request")).await;
    sleep(Duration::from_millis(4_500)).await;
    assert_eq!((engine.renewed(), engine.held()), (4, 1), "its time without being renewed is 3 s");
    sleep(Duration::from_secs(1)).await;
    leases.released().await;
    assert_eq!((engine.renewed(), engine.held()), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_away_is_not_renewed() {
    let engine = Engine::default();
    let leases = start(&engine).await;
    let lease = leases.acquire(&key(), HOLD).await;
    let _renewing = tokio::spawn(lease.renewal(HOLD).expect("it is held"));
    engine.0.held.lock().expect("no panic").clear();
    sleep(HOLD).await;
    assert_eq!(engine.renewed(), 1);
    drop(lease);
    leases.released().await;
    assert_eq!(leases.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_leaves_nothing_behind() {
    let engine = Engine::default();
    let (a, b) = (start(&engine).await, start(&engine).await);
    let first = a.acquire(&key(), HOLD).await;
    let second = tokio::spawn({
        let b = b.clone();
        async move { b.acquire(&key(), HOLD).await }
    });
    sleep(Duration::from_secs(1)).await;
    second.abort();
    assert!(second.await.is_err());
    drop(first);
    a.released().await;
    b.released().await;
    assert_eq!(engine.held(), 0);
    // Given up while it is being asked for: it may have been granted.
    engine.is(Duration::from_millis(10), false);
    let third = tokio::spawn(async move { b.acquire(&key(), HOLD).await });
    sleep(Duration::from_millis(5)).await;
    third.abort();
    a.released().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(engine.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_never_was_there_is_tried_now_and_then() {
    let engine = Engine::default();
    engine.is(Duration::ZERO, true);
    let leases = Leases::start(engine.clone());
    assert_eq!(leases.tried().await, Err(StoreError::new("it fails")));
    sleep(Duration::from_secs(60)).await;
    let tries = engine.0.revived.load(Ordering::Relaxed);
    assert!((60..80).contains(&tries), "{tries}");
    assert_eq!(engine.asked(), 0);
    assert!(!leases.acquire(&key(), HOLD).await.is_held());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_there_and_beyond_the_budget_is_asked_by_no_turn() {
    let engine = Engine::default();
    engine.is(BUDGET * 2, false);
    let leases = Leases::start(engine.clone());
    assert_eq!(leases.tried().await, Err(StoreError::new("no answer within 50 ms")));
    for _ in 0..600 {
        let began = Instant::now();
        assert!(!leases.acquire(&key(), HOLD).await.is_held());
        assert_eq!(began.elapsed(), Duration::ZERO);
        sleep(Duration::from_millis(100)).await;
    }
    let tries = engine.0.revived.load(Ordering::Relaxed);
    assert!((40..80).contains(&tries), "{tries}");
    engine.is(BUDGET / 2, false);
    sleep(Duration::from_secs(2)).await;
    assert!(leases.acquire(&key(), HOLD).await.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_that_of_all_instances_for_as_long_as_they_hear_of_each_other() {
    let engine = Engine::default();
    let (a, b) = (start(&engine).await, start(&engine).await);
    let quota = || Quota::new(&Config::default().configuration_4xx_per_minute(10));
    let (of_a, of_b) = (quota(), quota());
    let spent = Allowance::Spent(Scope::Configuration);
    let allows = |quota: &Quota| quota.allows(&key(), Instant::now());
    // Each of another session's: one that had many may have none of the second half.
    let spend = |quota: &Quota, n| {
        (0..n).for_each(|nth| {
            let id = SessionId::parse(&format!("spends-{nth}")).expect("an id");
            quota.spend(&SessionKey::new(None, None, id), Instant::now());
        });
    };
    // What was before anybody asked is this instance's own matter.
    spend(&of_b, 1);
    of_a.share(&a).await;
    of_b.share(&b).await;
    spend(&of_a, 6);
    spend(&of_b, 2);
    assert_eq!((allows(&of_a), allows(&of_b)), (Allowance::Allow, Allowance::Allow));
    for _ in 0..3 {
        of_a.share(&a).await;
        of_b.share(&b).await;
    }
    assert_eq!(allows(&of_a), Allowance::NearLimit(Scope::Configuration), "8, told once however often");
    spend(&of_a, 2);
    of_a.share(&a).await;
    assert_eq!((allows(&of_a), allows(&of_b)), (spent, Allowance::NearLimit(Scope::Configuration)));
    of_b.share(&b).await;
    assert_eq!(allows(&of_b), spent);
    // Without the engine each goes by its own, after a while.
    engine.is(Duration::ZERO, true);
    sleep(Duration::from_secs(5)).await;
    of_b.share(&b).await;
    assert_eq!(allows(&of_b), spent);
    sleep(Duration::from_secs(6)).await;
    of_b.share(&b).await;
    assert_eq!(allows(&of_b), Allowance::Allow);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_be_told_of_is_forgotten_after_its_minute() {
    let engine = Engine::default();
    let leases = start(&engine).await;
    let quota = Quota::new(&Config::default());
    quota.share(&leases).await;
    engine.is(Duration::ZERO, true);
    let shared = || {
        format!("{quota:?}")
            .split_once("shared: ")
            .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>())
    };
    for nth in 0..50 {
        let id = SessionId::parse(&format!("lost-{nth}")).expect("an id");
        quota.spend(&SessionKey::new(None, Some(&format!("Configuration{nth}")), id), Instant::now());
    }
    assert_eq!(shared().as_deref(), Some("50"));
    // One goes on, and is the first of whom the engine is asked or not.
    for _ in 0..4 {
        sleep(Duration::from_secs(30)).await;
        quota.spend(&key(), Instant::now());
        quota.share(&leases).await;
    }
    assert_eq!(shared().as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_grants_late_is_given_up_as_soon_as_it_is_there_again() {
    let engine = Engine::default();
    let leases = start(&engine).await;
    // One is held when it begins to stand still, and others it grants to somebody who has gone on without.
    let held = leases.acquire(&key(), HOLD).await;
    engine.is(Duration::from_millis(900), false);
    for nth in 0..3 {
        let id = SessionId::parse(&format!("late-{nth}")).expect("an id");
        assert!(!leases.acquire(&SessionKey::new(None, None, id), HOLD).await.is_held());
    }
    assert!(leases.trouble().is_some());
    drop(held);
    sleep(Duration::from_secs(1)).await;
    assert!(engine.held() > 1, "nobody could tell it");
    engine.is(Duration::ZERO, false);
    while leases.trouble().is_some() {
        sleep(Duration::from_millis(10)).await;
    }
    leases.released().await;
    assert_eq!(engine.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_failed_once_is_told_again_while_the_engine_is_there() {
    let engine = Engine::default();
    let (a, b) = (start(&engine).await, start(&engine).await);
    let first = a.acquire(&key(), HOLD).await;
    engine.is(Duration::ZERO, true);
    drop(first);
    sleep(Duration::from_millis(1)).await;
    engine.is(Duration::ZERO, false);
    let began = Instant::now();
    let second = timeout(HOLD, b.acquire(&key(), HOLD)).await;
    assert!(second.is_ok_and(|lease| lease.is_held()));
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    assert_eq!((a.trouble(), b.trouble()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_told_again_ends_when_the_lease_has() {
    let engine = Engine::default();
    let leases = start(&engine).await;
    let lease = leases.acquire(&key(), HOLD).await;
    engine.is(Duration::ZERO, true);
    drop(lease);
    let began = Instant::now();
    leases.released().await;
    assert!(
        (Duration::from_secs(3)..Duration::from_secs(4)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    // The first failure alone is one of its health.
    assert_eq!(leases.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_what_is_owed_does_not_bring_the_engine_down_again() {
    let engine = Engine::default();
    let leases = start(&engine).await;
    let mut held = Vec::new();
    for nth in 0..1000 {
        let id = SessionId::parse(&format!("owed-{nth}")).expect("an id");
        held.push(leases.acquire(&SessionKey::new(None, None, id), HOLD).await);
    }
    let lost = |why: &str| {
        let wakes = engine.0.wakes.lock().expect("no panic").clone();
        wakes.iter().for_each(|wakes| wakes.lost(&StoreError::new(why)));
    };
    engine.is(Duration::ZERO, true);
    lost("it went away");
    drop(held);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(engine.held(), 1000);
    // Back, it is slow under a crowd.
    engine.is(Duration::from_millis(10), false);
    engine.0.crowd.store(500, Ordering::Relaxed);
    while leases.trouble().is_some() {
        sleep(Duration::from_millis(10)).await;
    }
    let revived = engine.0.revived.load(Ordering::Relaxed);
    leases.released().await;
    assert_eq!(engine.held(), 0);
    assert_eq!((leases.trouble(), engine.0.revived.load(Ordering::Relaxed)), (None, revived));
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_a_minute_is_not_told_after_an_outage() {
    let engine = Engine::default();
    let leases = start(&engine).await;
    let quota = Quota::new(&Config::default());
    let spend = |n| (0..n).for_each(|_| quota.spend(&key(), Instant::now()));
    quota.share(&leases).await;
    engine.is(Duration::ZERO, true);
    spend(50);
    // Each of these fails, until nobody asks any more.
    for _ in 0..3 {
        quota.share(&leases).await;
    }
    assert!(leases.trouble().is_some());
    sleep(Duration::from_secs(120)).await;
    engine.is(Duration::ZERO, false);
    while leases.trouble().is_some() {
        sleep(Duration::from_millis(10)).await;
    }
    spend(2);
    quota.share(&leases).await;
    assert_eq!(leases.spend(key().scope_id(), 0).await, Some(2));
}
