//! The report for people.

use std::fmt::Write as _;

use super::accounts::euros;
use super::journey::Journey;
use super::report::{Report, Row, Served, What};
use super::stand::Facts;
use crate::args::Engine;
use crate::stats::{Sample, float};
use crate::table::{machine, thousands, verdicts};

/// Plain text; lines are as wide as a terminal that one measures in.
pub(crate) fn show(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    write_all(report, &mut out).ok();
    out
}

fn write_all(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "Rookery, messages of {} accounts: accepting, medians of {} interleaved rounds of {} s; then once {} s end to end \
         and {} s at {} a second",
        report.accounts,
        report.rounds,
        report.accept_seconds,
        report.seconds,
        report.seconds,
        thousands(f64::from(report.rate))
    )?;
    machine(&report.machine, &report.engines, out)?;
    writeln!(out, "{}", report.beside)?;
    writeln!(
        out,
        "\n{:<34} {:>5} {:>9} {:>19} {:>9} {:>9} {:>9} {:>9}",
        "Accepting", "c", "per s", "lowest to highest", "p50 ms", "p99 ms", "of hello", "of probe"
    )?;
    for row in &report.cells {
        line(row, out)?;
    }
    for served in &report.servers {
        server(served, report.rate, out)?;
    }
    let on_postgres = report.servers.iter().any(|server| server.engine == Engine::Postgres);
    verdicts(&report.verdicts, on_postgres, out)?;
    for fault in &report.faults {
        writeln!(out, "WRONG: {fault}")?;
    }
    Ok(())
}

fn line(row: &Row, out: &mut String) -> std::fmt::Result {
    let Row { cell, summary, .. } = row;
    let percent = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.0} %"));
    let engine = cell.engine.map_or_else(String::new, |engine| format!("{}, ", engine.name()));
    let connections = if cell.what == What::Sync { String::new() } else { cell.connections.to_string() };
    let range = format!("{} to {}", thousands(summary.per_s_lowest), thousands(summary.per_s_highest));
    writeln!(
        out,
        "  {:<32} {connections:>5} {:>9} {range:>19} {:>9.2} {:>9.2} {:>9} {:>9}",
        format!("{engine}{}", cell.what.name()),
        thousands(summary.per_s),
        summary.p50_ms,
        summary.p99_ms,
        percent(row.percent_of_hello),
        percent(row.percent_of_probe),
    )
}

fn server(served: &Served, rate: u32, out: &mut String) -> std::fmt::Result {
    let Served { engine, end_to_end, open_loop, facts } = served;
    writeln!(
        out,
        "\n{:<34} {:>9} {:>9} {:>9} {:>9} {:>9}",
        format!("{}, two webhooks a message", engine.name()),
        "messages",
        "per s",
        "p50 ms",
        "p99 ms",
        "max ms"
    )?;
    journey("end to end", end_to_end, out)?;
    journey(&format!("open loop, {}/s", thousands(f64::from(rate))), open_loop, out)?;
    settled(facts, out)
}

fn journey(name: &str, journey: &Journey, out: &mut String) -> std::fmt::Result {
    let mut line = |what: &str, sample: &Sample| {
        writeln!(
            out,
            "  {:<32} {:>9} {:>9} {:>9.2} {:>9.2} {:>9.1}",
            format!("{name}: {what}"),
            thousands(float(sample.count)),
            thousands(sample.per_s),
            float(sample.p50_us) / 1000.0,
            float(sample.p99_us) / 1000.0,
            float(sample.max_us) / 1000.0
        )
    };
    line("accept", &journey.accepted)?;
    line("to delivered", &journey.delivered)?;
    writeln!(
        out,
        "  last report {:.0} ms after the last accept; the server's process spent {:.0} us of a processor a message",
        journey.drained_ms, journey.cpu_us_per_message
    )
}

fn settled(facts: &Facts, out: &mut String) -> std::fmt::Result {
    let mib = |bytes: u64| float(bytes) / 1024.0 / 1024.0;
    let (before, after) = (facts.memory_before, facts.memory_after);
    writeln!(
        out,
        "  memory, anonymous and file: {:.1} and {:.1} MiB idle, {:.1} and {:.1} MiB after; {:.0} B of disk a message",
        mib(before.anonymous),
        mib(before.file),
        mib(after.anonymous),
        mib(after.file),
        facts.disk_bytes_per_message
    )?;
    let webhooks = &facts.webhooks;
    writeln!(
        out,
        "  webhooks: {} ({} sent, {} delivered) on {} connections; {} repeated, {} delivered before sent, {} unsigned, \
         {} strange",
        thousands(float(webhooks.requests)),
        thousands(float(webhooks.sent)),
        thousands(float(webhooks.delivered)),
        thousands(float(webhooks.connections)),
        webhooks.repeated,
        webhooks.overtaken,
        webhooks.unsigned,
        webhooks.strange
    )?;
    let books = &facts.books;
    writeln!(
        out,
        "  books: {} messages at {}; children paid {}, their partner has {}, held {}: {}",
        thousands(float(books.messages)),
        euros(super::accounts::PRICE),
        euros(books.paid),
        euros(books.earned),
        euros(books.held),
        if books.faults.is_empty() { "right" } else { "WRONG" }
    )
}
