//! A record of requests and answers, to be compared with a snapshot: request line and body, status line, the headers
//! that clients read, the body.
//!
//! What chance makes (ids, keys, account numbers) is shown under a name, so that drawing one more random number somewhere
//! does not rewrite every snapshot; a thing shows up under its name only if it has the promised form.

use super::{Answer, Call};
use serde_json::Value;
use std::fmt::Write;

/// Headers that a client may act on.
const SHOWN: [&str; 4] = ["content-type", "allow", "retry-after", "www-authenticate"];
/// A longer run of one character is shown as that character and how often it stands there.
const RUN_MAX: usize = 24;

/// Requests and their answers, in order.
#[derive(Default)]
pub struct Record {
    text: String,
    names: Vec<(String, String)>,
    ids: Vec<String>,
}

impl Record {
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows a value under a name from here on and in what is recorded already.
    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    pub fn name(&mut self, name: &str, value: impl ToString) {
        self.names.push((value.to_string(), format!("<{name}>")));
    }

    /// Sends a request and records both sides.
    pub async fn send(&mut self, title: &str, call: Call<'_>) -> Answer {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# {title}\n{} {}", call.method, call.target);
        if !call.body.is_empty() {
            let kind = call
                .headers
                .get("content-type")
                .and_then(|kind| kind.to_str().ok())
                .unwrap_or("no content type");
            let _ = writeln!(self.text, "{kind}: {}", String::from_utf8_lossy(&call.body).replace('\r', ""));
        }
        let answer = call.send().await;
        check(&answer);
        let _ = writeln!(self.text, "\n{}", answer.status);
        for name in SHOWN.iter().filter(|name| answer.headers.contains_key(**name)) {
            let _ = writeln!(self.text, "{name}: {}", answer.header(name));
        }
        let _ = writeln!(self.text, "{}", shown(&answer));
        answer
    }

    /// Sends a request again and again until it is answered with this status, and records that last time. Answers how
    /// many came before it.
    pub async fn send_until<'a>(
        &mut self,
        status: u16,
        title: &str,
        call: impl Fn() -> Call<'a>,
    ) -> (usize, Answer) {
        let begin = self.text.len();
        for before in 0..100 {
            self.text.truncate(begin);
            let answer = self.send(title, call()).await;
            if answer.status.as_u16() == status {
                return (before, answer);
            }
        }
        panic!("{title}: never {status}");
    }

    /// The whole record, as the snapshot has it.
    pub fn text(mut self) -> String {
        let mut text = std::mem::take(&mut self.text);
        // Longer values first: a test key contains no live key, but a number may stand in another.
        self.names.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        for (value, name) in &self.names {
            text = text.replace(value, name);
        }
        shortened(&self.with_ids_named(&text))
    }

    /// Replaces every word of 32 lower-case hexadecimal digits, and every UUID of version 7, by its number of appearance.
    fn with_ids_named(&mut self, text: &str) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(from) = rest.find(is_part) {
            let (before, word) = rest.split_at(from);
            let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            out.push_str(before);
            match form(word) {
                Some(kind) => out.push_str(&self.number(kind, word)),
                None => out.push_str(word),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }

    fn number(&mut self, kind: &str, id: &str) -> String {
        let place = self.ids.iter().position(|known| known == id).unwrap_or_else(|| {
            self.ids.push(id.to_owned());
            self.ids.len() - 1
        });
        format!("<{kind} {}>", place + 1)
    }
}

/// What must hold for every answer of every product.
fn check(answer: &Answer) {
    let id = answer.header("x-request-id");
    assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()), "a request id: {id}");
    if answer.body.is_empty() {
        assert_eq!(answer.status, 204, "only 204 has no body");
        return;
    }
    assert_eq!(answer.header("content-type"), "application/json");
    if !answer.body.ends_with(b"\n") {
        assert_eq!(answer.json().to_string().as_bytes(), answer.body, "compact JSON");
    }
}

/// The hub promises its very bytes, so these are shown as they are; other bodies are spread out to be read.
fn shown(answer: &Answer) -> String {
    match answer.json() {
        Value::Null => String::new(),
        _ if answer.body.ends_with(b"\n") => {
            format!("{}\u{23ce}\n", String::from_utf8_lossy(&answer.body[..answer.body.len() - 1]))
        }
        json => format!("{json:#}\n"),
    }
}

#[expect(clippy::many_single_char_names, reason = "the five parts of a UUID")]
fn form(word: &str) -> Option<&'static str> {
    let hex = |word: &str, length: usize| {
        word.len() == length && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: Vec<&str> = word.split('-').collect();
    match parts[..] {
        [id] if hex(id, 32) => Some("id"),
        [a, b, c, d, e]
            if hex(a, 8) && hex(b, 4) && hex(c, 4) && hex(d, 4) && hex(e, 12) && c.starts_with('7') =>
        {
            Some("uuid")
        }
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut count = 1;
        while chars.next_if_eq(&c).is_some() {
            count += 1;
        }
        if count > RUN_MAX {
            let _ = write!(out, "{c}\u{d7}{count}");
        } else {
            out.extend(std::iter::repeat_n(c, count));
        }
    }
    out
}
