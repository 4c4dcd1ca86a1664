//! Tests of the runner and the page.

use super::*;

fn context() -> (tempfile::TempDir, Context) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    (folder, Context { root })
}

fn row(what: &str, median: f64) -> Row {
    let summary = Summary { count: 3, min: 1.0, median, max: 9_999.4 };
    Row::new(what, "ns", summary)
}

const fn section(name: &'static str, run: Run) -> Section {
    Section { name, title: name, about: "How.", run }
}

const HERE: Section = section("here", Run::Here(|_| Ok(vec![row("a thing", 2.0).at_most(3.0)])));
const THERE: Section = section(
    "there",
    Run::Program(&["printf", r#"{"what":"one","median":1.5}\n[{"what":"two","met":false,"target":"≥ 7"}]"#]),
);

#[test]
fn a_partial_run_keeps_the_other_rows() {
    let (_folder, context) = context();
    let all = [HERE, THERE];
    context.measure(&HERE).unwrap();
    let page = fs::read_to_string(context.render(&all).unwrap()).unwrap();
    assert!(page.contains("| a thing | ns | 1.00 | 2.00 | 9,999 | 3 | ≤ 3.00 ns, met |"), "{page}");
    assert!(page.contains("Not measured yet."));

    // Another checkout has only what is committed.
    fs::remove_dir_all(context.root.join("target")).unwrap();
    context.measure(&THERE).unwrap();
    let page = fs::read_to_string(context.render(&all).unwrap()).unwrap();
    assert!(page.contains("a thing") && page.contains("| one |") && !page.contains("Not measured"), "{page}");
    assert!(page.contains("Targets met: 1 of 2. Missed: two"), "{page}");
    assert!(page.contains("≥ 7, **missed**"));
}

#[test]
fn the_newer_result_counts() {
    let (_folder, context) = context();
    let measured = |date: &str, what: &str| Measured {
        date: date.into(),
        rows: vec![row(what, 1.0)],
        ..Measured::default()
    };
    store(&context.fresh("here"), &measured("2026-01-01T00:00:00Z", "stale")).unwrap();
    store(&context.committed("here"), &measured("2026-02-01T00:00:00Z", "merged")).unwrap();
    assert_eq!(context.results(&[HERE]).unwrap()["here"].rows[0].what, "merged");
}

#[test]
fn what_is_no_row_is_told() {
    let (_folder, context) = context();
    for words in [&["printf", "hello"][..], &["printf", r#"{"median":1}"#], &["false"], &["printf", ""], &[]]
    {
        let words: &'static [&'static str] = words.to_vec().leak();
        assert!(context.measure(&section("bad", Run::Program(words))).is_err(), "{words:?}");
    }
}

#[test]
fn numbers_are_readable() {
    let check = |value: f64, expected: &str| assert_eq!(page::number(value), expected);
    check(0.0, "0");
    check(0.12345, "0.123");
    check(9.876, "9.88");
    check(12.34, "12.3");
    check(123.4, "123");
    check(1_234_567.0, "1,234,567");
    check(-1_234.0, "-1,234");
}

#[test]
fn sections_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> = sections().iter().map(|section| section.name).collect();
    assert_eq!(names.len(), sections().len());
}
