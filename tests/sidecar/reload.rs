//! Settings that change while it serves: all that can change do at once, or none does.

use std::fs;

use tokio::process::Command;

use crate::{
    far::Far,
    player::Player,
    process::Serve,
    support::{Folder, Message, media, session, within},
};

/// A file of settings, and who serves by it.
struct Scene {
    far: Far,
    serve: Serve,
    config: String,
    _folder: Folder,
    sessions: u32,
}

/// What can be seen of the settings.
#[derive(Debug, PartialEq, Eq)]
struct Behaviour {
    stripped: bool,
    attempts: u32,
    status: u16,
    retry_after: Option<String>,
    third: u16,
}

const CONFLICT: &str = "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n";

const BROKEN: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";

/// What the wrong files are held against.
const GOOD: &str = "strip_directives = true\ndepth = 2\n[retry]\nconflict = 0\nbroken = 0\n\
                    [remap]\nconflict = { status = 503, retry_after = 7 }\n";

// === impl Scene ===

impl Scene {
    async fn start(name: &str, text: &str, flags: &[&str]) -> Self {
        let folder = Folder::new();
        let config = folder.file(name, text);
        let far = Far::listen().await;
        let flags = [&["--config", &config[..]], flags].concat();
        let serve = Serve::start(&far.url(), &flags).await;
        Self { far, serve, config, _folder: folder, sessions: 1000 }
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(&self.config, text).expect("the same place");
    }

    async fn post(&self) -> Message {
        let mut admin = Player::connect(self.serve.admin).await;
        admin.say("POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
        admin.answer().await
    }

    /// Reloads by `POST`; the names of what has changed.
    async fn reload(&self, text: &str) -> String {
        self.write(text);
        let answer = self.post().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.text().trim_start_matches("reloaded: ").trim_end().to_owned()
    }

    fn session(&mut self) -> String {
        self.sessions += 1;
        session(self.sessions)
    }

    /// What the upstream is asked for and what a player gets of its 409, which tells the settings of three stages; then what a
    /// third request in a lane gets.
    async fn behaviour(&mut self) -> Behaviour {
        let one = self.session();
        let path = media(&one, 0);
        let mut player = self.serve.player().await;
        player.ask(&format!("{path}?_HLS_msn=7")).await;
        let (mut attempts, mut stripped) = (0, true);
        let answer = loop {
            tokio::select! {
                answer = player.answer() => break answer,
                asked = self.far.asked() => {
                    attempts += 1;
                    stripped &= !asked.message.first_line().contains("_HLS_msn");
                    asked.say(CONFLICT);
                }
            }
        };
        let two = self.session();
        let mut players = Vec::new();
        for n in 0..3 {
            let mut player = self.serve.player().await;
            player.ask(&media(&two, n)).await;
            if n == 0 {
                // It flies before the others come.
                players.push((player, Some(self.far.asked().await)));
            } else {
                players.push((player, None));
            }
        }
        let (mut first, flies) = players.remove(0);
        // A lane of two refuses one of the two that are left, whichever came later.
        let (mut second, mut third) = (players.remove(0).0, players.remove(0).0);
        let refused = tokio::select! {
            answer = second.answer() => answer,
            answer = third.answer() => answer,
        };
        flies.expect("it was asked").well("first");
        assert_eq!(first.answer().await.status(), 200);
        self.far.asked().await.well("second");
        let retry_after = answer.header("retry-after").map(str::to_owned);
        Behaviour { stripped, attempts, status: answer.status(), retry_after, third: refused.status() }
    }
}

#[tokio::test]
async fn what_can_change_does_at_once_and_what_was_learned_stays() {
    let mut scene = Scene::start("live.toml", "[retry]\nbroken = 0\n", &["--threads", "2"]).await;
    let (known, busy) = (session(1), session(2));
    let mut player = scene.serve.player().await;
    player.ask(&media(&known, 0)).await;
    scene.far.asked().await.well("good");
    assert_eq!(player.answer().await.note(), "good");
    let mut flies = scene.serve.player().await;
    flies.ask(&media(&busy, 0)).await;
    let flying = scene.far.asked().await;
    let mut waits = scene.serve.player().await;
    waits.ask(&media(&busy, 1)).await;

    let changed = scene
        .reload(
            "depth = 1\nlog = \"warn\"\nanswer_within = \"5s\"\nstrip_directives = true\n[rescue]\nafter = \"1s\"\n[retry]\nbroken = 0\n\
             [remap]\nlane_full = { status = 503, retry_after = 9 }\n",
        )
        .await;
    assert_eq!(changed, "answer_within, depth, remap, rescue, strip_directives, log");

    // On whichever thread: the lane that was there is the one that counts, and has no room now.
    for n in 2..12 {
        let answer = scene.serve.player().await.get(&media(&busy, n)).await;
        answer.is_problem(503);
        assert_eq!(answer.header("retry-after"), Some("9"));
    }
    scene.far.is_quiet();
    flying.well("flew");
    assert_eq!(flies.answer().await.note(), "flew");
    scene.far.asked().await.well("waited");
    assert_eq!(waits.answer().await.note(), "waited");

    // What was good before the reload is given after it.
    player.ask(&media(&known, 0)).await;
    scene.far.asked().await.say(BROKEN);
    let answer = player.answer().await;
    assert_eq!((answer.status(), answer.note().as_str()), (200, "good"));
    assert!(answer.header("x-onelane-rescue").is_some());

    // The log has been quiet since, and is no longer.
    let changed = scene.reload("log = \"info\"\n[rescue]\nenabled = false\n[retry]\nbroken = 0\n").await;
    assert_eq!(changed, "answer_within, depth, remap, rescue, strip_directives, log");
    let last = session(3);
    player.ask(&media(&last, 0)).await;
    scene.far.asked().await.say(BROKEN);
    player.answer().await.is_problem(502);
    let mut exchanges = Vec::new();
    while exchanges.last() != Some(&Some("502".to_owned())) {
        let line = within(scene.serve.lines.next_line()).await.expect("text").expect("a line");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        if line["target"] == "onelane::exchange" && line["level"] == "INFO" {
            exchanges.push(line.get("status").map(ToString::to_string));
        }
    }
    assert_eq!(exchanges.len(), 2, "the first exchange of all, and the last: {exchanges:?}");
}

#[tokio::test]
async fn sighup_reloads_as_well() {
    let mut scene = Scene::start("hup.toml", "", &[]).await;
    scene.write("[retry]\nconflict = 0\n[remap]\nconflict = { status = 500 }\n");
    scene.serve.signal("-HUP").await;
    assert_eq!(scene.serve.line_with("reloaded").await["changed"], "remap, retry");
    let mut player = scene.serve.player().await;
    player.ask(&media(&session(1), 0)).await;
    scene.far.asked().await.say(CONFLICT);
    player.answer().await.is_problem(500);
    assert_eq!(scene.serve.admin("/reload").await, (405, "use POST\n".to_owned()));
}

#[tokio::test]
async fn flags_stay_before_the_file() {
    let scene = Scene::start("flags.toml", "", &["--depth", "3", "--rescue-after", "1s"]).await;
    assert_eq!(scene.reload("depth = 9\n[rescue]\nafter = \"4s\"\nmax_age = \"9s\"\n").await, "rescue");
    assert_eq!(scene.reload("depth = 7\n[rescue]\nafter = \"3s\"\nmax_age = \"9s\"\n").await, "nothing");
}

#[tokio::test]
async fn wrong_files_change_nothing_and_say_why() {
    let mut scene = Scene::start("wrong.toml", GOOD, &[]).await;
    let before = scene.behaviour().await;
    let by_the_file =
        Behaviour { stripped: true, attempts: 1, status: 503, retry_after: Some("7".to_owned()), third: 504 };
    assert_eq!(before, by_the_file);
    // Each has something good in it as well, that must not count either.
    let with = |wrong: &str| {
        format!(
            "{wrong}\nstrip_directives = false\ndepth = 9\n[retry]\nconflict = 2\n[remap]\nconflict = {{ status = 500 }}\n"
        )
    };
    let after = |wrong: &str| with("") + wrong;
    let wrong: Vec<(Vec<u8>, &str)> = [
        (with("waiting = "), "it is not TOML"),
        (with("[rescue"), "it is not TOML"),
        (with("waiting = 1\nwaiting = 2"), "duplicate key"),
        (with("dept = 3"), "did you mean depth?"),
        (after("[shild]\ngap = \"1s\"\n"), "did you mean shield?"),
        (after("[shield]\ngapp = \"1s\"\n"), "did you mean gap?"),
        (after("[rescue]\nafter = 2\n"), "a time as text"),
        (with("max_hold = \"never\""), "it is no time"),
        (with("answer_within = \"0s\""), "more than zero"),
        (with("collect_up_to = \"lots\""), "collect_up_to: "),
        (after("[rescue]\nbytes = \"0\"\n"), "rescue.bytes: "),
        (after("[settle]\nmost = \"2h\"\n"), "settle.most: "),
        (with("waiting = -1"), "waiting: "),
        (with("waiting = 1.5"), "it is a float"),
        (with("serialize_dash = \"yes\""), "write true or false"),
        (with("host = \"keep\""), "allowed are rewrite, preserve"),
        (after("blocked = { status = 409 }\n"), "remap.blocked.status: "),
        (after("playlist = { status = 502 }\n"), "remap.playlist: "),
        (after("blokked = { status = 502 }\n"), "did you mean blocked?"),
        (with("rescue = 1"), "rescue: "),
        (after("[shield]\nwarn_at = 1.5\n"), "a number from 0 to 1"),
        (after("[shield]\ngap = \"10m\"\n"), "shield.gap: "),
        (with("").replace("conflict = 2", "conflict = 2\nleast_pause = \"1s\""), "retry.longest_pause: "),
        (with("").replace("conflict = 2", "conflict = 200"), "from 0 to 100"),
        (with("log = \"=,=\""), "wrong.toml:1:7: log: \"=,=\": invalid filter directive; write a level"),
        // Good ones, but for a process that is yet to start.
        (
            with("threads = 7\nconnections = 9"),
            "threads, connections: cannot change while onelane serves; restart it",
        ),
        (with("idle = \"9s\""), "idle: cannot change"),
        (with("host = \"preserve\""), "host: cannot change"),
        (with("resume = true"), "resume: cannot change"),
        (with("reuse_port = true"), "reuse_port: cannot change"),
        (with("tls_cert = \"a.pem\"\ntls_key = \"b.pem\""), "tls_cert, tls_key: cannot change"),
        (with(&format!("# {}", "x".repeat(1 << 20))), "1 MiB at most"),
    ]
    .map(|(text, says)| (text.into_bytes(), says))
    .into_iter()
    .chain([(vec![b'#', 0xff], "it cannot be read")])
    .collect();
    for (text, says) in wrong {
        scene.write(&text);
        let shown = String::from_utf8_lossy(&text[..text.len().min(300)]).into_owned();
        scene.refuses(says, &shown).await;
        assert_eq!(scene.behaviour().await, before, "{shown}");
    }

    // No file at all, and what is none.
    fs::remove_file(&scene.config).expect("it was there");
    scene.refuses("No such file", "gone").await;
    fs::create_dir(&scene.config).expect("a folder");
    scene.refuses("no regular file", "a folder").await;
    fs::remove_dir(&scene.config).expect("it was there");
    let pipe = within(Command::new("mkfifo").arg(&scene.config).status()).await.expect("mkfifo");
    assert!(pipe.success());
    scene.refuses("no regular file", "a pipe").await;
    fs::remove_file(&scene.config).expect("it was there");
    assert_eq!(scene.behaviour().await, before);

    // And the old one again is nothing new.
    assert_eq!(scene.reload(GOOD).await, "nothing");
}

impl Scene {
    /// Holds when a reload is refused by both ways, with the same line.
    async fn refuses(&mut self, says: &str, file: &str) {
        let answer = self.post().await;
        assert_eq!(answer.status(), 422, "{file}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        let why = problem["detail"].as_str().expect("why");
        assert!(why.contains(says), "{file}: {why}");
        assert!(!why.contains(char::is_control), "{why:?}");
        let line = self.serve.line_with("not reloaded: nothing changes").await;
        assert_eq!(line["why"], why);
        self.serve.signal("-HUP").await;
        let line = self.serve.line_with("not reloaded: nothing changes").await;
        assert_eq!(line["why"], why);
    }
}
