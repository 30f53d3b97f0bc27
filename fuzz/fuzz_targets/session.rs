//! A request's URL.
#![no_main]

use http::Request;
use libfuzzer_sys::fuzz_target;
use onelane::session::{Extract, MediaTailor};

fuzz_target!(|uri: &str| {
    let Ok(request) = Request::get(uri).body(()) else {
        return;
    };
    let (parts, ()) = request.into_parts();
    let extracted = MediaTailor::new().extract(&parts);
    assert_eq!(extracted, MediaTailor::new().extract(&parts));
});
