//! Looking back at callbacks: what was sent, what came back, and sending it again.
//!
//! A callback's row is the log of it: what was rendered at the first attempt, and a line for each attempt. What is sent
//! again is the same bytes with fresh signatures, on a schedule that begins anew.

use super::callback::{CallbackId, Kind};
use super::message::{MessageId, Status};
use super::phone::Msisdn;
use super::rendered::Rendered;
use super::{Error, Noun, Result, Scope, Timestamp, endpoint};
use store::{FromRow, Row, Rx, Tx, sql};

/// Callbacks that one read or one unit takes.
pub const BATCH: i64 = 100;

/// An attempt, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took_ms: i64,
    /// The status that was answered, or why there was none.
    pub answer: std::result::Result<u16, String>,
    /// The names of the headers that were sent beside `Host` and `Content-Length`.
    pub headers: Vec<String>,
    /// The beginning of the answer's body.
    pub said: String,
}

impl Line {
    /// Any 2xx is success (spec 11 section 1.2).
    pub fn is_done(&self) -> bool {
        self.answer.as_ref().is_ok_and(|status| (200..300).contains(status))
    }

    fn parse(text: &str) -> Option<Line> {
        let mut fields = text.split('\t');
        let mut words = fields.next()?.splitn(3, ' ');
        let (at, took_ms) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let answer = words.next()?;
        let headers = fields.next().unwrap_or_default().split(',').filter(|name| !name.is_empty());
        Some(Line {
            at: Timestamp(at),
            took_ms,
            answer: answer.parse().map_err(|_| answer.to_owned()),
            headers: headers.map(str::to_owned).collect(),
            said: unescaped(fields.next().unwrap_or_default()),
        })
    }
}

/// A text as it stands in a line of the log: without what ends a line, a field, or a text in the database.
pub(super) fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            '\0' => line.push(char::REPLACEMENT_CHARACTER),
            other => line.push(other),
        }
    }
    line
}

pub(super) fn unescaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => text.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                other => other.unwrap_or('\\'),
            }),
            (other, _) => text.push(other),
        }
    }
    text
}

/// A callback with all its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: CallbackId,
    /// What it tells.
    pub kind: Kind,
    /// About which message.
    pub message: MessageId,
    /// About which recipient.
    pub recipient: Msisdn,
    /// What it tells of that.
    pub status: Status,
    /// The customer's URL.
    pub url: String,
    /// Whether it is still to be sent.
    pub open: bool,
    /// When, if it is; when it ended otherwise.
    pub due: Timestamp,
    /// What is sent, if it was rendered yet.
    pub rendered: Option<Rendered>,
    /// What came of it each time.
    pub attempts: Vec<Line>,
}

impl FromRow for Entry {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let (id, kind, message, recipient) = (row.next()?, row.next()?, row.next()?, row.next()?);
        let (status, url, open, due) = (row.next()?, row.next()?, row.next()?, row.next()?);
        let rendered: Option<String> = row.next()?;
        let log: String = row.next()?;
        Ok(Entry {
            id,
            kind,
            message,
            recipient,
            status,
            url,
            open,
            due,
            rendered: rendered.as_deref().map(Rendered::parse),
            attempts: log.lines().filter_map(Line::parse).collect(),
        })
    }
}

impl Entry {
    /// When it was made: its id says so.
    pub fn created(&self) -> Timestamp {
        let ms = u128::from_be_bytes(self.id.0) >> 80;
        Timestamp(i64::try_from(ms).unwrap_or(0).saturating_mul(1_000))
    }

    /// Whether it was told.
    pub fn is_done(&self) -> bool {
        !self.open && self.attempts.last().is_some_and(Line::is_done)
    }

    /// Whether an attempt failed last; it may be tried again.
    pub fn has_failed(&self) -> bool {
        self.attempts.last().is_some_and(|line| !line.is_done())
    }
}

/// The first id of a millisecond.
pub fn first_id(at: Timestamp) -> CallbackId {
    let ms = u128::try_from(at.0.div_euclid(1_000)).unwrap_or(0).min((1 << 48) - 1);
    CallbackId::from((ms << 80).to_be_bytes())
}

const COLUMNS: &str = "id, kind, message, msisdn, status, url, open, due, target, log";

/// One callback.
pub async fn find(rx: &mut Rx, (scope, id): &(Scope, CallbackId)) -> Result<Entry> {
    rx.maybe(
        sql!("SELECT ", COLUMNS, " FROM callback WHERE root = $1 AND account = $2 AND id = $3"),
        &[&scope.root, &scope.account, id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Callback))
}

/// A stretch of an account's callbacks: from one id on, and before another.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Whose.
    pub scope: Scope,
    /// The first that may be in it.
    pub from: CallbackId,
    /// The first that is not.
    pub until: CallbackId,
}

/// The newest callbacks of a stretch, at most [`BATCH`].
pub async fn newest(rx: &mut Rx, stretch: &Stretch) -> Result<Vec<Entry>> {
    let Stretch { scope, from, until } = stretch;
    Ok(rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM callback WHERE root = $1 AND account = $2 AND id >= $3 AND id < $4 ORDER BY id DESC LIMIT $5"
            ),
            &[&scope.root, &scope.account, from, until, &BATCH],
        )
        .await?)
}

/// Sends a callback again, from the beginning of its schedule; one that is still to be sent is tried at once.
pub async fn replay(tx: &mut Tx, (scope, id): &(Scope, CallbackId)) -> Result<()> {
    if !again(tx, scope, *id).await? {
        return Err(Error::NotFound(Noun::Callback));
    }
    endpoint::probe_now(tx, scope.account).await
}

async fn again(tx: &mut Tx, scope: &Scope, id: CallbackId) -> Result<bool> {
    let now: Timestamp = tx.now();
    // What is under way keeps its number of attempts: that is what its recording is guarded by.
    let changed = tx
        .exec(
            sql!(
                "UPDATE callback SET attempts = CASE WHEN open THEN attempts ELSE 0 END, open = $5, due = $4
                 WHERE root = $1 AND account = $2 AND id = $3"
            ),
            &[&scope.root, &scope.account, &id, &now, &true],
        )
        .await?;
    Ok(changed == 1)
}

/// What is sent again of a stretch.
#[derive(Debug, Clone, Copy)]
pub struct ReplaySome {
    /// Where to begin and to end.
    pub stretch: Stretch,
    /// Whether only those whose last attempt failed.
    pub failed: bool,
}

/// Sends the oldest callbacks of a stretch again, at most [`BATCH`] of them; answers how many, and where to go on if there
/// may be more.
pub async fn replay_some(tx: &mut Tx, some: &ReplaySome) -> Result<(u64, Option<CallbackId>)> {
    let Stretch { scope, from, until } = &some.stretch;
    let found: Vec<Entry> = tx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM callback WHERE root = $1 AND account = $2 AND id >= $3 AND id < $4 ORDER BY id LIMIT $5"
            ),
            &[&scope.root, &scope.account, from, until, &BATCH],
        )
        .await?;
    let mut count = 0;
    for entry in found.iter().filter(|entry| !some.failed || entry.has_failed()) {
        count += u64::from(again(tx, scope, entry.id).await?);
    }
    if count > 0 {
        endpoint::probe_now(tx, scope.account).await?;
    }
    let is_last = i64::try_from(found.len()).is_ok_and(|length| length < BATCH);
    let after = |id: CallbackId| CallbackId::from(u128::from_be_bytes(id.0).saturating_add(1).to_be_bytes());
    Ok((count, found.last().filter(|_| !is_last).map(|last| after(last.id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let said = "a\\b\n\tc\\n";
        let text = format!("17 250 503\tA,B\t{}", escaped(said));
        let line = Line::parse(&text).unwrap();
        assert_eq!((line.at, line.took_ms, line.answer.clone()), (Timestamp(17), 250, Ok(503)));
        assert_eq!((line.headers.join(" "), line.said.as_str(), line.is_done()), ("A B".into(), said, false));
        let older = Line::parse("17 250 there was no answer").unwrap();
        assert_eq!((older.answer, older.headers.len()), (Err("there was no answer".into()), 0));
    }
}
