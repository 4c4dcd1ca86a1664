//! A scenario is data: what a crowd does, how often, and for how long. The built-in ones are such data too, and a file
//! in TOML can hold a user's own.
//!
//! ```toml
//! name = "evening"
//! connections = 5000
//! hold = 30.0                     # seconds
//! heartbeat = { every = 25.0 }
//! channel = { subscribers = 2000, rate = 5.0 }
//! send = { rate = 200.0 }
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};

/// What a crowd does. Times are seconds, rates are per second and for the whole crowd.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// A word for reports.
    pub name: String,
    /// Sessions, one user each.
    pub connections: u64,
    /// Connects a second, open loop; 0: as fast as the server takes them.
    pub connect_rate: f64,
    /// Most connects under way at a time; one that is due while so many are waits, and its latency counts on.
    pub opening: u32,
    /// Time with everything going that is not measured.
    pub warm_up: f64,
    /// Time that is measured.
    pub hold: f64,
    /// How the sessions show that they live.
    pub heartbeat: Heartbeat,
    /// Who watches whom.
    pub watch: Watch,
    /// Channels.
    pub channel: Channel,
    /// Direct messages.
    pub send: Send,
    /// Sessions that come and go.
    pub churn: Churn,
    /// All at once.
    pub storm: Storm,
    /// Conversations, and what is said in them.
    pub messages: Messages,
    /// What a service asks meanwhile.
    pub questions: Questions,
    /// Subscribers, beside the crowd, that read nothing after they have subscribed.
    pub stalled: u32,
}

/// See [`Mix::heartbeat`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Heartbeat {
    /// Each session's interval; 0: none are sent.
    pub every: f64,
    /// Whether the server is to answer.
    pub answer: bool,
    /// Closed loop in place of the interval: so many are under way at any time; 0: open loop.
    pub in_flight: u32,
}

/// See [`Mix::watch`]. The first sessions are the watchers; they never come and go.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// Sessions that watch.
    pub watchers: u64,
    /// Users that each of them watches.
    pub users: u32,
}

/// See [`Mix::channel`]. One service publishes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Channel {
    /// Sessions that subscribe, the first ones; each to one channel.
    pub subscribers: u64,
    /// Number of channels.
    pub channels: u64,
    /// Times a second that something is published on the next channel.
    pub rate: f64,
    /// Messages published at each of these times, one right after the other.
    pub burst: u32,
    /// Length of a payload, bytes.
    pub bytes: usize,
}

/// See [`Mix::send`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Send {
    /// Messages a second, from a random session to a random user.
    pub rate: f64,
    /// Length of a payload, bytes.
    pub bytes: usize,
}

/// See [`Mix::churn`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Churn {
    /// Sessions that log out, a second.
    pub rate: f64,
    /// Time after which each comes back.
    pub away: f64,
}

/// See [`Mix::storm`].
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storm {
    /// How often all sessions but the watchers' drop at once, and come back at [`Mix::connect_rate`].
    pub times: u32,
}

/// See [`Mix::messages`]. Everybody is told what is said in their conversations, and whoever sends waits until it is on
/// stable storage.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Messages {
    /// Conversations; 0: there are none.
    pub conversations: u64,
    /// Members of each: two make a direct one, more a group.
    pub members: u64,
    /// Messages a second, each by a random member of a random conversation.
    pub rate: f64,
    /// Closed loop in place of the rate: so many are under way at any time; 0: open loop.
    pub in_flight: u32,
    /// Length of a message, bytes.
    pub bytes: usize,
    /// Share of the messages (0 to 1) that are sent twice under the same name, as by a client that heard no answer.
    pub twice: f64,
    /// Pages of history that are read, a second: of random conversations, the newest messages.
    pub pages: f64,
    /// Messages of a page.
    pub page: u16,
    /// Lists of conversations that are read, a second: those of random users.
    pub lists: f64,
    /// Conversations of a list.
    pub list: u32,
    /// At the end everything is read, and compared with what was acknowledged.
    pub read_back: bool,
}

/// See [`Mix::questions`]. They are asked in every other slice of the measured time, so that the server's turns beside them
/// are told from those without.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Questions {
    /// How many are online? So many times a second.
    pub counts: f64,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            name: "own".into(),
            connections: 1_000,
            connect_rate: 0.0,
            opening: 1_024,
            warm_up: 2.0,
            hold: 10.0,
            heartbeat: Heartbeat::default(),
            watch: Watch::default(),
            channel: Channel::default(),
            send: Send::default(),
            churn: Churn::default(),
            storm: Storm::default(),
            messages: Messages::default(),
            questions: Questions::default(),
            stalled: 0,
        }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { every: 30.0, answer: true, in_flight: 0 }
    }
}

impl Default for Channel {
    fn default() -> Self {
        Self { subscribers: 0, channels: 1, rate: 0.0, burst: 1, bytes: 64 }
    }
}

impl Default for Send {
    fn default() -> Self {
        Self { rate: 0.0, bytes: 64 }
    }
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            conversations: 0,
            members: 2,
            rate: 0.0,
            in_flight: 0,
            bytes: 128,
            twice: 0.0,
            pages: 0.0,
            page: 50,
            lists: 0.0,
            list: 50,
            read_back: true,
        }
    }
}

impl Messages {
    /// Most conversations of so many users: no pair has two direct ones, groups may have the same members.
    #[must_use]
    pub fn most(&self, users: u64) -> u64 {
        match self.members {
            0 | 1 => 0,
            2 if users <= 2 => users / 2,
            2 => users * (users - 1).div_euclid(2),
            members if members > users => 0,
            _ => u64::MAX,
        }
    }

    /// Who is in the conversation with this number, of so many users: the first at its number, the others in steps that
    /// grow by one each time round.
    pub fn of_room(&self, room: u64, users: u64) -> impl Iterator<Item = u64> {
        let step = self.step(room, users);
        (0..self.members).map(move |place| (room % users + place * step) % users)
    }

    fn step(&self, room: u64, users: u64) -> u64 {
        1 + room / users % (users / self.members).max(1)
    }

    /// Which member of a conversation a user is, if any.
    #[must_use]
    pub fn place_in(&self, room: u64, user: u64, users: u64) -> Option<u64> {
        let (steps, step) = ((user + users - room % users) % users, self.step(room, users));
        Some(steps / step).filter(|place| steps.is_multiple_of(step) && *place < self.members)
    }
}

impl Default for Churn {
    fn default() -> Self {
        Self { rate: 0.0, away: 1.0 }
    }
}

/// The built-in scenarios and what they are for.
pub const BUILT_IN: [(&str, &str); 9] = [
    ("idle", "hold sessions that send a heartbeat now and then: memory"),
    ("heartbeat", "heartbeats, each answered, one a second and session: CPU and latency"),
    ("storm", "connect with a token at a rate; then all drop and come back"),
    ("churn", "sessions come and go while watchers measure how long until they are told"),
    ("fanout", "one publisher, all others subscribe"),
    ("send", "direct messages between users"),
    ("slow", "fan-out while one in a hundred subscribers reads nothing"),
    ("messages", "conversations: messages that are kept, told and read back"),
    ("mixed", "a day's profile: mostly idle, some of everything"),
];

/// Places of members in conversations whose last message is remembered, four bytes each.
const PLACES: u64 = 1 << 26;

impl Mix {
    /// The built-in scenario of this name.
    #[must_use]
    pub fn built_in(name: &str, connections: u64) -> Option<Self> {
        let mut mix = Self { name: name.to_owned(), connections, ..Self::default() };
        match name {
            "idle" => {}
            "heartbeat" => mix.heartbeat.every = 1.0,
            "storm" => {
                mix.connect_rate = 10_000.0;
                mix.storm.times = 1;
                mix.watch = Watch { watchers: connections.div_ceil(100).min(200), users: 200 };
            }
            "churn" => {
                mix.watch = Watch { watchers: connections.div_ceil(10), users: 100 };
                mix.churn = Churn { rate: connections as f64 / 20.0, away: 2.0 };
            }
            "fanout" => mix.channel = Channel { subscribers: connections, rate: 1.0, ..Channel::default() },
            "send" => mix.send.rate = connections as f64,
            "slow" => {
                mix.channel =
                    Channel { subscribers: connections, rate: 10.0, bytes: 512, ..Channel::default() };
                mix.stalled = u32::try_from(connections.div_ceil(100)).unwrap_or(u32::MAX).min(2_000);
            }
            "messages" => {
                mix.messages = Messages {
                    rate: connections as f64,
                    pages: connections as f64 / 10.0,
                    lists: connections as f64 / 100.0,
                    twice: 0.01,
                    ..Messages::default()
                };
                mix.messages.conversations = connections.min(mix.messages.most(connections));
            }
            "mixed" => {
                mix.watch = Watch { watchers: connections.div_ceil(20), users: 50 };
                mix.channel =
                    Channel { subscribers: connections / 10, channels: 4, rate: 2.0, ..Channel::default() };
                mix.send.rate = connections as f64 / 50.0;
                mix.churn = Churn { rate: connections as f64 / 200.0, away: 5.0 };
            }
            _ => return None,
        }
        Some(mix)
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    /// What is wrong with it, in words that name the fix.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mix: Self = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        mix.check().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(mix)
    }

    /// Whether the numbers fit together.
    ///
    /// # Errors
    /// The first that does not, and what would.
    pub fn check(&self) -> Result<(), String> {
        let numbers = [
            ("connect_rate", self.connect_rate),
            ("warm_up", self.warm_up),
            ("hold", self.hold),
            ("heartbeat.every", self.heartbeat.every),
            ("channel.rate", self.channel.rate),
            ("send.rate", self.send.rate),
            ("churn.rate", self.churn.rate),
            ("churn.away", self.churn.away),
            ("messages.rate", self.messages.rate),
            ("messages.pages", self.messages.pages),
            ("messages.lists", self.messages.lists),
            ("questions.counts", self.questions.counts),
        ];
        if let Some((name, number)) = numbers.iter().find(|(_, number)| !(0.0..=1e9).contains(number)) {
            return Err(format!("{name} is {number}: give 0 or more"));
        }
        if self.connections == 0 || self.opening == 0 || self.channel.channels == 0 || self.channel.burst == 0
        {
            return Err("connections, opening, channel.channels and channel.burst must be at least 1".into());
        }
        let messages = &self.messages;
        if !(0.0..=1.0).contains(&messages.twice) {
            return Err(format!("messages.twice is {}: it is a share, from 0 to 1", messages.twice));
        }
        if messages.conversations > messages.most(self.connections) {
            return Err(format!(
                "{} conversations of {} members are too many for {} sessions, which have {} at most: raise connections",
                messages.conversations,
                messages.members,
                self.connections,
                messages.most(self.connections)
            ));
        }
        if messages.conversations.saturating_mul(messages.members) > PLACES {
            return Err(format!("messages: at most {PLACES} places in conversations can be kept count of"));
        }
        let wanting = |what: &str, wanted: u64| {
            Err(format!(
                "{what} wants {wanted} sessions of {}: raise connections, or lower it",
                self.connections
            ))
        };
        if self.channel.subscribers > self.connections {
            return wanting("channel.subscribers", self.channel.subscribers);
        }
        if self.watch.watchers >= self.connections && self.watch.watchers > 0 {
            return wanting("watch.watchers (and somebody to watch)", self.watch.watchers + 1);
        }
        Ok(())
    }

    /// Users that are no watchers: those who are watched, come and go, and drop.
    #[must_use]
    pub fn watched(&self) -> u64 {
        self.connections - self.watch.watchers
    }

    /// Users that one watcher watches; never more than there are.
    #[must_use]
    pub fn list_length(&self) -> u64 {
        u64::from(self.watch.users).min(self.watched())
    }

    /// Whom the n-th watcher watches: lists lie one after the other in a circle, so everyone is watched alike.
    pub fn watch_list(&self, watcher: u64) -> impl Iterator<Item = u64> + '_ {
        let first = watcher * self.list_length();
        (first..first + self.list_length()).map(|place| self.watch.watchers + place % self.watched())
    }

    /// How many watch a user.
    #[must_use]
    pub fn watchers_of(&self, user: u64) -> u64 {
        if user < self.watch.watchers {
            return 0;
        }
        let (all, users) = (self.watch.watchers * self.list_length(), self.watched());
        all / users + u64::from(user - self.watch.watchers < all % users)
    }

    /// Subscribers of a channel.
    #[must_use]
    pub fn subscribers_of(&self, channel: u64) -> u64 {
        let Channel { subscribers, channels, .. } = self.channel;
        subscribers / channels + u64::from(channel < subscribers % channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_scenarios_are_sound() {
        for (name, _) in BUILT_IN {
            for connections in [2, 100, 12_345] {
                Mix::built_in(name, connections).unwrap().check().unwrap();
            }
        }
        assert!(Mix::built_in("nonsense", 1).is_none());
    }

    #[test]
    fn everybody_is_watched_by_as_many_as_is_said() {
        for (connections, watchers, users) in [(100, 7, 13), (50, 10, 40), (11, 10, 5), (30, 3, 500)] {
            let mix = Mix { connections, watch: Watch { watchers, users }, ..Mix::default() };
            let mut counted = vec![0; connections as usize];
            (0..watchers).flat_map(|one| mix.watch_list(one)).for_each(|user| counted[user as usize] += 1);
            let said: Vec<u64> = (0..connections).map(|user| mix.watchers_of(user)).collect();
            assert_eq!(counted, said);
        }
    }

    #[test]
    fn conversations_have_members_of_their_own() {
        for (users, members) in [(2, 2), (3, 2), (10, 2), (11, 2), (12, 3), (7, 7), (20, 6)] {
            let messages = Messages { members, ..Messages::default() };
            let mut pairs = std::collections::BTreeSet::new();
            assert!(messages.most(users) > 0);
            for room in 0..messages.most(users).min(3 * users) {
                let mut all: Vec<u64> = messages.of_room(room, users).collect();
                for (place, &user) in all.iter().enumerate() {
                    assert_eq!(messages.place_in(room, user, users), Some(place as u64));
                }
                let others = (0..users).filter(|user| !all.contains(user));
                assert!(others.into_iter().all(|user| messages.place_in(room, user, users).is_none()));
                all.sort_unstable();
                all.dedup();
                assert_eq!(all.len() as u64, members);
                assert!(members > 2 || pairs.insert(all), "a pair has one conversation");
            }
        }
    }

    #[test]
    fn a_file_with_a_mistake_is_refused_in_words() {
        let folder = std::env::temp_dir().join(format!("muster-mix-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("own.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Mix::read(&path)
        };
        let mix = read("connections = 50\nheartbeat = { every = 5.0 }\n[send]\nrate = 3.0").unwrap();
        assert_eq!((mix.connections, mix.heartbeat.every, mix.send.rate), (50, 5.0, 3.0));
        assert!(read("conections = 50").unwrap_err().contains("conections"));
        assert!(read("hold = -1.0").unwrap_err().contains("hold is -1"));
        assert!(read("[channel]\nsubscribers = 5000").unwrap_err().contains("raise connections"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
