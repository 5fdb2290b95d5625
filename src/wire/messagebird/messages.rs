//! Messages: docs/spec/10-sms.md. What is not served is refused by name, never ignored.

use super::error::Errors;
use super::page::{self, List, PageParams};
use super::{Datetime, Price};
use crate::core::archive::{self, Filter};
use crate::core::group::GroupId;
use crate::core::message::{
    self, Coding, Direction, Draft, Format, Message, MessageId, NAMED_MAX, REFERENCE_MAX, Reason, Recipient,
    Status, VALIDITY_MAX,
};
use crate::core::network::{Network, Networks};
use crate::core::phone::{Msisdn, Originator};
use crate::core::schedule::{AHEAD_MAX_US, PAST_MAX_US};
use crate::core::terms::Terms;
use crate::core::{Code, Error, Listing, Noun, Page, Timestamp, binary, country, partner, rehearse};
use crate::wire::Shared;
use crate::wire::attributes::{Attributes, Query, Reader, at_most, filled, integer};
use crate::wire::caller::{Caller, KeyBounds};
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
    /// `sms`, `flash` or `binary`.
    r#type: &'static str,
    originator: String,
    /// Hexadecimal digits if it is binary.
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
struct TypeDetails {
    /// The user data header of a binary message, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    udh: Option<String>,
}

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
    /// `scheduled`, `sent`, `buffered`, `delivered`, `expired` or `delivery_failed`.
    status: &'static str,
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    status_datetime: Option<Datetime>,
    #[schema(required = true)]
    status_reason: Option<&'static str>,
    #[schema(required = true)]
    status_error_code: Option<i64>,
    /// In English.
    #[schema(required = true)]
    recipient_country: Option<&'static str>,
    /// The calling code.
    #[schema(required = true)]
    recipient_country_prefix: Option<i32>,
    /// If the operator's prefix file says.
    #[schema(required = true)]
    recipient_operator: Option<String>,
    message_length: i64,
    message_part_count: i64,
    price: Price,
    /// If the network is known.
    #[schema(required = true)]
    mccmnc: Option<String>,
    /// The network's, or the country's.
    #[schema(required = true)]
    mcc: Option<String>,
    /// If the network is known.
    #[schema(required = true)]
    mnc: Option<String>,
}

/// The vendor's word.
pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Scheduled => "scheduled",
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
        Format::Binary => "binary",
    }
}

pub(super) fn coding_word(coding: Coding) -> &'static str {
    match coding {
        Coding::Plain => "plain",
        Coding::Unicode => "unicode",
        Coding::Auto => "auto",
    }
}

/// A network's code, for callbacks too.
pub(super) fn mccmnc(network: &Network) -> String {
    format!("{}{}", network.mcc, network.mnc)
}

impl MessageBody {
    pub(super) fn new(message: Message, origin: &Origin, networks: &Networks) -> Self {
        let counted = |of: fn(Status) -> bool| {
            let found = message.recipients.iter().filter(|recipient| of(recipient.status)).count();
            i64::try_from(found).unwrap_or(i64::MAX)
        };
        let waits = message.recipients.iter().any(|one| one.status == Status::Scheduled);
        let is_unlisted = message.scheduled.is_some() && message.recipients.is_empty();
        let recipients = Recipients {
            total_count: message.count,
            // Everything that is not waiting for its hour (docs/spec/10-sms.md section 4).
            total_sent_count: if waits || is_unlisted {
                counted(|status| status != Status::Scheduled)
            } else {
                message.count
            },
            total_delivered_count: counted(|status| status == Status::Delivered),
            total_delivery_failed_count: counted(|status| matches!(status, Status::Failed | Status::Expired)),
            items: message
                .recipients
                .iter()
                .map(|recipient| RecipientBody::new(recipient, &message, networks))
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
            type_details: TypeDetails { udh: message.udh },
            datacoding: coding_word(message.coding),
            // Java knows 0 and 1 only.
            mclass: message.class.min(1),
            scheduled_datetime: message.scheduled.map(Datetime),
            created_datetime: Datetime(message.created),
            recipients,
        }
    }
}

impl RecipientBody {
    fn new(recipient: &Recipient, message: &Message, networks: &Networks) -> Self {
        let (status, status_reason) = outcome(recipient);
        let country = country::of(recipient.msisdn);
        let network = networks.of(recipient.msisdn);
        let mcc = network.map(|network| network.mcc.as_str()).or_else(|| country?.mcc);
        RecipientBody {
            recipient: recipient.msisdn.0,
            originator: None,
            status,
            status_datetime: (recipient.status != Status::Scheduled).then_some(Datetime(recipient.changed)),
            status_reason,
            status_error_code: recipient.error,
            recipient_country: country.map(|country| country.name),
            recipient_country_prefix: country.map(|country| country.calling_code),
            recipient_operator: network.map(|network| network.operator.clone()),
            message_length: message.length,
            message_part_count: message.parts,
            price: Price::new(recipient.price, message.currency),
            mccmnc: network.map(mccmnc),
            mcc: mcc.map(str::to_owned),
            mnc: network.map(|network| network.mnc.clone()),
        }
    }
}

/// A message to send.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what the reader takes")]
pub(super) struct MessageRequest {
    /// A number, or 3 to 11 letters and digits. Required unless the account has a default.
    originator: Option<String>,
    /// At most 1377 characters, or 603 in unicode; of a binary message hexadecimal digits of at most 1206 octets, or of
    /// 140 together with its header.
    body: String,
    /// Numbers or ids of groups, at most 50: an array, repeated fields, or one text with commas.
    recipients: Option<Vec<String>>,
    /// Groups whose contacts get it.
    group_ids: Option<Vec<String>>,
    /// `sms`, `flash` or `binary`.
    r#type: Option<String>,
    /// `udh`: the user data header of a binary message, in hexadecimal digits. Such a message is one part.
    #[schema(value_type = Option<Object>)]
    type_details: Option<String>,
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
    /// When to send it, at most a year ahead; without an offset in the account's time zone.
    #[schema(format = DateTime)]
    scheduled_datetime: Option<String>,
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

/// The hour for which a message is meant.
fn scheduled(terms: &Terms, now: Timestamp) -> impl Fn(&str) -> Result<Timestamp, Code> {
    let (past, ahead) = (now.0.saturating_sub(PAST_MAX_US), now.0.saturating_add(AHEAD_MAX_US));
    move |text| {
        let at = Timestamp::parse_in(text, &terms.messaging.time_zone).ok_or(Code::Invalid)?;
        if (past..=ahead).contains(&at.0) { Ok(at) } else { Err(Code::Invalid) }
    }
}

/// What a request is read under.
pub(super) struct Reading<'a> {
    pub(super) terms: &'a Terms,
    pub(super) now: Timestamp,
    /// Originators that nobody may use.
    pub(super) reserved: &'a [String],
}

/// Reads a request in the order that its errors have: recipients, originator, and only then the body.
pub(super) fn read(attributes: &Attributes, under: &Reading<'_>) -> Result<Draft, Refusal> {
    let Reading { terms, now, reserved } = *under;
    let mut reader = attributes.reader();
    let (numbers, groups) = recipients(&mut reader);
    let allowed = |text: &str| Originator::parse_unless(text, reserved);
    let originator = match &terms.messaging.originator {
        Some(default) => {
            let given = reader.optional(&["originator"], filled(allowed)).flatten();
            Some(given.unwrap_or_else(|| default.clone()))
        }
        None => reader.required(&["originator"], allowed),
    };
    let format = reader.optional(&["type"], filled(format)).flatten().unwrap_or(Format::Sms);
    let coding = reader.optional(&["datacoding"], filled(coding)).flatten().unwrap_or(Coding::Plain);
    let may_have_body = reader.is_clean();
    let mut udh = None;
    if format == Format::Binary {
        let header = |text: &str| binary::check_header(text).map(|()| text.to_owned());
        udh = reader.optional(&["typeDetails.udh"], filled(header)).flatten();
    }
    let body = |text: &str| if text.is_empty() { Err(Code::Required) } else { Ok(text.to_owned()) };
    let body = if may_have_body { reader.required(&["body"], body) } else { None };
    let class = reader.optional(&["mclass"], filled(integer(0, 3))).flatten();
    let draft = Draft {
        originator: originator.unwrap_or(Originator::from(Msisdn(0))),
        body: body.unwrap_or_default(),
        format,
        udh,
        coding,
        class: if format == Format::Flash { 0 } else { class.unwrap_or(1) },
        scheduled: None,
        reference: None,
        report_url: None,
        validity: None,
        gateway: None,
        numbers,
        groups,
    };
    if may_have_body && let Err(code) = draft.count_parts() {
        reader.reject("body", code);
    }
    let draft = Draft {
        reference: reader
            .optional(&["reference"], at_most(REFERENCE_MAX))
            .filter(|reference| !reference.is_empty()),
        report_url: reader.optional(&["reportUrl"], report_url).flatten(),
        validity: reader.optional(&["validity"], filled(integer(1, VALIDITY_MAX))).flatten(),
        gateway: reader.optional(&["gateway"], filled(integer(0, i64::from(i32::MAX)))).flatten(),
        scheduled: reader.optional(&["scheduledDatetime"], filled(scheduled(terms, now))).flatten(),
        ..draft
    };
    reader.finish()?;
    Ok(draft)
}

fn format(text: &str) -> Result<Format, Code> {
    match text {
        "sms" => Ok(Format::Sms),
        "flash" => Ok(Format::Flash),
        "binary" => Ok(Format::Binary),
        // To send without its tariff what a phone's owner should pay for would be worse than to refuse it.
        "premium" => Err(Code::Unsupported),
        _ => Err(Code::Invalid),
    }
}

fn coding(text: &str) -> Result<Coding, Code> {
    Coding::ALL.iter().copied().find(|coding| coding_word(*coding) == text).ok_or(Code::Invalid)
}

/// What a request of this moment is read under.
pub(super) fn reading<'a>(state: &'a Shared, terms: &'a Terms) -> Reading<'a> {
    Reading { terms, now: Timestamp(state.now_us()), reserved: &state.options.reserved_originators }
}

/// Send a message
///
/// It is accepted as a whole: its price is held until the carrier has it. Reports go out if it has a reference.
#[utoipa::path(post, path = "/messages", tag = "SMS", security(("AccessKey" = [])), request_body = MessageRequest,
    responses((status = 201, body = MessageBody), (status = 401, body = Errors), (status = 422, body = Errors)))]
async fn create(
    State(state): State<Shared>,
    caller: Caller,
    bounds: KeyBounds,
    origin: Origin,
    once: Once,
    attributes: Attributes,
) -> Result<Response, Refusal> {
    let terms = state.terms.of(&state.store, caller.scope.account).await?;
    let draft = read(&attributes, &reading(&state, &terms))?;
    let networks = state.terms.networks(&state.store).await?;
    let plan = message::plan(&state.store, &terms, draft, state.options.recipients_max).await?;
    let plan = plan.within(bounds.get())?;
    if caller.is_test {
        let made = rehearse(&state.store, plan.free(), message::accept).await?;
        return Ok(super::Created(MessageBody::new(made, &origin, &networks)).into_response());
    }
    let body = move |message| MessageBody::new(message, &origin, &networks);
    let response = once.create(&state, plan, message::accept, body).await?;
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
    let status =
        |text: &str| Status::ALL.iter().copied().find(|s| status_word(*s) == text).ok_or(Code::Invalid);
    // `None` is a word of the vendor's that no message here has.
    let kind = |text: &str| match text {
        "premium" => Ok(None),
        _ => format(text).map(Some),
    };
    let time = |text: &str| Timestamp::parse(text).ok_or(Code::Invalid);
    let status = reader.optional(&["status"], filled(status)).flatten();
    let format = reader.optional(&["type"], filled(kind)).flatten();
    nothing |= matches!(format, Some(None));
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
        status,
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
    let networks = state.terms.networks(&state.store).await?;
    Ok(Json(envelope(&origin, &networks, &shown, page, listing)))
}

/// A page of messages; the service's own links end the path with a slash.
pub(super) fn envelope(
    origin: &Origin,
    networks: &Networks,
    filters: &[(&str, &str)],
    page: Page,
    listing: Listing<Message>,
) -> List<MessageBody> {
    let body = |message| MessageBody::new(message, origin, networks);
    page::envelope(origin, "/messages/", filters, page, listing, body)
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
    let networks = state.terms.networks(&state.store).await?;
    Ok(Json(MessageBody::new(message, &origin, &networks)))
}

/// Delete a message
///
/// It is in no view any more. What waits for its hour is cancelled and costs nothing; what is on its way goes on.
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
