//! Of words that are overwritten by nothing, as erasing somebody does, no copy stays in the tables.

use super::super::change::realm;
use super::super::read::{self, Head, rows};
use super::Tables;
use crate::machine::store::{Part, Place, Write};
use crate::store::chat::Opened;
use crate::store::chat::suite::{group_of, one_more};

fn place() -> Place {
    (schema::Realm(0), schema::chat::ConversationId::from_number(1))
}

fn write(chats: &mut Opened, parts: Vec<Part>) {
    chats.writes.stage(&Write { place: place(), parts }).unwrap();
    chats.writes.commit().unwrap();
}

#[test]
fn neither_words_nor_names_stay_behind() {
    let scylla = Tables::new().open();
    let mut chats = scylla.chats();
    write(&mut chats, group_of(place()));
    let said = one_more(place(), 100);
    let Part::Message(message) = &said else { panic!() };
    let (words, mut nothing) = (message.content.to_string(), schema::chat::Message::clone(message));
    (nothing.content, nothing.deleted) = ("".into(), true);
    let named = |message| Part::Sent { row: 1, client_id: "a name".into(), message };
    write(&mut chats, vec![said.clone(), named(100)]);

    let link = &scylla.link;
    let ready = link.ready().unwrap();
    let look = || {
        scylla.block_on(async {
            let Head::Here { life, .. } = read::head(link, ready, place()).await.unwrap() else { panic!() };
            let (_, _, intent) = read::intent(link, ready, place()).await.unwrap().unwrap();
            let (number, realm) = (place().1.to_bytes(), realm(&link.settings, place()));
            let values = (realm, &number[..], life, 1_i64);
            let sends: Vec<(String, i64)> = rows(ready, &ready.statements.sends, values).await.unwrap();
            (intent.windows(words.len()).any(|some| some == words.as_bytes()), sends.len())
        })
    };
    assert_eq!(look(), (true, 1));
    write(&mut chats, vec![Part::Message(nothing.into()), named(0)]);
    assert_eq!(look(), (false, 0));
}
