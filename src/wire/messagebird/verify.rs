//! Says of a signed request which claim holds and which does not, and what was hashed: docs/spec/01-signing.md. For
//! somebody whose receiver refuses what was sent, or takes what was not.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A request as its receiver saw it.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// With its query, as the receiver believes that it was called.
    pub url: String,
    /// Empty for a GET request.
    pub body: Vec<u8>,
    /// `MessageBird-Signature-JWT`.
    pub token: Option<String>,
    /// `MessageBird-Signature`, the older one.
    pub signature: Option<String>,
    /// `MessageBird-Request-Timestamp`, which goes with that.
    pub timestamp: Option<String>,
    /// When it was received, in Unix seconds.
    pub at: i64,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The claim, or the part of the token or of the older signature.
    pub claim: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What stands there.
    pub found: Option<String>,
    /// What should stand there; never what would make a signature.
    pub expected: Option<String>,
    /// What was hashed or compared, and what to do about it.
    pub about: String,
}

fn check(
    claim: &'static str,
    holds: bool,
    found: Option<String>,
    expected: Option<String>,
    about: impl Into<String>,
) -> Check {
    Check { claim, holds, found, expected, about: about.into() }
}

fn hex(text: &[u8]) -> String {
    crate::core::secret::hex(&Sha256::digest(text))
}

fn fits(key: &[u8], pieces: &[&[u8]], mac: &[u8]) -> bool {
    let Ok(mut own) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    for piece in pieces {
        own.update(piece);
    }
    own.verify_slice(mac).is_ok()
}

/// Looks at everything that the request carries, by the account's key.
pub fn verify(key: &[u8], received: &Received) -> Vec<Check> {
    let mut checks = Vec::new();
    match &received.token {
        Some(token) => token_checks(key, received, token, &mut checks),
        None if received.signature.is_none() => {
            let about = "there is neither MessageBird-Signature-JWT nor MessageBird-Signature";
            checks.push(check("header", false, None, None, about));
        }
        None => {}
    }
    if let Some(signature) = &received.signature {
        legacy_check(key, received, signature, &mut checks);
    }
    checks
}

fn token_checks(key: &[u8], received: &Received, token: &str, checks: &mut Vec<Check>) {
    let parts: Vec<&str> = token.split('.').collect();
    let [head, claims, signature] = parts[..] else {
        let found = Some(format!("{} parts", parts.len()));
        let about = "a token is three parts between dots; check that the header was not cut or split";
        checks.push(check("form", false, found, Some("3 parts".into()), about));
        return;
    };
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let json = |part: &str| serde_json::from_slice::<Value>(&decoded(part)?).ok();
    let (Some(header), Some(claims_json)) = (json(head), json(claims)) else {
        let about = "the first two parts are JSON in base64url without padding";
        checks.push(check("form", false, None, None, about));
        return;
    };
    let alg = header["alg"].as_str().map(str::to_owned);
    let about = "no other algorithm may be accepted, above all not none";
    checks.push(check("alg", alg.as_deref() == Some("HS256"), alg, Some("HS256".into()), about));
    let signed = [head.as_bytes(), b".", claims.as_bytes()];
    let holds = decoded(signature).is_some_and(|mac| fits(key, &signed, &mac));
    let about = "HMAC-SHA256 over the first two parts with the dot between them, by the account's present signing key as \
                 it stands; if it does not hold, the token was changed or signed by another key";
    checks.push(check("signature", holds, None, None, about));

    let text = |name: &str| match &claims_json[name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let issuer = text("iss");
    let about = "who signed";
    checks.push(check(
        "iss",
        issuer.as_deref() == Some("MessageBird"),
        issuer,
        Some("MessageBird".into()),
        about,
    ));
    let number = |name: &str| claims_json[name].as_i64();
    for (claim, holds, side) in [
        ("nbf", number("nbf").is_some_and(|from| from <= received.at), "at most"),
        ("exp", number("exp").is_some_and(|until| until > received.at), "more than"),
    ] {
        let about = "compared with the moment of receiving, in Unix seconds; if it does not hold, compare the clocks, or the \
                     request was kept or sent again";
        checks.push(check(claim, holds, text(claim), Some(format!("{side} {}", received.at)), about));
    }
    let (found, expected) = (text("url_hash"), hex(received.url.as_bytes()));
    let about = format!(
        "SHA-256 over the {} bytes of the URL as given here; if it does not hold, the receiver sees another one than was \
         called: compare scheme, host, port, path and the order of the query, above all behind a proxy",
        received.url.len()
    );
    checks.push(check("url_hash", found.as_deref() == Some(&expected), found, Some(expected), about));
    let found = text("payload_hash");
    let expected = (!received.body.is_empty()).then(|| hex(&received.body));
    let about = format!(
        "SHA-256 over the {} bytes of the body as they arrived; there is none without a body. If it does not hold, hash \
         the bytes themselves, not what a parser made of them",
        received.body.len()
    );
    checks.push(check("payload_hash", found == expected, found, expected, about));
}

fn legacy_check(key: &[u8], received: &Received, signature: &str, checks: &mut Vec<Check>) {
    let Some(timestamp) = &received.timestamp else {
        let about = "MessageBird-Request-Timestamp is missing";
        checks.push(check("legacy_timestamp", false, None, None, about));
        return;
    };
    let query =
        received.url.split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or_default());
    let head = format!("{timestamp}\n{query}\n");
    let digest = Sha256::digest(&received.body);
    let mac = STANDARD.decode(signature).ok();
    let holds = mac.is_some_and(|mac| fits(key, &[head.as_bytes(), &digest], &mac));
    let about = format!(
        "HMAC-SHA256 over the timestamp {timestamp}, a line break, the query `{query}` sorted by key, a line break, and \
         the SHA-256 of the {} bytes of the body ({})",
        received.body.len(),
        crate::core::secret::hex(&digest)
    );
    checks.push(check("legacy_signature", holds, None, None, about));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messagebird::signature::{Signer, canonical};

    const KEY: &[u8] = b"Zk3uW8qLr1Yx6Tn0Bv5Hc9Jd2Mf7Pg4S";
    const NOW: i64 = 1_700_000_000;

    fn received(url: &str, body: &[u8]) -> Received {
        let url = canonical(url, &[]).unwrap();
        let headers = Signer::new(KEY, true).headers(&url, body, NOW, [7; 16]);
        let header =
            |name: &str| headers.iter().find(|(one, _)| *one == name).map(|(_, value)| value.clone());
        Received {
            body: body.to_vec(),
            token: header("MessageBird-Signature-JWT"),
            signature: header("MessageBird-Signature"),
            timestamp: header("MessageBird-Request-Timestamp"),
            at: NOW,
            url,
        }
    }

    fn failing(key: &[u8], received: &Received) -> Vec<&'static str> {
        verify(key, received).into_iter().filter(|check| !check.holds).map(|check| check.claim).collect()
    }

    #[test]
    fn what_was_signed_holds_and_what_was_changed_is_named() {
        let whole = received("https://hooks.example/report?b=2&a=1", b"status=delivered");
        assert_eq!(failing(KEY, &whole), Vec::<&str>::new());
        assert_eq!(failing(KEY, &received("https://hooks.example/", b"")), Vec::<&str>::new());
        assert_eq!(failing(b"another", &whole), ["signature", "legacy_signature"]);
        let changed = |change: &dyn Fn(&mut Received)| {
            let mut changed = whole.clone();
            change(&mut changed);
            failing(KEY, &changed)
        };
        assert_eq!(changed(&|it| it.url = it.url.replace("https", "http")), ["url_hash"]);
        assert_eq!(changed(&|it| it.url.push_str("&c=3")), ["url_hash", "legacy_signature"]);
        assert_eq!(changed(&|it| it.body.push(b'\n')), ["payload_hash", "legacy_signature"]);
        assert_eq!(changed(&|it| it.at += 61), ["exp"]);
        assert_eq!(changed(&|it| it.at -= 6), ["nbf"]);
        assert_eq!(changed(&|it| it.timestamp = None), ["legacy_timestamp"]);
        assert_eq!(changed(&|it| it.token = Some("a.b".into())), ["form"]);
        assert_eq!(changed(&|it| (it.token, it.signature) = (None, None)), ["header"]);
    }

    #[test]
    fn a_token_without_a_signature_is_refused() {
        let mut forged = received("https://hooks.example/", b"");
        let claims = forged.token.as_deref().and_then(|token| token.split('.').nth(1)).unwrap().to_owned();
        forged.token = Some(format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#)));
        forged.signature = None;
        assert_eq!(failing(KEY, &forged), ["alg", "signature"]);
    }
}
