//! Names of a world: its users, channels and services, in every form an id can have.

use schema::device::{Browser, Kind, Os};
use schema::{CloseReason, Device, Id};

/// The names of one world.
#[derive(Debug)]
pub(crate) struct Names {
    users: Vec<Id>,
    channels: Vec<Id>,
    service: Id,
}

fn id(text: &str) -> Id {
    Id::new(text).expect("the names below are short and plain")
}

impl Names {
    pub(crate) fn new(users: u8, channels: u8) -> Self {
        let user = |number: u8| match number % 3 {
            0 => id(&format!("0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d{number:02x}")),
            1 => id(&format!("u{number}")),
            _ => id(&format!("somebody-with-a-long-name-{number}")),
        };
        Self {
            users: (0..users.max(1)).map(user).collect(),
            channels: (0..channels.max(1)).map(|number| id(&format!("channel-{number}"))).collect(),
            service: id("a-service"),
        }
    }

    pub(crate) fn user(&self, number: u8) -> Id {
        self.users[usize::from(number) % self.users.len()].clone()
    }

    /// So many users from this one on; beyond all of them, from the first again.
    pub(crate) fn some(&self, first: u8, count: u8) -> Vec<Id> {
        (0..count).map(|at| self.user(first.wrapping_add(at))).collect()
    }

    pub(crate) fn all(&self) -> Vec<Id> {
        self.users.clone()
    }

    pub(crate) fn channel(&self, number: u8) -> Id {
        self.channels[usize::from(number) % self.channels.len()].clone()
    }

    pub(crate) fn service(&self) -> Id {
        self.service.clone()
    }
}

/// A device, by a number.
pub(crate) fn device(number: u8) -> Device {
    let at = usize::from(number);
    Device {
        browser: Browser::ALL[at % Browser::ALL.len()],
        os: Os::ALL[at % Os::ALL.len()],
        kind: Kind::ALL[at % Kind::ALL.len()],
    }
}

/// Why a connection ends, by a number.
pub(crate) fn reason(number: u8) -> CloseReason {
    [CloseReason::ClientClosed, CloseReason::LoggedOut, CloseReason::Lost][usize::from(number) % 3]
}
