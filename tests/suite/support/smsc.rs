//! Carriers on real sockets: `rookery dev smsc`, and those that others have written.

use super::process::bare;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What has not happened by then never will.
pub const WITHIN: Duration = Duration::from_secs(30);

/// A program that prints lines, and is told others.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    pub fn start(command: &mut Command) -> Program {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Program { child, stdin, lines }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that begins so, and what stood before it.
    pub fn line(&self, begin: &str) -> (String, Vec<String>) {
        let (begun, mut before) = (Instant::now(), Vec::new());
        loop {
            match self.lines.recv_timeout(WITHIN.saturating_sub(begun.elapsed())) {
                Ok(line) if line.starts_with(begin) => return (line, before),
                Ok(line) => before.push(line),
                Err(error) => panic!("no {begin:?}: {error}: {before:#?}"),
            }
        }
    }

    /// All lines until its end, which must be a success.
    pub fn rest(&mut self) -> Vec<String> {
        drop(self.stdin.take());
        let lines: Vec<String> = self.lines.iter().collect();
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}: {lines:#?}");
        lines
    }

    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("a pipe");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("it listens");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `rookery dev smsc --json` on a free port, with what else it is to do.
pub fn smsc(args: &[&str]) -> (Program, SocketAddr) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = bare(folder.path());
    command.args(["dev", "smsc", "--listen", "127.0.0.1:0", "--json", "--stdin"]).args(args);
    let program = Program::start(command.env("SMSC_PASSWORD", "secret"));
    let (line, _) = program.line("{\"listening\"");
    let said: Value = serde_json::from_str(&line).expect("JSON");
    let address = said["listening"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    (program, address)
}

/// What an SMSC counted in all: it is told to end.
pub fn ended(smsc: &mut Program) -> Value {
    let told = Command::new("kill").args(["-s", "TERM", &smsc.child.id().to_string()]).status();
    assert!(told.expect("kill runs").success());
    let last = smsc.rest().pop().expect("a line");
    serde_json::from_str(&last).expect("JSON")
}

/// A program in `tests/sdk`, on the packages of the SDKs.
pub fn peer(name: &str, address: Option<SocketAddr>) -> Program {
    let sdks = std::env::var("ROOKERY_SDK_DIR")
        .expect("ROOKERY_SDK_DIR names the folder with the official SDKs; ./test installs them and sets it");
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/run"));
    let address = address.map_or_else(String::new, |address| address.to_string());
    Program::start(command.arg(name).env("ROOKERY_SDK_DIR", sdks).env("ROOKERY_SMSC", address))
}

/// A carrier written by others, and where it listens.
pub fn carrier(name: &str) -> (Program, SocketAddr) {
    let program = peer(name, None);
    let (line, _) = program.line("listening ");
    let port = line["listening ".len()..].parse().expect("a port");
    (program, SocketAddr::from(([127, 0, 0, 1], port)))
}
