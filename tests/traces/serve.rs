//! `onelane serve` as a process of its own, in front of an emulator that is listened in on.

use std::{
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use onelane::emulator::{Args, Emulator};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

/// The longest that anything here may take; only a hang reaches it.
pub(crate) const HANG: Duration = Duration::from_secs(20);

pub(crate) struct Serve {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    child: Child,
    reader: Option<JoinHandle<()>>,
    log: Arc<Mutex<Vec<Value>>>,
}

/// An emulator of MediaTailor.
pub(crate) struct Far {
    pub(crate) address: SocketAddr,
    /// Where it is reached by who is listened in on.
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

pub(crate) async fn within<F: Future>(what: F) -> F::Output {
    timeout(HANG, what).await.expect("it must not hang")
}

pub(crate) fn onelane(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onelane"));
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Asks for something on a connection of its own: the status, and all of the answer.
pub(crate) async fn ask(address: SocketAddr, head: &str) -> (u16, String) {
    within(async {
        let mut connection = TcpStream::connect(address).await.expect("it listens");
        let request = format!("{head}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.expect("text");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), answer)
    })
    .await
}

pub(crate) async fn get(address: SocketAddr, target: &str) -> (u16, String) {
    ask(address, &format!("GET {target} HTTP/1.1\r\nHost: player.example")).await
}

// === impl Far ===

impl Far {
    pub(crate) async fn start() -> Self {
        let mut args = Args::default();
        args.listen = "127.0.0.1:0".parse().expect("an address");
        args.latency = "0s".parse().expect("a latency");
        args.seed = Some(7);
        let emulator = Emulator::bind(args).await.expect("it starts");
        let address = emulator.local_addr();
        tokio::spawn(emulator.run(std::future::pending::<()>()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let heard = Arc::default();
        tokio::spawn(listen_in(listener, address, Arc::clone(&heard)));
        Self { address, url, heard }
    }

    /// A media playlist of a session that is new.
    pub(crate) async fn media(&self) -> String {
        let (status, answer) = get(self.address, "/v1/master/9f3c/News/index.m3u8").await;
        assert_eq!(status, 200, "{answer}");
        let line = answer.lines().find(|line| line.contains("/v1/manifest/") || line.ends_with(".m3u8"));
        let line = line.expect("a playlist").to_owned();
        let path = line.find("/v1/manifest/").map(|at| line[at..].to_owned());
        path.unwrap_or_else(|| format!("/v1/manifest/{}", line.split("manifest/").last().unwrap_or_default()))
    }

    /// What it was sent by who is listened in on.
    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().expect("no panic")).into_owned()
    }

    pub(crate) async fn fails(&self, fault: &str) {
        let head = format!(
            "POST /__emulator/faults HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{fault}",
            fault.len()
        );
        let (status, answer) = ask(self.address, &head).await;
        assert!((200..300).contains(&status), "{answer}");
    }
}

/// Passes everything on, and keeps what goes one way.
async fn listen_in(listener: TcpListener, to: SocketAddr, heard: Arc<Mutex<Vec<u8>>>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut far = TcpStream::connect(to).await.expect("the emulator listens");
            let (mut from, mut back) = near.split();
            let (mut answers, mut requests) = far.split();
            let there = async {
                let mut some = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = from.read(&mut some).await {
                    heard.lock().expect("no panic").extend_from_slice(&some[..length]);
                    if requests.write_all(&some[..length]).await.is_err() {
                        break;
                    }
                }
            };
            let back = async { tokio::io::copy(&mut answers, &mut back).await };
            tokio::select! {
                () = there => {}
                _ = back => {}
            }
        });
    }
}

// === impl Serve ===

impl Serve {
    pub(crate) async fn start(upstream: &str, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let free = "127.0.0.1:0";
        let own =
            ["serve", "--upstream", upstream, "--listen", free, "--admin", free, "--log-format", "json"];
        let mut command = onelane(&[&own, flags].concat());
        let mut child =
            command.envs(environment.iter().copied()).stdout(Stdio::piped()).spawn().expect("it starts");
        let log = Arc::default();
        let reader = Some(tokio::spawn(read(child.stdout.take().expect("piped"), Arc::clone(&log))));
        let mut serve = Self { listen: ([0; 4], 0).into(), admin: ([0; 4], 0).into(), child, reader, log };
        let line = serve.line("serving").await;
        let address = |name: &str| line[name].as_str().expect(name).parse().expect("an address");
        (serve.listen, serve.admin) = (address("listen"), address("admin"));
        serve
    }

    pub(crate) async fn get(&self, target: &str) -> u16 {
        get(self.listen, target).await.0
    }

    /// The lines with this message so far.
    pub(crate) fn lines(&self, message: &str) -> Vec<Value> {
        let log = self.log.lock().expect("no panic");
        log.iter().filter(|line| line["message"] == message).cloned().collect()
    }

    /// The first line with this message, once it is there.
    pub(crate) async fn line(&self, message: &str) -> Value {
        until(|| self.lines(message).first().cloned()).await
    }

    /// Waits until a metric's sum over its labels is as much.
    pub(crate) async fn counts(&self, name: &str, expected: f64) {
        within(async {
            loop {
                let (_, page) = get(self.admin, "/metrics").await;
                let lines = page.lines().filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next());
                let sum: f64 = lines.filter_map(|value| value.parse::<f64>().ok()).sum();
                if sum == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let killed = Command::new("kill").args([name, &id]).status();
        assert!(within(killed).await.expect("kill").success());
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = within(self.child.wait()).await.expect("an exit status");
        if let Some(reader) = self.reader.take() {
            within(reader).await.expect("no panic");
        }
        status
    }
}

async fn read(stdout: ChildStdout, log: Arc<Mutex<Vec<Value>>>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.lock().expect("no panic").push(serde_json::from_str(&line).expect("JSON"));
    }
}

/// Waits for something to be there.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    within(async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}
