//! The file of `--config`, as the command reads it.

use crate::{
    far::Far,
    process::{Serve, onelane},
    support::{Folder, Message, media, ok, session, within},
};

/// What a player gets where the upstream says that the session is not its own.
async fn denied(far: &mut Far, serve: &Serve) -> Message {
    let mut player = serve.player().await;
    player.ask(&media(&session(1), 0)).await;
    far.asked().await.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nsecret");
    player.answer().await
}

#[tokio::test]
async fn a_bad_file_is_refused_in_one_line() {
    let folder = Folder::new();
    for (config, says) in [
        (
            folder.file("1.toml", "[remap]\nconflict = { status = 409 }\n"),
            ":2:23: remap.conflict.status: status 409 is",
        ),
        (folder.file("2.toml", "[remap]\nplaylist = { status = 502 }\n"), ": remap.playlist: "),
        (folder.file("3.toml", "[retry]\nleast_pause = \"1s\"\n"), ": retry.longest_pause: it is 250ms"),
        (folder.file("4.toml", "[rescue]\n\"a\\u001b[2Jb\\n\" = 1\n"), ": rescue.a\\u{1b}[2Jb\\n: "),
        (folder.file("5.toml", "[rescue\n"), ":1:8: it is not TOML: "),
        (folder.file("6.toml", [b'#', 0xff]), ": it cannot be read: "),
        (folder.file("7.toml", "#".repeat(1 << 21)), "1 MiB at most"),
        (folder.path("none.toml"), ": it cannot be read: No such file"),
        (folder.path("."), "name a TOML file"),
    ] {
        let upstream = ["serve", "--upstream", "http://127.0.0.1:9"];
        let flags = [&upstream[..], &["--config", &config]].concat();
        let mut by_environment = onelane(&upstream);
        by_environment.env("ONELANE_CONFIG", &config);
        for mut command in [onelane(&flags), by_environment] {
            let output = within(command.output()).await.expect("it starts");
            let told = String::from_utf8(output.stderr).expect("text");
            assert_eq!(output.status.code(), Some(64), "{told}");
            assert!(told.starts_with(&format!("error: {config}:")) && told.contains(says), "{told}");
            assert_eq!(
                (told.lines().count(), told.trim_end().contains(char::is_control)),
                (1, false),
                "{told:?}"
            );
        }
    }
}

#[tokio::test]
async fn flags_go_before_the_environment_and_that_before_the_file() {
    let folder = Folder::new();
    let mut far = Far::listen().await;
    let config =
        folder.file("profile.toml", "[remap]\nprofile = \"transparent\"\ndenied = { status = 404 }\n");
    let survive = [("ONELANE_REMAP_PROFILE", "survive")];
    for (flags, environment, transparent) in [
        (&[][..], &[][..], true),
        (&[], &survive, false),
        (&["--remap-profile", "transparent"], &survive, true),
        (&["--remap-profile", "survive"], &[], false),
    ] {
        let flags = [&["--config", &config], flags].concat();
        let serve = Serve::start_with(&far.url(), &flags, environment).await;
        let answer = denied(&mut far, &serve).await;
        match transparent {
            true => assert_eq!((answer.status(), answer.text().as_str()), (403, "secret")),
            false => answer.is_problem(404),
        }
    }
}

#[tokio::test]
async fn a_variable_that_is_wrong_is_named_and_an_empty_one_is_not_set() {
    let upstream = ["check", "--upstream", "http://127.0.0.1:9"];
    for (flags, name, value, says) in [
        (&[][..], "ONELANE_DEPTH", "", Ok("depth = 16 # default\n")),
        (&[], "ONELANE_RESUME", "", Ok("resume = false # default\n")),
        (&[], "ONELANE_CONFIG", "", Ok("depth = 16 # default\n")),
        (&[], "ONELANE_LOG", "", Ok("log = \"info\" # default\n")),
        (&[], "ONELANE_DEPTH", "8", Ok("depth = 8 # ONELANE_DEPTH\n")),
        (&[], "ONELANE_DEPTH", " ", Err("value ' ' for 'ONELANE_DEPTH': ")),
        (&[], "ONELANE_DEPTH", "many", Err("value 'many' for 'ONELANE_DEPTH': ")),
        (&[], "ONELANE_RESCUE_AFTER", "1", Err("value '1' for 'ONELANE_RESCUE_AFTER': it is no time")),
        (&[], "ONELANE_HOST", "keep", Err("value 'keep' for 'ONELANE_HOST'")),
        (&["--depth", "x"], "ONELANE_DEPTH", "8", Err("value 'x' for '--depth <N>'")),
        (&["--depth", "x"], "ONELANE_DEPTH", "y", Err("value 'x' for '--depth <N>'")),
        (&["--depth", ""], "ONELANE_IDLE", "", Err("--depth <N>")),
        (&["--lease-required"], "ONELANE_IDLE", "", Err("--lease-required without --lease: name the engine")),
        (&["--listen", "127.0.0.1:7"], "ONELANE_ADMIN", "127.0.0.1:7", Err("--listen and --admin are both")),
        (&["--depth", "4"], "ONELANE_DEPTH", "y", Ok("depth = 4 # --depth\n")),
    ] {
        let mut command = onelane(&[&upstream[..], flags].concat());
        let output = within(command.env(name, value).output()).await.expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let (code, told, error) = (output.status.code(), text(output.stdout), text(output.stderr));
        match says {
            Ok(line) => assert!(code == Some(0) && told.contains(line), "{name}={value}: {told}{error}"),
            Err(line) => {
                assert!(code == Some(64) && error.contains(line), "{name}={value}: {error}");
                assert_eq!(error.lines().count(), 1, "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_variable_whose_name_is_wrong_is_told_where_its_flag_is_missing() {
    for command in ["serve", "check"] {
        let mut command = onelane(&[command]);
        let output = within(command.env("ONELANE_UPSTRAEM", "http://127.0.0.1:9").output()).await;
        let output = output.expect("it starts");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(
            said.contains("ONELANE_UPSTRAEM stands for no flag; did you mean ONELANE_UPSTREAM?"),
            "{said}"
        );
        assert!(said.contains("--upstream <URL>; a flag may stand in the environment"), "{said}");
    }
}

#[tokio::test]
async fn the_file_reaches_every_stage() {
    let folder = Folder::new();
    let mut far = Far::listen().await;
    let config = folder.file(
        "stages.toml",
        "strip_directives = true\n[rescue]\nenabled = false\n[retry]\nconflict = 0\n\
         [remap]\nconflict = { status = 503, retry_after = 7 }\n",
    );
    let serve = Serve::start(&far.url(), &["--config", &config]).await;
    let mut player = serve.player().await;
    let path = media(&session(1), 0);
    player.ask(&format!("{path}?x=1&_HLS_msn=7")).await;
    let asked = far.asked().await;
    assert_eq!(asked.message.first_line(), format!("GET {path}?x=1 HTTP/1.1"));
    let live = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2,\na.ts\n";
    asked.say(ok(live));
    assert_eq!(player.answer().await.text(), live);

    player.ask(&format!("{path}?x=1")).await;
    far.asked().await.say("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n");
    let answer = player.answer().await;
    answer.is_problem(503);
    assert_eq!(answer.header("retry-after"), Some("7"));
    far.is_quiet();
}

#[tokio::test]
async fn check_tells_what_settings_come_to_and_where_they_are_from() {
    let folder = Folder::new();
    let config = folder.file(
        "check.toml",
        "upstream = \"http://127.0.0.1:9\"\ndepth = 5\nwaiting = 7\n[remap]\nconflict = { status = 503 }\nfailed = { status = 502 }\n\
         [rescue]\nafter = \"1s\"\nmax_age = \"9s\"\n",
    );
    let mut command = onelane(&["check", "--config", &config, "--depth", "4", "--rescue-after", "3s"]);
    let output = within(command.env("ONELANE_IDLE", "9s").output()).await.expect("it starts");
    let told = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        format!("upstream = \"http://127.0.0.1:9\" # {config}:1\n"),
        "depth = 4 # --depth\n".to_owned(),
        format!("waiting = 7 # {config}:3\n"),
        "idle = \"9s\" # ONELANE_IDLE\n".to_owned(),
        "listen = \"127.0.0.1:8080\" # default\n".to_owned(),
        "resume = false # default\n".to_owned(),
        "strip_directives = false # default\n".to_owned(),
        format!("\n[remap]\nprofile = \"survive\" # default\nconflict = {{ status = 503 }} # {config}:5\n"),
        format!("failed = {{ status = 502 }} # {config}:6\n"),
        "after = \"3s\" # --rescue-after\n".to_owned(),
        format!("max_age = \"9s\" # {config}:9\n"),
        "budget_part = 0.2 # default\n".to_owned(),
    ] {
        assert!(told.contains(&line), "{line:?} is not in\n{told}");
    }

    // It is a file that makes the settings what they are.
    let again = folder.file("check-again.toml", &told);
    let output = within(onelane(&["check", "--config", &again]).output()).await.expect("it starts");
    let values =
        |text: &str| text.lines().map(|line| line.split(" # ").next().map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(values(&String::from_utf8(output.stdout).expect("text")), values(&told));
}

#[tokio::test]
async fn check_and_serve_refuse_the_same() {
    let folder = Folder::new();
    let config = folder.file("bad.toml", "upstream = \"http://127.0.0.1:9\"\nmax_hold = \"never\"\n");
    for command in ["check", "serve"] {
        let output = within(onelane(&[command, "--config", &config]).output()).await.expect("it starts");
        let told = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), told.lines().count()), (Some(64), 1), "{told}");
        assert!(told.contains("bad.toml:2:12: max_hold: \"never\": it is no time"), "{told}");
    }
    let output = within(onelane(&["check"]).output()).await.expect("it starts");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(64));
    assert!(told.contains("--upstream"), "{told}");
}

#[tokio::test]
async fn the_default_file_is_one_that_check_and_serve_take() {
    let folder = Folder::new();
    let output = within(onelane(&["config", "--print-default"]).output()).await.expect("it starts");
    assert_eq!(output.status.code(), Some(0));
    let config = folder.file("default.toml", &output.stdout);
    let output = within(onelane(&["check", "--config", &config]).output()).await.expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let far = Far::listen().await;
    let _serve = Serve::start(&far.url(), &["--config", &config]).await;
}
