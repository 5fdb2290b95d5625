//! Recovery codes: ten that open once each in place of the second factor, made new, counted, and taken away by the operator.

use crate::platform_people::{PASSWORD, add, email, shown, sign_in, text};
use crate::support::platform::{Levels, code, fields};
use crate::support::process::run;
use futures_util::future::join_all;
use rookery::core::Result;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use store::{Rx, sql};

/// Switches the second factor on; answers the session's token, the seed and the codes.
async fn switch_on(world: &Levels) -> (String, String, Vec<String>) {
    add(world, "owner").await;
    let token = text(&sign_in(world, "owner").await, "token").to_owned();
    let seed = world.post("/me/totp", &token, Value::Null).await.expect(201);
    let secret = text(&seed, "secret").to_owned();
    let confirm = json!({"code": shown(world, &secret)});
    let made = world.post("/me/totp/confirm", &token, confirm).await.expect(200);
    (token, secret, codes(&made))
}

fn codes(made: &Value) -> Vec<String> {
    let codes = made["recoveryCodes"].as_array().unwrap();
    codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

async fn open(world: &Levels, code: &str) -> crate::support::Answer {
    let body = json!({"email": email("owner"), "password": PASSWORD, "code": code});
    world.post("/sessions", "", body).await
}

async fn left(world: &Levels, token: &str) -> (Value, Value) {
    let seen = world.get("/me/totp", token).await.expect(200);
    (seen["confirmed"].clone(), seen["recoveryCodesLeft"].clone())
}

#[tokio::test]
async fn a_recovery_code_opens_once() {
    let world = Levels::new().await;
    let (token, _, codes) = switch_on(&world).await;
    let different: BTreeSet<&String> = codes.iter().collect();
    assert_eq!((different.len(), codes[0].len()), (10, 19), "{codes:?}");
    assert_eq!(left(&world, &token).await, (json!(true), json!(10)));
    assert_eq!(code(&open(&world, "AAAA-BBBB-CCCC-DDDD").await), (401, "unauthenticated".into()));
    // As people type it.
    let typed = codes[3].to_lowercase().replace('-', " ");
    assert_eq!(open(&world, &typed).await.expect(201)["recoveryCodesLeft"], 9);
    assert_eq!(open(&world, &codes[3]).await.status, 401);
    // Many at once, and one of them opens.
    let opened = join_all((0..8).map(|_| open(&world, &codes[4]))).await;
    assert_eq!(opened.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(left(&world, &token).await.1, 8);
    let log = world.get("/audit", &world.partner_key).await.expect(200);
    let lines = log["items"].as_array().unwrap().iter();
    let left: Vec<&Value> = lines
        .filter(|line| line["action"] == "totp.recovery-code")
        .map(|line| &line["detail"]["left"])
        .collect();
    assert_eq!(left, [&json!("8"), &json!("9")], "{log}");
    // Nothing at rest says what they are.
    let stored: Result<i64> = world
        .app
        .store
        .read((), async |rx: &mut Rx, (): &()| {
            // All tenants: a test looks at all that is stored.
            Ok(rx
                .one(
                    sql!("SELECT CAST(count(*) AS BIGINT) FROM recovery_code WHERE octet_length(hash) = 32"),
                    &[],
                )
                .await?)
        })
        .await;
    assert_eq!(stored.unwrap(), 8);
    world.app.settle().await;
}

#[tokio::test]
async fn new_codes_end_the_old_ones_and_the_factor_ends_them_all() {
    let world = Levels::new().await;
    let (token, secret, old) = switch_on(&world).await;
    let renew = async |code: &str| world.post("/me/totp/recovery-codes", &token, json!({"code": code})).await;
    assert_eq!(fields(&renew("000000").await), [("code".into(), "invalid".into())]);
    world.app.clock.advance(Duration::from_mins(1));
    let new = codes(&renew(&shown(&world, &secret)).await.expect(200));
    assert_eq!(
        (open(&world, &old[0]).await.status, open(&world, &new[0]).await.status),
        (401.try_into().unwrap(), 201.try_into().unwrap())
    );
    assert_eq!(left(&world, &token).await.1, 9);
    // A code proves that new ones may be made, and that the factor may go.
    let newest = codes(&renew(&new[1]).await.expect(200));
    assert_eq!(world.call("DELETE", "/me/totp", &token, json!({"code": newest[0]})).await.status, 204);
    assert_eq!(left(&world, &token).await, (json!(false), json!(0)));
    sign_in(&world, "owner").await;
    assert_eq!(code(&renew(&newest[1]).await), (404, "not_found".into()));
    world.app.settle().await;
}

#[tokio::test]
async fn the_operator_takes_a_lost_factor_away() {
    let world = Levels::new().await;
    let (token, _, codes) = switch_on(&world).await;
    let partner = world.partner.account.id.to_string();
    run(world.app.home(), &["user", "reset-totp", &partner, &email("owner")]).ok();
    world.app.notice_changes().await;
    assert_eq!(world.get("/me", &token).await.status, 401);
    sign_in(&world, "owner").await;
    assert_eq!(open(&world, &codes[0]).await.status, 201, "nothing is asked for any more");
    let log = world.get("/audit?limit=5", &world.partner_key).await.expect(200);
    let line = log["items"].as_array().unwrap().iter().find(|line| line["action"] == "user.totp-remove");
    assert_eq!(line.unwrap()["actorKind"], "command-line", "{log}");
    world.app.settle().await;
}
