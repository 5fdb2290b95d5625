//! The report for people.

use std::fmt::Write as _;

use super::{Measured, Report, WINDOW};
use crate::stats::{Sample, float};
use crate::table::{machine, thousands};

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
        "Gateways side by side: HTTP on {} connections, SMPP with a window of {WINDOW}, receipt, callback; {} rounds of {} s \
         in turns, the one with the median rate end to end",
        report.connections, report.rounds, report.seconds
    )?;
    machine(&report.machine, &["SQLite".to_owned()], out)?;
    writeln!(
        out,
        "Rookery: {} accounts, every message on disk and charged before its 201, two signed callbacks a message. Kannel: \
         nothing synced, nothing charged, one callback.",
        report.accounts
    )?;
    writeln!(out, "\n{:<36} {:>9} {:>9} {:>9} {:>9}", "", "per s", "p50 ms", "p99 ms", "max ms")?;
    report.gateways.iter().try_for_each(|gateway| one(gateway, out))?;
    writeln!(out, "\nRookery's rate end to end")?;
    for Measured { name, times, .. } in report.gateways.iter().skip(1) {
        writeln!(out, "  {times:>6.2} times that of {name}")?;
    }
    for fault in &report.faults {
        writeln!(out, "WRONG: {fault}")?;
    }
    Ok(())
}

fn one(gateway: &Measured, out: &mut String) -> std::fmt::Result {
    let Measured { name, run, rates, .. } = gateway;
    let mut line = |what: &str, sample: &Sample| {
        writeln!(
            out,
            "  {:<34} {:>9} {:>9.2} {:>9.2} {:>9.1}",
            format!("{name}: {what}"),
            thousands(sample.per_s),
            float(sample.p50_us) / 1000.0,
            float(sample.p99_us) / 1000.0,
            float(sample.max_us) / 1000.0
        )
    };
    line("accepted", &run.journey.accepted)?;
    line("to submitted", &run.submitted)?;
    line("to delivered", &run.journey.delivered)?;
    let mib = run.memory.map(|bytes| format!("{:.1}", float(bytes) / 1024.0 / 1024.0));
    let rates: Vec<String> = rates.iter().map(|rate| thousands(*rate)).collect();
    writeln!(
        out,
        "    {} messages, the last report {:.0} ms after the last accept; {:.0} us of a processor a message; {} MiB idle, {} MiB \
         after; rounds end to end: {}",
        thousands(float(run.journey.messages)),
        run.journey.drained_ms,
        run.journey.cpu_us_per_message,
        mib[0],
        mib[1],
        rates.join(", ")
    )
}
