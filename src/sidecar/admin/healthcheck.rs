use std::{net::SocketAddr, process::ExitCode, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::AbortOnDropHandle;
use tower::BoxError;

/// The command line of `onelane healthcheck`.
#[derive(Debug, Clone, clap::Args)]
#[non_exhaustive]
pub struct HealthcheckArgs {
    /// Where the process that is asked has its admin port. No file of settings is read: one that has gone bad since would stop what runs
    #[arg(long, env = "ONELANE_ADMIN", value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
}

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(2);

/// Runs `onelane healthcheck`: 0 when the process is ready for players, 1 otherwise, with the reason.
pub async fn healthcheck(HealthcheckArgs { admin }: HealthcheckArgs) -> ExitCode {
    // Whoever listens everywhere listens here.
    let admin = match admin.ip() {
        ip if ip.is_unspecified() && ip.is_ipv6() => {
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], admin.port()))
        }
        ip if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], admin.port())),
        _ => admin,
    };
    let why = match timeout(WITHIN, ask(admin)).await {
        Ok(Ok(StatusCode::OK)) => return ExitCode::SUCCESS,
        Ok(Ok(status)) => format!("/readyz answers {status}"),
        Ok(Err(error)) => format!("{error}; is --admin the one that serve has?"),
        Err(_) => format!("no answer in {WITHIN:?}"),
    };
    eprintln!("error: {admin}: {why}");
    ExitCode::FAILURE
}

async fn ask(admin: SocketAddr) -> Result<StatusCode, BoxError> {
    let socket = TcpStream::connect(admin).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let _running = AbortOnDropHandle::new(tokio::spawn(connection));
    let request =
        Request::get("/readyz").header(header::HOST, admin.to_string()).body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?.status())
}
