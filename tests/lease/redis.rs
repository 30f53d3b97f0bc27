//! A real Redis server.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{interval, timeout},
};

/// The longest that anything here may take; only a hang reaches it.
pub(crate) const HANG: Duration = Duration::from_secs(20);

pub(crate) struct Redis {
    pub(crate) address: SocketAddr,
    flags: Vec<String>,
    child: Child,
}

/// Looks again and again until there is something; the engine has no event for what is looked for.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        let mut due = interval(Duration::from_millis(10));
        loop {
            due.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    timeout(HANG, looking).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// An address where nothing listens.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port")
}

fn spawn(address: SocketAddr, flags: &[String]) -> Child {
    let port = address.port().to_string();
    let all = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--repl-diskless-sync-delay",
        "0",
    ];
    let mut command = Command::new("redis-server");
    command.args(all).args(flags).current_dir(env!("CARGO_TARGET_TMPDIR"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("redis-server is installed (apt-get install redis-server; tests/run does)")
}

async fn answers(address: SocketAddr) {
    until("Redis answers", || async { TcpStream::connect(address).await.ok() }).await;
}

// === impl Redis ===

impl Redis {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let address = free();
        let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let child = spawn(address, &flags);
        answers(address).await;
        Self { address, flags, child }
    }

    /// A node of a cluster that is still to be made, and the folder that it writes to.
    pub(crate) async fn node(flags: &[&str]) -> (Self, TempDir) {
        let (folder, bus) = (tempfile::tempdir().expect("a folder"), free().port().to_string());
        let place = folder.path().to_str().expect("a path").to_owned();
        let own = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--dir", &place];
        (Self::start(&[&own, flags].concat()).await, folder)
    }

    /// Waits until the cluster that this node is of has an owner for every slot.
    pub(crate) async fn is_whole(&self) {
        until("the cluster is whole", || async {
            self.ask(&["cluster", "info"]).await.contains("cluster_state:ok").then_some(())
        })
        .await;
    }

    /// What watches over others, by a file of settings that it may write to.
    pub(crate) async fn sentinel(settings: &Path) -> Self {
        let settings = settings.to_str().expect("a path");
        let address = free();
        let port = address.port().to_string();
        let mut command = Command::new("redis-server");
        command.args([settings, "--port", &port, "--bind", "127.0.0.1", "--sentinel"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().expect("redis-server is installed");
        answers(address).await;
        Self { address, flags: Vec::new(), child }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// What redis-cli prints.
    pub(crate) async fn ask(&self, words: &[&str]) -> String {
        let port = self.address.port().to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(words).output();
        let output = timeout(HANG, output).await.expect("it must not hang").expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Sends the process a signal by its name.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().await;
        assert!(sent.expect("kill is there").success());
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it ran");
    }

    /// Begins anew on the same port, empty.
    pub(crate) async fn again(&mut self) {
        self.child = spawn(self.address, &self.flags);
        answers(self.address).await;
    }
}
