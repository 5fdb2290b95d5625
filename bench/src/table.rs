//! The report for people.

use std::fmt::Write as _;

use crate::args::Engine;
use crate::machine::Machine;
use crate::report::{Report, Row, What};
use crate::stats::float;
use crate::targets::{Judged, below_floor};

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
        "Rookery, contacts: medians of {} interleaved rounds of {} s",
        report.rounds, report.seconds
    )?;
    machine(&report.machine, &report.engines, out)?;
    let mut stand = None;
    for row in &report.cells {
        let of_row = (row.engine, row.contacts);
        if stand != Some(of_row) {
            stand = Some(of_row);
            heading(row, out)?;
        }
        line(row, out)?;
    }
    writeln!(out, "\nServers")?;
    for server in &report.servers {
        let facts = &server.facts;
        let mib = |bytes: u64| float(bytes) / 1024.0 / 1024.0;
        writeln!(
            out,
            "  {}, {} contacts: filled at {}/s; start {:.0} ms empty, {:.0} ms full; memory {:.1} MiB idle, {:.1} MiB \
             anonymous after reads; {:.0} B of disk a contact",
            server.engine.name(),
            thousands(float(server.contacts)),
            thousands(facts.seeded_per_s),
            facts.start_empty_ms,
            facts.start_full_ms,
            mib(facts.idle_bytes),
            mib(facts.anonymous_bytes),
            facts.disk_bytes_per_contact,
        )?;
    }
    let on_postgres = report.servers.iter().any(|server| server.engine == Engine::Postgres);
    verdicts(&report.verdicts, on_postgres, out)
}

fn heading(row: &Row, out: &mut String) -> std::fmt::Result {
    let title = match (row.engine, row.contacts) {
        (Some(engine), Some(contacts)) => {
            format!("{}, {} contacts", engine.name(), thousands(float(contacts)))
        }
        _ => "Without contacts".to_owned(),
    };
    writeln!(
        out,
        "\n{title:<28} {:>5} {:>9} {:>19} {:>9} {:>9} {:>9} {:>9}",
        "c", "per s", "lowest to highest", "p50 ms", "p99 ms", "of hello", "of probe"
    )
}

fn line(row: &Row, out: &mut String) -> std::fmt::Result {
    let summary = &row.summary;
    let percent = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.0} %"));
    let connections = match row.what {
        What::Sync | What::Ceiling => String::new(),
        _ => row.connections.to_string(),
    };
    let range = format!("{} to {}", thousands(summary.per_s_lowest), thousands(summary.per_s_highest));
    writeln!(
        out,
        "  {:<26} {connections:>5} {:>9} {range:>19} {:>9.2} {:>9.2} {:>9} {:>9}",
        row.what.name(),
        thousands(summary.per_s),
        summary.p50_ms,
        summary.p99_ms,
        percent(row.percent_of_hello),
        percent(row.percent_of_probe),
    )
}

/// Where it was measured.
pub(crate) fn machine(machine: &Machine, engines: &[String], out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "{} processors (load generator included), {}, {}; load {} before, {} after",
        machine.processors,
        machine.kernel,
        engines.join(", "),
        machine.load[0],
        machine.load[1]
    )?;
    if machine.disk_is_memory {
        writeln!(out, "THE SCRATCH FOLDER IS MEMORY: nothing durable was measured. Use --scratch.")?;
    }
    Ok(())
}

/// Every figure beside its limits.
pub(crate) fn verdicts(judged: &[Judged], on_postgres: bool, out: &mut String) -> std::fmt::Result {
    let width = judged.iter().map(|judged| judged.figure.len()).max().unwrap_or(0);
    let columns = ["value", "floor", "target", "stretch"];
    write!(out, "\n{:<width$}", "Against the targets")?;
    for column in columns {
        write!(out, " {column:>9}")?;
    }
    writeln!(out, "  verdict")?;
    for judged in judged {
        let limits = &judged.limits;
        write!(out, "{:<width$}", judged.figure)?;
        for figure in [judged.value, limits.floor, limits.target, limits.stretch] {
            write!(out, " {:>9}", limits.unit.show(figure))?;
        }
        writeln!(out, "  {}", judged.verdict.word())?;
    }
    if on_postgres {
        writeln!(
            out,
            "\nThe limits were set with SQLite, whose reads need no other process; read PostgreSQL's against its probes."
        )?;
    }
    let below = below_floor(judged);
    writeln!(out, "\n{below} of {} figures are below their floors.", judged.len())
}

/// Whole, with commas.
pub(crate) fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas() {
        assert_eq!(thousands(0.4), "0");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
    }
}
