//! Transports: who carries channels, as carriers do short messages. One lives in this process; the others are spoken to over
//! HTTP, as `http_transport.rs` says, with the operator's credentials, which are sealed.

use super::carrier::Settings;
use super::http_transport::HttpTransport;
use super::lease;
use super::secret::{Place, Secret, Vault};
use super::words::words;
use super::{Code, Error, Noun, Result, Violation, chat};
use store::{FromRow, Row, Rx, Tx, sql};

/// A transport's number in this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportId(pub i64);
store::int!(TransportId);

/// The transport that every installation has.
pub const SIMULATED: TransportId = TransportId(1);

words! {
    /// How a transport is spoken to.
    TransportKind {
        /// Not at all: it lives in this process, see docs/simulated-carrier.md.
        Simulated = "simulated",
        /// Over HTTP.
        Http = "http",
    }
}

/// Longest name.
const NAME_MAX: usize = 40;

/// A transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// Its number.
    pub id: TransportId,
    /// What the operator calls it.
    pub name: String,
    /// How it is spoken to.
    pub kind: TransportKind,
    /// Whether it carries new channels.
    pub preferred: bool,
    /// How exactly it is spoken to.
    pub settings: Settings,
    /// What it knows us by, sealed.
    pub token: Option<Vec<u8>>,
    /// What it signs what it tells with, sealed.
    pub secret: Option<Vec<u8>>,
}

impl FromRow for Transport {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let (id, name, kind, preferred) = (row.next()?, row.next()?, row.next()?, row.next()?);
        let lines: String = row.next()?;
        let mut settings = Settings::default();
        for (name, value) in lines.lines().filter_map(|line| line.split_once('=')) {
            settings.set(name, value);
        }
        Ok(Transport { id, name, kind, preferred, settings, token: row.next()?, secret: row.next()? })
    }
}

impl Transport {
    /// Checks the settings for what this kind knows.
    fn check(&self) -> Result<()> {
        match self.kind {
            TransportKind::Simulated => self.settings.only(&[])?,
            TransportKind::Http => HttpTransport::read(&self.settings).map(drop)?,
        }
        if self.settings.all().any(|(_, value)| value.contains(char::is_control)) {
            return Err(Violation::new("setting", Code::Invalid).into());
        }
        Ok(())
    }

    fn lines(&self) -> String {
        let lines: Vec<String> = self.settings.all().map(|(name, value)| format!("{name}={value}")).collect();
        lines.join("\n")
    }
}

/// Who carries new channels.
pub async fn preferred(rx: &mut Rx) -> Result<TransportId> {
    rx.maybe(sql!("SELECT id FROM transport WHERE preferred ORDER BY id DESC LIMIT 1"), &[])
        .await?
        .ok_or(Error::NotFound(Noun::Transport))
}

const COLUMNS: &str = "id, name, kind, preferred, settings, token, secret";

/// All transports.
pub async fn all(rx: &mut Rx, (): &()) -> Result<Vec<Transport>> {
    Ok(rx.all(sql!("SELECT ", COLUMNS, " FROM transport ORDER BY id"), &[]).await?)
}

/// A transport by its name.
#[expect(clippy::ptr_arg, reason = "a read takes its question by reference")]
pub async fn by_name(rx: &mut Rx, name: &String) -> Result<Transport> {
    rx.maybe(sql!("SELECT ", COLUMNS, " FROM transport WHERE name = $1"), &[name])
        .await?
        .ok_or(Error::NotFound(Noun::Transport))
}

/// Asks for a transport over HTTP.
#[derive(Debug, Clone)]
pub struct NewTransport {
    /// What the operator calls it.
    pub name: String,
    /// How it is spoken to.
    pub settings: Settings,
    /// What it knows us by.
    pub token: Secret,
    /// What it signs what it tells with.
    pub secret: Option<Secret>,
    /// Seals both.
    pub vault: Vault,
    /// Whether it carries new channels from now on.
    pub preferred: bool,
}

/// Makes a transport.
pub async fn add(tx: &mut Tx, new: &NewTransport) -> Result<Transport> {
    let fits = !new.name.is_empty()
        && new.name.len() <= NAME_MAX
        && new.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !fits {
        return Err(Violation::new("name", Code::Invalid).into());
    }
    let last: Option<TransportId> =
        tx.maybe(sql!("SELECT id FROM transport ORDER BY id DESC LIMIT 1 FOR UPDATE"), &[]).await?;
    let id = TransportId(last.map_or(SIMULATED.0, |id| id.0) + 1);
    let mut sealed =
        |which: Which, text: &Secret| new.vault.seal(tx, which.place(id), text.reveal().as_bytes());
    let token = Some(sealed(Which::Token, &new.token));
    let secret = new.secret.as_ref().map(|text| sealed(Which::Secret, text));
    let made = Transport {
        id,
        name: new.name.clone(),
        kind: TransportKind::Http,
        preferred: new.preferred,
        settings: new.settings.clone(),
        token,
        secret,
    };
    made.check()?;
    if new.preferred {
        prefer(tx, id).await?;
    }
    let stored = tx
        .exec(
            sql!(
                "INSERT INTO transport (id, name, kind, preferred, settings, token, secret)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
            ),
            &[&id, &made.name, &made.kind, &made.preferred, &made.lines(), &made.token, &made.secret],
        )
        .await?;
    if stored == 0 { Err(Violation::new("name", Code::Taken).into()) } else { Ok(made) }
}

/// Which of the two things that are kept sealed.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    /// What it knows us by.
    Token,
    /// What it signs with.
    Secret,
}

impl Which {
    /// Where it is kept.
    pub fn place(self, id: TransportId) -> Place {
        match self {
            Which::Token => Place::TransportToken(id.0),
            Which::Secret => Place::TransportSecret(id.0),
        }
    }
}

/// Has new channels carried by this one alone.
async fn prefer(tx: &mut Tx, id: TransportId) -> Result<()> {
    tx.put(sql!("UPDATE transport SET preferred = (id = $1)"), &[&id]).await?;
    Ok(())
}

/// Changes a transport.
#[derive(Debug, Clone)]
pub struct Patch {
    /// Which.
    pub name: String,
    /// Settings that are replaced.
    pub settings: Settings,
    /// What it knows us by from now on.
    pub token: Option<Secret>,
    /// What it signs with from now on.
    pub secret: Option<Secret>,
    /// Seals both.
    pub vault: Vault,
    /// Whether it carries new channels from now on.
    pub preferred: bool,
}

/// Changes a transport, and answers it whole.
pub async fn set(tx: &mut Tx, patch: &Patch) -> Result<Transport> {
    tx.maybe::<TransportId>(sql!("SELECT id FROM transport WHERE name = $1 FOR UPDATE"), &[&patch.name])
        .await?;
    let mut changed = by_name(tx, &patch.name).await?;
    for (name, value) in patch.settings.all() {
        changed.settings.set(name, value);
    }
    changed.check()?;
    let mut sealed =
        |which: Which, text: &Secret| patch.vault.seal(tx, which.place(changed.id), text.reveal().as_bytes());
    if let Some(text) = &patch.token {
        changed.token = Some(sealed(Which::Token, text));
    }
    if let Some(text) = &patch.secret {
        changed.secret = Some(sealed(Which::Secret, text));
    }
    if patch.preferred {
        prefer(tx, changed.id).await?;
        changed.preferred = true;
    }
    tx.put(
        sql!("UPDATE transport SET settings = $2, token = $3, secret = $4 WHERE id = $1"),
        &[&changed.id, &changed.lines(), &changed.token, &changed.secret],
    )
    .await?;
    Ok(changed)
}

/// Removes a transport that nothing depends on any more.
pub async fn remove(tx: &mut Tx, name: &String) -> Result<()> {
    let Transport { id, preferred, .. } = by_name(tx, name).await?;
    // All tenants: a transport carries everybody's channels.
    let used: Option<i64> = tx
        .maybe(
            sql!(
                "SELECT id FROM transport WHERE id = $1 AND (EXISTS (SELECT 1 FROM channel WHERE transport = $1)
                 OR EXISTS (SELECT 1 FROM sharing WHERE transport = $1))"
            ),
            &[&id],
        )
        .await?;
    if id == SIMULATED || used.is_some() {
        return Err(Violation::new("name", Code::Taken).into());
    }
    if preferred {
        prefer(tx, SIMULATED).await?;
    }
    tx.put(sql!("DELETE FROM transport WHERE id = $1"), &[&id]).await?;
    lease::forget_lane(tx, chat::lane(id)).await
}
