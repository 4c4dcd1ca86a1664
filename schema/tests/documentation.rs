//! `docs/PROTOCOL.md` says what the code does: its dumps are the golden vectors, its tables the words and the schema.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use muster_schema::close::Advice;
use muster_schema::frame::{
    ATTACHMENT_KIND_MAX, ATTACHMENT_URL_MAX, CLIENT_ID_MAX, CONTENT_MAX, EXTRA_MAX, MEMBERS_MAX, NAME_MAX,
};
use muster_schema::refusal::Fault;
use muster_schema::{CloseReason, Refusal};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn page() -> String {
    read_to_string(folder().join("../docs/PROTOCOL.md")).unwrap()
}

/// The rows of the table under a heading, as trimmed cells.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Offset, then the bytes up to two spaces, then the text.
fn dump(page: &str, name: &str) -> Vec<u8> {
    let (_, block) = page.split_once(&format!("```hex {name}\n")).unwrap();
    let mut bytes = Vec::new();
    for line in block.lines().take_while(|line| *line != "```") {
        let (offset, rest) = line.trim_start().split_once("  ").unwrap();
        assert_eq!(offset.parse(), Ok(bytes.len()), "the offset of {line:?}");
        let digits = rest.split("  ").next().unwrap();
        bytes.extend(digits.split(' ').map(|digits| u8::from_str_radix(digits, 16).unwrap()));
    }
    bytes
}

#[test]
fn dumps_are_golden_vectors() {
    let page = page();
    for name in ["client-heartbeat-answer", "client-connect"] {
        let hex: String = dump(&page, name).iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = read_to_string(folder().join(format!("vectors/{name}.hex"))).unwrap();
        assert_eq!(hex, golden.trim(), "{name}");
    }
}

#[test]
fn refusals_are_all_there() {
    let rows = table(&page(), "Refusals");
    let expected: Vec<_> = Refusal::ALL
        .iter()
        .map(|refusal| {
            let fault = match refusal.fault() {
                Fault::Caller => "caller",
                Fault::Server => "server",
            };
            let retry = refusal.retry_after_ms().map_or("never".to_owned(), |ms| match ms {
                1_000.. => format!("{},{:03} ms", ms / 1_000, ms % 1_000),
                _ => format!("{ms} ms"),
            });
            vec![(*refusal as u16).to_string(), format!("`{refusal:?}`"), fault.to_owned(), retry]
        })
        .collect();
    let rows: Vec<_> = rows.into_iter().map(|row| row[..4].to_vec()).collect();
    assert_eq!(rows, expected);
}

#[test]
fn reasons_are_all_there() {
    let rows = table(&page(), "The end of a connection");
    let expected: Vec<_> = CloseReason::ALL
        .iter()
        .map(|reason| {
            let advice = match reason.advice() {
                Advice::Stay => "stay",
                Advice::Reconnect => "reconnect",
                Advice::ReconnectLater => "reconnect later",
                Advice::Reauthenticate => "reauthenticate",
            };
            vec![(*reason as u8).to_string(), format!("`{reason:?}`"), advice.to_owned()]
        })
        .collect();
    let rows: Vec<_> = rows.into_iter().map(|row| row[..3].to_vec()).collect();
    assert_eq!(rows, expected);
}

#[test]
fn limits_of_conversations_are_those_of_the_code() {
    let rows = table(&page(), "Limits");
    let limit = |bytes: usize| match bytes {
        1_000.. => format!("{},{:03}", bytes / 1_000, bytes % 1_000),
        _ => bytes.to_string(),
    };
    for (what, max) in [
        ("content of a message", CONTENT_MAX),
        ("name of a conversation", NAME_MAX),
        ("`extra` of a conversation", EXTRA_MAX),
        ("`client_id`", CLIENT_ID_MAX),
        ("`attachment_url`", ATTACHMENT_URL_MAX),
        ("`attachment_kind`", ATTACHMENT_KIND_MAX),
        ("members of a new conversation", MEMBERS_MAX),
    ] {
        let row = rows.iter().find(|row| row[0] == what).unwrap_or_else(|| panic!("no row {what:?}"));
        assert_eq!(row[1].trim_end_matches(" bytes"), limit(max), "{what}");
    }
}

#[test]
fn frames_are_all_there() {
    let schema = read_to_string(folder().join("muster.fbs")).unwrap();
    let (_, union) = schema.split_once("union Body {").unwrap();
    let page = page();
    for member in
        union.split('}').next().unwrap().split(',').map(str::trim).filter(|member| !member.is_empty())
    {
        let (name, number) = member.split_once('=').unwrap();
        let name = name.split(':').next().unwrap().trim();
        if name != "Connect" {
            let row = format!("| {} | `{name}`", number.trim());
            assert!(page.contains(&row), "docs/PROTOCOL.md has no row {row:?}");
        }
    }
}
