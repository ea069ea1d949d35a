//! CloudEvents as they are read: JSON Event Format 1.0.2, one event.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{CloudEvent, CloudEventError, Data, RESERVED, SPEC_VERSION};
use crate::deliver::ContentType;

impl CloudEvent {
    /// Reads an event in [structured mode](Self::structured), one's own or another system's. Data in JSON stay as they
    /// are, to the byte.
    ///
    /// Attributes are strings, whole numbers of 32 bits or truth values, as far as [`new`](Self::new) and
    /// [`with_extension`](Self::with_extension) would take them; `null` is none. One pass over the body.
    ///
    /// ```
    /// use compliance_webhook::cloud_event::CloudEvent;
    ///
    /// let body = br#"{"specversion":"1.0","id":"a.1","source":"/accounts","type":"created","data":{"n":1.0}}"#;
    /// let event = CloudEvent::parse(body)?;
    /// assert_eq!((event.id(), event.binary().data()), ("a.1", &br#"{"n":1.0}"#[..]));
    /// assert_eq!(CloudEvent::parse(b"[]").unwrap_err().code(), "cloud_event.body");
    /// # Ok::<(), compliance_webhook::cloud_event::CloudEventError>(())
    /// ```
    ///
    /// # Errors
    /// `cloud_event.body` when it is no JSON object or has a name twice; otherwise the code of what stands in it:
    /// `cloud_event.attribute` for a missing or unknown one, another version among them, `.data`, `.extensions`,
    /// `.name`.
    pub fn parse(body: &[u8]) -> Result<Self, CloudEventError> {
        let text = std::str::from_utf8(body).map_err(|_| CloudEventError::Body)?;
        let Members(members) = serde_json::from_str(text).map_err(|_| CloudEventError::Body)?;
        let mut event = Self { attributes: Vec::new(), data: None };
        let (mut json, mut base64, mut content_type) = (None, None, None);
        for (name, value) in members {
            match name.as_str() {
                "data" => json = Some(value),
                "data_base64" => base64 = Some(value),
                _ => {
                    let Some(value) = attribute(value)? else { continue };
                    if name == "datacontenttype" {
                        let parsed = ContentType::parse(&value).map_err(|_| CloudEventError::Attribute)?;
                        content_type = Some(parsed);
                    } else {
                        Self::check_name(&name)?;
                        event.put(&name, &value)?;
                    }
                }
            }
        }
        event.check_attributes()?;
        event.data = match (json, base64) {
            (None, None) => None,
            (Some(value), None) => Some(json_data(content_type, value)?),
            (None, Some(value)) => {
                let text: String = serde_json::from_str(value.get()).map_err(|_| CloudEventError::Data)?;
                let bytes = STANDARD.decode(text).map_err(|_| CloudEventError::Data)?;
                Some(Data::Bytes(content_type.unwrap_or(ContentType::OCTET_STREAM), bytes.into()))
            }
            (Some(_), Some(_)) => return Err(CloudEventError::Data),
        };
        Ok(event)
    }

    /// The event a message holds, if it says that it holds one.
    #[cfg(feature = "outbox")]
    pub(crate) fn in_body(content_type: &ContentType, body: &[u8]) -> Result<Self, CloudEventError> {
        if media_type(content_type).eq_ignore_ascii_case(ContentType::CLOUDEVENTS_JSON.as_str()) {
            Self::parse(body)
        } else {
            Err(CloudEventError::Body)
        }
    }

    fn check_attributes(&self) -> Result<(), CloudEventError> {
        let is_known = |name: &str| RESERVED.contains(&name);
        if self.attributes.iter().filter(|(name, _)| !is_known(name)).count() > Self::MAX_EXTENSIONS {
            return Err(CloudEventError::Extensions);
        }
        let has_source = self.attribute("source").is_some_and(Self::is_source);
        let is_whole = self.attribute("id").is_some() && self.attribute("type").is_some();
        if has_source && is_whole && self.attribute("specversion") == Some(SPEC_VERSION) {
            Ok(())
        } else {
            Err(CloudEventError::Attribute)
        }
    }
}

/// An attribute's value as text; `None` for `null`.
fn attribute(value: &RawValue) -> Result<Option<String>, CloudEventError> {
    let text = value.get();
    let parsed = match text {
        "null" => return Ok(None),
        "true" | "false" => Some(text.to_owned()),
        _ if text.starts_with('"') => serde_json::from_str(text).ok(),
        _ => text.parse::<i32>().ok().map(|number| number.to_string()),
    };
    parsed.map(Some).ok_or(CloudEventError::Attribute)
}

/// What stands under `data`: JSON, or text of another type (JSON Event Format §3.1.1).
fn json_data(content_type: Option<ContentType>, value: &RawValue) -> Result<Data, CloudEventError> {
    let content_type = content_type.unwrap_or(ContentType::JSON);
    let media_type = media_type(&content_type).to_ascii_lowercase();
    if media_type.ends_with("/json") || media_type.ends_with("+json") {
        return Ok(Data::Json(content_type, value.get().into()));
    }
    let text: String = serde_json::from_str(value.get()).map_err(|_| CloudEventError::Data)?;
    Ok(Data::Bytes(content_type, text.into_bytes().into()))
}

/// Without its parameters.
fn media_type(content_type: &ContentType) -> &str {
    content_type.as_str().split(';').next().unwrap_or_default().trim_end()
}

/// The members of one object, each name once.
struct Members<'b>(Vec<(String, &'b RawValue)>);

impl Members<'_> {
    /// The attributes there are, `data`, `data_base64` and the extensions, with some that are `null`.
    const MOST: usize = 64;
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members: Vec<(String, &RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, _>()? {
                    if members.len() >= Members::MOST || members.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom("a name twice, or too many"));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
