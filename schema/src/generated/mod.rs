//! What `flatc` wrote from `muster.fbs`, byte for byte: change the schema and run `schema/generate.sh` instead.
//! Nobody but [`crate::frame`] looks in here.

#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    deprecated,
    mismatched_lifetime_syntaxes,
    missing_docs,
    non_snake_case,
    unreachable_pub,
    unsafe_code,
    unsafe_op_in_unsafe_fn,
    unused,
    reason = "the style of generated code is not ours; its unsafe reads are of buffers that were verified"
)]
#[rustfmt::skip]
mod muster_generated;

pub(crate) use muster_generated::muster as wire;
