//! `opt-out`.

use super::{Failure, Outcome, account_id, say};
use crate::core::opt_out::{self, BATCH, LISTED_MAX, Source};
use crate::core::phone::Msisdn;
use crate::core::{Result as CoreResult, Scope};
use crate::installation::Installation;
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(super) enum OptOutCommand {
    /// Put numbers on an account's list: they are sent nothing more
    Add {
        /// Account number or partner id
        account_id: String,
        /// In international form
        #[arg(required = true)]
        msisdn: Vec<String>,
    },
    /// Take numbers off an account's list
    Remove {
        /// Account number or partner id
        account_id: String,
        /// In international form
        #[arg(required = true)]
        msisdn: Vec<String>,
    },
    /// Show an account's list, as a file that `opt-out import` reads
    List {
        /// Account number or partner id
        account_id: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Put the numbers of a file on an account's list: the first field of each line
    ///
    /// A first line that does not begin with a number is passed over. Nothing is added if a line is wrong.
    #[command(verbatim_doc_comment)]
    Import {
        /// Account number or partner id
        account_id: String,
        /// The file, in UTF-8
        file: std::path::PathBuf,
    },
}

pub(super) async fn run(installation: &Installation, command: OptOutCommand) -> Outcome {
    match command {
        OptOutCommand::Add { account_id: id, msisdn } => {
            let scope = scope(installation, &id).await?;
            add(installation, scope, numbers(&msisdn)?, Source::Command).await?;
        }
        OptOutCommand::Remove { account_id: id, msisdn } => {
            let scope = scope(installation, &id).await?;
            for some in numbers(&msisdn)?.chunks(BATCH) {
                installation.store.bulk((scope, some.to_vec()), opt_out::remove).await?;
            }
        }
        OptOutCommand::List { account_id: id, json } => {
            let scope = scope(installation, &id).await?;
            list(installation, scope, json).await?;
        }
        OptOutCommand::Import { account_id: id, file } => {
            let scope = scope(installation, &id).await?;
            let failed = |why: String| Failure(format!("{}: {why}", file.display()));
            let text = std::fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
            let numbers = opt_out::read_file(&text)
                .map_err(|(line, wrong)| failed(format!("line {line}: {} {}", wrong.field, wrong.code)))?;
            let all = numbers.len();
            let added = add(installation, scope, numbers, Source::Import).await?;
            say(&format!("{all} numbers read, {added} added"));
        }
    }
    Ok(())
}

async fn scope(installation: &Installation, id: &str) -> CoreResult<Scope> {
    let id = account_id(installation, id).await?;
    installation.store.read(id, opt_out::scope_of).await
}

fn numbers(texts: &[String]) -> Result<Vec<Msisdn>, Failure> {
    let number = |text: &String| {
        let wrong = |_| Failure(format!("{text}: 7 to 15 digits in international form are needed"));
        Msisdn::parse(text).map_err(wrong)
    };
    texts.iter().map(number).collect()
}

async fn add(
    installation: &Installation,
    scope: Scope,
    numbers: Vec<Msisdn>,
    source: Source,
) -> CoreResult<u64> {
    let mut added = 0;
    for some in numbers.chunks(BATCH) {
        added += installation.store.bulk((scope, some.to_vec(), source), opt_out::add).await?;
    }
    Ok(added)
}

async fn list(installation: &Installation, scope: Scope, as_json: bool) -> Outcome {
    let mut all = Vec::new();
    if !as_json {
        say("number,source,created");
    }
    let mut after = Msisdn(0);
    loop {
        let some = installation.store.read((scope, after), opt_out::list).await?;
        for one in &some {
            let (number, created) = (one.msisdn.to_string(), one.created.rfc3339_offset());
            if as_json {
                let source = one.source.name();
                all.push(json!({"number": number, "source": source, "createdDatetime": created}));
            } else {
                say(&format!("{number},{},{created}", one.source.name()));
            }
        }
        match some.last() {
            Some(last) if i64::try_from(some.len()).is_ok_and(|count| count == LISTED_MAX) => {
                after = last.msisdn;
            }
            _ => break,
        }
    }
    if as_json {
        say(&Value::Array(all).to_string());
    }
    Ok(())
}
