use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
};

use tokio::net::TcpListener;

use crate::sidecar::{Config, Error, listen::door};

/// The two sockets that players and operators come to.
#[derive(Debug)]
pub(in crate::sidecar) struct Ports {
    pub(in crate::sidecar) listen: TcpListener,
    pub(in crate::sidecar) admin: TcpListener,
}

// === impl Ports ===

impl Ports {
    /// Takes them where nobody has them.
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let listen = door::open(config)?;
        Ok(Self { listen, admin: door::bind("--admin", config.admin, false)? })
    }

    /// The same as others have.
    pub(super) fn of([listen, admin]: &[OwnedFd; 2]) -> io::Result<Self> {
        Self::from([listen.try_clone()?, admin.try_clone()?])
    }

    pub(super) fn from([listen, admin]: [OwnedFd; 2]) -> io::Result<Self> {
        let listener = |socket: OwnedFd| {
            let listener = std::net::TcpListener::from(socket);
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        Ok(Self { listen: listener(listen)?, admin: listener(admin)? })
    }

    /// The same, to be given away.
    pub(super) fn given(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([self.listen.as_fd().try_clone_to_owned()?, self.admin.as_fd().try_clone_to_owned()?])
    }

    /// Checks that they are where the settings want them, or says what to do.
    pub(super) fn fit(&self, config: &Config) -> Result<(), String> {
        for (flag, wanted, port) in
            [("--listen", config.listen, &self.listen), ("--admin", config.admin, &self.admin)]
        {
            let has = port.local_addr().map_err(|error| error.to_string())?;
            if !same(wanted, has) {
                return Err(format!(
                    "the process there has {flag} {has}, and this {wanted}; give both the same or end it first"
                ));
            }
        }
        Ok(())
    }
}

/// A wanted port of zero is any.
fn same(wanted: SocketAddr, has: SocketAddr) -> bool {
    wanted.ip() == has.ip() && (wanted.port() == 0 || wanted.port() == has.port())
}
