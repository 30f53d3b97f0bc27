//! A onelane that was built without the feature says so.

use crate::process::{ended, onelane};

const REMEDY: &str = "built without the feature aws; build it with `cargo install onelane --features aws`";

#[tokio::test]
async fn doctor_says_how_to_build_it() {
    let url = "http://127.0.0.1:1/v1/master/acct/Demo/index.m3u8";
    let (code, told, error) = ended(onelane(&["doctor", url, "--configuration", "Demo"])).await;
    assert_eq!((code, &*told), (Some(64), ""), "{error}");
    assert!(error.starts_with("error: --configuration Demo: ") && error.contains(REMEDY), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}
