//! Readers beside the writer: nothing unsynced is seen, and nothing acknowledged is missed.

use std::sync::mpsc;
use std::thread;

use super::*;

/// A disk whose syncs wait to be let through.
struct Gated {
    asks: mpsc::SyncSender<()>,
    lets: std::sync::Mutex<mpsc::Receiver<()>>,
    closed: AtomicBool,
}

impl Disk for Gated {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        Real.write(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        // A segment may be made ready at any time.
        if self.closed.load(Ordering::SeqCst) && thread::current().name() != Some("ledger-segments") {
            self.asks.send(()).unwrap();
            self.lets.lock().unwrap().recv().unwrap();
        }
        Real.sync(file)
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        Real.cut(file, length)
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn may_flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_is_seen_before_its_sync() {
    let folder = tempfile::tempdir().unwrap();
    let ((asks, asked), (lets, let_through)) = (mpsc::sync_channel(8), mpsc::channel());
    let disk =
        Arc::new(Gated { asks, lets: std::sync::Mutex::new(let_through), closed: AtomicBool::new(false) });
    let options = Options { segment_bytes: 1 << 20, ..small() };
    let (mut writer, reader) = open_on(folder.path(), options, disk.clone()).unwrap();
    writer.commit(&[put("a", "old")]).unwrap();
    disk.closed.store(true, Ordering::SeqCst);
    let committing = thread::spawn(move || {
        writer.commit(&[put("a", "new"), put("b", "new")]).unwrap();
        writer
    });
    asked.recv().unwrap();
    // The frame is written, its sync is under way, and readers do not wait for it.
    assert_eq!((get(&reader, "a").as_deref(), get(&reader, "b")), (Some("old"), None));
    disk.closed.store(false, Ordering::SeqCst);
    lets.send(()).unwrap();
    drop(committing.join().unwrap());
    assert_eq!((get(&reader, "a").as_deref(), get(&reader, "b").as_deref()), (Some("new"), Some("new")));
}

#[test]
fn nothing_acknowledged_is_ever_missed() {
    const KEYS: u64 = 50;
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    let acknowledged = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|turn| {
            let (reader, acknowledged, done) = (reader.clone(), acknowledged.clone(), done.clone());
            thread::spawn(move || {
                let mut reads = 0_u64;
                while !done.load(Ordering::SeqCst) {
                    // Every key is written in turn, so each is at most a round behind.
                    let least = acknowledged.load(Ordering::SeqCst);
                    let key = reads % KEYS;
                    let least = least.saturating_sub(KEYS - 1);
                    let mut found = None;
                    let name = format!("{key:03}");
                    if turn == 0 {
                        found = get(&reader, &name);
                    } else {
                        let upper = format!("{key:03}~");
                        reader
                            .scan(
                                Space::Messages,
                                (name.as_bytes(), upper.as_bytes()),
                                true,
                                1,
                                |_, value| {
                                    found = Some(String::from_utf8(value.to_vec()).unwrap());
                                    true
                                },
                            )
                            .unwrap();
                    }
                    let number = found.map_or(0, |value| value.trim_start_matches('0').parse().unwrap_or(0));
                    assert!(number >= least, "key {key}: found {number}, acknowledged at least {least}");
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    for number in 1..=1_500_u64 {
        let batch = put(&format!("{:03}", number % KEYS), &format!("{number:0100}"));
        commit(&mut writer, &[batch]);
        acknowledged.store(number, Ordering::SeqCst);
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
    assert!(reader.shape(Space::Messages).files > 0, "it went through the index");
}
