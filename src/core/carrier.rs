//! Carriers: who takes messages to phones, and how each is spoken to. Which of them takes which number is in `route.rs`.
//!
//! Settings are stored by name, each as its text; `smpp_carrier.rs` and `http_carrier.rs` say which there are. What a
//! carrier knows us by is sealed.

use super::change::{self, Kind};
use super::http_carrier::{self, HttpSettings};
use super::part;
use super::smpp_carrier::{self, SmppSettings};
use super::words::words;
use super::{Code, Error, Noun, Result, Timestamp, Violation, lease};
use std::collections::BTreeMap;
use std::str::FromStr;
use store::{FromRow, Row, Rx, Tx, sql};

/// A carrier's number in this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarrierId(pub i64);
store::int!(CarrierId);

words! {
    /// How a carrier is spoken to.
    CarrierKind {
        /// Not at all: it lives in this process, see docs/simulated-carrier.md.
        Simulated = "simulated",
        /// SMPP 3.4, as its client.
        Smpp = "smpp",
        /// Its own HTTP interface.
        Http = "http",
    }
}

/// Longest name.
const NAME_MAX: usize = 40;

/// A carrier's settings: texts by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Sets one.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A setting's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A setting that must be there.
    pub(super) fn needed(&self, name: &'static str) -> std::result::Result<String, Violation> {
        let text = self.text(name).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or(Violation::new(name, Code::Required))
    }

    /// A setting of a form; `None` if it is not there.
    pub(super) fn read<T: FromStr>(&self, name: &'static str) -> std::result::Result<Option<T>, Violation> {
        let invalid = |_| Violation::new(name, Code::Invalid);
        self.text(name).map(str::parse).transpose().map_err(invalid)
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &self,
        name: &'static str,
        (least, most): (i64, i64),
    ) -> std::result::Result<Option<i64>, Violation> {
        match self.read(name)? {
            Some(number) if !(least..=most).contains(&number) => {
                Err(Violation::new(name, Code::OutOfRange(least, most)))
            }
            number => Ok(number),
        }
    }

    /// Refuses names that mean nothing.
    pub(super) fn only(&self, known: &[&str]) -> std::result::Result<(), Violation> {
        if self.0.keys().all(|name| is_among(known, name)) {
            Ok(())
        } else {
            Err(Violation::new("setting", Code::Invalid))
        }
    }
}

/// A carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// Its number.
    pub id: CarrierId,
    /// What the operator calls it.
    pub name: String,
    /// How it is spoken to.
    pub kind: CarrierKind,
    /// How exactly.
    pub settings: Settings,
    /// What it knows us by, sealed.
    pub secret: Option<Vec<u8>>,
    /// Since when nothing can be given to it, if so.
    pub down: Option<Timestamp>,
}

/// Whether a name is one of these; one that ends with a dash stands for all that begin with it.
fn is_among(known: &[&str], name: &str) -> bool {
    known.iter().any(|known| name == *known || known.ends_with('-') && name.starts_with(known))
}

impl CarrierKind {
    /// The names of its settings; what ends with a dash begins names of the operator's own.
    pub fn settings(self) -> &'static [&'static str] {
        match self {
            CarrierKind::Simulated => &[],
            CarrierKind::Smpp => smpp_carrier::NAMES,
            CarrierKind::Http => http_carrier::NAMES,
        }
    }

    /// Whether it has a setting of this name.
    pub fn knows(self, name: &str) -> bool {
        is_among(self.settings(), name)
    }
}

impl Carrier {
    /// Whether it takes a long message whole and cuts it itself.
    pub(super) fn takes_whole(&self) -> bool {
        smpp_carrier::takes_whole(self) || http_carrier::takes_whole(self)
    }

    /// Checks the settings for what this kind knows.
    fn check(&self) -> std::result::Result<(), Violation> {
        match self.kind {
            CarrierKind::Simulated => self.settings.only(self.kind.settings()),
            CarrierKind::Smpp => SmppSettings::read(&self.settings).map(drop),
            CarrierKind::Http => HttpSettings::read(&self.settings).map(drop),
        }
    }
}

impl FromRow for Carrier {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Carrier {
            id: row.next()?,
            name: row.next()?,
            kind: row.next()?,
            secret: row.next()?,
            down: row.next()?,
            settings: Settings::default(),
        })
    }
}

/// All carriers, with their settings.
pub async fn all(rx: &mut Rx, (): &()) -> Result<Vec<Carrier>> {
    let mut carriers: Vec<Carrier> =
        rx.all(sql!("SELECT id, name, kind, secret, down FROM carrier ORDER BY id"), &[]).await?;
    let settings: Vec<(CarrierId, String, String)> =
        rx.all(sql!("SELECT carrier, name, value FROM carrier_setting ORDER BY carrier, name"), &[]).await?;
    for (of, name, value) in settings {
        if let Some(carrier) = carriers.iter_mut().find(|carrier| carrier.id == of) {
            carrier.settings.set(name, value);
        }
    }
    Ok(carriers)
}

/// A carrier by its name.
pub async fn by_name(rx: &mut Rx, name: &String) -> Result<Carrier> {
    let carriers = all(rx, &()).await?;
    carriers.into_iter().find(|carrier| carrier.name == *name).ok_or(Error::NotFound(Noun::Carrier))
}

/// Asks for a carrier.
#[derive(Debug, Clone)]
pub struct NewCarrier {
    /// What the operator calls it.
    pub name: String,
    /// How it is spoken to.
    pub kind: CarrierKind,
    /// How exactly.
    pub settings: Settings,
    /// What it knows us by.
    pub secret: Option<super::secret::Secret>,
    /// Seals that.
    pub vault: super::secret::Vault,
    /// Whether every number goes to it that no prefix claims.
    pub is_default: bool,
}

/// Makes a carrier.
pub async fn add(tx: &mut Tx, new: &NewCarrier) -> Result<Carrier> {
    let fits = !new.name.is_empty()
        && new.name.len() <= NAME_MAX
        && new.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !fits {
        return Err(Violation::new("name", Code::Invalid).into());
    }
    // A number is never used again: parts, receipts and scheduled messages name it. The first is the simulated carrier's.
    let id: CarrierId = tx
        .one(
            sql!(
                "INSERT INTO carrier_number (one, latest) VALUES (1, 2)
                 ON CONFLICT (one) DO UPDATE SET latest = carrier_number.latest + 1 RETURNING latest"
            ),
            &[],
        )
        .await?;
    let secret = new
        .secret
        .as_ref()
        .map(|text| new.vault.seal(tx, super::secret::Place::Carrier(id.0), text.reveal().as_bytes()));
    let carrier = Carrier {
        id,
        name: new.name.clone(),
        kind: new.kind,
        settings: new.settings.clone(),
        secret,
        down: None,
    };
    carrier.check()?;
    let made = tx
        .exec(
            sql!(
                "INSERT INTO carrier (id, name, kind, secret) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
            ),
            &[&id, &carrier.name, &carrier.kind, &carrier.secret],
        )
        .await?;
    if made == 0 {
        return Err(Violation::new("name", Code::Taken).into());
    }
    store_settings(tx, &carrier).await?;
    if new.is_default {
        super::route::set_default(tx, id).await?;
    }
    change::raise(tx, Kind::Terms).await?;
    Ok(carrier)
}

async fn store_settings(tx: &mut Tx, carrier: &Carrier) -> Result<()> {
    for (name, value) in carrier.settings.all() {
        tx.put(
            sql!(
                "INSERT INTO carrier_setting (carrier, name, value) VALUES ($1, $2, $3)
                 ON CONFLICT (carrier, name) DO UPDATE SET value = $3"
            ),
            &[&carrier.id, &name, &value],
        )
        .await?;
    }
    Ok(())
}

/// What changes of a carrier.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which carrier.
    pub name: String,
    /// The new values; an empty one is the default again.
    pub settings: Settings,
    /// What it knows us by from now on, if that changes.
    pub secret: Option<super::secret::Secret>,
    /// Seals that.
    pub vault: super::secret::Vault,
}

/// Changes settings of a carrier.
pub async fn set(tx: &mut Tx, change: &Change) -> Result<Carrier> {
    tx.maybe::<CarrierId>(sql!("SELECT id FROM carrier WHERE name = $1 FOR UPDATE"), &[&change.name]).await?;
    let mut carrier = by_name(tx, &change.name).await?;
    for (name, value) in change.settings.all() {
        carrier.settings.set(name, value);
    }
    carrier.settings.0.retain(|_, value| !value.is_empty());
    carrier.check()?;
    tx.put(sql!("DELETE FROM carrier_setting WHERE carrier = $1"), &[&carrier.id]).await?;
    store_settings(tx, &carrier).await?;
    if let Some(secret) = &change.secret {
        let place = super::secret::Place::Carrier(carrier.id.0);
        let sealed = change.vault.seal(tx, place, secret.reveal().as_bytes());
        tx.put(sql!("UPDATE carrier SET secret = $2 WHERE id = $1"), &[&carrier.id, &sealed]).await?;
        carrier.secret = Some(sealed);
    }
    change::raise(tx, Kind::Terms).await?;
    Ok(carrier)
}

/// Removes a carrier with its routes. What waits for it goes to whoever takes those numbers now; what it has accepted is
/// given up when its time is over.
pub async fn remove(tx: &mut Tx, name: &String) -> Result<()> {
    let carrier = by_name(tx, name).await?;
    for text in [
        sql!("DELETE FROM route WHERE carrier = $1"),
        sql!("DELETE FROM carrier_setting WHERE carrier = $1"),
        sql!("DELETE FROM carrier WHERE id = $1"),
    ] {
        tx.put(text, &[&carrier.id]).await?;
    }
    tx.put(sql!("DELETE FROM lease WHERE lane = $1"), &[&part::lane(carrier.id).0]).await?;
    change::raise(tx, Kind::Terms).await
}

/// Notes that nothing can be given to a carrier, or that it can again. Only whoever works on it says so.
pub async fn note(tx: &mut Tx, (shift, is_down): &(part::Shift, bool)) -> Result<()> {
    if !lease::take(tx, &(part::lane(shift.carrier), shift.holder)).await? {
        return Ok(());
    }
    let now: Timestamp = tx.now();
    let down = is_down.then_some(now);
    let changed = tx
        .exec(
            sql!("UPDATE carrier SET down = $2 WHERE id = $1 AND (down IS NULL) = $3"),
            &[&shift.carrier, &down, is_down],
        )
        .await?;
    if changed == 1 { change::raise(tx, Kind::Terms).await } else { Ok(()) }
}
