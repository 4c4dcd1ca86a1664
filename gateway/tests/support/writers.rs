//! People who write while things are killed, and what must be so afterwards: what was acknowledged is there, once, in order.

#![allow(clippy::disallowed_methods, reason = "a writer waits for real time to pass")]

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::blocking::{Client, Options};
use schema::Id;
use schema::chat::{ConversationId, Draft, Kind, MessageId, NewConversation, NewMember, Role};

use crate::support::Site;

/// People who write, each one message after the other.
pub(crate) const WRITERS: usize = 16;
pub(crate) const GROUPS: u128 = 8;
pub(crate) fn user(number: usize) -> Id {
    Id::new(&format!("writer-{number}")).unwrap()
}

pub(crate) fn connect(site: &Site, number: usize) -> Option<Client> {
    let token = site.token(&user(number).to_string());
    let mut options = Options::new(site.binary().to_string(), token);
    options.call_time = Duration::from_secs(5);
    Client::connect(options).ok()
}

/// What a writer was told: conversation, client id, message.
pub(crate) type Acked = (ConversationId, String, MessageId);

/// Writes until it is told to stop; a message that was not acknowledged is sent again under the same name.
pub(crate) fn write(number: usize, site: &Mutex<Site>, stop: &AtomicBool, count: &AtomicU64) -> Vec<Acked> {
    let mut acked = Vec::new();
    let mut client = None;
    let mut next = 0u64;
    let mut under_way = None;
    // What has been begun is brought to its end.
    while !stop.load(Ordering::Acquire) || under_way.is_some() {
        let Some(connected) = &mut client else {
            let site = site.lock().unwrap().clone();
            client = connect(&site, number);
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let draft = under_way.take().unwrap_or_else(|| {
            next += 1;
            let group = ConversationId::from_number(u128::from(next) % GROUPS + 1);
            let name = format!("{number}-{next}");
            Draft {
                conversation: group,
                client_id: Some((*name).into()),
                kind: 0,
                content: name.into(),
                attachment: None,
            }
        });
        match connected.chat().send(draft.clone()) {
            Ok((message, _)) => {
                let name = draft.client_id.unwrap().to_string();
                acked.push((draft.conversation, name, message.id));
                count.fetch_add(1, Ordering::AcqRel);
            }
            Err(client::Error::Refused(refused)) => {
                assert!(refused.retry_after_ms.is_some(), "{refused:?}");
                under_way = Some(draft);
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(_) => (under_way, client) = (Some(draft), None),
        }
    }
    acked
}

/// Everything that was said in a group, oldest first.
pub(crate) fn everything(client: &mut Client, group: ConversationId) -> Vec<schema::chat::Message> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = client.chat().history(group, before, None, false, 100).unwrap();
        before = page.messages.last().map(|message| message.id.at);
        all.extend(page.messages);
        if !page.more {
            all.reverse();
            return all;
        }
    }
}

/// Makes the groups that all of them are in.
pub(crate) fn make_groups(server: &Site) {
    let mut service = server.service();
    for group in 1..=GROUPS {
        let members =
            (0..WRITERS).map(|number| NewMember { user: user(number), role: Role::Member }).collect();
        let id = Some(ConversationId::from_number(group));
        let new = NewConversation {
            id,
            kind: Kind::Group,
            name: Some("all".into()),
            members,
            extra: Arc::from([]),
        };
        service.chat().create(new).unwrap();
    }
}

/// Reads everything, compares it with what was acknowledged, and says how many messages there are.
pub(crate) fn check(server: &Site, acked: &[Acked]) -> usize {
    let mut reader = connect(server, 0).unwrap();
    let mut stored: HashMap<String, Vec<MessageId>> = HashMap::new();
    let mut per_writer: BTreeMap<(u128, String), u64> = BTreeMap::new();
    for group in 1..=GROUPS {
        let all = everything(&mut reader, ConversationId::from_number(group));
        for (at, message) in all.iter().enumerate() {
            let name = message.client_id.clone().unwrap().to_string();
            let (writer, number) =
                name.split_once('-').map(|(w, n)| (w.to_owned(), n.parse::<u64>().unwrap())).unwrap();
            assert_eq!(message.sender, user(writer.parse().unwrap()));
            let last = per_writer.insert((group, writer), number);
            assert!(last.is_none_or(|last| last < number), "each writer's messages are in order");
            assert!(at == 0 || all[at - 1].id.at < message.id.at, "times grow");
            stored.entry(name).or_default().push(message.id);
        }
    }
    for (name, ids) in &stored {
        assert_eq!(ids.len(), 1, "{name} is stored once");
    }
    for (_, name, id) in acked {
        assert_eq!(stored.get(name).map(|ids| ids[0]), Some(*id), "{name} was acknowledged");
    }
    stored.len()
}
