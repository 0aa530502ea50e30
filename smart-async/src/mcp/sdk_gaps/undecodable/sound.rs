//! A fast look whether the SDK can decode a message: each value of it is parsed, and nearly none is kept.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The beginning of each fault of the parameters.
pub(super) const PARAMS: &str = "`params`";

/// The kind of a message that has the form of JSON-RPC.
#[derive(Debug)]
pub(super) enum Envelope {
    /// A request or a notification.
    Message,
    /// The request `initialize`.
    Initialize,
    /// Anything without a method: an answer, or no message.
    Answer,
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON-RPC 2.0 message, an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let (mut version, mut id, mut method, mut params) = (None, None, None, None);
        let mut answer = false;
        while let Some(key) = map.next_key::<Parsed<'de>>()? {
            let Parsed::Text(key) = key else { continue };
            let value = map.next_value::<Parsed<'de>>()?;
            let (slot, name) = match &*key {
                "jsonrpc" => (&mut version, "jsonrpc"),
                "id" => (&mut id, "id"),
                "method" => (&mut method, "method"),
                "params" => (&mut params, "params"),
                name => {
                    answer = answer || matches!(name, "result" | "error");
                    continue;
                }
            };
            if slot.replace(value).is_some() {
                return Err(Error::duplicate_field(name));
            }
        }
        let method = match method {
            None => return Ok(Envelope::Answer),
            Some(Parsed::Text(method)) => method,
            Some(_) => return Err(Error::custom("`method` must be a string")),
        };
        if !matches!(version, Some(Parsed::Text(version)) if version == "2.0") {
            return Err(Error::custom("`jsonrpc` must be \"2.0\""));
        }
        if !matches!(id, None | Some(Parsed::Text(_) | Parsed::Whole)) {
            return Err(Error::custom("`id` must be a string or a whole number"));
        }
        if answer {
            return Err(Error::custom("a request has neither `result` nor `error`"));
        }
        match params {
            None | Some(Parsed::Null | Parsed::Object { fit_meta: true }) => {}
            Some(Parsed::Object { fit_meta: false }) => {
                return Err(Error::custom(format_args!("{PARAMS} needs one `_meta`, an object")));
            }
            Some(_) => return Err(Error::custom(format_args!("{PARAMS} must be an object"))),
        }
        Ok(if method == "initialize" { Envelope::Initialize } else { Envelope::Message })
    }
}

/// A value that the parser can read.
enum Parsed<'a> {
    Null,
    Text(Cow<'a, str>),
    /// A number that may be an id.
    Whole,
    Object {
        /// Whether the object has a `_meta` as the parameters of a message may have it, or none.
        fit_meta: bool,
    },
    Other,
}

impl<'de> Deserialize<'de> for Parsed<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParsedVisitor)
    }
}

struct ParsedVisitor;

impl<'de> Visitor<'de> for ParsedVisitor {
    type Value = Parsed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Parsed<'de>, E> {
        Ok(Parsed::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Parsed<'de>, E> {
        Ok(Parsed::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Parsed<'de>, E> {
        Ok(Parsed::Whole)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Parsed<'de>, E> {
        Ok(if i64::try_from(number).is_ok() { Parsed::Whole } else { Parsed::Other })
    }

    fn visit_f64<E>(self, _: f64) -> Result<Parsed<'de>, E> {
        Ok(Parsed::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Parsed<'de>, E> {
        Ok(Parsed::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Parsed<'de>, E> {
        Ok(Parsed::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Parsed<'de>, A::Error> {
        while sequence.next_element::<Parsed<'de>>()?.is_some() {}
        Ok(Parsed::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed<'de>, A::Error> {
        let (mut fit_meta, mut metas) = (true, 0);
        while let Some(key) = map.next_key::<Parsed<'de>>()? {
            let value = map.next_value::<Parsed<'de>>()?;
            if matches!(key, Parsed::Text(key) if key == "_meta") {
                metas += 1;
                fit_meta = metas == 1 && matches!(value, Parsed::Null | Parsed::Object { .. });
            }
        }
        Ok(Parsed::Object { fit_meta })
    }
}
