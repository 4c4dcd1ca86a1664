//! What is asked of the server, prepared once for each connection to it.

use std::sync::Arc;

use scylla::client::session::Session;
use scylla::cluster::metadata::ColumnType;
use scylla::errors::SerializationError;
use scylla::serialize::value::SerializeValue;
use scylla::serialize::writers::{CellWriter, WrittenCellProof};
use scylla::statement::prepared::PreparedStatement;

use super::Settings;

/// What is written. The values of each come in the order of its marks: first the partition's, last the time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Put {
    Intent,
    Conversation,
    Horizon,
    Member,
    Membership,
    MembershipGone,
    Bucket,
    Message,
    Receipt,
    Deletion,
    Sent,
    Sweep,
    Seen,
    SeenGone,
    Online,
    Offline,
    // Clearing away.
    ConversationCleared,
    IntentCleared,
    MembersCleared,
    DeletionsCleared,
    BucketCleared,
    MessagesCleared,
    ReadsCleared,
    MessagesTrimmed,
    ReadsTrimmed,
    DeletionsTrimmed,
    SentGone,
    SweepCleared,
}

/// The text of each, and how many of its first values are the partition's; in the order of [`Put`].
const PUTS: [(&str, usize); 28] = [
    (
        "INSERT INTO intents (realm, conversation, epoch, stamp, body) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?",
        2,
    ),
    (
        "INSERT INTO conversations (realm, conversation, life, gone, body) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?",
        2,
    ),
    (
        "INSERT INTO conversations (realm, conversation, horizon_life, horizon) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
        2,
    ),
    (
        "INSERT INTO members (realm, conversation, life, member_row, body) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?",
        3,
    ),
    (
        "INSERT INTO memberships (realm, user_id, conversation, life, member_row) VALUES (?, ?, ?, ?, ?) \
         USING TIMESTAMP ?",
        2,
    ),
    (
        "DELETE FROM memberships USING TIMESTAMP :stamp WHERE realm = :realm AND user_id = :user_id \
         AND conversation = :conversation AND life = :life AND member_row = :member_row",
        2,
    ),
    (
        "INSERT INTO message_buckets (realm, conversation, life, first_at, bucket) VALUES (?, ?, ?, ?, ?) \
         USING TIMESTAMP ?",
        3,
    ),
    (
        "INSERT INTO messages (realm, conversation, life, bucket, created_at, body) VALUES (?, ?, ?, ?, ?, ?) \
         USING TIMESTAMP ?",
        4,
    ),
    (
        "INSERT INTO reads (realm, conversation, life, span, created_at, member_row, read_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
        4,
    ),
    (
        "INSERT INTO deletions (realm, conversation, life, sequence, member_row) VALUES (?, ?, ?, ?, ?) \
         USING TIMESTAMP ?",
        3,
    ),
    (
        "INSERT INTO sends (realm, conversation, life, member_row, client_id, created_at) VALUES (?, ?, ?, ?, ?, ?) \
         USING TIMESTAMP ? AND TTL ?",
        4,
    ),
    ("INSERT INTO sweeps (scope, realm, conversation, life) VALUES (?, ?, ?, ?) USING TIMESTAMP ?", 1),
    ("INSERT INTO last_seen (realm, user_id, last_seen) VALUES (?, ?, ?) USING TIMESTAMP ?", 2),
    ("DELETE FROM last_seen USING TIMESTAMP :stamp WHERE realm = :realm AND user_id = :user_id", 2),
    ("INSERT INTO online_journal (bucket, slot, realm, user_id) VALUES (?, ?, ?, ?) USING TIMESTAMP ?", 1),
    (
        "DELETE FROM online_journal USING TIMESTAMP :stamp WHERE bucket = :bucket AND slot = :slot \
         AND realm = :realm AND user_id = :user_id",
        1,
    ),
    (
        "DELETE FROM conversations USING TIMESTAMP :stamp WHERE realm = :realm AND conversation = :conversation",
        2,
    ),
    ("DELETE FROM intents USING TIMESTAMP :stamp WHERE realm = :realm AND conversation = :conversation", 2),
    (
        "DELETE FROM members USING TIMESTAMP :stamp WHERE realm = :realm AND conversation = :conversation \
         AND life = :life AND member_row <= :member_row",
        3,
    ),
    (
        "DELETE FROM deletions USING TIMESTAMP :stamp WHERE realm = :realm AND conversation = :conversation \
         AND life = :life",
        3,
    ),
    (
        "DELETE FROM message_buckets USING TIMESTAMP :stamp WHERE realm = :realm AND conversation = :conversation \
         AND life = :life AND first_at = :first_at AND bucket = :bucket",
        3,
    ),
    (
        "DELETE FROM messages USING TIMESTAMP :stamp WHERE realm = :realm AND conversation = :conversation \
         AND life = :life AND bucket = :bucket",
        4,
    ),
    (
        "DELETE FROM reads USING TIMESTAMP :stamp WHERE realm = :realm AND conversation = :conversation \
         AND life = :life AND span = :span",
        4,
    ),
    (
        "DELETE FROM messages USING TIMESTAMP :stamp WHERE realm = :realm AND conversation = :conversation \
         AND life = :life AND bucket = :bucket AND created_at <= :created_at",
        4,
    ),
    (
        "DELETE FROM reads USING TIMESTAMP :stamp WHERE realm = :realm AND conversation = :conversation \
         AND life = :life AND span = :span AND created_at <= :created_at",
        4,
    ),
    (
        "DELETE FROM deletions USING TIMESTAMP :stamp WHERE realm = :realm AND conversation = :conversation \
         AND life = :life AND sequence <= :sequence",
        3,
    ),
    (
        "DELETE FROM sends USING TIMESTAMP :stamp WHERE realm = :realm AND conversation = :conversation \
         AND life = :life AND member_row = :member_row AND client_id = :client_id",
        4,
    ),
    (
        "DELETE FROM sweeps USING TIMESTAMP :stamp WHERE scope = :scope AND realm = :realm \
         AND conversation = :conversation AND life = :life",
        1,
    ),
];

impl Put {
    /// How many of its values name the partition.
    pub(super) fn partition(self) -> usize {
        PUTS[self as usize].1
    }

    /// The time stands first where the statement is a delete.
    pub(super) fn is_delete(self) -> bool {
        PUTS[self as usize].0.starts_with("DELETE")
    }
}

/// A value of a statement.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Cell {
    Int(i32),
    Big(i64),
    Bool(bool),
    Text(Arc<str>),
    Blob(Arc<[u8]>),
}

impl SerializeValue for Cell {
    fn serialize<'b>(
        &self,
        typ: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        match self {
            Self::Int(number) => number.serialize(typ, writer),
            Self::Big(number) => number.serialize(typ, writer),
            Self::Bool(is) => is.serialize(typ, writer),
            Self::Text(text) => (**text).serialize(typ, writer),
            Self::Blob(bytes) => (&**bytes).serialize(typ, writer),
        }
    }
}

/// A statement with the keyspace before its table: what is prepared is not to depend on where a connection is.
pub(super) fn qualified(text: &str, keyspace: &str) -> String {
    for before in ["INSERT INTO ", "UPDATE ", " FROM ", "DELETE FROM "] {
        if let Some((head, tail)) = text.split_once(before) {
            return format!("{head}{before}{keyspace}.{tail}");
        }
    }
    text.to_owned()
}

/// Everything prepared.
#[derive(Debug)]
pub(super) struct Statements {
    puts: Vec<PreparedStatement>,
    pub(super) conversation: PreparedStatement,
    pub(super) intent: PreparedStatement,
    pub(super) members: PreparedStatement,
    pub(super) members_between: PreparedStatement,
    pub(super) member: PreparedStatement,
    pub(super) deletions: PreparedStatement,
    pub(super) deletions_until: PreparedStatement,
    pub(super) buckets_back: PreparedStatement,
    pub(super) buckets_forth: PreparedStatement,
    pub(super) messages_back: PreparedStatement,
    pub(super) messages_forth: PreparedStatement,
    pub(super) message: PreparedStatement,
    pub(super) times: PreparedStatement,
    pub(super) receipts: PreparedStatement,
    pub(super) sent: PreparedStatement,
    pub(super) memberships: PreparedStatement,
    pub(super) memberships_after: PreparedStatement,
    pub(super) memberships_behind: PreparedStatement,
    pub(super) sweeps: PreparedStatement,
    pub(super) seen: PreparedStatement,
    pub(super) seen_at: PreparedStatement,
    pub(super) all_seen: PreparedStatement,
    pub(super) journal: PreparedStatement,
    pub(super) all_conversations: PreparedStatement,
    pub(super) sends: PreparedStatement,
    pub(super) names: PreparedStatement,
}

const OF_LIFE: &str = "realm = ? AND conversation = ? AND life = ?";

impl Statements {
    /// Prepares all of them.
    pub(super) async fn prepare(session: &Session, settings: &Settings) -> Result<Self, String> {
        let reading = super::link::profile(settings, true).into_handle();
        let prepare = async |text: String| {
            let text = qualified(&text, &settings.keyspace);
            let prepared = session.prepare(text.as_str()).await;
            let mut prepared = prepared.map_err(|error| format!("{error} (of: {text})"))?;
            prepared.set_is_idempotent(true);
            Ok::<_, String>(prepared)
        };
        let look = async |text: String| {
            let mut prepared = prepare(text).await?;
            prepared.set_execution_profile_handle(Some(reading.clone()));
            prepared.set_page_size(1_000);
            Ok::<_, String>(prepared)
        };
        let mut puts = Vec::with_capacity(PUTS.len());
        for (text, _) in PUTS {
            puts.push(prepare(text.to_owned()).await?);
        }
        let one = "realm = ? AND conversation = ?";
        let user = "FROM memberships WHERE realm = ? AND user_id = ?";
        Ok(Self {
            puts,
            conversation: look(format!(
                "SELECT life, gone, body, WRITETIME(gone), horizon_life, horizon, WRITETIME(horizon) FROM conversations \
                 WHERE {one}"
            ))
            .await?,
            intent: look(format!("SELECT epoch, stamp, body FROM intents WHERE {one}")).await?,
            members: look(format!("SELECT member_row, body FROM members WHERE {OF_LIFE}")).await?,
            members_between: look(format!(
                "SELECT member_row, body FROM members WHERE {OF_LIFE} AND member_row >= ? AND member_row <= ? LIMIT ?"
            ))
            .await?,
            member: look(format!("SELECT body FROM members WHERE {OF_LIFE} AND member_row = ?")).await?,
            deletions: look(format!("SELECT sequence, member_row FROM deletions WHERE {OF_LIFE}")).await?,
            deletions_until: look(format!(
                "SELECT sequence FROM deletions WHERE {OF_LIFE} AND sequence <= ? LIMIT 1"
            ))
            .await?,
            buckets_back: look(format!(
                "SELECT first_at, bucket FROM message_buckets WHERE {OF_LIFE} AND first_at < ? LIMIT ?"
            ))
            .await?,
            buckets_forth: look(format!(
                "SELECT first_at, bucket FROM message_buckets WHERE {OF_LIFE} AND first_at > ? \
                 ORDER BY first_at ASC, bucket ASC LIMIT ?"
            ))
            .await?,
            messages_back: look(format!(
                "SELECT created_at, body FROM messages WHERE {OF_LIFE} AND bucket = ? \
                 AND created_at > ? AND created_at < ? LIMIT ?"
            ))
            .await?,
            messages_forth: look(format!(
                "SELECT created_at, body FROM messages WHERE {OF_LIFE} AND bucket = ? \
                 AND created_at > ? AND created_at < ? ORDER BY created_at ASC LIMIT ?"
            ))
            .await?,
            message: look(format!(
                "SELECT body FROM messages WHERE {OF_LIFE} AND bucket = ? AND created_at = ?"
            ))
            .await?,
            times: look(format!(
                "SELECT created_at FROM messages WHERE {OF_LIFE} AND bucket = ? AND created_at <= ?"
            ))
            .await?,
            receipts: look(format!(
                "SELECT created_at, member_row, read_at FROM reads WHERE {OF_LIFE} AND span = ? \
                 AND created_at >= ? AND created_at <= ?"
            ))
            .await?,
            sent: look(format!(
                "SELECT created_at FROM sends WHERE {OF_LIFE} AND member_row = ? AND client_id = ?"
            ))
            .await?,
            memberships: look(format!("SELECT conversation, life, member_row {user} LIMIT ?")).await?,
            memberships_after: look(format!(
                "SELECT conversation, life, member_row {user} AND conversation > ? LIMIT ?"
            ))
            .await?,
            memberships_behind: look(format!(
                "SELECT conversation, life, member_row {user} \
                 AND (conversation, life, member_row) > (?, ?, ?) LIMIT ?"
            ))
            .await?,
            sweeps: look(
                "SELECT realm, conversation, life FROM sweeps WHERE scope = ? \
                 AND (realm, conversation, life) > (?, ?, ?) LIMIT ?"
                    .into(),
            )
            .await?,
            seen: look("SELECT last_seen FROM last_seen WHERE realm = ? AND user_id = ?".into()).await?,
            seen_at: look("SELECT WRITETIME(last_seen) FROM last_seen WHERE realm = ? AND user_id = ?".into()).await?,
            all_seen: look("SELECT realm, user_id, last_seen FROM last_seen".into()).await?,
            all_conversations: look("SELECT realm, conversation, gone FROM conversations".into()).await?,
            sends: look(format!("SELECT client_id, created_at FROM sends WHERE {OF_LIFE} AND member_row = ?")).await?,
            names: look(format!("SELECT client_id FROM sends WHERE {OF_LIFE} AND member_row = ? LIMIT ?")).await?,
            journal: look("SELECT slot, realm, user_id FROM online_journal WHERE bucket = ? AND slot IN ?".into()).await?,
        })
    }

    /// What writes this.
    pub(super) fn put(&self, put: Put) -> &PreparedStatement {
        &self.puts[put as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_their_keyspace() {
        for (text, expected) in [
            ("INSERT INTO a (b) VALUES (?)", "INSERT INTO k.a (b) VALUES (?)"),
            ("UPDATE a SET b = 1", "UPDATE k.a SET b = 1"),
            ("SELECT a FROM b WHERE c = ?", "SELECT a FROM k.b WHERE c = ?"),
            ("DELETE FROM a USING TIMESTAMP ?", "DELETE FROM k.a USING TIMESTAMP ?"),
        ] {
            assert_eq!(qualified(text, "k"), expected);
        }
    }

    /// Values are bound by their place, so the marks must stand as [`Put`] says.
    #[test]
    fn each_statement_stands_in_its_place() {
        assert_eq!(Put::SweepCleared as usize, PUTS.len() - 1);
        for (put, table) in [
            (Put::Intent, "INSERT INTO intents "),
            (Put::Sent, "INSERT INTO sends "),
            (Put::Seen, "INSERT INTO last_seen "),
            (Put::Offline, "DELETE FROM online_journal "),
            (Put::IntentCleared, "DELETE FROM intents "),
            (Put::MessagesTrimmed, "DELETE FROM messages "),
            (Put::SentGone, "DELETE FROM sends "),
            (Put::SweepCleared, "DELETE FROM sweeps "),
        ] {
            assert!(PUTS[put as usize].0.starts_with(table), "{put:?}");
        }
    }
}
