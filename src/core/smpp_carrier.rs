//! How a carrier is spoken to over SMPP 3.4: the settings of `carrier add --smpp`, with their bounds.

use super::carrier::{Carrier, CarrierId, CarrierKind, Settings};
use super::words::words;
use super::{Code, Error, Violation};
use smpp::concatenation::Method;
use smpp::encoding::DefaultAlphabet;
use smpp::receipt::IdForm;
use std::time::Duration;
use store::{Rx, sql};

words! {
    /// What becomes of a part of which nobody knows whether the carrier has it: the link broke before its answer came.
    Doubt {
        /// It is handed over once more; whoever gets it twice is better off than who does not get it. Then it fails.
        Resend = "resend",
        /// It has failed and is not paid.
        Fail = "fail",
        /// It waits for a receipt until its validity is over, held all the time. Then it has failed and is not paid.
        Wait = "wait",
    }
}

/// The settings' names.
pub(super) const NAMES: &[&str] = &[
    "host",
    "port",
    "tls",
    "tls-name",
    "system-id",
    "system-type",
    "binds",
    "mode",
    "window",
    "throughput",
    "enquire-seconds",
    "response-seconds",
    "source-ton",
    "source-npi",
    "destination-ton",
    "destination-npi",
    "long",
    "alphabet",
    "answer-ids",
    "receipt-ids",
    "unmarked-receipts",
    "doubt",
    "query-else",
    "query-seconds",
    "service-type",
];

/// How an SMPP carrier is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmppSettings {
    /// Name or address.
    pub host: String,
    /// 2775 by custom.
    pub port: u16,
    /// The name that its certificate must have; none for a connection without TLS.
    pub tls: Option<String>,
    /// What it knows us by.
    pub system_id: String,
    /// Mostly empty.
    pub system_type: String,
    /// Mostly empty.
    pub service_type: String,
    /// Connections at once; with [`SmppSettings::is_pair`] each is two.
    pub binds: usize,
    /// A transmitter and a receiver in place of a transceiver.
    pub is_pair: bool,
    /// Unanswered submissions of one connection.
    pub window: usize,
    /// Submissions a second, all connections together.
    pub throughput: Option<u32>,
    /// Silence after which it is asked whether it is still there.
    pub enquire_after: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// Type of number and numbering plan of originators; none chooses by what the originator is.
    pub source: (Option<u8>, Option<u8>),
    /// The same of recipients.
    pub destination: (Option<u8>, Option<u8>),
    /// How long messages travel.
    pub long: Method,
    /// What it means by `data_coding` 0.
    pub alphabet: DefaultAlphabet,
    /// The form of ids in its answers.
    pub answer_ids: IdForm,
    /// The form of ids in its receipts.
    pub receipt_ids: IdForm,
    /// Whether a `deliver_sm` with a receipt's text is one though it is not marked so.
    pub unmarked_receipts: bool,
    /// What becomes of what is in doubt.
    pub doubt: Doubt,
    /// Parts that it has named and not reported on for so long are asked about; none if it is not asked (SMPP 3.4, 4.8).
    pub asks_after: Option<Duration>,
}

/// What `doubt` says of a carrier that is asked.
const QUERY: &str = "query";

fn word<T: Copy>(
    settings: &Settings,
    name: &'static str,
    words: &[(&str, T)],
) -> Result<Option<T>, Violation> {
    let Some(text) = settings.text(name) else { return Ok(None) };
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    found.map(Some).ok_or(Violation::new(name, Code::Invalid))
}

const METHODS: &[(&str, Method)] = &[
    ("udh", Method::Header8),
    ("udh16", Method::Header16),
    ("sar", Method::Sar),
    ("payload", Method::Payload),
];
const ID_FORMS: &[(&str, IdForm)] =
    &[("text", IdForm::Text), ("decimal", IdForm::Decimal), ("hex", IdForm::Hexadecimal)];
const ALPHABETS: &[(&str, DefaultAlphabet)] = &[
    ("gsm7", DefaultAlphabet::Gsm7),
    ("gsm7-packed", DefaultAlphabet::Gsm7Packed),
    ("latin1", DefaultAlphabet::Latin1),
    ("ascii", DefaultAlphabet::Ascii),
];

/// What a carrier means by `data_coding` 0.
pub(super) async fn alphabet(rx: &mut Rx, carrier: CarrierId) -> Result<DefaultAlphabet, Error> {
    let word: Option<String> = rx
        .maybe(
            sql!("SELECT value FROM carrier_setting WHERE carrier = $1 AND name = 'alphabet'"),
            &[&carrier],
        )
        .await?;
    let known = |word: String| ALPHABETS.iter().find(|(name, _)| *name == word);
    Ok(word.and_then(known).map(|(_, alphabet)| *alphabet).unwrap_or_default())
}

impl SmppSettings {
    /// Reads the settings; the first that is wrong is told.
    pub fn read(settings: &Settings) -> Result<SmppSettings, Violation> {
        settings.only(NAMES)?;
        let number = |name, least, most, default: i64| {
            settings.number(name, (least, most)).map(|number| number.unwrap_or(default))
        };
        let seconds = |name, default| {
            number(name, 1, 3_600, default).map(|seconds| Duration::from_secs(seconds.unsigned_abs()))
        };
        let octet = |name: &'static str| {
            settings.number(name, (0, 255)).map(|octet| octet.and_then(|octet| u8::try_from(octet).ok()))
        };
        let flag = |name: &'static str| settings.read::<bool>(name).map(|on| on.unwrap_or(false));
        let host = settings.needed("host")?;
        let tls_name = settings.text("tls-name").unwrap_or(&host).to_owned();
        let doubts = Doubt::ALL.iter().map(|doubt| (doubt.name(), *doubt)).collect::<Vec<_>>();
        // What has no name yet cannot be asked about.
        let nameless = word(settings, "query-else", &doubts)?;
        let asks_after = number("query-seconds", 1, 172_800, 3_600)?;
        let (doubt, asks_after) = match settings.text("doubt") {
            Some(QUERY) => (nameless, Some(Duration::from_secs(asks_after.unsigned_abs()))),
            _ => (word(settings, "doubt", &doubts)?, None),
        };
        Ok(SmppSettings {
            port: u16::try_from(number("port", 1, 65_535, 2_775)?).unwrap_or(2_775),
            tls: flag("tls")?.then_some(tls_name),
            system_id: settings.needed("system-id")?,
            system_type: settings.text("system-type").unwrap_or_default().to_owned(),
            service_type: settings.text("service-type").unwrap_or_default().to_owned(),
            binds: usize::try_from(number("binds", 1, 64, 1)?).unwrap_or(1),
            is_pair: word(settings, "mode", &[("trx", false), ("tx-rx", true)])?.unwrap_or(false),
            window: usize::try_from(number("window", 1, 1_000, 10)?).unwrap_or(10),
            throughput: settings
                .number("throughput", (1, 100_000))?
                .and_then(|throughput| u32::try_from(throughput).ok()),
            enquire_after: seconds("enquire-seconds", 30)?,
            response_timeout: seconds("response-seconds", 10)?,
            source: (octet("source-ton")?, octet("source-npi")?),
            destination: (octet("destination-ton")?, octet("destination-npi")?),
            long: word(settings, "long", METHODS)?.unwrap_or_default(),
            alphabet: word(settings, "alphabet", ALPHABETS)?.unwrap_or_default(),
            answer_ids: word(settings, "answer-ids", ID_FORMS)?.unwrap_or_default(),
            receipt_ids: word(settings, "receipt-ids", ID_FORMS)?.unwrap_or_default(),
            unmarked_receipts: flag("unmarked-receipts")?,
            doubt: doubt.unwrap_or(Doubt::Resend),
            asks_after,
            host,
        })
    }
}

/// Whether a carrier takes a long message whole, as one `message_payload`.
pub(super) fn takes_whole(carrier: &Carrier) -> bool {
    carrier.kind == CarrierKind::Smpp && carrier.settings.text("long") == Some("payload")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<SmppSettings, Violation> {
        let mut settings = Settings::default();
        settings.set("host", "smsc.example.com");
        settings.set("system-id", "rookery");
        for (name, value) in pairs {
            settings.set(*name, *value);
        }
        SmppSettings::read(&settings)
    }

    #[test]
    fn what_is_not_said_has_a_default_and_what_is_wrong_is_named() {
        let plain = with(&[]).expect("defaults");
        assert_eq!((plain.port, plain.binds, plain.window, plain.doubt), (2_775, 1, 10, Doubt::Resend));
        assert_eq!(with(&[("tls", "true")]).expect("TLS").tls.as_deref(), Some("smsc.example.com"));
        for (name, value) in [
            ("port", "0"),
            ("window", "many"),
            ("window", "1001"),
            ("long", "carrier pigeon"),
            ("source-ton", "256"),
            ("doubt", "forget"),
            ("query-else", "query"),
            ("query-seconds", "0"),
            ("tls", "yes"),
        ] {
            assert_eq!(with(&[(name, value)]).expect_err(value).field, name);
        }
        let asked = |pairs: &[(&str, &str)]| {
            let settings = with(pairs).expect("settings");
            (settings.doubt, settings.asks_after.map(|after| after.as_secs()))
        };
        assert_eq!(asked(&[("query-seconds", "60")]), (Doubt::Resend, None), "nobody said that it is asked");
        assert_eq!(asked(&[("doubt", "query")]), (Doubt::Resend, Some(3_600)));
        let both = [("doubt", "query"), ("query-else", "wait"), ("query-seconds", "60")];
        assert_eq!(asked(&both), (Doubt::Wait, Some(60)));
        assert_eq!(with(&[("widnow", "1")]).expect_err("a typing error").field, "setting");
        assert_eq!(SmppSettings::read(&Settings::default()).expect_err("nothing").field, "host");
    }
}
