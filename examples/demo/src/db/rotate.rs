//! `demo db rotate`: two accounts in turn, so that an old password works until nobody uses it any more.
//!
//! Both are one to the tables: the second is a member of the first and acts as it.

use lexopt::Parser;
use postgres::Client;
use serde_json::json;

use crate::database;
use crate::failure::Failure;

/// By `TAGLINE_STAGE`: `make` gives the account `TAGLINE_NEW_USERNAME` the password `TAGLINE_NEW_PASSWORD`, making it where it
/// is missing; `verify` logs in and says as whom; `retire` locks the account `TAGLINE_OLD_USERNAME` out.
pub(super) fn command(mut words: Parser) -> Result<(), Failure> {
    if let Some(word) = words.next()? {
        return Err(word.unexpected().into());
    }
    let mut client = database::connect("demo db rotate")?;
    match setting("TAGLINE_STAGE")?.as_str() {
        "make" => make(&mut client, &setting("TAGLINE_NEW_USERNAME")?, &setting("TAGLINE_NEW_PASSWORD")?)?,
        "retire" => retire(&mut client, &setting("TAGLINE_OLD_USERNAME")?)?,
        "verify" => {}
        other => return Err(Failure::usage(format!("TAGLINE_STAGE {other}: make, verify or retire"))),
    }
    let user: String = client.query_one("select session_user::text", &[])?.get(0);
    println!("{}", json!({"user": user}));
    Ok(())
}

fn setting(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| Failure::usage(format!("{name} is not set")))
}

fn make(client: &mut Client, new: &str, password: &str) -> Result<(), Failure> {
    let row = client.query_one(
        "select session_user::text, rolcreaterole, exists (select from pg_roles where rolname = $1) \
         from pg_roles where rolname = session_user",
        &[&new],
    )?;
    let (old, may, there): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let mut transaction = client.transaction()?;
    transaction.batch_execute("reset role")?;
    if !there {
        let rights = if may { "createrole" } else { "nocreaterole" };
        let sql = format!("select format('create role %I {rights} in role %I', $1::text, $2::text)");
        let statement: String = transaction.query_one(&sql, &[&new, &old])?.get(0);
        transaction.batch_execute(&statement)?;
        let acts = "select format('alter role %I set role %I', $1::text, $2::text)";
        let statement: String = transaction.query_one(acts, &[&new, &old])?.get(0);
        transaction.batch_execute(&statement)?;
    }
    let login = "select format('alter role %I login password %L', $1::text, $2::text)";
    let statement: String = transaction.query_one(login, &[&new, &password])?.get(0);
    transaction.batch_execute(&statement)?;
    Ok(transaction.commit()?)
}

fn retire(client: &mut Client, old: &str) -> Result<(), Failure> {
    client.batch_execute("reset role; set role none")?;
    let statement: String =
        client.query_one("select format('alter role %I nologin password null', $1::text)", &[&old])?.get(0);
    Ok(client.batch_execute(&statement)?)
}
