//! `onelane doctor URL --configuration NAME`.

use std::{net::SocketAddr, time::Duration};

use onelane::emulator::{Args, Conflict, Emulator};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};

use crate::{
    account::{Account, REGION},
    process::{ended, onelane},
};

const MASTER: &str = "/v1/master/acct/Demo/index.m3u8";

/// Where nobody is: what is known of the URL is known without a request to it.
const NOWHERE: &str = "http://127.0.0.1:1";

pub(crate) async fn emulator() -> (Emulator, String) {
    let mut args = Args::default();
    args.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    args.conflict = Conflict::None;
    args.latency = "5ms".parse().expect("a latency");
    args.segment = Duration::from_secs(1);
    let emulator = Emulator::bind(args).await.expect("a free port");
    let url = format!("http://{}", emulator.local_addr());
    (emulator, url)
}

/// The exit code, the findings, and standard error.
async fn examine(
    account: &Account,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, Vec<Value>, String) {
    let mut command = onelane(&[&["doctor", "--json"], arguments].concat());
    account.lead(&mut command);
    for (name, value) in variables {
        match value.is_empty() {
            true => command.env_remove(name),
            false => command.env(name, value),
        };
    }
    let (code, told, error) = ended(command).await;
    let report: Value = serde_json::from_str(&told).expect("JSON");
    (code, report["findings"].as_array().expect("findings").clone(), error)
}

/// The one finding of this name: its severity, and what it says.
fn the<'a>(findings: &'a [Value], check: &str) -> (&'a str, &'a str, &'a str) {
    let mut such = findings.iter().filter(|finding| finding["check"] == check);
    let (Some(one), None) = (such.next(), such.next()) else { panic!("{check}: {findings:#?}") };
    let text = |name: &str| one[name].as_str().expect(name);
    (text("severity"), text("saw"), text("remedy"))
}

#[tokio::test]
async fn a_url_of_the_configuration_is_examined_as_ever() {
    let (_emulator, endpoint) = emulator().await;
    let account = Account::of(&endpoint).await;
    let url = format!("{endpoint}{MASTER}");
    let (code, findings, error) =
        examine(&account, &[&url, "--configuration", "Demo", "--region", REGION], &[]).await;
    assert_eq!((code, &*error), (Some(0), ""), "{findings:#?}");
    assert_eq!(the(&findings, "configured").0, "ok");
    assert_eq!(the(&findings, "logs").0, "ok");
    assert_eq!(the(&findings, "onelane").0, "ok");
    for check in ["insertion", "preroll", "segments", "aliases", "viewer"] {
        assert!(!findings.iter().any(|finding| finding["check"] == check), "{check}: {findings:#?}");
    }
    assert_eq!(account.asked(), ["Demo eu-west-1/mediatailor/aws4_request"]);
}

#[tokio::test]
async fn what_the_configuration_says_is_told() {
    let account = Account::of("https://0123.mediatailor.eu-west-1.amazonaws.com").await;
    account.says(
        "https://0123.mediatailor.eu-west-1.amazonaws.com",
        json!({
            "CdnConfiguration": { "ContentSegmentUrlPrefix": "/" },
            "ConfigurationAliases": { "player_params.origin": { "a": "b" } },
            "InsertionMode": "PLAYER_SELECT",
            "LivePreRollConfiguration": { "AdDecisionServerUrl": "https://ads.example", "MaxDurationSeconds": 5 },
            "LogConfiguration": { "PercentEnabled": 7 },
        }),
    );
    let url = format!("{NOWHERE}/tv/v1/manifest/acct/Demo/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/0.m3u8");
    let (code, findings, _) =
        examine(&account, &[&url, "--configuration", "Demo", "--region", REGION], &[]).await;
    // Nothing is wrong with any of that; nobody answers.
    assert_eq!(code, Some(69), "{findings:#?}");
    for (check, severity, says) in [
        ("configured", "ok", "must lead to https://0123.mediatailor.eu-west-1.amazonaws.com"),
        ("viewer", "note", "one viewer's session"),
        ("insertion", "note", "/v1/i-media/*"),
        ("preroll", "note", "before the first playlist"),
        ("segments", "note", "are at /,"),
        ("aliases", "note", "values for origin:"),
        ("logs", "note", "7 % of sessions"),
    ] {
        let (severe, saw, _) = the(&findings, check);
        assert!(severe == severity && saw.contains(says), "{findings:#?}");
    }
}

#[tokio::test]
async fn a_url_of_another_configuration_is_told_with_the_right_one() {
    let account = Account::of("https://0123.mediatailor.eu-west-1.amazonaws.com").await;
    for (path, says) in [
        (MASTER, "its configuration is \"Demo\""),
        ("/v1/master/other/News/index.m3u8", "its account is other, and the configuration's is acct"),
        ("/v1/master/other/Demo/index.m3u8", "is acct; its configuration is \"Demo\""),
    ] {
        let url = format!("{NOWHERE}{path}?token=s3cret");
        let (code, findings, _) =
            examine(&account, &[&url, "--configuration", "News", "--region", REGION], &[]).await;
        let (severity, saw, remedy) = the(&findings, "configured");
        assert!(severity == "error" && saw.contains(says), "{findings:#?}");
        let right = "https://0123.mediatailor.eu-west-1.amazonaws.com/v1/master/acct/News/index.m3u8,";
        assert!(remedy.contains(right), "{findings:#?}");
        assert!(!format!("{findings:?}").contains("s3cret"), "{findings:#?}");
        assert_eq!(code, Some(69));
    }
}

#[tokio::test]
async fn where_the_api_does_not_tell_the_remedy_is_named() {
    let (_emulator, endpoint) = emulator().await;
    let account = Account::of(&endpoint).await;
    let url = format!("{endpoint}{MASTER}");
    let examine = async |name: &str| {
        let (code, findings, error) =
            examine(&account, &[&url, "--configuration", name, "--region", REGION], &[]).await;
        // The URL is examined all the same.
        assert_eq!(the(&findings, "onelane").0, "ok", "{name}: {findings:#?}");
        assert!(!format!("{findings:?}").contains("123456789012"), "{findings:#?}");
        assert!(!error.contains("s3cret") && !error.contains('\u{1b}'), "{error:?}");
        (code, findings, error)
    };
    let started = Instant::now();
    let (denied, expired, gone, busy, broken, odd, garbage, hangs) = tokio::join!(
        examine("Denied"),
        examine("Expired"),
        examine("Gone"),
        examine("Busy"),
        examine("Broken"),
        examine("Odd"),
        examine("Garbage"),
        examine("Hang"),
    );
    assert!(started.elapsed() >= Duration::from_secs(10), "the one that hangs has not been waited for");
    for ((code, findings, error), ends, severity, says, remedy) in [
        (&denied, 1, "warning", "AccessDeniedException", "allow mediatailor:GetPlaybackConfiguration"),
        (&expired, 1, "warning", "not accepted: ExpiredTokenException", "renew them"),
        (
            &gone,
            2,
            "error",
            "none of that name in eu-west-1",
            "list-playback-configurations --region eu-west-1",
        ),
        (&busy, 1, "warning", "TooManyRequestsException", "in a minute"),
        (&broken, 1, "warning", "500 InternalServerErrorException", "try it again"),
        (&odd, 1, "warning", "400 BadRequestException", "AWS_ENDPOINT_URL_MEDIATAILOR"),
        (&garbage, 1, "warning", "its answer cannot be read", "AWS_ENDPOINT_URL_MEDIATAILOR"),
        (&hangs, 1, "warning", "no answer in 10 s", "https://api.mediatailor.eu-west-1.amazonaws.com"),
    ] {
        let (severe, saw, to_do) = the(findings, "configured");
        assert!(severe == severity && saw.contains(says) && to_do.contains(remedy), "{findings:#?}");
        assert_eq!(*code, Some(ends), "{findings:#?}");
        assert!(error.lines().count() <= 1, "{error}");
    }
    // What names who asks is told beside the report.
    assert!(denied.2.contains("arn:aws:iam::123456789012:user/ops"), "{}", denied.2);
}

#[tokio::test]
async fn without_credentials_it_is_said_what_to_set() {
    let account = Account::of(NOWHERE).await;
    // An instance's address that takes connections and says nothing, and one where nobody is.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let silent = (format!("http://{}", silent.local_addr().expect("bound")), silent);
    let none = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    for (more, says) in [
        (&[("AWS_EC2_METADATA_DISABLED", "true")][..], "there are no AWS credentials"),
        (&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", NOWHERE)], "there are no AWS credentials"),
        (&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*silent.0)], "there are no AWS credentials"),
        (
            &[("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_PROFILE", "ops")],
            "neither in the profile \"ops\" nor",
        ),
        (&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*silent.0)], "do not come within 10 s"),
    ] {
        let variables = [&none[..], more].concat();
        let url = format!("{NOWHERE}{MASTER}");
        let (_, findings, error) =
            examine(&account, &[&url, "--configuration", "Demo", "--region", REGION], &variables).await;
        let (severity, saw, remedy) = the(&findings, "configured");
        assert!(severity == "warning" && saw.contains(says), "{more:?}: {findings:#?}");
        assert!(remedy.contains("AWS_PROFILE") || remedy.contains("aws sts"), "{findings:#?}");
        assert!(error.lines().count() <= 1, "{more:?}: {error}");
    }
    assert_eq!(account.asked(), [""; 0]);
}

#[tokio::test]
async fn the_region_is_the_flag_s_or_the_variable_s() {
    let account = Account::of(NOWHERE).await;
    let url = format!("{NOWHERE}{MASTER}");
    let named = [&*url, "--configuration", "Demo"];
    let (_, findings, _) = examine(&account, &named, &[]).await;
    let (severity, saw, remedy) = the(&findings, "configured");
    assert!(severity == "error" && saw.contains("its region is not known"), "{findings:#?}");
    assert!(remedy.contains("AWS_REGION"), "{findings:#?}");
    examine(&account, &named, &[("AWS_REGION", "us-west-2")]).await;
    examine(&account, &[&named[..], &["--region", REGION]].concat(), &[("AWS_REGION", "us-west-2")]).await;
    let scopes: Vec<_> =
        ["us-west-2", REGION].map(|region| format!("Demo {region}/mediatailor/aws4_request")).into();
    assert_eq!(account.asked(), scopes);
}

#[tokio::test]
async fn a_name_or_region_that_can_be_none_is_refused() {
    for (flags, says) in [
        (&["--configuration", ""][..], "--configuration"),
        (&["--configuration", "a/b"], "write it as MediaTailor's console shows it"),
        (&["--configuration", "Demo", "--region", "Ireland"], "write it like eu-west-1"),
        (&["--region", REGION], "--configuration"),
    ] {
        let (code, told, error) = ended(onelane(&[&["doctor", NOWHERE], flags].concat())).await;
        assert_eq!((code, &*told), (Some(64), ""), "{error}");
        assert!(error.contains(says) && error.lines().count() == 1, "{error}");
    }
}
