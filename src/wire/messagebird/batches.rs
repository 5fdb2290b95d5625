//! Batches of messages: docs/spec/12-sms-batch.md. Accepted as a whole or not at all; afterwards each message is on its own.

use super::error::Errors;
use super::messages::{self, MessageBody, MessageRequest};
use crate::core::batch::{self, MESSAGES_MAX};
use crate::core::message::{self, Plan};
use crate::core::{Code, Error, Violation, rehearse};
use crate::wire::Shared;
use crate::wire::attributes::Attributes;
use crate::wire::caller::{Caller, KeyBounds};
use crate::wire::idempotency::Once;
use crate::wire::origin::Origin;
use crate::wire::refusal::Refusal;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Messages to send.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the reader takes")]
struct BatchRequest {
    /// At most 200, each as it would be sent alone.
    #[schema(min_items = 1, max_items = 200)]
    messages: Vec<MessageRequest>,
}

/// Plans of all elements, or everything that is wrong with any.
async fn plans(
    state: &Shared,
    caller: Caller,
    bounds: &KeyBounds,
    elements: Vec<Option<Attributes>>,
) -> Result<Vec<Plan>, Refusal> {
    let terms = state.terms.of(&state.store, caller.scope.account).await?;
    let (mut plans, mut wrong) = (Vec::with_capacity(elements.len()), Vec::new());
    let mut room = state.options.recipients_max;
    for (at, element) in elements.iter().enumerate() {
        let planned = match element {
            Some(attributes) => match messages::read(attributes, &messages::reading(state, &terms)) {
                Ok(draft) => message::plan(&state.store, &terms, draft, room)
                    .await
                    .and_then(|plan| plan.within(bounds.get()))
                    .map_err(Refusal::from),
                Err(refusal) => Err(refusal),
            },
            None => Err(Violation::new("", Code::Invalid).into()),
        };
        match planned {
            Ok(plan) => {
                room -= plan.recipients();
                plans.push(plan);
            }
            Err(Refusal::Core(Error::Invalid(violations))) => {
                wrong.extend(violations.into_iter().map(|violation| (at, violation)));
            }
            Err(other) => return Err(other),
        }
    }
    if wrong.is_empty() { Ok(plans) } else { Err(Refusal::Elements(wrong)) }
}

/// Send several messages
///
/// All are accepted, or none: if one is wrong, or the balance does not cover all of them. The answer has them in the order
/// of the request; each is then viewed, listed and deleted like any other.
#[utoipa::path(post, path = "/messages/batches", tag = "SMS", security(("AccessKey" = [])), request_body = BatchRequest,
    responses((status = 201, body = Vec<MessageBody>), (status = 401, body = Errors), (status = 422, body = Errors)))]
async fn create(
    State(state): State<Shared>,
    caller: Caller,
    bounds: KeyBounds,
    origin: Origin,
    once: Once,
    attributes: Attributes,
) -> Result<Response, Refusal> {
    let elements = attributes.into_objects("messages");
    if elements.is_empty() {
        return Err(Violation::new("messages", Code::Required).into());
    }
    if elements.len() > MESSAGES_MAX {
        return Err(Violation::new("messages", Code::TooMany(MESSAGES_MAX)).into());
    }
    let plans = plans(&state, caller, &bounds, elements).await?;
    let networks = state.terms.networks(&state.store).await?;
    // A bare array, as the documentation describes it.
    let body = move |messages: Vec<message::Message>| -> Vec<MessageBody> {
        messages.into_iter().map(|message| MessageBody::new(message, &origin, &networks)).collect()
    };
    if caller.is_test {
        let plans: Vec<Plan> = plans.into_iter().map(Plan::free).collect();
        let made = rehearse(&state.store, plans, batch::accept).await?;
        return Ok(super::Created(body(made)).into_response());
    }
    let response = once.create(&state, plans, batch::accept, body).await?;
    state.wake.parts();
    Ok(response)
}
