//! A onelane that was built without the feature says so.

use crate::process::{ended, onelane, settings};

const REMEDY: &str = "built without the feature aws; build it with `cargo install --path . --features aws`";

#[tokio::test]
async fn doctor_says_how_to_build_it() {
    let url = "http://127.0.0.1:1/v1/master/acct/Demo/index.m3u8";
    let (code, told, error) = ended(onelane(&["doctor", url, "--configuration", "Demo"])).await;
    assert_eq!((code, &*told), (Some(64), ""), "{error}");
    assert!(error.starts_with("error: --configuration Demo: ") && error.contains(REMEDY), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[tokio::test]
async fn serve_and_check_refuse_it_by_name() {
    for text in [
        "upstream = { playback_configuration = \"Demo\", region = \"eu-west-1\" }\n",
        "[[upstream]]\nname = \"demo\"\nplayback_configuration = \"Demo\"\n",
    ] {
        let (_folder, path) = settings(text);
        for command in ["serve", "check"] {
            let (code, told, error) = ended(onelane(&[command, "--config", &path])).await;
            assert_eq!((code, &*told), (Some(64), ""), "{error}");
            assert!(error.starts_with(&format!("error: {path}: upstream: ")), "{error}");
            assert!(error.contains("playback configuration \"Demo\"") && error.contains(REMEDY), "{error}");
            assert!(error.contains("or write its endpoint's URL") && error.lines().count() == 1, "{error}");
        }
    }
}
