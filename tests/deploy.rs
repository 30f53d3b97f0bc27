//! The files of `deploy/` are what their readers take them for, and the commands in them are ones that onelane takes.

use std::{path::Path, process::Command, time::Duration};

use yaml_rust2::{Yaml, YamlLoader};

const UPSTREAM: &str = "http://a.example";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// Has `onelane check` read the flags of a `serve`, and gives what they come to.
fn settings(command: &[String], environment: &[(String, String)]) -> String {
    let (serve, flags) = command.split_first().expect("a command");
    assert_eq!(serve, "serve");
    let mut check = Command::new(env!("CARGO_BIN_EXE_onelane"));
    check.arg("check").args(flags).env_clear();
    let output = check.envs(environment.iter().cloned()).output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A time among settings.
fn time(settings: &str, key: &str) -> Duration {
    let line = settings.lines().find_map(|line| line.strip_prefix(&format!("{key} = \""))).expect(key);
    let (text, _) = line.split_once('"').expect("an end");
    text.strip_suffix('s').and_then(|text| text.parse().ok()).map(Duration::from_secs).expect("seconds")
}

/// Holds when whoever kills the process gives it the time to end.
fn has_time_to_end(settings: &str, killed_after: u64) {
    let needs = time(settings, "unready_for") + time(settings, "drain");
    assert!(
        Duration::from_secs(killed_after) > needs,
        "it is killed after {killed_after} s and needs {needs:?}"
    );
}

fn texts(yaml: &Yaml) -> Vec<String> {
    let list = yaml.as_vec().expect("a list");
    list.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn kubernetes() {
    let documents = YamlLoader::load_from_str(&read("deploy/kubernetes.yaml")).expect("YAML");
    let kinds: Vec<_> = documents.iter().map(|document| document["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["Deployment", "Service", "PodDisruptionBudget"]);
    let settings = settings_of(&documents[0], |pod| &pod["containers"][0]);
    assert!(settings.contains("listen = \"0.0.0.0:8080\"") && settings.contains("unready_for = \"10s\""));
}

#[test]
fn kubernetes_sidecar() {
    let documents = YamlLoader::load_from_str(&read("deploy/kubernetes-sidecar.yaml")).expect("YAML");
    assert_eq!((documents.len(), documents[0]["kind"].as_str()), (1, Some("Deployment")));
    let settings = settings_of(&documents[0], |pod| &pod["initContainers"][0]);
    // Whoever is in the pod gets there, and nobody else.
    assert!(settings.contains("listen = \"127.0.0.1:8080\""));
    let pod = &documents[0]["spec"]["template"]["spec"];
    assert_eq!(pod["initContainers"][0]["restartPolicy"].as_str(), Some("Always"));
    assert_eq!(pod["containers"].as_vec().map(Vec::len), Some(1));
}

/// What the flags and variables of a container of a Deployment come to; its ports and probes fit them.
fn settings_of(deployment: &Yaml, container: impl Fn(&Yaml) -> &Yaml) -> String {
    let pod = &deployment["spec"]["template"]["spec"];
    let container = container(pod);
    let variables = container["env"].as_vec().expect("a list").iter();
    let text = |yaml: &Yaml| yaml.as_str().expect("a text").to_owned();
    let variables: Vec<_> =
        variables.map(|variable| (text(&variable["name"]), text(&variable["value"]))).collect();
    let settings = settings(&texts(&container["args"]), &variables);
    assert!(settings.contains("upstream = \"https://") && settings.contains("# ONELANE_UPSTREAM"));
    has_time_to_end(
        &settings,
        pod["terminationGracePeriodSeconds"].as_i64().expect("seconds").cast_unsigned(),
    );
    let ports = container["ports"].as_vec().expect("a list");
    for port in ports {
        let number = port["containerPort"].as_i64().expect("a port");
        let key = if port["name"].as_str() == Some("admin") { "admin" } else { "listen" };
        assert!(settings.contains(&format!("{key} = \"0.0.0.0:{number}\"")), "{key} {number}");
    }
    settings
}

#[test]
fn ecs() {
    let task: serde_json::Value = serde_json::from_str(&read("deploy/ecs-task.json")).expect("JSON");
    let container = &task["containerDefinitions"][0];
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let command: Vec<_> = container["command"].as_array().expect("a list").iter().map(text).collect();
    let variables = container["environment"].as_array().expect("a list").iter();
    let variables: Vec<_> =
        variables.map(|variable| (text(&variable["name"]), text(&variable["value"]))).collect();
    let settings = settings(&command, &variables);
    has_time_to_end(&settings, container["stopTimeout"].as_u64().expect("seconds"));
    assert_eq!(container["healthCheck"]["command"][2], "healthcheck");
}

#[test]
fn systemd() {
    let unit = read("deploy/onelane.service");
    let folder = tempfile::tempdir().expect("a place for files");
    let config = folder.path().join("deploy.toml");
    std::fs::write(&config, format!("upstream = \"{UPSTREAM}\"\n")).expect("a place for files");
    let setting = |name: &str| {
        let value = unit.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        value.unwrap_or_else(|| panic!("no {name}"))
    };
    for (name, command) in [("ExecStartPre", "check"), ("ExecStart", "serve")] {
        let line = setting(name).replace("/etc/onelane.toml", config.to_str().expect("a path"));
        let mut words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        assert_eq!((words.remove(0).as_str(), words[0].as_str()), ("/usr/local/bin/onelane", command));
        words[0] = "serve".to_owned();
        let settings = settings(&words, &[]);
        let killed_after = setting("TimeoutStopSec").trim_end_matches('s').parse().expect("seconds");
        has_time_to_end(&settings, killed_after);
    }
    assert_eq!(setting("Type"), "notify");
}

#[test]
fn docker() {
    let file = read("deploy/Dockerfile");
    let variables = file.lines().find_map(|line| line.strip_prefix("ENV ")).expect("variables").split(' ');
    let variables = variables.map(|variable| variable.split_once('=').expect("a value"));
    let mut variables: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let named = variables.clone();
    variables.push(("ONELANE_UPSTREAM".to_owned(), UPSTREAM.to_owned()));
    let settings = settings(&["serve".to_owned()], &variables);
    for (name, _) in named {
        assert!(settings.contains(&format!("# {name}\n")), "{name} is no variable of onelane's");
    }
    assert!(file.contains("CMD [\"serve\"]") && file.contains("\"healthcheck\"]"));
    assert!(file.contains("\nUSER "), "not as root");
    // What only a feature knows is refused with exit code 64 by a program without it.
    let features = file.lines().find_map(|line| line.strip_prefix("ARG FEATURES=")).expect("features");
    let features: Vec<_> = features.split(',').collect();
    let manifest = read("Cargo.toml");
    for feature in ["sidecar", "redis", "otlp"] {
        assert!(features.contains(&feature), "{feature} is not built in");
    }
    for feature in features {
        assert!(manifest.contains(&format!("\n{feature} = [")), "{feature} is no feature");
    }
    assert!(file.contains("--features \"$FEATURES\""), "they are what is built");
}

/// What git leaves out can be gigabytes, and would be in every build's context.
#[test]
fn docker_copies_nothing_that_git_leaves_out() {
    let left_out = read(".dockerignore");
    let left_out: Vec<_> = left_out.lines().filter(|line| !line.starts_with('#')).collect();
    for line in read(".gitignore").lines().chain(["/.git", "/fuzz/target"]) {
        assert!(left_out.contains(&line), "{line} is copied");
    }
    for needed in ["src", "Cargo.toml", "Cargo.lock", "README.md", "docs", "tests", "benches", "examples"] {
        assert!(
            !left_out.iter().any(|line| line.trim_start_matches('/') == needed),
            "{needed} is not copied"
        );
    }
}
