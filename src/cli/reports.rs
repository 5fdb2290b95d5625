//! `report`.

use super::{Failure, Outcome, account_id, moment, say};
use crate::core::report::{self, Dimension, Line, Question, Step, Whose};
use crate::core::{Error, Timestamp, account, carrier};
use crate::installation::Installation;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use std::collections::HashMap;

#[derive(Subcommand)]
pub(super) enum ReportCommand {
    /// Print how many messages an account has sent and received, and what they cost, as CSV
    Usage(Usage),
}

#[derive(Args)]
pub(super) struct Usage {
    /// Account number or partner id
    account_id: String,
    /// Messages made at or after: a time such as 2026-11-01T00:00:00+01:00, whose clock says when days begin, or a span such as 30d
    #[arg(long, default_value = "30d")]
    from: String,
    /// Messages made before; the present, if not given
    #[arg(long)]
    until: Option<String>,
    /// How time is divided: quarter, hour, day, month or whole
    #[arg(long, default_value = "day")]
    step: String,
    /// What is told apart: account, direction, status, country, network, type, carrier, originator, reference
    #[arg(long, value_delimiter = ',', default_value = "direction,type,country,network,status")]
    by: Vec<String>,
    /// Of a partner: all its accounts, told apart
    #[arg(long)]
    children: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(installation: &Installation, command: ReportCommand) -> Outcome {
    let ReportCommand::Usage(usage) = command;
    let id = account_id(installation, &usage.account_id).await?;
    let account = installation.store.read(id, account::find).await?;
    let now = Timestamp(installation.clock.now_us());
    let step = Step::parse(&usage.step)
        .ok_or_else(|| Failure(format!("{}: quarter, hour, day, month or whole is needed", usage.step)))?;
    let mut by = Vec::new();
    if usage.children {
        by.push(Dimension::Account);
    }
    for word in usage.by.iter().filter(|word| !word.is_empty()) {
        let known = Dimension::ALL.iter().find(|of| of.name() == word);
        let of = known.ok_or_else(|| Failure(format!("{word}: not one of what can be told apart")))?;
        if !by.contains(of) {
            by.push(*of);
        }
    }
    let is_partner = account.root == account.id;
    let whose = match (usage.children, is_partner) {
        (true, false) => return Err(Failure("--children is for a partner".into())),
        (true, true) => Whose::All(account.root),
        (false, _) => Whose::Some(account.root, vec![account.id]),
    };
    let question = Question {
        whose,
        begin: moment(&usage.from, now, -1)?,
        end: usage.until.map_or(Ok(now), |until| moment(&until, now, -1))?,
        offset: Timestamp::written_offset(&usage.from),
        step,
        by,
        only: Vec::new(),
    };
    let lines = report::ask(&installation.store, &question).await.map_err(|error| match error {
        Error::Invalid(_) => Failure("too much for one report: ask for less time or tell less apart".into()),
        other => other.into(),
    })?;
    let carriers = installation.store.read((), carrier::all).await?;
    let names = carriers.into_iter().map(|carrier| (carrier.id.0.to_string(), carrier.name)).collect();
    print(&question, &lines, (account.currency.as_str(), &names), usage.json);
    Ok(())
}

fn print(
    question: &Question,
    lines: &[Line],
    (currency, carriers): (&str, &HashMap<String, String>),
    as_json: bool,
) {
    let names: Vec<&str> = question.by.iter().map(|of| of.name()).collect();
    let value = |of: Dimension, value: &str| match of {
        Dimension::Carrier if value == "0" => String::new(),
        // One that was removed keeps its number.
        Dimension::Carrier => carriers.get(value).map_or(value, String::as_str).to_owned(),
        _ => value.to_owned(),
    };
    if as_json {
        let all = lines.iter().map(|line| {
            let mut object = Map::new();
            object.insert("begin".into(), line.begin.rfc3339_utc().into());
            for (of, text) in question.by.iter().zip(&line.values) {
                object.insert(of.name().into(), value(*of, text).into());
            }
            object.insert("messages".into(), line.messages.into());
            object.insert("parts".into(), line.parts.into());
            object.insert("price".into(), line.price.to_string().into());
            object.insert("currency".into(), currency.into());
            Value::Object(object)
        });
        say(&Value::Array(all.collect()).to_string());
        return;
    }
    say(&["begin"]
        .iter()
        .chain(&names)
        .chain(&["messages", "parts", "price", "currency"])
        .copied()
        .collect::<Vec<_>>()
        .join(","));
    for line in lines {
        let mut fields = vec![line.begin.rfc3339_utc()];
        fields.extend(question.by.iter().zip(&line.values).map(|(of, text)| quoted(&value(*of, text))));
        fields.extend([
            line.messages.to_string(),
            line.parts.to_string(),
            line.price.to_string(),
            currency.to_owned(),
        ]);
        say(&fields.join(","));
    }
}

/// A field of RFC 4180. What a spreadsheet would take for a formula is led by an apostrophe.
fn quoted(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
