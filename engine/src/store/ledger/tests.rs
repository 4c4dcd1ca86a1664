//! Trials of the whole ledger.
