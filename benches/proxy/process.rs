use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream};

/// A proxy in a process of its own, ended when this is dropped.
pub(crate) struct Proxy {
    name: &'static str,
    address: SocketAddr,
    process: Child,
}

// === impl Proxy ===

impl Proxy {
    /// `onelane serve` with its defaults; its log goes where nobody reads it.
    pub(crate) async fn sidecar(upstream: SocketAddr) -> Self {
        let (address, admin) = (free_port().await, free_port().await);
        let process = Command::new(env!("CARGO_BIN_EXE_onelane"))
            .args(["serve", "--upstream", &format!("http://{upstream}")])
            .args(["--listen", &address.to_string(), "--admin", &admin.to_string()])
            .stdout(Stdio::null())
            .spawn();
        Self::ready("sidecar", address, process.expect("the sidecar starts")).await
    }

    /// A hyper server and a hyper client with nothing between them.
    pub(crate) async fn minimal(upstream: SocketAddr) -> Self {
        let address = free_port().await;
        let process = Command::new(std::env::current_exe().expect("this program has a path"))
            .args([crate::minimal::COMMAND, &address.to_string(), &upstream.to_string()])
            .spawn();
        Self::ready("minimal", address, process.expect("the minimal proxy starts")).await
    }

    async fn ready(name: &'static str, address: SocketAddr, process: Child) -> Self {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { name, address, process }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// User and system time so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        // In nanoseconds for each thread, where /proc/PID/stat counts hundredths of a second.
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("the proxy runs");
        tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .filter_map(|stat| stat.split_whitespace().next()?.parse::<f64>().ok())
            .sum::<f64>()
            / 1e9
    }

    /// Resident memory, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the proxy runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process has memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number of KiB")
            / 1024.0
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address")
}
