//! Temporary.
use store::*;
use std::time::*;
const M: &[Migration] = &[Migration { version: 1, name: "x", sql: "-- oldest: 1
CREATE TABLE account (id BIGINT NOT NULL PRIMARY KEY, held BIGINT NOT NULL);
CREATE TABLE message (id BYTEA NOT NULL PRIMARY KEY, account BIGINT NOT NULL, body TEXT NOT NULL);
CREATE TABLE queue (lane BIGINT NOT NULL, id BYTEA NOT NULL, PRIMARY KEY (lane, id)) CLUSTERED;" }];
async fn accept(tx: &mut Tx, a: &i64) -> Result<i64, Error> {
    let held: Option<i64> = tx.maybe(sql!("UPDATE account SET held = held + 1 WHERE id = $1 AND held >= 0 RETURNING held"), &[a]).await?;
    let id: [u8; 16] = tx.id();
    tx.put(sql!("INSERT INTO message (id, account, body) VALUES ($1, $2, $3)"), &[&id, a, &"hello world, this is a message of usual length, is it not?"]).await?;
    tx.put(sql!("INSERT INTO queue (lane, id) VALUES (1, $1)"), &[&id]).await?;
    Ok(held.unwrap_or(0))
}
async fn get(rx: &mut Rx, a: &i64) -> Result<i64, Error> { rx.one(sql!("SELECT held FROM account WHERE id = $1"), &[a]).await }
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let s = Store::open(&url, Options { unnamed_statements: std::env::args().nth(2).is_some(), ..Options::default() }).await.unwrap();
    s.migrate(M).await.unwrap();
    s.write((), async |tx: &mut Tx, (): &()| { for i in 0..100_i64 { tx.put(sql!("INSERT INTO account (id, held) VALUES ($1, 0) ON CONFLICT DO NOTHING"), &[&i]).await?; } Ok::<(), Error>(()) }).await.unwrap();
    for callers in [1_i64, 64, 128, 256] {
        let end = Instant::now() + Duration::from_secs(3);
        let t: Vec<_> = (0..callers).map(|c| { let s = s.clone(); tokio::spawn(async move { let mut l = vec![]; let mut i = c; while Instant::now() < end { let b = Instant::now(); s.write(i % 100, accept).await.unwrap(); l.push(b.elapsed()); i += 7; } l }) }).collect();
        let mut all = vec![]; for x in t { all.extend(x.await.unwrap()); } all.sort();
        println!("{callers} writers: {}/s p50 {:?} p99 {:?} max {:?}", all.len() / 3, all[all.len() / 2], all[all.len() * 99 / 100], all[all.len() - 1]);
    }
    for callers in [1_i64, 32] {
        let end = Instant::now() + Duration::from_secs(2);
        let t: Vec<_> = (0..callers).map(|c| { let s = s.clone(); tokio::spawn(async move { let mut n = 0_u64; let mut i = c; while Instant::now() < end { s.read(i % 100, get).await.unwrap(); n += 1; i += 7; if n % 64 == 0 { tokio::task::yield_now().await; } } n }) }).collect();
        let mut n = 0; for x in t { n += x.await.unwrap(); }
        println!("{callers} readers: {}/s", n / 2);
    }
    s.close().await;
}
