//! WHO is asking: from a request's head to its [`Kind`] and the [`SessionKey`] whose lane it belongs in.
//!
//! [`MediaTailor`] reads AWS Elemental MediaTailor's URLs. Anything else that keeps state per viewer can be put
//! in one lane as well: implement [`Extract`], or pass a closure.
//!
//! ```
//! use onelane::session::{Extract, Kind, MediaTailor};
//!
//! let (parts, ()) = http::Request::get(
//!     "/v1/manifest/9f3c/NewsLive/6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901/3.m3u8",
//! )
//! .body(())?
//! .into_parts();
//!
//! let extracted = MediaTailor::new().extract(&parts);
//! assert_eq!(extracted.kind, Kind::Media);
//! assert!(extracted.session?.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod creation;
mod extract;
mod hashed;
mod hex;
mod id;
pub(crate) mod link;
mod name;
mod normal;
pub(crate) mod query;
mod route;
mod scope;
#[cfg(any(feature = "sidecar", feature = "otlp"))]
mod shown;

#[cfg(feature = "otlp")]
pub(crate) use self::hex::hex;
#[cfg(any(feature = "sidecar", feature = "otlp"))]
pub(crate) use self::shown::ShownPath;
pub(crate) use self::{
    creation::Creation,
    extract::Creates,
    hashed::{Hashed, HashedKey},
    name::name,
};
pub use self::{
    extract::{Extract, Extracted, MediaTailor},
    id::{MalformedId, SessionId, SessionKey},
    name::{Name, NameLayer},
    route::{Kind, Route},
};
