//! An installation: its database with the schema up to date, and its master key. What every command opens first.

use crate::core::schema::MIGRATIONS;
use crate::core::secret::{Place, Vault};
use crate::core::{self, Error};
use crate::settings::Settings;
use std::io::Write;
use std::path::Path;
use store::{Clock, Engine, Entropy, Store, Tx, sql};

/// What stands sealed in the database to tell whether a master key is the right one.
const CHECK: &[u8] = b"rookery";

/// An open installation.
pub struct Installation {
    /// The database.
    pub store: Store,
    /// Opens what is sealed.
    pub vault: Vault,
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
}

impl Installation {
    /// Opens the database, brings its schema up to date, and checks the master key. The error says what to do.
    pub async fn open(settings: &Settings) -> Result<Self, String> {
        let url = settings.database();
        if let Some(path) = url.strip_prefix("sqlite:")
            && let Some(folder) = Path::new(path).parent()
        {
            private_folder(folder)?;
        }
        let (clock, entropy) = (Clock::system(), Entropy::system());
        let options = store::Options {
            clock: clock.clone(),
            entropy: entropy.clone(),
            unnamed_statements: settings.unnamed_statements.unwrap_or(false),
            ..store::Options::default()
        };
        let store = Store::open(&url, options)
            .await
            .map_err(|error| format!("the database cannot be opened: {error}"))?;
        store
            .migrate(MIGRATIONS)
            .await
            .map_err(|error| format!("the schema cannot be brought up to date: {error}"))?;
        let vault = Vault::new(&master_key(settings, store.engine(), &entropy)?);
        check(&store, &vault).await?;
        Ok(Installation { store, vault, clock, entropy })
    }
}

/// A folder that only its owner can read, made if it is not there.
fn private_folder(folder: &Path) -> Result<(), String> {
    if folder.as_os_str().is_empty() || folder.exists() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))
}

fn master_key(settings: &Settings, engine: Engine, entropy: &Entropy) -> Result<[u8; 32], String> {
    const FORM: &str = "64 hexadecimal digits are needed, such as `openssl rand -hex 32` prints";
    if let Some(text) = &settings.master_key {
        return unhex(text).ok_or_else(|| format!("ROOKERY_MASTER_KEY: {FORM}"));
    }
    if engine == Engine::Postgres {
        return Err(format!("ROOKERY_MASTER_KEY is not set; with PostgreSQL it must be given: {FORM}"));
    }
    let folder = settings.data_dir();
    let path = folder.join("master.key");
    private_folder(&folder)?;
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if !path.exists() {
        make_key(&folder, &path, entropy).map_err(failed)?;
    }
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    unhex(text.trim()).ok_or_else(|| format!("{}: {FORM}", path.display()))
}

/// Makes a key's file. It is written aside and then linked under its name: of several processes at once one wins, and
/// whoever finds the file finds it whole.
fn make_key(folder: &Path, path: &Path, entropy: &Entropy) -> std::io::Result<()> {
    let mut drawn = [0u8; 40];
    entropy.fill(&mut drawn);
    let (key, name) = drawn.split_at(32);
    let aside = folder.join(format!("master.key.{}", hex(name)));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside)?;
    file.write_all(format!("{}\n", hex(key)).as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&aside, path);
    std::fs::remove_file(&aside)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        // The name must be on disk before anything is sealed with the key.
        _ => std::fs::File::open(folder)?.sync_all(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    let mut key = [0u8; 32];
    if bytes.len() != 64 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(bytes.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

/// Compares the master key with the check value, which the first process leaves.
async fn check(store: &Store, vault: &Vault) -> Result<(), String> {
    let stored = store.write(vault.clone(), check_value).await.map_err(|error| error.to_string())?;
    match vault.open(Place::Check, &stored) {
        Ok(plain) if plain == CHECK => Ok(()),
        _ => Err("the master key is not the one of this database: give the right one in ROOKERY_MASTER_KEY, or put its \
                  file master.key back into the data directory"
            .into()),
    }
}

async fn check_value(tx: &mut Tx, vault: &Vault) -> core::Result<Vec<u8>> {
    let sealed = vault.seal(tx, Place::Check, CHECK);
    tx.put(
        sql!(
            "INSERT INTO setting (name, value) VALUES ('master key check', $1) ON CONFLICT (name) DO NOTHING"
        ),
        &[&sealed],
    )
    .await?;
    tx.maybe(sql!("SELECT value FROM setting WHERE name = 'master key check'"), &[])
        .await?
        .ok_or_else(|| Error::Internal("the check value has gone".into()))
}
