//! What a real Redis makes of it: who is next, what is left.

use std::{sync::Arc, time::Duration};

use onelane::{
    lease::{
        LeaseId, Leases,
        redis::{LeaseUrl, Redis as Store},
    },
    session::{SessionId, SessionKey},
};
use tokio::task::JoinSet;

use crate::redis::{Redis, until};

const HOLD: Duration = Duration::from_secs(10);

fn key(nth: u32) -> SessionKey {
    let id = SessionId::parse(&format!("6f1b7c52-30aa-4c1e-9d0f-{nth:012x}")).expect("an id");
    SessionKey::new(None, None, id)
}

fn line(key: &SessionKey) -> String {
    format!("onelane:{{{}}}line", LeaseId::of(key.id()))
}

async fn instance(redis: &Redis) -> Leases {
    let url: LeaseUrl = redis.url().parse().expect("a URL");
    // However busy the machine is.
    let leases = Leases::within(HOLD, Store::new(url));
    assert_eq!(leases.tried().await, Ok(()));
    leases
}

#[tokio::test]
async fn instances_have_it_in_the_order_in_which_they_asked() {
    let redis = Redis::start(&[]).await;
    let [a, b, c] = [instance(&redis).await, instance(&redis).await, instance(&redis).await];
    let (line, order) = (line(&key(1)), Arc::new(std::sync::Mutex::new(Vec::new())));
    let first = a.acquire(&key(1), HOLD).await;
    assert!(first.is_held());
    let mut others = JoinSet::new();
    // The first asks again: it is behind those who came before.
    for (nth, (name, leases)) in [("b", &b), ("c", &c), ("a", &a)].into_iter().enumerate() {
        let (leases, order) = (leases.clone(), Arc::clone(&order));
        others.spawn(async move {
            let lease = leases.acquire(&key(1), HOLD).await;
            assert!(lease.is_held());
            order.lock().expect("no panic").push(name);
        });
        until("it is in line", || async {
            (redis.ask(&["llen", &line]).await == (nth + 1).to_string()).then_some(())
        })
        .await;
    }
    // Another session is no matter of theirs.
    assert!(b.acquire(&key(2), HOLD).await.is_held());
    drop(first);
    others.join_all().await;
    assert_eq!(*order.lock().expect("no panic"), ["b", "c", "a"]);
    for leases in [a, b, c] {
        leases.released().await;
        assert_eq!(leases.trouble(), None);
    }
    until("nothing is left", || async { (redis.ask(&["dbsize"]).await == "0").then_some(()) }).await;
}

#[tokio::test]
async fn no_instance_starves() {
    const TURNS: usize = 100;
    let redis = Redis::start(&[]).await;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut all = JoinSet::new();
    // Each wants its next turn as soon as it has had the last.
    for nth in 0..3 {
        let (leases, order) = (instance(&redis).await, Arc::clone(&order));
        all.spawn(async move {
            for _ in 0..TURNS {
                let lease = leases.acquire(&key(1), HOLD).await;
                assert!(lease.is_held());
                order.lock().expect("no panic").push(nth);
                drop(lease);
                leases.released().await;
            }
        });
    }
    all.join_all().await;
    let order = order.lock().expect("no panic");
    let longest = |nth| {
        let turns: Vec<_> = (0..order.len()).filter(|&at| order[at] == nth).collect();
        turns.windows(2).map(|pair| pair[1] - pair[0] - 1).max().expect("turns")
    };
    // The others may each have had a turn before it asked, and one while it was in line.
    let longest = [0, 1, 2].map(longest);
    assert!(longest.iter().all(|&others| others <= 4), "{longest:?} turns of others between two of one");
}

#[tokio::test]
async fn who_left_the_line_is_passed_over() {
    let redis = Redis::start(&[]).await;
    let [a, b, c] = [instance(&redis).await, instance(&redis).await, instance(&redis).await];
    let line = line(&key(1));
    let first = a.acquire(&key(1), HOLD).await;
    let ask = |leases: &Leases| {
        let leases = leases.clone();
        tokio::spawn(async move { leases.acquire(&key(1), HOLD).await.is_held() })
    };
    let leaves = ask(&b);
    until("b is in line", || async { (redis.ask(&["llen", &line]).await == "1").then_some(()) }).await;
    let waits = ask(&c);
    until("c is in line", || async { (redis.ask(&["llen", &line]).await == "2").then_some(()) }).await;
    leaves.abort();
    assert!(leaves.await.is_err());
    drop(first);
    assert!(waits.await.expect("no panic"));
}

#[tokio::test]
async fn it_ends_by_itself_and_is_renewed_while_its_turn_lasts() {
    let redis = Redis::start(&[]).await;
    let leases = instance(&redis).await;
    let lease = leases.acquire(&key(1), HOLD).await;
    let name = format!("onelane:{{{}}}", LeaseId::of(key(1).id()));
    let left = async || redis.ask(&["pttl", &name]).await.parse::<i64>().expect("a number");
    let renewing = tokio::spawn(lease.renewal(HOLD).expect("it is held"));
    assert!((1..=3000).contains(&left().await));
    until("it was renewed", || async { (left().await < 2100).then_some(()) }).await;
    until("it was renewed", || async { (left().await > 2500).then_some(()) }).await;
    renewing.abort();
    // No lease outlives its turn by more than a second.
    let short = leases.acquire(&key(2), Duration::from_millis(500)).await;
    let name = format!("onelane:{{{}}}", LeaseId::of(key(2).id()));
    let left = redis.ask(&["pttl", &name]).await.parse::<i64>().expect("a number");
    assert!((1..=1500).contains(&left), "{left}");
    drop((lease, short));
    leases.released().await;
    until("nothing is left", || async { (redis.ask(&["dbsize"]).await == "0").then_some(()) }).await;
}

#[tokio::test]
async fn a_hundred_thousand_take_little_room_and_leave_none() {
    const MANY: u32 = 100_000;
    let redis = Redis::start(&[]).await;
    let leases = instance(&redis).await;
    let used = async || {
        let told = redis.ask(&["info", "memory"]).await;
        let line = told.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
        line.expect("a line").trim().parse::<f64>().expect("a number")
    };
    let before = used().await;
    let mut held = Vec::new();
    for from in (0..MANY).step_by(100) {
        let mut some = JoinSet::new();
        for nth in from..from + 100 {
            let leases = leases.clone();
            some.spawn(async move { leases.acquire(&key(nth), HOLD * 6).await });
        }
        held.extend(some.join_all().await);
    }
    let live = held.iter().filter(|lease| lease.is_held()).count();
    let keys: f64 = redis.ask(&["dbsize"]).await.parse().expect("a number");
    let each = (used().await - before) / keys;
    assert!(live > MANY as usize * 9 / 10 && keys > 1000.0, "{live} of {MANY}, {keys} keys");
    assert!(each <= 200.0, "{each} bytes for each of {keys} leases");
    assert_eq!(redis.ask(&["client", "list"]).await.lines().count(), 2);
    drop(held);
    leases.released().await;
    until("nothing is left", || async { (redis.ask(&["dbsize"]).await == "0").then_some(()) }).await;
}

#[tokio::test]
async fn all_count_their_4xx_together_for_a_minute() {
    let redis = Redis::start(&[]).await;
    let [a, b] = [instance(&redis).await, instance(&redis).await];
    assert_eq!([a.spend(1, 3).await, b.spend(1, 4).await, a.spend(2, 5).await], [Some(3), Some(7), Some(5)]);
    assert_eq!([a.spend(1, 0).await, b.spend(2, 0).await], [Some(7), Some(5)]);
    let (name, slice) = ("onelane:{4xx-0000000000000001}", "onelane:{4xx-0000000000000001}slice");
    let left = async |name: &str| redis.ask(&["pttl", name]).await.parse::<i64>().expect("a number");
    assert!((60_000..=70_000).contains(&left(name).await), "{}", left(name).await);
    assert!((0..=10_000).contains(&left(slice).await), "{}", left(slice).await);
    // Every ten seconds another slice: what is in the seventh goes with the next.
    for all in [8, 9, 10, 11, 12, 13, 7] {
        redis.ask(&["del", slice]).await;
        assert_eq!(b.spend(1, 1).await, Some(all));
    }
    assert_eq!(redis.ask(&["llen", name]).await, "7");
    // Evicted or flushed, it begins anew.
    redis.ask(&["del", name]).await;
    assert_eq!(a.spend(1, 2).await, Some(2));
}
