//! `strategy` and its matrix.

use serde_json::{Map, Number, Value};

use crate::diagnostic::Diagnostic;
use crate::expression::Availability;
use crate::read::{Entry, Reader, is_insert, is_whole_expression};
use crate::tree::{Kind, Node, Typed};
use crate::workflow::{Matrix, Strategy};

const PLACE: Option<&Availability> = Some(&Availability::STRATEGY);

pub(super) fn read(reader: &mut Reader<'_>, node: Node<'_>) -> Strategy {
    if node.scalar().is_some_and(|scalar| is_whole_expression(&scalar.value)) {
        reader.text(node, PLACE);
        reader.beyond(node.span(), "`strategy` as one expression");
        return Strategy::default();
    }
    let Some(mut fields) = reader.fields(node, "`strategy`") else { return Strategy::default() };
    let strategy = Strategy {
        matrix: fields.take("matrix").and_then(|node| matrix(reader, node)),
        fail_fast: fields.take("fail-fast").and_then(|node| reader.boolean_text(node, PLACE)),
        max_parallel: fields.take("max-parallel").and_then(|node| reader.number_text(node, PLACE)),
    };
    fields.finish(reader);
    strategy
}

fn matrix(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Matrix> {
    let at = reader.position(node);
    if matches!(node.kind(), Kind::Scalar(_)) {
        let text = reader.whole_expression_or(node, "`matrix` as a mapping or one expression", PLACE)?;
        return Some(Matrix { tree: Value::String(text.text), at });
    }
    let fields = reader.fields(node, "`matrix`")?;
    let mut tree = Map::new();
    let mut vectors = Vec::new();
    let mut exclude = None;
    for Entry { key, node: at, value } in fields.rest() {
        match key.as_str() {
            "include" => filter(reader, value),
            "exclude" => {
                filter(reader, value);
                exclude = Some(value);
            }
            _ if key.contains("${{") => {
                key_expression(reader, at);
                vectors.push(None);
            }
            _ => {
                reader.name(at, &key);
                vector(reader, &key, value);
                vectors.push(Some(key.clone()));
            }
        }
        tree.insert(key, json(reader, value));
    }
    check_exclude(reader, exclude, &vectors);
    if tree.is_empty() {
        reader.error("empty-value", node.span(), "a matrix needs at least one list of values");
    }
    Some(Matrix { tree: Value::Object(tree), at })
}

/// A name that is made at run time, or the directive `${{ insert }}`.
fn key_expression(reader: &mut Reader<'_>, node: Node<'_>) {
    if let Some(scalar) = node.scalar().filter(|scalar| !is_insert(&scalar.value)) {
        reader.expressions(node, scalar, PLACE);
    }
}

/// One list of values: not empty, or an expression.
fn vector(reader: &mut Reader<'_>, key: &str, node: Node<'_>) {
    match node.kind() {
        Kind::Sequence if node.items().len() == 0 => {
            reader.error("empty-value", node.span(), format!("`{key}` of the matrix has no values"));
        }
        Kind::Scalar(scalar) if is_whole_expression(&scalar.value) => {}
        Kind::Sequence | Kind::Broken => {}
        _ => reader.wrong_type(node, "a list of values or one expression"),
    }
}

/// `include` or `exclude`: a list of mappings, or expressions in their places.
fn filter(reader: &mut Reader<'_>, node: Node<'_>) {
    let is_expression = |node: Node<'_>| node.scalar().is_some_and(|scalar| is_whole_expression(&scalar.value));
    if is_expression(node) {
        return;
    }
    if !matches!(node.kind(), Kind::Sequence) {
        reader.wrong_type(node, "a list of mappings or one expression");
    }
    for item in node.items().filter(|item| !is_expression(*item)) {
        if !matches!(item.kind(), Kind::Mapping) {
            reader.wrong_type(item, "a mapping or one expression");
        } else if item.entries().len() == 0 {
            reader.error("empty-value", item.span(), "this entry of the matrix is empty");
        }
    }
}

/// `exclude` may only name lists of the matrix; where a name is an expression nobody knows them yet.
fn check_exclude(reader: &mut Reader<'_>, exclude: Option<Node<'_>>, vectors: &[Option<String>]) {
    let known: Option<Vec<&str>> = vectors.iter().map(Option::as_deref).collect();
    let (Some(exclude), Some(known)) = (exclude, known) else { return };
    for (key, _) in exclude.items().flat_map(Node::entries) {
        let Some(scalar) = key.scalar() else { continue };
        if !scalar.value.contains("${{") && !known.iter().any(|name| name.eq_ignore_ascii_case(&scalar.value)) {
            let message = format!("`exclude` names `{}`, which is no list of the matrix", scalar.value);
            reader.report(Diagnostic::warning("unknown-matrix-key", key.span(), message));
        }
    }
}

/// Any node as JSON with its types; every `${{ }}` in it is checked.
fn json(reader: &mut Reader<'_>, node: Node<'_>) -> Value {
    match node.kind() {
        Kind::Sequence => Value::Array(node.items().map(|item| json(reader, item)).collect()),
        Kind::Mapping => {
            let mut map = Map::new();
            for (key, value) in node.entries() {
                let Some(scalar) = key.scalar() else {
                    reader.wrong_type(key, "a text as key");
                    continue;
                };
                key_expression(reader, key);
                let value = json(reader, value);
                map.insert(scalar.value.clone(), value);
            }
            Value::Object(map)
        }
        Kind::Scalar(scalar) => {
            reader.expressions(node, scalar, PLACE);
            match scalar.typed {
                Typed::Null => Value::Null,
                Typed::Bool(value) => Value::Bool(value),
                Typed::Number(value) => number(value),
                Typed::String => Value::String(scalar.value.clone()),
            }
        }
        Kind::Broken => Value::Null,
    }
}

/// A whole number without a fraction. JSON has no infinity and no NaN: their text stands for them.
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or_else(|| Value::String(crate::expression::format_number(value)), Value::Number)
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::SourceFile;
    use crate::workflow::{not_carried_out, read};

    fn file(matrix: &str) -> SourceFile {
        let text = format!("on: push\njobs:\n  a:\n    runs-on: x\n    strategy:\n      matrix: {matrix}\n");
        SourceFile::new("a.yml", text)
    }

    #[test]
    fn a_name_of_the_matrix_may_be_an_expression() {
        let sound = file("{ \"${{ vars.NAME }}\": [1], \"${{ insert }}\": \"${{ fromJSON('{}') }}\" }");
        let workflow = read(&sound).workflow.unwrap();
        assert_eq!(not_carried_out(&workflow), []);
        let unknown = read(&file("{ \"${{ secrets.NAME }}\": [1], b: [{ \"${{ secrets.NAME }}\": 1 }] }"));
        let columns: Vec<usize> = unknown.diagnostics.iter().map(|one| one.span().start).collect();
        assert_eq!(columns.len(), 2, "{:?}", unknown.diagnostics);
    }
}
