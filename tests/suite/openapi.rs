//! The OpenAPI document: the committed file is what is served, and it tells of every endpoint.

use crate::support::TestApp;
use rookery::wire::Service;
use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

#[test]
fn the_committed_document_is_the_present_one() {
    let present = Service::openapi();
    if std::env::var("ROOKERY_UPDATE").as_deref() == Ok("1") {
        std::fs::write(FILE, &present).unwrap();
    }
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        committed == present,
        "docs/openapi.json is not what is served: run this test with ROOKERY_UPDATE=1 and read the difference"
    );
}

#[test]
fn every_endpoint_is_described_with_its_success_and_its_401() {
    let document: Value = serde_json::from_str(&Service::openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let endpoints = Service::endpoints();
    assert!(endpoints.len() >= 20, "{endpoints:?}");
    for endpoint in &endpoints {
        let described = &document["paths"][&endpoint.path][endpoint.method.to_lowercase()];
        let responses =
            described["responses"].as_object().unwrap_or_else(|| panic!("{endpoint:?} is not described"));
        let successes = responses.keys().filter(|status| status.starts_with('2')).count();
        assert!(successes >= 1 && responses.contains_key("401"), "{endpoint:?}: {:?}", responses.keys());
        assert!(
            described["summary"].as_str().is_some_and(|text| !text.is_empty()),
            "{endpoint:?} has no summary"
        );
        if endpoint.surface == "token" {
            // Whoever signs in has no key yet.
            continue;
        }
        assert!(
            described["security"].as_array().is_some_and(|any| !any.is_empty()),
            "{endpoint:?} needs no key"
        );
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document: Value = serde_json::from_str(&Service::openapi()).unwrap();
    let mut open = vec![&document];
    let mut followed = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
                    followed += 1;
                }
                open.extend(members.values());
            }
            _ => {}
        }
    }
    assert!(followed > 0);
}

#[tokio::test]
async fn the_served_document_is_the_same() {
    let app = TestApp::new().await;
    let served = app.request("GET", "/openapi.json").send().await;
    assert_eq!(served.status, 200);
    assert!(served.body == Service::openapi().as_bytes());
}
