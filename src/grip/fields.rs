//! Fields of JSON objects, taken by type.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::{FieldError, binary, feature, header::final_status};
use crate::hop_by_hop::is_framing;

/// More headers in one response are refused.
const MAX_HEADERS: usize = 100;

/// A JSON object and what errors call it. Fields are taken out, so that their text moves and is not copied.
pub(super) struct Object {
    what: &'static str,
    map: Map<String, Value>,
}

// === impl Object ===

impl Object {
    /// The object in this value.
    pub(super) fn new(what: &'static str, value: Value) -> Result<Self, FieldError> {
        match value {
            Value::Object(map) => Ok(Self { what, map }),
            _ => Err(FieldError::not_an_object(what)),
        }
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        self.map.remove(field)
    }

    pub(super) fn wrong_type(&self, field: &str) -> FieldError {
        FieldError::wrong_type(self.what, field)
    }

    pub(super) fn invalid(&self, field: &str) -> FieldError {
        FieldError::invalid(self.what, field)
    }

    pub(super) fn missing(&self, field: &str) -> FieldError {
        FieldError::missing(self.what, field)
    }

    pub(super) fn unsupported(&self, field: &str) -> FieldError {
        FieldError::unsupported(self.what, field)
    }

    pub(super) fn string(&mut self, field: &str) -> Result<Option<String>, FieldError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong_type(field)),
        }
    }

    pub(super) fn required_string(&mut self, field: &str) -> Result<String, FieldError> {
        self.string(field)?.ok_or_else(|| self.missing(field))
    }

    /// Bytes in base64.
    pub(super) fn base64(&mut self, field: &str) -> Result<Option<Vec<u8>>, FieldError> {
        match self.string(field)? {
            None => Ok(None),
            Some(text) => match binary::decode(text.as_bytes()) {
                Some(bytes) => Ok(Some(bytes)),
                None => Err(self.invalid(field)),
            },
        }
    }

    pub(super) fn bool(&mut self, field: &str) -> Result<Option<bool>, FieldError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(self.wrong_type(field)),
        }
    }

    /// An integer. A string that contains one will do: client libraries send `"code": "200"`.
    pub(super) fn int(&mut self, field: &str) -> Result<Option<i64>, FieldError> {
        let int = match self.take(field) {
            None => return Ok(None),
            Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
                (Some(int), _) => Some(int),
                // The cast saturates; what is out of range is refused by whoever knows the range.
                (None, Some(float)) if float.fract() == 0.0 => Some(float as i64),
                _ => None,
            },
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        int.map(Some).ok_or_else(|| self.wrong_type(field))
    }

    /// Whole seconds from 0 to `i32::MAX`.
    pub(super) fn seconds(&mut self, field: &str) -> Result<Option<std::time::Duration>, FieldError> {
        match self.int(field)? {
            None => Ok(None),
            Some(int) => match u32::try_from(int).ok().filter(|&secs| secs <= i32::MAX as u32) {
                Some(secs) => Ok(Some(std::time::Duration::from_secs(secs.into()))),
                None => Err(self.invalid(field)),
            },
        }
    }

    /// A final status, 200 to 999.
    pub(super) fn status(&mut self, field: &str) -> Result<Option<StatusCode>, FieldError> {
        match self.int(field)? {
            None => Ok(None),
            Some(int) => match u16::try_from(int).ok().and_then(final_status) {
                Some(status) => Ok(Some(status)),
                None => Err(self.invalid(field)),
            },
        }
    }

    pub(super) fn array(&mut self, field: &str) -> Result<Option<Vec<Value>>, FieldError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(_) => Err(self.wrong_type(field)),
        }
    }

    /// An array of strings.
    pub(super) fn strings(&mut self, field: &str) -> Result<Option<Vec<String>>, FieldError> {
        let Some(values) = self.array(field)? else {
            return Ok(None);
        };
        let text = |value| match value {
            Value::String(text) => Ok(text),
            _ => Err(FieldError::new(format!("{field} contains value with wrong type"))),
        };
        values.into_iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// An object whose values are strings.
    pub(super) fn string_map(&mut self, field: &str) -> Result<Vec<(String, String)>, FieldError> {
        let map = match self.take(field) {
            None => return Ok(Vec::new()),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(self.wrong_type(field)),
        };
        let pair = |(name, value): (String, Value)| match value {
            Value::String(value) => Ok((name, value)),
            _ => Err(FieldError::element(&format!("'{field}'"), &name, "wrong type")),
        };
        map.into_iter().map(pair).collect()
    }

    /// Headers of a response: an object, or an array of pairs, which keeps order and duplicates. `Grip-*` and
    /// what frames a message on one connection (RFC 9110 7.6.1, 8.6) are left out: that is the edge's to say.
    pub(super) fn headers(&mut self, field: &str) -> Result<HeaderMap, FieldError> {
        let mut headers = HeaderMap::new();
        match self.take(field) {
            None => {}
            Some(Value::Object(map)) => {
                for (name, value) in map {
                    let Value::String(value) = value else {
                        return Err(FieldError::element("headers", &name, "wrong type"));
                    };
                    push(&mut headers, &name, &value)?;
                }
            }
            Some(Value::Array(pairs)) => {
                for pair in pairs {
                    let (name, value) = header_pair(pair)?;
                    push(&mut headers, &name, &value)?;
                }
            }
            Some(_) => return Err(self.wrong_type(field)),
        }
        Ok(headers)
    }
}

fn header_pair(pair: Value) -> Result<(String, String), FieldError> {
    let Value::Array(pair) = pair else {
        return Err(FieldError::new("headers contains element with wrong type"));
    };
    let Ok([name, value]) = <[Value; 2]>::try_from(pair) else {
        return Err(FieldError::new(
            "headers contains list with wrong number of elements",
        ));
    };
    let Value::String(name) = name else {
        return Err(FieldError::new("header contains name element with wrong type"));
    };
    let Value::String(value) = value else {
        return Err(FieldError::new("header contains value element with wrong type"));
    };
    Ok((name, value))
}

fn push(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), FieldError> {
    let invalid = || FieldError::element("headers", name, "invalid value");
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    let value = HeaderValue::from_bytes(value.trim_ascii().as_bytes()).map_err(|_| invalid())?;
    if feature::is_grip(&name) || is_framing(&name) {
        return Ok(());
    }
    if headers.len() == MAX_HEADERS {
        return Err(FieldError::new(format!(
            "headers contains more than {MAX_HEADERS} elements"
        )));
    }
    headers.append(name, value);
    Ok(())
}
