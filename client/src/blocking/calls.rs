//! The calls: each says one command and waits for its reply, or cuts a long list into several.

use schema::command::Payload;
use schema::frame::IDS_MAX;
use schema::presence::{OnlineUser, SessionInfo};
use schema::{Command, Id, Reply, SessionAddr, UserPresence};

use super::{Client, EVENTS_MAX, State, link};
use crate::error::Error;
use crate::interest;

impl Client {
    /// Says a command and waits for its reply. Interest (watch, subscribe, tap, follow, join) is kept for the next session. Activity,
    /// which has no reply, is done when it is said.
    ///
    /// # Errors
    /// Any of [`Error`] but [`Error::Io`].
    pub fn call(&mut self, command: &Command) -> Result<Reply, Error> {
        if self.events.len() >= EVENTS_MAX {
            return Err(Error::Backlog);
        }
        if *command == Command::Activity {
            return self.activity().map(|()| Reply::Done);
        }
        let until = link::clock() + self.options.call_time;
        let tag = loop {
            if let State::Up(link) = &mut self.state
                && link.connection.is_ready()
                // What a new session is still asked for again must not overtake a command that takes it back.
                && self.restore.is_done()
            {
                break link.connection.command(command, link::clock())?;
            }
            if link::clock() >= until {
                return Err(Error::Timeout);
            }
            self.turn(until)?;
        };
        self.call = Some((tag, None));
        let result = loop {
            if let Some((_, Some(result))) = self.call.take_if(|(_, result)| result.is_some()) {
                break result;
            }
            if self.events.len() >= EVENTS_MAX {
                self.call = None;
                return Err(Error::Backlog);
            }
            if link::clock() >= until {
                self.call = None;
                return Err(Error::Timeout);
            }
            self.turn(until)?;
        };
        if result.is_ok() {
            self.interest.carried_out(command);
        }
        result
    }

    /// Tells how these users are, as [`super::Event::Presence`]: soon, and whenever it changes.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn watch(&mut self, users: &[Id]) -> Result<(), Error> {
        for piece in self.pieces(users)? {
            self.done(&Command::Watch { users: piece })?;
        }
        Ok(())
    }

    /// No longer tells how these users are.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn unwatch(&mut self, users: &[Id]) -> Result<(), Error> {
        for piece in self.pieces(users)? {
            self.done(&Command::Unwatch { users: piece })?;
        }
        Ok(())
    }

    /// How these users are, in the order asked. Any number: a list that does not fit a frame is cut.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn query(&mut self, users: &[Id]) -> Result<Vec<UserPresence>, Error> {
        let mut all = Vec::with_capacity(users.len());
        for piece in self.pieces(users)? {
            match self.call(&Command::Query { users: piece })? {
                Reply::Presence(rows) => all.extend(rows),
                _ => return Err(Error::Unexpected("query")),
            }
        }
        Ok(all)
    }

    /// How many distinct users are online.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn count(&mut self) -> Result<u64, Error> {
        match self.call(&Command::Count)? {
            Reply::Count(users) => Ok(users),
            _ => Err(Error::Unexpected("count")),
        }
    }

    /// Who is online, newest activity first.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn list(&mut self, limit: u32) -> Result<Vec<OnlineUser>, Error> {
        match self.call(&Command::List { limit })? {
            Reply::Users(users) => Ok(users),
            _ => Err(Error::Unexpected("list")),
        }
    }

    /// The sessions of a user.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn sessions(&mut self, user: &Id) -> Result<Vec<SessionInfo>, Error> {
        match self.call(&Command::Sessions { user: user.clone() })? {
            Reply::Sessions(sessions) => Ok(sessions),
            _ => Err(Error::Unexpected("sessions")),
        }
    }

    /// Gives a payload to all sessions of a user; how many took it.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn send(&mut self, to: &Id, payload: impl Into<Payload>, except_self: bool) -> Result<u32, Error> {
        self.reached(&Command::Send { to: to.clone(), payload: payload.into(), except_self })
    }

    /// Tells what is published on a channel, as [`super::Event::Published`].
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn subscribe(&mut self, channel: &Id) -> Result<(), Error> {
        self.done(&Command::Subscribe { channel: channel.clone() })
    }

    /// No longer tells what is published on a channel.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn unsubscribe(&mut self, channel: &Id) -> Result<(), Error> {
        self.done(&Command::Unsubscribe { channel: channel.clone() })
    }

    /// Gives a payload to all subscribers of a channel; how many took it.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn publish(
        &mut self,
        channel: &Id,
        payload: impl Into<Payload>,
        except_self: bool,
    ) -> Result<u32, Error> {
        self.reached(&Command::Publish { channel: channel.clone(), payload: payload.into(), except_self })
    }

    /// How many sessions are subscribed to a channel.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn occupancy(&mut self, channel: &Id) -> Result<u64, Error> {
        match self.call(&Command::Occupancy { channel: channel.clone() })? {
            Reply::Occupancy(sessions) => Ok(sessions),
            _ => Err(Error::Unexpected("occupancy")),
        }
    }

    /// Ends all sessions of a user; how many there were.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn disconnect_user(&mut self, user: &Id) -> Result<u32, Error> {
        self.reached(&Command::DisconnectUser { user: user.clone() })
    }

    /// Ends one session.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn disconnect_session(&mut self, session: SessionAddr) -> Result<u32, Error> {
        self.reached(&Command::DisconnectSession { session })
    }

    /// Tells of every session that opens or closes on the node, as [`super::Event::Tap`]. For services.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub fn tap(&mut self, on: bool) -> Result<(), Error> {
        self.done(&Command::Tap { on })
    }

    /// The user did something: moves last seen. Not answered, and lost while there is no connection.
    ///
    /// # Errors
    /// [`Error::Stopped`] when the connection has ended for good.
    pub fn activity(&mut self) -> Result<(), Error> {
        match &mut self.state {
            State::Up(link) => {
                link.connection.activity();
                if let Err(error) = link.flush() {
                    link.connection.lost(error.to_string());
                    self.take_events();
                }
                Ok(())
            }
            State::Down { .. } => Ok(()),
            State::Stopped(end) => Err(Error::Stopped(end.clone())),
        }
    }

    /// Lists of ids that fit a frame each.
    fn pieces(&mut self, users: &[Id]) -> Result<Vec<Vec<Id>>, Error> {
        let max_frame = self.max_frame()?;
        Ok(interest::frames(users, max_frame, IDS_MAX).map(<[Id]>::to_vec).collect())
    }

    /// Longest frame the server takes; waits for a connection to know it.
    fn max_frame(&mut self) -> Result<usize, Error> {
        let until = link::clock() + self.options.call_time;
        loop {
            match &self.state {
                State::Up(link) if link.connection.is_ready() => return Ok(link.connection.max_frame()),
                _ if link::clock() >= until => return Err(Error::Timeout),
                _ => self.turn(until)?,
            }
        }
    }

    fn done(&mut self, command: &Command) -> Result<(), Error> {
        match self.call(command)? {
            Reply::Done => Ok(()),
            _ => Err(Error::Unexpected(command.name())),
        }
    }

    fn reached(&mut self, command: &Command) -> Result<u32, Error> {
        match self.call(command)? {
            Reply::Reached(sessions) => Ok(sessions),
            _ => Err(Error::Unexpected(command.name())),
        }
    }
}
