// SPDX-License-Identifier: MIT OR Apache-2.0
//! What bcdedit and `slamboot bcd` do to a store, with everything named by text.

use super::alias::{self, Identifier, IdentifierError, Virtual};
use super::code;
use super::drives::Drives;
use super::element::{ElementCode, Value};
use super::guid::Guid;
use super::literal;
use super::notation::Names;
use super::object::{Object, ObjectType, ObjectTypeError};
use super::store::Store;
use super::table::{self, NameError};

/// A change that was not made. The store is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ChangeError {
    /// Which of the words is to blame.
    pub part: Part,
    /// Where in it, in bytes.
    pub at: usize,
    /// Why.
    pub reason: Reason,
}

/// A word of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The object's identifier.
    Id,
    /// The element's name.
    Element,
    /// This word of the value; one past the last where one is missing.
    Value(usize),
    /// The type of the object to be made.
    Kind,
    /// The description of the object to be made.
    Description,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// An identifier that means nothing, or nothing here.
    #[error("{0}")]
    Identifier(String),
    /// There is no such object.
    #[error(
        "there is no object {id} in the store; make it first (/create, create-object){}",
        alias::hint(nearest.as_deref())
    )]
    NoObject {
        /// Its identifier.
        id: String,
        /// The nearest identifier that the store has.
        nearest: Option<String>,
    },
    /// There is such an object already.
    #[error("there is an object {id} in the store already")]
    Exists {
        /// Its identifier.
        id: String,
    },
    /// A name that only stands for an object.
    #[error("{id} stands for another object and cannot be made itself")]
    Virtual {
        /// The name.
        id: String,
    },
    /// Not a type of objects.
    #[error(transparent)]
    Kind(#[from] ObjectTypeError),
    /// Nothing says of what type the object shall be.
    #[error(
        "expected a well-known identifier such as {{bootmgr}}, or one of /application TYPE, \
         /inherit and /device (--application TYPE, --inherit, --device), which say what to make; \
         found none"
    )]
    NoKind,
    /// The identifier says another type.
    #[error("{id} is of the type {is}, not {asked}")]
    OtherKind {
        /// The identifier.
        id: String,
        /// The type that goes with it.
        is: ObjectType,
        /// The type that was asked for.
        asked: ObjectType,
    },
    /// An element's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A value.
    #[error("{0}")]
    Value(String),
    /// There is no such element.
    #[error("{id} has no element {element}")]
    NoElement {
        /// The object.
        id: String,
        /// The element.
        element: String,
    },
    /// Only lists can be added to.
    #[error("{element} is no list: nothing can be added to it or removed from it")]
    NoList {
        /// The element.
        element: String,
    },
    /// bcdedit asks for `/f` here too.
    #[error("{id} is a well-known object; to delete it, add /f (--force)")]
    WellKnown {
        /// The object.
        id: String,
    },
    /// A text with a NUL in it.
    #[error("a text has no NUL")]
    Nul,
}

impl ChangeError {
    fn new(part: Part, reason: Reason) -> Self {
        ChangeError {
            part,
            at: 0,
            reason,
        }
    }
}

/// Of which type a new object shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKind<'a> {
    /// Of the type that goes with its identifier.
    OfIdentifier,
    /// `/application TYPE`
    Application(&'a str),
    /// `/inherit [TYPE]`
    Inherit(Option<&'a str>),
    /// `/device`
    Device,
}

/// An object to be made.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Its identifier; without one, one is made up.
    pub id: Option<&'a str>,
    /// Its type.
    pub kind: NewKind<'a>,
    /// Its description.
    pub description: Option<&'a str>,
    /// The identifier to make up, instead of one derived from type and description.
    pub guid: Option<Guid>,
}

/// What happens to what a list has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListEdit {
    /// It goes.
    #[default]
    Replace,
    /// It stays, behind the new.
    AddFirst,
    /// It stays, before the new.
    AddLast,
    /// It stays but for what is named.
    Remove,
}

/// The object of that name, which must be in the store.
pub fn object(store: &Store, id: &str) -> Result<Guid, ChangeError> {
    let error = |reason| ChangeError::new(Part::Id, reason);
    if let Err(unknown @ IdentifierError { nearest: None, .. }) = Identifier::parse(id) {
        let unknown = IdentifierError {
            nearest: nearest_object(store, id),
            ..unknown
        };
        return Err(error(Reason::Identifier(unknown.to_string())));
    }
    let drives = Drives::none();
    let guid = names(store, &drives)
        .object(id)
        .map_err(|what| error(Reason::Identifier(what)))?;
    if store.objects.contains_key(&guid) {
        Ok(guid)
    } else {
        let nearest = nearest_object(store, &guid.to_string());
        let id = alias::display(guid);
        Err(error(Reason::NoObject { id, nearest }))
    }
}

/// The object of the store whose GUID is nearest to a text, if that may have been meant.
fn nearest_object(store: &Store, text: &str) -> Option<String> {
    let guids: Vec<String> = store.objects.keys().map(ToString::to_string).collect();
    alias::nearest(text, guids.iter().map(String::as_str)).map(str::to_owned)
}

fn names<'a>(store: &Store, drives: &'a Drives) -> Names<'a> {
    Names {
        drives,
        default: store.default_object(),
    }
}

/// Makes an object.
pub fn create(store: &mut Store, new: &New<'_>) -> Result<Guid, ChangeError> {
    let error = ChangeError::new;
    let kind = match new.kind {
        NewKind::OfIdentifier => None,
        NewKind::Application(word) => Some(parse_kind(word)?),
        NewKind::Inherit(None) => Some(ObjectType::INHERIT),
        NewKind::Inherit(Some(word)) => Some(parse_kind(word)?.inherited_by()),
        NewKind::Device => Some(ObjectType::DEVICE),
    };
    let (guid, kind) = match new.id.map(|id| (id, Identifier::parse(id))) {
        None => {
            let kind = kind.ok_or_else(|| error(Part::Id, Reason::NoKind))?;
            let description = new.description.unwrap_or_default();
            let guid = new
                .guid
                .unwrap_or_else(|| store.free_guid(kind, description));
            (guid, kind)
        }
        Some((_, Ok(Identifier::Guid(guid)))) => {
            let known = alias::by_guid(guid);
            match (known.map(|known| known.kind), kind) {
                (Some(is), Some(asked)) if is != asked => {
                    let id = alias::display(guid);
                    return Err(error(Part::Kind, Reason::OtherKind { id, is, asked }));
                }
                (known, asked) => {
                    let kind = asked.or(known);
                    (guid, kind.ok_or_else(|| error(Part::Id, Reason::NoKind))?)
                }
            }
        }
        Some((id, Ok(Identifier::Virtual(Virtual::Default | Virtual::Current)))) => {
            let id = id.to_owned();
            return Err(error(Part::Id, Reason::Virtual { id }));
        }
        Some((_, Err(unknown))) => {
            return Err(error(Part::Id, Reason::Identifier(unknown.to_string())));
        }
    };
    let mut object = Object::new(kind);
    if let Some(description) = new.description {
        object = object.with(code::DESCRIPTION, text(description)?);
    }
    insert(store, guid, object)
}

fn parse_kind(word: &str) -> Result<ObjectType, ChangeError> {
    word.parse()
        .map_err(|error| ChangeError::new(Part::Kind, Reason::Kind(error)))
}

fn text(description: &str) -> Result<Value, ChangeError> {
    match description.find('\0') {
        None => Ok(Value::String(description.to_owned())),
        Some(at) => Err(ChangeError {
            part: Part::Description,
            at,
            reason: Reason::Nul,
        }),
    }
}

fn insert(store: &mut Store, guid: Guid, object: Object) -> Result<Guid, ChangeError> {
    if store.objects.contains_key(&guid) {
        let id = alias::display(guid);
        return Err(ChangeError::new(Part::Id, Reason::Exists { id }));
    }
    store.objects.insert(guid, object);
    Ok(guid)
}

/// Makes an object like another, with a description of its own.
pub fn copy(
    store: &mut Store,
    id: &str,
    description: &str,
    guid: Option<Guid>,
) -> Result<Guid, ChangeError> {
    let from = object(store, id)?;
    let text = text(description)?;
    let copy = store.objects[&from].clone().with(code::DESCRIPTION, text);
    let guid = guid.unwrap_or_else(|| store.free_guid(copy.kind, description));
    insert(store, guid, copy)
}

/// Deletes an object and, if `cleanup`, whatever names it.
pub fn delete(
    store: &mut Store,
    id: &str,
    force: bool,
    cleanup: bool,
) -> Result<Guid, ChangeError> {
    let guid = object(store, id)?;
    if alias::by_guid(guid).is_some() && !force {
        let id = alias::display(guid);
        return Err(ChangeError::new(Part::Id, Reason::WellKnown { id }));
    }
    store.remove(guid, cleanup);
    Ok(guid)
}

/// Sets an element.
pub fn set(
    store: &mut Store,
    id: &str,
    element: &str,
    values: &[&str],
    edit: ListEdit,
    drives: &Drives,
) -> Result<(), ChangeError> {
    let guid = object(store, id)?;
    let code = element_code(store, guid, element)?;
    set_code(store, guid, code, values, edit, drives)
}

/// Sets an element whose code is known, of an object that is there.
pub fn set_code(
    store: &mut Store,
    guid: Guid,
    code: ElementCode,
    values: &[&str],
    edit: ListEdit,
    drives: &Drives,
) -> Result<(), ChangeError> {
    let kind = store.objects[&guid].kind;
    let value =
        literal::parse(code, kind, values, &names(store, drives)).map_err(|error| ChangeError {
            part: Part::Value(error.word),
            at: error.at,
            reason: Reason::Value(error.what),
        })?;
    let list = matches!(value, Value::ObjectList(_) | Value::IntegerList(_));
    if !list && edit != ListEdit::Replace {
        let element = table::name(code, kind);
        return Err(ChangeError::new(Part::Element, Reason::NoList { element }));
    }
    if list && values.is_empty() {
        let what = "expected at least one item for the list, found none".to_owned();
        return Err(ChangeError::new(Part::Value(0), Reason::Value(what)));
    }
    let Some(object) = store.objects.get_mut(&guid) else {
        let id = alias::display(guid);
        let nearest = None;
        return Err(ChangeError::new(Part::Id, Reason::NoObject { id, nearest }));
    };
    let value = match (object.elements.remove(&code), value) {
        (Some(Value::ObjectList(there)), Value::ObjectList(new)) => {
            Value::ObjectList(merge(there, new, edit))
        }
        (Some(Value::IntegerList(there)), Value::IntegerList(new)) => {
            Value::IntegerList(merge(there, new, edit))
        }
        (_, Value::ObjectList(new)) => Value::ObjectList(merge(Vec::new(), new, edit)),
        (_, Value::IntegerList(new)) => Value::IntegerList(merge(Vec::new(), new, edit)),
        (_, value) => value,
    };
    let empty = match &value {
        Value::ObjectList(list) => list.is_empty(),
        Value::IntegerList(list) => list.is_empty(),
        _ => false,
    };
    if !empty {
        object.elements.insert(code, value);
    }
    Ok(())
}

fn merge<T: PartialEq>(mut there: Vec<T>, new: Vec<T>, edit: ListEdit) -> Vec<T> {
    there.retain(|item| !new.contains(item));
    match edit {
        ListEdit::Replace => new,
        ListEdit::AddFirst => new.into_iter().chain(there).collect(),
        ListEdit::AddLast => there.into_iter().chain(new).collect(),
        ListEdit::Remove => there,
    }
}

/// Deletes an element.
pub fn delete_value(store: &mut Store, id: &str, element: &str) -> Result<(), ChangeError> {
    let guid = object(store, id)?;
    let code = element_code(store, guid, element)?;
    let gone = store
        .objects
        .get_mut(&guid)
        .and_then(|object| object.elements.remove(&code));
    match gone {
        Some(_) => Ok(()),
        None => Err(ChangeError::new(
            Part::Element,
            Reason::NoElement {
                id: alias::display(guid),
                element: element.to_owned(),
            },
        )),
    }
}

fn element_code(store: &Store, guid: Guid, element: &str) -> Result<ElementCode, ChangeError> {
    table::find(element, store.objects[&guid].kind)
        .map_err(|error| ChangeError::new(Part::Element, Reason::Name(error)))
}
