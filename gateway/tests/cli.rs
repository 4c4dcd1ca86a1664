//! The `muster` program as a newcomer meets it: started for real, judged by its output and exit code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::auth::Verifier;
use gateway::clock::Clock;
use gateway::config::{Config, Flag, Sources};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tempfile::TempDir;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A directory to run the program in, with no variable of Muster set.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(args).current_dir(self.path());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MUSTER_"))
        {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }
}

#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ran {
    #[track_caller]
    fn done(self) -> Ran {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    #[track_caller]
    fn failed(self, code: i32, expected: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(expected), "{:?} does not contain {expected:?}", self.err);
        assert_eq!(self.out, "");
    }
}

/// The claims of a token, after its HS256 signature was computed again by hand.
#[track_caller]
fn claims_signed_with(secret: &[u8], token: &str) -> Value {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(input.as_bytes());
    mac.verify_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).expect("the signature is right");
    let part = |i| {
        let part: &str = input.split('.').nth(i).unwrap();
        serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(part(0), serde_json::json!({"alg": "HS256", "typ": "JWT"}));
    part(1)
}

#[test]
fn a_token_is_accepted_by_the_server_with_the_same_data() {
    let home = Home::new();
    let args = ["token", "--user", "ada", "--role", "BUYER", "--service", "--claim", "n=42", "--ttl", "10m"];
    let ran = home.run(&args).done();
    assert!(ran.err.contains("made a secret") && ran.err.contains("muster-data/secret"), "{}", ran.err);
    let token = ran.out.trim_end();
    assert_eq!(ran.out.lines().count(), 1);

    let file = home.path().join("muster-data/secret");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let secret = fs::read_to_string(&file).unwrap();
    let claims = claims_signed_with(secret.trim().as_bytes(), token);
    assert_eq!(claims["sub"], "ada");
    assert_eq!(claims["n"], 42);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);

    let data = home.path().join("muster-data").to_str().unwrap().to_string();
    let flag = Flag { name: "--data", section: "server", key: "data", value: data };
    let config = Config::load(&Sources { flags: vec![flag], ..Sources::default() }).unwrap();
    let verifier = Verifier::from_config(&config).unwrap();
    let identity = verifier.verify(token, Clock::system().unix_ms()).unwrap();
    assert_eq!(identity.user, "ada");
    assert_eq!(identity.role.as_deref(), Some("BUYER"));
    assert!(identity.service);
    assert!(!verifier.keys().generated().unwrap().new);

    let again = home.run(&["token", "--user", "bob"]).done();
    assert_eq!(again.err, "", "the secret is there now, so there is nothing to tell");
    claims_signed_with(secret.trim().as_bytes(), again.out.trim_end());
}

#[test]
fn a_configured_secret_is_used_and_none_is_made() {
    let home = Home::new();
    home.write("m.toml", &format!("[auth]\nsecret = \"{SECRET}\"\nissuer = \"me\"\n"));
    let ran = home.run(&["token", "--user", "7", "--config", "m.toml"]).done();
    assert_eq!(claims_signed_with(SECRET.as_bytes(), ran.out.trim_end())["iss"], "me");
    assert!(!home.path().join("muster-data").exists());

    let output = home.command(&["token", "--user", "7"]).env("MUSTER_AUTH__SECRET", SECRET).output().unwrap();
    claims_signed_with(SECRET.as_bytes(), Ran::from(output).done().out.trim_end());
    let output = home.command(&["token", "--user", "7"]).env("MUSTER_CONFIG", "m.toml").output().unwrap();
    claims_signed_with(SECRET.as_bytes(), Ran::from(output).done().out.trim_end());
    assert!(!home.path().join("muster-data").exists());
}

#[test]
fn a_token_that_cannot_be_made_says_why() {
    let home = Home::new();
    home.run(&["token"]).failed(2, "--user <ID>");
    home.run(&["token", "--user", "a", "--ttl", "5"]).failed(2, "with its unit");
    home.run(&["token", "--user", "a", "--claim", "x"]).failed(2, "name=value");
    home.run(&["token", "--user", ""]).failed(1, "\"sub\" is empty");
    home.run(&["token", "--user", "a", "--claim", "exp=1"]).failed(1, "--ttl");
    fs::set_permissions(home.path().join("muster-data/secret"), fs::Permissions::from_mode(0o644)).unwrap();
    home.run(&["token", "--user", "a"]).failed(1, "chmod 600");
}

#[test]
fn check_config_says_what_is_wrong_and_where() {
    let home = Home::new();
    home.write("good.toml", "[presence]\ngrace = \"2s\"\n");
    assert_eq!(home.run(&["check-config", "good.toml"]).done().out, "good.toml is right\n");
    assert_eq!(home.run(&["check-config", "--config", "good.toml"]).done().out, "good.toml is right\n");
    home.run(&["check-config"]).done();
    assert!(!home.path().join("muster-data").exists(), "checking makes nothing");

    home.write("bad.toml", "[presence]\ngrace = \"2s\"\n\n[http]\nadress = \"127.0.0.1:1\"\nhead_time = 5\n");
    let ran = home.run(&["check-config", "bad.toml"]);
    assert_eq!(ran.code, 1);
    let lines: Vec<&str> = ran.err.lines().collect();
    assert_eq!(lines[0], r#"muster: bad.toml:5: unknown key "adress" in [http]; did you mean "address"?"#);
    assert!(lines[1].starts_with("muster: bad.toml:6: http.head_time = 5: give a duration with its unit"));
    home.run(&["check-config", "none.toml"]).failed(1, "none.toml: cannot read the configuration file");

    home.write("keys.toml", "[auth]\npublic_key_file = \"none.pem\"\n");
    home.run(&["check-config", "keys.toml"])
        .failed(1, "keys.toml:2: auth.public_key_file = \"none.pem\": cannot read");
    let output =
        home.command(&["check-config", "good.toml"]).env("MUSTER_HTTP__ADRESS", "x").output().unwrap();
    Ran::from(output).failed(1, "did you mean MUSTER_HTTP__ADDRESS?");
}

#[test]
fn serve_refuses_what_is_not_safe_before_it_starts() {
    let home = Home::new();
    home.run(&["serve", "--http", "0.0.0.0:8080"])
        .failed(1, "--http: listening on 0.0.0.0:8080 with a generated");
    home.run(&["--admin", "0.0.0.0:9400"]).failed(1, "--admin: the admin listener on 0.0.0.0:9400");
    home.run(&["--io", "uring"])
        .failed(1, "--io: engine.io = \"uring\": allowed are \"auto\", \"ring\", \"epoll\"");
    home.run(&["serve", "--shards", "many"])
        .failed(1, "--shards: engine.shards = \"many\": give a whole number");
    home.run(&["serv"]).failed(2, "serve");
    assert!(!home.path().join("muster-data").exists());
}

#[test]
fn config_prints_a_file_that_is_right() {
    let home = Home::new();
    let printed = home.run(&["config"]).done().out;
    assert!(printed.contains("[presence]") && printed.contains("grace = \"5s\""));
    home.write("all.toml", &printed);
    home.run(&["check-config", "all.toml"]).done();
    assert!(home.run(&["--version"]).done().out.starts_with("muster 0."));
}

#[test]
fn the_documentation_is_what_the_program_prints() {
    let printed = Home::new().run(&["config", "--markdown"]).done().out;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIGURATION.md");
    let stale = fs::read_to_string(page).unwrap_or_default() != printed;
    assert!(!stale, "stale; run: cargo run -p muster -- config --markdown > docs/CONFIGURATION.md");
}

/// What the README shows of databases and buckets is a configuration.
#[test]
fn the_settings_of_the_readme_are_right() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let begin = readme.find("```toml\n[store]").expect("the README shows them") + "```toml\n".len();
    let text = &readme[begin..begin + readme[begin..].find("```").unwrap()];
    assert!(text.contains("kind = \"scylla\"") && text.contains("store = \"s3\""), "{text}");
    let home = Home::new();
    home.write("muster.toml", text);
    let check = |secret: &str| {
        let mut command = home.command(&["check-config", "muster.toml"]);
        command.env("MUSTER_MEDIA__SECRET_KEY", secret);
        Ran::from(command.output().unwrap())
    };
    let ran = check("the key itself");
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = check("");
    assert!(ran.code != 0 && ran.err.contains("media.secret_key"), "{ran:?}");
}
