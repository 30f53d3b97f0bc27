//! A collector of the test's own, which takes OTLP over gRPC, and one that never answers.

use std::path::PathBuf;

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, Span},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::serve::HANG;

/// A collector, and what it was sent.
pub(crate) struct Collector {
    pub(crate) url: String,
    sent: mpsc::UnboundedReceiver<ResourceSpans>,
    /// The spans that came so far, each with who sent it.
    pub(crate) spans: Vec<(String, Span)>,
}

/// What a collector's certificate is signed by, where only who is told of it knows it.
pub(crate) struct Authority {
    folder: TempDir,
    identity: Identity,
}

struct Taking(mpsc::UnboundedSender<ResourceSpans>);

// === impl Collector ===

impl Collector {
    pub(crate) async fn listen() -> Self {
        Self::serve(Server::builder(), "http", "127.0.0.1").await
    }

    pub(crate) async fn listen_tls(authority: &Authority) -> Self {
        let tls = ServerTlsConfig::new().identity(authority.identity.clone());
        let server = Server::builder().tls_config(tls).expect("a certificate");
        Self::serve(server, "https", "localhost").await
    }

    async fn serve(mut server: Server, scheme: &str, host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (taken, sent) = mpsc::unbounded_channel();
        let service = server.add_service(TraceServiceServer::new(Taking(taken)));
        tokio::spawn(service.serve_with_incoming(TcpIncoming::from(listener)));
        Self { url: format!("{scheme}://{host}:{port}"), sent, spans: Vec::new() }
    }

    /// Waits until as many spans have come.
    pub(crate) async fn has(&mut self, spans: usize) -> &[(String, Span)] {
        let deadline = Instant::now() + HANG;
        while self.spans.len() < spans {
            let sent = timeout_at(deadline, self.sent.recv())
                .await
                .expect("spans were to come")
                .expect("it listens");
            let service =
                sent.resource.as_ref().and_then(|resource| text(&resource.attributes, "service.name"));
            let scopes = sent.scope_spans.into_iter();
            let spans = scopes.flat_map(|scope| scope.spans);
            self.spans.extend(spans.map(|span| (service.clone().unwrap_or_default(), span)));
        }
        &self.spans
    }
}

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for spans in request.into_inner().resource_spans {
            let _over = self.0.send(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The URL of one that takes connections and says nothing, and word of each.
pub(crate) async fn hanging() -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (call, called) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            open.push(connection);
            let _over = call.send(());
        }
    });
    (url, called)
}

/// The URL of one that is not there.
pub(crate) async fn down() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// A field as text.
pub(crate) fn text(fields: &[KeyValue], name: &str) -> Option<String> {
    let value = fields.iter().find(|field| field.key == name)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(yes) => yes.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    })
}

pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

// === impl Authority ===

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "of the collector");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root");
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&own, &issuer).expect("a certificate");
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("root.pem"), root.pem()).expect("a file");
        Self { folder, identity: Identity::from_pem(certificate.pem(), own.serialize_pem()) }
    }

    /// For `SSL_CERT_FILE`.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }
}
