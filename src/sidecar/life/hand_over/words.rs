//! What the two processes say to each other: a byte at a time, some with sockets.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::{io::Interest, net::UnixStream};

/// To a process that connects: with the ports, for inspection, or without if they are closed. Another version
/// of these words begins with another byte, so that a process that does not speak this one changes nothing.
pub(super) const HERE: u8 = b'2';
/// The candidate can serve.
pub(super) const READY: u8 = b'r';
/// With the ports and the socket of the place.
pub(super) const PORTS: u8 = b'p';
/// The candidate has them, and all that it takes to serve there.
pub(super) const TAKEN: u8 = b't';
/// They are its own from now on. After this comes the end of the connection.
pub(super) const YOURS: u8 = b'y';
/// The successor ends in order, or has a successor itself.
pub(super) const DONE: u8 = b'd';

/// Says a word. There is always room for the few that are said.
pub(super) fn say(socket: &UnixStream, word: u8, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() {
        with.push(SendAncillaryMessage::ScmRights(sockets));
    }
    sendmsg(socket, &[IoSlice::new(&[word])], &mut with, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Hears the next word, and what came with it.
///
/// # Errors
///
/// `UnexpectedEof` where the other side has ended.
pub(super) async fn hear(socket: &UnixStream) -> io::Result<(u8, Vec<OwnedFd>)> {
    let receive = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut with = RecvAncillaryBuffer::new(&mut space);
        let mut said = [0];
        let read =
            recvmsg(socket, &mut [IoSliceMut::new(&mut said)], &mut with, RecvFlags::CMSG_CLOEXEC)?.bytes;
        let sockets = with.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        });
        let sockets = sockets.flatten().collect();
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok((said[0], sockets)) }
    };
    socket.async_io(Interest::READABLE, receive).await
}
