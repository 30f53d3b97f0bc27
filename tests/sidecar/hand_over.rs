//! One process takes the ports over from another: nobody is turned away, and no two serve at once.

use std::{
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::{net::UnixListener, process::Command};

use crate::{
    far::Far,
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
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    Serve::start(url, &flags).await
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
    let flags = ["--hand-over", place.path(), "--drain", "1h", "--max-hold", "1h"];
    let old = Serve::start(&far.url(), &flags).await;
    let mut flies = old.player().await;
    flies.ask(&media(&session(1), 0)).await;
    let first = far.asked().await;
    let next = start(&far.url(), &place.after(&old)).await;
    plays(&next, &mut far, "meanwhile").await;
    first.well("late");
    assert_eq!(flies.answer().await.note(), "late");
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
