//! The OpenAPI document: the committed file is what is served, and it tells of every endpoint.

use crate::support::TestApp;
use rookery::wire::Service;
use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

const PLATFORM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi-platform.json");

#[test]
fn the_committed_documents_are_the_present_ones() {
    for (file, present) in [(FILE, Service::openapi()), (PLATFORM, Service::platform_openapi())] {
        if std::env::var("ROOKERY_UPDATE").as_deref() == Ok("1") {
            std::fs::write(file, &present).unwrap();
        }
        let committed = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            committed == present,
            "{file} is not what is served: run this test with ROOKERY_UPDATE=1 and read the difference"
        );
    }
}

#[test]
fn every_endpoint_of_our_own_is_described_with_its_refusals() {
    let document: Value = serde_json::from_str(&Service::platform_openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    assert_eq!(document["security"][0]["Bearer"], serde_json::json!([]));
    for endpoint in Service::platform_endpoints() {
        let described = &document["paths"][&endpoint.path][endpoint.method.to_lowercase()];
        let responses = described["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{endpoint:?}");
        for status in ["400", "401", "403", "404", "422", "429", "503"] {
            assert!(responses.contains_key(status), "{endpoint:?}: {status}");
        }
        assert!(described["summary"].as_str().is_some_and(|text| !text.is_empty()), "{endpoint:?}");
    }
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
    let documents = [Service::openapi(), Service::platform_openapi()];
    let documents = documents.map(|text| serde_json::from_str::<Value>(&text).unwrap());
    for document in &documents {
        follow(document);
    }
}

fn follow(document: &Value) {
    let mut open = vec![document];
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
    let served = app.request("GET", "/platform/v1/openapi.json").send().await;
    assert_eq!(served.status, 200);
    assert!(served.body == Service::platform_openapi().as_bytes());
}
