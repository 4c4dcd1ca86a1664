//! The ledger against a plain ordered map: whatever is done in whatever order, both hold the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Batches of rows: space, key, length of the value or deletion.
    Commit(Vec<Vec<(u8, u8, Option<u16>)>>),
    Flush,
    Merge,
    Reopen,
    Scan {
        space: u8,
        lower: u8,
        upper: u8,
        reverse: bool,
        limit: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0..3_u8, any::<u8>(), prop::option::weighted(0.8, 0..300_u16));
    let batches = prop::collection::vec(prop::collection::vec(row, 0..12), 1..4);
    let scan = (0..3_u8, any::<u8>(), any::<u8>(), any::<bool>(), 0..100_usize)
        .prop_map(|(space, lower, upper, reverse, limit)| Step::Scan { space, lower, upper, reverse, limit });
    let step = prop_oneof![
        12 => batches.prop_map(Step::Commit),
        1 => Just(Step::Flush),
        1 => Just(Step::Merge),
        1 => Just(Step::Reopen),
        4 => scan,
    ];
    prop::collection::vec(step, 1..50)
}

/// Keys of different lengths, so that one is another's beginning.
fn key(number: u8) -> Vec<u8> {
    vec![b'a' + number % 3; usize::from(number) / 3 % 30 + 1]
}

type Model = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

fn scanned(
    reader: &Reader,
    space: Space,
    lower: &[u8],
    upper: &[u8],
    reverse: bool,
    limit: usize,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let count = reader
        .scan(space, (lower, upper), reverse, limit, |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            true
        })
        .unwrap();
    assert_eq!(count, rows.len());
    rows
}

fn expected(
    model: &Model,
    space: Space,
    lower: &[u8],
    upper: &[u8],
    reverse: bool,
    limit: usize,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows =
        model.iter().filter(|((of, key), _)| *of == space as usize && &**key >= lower && &**key < upper);
    let rows = rows.map(|((_, key), value)| (key.clone(), value.clone()));
    if reverse { rows.rev().take(limit).collect() } else { rows.take(limit).collect() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn it_holds_what_a_map_would_hold(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = open(folder.path());
        let mut model = Model::new();
        let mut number = 0_u64;
        for step in steps {
            match step {
                Step::Commit(batches) => {
                    let mut made = Vec::new();
                    for rows in batches {
                        let mut batch = Batch::new();
                        for (space, name, length) in rows {
                            number += 1;
                            let (space, key) = (Space::ALL[usize::from(space)], key(name));
                            match length {
                                Some(length) => {
                                    let value = number.to_be_bytes().iter().copied().cycle().take(length.into()).collect::<Vec<_>>();
                                    batch.put(space, &key, &value);
                                    model.insert((space as usize, key), value);
                                }
                                None => {
                                    batch.delete(space, &key);
                                    model.remove(&(space as usize, key));
                                }
                            }
                        }
                        made.push(batch);
                    }
                    commit(&mut writer, &made);
                }
                Step::Flush => writer.flush().unwrap(),
                Step::Merge => writer.wait_until_merged(),
                Step::Reopen => {
                    drop((writer, reader));
                    (writer, reader) = open(folder.path());
                }
                Step::Scan { space, lower, upper, reverse, limit } => {
                    let (space, lower, upper) = (Space::ALL[usize::from(space)], key(lower), key(upper));
                    prop_assert_eq!(
                        scanned(&reader, space, &lower, &upper, reverse, limit),
                        expected(&model, space, &lower, &upper, reverse, limit)
                    );
                }
            }
        }
        for space in Space::ALL {
            for reverse in [false, true] {
                prop_assert_eq!(
                    scanned(&reader, space, b"a", b"z", reverse, usize::MAX),
                    expected(&model, space, b"a", b"z", reverse, usize::MAX)
                );
            }
            for name in 0..=u8::MAX {
                let found = reader.get(space, &key(name)).unwrap().map(|value| value.to_vec());
                prop_assert_eq!(found.as_ref(), model.get(&(space as usize, key(name))));
            }
        }
    }
}
