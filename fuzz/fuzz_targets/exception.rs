//! An error answer's status, name and body.
#![no_main]

use http::{HeaderMap, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use onelane::upstream::{Exception, message};

fuzz_target!(|input: (u16, &[u8], &[u8])| {
    let (status, name, body) = input;
    let Ok(status) = StatusCode::from_u16(status) else {
        return;
    };
    let mut headers = HeaderMap::new();
    if let Ok(name) = HeaderValue::from_bytes(name) {
        headers.insert("x-amzn-errortype", name);
    }
    if let Some(exception) = Exception::read(status, &headers, body) {
        assert!(status.is_client_error() || status.is_server_error(), "{exception} of {status}");
    }
    if let Some(message) = message(body) {
        assert!(message.chars().count() <= 513 && !message.contains(char::is_control), "{message:?}");
    }
});
