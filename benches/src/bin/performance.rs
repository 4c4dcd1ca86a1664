//! Measures Muster and writes docs/PERFORMANCE.md: `cargo run --release -p muster-benches`.
#![allow(clippy::print_stdout, reason = "a program that reports figures")]

use benches::micro::Trouble;
use benches::performance::{Context, page::number, sections};
use clap::Parser;

/// Allocates as the server does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures every figure of docs/PERFORMANCE.md and writes the page.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only these sections; the others keep what was measured before.
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// Name the sections.
    #[arg(long)]
    list: bool,
    /// Measure nothing, only write the page.
    #[arg(long)]
    render: bool,
}

fn main() -> Result<(), Trouble> {
    let arguments = Arguments::parse();
    let (context, sections) = (Context::here(), sections());
    if arguments.list {
        sections.iter().for_each(|section| println!("{:<16} {}", section.name, section.title));
        return Ok(());
    }
    if let Some(unknown) =
        arguments.only.iter().find(|name| !sections.iter().any(|section| section.name == **name))
    {
        return Err(format!("there is no section {unknown}; --list names them").into());
    }
    if cfg!(debug_assertions) && !arguments.render {
        return Err("figures of a debug build mean nothing: run it with --release".into());
    }
    let wanted = |name: &str| {
        !arguments.render && (arguments.only.is_empty() || arguments.only.iter().any(|it| it == name))
    };
    let mut failed = Vec::new();
    for section in sections.iter().filter(|section| wanted(section.name)) {
        println!("{} …", section.title);
        match context.measure(section) {
            Ok(measured) => {
                for row in &measured.rows {
                    println!("  {:<76} {:>10} {}", row.what, number(row.median), row.unit);
                }
            }
            // The others are measured all the same, and what was measured of this one before is kept.
            Err(error) => failed.push(format!("{}: {error}", section.name)),
        }
    }
    println!("{}", context.render(sections)?.display());
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
}
