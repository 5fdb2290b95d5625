//! What is told by SMPP: the callbacks whose URL is `smpp:` and a system id.
//!
//! They stand in the outbox of all callbacks and follow its schedule, in lanes of their own range, which are worked on
//! where the system id is bound to receive. A lane is of an account and a system id, so that a URL that names another
//! account's system id reaches nobody.

use super::callback::{self, Attempt, Due};
use super::lease::Lane;
use super::message::{Message, MessageId, Status};
use super::rendered::Rendered;
use super::smpp_part::{self, Piece};
use super::smpp_user::SystemId;
use super::{Error, Result, Scope, Timestamp};
use sha2::{Digest, Sha256};
use smpp::short_message::RegisteredDelivery;
use store::{Rx, Tx, sql};

const SCHEME: &str = "smpp:";
/// Begins the part of a URL that says which receipts are wanted.
const WANTED: &str = "?receipts=";
/// The first of the lanes: carriers' begin with zeros.
const FIRST: Lane = Lane((1_u128 << 126).to_be_bytes());
/// Comes before the first of the lanes.
pub const BEFORE: Lane = Lane(((1_u128 << 126) - 1).to_be_bytes());
/// Lanes that one look finds at most.
pub const LANES: usize = 64;
/// The last of the lanes; those of web addresses come after it.
pub const LAST: Lane = Lane((u128::MAX >> 1).to_be_bytes());
/// What nobody has fetched is given up after this time.
const KEPT_US: i64 = 7 * 86_400 * 1_000_000;

/// Which receipts a message wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipts(i64);
store::int!(Receipts);

impl Receipts {
    const SUCCESS: i64 = 1;
    const FAILURE: i64 = 2;
    const PROGRESS: i64 = 4;
    const FINAL: i64 = Self::SUCCESS | Self::FAILURE;

    /// What `registered_delivery` asks for (SMPP 3.4 section 5.2.17).
    pub fn asked(by: RegisteredDelivery) -> Receipts {
        let bit = |wanted: bool, bit: i64| if wanted { bit } else { 0 };
        let progress = bit(by.0 & 0x10 != 0, Self::PROGRESS);
        Receipts(bit(by.wants(true), Self::SUCCESS) | bit(by.wants(false), Self::FAILURE) | progress)
    }

    /// What either wants.
    #[must_use]
    pub fn and(self, other: Receipts) -> Receipts {
        Receipts(self.0 | other.0)
    }

    /// Whether one is wanted about this status.
    pub fn want(self, status: Status) -> bool {
        let bit = if status == Status::Delivered {
            Self::SUCCESS
        } else if status.is_final() {
            Self::FAILURE
        } else if status == Status::Buffered {
            Self::PROGRESS
        } else {
            // That it was accepted is what the answer said.
            0
        };
        self.0 & bit != 0
    }

    /// The URL by which a user is told; `None` if nothing is wanted.
    pub fn url(self, system_id: &SystemId) -> Option<String> {
        match self.0 {
            0 => None,
            Self::FINAL => Some(format!("{SCHEME}{system_id}")),
            some => Some(format!("{SCHEME}{system_id}{WANTED}{some}")),
        }
    }
}

/// Whom a URL names, and which receipts it wants; `None` for a web address.
fn parsed(url: &str) -> Option<(&str, Receipts)> {
    let rest = url.strip_prefix(SCHEME)?;
    match rest.split_once(WANTED) {
        Some((system_id, wanted)) => Some((system_id, Receipts(wanted.parse().unwrap_or(Receipts::FINAL)))),
        None => Some((rest, Receipts(Receipts::FINAL))),
    }
}

/// Whom a URL of this form names.
pub fn system_id(url: &str) -> Option<SystemId> {
    parsed(url).and_then(|(system_id, _)| SystemId::parse(system_id).ok())
}

/// Whether a URL is of this form.
pub(super) fn is_one(url: &str) -> bool {
    url.starts_with(SCHEME)
}

/// Whether whoever is told by a URL wants to know of a status.
pub(super) fn wants(url: &str, status: Status) -> bool {
    parsed(url).is_none_or(|(_, receipts)| receipts.want(status))
}

/// The lane of an account's user.
pub fn lane(scope: Scope, system_id: &str) -> Lane {
    let hash = Sha256::new().chain_update(scope.account.0.to_be_bytes()).chain_update(system_id).finalize();
    let mut lane = [0; 16];
    lane.copy_from_slice(&hash[..16]);
    lane[0] = 0x40 | (lane[0] & 0x3F);
    Lane(lane)
}

/// The lane of a URL that names a user; `None` for a web address.
pub(super) fn lane_of_url(scope: Scope, url: &str) -> Option<Lane> {
    parsed(url).map(|(system_id, _)| lane(scope, system_id))
}

/// Whether there is something to tell in a lane now.
pub async fn is_due(rx: &mut Rx, lane: &Lane) -> Result<bool> {
    // All tenants: a lane is one account's.
    let now: Timestamp = rx.now();
    let due = sql!("SELECT due FROM callback WHERE open AND lane = $1 AND due <= $2 ORDER BY due LIMIT 1");
    Ok(rx.maybe::<i64>(due, &[&lane.0, &now]).await?.is_some())
}

/// Lanes in which there is something to tell now, after a lane; at most [`LANES`].
pub async fn due_lanes(rx: &mut Rx, after: &Lane) -> Result<Vec<Lane>> {
    // All tenants: lanes are everybody's. One step of the recursion finds the next lane in the index.
    let now: Timestamp = rx.now();
    let lanes: Vec<Vec<u8>> = rx
        .all(
            sql!(
                "WITH RECURSIVE next (lane) AS (
                     SELECT * FROM (SELECT lane FROM callback WHERE open AND lane > $1 AND lane <= $2
                         ORDER BY lane LIMIT 1) first
                     UNION ALL
                     SELECT (SELECT c.lane FROM callback c WHERE c.open AND c.lane > next.lane AND c.lane <= $2
                         ORDER BY c.lane LIMIT 1)
                     FROM next WHERE next.lane IS NOT NULL
                 )
                 SELECT lane FROM next WHERE lane IS NOT NULL AND EXISTS (
                     SELECT 1 FROM callback c WHERE c.open AND c.lane = next.lane AND c.due <= $3)
                 LIMIT 64"
            ),
            &[&after.0, &LAST.0, &now],
        )
        .await?;
    let known = lanes.into_iter().map(|bytes| bytes.try_into().map(Lane));
    known
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| Error::Internal("a lane of another length".into()))
}

/// Something to tell, with all that it is told with.
#[derive(Debug, Clone)]
pub struct Told {
    /// What.
    pub due: Due,
    /// About which message. None if it is gone, or if there never was one: [`Told::pieces`].
    pub message: Option<Message>,
    /// The parts that the message came in, if it came in parts; or the one that was given up.
    pub pieces: Vec<Piece>,
}

/// What is due in a lane: for whoever has its lease.
pub async fn batch(rx: &mut Rx, lane: &Lane) -> Result<Vec<Told>> {
    let batch = callback::batch(rx, lane).await?;
    let about: Vec<_> = batch.due.iter().map(|due| (due.scope, due.message)).collect();
    let pieces = smpp_part::pieces(rx, &about).await?;
    let told = batch.due.into_iter().zip(batch.messages).zip(pieces);
    Ok(told.map(|((due, message), pieces)| Told { due, message, pieces }).collect())
}

/// The record of an attempt, for [`callback::attempted`].
pub fn attempt(due: Due, at: Timestamp, took_ms: i64, answer: std::result::Result<(), String>) -> Attempt {
    // The log knows success by the status that HTTP has for it.
    Attempt {
        rendered: Rendered::get(due.url.clone()),
        callback: due,
        headers: Vec::new(),
        at,
        took_ms,
        answer: answer.map(|()| 200),
        said: String::new(),
    }
}

/// What a message is called where it came in parts: by the ids that these were answered with, as far as receipts are wanted.
pub fn names(told: &Told) -> Vec<MessageId> {
    if told.pieces.is_empty() {
        return vec![told.due.message];
    }
    let status = told.due.recipient.status;
    told.pieces.iter().filter(|piece| piece.receipts.want(status)).map(|piece| piece.id).collect()
}

/// Gives up what nobody has fetched in time; answers whether there may be more.
pub async fn give_up(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody. One step of the recursion finds the next lane in the index.
    let now: Timestamp = tx.now();
    let before = now.0.saturating_sub(KEPT_US);
    let lane: Option<Vec<u8>> = tx
        .maybe(
            sql!(
                "WITH RECURSIVE next (lane) AS (
                     SELECT * FROM (SELECT lane FROM callback WHERE open AND lane >= $1 AND lane <= $2
                         ORDER BY lane LIMIT 1) first
                     UNION ALL
                     SELECT (SELECT c.lane FROM callback c WHERE c.open AND c.lane > next.lane AND c.lane <= $2
                         ORDER BY c.lane LIMIT 1)
                     FROM next WHERE next.lane IS NOT NULL
                 )
                 SELECT lane FROM next WHERE lane IS NOT NULL AND EXISTS (
                     SELECT 1 FROM callback c WHERE c.open AND c.lane = next.lane AND c.due < $3)
                 LIMIT 1"
            ),
            &[&FIRST.0, &LAST.0, &before],
        )
        .await?;
    let Some(lane) = lane else { return Ok(false) };
    let gone = tx
        .exec(
            sql!(
                "UPDATE callback SET open = $4, due = $5 WHERE (root, account, id) IN (
                     SELECT root, account, id FROM callback WHERE open AND lane = $1 AND due < $2
                     ORDER BY due, id LIMIT $3)"
            ),
            &[&lane, &before, &callback::BATCH, &false, &now],
        )
        .await?;
    Ok(gone > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::AccountId;

    fn scope(account: i64) -> Scope {
        Scope { root: AccountId(7), account: AccountId(account) }
    }

    #[test]
    fn a_url_says_who_is_told_of_what() {
        let user = SystemId::parse("acme").unwrap();
        for (asked, url, wanted) in [
            (0x00, None, [false, false, false, false]),
            (0x01, Some("smpp:acme"), [true, true, false, false]),
            (0x02, Some("smpp:acme?receipts=2"), [false, true, false, false]),
            (0x03, Some("smpp:acme?receipts=1"), [true, false, false, false]),
            (0x11, Some("smpp:acme?receipts=7"), [true, true, true, false]),
        ] {
            let receipts = Receipts::asked(RegisteredDelivery(asked));
            assert_eq!(receipts.url(&user).as_deref(), url);
            let statuses = [Status::Delivered, Status::Failed, Status::Buffered, Status::Sent];
            assert_eq!(statuses.map(|status| receipts.want(status)), wanted, "{asked}");
            if let Some(url) = url {
                assert_eq!(statuses.map(|status| wants(url, status)), wanted, "{url}");
                assert_eq!(system_id(url), Some(user.clone()));
            }
        }
        assert!(wants("https://acme.example/", Status::Sent));
        assert_eq!((system_id("https://acme.example/"), system_id("smpp:")), (None, None));
    }

    #[test]
    fn lanes_have_their_own_range_and_their_own_account() {
        for account in 0..500 {
            let lane = lane(scope(account), "acme");
            assert!(lane.0 >= FIRST.0 && lane.0 <= LAST.0);
        }
        let own = lane_of_url(scope(1), "smpp:acme?receipts=2");
        assert_eq!(own, Some(lane(scope(1), "acme")));
        assert_ne!(own, Some(lane(scope(2), "acme")));
        assert_eq!(lane_of_url(scope(1), "https://acme.example/"), None);
    }
}
