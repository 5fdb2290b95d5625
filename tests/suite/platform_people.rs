//! People by the platform's own API: users and roles, sessions that can be ended, the second factor.

use crate::support::live;
use crate::support::platform::{Levels, code, fields, now};
use rookery::core::person::Role;
use rookery::core::rights::Rights;
use serde_json::{Value, json};
use std::time::Duration;
use totp_rs::{Builder, Secret};

pub const PASSWORD: &str = "correct horse battery";

pub fn email(role: &str) -> String {
    format!("{role}@acme.example")
}

/// Adds somebody to the partner and answers its id.
pub async fn add(world: &Levels, role: &str) -> String {
    let body = json!({"email": email(role), "role": role, "password": PASSWORD});
    let made = world.post("/accounts/me/users", &world.partner_key, body).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

pub async fn sign_in(world: &Levels, role: &str) -> Value {
    world.post("/sessions", "", json!({"email": email(role), "password": PASSWORD})).await.expect(201)
}

pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}"))
}

#[tokio::test]
async fn everybody_may_do_what_the_role_says() {
    let world = Levels::new().await;
    for role in Role::ALL {
        add(&world, role.name()).await;
        let session = sign_in(&world, role.name()).await;
        assert_eq!(
            (text(&session, "role"), &session["scopes"]),
            (role.name(), &json!(Rights::of_role(*role).words()))
        );
        let token = text(&session, "token");
        let me = world.get("/me", token).await.expect(200);
        assert_eq!(
            (&me["kind"], &me["id"], &me["account"]),
            (&json!("user"), &session["user"], &json!(world.partner.account.id.0))
        );
        let may = |word: &str| {
            me["scopes"].as_array().unwrap().iter().any(|scope| scope == word || scope == "admin")
        };
        let user = json!({"email": email(&format!("new-{}", role.name())), "role": "read-only", "password": PASSWORD});
        for (path, body, scope) in [
            ("/accounts", json!({"name": "Shop"}), "accounts"),
            ("/accounts/me/keys", json!({"mode": "live"}), "keys"),
            ("/accounts/me/users", user, "users"),
        ] {
            let answer = world.post(path, token, body).await;
            assert_eq!(answer.status == 201, may(scope), "{}: {path}: {}", role.name(), answer.json());
            assert!(may(scope) || code(&answer) == (403, "forbidden".into()));
        }
        world.get("/accounts", token).await.expect(200);
        // The token opens nothing of the vendors'.
        assert_eq!(world.app.request("GET", "/balance").key(token).send().await.status, 401);
        let handle = crate::support::partner_api(&world.partner).1;
        let hub = world.app.request("GET", &format!("/api/v2/partners/{handle}"));
        assert_eq!(hub.header("authorization", &format!("Bearer {token}")).send().await.status, 401);
    }
    world.app.settle().await;
}

#[tokio::test]
async fn a_wrong_password_and_a_stranger_get_the_same_answer() {
    let world = Levels::new().await;
    add(&world, "owner").await;
    let mut told = Vec::new();
    for (address, password, partner) in [
        (email("owner"), "wrong horse", None),
        (email("nobody"), PASSWORD, None),
        ("no address".to_owned(), PASSWORD, None),
        (email("owner"), PASSWORD, Some("1000001")),
        (email("owner"), PASSWORD, Some("Zz9Zz9PA")),
    ] {
        let mut body = json!({"email": address, "password": password});
        if let Some(partner) = partner {
            body["partner"] = partner.into();
        }
        let mut answer = world.post("/sessions", "", body).await.expect(401);
        answer["error"]["requestId"] = Value::Null;
        told.push(answer);
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    let nothing = world.post("/sessions", "", json!({})).await;
    assert_eq!(
        fields(&nothing),
        [("email".into(), "required".into()), ("password".into(), "required".into())]
    );
    world.app.settle().await;
}

#[tokio::test]
async fn people_of_a_child_name_its_partner() {
    let world = Levels::new().await;
    let body = json!({"email": "ada@bakery.example", "role": "owner", "password": PASSWORD, "name": "Ada"});
    let made = world.post(&world.of_child("/users"), &world.partner_key, body).await.expect(201);
    assert_eq!((&made["name"], &made["totp"]), (&json!("Ada"), &json!(false)));
    let handle = crate::support::partner_api(&world.partner).1.to_owned();
    for partner in [world.partner.account.id.to_string(), handle] {
        let body = json!({"email": "Ada@Bakery.example", "password": PASSWORD, "partner": partner});
        let session = world.post("/sessions", "", body).await.expect(201);
        assert_eq!(session["account"], world.child.account.id.0);
    }
    let alone = json!({"email": "ada@bakery.example", "password": PASSWORD});
    assert_eq!(world.post("/sessions", "", alone.clone()).await.status, 401);
    world.post(&world.of_child("/suspend"), &world.partner_key, json!({})).await.expect(200);
    let mut body = alone;
    body["partner"] = world.partner.account.id.to_string().into();
    assert_eq!(code(&world.post("/sessions", "", body).await), (403, "account_suspended".into()));
    world.app.settle().await;
}

#[tokio::test]
async fn sessions_are_listed_ended_and_end_by_themselves() {
    let world = Levels::new().await;
    let user = add(&world, "admin").await;
    let (one, two, three) =
        (sign_in(&world, "admin").await, sign_in(&world, "admin").await, sign_in(&world, "admin").await);
    let opens = async |session: &Value| world.get("/me", text(session, "token")).await.status == 200;
    let mine = world.get("/me/sessions", text(&one, "token")).await.expect(200);
    let ids: Vec<&str> = mine["items"].as_array().unwrap().iter().map(|item| text(item, "id")).collect();
    assert_eq!((ids.len(), mine["items"][0]["address"].as_str()), (3, Some("127.0.0.1")));
    let end = format!("/me/sessions/{}", text(&two, "id"));
    assert_eq!(world.call("DELETE", &end, text(&one, "token"), Value::Null).await.status, 204);
    assert_eq!((opens(&one).await, opens(&two).await, opens(&three).await), (true, false, true));
    assert_eq!(
        code(&world.call("DELETE", &end, text(&one, "token"), Value::Null).await),
        (404, "not_found".into())
    );
    assert_eq!(world.call("DELETE", "/me/sessions", text(&one, "token"), Value::Null).await.status, 204);
    assert_eq!((opens(&one).await, opens(&three).await), (true, false));
    assert_eq!(
        world.call("DELETE", "/me/sessions/current", text(&one, "token"), Value::Null).await.status,
        204
    );
    assert!(!opens(&one).await);

    let again = sign_in(&world, "admin").await;
    let theirs = format!("/accounts/me/users/{user}/sessions");
    assert_eq!(
        world.get(&theirs, &world.partner_key).await.expect(200)["items"].as_array().unwrap().len(),
        1
    );
    assert_eq!(world.call("DELETE", &theirs, &world.partner_key, Value::Null).await.status, 204);
    assert!(!opens(&again).await);
    let last = sign_in(&world, "admin").await;
    world.app.pass(Duration::from_hours(12)).await;
    assert!(!opens(&last).await);
    // A key has no sessions.
    assert_eq!(code(&world.get("/me/sessions", &world.partner_key).await), (403, "forbidden".into()));
    world.app.settle().await;
}

#[tokio::test]
async fn another_role_or_password_ends_sessions() {
    let world = Levels::new().await;
    let user = add(&world, "developer").await;
    let target = format!("/accounts/me/users/{user}");
    let session = sign_in(&world, "developer").await;
    world.call("PATCH", &target, &world.partner_key, json!({"name": "Grace"})).await.expect(200);
    world.get("/me", text(&session, "token")).await.expect(200);
    let changed =
        world.call("PATCH", &target, &world.partner_key, json!({"role": "billing"})).await.expect(200);
    assert_eq!((&changed["name"], &changed["role"]), (&json!("Grace"), &json!("billing")));
    assert_eq!(world.get("/me", text(&session, "token")).await.status, 401);
    let session = sign_in(&world, "developer").await;
    assert_eq!(session["scopes"], json!(["read", "money"]));

    let other = sign_in(&world, "developer").await;
    let own = |current: &str| json!({"current": current, "password": "another horse battery"});
    let wrong = world.call("PUT", "/me/password", text(&session, "token"), own("wrong")).await;
    assert_eq!(fields(&wrong), [("current".into(), "invalid".into())]);
    let short = json!({"current": PASSWORD, "password": "short"});
    assert_eq!(
        fields(&world.call("PUT", "/me/password", text(&session, "token"), short).await),
        [("password".into(), "invalid".into())]
    );
    assert_eq!(world.call("PUT", "/me/password", text(&session, "token"), own(PASSWORD)).await.status, 204);
    assert_eq!(world.get("/me", text(&session, "token")).await.status, 200, "the session that asked goes on");
    assert_eq!(world.get("/me", text(&other, "token")).await.status, 401);
    let old = json!({"email": email("developer"), "password": PASSWORD});
    assert_eq!(world.post("/sessions", "", old).await.status, 401);

    let set = format!("{target}/password");
    assert_eq!(world.call("PUT", &set, &world.partner_key, json!({"password": PASSWORD})).await.status, 204);
    assert_eq!(world.get("/me", text(&session, "token")).await.status, 401);
    let session = sign_in(&world, "developer").await;
    assert_eq!(world.call("DELETE", &target, &world.partner_key, Value::Null).await.status, 204);
    assert_eq!(world.get("/me", text(&session, "token")).await.status, 401);
    assert_eq!(code(&world.get(&target, &world.partner_key).await), (404, "not_found".into()));
    world.app.settle().await;
}

#[tokio::test]
async fn nobody_gets_at_somebody_who_may_do_more() {
    let world = Levels::new().await;
    let owner = add(&world, "owner").await;
    let manager =
        world.partners(&[rookery::core::rights::Right::Users, rookery::core::rights::Right::Read]).await;
    let target = format!("/accounts/me/users/{owner}");
    let user = json!({"email": "x@acme.example", "role": "admin", "password": PASSWORD});
    for refused in [
        world.post("/accounts/me/users", &manager, user).await,
        world.call("PATCH", &target, &manager, json!({"role": "read-only"})).await,
        world.call("PUT", &format!("{target}/password"), &manager, json!({"password": PASSWORD})).await,
        world.call("DELETE", &format!("{target}/sessions"), &manager, Value::Null).await,
        world.call("DELETE", &format!("{target}/totp"), &manager, Value::Null).await,
        world.call("DELETE", &target, &manager, Value::Null).await,
    ] {
        assert_eq!(code(&refused), (403, "forbidden".into()));
    }
    let user = json!({"email": "x@acme.example", "role": "read-only", "password": PASSWORD});
    world.post("/accounts/me/users", &manager, user.clone()).await.expect(201);
    assert_eq!(
        fields(&world.post("/accounts/me/users", &manager, user).await),
        [("email".into(), "taken".into())]
    );
    // Somebody of another account is not found through one's own.
    let foreign = world.of_child(&format!("/users/{owner}"));
    assert_eq!(code(&world.get(&foreign, &world.partner_key).await), (404, "not_found".into()));
    world.app.settle().await;
}

/// The code that an app shows for a seed in base 32.
pub fn shown(world: &Levels, secret: &str) -> String {
    let seed = Secret::try_from_base32(secret).unwrap();
    let seconds = u64::try_from(now(&world.app).0 / 1_000_000).unwrap() + 1;
    Builder::new().with_secret(seed).build().unwrap().generate(seconds).to_string()
}

#[tokio::test]
async fn the_second_factor_is_asked_for_once_it_is_confirmed() {
    let world = Levels::new().await;
    let user = add(&world, "owner").await;
    let session = sign_in(&world, "owner").await;
    let token = text(&session, "token");
    let seed = world.post("/me/totp", token, Value::Null).await.expect(201);
    assert!(text(&seed, "url").starts_with("otpauth://totp/Rookery:owner%40acme.example?secret="), "{seed}");
    let secret = text(&seed, "secret").to_owned();
    sign_in(&world, "owner").await;
    let wrong = world.post("/me/totp/confirm", token, json!({"code": "000000"})).await;
    assert_eq!(fields(&wrong), [("code".into(), "invalid".into())]);
    let first = shown(&world, &secret);
    assert_eq!(world.post("/me/totp/confirm", token, json!({"code": first})).await.status, 200);
    assert_eq!(fields(&world.post("/me/totp", token, Value::Null).await), [("totp".into(), "taken".into())]);
    let view = world.get(&format!("/accounts/me/users/{user}"), &world.partner_key).await.expect(200);
    assert_eq!(view["totp"], true);

    let with = |code: &str| json!({"email": email("owner"), "password": PASSWORD, "code": code});
    // The vendor's sign-in asks for no code, so it opens to no one who has one.
    let sign_in_there = json!({"username": email("owner"), "password": PASSWORD});
    let there = world.app.request("POST", "/api/v2/token").json(&sign_in_there).send().await;
    assert_eq!(there.status, 403, "{:?}", String::from_utf8_lossy(&there.body));
    let missing = world.post("/sessions", "", json!({"email": email("owner"), "password": PASSWORD})).await;
    assert_eq!(fields(&missing), [("code".into(), "required".into())]);
    assert_eq!(world.post("/sessions", "", with(&first)).await.status, 401, "a code counts once");
    world.app.clock.advance(Duration::from_mins(1));
    let code_now = shown(&world, &secret);
    world.post("/sessions", "", with(&code_now)).await.expect(201);
    assert_eq!(world.post("/sessions", "", with(&code_now)).await.status, 401);

    // Five wrong ones in a row and nothing is tried any more, not even the right one.
    for _ in 0..4 {
        assert_eq!(world.post("/sessions", "", with("123")).await.status, 401);
    }
    world.app.clock.advance(Duration::from_mins(1));
    let locked = world.post("/sessions", "", with(&shown(&world, &secret))).await;
    assert_eq!(code(&locked), (429, "rate_limited".into()));
    let wait: u64 = locked.header("retry-after").parse().unwrap();
    assert!((780..=900).contains(&wait), "{wait}");
    world.app.clock.advance(Duration::from_secs(wait));
    world.post("/sessions", "", with(&shown(&world, &secret))).await.expect(201);

    world.app.clock.advance(Duration::from_mins(1));
    let give_up = json!({"code": shown(&world, &secret)});
    assert_eq!(world.call("DELETE", "/me/totp", token, give_up).await.status, 204);
    sign_in(&world, "owner").await;
    world.app.settle().await;
}

#[tokio::test]
async fn a_lost_second_factor_is_taken_away_by_who_may() {
    let world = Levels::new().await;
    let user = add(&world, "owner").await;
    let session = sign_in(&world, "owner").await;
    let seed = world.post("/me/totp", text(&session, "token"), Value::Null).await.expect(201);
    let confirm = json!({"code": shown(&world, text(&seed, "secret"))});
    assert_eq!(world.post("/me/totp/confirm", text(&session, "token"), confirm).await.status, 200);
    let target = format!("/accounts/me/users/{user}/totp");
    assert_eq!(world.call("DELETE", &target, &world.partner_key, Value::Null).await.status, 204);
    assert_eq!(world.get("/me", text(&session, "token")).await.status, 401);
    sign_in(&world, "owner").await;
    let log = world.get("/audit?limit=3", &world.partner_key).await.expect(200);
    let actions: Vec<&str> =
        log["items"].as_array().unwrap().iter().map(|line| text(line, "action")).collect();
    assert_eq!(actions, ["session.begin", "user.totp-remove", "totp.confirm"]);
    assert_eq!(world.app.request("GET", "/balance").key(live(&world.partner)).send().await.status, 200);
    world.app.settle().await;
}
