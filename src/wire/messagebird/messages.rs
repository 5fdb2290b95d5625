//! Messages: docs/spec/10-sms.md. What is not served yet is refused by name, never ignored.

use super::error::Errors;
use super::page::{self, List, PageParams};
use super::{Datetime, Price};
use crate::core::archive::{self, Filter};
use crate::core::group::GroupId;
use crate::core::message::{
    self, Coding, Direction, Draft, Format, Message, MessageId, NAMED_MAX, REFERENCE_MAX, Reason, Recipient,
    Status, VALIDITY_MAX,
};
use crate::core::phone::{Msisdn, Originator};
use crate::core::terms::Terms;
use crate::core::{Code, Error, Listing, Noun, Page, Timestamp, partner, rehearse};
use crate::wire::Shared;
use crate::wire::attributes::{Attributes, Query, Reader, at_most, filled, integer};
use crate::wire::caller::Caller;
use crate::wire::idempotency::Once;
use crate::wire::origin::Origin;
use crate::wire::refusal::Refusal;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(view, delete))
}

/// A message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageBody {
    /// 32 hexadecimal digits.
    id: String,
    href: String,
    /// `mt` or `mo`.
    direction: &'static str,
    /// `sms` or `flash`.
    r#type: &'static str,
    originator: String,
    body: String,
    #[schema(required = true)]
    reference: Option<String>,
    #[schema(required = true)]
    report_url: Option<String>,
    /// Seconds.
    #[schema(required = true)]
    validity: Option<i64>,
    gateway: i64,
    type_details: TypeDetails,
    /// `plain`, `unicode` or `auto`.
    datacoding: &'static str,
    /// 0 is shown at once.
    mclass: i64,
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    scheduled_datetime: Option<Datetime>,
    #[schema(format = DateTime)]
    created_datetime: Datetime,
    recipients: Recipients,
}

/// Nothing for texts.
#[derive(Serialize, ToSchema)]
struct TypeDetails {}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Recipients {
    total_count: i64,
    total_sent_count: i64,
    total_delivered_count: i64,
    total_delivery_failed_count: i64,
    items: Vec<RecipientBody>,
}

/// What has become of a message to one recipient.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RecipientBody {
    recipient: i64,
    #[schema(required = true)]
    originator: Option<i64>,
    /// `sent`, `buffered`, `delivered`, `expired` or `delivery_failed`.
    status: &'static str,
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    status_datetime: Option<Datetime>,
    #[schema(required = true)]
    status_reason: Option<&'static str>,
    #[schema(required = true)]
    status_error_code: Option<i64>,
    message_length: i64,
    message_part_count: i64,
    price: Price,
}

/// The vendor's word.
fn status_word(status: Status) -> &'static str {
    match status {
        Status::Sent => "sent",
        Status::Buffered => "buffered",
        Status::Delivered => "delivered",
        Status::Expired => "expired",
        Status::Failed => "delivery_failed",
    }
}

/// The vendor's text.
fn reason_text(reason: Reason) -> &'static str {
    match reason {
        Reason::Delivered => "successfully delivered",
        Reason::Pending => "pending DLR",
        Reason::NoReceipt => "DLR not received",
        Reason::IncorrectNumber => "incorrect number",
        Reason::UnknownSubscriber => "unknown subscriber",
        Reason::UnavailableSubscriber => "unavailable subscriber",
        Reason::Expired => "expired",
        Reason::Timeout => "timeout",
        Reason::Generic => "generic delivery failure",
        Reason::Network => "received network error",
        Reason::OptedOut => "opted out",
        Reason::Rejected => "carrier rejected",
    }
}

/// The vendor's words for what has become of a message, for callbacks too.
pub(super) fn outcome(recipient: &Recipient) -> (&'static str, Option<&'static str>) {
    (status_word(recipient.status), recipient.reason.map(reason_text))
}

pub(super) fn format_word(format: Format) -> &'static str {
    match format {
        Format::Sms => "sms",
        Format::Flash => "flash",
    }
}

pub(super) fn coding_word(coding: Coding) -> &'static str {
    match coding {
        Coding::Plain => "plain",
        Coding::Unicode => "unicode",
        Coding::Auto => "auto",
    }
}

impl MessageBody {
    pub(super) fn new(message: Message, origin: &Origin) -> Self {
        let counted = |of: fn(Status) -> bool| {
            let found = message.recipients.iter().filter(|recipient| of(recipient.status)).count();
            i64::try_from(found).unwrap_or(i64::MAX)
        };
        let recipients = Recipients {
            total_count: message.count,
            // Everything that is not waiting for its hour (docs/spec/10-sms.md section 4).
            total_sent_count: message.count,
            total_delivered_count: counted(|status| status == Status::Delivered),
            total_delivery_failed_count: counted(|status| matches!(status, Status::Failed | Status::Expired)),
            items: message
                .recipients
                .iter()
                .map(|recipient| RecipientBody::new(recipient, &message))
                .collect(),
        };
        MessageBody {
            href: origin.link(format_args!("/messages/{}", message.id)),
            id: message.id.to_string(),
            direction: match message.direction {
                Direction::Out => "mt",
                Direction::In => "mo",
            },
            r#type: format_word(message.format),
            originator: message.originator.as_str().to_owned(),
            body: message.body,
            reference: message.reference,
            report_url: message.report_url,
            validity: message.validity,
            gateway: message.gateway,
            type_details: TypeDetails {},
            datacoding: coding_word(message.coding),
            // Java knows 0 and 1 only.
            mclass: message.class.min(1),
            scheduled_datetime: None,
            created_datetime: Datetime(message.created),
            recipients,
        }
    }
}

impl RecipientBody {
    fn new(recipient: &Recipient, message: &Message) -> Self {
        let (status, status_reason) = outcome(recipient);
        RecipientBody {
            recipient: recipient.msisdn.0,
            originator: None,
            status,
            status_datetime: Some(Datetime(recipient.changed)),
            status_reason,
            status_error_code: recipient.error,
            message_length: message.length,
            message_part_count: message.parts,
            price: Price::new(recipient.price, message.currency),
        }
    }
}

/// A message to send.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what the reader takes")]
struct MessageRequest {
    /// A number, or 3 to 11 letters and digits. Required unless the account has a default.
    originator: Option<String>,
    /// At most 1377 characters, or 603 in unicode.
    body: String,
    /// Numbers or ids of groups, at most 50: an array, repeated fields, or one text with commas.
    recipients: Option<Vec<String>>,
    /// Groups whose contacts get it.
    group_ids: Option<Vec<String>>,
    /// `sms` or `flash`.
    r#type: Option<String>,
    /// The caller's own; without one nothing is reported.
    #[schema(max_length = 128)]
    reference: Option<String>,
    /// Where status reports go, in place of the account's URL.
    report_url: Option<String>,
    /// Seconds after which it is given up.
    #[schema(minimum = 1, maximum = 604_800)]
    validity: Option<i64>,
    /// Echoed.
    gateway: Option<i64>,
    /// `plain`, `unicode` or `auto`.
    datacoding: Option<String>,
    /// 0 is shown at once.
    #[schema(minimum = 0, maximum = 3)]
    mclass: Option<i64>,
}

/// A number, or a group's id in its place; anything else is passed over (docs/spec/10-sms.md section 2.2).
fn recipients(reader: &mut Reader<'_>) -> (Vec<Msisdn>, Vec<GroupId>) {
    let named = reader.list("recipients", false).unwrap_or_default();
    if named.len() > NAMED_MAX {
        reader.reject("recipients", Code::TooMany(NAMED_MAX));
    }
    let numbers: Vec<Msisdn> = named.iter().filter_map(|text| Msisdn::parse(text).ok()).collect();
    let groups = reader.list("groupIds", false).unwrap_or_default();
    let groups: Vec<GroupId> = named.iter().chain(&groups).filter_map(|text| text.parse().ok()).collect();
    if numbers.is_empty() && groups.is_empty() && reader.is_clean() {
        reader.reject("recipients", Code::NoRecipients);
    }
    (numbers, groups)
}

fn report_url(text: &str) -> Result<Option<String>, Code> {
    partner::check_url(text).map(|()| Some(text.to_owned()).filter(|url| !url.is_empty()))
}

/// Reads a request in the order that its errors have: recipients, originator, and only then the body.
fn read(attributes: &Attributes, terms: &Terms) -> Result<Draft, Refusal> {
    let mut reader = attributes.reader();
    let (numbers, groups) = recipients(&mut reader);
    let originator = match &terms.messaging.originator {
        Some(default) => {
            let given = reader.optional(&["originator"], filled(Originator::parse)).flatten();
            Some(given.unwrap_or_else(|| default.clone()))
        }
        None => reader.required(&["originator"], Originator::parse),
    };
    let format = reader.optional(&["type"], filled(format)).flatten().unwrap_or(Format::Sms);
    let coding = reader.optional(&["datacoding"], filled(coding)).flatten().unwrap_or(Coding::Plain);
    let body = if reader.is_clean() {
        let body = |text: &str| {
            if text.is_empty() {
                return Err(Code::Required);
            }
            message::count_parts(coding, text).map(|_| text.to_owned())
        };
        reader.required(&["body"], body)
    } else {
        None
    };
    let class = reader.optional(&["mclass"], filled(integer(0, 3))).flatten();
    let draft = Draft {
        originator: originator.unwrap_or(Originator::from(Msisdn(0))),
        body: body.unwrap_or_default(),
        format,
        coding,
        class: if format == Format::Flash { 0 } else { class.unwrap_or(1) },
        reference: reader
            .optional(&["reference"], at_most(REFERENCE_MAX))
            .filter(|reference| !reference.is_empty()),
        report_url: reader.optional(&["reportUrl"], report_url).flatten(),
        validity: reader.optional(&["validity"], filled(integer(1, VALIDITY_MAX))).flatten(),
        gateway: reader.optional(&["gateway"], filled(integer(0, i64::from(i32::MAX)))).flatten(),
        numbers,
        groups,
    };
    // To send at once what was meant for later would be worse than to refuse it.
    reader.optional(
        &["scheduledDatetime"],
        |text| if text.is_empty() { Ok(()) } else { Err(Code::Unsupported) },
    );
    reader.finish()?;
    Ok(draft)
}

fn format(text: &str) -> Result<Format, Code> {
    match text {
        "sms" => Ok(Format::Sms),
        "flash" => Ok(Format::Flash),
        "binary" | "premium" => Err(Code::Unsupported),
        _ => Err(Code::Invalid),
    }
}

fn coding(text: &str) -> Result<Coding, Code> {
    Coding::ALL.iter().copied().find(|coding| coding_word(*coding) == text).ok_or(Code::Invalid)
}

/// Send a message
///
/// It is accepted as a whole: its price is held until the carrier has it. Reports go out if it has a reference.
#[utoipa::path(post, path = "/messages", tag = "SMS", security(("AccessKey" = [])), request_body = MessageRequest,
    responses((status = 201, body = MessageBody), (status = 401, body = Errors), (status = 422, body = Errors)))]
async fn create(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    once: Once,
    attributes: Attributes,
) -> Result<Response, Refusal> {
    let terms = state.terms.of(&state.store, caller.scope.account).await?;
    let draft = read(&attributes, &terms)?;
    let plan = message::plan(&state.store, &terms, draft, state.options.recipients_max).await?;
    if caller.is_test {
        let made = rehearse(&state.store, plan.free(), message::accept).await?;
        return Ok(super::Created(MessageBody::new(made, &origin)).into_response());
    }
    let response =
        once.create(&state, plan, message::accept, move |message| MessageBody::new(message, &origin)).await?;
    state.wake.parts();
    Ok(response)
}

/// What narrows the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` reads")]
struct Filters {
    originator: Option<String>,
    recipient: Option<String>,
    /// `mt` or `mo`.
    direction: Option<String>,
    /// Part of a recipient's number or of the originator.
    searchterm: Option<String>,
    r#type: Option<String>,
    /// Messages to this contact.
    #[param(rename = "contact_id")]
    contact_id: Option<String>,
    /// Messages with a recipient in this state.
    status: Option<String>,
    /// Accepted at or after.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Accepted at or before.
    #[param(format = DateTime)]
    until: Option<String>,
}

const FILTERS: [&str; 9] =
    ["originator", "recipient", "direction", "searchterm", "type", "contact_id", "status", "from", "until"];

/// A filter, or that nothing can match it.
fn filter(reader: &mut Reader<'_>) -> Option<Filter> {
    let mut nothing = false;
    let direction = |text: &str| match text {
        "mt" => Ok(Direction::Out),
        "mo" => Ok(Direction::In),
        _ => Err(Code::Invalid),
    };
    // `None` is a word of the vendor's that no message here has.
    let status = |text: &str| match text {
        "scheduled" => Ok(None),
        _ => Status::ALL.iter().copied().find(|s| status_word(*s) == text).map(Some).ok_or(Code::Invalid),
    };
    let kind = |text: &str| match text {
        "binary" | "premium" => Ok(None),
        _ => format(text).map(Some),
    };
    let time = |text: &str| Timestamp::parse(text).ok_or(Code::Invalid);
    let status = reader.optional(&["status"], filled(status)).flatten();
    let format = reader.optional(&["type"], filled(kind)).flatten();
    nothing |= matches!(status, Some(None)) || matches!(format, Some(None));
    let contact = reader.optional(&["contact_id"], filled(|text| Ok(text.parse().ok()))).flatten();
    nothing |= matches!(contact, Some(None));
    let text = |text: &str| at_most(message::REFERENCE_MAX)(text);
    let filter = Filter {
        originator: reader
            .optional(&["originator"], filled(text))
            .flatten()
            .map(|text| text.strip_prefix('+').map(str::to_owned).unwrap_or(text)),
        recipient: reader.optional(&["recipient"], filled(Msisdn::parse)).flatten(),
        contact: contact.flatten(),
        direction: reader.optional(&["direction"], filled(direction)).flatten(),
        format: format.flatten(),
        status: status.flatten(),
        text: reader.optional(&["searchterm"], filled(text)).flatten(),
        from: reader.optional(&["from"], filled(time)).flatten(),
        until: reader.optional(&["until"], filled(time)).flatten(),
    };
    (!nothing).then_some(filter)
}

/// List messages
#[utoipa::path(get, path = "/messages", tag = "SMS", security(("AccessKey" = [])), params(PageParams, Filters),
    responses((status = 200, body = List<MessageBody>), (status = 401, body = Errors), (status = 422, body = Errors)))]
async fn list(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    Query(query): Query,
) -> Result<Json<List<MessageBody>>, Refusal> {
    let mut reader = query.reader();
    let page = page::read(&mut reader);
    let filter = filter(&mut reader);
    let shown: Vec<(&str, String)> = FILTERS
        .iter()
        .filter_map(|name| {
            Some((*name, reader.optional(&[name], filled(|text| Ok(text.to_owned()))).flatten()?))
        })
        .collect();
    reader.finish()?;
    let listing = match filter {
        Some(filter) => archive::list(&state.store, caller.scope, filter, page).await?,
        None => Listing { items: Vec::new(), total: 0 },
    };
    let shown: Vec<(&str, &str)> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Ok(Json(envelope(&origin, &shown, page, listing)))
}

/// A page of messages; the service's own links end the path with a slash.
pub(super) fn envelope(
    origin: &Origin,
    filters: &[(&str, &str)],
    page: Page,
    listing: Listing<Message>,
) -> List<MessageBody> {
    page::envelope(origin, "/messages/", filters, page, listing, |message| MessageBody::new(message, origin))
}

fn message_id(text: &str) -> Result<MessageId, Refusal> {
    text.parse().map_err(|_| Error::NotFound(Noun::Message).into())
}

/// View a message
#[utoipa::path(get, path = "/messages/{id}", tag = "SMS", security(("AccessKey" = [])), params(("id" = String, Path)),
    responses((status = 200, body = MessageBody), (status = 401, body = Errors), (status = 404, body = Errors)))]
async fn view(
    State(state): State<Shared>,
    caller: Caller,
    origin: Origin,
    Path(id): Path<String>,
) -> Result<Json<MessageBody>, Refusal> {
    let message = archive::find(&state.store, caller.scope, message_id(&id)?).await?;
    Ok(Json(MessageBody::new(message, &origin)))
}

/// Delete a message
///
/// It is in no view any more. What is on its way goes on.
#[utoipa::path(delete, path = "/messages/{id}", tag = "SMS", security(("AccessKey" = [])), params(("id" = String, Path)),
    responses((status = 204), (status = 401, body = Errors), (status = 404, body = Errors)))]
async fn delete(
    State(state): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let command = (caller.scope, message_id(&id)?);
    if caller.is_test {
        rehearse(&state.store, command, archive::delete).await?;
    } else {
        state.store.write(command, archive::delete).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
