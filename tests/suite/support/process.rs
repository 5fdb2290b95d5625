//! The real binary: as a command that runs and ends, and as a server on free ports of the loopback interface.
//!
//! A process sees nothing of this one's `ROOKERY_*` variables and works in its test's own folder, so no settings file and
//! no data of the developer's get into a test. A server is killed by its process id when its value is dropped.

use super::database::{Home, is_postgres};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What PostgreSQL runs need and `SQLite` ones make by themselves.
pub const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// A server that does not serve by then is broken.
const SERVES_WITHIN: Duration = Duration::from_secs(30);
/// A server that has not ended by then, after it was told to, is broken: it gives itself 10 s.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// What a command left behind.
#[derive(Debug)]
pub struct Done {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Insists on success and on a single JSON document on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, Some(0), "{self:?}");
        assert!(self.stdout.ends_with('\n') && self.stdout.lines().count() == 1, "one document: {self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Insists on success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, Some(0), "{self:?}");
        self
    }

    /// Insists on exit status 1, nothing on standard output, and one line on standard error that says `what`.
    #[track_caller]
    pub fn fails(&self, what: &str) {
        assert_eq!((self.status, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        assert_eq!(self.complaints().len(), 1, "{self:?}");
        assert!(self.stderr.contains(what), "{what:?} is not said: {self:?}");
    }

    /// The lines on standard error that are not log lines.
    pub fn complaints(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| !line.contains(" INFO ")).collect()
    }
}

/// `rookery` on a test's own database and folder. Options are added with the usual methods of [`Command`].
pub fn rookery(home: &Home) -> Command {
    let mut command = bare(home.folder());
    command.env("ROOKERY_DATABASE", home.url()).env("ROOKERY_DATA_DIR", home.folder());
    if is_postgres() {
        command.env("ROOKERY_MASTER_KEY", MASTER_KEY);
    }
    command
}

/// `rookery` with no settings at all, in a folder.
pub fn bare(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rookery"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROOKERY_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Done {
    finish_with(command, "")
}

/// Runs a command to its end, with this on standard input.
pub fn finish_with(command: &mut Command, input: &str) -> Done {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command that ends without reading closes the pipe, which is its right.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("the command ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Done { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs `rookery ARGS` on a test's own database.
pub fn run(home: &Home, args: &[&str]) -> Done {
    finish(rookery(home).args(args))
}

/// The first of an account's keys with this mode, from the answer of `create --json`.
pub fn key_of<'a>(made: &'a Value, mode: &str) -> &'a str {
    let keys = made["accessKeys"].as_array().expect("keys");
    let key = keys.iter().find(|key| key["mode"] == mode).expect("a key of that mode");
    key["key"].as_str().expect("a text")
}

/// A partner, made by command: what `partner create --json` printed.
pub fn partner(home: &Home, name: &str) -> Value {
    run(home, &["partner", "create", name, "--json"]).json()
}

/// A child, made by command: what `child create --json` printed.
pub fn child(home: &Home, partner: &Value, name: &str) -> Value {
    run(home, &["child", "create", &partner["id"].to_string(), name, "--json"]).json()
}

/// A running server.
pub struct Server {
    child: Child,
    log: Arc<Mutex<String>>,
    stdout: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    plain: Vec<SocketAddr>,
    encrypted: Vec<SocketAddr>,
}

impl Server {
    /// `rookery serve --no-demo --no-rate-limit` on one free port, and waits until it serves.
    pub fn start(home: &Home) -> Self {
        Self::with(home, &["--listen", "127.0.0.1:0", "--no-demo", "--no-rate-limit"])
    }

    /// `rookery serve ARGS`, and waits until it serves on every address that they name.
    pub fn with(home: &Home, args: &[&str]) -> Self {
        let mut command = rookery(home);
        command.arg("serve").args(args);
        let listening = args.windows(2).filter(|pair| matches!(pair[0], "--listen" | "--tls-listen"));
        let addresses = listening.map(|pair| pair[1].split(',').count()).sum::<usize>();
        Self::serving(&mut command, addresses)
    }

    /// Starts a command that serves and waits until it does, on so many addresses.
    pub fn serving(command: &mut Command, addresses: usize) -> Self {
        let mut server = Self::spawn(command);
        let begun = Instant::now();
        loop {
            let log = server.log();
            server.plain = addresses_in(&log, "http");
            server.encrypted = addresses_in(&log, "https");
            if server.plain.len() + server.encrypted.len() >= addresses {
                break;
            }
            if let Some(status) = server.child.try_wait().expect("the server's state") {
                panic!("the server ended with {status}:\n{}", server.log());
            }
            assert!(begun.elapsed() < SERVES_WITHIN, "the server does not serve:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Some(address) = server.plain.first() {
            let healthy = super::http::Client::new(*address).get("/healthz", "");
            assert_eq!(healthy.status, 200, "{}", server.log());
        }
        server
    }

    /// Starts a command without waiting for anything.
    pub fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let (log, first) = gather(child.stderr.take().expect("a pipe"));
        let (stdout, second) = gather(child.stdout.take().expect("a pipe"));
        Server { child, log, stdout, readers: vec![first, second], plain: Vec::new(), encrypted: Vec::new() }
    }

    /// The first address of plain HTTP.
    pub fn address(&self) -> SocketAddr {
        self.plain[0]
    }

    /// All addresses of plain HTTP.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.plain
    }

    /// The first address of HTTPS.
    pub fn tls_address(&self) -> SocketAddr {
        self.encrypted[0]
    }

    /// The first address of SMPP.
    pub fn smpp_address(&self) -> SocketAddr {
        self.smpp_addresses("smpp", 1)[0]
    }

    /// So many addresses of SMPP, `smpp` or `smpps`, as soon as it serves there.
    pub fn smpp_addresses(&self, scheme: &str, count: usize) -> Vec<SocketAddr> {
        let begun = Instant::now();
        loop {
            let addresses = addresses_in(&self.log(), scheme);
            if addresses.len() >= count {
                return addresses;
            }
            assert!(begun.elapsed() < SERVES_WITHIN, "no {scheme}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Everything that it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    /// Everything that it has printed so far.
    pub fn stdout(&self) -> String {
        self.stdout.lock().expect("the output").clone()
    }

    /// What it has printed, as soon as this is in it.
    pub fn stdout_with(&self, word: &str) -> String {
        let begun = Instant::now();
        loop {
            let text = self.stdout();
            if text.contains(word) {
                return text;
            }
            assert!(begun.elapsed() < SERVES_WITHIN, "{word:?} is not printed:\n{text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end, and for the last line of its log.
    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the server's state") {
                for reader in self.readers.drain(..) {
                    reader.join().expect("the output is read");
                }
                return status;
            }
            assert!(begun.elapsed() < ENDS_WITHIN, "the server does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server is killed");
        self.child.wait().expect("the server ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; either way nobody is left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects what a pipe brings, line by line, until it is closed.
fn gather(pipe: impl std::io::Read + Send + 'static) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let text = Arc::new(Mutex::new(String::new()));
    let collected = Arc::clone(&text);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut collected = collected.lock().expect("the text");
            collected.push_str(&line);
            collected.push('\n');
        }
    });
    (text, reader)
}

/// The addresses of a scheme in the lines that say where a server serves.
fn addresses_in(log: &str, scheme: &str) -> Vec<SocketAddr> {
    let lines = log.lines().filter(|line| line.contains("Rookery is serving"));
    let urls = lines.filter_map(|line| line.split_once(&format!("{scheme}://")));
    urls.filter_map(|(_, rest)| rest.split(['"', ' ']).next()?.parse().ok()).collect()
}

/// Asks until the answer is the wanted one, for one second: the time in which a server takes up a change by command.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
pub fn within_a_second<T: PartialEq + std::fmt::Debug>(wanted: T, mut ask: impl FnMut() -> T) {
    let begun = Instant::now();
    loop {
        let seen = ask();
        if seen == wanted {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "after a second still {seen:?}, not {wanted:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
