//! `number`.

use super::{Failure, Outcome, say};
use crate::core::phone::{self, Msisdn};
use clap::Subcommand;
use serde_json::json;

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
}

pub(super) fn run(command: &NumberCommand) -> Outcome {
    let NumberCommand::Describe { msisdn, json } = command;
    let wrong = |_| Failure(format!("{msisdn}: 7 to 15 digits in international form are needed"));
    let known = phone::describe(Msisdn::parse(msisdn).map_err(wrong)?);
    if *json {
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
