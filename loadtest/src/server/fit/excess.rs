//! Why not more: the limits that a wish can run into, in words that name the way out.

use std::fmt;

use super::{Facts, LOCKED_A_RING, Layout, Wish, places, ports_a_source};
use crate::server::words::{bytes, thousands};

/// What can run out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Limit {
    /// Memory of the machine or the container.
    Memory,
    /// Places in the tables of the server's rings: open files.
    ShardTables,
    /// Open files of the server's process.
    DoorFiles,
    /// Places in the tables of the generator's rings.
    RingTables,
    /// Ports of the source addresses.
    Ports,
    /// Memory that may be locked.
    LockedMemory,
    /// Open files of the whole machine.
    MachineFiles,
}

impl Limit {
    pub(super) const ALL: [Self; 7] = [
        Self::Memory,
        Self::ShardTables,
        Self::DoorFiles,
        Self::RingTables,
        Self::Ports,
        Self::LockedMemory,
        Self::MachineFiles,
    ];
}

/// A limit that the wish runs into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    /// Which.
    pub limit: Limit,
    /// The most sessions under it.
    pub fits: u64,
    /// Why, with the numbers, and what to do.
    pub words: String,
}

/// More was wanted than fits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excess {
    /// What was wanted.
    pub wanted: u64,
    /// What fits: ask for it, and there is a plan.
    pub fits: u64,
    /// All limits that the wish runs into, the tightest first.
    pub bounds: Vec<Bound>,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fit = match self.fits {
            0 => "not even one does".to_owned(),
            fits => format!("{} do", thousands(fits)),
        };
        write!(f, "{} sessions do not fit on this machine; {fit}.", thousands(self.wanted))?;
        self.bounds.iter().try_for_each(|bound| write!(f, "\n  - {}", bound.words))
    }
}

impl std::error::Error for Excess {}

/// Why no more than `fits` keep within a limit, and what to do.
pub(super) fn words(facts: &Facts, wish: &Wish, limit: Limit, fits: u64) -> String {
    let layout = Layout::of(facts, wish, wish.sessions);
    let (wanted, fits) = (thousands(wish.sessions), thousands(fits));
    let places = thousands(places(facts));
    let open_files = thousands(facts.open_files);
    match limit {
        Limit::Memory => {
            let estimate = layout.estimate;
            format!(
                "memory: {fits} fit. {wanted} need about {} (server {}, kernel {}, generator {}); {} are available, \
                 of which {} stay in reserve",
                bytes(estimate.total()),
                bytes(estimate.server),
                bytes(estimate.kernel),
                bytes(estimate.generator),
                bytes(facts.available),
                bytes(facts.reserve())
            )
        }
        Limit::ShardTables => format!(
            "the server's descriptors: {fits} fit. {} shards hold {places} connections each, as long as the limit on \
             open files is {open_files}: raise it (ulimit -n, LimitNOFILE), or use more shards",
            thousands(layout.shards)
        ),
        Limit::DoorFiles => format!(
            "the server's open files: {fits} fit. Each long poll is one, and the limit is {open_files}: raise it (ulimit -n, \
             LimitNOFILE)"
        ),
        Limit::RingTables => format!(
            "the generator's descriptors: {fits} fit. {} rings hold {places} connections each, as long as the limit \
             on open files is {open_files}: raise it (ulimit -n, LimitNOFILE), or use more rings",
            thousands(layout.rings)
        ),
        Limit::Ports => format!(
            "ports: {fits} fit. Each source address has {} ports, there are {} of the {} addresses needed: add \
             addresses{}",
            thousands(ports_a_source(facts, wish)),
            thousands(wish.sources),
            thousands(layout.sources),
            if wish.own_ports { "" } else { ", or widen net.ipv4.ip_local_port_range" }
        ),
        Limit::LockedMemory => format!(
            "locked memory: {fits} fit. {} rings, of server and generator, lock {}, and this user may lock {}: raise \
             it (ulimit -l, LimitMEMLOCK), run as root, or raise the limit on open files ({open_files}) so that \
             fewer rings do",
            thousands(layout.shards + layout.rings),
            bytes((layout.shards + layout.rings) * LOCKED_A_RING),
            bytes(facts.locked.unwrap_or(u64::MAX))
        ),
        Limit::MachineFiles => format!(
            "files of the machine: {fits} fit. {} can still be opened in all, and each end of a connection is one: \
             raise fs.file-max",
            thousands(facts.files.unwrap_or(u64::MAX))
        ),
    }
}
