//! Readers that stop: plain sockets which connect, subscribe, and are not read any more.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::Plan;
use crate::dialect::{Ask, Step, Word};

/// The kernel's buffer of such a reader: small, so that the server soon notices.
const RECEIVE_BUFFER: usize = 4_096;
const PATIENCE: Duration = Duration::from_secs(10);

/// All of them.
pub(super) struct Stalled {
    sockets: Vec<TcpStream>,
    dropped: usize,
    all: usize,
}

impl Stalled {
    pub(super) fn bring(plan: &Plan, count: u32) -> Result<Self, String> {
        let sockets = (0..u64::from(count))
            .map(|one| reader(plan, one).map_err(|error| format!("stalled reader {one}: {error}")))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { all: sockets.len(), sockets, dropped: 0 })
    }

    /// How many the server has dropped, of all.
    pub(super) fn dropped(&mut self) -> (usize, usize) {
        let before = self.sockets.len();
        self.sockets.retain_mut(|socket| !over(socket));
        self.dropped += before - self.sockets.len();
        (self.dropped, self.all)
    }
}

/// Reads what is there, which is little, to find out whether the end is behind it.
fn over(socket: &mut TcpStream) -> bool {
    if socket.set_nonblocking(true).is_err() {
        return true;
    }
    let mut chunk = [0; 65_536];
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => return true,
        }
    }
}

fn reader(plan: &Plan, one: u64) -> Result<TcpStream, String> {
    let said = |error: std::io::Error| error.to_string();
    let mut dialect = plan.dialect.make();
    let mut socket = connect(plan.target).map_err(said)?;
    let mut out = Vec::new();
    dialect.hello(&plan.tokens.user(plan.mix.connections + one), &mut out);
    socket.write_all(&out).map_err(said)?;
    let (mut step, mut bytes, mut chunk): (Step, Vec<u8>, _) = (Step::default(), Vec::new(), [0; 4_096]);
    let mut asked = false;
    loop {
        let read = socket.read(&mut chunk).map_err(said)?;
        if read == 0 {
            return Err("the server closed".into());
        }
        bytes.extend_from_slice(&chunk[..read]);
        let (mut out, mut words) = (Vec::new(), Vec::new());
        let taken = dialect.hear(&mut step, &bytes, &mut out, &mut |word| words.push(word));
        bytes.drain(..taken.map_err(|fault| fault.to_string())?);
        for word in words {
            match word {
                Word::Welcome if !asked => {
                    asked = true;
                    dialect.say(&Ask::Subscribe(one % plan.mix.channel.channels), &mut out);
                }
                Word::Done => return Ok(socket),
                Word::Refused(why) | Word::Closing(why) => return Err(why),
                _ => {}
            }
        }
        socket.write_all(&out).map_err(said)?;
    }
}

fn connect(target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.connect_timeout(&SockAddr::from(target), PATIENCE)?;
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}
