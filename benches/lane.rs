//! What a turn costs in time, and a session in memory. Figures: `benches/README.md`.

use std::{
    alloc::System,
    collections::hash_map::DefaultHasher,
    future::Future,
    hash::{Hash, Hasher},
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group};
use dashmap::DashMap;
use onelane::{
    lane::{Lanes, Limits, Turn},
    session::{SessionId, SessionKey},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::{runtime::Runtime, sync::Semaphore, task::JoinSet, time::Instant};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Keys that a benchmark takes in turn, too many for the processor's caches to hold their slots.
const FRESH: usize = 1 << 18;

/// Tasks and keys of the crowd: sixteen to a lane, which is a lane's depth.
const TASKS: usize = 64;
const KEYS: usize = 4;

/// The slot that the lane keeps for a key has as many bytes.
type Slot = [u64; 2];

// === the cost of a turn that nobody else wants ===

fn uncontended(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("uncontended");
    group.throughput(Throughput::Elements(1));
    let fresh = keys(u64::MAX, FRESH);
    for live in [1, 10_000, 1_000_000] {
        let others = keys(0, live);
        // Dropped before the lanes are filled: the two are not to share the caches.
        {
            let map: DashMap<SessionKey, Slot> =
                others.iter().cloned().map(|key| (key, Slot::default())).collect();
            let mut next = fresh.iter().cycle();
            group.bench_function(BenchmarkId::new("bare map", live), |bencher| {
                bencher.iter_batched(
                    || next.next().expect("it never ends").clone(),
                    |key| {
                        map.insert(key.clone(), Slot::default());
                        map.remove(&key)
                    },
                    BatchSize::SmallInput,
                );
            });
        }
        let lanes = Lanes::new(Limits::default());
        let _others: Vec<_> = others.into_iter().map(|key| turn(&lanes, key)).collect();
        let again = &fresh[0];
        group.bench_function(BenchmarkId::new("turn of the same key", live), |bencher| {
            bencher.iter(|| drop(black_box(turn(&lanes, again.clone()))));
        });
        let mut next = fresh.iter().cycle();
        group.bench_function(BenchmarkId::new("turn", live), |bencher| {
            bencher.iter_batched(
                || next.next().expect("it never ends").clone(),
                |key| drop(black_box(turn(&lanes, key))),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

// === the cost of a map that grows and gives its memory back ===

/// All come, and all are gone before the next wave: the map grows and shrinks each time.
fn waves(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("waves");
    for size in [512, 4_096, 32_768] {
        group.throughput(Throughput::Elements(size));
        let keys = keys(0, size as usize);
        let lanes = Lanes::new(Limits::default());
        let mut turns = Vec::with_capacity(keys.len());
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                turns.extend(keys.iter().cloned().map(|key| turn(&lanes, key)));
                turns.clear();
            });
        });
    }
    group.finish();
}

// === the cost of handing a turn on ===

fn crowd(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("{TASKS} tasks on {KEYS} keys"));
    group.throughput(Throughput::Elements(1));
    for (name, threads) in [("1 thread", 1), ("2 threads", 2)] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_time()
            .build()
            .expect("a runtime");
        group.bench_function(BenchmarkId::new("bare semaphores", name), |bencher| {
            bencher.iter_custom(|turns| {
                let lines: Vec<_> = (0..KEYS).map(|_| Arc::new(Semaphore::new(1))).collect();
                hand_over(&runtime, turns, move |task, turns| {
                    let line = Arc::clone(&lines[task % KEYS]);
                    async move {
                        for _ in 0..turns {
                            let _turn = Arc::clone(&line).acquire_owned().await.expect("it is never closed");
                            tokio::task::yield_now().await;
                        }
                    }
                })
            });
        });
        group.bench_function(BenchmarkId::new("turns", name), |bencher| {
            bencher.iter_custom(|turns| {
                let lanes = Lanes::new(Limits::default());
                let keys = keys(0, KEYS);
                hand_over(&runtime, turns, move |task, turns| {
                    let (lanes, key) = (lanes.clone(), keys[task % KEYS].clone());
                    async move {
                        for _ in 0..turns {
                            let ticket = lanes.join(key.clone()).expect("sixteen have room");
                            let _turn = ticket.turn().await.expect("a turn takes no 6 s");
                            tokio::task::yield_now().await;
                        }
                    }
                })
            });
        });
    }
    group.finish();
}

/// How long the tasks take for so many turns together. Whoever has the turn yields once in it, so that the
/// others are in line by then.
fn hand_over<F, S>(runtime: &Runtime, turns: u64, worker: F) -> Duration
where
    F: Fn(usize, u64) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    runtime.block_on(async {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            // The first tasks take what is left over.
            let share = turns / TASKS as u64 + u64::from((task as u64) < turns % TASKS as u64);
            tasks.spawn(worker(task, share));
        }
        tasks.join_all().await;
        started.elapsed()
    })
}

// === memory ===

/// Bytes on the heap, the allocator's own left out; the turns themselves are in a vector and so among them.
fn memory() {
    println!("bytes on the heap, live");
    let empty = heap();
    let lanes = Lanes::new(Limits::default());
    println!("  no session yet: {} in all", heap() - empty);
    for sessions in [10_000, 100_000, 1_000_000] {
        let keys = keys(0, sessions);
        let mut turns = Vec::with_capacity(sessions);
        let before = heap() - turns.capacity() * size_of::<Turn<SessionKey>>();
        turns.extend(keys.iter().cloned().map(|key| turn(&lanes, key)));
        let flying = heap() - before;
        let each = flying as f64 / sessions as f64;
        drop(turns);
        let idle = heap() - before;
        println!("  {sessions} sessions: {each:.1} each in flight; {idle} in all once every one is idle");
    }
}

fn heap() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

// === pieces ===

/// Keys of UUIDs that are the same in each run and look random.
fn keys(seed: u64, count: usize) -> Vec<SessionKey> {
    let half = |number: u64, side: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, number, side).hash(&mut hasher);
        hasher.finish()
    };
    let key = |number| {
        let id = Uuid::from_u64_pair(half(number, 0), half(number, 1)).to_string();
        let id = SessionId::parse(&id).expect("a UUID");
        SessionKey::new(Some("7b1c.mediatailor.eu-west-1.amazonaws.com"), Some("news"), id)
    };
    (0..count as u64).map(key).collect()
}

/// Joins an empty lane, where the turn is there at the first look.
fn turn(lanes: &Lanes<SessionKey>, key: SessionKey) -> Turn<SessionKey> {
    let turn = pin!(lanes.join(key).expect("the lane is empty").turn());
    let Poll::Ready(Ok(turn)) = turn.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("the first in a lane waits for nobody");
    };
    turn
}

criterion_group!(benches, uncontended, waves, crowd);

fn main() {
    memory();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
