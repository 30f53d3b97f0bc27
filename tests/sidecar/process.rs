//! The `onelane` command as a process of its own: ports, signals, exit codes.

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    process::{ExitStatus, Output, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines},
    net::{TcpListener, TcpStream, UnixDatagram},
    process::{Child, Command},
};

use crate::{
    far::Far,
    player::Player,
    support::{Folder, media, session, within},
};

/// A sidecar in a process of its own.
pub(crate) struct Serve {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// What it logs, a JSON object a line.
    pub(crate) lines: Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>,
    child: Child,
}

/// What systemd is told.
struct Systemd {
    socket: String,
    heard: UnixDatagram,
    _folder: Folder,
}

pub(crate) fn onelane(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onelane"));
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub(crate) async fn output(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = within(onelane(arguments).output()).await.expect("it starts");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

// === impl Systemd ===

impl Systemd {
    fn new() -> Self {
        let folder = Folder::new();
        let socket = folder.path("notify");
        let heard = UnixDatagram::bind(&socket).expect("a socket");
        Self { socket, heard, _folder: folder }
    }

    async fn told(&self) -> String {
        let mut text = [0; 64];
        let length = within(self.heard.recv(&mut text)).await.expect("a word");
        String::from_utf8_lossy(&text[..length]).trim().to_owned()
    }

    /// Holds when nothing is left to be heard, of a process that has ended.
    #[track_caller]
    fn was_told_all(&self) {
        let mut text = [0; 64];
        let more = self
            .heard
            .try_recv(&mut text)
            .map(|length| String::from_utf8_lossy(&text[..length]).into_owned());
        assert!(more.is_err(), "{more:?}");
    }
}

// === impl Serve ===

impl Serve {
    pub(crate) async fn start(upstream: &str, flags: &[&str]) -> Self {
        Self::start_with(upstream, flags, &[]).await
    }

    pub(crate) async fn start_with(upstream: &str, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::begin(upstream, flags, environment).serving().await
    }

    /// The same, before it serves.
    pub(crate) fn begin(upstream: &str, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let free = "127.0.0.1:0";
        let mut all = vec!["serve", "--upstream", upstream, "--log-format", "json"];
        for flag in ["--listen", "--admin"] {
            if !flags.contains(&flag) {
                all.extend([flag, free]);
            }
        }
        all.extend(flags);
        let mut command = onelane(&all);
        command.envs(environment.iter().copied());
        Self::spawn(command)
    }

    /// On a port that somebody else keeps, as systemd does: it is descriptor 3.
    pub(crate) async fn activate(upstream: &str, port: &std::net::TcpListener) -> Self {
        let mut command = Command::new("/bin/sh");
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
        let flags = ["serve", "--upstream", upstream, "--admin", "127.0.0.1:0", "--log-format", "json"];
        command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_onelane")]).args(flags).env_clear();
        let port = OwnedFd::from(port.try_clone().expect("a socket"));
        command.stdin(port).kill_on_drop(true);
        Self::spawn(command).serving().await
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("piped");
        Self {
            listen: ([0; 4], 0).into(),
            admin: ([0; 4], 0).into(),
            lines: BufReader::new(Box::new(stdout) as _).lines(),
            child,
        }
    }

    /// Waits until it serves.
    pub(crate) async fn serving(mut self) -> Self {
        let line = self.line_with("serving").await;
        let address = |name: &str| line[name].as_str().expect(name).parse().expect("an address");
        (self.listen, self.admin) = (address("listen"), address("admin"));
        self
    }

    /// The next line with this message.
    pub(crate) async fn line_with(&mut self, message: &str) -> serde_json::Value {
        loop {
            let line = within(self.lines.next_line()).await.expect("text").expect("a line before the end");
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Closes the pipe that it logs to.
    pub(crate) fn close_log(&mut self) {
        self.lines = BufReader::new(Box::new(tokio::io::empty()) as _).lines();
    }

    pub(crate) async fn player(&self) -> Player {
        Player::connect(self.listen).await
    }

    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let killed = Command::new("kill").args([name, &id]).status();
        assert!(within(killed).await.expect("kill").success());
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within(self.child.wait()).await.expect("an exit status")
    }

    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let mut player = self.admin_player().await;
        player.say(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.admin)).await;
        let answer = player.answer().await;
        (answer.status(), answer.text())
    }

    pub(crate) async fn admin_player(&self) -> Player {
        Player::connect(self.admin).await
    }

    async fn is_draining(&self) {
        within(async { while self.admin("/readyz").await.0 != 503 {} }).await;
    }
}

#[tokio::test]
async fn the_admin_port_tells_how_it_is() {
    let far = Far::listen().await;
    let serve = Serve::start(&far.url(), &[]).await;
    assert_eq!(serve.admin("/healthz").await, (200, "alive\n".to_owned()));
    assert_eq!(serve.admin("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(serve.admin("/v1/manifest/a/b/c/0.m3u8").await.0, 404);
    // Players do not get it.
    let mut player = Player::connect(serve.admin).await;
    player.say("POST /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(player.answer().await.status(), 405);
}

#[tokio::test]
async fn sigterm_finishes_what_waits_flies_and_drains() {
    let mut far = Far::listen().await;
    let mut serve = Serve::start(&far.url(), &["--drain", "1m"]).await;
    let (one, two) = (session(1), session(2));
    let mut flies = serve.player().await;
    flies.ask(&media(&one, 0)).await;
    let first = far.asked().await;
    let mut abandons = serve.player().await;
    abandons.ask(&media(&two, 0)).await;
    let abandoned = far.asked().await;
    drop(abandons);
    let mut waits = serve.player().await;
    waits.ask(&media(&one, 1)).await;
    // Connections that ask for nothing hold nobody up: silent, half a head, kept alive, HTTP/2.
    let silent = serve.player().await;
    let mut half = serve.player().await;
    half.say("GET / HTTP/1.1\r\nHost: a\r\nX").await;
    let mut http2 = serve.player().await;
    http2.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let mut kept = serve.player().await;
    kept.ask("/ping").await;
    far.asked().await.well("pong");
    assert_eq!(kept.answer().await.note(), "pong");

    serve.signal("-TERM").await;
    serve.is_draining().await;
    // After the last call there are no new connections.
    within(async { while TcpStream::connect(serve.listen).await.is_ok() {} }).await;
    assert_eq!(serve.admin("/healthz").await.0, 200);
    first.well("flew");
    assert_eq!(flies.answer().await.note(), "flew");
    far.asked().await.well("waited");
    assert_eq!(waits.answer().await.note(), "waited");
    for idle in [silent, half, http2, kept] {
        within(idle.rest()).await;
    }
    serve.is_draining().await;
    abandoned.well("for nobody");
    serve.line_with("drained").await;
    assert_eq!(serve.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_drain_is_bounded() {
    let mut far = Far::listen().await;
    let mut serve = Serve::start(&far.url(), &["--drain", "200ms"]).await;
    let mut player = serve.player().await;
    player.ask(&media(&session(1), 0)).await;
    let _never_answered = far.asked().await;
    let mut waits = serve.player().await;
    waits.ask(&media(&session(1), 1)).await;
    serve.signal("-INT").await;
    serve.line_with("not drained in time; raise --drain").await;
    // What stood in line is told so.
    let answer = waits.answer().await;
    answer.is_problem(503);
    assert_eq!(answer.header("x-onelane-reason"), Some("shutting_down"));
    far.is_quiet();
    assert_eq!(serve.ended().await.code(), Some(1));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut far = Far::listen().await;
    let mut serve = Serve::start(&far.url(), &["--drain", "1h", "--max-hold", "1h"]).await;
    let mut player = serve.player().await;
    player.ask(&media(&session(1), 0)).await;
    let _never_answered = far.asked().await;
    serve.signal("-TERM").await;
    serve.is_draining().await;
    serve.signal("-INT").await;
    assert_eq!(serve.ended().await.code(), Some(1));
}

#[tokio::test]
async fn what_cannot_start_says_why_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (up, free) = ("http://127.0.0.1:9", "127.0.0.1:0");
    // Free again, and nobody else's for now.
    let own_port = TcpListener::bind(free).await.unwrap().local_addr().unwrap().to_string();
    let own = format!("http://{own_port}");
    for (arguments, code, says) in [
        (&["serve", "--upstream", up, "--listen", &taken, "--admin", free][..], 1, "--listen"),
        (&["serve", "--upstream", up, "--listen", free, "--admin", &taken], 1, "--admin"),
        (&["serve", "--upstream", up, "--listen", "localhost"], 64, "--listen"),
        (
            &["serve", "--upstream", &own, "--listen", &own_port, "--admin", free],
            64,
            "where this process listens",
        ),
        (&["serve", "--upstream", "mediatailor.example"], 64, "write https://mediatailor.example"),
        (&["serve", "--upstream", "https://mediatailor.example/v1"], 64, "has a path"),
        (&["serve", "--upstream", "ftp://mediatailor.example"], 64, "http"),
        (&["serve"], 64, "--upstream"),
        (&["serve", "--upstream", up, "--no-such-flag"], 64, "--no-such-flag"),
        (&["serve", "--upstream", up, "--answer-within", "6"], 64, "--answer-within"),
        (
            &["serve", "--upstream", up, "--threads", "4097"],
            64,
            "--threads <N>': it must be a whole number from 1 to 4096",
        ),
        (&["serve", "--upstream", up, "--log", "=,="], 64, "--log"),
        (&["server"], 64, "server"),
    ] {
        let (status, stderr) = output(arguments).await;
        assert_eq!(status, Some(code), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(says), "{arguments:?}: {stderr}");
        assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
    }
}

#[tokio::test]
async fn without_files_to_open_it_ends_with_70() {
    let mut shell = Command::new("sh");
    let script =
        format!("ulimit -n 4; exec {} serve --upstream http://127.0.0.1:9", env!("CARGO_BIN_EXE_onelane"));
    let output = within(shell.args(["-c", &script]).output()).await.expect("it starts");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), told.lines().count()), (Some(70), 1), "{told}");
    assert!(told.starts_with("error: cannot start: ") && told.contains("too few open files"), "{told}");
}

#[tokio::test]
async fn more_threads_than_the_machine_gives_end_it_with_70() {
    // Enough files for the process itself.
    let script = format!(
        "ulimit -n 64; exec {} serve --upstream http://127.0.0.1:9 --listen 127.0.0.1:0 --admin 127.0.0.1:0 --threads 100",
        env!("CARGO_BIN_EXE_onelane")
    );
    let output = within(Command::new("sh").args(["-c", &script]).output()).await.expect("it starts");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), told.lines().count()), (Some(70), 1), "{told}");
    assert!(told.starts_with("error: --threads 100: ") && told.contains("fewer"), "{told}");
}

#[tokio::test]
async fn help_is_plain_where_no_terminal_reads_it_and_may_be_cut_off() {
    let help = within(onelane(&["serve", "--help"]).output()).await.unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success() && text.contains("--upstream") && !text.contains('\u{1b}'), "{text:?}");

    let mut child =
        onelane(&["serve", "--help"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let cut = within(child.wait_with_output()).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&cut.stderr), "");
    assert!(cut.status.code().is_some_and(|code| code == 0), "{cut:?}");
}

#[tokio::test]
async fn unready_it_takes_connections_for_as_long_as_a_balancer_needs() {
    let mut far = Far::listen().await;
    let mut serve = Serve::start(&far.url(), &["--unready-for", "1h"]).await;
    serve.signal("-TERM").await;
    serve.is_draining().await;
    let mut player = serve.player().await;
    player.ask(&media(&session(1), 0)).await;
    far.asked().await.well("still here");
    assert_eq!(player.answer().await.status(), 200);
    serve.signal("-TERM").await;
    assert!(!serve.ended().await.success(), "the second ends it at once");
}

#[tokio::test]
async fn systemd_is_told_when_it_serves_reloads_and_stops() {
    let systemd = Systemd::new();
    let far = Far::listen().await;
    let mut serve = Serve::start_with(&far.url(), &[], &[("NOTIFY_SOCKET", &systemd.socket)]).await;
    assert_eq!(systemd.told().await, "READY=1");
    serve.signal("-HUP").await;
    let reloads = systemd.told().await;
    assert!(reloads.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloads}");
    assert_eq!(systemd.told().await, "READY=1");
    serve.signal("-TERM").await;
    assert_eq!(systemd.told().await, "STOPPING=1");
    assert!(serve.ended().await.success());
    systemd.was_told_all();
}

#[tokio::test]
async fn systemd_hears_of_no_reload_once_it_stops() {
    let systemd = Systemd::new();
    let mut far = Far::listen().await;
    let mut serve = Serve::start_with(&far.url(), &[], &[("NOTIFY_SOCKET", &systemd.socket)]).await;
    assert_eq!(systemd.told().await, "READY=1");
    let mut player = serve.player().await;
    player.ask(&media(&session(1), 0)).await;
    let flies = far.asked().await;
    serve.signal("-TERM").await;
    serve.line_with("draining").await;
    assert_eq!(systemd.told().await, "STOPPING=1");
    serve.signal("-HUP").await;
    serve.line_with("reloaded").await;
    flies.well("the last one");
    assert_eq!(player.answer().await.note(), "the last one");
    assert!(serve.ended().await.success());
    // It would take this for a service that is up again.
    systemd.was_told_all();
}

#[tokio::test]
async fn a_port_that_systemd_keeps_turns_nobody_away_while_it_restarts() {
    let mut far = Far::listen().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let here = port.local_addr().expect("an address");
    let mut old = Serve::activate(&far.url(), &port).await;
    assert_eq!(old.listen, here);
    let mut flies = old.player().await;
    flies.ask(&media(&session(1), 0)).await;
    let first = far.asked().await;
    old.signal("-TERM").await;
    old.line_with("draining").await;
    first.well("by the old one");
    assert_eq!(flies.answer().await.note(), "by the old one");
    assert_eq!(old.ended().await.code(), Some(0));

    // Nobody serves by now.
    let mut waits = Player::connect(here).await;
    waits.ask(&media(&session(1), 1)).await;
    let new = Serve::activate(&far.url(), &port).await;
    assert_eq!(new.listen, here);
    far.asked().await.well("by the new one");
    assert_eq!(waits.answer().await.note(), "by the new one");
}

#[tokio::test]
async fn two_processes_share_a_port_if_both_want_to() {
    let mut far = Far::listen().await;
    let one = Serve::start(&far.url(), &["--reuse-port"]).await;
    let here = one.listen.to_string();
    let base = ["serve", "--upstream", &far.url(), "--admin", "127.0.0.1:0", "--listen", &here];
    let (code, told) = output(&base).await;
    assert_eq!((code, told.lines().count()), (Some(1), 1), "{told}");
    assert!(told.contains(&format!("--listen {here}: ")), "{told}");

    // The new one serves, the old one goes: the port is never without somebody.
    let mut old = one;
    let new = Serve::start(&far.url(), &["--reuse-port", "--listen", &here]).await;
    assert_eq!(new.listen, old.listen);
    old.signal("-TERM").await;
    assert!(old.ended().await.success());
    let mut player = new.player().await;
    player.ask(&media(&session(1), 0)).await;
    far.asked().await.well("the new one");
    assert_eq!(player.answer().await.status(), 200);
}

#[tokio::test]
async fn without_its_upstream_it_does_not_start_if_it_is_required() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let upstream = format!("http://{closed}");
    let free = "127.0.0.1:0";
    let base = ["serve", "--upstream", &upstream, "--listen", free, "--admin", free, "--require-upstream"];
    let (code, told) = output(&base).await;
    assert_eq!((code, told.lines().count()), (Some(69), 1), "{told}");
    assert!(
        told.contains(&upstream) && told.contains("refused") && told.contains("--require-upstream"),
        "{told}"
    );

    let mut far = Far::listen().await;
    let url = far.url();
    let start = Serve::start(&url, &["--require-upstream"]);
    let answer = async {
        let asked = far.asked().await;
        asked.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let (serve, ()) = tokio::join!(start, answer);
    assert_eq!(serve.admin("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_container_asks_whether_it_is_ready() {
    let far = Far::listen().await;
    let mut serve = Serve::start(&far.url(), &["--unready-for", "1h"]).await;
    let admin = serve.admin.to_string();
    assert_eq!(output(&["healthcheck", "--admin", &admin]).await, (Some(0), String::new()));
    serve.signal("-TERM").await;
    serve.is_draining().await;
    let (code, told) = output(&["healthcheck", "--admin", &admin]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("/readyz answers 503"), "{told}");
    serve.signal("-TERM").await;
    serve.ended().await;
    let (code, told) = output(&["healthcheck", "--admin", &admin]).await;
    assert_eq!((code, told.lines().count()), (Some(1), 1), "{told}");
    assert!(told.contains("is --admin the one that serve has?"), "{told}");
}

#[tokio::test]
async fn completions_and_the_manual_have_every_command() {
    for arguments in [&["completions", "bash"][..], &["man"]] {
        let output = within(onelane(arguments).output()).await.expect("it starts");
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).expect("text");
        for word in ["serve", "check", "healthcheck", "answer"] {
            assert!(text.contains(word), "{arguments:?} has no {word}");
        }
    }
}
