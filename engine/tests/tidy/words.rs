//! Laws about words: what is unfinished, skipped, unexplained, or of no use to a stranger.

use crate::code::attributes;
use crate::tree::{Breach, File, Law, Role};

pub(crate) static NOTHING_IS_LEFT_UNFINISHED: Law = Law {
    name: "Nothing is left unfinished in the code.",
    remedy: "finish it, or take it out and write down in docs/ARCHITECTURE.md what is absent and why.",
    find: |tree| {
        let mut breaches = Vec::new();
        for file in tree.files.values().filter(|file| !is_lock(file)) {
            for (line, text) in file.lines() {
                for mark in [concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO")] {
                    if has_word(text, mark) {
                        breaches.push(Breach::at(file, line, mark));
                    }
                }
            }
            if !file.is_rust() {
                continue;
            }
            for pair in file.code().tokens.windows(2) {
                if pair[1].is("!") && (pair[0].is("todo") || pair[0].is("unimplemented")) {
                    breaches.push(Breach::at(file, pair[0].line, format!("{}!", pair[0].text)));
                }
            }
        }
        breaches
    },
    guilty: &[
        ("engine/src/x.rs", "fn f() { todo!() }"),
        ("engine/tests/x.rs", "fn f() { unimplemented!(\"later\") }"),
        ("engine/src/x.rs", concat!("// FIX", "ME: later")),
        ("docs/x.md", concat!("XX", "X")),
    ],
    innocent: &[("engine/src/x.rs", "// todo! is banned\nconst A: &str = \"XXXXXX\";")],
};

pub(crate) static NO_TEST_IS_SKIPPED: Law = Law {
    name: "No test is ignored.",
    remedy: "make it pass, make it fast, or delete it; a measurement is an example; what needs a real client sets it \
             up (gateway/tests/support). A test that another one starts in a process of its own says so: \
             `#[ignore = \"… run by NAME\"]`.",
    find: |tree| {
        let mut breaches = Vec::new();
        for file in tree.rust() {
            let ignored = attributes(&file.code().tokens).into_iter().filter(|it| {
                it.words
                    .first()
                    .is_some_and(|first| first.is("ignore") || first.is("cfg_attr") && it.has("ignore"))
            });
            let orphans = ignored.filter(|it| !is_run_by_another(file, it.line));
            breaches.extend(orphans.map(|it| Breach::at(file, it.line, "an ignored test")));
        }
        breaches
    },
    guilty: &[
        ("engine/src/x.rs", "#[test]\n#[ignore]\nfn f() {}"),
        ("engine/tests/x.rs", "#[ignore = \"slow\"]\nfn f() {}"),
        ("engine/tests/x.rs", "#[cfg_attr(debug_assertions, ignore)]\nfn f() {}"),
        ("engine/tests/x.rs", "#[ignore = \"run by nobody_at_all\"]\nfn f() {}"),
    ],
    innocent: &[
        ("engine/src/x.rs", "// #[ignore]\nfn ignore() {}"),
        ("engine/tests/x.rs", "fn a() {}\n#[ignore = \"changes its limits; run by a\"]\nfn b() {}"),
    ],
};

/// Whether the line says "run by" a function of the file.
fn is_run_by_another(file: &File, line: usize) -> bool {
    let text = file.lines().find(|(number, _)| *number == line).map_or("", |(_, text)| text);
    let runner = text.split_once("run by ").map_or("", |(_, name)| name.trim_end_matches("\"]"));
    file.code().tokens.windows(2).any(|pair| pair[0].is("fn") && pair[1].is(runner))
}

pub(crate) static A_RELAXED_LINT_SAYS_WHY: Law = Law {
    name: "Each relaxed lint carries its reason.",
    remedy: "add `reason = \"…\"` to the attribute, or a comment in the line above it to a manifest.",
    find: |tree| {
        let mut breaches = Vec::new();
        for file in tree.rust().filter(|file| file.role != Role::Generated) {
            for attribute in attributes(&file.code().tokens) {
                let relaxes = attribute.words.windows(2).any(|pair| {
                    (pair[0].is("allow") || pair[0].is("expect") || pair[0].is("warn")) && pair[1].is("(")
                });
                let reason = attribute.words.windows(2).any(|pair| pair[0].is("reason") && pair[1].is("="));
                if relaxes && !reason {
                    breaches.push(Breach::at(file, attribute.line, "relaxed without a reason"));
                }
            }
        }
        for file in tree.files.values().filter(|file| file.path.ends_with("Cargo.toml")) {
            let mut before = "";
            for (line, text) in file.lines() {
                if text.replace('\'', "\"").contains("\"allow\"") && !before.trim_start().starts_with('#') {
                    breaches.push(Breach::at(file, line, "relaxed without a comment above it"));
                }
                before = text;
            }
        }
        breaches
    },
    guilty: &[
        ("engine/src/x.rs", "#![allow(dead_code)]"),
        ("engine/src/x.rs", "#[cfg_attr(test, expect(clippy::unwrap_used))]\nfn f() {}"),
        ("client/Cargo.toml", "[lints.rust]\nmissing_docs = \"allow\"\n"),
    ],
    innocent: &[
        (
            "engine/src/x.rs",
            "#![allow(dead_code, reason = \"each test file uses its part\")]\nfn allow(x: u8) {}",
        ),
        ("client/Cargo.toml", "[lints.rust]\n# Generated.\nmissing_docs = \"allow\"\n"),
    ],
};

/// What means nothing outside the place where this was written.
const OF_THIS_PLACE: [(&str, &str); 14] = [
    (concat!("../sha", "red"), "a folder beside the repository"),
    (concat!("/wo", "rk"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/Us", "ers/"), "a path of one machine"),
    (concat!("/opt/whe", "els"), "a path of one machine"),
    (concat!("index.crates", ".io"), "the host of a registry"),
    (concat!("static.crates", ".io"), "the host of a registry"),
    (concat!("pypi", ".org"), "the host of a registry"),
    (concat!("python", "hosted.org"), "the host of a registry"),
    (concat!("registry.npm", "js.org"), "the host of a registry"),
    (concat!("proxy.go", "lang.org"), "the host of a registry"),
    (concat!("index", "-url"), "the choice of a registry, which is each machine's own"),
    (concat!("find", "-links"), "the choice of a registry, which is each machine's own"),
];

pub(crate) static A_STRANGER_UNDERSTANDS_IT: Law = Law {
    name: "No file speaks of the place where it was written: paths of a machine, hosts of registries, numbers of \
           issues.",
    remedy: "say the thing itself: what the issue asked for, what the plan says, the name of the package.",
    find: |tree| {
        let mut breaches = Vec::new();
        for file in tree.files.values().filter(|file| !is_lock(file)) {
            for (line, text) in file.lines() {
                for (words, what) in OF_THIS_PLACE {
                    if has_word(text, words) {
                        breaches.push(Breach::at(file, line, format!("{words}: {what}")));
                    }
                }
                if names_an_issue(text) {
                    breaches.push(Breach::at(file, line, "the number of an issue"));
                }
            }
        }
        breaches
    },
    guilty: &[
        ("docs/x.md", concat!("as ../sha", "red/design.md says")),
        ("docs/x.md", concat!("built for Iss", "ue #3")),
        ("engine/src/x.rs", concat!("// iss", "ue 12 asks for it")),
        (".ci/run", concat!("cd /wo", "rk/main")),
        ("README.md", concat!("ls /wo", "rk")),
        ("gateway/tests/clients/x.json", concat!("https://registry.npm", "js.org/ws")),
        ("gateway/tests/clients/requirements.txt", concat!("--index", "-url x")),
    ],
    innocent: &[(
        "docs/x.md",
        "the /workers, an issue, issues/677 of glommio, a workload, https://example.com/home",
    )],
};

/// `word` where it is not a part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        let begins = !in_word(word.chars().next()) && !word.starts_with('/')
            || !in_word(text[..at].chars().next_back());
        let after = &text[at + word.len()..];
        begins && (word.ends_with('/') || !in_word(after.chars().next()))
    })
}

fn names_an_issue(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.match_indices("issue").any(|(at, word)| {
        let rest = &lower[at + word.len()..];
        rest.starts_with([' ', '#', '-'])
            && rest.trim_start_matches([' ', '#', '-']).starts_with(|c: char| c.is_ascii_digit())
    })
}

/// Locks name where packages come from by their format; their own law is below.
fn is_lock(file: &File) -> bool {
    file.path.ends_with("Cargo.lock")
}

pub(crate) static PACKAGES_ARE_PINNED: Law = Law {
    name: "What real clients are made of is pinned, and its lock names no host.",
    remedy: "npm: write the lock by `npm install` with omit-lockfile-registry-resolved (gateway/tests/clients/.npmrc); \
             Python: one name==version a line.",
    find: |tree| {
        let mut breaches = Vec::new();
        for file in tree.files.values() {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            for (line, text) in file.lines() {
                let loose = match name {
                    "package-lock.json" => text.contains("\"resolved\"") || text.contains("\"link\": true"),
                    "requirements.txt" => {
                        let spec = text.split(['#', ';']).next().unwrap_or_default().trim();
                        !spec.is_empty() && !spec.contains("==")
                    }
                    "package.json" => {
                        text.contains(": \"^") || text.contains(": \"~") || text.contains("\"*\"")
                    }
                    _ => false,
                };
                if loose {
                    breaches.push(Breach::at(file, line, text.trim()));
                }
            }
        }
        breaches
    },
    guilty: &[
        ("gateway/tests/clients/package-lock.json", "{\n  \"resolved\": \"x\"\n}"),
        ("gateway/tests/clients/requirements.txt", "websockets>=15"),
        ("gateway/tests/clients/package.json", "{ \"ws\": \"^8.0.0\" }"),
    ],
    innocent: &[("gateway/tests/clients/requirements.txt", "# Clients.\nwebsockets==1.0  # why\n")],
};

/// How `.ci/run` finds the README's one test command.
const MARKS: [&str; 2] = ["<!-- test command -->\n```sh\n", "\n```\n<!-- /test command -->"];

pub(crate) static CI_RUNS_THE_READMES_COMMAND: Law = Law {
    name: "The README has one test command, and .ci/run runs it.",
    remedy: "in README.md, let the fenced block with the one command, and nothing else, stand between the lines \
             `<!-- test command -->` and `<!-- /test command -->`; .ci/run reads it from there.",
    find: |tree| {
        let mut breaches = Vec::new();
        for file in tree.files.values() {
            let broken = match &*file.path {
                "README.md" => match test_command(&file.text) {
                    Some("cargo test --workspace") => None,
                    other => Some(format!("the marked test command is {other:?}")),
                },
                ".ci/run"
                    if !MARKS
                        .iter()
                        .all(|mark| file.text.contains(mark.trim_matches(['\n', '`', 's', 'h']))) =>
                {
                    Some("does not read the command from README.md".into())
                }
                _ => None,
            };
            breaches.extend(broken.map(|what| Breach::at(file, 1, what)));
        }
        if let Some(here) = tree.files.get("engine/tests/tidy.rs") {
            let absent = ["README.md", ".ci/run"].into_iter().filter(|path| !tree.files.contains_key(*path));
            breaches.extend(absent.map(|path| Breach::at(here, 1, format!("{path} is missing"))));
        }
        breaches
    },
    guilty: &[
        ("README.md", "```sh\ncargo test\n```\n"),
        ("README.md", "<!-- test command -->\n```sh\nmake\n```\n<!-- /test command -->\n"),
        (
            "README.md",
            "<!-- test command -->\n```sh\ncargo test --workspace\ncargo x\n```\n<!-- /test command -->\n",
        ),
        (".ci/run", "cargo test --workspace\n"),
    ],
    innocent: &[(
        "README.md",
        "# M\n\n<!-- test command -->\n```sh\ncargo test --workspace\n```\n<!-- /test command -->\n",
    )],
};

/// What stands in the fenced block between the marks.
fn test_command(readme: &str) -> Option<&str> {
    let (_, behind) = readme.split_once(MARKS[0])?;
    Some(behind.split_once(MARKS[1])?.0)
}
