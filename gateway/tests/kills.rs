//! The program is killed again and again while people write: what was acknowledged is there afterwards, once, in order.
//!
//! Three times in the tests; for the table of `docs/RELIABILITY.md`:
//! `MUSTER_KILLS=50 cargo test --release -p muster --test kills -- --nocapture`

#![allow(clippy::disallowed_methods, reason = "a test waits for real time to pass")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::blocking::{Client, Options};
use schema::Id;
use schema::chat::{ConversationId, Draft, Kind, MessageId, NewConversation, NewMember, Role};
use support::process::Process;
use support::{Site, within};

const SETTINGS: &str =
    "store.kind = \"embedded\"\nlimits.commands_per_second = 1000000\nlimits.commands_burst = 1000000\n";

/// People who write, each one message after the other.
const WRITERS: usize = 16;
const GROUPS: u128 = 8;
/// Messages that are acknowledged between two kills, at least.
const BETWEEN: u64 = 200;

fn user(number: usize) -> Id {
    Id::new(&format!("writer-{number}")).unwrap()
}

fn connect(site: &Site, number: usize) -> Option<Client> {
    let token = site.token(&user(number).to_string());
    let mut options = Options::new(site.binary().to_string(), token);
    options.call_time = Duration::from_secs(5);
    Client::connect(options).ok()
}

/// What a writer was told: conversation, client id, message.
type Acked = (ConversationId, String, MessageId);

/// Writes until it is told to stop; a message that was not acknowledged is sent again under the same name.
fn write(number: usize, site: &Mutex<Site>, stop: &AtomicBool, count: &AtomicU64) -> Vec<Acked> {
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
fn everything(client: &mut Client, group: ConversationId) -> Vec<schema::chat::Message> {
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

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_a_kill() {
    let kills: u32 = std::env::var("MUSTER_KILLS").map_or(3, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start_in(folder.path(), "ring", SETTINGS);
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
    drop(service);
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let site = Mutex::new(server.site());
    let mut slowest = Duration::ZERO;
    let (acked, server) = std::thread::scope(|scope| {
        let (site, stop, count) = (&site, &stop, &count);
        let writers: Vec<_> =
            (0..WRITERS).map(|number| scope.spawn(move || write(number, site, stop, count))).collect();
        for round in 0..kills {
            let before = count.load(Ordering::Acquire);
            within(Duration::from_secs(60), "messages are acknowledged", || {
                (count.load(Ordering::Acquire) >= before + BETWEEN).then_some(())
            });
            server.kill();
            let begun = Instant::now();
            server = Process::start_in(folder.path(), "ring", SETTINGS);
            slowest = slowest.max(begun.elapsed());
            *site.lock().unwrap() = server.site();
            println!("kill {}: {} acknowledged so far", round + 1, count.load(Ordering::Acquire));
        }
        stop.store(true, Ordering::Release);
        let acked: Vec<Acked> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        (acked, server)
    });
    let mut reader = connect(&server, 0).unwrap();
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
    for (_, name, id) in &acked {
        assert_eq!(stored.get(name).map(|ids| ids[0]), Some(*id), "{name} was acknowledged");
    }
    println!(
        "{kills} kills, {} messages acknowledged, {} stored, none lost, none twice; ready again after at most {slowest:?}",
        acked.len(),
        stored.len()
    );
}
