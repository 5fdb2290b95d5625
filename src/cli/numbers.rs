//! `number`.

use super::{Failure, Outcome, account_id, say};
use crate::core::account::AccountId;
use crate::core::audit::{Act, Actor, audited};
use crate::core::carrier::{self, CarrierKind};
use crate::core::error::{Error, Noun};
use crate::core::inbound::{self, Inbound, Taken};
use crate::core::network::{self, Network, Prefix};
use crate::core::number::{self, Add, Form, LISTED_MAX, Number};
use crate::core::phone::{self, Msisdn, Originator};
use crate::installation::Installation;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum NumberCommand {
    /// Tell a number's country, kind and forms, as far as they are known
    Describe {
        /// In international form, with or without plus
        msisdn: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Tell which network the numbers with a prefix are of
    #[command(subcommand)]
    Prefixes(PrefixesCommand),
    /// Give a number to an account: what phones write to it becomes that account's
    ///
    /// Given to the same account again, its options are replaced.
    Add {
        /// In international form, or a short code of 3 to 6 digits
        msisdn: String,
        #[command(flatten)]
        target: Target,
    },
    /// Take a number away, with all its keywords
    Remove {
        /// The number
        msisdn: String,
    },
    /// List numbers and their keywords
    List {
        /// Account number or partner id; all accounts without it
        account_id: Option<String>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Share a number between accounts by the first word of a text
    #[command(subcommand)]
    Keyword(KeywordCommand),
    /// List numbers that nobody has and that texts came to
    Strays {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Act as if a phone had written a text to a number, by the simulated carrier
    Receive {
        /// The number
        msisdn: String,
        /// Whom the text is from
        from: String,
        /// The text
        text: String,
    },
}

#[derive(Subcommand)]
pub(super) enum KeywordCommand {
    /// Give the texts that begin with a word to an account
    Add {
        /// The number; it must be somebody's already
        msisdn: String,
        /// Compared without case; letters and digits, at most 40
        word: String,
        #[command(flatten)]
        target: Target,
    },
    /// Take a keyword away
    Remove {
        /// The number
        msisdn: String,
        /// The word
        word: String,
    },
}

#[derive(Args)]
pub(super) struct Target {
    /// Account number or partner id
    account_id: String,
    /// Where texts are forwarded to, in place of the account's inbound-url
    #[arg(long, value_name = "URL")]
    inbound_url: Option<String>,
    /// How they are forwarded, in place of the account's inbound-form
    #[arg(long, value_name = "FORM")]
    inbound_form: Option<FormName>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormName {
    /// A GET request with everything in the query
    Get,
    /// A POST request with a form
    Post,
    /// A POST request with JSON
    Json,
}

#[derive(Subcommand)]
pub(super) enum PrefixesCommand {
    /// Add or replace prefixes from a file with a line PREFIX,MCC,MNC,OPERATOR for each
    ///
    /// Such as 316555,204,08,Examplecell. A first line that does not begin with a digit is passed over. Nothing is changed
    /// if a line is wrong; prefixes that the file does not name stay as they are.
    #[command(verbatim_doc_comment)]
    Import {
        /// The file, in UTF-8
        file: PathBuf,
    },
    /// Remove all prefixes
    Clear,
}

pub(super) async fn prefixes(installation: &Installation, command: PrefixesCommand) -> Outcome {
    match command {
        PrefixesCommand::Import { file } => {
            let text = std::fs::read_to_string(&file);
            let text = text.map_err(|error| Failure(format!("{}: {error}", file.display())))?;
            let prefixes = read(&text).map_err(|why| Failure(format!("{}: {why}", file.display())))?;
            for some in prefixes.chunks(network::IMPORT) {
                installation.store.write(some.to_vec(), network::set_all).await?;
            }
            say(&format!("{} prefixes set", prefixes.len()));
        }
        PrefixesCommand::Clear => {
            let mut gone = 0;
            loop {
                let some = installation.store.write((), network::clear_some).await?;
                if some == 0 {
                    break;
                }
                gone += some;
            }
            say(&format!("{gone} prefixes removed"));
        }
    }
    Ok(())
}

/// The prefixes of a file, or which line is wrong and why.
fn read(text: &str) -> Result<Vec<Prefix>, String> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate();
    let is_title = |at: usize, line: &str| at == 0 && !line.starts_with(|c: char| c.is_ascii_digit());
    let mut prefixes = Vec::new();
    for (at, line) in lines.filter(|(at, line)| !line.is_empty() && !is_title(*at, line)) {
        let wrong = |why: String| format!("line {}: {why}", at + 1);
        let mut fields = line.splitn(4, ',').map(str::trim);
        let mut next = || fields.next().map(str::to_owned);
        let (Some(digits), Some(mcc), Some(mnc), Some(operator)) = (next(), next(), next(), next()) else {
            return Err(wrong("PREFIX,MCC,MNC,OPERATOR is needed, such as 316555,204,08,Examplecell".into()));
        };
        // A name with a comma stands in quotes.
        let operator = match operator.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => operator,
        };
        let prefix = Prefix { digits, network: Network { mcc, mnc, operator } };
        network::check(&prefix).map_err(|it| wrong(format!("{} {}", it.field, it.code)))?;
        prefixes.push(prefix);
    }
    Ok(prefixes)
}

/// Without an installation: what is known about a number.
pub(super) fn describe(msisdn: &str, json: bool) -> Outcome {
    let wrong = |_| Failure(format!("{msisdn}: 7 to 15 digits in international form are needed"));
    let known = phone::describe(Msisdn::parse(msisdn).map_err(wrong)?);
    if json {
        let document = json!({
            "country": known.country,
            "callingCode": known.calling_code,
            "type": known.kind,
            "valid": known.valid,
            "e164": known.e164,
            "international": known.international,
            "national": known.national,
            "rfc3966": known.rfc3966,
        });
        say(&document.to_string());
        return Ok(());
    }
    say(&format!("country        {}", known.country.as_deref().unwrap_or("unknown")));
    say(&format!("type           {}", known.kind));
    say(&format!("in the plan    {}", if known.valid { "yes" } else { "not as far as is known" }));
    say(&format!("international  {}", known.international));
    say(&format!("national       {}", known.national));
    Ok(())
}

fn receiving(text: &str) -> Result<Msisdn, Failure> {
    let wrong = |_| {
        Failure(format!(
            "{text}: 7 to 15 digits in international form, or a short code of 3 to 6, are needed"
        ))
    };
    number::parse(text).map_err(wrong)
}

fn keyword(word: &str) -> Result<String, Failure> {
    number::keyword(word)
        .map_err(|_| Failure(format!("{word}: one word of at most 40 letters and digits is needed")))
}

pub(super) async fn run(installation: &Installation, command: NumberCommand) -> Outcome {
    match command {
        NumberCommand::Describe { msisdn, json } => describe(&msisdn, json)?,
        NumberCommand::Prefixes(command) => prefixes(installation, command).await?,
        NumberCommand::Add { msisdn, target } => {
            add(installation, receiving(&msisdn)?, None, target).await?;
        }
        NumberCommand::Remove { msisdn } => {
            remove(installation, receiving(&msisdn)?, None).await?;
        }
        NumberCommand::List { account_id: id, json } => {
            let account = match id {
                Some(id) => Some(account_id(installation, &id).await?),
                None => None,
            };
            list(&all(installation, account).await?, json);
        }
        NumberCommand::Keyword(KeywordCommand::Add { msisdn, word, target }) => {
            add(installation, receiving(&msisdn)?, Some(keyword(&word)?), target).await?;
        }
        NumberCommand::Keyword(KeywordCommand::Remove { msisdn, word }) => {
            remove(installation, receiving(&msisdn)?, Some(keyword(&word)?)).await?;
        }
        NumberCommand::Strays { json } => strays(installation, json).await?,
        NumberCommand::Receive { msisdn, from, text } => {
            receive(installation, receiving(&msisdn)?, &from, text).await?;
        }
    }
    Ok(())
}

async fn add(installation: &Installation, msisdn: Msisdn, word: Option<String>, target: Target) -> Outcome {
    let Target { account_id: id, inbound_url, inbound_form, json } = target;
    let form = inbound_form.map(|form| match form {
        FormName::Get => Form::Get,
        FormName::Post => Form::Post,
        FormName::Json => Form::Json,
    });
    let account = account_id(installation, &id).await?;
    let new = Add { msisdn, word, account, inbound_url: inbound_url.filter(|url| !url.is_empty()), form };
    let unit = audited(Actor::command_line(), number::add, |_: &Add, made: &Number| {
        number_act(made.scope.account, "number.add", (made.msisdn, &made.word))
    });
    let made = installation.store.write(new, unit).await?;
    if json {
        say(&document(&made).to_string());
    }
    Ok(())
}

fn number_act(account: AccountId, action: &'static str, (msisdn, word): (Msisdn, &Option<String>)) -> Act {
    // Among the details, where an erasure looks: it may be a person's own.
    Act::on(account, action).with("number", msisdn).with_given("keyword", word.as_ref())
}

async fn remove(installation: &Installation, msisdn: Msisdn, word: Option<String>) -> Outcome {
    let unit =
        audited(Actor::command_line(), number::remove, |(msisdn, word): &(Msisdn, Option<String>), whose| {
            number_act(*whose, "number.remove", (*msisdn, word))
        });
    installation.store.write((msisdn, word), unit).await?;
    Ok(())
}

fn document(number: &Number) -> Value {
    json!({
        "number": number.msisdn.to_string(),
        "keyword": number.word,
        "account": number.scope.account.0,
        "inboundUrl": number.inbound_url,
        "inboundForm": number.form.map(Form::name),
    })
}

/// Numbers and keywords, each number before its keywords.
async fn all(installation: &Installation, account: Option<AccountId>) -> Result<Vec<Number>, Error> {
    let (store, mut all) = (&installation.store, Vec::new());
    let is_last = |some: &[Number]| i64::try_from(some.len()).is_ok_and(|count| count < LISTED_MAX);
    let mut after = Msisdn(0);
    loop {
        let some = store.read((account, after), number::list).await?;
        let last = is_last(&some);
        after = some.last().map_or(after, |number| number.msisdn);
        all.extend(some);
        if last {
            break;
        }
    }
    let mut after = (Msisdn(0), String::new());
    loop {
        let some = store.read((account, after.0, after.1.clone()), number::keywords).await?;
        let last = is_last(&some);
        after = some.last().map_or(after, |number| (number.msisdn, number.word.clone().unwrap_or_default()));
        all.extend(some);
        if last {
            break;
        }
    }
    all.sort_by(|one, other| (one.msisdn, &one.word).cmp(&(other.msisdn, &other.word)));
    Ok(all)
}

fn list(numbers: &[Number], json: bool) {
    if json {
        say(&Value::Array(numbers.iter().map(document).collect()).to_string());
        return;
    }
    for number in numbers {
        let word = number.word.as_deref().unwrap_or_default();
        let (url, form) = (number.inbound_url.as_deref(), number.form.map(Form::name));
        let url = url.unwrap_or_default();
        let line = format!(
            "{:<16}{word:<16}{:<11}{:<5}{url}",
            number.msisdn.to_string(),
            number.scope.account.to_string(),
            form.unwrap_or_default()
        );
        say(line.trim_end());
    }
}

async fn strays(installation: &Installation, json: bool) -> Outcome {
    let strays = installation.store.read((), inbound::strays).await?;
    if json {
        let all = strays.iter().map(|stray| {
            json!({
                "number": stray.msisdn.to_string(),
                "carrier": stray.carrier.0,
                "messages": stray.messages,
                "latestDatetime": stray.latest.rfc3339_offset(),
            })
        });
        say(&Value::Array(all.collect()).to_string());
        return Ok(());
    }
    for stray in strays {
        let (number, latest) = (stray.msisdn.to_string(), stray.latest.rfc3339_offset());
        say(&format!("{number:<16}{:>8} texts, the latest at {latest}", stray.messages));
    }
    Ok(())
}

async fn receive(installation: &Installation, to: Msisdn, from: &str, body: String) -> Outcome {
    let carriers = installation.store.read((), carrier::all).await?;
    let simulated = carriers.into_iter().find(|carrier| carrier.kind == CarrierKind::Simulated);
    let carrier = simulated.ok_or_else(|| Failure("there is no simulated carrier".into()))?;
    let from = Originator::parse(from).map_err(|code| Failure(format!("{from} {code}")))?;
    if body.contains('\0') {
        return Err(Failure("the text holds a NUL".into()));
    }
    let text = Inbound { carrier: carrier.id, reference: None, from, to, body, otherwise: None };
    match installation.store.write(text, inbound::receive).await? {
        Taken::Stored(id) => say(&id.to_string()),
        Taken::Repeated | Taken::Stray => return Err(Error::NotFound(Noun::Number).into()),
    }
    Ok(())
}
