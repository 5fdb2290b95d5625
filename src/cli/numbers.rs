//! `number`.

use super::{Failure, Outcome, say};
use crate::core::network::{self, Network, Prefix};
use crate::core::phone::{self, Msisdn};
use crate::installation::Installation;
use clap::Subcommand;
use serde_json::json;
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
