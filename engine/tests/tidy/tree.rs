//! The files of the repository, read once, and what the laws say about them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use crate::code::Code;

/// Directories that hold nothing of ours: what builds, installs and runs leave behind. Hidden ones are skipped too.
const FOREIGN: [&str; 6] = ["target", "node_modules", "__pycache__", "muster-data", "corpus", "artifacts"];

/// Hidden, and ours all the same.
const OURS: [&str; 4] = [".ci", ".cargo", ".gitignore", ".npmrc"];

/// The repository, read once for all laws.
pub(crate) static TREE: LazyLock<Tree> = LazyLock::new(Tree::read);

/// Every text file, by its path from the root.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, File>,
}

#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) role: Role,
    code: OnceLock<Code>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// What a user runs.
    Product,
    /// Tests, examples, benchmarks and fuzz targets.
    Trial,
    /// Written by a program.
    Generated,
}

impl File {
    fn new(path: String, text: String) -> Self {
        let role = role(&path);
        Self { path, text, role, code: OnceLock::new() }
    }

    pub(crate) fn code(&self) -> &Code {
        self.code.get_or_init(|| Code::of(&self.text))
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_under(&self, folder: &str) -> bool {
        self.path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder.ends_with('/'))
    }

    /// The lines, numbered from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn role(path: &str) -> Role {
    if path.starts_with("schema/src/generated/muster_") {
        return Role::Generated;
    }
    let trial = ["tests", "tests.rs", "examples", "benches", "fuzz"];
    if path.split('/').any(|part| trial.contains(&part)) { Role::Trial } else { Role::Product }
}

impl Tree {
    /// The repository as it lies there.
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = BTreeMap::new();
        walk(&root, "", &mut files);
        assert!(
            files.contains_key("engine/tests/tidy.rs"),
            "the repository was not found at {}",
            root.display()
        );
        let mut tree = Self { files };
        tree.find_trials();
        tree
    }

    /// The manifests of this repository with one more file: a small tree to try a law on.
    pub(crate) fn planted(&self, path: &str, text: &str) -> Self {
        let manifests = self.files.values().filter(|file| file.path.ends_with("Cargo.toml"));
        let mut files: BTreeMap<_, _> = manifests
            .map(|file| (file.path.clone(), File::new(file.path.clone(), file.text.clone())))
            .collect();
        files.insert(path.into(), File::new(path.into(), text.into()));
        Self { files }
    }

    /// A module file that only exists under `#[cfg(test)]` is a trial, and so is all below it.
    fn find_trials(&mut self) {
        let mut trials = BTreeSet::new();
        for file in self.files.values().filter(|file| file.is_rust() && file.role == Role::Product) {
            let folder = match file.path.strip_suffix("/mod.rs").or(file.path.strip_suffix("/lib.rs")) {
                Some(folder) => folder,
                None => file.path.strip_suffix("/main.rs").unwrap_or(file.path.trim_end_matches(".rs")),
            };
            trials.extend(file.code().test_modules.iter().map(|name| format!("{folder}/{name}")));
        }
        for file in self.files.values_mut() {
            if trials.iter().any(|trial| file.path == format!("{trial}.rs") || file.is_under(trial)) {
                file.role = Role::Trial;
            }
        }
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.values().filter(|file| file.is_rust())
    }

    /// Rust that we wrote and users run.
    pub(crate) fn product(&self) -> impl Iterator<Item = &File> {
        self.rust().filter(|file| file.role == Role::Product)
    }

    pub(crate) fn manifests(&self) -> impl Iterator<Item = &File> {
        self.files.values().filter(|file| file.path.ends_with("/Cargo.toml"))
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut BTreeMap<String, File>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let name = entry.file_name().into_string().unwrap_or_default();
        let hidden = name.is_empty() || name.starts_with('.') && !OURS.contains(&&*name);
        if hidden || FOREIGN.contains(&&*name) {
            continue;
        }
        let path = format!("{prefix}{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), &format!("{path}/"), files),
            // What is not text, or is gone by now, has no law to keep.
            Ok(kind) if kind.is_file() => {
                if let Ok(text) = fs::read_to_string(entry.path()) {
                    files.insert(path.clone(), File::new(path, text));
                }
            }
            _ => {}
        }
    }
}

/// A place where a law is broken.
#[derive(Debug)]
pub(crate) struct Breach {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Breach {
    pub(crate) fn at(file: &File, line: usize, what: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line, what: what.into() }
    }
}

/// A rule of the house, what to do about a breach, and trials of the rule itself.
#[derive(Debug)]
pub(crate) struct Law {
    pub(crate) name: &'static str,
    pub(crate) remedy: &'static str,
    pub(crate) find: fn(&Tree) -> Vec<Breach>,
    /// Files that break it, as path and text.
    pub(crate) guilty: &'static [(&'static str, &'static str)],
    /// Files that look as if they did.
    pub(crate) innocent: &'static [(&'static str, &'static str)],
}

impl Law {
    /// Panics unless the law catches the guilty, lets the innocent go, and holds in the repository.
    pub(crate) fn uphold(&self) {
        let tree = &*TREE;
        let found = |path: &str, text: &str| {
            let breaches = (self.find)(&tree.planted(path, text));
            breaches.into_iter().filter(|breach| breach.path == path).collect::<Vec<_>>()
        };
        for (path, text) in self.guilty {
            assert!(!found(path, text).is_empty(), "{}: not caught in {path}:\n{text}", self.name);
        }
        for (path, text) in self.innocent {
            let breaches = found(path, text);
            assert!(breaches.is_empty(), "{}: wrongly found in {path}:\n{text}\n{breaches:?}", self.name);
        }
        let breaches: Vec<String> = (self.find)(tree)
            .iter()
            .map(|Breach { path, line, what }| format!("  {path}:{line}: {what}"))
            .collect();
        assert!(
            breaches.is_empty(),
            "\n{}\n{}\nWhat to do: {}\n",
            self.name,
            breaches.join("\n"),
            self.remedy
        );
    }
}
