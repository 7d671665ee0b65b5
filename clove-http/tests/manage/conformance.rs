//! Holds an answer against the OpenAPI document: schemathesis seldom guesses what a command that succeeds needs.

use crate::host::Answer;
use serde_json::Value;

/// Panics where the document does not say of an operation that it answers so. What is no operation is none of its.
pub(crate) fn check(document: &Value, method: &str, path: &str, answer: &Answer) {
    let Some(operation) = operation(document, method, path) else { return };
    let told = format!("{method} {path} {}", answer.status);
    let response = &operation["responses"][answer.status.as_str()];
    assert!(response.is_object(), "{told} is not in the document");
    for name in ["etag", "location", "retry-after", "idempotency-replayed"] {
        let mut documented = response["headers"].as_object().into_iter().flatten();
        let is_documented = documented.any(|(known, _)| known.eq_ignore_ascii_case(name));
        assert!(is_documented || !answer.headers.contains_key(name), "{told} has an undocumented {name}");
    }
    match answer.headers.get("content-type").map(|kind| kind.to_str().unwrap()) {
        None => assert!(response["content"].is_null(), "{told} has no body"),
        Some(kind) => {
            let schema = &response["content"][kind]["schema"];
            assert!(schema.is_object(), "{told} is not said to be {kind}");
            is_as_described(document, schema, &answer.json())
                .unwrap_or_else(|wrong| panic!("{told}: {wrong} in {}", answer.text()));
        }
    }
}

fn operation<'d>(document: &'d Value, method: &str, path: &str) -> Option<&'d Value> {
    let path = path.split('?').next()?;
    let is_path = |template: &str| {
        let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let (template, path) = (parts(template), parts(path));
        template.len() == path.len() && template.iter().zip(&path).all(|(known, part)| known == part || known.starts_with('{'))
    };
    document["paths"].as_object()?.iter().find(|(template, _)| is_path(template))?.1.get(method.to_lowercase())
}

/// Fields and types, not the ranges of values.
fn is_as_described(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/components/schemas/")) {
        return is_as_described(document, &document["components"]["schemas"][name], value);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().filter(|choice| is_as_described(document, choice, value).is_ok()).count();
        return if fits == 1 { Ok(()) } else { Err(format!("{value} is {fits} of {choices:?}")) };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = &schema["type"];
    if !(kinds.is_null() || kinds == kind || kinds.as_array().is_some_and(|kinds| kinds.iter().any(|known| known == kind))) {
        return Err(format!("{value} is no {kinds}"));
    }
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        return Err(format!("{value} is none of {words:?}"));
    }
    for item in value.as_array().into_iter().flatten() {
        is_as_described(document, &schema["items"], item)?;
    }
    let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten() {
        fields.get(name.as_str().unwrap()).ok_or_else(|| format!("{name} is missing"))?;
    }
    for (name, value) in fields {
        match known.get(name) {
            Some(schema) => is_as_described(document, schema, value)?,
            // Problems have further members.
            None if fields.contains_key("type") => {}
            None => return Err(format!("{name} is not described")),
        }
    }
    Ok(())
}
