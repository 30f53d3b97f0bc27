use std::{io::Read as _, time::Duration};

use http::{Method, StatusCode};
use onelane::emulator::{Args, Emulator, Mode};
use tokio::time::Instant;

use crate::{
    client::{Got, Lab, args, links, resolve, session_of},
    fixture::Folder,
};

/// A live asset whose window begins with 8 s of content and 4 s of ads.
fn packaged(content: &Folder, ads: &Folder) -> Args {
    let mut args = args();
    args.origin = Some(content.path().to_owned());
    args.ads = Some(ads.path().to_owned());
    (args.ad_every, args.ad_length) = (Some(Duration::from_secs(8)), Duration::from_secs(4));
    args
}

fn segments(playlist: &Got) -> Vec<m3u8_rs::MediaSegment> {
    assert_eq!(playlist.status, StatusCode::OK);
    m3u8_rs::parse_media_playlist_res(&playlist.body).expect("a media playlist").segments
}

#[tokio::test]
async fn a_packaged_asset_plays_with_its_ads() {
    let (content, ads) = (Folder::asset("m4s"), Folder::asset("m4s"));
    ads.write("v1/seg1.m4s", "an ad's second");
    let lab = Lab::new(packaged(&content, &ads)).await;
    let playlists = lab.playlists().await;
    assert_eq!(playlists.len(), 4);

    let path = &playlists[1];
    let segments = segments(&lab.get(path).await);
    assert!(segments.len() >= 6, "the window is full from the start");
    assert_eq!(segments[0].uri, "/content/v1/seg0.m4s");
    let init = segments[0].map.as_ref().expect("fMP4 has a map");
    assert_eq!(lab.get(&init.uri).await.text(), "v1 init");
    let segment = lab.get(&segments[0].uri).await;
    assert_eq!((segment.text().as_str(), segment.header("content-type")), ("v1 0", "video/mp4"));
    assert_eq!(segment.header("access-control-allow-origin"), "*");

    // The break: a discontinuity, and links through the beacon.
    assert!(segments[4].discontinuity);
    assert_eq!(segments[4].map.as_ref().map(|map| map.uri.as_str()), Some("/tm/v1/init.mp4"));
    let link = &segments[5].uri;
    assert!(link.starts_with("../../../../segment/9f3c/News/"), "{link}");
    let beacon = lab.get(&resolve(path, link)).await;
    assert_eq!(beacon.status, StatusCode::FOUND);
    assert_eq!(lab.get(beacon.header("location")).await.text(), "an ad's second");
}

#[tokio::test]
async fn a_break_that_is_not_filled_is_a_200_with_the_content() {
    let (content, ads) = (Folder::asset("ts"), Folder::asset("ts"));
    let mut args = packaged(&content, &ads);
    args.window = 24;
    args.unfilled_every = 2;
    args.unfilled_for = "1s".parse().expect("a latency");
    let lab = Lab::new(args).await;
    let playlists = lab.playlists().await;

    // The ad server is waited for once, by the first playlist of the session that shows the break.
    let began = Instant::now();
    let first = segments(&lab.get(&playlists[0]).await);
    assert!(began.elapsed() >= Duration::from_secs(1));
    let ad = |segment: &m3u8_rs::MediaSegment| segment.uri.contains("/segment/");
    let line = |list: &[m3u8_rs::MediaSegment]| {
        list.iter().map(|one| if ad(one) { 'a' } else { 'c' }).collect::<String>()
    };
    let other = segments(&lab.get(&playlists[1]).await);
    for line in [line(&first), line(&other)] {
        // Five segments of content, two in the break that was not filled, five of content.
        assert!(line.contains("aaccccccccccccaa"), "{line}");
    }

    let tracking = format!("/v1/tracking/9f3c/News/{}", session_of(&playlists[0]));
    let avails = lab.get(&tracking).await.json()["avails"].clone();
    let ids: Vec<_> = avails.as_array().expect("a list").iter().map(|avail| &avail["availId"]).collect();
    assert_eq!(ids, ["0", "2"]);

    for (number, expected) in [(0, 1), (1, 0), (2, 1)] {
        let list = lab.get(&format!("/v1/interstitials/9f3c/News/{number}.json")).await.json();
        assert_eq!(list["ASSETS"].as_array().map(Vec::len), Some(expected), "{number}");
    }
}

#[tokio::test]
async fn ad_segments_have_their_other_shapes() {
    let (content, ads) = (Folder::asset("ts"), Folder::asset("ts"));
    let mut args = packaged(&content, &ads);
    args.segment_redirect = StatusCode::MOVED_PERMANENTLY;
    args.segment_extension = "ts".to_owned();
    let lab = Lab::new(args).await;
    let path = lab.playlists().await.swap_remove(0);
    let link = resolve(&path, &segments(&lab.get(&path).await)[4].uri);
    assert!(link.ends_with("/0/4.ts"), "{link}");
    let without = link.replace("/9f3c/", "/").replace(".ts", "");
    let of_dash = |link: &str| link.replace("/v1/segment/", "/v1/dashsegment/");
    for link in [&link, &without, &of_dash(&link), &of_dash(&without)] {
        let beacon = lab.get(link).await;
        assert_eq!(
            (beacon.status, beacon.header("location")),
            (StatusCode::MOVED_PERMANENTLY, "/tm/v0/seg0.ts")
        );
    }
    for missing in ["/0/0", "/0/9999", "/77/4"] {
        let link = without.replace("/0/4", missing);
        assert_eq!(lab.get(&link).await.status, StatusCode::NOT_FOUND, "{link}");
    }
    assert_eq!(lab.emulator.stats().by_kind["segment"], 7);
}

#[tokio::test]
async fn client_side_reporting_links_to_the_ads_themselves() {
    let (content, ads) = (Folder::asset("ts"), Folder::asset("ts"));
    let mut args = packaged(&content, &ads);
    args.tracking_page = 1;
    args.window = 20;
    let lab = Lab::new(args).await;
    let body = r#"{"reportingMode":"CLIENT"}"#;
    let created = lab.send(Method::POST, "/v1/session/9f3c/News/index.m3u8", &[], body).await.json();
    let master = lab.get(created["manifestUrl"].as_str().expect("a URL")).await;
    let path = resolve("/v1/master/9f3c/News/index.m3u8", &links(&master.text())[0]);
    assert_eq!(segments(&lab.get(&path).await)[4].uri, "/tm/v0/seg0.ts");

    let tracking = created["trackingUrl"].as_str().expect("a URL");
    let page = lab.get(tracking).await.json();
    assert_eq!((page["avails"][0]["availId"].as_str(), page["nextToken"].as_str()), (Some("0"), Some("1")));
    assert_eq!(page["avails"][0]["startTimeInSeconds"], 8.0);
    assert_eq!(page["avails"][0]["ads"][0]["trackingEvents"][0]["eventType"], "impression");
    for next in [
        lab.get(&format!("{tracking}?nextToken=1")).await,
        lab.send(Method::POST, tracking, &[], r#"{"nextToken":"1"}"#).await,
    ] {
        assert_eq!(next.json()["avails"][0]["availId"], "1");
    }
}

#[tokio::test]
async fn media_has_ranges_and_nothing_else_is_served() {
    let folder = Folder::asset("ts");
    folder.write("secret.txt", "secret");
    let mut args = args();
    args.origin = Some(folder.path().to_owned());
    let lab = Lab::new(args).await;
    let range = async |range| lab.send(Method::GET, "/content/v0/seg3.ts", &[("range", range)], "").await;
    let part = range("bytes=1-2").await;
    assert_eq!((part.status, part.text().as_str()), (StatusCode::PARTIAL_CONTENT, "0 "));
    assert_eq!(part.header("content-range"), "bytes 1-2/4");
    assert_eq!(range("bytes=9-").await.status, StatusCode::RANGE_NOT_SATISFIABLE);
    for path in
        ["/content/secret.txt", "/content/v0/../secret.txt", "/content/", "/tm/v0/seg0.ts", "/content/%00"]
    {
        let got = lab.get(path).await;
        assert_eq!((got.status, got.exception()), (StatusCode::NOT_FOUND, "NotFoundException"), "{path}");
    }
}

#[tokio::test]
async fn vod_is_the_whole_asset_and_its_end() {
    let folder = Folder::asset("ts");
    let mut args = args();
    args.origin = Some(folder.path().to_owned());
    args.mode = Mode::Vod;
    let lab = Lab::new(args).await;
    for path in lab.playlists().await {
        let got = lab.get(&path).await;
        assert_eq!(segments(&got).len(), 5, "{path}");
        assert!(got.text().ends_with("#EXT-X-ENDLIST\n"));
    }
}

#[tokio::test]
async fn guided_playlists_are_nobodys_own_and_list_their_ads() {
    let (content, ads) = (Folder::asset("ts"), Folder::asset("ts"));
    let lab = Lab::new(packaged(&content, &ads)).await;
    let body = r#"{"insertionMode":"GUIDED"}"#;
    let created = lab.send(Method::POST, "/v1/session/9f3c/News/a/index.m3u8", &[], body).await.json();
    assert!(created.get("trackingUrl").is_none(), "{created}");
    let master = lab.get(created["manifestUrl"].as_str().expect("a URL")).await;
    let path = resolve("/v1/master/9f3c/News/a/index.m3u8", &links(&master.text())[0]);
    assert_eq!(path, "/v1/i-media/9f3c/News/0.m3u8");
    let playlist = lab.get(&path).await;
    assert!(segments(&playlist).iter().all(|segment| segment.uri.starts_with("/content/")));
    assert!(playlist.header("cache-control").starts_with("max-age="));

    let text = playlist.text();
    let list = text.split("X-ASSET-LIST=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a break");
    let list = lab.get(list).await.json();
    let ad = list["ASSETS"][0]["URI"].as_str().expect("an ad").to_owned();
    let media = resolve(&ad, &links(&lab.get(&ad).await.text())[1]);
    let media = lab.get(&media).await;
    assert_eq!(
        (segments(&media)[0].uri.as_str(), media.text().contains("ENDLIST")),
        ("/tm/v1/seg0.ts", true)
    );
}

#[tokio::test]
async fn synthetic_content_and_ads_answer_too() {
    let mut args = args();
    args.ad_every = Some(Duration::from_secs(4));
    (args.variants, args.audio, args.subtitles) = (3, 2, 1);
    let lab = Lab::new(args).await;
    let playlists = lab.playlists().await;
    assert_eq!(playlists.len(), 6);
    for path in playlists {
        for segment in segments(&lab.get(&path).await) {
            let mut got = lab.get(&resolve(&path, &segment.uri)).await;
            if got.status == StatusCode::FOUND {
                got = lab.get(got.header("location")).await;
            }
            assert!(got.status == StatusCode::OK && !got.body.is_empty(), "{segment:?}");
        }
    }
}

#[tokio::test]
async fn dash_redirects_to_its_session() {
    let lab = Lab::new(args()).await;
    let begun = lab.get("/v1/dash/9f3c/News/a/index.mpd?x=1").await;
    assert_eq!(begun.status, StatusCode::FOUND);
    let location = begun.header("location");
    assert!(location.starts_with("/v1/dash/9f3c/News/a/index.mpd?aws.sessionId="), "{location}");
    let got = lab.get(location).await;
    assert_eq!((got.status, got.header("content-type")), (StatusCode::OK, "application/dash+xml"));
    let session = location.split(['=', '&']).nth(1).expect("a session");
    let recent = lab.emulator.session(session).expect("it is remembered").recent;
    let seen: Vec<_> = recent.iter().map(|request| (&*request.target, request.status)).collect();
    assert_eq!(seen, [(location, Some(200))]);
    let unknown = location.replace(session, "6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901");
    assert_eq!(lab.get(&unknown).await.status, StatusCode::NOT_FOUND);
    assert!(got.text().contains(&format!("?aws.sessionId={session}</Location>")), "{}", got.text());
}

#[tokio::test]
async fn playlists_are_packed_for_those_who_ask() {
    let lab = Lab::new(args()).await;
    let path = lab.playlists().await.swap_remove(0);
    let packed = lab.send(Method::GET, &path, &[("accept-encoding", "gzip")], "").await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).expect("gzip");
    let plain = lab.get(&path).await;
    assert_eq!((plain.header("content-encoding"), text.starts_with("#EXTM3U")), ("", true));
    let head = lab.send(Method::HEAD, &path, &[], "").await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert!(!head.header("content-length").is_empty());
    assert_eq!(session_of(&path).len(), 36);
}

#[tokio::test]
async fn ads_that_do_not_fit_are_refused() {
    let (content, ads) = (Folder::asset("m4s"), Folder::asset("ts"));
    let error = Emulator::bind(packaged(&content, &ads)).await.expect_err("they cannot be mixed").to_string();
    assert!(error.starts_with("--ads: ") && error.contains("the same way"), "{error}");
}
