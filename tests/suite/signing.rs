//! The signature of requests to customers, against the data by which the vendor's own SDKs test their validators.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rookery::wire::signature::{Claims, Signer, canonical};
use serde_json::Value;

/// What the Node SDK brings along (docs/spec/01-signing.md section 2.5).
fn vectors() -> Vec<Value> {
    let sdks = std::env::var("ROOKERY_SDK_DIR")
        .expect("ROOKERY_SDK_DIR names the folder with the official SDKs; ./test installs them and sets it");
    let file =
        format!("{sdks}/node/node_modules/messagebird/lib/testdata/webhook-signature-jwt-reference.json");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).expect("an array")
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap_or_default()
}

/// The header and the claims of a token.
fn opened(token: &str) -> (Value, Value) {
    let mut pieces = token.split('.').map(|piece| URL_SAFE_NO_PAD.decode(piece).expect("base64"));
    let mut json = || serde_json::from_slice(&pieces.next().expect("a piece")).expect("JSON");
    (json(), json())
}

/// The bytes of a UUID.
fn uuid(text: &str) -> [u8; 16] {
    u128::from_str_radix(&text.replace('-', ""), 16).expect("a UUID").to_be_bytes()
}

/// Our token for the request of a vector, with what its own token says of time and chance; none if it does not say it.
fn ours(vector: &Value) -> Option<String> {
    let (_, claims) = opened(text(vector, "token"));
    let (nbf, exp, jti) = (claims["nbf"].as_i64()?, claims["exp"].as_i64()?, uuid(claims["jti"].as_str()?));
    let body = text(vector, "payload").as_bytes();
    let mut claims = Claims::new(text(vector, "url"), body, 0, jti);
    (claims.nbf, claims.exp) = (nbf, exp);
    Some(Signer::new(text(vector, "secret").as_bytes(), true).token(&claims))
}

#[test]
fn what_the_sdks_accept_is_what_is_signed() {
    let vectors = vectors();
    let mut accepted = 0;
    for vector in vectors.iter().filter(|vector| vector["valid"] == true) {
        let name = text(vector, "name");
        let ours = ours(vector).expect("a token that says it all");
        let ((header, claims), theirs) = (opened(&ours), opened(text(vector, "token")));
        assert_eq!(claims, theirs.1, "{name}");
        assert_eq!(claims.to_string(), theirs.1.to_string(), "{name}: the claims' order");
        if theirs.0["alg"] == "HS256" {
            assert_eq!((header, ours.as_str()), (theirs.0, text(vector, "token")), "{name}");
        }
        // The URL that they received is the one that we would call.
        assert_eq!(canonical(text(vector, "url"), &[]).as_deref(), Some(text(vector, "url")), "{name}");
        accepted += 1;
    }
    assert_eq!((accepted, vectors.len()), (24, 44));
}

#[test]
fn what_the_sdks_refuse_is_not_what_is_signed() {
    let mut refused = 0;
    for vector in vectors().iter().filter(|vector| vector["valid"] == false) {
        let name = text(vector, "name");
        let (_, claims) = opened(text(vector, "token"));
        let received: jiff::Timestamp = text(vector, "timestamp").parse().expect("a moment");
        let life = claims["nbf"].as_i64().unwrap_or(i64::MIN)..=claims["exp"].as_i64().unwrap_or(i64::MAX);
        let same = ours(vector).is_some_and(|ours| ours == text(vector, "token"));
        let in_time = life.contains(&received.as_second());
        assert!(!same || !in_time, "{name}");
        // Each is refused for the reason that it names.
        let timely = text(vector, "reason").contains("nbf is") || text(vector, "reason").contains("exp is");
        assert_eq!(in_time, !timely, "{name}");
        refused += 1;
    }
    assert_eq!(refused, 20);
}

#[test]
fn a_query_out_of_order_is_put_in_order() {
    let vectors = vectors();
    let moved =
        vectors.iter().find(|vector| text(vector, "name").contains("out of order")).expect("a vector");
    let url = canonical(text(moved, "url"), &[]).expect("a URL");
    assert_ne!(url, text(moved, "url"));
    let in_order = ours(&{
        let mut vector = moved.clone();
        vector["url"] = url.into();
        vector
    });
    assert_eq!(in_order.as_deref(), Some(text(moved, "token")));
}
