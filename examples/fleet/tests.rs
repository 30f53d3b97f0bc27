use std::time::Duration;

use clap::Parser as _;
use onelane::upstream::RetryConfig;

use crate::{
    flags::{Flags, Happening, Turns, Way},
    tally::Tally,
    world::Run,
};

/// Playlists that all take 40 ms, asked for at the same moment, behind one balancer.
fn run(way: Way, happening: Happening, instances: u32) -> Run {
    let flags = [
        "fleet",
        "--burst",
        "0s",
        "--latency",
        "40ms",
        "--slow-every",
        "0",
        "--balancers",
        "1",
        "--notices",
        "2s",
    ];
    let crowd = Flags::try_parse_from(flags).expect("flags").crowd;
    Run { way, happening, instances, sessions: 5_000, seed: 7, crowd, retry: RetryConfig::default() }
}

fn without_retries() -> RetryConfig {
    RetryConfig::default().conflict(0)
}

fn rate(count: u64, tally: &Tally) -> f64 {
    count as f64 / tally.requests as f64
}

#[test]
fn one_instance_has_no_conflict_and_adds_no_wait() {
    for happening in [Happening::Steady, Happening::Added] {
        let mut run = run(Way::Routed, happening, 1);
        if happening == Happening::Steady {
            run.way = Way::Alone;
            run.crowd.burst = Duration::from_millis(100);
            run.crowd.latency = "10ms..1s".parse().expect("a latency");
        }
        let tally = run.simulate();
        assert!(tally.requests > 40_000, "{tally:?}");
        assert_eq!((tally.conflicts, tally.lost), (0, 0));
        if happening == Happening::Steady {
            assert_eq!((tally.late, tally.added.max()), (0, 0), "as in a single lane");
        }
    }
}

#[test]
fn without_coordination_it_is_the_closed_form() {
    for (playlists, instances) in [(2, 2), (3, 3), (3, 64), (5, 8)] {
        let mut run = run(Way::Alone, Happening::Steady, instances);
        run.crowd.playlists = playlists;
        run.retry = without_retries();
        let tally = run.simulate();
        // The first is taken. Each of the others conflicts that goes elsewhere, at once or when its turn comes.
        let (k, n) = (f64::from(playlists), f64::from(instances));
        let expected = (k - 1.0) / k * (1.0 - 1.0 / n);
        let found = rate(tally.conflicts, &tally);
        assert!((found / expected - 1.0).abs() < 0.02, "{k} on {n}: {found} beside {expected}");
        assert_eq!(tally.lost, tally.conflicts, "no retries");
    }
}

#[test]
fn a_pause_that_is_longer_than_the_work_saves_what_conflicts() {
    let mut run = run(Way::Alone, Happening::Steady, 2);
    run.crowd.playlists = 2;
    run.retry = RetryConfig::default().budget_part(1.0);
    let tally = run.simulate();
    let found = rate(tally.conflicts, &tally);
    assert!((found / 0.25 - 1.0).abs() < 0.02, "half of the second requests: {found}");
    assert_eq!((tally.lost, tally.late), (0, 0));
    // It is sent again after 50 to 75 ms and what the 409 took, where its turn would have come after 40.
    assert_eq!(tally.added_ms(0.5), 0.0);
    assert!((10.0..46.0).contains(&tally.added_ms(0.99)), "{}", tally.added_ms(0.99));
}

#[test]
fn the_budget_bounds_the_retries() {
    let tally = run(Way::Alone, Happening::Steady, 64).simulate();
    assert!(tally.lost > 0);
    let again = rate(tally.conflicts - tally.lost, &tally);
    assert!(again < 0.2 + 64.0 * 10.0 / 2_500.0, "{again} of the requests were sent again");
}

#[test]
fn routed_by_session_it_has_none_while_nothing_happens() {
    for instances in [2, 3, 64] {
        let tally = run(Way::Routed, Happening::Steady, instances).simulate();
        assert_eq!((tally.conflicts, tally.lost, tally.late, tally.added.max()), (0, 0, 0, 0));
    }
}

#[test]
fn with_a_lease_it_has_none_and_waits_for_the_engine_alone() {
    let mut run = run(Way::Leased, Happening::Steady, 3);
    run.crowd.lease_takes = "1ms".parse().expect("a latency");
    let tally = run.simulate();
    assert_eq!((tally.conflicts, tally.lost, tally.late, tally.bypassed), (0, 0, 0, 0));
    // Who asks first waits there and back; who waits is told, and asks. No order is kept between processes: one may have to
    // wait for two that came after it.
    let (half, all) = (tally.added_ms(0.5), tally.added_ms(1.0));
    assert!((1.0..3.1).contains(&half) && all < 2.0 * 40.0 + 6.0, "{half} and at most {all}");
    let commands = tally.commands as f64 / tally.requests as f64;
    assert!((2.0..4.0).contains(&commands), "{commands}");

    run.crowd.playlists = 1;
    let tally = run.simulate();
    assert_eq!((tally.added.min(), tally.added.max()), (1_000, 1_000), "one alone: there and back");
}

#[test]
fn an_engine_that_is_too_slow_is_not_waited_for() {
    let mut run = run(Way::Leased, Happening::Steady, 3);
    run.crowd.lease_takes = "80ms".parse().expect("a latency");
    let tally = run.simulate();
    assert_eq!((tally.commands, tally.bypassed > tally.requests), (0, true));
    assert!(tally.conflicts > 0);
}

#[test]
fn one_is_killed() {
    let mut routed = run(Way::Routed, Happening::Lost, 3);
    routed.crowd.latency = "300ms".parse().expect("a latency");
    let tally = routed.simulate();
    // Three of 300 ms in 6 s: of the sessions with a home there, 15 % are under way. Each meets what MediaTailor still has.
    let sessions = f64::from(routed.sessions) / 3.0 * 0.15;
    assert!((0.8 * sessions..4.0 * sessions).contains(&(tally.conflicts as f64)), "{}", tally.conflicts);
    assert_eq!(tally.late, 0);

    let leased = Run { way: Way::Leased, ..routed.clone() }.simulate();
    // Whoever had a lease there leaves it to its end, which is two thirds of its time away at least, and by then MediaTailor is done.
    assert_eq!((leased.conflicts, leased.late), (0, 0));
    assert!((1_900.0..4_000.0).contains(&leased.added_ms(1.0)), "{}", leased.added_ms(1.0));
}

#[test]
fn a_deploy_behind_one_balancer_is_a_moment_for_each_session() {
    let mut run = run(Way::Routed, Happening::Deploy, 4);
    let tally = run.simulate();
    assert_eq!((tally.conflicts, tally.late), (0, 0), "all of a burst go where the first of it goes");
    run.crowd.balancers = 2;
    run.crowd.notices = "0s..4s".parse().expect("a latency");
    let tally = run.simulate();
    assert!(tally.conflicts > 0, "two that do not know the same");
    assert!(rate(tally.conflicts, &tally) < 0.05, "{}", rate(tally.conflicts, &tally));
}

#[test]
fn a_run_can_be_repeated() {
    let mut run = run(Way::Leased, Happening::Deploy, 4);
    run.crowd.spread = Turns::RoundRobin;
    run.crowd.balancers = 2;
    let figures = |run: &Run| {
        let tally = run.simulate();
        (tally.requests, tally.conflicts, tally.commands, tally.seconds.clone(), tally.added.mean().to_bits())
    };
    let first = figures(&run);
    assert_eq!(figures(&run), first);
    run.seed += 1;
    assert_ne!(figures(&run), first);
}
