// SPDX-License-Identifier: MIT OR Apache-2.0
//! A store as JSON: complete, so that what is exported can be imported again.

use serde::{Deserialize, Serialize};

use super::alias;
use super::drives::Drives;
use super::element::{ElementCode, Value};
use super::guid::Guid;
use super::literal;
use super::notation::Names;
use super::object::{Object, ObjectType};
use super::show;
use super::store::Store;
use super::table;

/// The document.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// `KeyName`.
    key_name: String,
    objects: Vec<JsonObject>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonObject {
    /// The GUID, in braces.
    id: String,
    /// For people; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `0x10100002`.
    #[serde(rename = "type")]
    kind: String,
    elements: Vec<JsonElement>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonElement {
    /// Eight hexadecimal digits.
    code: String,
    /// For people; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    value: JsonValue,
}

/// Numbers, objects and devices are texts, as `bcdedit /set` takes them; 64-bit numbers would
/// not outlive every reader of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum JsonValue {
    Boolean(bool),
    One(String),
    Many(Vec<String>),
}

/// JSON that is no store.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or of another shape.
    #[error("not a store in JSON")]
    Syntax(#[from] serde_json::Error),
    /// An identifier, type or code.
    #[error("{at}: expected {expected}, found {found:?}")]
    Field {
        /// Which part.
        at: String,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The same object or element twice.
    #[error("{at}: expected it once, found it again")]
    Twice {
        /// Which.
        at: String,
    },
    /// A value that is none of its element's.
    #[error("{at}: {what}")]
    Value {
        /// Which element.
        at: String,
        /// What was expected and found.
        what: String,
    },
}

/// Writes a store.
pub fn write(store: &Store) -> String {
    let objects = show::order(store).into_iter().filter_map(|guid| {
        let object = store.objects.get(&guid)?;
        Some(JsonObject {
            id: guid.to_string(),
            name: alias::by_guid(guid).map(|known| format!("{{{}}}", known.name)),
            kind: format!("{:?}", object.kind),
            elements: object
                .elements
                .iter()
                .map(|(code, value)| JsonElement {
                    code: code.to_string(),
                    name: table::entry(*code, object.kind).map(|entry| entry.name.to_owned()),
                    value: json_value(*code, object.kind, value),
                })
                .collect(),
        })
    });
    let document = Document {
        key_name: store.key_name.clone(),
        objects: objects.collect(),
    };
    // Maps with texts as keys and nothing that can fail: there is always a text.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn json_value(code: ElementCode, kind: ObjectType, value: &Value) -> JsonValue {
    let mut lines = literal::display(code, kind, value, &Drives::none());
    match value {
        Value::Boolean(yes) => JsonValue::Boolean(*yes),
        Value::ObjectList(_) | Value::IntegerList(_) => JsonValue::Many(lines),
        _ => JsonValue::One(lines.pop().unwrap_or_default()),
    }
}

/// Reads a store.
pub fn read(text: &str) -> Result<Store, JsonError> {
    let document: Document = serde_json::from_str(text)?;
    if document.key_name.contains('\0') {
        return Err(JsonError::Field {
            at: "key_name".into(),
            expected: "a text without NUL",
            found: document.key_name,
        });
    }
    let mut store = Store::new();
    store.key_name = document.key_name;
    let drives = Drives::none();
    let names = Names::of_drives(&drives);
    for (number, json) in document.objects.iter().enumerate() {
        let at = format!("objects[{number}]");
        let guid: Guid = json.id.parse().map_err(|_| JsonError::Field {
            at: format!("{at}.id"),
            expected: "a GUID in braces",
            found: json.id.clone(),
        })?;
        let kind: ObjectType = json.kind.parse().map_err(|_| JsonError::Field {
            at: format!("{at}.type"),
            expected: "a type such as 0x10200003",
            found: json.kind.clone(),
        })?;
        let mut object = Object::new(kind);
        for (number, element) in json.elements.iter().enumerate() {
            let at = format!("{at}.elements[{number}]");
            let code = ElementCode::from_key(&element.code).ok_or_else(|| JsonError::Field {
                at: format!("{at}.code"),
                expected: "eight hexadecimal digits",
                found: element.code.clone(),
            })?;
            let words: Vec<&str> = match &element.value {
                JsonValue::Boolean(true) => vec!["yes"],
                JsonValue::Boolean(false) => vec!["no"],
                JsonValue::One(text) => vec![text],
                JsonValue::Many(texts) => texts.iter().map(String::as_str).collect(),
            };
            let value =
                literal::parse(code, kind, &words, &names).map_err(|error| JsonError::Value {
                    at: format!("{at}.value ({code})"),
                    what: error.what,
                })?;
            if object.elements.insert(code, value).is_some() {
                return Err(JsonError::Twice {
                    at: format!("{at} ({code})"),
                });
            }
        }
        if store.objects.insert(guid, object).is_some() {
            return Err(JsonError::Twice {
                at: format!("{at} ({guid})"),
            });
        }
    }
    Ok(store)
}
