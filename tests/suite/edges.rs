//! Edges that a second reading found: each was wrong once, and nothing else would notice.

use crate::support::{TestApp, live, partner_api};
use serde_json::json;

#[tokio::test]
async fn metrics_are_not_for_whom_a_strange_proxy_speaks() {
    let app = TestApp::new().await;
    app.request("GET", "/metrics").send().await.headers.get("content-type").expect("metrics for loopback");
    for header in ["x-forwarded-for", "forwarded"] {
        let answer = app.request("GET", "/metrics").header(header, "for=198.51.100.9").send().await;
        assert_eq!((answer.status.as_u16(), answer.codes()), (404, vec![98]), "{header}");
    }
}

#[tokio::test]
async fn the_hub_takes_no_attributes_from_the_query() {
    let app = TestApp::new().await;
    let partner = app.partner("Acme").await;
    let (key, id) = partner_api(&partner);
    let target = format!("/api/v2/partners/{id}?webhook_url=https://elsewhere.example/");
    let answer =
        app.request("PATCH", &target).header("x-api-key", key).json(&json!({})).send().await.expect(200);
    assert!(answer.get("webhook_url").is_none(), "{answer}");
}

#[tokio::test]
async fn an_empty_filter_is_none_and_a_fraction_is_no_number() {
    let app = TestApp::new().await;
    let partner = app.partner("Acme").await;
    let create =
        |msisdn| app.request("POST", "/contacts").key(live(&partner)).json(&json!({"msisdn": msisdn})).send();
    assert_eq!(create(31_655_500_123.0).await.expect(201)["msisdn"], 31_655_500_123_i64);
    assert_eq!(create(31_655_500_124.5).await.codes(), [10]);
    let list = app.request("GET", "/contacts?msisdn=&name=").key(live(&partner)).send().await.expect(200);
    assert_eq!(list["totalCount"], 1);
}
