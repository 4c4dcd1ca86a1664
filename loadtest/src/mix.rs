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

impl Default for Churn {
    fn default() -> Self {
        Self { rate: 0.0, away: 1.0 }
    }
}

/// The built-in scenarios and what they are for.
pub const BUILT_IN: [(&str, &str); 8] = [
    ("idle", "hold sessions that send a heartbeat now and then: memory"),
    ("heartbeat", "heartbeats, each answered, one a second and session: CPU and latency"),
    ("storm", "connect with a token at a rate; then all drop and come back"),
    ("churn", "sessions come and go while watchers measure how long until they are told"),
    ("fanout", "one publisher, all others subscribe"),
    ("send", "direct messages between users"),
    ("slow", "fan-out while one in a hundred subscribers reads nothing"),
    ("mixed", "a day's profile: mostly idle, some of everything"),
];

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
        ];
        if let Some((name, number)) = numbers.iter().find(|(_, number)| !(0.0..=1e9).contains(number)) {
            return Err(format!("{name} is {number}: give 0 or more"));
        }
        if self.connections == 0 || self.opening == 0 || self.channel.channels == 0 || self.channel.burst == 0
        {
            return Err("connections, opening, channel.channels and channel.burst must be at least 1".into());
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
