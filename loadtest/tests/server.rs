//! A real server, started, watched and ended; a real process, looked at.

use std::process::Command;
use std::time::Duration;

use loadtest::server::metrics::Source;
use loadtest::server::procfs::Process;
use loadtest::server::spawn::{Server, Settings};
use loadtest::server::watch::Sampler;

#[path = "support/server.rs"]
mod support;

use support::{PATIENCE, program};

#[test]
fn a_server_is_started_watched_and_ended() {
    let mut variables = vec![("MUSTER_STORE__KIND".to_owned(), "memory".to_owned())];
    variables.push(("MUSTER_ENGINE__SHARDS".to_owned(), "3".to_owned()));
    let settings =
        Settings { program: Some(program()), variables, patience: PATIENCE, ..Settings::default() };
    let mut server = Server::start(&settings).unwrap();
    assert_eq!(server.shards, 3);
    assert!(server.secret.len() >= 32 && server.binary.is_some());
    assert!(server.data().join("secret").is_file());

    let mut sampler = Sampler::new(server.pid(), Some(Source::open(server.admin))).unwrap();
    let sample = sampler.sample(Duration::ZERO).unwrap();
    assert!(sample.alive && sample.threads > 3 && sample.rss > 0);
    assert!(sample.pss.unwrap().1 > 1 << 20 && sample.open_files.unwrap() > 3);
    assert_eq!(sample.online, Some(0));
    // Every name that the harness asks for is one that the server has.
    let metrics = sample.metrics.unwrap();
    assert_eq!((metrics.sessions(), metrics.sessions_of("binary")), (Some(0), Some(0)));
    assert_eq!((metrics.connections(), metrics.commands()), (Some(0), Some(0)));
    assert_eq!((metrics.plain_fallbacks(), metrics.sockets_refused()), (Some(0), Some(0)));
    assert_eq!(metrics.sum("muster_shards"), Some(3.0));
    assert!(metrics.system_calls().is_some());
    let turns = metrics.turns().unwrap();
    assert!(turns.at_most.last().unwrap().0.is_infinite() && turns.count >= turns.at_most[0].1);

    assert!(server.ended().unwrap().is_none());
    let (process, data) = (sampler.process().clone(), server.data().to_owned());
    let ended = server.stop(PATIENCE).unwrap();
    assert!(ended.status.success() && !ended.killed, "{ended:?}");
    assert!(ended.log.iter().any(|line| line.contains("Muster is ready")));
    assert!(!process.is_alive() && !data.exists());
    let sample = sampler.sample(Duration::from_secs(1)).unwrap();
    assert!(!sample.alive && sample.online.is_none());
}

#[test]
fn a_wrong_setting_is_told_in_the_servers_words() {
    let variables = vec![("MUSTER_ENGINE__SHARDS".to_owned(), "many".to_owned())];
    let settings =
        Settings { program: Some(program()), variables, patience: PATIENCE, ..Settings::default() };
    let error = Server::start(&settings).unwrap_err().to_string();
    assert!(error.contains("MUSTER_ENGINE__SHARDS"), "{error}");
}

#[test]
fn a_process_is_seen_as_it_is() {
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let process = Process::open(child.id()).unwrap();
    let stat = process.stat().unwrap();
    assert_eq!((stat.threads, process.thread_times().unwrap().len()), (1, 1));
    assert!(process.is_alive() && process.open_files().is_ok() && process.switches().is_ok());
    child.kill().unwrap();
    // A zombie is not alive, though its number is taken still.
    let gone = (0..1_000).any(|_| {
        std::thread::yield_now();
        !process.is_alive()
    });
    child.wait().unwrap();
    assert!(gone || !process.is_alive());
    assert!(process.stat().is_err() && Process::open(child.id()).is_err());
}
