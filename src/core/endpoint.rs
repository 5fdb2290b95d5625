//! Endpoints of callbacks that fail: how often and since when, and when one is paused rather than hammered.
//!
//! An endpoint is a lane of the outbox, an account and the origin of a URL. It has a row only while it fails, so what works
//! costs nothing. Paused, it is tried by one call now and then, the oldest that waits; its first success resumes it.
//! While it is paused nothing is given up for its number of attempts, only for its age.

use super::callback::{self, Attempt};
use super::lease::Lane;
use super::{AccountId, Error, Noun, Result, Scope, Timestamp};
use store::{FromRow, Row, Rx, Tx, sql};
use url::Url;

/// So many failures in a row …
const FAILURES: i64 = 20;
/// … over at least this time pause an endpoint. One callback alone has fewer attempts.
const FAILING_US: i64 = 300 * 1_000_000;
/// Seconds from a probe of a paused endpoint to the next; the last holds for all that follow.
pub const PROBES: [i64; 8] = [30, 60, 120, 240, 480, 960, 1_920, 3_600];
/// What has waited for a paused endpoint for so long is given up.
const WAITS_US: i64 = 3 * 86_400 * 1_000_000;
/// An endpoint that nothing was sent to for this time is forgotten, and so resumed.
const FORGOTTEN_US: i64 = 7 * 86_400 * 1_000_000;
/// Callbacks that one unit gives up.
const GIVEN_UP_MAX: i64 = 128;
/// A callback's log does not grow beyond this many bytes by probes.
const LOG_MAX: i64 = 32 * 1024;
/// Callbacks that wait are counted up to here.
pub const COUNTED_MAX: i64 = 1_000;
/// Endpoints that are listed.
const LISTED_MAX: i64 = 500;

/// How an endpoint stands when its lane is taken. Most have no row and are well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether its last calls failed.
    pub fails: bool,
    /// When it is tried next, if it is paused.
    pub probe: Option<Timestamp>,
}

impl Standing {
    /// Whether what is sent is a probe.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    /// How many callbacks may be sent now.
    pub(super) fn most(&self, now: Timestamp) -> usize {
        self.probe.map_or(usize::MAX, |probe| usize::from(probe <= now))
    }
}

/// What came of some calls to an endpoint that fails, or has failed.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Its lane.
    pub lane: Lane,
    /// How it stood when the lane was taken.
    pub standing: Standing,
    /// The calls.
    pub attempts: Vec<Attempt>,
}

/// What an endpoint has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is sent any more but a probe now and then.
    Paused {
        /// Whose.
        account: AccountId,
        /// Where.
        origin: String,
        /// Failures in a row.
        failures: i64,
    },
    /// Everything that waits is sent.
    Resumed {
        /// Whose.
        account: AccountId,
        /// Where.
        origin: String,
    },
}

/// The scheme, host and port of a URL.
pub(super) fn origin(url: &str) -> String {
    Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

fn gap(probes: i64) -> i64 {
    let at = usize::try_from(probes).unwrap_or(usize::MAX).min(PROBES.len() - 1);
    PROBES[at] * 1_000_000
}

/// Counts failures, pauses and resumes. A failed probe is recorded here as well: it counts for the endpoint, not as one of
/// its callback's attempts.
pub async fn heard(tx: &mut Tx, heard: &Heard) -> Result<Option<Turn>> {
    let Heard { lane, standing, attempts } = heard;
    let Some(last) = attempts.last() else { return Ok(None) };
    let (account, origin) = (last.callback.scope.account, origin(&last.callback.url));
    if attempts.iter().any(Attempt::is_done) {
        let paused: Option<Option<Timestamp>> =
            tx.maybe(sql!("DELETE FROM endpoint WHERE lane = $1 RETURNING paused"), &[&lane.0]).await?;
        return Ok(paused.flatten().map(|_| Turn::Resumed { account, origin }));
    }
    let failed = i64::try_from(attempts.len()).unwrap_or(i64::MAX);
    let begun = attempts.iter().map(|attempt| attempt.at).min().unwrap_or(last.at);
    let now: Timestamp = tx.now();
    let scope = last.callback.scope;
    // The counting locks the row; what follows from the counts is decided on it.
    let (failures, since, paused, probes): (i64, Timestamp, Option<Timestamp>, i64) = tx
        .one(
            sql!(
                "INSERT INTO endpoint (lane, root, account, origin, failures, since, latest, answer, probes)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)
                 ON CONFLICT (lane) DO UPDATE SET failures = endpoint.failures + $5, latest = $7, answer = $8
                 RETURNING failures, since, paused, probes"
            ),
            &[&lane.0, &scope.root, &scope.account, &origin, &failed, &begun, &now, &last.said_in_short()],
        )
        .await?;
    if standing.is_probe() {
        for attempt in attempts {
            record_probe(tx, attempt).await?;
        }
    }
    let pauses = paused.is_none() && failures >= FAILURES && now.0 - since.0 >= FAILING_US;
    if pauses {
        tx.put(
            sql!("UPDATE endpoint SET paused = $2, probes = 0, probe = $3 WHERE lane = $1"),
            &[&lane.0, &now, &now.0.saturating_add(gap(0))],
        )
        .await?;
        return Ok(Some(Turn::Paused { account, origin, failures }));
    }
    if paused.is_some() && standing.is_probe() {
        tx.put(
            sql!("UPDATE endpoint SET probes = $2, probe = $3 WHERE lane = $1"),
            &[&lane.0, &(probes + 1), &now.0.saturating_add(gap(probes + 1))],
        )
        .await?;
    }
    Ok(None)
}

/// The callback keeps its place: it stays due, and is as old as it was.
async fn record_probe(tx: &mut Tx, attempt: &Attempt) -> Result<()> {
    let callback::Due { id, scope, attempts, .. } = &attempt.callback;
    tx.put(
        sql!(
            "UPDATE callback SET attempts = attempts + 1, target = $5,
             log = CASE WHEN octet_length(log) < $7 THEN log || CAST($6 AS TEXT) ELSE log END
             WHERE root = $1 AND account = $2 AND id = $3 AND open AND attempts = $4"
        ),
        &[&scope.root, &scope.account, id, attempts, &attempt.rendered.text(), &attempt.line(), &LOG_MAX],
    )
    .await?;
    Ok(())
}

/// An endpoint that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whose.
    pub account: AccountId,
    /// Scheme, host and port.
    pub origin: String,
    /// Failures in a row.
    pub failures: i64,
    /// Since when.
    pub since: Timestamp,
    /// The last failure.
    pub latest: Timestamp,
    /// What the last one was.
    pub answer: String,
    /// Since when it is paused, if it is.
    pub paused: Option<Timestamp>,
    /// When a paused one is tried next.
    pub probe: Option<Timestamp>,
    /// Callbacks that wait, up to [`COUNTED_MAX`].
    pub waiting: i64,
}

impl FromRow for Endpoint {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Endpoint {
            account: row.next()?,
            origin: row.next()?,
            failures: row.next()?,
            since: row.next()?,
            latest: row.next()?,
            answer: row.next()?,
            paused: row.next()?,
            probe: row.next()?,
            waiting: row.next()?,
        })
    }
}

/// The failing endpoints of an account, or of everybody.
pub async fn failing(rx: &mut Rx, account: &Option<AccountId>) -> Result<Vec<Endpoint>> {
    // All tenants: for the operator; an account's are found by their own index.
    Ok(rx
        .all(
            sql!(
                "SELECT e.account, e.origin, e.failures, e.since, e.latest, e.answer, e.paused, e.probe,
                 (SELECT CAST(count(*) AS BIGINT) FROM
                     (SELECT 1 AS one FROM callback c WHERE c.open AND c.lane = e.lane LIMIT $2) waiting)
                 FROM endpoint e WHERE CAST($1 AS BIGINT) IS NULL OR e.account = $1
                 ORDER BY e.account, e.origin LIMIT $3"
            ),
            &[account, &COUNTED_MAX, &LISTED_MAX],
        )
        .await?)
}

/// Lets everything that waits for an endpoint go out at once.
pub async fn resume(tx: &mut Tx, (scope, url): &(Scope, String)) -> Result<()> {
    let gone =
        tx.exec(sql!("DELETE FROM endpoint WHERE lane = $1"), &[&callback::lane(*scope, url).0]).await?;
    if gone == 1 { Ok(()) } else { Err(Error::NotFound(Noun::Endpoint)) }
}

/// Has an account's paused endpoints tried now: who sends something again wants to see what comes of it.
pub(super) async fn probe_now(tx: &mut Tx, account: AccountId) -> Result<()> {
    let now: Timestamp = tx.now();
    tx.put(sql!("UPDATE endpoint SET probe = $2 WHERE account = $1 AND probe > $2"), &[&account, &now])
        .await?;
    Ok(())
}

/// Gives up what has waited for a paused endpoint for too long, and forgets endpoints that nothing is sent to; answers
/// whether there may be more.
pub async fn give_up(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody.
    let now: Timestamp = tx.now();
    let line = format!("{} 0 waited for too long\t\t\n", now.0);
    let gone = tx
        .exec(
            sql!(
                "UPDATE callback SET open = $3, due = $2, log = log || CAST($5 AS TEXT)
                 WHERE (root, account, id) IN (SELECT c.root, c.account, c.id FROM endpoint e
                     JOIN callback c ON c.lane = e.lane WHERE e.paused IS NOT NULL AND c.open AND c.due < $1
                     ORDER BY c.lane, c.due, c.id LIMIT $4)"
            ),
            &[&now.0.saturating_sub(WAITS_US), &now, &false, &GIVEN_UP_MAX, &line],
        )
        .await?;
    tx.put(sql!("DELETE FROM endpoint WHERE latest < $1"), &[&now.0.saturating_sub(FORGOTTEN_US)]).await?;
    Ok(gone >= GIVEN_UP_MAX.unsigned_abs())
}
