//! What other shards ask, and what this one asks of itself: the home of a key answers, or gathers from the hosts of
//! its sessions. A question that cannot be carried out as a whole is refused before anything of it is done.

use std::sync::Arc;

use schema::chat::ChatReply;
use schema::{CloseReason, Event, Id, Key, Realm, Refusal, SessionAddr, SessionRef, ShardId};

use super::Machine;
use super::gather::{Harvest, Whom};
use super::message::{Answer, Message, Question, State};
use super::session::Told;
use crate::limits::LIST_MAX;

impl Machine {
    /// Answers a question, now or when what it needs has come.
    pub(super) fn question(&mut self, whom: Whom, question: Question) {
        let answer = match question {
            Question::Query { realm, users } => self.query(whom, realm, users).map(|()| None),
            Question::Count { realm } => Ok(Some(Answer::Count(self.count(realm)))),
            Question::List { realm, limit } => Ok(Some(Answer::Users(self.list(realm, limit)))),
            Question::Send { to, event, except } => self.send(whom, &to, &event, except),
            Question::Publish { channel, event, except } => {
                self.publish(&channel, event, except).map(|reached| Some(Answer::Reached(reached)))
            }
            Question::Occupancy { channel } => Ok(Some(Answer::Occupancy(self.occupancy(&channel)))),
            Question::Sessions { user } => self.sessions_of(whom, &user),
            Question::Describe { sessions } => Ok(Some(self.describe(&sessions))),
            Question::Disconnect { sessions, realm, owner, reason } => {
                self.disconnect(&sessions, realm, owner.as_ref(), reason).map(Some)
            }
            Question::DisconnectUser { user, reason } => self.disconnect_user(whom, &user, reason),
            Question::Chat { who, by, command } => {
                self.chat_question(whom, (who, by), *command).map(|()| None)
            }
            Question::Forget { place, before } => {
                self.forget_at_home(place, before);
                Ok(None)
            }
            Question::Chats { user, listing } => self.list_chats(whom, user, listing).map(|()| None),
            Question::Know { states } => Ok(self.know(whom, states)),
            Question::Summaries { user, conversations, listing } => {
                self.summaries(whom, user, conversations, listing).map(|()| None)
            }
        };
        match answer {
            Ok(Some(answer)) => self.answer(whom, answer),
            Ok(None) => {}
            Err(refusal) => self.answer(whom, Answer::Refused(refusal)),
        }
    }

    fn know(&mut self, whom: Whom, states: Vec<State>) -> Option<Answer> {
        let Whom::Shard { shard, .. } = whom else { return None };
        for state in states {
            self.state(shard, state);
        }
        Some(Answer::Chat(Box::new(ChatReply::Done)))
    }

    /// Users of this home that are online.
    pub(super) fn count(&self, realm: Realm) -> u64 {
        self.rosters.get(&realm).map_or(0, super::roster::Roster::count)
    }

    /// The same, newest activity first.
    pub(super) fn list(&self, realm: Realm, limit: u32) -> Vec<schema::presence::OnlineUser> {
        let limit = limit.min(LIST_MAX) as usize;
        self.rosters.get(&realm).map_or_else(Vec::new, |roster| roster.newest(&self.users.slab, limit))
    }

    /// The sessions of a user of this home, by the shard that hosts them; this shard's come first.
    fn hosts(
        &self,
        user: &Key,
        except: Option<SessionAddr>,
    ) -> (Vec<SessionRef>, Vec<(ShardId, Vec<SessionRef>)>) {
        let mut here = Vec::new();
        let mut elsewhere: Vec<(ShardId, Vec<SessionRef>)> = Vec::new();
        let found = self.users.find(user.realm, &user.id).and_then(|slot| self.users.get(slot));
        for attachment in found.iter().flat_map(|user| user.attachments()) {
            if except.is_some_and(|except| attachment.is(except)) {
                continue;
            }
            let (host, session) = attachment.place();
            if host == self.shard {
                here.push(session);
            } else {
                match elsewhere.iter_mut().find(|(shard, _)| *shard == host) {
                    Some((_, sessions)) => sessions.push(session),
                    None => elsewhere.push((host, vec![session])),
                }
            }
        }
        (here, elsewhere)
    }

    fn send(
        &mut self,
        whom: Whom,
        to: &Key,
        event: &Arc<Event>,
        except: Option<SessionAddr>,
    ) -> Result<Option<Answer>, Refusal> {
        let (here, elsewhere) = self.hosts(to, except);
        if elsewhere.is_empty() {
            return Ok(Some(Answer::Reached(self.deliver(&here, event))));
        }
        let shards: Vec<ShardId> = elsewhere.iter().map(|(shard, _)| *shard).collect();
        if !shards.iter().all(|&shard| self.has_room(shard)) {
            return Err(Refusal::Busy);
        }
        let ask = self.gather(whom, shards, Harvest::Reached(here.len() as u32)).ok_or(Refusal::Busy)?;
        self.deliver(&here, event);
        for (shard, sessions) in elsewhere {
            let event = Arc::clone(event);
            self.tell_shard(shard, Message::Deliver { ask: Some(ask), sessions, event });
        }
        Ok(None)
    }

    /// Gives an event to sessions of this shard; says how many took it.
    pub(super) fn deliver(&mut self, sessions: &[SessionRef], event: &Arc<Event>) -> u32 {
        let mut reached = 0;
        for &session in sessions {
            if let Some(slot) = self.alive(session) {
                self.left_if_removed(slot, event);
                if self.hears(slot, event) {
                    self.tell_session(slot, event);
                    reached += 1;
                }
            }
        }
        self.counters.messages += u64::from(reached);
        reached
    }

    fn describe(&self, sessions: &[SessionRef]) -> Answer {
        let infos = sessions.iter().filter_map(|&session| self.session_info(self.alive(session)?));
        let mut infos: Vec<_> = infos.collect();
        infos.sort_by_key(|info| (info.since, info.session));
        Answer::Sessions(infos)
    }

    fn sessions_of(&mut self, whom: Whom, user: &Key) -> Result<Option<Answer>, Refusal> {
        let (here, elsewhere) = self.hosts(user, None);
        let Answer::Sessions(infos) = self.describe(&here) else { return Ok(None) };
        if elsewhere.is_empty() {
            return Ok(Some(Answer::Sessions(infos)));
        }
        let questions =
            elsewhere.into_iter().map(|(shard, sessions)| (shard, Question::Describe { sessions })).collect();
        self.ask_all(whom, questions, Harvest::Sessions(infos)).map(|_| None)
    }

    fn disconnect_user(
        &mut self,
        whom: Whom,
        user: &Key,
        reason: CloseReason,
    ) -> Result<Option<Answer>, Refusal> {
        let (here, elsewhere) = self.hosts(user, None);
        if elsewhere.is_empty() {
            return Ok(Some(Answer::Reached(self.kick(&here, reason))));
        }
        let (realm, owner) = (user.realm, &user.id);
        let question =
            |sessions| Question::Disconnect { sessions, realm, owner: Some(owner.clone()), reason };
        let questions = elsewhere.into_iter().map(|(shard, sessions)| (shard, question(sessions))).collect();
        self.ask_all(whom, questions, Harvest::Reached(here.len() as u32))?;
        self.kick(&here, reason);
        Ok(None)
    }

    fn kick(&mut self, sessions: &[SessionRef], reason: CloseReason) -> u32 {
        let alive: Vec<u32> = sessions.iter().filter_map(|&session| self.alive(session)).collect();
        for &slot in &alive {
            self.end(slot, reason, Told::ByUs);
        }
        alive.len() as u32
    }

    /// Ends sessions of this shard, of one realm and perhaps of one owner only.
    fn disconnect(
        &mut self,
        sessions: &[SessionRef],
        realm: Realm,
        owner: Option<&Id>,
        reason: CloseReason,
    ) -> Result<Answer, Refusal> {
        let mut ended = 0;
        let mut refusal = Refusal::NotFound;
        for &session in sessions {
            let Some(slot) = self.alive(session) else { continue };
            let whose = self.sessions.get(slot).map(super::sessions::Session::owner);
            let Some(key) = whose.and_then(|whose| self.owner_key(whose)) else { continue };
            if key.realm != realm {
                continue;
            }
            if owner.is_some_and(|owner| *owner != key.id) {
                refusal = Refusal::Forbidden;
                continue;
            }
            self.end(slot, reason, Told::ByUs);
            ended += 1;
        }
        if ended == 0 { Err(refusal) } else { Ok(Answer::Reached(ended)) }
    }
}
