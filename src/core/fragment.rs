//! Parts of long messages from phones: kept until all are there, in whatever order they come.
//!
//! The unit that brings the last part makes the message. What stays incomplete for an hour is taken as far as it is there:
//! half a message is worth more to whoever waits for it than none.

use super::carrier::CarrierId;
use super::inbound::{self, Inbound, Taken};
use super::phone::{Msisdn, Originator};
use super::{Result, Timestamp, smpp_carrier};
use smpp::concatenation::{Part, join};
use smpp::encoding::{Coding, Content, DefaultAlphabet};
use smpp::short_message::Place;
use std::fmt::Write as _;
use store::{FromRow, Row, Tx, sql};

/// What stays incomplete for so long is taken as it is.
const INCOMPLETE_US: i64 = 3_600 * 1_000_000;
/// Stands for what is missing.
const MISSING: &str = " […] ";

/// A part of a long message, as a carrier brings it.
#[derive(Debug, Clone)]
pub struct Fragment {
    /// Which carrier.
    pub carrier: CarrierId,
    /// Whom it is from.
    pub from: Originator,
    /// The number that it came to.
    pub to: Msisdn,
    /// Which part, and what it says.
    pub part: Part,
    /// What the carrier means by `data_coding` 0.
    pub alphabet: DefaultAlphabet,
}

/// A part as it is stored.
struct Stored(Part);

impl FromRow for Stored {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let octet = |value: i64| u8::try_from(value).unwrap_or(u8::MAX);
        let (reference, total, number): (i64, i64, i64) = (row.next()?, row.next()?, row.next()?);
        let reference = u16::try_from(reference).unwrap_or(u16::MAX);
        Ok(Stored(Part {
            place: Place { reference, total: octet(total), number: octet(number) },
            data_coding: octet(row.next()?),
            header: octet(row.next()?),
            octets: row.next()?,
        }))
    }
}

/// Octets as a text's place can hold them: in hexadecimal digits.
pub fn text(content: Content) -> String {
    match content {
        Content::Text(text) => text,
        Content::Binary(octets) => octets.iter().fold(String::new(), |mut text, octet| {
            // Writing to a string does not fail.
            let _ = write!(text, "{octet:02x}");
            text
        }),
    }
}

/// Keeps a part; with the last one the message is taken, and what became of it is answered.
pub async fn gather(tx: &mut Tx, fragment: &Fragment) -> Result<Option<Taken>> {
    // All tenants: whose a text is shows when it is whole.
    let Fragment { carrier, from, to, part, alphabet } = fragment;
    let now: Timestamp = tx.now();
    let Place { reference, total, number } = part.place;
    let (reference, total, number) = (i64::from(reference), i64::from(total), i64::from(number));
    let receiver = to.to_string();
    tx.put(
        sql!(
            "INSERT INTO fragment (carrier, sender, receiver, reference, total, number, coding, header, octets, received)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (carrier, sender, receiver, reference, total, number) DO NOTHING"
        ),
        &[
            carrier,
            from,
            &receiver,
            &reference,
            &total,
            &number,
            &i64::from(part.data_coding),
            &i64::from(part.header),
            &part.octets,
            &now,
        ],
    )
    .await?;
    let stored = parts(tx, *carrier, from, &receiver, (reference, total)).await?;
    let Some(whole) = join(&stored, *alphabet).pop() else { return Ok(None) };
    take(tx, (*carrier, from, *to), (reference, total), text(whole.content)).await.map(Some)
}

async fn parts(
    tx: &mut Tx,
    carrier: CarrierId,
    from: &Originator,
    receiver: &str,
    (reference, total): (i64, i64),
) -> Result<Vec<Part>> {
    let stored: Vec<Stored> = tx
        .all(
            sql!(
                "SELECT reference, total, number, coding, header, octets FROM fragment
                 WHERE carrier = $1 AND sender = $2 AND receiver = $3 AND reference = $4 AND total = $5
                 ORDER BY number FOR UPDATE"
            ),
            &[&carrier, from, &receiver, &reference, &total],
        )
        .await?;
    Ok(stored.into_iter().map(|Stored(part)| part).collect())
}

async fn take(
    tx: &mut Tx,
    (carrier, from, to): (CarrierId, &Originator, Msisdn),
    (reference, total): (i64, i64),
    body: String,
) -> Result<Taken> {
    tx.put(
        sql!(
            "DELETE FROM fragment
             WHERE carrier = $1 AND sender = $2 AND receiver = $3 AND reference = $4 AND total = $5"
        ),
        &[&carrier, from, &to.to_string(), &reference, &total],
    )
    .await?;
    let whole = Inbound { carrier, reference: None, from: from.clone(), to, body, otherwise: None };
    inbound::receive(tx, &whole).await
}

/// Takes the oldest message that stays incomplete; answers whether there was one.
pub async fn take_incomplete(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let oldest: Option<(CarrierId, Originator, String, i64, i64)> = tx
        .maybe(
            sql!(
                "SELECT carrier, sender, receiver, reference, total FROM fragment WHERE received < $1
                 ORDER BY received, carrier, sender, receiver, reference, total LIMIT 1"
            ),
            &[&now.0.saturating_sub(INCOMPLETE_US)],
        )
        .await?;
    let Some((carrier, from, receiver, reference, total)) = oldest else { return Ok(false) };
    let stored = parts(tx, carrier, &from, &receiver, (reference, total)).await?;
    if stored.is_empty() {
        // Another sweep has taken it while this one waited for its rows.
        return Ok(true);
    }
    let alphabet = smpp_carrier::alphabet(tx, carrier).await?;
    let mut body = String::new();
    let mut next = 1;
    for part in stored {
        if part.place.number > next {
            body.push_str(MISSING);
        }
        next = part.place.number.saturating_add(1);
        let coding = Coding::of(part.data_coding, alphabet);
        body.push_str(&text(coding.read(&part.octets, usize::from(part.header))));
    }
    if i64::from(next) <= total {
        body.push_str(MISSING);
    }
    let to = receiver.parse().map_or(Msisdn(0), Msisdn);
    take(tx, (carrier, &from, to), (reference, total), body).await?;
    Ok(true)
}
