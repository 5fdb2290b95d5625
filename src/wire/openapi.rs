//! The OpenAPI document of everything that is served, made from the routers themselves.

use super::{Endpoint, d360, messagebird, platform};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, Info, OpenApi, Paths, Ref, RefOr, Tag};
use utoipa_axum::router::OpenApiRouter;

/// Each product's part of the document.
fn products() -> [(&'static str, OpenApi); 5] {
    let document = |mut routes: OpenApiRouter<super::Shared>| routes.to_openapi();
    [
        ("rest", document(messagebird::rest())),
        ("partner-accounts", document(messagebird::partner_accounts())),
        ("hub", document(d360::hub())),
        ("token", document(d360::token())),
        // On one origin these paths need their prefix: the rest host has the same ones.
        ("waba-v2", document(OpenApiRouter::new().nest("/_waba-v2", d360::messaging::routes()))),
    ]
}

/// The sections, in the order in which the documentation shows them.
const SECTIONS: [(&str, &str); 16] = [
    ("SMS", "Messages: send, read, list, delete"),
    ("Balance", "What an account has left"),
    ("Pricing", "What messages cost"),
    ("Reporting", "What became of messages, in sums"),
    ("Contacts", "The address book"),
    ("Groups", "Contacts, put together"),
    ("Partner Accounts", "A partner's child accounts"),
    ("Token", "Signing in"),
    ("Partner Management", "The partner itself"),
    ("Client Management", "A partner's clients, which are its child accounts"),
    ("Account Sharing", "How a client's number comes to a partner"),
    ("Channel Management", "A client's channels and their keys"),
    ("WABA Account Management", "The accounts at the network that channels belong to"),
    ("Templates Management", "Templates of messages"),
    ("Webhook Management", "Where a channel's events go"),
    ("Messaging", "What a channel's key opens"),
];

/// The document of all products, on one origin.
pub(super) fn document() -> OpenApi {
    let mut info = Info::new("Rookery", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "The classic MessageBird APIs and the 360dialog Partner API, served by this installation. The same paths are \
         served on hosts whose first label is `rest`, `partner-accounts`, `hub` or `waba-v2` (there without \
         `/_waba-v2`). The platform's own API has a document of its own, `/platform/v1/openapi.json`."
            .into(),
    );
    let mut whole = OpenApi::new(info, Paths::new());
    for (_, product) in products() {
        whole.merge(product);
    }
    let section = |(name, text): (&str, &str)| {
        let mut tag = Tag::new(name);
        tag.description = Some(text.into());
        tag
    };
    whole.tags = Some(SECTIONS.map(section).into());
    let components = whole.components.get_or_insert_with(Components::new);
    let header = |name: &str, text: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, text)))
    };
    components
        .add_security_scheme("AccessKey", header("Authorization", "`AccessKey` and the key: `AccessKey …`"));
    components.add_security_scheme("PartnerApiKey", header("X-API-Key", "The partner's API key"));
    components.add_security_scheme("ChannelKey", header("D360-API-KEY", "The channel's API key"));
    components.add_security_scheme(
        "Bearer",
        header("Authorization", "`Bearer` and a token of `POST /api/v2/token`: `Bearer …`"),
    );
    whole
}

/// The document as it is served and committed.
pub(super) fn json() -> String {
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// What every operation of the platform's own API may answer beside what it is for.
const REFUSALS: [(&str, &str); 9] = [
    ("400", "The request cannot be read"),
    ("401", "No key, a wrong one, or one that has ended"),
    ("403", "The key may not do this, or the account is suspended"),
    ("404", "Not there, or not within reach"),
    ("408", "The body did not arrive in time"),
    ("413", "The body is too large"),
    ("422", "The request breaks rules, all of which are named"),
    ("429", "Too many requests; `Retry-After` says when to come again"),
    ("503", "Not possible now; `Retry-After` says when to come again"),
];

/// The document of the platform's own API.
fn platform_document() -> OpenApi {
    let mut document = platform::routes().merge(platform::open()).to_openapi();
    document.info = Info::new("Rookery platform API", env!("CARGO_PKG_VERSION"));
    document.info.description = Some(
        "What a reseller runs its business on: accounts, keys, people, money, limits, webhooks and the audit log. Every \
         request carries `Authorization: Bearer` and a key of mode `platform`, an operator's key, or the token of a \
         session. A POST with an `Idempotency-Key` counts once and is answered alike."
            .into(),
    );
    document.security = Some(vec![SecurityRequirement::new::<_, _, &str>("Bearer", [])]);
    let components = document.components.get_or_insert_with(Components::new);
    components.add_security_scheme("Bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    for (name, schema) in &mut components.schemas {
        // A member that is not known is refused.
        if let RefOr::T(Schema::Object(object)) = schema
            && name.ends_with("Request")
        {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            complete(operation);
        }
    }
    document
}

fn complete(operation: &mut Operation) {
    for (status, about) in REFUSALS {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let response = ResponseBuilder::new().description(about).content("application/json", content);
        let known = &mut operation.responses.responses;
        known.entry(status.to_owned()).or_insert_with(|| RefOr::T(response.build()));
    }
}

/// The document of the platform's own API as it is served and committed.
pub(super) fn platform_json() -> String {
    let mut text = platform_document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Every endpoint of the platform's own API.
pub(super) fn platform_endpoints() -> Vec<Endpoint> {
    listed([("platform", platform_document())])
}

/// Every endpoint of every vendor's product.
pub(super) fn endpoints() -> Vec<Endpoint> {
    listed(products())
}

fn listed<const N: usize>(products: [(&'static str, OpenApi); N]) -> Vec<Endpoint> {
    let mut all = Vec::new();
    for (surface, product) in products {
        for (path, item) in product.paths.paths {
            let methods = [
                ("GET", item.get.is_some()),
                ("POST", item.post.is_some()),
                ("PUT", item.put.is_some()),
                ("PATCH", item.patch.is_some()),
                ("DELETE", item.delete.is_some()),
            ];
            let present = methods.into_iter().filter(|(_, present)| *present);
            all.extend(present.map(|(method, _)| Endpoint {
                surface,
                method: method.into(),
                path: path.clone(),
            }));
        }
    }
    all
}
