//! Methods, paths, hosts and headers, which are alike for every endpoint, each shown on one or two
//! (docs/spec/00-overview.md sections 1, 3 and 4).

use crate::exact::{ask, send};
use crate::home::{Home, allowed, id, status_and_codes};
use crate::support::channels::channel_key;
use crate::support::{live, partner_api};
use rookery::wire::{Options, Service};
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test]
async fn a_method_may_be_asked_for_in_the_query() {
    let home = Home::new().await;
    let (app, key) = (&home.app, home.key());
    for (number, method) in ["GET", "POST"].into_iter().enumerate() {
        for (more, word) in ["POST", "post", "=POST", "%3DPOST"].into_iter().enumerate() {
            let target = format!("/contacts?_method={word}&msisdn=3165550{number}{more}00");
            let made = app.request(method, &target).key(key).send().await;
            let contact = format!("/contacts/{}", id(&made));
            for word in ["PUT", "Patch", "=PATCH"] {
                let changed = app
                    .request(method, &format!("{contact}?_method={word}&firstName={number}{word}"))
                    .key(key)
                    .send()
                    .await;
                assert_eq!(changed.expect(200)["firstName"], format!("{number}{word}").as_str());
            }
            let gone = app.request(method, &format!("{contact}?_method=delete")).key(key).send().await;
            assert_eq!(gone.status, 204);
            app.request("GET", &contact).key(key).send().await.expect(404);
        }
        let odd = app.request(method, "/contacts?_method=FOO").key(key).send().await;
        assert_eq!(status_and_codes(&odd), (405, vec![98]));
        assert_eq!(allowed(&odd), "DELETE,GET,PATCH,POST,PUT");
        let none = app.request(method, "/balance?_method=PATCH").key(key).send().await;
        assert_eq!((status_and_codes(&none), allowed(&none)), ((405, vec![98]), "GET,HEAD".into()));
    }
    // Other methods mean themselves, and the hub has no such convention.
    let contact = home.contact("31655509999").await;
    let gone = app.request("DELETE", &format!("/contacts/{contact}?_method=GET")).key(key).send().await;
    assert_eq!(gone.status, 204);
    let (api_key, handle) = partner_api(&home.partner);
    let target = format!("/api/v2/partners/{handle}?_method=PATCH&allow_client_to_add_phone_no=false");
    let seen = app.request("GET", &target).header("x-api-key", api_key).send().await.expect(200);
    assert_eq!(seen["allow_client_to_add_phone_no"], true);
    app.settle().await;
}

#[tokio::test]
async fn unknown_methods_and_paths_are_refused_in_shape_after_the_key() {
    let home = Home::new().await;
    let app = &home.app;
    for method in ["FOO", "OPTIONS", "TRACE"] {
        let answer = app.request(method, "/contacts").key(home.key()).send().await;
        assert_eq!(
            (status_and_codes(&answer), allowed(&answer)),
            ((405, vec![98]), "GET,HEAD,POST".into()),
            "{method}"
        );
    }
    for target in
        ["/nothing", "/contacts/x/y/z", "/", "/_nothing/x", "/v1/contacts", "/contactsx", "//contacts"]
    {
        let target = if target == "/" { "/_rest" } else { target };
        let answer = app.request("GET", target).key(home.key()).send().await;
        assert_eq!(status_and_codes(&answer), (404, vec![98]), "{target}");
        let stranger = app.request("GET", target).send().await;
        assert_eq!(status_and_codes(&stranger), (401, vec![2]), "{target}");
    }
    let undecodable = app.request("GET", "/contacts/%ff").key(home.key()).send().await;
    assert_eq!(undecodable.status, 404);
    assert!(!undecodable.codes().is_empty());
    let partner = app.request("GET", "/child-accounts/1/x").key(live(&home.partner)).send().await.expect(404);
    assert_eq!(partner["title"], "An error occurred");
    let partner = app.request("PUT", "/child-accounts").key(live(&home.partner)).send().await;
    assert_eq!(
        (partner.expect(405)["detail"].as_str(), allowed(&partner)),
        (Some("Method not allowed"), "GET,HEAD,POST".into())
    );
    let api_key = partner_api(&home.partner).0;
    let hub = app.request("GET", "/api/v2/partners").header("x-api-key", api_key).send().await.expect(404);
    assert_eq!(hub["meta"]["http_code"], 404);
    let hub = app.request("DELETE", "/api/v2/partners/x").header("x-api-key", api_key).send().await;
    assert_eq!(
        (&hub.expect(405)["meta"]["http_code"], allowed(&hub)),
        (&json!(405), "GET,HEAD,PATCH".into())
    );
}

#[tokio::test]
async fn a_trailing_slash_is_no_difference_anywhere() {
    let home = Home::new().await;
    let (api_key, _) = partner_api(&home.partner);
    let (channel_key, _) = channel_key(&home.app, &home.partner, &home.child.account.name, 1).await;
    // Whoever signs in for a token has none: nobody is told apart there by a slash.
    for endpoint in Service::endpoints().into_iter().filter(|endpoint| endpoint.surface != "token") {
        let parts = endpoint.path.split('/').map(|part| if part.starts_with('{') { "nobody" } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        let ask = async |path: &str| {
            let call = home
                .app
                .request(&endpoint.method, path)
                .header("x-api-key", api_key)
                .header("d360-api-key", &channel_key);
            let answer = call.key(live(&home.partner)).json(&json!({})).send().await;
            (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
        };
        let (status, body) = ask(&path).await;
        assert!(
            status != 405 && status != 401 && !body.contains("API not found"),
            "{endpoint:?} {status} {body}"
        );
        for slashes in ["/", "//"] {
            assert_eq!(ask(&format!("{path}{slashes}")).await, (status, body.clone()), "{endpoint:?}");
        }
    }
}

#[tokio::test]
async fn a_product_is_found_by_host_by_prefix_and_on_one_origin_and_links_keep_the_form() {
    let home = Home::new().await;
    let contact = home.contact("31655500001").await;
    for (host, prefix) in [
        ("localhost", ""),
        ("sms.acme.example:8443", ""),
        ("rest.acme.example", ""),
        ("REST.acme.example", ""),
        ("sms.acme.example", "/_rest"),
        ("127.0.0.1", "/_REST"),
    ] {
        let get = async |target: &str| {
            home.app.request("GET", target).header("host", host).key(home.key()).send().await
        };
        let origin = format!("http://{host}{prefix}");
        let seen = get(&format!("{prefix}/contacts/{contact}")).await.expect(200);
        assert_eq!(seen["href"], format!("{origin}/contacts/{contact}"));
        assert_eq!(seen["groups"]["href"], format!("{origin}/contacts/{contact}/groups"));
        let list = get(&format!("{prefix}/contacts/?limit=5")).await.expect(200);
        assert_eq!(list["links"]["first"], format!("{origin}/contacts?offset=0&limit=5"));
        assert_eq!(list["items"][0], seen);
    }
    let partner = live(&home.partner);
    for (host, target) in [
        ("localhost", "/child-accounts"),
        ("localhost", "/v1/child-accounts"),
        ("localhost", "/_partner-accounts/v1/child-accounts"),
        ("partner-accounts.acme.example", "/child-accounts/"),
    ] {
        let list = home.app.request("GET", target).header("host", host).key(partner).send().await.expect(200);
        assert_eq!(list[0]["name"], "Corner Bakery", "{host}{target}");
    }
    let (api_key, handle) = partner_api(&home.partner);
    for (host, target) in [
        ("localhost", "/api/v2/partners"),
        ("localhost", "/_hub/v1/partners"),
        ("hub.acme.example", "/v1/partners"),
    ] {
        let call = home.app.request("GET", &format!("{target}/{handle}")).header("host", host);
        assert_eq!(call.header("x-api-key", api_key).send().await.expect(200)["id"], handle);
    }
    // A host serves its own product only, prefix or not.
    let other = home
        .app
        .request("GET", "/_rest/contacts")
        .header("host", "rest.acme.example")
        .key(home.key())
        .send()
        .await;
    assert_eq!(status_and_codes(&other), (404, vec![98]));
    let other = home
        .app
        .request("GET", "/child-accounts")
        .header("host", "rest.acme.example")
        .key(partner)
        .send()
        .await;
    assert_eq!(status_and_codes(&other), (404, vec![98]));
}

#[tokio::test]
async fn products_that_are_not_served_are_unknown_paths_after_the_key() {
    let home = Home::new().await;
    for label in ["voice", "numbers", "conversations", "contacts", "messaging", "integrations"] {
        for (host, target) in [
            (format!("{label}.acme.example"), "/calls".to_owned()),
            ("localhost".to_owned(), format!("/_{label}/calls")),
        ] {
            let call = || home.app.request("GET", &target).header("host", &host);
            assert_eq!(
                status_and_codes(&call().key(home.key()).send().await),
                (404, vec![98]),
                "{host}{target}"
            );
            assert_eq!(status_and_codes(&call().send().await), (401, vec![2]), "{host}{target}");
        }
    }
}

#[tokio::test]
async fn links_begin_with_the_public_url_if_there_is_one() {
    let public_url = Some("https://api.acme.example/msg/".to_owned());
    let home = Home::with(Options { public_url, rate_limits: false, ..Options::default() }).await;
    let contact = home.contact("31655500001").await;
    for prefix in ["", "/_rest"] {
        let call =
            home.app.request("GET", &format!("{prefix}/contacts/{contact}")).header("host", "10.0.0.7:8080");
        let seen = call.key(home.key()).send().await.expect(200);
        assert_eq!(seen["href"], format!("https://api.acme.example/msg{prefix}/contacts/{contact}"));
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed_about_scheme_and_host() {
    let trusted_proxies = vec!["10.0.0.0/8".parse().expect("a net")];
    let home = Home::with(Options { trusted_proxies, rate_limits: false, ..Options::default() }).await;
    let contact = home.contact("31655500001").await;
    let href = async |peer: &str, headers: &[(&'static str, &str)]| {
        let mut call = home.app.request("GET", &format!("/contacts/{contact}")).from(peer).key(home.key());
        for (name, value) in headers {
            call = call.header(name, value);
        }
        call.send().await.expect(200)["href"]
            .as_str()
            .expect("a link")
            .replace(&format!("/contacts/{contact}"), "")
    };
    let usual = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "rest.acme.example"),
        ("x-forwarded-for", "203.0.113.7"),
    ];
    let standard = [("forwarded", "for=203.0.113.7;proto=https;host=\"rest.acme.example\"")];
    for headers in [&usual[..], &standard] {
        assert_eq!(href("10.1.2.3", headers).await, "https://rest.acme.example");
        assert_eq!(href("::ffff:10.1.2.3", headers).await, "https://rest.acme.example");
        assert_eq!(href("192.0.2.1", headers).await, "http://localhost");
        assert_eq!(href("127.0.0.1", headers).await, "http://localhost");
    }
    assert_eq!(href("10.1.2.3", &[("x-forwarded-host", "evil\"><script>")]).await, "http://localhost");
    // The proxy's host finds the product as well.
    let call =
        home.app.request("GET", "/calls").from("10.1.2.3").header("x-forwarded-host", "voice.acme.example");
    assert_eq!(status_and_codes(&call.key(home.key()).send().await), (404, vec![98]));
}

#[tokio::test]
async fn no_key_and_no_method_is_carried_into_a_link() {
    let home = Home::new().await;
    for number in 0..5 {
        home.contact(&format!("3165550000{number}")).await;
    }
    let target = format!("/contacts?name=ada&limit=2&offset=2&access_key={}&_method=GET&other=1", home.key());
    let list = home.app.request("GET", &target).send().await.expect(200);
    let link = |offset| json!(format!("http://localhost/contacts?offset={offset}&limit=2&name=ada"));
    let links = json!({"first": link(0), "previous": link(0), "next": link(4), "last": link(4)});
    assert_eq!(list["links"], links);
    assert!(!list.to_string().contains(home.key()));
}

#[tokio::test]
async fn pages_of_other_origins_may_call_only_if_they_are_allowed() {
    let preflight = |origin: &str| {
        ask("OPTIONS", "/contacts").header("origin", origin).header("access-control-request-method", "POST")
    };
    let off = Home::new().await;
    let answer = send(&off.app.service, preflight("https://app.acme.example"), "").await;
    assert_eq!(status_and_codes(&answer), (401, vec![2]));
    assert!(!answer.headers.contains_key("access-control-allow-origin"));

    let cors_origins = vec!["https://app.acme.example".to_owned()];
    let on = Home::with(Options { cors_origins, rate_limits: false, ..Options::default() }).await;
    let answer = send(&on.app.service, preflight("https://app.acme.example"), "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.acme.example");
    assert!(answer.header("access-control-allow-methods").contains("PATCH"));
    for header in ["Authorization", "Content-Type", "X-API-Key"] {
        assert!(answer.header("access-control-allow-headers").contains(header), "{header}");
    }
    for key in [on.key(), "wrong"] {
        let call = on.app.request("GET", "/balance").key(key).header("origin", "https://app.acme.example");
        let answer = call.send().await;
        assert_eq!(answer.header("access-control-allow-origin"), "https://app.acme.example");
        let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["Authorization", "Origin"]);
    }
    for origin in ["https://evil.example", "null", "https://app.acme.example.evil.example"] {
        let answer = send(&on.app.service, preflight(origin), "").await;
        assert_eq!(status_and_codes(&answer), (401, vec![2]), "{origin}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    let any =
        Home::with(Options { cors_origins: vec!["*".into()], rate_limits: false, ..Options::default() })
            .await;
    let answer = send(&any.app.service, preflight("https://anyone.example"), "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("access-control-allow-origin")),
        (204, "https://anyone.example")
    );
}

#[tokio::test]
async fn head_answers_as_get_would() {
    let home = Home::new().await;
    let contact = home.contact("31655500001").await;
    for (target, status) in [
        ("/balance".to_owned(), 200),
        (format!("/contacts/{contact}"), 200),
        ("/contacts/x".into(), 404),
        ("/x".into(), 404),
    ] {
        let get = home.app.request("GET", &target).key(home.key()).send().await;
        let head = home.app.request("HEAD", &target).key(home.key()).send().await;
        assert_eq!((get.status.as_u16(), head.status.as_u16()), (status, status), "{target}");
        assert_eq!(get.header("content-type"), head.header("content-type"), "{target}");
    }
    assert_eq!(home.app.request("HEAD", "/balance").send().await.status, 401);
}

#[tokio::test]
async fn every_answer_has_an_id_and_the_usual_headers() {
    let home = Home::new().await;
    let mut ids = BTreeSet::new();
    for (method, target, key) in [
        ("GET", "/balance", home.key()),
        ("GET", "/balance", "wrong"),
        ("GET", "/contacts/x", home.key()),
        ("FOO", "/contacts", home.key()),
        ("POST", "/contacts", home.key()),
        ("GET", "/healthz", ""),
        ("GET", "/readyz", ""),
        ("GET", "/docs/nothing", ""),
        ("GET", "/", ""),
    ] {
        let answer = home.app.request(method, target).key(key).send().await;
        let id = answer.header("x-request-id");
        assert!(
            id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{method} {target}: {id:?}"
        );
        assert!(ids.insert(id.to_owned()), "{method} {target}: an id twice");
        if !key.is_empty() {
            assert_eq!(answer.header("content-type"), "application/json");
            assert_eq!(answer.header("cache-control"), "no-cache, must-revalidate");
            assert_eq!(answer.header("vary"), "Authorization");
        }
        assert!(!answer.headers.contains_key("www-authenticate"), "browsers would ask for a password");
    }
}
