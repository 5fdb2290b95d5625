//! Message number `n`: which account sends it, to whom, and how its report is recognised.

use std::fmt::Write as _;

use crate::load::Target;
use crate::server::Account;

/// What the number of a message follows in its reference and its text.
pub(crate) const MARK: &str = "bench-";

/// About as long as most texts are: 80 characters, one part. An SMSC knows the message by it.
pub(crate) fn text(n: u64) -> String {
    format!("Parcel {MARK}{n:08} is on its way and arrives tomorrow between nine and eleven")
}

/// Whom a message is for. 73,804,217 and 10^8 have no common divisor: neighbours are far apart, as in life.
pub(crate) fn recipient(n: u64) -> String {
    format!("316{:08}", n % 100_000_000 * 73_804_217 % 100_000_000)
}

/// Writes requests. Accounts take turns.
pub(crate) struct Requests {
    heads: Vec<String>,
    report_url: String,
}

impl Requests {
    pub(crate) fn new(senders: &[Account], report_url: &str) -> Self {
        let heads = senders.iter().map(|sender| head(&sender.target)).collect();
        Self { heads, report_url: report_url.to_owned() }
    }

    /// The request for message `n` in place of what `to` held; `body` is a buffer.
    pub(crate) fn write(&self, n: u64, to: &mut String, body: &mut String) {
        let senders = u64::try_from(self.heads.len()).unwrap_or(u64::MAX);
        let turn = usize::try_from(n % senders).unwrap_or_default();
        body.clear();
        to.clear();
        to.push_str(&self.heads[turn]);
        let written = write!(
            body,
            r#"{{"originator":"Bakery","recipients":["{}"],"body":"{}","reference":"{MARK}{n}","reportUrl":"{}"}}"#,
            recipient(n),
            text(n),
            self.report_url
        )
        .and_then(|()| {
            write!(to, "Idempotency-Key: {MARK}{n}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        });
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
}

/// The number of the message that has this reference.
pub(crate) fn number(reference: &str) -> Option<u64> {
    reference.strip_prefix(MARK)?.parse().ok()
}

fn head(target: &Target) -> String {
    format!(
        "POST /messages HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nAuthorization: {}\r\n\
         Content-Type: application/json\r\n",
        target.address,
        target.authorization.as_deref().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    #[test]
    fn every_message_is_another_one_and_is_recognised() {
        let target = |key: &str| Target {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            authorization: Some(key.into()),
        };
        let senders = ["AccessKey a", "AccessKey b"].map(|key| Account { id: 1, target: target(key) });
        let requests = Requests::new(&senders, "http://127.0.0.1:2/reports");
        let (mut request, mut body) = (String::new(), String::new());
        let mut recipients = HashSet::new();
        for n in 0..1_000 {
            requests.write(n, &mut request, &mut body);
            assert!(request.contains(if n % 2 == 0 { "AccessKey a\r\n" } else { "AccessKey b\r\n" }));
            assert!(request.ends_with(&format!("Content-Length: {}\r\n\r\n{body}", body.len())));
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(json["body"].as_str().unwrap().len(), 80);
            assert_eq!(number(json["reference"].as_str().unwrap()), Some(n));
            assert!(recipients.insert(json["recipients"][0].as_str().unwrap().to_owned()));
        }
    }
}
