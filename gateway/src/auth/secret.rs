//! The secret that a server without any key makes for itself.
//!
//! It is 32 random bytes, written as base64url text in a file of mode 0600; the text is the HMAC key, so that it
//! can be given to another program as it stands. The file appears whole or not at all, and the first of two
//! processes that start together wins: the other reads what the first wrote.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::{Problem, Secret};

/// A secret from the data directory.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The secret.
    pub secret: Secret,
    /// The file that holds it.
    pub path: PathBuf,
    /// Whether it was made just now.
    pub new: bool,
}

impl Generated {
    /// What to tell the operator.
    pub fn notice(&self) -> String {
        let path = self.path.display();
        if self.new {
            format!(
                "no secret or key is configured: made a secret for tokens in {path}, readable by its owner only"
            )
        } else {
            format!("no secret or key is configured: using the generated secret in {path}")
        }
    }
}

/// The file of the generated secret in a data directory.
pub fn path(data: &Path) -> PathBuf {
    data.join("secret")
}

/// Reads the generated secret of a data directory, and makes it where there is none.
pub fn read_or_make(data: &Path) -> Result<Generated, Problem> {
    read_or_make_at(data, path(data))
}

/// The secret behind the routing hash of a single node, kept beside the store whose rows it decided the place of.
pub fn routing(data: &Path) -> Result<Secret, Problem> {
    read_or_make_at(data, data.join("routing")).map(|generated| generated.secret)
}

fn read_or_make_at(data: &Path, path: PathBuf) -> Result<Generated, Problem> {
    if let Some(secret) = read(&path)? {
        return Ok(Generated { secret, path, new: false });
    }
    let failed = |what: &str, at: &Path, error: io::Error| {
        let text = format!(
            "cannot {what}: {error}; name a directory that can be written with --data or server.data"
        );
        Problem::at(at.to_string_lossy(), text)
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|error| failed("make the data directory", data, error))?;
    let new = make(&path, data).map_err(|error| failed("write the generated secret", &path, error))?;
    match read(&path)? {
        Some(secret) => Ok(Generated { secret, path, new }),
        None => {
            Err(Problem::at(path.to_string_lossy(), "the generated secret was removed while Muster started"))
        }
    }
}

/// Reads a generated secret. A file that others can read is refused: what it signs is worth nothing.
pub fn read(path: &Path) -> Result<Option<Secret>, Problem> {
    let name = path.to_string_lossy();
    let failed =
        |error: io::Error| Problem::at(name.clone(), format!("cannot read the generated secret: {error}"));
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        let text = format!(
            "the generated secret has mode {:04o}, so others can read it: remove it and start again, and a new one is \
             made; or `chmod 600 {name}` if nobody has",
            mode & 0o7777
        );
        return Err(Problem::at(name, text));
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(&mut file, 4096), &mut text).map_err(failed)?;
    let text = text.trim();
    if text.len() < 32 {
        return Err(Problem::at(
            name,
            "the generated secret is shorter than 32 bytes: remove the file, and a new one is made",
        ));
    }
    Ok(Some(Secret::new(text)))
}

/// Random bytes as base64url text.
pub fn random_text<const BYTES: usize>() -> io::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Writes a new secret; says false where another process was faster.
fn make(path: &Path, data: &Path) -> io::Result<bool> {
    let draft = data.join(format!("draft.{}.{}", std::process::id(), random_text::<6>()?));
    let written = write(&draft).and_then(|()| {
        // A link never replaces a file that is there.
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            result => result.map(|()| true),
        }
    });
    let removed = fs::remove_file(&draft);
    let new = written?;
    removed?;
    File::open(data)?.sync_all()?;
    Ok(new)
}

fn write(draft: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(random_text::<32>()?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_private_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("a/b");
        let first = read_or_make(&data).unwrap();
        assert!(first.new);
        assert_eq!(first.secret.size(), 43);
        assert_eq!(fs::metadata(&first.path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o7777, 0o700);
        let second = read_or_make(&data).unwrap();
        assert!(!second.new);
        assert!(second.secret.matches(first.secret.expose()));
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn many_starters_agree_on_one_secret() {
        let directory = tempfile::tempdir().unwrap();
        let made: Vec<Generated> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| read_or_make(directory.path()).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|made| made.new).count(), 1);
        assert!(made.iter().all(|other| other.secret.matches(made[0].secret.expose())));
    }

    #[test]
    fn what_cannot_be_trusted_is_refused_with_a_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        fs::write(&path, "x".repeat(43)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read_or_make(directory.path()).unwrap_err().text.contains("mode 0644"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(!read_or_make(directory.path()).unwrap().new);
        fs::write(&path, "short\n").unwrap();
        assert!(read_or_make(directory.path()).unwrap_err().text.contains("shorter than 32 bytes"));
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = read_or_make(&file).unwrap_err();
        assert!(error.place.contains("file"), "{error}");
    }
}
