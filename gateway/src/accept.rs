//! Accepting on the front door's listeners without ever spinning.
//!
//! When the process has no descriptors left, `accept` fails at once and again and again. So the next try waits,
//! longer each time; one warning is logged an episode, with the way out.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A listener of the front door.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    name: &'static str,
    pause: Option<Duration>,
}

impl Acceptor {
    /// Takes over a bound listener; `name` is for the log. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the listener cannot be registered.
    pub fn new(name: &'static str, listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, name, pause: None })
    }

    /// The next connection. Never fails: what goes wrong is logged and waited for. Safe to cancel.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    if self.pause.take().is_some() {
                        tracing::info!(listener = self.name, "accepting again");
                    }
                    return accepted;
                }
                // The client went away between the kernel's handshake and our call; the next one may be good.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                    ) => {}
                Err(error) => {
                    let pause = self.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
                    if self.pause.is_none() {
                        tracing::warn!(
                            listener = self.name,
                            %error,
                            "cannot accept connections; trying again with pauses. If descriptors have run out, raise \
                             the limit on open files (ulimit -n, LimitNOFILE=)"
                        );
                    }
                    self.pause = Some(pause);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}
