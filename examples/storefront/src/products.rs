//! Products: what one is, and where they are kept.

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use serde_json::{Value, json};

/// Products in one answer, at most.
pub const PAGE_LIMIT: u32 = 100;

/// One product.
#[derive(Debug, PartialEq)]
pub struct Product {
    /// Capital letters, digits and `-`, 1 to 32 of them.
    pub sku: String,
    /// 1 to 200 characters, none of them a control character.
    pub name: String,
    /// 0 to 100,000,000.
    pub price_cents: u32,
    /// 0 to 1,000,000.
    pub stock: u32,
}

impl Product {
    /// Reads a product from what a client sent; all that is wrong with it, at once.
    pub fn from_json(text: &[u8]) -> Result<Self, Vec<String>> {
        let value: Value = serde_json::from_slice(text).map_err(|error| vec![format!("not JSON: {error}")])?;
        let object = value.as_object().ok_or_else(|| vec!["not a JSON object".to_owned()])?;
        let known = ["sku", "name", "price_cents", "stock"];
        let unknown = object.keys().filter(|key| !known.contains(&key.as_str()));
        let mut wrong: Vec<String> =
            unknown.map(|key| format!("{key:?}: unknown; known: {}", known.join(", "))).collect();
        let mut check = |good: bool, message: &str| {
            if !good {
                wrong.push(message.to_owned());
            }
        };
        let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (sku, name) = (text("sku"), text("name"));
        check(is_sku(&sku), "sku: 1 to 32 capital letters, digits or `-`");
        let plain = !name.trim().is_empty() && !name.chars().any(char::is_control);
        check(plain && name.chars().count() <= 200, "name: 1 to 200 characters, no control characters");
        let number = |key, missing: Option<u64>, limit: u64| {
            let number = object.get(key).map_or(missing, Value::as_u64).filter(|number| *number <= limit)?;
            u32::try_from(number).ok()
        };
        let price_cents = number("price_cents", None, 100_000_000);
        check(price_cents.is_some(), "price_cents: a whole number from 0 to 100,000,000");
        let stock = number("stock", Some(0), 1_000_000);
        check(stock.is_some(), "stock: a whole number from 0 to 1,000,000");
        match (price_cents, stock) {
            (Some(price_cents), Some(stock)) if wrong.is_empty() => Ok(Self { sku, name, price_cents, stock }),
            _ => Err(wrong),
        }
    }

    /// As clients get it.
    pub fn to_json(&self) -> Value {
        let Self { sku, name, price_cents, stock } = self;
        json!({"sku": sku, "name": name, "price_cents": price_cents, "stock": stock})
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { sku: row.get(0)?, name: row.get(1)?, price_cents: row.get(2)?, stock: row.get(3)? })
    }
}

/// Whether a text can be the name of a product in a path.
pub fn is_sku(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(plain)
}

/// Products after `after` in the order of their names, at most [`PAGE_LIMIT`].
pub fn list(connection: &Connection, after: &str) -> rusqlite::Result<Vec<Product>> {
    let page = "SELECT sku, name, price_cents, stock FROM products WHERE sku > ?1 ORDER BY sku LIMIT ?2";
    let mut page = connection.prepare(page)?;
    page.query_map(params![after, PAGE_LIMIT], Product::from_row)?.collect()
}

/// One product.
pub fn find(connection: &Connection, sku: &str) -> rusqlite::Result<Option<Product>> {
    let one = "SELECT sku, name, price_cents, stock FROM products WHERE sku = ?1";
    connection.query_row(one, [sku], Product::from_row).optional()
}

/// Adds a product; false where its sku is taken.
pub fn add(connection: &Connection, product: &Product) -> rusqlite::Result<bool> {
    let Product { sku, name, price_cents, stock } = product;
    let add = "INSERT INTO products (sku, name, price_cents, stock) VALUES (?1, ?2, ?3, ?4)";
    match connection.execute(add, params![sku, name, price_cents, stock]) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(false),
        other => other.map(|_| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations;

    #[test]
    fn everything_wrong_is_said_at_once() {
        let wrong = Product::from_json(br#"{"sku":"a","name":"\u0007","price_cents":-1,"colour":1}"#).unwrap_err();
        let fields: Vec<_> = wrong.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(fields, ["\"colour\"", "sku", "name", "price_cents"]);
        for text in [&b"[]"[..], b"", b"\xff", br#"{"sku":"A"}"#, br#"{"sku":"A","name":"n","price_cents":1.5}"#] {
            assert!(Product::from_json(text).is_err());
        }
    }

    #[test]
    fn a_product_comes_back_as_it_was_added_and_only_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrations::up(&mut connection, None).unwrap();
        let product = Product::from_json(br#"{"sku":"TEA-100","name":"T\u00e9 'x'; --","price_cents":450}"#).unwrap();
        assert!(add(&connection, &product).unwrap());
        assert!(!add(&connection, &product).unwrap());
        assert_eq!(find(&connection, "TEA-100").unwrap(), Some(product));
        let names: Vec<_> = list(&connection, "BREAD-RYE").unwrap().into_iter().map(|found| found.sku).collect();
        assert_eq!(names, ["HONEY-250", "TEA-100"]);
    }
}
