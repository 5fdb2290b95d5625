//! What every installation has beside the vendors' products: health, metrics, the OpenAPI document and its reader.

use crate::home::{Home, status_and_codes};
use crate::support::{BEGIN_US, partner_api};
use rookery::wire::{Options, Service};
use serde_json::json;

#[tokio::test]
async fn metrics_are_for_this_machine_and_name_no_key_and_no_path() {
    let home = Home::new().await;
    let contact = home.contact("31655500001").await;
    let (app, key) = (&home.app, home.key());
    app.request("GET", &format!("/contacts/{contact}?access_key={key}")).send().await.expect(200);
    app.request("GET", "/secretive/path").key(key).send().await.expect(404);
    app.request("SECRETIVE", "/contacts").key(key).send().await.expect(405);
    app.request("GET", "/_voice/secretive").key(key).send().await.expect(404);
    app.request("GET", "/contacts/secretive").key("secretive").send().await.expect(401);
    let scrape = async |peer: &str| app.request("GET", "/metrics").from(peer).send().await;
    let answer = scrape("127.0.0.1").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = String::from_utf8(answer.body).expect("text");
    let line =
        r#"rookery_http_requests_total{surface="rest",method="GET",route="/contacts/{id}",status="200"} 1"#;
    assert!(text.contains(line), "{text}");
    assert!(text.contains(r#"surface="absent",method="other",route="none",status="404""#), "{text}");
    assert!(text.ends_with("# EOF\n"));
    let (api_key, handle) = partner_api(&home.partner);
    for secret in
        [key, api_key, handle, &contact, "31655500001", "secretive", "SECRETIVE", "access_key", "127.0.0.1"]
    {
        assert!(!text.contains(secret), "{secret} is in the metrics:\n{text}");
    }
    assert_eq!(scrape("::1").await.status, 200);
    for stranger in ["192.0.2.1", "10.0.0.1", "2001:db8::1"] {
        assert_eq!(status_and_codes(&scrape(stranger).await), (404, vec![98]), "{stranger}");
    }
    let elsewhere = Home::with(Options { metrics_here: false, ..Options::default() }).await;
    assert_eq!(elsewhere.app.request("GET", "/metrics").send().await.status, 404);
    // What a trusted proxy on this machine passes on is not from this machine.
    let trusted_proxies = vec!["127.0.0.1".parse::<std::net::IpAddr>().expect("an address").into()];
    let behind = Home::with(Options { trusted_proxies, ..Options::default() }).await;
    let passed_on =
        behind.app.request("GET", "/metrics").header("x-forwarded-for", "203.0.113.7").send().await;
    assert_eq!(passed_on.status, 404);
    assert_eq!(behind.app.request("GET", "/metrics").send().await.status, 200);
}

#[tokio::test]
async fn health_is_told_on_every_host_without_a_key() {
    let home = Home::new().await;
    for host in ["localhost", "rest.acme.example", "hub.acme.example", "voice.acme.example"] {
        let get = async |target: &str| {
            home.app.request("GET", target).header("host", host).send().await.expect(200)
        };
        assert_eq!(get("/healthz").await, json!({"status": "ok"}));
        assert_eq!(get("/readyz").await, json!({"status": "ready"}));
    }
    assert_eq!(home.app.request("POST", "/healthz").send().await.status, 405);
}

#[tokio::test]
async fn the_document_lists_every_endpoint() {
    let home = Home::new().await;
    let answer = home.app.request("GET", "/openapi.json").send().await;
    assert_eq!(answer.header("content-type"), "application/json");
    let document = answer.expect(200);
    assert!(document["openapi"].as_str().expect("a version").starts_with("3."));
    for endpoint in Service::endpoints() {
        let operation = &document["paths"][&endpoint.path][endpoint.method.to_lowercase()];
        let (summary, answers) =
            (operation["summary"].as_str().unwrap_or_default(), operation["responses"].as_object());
        assert!(!summary.is_empty(), "{endpoint:?} has no summary");
        assert!(answers.is_some_and(|answers| answers.contains_key("401")), "{endpoint:?} does not say 401");
        // Whoever signs in has no key yet.
        let opens = operation["security"][0].is_object() || endpoint.surface == "token";
        assert!(opens, "{endpoint:?} does not say what opens it");
    }
    let text = String::from_utf8(answer.body).expect("text");
    for reference in text.split("\"$ref\": \"#").skip(1) {
        let pointer = reference.split('"').next().expect("a pointer");
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
    assert_eq!(text, Service::openapi());
}

#[tokio::test]
async fn the_reader_of_the_document_needs_nobody_else() {
    let home = Home::new().await;
    let page = async |file: &str| home.app.request("GET", &format!("/docs/{file}")).send().await;
    let index = page("index.html").await;
    assert_eq!(index.status, 200);
    assert!(index.header("content-type").starts_with("text/html"));
    let policy = index.header("content-security-policy");
    assert!(policy.contains("default-src 'self'") && !policy.contains("http"), "{policy}");
    let html = String::from_utf8(index.body.clone()).expect("text");
    let starter = String::from_utf8(page("swagger-initializer.js").await.body).expect("text");
    for text in [&html, &starter] {
        for reference in ["http://", "https://", "src=\"//", "href=\"//"] {
            assert!(!text.contains(reference), "{reference} in {text}");
        }
    }
    assert!(starter.contains("/openapi.json"), "{starter}");
    let mut files = 0;
    for attribute in ["src=\"", "href=\""] {
        for reference in html.split(attribute).skip(1) {
            let file = reference.split('"').next().expect("a name").trim_start_matches("./");
            let answer = page(file).await;
            assert_eq!((answer.status.as_u16(), answer.body.is_empty()), (200, false), "{file}");
            files += 1;
        }
    }
    assert!(files >= 4, "styles and scripts: {files}");
    assert_eq!(home.app.request("GET", "/docs").send().await.header("location"), "/docs/index.html");
    assert_eq!(page("nothing.js").await.status, 404);
    assert_eq!(page("..%2f..%2fCargo.toml").await.status, 404);
}

#[tokio::test]
async fn the_front_door_leads_a_browser_to_the_reader_and_tells_others_what_this_is() {
    let home = Home::new().await;
    let browser =
        home.app.request("GET", "/").header("accept", "text/html,application/xhtml+xml").send().await;
    assert_eq!((browser.status.as_u16(), browser.header("location")), (303, "/docs/index.html"));
    for accept in ["*/*", "application/json"] {
        let about = home.app.request("GET", "/").header("accept", accept).send().await.expect(200);
        assert_eq!((&about["name"], &about["documentation"]), (&json!("Rookery"), &json!("/docs")));
    }
    // A vendor's host has no front door.
    let rest = home.app.request("GET", "/").header("host", "rest.acme.example").key(home.key()).send().await;
    assert_eq!(status_and_codes(&rest), (404, vec![98]));
    assert_eq!(home.app.clock.now_us() - BEGIN_US, 4_000_000, "a request costs a second");
}
