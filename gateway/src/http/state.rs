//! What a handler of the front door may use.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use schema::Key;
use tokio::sync::Semaphore;

use super::handover::Handover;
use super::tally::Tally;
use crate::auth::LiveVerifier;
use crate::clock::Clock;
use crate::config::Config;
use crate::desk::Inquirer;
use crate::edges::socketio::Endpoint;
use crate::erasing::Erasures;
use crate::media::Media;
use crate::rate::{Limiter, Origin, Verdict};
use crate::realms::Realms;

/// KiB of bodies of uploads to sessions that may be on their way in at a time. Anybody may have a session, so what they send
/// together is bounded; a body counts as long as it says it is, or as long as it may be.
const BODIES: usize = 64 * 1024;

/// The front door's state, shared by all its calls.
#[derive(Debug)]
pub struct Front {
    /// The configuration.
    pub config: Arc<Config>,
    /// Of tokens.
    pub verifier: Arc<LiveVerifier>,
    /// Names of realms.
    pub realms: Arc<Realms>,
    /// The one clock.
    pub clock: Clock,
    /// The way to the shards.
    pub inquirer: Inquirer,
    /// Uploaded files, where an API that takes them is served.
    pub media: Option<Arc<Media>>,
    /// Users that are being erased.
    pub erasures: Arc<Erasures>,
    /// The limits of routes.
    pub limits: RouteLimits,
    /// The way of a socket to its shard.
    pub handover: Handover,
    /// What is counted.
    pub tally: Arc<Tally>,
    /// The Engine.IO endpoints, as the shards have them.
    pub endpoints: Arc<[Endpoint]>,
    /// Room for the bodies of uploads to sessions that are on their way in, KiB.
    pub bodies: Semaphore,
    draining: AtomicBool,
}

/// The limit of each route that has one.
#[derive(Debug)]
pub struct RouteLimits {
    /// By client address.
    pub online_count: Limiter<Origin>,
    /// By user.
    pub online_users: Limiter<Key>,
    /// By user.
    pub check: Limiter<Key>,
    /// By user.
    pub check_multiple: Limiter<Key>,
    /// Calls about conversations and messages, by user.
    pub messaging: Limiter<Key>,
    /// Calls about rooms of buyers and sellers, by user.
    pub trade: Limiter<Key>,
    /// Bad tokens by client address, on every route.
    pub failed_auth: Limiter<Origin>,
    /// WebSocket handshakes by client address, where that is bounded.
    pub connects_per_address: Option<Limiter<Origin>>,
    /// WebSocket handshakes by user, where that is bounded.
    pub connects_per_user: Option<Limiter<Key>>,
}

impl RouteLimits {
    fn new(config: &Config) -> Self {
        let api = &config.presence_api;
        let limits = &config.limits;
        let per_address = limits.connects_per_address;
        let per_user = limits.connects_per_user;
        Self {
            online_count: Limiter::per_minute(api.online_count_limit),
            online_users: Limiter::per_minute(api.online_users_limit),
            check: Limiter::per_minute(api.check_limit),
            check_multiple: Limiter::per_minute(api.check_multiple_limit),
            messaging: Limiter::per_minute(config.messaging_api.calls_limit),
            trade: Limiter::per_minute(config.trade_api.calls_limit),
            failed_auth: Limiter::per_minute(api.failed_auth_limit),
            connects_per_address: (per_address > 0).then(|| Limiter::per_minute(per_address)),
            connects_per_user: (per_user > 0).then(|| Limiter::per_minute(per_user)),
        }
    }

    /// Counts a handshake by its client's address; the verdict, if it is one too many.
    pub fn too_many_connects(&self, client: IpAddr, now: u64) -> Option<Verdict> {
        let limiter = self.connects_per_address.as_ref()?;
        Some(limiter.hit(&Origin::from(client), now)).filter(|verdict| !verdict.allowed)
    }

    /// The same by its user.
    pub fn too_many_sessions(&self, user: &Key, now: u64) -> Option<Verdict> {
        Some(self.connects_per_user.as_ref()?.hit(user, now)).filter(|verdict| !verdict.allowed)
    }

    /// Each limit's name, the calls it refused, the times it keeps, and those that it had to forget early.
    #[must_use]
    pub fn figures(&self) -> Vec<(&'static str, u64, usize, u64)> {
        fn of<K: std::hash::Hash + Eq + Clone>(
            name: &'static str,
            limiter: &Limiter<K>,
        ) -> (&'static str, u64, usize, u64) {
            (name, limiter.refused(), limiter.kept(), limiter.evicted())
        }
        let mut figures = vec![
            of("online_count", &self.online_count),
            of("online_users", &self.online_users),
            of("check", &self.check),
            of("check_multiple", &self.check_multiple),
            of("messaging", &self.messaging),
            of("trade", &self.trade),
            of("failed_auth", &self.failed_auth),
        ];
        figures.extend(self.connects_per_address.as_ref().map(|one| of("connects_per_address", one)));
        figures.extend(self.connects_per_user.as_ref().map(|one| of("connects_per_user", one)));
        figures
    }
}

impl Front {
    /// Everything together.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        verifier: Arc<LiveVerifier>,
        realms: Arc<Realms>,
        clock: Clock,
        inquirer: Inquirer,
        (media, erasures): (Option<Arc<Media>>, Arc<Erasures>),
        endpoints: Arc<[Endpoint]>,
    ) -> Arc<Self> {
        let tally = Arc::<Tally>::default();
        let handover = Handover::new(inquirer.door().clone(), config.http.handover_queue, tally.clone());
        Arc::new(Self {
            limits: RouteLimits::new(&config),
            handover,
            config,
            verifier,
            realms,
            clock,
            inquirer,
            media,
            erasures,
            tally,
            endpoints,
            bodies: Semaphore::new(BODIES),
            draining: AtomicBool::new(false),
        })
    }

    /// From now on no handshake is accepted, and readiness says no.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the node is on its way out.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
