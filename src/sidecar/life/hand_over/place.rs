use std::net::SocketAddr;

use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use super::{
    BREATH, FINISH_WITHIN, HandOver, Ports, READY_WITHIN,
    predecessor::{Given, Predecessor},
};
use crate::sidecar::{Config, Error, listen::door};

/// Where a process that starts is to serve.
#[derive(Debug)]
pub(in crate::sidecar) enum Place {
    /// Nobody had it.
    Free(Ports),
    /// Another serves there, and hands over.
    Held(Predecessor),
}

// === impl Place ===

impl Place {
    /// Takes the ports, or finds who has them and hands over.
    ///
    /// # Errors
    ///
    /// When a port or the path of [`Config::hand_over`] cannot be used, or the process that is there does not
    /// answer or has other ports.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nothing.
    pub(in crate::sidecar) async fn find(config: &Config) -> Result<Self, Error> {
        if let Some(path) = &config.hand_over
            && let Some(before) = Predecessor::at(path, config).await?
        {
            return Ok(Self::Held(before));
        }
        Ports::open(config).map(Self::Free)
    }

    /// Where players come.
    pub(in crate::sidecar) fn listen(&self) -> SocketAddr {
        match self {
            Self::Free(ports) => door::address(&ports.listen),
            Self::Held(before) => before.listen(),
        }
    }

    /// Takes it, now that this process is ready in all else; `prepare` has what it takes to serve at the port.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find), since another may have been faster or the one before have ended; when this
    /// has taken too long while another serves; and when `prepare` fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives back what it has; the process that serves goes on.
    pub(in crate::sidecar) async fn take<T>(
        mut self,
        config: &Config,
        prepare: impl Fn(&TcpListener) -> Result<T, Error>,
    ) -> Result<(Ports, Option<HandOver>, T), Error> {
        let since = match &self {
            Self::Held(before) => before.since(),
            Self::Free(_) => Instant::now(),
        };
        loop {
            match self {
                Self::Held(before) => {
                    if let Some(Given { ports, hand_over, with }) = before.gives(&prepare).await? {
                        return Ok((ports, Some(hand_over), with));
                    }
                }
                Self::Free(ports) => {
                    let with = prepare(&ports.listen)?;
                    let path = config.hand_over.as_deref();
                    let hand_over = path.map(|path| HandOver::at(path, &ports)).transpose()?;
                    return Ok((ports, hand_over, with));
                }
            }
            self = Self::find_again(config).await?;
            if let Self::Held(before) = &self
                && since.elapsed() >= READY_WITHIN
            {
                return Err(before.late());
            }
        }
    }

    /// The same as [`find`](Self::find), after who had the ports has just ended.
    async fn find_again(config: &Config) -> Result<Self, Error> {
        let end = Instant::now() + FINISH_WITHIN;
        loop {
            match Self::find(config).await {
                // The system has yet to close it, or another is about to listen at the path.
                Err(error) if error.is_of_a_used_port() && Instant::now() < end => sleep(BREATH).await,
                found => return found,
            }
        }
    }
}
