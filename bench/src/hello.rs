//! The yardstick for HTTP: the server's own stack (axum on hyper-util) around a handler that does nothing.

use std::io::Write as _;
use std::net::Ipv4Addr;

use anyhow::Context as _;
use axum::{Json, Router, routing::get};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[derive(Serialize)]
struct Hello {
    hello: &'static str,
}

/// Prints its address as one line, then serves until standard input ends.
pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("a runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening")?;
        println!("{}", listener.local_addr().context("the own address")?);
        std::io::stdout().flush().context("telling the address")?;
        tokio::select! {
            never = serve(listener) => never,
            end = input_ends() => end,
        }
    })
}

async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let router = Router::new().route("/hello", get(|| async { Json(Hello { hello: "world" }) }));
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        let service = TowerToHyperService::new(router.clone());
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            // A client that goes away in mid-request is not this process's concern.
            auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

/// On a thread of its own: nothing can interrupt it there, and nothing has to.
async fn input_ends() -> anyhow::Result<()> {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || ended.send(std::io::copy(&mut std::io::stdin(), &mut std::io::sink())));
    end.await.context("the thread that waits")?.context("standard input")?;
    Ok(())
}
