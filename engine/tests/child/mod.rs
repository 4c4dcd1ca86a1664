//! A second process for a test: the test program itself, told by the environment which part to play.
//!
//! The program has a test named `child` that plays it.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const PART: &str = "STORE_TEST_PART";
const FOLDER: &str = "STORE_TEST_FOLDER";

/// The part that this process has, and its folder.
pub(crate) fn part() -> Option<(String, PathBuf)> {
    Some((env::var(PART).ok()?, PathBuf::from(env::var(FOLDER).unwrap())))
}

/// Starts this program again in a part.
pub(crate) fn play(part: &str, folder: &Path) -> (Child, BufReader<ChildStdout>) {
    // A file that grows beyond its limit is to be an error of the write and not a signal; what the shell ignores
    // stays ignored in what it becomes.
    let mut child = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

/// Tells the parent.
pub(crate) fn say(text: &str) {
    println!("say:{text}");
    std::io::stdout().flush().unwrap();
}

/// What the child says next; the test harness in it writes lines of its own, and before ours.
pub(crate) fn said(stdout: &mut BufReader<ChildStdout>) -> Option<String> {
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        // A line that was cut off by the kill does not count.
        if let Some((_, ours)) = line.strip_suffix('\n').and_then(|line| line.split_once("say:")) {
            return Some(ours.to_owned());
        }
    }
}

/// Limits the size of this process' files.
pub(crate) fn limit_files(most: Option<u64>) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: most, maximum }).unwrap();
}
