//! The account matrix: every endpoint that the routers know, called by everybody who may not, and by its owner first.
//!
//! The rows are `Service::endpoints()`, which the routers themselves tell: a new endpoint joins by itself. What the
//! matrix cannot guess (what stands behind a placeholder, what a body must hold, who owns a new product's objects) is in
//! the three small tables at the end; where they do not know an endpoint the test fails and says what to add.

use crate::support::channels::{channel_key, hub_body, set_addresses};
use crate::support::{Answer, TestApp, live, partner_api, smpp_user, test};
use rookery::core::account::{self, NewAccount};
use rookery::core::key;
use rookery::run::grow;
use rookery::wire::{EVENTS, Endpoint, Service};
use serde_json::{Value, json};

/// How a request carries its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Authorization,
    Query,
    ApiKey,
    ChannelKey,
}

const ALL: [By; 4] = [By::Authorization, By::Query, By::ApiKey, By::ChannelKey];

/// Everybody who calls. The owner is a partner with one child whose objects are asked for.
struct World {
    app: TestApp,
    partner: NewAccount,
    child: NewAccount,
    sibling: NewAccount,
    other_partner: NewAccount,
    other_child: NewAccount,
    suspended_partner: NewAccount,
    child_of_suspended: NewAccount,
    suspended_child: NewAccount,
    deleted_partner: NewAccount,
    deleted_child: NewAccount,
    operator: String,
    /// Keys of channels: of the child, of another partner's child, of a suspended child.
    channels: [String; 3],
    /// The business account of the child's channel.
    business: String,
}

impl World {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let partner = app.partner("Ownerly Holdings").await;
        let child = app.child(partner.account.id, "Ownerly Bakery").await;
        let sibling = app.child(partner.account.id, "Sibling Cafe").await;
        let other_partner = app.partner("Stranger Group").await;
        let other_child = app.child(other_partner.account.id, "Stranger Shop").await;
        let suspended_partner = app.partner("Idle Group").await;
        let child_of_suspended = app.child(suspended_partner.account.id, "Idle Shop").await;
        let suspended_child = app.child(other_partner.account.id, "Idle Bakery").await;
        let deleted_partner = app.partner("Gone Group").await;
        let deleted_child = app.child(other_partner.account.id, "Gone Shop").await;
        let mut channels = Vec::new();
        let mut business = String::new();
        for (number, (partner, child)) in
            [(&partner, &child), (&other_partner, &other_child), (&other_partner, &suspended_child)]
                .into_iter()
                .enumerate()
        {
            let (key, of) = channel_key(&app, partner, &child.account.name, number).await;
            channels.push(key);
            business = if number == 0 { of } else { business };
        }
        let channels = <[String; 3]>::try_from(channels).expect("three keys");
        for suspended in [&suspended_partner, &suspended_child] {
            app.store.write(suspended.account.id, account::suspend).await.expect("an account is suspended");
        }
        for deleted in [&deleted_partner, &deleted_child] {
            app.store.write(deleted.account.id, account::delete).await.expect("an account is deleted");
        }
        let operator = app.store.write(String::new(), key::create_operator).await.expect("an operator's key");
        app.notice_changes().await;
        let operator = operator.text.reveal().to_owned();
        set_addresses(&app, &partner).await;
        World {
            app,
            partner,
            child,
            sibling,
            other_partner,
            other_child,
            suspended_partner,
            child_of_suspended,
            suspended_child,
            deleted_partner,
            deleted_child,
            operator,
            channels,
            business,
        }
    }

    /// Fresh objects of the owner: a contact that is in a group, and a child account.
    async fn objects(&self, number: u64) -> Objects {
        let key = live(&self.child);
        let msisdn = 31_655_500_000 + number;
        let contact = json!({"msisdn": msisdn, "firstName": format!("Zephyrine{number}x"),
            "lastName": format!("Quillon{number}x"), "custom1": format!("Marzipan{number}x")});
        let made = self.app.request("POST", "/contacts").key(key).json(&contact).send().await.expect(201);
        let group = json!({"name": format!("Tangerine{number}x")});
        let grouped = self.app.request("POST", "/groups").key(key).json(&group).send().await.expect(201);
        let (contact_id, group_id) = (text(&made["id"]), text(&grouped["id"]));
        let target = format!("/groups/{group_id}/contacts");
        self.app
            .request("PUT", &target)
            .key(key)
            .json(&json!({"ids": [contact_id]}))
            .send()
            .await
            .expect(204);
        let message = json!({"originator": "Ownerly", "recipients": [msisdn], "body": format!("Wombat{number}x"),
            "reference": format!("Caraway{number}x"), "reportUrl": "https://ownerly.example/report"});
        let sent = self.app.request("POST", "/messages").key(key).json(&message).send().await.expect(201);
        let message_id = text(&sent["id"]);
        let child = json!({"name": format!("Hollowbrook{number}x")});
        let key = live(&self.partner);
        let child =
            self.app.request("POST", "/child-accounts").key(key).json(&child).send().await.expect(201);
        let mut private: Vec<String> =
            ["Zephyrine", "Quillon", "Marzipan", "Tangerine", "Hollowbrook", "Wombat", "Caraway"]
                .iter()
                .map(|name| format!("{name}{number}x"))
                .collect();
        private.extend([msisdn.to_string(), contact_id.clone(), group_id.clone(), child["id"].to_string()]);
        private.extend([text(&child["signingKey"]), message_id.clone()]);
        for key in child["accessKeys"].as_array().expect("keys") {
            private.extend([text(&key["id"]), text(&key["key"])]);
        }
        let handle = partner_api(&self.partner).1.to_owned();
        let shared = self.share(number).await;
        private.extend(shared.clone());
        let [client, channel, business, template] = shared;
        let call = self.app.request("POST", "/_waba-v2/media").header("d360-api-key", &self.channels[0]);
        let media = text(&call.body("image/png", "PNG").send().await.expect(200)["id"]);
        let name = format!("yarrow{number}x");
        let body = json!({"name": name, "category": "UTILITY", "language": "en", "components": []});
        let call = self.app.request("POST", "/_waba-v2/v1/configs/templates");
        call.header("d360-api-key", &self.channels[0]).json(&body).send().await.expect(201);
        private.extend([media.clone(), name.clone()]);
        let user = format!("nutmeg{number}x");
        smpp_user(&self.app, &self.child, &user).await;
        Objects {
            media,
            name,
            user,
            client,
            channel,
            business,
            template,
            contact: contact_id,
            group: group_id,
            message: message_id,
            child: child["id"].to_string(),
            handle,
            fresh: number,
            private,
        }
    }

    /// A client of the hub with a running channel, its business account and a template.
    async fn share(&self, number: u64) -> [String; 4] {
        let (api_key, handle) = partner_api(&self.partner);
        let call = async |method: &str, below: String, body: Value| {
            let call = self.app.request(method, &format!("/api/v2/partners/{handle}{below}"));
            let call = call.header("x-api-key", api_key);
            let answer = if method == "GET" { call.send().await } else { call.json(&body).send().await };
            assert!(answer.status.is_success(), "{below}: {}", answer.json());
            answer.json()
        };
        let body = json!({"name": format!("Elderberry{number}x"), "email": format!("fern{number}x@ownerly.example")});
        let client = text(&call("POST", "/account_sharing/clients".into(), body).await["id"]);
        call("PATCH", String::new(), json!({"allow_client_to_add_phone_no": true})).await;
        let body =
            json!({"client_id": client, "solution_id": "1", "waba_external_id": format!("7021{number:08}")});
        call("POST", "/account_sharing/numbers".into(), body).await;
        for _ in 0..4 {
            grow::turn(&self.app.store, EVENTS).await.expect("channels go on");
        }
        let filter = format!("/channels?filters=%7B%22client_id%22:%22{client}%22%7D");
        let channel = call("GET", filter, Value::Null).await["partner_channels"][0].clone();
        let business = text(&channel["waba_account_id"]);
        let body = json!({"name": format!("sorrel{number}x"), "category": "UTILITY", "language": "en",
            "components": [{"type": "BODY", "text": format!("Thistle{number}x")}]});
        let all = format!("/waba_accounts/{business}/waba_templates");
        let template = text(&call("POST", all, body).await["id"]);
        [client, text(&channel["id"]), business, template]
    }

    /// Everything of the owner that nobody else may learn.
    fn private(&self, objects: &Objects) -> Vec<String> {
        let mut private = objects.private.clone();
        for owner in [&self.partner, &self.child] {
            private.extend([owner.account.id.to_string(), owner.account.name.clone()]);
            private.push(owner.signing_key.reveal().to_owned());
            for key in &owner.keys {
                private.extend([key.id.hyphenated(), key.id.to_string(), key.text.reveal().to_owned()]);
            }
        }
        let (api_key, handle) = partner_api(&self.partner);
        private.extend([api_key.to_owned(), handle.to_owned(), "ownerly.example".to_owned()]);
        private
    }

    /// What the owner sees of the objects.
    async fn seen(&self, objects: &Objects) -> Vec<(String, String)> {
        let Objects { contact, group, message, child, handle, client, channel, business, .. } = objects;
        let mut seen = Vec::new();
        let own = [("contacts", contact), ("groups", group), ("messages", message)]
            .map(|(noun, id)| (format!("/{noun}/{id}"), live(&self.child)));
        let children = [format!("/child-accounts/{child}"), "/child-accounts".to_owned()];
        let members = (format!("/groups/{group}/contacts"), live(&self.child));
        let children = children.map(|target| (target, live(&self.partner)));
        for (target, key) in own.into_iter().chain([members]).chain(children) {
            let answer = self.app.request("GET", &target).key(key).send().await;
            seen.push((target, shown(&answer)));
        }
        for below in [
            String::new(),
            format!("/clients/{client}"),
            format!("/channels/{channel}"),
            format!("/waba_accounts/{business}"),
            format!("/waba_accounts/{business}/waba_templates"),
            "/channels?limit=2".to_owned(),
            format!("/waba_accounts/{}/waba_templates", self.business),
        ] {
            let call = self.app.request("GET", &format!("/api/v2/partners/{handle}{below}"));
            let answer = call.header("x-api-key", partner_api(&self.partner).0).send().await;
            seen.push((below, shown(&answer)));
        }
        seen
    }

    async fn call(&self, row: &Row, objects: &Objects, key: Option<(By, &str)>) -> Seen {
        let mut target = row.target(objects);
        if let Some((By::Query, key)) = key {
            let joint = if target.contains('?') { '&' } else { '?' };
            target = format!("{target}{joint}access_key={key}");
        }
        let mut call = self.app.request(&row.endpoint.method, &target);
        match key {
            Some((By::Authorization, key)) => call = call.key(key),
            Some((By::ApiKey, key)) => call = call.header("x-api-key", key),
            Some((By::ChannelKey, key)) => call = call.header("d360-api-key", key),
            Some((By::Query, _)) | None => {}
        }
        let body = row.body(objects);
        match &body {
            // Files go up as they are.
            Some(_) if row.endpoint.path.ends_with("/media") => call = call.body("image/png", "PNG"),
            Some(body) => call = call.json(body),
            None => {}
        }
        let sent = format!("{target} {}", body.unwrap_or_default());
        Seen { answer: call.send().await, sent }
    }
}

/// Status and body.
fn shown(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// What a placeholder or a body may name.
#[derive(Clone)]
struct Objects {
    contact: String,
    group: String,
    message: String,
    child: String,
    handle: String,
    client: String,
    channel: String,
    business: String,
    template: String,
    media: String,
    name: String,
    user: String,
    /// Makes the numbers and names in bodies different for each call that creates.
    fresh: u64,
    private: Vec<String>,
}

impl Objects {
    /// The ids of nothing, in the right form.
    fn ghosts(fresh: u64) -> Self {
        let id = "0123456789abcdef0123456789abcdef".to_owned();
        Objects {
            contact: id.clone(),
            group: id.clone(),
            message: id,
            child: "1000000".into(),
            handle: "Zz9Zz9PA".into(),
            client: "Zz9Zz9Zz9CL".into(),
            channel: "Zz9Zz9CH".into(),
            business: "Zz9Zz9WA".into(),
            template: "Zz9Zz9Zz9Zz9Zz9Zz9ZzWT".into(),
            media: "100000000000001".into(),
            name: "nothing".into(),
            user: "nobody".into(),
            fresh,
            private: Vec::new(),
        }
    }
}

struct Seen {
    answer: Answer,
    sent: String,
}

impl Seen {
    /// What may not be in the answer, and is: unless the caller has sent it.
    fn leaks(&self, private: &[String]) -> Vec<String> {
        let shown = format!("{:?} {}", self.answer.headers, String::from_utf8_lossy(&self.answer.body));
        private.iter().filter(|one| shown.contains(*one) && !self.sent.contains(*one)).cloned().collect()
    }

    /// Status, headers and body without the request's id.
    fn modulo_id(&self) -> String {
        let mut headers = self.answer.headers.clone();
        let id = headers.remove("x-request-id").expect("every answer has a request id");
        let body = String::from_utf8_lossy(&self.answer.body).replace(id.to_str().expect("an id"), "");
        format!("{} {headers:?} {body}", self.answer.status)
    }
}

/// One endpoint, with what has gone wrong with it.
struct Row {
    endpoint: Endpoint,
    takes_body: bool,
    wrong: Vec<String>,
}

impl Row {
    fn new(endpoint: Endpoint, document: &Value) -> Self {
        let operation = &document["paths"][&endpoint.path][endpoint.method.to_lowercase()];
        Row { takes_body: operation.get("requestBody").is_some(), endpoint, wrong: Vec::new() }
    }

    fn name(&self) -> String {
        format!("{} {} {}", self.endpoint.surface, self.endpoint.method, self.endpoint.path)
    }

    fn target(&self, objects: &Objects) -> String {
        let parts = self.endpoint.path.split('/').map(|part| match part.strip_prefix('{') {
            Some(name) => {
                let name = name.trim_end_matches('}');
                behind(&self.endpoint, name, objects).unwrap_or_else(|| {
                    panic!(
                        "{}: what is behind {{{name}}}? Add it to `behind` in tests/suite/matrix.rs.",
                        self.name()
                    )
                })
            }
            None => part.to_owned(),
        });
        let path = parts.collect::<Vec<_>>().join("/");
        // The one object that a query names.
        if path.ends_with("/attachments") {
            format!("{path}?mid={}", objects.media)
        } else if path.starts_with("/reporting/") {
            format!("{path}?periodStart=2024-03-01T00:00:00Z")
        } else {
            path
        }
    }

    fn body(&self, objects: &Objects) -> Option<Value> {
        let body = body(&self.endpoint, objects);
        assert!(
            body.is_some() || !self.takes_body,
            "{}: the document says that it takes a body. Add one that it accepts to `body` in tests/suite/matrix.rs.",
            self.name()
        );
        body
    }

    fn has_object(&self) -> bool {
        self.endpoint.path.contains('{') || self.endpoint.path.ends_with("/attachments")
    }

    fn check(&mut self, right: bool, cell: &str, seen: &Seen) {
        if !right {
            let body = String::from_utf8_lossy(&seen.answer.body);
            self.wrong.push(format!(
                "{}, {cell}: {} {body} to {}",
                self.name(),
                seen.answer.status,
                seen.sent
            ));
        }
    }

    fn check_refused(&mut self, refusal: (u16, Value), cell: &str, seen: &Seen, private: &[String]) {
        let (status, body) = refusal;
        self.check(seen.answer.status.as_u16() == status && seen.answer.json() == body, cell, seen);
        self.check(seen.leaks(private).is_empty(), &format!("{cell}, leaks {:?}", seen.leaks(private)), seen);
    }
}

#[tokio::test]
async fn nobody_but_the_owner_gets_anything_from_any_endpoint() {
    let world = Box::pin(World::new()).await;
    let document: Value = serde_json::from_str(&Service::openapi()).expect("the document is JSON");
    let endpoints = Service::endpoints();
    assert!(endpoints.len() > 20, "the routers tell their endpoints: {endpoints:?}");
    let mut wrong = Vec::new();
    // People sign in for tokens without a key: tests/suite/hub.rs has the matrix of that.
    let keyed = endpoints.into_iter().filter(|endpoint| endpoint.surface != "token");
    for (number, endpoint) in (1..).zip(keyed) {
        let mut row = Row::new(endpoint, &document);
        Box::pin(owner_succeeds(&world, &mut row, number * 100)).await;
        Box::pin(strangers_fail(&world, &mut row, number * 100 + 10)).await;
        Box::pin(test_key(&world, &mut row, number * 100 + 50)).await;
        wrong.append(&mut row.wrong);
    }
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    world.app.settle().await;
}

/// Proves the row: that what the others are refused does exist and works.
async fn owner_succeeds(world: &World, row: &mut Row, number: u64) {
    let product = product(world, &row.endpoint);
    for (number, by) in (number..).zip(product.takes) {
        let objects = Box::pin(world.objects(number)).await;
        let seen = world.call(row, &objects, Some((*by, product.owner))).await;
        row.check(seen.answer.status.is_success(), &format!("the owner, by {by:?}"), &seen);
    }
}

async fn strangers_fail(world: &World, row: &mut Row, number: u64) {
    let product = product(world, &row.endpoint);
    let objects = Box::pin(world.objects(number)).await;
    let private = world.private(&objects);
    let before = world.seen(&objects).await;

    let nobody = world.call(row, &objects, None).await;
    row.check_refused((product.refused)(), "no key", &nobody, &private);
    for (cell, key) in product.wrong_keys {
        for by in ALL {
            let seen = world.call(row, &objects, Some((by, &key))).await;
            row.check_refused((product.refused)(), &format!("{cell}, by {by:?}"), &seen, &private);
        }
    }
    for by in ALL.into_iter().filter(|by| !product.takes.contains(by)) {
        let seen = world.call(row, &objects, Some((by, product.owner))).await;
        row.check_refused(
            (product.refused)(),
            &format!("the owner's key in the wrong place, by {by:?}"),
            &seen,
            &private,
        );
    }
    for by in product.takes {
        for (cell, key) in &product.suspended {
            let seen = world.call(row, &objects, Some((*by, key))).await;
            row.check_refused((product.stopped)(), &format!("{cell}, by {by:?}"), &seen, &private);
        }
        for (cell, key) in &product.unprivileged {
            let seen = world.call(row, &objects, Some((*by, key))).await;
            row.check_refused((product.forbidden)(), &format!("{cell}, by {by:?}"), &seen, &private);
        }
    }
    for (number, (cell, key)) in (number + 1..).zip(&product.strangers) {
        for (number, by) in (number * 10..).zip(product.takes) {
            let cell = format!("{cell}, by {by:?}");
            let asked = Objects { fresh: number, ..objects.clone() };
            let theirs = world.call(row, &asked, Some((*by, key))).await;
            row.check(
                theirs.leaks(&private).is_empty(),
                &format!("{cell}, leaks {:?}", theirs.leaks(&private)),
                &theirs,
            );
            if row.has_object() {
                let ghost = world.call(row, &Objects::ghosts(number), Some((*by, key))).await;
                row.check(
                    theirs.modulo_id() == ghost.modulo_id(),
                    &format!("{cell}, differs from a ghost"),
                    &theirs,
                );
                row.check(theirs.answer.status.is_client_error(), &cell, &theirs);
            } else {
                row.check(theirs.answer.status.is_success(), &format!("{cell}, on its own"), &theirs);
            }
        }
    }
    let after = world.seen(&objects).await;
    for (was, is) in before.iter().zip(&after).filter(|(was, is)| was != is) {
        row.wrong
            .push(format!("{}: a stranger has changed what the owner sees: {was:?} is {is:?}", row.name()));
    }
}

/// A test key reads and writes the address book for real; a partner's writes with it are only answered.
async fn test_key(world: &World, row: &mut Row, number: u64) {
    let product = product(world, &row.endpoint);
    for (number, by) in (number..).zip(product.takes) {
        let objects = Box::pin(world.objects(number)).await;
        let before = world.seen(&objects).await;
        let seen = world.call(row, &objects, Some((*by, product.test))).await;
        let cell = format!("a test key, by {by:?}");
        match product.on_test {
            OnTest::Refused => {
                let private = world.private(&objects);
                row.check_refused((product.refused)(), &cell, &seen, &private);
            }
            OnTest::Real | OnTest::Rehearsed => row.check(seen.answer.status.is_success(), &cell, &seen),
        }
        if product.on_test != OnTest::Real && world.seen(&objects).await != before {
            row.wrong.push(format!("{}, {cell}: it was done for real", row.name()));
        }
    }
}

#[tokio::test]
async fn an_object_of_somebody_else_in_a_body_is_one_that_does_not_exist() {
    let world = Box::pin(World::new()).await;
    let objects = Box::pin(world.objects(1)).await;
    let key = live(&world.sibling);
    let group = world.app.request("POST", "/groups").key(key).form("name=Mine").send().await.expect(201);
    let group = text(&group["id"]);
    let ghost = Objects::ghosts(0).contact;
    for (method, target) in [
        ("PUT", format!("/groups/{group}")),
        ("PUT", format!("/groups/{group}/contacts")),
        ("DELETE", format!("/groups/{group}/contacts")),
    ] {
        let ask = async |id: &str| {
            let answer = world.app.request(method, &target).key(key).json(&json!({"ids": [id]})).send().await;
            (answer.status.as_u16(), answer.json())
        };
        let (status, body) = ask(&objects.contact).await;
        assert_eq!((status, &body), (404, &ask(&ghost).await.1), "{method} {target}");
    }
    let remove = async |id: &str| {
        let target = format!("/groups/{group}/contacts/{id}");
        let answer = world.app.request("DELETE", &target).key(key).send().await;
        (answer.status.as_u16(), answer.json())
    };
    assert_eq!(remove(&objects.contact).await, remove(&ghost).await);
    assert_eq!(remove(&ghost).await.0, 404);
    let mine =
        world.app.request("GET", &format!("/groups/{group}/contacts")).key(key).send().await.expect(200);
    assert_eq!(mine["totalCount"], 0);
    world.app.settle().await;
}

#[tokio::test]
async fn numbers_and_names_of_somebody_else_find_nothing_and_may_be_used_again() {
    let world = Box::pin(World::new()).await;
    let objects = Box::pin(world.objects(1)).await;
    for stranger in [&world.sibling, &world.partner, &world.other_child, &world.other_partner] {
        let key = live(stranger);
        let get = async |target: &str| world.app.request("GET", target).key(key).send().await;
        for (theirs, nobodys) in [
            ("31655500001", "31655599999"),
            ("Zephyrine1x", "Nobody"),
            ("zephyrine1x%20quillon1x", "Nobody%20At"),
        ] {
            let found = get(&format!("/contacts/{theirs}")).await;
            assert_eq!(
                (found.status.as_u16(), &found.json()),
                (404, &get(&format!("/contacts/{nobodys}")).await.json())
            );
        }
        for filter in ["msisdn=31655500001", "name=Zephyrine"] {
            assert_eq!(get(&format!("/contacts?{filter}")).await.expect(200)["totalCount"], 0, "{filter}");
        }
        let same = json!({"msisdn": 31_655_500_001_i64});
        let made = world.app.request("POST", "/contacts").key(key).json(&same).send().await.expect(201);
        assert_ne!(made["id"], objects.contact.as_str());
    }
    world.app.settle().await;
}

/// What a key of the account's test mode does on a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnTest {
    Real,
    Rehearsed,
    Refused,
}

/// Who is who on a product, and what the refusals look like.
struct Product<'a> {
    owner: &'a str,
    test: &'a str,
    on_test: OnTest,
    /// Where a key may stand; anywhere else is no key.
    takes: &'static [By],
    /// Refused like no key at all.
    wrong_keys: Vec<(&'static str, String)>,
    suspended: Vec<(&'static str, &'a str)>,
    /// Good keys of accounts that the product is not for.
    unprivileged: Vec<(&'static str, &'a str)>,
    /// Good keys of accounts that do not own the objects.
    strangers: Vec<(&'static str, &'a str)>,
    refused: fn() -> (u16, Value),
    stopped: fn() -> (u16, Value),
    forbidden: fn() -> (u16, Value),
}

/// The products: who owns what, and who is refused how.
fn product<'a>(world: &'a World, endpoint: &Endpoint) -> Product<'a> {
    let incorrect = || {
        let error = json!({
            "code": 2,
            "description": "Request not allowed (incorrect access_key)",
            "parameter": "access_key",
        });
        (401, json!({"errors": [error]}))
    };
    let api = |account| partner_api(account).0;
    let mut wrong_keys = vec![
        ("a bad key", "A1b2C3d4E5f6G7h8I9j0K1l2M".to_owned()),
        ("a bad test key", "test_A1b2C3d4E5f6G7h8I9j0K1l2M".to_owned()),
        ("an operator's key", world.operator.clone()),
        ("a signing key", world.child.signing_key.reveal().to_owned()),
        ("a deleted child's key", live(&world.deleted_child).to_owned()),
        ("a deleted child's test key", test(&world.deleted_child).to_owned()),
        ("a deleted partner's key", live(&world.deleted_partner).to_owned()),
        ("a deleted partner's API key", api(&world.deleted_partner).to_owned()),
    ];
    match endpoint.surface {
        "rest" => {
            wrong_keys.push(("the partner's API key", api(&world.partner).to_owned()));
            Product {
                owner: live(&world.child),
                test: test(&world.child),
                on_test: OnTest::Real,
                takes: &[By::Authorization, By::Query],
                wrong_keys,
                suspended: vec![
                    ("a suspended child", live(&world.suspended_child)),
                    ("a suspended child's test key", test(&world.suspended_child)),
                    ("a suspended partner's child", live(&world.child_of_suspended)),
                    ("a suspended partner", live(&world.suspended_partner)),
                ],
                unprivileged: Vec::new(),
                strangers: vec![
                    ("another child", live(&world.sibling)),
                    ("the owner's partner", live(&world.partner)),
                    ("another partner's child", live(&world.other_child)),
                    ("another partner's test key", test(&world.other_partner)),
                ],
                refused: incorrect,
                stopped: incorrect,
                forbidden: || unreachable!("the rest host is for all accounts"),
            }
        }
        "partner-accounts" => {
            wrong_keys.push(("the partner's API key", api(&world.partner).to_owned()));
            Product {
                owner: live(&world.partner),
                test: test(&world.partner),
                on_test: OnTest::Rehearsed,
                takes: &[By::Authorization, By::Query],
                wrong_keys,
                suspended: vec![
                    ("a suspended partner", live(&world.suspended_partner)),
                    ("a suspended partner's test key", test(&world.suspended_partner)),
                    ("a suspended partner's child", live(&world.child_of_suspended)),
                    ("a suspended child", live(&world.suspended_child)),
                ],
                unprivileged: vec![
                    ("the partner's child", live(&world.child)),
                    ("the partner's child's test key", test(&world.child)),
                    ("another partner's child", live(&world.other_child)),
                ],
                strangers: vec![
                    ("another partner", live(&world.other_partner)),
                    ("another partner's test key", test(&world.other_partner)),
                ],
                refused: incorrect,
                stopped: incorrect,
                forbidden: || (403, json!({"message": "Not privileged to request the resource."})),
            }
        }
        "hub" => {
            wrong_keys.push(("the partner's access key", live(&world.partner).to_owned()));
            wrong_keys.push(("the partner's child's key", live(&world.child).to_owned()));
            Product {
                owner: api(&world.partner),
                test: test(&world.partner),
                on_test: OnTest::Refused,
                takes: &[By::ApiKey],
                wrong_keys,
                suspended: vec![("a suspended partner", api(&world.suspended_partner))],
                unprivileged: Vec::new(),
                strangers: vec![("another partner", api(&world.other_partner))],
                refused: || (401, meta(401, "Invalid or missing API key")),
                stopped: || (403, meta(403, "The account is suspended")),
                forbidden: || unreachable!("only partners have keys of the hub"),
            }
        }
        "waba-v2" => channels(world, wrong_keys),
        surface => panic!("who owns the objects of {surface}? Add it to `product` in tests/suite/matrix.rs."),
    }
}

/// The host of the messages: whose keys are those of channels.
fn channels<'a>(world: &'a World, mut wrong_keys: Vec<(&'static str, String)>) -> Product<'a> {
    wrong_keys.push(("the partner's access key", live(&world.partner).to_owned()));
    wrong_keys.push(("the partner's API key", partner_api(&world.partner).0.to_owned()));
    wrong_keys.push(("the child's key", live(&world.child).to_owned()));
    Product {
        owner: &world.channels[0],
        test: test(&world.child),
        on_test: OnTest::Refused,
        takes: &[By::ChannelKey],
        wrong_keys,
        suspended: vec![("a suspended child's channel", &world.channels[2])],
        unprivileged: Vec::new(),
        strangers: vec![("another partner's channel", &world.channels[1])],
        refused: || (401, json!({"error": "Invalid api key"})),
        stopped: || (403, meta(403, "The account is suspended")),
        forbidden: || unreachable!("only channels have keys of this host"),
    }
}

fn meta(status: u16, message: &str) -> Value {
    json!({"meta": {"developer_message": message, "http_code": status, "success": false}})
}

/// The object that a placeholder of a path names.
fn behind(endpoint: &Endpoint, placeholder: &str, objects: &Objects) -> Option<String> {
    let noun = endpoint.path.split('/').nth(1)?;
    let object = match (endpoint.surface, noun, placeholder) {
        ("rest", "contacts", "id") | ("rest", "groups", "contact") => &objects.contact,
        ("rest", "groups", "id") => &objects.group,
        ("rest", "messages", "id") => &objects.message,
        ("rest", "pricing", "username") => &objects.user,
        ("partner-accounts", _, "id") => &objects.child,
        ("waba-v2", _, "media_id") => &objects.media,
        ("waba-v2", _, "name") => &objects.name,
        ("hub", _, "partner_id") => &objects.handle,
        ("hub", _, "client_id") => &objects.client,
        ("hub", _, "channel_id") => &objects.channel,
        ("hub", _, "waba_account_id") => &objects.business,
        ("hub", _, "template_id") => &objects.template,
        _ => return None,
    };
    Some(object.clone())
}

/// A body that the endpoint accepts from the owner.
fn body(endpoint: &Endpoint, objects: &Objects) -> Option<Value> {
    let Objects { contact, fresh, .. } = objects;
    let path = endpoint.path.strip_prefix("/v1").unwrap_or(&endpoint.path);
    Some(match (endpoint.surface, endpoint.method.as_str(), path) {
        ("rest", "POST", "/contacts") => json!({"msisdn": 4_915_100_000_000 + fresh, "firstName": "Grace"}),
        ("rest", "PATCH" | "PUT", "/contacts/{id}") => json!({"firstName": "Grace", "custom2": "new"}),
        ("rest", "POST", "/groups") => json!({"name": "Newcomers"}),
        ("rest", "POST", "/messages") => {
            json!({"originator": "Grace", "recipients": [4_915_100_000_000 + fresh], "body": "Hello"})
        }
        ("rest", "POST", "/messages/batches") => {
            json!({"messages": [{"originator": "Grace", "recipients": [4_915_100_000_000 + fresh], "body": "Hello"}]})
        }
        ("rest", "PATCH", "/groups/{id}") => json!({"name": "Renamed"}),
        ("rest", "PUT", "/groups/{id}") | ("rest", "PUT" | "DELETE", "/groups/{id}/contacts") => {
            json!({"ids": [contact]})
        }
        ("partner-accounts", "POST", "/child-accounts") => json!({"name": "Newcomer"}),
        ("partner-accounts", "PATCH", "/child-accounts/{id}") => json!({"name": "Moved"}),
        ("hub", "PATCH", "/api/v2/partners/{partner_id}" | "/partners/{partner_id}") => {
            json!({"allow_client_to_add_phone_no": false})
        }
        ("waba-v2", "POST", path) => match path.rsplit('/').next()? {
            "messages" => {
                json!({"to": (4_915_100_000_000 + fresh).to_string(), "type": "text", "text": {"body": "Hello"}})
            }
            "webhook" | "waba_webhook" => json!({"url": "https://hooks.example/wa"}),
            "templates" => {
                json!({"name": format!("new_{fresh}"), "category": "UTILITY", "language": "en", "components": []})
            }
            "whatsapp_business_profile" => json!({"about": "new"}),
            "whatsapp_business_encryption" => {
                json!({"business_public_key": "-----BEGIN PUBLIC KEY-----\nnew\n-----END PUBLIC KEY-----"})
            }
            "media" => json!({}),
            _ => return None,
        },
        ("hub", method, path) => {
            let (_, below) = path.split_once("{partner_id}")?;
            return hub_body(method, below, &objects.client, *fresh);
        }
        _ => return None,
    })
}
