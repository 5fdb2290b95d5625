//! What a request to a customer's URL is signed with, so that the receiver can tell who sent it: docs/spec/01-signing.md.
//!
//! Both schemes: the token, which covers the URL and the body, and the older pair of headers, which covers the query and
//! the body. Receivers rebuild what they check from the request, so the URL that is signed is the one to call.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use url::Url;

/// Seconds by which a token begins to be valid earlier: one SDK grants clocks no difference at all (section 2.1).
const EARLIER: i64 = 5;
/// Seconds for which a token is valid from the moment of sending (section 2.1).
const LIFE: i64 = 60;
/// The header of every token, `{"alg":"HS256","typ":"JWT"}` (section 2.1), encoded.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// The form of a customer's URL that is signed and called (section 2.2): pairs that the platform adds behind the
/// customer's own, all sorted by key and encoded as a form; no fragment, no default port, nothing but ASCII.
///
/// None if the text is no absolute `http` or `https` URL, or names a user: a password in it would stand in logs.
pub fn canonical(url: &str, added: &[(&str, &str)]) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    let plain = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain {
        return None;
    }
    let given = url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let given = given.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    });
    let added = added.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = given.chain(added).collect();
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut query = String::new();
    for (key, value) in &pairs {
        if !query.is_empty() {
            query.push('&');
        }
        encode(key, &mut query);
        query.push('=');
        encode(value, &mut query);
    }
    url.set_query((!pairs.is_empty()).then_some(query.as_str()));
    url.set_fragment(None);
    Some(url.into())
}

/// The bytes of a key or value in a query. They need not be text: a customer's own Latin-1 must come back as it was.
fn decoded(text: &str) -> Vec<u8> {
    let digit =
        |byte: Option<&u8>| char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        bytes.push(match (first, digit(rest.first()), digit(rest.get(1))) {
            (b'%', Some(high), Some(low)) => {
                rest = &rest[2..];
                high * 16 + low
            }
            (b'+', ..) => b' ',
            _ => *first,
        });
    }
    bytes
}

/// Encodes as Go's form encoder does, whose validator encodes anew what it received (section 3.2). It differs from the
/// browsers' in `*`, which it encodes, and `~`, which it does not.
fn encode(bytes: &[u8], to: &mut String) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => to.push(char::from(*byte)),
            b' ' => to.push('+'),
            // Writing to a String does not fail.
            _ => _ = write!(to, "%{byte:02X}"),
        }
    }
}

/// What a token says (section 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Valid from, in Unix seconds.
    pub nbf: i64,
    /// Valid until, in Unix seconds.
    pub exp: i64,
    /// No other token has it; written as a UUID.
    pub jti: [u8; 16],
    url_hash: [u8; 32],
    /// Absent without a body (section 2.3).
    payload_hash: Option<[u8; 32]>,
}

impl Claims {
    /// Of a request sent `now`, in Unix seconds, to a [`canonical`] URL. Of the random bytes a version 4 UUID is made.
    pub fn new(url: &str, body: &[u8], now: i64, random: [u8; 16]) -> Self {
        let mut jti = random;
        jti[6] = (jti[6] & 0x0F) | 0x40;
        jti[8] = (jti[8] & 0x3F) | 0x80;
        Claims {
            nbf: now.saturating_sub(EARLIER),
            exp: now.saturating_add(LIFE),
            jti,
            url_hash: Sha256::digest(url).into(),
            payload_hash: (!body.is_empty()).then(|| Sha256::digest(body).into()),
        }
    }

    /// As JSON, in the order of the vendor's own tokens. Nothing in it needs escaping.
    fn json(&self) -> String {
        let Claims { nbf, exp, .. } = self;
        let jti = hex(&self.jti);
        let mut json = format!(
            r#"{{"iss":"MessageBird","nbf":{nbf},"exp":{exp},"jti":"{}-{}-{}-{}-{}","url_hash":"{}""#,
            &jti[..8],
            &jti[8..12],
            &jti[12..16],
            &jti[16..20],
            &jti[20..],
            hex(&self.url_hash)
        );
        if let Some(hash) = &self.payload_hash {
            json.extend([r#","payload_hash":""#, &hex(hash), "\""]);
        }
        json.push('}');
        json
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// Signs with an account's key, whose text is the key as it stands (section 1).
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    key: &'a [u8],
    legacy: bool,
}

impl<'a> Signer<'a> {
    /// `legacy` adds the older pair of headers, which an account may switch off.
    pub fn new(key: &'a [u8], legacy: bool) -> Self {
        Signer { key, legacy }
    }

    /// The headers of a request to a [`canonical`] URL, sent `now`, in Unix seconds. Every attempt needs its own: all
    /// of them expire, and receivers may refuse a token that they have seen (section 4).
    pub fn headers(&self, url: &str, body: &[u8], now: i64, random: [u8; 16]) -> Vec<(&'static str, String)> {
        let token = self.token(&Claims::new(url, body, now, random));
        let mut headers = vec![("MessageBird-Signature-JWT", token)];
        if self.legacy {
            let query = url.split_once('?').map_or("", |(_, query)| query);
            headers.push(("MessageBird-Signature", self.legacy(query, body, now)));
            headers.push(("MessageBird-Request-Timestamp", now.to_string()));
        }
        headers
    }

    /// The token that says this (section 2.1).
    pub fn token(&self, claims: &Claims) -> String {
        let mut token = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(claims.json()));
        let mac = self.mac(&[token.as_bytes()]);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(mac, &mut token);
        token
    }

    /// The older signature (section 3.2).
    fn legacy(&self, query: &str, body: &[u8], now: i64) -> String {
        let head = format!("{now}\n{query}\n");
        STANDARD.encode(self.mac(&[head.as_bytes(), &Sha256::digest(body)]))
    }

    fn mac(&self, pieces: &[&[u8]]) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key) else {
            unreachable!("HMAC takes a key of any length")
        };
        for piece in pieces {
            mac.update(piece);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &[u8] = b"Zk3uW8qLr1Yx6Tn0Bv5Hc9Jd2Mf7Pg4S";
    const NOW: i64 = 1_700_000_000;
    const JTI: [u8; 16] = 0x5b0e_7f3c_2c41_4d7a_9d0e_6a1f_3b8c_9e24_u128.to_be_bytes();

    fn plain(url: &str) -> Option<String> {
        canonical(url, &[])
    }

    #[test]
    fn the_worked_example_comes_out() {
        let url = plain("https://hooks.example.org/dlr?b=2&a=x y").unwrap();
        assert_eq!(url, "https://hooks.example.org/dlr?a=x+y&b=2");
        let claims =
            Claims { nbf: NOW, exp: NOW + 60, ..Claims::new(&url, br#"{"status":"delivered"}"#, 0, JTI) };
        assert_eq!(
            claims.json(),
            concat!(
                r#"{"iss":"MessageBird","nbf":1700000000,"exp":1700000060,"#,
                r#""jti":"5b0e7f3c-2c41-4d7a-9d0e-6a1f3b8c9e24","#,
                r#""url_hash":"bce94358b0e6ce2ca04d9384f57ce8c88a9f4bbb8c802bac4f2e93986d4dd304","#,
                r#""payload_hash":"2499358d3b73660dd38ee30338a37045ae22062c41f1be9df142285a615a6ae9"}"#
            )
        );
        assert_eq!(
            Signer::new(KEY, true).token(&claims),
            concat!(
                "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTcwMDAwMDAwMCwiZXhwIjoxNz",
                "AwMDAwMDYwLCJqdGkiOiI1YjBlN2YzYy0yYzQxLTRkN2EtOWQwZS02YTFmM2I4YzllMjQiLCJ1cmxfaGFzaCI6ImJjZTk0MzU4Yj",
                "BlNmNlMmNhMDRkOTM4NGY1N2NlOGM4OGE5ZjRiYmI4YzgwMmJhYzRmMmU5Mzk4NmQ0ZGQzMDQiLCJwYXlsb2FkX2hhc2giOiIyND",
                "k5MzU4ZDNiNzM2NjBkZDM4ZWUzMDMzOGEzNzA0NWFlMjIwNjJjNDFmMWJlOWRmMTQyMjg1YTYxNWE2YWU5In0",
                ".0ZUVoDbLd7iRH_hzhSb-haRsdVts7sQYD7trbn8214g"
            )
        );
        let headers = Signer::new(KEY, true).headers(&url, br#"{"status":"delivered"}"#, NOW, JTI);
        assert_eq!(
            headers[1..],
            [
                ("MessageBird-Signature", "yw6du53Rl0XKMg9vTEGafIejNnEgYN4yqlUksC91xIA=".to_owned()),
                ("MessageBird-Request-Timestamp", "1700000000".to_owned())
            ]
        );
    }

    #[test]
    fn a_token_is_valid_for_a_minute_and_begins_a_little_earlier() {
        let claims = Claims::new("https://example.com/", b"", NOW, [0xFF; 16]);
        assert_eq!((claims.nbf, claims.exp), (NOW - 5, NOW + 60));
        assert!(claims.json().contains(r#""jti":"ffffffff-ffff-4fff-bfff-ffffffffffff""#));
        // Not even an empty text stands for what is not there.
        assert!(!claims.json().contains("payload_hash"));
        let headers = Signer::new(KEY, false).headers("https://example.com/", b"", NOW, [0xFF; 16]);
        assert_eq!(headers, [("MessageBird-Signature-JWT", Signer::new(KEY, false).token(&claims))]);
    }

    /// Section 3.3.
    #[test]
    fn the_older_signatures_come_out() {
        const Q1: &str = "id=eef0ab57a9e049be946f3821568c2b2e&mccmnc=20408&ported=1&recipient=31612345678&reference=FOO\
                          &status=delivered&statusDatetime=2019-01-11T09%3A17%3A11%2B00%3A00";
        const Q2: &str = "id=57db52e04e2f4001b555f79813a0f503&mccmnc=20409&ported=0&recipient=31667788880\
                          &reference=curl&status=delivered&statusDatetime=2019-01-09T12%3A23%3A23%2B00%3A00";
        for (key, timestamp, query, body, signature) in [
            ("secret", 1_544_544_948, "", "", "LISw4Je7n0/MkYDgVSzTJm8dW6BkytKTXMZZk1IElMs="),
            (
                "secret",
                1_544_544_948,
                "",
                r#"{"a key":"some value"}"#,
                "p2e20OtAg39DEmz1ORHpjQ556U4o1ZaH4NWbM9Q8Qjk=",
            ),
            ("secret", 1_544_544_948, "abc=foo&def=bar", "", "Tfn+nRUBsn6lQgf6IpxBMS1j9lm7XsGjt5xh47M3jCk="),
            ("secret", 1_544_544_948, "def=bar&abc=foo", "", "Tfn+nRUBsn6lQgf6IpxBMS1j9lm7XsGjt5xh47M3jCk="),
            (
                "other-secret",
                1_544_544_948,
                "abc=foo&def=bar",
                r#"{"a key":"some value"}"#,
                "orb0adPhRCYND1WCAvPBr+qjm4STGtyvNDIDNBZ4Ir4=",
            ),
            (
                "PlLrKaqvZNRR5zAjm42ZT6q1SQxgbbGd",
                1_547_198_231,
                Q1,
                "",
                "KVBdcVdz2lYMwcBLZCRITgxUfA/WkwSi+T3Wxl2HL6w=",
            ),
            (
                "PlLrKaqvZNRR5zAjm42ZT6q1SQxgbbGd",
                1_547_198_231,
                Q1,
                r#"{"foo":"bar"}"#,
                "2bl+38H4oHVg03pC3bk2LvCB0IHFgfC4cL5HPQ0LdmI=",
            ),
            (
                "Wb3N9gKeFf8ZoCzlOb5lJSic7bHLUcSu",
                1_547_036_603,
                Q2,
                "",
                "5Jha9Yyhwgc1nTsgJ9WyzeHilsuUumydICdf4LuIZE8=",
            ),
        ] {
            let url = plain(&format!("https://example.com/path?{query}")).unwrap();
            let headers = Signer::new(key.as_bytes(), true).headers(&url, body.as_bytes(), timestamp, JTI);
            assert_eq!(headers[1], ("MessageBird-Signature", signature.to_owned()), "{query} {body}");
            assert_eq!(headers[2].1, timestamp.to_string());
        }
    }

    #[test]
    fn a_url_is_written_in_one_way() {
        for (given, expected) in [
            ("https://example.com", "https://example.com/"),
            ("https://example.com?", "https://example.com/"),
            ("HTTPS://EXAMPLE.com:443/A#top", "https://example.com/A"),
            ("http://example.com:80/", "http://example.com/"),
            ("https://example.com:80/", "https://example.com:80/"),
            ("https://example.com:8080/", "https://example.com:8080/"),
            ("https://example.com/?b=1&a=2&b=0&a=1", "https://example.com/?a=2&a=1&b=1&b=0"),
            ("https://example.com/?a1=x&a=y", "https://example.com/?a=y&a1=x"),
            ("https://example.com/?a&b=&&=c", "https://example.com/?=c&a=&b="),
            (
                "https://example.com/?obj[field2]=val2&obj[field1]=val1&param=value with spaces",
                "https://example.com/?obj%5Bfield1%5D=val1&obj%5Bfield2%5D=val2&param=value+with+spaces",
            ),
            ("https://example.com/?a=%c3%a9+%e9%2B%zz%4", "https://example.com/?a=%C3%A9+%E9%2B%25zz%254"),
            (
                "https://example.com/?a=*~'!(b);c/d:e@f",
                "https://example.com/?a=%2A~%27%21%28b%29%3Bc%2Fd%3Ae%40f",
            ),
            ("https://bücher.example/käse?ö=ü", "https://xn--bcher-kva.example/k%C3%A4se?%C3%B6=%C3%BC"),
            ("https://example.com/a/../b c/", "https://example.com/b%20c/"),
            ("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080/"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("https://@example.com/", "https://example.com/"),
        ] {
            assert_eq!(plain(given).as_deref(), Some(expected), "{given}");
        }
        for refused in [
            "",
            "/dlr",
            "example.com/dlr",
            "//example.com/",
            "https://",
            "https:///?a=1",
            "ftp://example.com/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://user@example.com/",
            "https://user:secret@example.com/",
            "https://:secret@example.com/",
            "https://example.com:99999/",
            "https://exa mple.com/",
        ] {
            assert_eq!(plain(refused), None, "{refused}");
        }
    }

    #[test]
    fn the_platforms_pairs_stand_behind_the_customers() {
        assert_eq!(
            canonical(
                "https://example.com/?status=mine&id=1",
                &[("status", "delivered"), ("at", "2019-01-11T09:17:11+00:00")]
            )
            .as_deref(),
            Some(
                "https://example.com/?at=2019-01-11T09%3A17%3A11%2B00%3A00&id=1&status=mine&status=delivered"
            )
        );
        assert_eq!(
            canonical("https://example.com", &[("a", "")]).as_deref(),
            Some("https://example.com/?a=")
        );
    }

    proptest! {
        #[test]
        fn canonical_is_canonical(
            path in "[ -~é]{0,20}",
            query in "[ -~é漢]{0,40}",
            key in "\\PC{1,8}",
            value in "\\PC{0,8}",
        ) {
            let url = canonical(&format!("https://example.com/{path}?{query}#x"), &[(&key, &value)]).unwrap();
            prop_assert_eq!(plain(&url), Some(url.clone()));
            prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{}", url);
            // An HTTP client takes it as it is.
            prop_assert_eq!(url.parse::<axum::http::Uri>().unwrap().to_string(), url.as_str());
            let (_, query) = url.split_once('?').unwrap();
            let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            prop_assert!(pairs.contains(&(key, value)));
        }

        #[test]
        fn all_that_is_signed_makes_a_difference(body in prop::collection::vec(any::<u8>(), 0..40), now in 0i64..1 << 40) {
            let signer = Signer::new(KEY, true);
            let url = "https://example.com/?a=1";
            let headers = signer.headers(url, &body, now, JTI);
            let longer = [body.as_slice(), b"x"].concat();
            for other in [
                signer.headers("https://example.com/?a=2", &body, now, JTI),
                signer.headers(url, &longer, now, JTI),
                signer.headers(url, &body, now + 1, JTI),
                Signer::new(b"another", true).headers(url, &body, now, JTI),
            ] {
                prop_assert_ne!(&headers[0].1, &other[0].1);
                prop_assert_ne!(&headers[1].1, &other[1].1);
            }
        }
    }
}
