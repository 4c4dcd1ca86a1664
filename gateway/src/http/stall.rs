//! The socket under hyper, with a bound on how long a client may leave its answer unread.
//!
//! hyper times the head of a request and nothing else. Without this, a client that asks and never reads keeps its
//! connection, and the buffer of its answer, for as long as its kernel acknowledges probes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Longest time a client may take nothing of what is written to it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection of the front door, as a handler may see it: to notice that a client has given up while it waits.
#[derive(Clone, Debug)]
pub struct Line(Weak<TcpStream>);

impl Line {
    /// Returns when the client has sent its last byte or is gone. Never, if it sends another request meanwhile.
    pub async fn hung_up(&self) {
        let Some(socket) = self.0.upgrade() else { return };
        match socket.peek(&mut [0]).await {
            Ok(0) | Err(_) => {}
            Ok(_) => std::future::pending().await,
        }
    }
}

/// A connection of the front door.
#[derive(Debug)]
pub struct Stream {
    socket: Arc<TcpStream>,
    /// Set while a write waits; a connection that is read in time has none.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    /// Wraps a socket.
    #[must_use]
    pub fn new(socket: TcpStream) -> Self {
        Self { socket: Arc::new(socket), stalled: None }
    }

    /// For handlers.
    #[must_use]
    pub fn line(&self) -> Line {
        Line(Arc::downgrade(&self.socket))
    }

    /// The socket again; `None`: a handler still watches it.
    #[must_use]
    pub fn into_inner(self) -> Option<TcpStream> {
        Arc::into_inner(self.socket)
    }

    fn write(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_write_ready(context))?;
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_read_ready(context))?;
            match self.socket.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.write(context, |socket| socket.try_write(bytes));
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.write(context, |socket| socket.try_write_vectored(slices));
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(
            rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Write).map_err(io::Error::from),
        )
    }
}
