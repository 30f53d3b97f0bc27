//! One process takes the ports over from another: nobody is turned away, and no two serve at once.

use std::{
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::{
    net::{TcpStream, UnixListener},
    process::Command,
};

use crate::{
    far::{Asked, Far},
    player::Player,
    process::{Serve, output},
    support::{media, session, within},
};

/// A place for a socket.
struct Place(PathBuf);

// === impl Place ===

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("onelane-hand-over-{}-{nth}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path")
    }

    /// The flags of whoever comes after.
    fn after(&self, before: &Serve) -> Vec<String> {
        let (listen, admin) = (before.listen.to_string(), before.admin.to_string());
        ["--hand-over", self.path(), "--listen", &listen, "--admin", &admin].map(str::to_owned).to_vec()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

async fn start(url: &str, flags: &[String]) -> Serve {
    begin(url, flags).serving().await
}

/// It may not serve for a while.
fn begin(url: &str, flags: &[String]) -> Serve {
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    Serve::begin(url, &flags, &[])
}

/// One that starts for as long as its upstream says nothing, which is asked here.
async fn begin_slowly(far: &mut Far, flags: &[String]) -> (Serve, Asked) {
    let mut flags = flags.to_vec();
    flags.extend(["--require-upstream", "--answer-within", "1h"].map(str::to_owned));
    let serve = begin(&far.url(), &flags);
    let asked = far.asked().await;
    assert_eq!(asked.message.first_line(), "HEAD / HTTP/1.1");
    (serve, asked)
}

/// Lets it start.
fn reached(asked: &Asked) {
    asked.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

async fn plays(serve: &Serve, far: &mut Far, note: &str) {
    let mut player = serve.player().await;
    player.ask(&media(&session(9), 0)).await;
    far.asked().await.well(note);
    assert_eq!(player.answer().await.note(), note);
}

#[tokio::test]
async fn the_next_begins_when_the_one_before_has_finished() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let mut old = Serve::start(&far.url(), &["--hand-over", place.path()]).await;
    let found = std::fs::symlink_metadata(&place.0).expect("a socket");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600, "nobody else may ask for the ports");
    let mut idle = old.player().await;
    idle.ask(&media(&session(2), 0)).await;
    far.asked().await.well("idle from now on");
    idle.answer().await;
    let mut flies = old.player().await;
    flies.ask(&media(&session(1), 0)).await;
    let first = far.asked().await;

    let flags = place.after(&old);
    let url = far.url();
    let next = start(&url, &flags);
    let meanwhile = async {
        old.line_with("handing over").await;
        // It ends what nobody uses, and turns nobody away.
        idle.ends().await;
        let mut waits = Player::connect(old.listen).await;
        waits.ask(&media(&session(1), 1)).await;
        old.line_with("draining").await;
        far.is_quiet();
        first.well("by the old one");
        assert_eq!(flies.answer().await.note(), "by the old one");
        far.asked().await.well("by the new one");
        assert_eq!(waits.answer().await.note(), "by the new one");
        assert_eq!(old.ended().await.code(), Some(0));
    };
    let (mut next, ()) = tokio::join!(next, meanwhile);
    assert_eq!(next.admin("/readyz").await.0, 200);

    // And so on; a third that stops takes its place along.
    let flags = place.after(&next);
    let mut third = start(&far.url(), &flags).await;
    assert_eq!(next.ended().await.code(), Some(0));
    plays(&third, &mut far, "by the third").await;
    third.signal("-TERM").await;
    assert_eq!(third.ended().await.code(), Some(0));
    assert!(!place.0.exists());
}

#[tokio::test]
async fn of_several_that_are_started_at_once_each_takes_over_in_its_turn() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let mut old = Serve::start(&far.url(), &["--hand-over", place.path()]).await;
    let (flags, url) = (place.after(&old), far.url());
    let (mut one, mut other) = tokio::join!(start(&url, &flags), start(&url, &flags));
    assert_eq!(old.ended().await.code(), Some(0));
    // Whichever was first has ended in favour of the second.
    let last = tokio::select! {
        ended = one.ended() => (ended, other),
        ended = other.ended() => (ended, one),
    };
    let (ended, last) = last;
    assert_eq!(ended.code(), Some(0));
    plays(&last, &mut far, "by the last").await;
}

#[tokio::test]
async fn one_that_does_not_finish_is_not_waited_for_for_long() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let (old, mut flies, first) = flying(&mut far, &place).await;
    let next = start(&far.url(), &place.after(&old)).await;
    plays(&next, &mut far, "meanwhile").await;
    first.well("late");
    assert_eq!(flies.answer().await.note(), "late");
}

/// What makes an exchange of the old one as long as a test wants it.
const LONG: [&str; 4] = ["--drain", "1h", "--max-hold", "1h"];

/// One that serves, and a request in flight there.
async fn flying(far: &mut Far, place: &Place) -> (Serve, Player, Asked) {
    let mut flags = vec!["--hand-over", place.path()];
    flags.extend(LONG);
    let old = Serve::start(&far.url(), &flags).await;
    let mut flies = old.player().await;
    flies.ask(&media(&session(1), 0)).await;
    let first = far.asked().await;
    (old, flies, first)
}

/// Holds when the one that draws out its end serves as before, and the next can take over.
async fn serves_again(mut old: Serve, far: &mut Far, place: &Place, (mut flies, first): (Player, Asked)) {
    assert_eq!(old.admin("/readyz").await.0, 200);
    plays(&old, far, "by the old one").await;
    let mut waits = old.player().await;
    waits.ask(&media(&session(1), 1)).await;
    first.well("flew");
    assert_eq!(flies.answer().await.note(), "flew");
    far.asked().await.well("in its turn");
    assert_eq!(waits.answer().await.note(), "in its turn");
    drop((flies, waits));
    let next = start(&far.url(), &place.after(&old)).await;
    assert_eq!(old.ended().await.code(), Some(0));
    plays(&next, far, "by another").await;
}

#[tokio::test]
async fn one_that_is_killed_before_it_serves_leaves_all_to_the_one_before() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let (mut old, flies, first) = flying(&mut far, &place).await;
    let mut next = begin(&far.url(), &place.after(&old));
    old.line_with("handing over").await;
    let mut waits = Player::connect(old.listen).await;
    waits.ask(&media(&session(2), 0)).await;
    next.signal("-KILL").await;
    next.ended().await;
    old.line_with("serving").await;
    // It came when nobody served.
    far.asked().await.well("late");
    assert_eq!(waits.answer().await.note(), "late");
    serves_again(old, &mut far, &place, (flies, first)).await;
}

#[tokio::test]
async fn one_that_is_killed_while_the_one_before_still_finishes_leaves_all_to_it() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let (mut old, flies, first) = flying(&mut far, &place).await;
    let mut next = start(&far.url(), &place.after(&old)).await;
    plays(&next, &mut far, "by the new one").await;
    next.signal("-KILL").await;
    next.ended().await;
    old.line_with("handing over").await;
    old.line_with("serving").await;
    serves_again(old, &mut far, &place, (flies, first)).await;
}

#[tokio::test]
async fn one_that_is_told_to_stop_is_not_stepped_in_for() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let (mut old, mut flies, first) = flying(&mut far, &place).await;
    let mut next = start(&far.url(), &place.after(&old)).await;
    next.signal("-TERM").await;
    assert_eq!(next.ended().await.code(), Some(0));
    within(async { while TcpStream::connect(old.listen).await.is_ok() {} }).await;
    first.well("flew");
    assert_eq!(flies.answer().await.note(), "flew");
    assert_eq!(old.ended().await.code(), Some(0));
    assert!(!place.0.exists());
}

#[tokio::test]
async fn one_that_has_handed_over_itself_is_not_stepped_in_for() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let (mut old, mut flies, first) = flying(&mut far, &place).await;
    let mut next = start(&far.url(), &place.after(&old)).await;
    let third = start(&far.url(), &place.after(&old)).await;
    assert_eq!(next.ended().await.code(), Some(0));
    first.well("flew");
    assert_eq!(flies.answer().await.note(), "flew");
    assert_eq!(old.ended().await.code(), Some(0));
    while let Some(line) = within(old.lines.next_line()).await.expect("text") {
        assert!(!line.contains("\"serving\""), "{line}");
    }
    plays(&third, &mut far, "by the third").await;
}

#[tokio::test]
async fn one_that_hangs_while_it_starts_holds_nobody_up_and_takes_its_turn_when_it_is_ready() {
    let (mut far, mut silent) = (Far::listen().await, Far::listen().await);
    let place = Place::new();
    let mut old = Serve::start(&far.url(), &["--hand-over", place.path()]).await;
    let (hangs, asked) = begin_slowly(&mut silent, &place.after(&old)).await;
    plays(&old, &mut far, "by the old one").await;
    let mut next = start(&far.url(), &place.after(&old)).await;
    assert_eq!(old.ended().await.code(), Some(0));
    let mut flies = next.player().await;
    flies.ask(&media(&session(1), 0)).await;
    let first = far.asked().await;

    reached(&asked);
    next.line_with("handing over").await;
    let mut waits = Player::connect(next.listen).await;
    waits.ask(&media(&session(1), 1)).await;
    next.line_with("draining").await;
    silent.is_quiet();
    first.well("by the one that was faster");
    assert_eq!(flies.answer().await.note(), "by the one that was faster");
    silent.asked().await.well("late");
    assert_eq!(waits.answer().await.note(), "late");
    assert_eq!(next.ended().await.code(), Some(0));
    hangs.serving().await;
}

#[tokio::test]
async fn one_that_starts_while_the_one_before_stops_begins_when_that_has_finished() {
    let (mut far, mut other) = (Far::listen().await, Far::listen().await);
    let place = Place::new();
    let (mut old, mut flies, first) = flying(&mut far, &place).await;
    let (mut next, asked) = begin_slowly(&mut other, &place.after(&old)).await;
    old.signal("-TERM").await;
    old.line_with("draining").await;
    // It has the port, and nobody is turned away.
    let mut waits = Player::connect(old.listen).await;
    waits.ask(&media(&session(1), 1)).await;
    reached(&asked);
    next.line_with("the process before has yet to finish").await;
    other.is_quiet();
    first.well("by the old one");
    assert_eq!(flies.answer().await.note(), "by the old one");
    assert_eq!(old.ended().await.code(), Some(0));
    other.asked().await.well("by the new one");
    assert_eq!(waits.answer().await.note(), "by the new one");
    // The place is its own by now.
    let last = start(&other.url(), &place.after(&old)).await;
    assert_eq!(next.serving().await.ended().await.code(), Some(0));
    plays(&last, &mut other, "by the last").await;
}

#[tokio::test]
async fn one_that_starts_slower_than_the_one_before_stops_has_the_port_all_the_time() {
    let (far, mut other) = (Far::listen().await, Far::listen().await);
    let place = Place::new();
    let mut old = Serve::start(&far.url(), &["--hand-over", place.path()]).await;
    let (next, asked) = begin_slowly(&mut other, &place.after(&old)).await;
    old.signal("-TERM").await;
    assert_eq!(old.ended().await.code(), Some(0));
    let mut waits = Player::connect(old.listen).await;
    waits.ask(&media(&session(1), 1)).await;
    reached(&asked);
    other.asked().await.well("by the new one");
    assert_eq!(waits.answer().await.note(), "by the new one");
    next.serving().await;
}

#[tokio::test]
async fn one_that_comes_when_the_port_is_closed_waits_for_the_end() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let (mut old, mut flies, first) = flying(&mut far, &place).await;
    old.signal("-TERM").await;
    old.line_with("draining").await;
    within(async { while TcpStream::connect(old.listen).await.is_ok() {} }).await;
    let mut next = begin(&far.url(), &place.after(&old));
    next.line_with("the process before is ending: waiting for it").await;
    first.well("by the old one");
    assert_eq!(flies.answer().await.note(), "by the old one");
    assert_eq!(old.ended().await.code(), Some(0));
    plays(&next.serving().await, &mut far, "by the new one").await;
}

#[tokio::test]
async fn one_that_is_unready_hands_over_at_once() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let mut old = Serve::start(&far.url(), &["--hand-over", place.path(), "--unready-for", "1h"]).await;
    old.signal("-TERM").await;
    old.line_with("unready, and still taking connections").await;
    let next = start(&far.url(), &place.after(&old)).await;
    assert_eq!(old.ended().await.code(), Some(0));
    plays(&next, &mut far, "by the new one").await;
}

#[tokio::test]
async fn those_who_still_start_when_the_one_before_is_killed_agree_on_who_serves() {
    let (mut far, mut other) = (Far::listen().await, Far::listen().await);
    let place = Place::new();
    let mut old = Serve::start(&far.url(), &["--hand-over", place.path()]).await;
    let (one, one_asked) = begin_slowly(&mut far, &place.after(&old)).await;
    let (two, two_asked) = begin_slowly(&mut other, &place.after(&old)).await;
    old.signal("-KILL").await;
    old.ended().await;
    reached(&one_asked);
    let mut one = one.serving().await;
    plays(&one, &mut far, "by the first").await;
    reached(&two_asked);
    let two = two.serving().await;
    assert_eq!(one.ended().await.code(), Some(0));
    plays(&two, &mut other, "by the second").await;
}

#[tokio::test]
async fn one_that_cannot_start_takes_nothing() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let mut old = Serve::start(&far.url(), &["--hand-over", place.path()]).await;
    let mut flags = vec!["serve", "--upstream", "http://127.0.0.1:9", "--require-upstream"];
    let after = place.after(&old);
    flags.extend(after.iter().map(String::as_str));
    let (code, told) = output(&flags).await;
    assert_eq!(code, Some(69), "{told}");
    old.line_with("a process that was to take over ended before it was ready").await;
    plays(&old, &mut far, "still the old one").await;
    let next = start(&far.url(), &after).await;
    assert_eq!(old.ended().await.code(), Some(0));
    plays(&next, &mut far, "the new one").await;
}

#[tokio::test]
async fn one_that_gets_no_threads_takes_nothing() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let mut old = Serve::start(&far.url(), &["--hand-over", place.path()]).await;
    let after = place.after(&old);
    // Enough files for the process itself.
    let script = format!(
        "ulimit -n 64; exec {} serve --upstream http://127.0.0.1:9 --threads 100 {}",
        env!("CARGO_BIN_EXE_onelane"),
        after.join(" ")
    );
    let output = within(Command::new("sh").args(["-c", &script]).output()).await.expect("it starts");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), told.lines().count()), (Some(70), 1), "{told}");
    old.line_with("a process that was to take over ended before it was ready").await;
    plays(&old, &mut far, "still the old one").await;
    let next = start(&far.url(), &after).await;
    assert_eq!(old.ended().await.code(), Some(0));
    plays(&next, &mut far, "the new one").await;
}

#[tokio::test]
async fn one_that_was_killed_leaves_a_place_that_can_be_used() {
    let mut far = Far::listen().await;
    let place = Place::new();
    let mut old = Serve::start(&far.url(), &["--hand-over", place.path()]).await;
    old.signal("-KILL").await;
    old.ended().await;
    assert!(place.0.exists());
    let next = Serve::start(&far.url(), &["--hand-over", place.path()]).await;
    plays(&next, &mut far, "anew").await;
}

#[tokio::test]
async fn a_place_that_will_not_do_is_told_in_one_line() {
    let far = Far::listen().await;
    let (file, silent, taken) = (Place::new(), Place::new(), Place::new());
    std::fs::write(&file.0, "of somebody's").expect("a file");
    let _silent = UnixListener::bind(&silent.0).expect("a socket");
    let _old = Serve::start(&far.url(), &["--hand-over", taken.path()]).await;
    for (path, says) in [
        (file.path(), "there is something else"),
        (silent.path(), "does not answer"),
        (taken.path(), "the process there has --listen 127.0.0.1:"),
        ("/nowhere/at/all", "No such file or directory (os error 2); name a place"),
    ] {
        let free = "127.0.0.1:0";
        // Nobody has this port, so that it is another one than the process before has.
        let listen = if path == taken.path() { "127.0.0.1:1" } else { free };
        let url = far.url();
        let flags = ["serve", "--upstream", &url, "--listen", listen, "--admin", free, "--hand-over", path];
        let (code, told) = within(output(&flags)).await;
        assert_eq!((code, told.lines().count()), (Some(1), 1), "{told}");
        assert!(told.starts_with(&format!("error: --hand-over {path}: ")) && told.contains(says), "{told}");
    }
    assert_eq!(std::fs::read_to_string(&file.0).expect("it is there"), "of somebody's");
}
