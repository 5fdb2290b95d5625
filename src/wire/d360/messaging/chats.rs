//! Sending, and what is told of it: docs/spec/33-360-messaging.md sections 2 and 4.

use super::super::error::own;
use super::super::fields::Fields;
use super::super::json::answer;
use super::super::{error::MetaError, events};
use super::{graph, view};
use crate::core::channel::View;
use crate::core::chat::{self, Chat, ChatId, New, Status};
use crate::core::idempotency::Answer;
use crate::core::phone::Msisdn;
use crate::core::transport::SIMULATED;
use crate::core::usage::Category;
use crate::core::{Error, media, template};
use crate::wire::Shared;
use crate::wire::caller::{ChannelCaller, KeyBounds};
use crate::wire::idempotency::Once;
use crate::wire::refusal::Refusal;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(send))
}

/// What a message can be.
const KINDS: [&str; 11] = [
    "text",
    "template",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "interactive",
    "reaction",
];
const MEDIA: [&str; 5] = ["image", "video", "audio", "document", "sticker"];
/// Longest text (the network's own limit).
const TEXT_MAX: usize = 4_096;

/// The network's names for our messages: its own form around our id.
pub(in crate::wire) fn wamid(id: ChatId) -> String {
    format!("wamid.{}", STANDARD.encode(id.0))
}

/// The id of such a name.
fn of_wamid(text: &str) -> Option<ChatId> {
    let bytes = STANDARD.decode(text.strip_prefix("wamid.")?).ok()?;
    <[u8; 16]>::try_from(bytes).ok().map(ChatId::from)
}

/// Why a message is not taken.
fn wrong(details: &str) -> Answer {
    graph(StatusCode::BAD_REQUEST, 100, "Invalid parameter", details)
}

/// What is asked for: a message that is taken, or an answer at once.
enum Asked {
    Send(Box<New>, String),
    Answer(Answer),
}

/// Checks a message; what is wrong is said in the network's form.
async fn asked(
    state: &Shared,
    caller: &ChannelCaller,
    bounds: &KeyBounds,
    fields: &Fields,
) -> Result<Asked, Refusal> {
    let text = |name: &str| fields.any(name).and_then(Value::as_str);
    if text("messaging_product").is_some_and(|product| product != "whatsapp") {
        return Ok(Asked::Answer(wrong("messaging_product must be whatsapp")));
    }
    if text("status") == Some("read") {
        return read(state, caller, text("message_id").unwrap_or_default()).await.map(Asked::Answer);
    }
    let input = match fields.any("to") {
        Some(Value::String(to)) => to.clone(),
        Some(Value::Number(to)) if to.is_u64() => to.to_string(),
        None => return Ok(Asked::Answer(wrong("to is required"))),
        Some(_) => return Ok(Asked::Answer(wrong("to is not a phone number"))),
    };
    let Ok(to) = Msisdn::parse(&input) else {
        return Ok(Asked::Answer(wrong("to is not a phone number")));
    };
    let kind = text("type").unwrap_or("text");
    if !KINDS.contains(&kind) {
        return Ok(Asked::Answer(wrong("type is not one of those that can be sent")));
    }
    let Some(content) = fields.any(kind) else {
        return Ok(Asked::Answer(wrong("the object that type names is missing")));
    };
    let fits = if kind == "contacts" { content.is_array() } else { content.is_object() };
    if !fits {
        return Ok(Asked::Answer(wrong("the object that type names has another form")));
    }
    let found = view(state, caller).await?;
    let mut category = Category::Service;
    if kind == "text" {
        let body = content["body"].as_str().unwrap_or_default();
        if body.is_empty() || body.chars().count() > TEXT_MAX {
            return Ok(Asked::Answer(wrong("text.body needs 1 to 4096 characters")));
        }
    } else if MEDIA.contains(&kind) {
        match (content["id"].as_str(), content["link"].as_str()) {
            (Some(id), _) => {
                let file = (caller.scope, caller.channel.clone(), id.to_owned());
                match state.store.read(file, media::find).await {
                    Ok(_) => {}
                    Err(Error::NotFound(_)) => {
                        return Ok(Asked::Answer(wrong("there is no media with this id")));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            (None, Some(link)) if crate::core::partner::check_url(link).is_ok() && !link.is_empty() => {}
            _ => return Ok(Asked::Answer(wrong("media needs an id or a link"))),
        }
    } else if kind == "template" {
        let (name, language) = (content["name"].as_str(), content["language"]["code"].as_str());
        let (Some(name), Some(language)) = (name, language) else {
            return Ok(Asked::Answer(wrong("template needs a name and language.code")));
        };
        let Some(known) = category_of(state, &found, name, language).await? else {
            let details = format!("template name ({name}) does not exist in {language}");
            let words = "Template name does not exist in the translation";
            return Ok(Asked::Answer(graph(StatusCode::NOT_FOUND, 132_001, words, &details)));
        };
        category = known;
    }
    if kind != "template" && to.0 / 1_000 == WINDOW_CLOSED {
        let words =
            "Message failed to send because more than 24 hours have passed since the customer last replied";
        return Ok(Asked::Answer(graph(StatusCode::BAD_REQUEST, 131_047, "Re-engagement message", words)));
    }
    let quote = state.store.read((caller.scope, category, to), chat::quote).await?;
    let mut body = json!({"messaging_product": "whatsapp", "recipient_type": "individual",
        "to": to.to_string(), "type": kind});
    body[kind] = content.clone();
    if let Some(context) = fields.any("context") {
        body["context"] = context.clone();
    }
    name_theirs(state, caller, &mut body).await?;
    let terms = state.terms.of(&state.store, caller.scope.account).await?;
    let takes = chat::within(&terms, bounds.get(), to, quote)?;
    let new = New {
        scope: caller.scope,
        channel: caller.channel.clone(),
        to,
        kind: kind.to_owned(),
        category,
        content: body.to_string(),
        quote,
        takes,
    };
    Ok(Asked::Send(Box::new(new), input))
}

/// What a template costs as; `None` if it cannot be sent.
async fn category_of(
    state: &Shared,
    view: &View,
    name: &str,
    language: &str,
) -> Result<Option<Category>, Refusal> {
    let of = (view.channel.scope.root, view.business.id.clone());
    let asked = (of, name.to_owned(), language.to_owned());
    match state.store.read(asked, template::named).await {
        Ok(one) if one.status == template::Status::Approved => {
            Ok(Some(Category::parse(&one.category).unwrap_or(Category::Marketing)))
        }
        // Another transport's network knows templates of its own.
        Ok(_) | Err(Error::NotFound(_)) if view.channel.transport != SIMULATED => {
            Ok(Some(Category::Marketing))
        }
        Ok(_) | Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where a message is about another one of ours, calls that by the name that the network knows: its owner knows it by ours.
async fn name_theirs(state: &Shared, caller: &ChannelCaller, body: &mut Value) -> Result<(), Refusal> {
    for path in ["/context/message_id", "/reaction/message_id"] {
        let Some(slot) = body.pointer_mut(path) else { continue };
        let Some(id) = slot.as_str().and_then(of_wamid) else { continue };
        match state.store.read((caller.scope, caller.channel.clone(), id), chat::find).await {
            Ok(Chat { reference: Some(reference), .. }) => *slot = reference.into(),
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Numbers for which the 24 hours are over: 99900 470 and any three digits (docs/simulated-carrier.md).
const WINDOW_CLOSED: i64 = 99_900_470;

/// Marks a received message as read.
async fn read(state: &Shared, caller: &ChannelCaller, message: &str) -> Result<Answer, Refusal> {
    let of = (caller.scope, caller.channel.clone(), message.to_owned());
    match state.store.write(of, chat::mark_read).await {
        Ok(goes_out) => {
            if goes_out {
                state.wake.parts();
            }
            Ok(answer(StatusCode::OK, &json!({"success": true})))
        }
        Err(Error::NotFound(_)) => Ok(wrong("there is no message with this id")),
        Err(error) => Err(error.into()),
    }
}

/// Send a message
///
/// Or mark one as read, with `status` and `message_id`.
#[utoipa::path(post, path = "/messages", tag = "Messaging", security(("ChannelKey" = [])), request_body = Value,
    responses((status = 200, body = Value), (status = 400, body = Value), (status = 401, body = super::WrongKey),
        (status = 402, body = MetaError)))]
async fn send(
    State(state): State<Shared>,
    caller: ChannelCaller,
    bounds: KeyBounds,
    once: Once,
    fields: Fields,
) -> Result<Response, Refusal> {
    let (new, input) = match asked(&state, &caller, &bounds, &fields).await? {
        Asked::Send(new, input) => (new, input),
        Asked::Answer(answered) => {
            let unit = async |_: &mut store::Tx, (): &()| Ok(());
            return Ok(own(once.answer(&state, (), unit, move |()| Ok(answered.clone())).await?));
        }
    };
    let to = new.to.to_string();
    let render = move |id: ChatId| {
        let body = json!({"contacts": [{"input": input, "wa_id": to}], "messages": [{"id": wamid(id)}],
            "messaging_product": "whatsapp"});
        Ok(answer(StatusCode::OK, &body))
    };
    let sent = once.answer(&state, *new, chat::accept, render).await?;
    state.wake.parts();
    Ok(sent)
}

/// What a channel's owner is told of a message (section 4).
pub(in super::super) fn told(view: &View, chat: &Chat) -> String {
    let seconds = |at: crate::core::Timestamp| at.0.div_euclid(1_000_000).to_string();
    let peer = chat.peer.to_string();
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": view.channel.msisdn.to_string(),
            "phone_number_id": view.channel.external},
    });
    if chat.status == Status::Received {
        let mut message: Value = serde_json::from_str(&chat.content).unwrap_or_else(|_| json!({}));
        let name = message.as_object_mut().and_then(|message| message.remove("profile_name"));
        message["from"] = peer.as_str().into();
        message["id"] = chat.reference.clone().into();
        message["timestamp"] = seconds(chat.created).into();
        message["type"] = chat.kind.as_str().into();
        value["contacts"] =
            json!([{"profile": {"name": name.unwrap_or_else(|| peer.as_str().into())}, "wa_id": peer}]);
        value["messages"] = json!([message]);
    } else {
        let category = chat.category.name();
        let mut status = json!({"id": wamid(chat.id), "recipient_id": peer, "status": chat.status.name(),
            "timestamp": seconds(chat.changed)});
        if chat.status == Status::Failed {
            let code = chat.error.unwrap_or(UNKNOWN);
            let title = if code == UNDELIVERABLE { "Message undeliverable" } else { "Something went wrong" };
            status["errors"] = json!([{"code": code, "error_data": {"details": title}, "message": title,
                "title": title}]);
        } else {
            let billable = chat.price > crate::core::money::Amount::ZERO;
            status["conversation"] = json!({"id": chat.id.to_string(), "origin": {"type": category}});
            status["pricing"] = json!({"billable": billable, "category": category, "pricing_model": "PMP"});
        }
        value["statuses"] = json!([status]);
    }
    events::body(&json!({"entry": [{"changes": [{"field": "messages", "value": value}],
        "id": view.business.external}], "object": "whatsapp_business_account"}))
}

/// The network's code where it has told none, and for what could not be delivered.
const UNKNOWN: i64 = 131_000;
const UNDELIVERABLE: i64 = 131_026;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_lead_back() {
        let id = ChatId::from([7; 16]);
        assert_eq!(of_wamid(&wamid(id)), Some(id));
        for bad in ["", "wamid.", "wamid.###", "wamid.AAAA"] {
            assert_eq!(of_wamid(bad), None, "{bad}");
        }
    }
}
