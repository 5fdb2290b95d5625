//! Every SQL text of the program, on the engine of this run.

use crate::support::TestApp;
use crate::tidy::{code_of, sources};

#[tokio::test]
async fn every_statement_is_prepared_after_the_migrations() {
    let app = TestApp::new().await;
    let own = store::STATEMENTS.iter().filter(|sql| sql.at().starts_with("src/")).count();
    assert!(own >= 40, "only {own} statements of the program are registered");
    if let Err(wrong) = app.store.check_statements().await {
        panic!("{} statements are refused:\n{}", wrong.len(), wrong.join("\n"));
    }
}

/// What is not linked is not checked: the number in the sources is the number that registered itself.
#[test]
fn every_statement_in_the_sources_is_registered() {
    for file in sources().iter().filter(|file| file.starts_with("src/")) {
        let written = code_of(file).matches("sql!(").count();
        let registered =
            store::STATEMENTS.iter().filter(|sql| sql.at().starts_with(&format!("{file}:"))).count();
        assert_eq!(written, registered, "{file}");
    }
}
