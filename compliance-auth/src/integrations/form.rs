//! `application/x-www-form-urlencoded` (WHATWG URL §5.1) without copies of its values left behind.

use serde::de::value::{Error, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use zeroize::Zeroize as _;

/// No form, or not the fields expected.
pub(super) struct Malformed;

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => {
                (pair.get(..at).unwrap_or_default(), pair.get(at.saturating_add(1)..).unwrap_or_default())
            }
            None => (pair, &[][..]),
        };
        Some((Part(decode(name)?), Part(decode(value)?)))
    });
    let pairs: Vec<(Part, Part)> = pairs.collect::<Option<_>>().ok_or(Malformed)?;
    T::deserialize(MapDeserializer::new(pairs.into_iter())).map_err(|_: Error| Malformed)
}

/// Percent-decodes into an allocation of exactly the length. Unlike the WHATWG's, refuses a lone `%` and what is not
/// UTF-8: a password must be what was typed.
fn decode(text: &[u8]) -> Option<String> {
    let escapes = text.iter().filter(|byte| **byte == b'%').count();
    let len = text.len().checked_sub(escapes.checked_mul(2)?)?;
    let mut decoded = Vec::with_capacity(len);
    let mut bytes = text.iter();
    let digit =
        |byte: Option<&u8>| char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'+' => Some(b' '),
            b'%' => digit(bytes.next()).zip(digit(bytes.next())).map(|(high, low)| (high << 4) | low),
            other => Some(*other),
        };
        match byte {
            Some(byte) => decoded.push(byte),
            None => {
                decoded.zeroize();
                return None;
            }
        }
    }
    String::from_utf8(decoded).map_err(|error| error.into_bytes().zeroize()).ok()
}

/// A name or a value. Handed over whole, or wiped.
struct Part(String);

impl Drop for Part {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<'de> IntoDeserializer<'de, Error> for Part {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident => $visit:ident,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                // The value is not quoted.
                Err(_) => Err(serde::de::Error::custom("a field does not parse")),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Part {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(std::mem::take(&mut self.0))
    }

    /// Wiped, not handed over: a password may have come under another name.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(std::mem::take(&mut self.0).into_deserializer())
    }

    parsed! {
        deserialize_bool => visit_bool,
        deserialize_i8 => visit_i8,
        deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64,
        deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_f32 => visit_f32,
        deserialize_f64 => visit_f64,
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
    }
}
