//! Kannel, Debian's own, with its two programs, tuned: a window as large as Rookery's and no logging to speak of.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;

use super::WINDOW;
use crate::http::Connection;
use crate::keeper::{Keeper, Wiring};
use crate::messages::request::{MARK, recipient, text};
use crate::messages::send::Write;
use crate::server::free_port;

/// Where Kannel keeps messages that are on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// Nowhere else: its end loses them.
    Memory,
    /// A file each, never synced.
    Spool,
}

impl Storage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Storage::Memory => "Kannel, in memory",
            Storage::Spool => "Kannel, spool",
        }
    }
}

/// Starts it, waits until it is bound to the SMSC, and tells where it takes messages and its processes.
pub(crate) async fn start(
    keeper: &Keeper,
    storage: Storage,
    smsc: SocketAddr,
) -> anyhow::Result<(SocketAddr, Vec<u32>)> {
    let folder = keeper.folder("kannel")?;
    let (admin, inner, sendsms) = (free_port()?, free_port()?, free_port()?);
    let mut stored = String::new();
    if storage == Storage::Spool {
        let spool = folder.join("spool");
        std::fs::create_dir(&spool).context("the spool")?;
        write!(stored, "store-type = spool\nstore-location = {}\n", spool.display())?;
    }
    let configuration = format!(
        "group = core\nadmin-port = {admin}\nadmin-password = bench\nadmin-interface = 127.0.0.1\n\
         smsbox-port = {inner}\nsmsbox-interface = 127.0.0.1\nlog-level = 3\ndlr-storage = internal\n{stored}\n\
         group = smsc\nsmsc = smpp\nsmsc-id = bench\nhost = {}\nport = {}\nsmsc-username = bench\nsmsc-password = bench\n\
         system-type = \"\"\ntransceiver-mode = true\nmax-pending-submits = {WINDOW}\n\n\
         group = smsbox\nbearerbox-host = 127.0.0.1\nsendsms-port = {sendsms}\nsendsms-interface = 127.0.0.1\nlog-level = 3\n\n\
         group = sendsms-user\nusername = bench\npassword = bench\nmax-messages = 3\n",
        smsc.ip(),
        smsc.port()
    );
    std::fs::write(folder.join("kannel.conf"), configuration).context("kannel.conf")?;
    let mut processes = Vec::new();
    for (name, port) in [("bearerbox", admin), ("smsbox", sendsms)] {
        let program = Path::new("/usr/sbin").join(name);
        ensure!(program.exists(), "Kannel is missing: apt-get install kannel");
        let mut command = Command::new(program);
        command.args(["-v", "3", "kannel.conf"]).current_dir(&folder);
        let log = Wiring::Log(folder.join(format!("{name}.log")), Signal::TERM);
        let started = keeper.start(name, command, log)?;
        ready(keeper, started.id, local(port)).await?;
        processes.push(started.id);
    }
    bound(local(admin)).await?;
    Ok((local(sendsms), processes))
}

/// Writes requests that ask for one receipt, of delivery.
pub(crate) fn requests(address: SocketAddr, report_url: &str) -> Arc<Write> {
    let report_url = escaped(report_url);
    Arc::new(move |n, to, _| {
        to.clear();
        let written = write!(
            to,
            "GET /cgi-bin/sendsms?username=bench&password=bench&from=Bakery&to={}&text={}&dlr-mask=1\
             &dlr-url={report_url}%3Freference%3D{MARK}{n}%26status%3Ddelivered HTTP/1.1\r\nHost: {address}\r\n\r\n",
            recipient(n),
            text(n).replace(' ', "+")
        );
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    })
}

/// As a value in a query.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

async fn ready(keeper: &Keeper, process: u32, address: SocketAddr) -> anyhow::Result<()> {
    let begin = Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_err() {
        keeper.must_live(process)?;
        if begin.elapsed() > Duration::from_secs(20) {
            bail!("Kannel does not listen on {address}\n{}", keeper.log_end(process));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn bound(admin: SocketAddr) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let mut connection = Connection::open(admin).await?;
        let request =
            format!("GET /status.txt?password=bench HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        let answer = connection.exchange(request.as_bytes()).await?;
        if String::from_utf8_lossy(answer.body).contains("(online") {
            return Ok(());
        }
        ensure!(begin.elapsed() < Duration::from_secs(20), "Kannel does not bind: {}", answer.excerpt());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
