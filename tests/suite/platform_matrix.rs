//! The matrix of the platform's own API: every endpoint that its router knows, called by all three levels, by strangers,
//! with every scope but the one that is needed and with that one alone, and by people of every role.
//!
//! A new endpoint joins by itself; what the matrix cannot guess is in the tables at the end.

use crate::support::platform::{call, code, key_with, platform_key};
use crate::support::{Answer, TestApp, live, partner_api, test};
use rookery::core::account::{self, NewAccount};
use rookery::core::api_key::Patch;
use rookery::core::key::{self, Role};
use rookery::core::person::{self, NewPerson, Role as Post};
use rookery::core::rights::{Right, Rights};
use rookery::core::secret::Secret;
use rookery::core::session::{self, Asked};
use rookery::wire::{Endpoint, Service};
use serde_json::{Value, json};

/// Where nobody listens.
const HOOK: &str = "http://127.0.0.1:9";

struct World {
    app: TestApp,
    operator: String,
    partner: NewAccount,
    child: NewAccount,
    partner_key: String,
    child_key: String,
    strangers: Vec<(&'static str, String)>,
    suspended: Vec<(&'static str, String)>,
    wrong: Vec<(&'static str, String)>,
    /// Sessions of the partner's people, one of each role.
    people: Vec<(Post, String)>,
}

impl World {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let partner = app.partner("Ownerly Holdings").await;
        let child = app.child(partner.account.id, "Ownerly Bakery").await;
        let sibling = app.child(partner.account.id, "Sibling Cafe").await;
        let other = app.partner("Stranger Group").await;
        let other_child = app.child(other.account.id, "Stranger Shop").await;
        let idle = app.partner("Idle Group").await;
        let idle_child = app.child(idle.account.id, "Idle Shop").await;
        let gone = app.child(other.account.id, "Gone Shop").await;
        let key = async |account: &NewAccount| platform_key(&app, account.account.id, Rights::ALL).await;
        let strangers = vec![
            ("a sibling", key(&sibling).await),
            ("another partner", key(&other).await),
            ("another partner's child", key(&other_child).await),
        ];
        let suspended =
            vec![("a suspended partner", key(&idle).await), ("its child", key(&idle_child).await)];
        let wrong = vec![
            ("no key", String::new()),
            ("a bad key", "A1b2C3d4E5f6G7h8I9j0K1l2M".into()),
            ("a live key", live(&partner).to_owned()),
            ("a test key", test(&child).to_owned()),
            ("the partner API's key", partner_api(&partner).0.to_owned()),
            ("a deleted child's key", key(&gone).await),
        ];
        let (partner_key, child_key) = (key(&partner).await, key(&child).await);
        app.store.write(idle.account.id, account::suspend).await.unwrap();
        app.store.write(gone.account.id, account::delete).await.unwrap();
        let operator = app.store.write(String::new(), key::create_operator).await.unwrap();
        let operator = operator.text.reveal().to_owned();
        app.notice_changes().await;
        let credit = format!("/accounts/{}/top-ups", partner.account.id);
        call(&app, "POST", &credit, &operator, json!({"amount": "1000"})).await.expect(201);
        let mut people = Vec::new();
        for role in Post::ALL {
            let email = format!("{}@ownerly.example", role.name());
            let new = NewPerson {
                account: partner.account.id,
                email: email.clone(),
                name: String::new(),
                role: *role,
                password: String::new(),
            };
            app.store.write(new, person::create).await.unwrap();
            let person = app.store.read(email, person::of_partners).await.unwrap().unwrap();
            let token = format!("session-of-{}", role.name());
            let asked = Asked {
                person,
                token: Secret::new(token.clone()),
                code: None,
                address: String::new(),
                vault: app.vault.clone(),
            };
            app.store.write(asked, session::begin).await.unwrap().unwrap();
            people.push((*role, token));
        }
        World { app, operator, partner, child, partner_key, child_key, strangers, suspended, wrong, people }
    }

    /// The path with objects of the child; made anew for each call, since it may end them.
    async fn target(&self, endpoint: &Endpoint) -> String {
        let mut path = endpoint.path.replace("/platform/v1", "");
        path = path.replace("{account}", &self.child.account.id.to_string());
        if path.contains("{key}") {
            let patch = Patch { rights: Some(Rights::of(&[Right::Keys])), ..Patch::default() };
            let (id, _) = key_with(&self.app, self.child.account.id, Role::Platform, patch).await;
            path = path.replace("{key}", &id);
        }
        path = path.replace("{month}", "2024-03");
        if path.contains("/alerts") {
            // There is room for few.
            let all = format!("/accounts/{}/alerts", self.child.account.id);
            let there = call(&self.app, "GET", &all, &self.operator, Value::Null).await.expect(200);
            for alert in there["items"].as_array().unwrap() {
                let one = format!("{all}/{}", alert["id"].as_str().unwrap());
                call(&self.app, "DELETE", &one, &self.operator, Value::Null).await;
            }
            let alert = json!({"kind": "balance", "below": "-9", "url": HOOK});
            let made = call(&self.app, "POST", &all, &self.operator, alert).await.expect(201);
            path = path.replace("{alert}", made["id"].as_str().unwrap());
        }
        if path.contains("{callback}") || path.ends_with("/endpoints/resume") {
            // Nobody listens there, so the endpoint fails.
            let target = format!("/accounts/{}/webhooks/test", self.child.account.id);
            let made =
                call(&self.app, "POST", &target, &self.operator, json!({"url": HOOK})).await.expect(201);
            path = path.replace("{callback}", made["id"].as_str().unwrap());
            self.app.settle().await;
        }
        if path.contains("{user}") {
            let new = NewPerson {
                account: self.child.account.id,
                email: format!("{}@bakery.example", self.app.clock.now_us()),
                name: String::new(),
                role: Post::ReadOnly,
                password: String::new(),
            };
            let id = self.app.store.write(new, person::create).await.unwrap();
            path = path.replace("{user}", &id.to_string());
        }
        self.prepare(endpoint).await;
        assert!(!path.contains('{'), "{path}: say in tests/suite/platform_matrix.rs what stands behind it");
        path
    }

    /// What has to be so that the call does something.
    async fn prepare(&self, endpoint: &Endpoint) {
        let below = endpoint.path.rsplit("{account}").next().unwrap_or_default();
        let child = self.child.account.id;
        let own = format!("/accounts/{child}");
        match (endpoint.method.as_str(), below) {
            ("POST", "/restore") => {
                call(&self.app, "DELETE", &own, &self.partner_key, Value::Null).await.expect(200);
            }
            ("DELETE", "/signing-key") => {
                let target = format!("{own}/signing-key/rotate");
                let body = json!({"overlapSeconds": 60});
                call(&self.app, "POST", &target, &self.operator, body).await.expect(201);
            }
            _ => {}
        }
    }

    /// The child is as it was.
    async fn mend(&self) {
        let own = format!("/accounts/{}", self.child.account.id);
        for verb in ["restore", "resume"] {
            let target = format!("{own}/{verb}");
            call(&self.app, "POST", &target, &self.operator, Value::Null).await;
        }
    }

    async fn ask(&self, endpoint: &Endpoint, key: &str) -> Answer {
        let path = self.target(endpoint).await;
        let answer = if endpoint.path.ends_with("/rates.csv") && endpoint.method == "PUT" {
            let call = self.app.request("PUT", &format!("/platform/v1{path}"));
            let call =
                if key.is_empty() { call } else { call.header("authorization", &format!("Bearer {key}")) };
            call.body("text/csv", "31,0.05\n").send().await
        } else {
            call(&self.app, &endpoint.method, &path, key, body(endpoint, &self.app)).await
        };
        if ["/accounts/{account}", "/suspend", "/restore"].iter().any(|end| endpoint.path.ends_with(end)) {
            self.mend().await;
        }
        answer
    }
}

#[tokio::test]
async fn every_endpoint_keeps_levels_scopes_and_strangers_apart() {
    let world = Box::pin(World::new()).await;
    let endpoints = Service::platform_endpoints();
    assert!(endpoints.len() > 15, "{endpoints:?}");
    let mut wrong = Vec::new();
    for endpoint in endpoints.iter().filter(|endpoint| !is_personal(endpoint)) {
        let name = format!("{} {}", endpoint.method, endpoint.path);
        let mut check = |right: bool, who: &str, answer: &Answer| {
            if !right {
                wrong.push(format!(
                    "{name}, {who}: {} {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                ));
            }
        };
        let needed = needs(endpoint);
        let of_account = endpoint.path.contains("{account}");
        let operators = is_operators(endpoint);
        let forbidden = |answer: &Answer| code(answer) == (403, "forbidden".into());
        for (who, key) in [("the partner", &world.partner_key), ("the operator", &world.operator)] {
            let answer = world.ask(endpoint, key).await;
            let refused = operators && *key == world.partner_key;
            check(if refused { forbidden(&answer) } else { answer.status.is_success() }, who, &answer);
        }
        let own = world.ask(endpoint, &world.child_key).await;
        // One that is about to be deleted cannot ask at all.
        let refused = forbidden(&own) || code(&own) == (403, "account_suspended".into());
        check(if is_above(endpoint) { refused } else { own.status.is_success() }, "the child itself", &own);

        for (who, key) in &world.wrong {
            let answer = world.ask(endpoint, key).await;
            check(code(&answer) == (401, "unauthenticated".into()), who, &answer);
        }
        for (who, key) in &world.suspended {
            let answer = world.ask(endpoint, key).await;
            check(code(&answer) == (403, "account_suspended".into()), who, &answer);
        }
        for (who, key) in world.strangers.iter().filter(|_| of_account) {
            let answer = world.ask(endpoint, key).await;
            let ghost = endpoint.path.replace("/platform/v1", "").replace("{account}", "1000001");
            let ghost = ghost.replace(['{', '}'], "0");
            let ghost = call(&world.app, &endpoint.method, &ghost, key, body(endpoint, &world.app)).await;
            let told = |answer: &Answer| {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                (answer.status, text.replace(answer.header("x-request-id"), ""))
            };
            check(answer.status == 404 && told(&answer) == told(&ghost), who, &answer);
        }
        let Some(needed) = needed else { continue };
        let partner = world.partner.account.id;
        if operators {
            continue;
        }
        for (role, token) in &world.people {
            let answer = world.ask(endpoint, token).await;
            let may = Rights::of_role(*role).allows(needed);
            let right = if may { answer.status.is_success() } else { forbidden(&answer) };
            check(right, &format!("a person, {}", role.name()), &answer);
        }
        // Whoever manages people may do at least as much as they.
        let alone: &[Right] = if needed == Right::Users { &[needed, Right::Read] } else { &[needed] };
        let alone = platform_key(&world.app, partner, Rights::of(alone)).await;
        let answer = world.ask(endpoint, &alone).await;
        check(answer.status.is_success(), &format!("{} alone", needed.name()), &answer);
        let others: Vec<Right> =
            Right::ALL.iter().copied().filter(|right| ![needed, Right::Admin].contains(right)).collect();
        let others = platform_key(&world.app, partner, Rights::of(&others)).await;
        let answer = world.ask(endpoint, &others).await;
        check(forbidden(&answer), &format!("all but {}", needed.name()), &answer);
    }
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    world.app.settle().await;
}

/// Whoever may call it.
fn caller<'a>(world: &'a World, endpoint: &Endpoint) -> &'a str {
    if is_operators(endpoint) { &world.operator } else { &world.partner_key }
}

/// The endpoints that are about more than the caller itself, but those that only look.
fn changing() -> impl Iterator<Item = Endpoint> {
    Service::platform_endpoints()
        .into_iter()
        .filter(|endpoint| !is_personal(endpoint) && endpoint.method != "GET")
}

#[tokio::test]
async fn every_post_counts_once_under_a_key() {
    let world = Box::pin(World::new()).await;
    let posts = changing().filter(|endpoint| endpoint.method == "POST");
    // What a signature's debugger answers is made of its question alone.
    for endpoint in posts.filter(|endpoint| !endpoint.path.ends_with("/verify")) {
        let (path, sent) = (world.target(&endpoint).await, body(&endpoint, &world.app));
        let ask = async || {
            let request = world.app.request("POST", &format!("/platform/v1{path}"));
            let request = request.header("authorization", &format!("Bearer {}", caller(&world, &endpoint)));
            let request = request.header("idempotency-key", &endpoint.path);
            if sent.is_null() { request.send().await } else { request.json(&sent).send().await }
        };
        let (first, second) = (ask().await, ask().await);
        assert!(first.status.is_success(), "{endpoint:?}: {}", String::from_utf8_lossy(&first.body));
        assert_eq!(
            (second.status, &second.body, second.header("idempotent-replayed")),
            (first.status, &first.body, "true"),
            "{endpoint:?}"
        );
        world.mend().await;
    }
    world.app.settle().await;
}

#[tokio::test]
async fn the_same_request_twice_at_once_breaks_nothing() {
    let world = Box::pin(World::new()).await;
    for endpoint in changing() {
        let (path, sent) = (world.target(&endpoint).await, body(&endpoint, &world.app));
        let key = caller(&world, &endpoint);
        let ask = async || {
            let csv = endpoint.path.ends_with("/rates.csv");
            let request = world.app.request(&endpoint.method, &format!("/platform/v1{path}"));
            let request = request.header("authorization", &format!("Bearer {key}"));
            match &sent {
                Value::Null if csv => request.body("text/csv", "31,0.05\n").send().await,
                Value::Null => request.send().await,
                body => request.json(body).send().await,
            }
        };
        let (first, second) = tokio::join!(ask(), ask());
        for answer in [&first, &second] {
            let text = String::from_utf8_lossy(&answer.body);
            assert!(answer.status.as_u16() < 500, "{endpoint:?}: {} {text}", answer.status);
        }
        assert!(first.status.is_success() || second.status.is_success(), "{endpoint:?}");
        world.mend().await;
    }
    world.app.settle().await;
}

/// The right that an endpoint asks for.
fn needs(endpoint: &Endpoint) -> Option<Right> {
    let path = endpoint.path.strip_prefix("/platform/v1").expect("a path of this API");
    let below = path.strip_prefix("/accounts").map(|below| below.trim_start_matches("/{account}"));
    Some(match (endpoint.method.as_str(), path, below) {
        (_, "/me", _) => return None,
        ("GET", ..) => Right::Read,
        (_, _, Some("" | "/suspend" | "/resume" | "/restore")) => Right::Accounts,
        (_, _, Some(below)) if below.starts_with("/keys") || below.starts_with("/signing-key") => Right::Keys,
        (_, _, Some(below)) if below.starts_with("/users") => Right::Users,
        (_, _, Some("/balance" | "/top-ups" | "/transfers" | "/rates.csv")) => Right::Money,
        (_, _, Some(below)) if below.starts_with("/alerts") => Right::Money,
        (_, _, Some(below)) if below.starts_with("/webhooks") => Right::Webhooks,
        (_, _, Some("/limits")) => Right::Limits,
        _ => panic!("{endpoint:?}: which right? Add it to `needs` in tests/suite/platform_matrix.rs."),
    })
}

/// What only those above an account may do to it.
fn is_above(endpoint: &Endpoint) -> bool {
    let path = endpoint.path.strip_prefix("/platform/v1").expect("a path of this API");
    let above = [Some(Right::Accounts), Some(Right::Money), Some(Right::Limits)];
    // What an account wants to be told of is its own affair.
    let own = path.contains("/alerts");
    endpoint.method != "GET" && !own && above.contains(&needs(endpoint)) && path.starts_with("/accounts")
}

/// What only the operator may do.
fn is_operators(endpoint: &Endpoint) -> bool {
    endpoint.path.ends_with("/top-ups")
}

/// What is for somebody who signs in or has signed in: `tests/suite/platform_people.rs` has it.
fn is_personal(endpoint: &Endpoint) -> bool {
    endpoint.path.starts_with("/platform/v1/me/") || endpoint.path == "/platform/v1/sessions"
}

/// A body that the endpoint takes.
fn body(endpoint: &Endpoint, app: &TestApp) -> Value {
    let path = endpoint.path.strip_prefix("/platform/v1").expect("a path of this API");
    match (endpoint.method.as_str(), path) {
        ("POST", "/accounts") => json!({"name": "Newcomer"}),
        ("PATCH", "/accounts/{account}") => json!({"name": "Ownerly Bakery"}),
        ("POST", "/accounts/{account}/keys") => json!({"mode": "platform"}),
        ("PATCH", "/accounts/{account}/keys/{key}") => json!({"name": "Renamed"}),
        ("POST", path) if path.ends_with("/users") => {
            let email = format!("{}@new.example", app.clock.now_us());
            json!({"email": email, "role": "read-only", "password": "correct horse battery"})
        }
        ("PATCH", path) if path.ends_with("/{user}") => json!({"name": "Grace"}),
        ("PUT", path) if path.ends_with("/password") => json!({"password": "correct horse battery"}),
        ("POST", path) if path.ends_with("/endpoints/resume") => json!({"origin": HOOK}),
        ("POST", path) if path.ends_with("/webhooks/replay") => json!({"from": "2024-01-01T00:00:00Z"}),
        ("POST", path) if path.ends_with("/webhooks/test") => json!({"url": HOOK}),
        ("POST", path) if path.ends_with("/webhooks/verify") => json!({"url": HOOK}),
        ("POST", path) if path.ends_with("/alerts") => {
            json!({"kind": "balance", "below": "-7", "url": HOOK})
        }
        ("PATCH", path) if path.ends_with("/{alert}") => json!({"below": "-8"}),
        ("PATCH", path) if path.ends_with("/limits") => json!({"maxPrice": "10"}),
        ("PATCH", path) if path.ends_with("/balance") => json!({"dayCap": "1000.00"}),
        ("POST", path) if path.ends_with("/top-ups") || path.ends_with("/transfers") => {
            json!({"amount": "0.01"})
        }
        ("POST", path) if path.ends_with("/rotate") => json!({"overlapSeconds": 0}),
        _ => Value::Null,
    }
}
