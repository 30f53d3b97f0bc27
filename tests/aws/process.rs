use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{process::Command, time::timeout};

/// Longer than onelane may take for any one thing.
pub(crate) const HANG: Duration = Duration::from_secs(40);

/// The command without a variable of this machine's, and with the home of nobody.
pub(crate) fn onelane(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onelane"));
    command.args(arguments).env_clear().env("HOME", "/nonexistent").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The exit code, and what both outputs have.
pub(crate) async fn ended(mut command: Command) -> (Option<i32>, String, String) {
    let output = timeout(HANG, command.output()).await;
    let Output { status, stdout, stderr } = output.expect("it must not hang").expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// A file of settings, and the folder that it is in.
pub(crate) fn settings(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a place for files");
    let path = folder.path().join("onelane.toml");
    write(&path, text);
    let path = path.to_str().expect("text").to_owned();
    (folder, path)
}

pub(crate) fn write(path: impl AsRef<Path>, text: &str) {
    std::fs::write(path, text).expect("a place for files");
}
