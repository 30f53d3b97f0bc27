use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{sync::Semaphore, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::warn;

use super::{
    expiry::{expires, trouble},
    watched::Watched,
};
use crate::{
    sidecar::{Config, Error},
    telemetry::SIDECAR,
};

/// TLS for players: a certificate and its key, which can be read again. A clone is the same.
#[derive(Clone)]
pub(in crate::sidecar) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
    /// Handshakes that have begun and not ended: some of the places for connections, so that clients which
    /// never end theirs leave room for those that have.
    handshakes: Arc<Semaphore>,
}

/// What the next handshake is held with.
#[derive(Debug)]
struct Current(Mutex<Arc<CertifiedKey>>);

/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// The part of all connections that may be in a handshake: one in this many.
const HANDSHAKING: usize = 4;

// === impl Tls ===

impl Tls {
    /// Reads the files; `None` where TLS is off.
    ///
    /// # Errors
    ///
    /// When one of the two is not named, cannot be read or is not what it should be, or they do not belong together.
    pub(in crate::sidecar) fn load(config: &Config) -> Result<Option<Self>, Error> {
        let (certificate, key) = match (&config.tls_cert, &config.tls_key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (None, None) => return Ok(None),
            (Some(_), None) => {
                return Err(Error::usage("--tls-cert needs --tls-key, the file with its private key"));
            }
            (None, Some(_)) => {
                return Err(Error::usage("--tls-key needs --tls-cert, the file with its certificates"));
            }
        };
        let provider = Arc::new(ring::default_provider());
        let read = read(&certificate, &key, &provider).map_err(|what| Error::usage(&what))?;
        let current = Arc::new(Current(Mutex::new(Arc::new(read))));
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::usage(&error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        server.alpn_protocols = ["h2", "http/1.1"].map(|protocol| protocol.as_bytes().to_vec()).to_vec();
        // Players come back: theirs is a short handshake, and nothing is kept here for it.
        server.ticketer = ring::Ticketer::new().map_err(|error| Error::usage(&error.to_string()))?;
        let handshakes = (config.connections / HANDSHAKING).clamp(1, Semaphore::MAX_PERMITS);
        Ok(Some(Self {
            certificate,
            key,
            current,
            acceptor: TlsAcceptor::from(Arc::new(server)),
            handshakes: Arc::new(Semaphore::new(handshakes)),
        }))
    }

    /// Reads the files again.
    ///
    /// # Errors
    ///
    /// As at the start, in one line.
    pub(in crate::sidecar) fn read(&self) -> Result<Arc<CertifiedKey>, String> {
        read(&self.certificate, &self.key, self.provider()).map(Arc::new)
    }

    /// When the certificate expires; `None` where that cannot be read.
    pub(in crate::sidecar) fn expires(&self) -> Option<SystemTime> {
        let current = Arc::clone(&self.current.0.lock().unwrap_or_else(PoisonError::into_inner));
        current.cert.first().and_then(expires)
    }

    /// What is to be said of a certificate that has expired or soon will. Players may take it all the same: it is served.
    pub(in crate::sidecar) fn trouble(&self) -> Option<String> {
        self.expires().and_then(|expires| trouble(&self.certificate, expires, SystemTime::now()))
    }

    /// Has the log say it.
    pub(in crate::sidecar) fn warn(&self) {
        if let Some(why) = self.trouble() {
            warn!(target: SIDECAR, why, "the certificate for players has to be renewed");
        }
    }

    /// Shows this one at handshakes from now on; what is connected stays so.
    pub(in crate::sidecar) fn show(&self, certificate: Arc<CertifiedKey>) {
        *self.current.0.lock().unwrap_or_else(PoisonError::into_inner) = certificate;
    }

    /// Holds the handshake; `None` if it failed or took too long.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub(in crate::sidecar) async fn accept(&self, socket: Watched) -> Option<Box<TlsStream<Watched>>> {
        // All connections together are no more than HANDSHAKING times as many: the wait is bounded as well.
        let _place = self.handshakes.acquire().await.ok()?;
        timeout(HANDSHAKE_WITHIN, self.acceptor.accept(socket)).await.ok()?.ok().map(Box::new)
    }

    fn provider(&self) -> &CryptoProvider {
        self.acceptor.config().crypto_provider()
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

// === impl Current ===

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let wrong = |flag: &str, path: &Path, why: &str| format!("{flag} {}: {why}", path.display());
    let unread = |error| format!("{error}; name a PEM file that this process may read");
    let text = |flag, path| std::fs::read(path).map_err(|error| wrong(flag, path, &unread(error)));

    let of_certificate = |why: &str| wrong("--tls-cert", certificate, why);
    let pem = text("--tls-cert", certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| of_certificate(&broken(&error)))?;
    if chain.is_empty() {
        let why = match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(_) => {
                "it has a private key and no certificate; name the certificates, and the key as --tls-key"
            }
            Err(_) => {
                "it has no certificate; name a PEM file that begins with the server's own, then its issuers"
            }
        };
        return Err(of_certificate(why));
    }

    let of_key = |why: &str| wrong("--tls-key", key, why);
    let pem = text("--tls-key", key)?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        let encrypted = pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
        of_key(&match error {
            _ if encrypted => {
                "the key is encrypted; take its password off: openssl pkey -in KEY -out PLAIN".to_owned()
            }
            pem::Error::NoItemsFound => {
                "it has no private key; name a PEM file with a PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY"
                    .to_owned()
            }
            error => broken(&error),
        })
    })?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let of = format!("it is not the key of the first certificate in {}; ", certificate.display());
            of_key(&(of + "name the two that were made together, the server's own certificate first"))
        }
        rustls::Error::InvalidCertificate(_) => of_certificate(&format!("{error}; have it issued anew")),
        error => of_key(&format!("{error}; use an RSA, ECDSA (P-256, P-384) or Ed25519 key")),
    })
}

/// What stands in the first line of a key with a password.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

fn broken(error: &pem::Error) -> String {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "a BEGIN line has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is broken",
        pem::Error::Base64Decode(_) => "what stands between BEGIN and END is no base64",
        _ => "it is no PEM file",
    };
    format!("{why}; copy the file anew")
}
