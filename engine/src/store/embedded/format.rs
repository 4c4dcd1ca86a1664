//! What the files say about themselves, in the keyspace `meta`: `format`, the version of all that is in them (u32),
//! and `slots`, a fingerprint of the function from keys to hash slots (u64). Both are there from the first start.

use fjall::{Database, Keyspace, PersistMode};
use schema::{Id, Realm};

use super::keys;
use crate::limits::STORE_BATCH;
use crate::machine::Router;

/// The format that this Muster writes.
pub(super) const FORMAT: u32 = 1;

/// Steps from each older format to the next: the first one leads from 1 to 2.
pub(super) const STEPS: &[Step] = &[];

/// Brings the tables of one format to the next. It may be cut off at any point, and is then done again.
pub(super) type Step = fn(&Database) -> fjall::Result<()>;

const FORMAT_KEY: &str = "format";
const SLOTS_KEY: &str = "slots";

const _: () = assert!(STEPS.len() + 1 == FORMAT as usize, "there is a step from each older format");

/// Reads the format; `None` in files that were never used.
///
/// # Errors
/// When it cannot be read, or (the inner error) is no number.
pub(super) fn read(meta: &Keyspace) -> fjall::Result<Option<Result<u32, String>>> {
    Ok(meta.get(FORMAT_KEY)?.map(|value| {
        let bytes: Result<[u8; 4], _> = (*value).try_into();
        bytes.map(u32::from_be_bytes).map_err(|_| format!("its format version is {value:?}"))
    }))
}

/// Writes the format.
pub(super) fn write(meta: &Keyspace, format: u32) -> fjall::Result<()> {
    meta.insert(FORMAT_KEY, format.to_be_bytes())
}

/// Goes from one format to the next until it is the last that `steps` lead to.
pub(super) fn migrate(db: &Database, meta: &Keyspace, from: u32, steps: &[Step]) -> fjall::Result<()> {
    for (step, to) in steps.iter().zip(2..).skip(from.saturating_sub(1) as usize) {
        step(db)?;
        write(meta, to)?;
        db.persist(PersistMode::SyncAll)?;
    }
    Ok(())
}

/// Moves the rows of the journal to their slots, if the function from keys to slots is another than it was (the
/// cluster secret has changed). Cut off in the middle, it is simply done again.
pub(super) fn settle_slots(
    db: &Database,
    meta: &Keyspace,
    online: &Keyspace,
    router: &Router,
) -> fjall::Result<()> {
    let current = fingerprint(router).to_be_bytes();
    match meta.get(SLOTS_KEY)? {
        Some(stored) if *stored == current => return Ok(()),
        Some(_) => move_rows(db, online, router)?,
        None => {}
    }
    meta.insert(SLOTS_KEY, current)
}

fn move_rows(db: &Database, online: &Keyspace, router: &Router) -> fjall::Result<()> {
    let mut batch = db.batch();
    let mut new_key = Vec::new();
    // The iterator sees the keyspace as it was when it began, so a moved row is not met again.
    for row in online.iter() {
        let old_key = row.key()?;
        if let Some((_, user)) = keys::read_journal_key(&old_key) {
            keys::journal_key(router.slot(user.realm, &user.id), &user, &mut new_key);
            if *old_key == new_key[..] {
                continue;
            }
            batch.insert(online, &new_key[..], []);
        }
        batch.remove(online, old_key);
        if batch.len() >= STORE_BATCH {
            std::mem::replace(&mut batch, db.batch()).commit()?;
        }
    }
    batch.commit()
}

/// The slots of five fixed keys, 12 bits each: two functions that agree on these are the same.
fn fingerprint(router: &Router) -> u64 {
    ["a", "b", "c", "d", "e"].iter().fold(0, |print, &text| {
        let slot = Id::new(text).map_or(0, |id| router.slot(Realm(0), &id));
        print << 12 | u64::from(slot)
    })
}
