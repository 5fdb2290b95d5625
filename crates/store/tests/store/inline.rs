//! The store of simulations: no thread, no limit, and the same rows for the same seed.

use futures_util::FutureExt;
use store::{Clock, Engine, Entropy, Error, Options, Rx, Store, Tx, sql};

use crate::support::{MIGRATIONS, count, create};

async fn open(seed: u64) -> Store {
    let options = Options { clock: Clock::manual(1), entropy: Entropy::seeded(seed), ..Options::default() };
    let store = Store::inline(options).await.unwrap();
    store.migrate(MIGRATIONS).await.unwrap();
    store
}

async fn ids(store: &Store) -> Vec<[u8; 16]> {
    let mut ids = Vec::new();
    for _ in 0..10 {
        let unit = async |tx: &mut Tx, (): &()| {
            let id: [u8; 16] = tx.id();
            tx.put(sql!("INSERT INTO item (account, id) VALUES (1, $1)"), &[&id]).await?;
            Ok::<_, Error>(id)
        };
        ids.push(store.write((), unit).await.unwrap());
    }
    ids
}

#[tokio::test]
async fn the_same_seed_gives_the_same_ids() {
    let first = ids(&open(7).await).await;
    assert_eq!(first, ids(&open(7).await).await);
    assert_ne!(first, ids(&open(8).await).await);
}

#[tokio::test]
async fn everything_runs_at_once_on_the_callers_task() {
    let store = open(1).await;
    assert_eq!(store.engine(), Engine::Sqlite);
    // Ready at the first poll: nobody else has to run for it.
    let now = |done: Option<Result<i64, Error>>| done.expect("no waiting");
    assert_eq!(now(store.write(1, create).now_or_never()), Ok(1));
    assert_eq!(now(store.bulk(2, create).now_or_never()), Ok(2));
    assert_eq!(now(store.read((), count).now_or_never()), Ok(2));
    assert_eq!(now(store.scan((), count).now_or_never()), Ok(2));
    assert!(now(store.write(2, create).now_or_never()).is_err());
    let write = async |rx: &mut Rx, (): &()| {
        rx.one::<i64>(sql!("DELETE FROM account WHERE id = 1 RETURNING id"), &[]).await
    };
    assert!(store.read((), write).await.is_err() && store.scan((), write).await.is_err());
    assert_eq!(store.write((), async |tx: &mut Tx, (): &()| count(tx, &()).await).await, Ok(2));
    let inner = store.clone();
    let nested = async move |_: &mut Tx, (): &()| inner.read((), count).await;
    assert_eq!(store.write((), nested).await, Err(Error::Foreign));
    store.close().await;
}

#[tokio::test]
async fn a_panic_in_a_read_leaves_the_store_usable() {
    let store = open(1).await;
    let same = store.clone();
    let panics = async |_: &mut Rx, (): &()| -> Result<(), Error> { panic!("on purpose") };
    assert!(tokio::spawn(async move { same.read((), panics).await }).await.is_err());
    assert_eq!(store.write(1, create).await, Ok(1));
    assert_eq!(store.read((), count).await, Ok(1));
}
