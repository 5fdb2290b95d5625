//! What the kernel says about a process's time on processors, which neighbours lengthen far less than time itself.

use std::time::Duration;

use anyhow::Context as _;

/// Spent so far, in the process and in the kernel for it, by all of its threads.
pub(crate) fn spent(process: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The name in parentheses may hold anything; user and system time are fields 14 and 15 of the whole line.
    let (_, fields) = stat.rsplit_once(')').with_context(|| format!("no name in {path}"))?;
    let mut ticks = 0;
    for field in fields.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<u64>().with_context(|| format!("a time in {path}"))?;
    }
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_own_time_is_read() -> anyhow::Result<()> {
        let before = super::spent(std::process::id())?;
        let begin = std::time::Instant::now();
        while super::spent(std::process::id())? == before {
            assert!(begin.elapsed().as_secs() < 30, "no time was spent on waiting for it");
        }
        Ok(())
    }
}
